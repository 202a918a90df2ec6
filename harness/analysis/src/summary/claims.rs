//! Claims of a suite and what the records say of them.

use std::collections::{BTreeMap, BTreeSet};

use super::estimates::BOOTSTRAP_SEED;
use super::summarise::{ArmRuns, pairs, samples, seconds};
use super::{CellLeft, CellRun, ClaimOutcome, stopping};
use crate::plan::RATIOS;
use crate::suite::{self, ArmPair, ClaimUse, CompareBy, When};
use crate::suite_run::{RunStopping, RunWorkload, SuiteRun};
use ledger::catalogue::MetricInfo;
use ledger::goal::Direction;
use ledger::record::format::Event;
use stats::bootstrap::Resampling;
use stats::paired::{differences, log_ratios};
use stats::verdict::{ClaimKind, ClaimTest, Headroom, Scale, Verdict, judge};

/// Whether a claim came to what the suite expects of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It did.
    Holds,
    /// These runs cannot tell.
    Undecided,
    /// It came to something else.
    Broken,
}

/// Holds a claim's verdict to the expected one.
#[must_use]
pub fn standing(outcome: &ClaimOutcome) -> Standing {
    match outcome.verdict {
        verdict if verdict == outcome.expected => Standing::Holds,
        Verdict::Inconclusive => Standing::Undecided,
        _ => Standing::Broken,
    }
}

/// One outcome per claim and workload, in the suite's order.
pub(super) fn judge_all(suite: &SuiteRun, cells: &[CellRun]) -> Vec<ClaimOutcome> {
    let applied = applied(suite, cells).into_iter();
    applied.map(|(claim, workload)| outcome(suite, cells, claim, workload)).collect()
}

/// Every claim with each workload that it is about, in the suite's order.
pub(super) fn applied<'a>(suite: &'a SuiteRun, cells: &[CellRun]) -> Vec<(&'a ClaimUse, usize)> {
    let mut all = Vec::new();
    for claim in &suite.sections.claims {
        for (index, workload) in suite.workloads.iter().enumerate() {
            let named = claim.workloads.contains(&workload.label);
            let planned = |label: &String| {
                cells.iter().any(|run| {
                    run.cell.workload == index && suite.arms[run.cell.arm].label == *label
                })
            };
            // A claim that names no workload is about those where its arms run.
            let everywhere = claim.workloads.is_empty();
            let applies = named || (everywhere && planned(&claim.arm) && planned(&claim.baseline));
            if applies && claim.grows_from.as_ref() != Some(&workload.label) {
                all.push((claim, index));
            }
        }
    }
    all
}

/// Effects by seed of a claim on one workload, with what limits the verdict.
pub(super) struct Effects {
    /// By the name of the seed.
    by_seed: BTreeMap<String, f64>,
    /// Seeds in the order in which they ran.
    order: Vec<String>,
    headroom: Headroom,
    /// Why they can't be judged.
    pub(super) withheld: Option<String>,
}

impl Effects {
    /// One effect per seed that has one, in the order in which the seeds ran.
    pub(super) fn in_order(&self) -> Vec<f64> {
        self.order.iter().filter_map(|seed| self.by_seed.get(seed).copied()).collect()
    }

    /// These effects less `base`, seed by seed.
    fn less(self, base: &Self) -> Self {
        let both = self.by_seed.iter();
        let both = both
            .filter_map(|(seed, effect)| Some((seed.clone(), effect - base.by_seed.get(seed)?)));
        Self {
            by_seed: both.collect(),
            order: self.order,
            headroom: if self.headroom == Headroom::Ok { base.headroom } else { self.headroom },
            withheld: self.withheld.or_else(|| base.withheld.clone()),
        }
    }
}

/// Whether a claim's effect is a ratio.
pub(super) fn is_ratio(claim: &ClaimUse) -> bool {
    RATIOS.contains(&claim.compare.as_str()) || claim.by == CompareBy::Ratio
}

/// How a claim's effect is told.
pub(super) fn scale(claim: &ClaimUse) -> CompareBy {
    if is_ratio(claim) { CompareBy::Ratio } else { CompareBy::Difference }
}

