//! Recomputes all that a run folder says of itself.

mod files;
mod index;
mod messages;
mod numbers;
mod order;
mod signatures;
mod weights;

use crate::evidence::PublicKey;
use crate::imported;
use crate::plan::own_file;
use index::Index;
use ledger::digest::Digest;
use ledger::lineage::Lineage;
use ledger::order::OrderLaw;
use ledger::plain;
use ledger::record::format::{OrderSection, RunRecord, Status};
use ledger::record::identity::{CellKey, DataKey};
use ledger::record::planned::PlannedWorkload;
use ledger::record::stages::{self, STAGES};
use ledger::record::store::{Store, is_cell_id};
use weights::Weights;

pub use index::{Abandoned, IndexSummary, Until};

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

/// What the checks of a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// What was recomputed.
    pub checks: Vec<Check>,
    /// What could not be, and why.
    pub unchecked: Vec<String>,
}

impl Verified {
    /// Whether every check agrees.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// Whether the order was found to be what seed and law give.
    #[must_use]
    pub fn order_follows(&self) -> bool {
        let name = |check: &Check| check.passed && check.name.ends_with("order of the seed");
        self.checks.iter().any(name)
    }
}

/// An order drawn again by the method's own code, without training.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Drawn {
    /// Law of the method's orders.
    pub law: OrderLaw,
    /// SHA-256 of the ids of each epoch, of the recorded epochs' lengths.
    pub order_hashes: Vec<Digest>,
    /// Digest of the code that drew it.
    pub code: String,
}

