//! Settings that are chosen by trials: what a suite says of them is checked, and what was chosen is put
//! into the arms where the frozen file is of this very definition.

mod checks;
mod definition;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{arm_values, path_of_arm};
use crate::suite::{Problem, Space, Suite, TuningUse, key};
use crate::tuning::Tuned;
use checks::{check, check_descent, check_spaces, check_trials, chooses};
pub(super) use checks::{judged, shared_seed};
use definition::definition;
use ledger::catalogue::{Catalogue, MethodInfo};
use ledger::goal::Direction;
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::Values;

/// What a plan knows of its suite's tuning.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTuning {
    /// As the suite says.
    pub asked: TuningUse,
    /// Whether more of what chooses is better.
    pub direction: Direction,
    /// The tuned arms of the plan, in its order.
    pub arms: Vec<ArmTuning>,
    /// The frozen file, where there is one.
    pub tuned: Option<Tuned>,
}

/// A tuned arm of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmTuning {
    /// Label of the arm.
    pub arm: String,
    /// Trials of each round.
    pub trials: u32,
    /// What is tried.
    pub spaces: BTreeMap<String, Space>,
    /// What the suite fixes, before defaults.
    pub given: Values,
    /// Digest of all that decides its trials.
    pub definition: String,
    /// Whether the frozen file speaks of it.
    pub state: TuningState,
}

/// Whether a frozen file speaks of an arm as the suite has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TuningState {
    /// It does: the arm has its settings.
    Chosen,
    /// There is no file, or not this arm in it.
    Missing,
    /// Arm, workloads or `tuning` have changed since.
    Changed,
}

/// `noun`, in its plural where there is not one.
fn several(count: usize, noun: &str) -> String {
    format!("{noun}{}", if count == 1 { "" } else { "s" })
}

impl PlannedTuning {
    /// Why the arms cannot run yet, and the remedy; `file` is the frozen file, `suite` what to tune.
    #[must_use]
    pub fn refusal(&self, file: &str, suite: &str) -> Option<String> {
        let open = |wanted: TuningState| {
            let arms = self.arms.iter().filter(move |arm| arm.state == wanted);
            arms.map(|arm| format!("\"{}\"", arm.arm)).collect::<Vec<_>>()
        };
        let (changed, missing) = (open(TuningState::Changed), open(TuningState::Missing));
        let remedy = format!("run `palimpsest tune {suite}`");
        let noun = |arms: &[String]| if arms.len() == 1 { "arm" } else { "arms" };
        match (&self.tuned, &changed[..], &missing[..]) {
            (_, [], []) => None,
            (Some(tuned), [_, ..], _) => Some(format!(
                "{} {} or the suite's tuning, targets or budgets changed since {file} was made ({}); {remedy}",
                noun(&changed),
                changed.join(", "),
                tuned.date
            )),
            (Some(_), ..) => Some(format!(
                "the settings of {} {} are to be tuned, but {file} does not have them; {remedy}",
                noun(&missing),
                missing.join(", ")
            )),
            (None, ..) => Some(format!(
                "the settings of {} {} are to be tuned, but there is no {file}; {remedy}",
                noun(&missing),
                missing.join(", ")
            )),
        }
    }

    /// Which settings were chosen and which are still to be, in one sentence.
    #[must_use]
    pub fn outlook(&self, suite: &str) -> String {
        let open: Vec<_> =
            self.arms.iter().filter(|arm| arm.state != TuningState::Chosen).collect();
        match (&self.tuned, &open[..]) {
            (Some(tuned), []) => format!(
                "settings of {} {} chosen by trials on {} {}, {}",
                self.arms.len(),
                several(self.arms.len(), "arm"),
                several(self.asked.seeds.0.len(), "seed"),
                self.seeds(),
                tuned.date
            ),
            _ => {
                let labels: Vec<_> = open.iter().map(|arm| format!("\"{}\"", arm.arm)).collect();
                format!(
                    "settings of {} {} still to be chosen ({}); `palimpsest tune` of suite {suite} does, on {} {}",
                    open.len(),
                    several(open.len(), "arm"),
                    labels.join(", "),
                    several(self.asked.seeds.0.len(), "seed"),
                    self.seeds()
                )
            }
        }
    }

    fn seeds(&self) -> String {
        self.asked.seeds.0.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    }

    /// How many trials the settings of an arm are chosen from; none where the suite fixes them.
    #[must_use]
    pub fn trials_of(&self, arm: &str) -> Option<usize> {
        let found = self.arms.iter().find(|tuned| tuned.arm == arm)?;
        let frozen = self.tuned.as_ref().filter(|_| found.state == TuningState::Chosen);
        frozen.map_or(Some(found.trials as usize), |tuned| tuned.trials_of(arm))
    }

