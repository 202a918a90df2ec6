//! What the effect of a claim can come to at all: the range on which a confidence sequence may bet.
//!
//! A run can come to nothing, in either arm. So an effect lies between "this arm at the worst there is,
//! the other at its best" and the reverse. The worst of a share is 0; of any other metric what a run
//! starts from, or worse where one ended there; of times and samples the end of the budget (a run that
//! never reaches the target withholds the verdict instead). The best of an arm is the best seen of it.

use std::collections::BTreeMap;

use super::super::CellLeft;
use super::super::summarise::ArmRuns;
use super::guard::Sides;
use super::is_ratio;
use crate::plan::is_share;
use ledger::catalogue::MetricInfo;
use stats::betting::Range;

/// The range, where it is known; `values` are those that are compared, of the arm and the baseline.
pub(super) fn of(
    sides: &Sides<'_>,
    metric: Option<&MetricInfo<String>>,
    runs: [&ArmRuns<'_>; 2],
    values: [&BTreeMap<&str, f64>; 2],
) -> Option<Range> {
    let higher = metric.is_some_and(|metric| metric.higher_is_better);
    let sign = if higher { 1.0 } else { -1.0 };
    let worst = worst(sides, metric, runs)?;
    let ratio = is_ratio(sides.claim);
    // On the scale of the effects, larger being better.
    let scaled = |value: f64| sign * if ratio { value.ln() } else { value };
    let seen = || values.iter().flat_map(|values| values.values()).map(|value| scaled(*value));
    let worst = seen().fold(scaled(worst), f64::min);
    let best = values.map(|values| values.values().map(|v| scaled(*v)).fold(worst, f64::max));
    let [ours, theirs] = best;
    let range = Range { low: worst - theirs, high: ours - worst };
    // Sums of rounded logarithms: a little room, so that no effect lies outside.
    let room = 1e-9 * (range.high - range.low);
    let range = Range { low: range.low - room, high: range.high + room };
    (range.low.is_finite() && range.high.is_finite()).then_some(range)
}

fn worst(
    sides: &Sides<'_>,
    metric: Option<&MetricInfo<String>>,
    runs: [&ArmRuns<'_>; 2],
) -> Option<f64> {
    let largest = |number: &dyn Fn(&CellLeft) -> Option<f64>| {
        let all = runs.iter().flat_map(|runs| runs.by_seed_left(number).into_values());
        all.reduce(f64::max)
    };
    #[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
    match (sides.claim.compare.as_str(), metric) {
        ("time-to-target", _) => largest(&|left| Some(left.record.clocks.train)),
        ("samples-to-target", _) => largest(&|left| Some(left.record.samples as f64)),
        (_, Some(metric)) if is_share(metric) => Some(0.0),
        // The test split is not looked at before the end; what is known of the start is of validation.
        (name, Some(metric)) if !metric.higher_is_better => {
            let start = |name: &str| {
                let key = ledger::goal::key(ledger::goal::VALIDATION, name.split_once('/')?.1);
                largest(&|left| left.looks(&key).find(|(samples, _)| *samples == 0).map(|(_, v)| v))
            };
            Some(start(name)?.max(start(sides.claim.of_baseline())?))
        }
        _ => None,
    }
}
