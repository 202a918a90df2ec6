//! Settings that are chosen by trials: what a suite says of them is checked, and what was chosen is put
//! into the arms where the frozen file is of this very definition.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{arm_values, path_of_arm};
use crate::suite::{
    Halving, On, Problem, SAMPLES, Seeds, Space, Suite, TuningUse, key, trials_problem,
};
use crate::tuning::{Tuned, draw};
use ledger::catalogue::{Catalogue, MethodInfo, hint};
use ledger::digest::Digest;
use ledger::goal::Direction;
use ledger::lineage::{Origin, Parents};
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::{SettingError, Values};
use stats::sobol::Sobol;

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
                "settings of {} arms chosen by trials on seeds {}, {}",
                self.arms.len(),
                self.seeds(),
                tuned.date
            ),
            _ => {
                let labels: Vec<_> = open.iter().map(|arm| format!("\"{}\"", arm.arm)).collect();
                format!(
                    "settings of {} arms still to be chosen ({}); `palimpsest tune {suite}` does, on seeds {}",
                    open.len(),
                    labels.join(", "),
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

/// All that decides what is tried for an arm and which trial is best.
#[derive(Serialize)]
struct Definition<'a> {
    version: u32,
    method: &'a str,
    settings: &'a Values,
    parents: &'a Parents<Origin>,
    /// Methods and settings of all arms that it descends from.
    ancestors: Vec<(&'a str, Values)>,
    order: &'a Option<String>,
    spaces: &'a BTreeMap<String, Space>,
    trials: u32,
    workloads: Vec<WorkloadPart<'a>>,
    seeds: &'a Seeds,
    choose: &'a str,
    on: On,
    halving: Option<Halving>,
}

/// A workload in it: not its name in tables, nor in which words its target is explained.
#[derive(Serialize)]
struct WorkloadPart<'a> {
    workload: &'a str,
    settings: &'a Values,
    metric: &'a str,
    direction: Direction,
    target: f64,
    samples: u64,
    evaluate_every: u64,
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

/// What the block alone and the suite's seeds allow.
fn check(asked: &TuningUse, suite: &Suite) -> Result<(), Problem> {
    if let Some(problem) = asked.problem() {
        return Err(problem.below([key("tuning")]));
    }
    match shared_seed(asked, &suite.seeds) {
        None => Ok(()),
        Some(seed) => {
            let path = vec![key("tuning"), key("seeds")];
            Err(Problem(path, format!("{}; take others, such as [100, 101, 102]", judged(seed))))
        }
    }
}

/// A seed of both.
pub(super) fn shared_seed(asked: &TuningUse, seeds: &Seeds) -> Option<u64> {
    asked.seeds.0.iter().copied().find(|seed| seeds.0.contains(seed))
}

pub(super) fn judged(seed: u64) -> String {
    format!("seed {seed} chooses settings, and claims would be judged on the same runs")
}

/// Which way what chooses improves on the workloads of an arm.
fn chooses(
    asked: &TuningUse,
    arm: &PlannedArm,
    on: &[&PlannedWorkload],
) -> Result<Direction, Problem> {
    if asked.choose == SAMPLES {
        return Ok(Direction::LowerIsBetter);
    }
    let path = || vec![key("tuning"), key("choose")];
    let [workload] = on else {
        let message = format!(
            "choose: values of {} cannot be averaged over the {} workloads of arm \"{}\"; give it one with `on: [...]`, or choose {SAMPLES}",
            asked.choose,
            on.len(),
            arm.label
        );
        return Err(Problem(path(), message));
    };
    match workload.metrics.iter().find(|metric| metric.name == asked.choose) {
        Some(metric) => Ok(metric.direction()),
        None => {
            let names: Vec<&str> =
                workload.metrics.iter().map(|metric| metric.name.as_str()).collect();
            let known = std::iter::once(SAMPLES).chain(names).collect::<Vec<_>>();
            let message = format!(
                "choose: {} has no \"{}\"{}",
                workload.label,
                asked.choose,
                hint(&asked.choose, known)
            );
            Err(Problem(path(), message))
        }
    }
}

/// An arm is not tuned on parents whose settings are themselves open, nor on shortened ones.
fn check_descent(
    index: usize,
    arm: &PlannedArm,
    suite: &Suite,
    arms: &[PlannedArm],
    asked: &TuningUse,
) -> Result<(), Problem> {
    let named = [("from", &arm.parents.from), ("teacher", &arm.parents.teacher)];
    for (field, origin) in named {
        let Some(origin) = origin else { continue };
        if asked.halving.is_some() {
            let message = format!(
                "{field}: halving has no shortened runs of \"{origin}\" to start from; leave out `halving`, or `tune` of this arm"
            );
            return Err(Problem(path_of_arm(index, field), message));
        }
        let Origin::Cell(name) = origin else { continue };
        let parent = arms.iter().position(|other| other.label == name.arm);
        if parent.is_some_and(|parent| !suite.arms[parent].tune.is_empty()) {
            let message = format!(
                "{field}: \"{}\" is tuned too, so that its runs are not known yet; fix the settings of one of them",
                name.arm
            );
            return Err(Problem(path_of_arm(index, field), message));
        }
    }
    Ok(())
}

/// What the suite fixes for an arm, without its chosen settings or those of the command line.
fn given(index: usize, suite: &Suite) -> Values {
    arm_values(suite, index, None, &[])
}

fn method<'c>(index: usize, suite: &Suite, catalogue: &'c Catalogue) -> Option<&'c MethodInfo> {
    catalogue.method(&suite.arms[index].method)
}

