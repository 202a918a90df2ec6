//! How many seeds, and minutes, a claim's effect needs, from the spread between stored pairs.
//!
//! Pairs, scale and orientation are those of the claim's verdict. The spread of few pairs is itself
//! uncertain: beside the plan from the estimate stands one from its 80 % upper bound (Browne, 1995).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::claims;
use super::{CellLeft, CellRun};
use crate::suite::{ArmPair, ClaimUse, CompareBy};
use crate::suite_run::SuiteRun;
use stats::StatsError;
use stats::power::{Goal, pairs_needed, power_to_reproduce, spread_bound};
use stats::verdict::{ClaimKind, ClaimTest, obstacle};

/// Confidence of the interval of a verdict.
const LEVEL: f64 = 0.95;
/// Confidence of the upper bound of the spread.
const BOUND: f64 = 0.8;
/// Stored pairs below which a spread tells nothing.
const LEAST: usize = 3;
/// Seeds that a suite can have.
const MOST: usize = 10_000;

/// What is to be planned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// The true effect, on each claim's scale; its smallest effect (or margin) when not given.
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
    /// The true effect that is assumed, on that scale; of a non-inferiority claim its margin, and
    /// no true difference is assumed.
    pub effect: f64,
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
    /// Seeds after which the 95 % interval excludes 0 (or the margin) with the power asked for.
    pub needed: Option<Need>,
    /// The same should the spread be at its upper bound: plan with this one.
    pub careful: Option<Need>,
    /// Seeds after which the verdict is `reproduced` (the mean reaches the smallest effect too), if
    /// the true effect is the measured one and the spread at its upper bound.
    pub reproduced: Option<Need>,
    /// Why there is no plan, or no number for `reproduced`, or why to take them with care.
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
    let effect = wish.effect.unwrap_or(claim.at_least);
    let moments = moments(&test.effects);
    let shown = |value: f64| if ratio { value.exp() } else { value };
    let mut plan = SeedsNeeded {
        claim: claim.id.clone(),
        workload: claims::place(suite, claim, workload),
        arm: claim.arm.clone(),
        baseline: claim.baseline.clone(),
        metric: claims::compared(claim),
        scale: claims::scale(claim),
        effect,
        pairs: test.effects.len(),
        measured: moments.map(|(mean, _)| shown(mean)),
        spread: moments.map(|(_, spread)| spread),
        spread_bound: None,
        seed_seconds: seed_seconds(suite, cells, claim, workload),
        needed: None,
        careful: None,
        reproduced: None,
        notes: Vec::new(),
    };
    match planned(&mut plan, &test, if ratio { effect.ln() } else { effect }, wish.power) {
        Ok(()) => plan.notes.extend(obstacle(&test)),
        Err(reason) => plan.notes.push(reason),
    }
    plan
}

/// Fills in the numbers, or says why there are none.
fn planned(
    plan: &mut SeedsNeeded,
    test: &ClaimTest,
    effect: f64,
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
    if !(effect.is_finite() && effect > 0.0) {
        let none = if plan.scale == CompareBy::Ratio { "above 1" } else { "above 0" };
        return Err(format!(
            "an effect of {} can't be shown by any number of seeds; name one {none} with --effect",
            plan.effect
        ));
    }
    let words = |error: StatsError| error.to_string();
    let bound = spread_bound(spread, stored, BOUND).map_err(words)?;
    plan.spread_bound = Some(bound);
    // Without stored times the seeds are still known.
    let seconds = plan.seed_seconds.unwrap_or(f64::NAN);
    let need = |spread| {
        let goal = Goal { effect, spread, level: LEVEL };
        let size = pairs_needed(goal, power, 0.0)?;
        Ok(need(size.pairs, size.power, seconds))
    };
    plan.needed = Some(need(spread).map_err(words)?);
    plan.careful = Some(need(bound).map_err(words)?);
    let ClaimKind::Superior { smallest_effect } = test.kind else { return Ok(()) };
    let Some((mean, _)) = moments(&test.effects) else { return Ok(()) };
    if mean <= smallest_effect {
        plan.notes.push(
            "the measured effect does not reach `at_least`: if it is the true one, more seeds will not reproduce the claim"
                .to_owned(),
        );
        return Ok(());
    }
    let goal = Goal { effect: mean, spread: bound, level: LEVEL };
    match seeds_to_reproduce(goal, smallest_effect, power).map_err(words)? {
        Some((seeds, power)) => plan.reproduced = Some(self::need(seeds, power, seconds)),
        None => plan.notes.push(format!(
            "the measured effect is so little above `at_least` that {MOST} seeds would not make `reproduced` likely enough"
        )),
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
fn need(seeds: usize, power: f64, seed_seconds: f64) -> Need {
    Need { seeds, power, minutes: seeds as f64 * seed_seconds / 60.0 }
}

/// The fewest seeds, from 3 on as verdicts ask for, with this power to reproduce the claim.
fn seeds_to_reproduce(
    goal: Goal,
    smallest: f64,
    least_power: f64,
) -> Result<Option<(usize, f64)>, StatsError> {
    let power = |seeds| power_to_reproduce(goal, smallest, seeds);
    let (mut few, mut enough) = (LEAST - 1, LEAST);
    while power(enough)? < least_power {
        if enough >= MOST {
            return Ok(None);
        }
        (few, enough) = (enough, (enough * 2).min(MOST));
    }
    while enough - few > 1 {
        let middle = few.midpoint(enough);
        if power(middle)? < least_power { few = middle } else { enough = middle }
    }
    Ok(Some((enough, power(enough)?)))
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
