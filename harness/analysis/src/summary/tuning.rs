//! The sweeps behind a suite's arms as a report shows them: what was tried, what it took, and what a
//! smaller sweep would have found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ArmAnalysis, WorkloadAnalysis};
use crate::suite::{Space, shown};
use crate::tuning::{Edge, Trial, Tuned, TunedArm, union};
use ledger::goal::Direction;
use ledger::settings::Values;
use stats::best_of::expected_best_curve;

/// The sweeps behind a suite's arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TuningAnalysis {
    /// Name of the suite.
    pub suite: String,
    /// What chose: `samples-to-target` or a metric.
    pub choose: String,
    /// The split that was looked at.
    pub split: String,
    /// Whether more of what chose is better.
    pub higher_is_better: bool,
    /// Seeds of every trial.
    pub seeds: Vec<u64>,
    /// The day the settings were frozen.
    pub date: String,
    /// Whether most trials were ended early.
    pub halving: bool,
    /// One entry per tuned arm, in the suite's order.
    pub arms: Vec<SweptArm>,
    /// What a reader must know of the sweeps: unequal effort, edges, a target that none reached.
    pub notes: Vec<String>,
}

/// The sweep behind one arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweptArm {
    /// Label of the arm.
    pub arm: String,
    /// Its chosen settings.
    pub chosen: Values,
    /// Its best value of what chose.
    pub value: Option<f64>,
    /// Runs of the best trial that reached the target or did not diverge.
    pub sound: usize,
    /// All runs of the best trial.
    pub runs: usize,
    /// What was tried, setting by setting.
    pub spaces: BTreeMap<String, Space>,
    /// Times that the spaces were widened.
    pub widenings: usize,
    /// Settings whose chosen value no trial lies beyond.
    pub edges: Vec<Edge>,
    /// All trials, in the order in which they were drawn.
    pub trials: Vec<Trial>,
    /// Index of the chosen one.
    pub best: usize,
    /// Samples that all its trials consumed.
    pub samples: u64,
    /// Train seconds that they took.
    pub seconds: f64,
    /// Expected best value of a sweep of 1, 2, … trials; empty where halving makes trials unequal.
    pub expected_best: Vec<f64>,
    /// What the sweep adds to the time to the target, by workload.
    pub with_sweep: Vec<WithSweep>,
}

/// Time and samples to the target with and without the sweep that found the settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithSweep {
    /// The workload.
    pub workload: String,
    /// Train seconds to the target of the arm as it is.
    pub seconds: Option<f64>,
    /// The same with those of all trials.
    pub seconds_with_sweep: Option<f64>,
    /// Samples to the target.
    pub samples: Option<f64>,
    /// The same with those of all trials.
    pub samples_with_sweep: Option<f64>,
}

impl SweptArm {
    /// The chosen settings as people write them: `lr=0.05, schedule=cosine`.
    #[must_use]
    pub fn chosen_words(&self) -> String {
        let pairs: Vec<_> =
            self.chosen.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
        pairs.join(", ")
    }

    /// The edges at which its best value lies: `lr (upper end)`.
    #[must_use]
    pub fn edge_words(&self) -> Option<String> {
        let edges: Vec<_> = self
            .edges
            .iter()
            .map(|Edge { setting, side }| format!("{setting} ({} end)", side.word()))
            .collect();
        (!edges.is_empty()).then(|| edges.join(", "))
    }

    /// The expected best of half as many trials, with how many these are.
    #[must_use]
    pub fn half_the_sweep(&self) -> Option<(usize, f64)> {
        let half = self.expected_best.len() / 2;
        Some((half, *self.expected_best.get(half.checked_sub(1)?)?))
    }
}

impl TuningAnalysis {
    /// What a frozen file says; times with and without the sweep where the arms have run on `workloads`.
    #[must_use]
    pub fn of(tuned: &Tuned, workloads: &[WorkloadAnalysis]) -> Self {
        let arms: Vec<SweptArm> =
            tuned.arms.iter().map(|arm| swept(tuned, arm, workloads)).collect();
        Self {
            suite: tuned.suite.clone(),
            choose: tuned.choose.clone(),
            split: ledger::goal::VALIDATION.to_owned(),
            higher_is_better: tuned.higher_is_better,
            seeds: tuned.seeds.clone(),
            date: tuned.date.clone(),
            halving: tuned.halving.is_some(),
            notes: notes(tuned, &arms),
            arms,
        }
    }

