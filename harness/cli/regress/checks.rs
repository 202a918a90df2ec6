//! What would go unnoticed otherwise: names in a suite's `regress` part that nothing has; and which classes
//! stay where only some are judged.

use std::collections::BTreeSet;

use analysis::regress::extract::{Context, OWN_METRICS};
use analysis::regress::metric::Class;

use super::measuring::Plan;
use super::turns::{Measured, Selection};

/// A metric that the suite names and nothing measures is a slip that would go unnoticed.
///
/// # Errors
/// With the name, and the nearest one.
pub(super) fn check_treatments(context: &Context, measured: &Measured) -> anyhow::Result<()> {
    let sides = measured.base.iter().chain([&measured.head]);
    let metrics = sides.flat_map(|side| &side.cells).flat_map(|cell| &cell.metrics);
    let measured: BTreeSet<&str> = metrics.map(|metric| metric.name.as_str()).collect();
    // Without a single run that ended well there is nothing to hold names to.
    if measured.is_empty() {
        return Ok(());
    }
    let known: BTreeSet<&str> = measured.into_iter().chain(OWN_METRICS).collect();
    let exceptions = context.exceptions.iter().map(|exception| &exception.metric);
    let mut names = context.treatments.keys().chain(exceptions);
    if let Some(wanted) = names.find(|name| !known.contains(name.as_str())) {
        let hint = ledger::catalogue::hint(wanted, known);
        anyhow::bail!(
            "regress of the suite names the metric \"{wanted}\", which no run measures{hint}"
        );
    }
    Ok(())
}

/// An exception of an arm or a workload that no side has is a slip, too.
///
/// # Errors
/// With the name, and the nearest one.
pub(super) fn check_exceptions(plan: &Plan, selection: &Selection) -> anyhow::Result<()> {
    let cells = selection.cells();
    let arms: BTreeSet<&str> = cells.iter().map(|cell| cell.name.arm.as_str()).collect();
    let workloads: BTreeSet<&str> = cells.iter().map(|cell| cell.name.workload.as_str()).collect();
    let exceptions = plan.context.exceptions.iter().map(|one| (&one.arm, &one.workload));
    let quarantines = plan.quarantines.iter().map(|one| (&one.arm, &one.workload));
    for (arm, workload) in exceptions.chain(quarantines) {
        for (what, label, known) in [("arm", arm, &arms), ("workload", workload, &workloads)] {
            let unknown = label.as_ref().filter(|label| !known.contains(label.as_str()));
            if let Some(label) = unknown {
                let hint = ledger::catalogue::hint(label, known.clone());
                anyhow::bail!(
                    "regress.exceptions of the suite names the {what} \"{label}\", which it does not have{hint}"
                );
            }
        }
    }
    Ok(())
}

/// Whether a metric of `class` stays where these classes are judged, all of them where none is named.
pub(super) fn keep(class: Class, classes: &[Class]) -> bool {
    class == Class::Info || classes.is_empty() || classes.contains(&class)
}

/// Leaves these classes in what was measured.
pub(super) fn keep_classes(measured: &mut Measured, classes: &[Class]) {
    for side in measured.base.iter_mut().chain([&mut measured.head]) {
        for cell in &mut side.cells {
            cell.metrics.retain(|metric| keep(metric.class, classes));
        }
    }
}