/// The effects of a claim on a workload, with what is taken off them.
pub(super) fn found(
    suite: &SuiteRun,
    cells: &[CellRun],
    claim: &ClaimUse,
    workload: usize,
) -> Effects {
    let mut found = effects(suite, cells, claim, workload);
    if let Some(ArmPair { arm, baseline }) = &claim.minus {
        let other = ClaimUse { arm: arm.clone(), baseline: baseline.clone(), ..claim.clone() };
        found = found.less(&effects(suite, cells, &other, workload));
    }
    if let Some(origin) = &claim.grows_from
        && let Some(index) = suite.workloads.iter().position(|other| other.label == *origin)
    {
        found = found.less(&effects(suite, cells, claim, index));
    }
    found
}

/// The test of a claim on its effects, in the order in which the seeds ran.
pub(super) fn test(claim: &ClaimUse, found: &Effects) -> ClaimTest {
    let ratio = is_ratio(claim);
    let amount = if ratio { claim.at_least.ln() } else { claim.at_least };
    ClaimTest {
        effects: found.in_order(),
        scale: if ratio { Scale::LogRatio } else { Scale::Difference },
        direction: Direction::HigherIsBetter,
        kind: match claim.kind {
            suite::ClaimKind::Superior => ClaimKind::Superior { smallest_effect: amount },
            suite::ClaimKind::NonInferior => ClaimKind::NonInferior { margin: amount },
        },
        headroom: found.headroom,
        cap: claim.cannot_decide.clone(),
        withheld: found.withheld.clone(),
        resampling: Resampling::seeded(BOOTSTRAP_SEED),
    }
}

/// Where a claim holds, as tables name it.
pub(super) fn place(suite: &SuiteRun, claim: &ClaimUse, workload: usize) -> String {
    let label = &suite.workloads[workload].label;
    match &claim.grows_from {
        Some(origin) => format!("{label} against {origin}"),
        None => label.clone(),
    }
}

fn outcome(suite: &SuiteRun, cells: &[CellRun], claim: &ClaimUse, workload: usize) -> ClaimOutcome {
    let ratio = is_ratio(claim);
    let found = found(suite, cells, claim, workload);
    // By the name of the seed: the seeded resampling of many pairs depends on their order.
    let effects = found.by_seed.values().copied().collect();
    let test = ClaimTest { effects, ..test(claim, &found) };
    let shown = |value: f64| if ratio { value.exp() } else { value };
    let mut outcome = ClaimOutcome {
        id: claim.id.clone(),
        statement: claim.statement.clone(),
        paper_number: claim.paper.number.clone(),
        paper_source: claim.paper.source.clone(),
        workload: place(suite, claim, workload),
        arm: claim.arm.clone(),
        baseline: claim.baseline.clone(),
        metric: compared(claim),
        scale: scale(claim),
        smallest_effect: claim.at_least,
        effect: None,
        interval: None,
        p_sign_flip: None,
        n: u32::try_from(test.effects.len()).unwrap_or(u32::MAX),
        expected: claim.expected(),
        sequence: Vec::new(),
        verdict: Verdict::Inconclusive,
        reason: String::new(),
    };
    if let Some(RunStopping { settings, .. }) = &suite.stopping {
        stopping::judge(&mut outcome, claim, &found, *settings);
        return outcome;
    }
    match judge(&test) {
        Ok(judgement) => {
            outcome.effect = judgement.mean.map(shown);
            outcome.interval = judgement.interval.map(|interval| interval.map(shown));
            outcome.p_sign_flip = judgement.p_sign_flip;
            outcome.verdict = judgement.verdict;
            outcome.reason = judgement.reason;
        }
        Err(error) => outcome.reason = error.to_string(),
    }
    outcome
}

/// What is compared, in words.
pub(super) fn compared(claim: &ClaimUse) -> String {
    let mut text = claim.compare.clone();
    text += match claim.when {
        When::End => "",
        When::Half => " at half of the run",
        When::Mean => ", mean over the run",
    };
    if let Some(ArmPair { arm, baseline }) = &claim.minus {
        text += &format!(", less that of {arm} against {baseline}");
    }
    text
}

