//! Arms that are programs: what a suite may say of them.

use super::{Assignment, arm_values, labelled, path_of_arm};
use crate::suite::{Problem, Step, Suite, WorkloadUse, key};
use ledger::catalogue::{Catalogue, WorkloadInfo};
use ledger::external::own_task::WORKLOAD;
use ledger::external::{External, METHOD, Misfit};
use ledger::lineage::{CellName, Origin};
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::Values;

/// What a workload must offer: one class per example, so that outputs can be judged.
const CLASSES: &str = "classes";

/// The settings that a suite gives a workload: one of a program's own is known to programs by the name that
/// the suite gives it, and has a target that the suite sets.
pub(super) fn named(used: &WorkloadUse) -> Result<Values, (&'static str, String)> {
    let mut given = used.with.clone();
    if used.workload != WORKLOAD {
        return Ok(given);
    }
    let refuse = |field, message: &str| Err((field, format!("{WORKLOAD}: {message}")));
    let Some(name) = used.label.as_ref().filter(|name| !name.is_empty()) else {
        return refuse(
            "workload",
            "give it a name, as in `as: my-task`: programs and records know it by that",
        );
    };
    if used.target.is_none() {
        return refuse("workload", "give it a `target: { value, origin }`; only you know one");
    }
    if given.insert("name".to_owned(), name.as_str().into()).is_some() {
        return refuse("with", "its name is what `as` says; leave out `name`");
    }
    Ok(given)
}

/// Why no method of ours runs on a workload, where data and evaluation are a program's own.
pub(super) fn no_method(method: &str, workload: &PlannedWorkload) -> Option<String> {
    (workload.id == WORKLOAD).then(|| {
        format!(
            "{method} cannot train on \"{}\": its data and its evaluation are with the programs of the `command:` arms; say which workloads it runs on with `on: [...]`",
            workload.label
        )
    })
}

/// The arm at `index`, which is this program.
pub(super) fn planned(
    index: usize,
    suite: &Suite,
    external: &External,
    chosen: Option<&Values>,
) -> Result<PlannedArm, Problem> {
    let used = &suite.arms[index];
    let path = |field: &str| path_of_arm(index, field);
    if let Some(message) = external.problem() {
        let field = if message.starts_with("files") { "files" } else { "command" };
        return Err(Problem(path(field), message));
    }
    for (field, given) in [
        ("from", used.parents.from.is_some()),
        ("teacher", used.parents.teacher.is_some()),
        ("order", used.order.is_some()),
    ] {
        if given {
            let message = format!("{field}: a program of one's own takes none; leave it out");
            return Err(Problem(path(field), message));
        }
    }
    let mut settings = arm_values(suite, index, chosen);
    for Assignment(_, name, value) in &used.assigned {
        settings.insert(name.clone(), value.clone());
    }
    let names = settings.keys().chain(used.tune.keys()).map(String::as_str);
    match external.misfit(names) {
        Some(Misfit::NoSetting(name)) => {
            let message = format!(
                "command: {{{name}}} is no setting of the arm; give it in `with`, or write {{{{{name}}}}} for braces"
            );
            return Err(Problem(path("command"), message));
        }
        Some(Misfit::NoPlace(name)) => return Err(no_place(index, suite, &name)),
        None => {}
    }
    // A tuned setting has no value yet; its values are numbers and texts.
    if used.tune.is_empty()
        && let Err(message) = external.arguments(&settings)
    {
        return Err(Problem(path("with"), message));
    }
    Ok(PlannedArm {
        label: labelled(used),
        method: METHOD.to_owned(),
        settings,
        on: used.on.clone(),
        budget: used.budget,
        parents: used.parents.clone(),
        order: None,
        external: Some(external.clone()),
    })
}

/// A setting that nothing would read.
fn no_place(index: usize, suite: &Suite, name: &str) -> Problem {
    let used = &suite.arms[index];
    let message = format!(
        "the command has no {{{name}}}, so that nothing would read the setting; give it a place, or leave it out"
    );
    if let Some(Assignment(arm, ..)) =
        used.assigned.iter().find(|Assignment(_, own, _)| own == name)
    {
        return Problem(Vec::new(), format!("--set {arm}.{name}: {message}"));
    }
    let mut path = if used.with.contains_key(name) {
        path_of_arm(index, "with")
    } else if used.tune.contains_key(name) {
        path_of_arm(index, "tune")
    } else {
        vec![key("settings")]
    };
    path.push(key(name));
    Problem(path, message)
}

/// Every workload that it runs on must give one class per example, and nothing may descend from it.
pub(super) fn check_fit(
    index: usize,
    arm: &PlannedArm,
    workloads: &[PlannedWorkload],
    catalogue: &Catalogue,
) -> Result<(), Problem> {
    let lacks = |info: &WorkloadInfo| info.id != WORKLOAD && !info.offers.contains(&CLASSES);
    for workload in workloads.iter().filter(|workload| arm.runs_on(&workload.label)) {
        if catalogue.workload(&workload.id).is_some_and(lacks) {
            let message = format!(
                "a program of one's own is judged by outputs of {CLASSES}, which {} does not offer; say which workloads it runs on with `on: [...]`",
                workload.id
            );
            return Err(Problem(path_of_arm(index, "command"), message));
        }
    }
    Ok(())
}

/// Nothing looks into a program's model or learns from it: it stays with the program.
pub(super) fn check_uses(suite: &Suite, arms: &[PlannedArm]) -> Result<(), Problem> {
    let refuse = |path: Vec<Step>, name: &CellName| {
        let found = arms.iter().find(|arm| arm.label == name.arm);
        if found.is_none_or(|arm| arm.external.is_none()) {
            return Ok(());
        }
        let message = format!(
            "\"{}\" is a program of one's own, whose model the bench cannot read",
            name.arm
        );
        Err(Problem(path, message))
    };
    for (index, arm) in arms.iter().enumerate() {
        for (field, origin) in [("from", &arm.parents.from), ("teacher", &arm.parents.teacher)] {
            if let Some(Origin::Cell(name)) = origin {
                refuse(path_of_arm(index, field), name)?;
            }
        }
    }
    let of = |list: &str, index: usize| vec![key(list), Step::Index(index)];
    for (index, test) in suite.provenance.iter().enumerate() {
        test.cells().try_for_each(|name| refuse(of("provenance", index), name))?;
    }
    for (index, estimate) in suite.estimates.iter().enumerate() {
        refuse(of("estimates", index), &estimate.run)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "external/tests.rs"]
mod tests;
