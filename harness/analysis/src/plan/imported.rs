//! Arms whose runs are read off logs: what a suite may say of them.

use super::path_of_arm;
use crate::imported::METHOD;
use crate::suite::{ArmUse, Problem, Step, Suite, key};
use ledger::external::own_task::WORKLOAD;
use ledger::lineage::{Origin, Parents};
use ledger::record::planned::PlannedArm;
use ledger::settings::Values;

/// Most examples that a workload of one's own may have.
const MOST_EXAMPLES: u64 = 100_000_000;

/// A suite has imported arms alone, or none: their runs are there already, so that nothing of the others
/// can be made like them. Where they are, `examples` may be left out: an epoch is then the whole budget.
pub(super) fn check(suite: &mut Suite) -> Result<(), Problem> {
    let is_imported = |arm: &ArmUse| arm.method == METHOD;
    if !suite.arms.iter().any(is_imported) {
        return Ok(());
    }
    if let Some(index) = suite.arms.iter().position(|arm| !is_imported(arm)) {
        let path = vec![key("arms"), Step::Index(index)];
        let message = "beside imported arms all are imported; give it a suite of its own, and hold the two against each other with `palimpsest compare`";
        return Err(Problem(path, message.to_owned()));
    }
    for (index, arm) in suite.arms.iter().enumerate() {
        let named = arm.label.as_ref().is_some_and(|name| !name.trim().is_empty());
        if !named {
            let message = "an imported arm has a name, as in `imported: adam`";
            return Err(Problem(path_of_arm(index, "imported"), message.to_owned()));
        }
        let given = [
            ("with", !arm.with.is_empty()),
            ("grid", !arm.grid.is_empty()),
            ("tune", !arm.tune.is_empty()),
            ("trials", arm.trials.is_some()),
            ("budget", arm.budget.is_some()),
            ("from", arm.parents.from.is_some()),
            ("teacher", arm.parents.teacher.is_some()),
            ("order", arm.order.is_some()),
        ];
        if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
            let message = format!(
                "{field}: an imported arm has run already, so that nothing would read it; leave it out"
            );
            return Err(Problem(path_of_arm(index, field), message));
        }
    }
    let given = [
        ("settings", !suite.settings.is_empty()),
        ("stopping", suite.stopping.is_some()),
        ("tuning", suite.tuning.is_some()),
        ("provenance", !suite.provenance.is_empty()),
        ("estimates", !suite.estimates.is_empty()),
        ("keep_models", suite.keep_models),
    ];
    if let Some((field, _)) = given.iter().find(|(_, given)| *given) {
        let message = format!(
            "{field}: imported arms have run already, with no order and no model that could be looked into; leave it out"
        );
        return Err(Problem(vec![key(field)], message));
    }
    for (index, workload) in suite.workloads.iter_mut().enumerate() {
        if workload.workload != WORKLOAD {
            let path = vec![key("workloads"), Step::Index(index)];
            let message = format!(
                "imported arms are of `workload: {WORKLOAD}`, which says metric, direction, budget and target; \"{}\" is trained here",
                workload.workload
            );
            return Err(Problem(path, message));
        }
        if !workload.with.contains_key("examples")
            && let Some(samples) = workload.samples
        {
            // As many as there can be: budgets of tokens have more.
            workload.with.insert("examples".to_owned(), samples.clamp(1, MOST_EXAMPLES).into());
        }
    }
    Ok(())
}

/// Such an arm.
pub(super) fn planned(used: &ArmUse) -> PlannedArm {
    PlannedArm {
        label: used.label.clone().unwrap_or_default(),
        method: METHOD.to_owned(),
        settings: Values::new(),
        on: used.on.clone(),
        budget: None,
        parents: Parents::<Origin>::default(),
        order: None,
        external: None,
    }
}
