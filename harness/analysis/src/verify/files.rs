//! The manifest, and the events that a run wrote while it went on.

use std::collections::BTreeSet;

use ledger::digest::Digest;
use ledger::record::format::{Evaluation, Event, OrderSection, RunRecord};
use ledger::record::store::Store;
use ledger::record::writer::entries;

pub(super) fn check_manifest(store: &Store, cell: &str) -> Result<(), String> {
    let folder =
        std::fs::symlink_metadata(store.folder(cell)).map_err(|error| error.to_string())?;
    if !folder.is_dir() {
        return Err("the run's folder is a link, or none".to_owned());
    }
    let (manifest, _) = store.manifest(cell).map_err(|error| error.to_string())?;
    if manifest.version != 1 {
        return Err(format!("its version is {}, but this build reads version 1", manifest.version));
    }
    super::same(&manifest.cell.as_str(), &cell)?;
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

/// The first event is the commitment, before any evaluation; the chain that evaluations saw is the
/// record's; the last event is the end.
pub(super) fn check_events(
    store: &Store,
    record: &RunRecord,
    order: &OrderSection,
) -> Result<(), String> {
    let events = store.events(&record.cell).map_err(|error| error.to_string())?;
    let committed = |event: &Event| matches!(event, Event::Committed { .. });
    match events.first() {
        Some(Event::Committed { commitment }) if *commitment == order.commitment => {}
        Some(Event::Committed { commitment }) => {
            return Err(format!(
                "events.jsonl:1: committed to {commitment}, but the record to {}",
                order.commitment
            ));
        }
        _ => return Err("events.jsonl:1: the run does not begin with its commitment".to_owned()),
    }
    if let Some(at) = events.iter().skip(1).position(committed) {
        return Err(format!("events.jsonl:{}: a second commitment", at + 2));
    }
    let known: BTreeSet<(u64, Digest)> =
        order.chain.iter().map(|point| (point.step, point.chain)).collect();
    let (mut samples, mut steps) = (0, 0);
    for (number, event) in (1..).zip(&events) {
        let Event::Evaluated(Evaluation { samples: at, steps: step, chain, .. }) = event else {
            continue;
        };
        if *at < samples || *step < steps {
            return Err(format!(
                "events.jsonl:{number}: an evaluation at {at} samples and {step} steps after one at \
                 {samples} and {steps}"
            ));
        }
        (samples, steps) = (*at, *step);
        if !known.contains(&(chain.step, chain.chain)) {
            return Err(format!(
                "events.jsonl:{number}: chain {} at step {} is not in the record",
                chain.chain, chain.step
            ));
        }
    }
    match events.last() {
        Some(Event::Ended { status }) if *status == record.status => Ok(()),
        Some(Event::Ended { .. }) => {
            Err("events.jsonl ends with another status than the record's".to_owned())
        }
        _ => Err("events.jsonl was cut: it does not tell the end of the run".to_owned()),
    }
}
