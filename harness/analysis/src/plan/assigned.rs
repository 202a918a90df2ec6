//! Settings that the command line gives to arms (`--set ARM.KEY=VALUE`), and the names that follow.

use serde_json::Value;

use super::sections::Named;
use super::{label, labelled};
use crate::suite::{ArmUse, ChangedArm, Problem, Suite};
use ledger::catalogue::hint;
use ledger::lineage::{CellName, Origin};
use ledger::settings::Values;

/// One `--set` of the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment(pub String, pub String, pub Value);

impl std::str::FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("--set \"{text}\" is not ARM.KEY=VALUE, for example sgd.lr=0.05");
        // A label may hold `=` inside its brackets, and `.` anywhere; a key holds neither.
        let bracket = text.find(']').unwrap_or(0);
        let equals = text[bracket..].find('=').ok_or_else(refuse)? + bracket;
        let (arm, key) = text[..equals].rsplit_once('.').ok_or_else(refuse)?;
        if arm.is_empty() || key.is_empty() {
            return Err(refuse());
        }
        let written = &text[equals + 1..];
        let value: serde_yaml::Value = serde_yaml::from_str(written).map_err(|_| refuse())?;
        if value.as_f64().is_some_and(|number| !number.is_finite()) {
            return Err(format!("--set \"{text}\": {written} is no finite number"));
        }
        let value = serde_json::to_value(value).map_err(|_| refuse())?;
        Ok(Self(arm.to_owned(), key.to_owned(), value))
    }
}

/// Gives every arm what is assigned to its label or method. Labels that are made of settings then
/// say what runs, and everything that names such an arm names it so.
pub(super) fn assign(suite: &mut Suite, set: &[Assignment]) -> Result<(), Problem> {
    let before: Vec<String> = suite.arms.iter().map(labelled).collect();
    for assignment in set {
        let Assignment(wanted, ..) = assignment;
        let names = |at: usize| [&suite.arms[at].method, &before[at]];
        let found: Vec<usize> =
            (0..before.len()).filter(|&at| names(at).contains(&wanted)).collect();
        if found.is_empty() {
            let valid = before.iter().map(String::as_str);
            let message = format!(
                "--set {wanted}: the suite has no such name{}",
                hint(wanted, valid.collect::<Vec<_>>())
            );
            return Err(Problem(Vec::new(), message));
        }
        for at in found {
            suite.arms[at].assigned.push(assignment.clone());
        }
    }
    let after: Vec<String> = suite.arms.iter().map(labelled).collect();
    let renamed: Vec<_> = before.into_iter().zip(after).filter(|(old, new)| old != new).collect();
    rename(suite, &renamed);
    Ok(())
}

/// The arms of a plan whose own names say nothing of settings that the command line changes.
pub(super) fn changed(arms: &[ArmUse], part: Named<'_>) -> Vec<ChangedArm> {
    let changed = arms.iter().filter_map(|arm| {
        let label = arm.label.clone().filter(|label| part.has_arm(label))?;
        let assigned = arm.assigned.iter();
        let set: Values = assigned
            .filter(|Assignment(_, key, value)| arm.with.get(key) != Some(value))
            .map(|Assignment(_, key, value)| (key.clone(), value.clone()))
            .collect();
        (!set.is_empty()).then_some(ChangedArm { arm: label, set })
    });
    changed.collect()
}

/// Puts new names of arms wherever a suite names them.
fn rename(suite: &mut Suite, renamed: &[(String, String)]) {
    let label = |name: &mut String| {
        if let Some((_, new)) = renamed.iter().find(|(old, _)| old == name) {
            name.clone_from(new);
        }
    };
    let cell = |name: &mut CellName| label(&mut name.arm);
    suite.baseline.iter_mut().for_each(label);
    for arm in &mut suite.arms {
        for origin in arm.parents.from.iter_mut().chain(&mut arm.parents.teacher) {
            if let Origin::Cell(name) = origin {
                cell(name);
            }
        }
    }
    for claim in &mut suite.claims {
        [&mut claim.arm, &mut claim.baseline].into_iter().for_each(label);
        claim.floor.iter_mut().chain(&mut claim.control).for_each(label);
        if let Some(pair) = &mut claim.minus {
            [&mut pair.arm, &mut pair.baseline].into_iter().for_each(label);
        }
    }
    for test in &mut suite.provenance {
        [&mut test.run, &mut test.suspect].into_iter().for_each(cell);
        test.reference.iter_mut().chain(&mut test.template).for_each(cell);
    }
    suite.estimates.iter_mut().for_each(|estimate| cell(&mut estimate.run));
}

/// The label of an arm that has none of its own, from its settings and those assigned to it.
pub(super) fn made(arm: &ArmUse) -> String {
    let mut with = arm.with.clone();
    with.extend(arm.assigned.iter().map(|Assignment(_, key, value)| (key.clone(), value.clone())));
    label(&arm.method, &with)
}
