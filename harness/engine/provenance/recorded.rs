//! What a run left of its order and its end, to train it again by and to check that against.

use anyhow::{Context as _, bail};
use inspect::replay::Replay;
use lab::orders::replayed::Replayed;
use ledger::plain;
use ledger::record::format::OrderSection;
use ledger::record::{RunRecord, Store};
use ledger::transcript::replay::read_ids;
use palimpsest::library::cell_code;

use crate::runner::without_order;

/// The ids that a run consumed, epoch by epoch.
pub fn order(store: &Store, record: &RunRecord) -> anyhow::Result<Replayed> {
    let section = record.order.as_ref();
    let section = section.with_context(|| without_order(record))?;
    let path = store.folder(&record.cell).join("order.bin");
    let bytes = plain::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let ids = read_ids(&bytes).with_context(|| format!("cannot read {}", path.display()))?;
    let epochs = section.epochs.iter().map(|epoch| {
        let range = usize::try_from(epoch.offset).ok().zip(usize::try_from(epoch.n).ok());
        let consumed = range.and_then(|(start, n)| ids.get(start..start.checked_add(n)?));
        let consumed = consumed.with_context(|| {
            format!(
                "{} is shorter than the record says; `palimpsest verify {}` says more",
                path.display(),
                record.cell
            )
        });
        Ok(consumed?.to_vec())
    });
    Ok(Replayed::new(section.law, epochs.collect::<anyhow::Result<_>>()?))
}

/// How many ids a run had consumed after so many steps.
pub fn consumed(order: &OrderSection, steps: u64) -> u64 {
    let mut left = steps;
    let mut ids = 0;
    for &(size, count) in order.epochs.iter().flat_map(|epoch| &epoch.steps) {
        let taken = left.min(u64::from(count));
        ids += taken * u64::from(size);
        left -= taken;
    }
    ids
}

/// Whether a replay has ended where the run did.
pub fn agrees(record: &RunRecord, replay: &Replay<'_>) -> anyhow::Result<bool> {
    Ok(record.parameters_sha256 == Some(replay.digest()?))
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or_default()
}

/// Refuses a replay that did not end where the run did, and says what differs.
pub fn check(record: &RunRecord, replay: &Replay<'_>) -> anyhow::Result<()> {
    if agrees(record, replay)? {
        return Ok(());
    }
    let before = &record.environment;
    let cpu = palimpsest::machine::cpu_model();
    let pairs = [
        ("code", short(&before.code_digest), short(cell_code(&record.method, &record.workload))),
        ("libtorch", before.libtorch.as_str(), lab::device::LIBTORCH_VERSION),
        ("CPU", before.cpu.as_str(), cpu.as_str()),
    ];
    let differing: Vec<String> = pairs
        .iter()
        .filter(|(_, before, now)| before != now)
        .map(|(what, before, now)| format!("{what} was {before} and is {now}"))
        .collect();
    let why = if differing.is_empty() {
        "code, libtorch and CPU are the same: is order.bin, or a parent's model, another one? \
         `palimpsest verify` and `palimpsest reproduce` say more"
            .to_owned()
    } else {
        format!("{}; use those of the record", differing.join(", "))
    };
    bail!(
        "run {}, trained again in its own order, ends with other parameters than the record has, so \
         that nothing follows from a replay of it ({why})",
        record.cell
    )
}