/// Every setting that is tried must be one of the method's, not fixed besides, and of valid values.
fn check_spaces(index: usize, suite: &Suite, catalogue: &Catalogue) -> Result<(), Problem> {
    let used = &suite.arms[index];
    let Some(info) = method(index, suite, catalogue) else { return Ok(()) };
    let given = given(index, suite);
    let path = |setting: &str| [path_of_arm(index, "tune"), vec![key(setting)]].concat();
    if used.tune.len() > Sobol::MOST {
        let message = format!("tune: {} settings are more than {}", used.tune.len(), Sobol::MOST);
        return Err(Problem(path_of_arm(index, "tune"), message));
    }
    for (setting, space) in &used.tune {
        if given.contains_key(setting) {
            let place = if used.with.contains_key(setting) {
                "the arm's `with`"
            } else {
                "the suite's `settings`"
            };
            let message = format!("{setting} is tuned and fixed by {place}; leave one of them out");
            return Err(Problem(path(setting), message));
        }
        if let Some(message) = space.problem() {
            return Err(Problem(path(setting), format!("{setting}: {message}")));
        }
        for value in space.extremes() {
            let mut values = given.clone();
            values.insert(setting.clone(), value);
            match (info.resolve)(&values) {
                Err(error) if error.key() == Some(setting) => {
                    return Err(Problem(path(setting), format!("{}: {error}", info.id)));
                }
                // Another key is told of by the arm itself; a joint rule, by the trials below.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(())
}

/// The spaces must hold as many different trials, and the method must take each.
fn check_trials(
    index: usize,
    suite: &Suite,
    trials: u32,
    catalogue: &Catalogue,
) -> Result<(), Problem> {
    let used = &suite.arms[index];
    if let Some(message) = trials_problem(trials) {
        return Err(Problem(path_of_arm(index, "trials"), message));
    }
    let sizes: Option<u64> = used
        .tune
        .values()
        .map(Space::size)
        .try_fold(1u64, |all, size| Some(all.saturating_mul(size?)));
    if let Some(size) = sizes.filter(|size| *size < u64::from(trials)) {
        let message = format!(
            "tune: these lists and whole numbers are {size} settings, but {trials} trials are asked for; give the arm `trials: {size}`"
        );
        return Err(Problem(path_of_arm(index, "tune"), message));
    }
    let Some(info) = method(index, suite, catalogue) else { return Ok(()) };
    for settings in draw(&suite.suite, 0, &used.tune, trials as usize, &[]) {
        let mut values = given(index, suite);
        values.extend(settings.clone());
        (info.resolve)(&values).map_err(|error| refused(index, info, &settings, &error))?;
    }
    Ok(())
}

/// A trial that the method refuses.
fn refused(index: usize, info: &MethodInfo, settings: &Values, error: &SettingError) -> Problem {
    let shown: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Problem(path_of_arm(index, "tune"), format!("{}: with {}: {error}", info.id, shown.join(", ")))
}

/// What the suite fixes for an arm, with defaults.
fn resolved(index: usize, suite: &Suite, catalogue: &Catalogue) -> Values {
    let given = given(index, suite);
    let resolved = method(index, suite, catalogue).map(|info| (info.resolve)(&given));
    resolved.and_then(Result::ok).unwrap_or(given)
}

/// Methods and settings of all arms that an arm descends from.
fn ancestors<'a>(
    index: usize,
    suite: &'a Suite,
    arms: &[PlannedArm],
    catalogue: &Catalogue,
) -> Vec<(&'a str, Values)> {
    let mut line = vec![index];
    let mut seen = 0;
    while seen < line.len() {
        for origin in arms[line[seen]].parents.iter() {
            let Origin::Cell(name) = origin else { continue };
            let parent = arms.iter().position(|other| other.label == name.arm);
            line.extend(parent.filter(|parent| !line.contains(parent)));
        }
        seen += 1;
    }
    let of =
        |&parent: &usize| (suite.arms[parent].method.as_str(), resolved(parent, suite, catalogue));
    line[1..].iter().map(of).collect()
}

fn definition(
    index: usize,
    suite: &Suite,
    arms: &[PlannedArm],
    on: &[&PlannedWorkload],
    catalogue: &Catalogue,
    trials: u32,
    asked: &TuningUse,
) -> Result<String, Problem> {
    let (used, arm) = (&suite.arms[index], &arms[index]);
    let mut settings = resolved(index, suite, catalogue);
    // Their defaults decide nothing.
    settings.retain(|setting, _| !used.tune.contains_key(setting));
    let workloads = on.iter().map(|workload| WorkloadPart {
        workload: &workload.id,
        settings: &workload.settings,
        metric: &workload.goal.target.metric,
        direction: workload.goal.target.direction,
        target: workload.goal.target.value,
        samples: workload.goal.budget.samples,
        evaluate_every: workload.goal.budget.evaluate_every,
    });
    let definition = Definition {
        version: 1,
        method: &arm.method,
        settings: &settings,
        parents: &arm.parents,
        ancestors: ancestors(index, suite, arms, catalogue),
        order: &used.order,
        spaces: &used.tune,
        trials,
        workloads: workloads.collect(),
        seeds: &asked.seeds,
        choose: &asked.choose,
        on: asked.on,
        halving: asked.halving,
    };
    let digest = Digest::of_json(&definition);
    let digest = digest.map_err(|error| {
        let message = format!("tune: a value cannot be written as JSON: {error}");
        Problem(path_of_arm(index, "tune"), message)
    })?;
    Ok(digest.to_string())
}

#[cfg(test)]
#[path = "tuning/tests.rs"]
mod tests;