    /// How much was tried, in one sentence.
    #[must_use]
    pub fn effort(&self) -> String {
        let counts: Vec<usize> = self.arms.iter().map(|arm| arm.trials.len()).collect();
        let (least, most) = counts.iter().fold((usize::MAX, 0), |(l, m), n| (l.min(*n), m.max(*n)));
        let trials = if least == most {
            format!("{most} trials for each of {} arms", counts.len())
        } else {
            format!(
                "{least} to {most} trials for each of {} arms, not the same number for all",
                counts.len()
            )
        };
        let seeds: Vec<_> = self.seeds.iter().map(u64::to_string).collect();
        let halving = if self.halving { ", most of them ended early" } else { "" };
        format!(
            "{trials}{halving}, on seeds {}, by {} on {}, {}",
            seeds.join(", "),
            self.choose,
            self.split,
            self.date
        )
    }
}

fn swept(tuned: &Tuned, arm: &TunedArm, workloads: &[WorkloadAnalysis]) -> SweptArm {
    let best = arm.trials.iter().position(|trial| trial.settings == arm.chosen).unwrap_or_default();
    let chosen = arm.trials.get(best);
    let samples = arm.trials.iter().map(|trial| trial.samples).sum();
    let seconds = arm.trials.iter().map(|trial| trial.seconds).sum();
    let with_sweep = workloads.iter().filter_map(|workload| {
        let found = workload.arms.iter().find(|other| other.label == arm.arm)?;
        Some(with_sweep(workload, found, samples, seconds))
    });
    SweptArm {
        arm: arm.arm.clone(),
        chosen: arm.chosen.clone(),
        value: chosen.and_then(|trial| trial.value),
        sound: chosen.map_or(0, |trial| trial.values.iter().flatten().count()),
        runs: chosen.map_or(0, |trial| trial.values.len()),
        spaces: union(&arm.rounds),
        widenings: arm.rounds.len().saturating_sub(1),
        edges: arm.edges.clone(),
        best,
        samples,
        seconds,
        expected_best: expected_best(tuned, &arm.trials),
        with_sweep: with_sweep.collect(),
        trials: arm.trials.clone(),
    }
}

/// Of trials that all had the whole budget. One that diverged counts as the worst of those that did not.
fn expected_best(tuned: &Tuned, trials: &[Trial]) -> Vec<f64> {
    if tuned.halving.is_some() {
        return Vec::new();
    }
    let direction = Direction::of(tuned.higher_is_better);
    let sound = || trials.iter().filter_map(|trial| trial.value);
    let Some(worst) = sound().min_by(|a, b| direction.orient(*a).total_cmp(&direction.orient(*b)))
    else {
        return Vec::new();
    };
    let scores: Vec<f64> = trials.iter().map(|trial| trial.value.unwrap_or(worst)).collect();
    expected_best_curve(&scores, direction).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn with_sweep(
    workload: &WorkloadAnalysis,
    arm: &ArmAnalysis,
    samples: u64,
    seconds: f64,
) -> WithSweep {
    let to_time = arm.time_to_target.geometric_mean.or(arm.time_to_target.median);
    let to_samples = arm.samples_to_target.geometric_mean.or(arm.samples_to_target.median);
    WithSweep {
        workload: workload.workload.clone(),
        seconds: to_time,
        seconds_with_sweep: to_time.map(|time| time + seconds),
        samples: to_samples,
        samples_with_sweep: to_samples.map(|own| own + samples as f64),
    }
}

fn notes(tuned: &Tuned, arms: &[SweptArm]) -> Vec<String> {
    let mut notes = Vec::new();
    let usual = arms.iter().map(|arm| arm.trials.len()).max().unwrap_or_default();
    let unequal = arms.iter().filter(|arm| arm.trials.len() != usual);
    for arm in unequal {
        notes.push(format!(
            "\"{}\" had {} trials where others had {usual}: compare it at equal effort, by the expected best of {}",
            arm.arm,
            arm.trials.len(),
            arm.trials.len()
        ));
    }
    for arm in arms {
        if let Some(edges) = arm.edge_words() {
            notes.push(format!(
                "the best settings of \"{}\" lie at the edge of what was tried: {edges}; `palimpsest tune` of suite {} with --widen tries more",
                arm.arm, tuned.suite
            ));
        }
    }
    let none: Vec<_> = arms
        .iter()
        .filter(|arm| arm.trials.iter().all(|trial| trial.values.iter().all(Option::is_none)))
        .map(|arm| format!("\"{}\"", arm.arm))
        .collect();
    if !none.is_empty() && tuned.choose == crate::suite::SAMPLES {
        notes.push(format!(
            "no trial of {} reached the target: the better metric at the end chose",
            none.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
#[path = "tuning/tests.rs"]
mod tests;
