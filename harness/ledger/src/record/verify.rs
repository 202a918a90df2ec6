//! Recomputes all that a run folder says of itself.

use std::fs;

use super::format::{OrderSection, RunRecord};
use super::store::Store;
use super::writer::entries;
use crate::commitment::{CommitmentIndex, run_commitment};
use crate::digest::{Digest, parse_hex32};
use crate::merkle;
use crate::order::{OrderLaw, uniform_order};
use crate::plan::identity::{CellKey, Config};
use crate::seed::{Randomness, Seed};
use crate::transcript::{read_ids, replay};

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
    fn of<T, E: std::fmt::Display>(name: &str, outcome: Result<T, E>) -> Self {
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

/// A store whose commitment index has been read and checked once, for all of its runs.
#[derive(Debug)]
pub struct Verifier<'a> {
    store: &'a Store,
    index: Result<CommitmentIndex, String>,
}

impl<'a> Verifier<'a> {
    /// Reads the index; what is wrong with it fails a check of every run that has an order.
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        let index = CommitmentIndex::read_and_verify(&store.root().join("commitments.jsonl"));
        Self { store, index: index.map_err(|error| error.to_string()) }
    }

    /// Checks manifest, cell id, configuration, seed and its commitment, dataset root, commitment
    /// and its place in the index, transcript and chain, and the order itself where its law fixes
    /// it. A record that cannot be read is a failed check too.
    #[must_use]
    pub fn verify(&self, cell: &str) -> Vec<Check> {
        let mut checks = vec![Check::of("manifest", check_manifest(self.store, cell))];
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
        let folder = self.store.folder(&record.cell);
        let read =
            |name: &str| fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
        let seed = seed_of(order);
        let sample_ids = read("sample_ids.bin").and_then(|bytes| digests(&bytes));
        let blob = read("order.bin");

        let root = sample_ids.as_ref().map_err(Clone::clone).and_then(|ids| {
            same(&(ids.len() as u64), &order.examples)?;
            same(&order.dataset_root, &merkle::root(ids))
        });
        let commitment = run_commitment(
            &order.dataset_root,
            &order.config_hash,
            order.examples,
            order.epochs_planned,
            &order.seed_commit,
        );
        let chain = || {
            let (blob, ids) =
                (blob.as_ref().map_err(Clone::clone)?, sample_ids.as_ref().map_err(Clone::clone)?);
            replay(blob, &order.epochs, order.commitment, &order.chain, ids)
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        let mut checks = vec![
            Check::of("order version", same(&order.version, &1)),
            Check::of("configuration", check_config(record, order)),
            Check::of(
                "seed",
                seed.as_ref().map_err(Clone::clone).and_then(|seed| check_seed_name(record, seed)),
            ),
            Check::of(
                "seed commitment",
                seed.as_ref()
                    .map_err(Clone::clone)
                    .and_then(|seed| same(&order.seed_commit, &seed.commit())),
            ),
            Check::of(
                "dataset root",
                root.and_then(|()| {
                    let data = record.data.as_ref().ok_or("the record names no data")?;
                    same(&order.dataset_root, &data.train_root)
                }),
            ),
            Check::of("commitment", same(&order.commitment, &commitment)),
            Check::of("commitment index", self.check_index(record, order)),
            Check::of("transcript and chain", chain()),
        ];
        if matches!(order.law, OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch) {
            checks.push(Check::of("uniform order of the seed", check_uniform(order, seed, blob)));
        }
        checks
    }

    fn check_index(&self, record: &RunRecord, order: &OrderSection) -> Result<(), String> {
        let place = order.index.ok_or("the record names no line of the index")?;
        let index = self.index.as_ref().map_err(Clone::clone)?;
        let line = usize::try_from(place.sequence).ok().and_then(|at| index.lines.get(at));
        let line = line.ok_or_else(|| format!("line {} is not in the index", place.sequence))?;
        same(&place.digest, &line.digest)?;
        same(&order.commitment, &line.entry.commitment)?;
        same(&record.cell, &line.entry.cell)
    }
}

