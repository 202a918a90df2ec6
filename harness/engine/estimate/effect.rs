//! How much the order does, beside how much the seed does.

use ledger::record::format::Status;
use ledger::record::{RunRecord, Store};
use stats::estimates::results::Effect;
use stats::estimates::settings::HeldOut;

/// Largest difference, as a share, between a loss of the record and the same loss evaluated here.
const SAME: f64 = 1e-4;

/// The effect of orders by the true `losses` of random ones; that of seeds by the runs of the same arm
/// that the store holds. `reference` is the loss of the recorded run on `split`.
pub fn of(
    store: &Store,
    record: &RunRecord,
    split: HeldOut,
    reference: f64,
    losses: &[f64],
) -> Effect {
    let others = ends(store, record, split, reference);
    let (mean, sd) = moments(losses);
    let seed_sd = (others.len() > 1).then(|| moments(&others).1);
    Effect { orders: losses.len(), mean, sd, seeds: others.len().max(1), seed_sd }
}

/// Final losses of the runs that differ from this one by their seed alone, this one among them; none
/// where no metric of the record is this loss.
fn ends(store: &Store, record: &RunRecord, split: HeldOut, reference: f64) -> Vec<f64> {
    let prefix = format!("{}/", split.name());
    let metrics = record.last.iter().filter(|(name, _)| name.starts_with(&prefix));
    let same = |value: f64| (value - reference).abs() <= SAME * reference.abs();
    let Some((metric, _)) = metrics.into_iter().find(|(_, value)| same(**value)) else {
        return Vec::new();
    };
    let alike = |other: &RunRecord| {
        (&other.workload, &other.workload_settings) == (&record.workload, &record.workload_settings)
            && (&other.method, &other.settings) == (&record.method, &record.settings)
            && (other.steps, other.given_order) == (record.steps, record.given_order)
            && matches!(other.status, Status::Reached | Status::Censored)
    };
    // A store that cannot be listed has no other seeds to tell of.
    let cells = store.cells().unwrap_or_default();
    let records = cells.iter().filter_map(|cell| store.record(cell).ok()).filter(alike);
    let mut seeds = std::collections::BTreeSet::new();
    let ends = records.filter_map(|other| {
        let loss = other.last.get(metric).copied().filter(|loss| loss.is_finite())?;
        seeds.insert(other.seed).then_some(loss)
    });
    ends.collect()
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}
