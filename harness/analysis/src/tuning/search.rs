//! The trials of a suite as a plan of runs, and what their records come to.

use std::collections::BTreeMap;

use super::rounds::{rounds, trials_of};
use super::tuned::{Trial, Tuned, TunedArm};
use crate::plan::descent::Parent;
use crate::plan::tuning::PlannedTuning;
use crate::plan::{Cell, Plan};
use crate::suite::{SAMPLES, Sections, Space};
use crate::summary::summarise::{met_at_start, samples};
use ledger::catalogue::{Catalogue, row};
use ledger::goal;
use ledger::record::format::RunRecord;
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::Values;

/// All trials of a suite's tuned arms.
#[derive(Debug, Clone)]
pub struct Search {
    /// Their runs: for each budget, seed by seed and trial by trial, so that a drift of the machine falls on
    /// all arms alike. Runs that they descend from come first.
    pub plan: Plan,
    /// The trials, arm by arm.
    pub trials: Vec<SearchTrial>,
    /// Spaces of each arm, round by round.
    pub rounds: Vec<Vec<BTreeMap<String, Space>>>,
    /// Shares of the budget, smallest first.
    pub shares: Vec<f64>,
    tuning: PlannedTuning,
    /// Workloads of the suite; the plan has them once per share.
    workloads: usize,
}

/// One trial.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchTrial {
    /// Index into the tuned arms.
    pub arm: usize,
    /// Index into the plan's arms.
    pub planned: usize,
    /// Index into the arm's rounds.
    pub round: usize,
    /// What is tried.
    pub settings: Values,
}

/// A trial that a penalty falls on counts as this many budgets: Hutter et al. (2009), JAIR 36, use 10 for
/// solvers; 2 keeps one late seed from outweighing the others.
const PENALTY: f64 = 2.0;

impl Search {
    /// The search that a suite's plan asks for. Arms that the frozen file speaks of keep the widenings that
    /// it has; with `widen`, those whose best value is at an edge are given one more.
    ///
    /// # Errors
    /// When the suite has nothing to tune, or names a cell that its plan does not have.
    pub fn of(plan: &Plan, catalogue: &Catalogue, widen: bool) -> Result<Self, String> {
        let tuning = plan.tuning.clone().ok_or_else(|| {
            format!(
                "suite \"{}\" has no arm with `tune`; docs/suites.md says how to add it",
                plan.suite
            )
        })?;
        let rounds: Vec<_> =
            tuning.arms.iter().map(|arm| rounds(&tuning, arm, catalogue, plan, widen)).collect();
        let shares = tuning.asked.shares();
        let mut arms: Vec<PlannedArm> = Vec::new();
        let mut before: Vec<(usize, usize)> = Vec::new();
        let mut trials = Vec::new();
        for (index, tuned) in tuning.arms.iter().enumerate() {
            let place = plan.arms.iter().position(|arm| arm.label == tuned.arm);
            let Some(place) = place else { continue };
            ancestors(plan, place, &mut arms, &mut before)?;
            let own = trials_of(&plan.suite, tuned, &rounds[index]);
            let resolve = catalogue.method(&plan.arms[place].method).map(|info| info.resolve);
            for (number, (round, settings)) in (1..).zip(own) {
                let mut values = tuned.given.clone();
                values.extend(settings.clone());
                let resolved = match resolve.map(|resolve| resolve(&values)) {
                    Some(Ok(resolved)) => resolved,
                    Some(Err(error)) => return Err(format!("arm \"{}\": {error}", tuned.arm)),
                    None => values,
                };
                let base = &plan.arms[place];
                let on = plan.workloads.iter().filter(|workload| base.runs_on(&workload.label));
                let on = on.flat_map(|workload| shares.iter().map(|share| label(workload, *share)));
                trials.push(SearchTrial { arm: index, planned: arms.len(), round, settings });
                arms.push(PlannedArm {
                    label: format!("{}#{number}", tuned.arm),
                    settings: resolved,
                    on: on.collect(),
                    ..base.clone()
                });
            }
        }
        let scaled =
            shares.iter().flat_map(|share| plan.workloads.iter().map(|w| shortened(w, *share)));
        let mut search = Self {
            plan: Plan {
                baseline: None,
                workloads: scaled.collect(),
                arms,
                seeds: tuning.asked.seeds.0.clone(),
                cells: Vec::new(),
                sections: Sections::default(),
                unjudged: Vec::new(),
                stopping: None,
                tuning: None,
                keep_models: false,
                ..plan.clone()
            },
            trials,
            rounds,
            shares,
            tuning,
            workloads: plan.workloads.len(),
        };
        search.plan.cells = search.cells(&before);
        Ok(search)
    }

