//! The digest of all that decides an arm's trials: a frozen file speaks of this very arm or of none.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{given, method};
use crate::plan::path_of_arm;
use crate::suite::{Halving, On, Problem, Seeds, Space, Suite, TuningUse};
use ledger::catalogue::Catalogue;
use ledger::digest::Digest;
use ledger::external::External;
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
    /// Their shares of the budget, where any has one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ancestor_budgets: Vec<Option<f64>>,
    order: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: &'a Option<External>,
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

/// The arms that an arm descends from.
fn ancestors(index: usize, arms: &[PlannedArm]) -> Vec<usize> {
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
    line.split_off(1)
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
    let ancestors = ancestors(index, arms);
    let mut ancestor_budgets: Vec<_> =
        ancestors.iter().map(|&parent| arms[parent].budget).collect();
    if ancestor_budgets.iter().all(Option::is_none) {
        ancestor_budgets.clear();
    }
    let of =
        |&parent: &usize| (suite.arms[parent].method.as_str(), resolved(parent, suite, catalogue));
    let budgets = on.iter().map(|workload| arm.budgeted(workload).goal.budget);
    let workloads = on.iter().zip(budgets).map(|(workload, budget)| WorkloadPart {
        workload: &workload.id,
        settings: &workload.settings,
        metric: &workload.goal.target.metric,
        direction: workload.goal.target.direction,
        target: workload.goal.target.value,
        samples: budget.samples,
        evaluate_every: budget.evaluate_every,
    });
    let definition = Definition {
        version: 1,
        method: &arm.method,
        settings: &settings,
        parents: &arm.parents,
        ancestors: ancestors.iter().map(of).collect(),
        ancestor_budgets,
        order: &used.order,
        external: &used.external,
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
