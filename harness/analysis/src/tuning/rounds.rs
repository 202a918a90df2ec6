//! What is tried for an arm, round by round: the suite's spaces, and those that widening went on to.

use std::collections::BTreeMap;

use super::trials::{draw, union};
use super::tuned::{Edge, TunedArm};
use crate::plan::Plan;
use crate::plan::tuning::{ArmTuning, PlannedTuning, TuningState};
use crate::suite::Space;
use ledger::catalogue::Catalogue;
use ledger::settings::Values;

/// The trials of an arm over its rounds, all different.
pub(super) fn trials_of(
    suite: &str,
    tuned: &ArmTuning,
    rounds: &[BTreeMap<String, Space>],
) -> Vec<(usize, Values)> {
    let mut found: Vec<(usize, Values)> = Vec::new();
    for (round, spaces) in rounds.iter().enumerate() {
        let before: Vec<Values> = found.iter().map(|(_, settings)| settings.clone()).collect();
        let new = draw(suite, round, spaces, tuned.trials as usize, &before);
        found.extend(new.into_iter().map(|settings| (round, settings)));
    }
    found
}

/// The spaces of an arm: the suite's, and what a frozen file of the same definition went on to.
pub(super) fn rounds(
    tuning: &PlannedTuning,
    arm: &ArmTuning,
    catalogue: &Catalogue,
    plan: &Plan,
    widen: bool,
) -> Vec<BTreeMap<String, Space>> {
    let frozen = tuning.tuned.as_ref().filter(|_| arm.state == TuningState::Chosen);
    let Some(frozen) = frozen.and_then(|tuned| tuned.arm(&arm.arm)) else {
        return vec![arm.spaces.clone()];
    };
    let mut rounds = frozen.rounds.clone();
    if widen {
        let method = plan.arms.iter().find(|planned| planned.label == arm.arm);
        let info = method.and_then(|planned| catalogue.method(&planned.method));
        let takes = |settings: &Values| {
            let mut values = arm.given.clone();
            values.extend(settings.clone());
            info.is_some_and(|info| (info.resolve)(&values).is_ok())
        };
        rounds.extend(widened(frozen, &takes));
    }
    rounds
}

/// The spaces of one more round: beyond the first edge at which the best value lies and the method takes
/// more, and all that was tried of the other settings.
fn widened(arm: &TunedArm, takes: &dyn Fn(&Values) -> bool) -> Option<BTreeMap<String, Space>> {
    let whole = union(&arm.rounds);
    arm.edges.iter().find_map(|Edge { setting, side }| {
        // As wide as the suite's own space, from where all that was tried ends.
        let (first, all) = (arm.rounds.first()?.get(setting)?, whole.get(setting)?);
        let space = all.end(first, *side)?.beyond(*side)?;
        let far = |value| {
            let mut settings = arm.chosen.clone();
            settings.insert(setting.clone(), value);
            takes(&settings)
        };
        let fits = space.extremes().into_iter().all(far);
        let mut spaces = whole.clone();
        spaces.insert(setting.clone(), space);
        fits.then_some(spaces)
    })
}