fn check_manifest(store: &Store, cell: &str) -> Result<(), String> {
    let (manifest, _) = store.manifest(cell).map_err(|error| error.to_string())?;
    let found = entries(&store.folder(cell)).map_err(|error| error.to_string())?;
    for entry in &manifest.files {
        match found.iter().find(|file| file.path == entry.path) {
            None => return Err(format!("{} is missing", entry.path)),
            Some(file) if file != entry => {
                return Err(format!(
                    "{} has {} bytes and digest {}, recorded {} and {}",
                    entry.path, file.size, file.sha256, entry.size, entry.sha256
                ));
            }
            Some(_) => {}
        }
    }
    match found.iter().find(|file| !manifest.files.iter().any(|entry| entry.path == file.path)) {
        Some(extra) => Err(format!("{} is not in the manifest", extra.path)),
        None => Ok(()),
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

fn check_config(record: &RunRecord, order: &OrderSection) -> Result<(), String> {
    let (workload, arm) = record.planned();
    let environment = &record.environment;
    let config = Config {
        workload: &workload,
        arm: &arm,
        parents: &record.parents(),
        libtorch: &environment.libtorch,
        code: &environment.code_digest,
        device: &environment.device,
    };
    same(&order.config_hash, &config.hash().map_err(|error| error.to_string())?)
}

/// That the seed has the name and the origin that the record gives it.
fn check_seed_name(record: &RunRecord, seed: &Seed) -> Result<(), String> {
    let integer = record.seed.split('+').next().and_then(|text| text.parse().ok());
    let (named, name) = match (seed.randomness, integer) {
        (Randomness::Fixed, Some(integer)) => {
            let named = Seed { beacon: seed.beacon.clone(), ..Seed::from_integer(integer) };
            (named, integer.to_string())
        }
        (Randomness::Fixed, None) => {
            return Err(format!("a fixed seed is called {:?}, not an integer", record.seed));
        }
        (Randomness::Os, _) => (seed.clone(), Digest(seed.bytes).to_string()),
    };
    same(&record.seed, &seed.named(&name))?;
    if named == *seed { Ok(()) } else { Err(format!("it is not the seed of {}", record.seed)) }
}

fn check_uniform(
    order: &OrderSection,
    seed: Result<Seed, String>,
    blob: Result<Vec<u8>, String>,
) -> Result<(), String> {
    let effective = seed?.effective(&order.dataset_root);
    let ids = read_ids(&blob?).map_err(|error| error.to_string())?;
    let examples =
        u32::try_from(order.examples).map_err(|_| "more than 2^32 examples".to_owned())?;
    for epoch in &order.epochs {
        let number = if order.law == OrderLaw::Uniform { epoch.epoch } else { 0 };
        let planned = uniform_order(&effective, number, examples);
        let range = usize::try_from(epoch.offset).ok().zip(usize::try_from(epoch.n).ok());
        let consumed = range.and_then(|(offset, n)| ids.get(offset..offset.checked_add(n)?));
        let consumed =
            consumed.ok_or_else(|| format!("epoch {}: outside order.bin", epoch.epoch))?;
        if planned.get(..consumed.len()) != Some(consumed) {
            return Err(format!(
                "epoch {}: consumed ids differ from the seed's order",
                epoch.epoch
            ));
        }
    }
    Ok(())
}

fn seed_of(order: &OrderSection) -> Result<Seed, String> {
    let hex = |text: &str| parse_hex32(text).map_err(|error| error.to_string());
    let beacon = order.beacon.as_deref().map(crate::seed::parse_beacon).transpose()?;
    let (bytes, nonce) = (hex(&order.seed_hex)?, hex(&order.nonce_hex)?);
    Ok(Seed { bytes, nonce, beacon, randomness: order.randomness })
}

fn digests(bytes: &[u8]) -> Result<Vec<Digest>, String> {
    let (whole, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() {
        Ok(whole.iter().copied().map(Digest).collect())
    } else {
        Err(format!("sample_ids.bin has {} bytes, not a multiple of 32", bytes.len()))
    }
}
