//! The effects of a claim, seed by seed, with what keeps them from being judged.

use std::collections::{BTreeMap, BTreeSet};

use super::super::summarise::{ArmRuns, pairs, samples, seconds};
use super::super::{CellLeft, CellRun};
use super::guard::{self, Sides};
use super::{is_ratio, range, room};
use crate::plan::RATIOS;
use crate::suite::{ClaimUse, When};
use crate::suite_run::{RunWorkload, SuiteRun};
use ledger::catalogue::{MetricInfo, row};
use ledger::goal::Direction;
use ledger::record::format::Status;
use stats::betting::Range;
use stats::paired::{differences, log_ratios};

/// Effects by seed of a claim on one workload, with what limits the verdict.
#[derive(Default)]
pub(in super::super) struct Effects {
    /// By the name of the seed.
    by_seed: BTreeMap<String, f64>,
    /// Seeds in the order in which they ran.
    order: Vec<String>,
    /// What an effect can come to, where that is known.
    pub(in super::super) range: Option<Range>,
    /// Why the arms leave no room for an effect.
    pub(super) no_room: Option<String>,
    /// Every reason why they can't be judged.
    withheld: Vec<String>,
    /// Whether one of the reasons is that runs diverged, failed or are missing.
    pub(super) pairs_lost: bool,
    /// What differs between the arms because the claim says that it may.
    pub(super) notes: Vec<String>,
}

impl Effects {
    /// One effect per seed that has one, in the order in which the seeds ran.
    pub(in super::super) fn in_order(&self) -> Vec<f64> {
        self.order.iter().filter_map(|seed| self.by_seed.get(seed).copied()).collect()
    }

    /// Why they can't be judged.
    pub(in super::super) fn withheld(&self) -> Option<String> {
        (!self.withheld.is_empty()).then(|| self.withheld.join("; "))
    }

    /// These effects less `base`, seed by seed.
    pub(super) fn less(self, base: Self) -> Self {
        let both = self.by_seed.iter();
        let both = both
            .filter_map(|(seed, effect)| Some((seed.clone(), effect - base.by_seed.get(seed)?)));
        let joined = |mut one: Vec<String>, two: Vec<String>| {
            one.extend(two);
            let mut seen = BTreeSet::new();
            one.retain(|reason| seen.insert(reason.clone()));
            one
        };
        let range = self
            .range
            .zip(base.range)
            .map(|(one, two)| Range { low: one.low - two.high, high: one.high - two.low });
        Self {
            by_seed: both.collect(),
            order: self.order,
            range,
            no_room: self.no_room.or(base.no_room),
            withheld: joined(self.withheld, base.withheld),
            pairs_lost: self.pairs_lost || base.pairs_lost,
            notes: joined(self.notes, base.notes),
        }
    }
}

