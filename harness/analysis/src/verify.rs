//! Recomputes all that a run folder says of itself.

mod files;
mod index;
mod order;
mod signatures;

use crate::evidence::PublicKey;
use index::Index;
use ledger::digest::Digest;
use ledger::record::format::{OrderSection, RunRecord};
use ledger::record::identity::CellKey;
use ledger::record::store::Store;

pub use index::{Abandoned, IndexSummary};

/// One thing recomputed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it agrees.
    pub passed: bool,
    /// What was found, when it does not.
    pub detail: String,
}

impl Check {
    pub(crate) fn of<T, E: std::fmt::Display>(name: &str, outcome: Result<T, E>) -> Self {
        let detail = outcome.as_ref().err().map(ToString::to_string).unwrap_or_default();
        Self { name: name.to_owned(), passed: outcome.is_ok(), detail }
    }
}

fn same<T: PartialEq + std::fmt::Display>(recorded: &T, recomputed: &T) -> Result<(), String> {
    if recorded == recomputed {
        Ok(())
    } else {
        Err(format!("recorded {recorded}, recomputed {recomputed}"))
    }
}

/// What a reader knows from elsewhere, and the store alone cannot show.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// A digest of the index that was published: every run checked must have been promised by then.
    pub head: Option<Digest>,
    /// Commitments published before training, as `palimpsest commit` prints them: every run checked
    /// must have one of them.
    pub promised: Option<Vec<Digest>>,
    /// Keys that must have signed every run checked.
    pub keys: Vec<PublicKey>,
}

/// A store whose commitment index has been read and checked once, for all of its runs.
#[derive(Debug)]
pub struct Verifier<'a> {
    store: &'a Store,
    index: Index,
    known: Known,
}

impl<'a> Verifier<'a> {
    /// Reads the index; what is wrong with it fails a check of every run that has an order.
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        Self::knowing(store, Known::default())
    }

    /// The same, with what is known from elsewhere.
    #[must_use]
    pub fn knowing(store: &'a Store, known: Known) -> Self {
        Self { store, index: Index::read(store), known }
    }

    /// Checks manifest and signatures, cell id, configuration, seed and its commitment, dataset root,
    /// commitment and its place in the index, events, transcript and chain, and the order itself
    /// where its law fixes it. A record that cannot be read is a failed check too.
    #[must_use]
    pub fn verify(&self, cell: &str) -> Vec<Check> {
        let mut checks = vec![Check::of("manifest", files::check_manifest(self.store, cell))];
        checks.extend(signatures::check(self.store, cell, &self.known.keys));
        match self.store.record(cell) {
            Err(error) => checks.push(Check::of::<(), _>("record", Err(error))),
            Ok(record) => {
                checks.push(Check::of("cell id", check_cell_id(&record, cell)));
                if let Some(order) = &record.order {
                    checks.extend(self.check_order(&record, order));
                }
            }
        }
        checks
    }

    fn check_order(&self, record: &RunRecord, order: &OrderSection) -> Vec<Check> {
        let mut checks = order::check(self.store, record, order);
        checks.push(Check::of("commitment index", self.index.check_place(record, order)));
        checks.push(Check::of(
            "commitment before training",
            files::check_events(self.store, record, order)
                .and_then(|()| self.index.check_time(record, order)),
        ));
        if let Some(head) = &self.known.head {
            let promised = self.index.check_promised_by(head, order);
            checks.push(Check::of("published head", promised));
        }
        if let Some(promised) = &self.known.promised {
            let kept = if promised.contains(&order.commitment) {
                Ok(())
            } else {
                Err(format!(
                    "commitment {} is none of the {} published ones",
                    order.commitment,
                    promised.len()
                ))
            };
            checks.push(Check::of("published commitments", kept));
        }
        checks
    }

    /// What the index says about all promises of the store.
    ///
    /// # Errors
    /// When the index cannot be read or is broken.
    pub fn index(&self) -> Result<IndexSummary, String> {
        self.index.summary()
    }

    /// Whether a published head is a line of the index: otherwise the index was cut or rewritten.
    ///
    /// # Errors
    /// When it is not.
    pub fn contains_head(&self, head: &Digest) -> Result<(), String> {
        self.index.place_of(head).map(|_| ())
    }
}

/// The folder's name, the record's own and what workload, arm, seed, data and code give.
fn check_cell_id(record: &RunRecord, cell: &str) -> Result<(), String> {
    same(&record.cell.as_str(), &cell)?;
    let data = record.data.as_ref().ok_or("the record names no data")?;
    let (workload, arm) = record.planned();
    let key = CellKey {
        workload: &workload,
        arm: &arm,
        parents: &record.parents(),
        seed: &record.seed,
        data_root: &data.train_root,
        code: &record.environment.code_digest,
    };
    same(&record.cell, &key.id().map_err(|error| error.to_string())?)
}

#[cfg(test)]
pub(crate) mod tests;
