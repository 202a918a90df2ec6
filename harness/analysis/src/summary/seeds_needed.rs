//! How many seeds, and minutes, a claim's effect needs, from the spread between stored pairs.
//!
//! Pairs, scale, orientation and rule are those of the claim's verdict: an interval at or above `at_least`
//! is reproduced, one below it is not. So seeds are planned for the verdict to which the true effect
//! leads; one of just `at_least` leads to none, whatever the number of seeds. The spread of few pairs is
//! itself uncertain: beside the plan from the estimate stands one from its 80 % upper bound (Browne,
//! 1995).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::claims;
use super::{CellLeft, CellRun};
use crate::suite::{ArmPair, ClaimUse, CompareBy};
use crate::suite_run::SuiteRun;
use stats::StatsError;
use stats::power::{Goal, pairs_needed, spread_bound};
use stats::verdict::{ClaimKind, ClaimTest, Verdict, obstacle};

/// Confidence of the interval of a verdict.
const LEVEL: f64 = 0.95;
/// Confidence of the upper bound of the spread.
const BOUND: f64 = 0.8;
/// Stored pairs below which a spread tells nothing.
const LEAST: usize = 3;

/// What is to be planned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// The true effect, on each claim's scale; the measured one when not given, and of a
    /// non-inferiority claim no difference.
    pub effect: Option<f64>,
    /// How surely it is to be shown.
    pub power: f64,
}

/// Seeds that are enough, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Need {
    /// Seeds.
    pub seeds: usize,
    /// The power of that many.
    pub power: f64,
    /// Minutes for the cells of the claim under all of them.
    pub minutes: f64,
}

/// The plan of one claim on one workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedsNeeded {
    /// The claim.
    pub claim: String,
    /// Where.
    pub workload: String,
    /// The claim's arm.
    pub arm: String,
    /// The arm it is compared with.
    pub baseline: String,
    /// What is compared.
    pub metric: String,
    /// Whether the effect is a ratio or a difference.
    pub scale: CompareBy,
    /// The smallest effect of the claim, or its margin, on that scale.
    pub at_least: f64,
    /// The true effect that is assumed, on that scale; absent where nothing says what it is.
    pub effect: Option<f64>,
    /// The verdict to which that effect leads.
    pub verdict: Option<Verdict>,
    /// Stored pairs.
    pub pairs: usize,
    /// Their mean effect, on that scale.
    pub measured: Option<f64>,
    /// Their standard deviation: of differences, or of log-ratios.
    pub spread: Option<f64>,
    /// Its 80 % upper bound.
    pub spread_bound: Option<f64>,
    /// Seconds of the claim's cells under one seed, those of parents too.
    pub seed_seconds: Option<f64>,
    /// Seeds after which the verdict is that one with the power asked for.
    pub needed: Option<Need>,
    /// The same should the spread be at its upper bound: plan with this one.
    pub careful: Option<Need>,
    /// Seeds after which the 95 % interval lies on the effect's side of no effect: its direction is
    /// shown. Of the spread at its upper bound.
    pub direction: Option<Need>,
    /// Why there is no plan, or why to take it with care.
    pub notes: Vec<String>,
}

impl SeedsNeeded {
    /// Whether there is a number to plan with.
    #[must_use]
    pub fn is_planned(&self) -> bool {
        self.careful.is_some()
    }
}

/// One plan per claim of the suite run and workload, in the suite's order.
#[must_use]
pub fn plan(suite: &SuiteRun, cells: &[CellRun], wish: Wish) -> Vec<SeedsNeeded> {
    let applied = claims::applied(suite, cells).into_iter();
    applied.map(|(claim, workload)| plan_claim(suite, cells, claim, workload, wish)).collect()
}

fn plan_claim(
    suite: &SuiteRun,
    cells: &[CellRun],
    claim: &ClaimUse,
    workload: usize,
    wish: Wish,
) -> SeedsNeeded {
    let ratio = claims::is_ratio(claim);
    let found = claims::found(suite, cells, claim, workload);
    let test = claims::test(claim, &found);
    let moments = moments(&test.effects);
    let shown = |value: f64| if ratio { value.exp() } else { value };
    let usual = match test.kind {
        ClaimKind::Superior { .. } => moments.map(|(mean, _)| shown(mean)),
        ClaimKind::NonInferior { .. } => Some(shown(0.0)),
    };
    let effect = wish.effect.or(usual);
    let mut plan = SeedsNeeded {
        claim: claim.id.clone(),
        workload: claims::place(suite, claim, workload),
        arm: claim.arm.clone(),
        baseline: claim.baseline.clone(),
        metric: claims::compared(claim),
        scale: claims::scale(claim),
        at_least: claim.at_least,
        effect,
        verdict: None,
        pairs: test.effects.len(),
        measured: moments.map(|(mean, _)| shown(mean)),
        spread: moments.map(|(_, spread)| spread),
        spread_bound: None,
        seed_seconds: seed_seconds(suite, cells, claim, workload),
        needed: None,
        careful: None,
        direction: None,
        notes: Vec::new(),
    };
    let effect = effect.map(|effect| if ratio { effect.ln() } else { effect });
    match planned(&mut plan, &test, effect, wish.power) {
        Ok(()) => plan.notes.extend(obstacle(&test)),
        Err(reason) => plan.notes.push(reason),
    }
    plan
}