    fn cells(&self, before: &[(usize, usize)]) -> Vec<Cell> {
        let whole = (self.shares.len() - 1) * self.workloads;
        let mut cells = Vec::new();
        for &seed in &self.plan.seeds {
            let of =
                |&(workload, arm): &(usize, usize)| Cell { workload: whole + workload, arm, seed };
            cells.extend(before.iter().map(of));
        }
        for rung in 0..self.shares.len() {
            for &seed in &self.plan.seeds {
                for trial in &self.trials {
                    let arm = trial.planned;
                    cells.extend(self.on(trial, rung).map(|workload| Cell { workload, arm, seed }));
                }
            }
        }
        cells
    }

    /// Places of the workloads of a trial, with the budget of a rung.
    fn on<'a>(&'a self, trial: &SearchTrial, rung: usize) -> impl Iterator<Item = usize> + use<'a> {
        let arm = &self.plan.arms[trial.planned];
        let of_rung = rung * self.workloads..(rung + 1) * self.workloads;
        of_rung.filter(|workload| arm.runs_on(&self.plan.workloads[*workload].label))
    }

    /// Places in the plan of the runs that these trials need at a rung, parents among them.
    #[must_use]
    pub fn places(&self, rung: usize, trials: &[usize]) -> Vec<usize> {
        let of_rung = rung * self.workloads..(rung + 1) * self.workloads;
        let wanted =
            |cell: &Cell| match self.trials.iter().position(|trial| trial.planned == cell.arm) {
                Some(trial) => trials.contains(&trial) && of_rung.contains(&cell.workload),
                None => rung == 0,
            };
        (0..self.plan.cells.len()).filter(|place| wanted(&self.plan.cells[*place])).collect()
    }

    /// What the records of a trial come to at a rung; `record` finds that of a place in the plan. None where
    /// one is missing.
    #[must_use]
    pub fn outcome<'r>(
        &self,
        trial: usize,
        rung: usize,
        record: &dyn Fn(usize) -> Option<&'r RunRecord>,
    ) -> Option<Trial> {
        let tried = self.trials.get(trial)?;
        let mut runs = Vec::new();
        for workload in self.on(tried, rung) {
            for &seed in &self.plan.seeds {
                let cell = Cell { workload, arm: tried.planned, seed };
                let place = self.plan.cells.iter().position(|other| *other == cell)?;
                runs.push((&self.plan.workloads[workload], record(place)?));
            }
        }
        let value =
            |(workload, record): &(&PlannedWorkload, &RunRecord)| self.value(workload, record);
        let values: Vec<Option<f64>> = runs.iter().map(value).collect();
        let last = runs.iter().map(|(workload, record)| {
            let target = &workload.goal.target;
            let value = record.last.get(&target.validation_key()).copied();
            value.filter(|value| value.is_finite()).map(|value| target.direction.orient(value))
        });
        let value = if self.tuning.asked.choose == SAMPLES {
            let samples = runs.iter().zip(&values).map(|((workload, _), value)| {
                let budget = self.plan.arms[tried.planned].budgeted(workload).goal.budget;
                value.unwrap_or(PENALTY * count(budget.samples))
            });
            geometric_mean(samples.map(Some))
        } else if self.on(tried, rung).count() > 1 {
            // Errors of several workloads: each weighs as much, whatever its scale.
            geometric_mean(values.iter().copied())
        } else {
            mean(values.iter().copied())
        };
        Some(Trial {
            settings: tried.settings.clone(),
            round: tried.round,
            share: self.shares.get(rung).copied().unwrap_or(1.0),
            value,
            values,
            last: mean(last),
            samples: runs.iter().map(|(_, record)| record.samples).sum(),
            seconds: to_milliseconds(runs.iter().map(|(_, record)| record.clocks.train).sum()),
        })
    }

    /// What chooses, of one run: none where the target was not reached, or the metric is no number.
    fn value(&self, workload: &PlannedWorkload, record: &RunRecord) -> Option<f64> {
        let choose = &self.tuning.asked.choose;
        if choose == SAMPLES {
            // A run that begins at its target takes no samples, whose logarithm is none.
            return if met_at_start(record) { Some(1.0) } else { samples(record) };
        }
        debug_assert!(row(&workload.metrics, choose).is_some());
        record.last.get(&goal::key(goal::VALIDATION, choose)).copied().filter(|v| v.is_finite())
    }

    /// The better part of these trials, arm by arm: those that go on to the next budget.
    #[must_use]
    pub fn survivors(&self, outcomes: &BTreeMap<usize, Trial>) -> Vec<usize> {
        let factor = self.tuning.asked.halving.map_or(1, |halving| halving.factor as usize);
        let higher = self.tuning.direction.is_higher();
        let mut kept = Vec::new();
        for arm in 0..self.tuning.arms.len() {
            let mut own: Vec<(&usize, &Trial)> =
                outcomes.iter().filter(|(trial, _)| self.trials[**trial].arm == arm).collect();
            let most = own.len().div_ceil(factor);
            own.sort_by(|(_, a), (_, b)| a.order(b, higher));
            kept.extend(own.into_iter().take(most).map(|(trial, _)| *trial));
        }
        kept.sort_unstable();
        kept
    }

    /// Why nothing can be chosen for an arm: none of its trials ended with what chooses, though one came to its end.
    #[must_use]
    pub fn nothing_to_choose_by(&self, outcomes: &BTreeMap<usize, Trial>) -> Option<String> {
        let choose = &self.tuning.asked.choose;
        let arm = self.tuning.arms.iter().enumerate().find(|(index, _)| {
            let own = || outcomes.iter().filter(|(trial, _)| self.trials[**trial].arm == *index);
            own().any(|(_, trial)| trial.last.is_some())
                && own().all(|(_, trial)| trial.values.iter().all(Option::is_none))
        })?;
        let look = choose.split_once('@').map_or_else(String::new, |(_, look)| {
            format!("; \"{look}\" would be a look that a method gives (`palimpsest explain`), not a time of the run")
        });
        (choose != SAMPLES).then(|| {
            format!(
                "choose: no trial of arm \"{}\" ended with a value of {choose} on {}{look}",
                arm.1.arm,
                goal::VALIDATION
            )
        })
    }

    /// The frozen file: what was found, and what an older file says of arms that were not looked at.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn tuned(
        &self,
        outcomes: &BTreeMap<usize, Trial>,
        date: &str,
        order: &[String],
    ) -> Result<Tuned, serde_json::Error> {
        let PlannedTuning { asked, direction, arms, tuned } = &self.tuning;
        let higher_is_better = direction.is_higher();
        let found = arms.iter().enumerate().map(|(index, arm)| {
            let own = outcomes.iter().filter(|(trial, _)| self.trials[**trial].arm == index);
            let trials: Vec<Trial> = own.map(|(_, outcome)| outcome.clone()).collect();
            let best = trials.iter().min_by(|a, b| a.order(b, higher_is_better));
            let chosen = best.map(|best| best.settings.clone()).unwrap_or_default();
            TunedArm {
                arm: arm.arm.clone(),
                definition: arm.definition.clone(),
                edges: TunedArm::at_edges(&chosen, &arm.spaces, &trials),
                chosen,
                rounds: self.rounds[index].clone(),
                trials,
            }
        });
        let mut all: Vec<TunedArm> = found.collect();
        let same = |other: &&Tuned| {
            other.choose == asked.choose
                && other.seeds == asked.seeds.0
                && other.halving == asked.halving
        };
        let others = tuned.as_ref().filter(same).map_or(&[][..], |other| &other.arms[..]);
        let kept = others.iter().filter(|other| all.iter().all(|arm| arm.arm != other.arm));
        let kept: Vec<TunedArm> = kept.filter(|arm| order.contains(&arm.arm)).cloned().collect();
        all.extend(kept);
        all.sort_by_key(|arm| order.iter().position(|label| *label == arm.arm));
        Tuned {
            version: Tuned::VERSION,
            suite: self.plan.suite.clone(),
            date: date.to_owned(),
            choose: asked.choose.clone(),
            on: asked.on,
            higher_is_better,
            seeds: asked.seeds.0.clone(),
            halving: asked.halving,
            arms: all,
            digest: String::new(),
        }
        .sealed()
    }
}