fn effects(suite: &SuiteRun, cells: &[CellRun], claim: &ClaimUse, workload: usize) -> Effects {
    let runs = |label: &str| {
        let arm = suite.arms.iter().position(|arm| arm.label == label);
        arm.map(|arm| ArmRuns::of(cells, workload, arm))
    };
    let (Some(arm), Some(baseline)) = (runs(&claim.arm), runs(&claim.baseline)) else {
        let (by_seed, order) = (BTreeMap::new(), Vec::new());
        return Effects { by_seed, order, headroom: Headroom::Ok, withheld: None };
    };
    let timed = RATIOS.contains(&claim.compare.as_str());
    let metric = metric(&suite.workloads[workload], &claim.compare);
    let number = |left: &CellLeft| match claim.compare.as_str() {
        "time-to-target" => seconds(&left.record),
        "samples-to-target" => samples(&left.record),
        name => value(left, name, claim.when),
    };
    let (ours, theirs) = (arm.by_seed_left(number), baseline.by_seed_left(number));
    let paired = pairs(&theirs, &ours);
    // Of times, samples and errors the smaller is better; log-ratios are baseline over treatment.
    let direction = metric.map_or(Direction::LowerIsBetter, MetricInfo::direction);
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

    let disturbed = arm.disturbed() + baseline.disturbed();
    let all = arm.len().max(baseline.len());
    let withheld = if claim.compare == "time-to-target" && disturbed > 0 {
        Some(format!("{disturbed} runs were timed while the machine was busier than its cores"))
    } else if timed && paired.len() < all {
        Some(format!(
            "{} of {all} pairs have a run that never reached the target; raise the budget or lower the target",
            all - paired.len()
        ))
    } else if paired.len() < all {
        Some(format!("{} of {all} pairs have a run without this metric", all - paired.len()))
    } else if !timed && metric.is_none() {
        Some(
            "the run does not say which direction of this metric is better; run it again"
                .to_owned(),
        )
    } else {
        refused.filter(|_| all > 0)
    };
    let floor = claim.floor.as_deref().and_then(runs).map(|runs| runs.by_seed_left(number));
    let headroom = match metric {
        Some(metric) if !timed => headroom(claim, metric, &ours, &theirs, floor.as_ref()),
        _ => Headroom::Ok,
    };
    let here = cells.iter().filter(|run| run.cell.workload == workload);
    let mut seen = BTreeSet::new();
    let order: Vec<String> =
        here.map(|run| &run.cell.seed).filter(|seed| seen.insert(seed.as_str())).cloned().collect();
    Effects { by_seed, order, headroom, withheld }
}

/// The row of `split/name` among a workload's metrics.
fn metric<'a>(workload: &'a RunWorkload, compare: &str) -> Option<&'a MetricInfo<String>> {
    let (_, name) = compare.split_once('/')?;
    workload.metrics.iter().find(|metric| metric.name == name)
}

/// A metric of a run, when the claim wants it.
fn value(left: &CellLeft, name: &str, when: When) -> Option<f64> {
    let looks = || {
        left.events.iter().filter_map(|event| match event {
            Event::Evaluated(look) => Some((look.samples, *look.metrics.get(name)?)),
            _ => None,
        })
    };
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
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len().max(1) as f64;
    values.sum::<f64>() / n
}

/// Room that a metric leaves. None at the top when the baseline is within the smallest effect of
/// the best there is, or within three standard deviations of the floor arm; none at the bottom
/// when both arms do no better than guessing.
fn headroom(
    claim: &ClaimUse,
    metric: &MetricInfo<String>,
    ours: &BTreeMap<&str, f64>,
    theirs: &BTreeMap<&str, f64>,
    floor: Option<&BTreeMap<&str, f64>>,
) -> Headroom {
    let (our, their) = (mean(ours.values().copied()), mean(theirs.values().copied()));
    let superior = claim.kind == suite::ClaimKind::Superior;
    let difference = claim.by == CompareBy::Difference && claim.minus.is_none();
    let room = metric.best.map(|best| (best - their).abs());
    if superior && difference && room.is_some_and(|room| room < claim.at_least) {
        return Headroom::Ceiling;
    }
    if let Some(floor) = floor {
        let spread = theirs.values().map(|value| (value - their).powi(2));
        #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
        let deviation = (spread.sum::<f64>() / theirs.len().saturating_sub(1).max(1) as f64).sqrt();
        if (their - mean(floor.values().copied())).abs() < 3.0 * deviation {
            return Headroom::Ceiling;
        }
    }
    match metric.chance {
        Some(chance) if superior && metric.higher_is_better && our.max(their) <= 1.2 * chance => {
            Headroom::Floor
        }
        _ => Headroom::Ok,
    }
}