/// Fills in the numbers, or says why there are none.
fn planned(
    plan: &mut SeedsNeeded,
    test: &ClaimTest,
    effect: Option<f64>,
    power: f64,
) -> Result<(), String> {
    let stored = plan.pairs;
    let (Some(spread), true) = (plan.spread, stored >= LEAST) else {
        return Err(format!(
            "{stored} stored pairs say too little of the spread: at least {LEAST} are needed; run the suite with more seeds first"
        ));
    };
    if test.effects.iter().any(|value| !value.is_finite()) || !spread.is_finite() {
        return Err("a stored effect is not a finite number; look at the runs".to_owned());
    }
    if spread == 0.0 {
        return Err(format!(
            "all {stored} stored pairs have the same effect: without spread nothing can be planned; run more seeds"
        ));
    }
    let Some(effect) = effect.filter(|effect| effect.is_finite()) else {
        return Err("no true effect is assumed; name one with --effect".to_owned());
    };
    let beyond = effect - test.kind.bound();
    if beyond == 0.0 {
        return Err(format!(
            "a true effect of just {} leads to no verdict by any number of seeds; name a larger or a smaller one with --effect",
            plan.at_least
        ));
    }
    plan.verdict = Some(if beyond > 0.0 { Verdict::Reproduced } else { Verdict::NotReproduced });
    let words = |error: StatsError| error.to_string();
    let bound = spread_bound(spread, stored, BOUND).map_err(words)?;
    plan.spread_bound = Some(bound);
    // Without stored times the seeds are still known.
    let seconds = plan.seed_seconds.unwrap_or(f64::NAN);
    let need = |effect, spread| {
        let size = pairs_needed(Goal { effect, spread, level: LEVEL }, power, 0.0)?;
        // No claim is judged on fewer.
        let seeds = size.pairs.max(LEAST);
        let power = stats::power::power(size.goal, seeds)?;
        Ok(self::need(seeds, power, seconds))
    };
    // The direction is worth knowing even where the size would take too many seeds.
    if effect != 0.0 {
        plan.direction = need(effect, bound).ok();
    }
    plan.needed = Some(need(beyond, spread).map_err(words)?);
    plan.careful = Some(need(beyond, bound).map_err(words)?);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
fn need(seeds: usize, power: f64, seed_seconds: f64) -> Need {
    Need { seeds, power, minutes: seeds as f64 * seed_seconds / 60.0 }
}

/// Mean and standard deviation; none below two values.
#[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    let first = values[0];
    if values.iter().all(|value| *value == first) {
        return Some((first, 0.0));
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((mean, (squares / (n as f64 - 1.0)).sqrt()))
}

/// Mean wall seconds of everything that one seed of a claim needs: its arms on its workloads and
/// the runs of the suite that these descend from, each once.
#[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
fn seed_seconds(
    suite: &SuiteRun,
    cells: &[CellRun],
    claim: &ClaimUse,
    workload: usize,
) -> Option<f64> {
    let others = claim.minus.iter().flat_map(|ArmPair { arm, baseline }| [arm, baseline]);
    let arms: BTreeSet<&String> =
        others.chain(&claim.floor).chain([&claim.arm, &claim.baseline]).collect();
    let origin = claim.grows_from.as_ref();
    let used = |run: &CellRun| {
        let label = &suite.workloads[run.cell.workload].label;
        let here = run.cell.workload == workload || origin == Some(label);
        here && arms.contains(&suite.arms[run.cell.arm].label)
    };
    let by_id: BTreeMap<&str, (&str, &CellLeft)> = cells
        .iter()
        .filter_map(|run| {
            Some((run.cell.cell.as_str(), (run.cell.seed.as_str(), run.left.as_ref()?)))
        })
        .collect();
    let mut waiting: Vec<&str> =
        cells.iter().filter(|run| used(run)).map(|run| run.cell.cell.as_str()).collect();
    let mut counted = BTreeSet::new();
    let mut by_seed: BTreeMap<&str, f64> = BTreeMap::new();
    while let Some(id) = waiting.pop() {
        // A parent that is no cell of the suite runs once, not per seed.
        let Some((seed, left)) = by_id.get(id).filter(|_| counted.insert(id)) else { continue };
        *by_seed.entry(seed).or_default() += left.record.clocks.total;
        let parents = left.record.lineage.iter().flat_map(|lineage| lineage.iter());
        waiting.extend(parents.map(|parent| parent.cell.as_str()));
    }
    let seconds = by_seed.values().sum::<f64>() / by_seed.len() as f64;
    seconds.is_finite().then_some(seconds)
}

#[cfg(test)]
#[path = "seeds_needed/tests.rs"]
mod tests;
