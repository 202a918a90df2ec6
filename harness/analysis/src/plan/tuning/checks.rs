//! What a suite may ask of tuning: each check names the field and the way out.

use super::{given, method};
use crate::plan::path_of_arm;
use crate::suite::{Problem, SAMPLES, Seeds, Space, Suite, TuningUse, key, trials_problem};
use crate::tuning::draw;
use ledger::catalogue::{Catalogue, MethodInfo, hint, row};
use ledger::goal::Direction;
use ledger::lineage::Origin;
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::{SettingError, Values};
use stats::sobol::Sobol;

/// What the block alone and the suite's seeds allow.
pub(super) fn check(asked: &TuningUse, suite: &Suite) -> Result<(), Problem> {
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
pub(in crate::plan) fn shared_seed(asked: &TuningUse, seeds: &Seeds) -> Option<u64> {
    asked.seeds.0.iter().copied().find(|seed| seeds.0.contains(seed))
}

pub(in crate::plan) fn judged(seed: u64) -> String {
    format!("seed {seed} chooses settings, and claims would be judged on the same runs")
}

/// Which way what chooses improves on the workloads of an arm.
pub(super) fn chooses(
    asked: &TuningUse,
    arm: &PlannedArm,
    on: &[&PlannedWorkload],
) -> Result<Direction, Problem> {
    if asked.choose == SAMPLES {
        return Ok(Direction::LowerIsBetter);
    }
    let path = || vec![key("tuning"), key("choose")];
    let mut found = Direction::LowerIsBetter;
    for workload in on {
        let Some(metric) = row(&workload.metrics, &asked.choose) else {
            let names: Vec<&str> =
                workload.metrics.iter().map(|metric| metric.name.as_str()).collect();
            let known = std::iter::once(SAMPLES).chain(names).collect::<Vec<_>>();
            let message = format!(
                "choose: {} has no \"{}\"{}",
                workload.label,
                asked.choose,
                hint(&asked.choose, known)
            );
            return Err(Problem(path(), message));
        };
        found = metric.direction();
        // Errors have a geometric mean, in which each workload weighs as much; scores up to a ceiling have none.
        if on.len() > 1 && found.is_higher() {
            let message = format!(
                "choose: values of {} cannot be averaged over the {} workloads of arm \"{}\"; give it one with `on: [...]`, or choose {SAMPLES}",
                asked.choose,
                on.len(),
                arm.label
            );
            return Err(Problem(path(), message));
        }
    }
    Ok(found)
}

/// An arm is not tuned on parents whose settings are themselves open, nor on shortened ones.
pub(super) fn check_descent(
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

/// Every setting that is tried must be one of the method's, not fixed besides, and of valid values.
pub(super) fn check_spaces(
    index: usize,
    suite: &Suite,
    catalogue: &Catalogue,
) -> Result<(), Problem> {
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
pub(super) fn check_trials(
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