/// The effects between a claim's two arms on a workload.
pub(super) fn effects(
    suite: &SuiteRun,
    cells: &[CellRun],
    claim: &ClaimUse,
    workload: usize,
) -> Effects {
    let place = |label: &str| suite.arms.iter().position(|arm| arm.label == label);
    let (Some(ours), Some(theirs)) = (place(&claim.arm), place(&claim.baseline)) else {
        return Effects::default();
    };
    let sides = Sides { suite, cells, claim, workload, arms: [ours, theirs] };
    let [arm, baseline] = sides.arms.map(|arm| ArmRuns::of(cells, workload, arm));
    let timed = RATIOS.contains(&claim.compare.as_str());
    let metric = metric(&suite.workloads[workload], &claim.compare);
    let own = metric.map_or(Direction::LowerIsBetter, MetricInfo::direction);
    let number = |name: &str, left: &CellLeft| match name {
        "time-to-target" => seconds(&left.record),
        "samples-to-target" => samples(&left.record),
        name => value(left, name, claim.when, own),
    };
    let ours = arm.by_seed_left(|left| number(&claim.compare, left));
    let of_baseline = |left: &CellLeft| number(claim.of_baseline(), left);
    let theirs = baseline.by_seed_left(of_baseline);
    let paired = pairs(&theirs, &ours);
    // Of times, samples and errors the smaller is better; log-ratios are baseline over treatment.
    let of_loss = claim.when == When::Lost;
    let direction = if of_loss { Direction::LowerIsBetter } else { own };
    let (values, sign) = if is_ratio(claim) {
        (log_ratios(&paired), direction.orient(-1.0))
    } else {
        (differences(&paired), direction.orient(1.0))
    };
    let refused = values.as_ref().err().map(ToString::to_string);
    let seeds =
        theirs.keys().filter(|seed| ours.contains_key(**seed)).map(|seed| (*seed).to_owned());
    let by_seed =
        seeds.zip(values.unwrap_or_default().into_iter().map(|value| sign * value)).collect();

    let lost = guard::lost(&sides);
    let pairs_lost = lost.is_some();
    let mut withheld: Vec<String> =
        guard::same_cells(&sides).into_iter().chain(lost).chain(guard::timing(&sides)).collect();
    let all = arm.len().max(baseline.len());
    let short = all - paired.len();
    if withheld.is_empty() {
        withheld.extend(if timed && short > 0 {
            Some(format!(
                "{short} of {all} pairs have a run that never reached the target; raise the budget or lower the target"
            ))
        } else if short > 0 {
            Some(format!("{short} of {all} pairs have a run without this metric"))
        } else if !timed && metric.is_none() {
            Some(
                "the run does not say which direction of this metric is better; run it again"
                    .to_owned(),
            )
        } else {
            refused.filter(|_| all > 0)
        });
    }
    let guard::Unlike { withheld: unlike, notes } = guard::unlike(&sides);
    withheld.extend(unlike);
    let floor = claim.floor.as_deref().and_then(place);
    let floor = floor.map(|floor| ArmRuns::of(cells, workload, floor).by_seed_left(of_baseline));
    let no_room = room::no_room(&sides).or_else(|| {
        let metric = metric.filter(|_| !timed && !of_loss)?;
        room::bottom(claim, metric, [&ours, &theirs])
            .or_else(|| room::ceiling(claim, metric, [&ours, &theirs], floor.as_ref()))
    });
    let here = cells.iter().filter(|run| run.cell.workload == workload);
    let mut seen = BTreeSet::new();
    let order: Vec<String> =
        here.map(|run| &run.cell.seed).filter(|seed| seen.insert(seed.as_str())).cloned().collect();
    let range = range::of(&sides, metric, [&arm, &baseline], [&ours, &theirs]);
    Effects { by_seed, order, range, no_room, withheld, pairs_lost, notes }
}

/// The row of `split/name` among a workload's metrics; of several that a `*` stands for, the first.
fn metric<'a>(workload: &'a RunWorkload, compare: &str) -> Option<&'a MetricInfo<String>> {
    let (_, name) = compare.split_once('/')?;
    match name.strip_suffix('*') {
        Some(stem) => workload.metrics.iter().find(|metric| metric.name.starts_with(stem)),
        None => row(&workload.metrics, name),
    }
}

/// A metric of a run, when the claim wants it. A run that diverged has none at any time: a network
/// that is no number any more still answers, and its accuracy is the share of one class.
fn value(left: &CellLeft, name: &str, when: When, direction: Direction) -> Option<f64> {
    if left.record.status == Status::Diverged {
        return None;
    }
    let looks = || left.looks(name);
    if let (When::Lost, Some(stem)) = (when, name.strip_suffix('*')) {
        let own = |name: &&String| name.starts_with(stem) && !name.contains('@');
        let names = left.record.last.keys().filter(own);
        let lost: Option<Vec<f64>> = names.map(|name| value(left, name, when, direction)).collect();
        return lost.filter(|lost| !lost.is_empty()).map(|lost| mean(lost.into_iter()));
    }
    match when {
        When::End => left.record.last.get(name).copied(),
        When::Half => {
            let half = left.record.samples.div_ceil(2);
            looks().find(|(samples, _)| *samples >= half).map(|(_, value)| value)
        }
        When::Mean => {
            let values: Vec<f64> =
                looks().filter(|(samples, _)| *samples > 0).map(|(_, value)| value).collect();
            (!values.is_empty()).then(|| mean(values.iter().copied()))
        }
        When::Lost => {
            let values: Vec<f64> = looks().map(|(_, value)| direction.orient(value)).collect();
            let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            // Of one look nothing can be lost.
            values.last().filter(|_| values.len() > 1).map(|end| best - end)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}