/// Draws the order of a run again; `Err` says why it cannot.
pub type Draw<'a> = dyn Fn(&str) -> Result<Drawn, String> + 'a;

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
pub struct Verifier<'a> {
    store: &'a Store,
    index: Index,
    known: Known,
    draw: Option<&'a Draw<'a>>,
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
        Self { store, index: Index::read(store), known, draw: None }
    }

    /// The same, with a way to draw orders again that do not follow from the seed by themselves.
    #[must_use]
    pub fn drawing(self, draw: &'a Draw<'a>) -> Self {
        Self { draw: Some(draw), ..self }
    }

    /// Checks manifest and signatures, cell id, configuration, seed and its commitment, dataset root,
    /// commitment and its place in the index, events, transcript and chain, the order itself where
    /// seed and law fix it, the numbers that evaluations decide, and weights and messages that were kept. A record
    /// that cannot be read is a failed check too.
    #[must_use]
    pub fn verify(&self, cell: &str) -> Verified {
        let mut checks = vec![Check::of("manifest", files::check_manifest(self.store, cell))];
        checks.extend(signatures::check(self.store, cell, &self.known.keys));
        let mut unchecked = Vec::new();
        match self.store.record(cell) {
            Err(error) => checks.push(Check::of::<(), _>("record", Err(error))),
            Ok(record) => {
                checks.push(Check::of("cell id", check_cell_id(&record, cell)));
                checks.push(Check::of("suite", self.check_suite(&record)));
                if let Some(lineage) = &record.lineage {
                    let open = lineage.iter().filter(|parent| !self.store.has(&parent.cell));
                    unchecked.extend(open.map(|parent| {
                        format!("lineage: its parent, run {}, is not in this store", parent.cell)
                    }));
                    checks.push(Check::of("lineage", self.check_lineage(lineage)));
                }
                match &record.order {
                    // Whatever it says of an order: nobody can have committed to one.
                    _ if imported::is_imported(&record) => {
                        let verified = self.check_imported(&record);
                        checks.extend(verified.checks);
                        unchecked.extend(verified.unchecked);
                    }
                    Some(order) => {
                        let verified = self.check_order(&record, order);
                        checks.extend(verified.checks);
                        unchecked.extend(verified.unchecked);
                    }
                    // A run that crashed before its end has none; nothing is claimed of it.
                    None if record.status == Status::Failed => {
                        unchecked.push("order: the run failed and has none".to_owned());
                        if self.known.head.is_some() || self.known.promised.is_some() {
                            let none = Err("the run failed and kept no promise");
                            checks.push(Check::of::<(), _>("published promise", none));
                        }
                    }
                    None => checks.push(Check::of::<(), _>(
                        "order",
                        Err(format!("a run that ended as {} has an order", record.status.name())),
                    )),
                }
            }
        }
        Verified { checks, unchecked }
    }

    /// The suite's text is the one that the record names.
    fn check_suite(&self, record: &RunRecord) -> Result<(), String> {
        let path = self.store.folder(&record.cell).join("suite.yaml");
        let text = plain::read(&path).map_err(|error| format!("suite.yaml: {error}"))?;
        same(&record.suite_digest, &Digest::of(&text))
    }

    /// What the record says of its parents is what their own records say, as far as they are here.
    fn check_lineage(&self, lineage: &Lineage) -> Result<(), String> {
        for parent in lineage.iter().filter(|parent| self.store.has(&parent.cell)) {
            if !is_cell_id(&parent.cell) {
                return Err(format!("{:?} is not the id of a run", parent.cell));
            }
            let record = self.store.record(&parent.cell).map_err(|error| error.to_string())?;
            if record.parameters_sha256 != Some(parent.parameters)
                || record.order_hashes() != parent.order_hashes
            {
                return Err(format!("weights or orders are not those of run {}", parent.cell));
            }
        }
        Ok(())
    }

    /// What can be recomputed of an imported run: what its looks decide, and what every such record says.
    fn check_imported(&self, record: &RunRecord) -> Verified {
        let mut checks = vec![Check::of("numbers", imported::check(self.store, record))];
        if self.known.head.is_some() || self.known.promised.is_some() {
            let none = Err("an imported run was promised by nobody");
            checks.push(Check::of::<(), _>("published promise", none));
        }
        let unchecked = vec![
            "order: the run was imported from logs, which have none".to_owned(),
            "data, metrics and times: the logs that were imported told them".to_owned(),
        ];
        Verified { checks, unchecked }
    }

    fn check_order(&self, record: &RunRecord, order: &OrderSection) -> Verified {
        let Verified { mut checks, mut unchecked } =
            order::check(self.store, record, order, self.draw);
        checks.push(Check::of("numbers", numbers::check(self.store, record, order)));
        match weights::check(self.store, record) {
            Weights::Checked(outcome) => checks.push(Check::of("weights", outcome)),
            Weights::Unchecked(reason) => unchecked.push(format!("weights: {reason}")),
        }
        let said = messages::check(self.store, record);
        checks.extend(said.map(|outcome| Check::of("messages", outcome)));
        if let Some(fact) = record.facts.get(STAGES) {
            let listed = stages::read(fact)
                .and_then(|list| stages::check(&list, record.steps, record.parameters_sha256));
            checks.push(Check::of("stages", listed));
        }
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
        Verified { checks, unchecked }
    }

    /// What the index says about all promises of the store.
    ///
    /// # Errors
    /// When the index cannot be read or is broken.
    pub fn index(&self) -> Result<IndexSummary, String> {
        self.index.summary()
    }

    /// What the index that holds a run's promise says about its promises: the store's own, or one that was merged in.
    ///
    /// # Errors
    /// When the index cannot be read or is broken, or the order names no line of it.
    pub fn index_of(&self, order: &OrderSection) -> Result<IndexSummary, String> {
        self.index.summary_holding(order)
    }

    /// Whether an order was promised in the index of `head`, at its line or before it.
    ///
    /// # Errors
    /// When it was not, or no line has this digest.
    pub fn promised_by(&self, head: &Digest, order: &OrderSection) -> Result<(), String> {
        self.index.check_promised_by(head, order)
    }

    /// What the index said when `head` was its last line.
    ///
    /// # Errors
    /// When no line has this digest, or the index is broken.
    pub fn promised_until(&self, head: &Digest) -> Result<Until, String> {
        self.index.until(head)
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
    let id = |workload: &PlannedWorkload, file: Option<Digest>| {
        let key = CellKey {
            workload,
            arm: &arm,
            parents: &record.parents(),
            seed: &record.seed,
            data: DataKey { root: data.train_root, file },
            code: &record.environment.code_digest,
        };
        key.id().map_err(|error| error.to_string())
    };
    // Earlier builds took of a user's file the path into the id, later ones its name, this one name and digest.
    let named = own_file::identified(&workload);
    for (workload, file) in [(&workload, None), (&named, None)] {
        if record.cell == id(workload, file)? {
            return Ok(());
        }
    }
    same(&record.cell, &id(&named, data.sha256)?)
}

#[cfg(test)]
pub(crate) mod tests;