/// Every arm that an arm's runs descend from, once; those further up first.
fn ancestors(
    plan: &Plan,
    arm: usize,
    arms: &mut Vec<PlannedArm>,
    before: &mut Vec<(usize, usize)>,
) -> Result<(), String> {
    for workload in 0..plan.workloads.len() {
        if !plan.arms[arm].runs_on(&plan.workloads[workload].label) {
            continue;
        }
        let cell = Cell { workload, arm, seed: 0 };
        let mut parents = Vec::new();
        plan.parents(cell)?.try_map(|parent| {
            if let Parent::Cell(parent) = parent {
                parents.push(*parent);
            }
            Ok::<_, String>(())
        })?;
        for parent in parents {
            ancestors(plan, parent.arm, arms, before)?;
            let label = &plan.arms[parent.arm].label;
            let known = arms.iter().position(|other| other.label == *label);
            let place = known.unwrap_or_else(|| {
                arms.push(plan.arms[parent.arm].clone());
                arms.len() - 1
            });
            if !before.contains(&(parent.workload, place)) {
                before.push((parent.workload, place));
            }
        }
    }
    Ok(())
}

/// Name of a workload with a share of its budget: its own with all of it.
fn label(workload: &PlannedWorkload, share: f64) -> String {
    if share < 1.0 {
        format!("{} at 1/{:.0}", workload.label, 1.0 / share)
    } else {
        workload.label.clone()
    }
}

fn shortened(workload: &PlannedWorkload, share: f64) -> PlannedWorkload {
    let mut short = workload.clone();
    short.label = label(workload, share);
    short.goal.budget = short.goal.budget.share(share);
    short
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn count(samples: u64) -> f64 {
    samples as f64
}

/// More digits of a sum of clocks say nothing.
fn to_milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

/// The mean; none where one is missing or there are none.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.collect::<Option<_>>()?;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

/// The geometric mean; none where one is missing or negative, or there are none.
fn geometric_mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    mean(values.map(|value| value.map(f64::ln))).map(f64::exp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_several_workloads_weigh_as_much_whatever_their_scale() {
        let mean = |values: &[f64]| geometric_mean(values.iter().copied().map(Some));
        assert!((mean(&[0.01, 100.0]).unwrap() - 1.0).abs() < 1e-12);
        // Halving the small one is worth as much as halving the large one.
        let halves = [[0.005, 100.0], [0.01, 50.0]].map(|values| mean(&values).unwrap());
        assert!((halves[0] - halves[1]).abs() < 1e-12);
        assert_eq!(mean(&[-0.1, 1.0]), None);
        assert_eq!(geometric_mean([Some(1.0), None].into_iter()), None);
    }
}
