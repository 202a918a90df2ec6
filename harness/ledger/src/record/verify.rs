//! Recomputes all that a run folder says of itself.

use std::fs;

use super::format::{OrderSection, RecordError, RunRecord};
use super::store::Store;
use super::writer::entries;
use crate::commitment::{CommitmentIndex, run_commitment};
use crate::digest::{Digest, parse_hex32};
use crate::merkle;
use crate::order::{OrderLaw, uniform_order};
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

/// Checks manifest, seed commitment, dataset root, commitment and its place in the index,
/// transcript and chain, and the order itself where its law fixes it.
///
/// # Errors
/// When the record itself cannot be read; disagreements are failed checks, not errors.
pub fn verify(store: &Store, cell: &str) -> Result<Vec<Check>, RecordError> {
    let mut checks = vec![Check::of("manifest", check_manifest(store, cell))];
    let record = store.record(cell)?;
    checks.push(Check::of("cell id", same(&record.cell, &cell.to_owned())));
    if let Some(order) = &record.order {
        checks.extend(check_order(store, &record, order));
    }
    Ok(checks)
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

fn check_order(store: &Store, record: &RunRecord, order: &OrderSection) -> Vec<Check> {
    let folder = store.folder(&record.cell);
    let read = |name: &str| fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"));
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
        Check::of(
            "seed commitment",
            seed.as_ref()
                .map_err(Clone::clone)
                .and_then(|seed| same(&order.seed_commit, &seed.commit())),
        ),
        Check::of("dataset root", root),
        Check::of("commitment", same(&order.commitment, &commitment)),
        Check::of("commitment index", check_index(store, record, order)),
        Check::of("transcript and chain", chain()),
    ];
    if matches!(order.law, OrderLaw::Uniform | OrderLaw::UniformSameEachEpoch) {
        checks.push(Check::of("uniform order of the seed", check_uniform(order, seed, blob)));
    }
    checks
}

fn check_index(store: &Store, record: &RunRecord, order: &OrderSection) -> Result<(), String> {
    let Some(place) = order.index else {
        return Err("the record names no line of the index".to_owned());
    };
    let path = store.root().join("commitments.jsonl");
    let index = CommitmentIndex::read_and_verify(&path).map_err(|error| error.to_string())?;
    let line = index.lines.iter().find(|line| line.sequence == place.sequence);
    let line = line.ok_or_else(|| format!("line {} is not in the index", place.sequence))?;
    same(&place.digest, &line.digest)?;
    same(&order.commitment, &line.entry.commitment)?;
    same(&record.cell, &line.entry.cell)
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
    Ok(Seed { bytes, nonce, beacon, randomness: Randomness::Fixed })
}

fn digests(bytes: &[u8]) -> Result<Vec<Digest>, String> {
    let (whole, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() {
        Ok(whole.iter().copied().map(Digest).collect())
    } else {
        Err(format!("sample_ids.bin has {} bytes, not a multiple of 32", bytes.len()))
    }
}
