//! The digest of all that decides an arm's trials: a frozen file speaks of this very arm or of none.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{given, method};
use crate::plan::path_of_arm;
use crate::suite::{Halving, On, Problem, Seeds, Space, Suite, TuningUse};
use ledger::catalogue::Catalogue;
use ledger::digest::Digest;
use ledger::goal::Direction;
use ledger::lineage::{Origin, Parents};
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::settings::Values;

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

pub(super) fn definition(
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
