//! `tuning:` of a suite: how many settings are tried for each arm, under which seeds, and what chooses.

use serde::{Deserialize, Serialize};

use super::{Problem, Seeds};

/// What chooses where a suite does not say: samples to the target, which no clock disturbs.
pub const SAMPLES: &str = "samples-to-target";

/// `tuning:` of a suite.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TuningUse {
    /// Settings tried for each arm that does not say its own number.
    pub trials: u32,
    /// Seeds of every trial; none of the suite's own.
    pub seeds: Seeds,
    /// [`SAMPLES`], or a metric of the workload at the end of the budget.
    #[serde(default = "samples")]
    pub choose: String,
    /// The split that is looked at.
    #[serde(default)]
    pub on: On,
    /// Most trials end early; none where all of them have the whole budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halving: Option<Halving>,
}

fn samples() -> String {
    SAMPLES.to_owned()
}

/// The split on which settings are chosen: the test split is only ever reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// Validation.
    #[default]
    Validation,
}

/// Successive halving (Jamieson and Talwalkar 2016, AISTATS): all trials begin with a small budget,
/// the better part of them goes on to one `factor` times as large, until a few have the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Halving {
    /// Number of budgets, the whole one among them.
    pub rungs: u32,
    /// What the budget grows by and the trials shrink by.
    #[serde(default = "two")]
    pub factor: u32,
}

fn two() -> u32 {
    2
}

impl Halving {
    /// Shares of the budget, smallest first; the last is 1.
    #[must_use]
    pub fn shares(self) -> Vec<f64> {
        let power = |rung: u32| f64::from(self.factor).powf(-f64::from(self.rungs - 1 - rung));
        (0..self.rungs).map(power).collect()
    }
}

impl TuningUse {
    /// Most trials of an arm.
    pub const MOST: u32 = 4096;

    /// What cannot be, and where, as far as the block alone tells.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        if let Some(message) = trials_problem(self.trials) {
            return Some(Problem::at("trials", message));
        }
        let Halving { rungs, factor } = self.halving?;
        let below = |problem: Problem| problem.below([super::key("halving")]);
        if !(2..=8).contains(&rungs) {
            let message =
                format!("rungs is {rungs}, but must be 2 to 8, the whole budget among them");
            return Some(below(Problem::at("rungs", message)));
        }
        if !(2..=16).contains(&factor) {
            let message = format!("factor is {factor}, but must be 2 to 16");
            return Some(below(Problem::at("factor", message)));
        }
        None
    }

    /// Shares of the budget that trials go through, smallest first; the last is 1.
    #[must_use]
    pub fn shares(&self) -> Vec<f64> {
        self.halving.map_or(vec![1.0], Halving::shares)
    }
}

/// Why an arm cannot have this many trials.
pub(crate) fn trials_problem(trials: u32) -> Option<String> {
    let most = TuningUse::MOST;
    let fits = (1..=most).contains(&trials);
    (!fits).then(|| format!("trials is {trials}, but must be 1 to {most}, such as 16"))
}
