//! Claims of a suite and what the records say of them.

use std::collections::BTreeMap;

use super::ClaimOutcome;
use super::estimates::BOOTSTRAP_SEED;
use super::summarise::{ArmRuns, CellRun, pairs, samples, seconds};
use crate::plan::RATIOS;
use crate::record::format::RunRecord;
use crate::record::suite_run::SuiteRun;
use crate::stats::bootstrap::Resampling;
use crate::stats::crossing::Direction;
use crate::stats::paired::{differences, log_ratios};
use crate::stats::verdict::{ClaimKind, ClaimTest, Headroom, Scale, Verdict, judge};
use crate::suite::{self, ClaimUse};

/// One outcome per claim and workload, in the suite's order.
pub(super) fn judge_all(suite: &SuiteRun, cells: &[CellRun]) -> Vec<ClaimOutcome> {
    let mut outcomes = Vec::new();
    for claim in &suite.claims {
        for (index, workload) in suite.workloads.iter().enumerate() {
            let applies = claim.workloads.is_empty() || claim.workloads.contains(&workload.label);
            if applies && claim.grows_from.as_ref() != Some(&workload.label) {
                outcomes.push(outcome(suite, cells, claim, index));
            }
        }
    }
    outcomes
}

/// Effects by seed of a claim on one workload, with what limits the verdict.
struct Effects {
    by_seed: BTreeMap<String, f64>,
    headroom: Headroom,
    withheld: Option<String>,
}

fn outcome(suite: &SuiteRun, cells: &[CellRun], claim: &ClaimUse, workload: usize) -> ClaimOutcome {
    let ratio = RATIOS.contains(&claim.compare.as_str());
    let mut found = effects(suite, cells, claim, workload);
    if let Some(origin) = &claim.grows_from
        && let Some(index) = suite.workloads.iter().position(|other| other.label == *origin)
    {
        let base = effects(suite, cells, claim, index);
        let grown = found
            .by_seed
            .iter()
            .filter_map(|(seed, effect)| Some((seed.clone(), effect - base.by_seed.get(seed)?)));
        found = Effects {
            by_seed: grown.collect(),
            headroom: if found.headroom == Headroom::Ok { base.headroom } else { found.headroom },
            withheld: found.withheld.or(base.withheld),
        };
    }
    let amount = if ratio { claim.at_least.ln() } else { claim.at_least };
    let test = ClaimTest {
        effects: found.by_seed.values().copied().collect(),
        scale: if ratio { Scale::LogRatio } else { Scale::Difference },
        direction: Direction::HigherIsBetter,
        kind: match claim.kind {
            suite::ClaimKind::Superior => ClaimKind::Superior { smallest_effect: amount },
            suite::ClaimKind::NonInferior => ClaimKind::NonInferior { margin: amount },
        },
        headroom: found.headroom,
        cap: claim.cannot_decide.clone(),
        withheld: found.withheld,
        resampling: Resampling::seeded(BOOTSTRAP_SEED),
    };
    let shown = |value: f64| if ratio { value.exp() } else { value };
    let mut outcome = ClaimOutcome {
        id: claim.id.clone(),
        statement: claim.statement.clone(),
        paper_number: claim.paper.number.clone(),
        paper_source: claim.paper.source.clone(),
        workload: match &claim.grows_from {
            Some(origin) => format!("{} against {origin}", suite.workloads[workload].label),
            None => suite.workloads[workload].label.clone(),
        },
        arm: claim.arm.clone(),
        baseline: claim.baseline.clone(),
        metric: claim.compare.clone(),
        scale: if ratio { "ratio" } else { "difference" }.to_owned(),
        smallest_effect: claim.at_least,
        effect: None,
        interval: None,
        p_sign_flip: None,
        n: u32::try_from(test.effects.len()).unwrap_or(u32::MAX),
        verdict: "inconclusive".to_owned(),
        reason: String::new(),
    };
    match judge(&test) {
        Ok(judgement) => {
            outcome.effect = judgement.mean.map(shown);
            outcome.interval = judgement.interval.map(|interval| interval.map(shown));
            outcome.p_sign_flip = judgement.p_sign_flip;
            outcome.verdict = match judgement.verdict {
                Verdict::Reproduced => "reproduced",
                Verdict::NotReproduced => "not reproduced",
                Verdict::Inconclusive => "inconclusive",
            }
            .to_owned();
            outcome.reason = judgement.reason;
        }
        Err(error) => outcome.reason = error.to_string(),
    }
    outcome
}

fn effects(suite: &SuiteRun, cells: &[CellRun], claim: &ClaimUse, workload: usize) -> Effects {
    let runs = |label: &str| {
        let arm = suite.arms.iter().position(|arm| arm.label == label);
        arm.map(|arm| ArmRuns::of(cells, workload, arm))
    };
    let (Some(arm), Some(baseline)) = (runs(&claim.arm), runs(&claim.baseline)) else {
        return Effects { by_seed: BTreeMap::new(), headroom: Headroom::Ok, withheld: None };
    };
    let timed = claim.compare == "time-to-target";
    let number = |record: &RunRecord| match claim.compare.as_str() {
        "time-to-target" => seconds(record),
        "samples-to-target" => samples(record),
        metric => record.last.get(metric).copied(),
    };
    let (ours, theirs) = (arm.by_seed(number), baseline.by_seed(number));
    let paired = pairs(&theirs, &ours);
    let ratio = RATIOS.contains(&claim.compare.as_str());
    let higher_is_better = claim.compare.ends_with("/accuracy");
    let values = if ratio { log_ratios(&paired) } else { differences(&paired) };
    let sign = if ratio || higher_is_better { 1.0 } else { -1.0 };
    let seeds =
        theirs.keys().filter(|seed| ours.contains_key(**seed)).map(|seed| (*seed).to_owned());
    let by_seed =
        seeds.zip(values.unwrap_or_default().into_iter().map(|value| sign * value)).collect();

    let disturbed = arm.disturbed() + baseline.disturbed();
    let all = arm.len().max(baseline.len());
    let withheld = if timed && disturbed > 0 {
        Some(format!("{disturbed} runs were timed while the machine was busier than its cores"))
    } else if ratio && paired.len() < all {
        Some(format!(
            "{} of {all} pairs have a run that never reached the target; raise the budget or lower the target",
            all - paired.len()
        ))
    } else if paired.len() < all {
        Some(format!("{} of {all} pairs have a run without this metric", all - paired.len()))
    } else {
        None
    };
    let headroom = if ratio { Headroom::Ok } else { headroom(claim, &ours, &theirs, arm.chance()) };
    Effects { by_seed, headroom, withheld }
}

/// Room that a metric leaves: none at the top when the baseline is within the smallest effect of
/// perfection, none at the bottom when both arms classify no better than chance.
fn headroom(
    claim: &ClaimUse,
    ours: &BTreeMap<&str, f64>,
    theirs: &BTreeMap<&str, f64>,
    chance: Option<f64>,
) -> Headroom {
    #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
    let mean =
        |values: &BTreeMap<&str, f64>| values.values().sum::<f64>() / (values.len().max(1) as f64);
    let (ours, theirs) = (mean(ours), mean(theirs));
    let accuracy = claim.compare.ends_with("/accuracy");
    let room = if accuracy { 1.0 - theirs } else { theirs };
    let superior = claim.kind == suite::ClaimKind::Superior;
    if superior && room < claim.at_least {
        return Headroom::Ceiling;
    }
    match chance {
        Some(chance) if accuracy && ours.max(theirs) <= 1.2 * chance => Headroom::Floor,
        _ => Headroom::Ok,
    }
}