    /// The frozen file's sweeps behind the arms of the plan.
    #[must_use]
    pub fn frozen(&self) -> Option<Tuned> {
        let mut tuned = self.tuned.clone()?;
        let chosen = |label: &str| {
            self.arms.iter().any(|arm| arm.arm == label && arm.state == TuningState::Chosen)
        };
        tuned.arms.retain(|arm| chosen(&arm.arm));
        (!tuned.arms.is_empty()).then_some(tuned)
    }

    /// What is left of it where only some arms run; none where no tuned one does.
    pub(super) fn narrowed(mut self, arms: &[PlannedArm]) -> Option<Self> {
        self.arms.retain(|tuned| arms.iter().any(|arm| arm.label == tuned.arm));
        (!self.arms.is_empty()).then_some(self)
    }

    /// The settings that were chosen for an arm as it is now.
    pub(super) fn chosen(&self, arm: &str) -> Option<&Values> {
        let state = self.arms.iter().find(|tuned| tuned.arm == arm)?.state;
        let tuned = self.tuned.as_ref().filter(|_| state == TuningState::Chosen)?;
        Some(&tuned.arm(arm)?.chosen)
    }
}

/// Checks what the suite says of tuning.
pub(super) fn planned(
    suite: &Suite,
    workloads: &[PlannedWorkload],
    arms: &[PlannedArm],
    catalogue: &Catalogue,
    tuned: Option<&Tuned>,
) -> Result<Option<PlannedTuning>, Problem> {
    let Some(asked) = &suite.tuning else {
        let open = suite.arms.iter().position(|arm| !arm.tune.is_empty() || arm.trials.is_some());
        return match open {
            None => Ok(None),
            Some(index) => {
                let field = if suite.arms[index].tune.is_empty() { "trials" } else { "tune" };
                let message = format!(
                    "{field}: the suite does not say how to tune; add tuning: {{ trials: 16, seeds: [100, 101, 102] }}"
                );
                Err(Problem(path_of_arm(index, field), message))
            }
        };
    };
    check(asked, suite)?;
    let mut found = Vec::new();
    let mut direction = None;
    for (index, arm) in arms.iter().enumerate() {
        let used = &suite.arms[index];
        if used.tune.is_empty() {
            if used.trials.is_some() {
                let message =
                    "trials: this arm has no settings to try; add `tune`, or leave it out";
                return Err(Problem(path_of_arm(index, "trials"), message.to_owned()));
            }
            continue;
        }
        let on: Vec<_> = workloads.iter().filter(|workload| arm.runs_on(&workload.label)).collect();
        let own = chooses(asked, arm, &on)?;
        if direction.is_some_and(|other| other != own) {
            let message = format!(
                "choose: {} is better higher on one workload and lower on another",
                asked.choose
            );
            return Err(Problem(vec![key("tuning"), key("choose")], message));
        }
        direction = Some(own);
        check_descent(index, arm, suite, arms, asked)?;
        let trials = used.trials.unwrap_or(asked.trials);
        check_spaces(index, suite, catalogue)?;
        check_trials(index, suite, trials, catalogue)?;
        let definition = definition(index, suite, arms, &on, catalogue, trials, asked)?;
        let state = match tuned.and_then(|tuned| tuned.arm(&arm.label)) {
            None => TuningState::Missing,
            Some(frozen) if frozen.definition == definition => TuningState::Chosen,
            Some(_) => TuningState::Changed,
        };
        found.push(ArmTuning {
            arm: arm.label.clone(),
            trials,
            spaces: used.tune.clone(),
            given: given(index, suite),
            definition,
            state,
        });
    }
    let Some(direction) = direction else {
        let message =
            "tuning: no arm has settings to try; add `tune: { lr: { log: [0.001, 1] } }` to one";
        return Err(Problem(vec![key("tuning")], message.to_owned()));
    };
    Ok(Some(PlannedTuning { asked: asked.clone(), direction, arms: found, tuned: tuned.cloned() }))
}

/// What the suite fixes for an arm, without its chosen settings or those of the command line.
fn given(index: usize, suite: &Suite) -> Values {
    arm_values(suite, index, None)
}

fn method<'c>(index: usize, suite: &Suite, catalogue: &'c Catalogue) -> Option<&'c MethodInfo> {
    catalogue.method(&suite.arms[index].method)
}

#[cfg(test)]
#[path = "tuning/tests.rs"]
mod tests;
