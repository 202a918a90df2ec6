//! Whether a claim's arms leave room for an effect: neither is at its start, at chance or at the ceiling, nor both at the
//! bottom.
//!
//! Arms that train nothing (fresh draws of real data, an untrained network) are levels to compare with
//! and are not asked to learn; nor is the arm that a claim names as its `control`.

use std::collections::BTreeMap;

use super::effects::mean;
use super::guard::Sides;
use crate::suite::{ClaimKind, ClaimUse, CompareBy};
use ledger::catalogue::MetricInfo;

/// Of the way that the better arm came from its start, what an arm must have come to have begun.
const BEGUN: f64 = 0.2;
/// Of the way from the start to the best there is, what the better arm must have come.
const BEGUN_AT_ALL: f64 = 0.02;
/// How far above chance is no better than guessing.
const CHANCE: f64 = 1.2;

/// Which arm has not begun to learn, or does no better than guessing, on the metric of the target.
pub(super) fn no_room(sides: &Sides<'_>) -> Option<String> {
    let learners = || {
        let control = sides.claim.control.as_deref();
        let asked = move |arm: &usize| !sides.is_idle(*arm) && Some(sides.label(*arm)) != control;
        sides.arms.into_iter().filter(asked)
    };
    let workload = &sides.suite.workloads[sides.workload];
    let metric = workload.metrics.iter().find(|metric| metric.name == workload.target.metric)?;
    let key = workload.target.validation_key();
    if let Some(chance) = metric.chance.filter(|_| metric.higher_is_better) {
        for arm in learners() {
            let ends = sides.records(arm).filter_map(|record| record.last.get(&key));
            let ends: Vec<f64> = ends.copied().collect();
            let end = mean(ends.iter().copied());
            if !ends.is_empty() && end <= CHANCE * chance {
                let label = sides.label(arm);
                return Some(format!(
                    "{label} does no better than guessing: {key} {end:.4}, chance {chance:.4}"
                ));
            }
        }
    }
    // A claim against a level that nothing trained for asks whether its arm left the start.
    if sides.arms.into_iter().any(|arm| sides.is_idle(arm)) {
        return None;
    }
    let way = sides.arms.map(|arm| way(sides, arm, &key, metric));
    let [Some(ours), Some(theirs)] = way else { return None };
    let farthest = ours.gained.max(theirs.gained);
    let whole = metric.best.map(|best| (best - ours.start).abs().max((best - theirs.start).abs()));
    let nobody = farthest <= 0.0 || whole.is_some_and(|whole| farthest < BEGUN_AT_ALL * whole);
    for (arm, Way { start, gained }) in sides.arms.into_iter().zip([ours, theirs]) {
        if learners().any(|learner| learner == arm) && (nobody || gained < BEGUN * farthest) {
            let end = start + metric.direction().orient(gained);
            let label = sides.label(arm);
            return Some(format!(
                "{label} is still at its start: {key} {start:.4} before training, {end:.4} after"
            ));
        }
    }
    None
}

/// How far an arm came.
struct Way {
    start: f64,
    /// Towards better.
    gained: f64,
}

/// Mean start and gain of an arm's runs; none where one starts from another run's weights, so that its
/// start is no untrained network, or where the start was not looked at.
fn way(sides: &Sides<'_>, arm: usize, key: &str, metric: &MetricInfo<String>) -> Option<Way> {
    let mut starts = Vec::new();
    let mut gains = Vec::new();
    for left in sides.cells(arm).filter_map(|run| run.left.as_ref()) {
        if left.record.lineage.as_ref().is_some_and(|lineage| lineage.from.is_some()) {
            return None;
        }
        let start = left.looks(key).find(|(samples, _)| *samples == 0).map(|(_, value)| value)?;
        let end = left.record.last.get(key)?;
        starts.push(start);
        gains.push(metric.direction().orient(end - start));
    }
    let is_known = !starts.is_empty();
    is_known
        .then(|| Way { start: mean(starts.iter().copied()), gained: mean(gains.iter().copied()) })
}

/// Whether neither arm gets anywhere on what the claim compares: of a score with a best value above 0, both
/// means are within a fiftieth of it above 0.
pub(super) fn bottom(
    claim: &ClaimUse,
    metric: &MetricInfo<String>,
    arms: [&BTreeMap<&str, f64>; 2],
) -> Option<String> {
    let best = metric.best.filter(|best| metric.higher_is_better && *best > 0.0)?;
    let ends = arms.map(|values| mean(values.values().copied()));
    let low = |end: &f64| (0.0..=BEGUN_AT_ALL * best).contains(end);
    let here = claim.minus.is_none() && arms.iter().all(|values| !values.is_empty());
    (here && ends.iter().all(low)).then(|| {
        let [ours, theirs] = ends;
        format!(
            "neither {} nor {} gets anywhere: {} {ours:.4} and {theirs:.4} of {best}",
            claim.arm, claim.baseline, claim.compare
        )
    })
}

/// Whether the metric leaves nothing to gain: the baseline is within the smallest effect of the best
/// there is, or within three of its standard deviations of the claim's `floor` arm; of a claim that
/// nothing is lost, every run of both arms is at the best.
pub(super) fn ceiling(
    claim: &ClaimUse,
    metric: &MetricInfo<String>,
    [ours, theirs]: [&BTreeMap<&str, f64>; 2],
    floor: Option<&BTreeMap<&str, f64>>,
) -> Option<String> {
    let (label, their) = (&claim.baseline, mean(theirs.values().copied()));
    if let Some(best) = metric.best.filter(|_| !theirs.is_empty() && claim.minus.is_none()) {
        let full = match (claim.kind, claim.by) {
            (ClaimKind::Superior, CompareBy::Difference) => (best - their).abs() < claim.at_least,
            (ClaimKind::Superior, CompareBy::Ratio) => {
                metric.higher_is_better && their > 0.0 && best / their < claim.at_least
            }
            (ClaimKind::NonInferior, _) => {
                let mut all = ours.values().chain(theirs.values());
                all.all(|value| value.to_bits() == best.to_bits())
            }
        };
        if full {
            return Some(format!(
                "{label} is at the ceiling: {} {their:.4} of {best}",
                claim.of_baseline()
            ));
        }
    }
    let floor = floor?;
    let spread = theirs.values().map(|value| (value - their).powi(2));
    #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
    let deviation = (spread.sum::<f64>() / theirs.len().saturating_sub(1).max(1) as f64).sqrt();
    let near = (their - mean(floor.values().copied())).abs() < 3.0 * deviation;
    let arm = claim.floor.as_deref().unwrap_or_default();
    near.then(|| {
        format!("{label} is within three standard deviations of {arm}, which none can beat")
    })
}
