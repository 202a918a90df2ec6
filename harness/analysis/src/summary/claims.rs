//! Claims of a suite and what the records say of them.

mod effects;
mod guard;
mod range;
mod room;

pub(super) use effects::Effects;
use effects::effects;
use guard::Sides;

use super::{CellRun, ClaimOutcome, stopping};
use crate::plan::RATIOS;
use crate::suite::{self, ArmPair, ClaimUse, CompareBy, When};
use crate::suite_run::{RunStopping, SuiteRun};
use ledger::goal::Direction;
use stats::verdict::{ClaimKind, ClaimTest, Scale, Verdict, judge};

/// Level of the intervals of claims.
const LEVEL: f64 = 0.95;

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

/// Holds a claim's verdict to the expected one. That pairs were lost is no result that a suite can expect:
/// runs that diverged leave `inconclusive` open, not met.
#[must_use]
pub fn standing(outcome: &ClaimOutcome) -> Standing {
    match outcome.verdict {
        Verdict::Inconclusive if outcome.pairs_lost => Standing::Undecided,
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
        found = found.less(effects(suite, cells, &other, workload));
    }
    if let Some(origin) = &claim.grows_from
        && let Some(index) = suite.workloads.iter().position(|other| other.label == *origin)
    {
        found = found.less(effects(suite, cells, claim, index));
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
        no_room: found.no_room.clone(),
        cap: claim.cannot_decide.clone(),
        withheld: found.withheld(),
        level: LEVEL,
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

/// What differs between two arms on a workload beside their methods, and keeps them from being compared.
pub(super) fn unlike(
    suite: &SuiteRun,
    cells: &[CellRun],
    workload: usize,
    arms: [usize; 2],
    compare: &str,
) -> Vec<String> {
    let [ours, theirs] = arms.map(|arm| suite.arms[arm].label.as_str());
    let claim = ClaimUse::between(ours, theirs, compare);
    guard::unlike(&Sides { suite, cells, claim: &claim, workload, arms }).withheld
}

fn outcome(suite: &SuiteRun, cells: &[CellRun], claim: &ClaimUse, workload: usize) -> ClaimOutcome {
    let ratio = is_ratio(claim);
    let found = found(suite, cells, claim, workload);
    let test = test(claim, &found);
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
        non_inferior: claim.kind == suite::ClaimKind::NonInferior,
        effect: None,
        interval: None,
        p: None,
        n: u32::try_from(test.effects.len()).unwrap_or(u32::MAX),
        expected: claim.expected(),
        sequence: Vec::new(),
        verdict: Verdict::Inconclusive,
        direction_shown: false,
        pairs_lost: found.pairs_lost,
        notes: found.notes.clone(),
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
            outcome.p = judgement.p;
            outcome.verdict = judgement.verdict;
            outcome.direction_shown = judgement.direction_shown;
            outcome.reason = judgement.reason;
        }
        Err(error) => outcome.reason = error.to_string(),
    }
    outcome
}

/// What is compared, in words.
pub(super) fn compared(claim: &ClaimUse) -> String {
    let mut text = claim.compare.clone();
    if let Some(against) = &claim.against {
        text += &format!(" against {against}");
    }
    text += match claim.when {
        When::End => "",
        When::Half => " at half of the run",
        When::Mean => ", mean over the run",
        When::Lost => ", lost since its best",
    };
    if let Some(ArmPair { arm, baseline }) = &claim.minus {
        text += &format!(", less that of {arm} against {baseline}");
    }
    text
}

#[cfg(test)]
mod tests;
