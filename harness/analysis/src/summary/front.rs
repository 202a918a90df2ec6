//! What a metric costs: which arms no other arm beats at once in train time and in the metric.

use ledger::goal::{TEST, Target};

use super::ArmAnalysis;

/// The name of the metric that arms are held against each other by: the target's on the split that is only reported,
/// where every arm that has it at all has it there, else on the target's.
#[must_use]
pub fn quality(arms: &[ArmAnalysis], target: &Target) -> String {
    let tested = target.key(TEST);
    let own = target.validation_key();
    let has = |arm: &ArmAnalysis, name: &str| arm.at_budget.contains_key(name);
    let lacking = arms.iter().any(|arm| has(arm, &own) && !has(arm, &tested));
    if lacking || !arms.iter().any(|arm| has(arm, &tested)) { own } else { tested }
}

/// Says of each arm with a cost and a metric whether it is undominated.
pub(super) fn mark(arms: &mut [ArmAnalysis], target: &Target) {
    let name = quality(arms, target);
    let sign = if target.direction.is_higher() { 1.0 } else { -1.0 };
    let points: Vec<Option<(f64, f64)>> = arms
        .iter()
        .map(|arm| {
            let metric = sign * arm.at_budget.get(&name)?.value;
            let cost = arm.train_seconds.as_ref()?.value;
            (metric.is_finite() && cost.is_finite()).then_some((cost, metric))
        })
        .collect();
    for (arm, point) in arms.iter_mut().zip(&points) {
        arm.undominated = point.map(|(cost, metric)| {
            !points.iter().flatten().any(|&(other_cost, other_metric)| {
                other_cost <= cost
                    && other_metric >= metric
                    && (other_cost < cost || other_metric > metric)
            })
        });
    }
}
