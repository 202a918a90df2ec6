//! Claims that are not judged because the options leave out what they are about.

use serde::{Deserialize, Serialize};

use super::sections::Named;
use crate::suite::ClaimUse;

/// A claim of the suite that is in no verdict, and what is not in the plan for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unjudged {
    /// Id of the claim.
    pub claim: String,
    /// Labels of the arms and workloads that it lacks.
    pub needs: Vec<String>,
}

/// The claims that cannot be judged in a part of the suite.
pub(super) fn of(claims: &[ClaimUse], part: Named<'_>) -> Vec<Unjudged> {
    let lacking = claims.iter().map(|claim| (claim, lacks(claim, part)));
    let unjudged = lacking.filter(|(_, needs)| !needs.is_empty());
    unjudged.map(|(claim, needs)| Unjudged { claim: claim.id.clone(), needs }).collect()
}

/// What a claim needs and a part of the suite does not have: of its arms each, of the workloads that it
/// names at least one.
pub(super) fn lacks(claim: &ClaimUse, part: Named<'_>) -> Vec<String> {
    let others = claim.minus.iter().flat_map(|pair| [&pair.arm, &pair.baseline]);
    let arms = [&claim.arm, &claim.baseline].into_iter().chain(others).chain(&claim.floor);
    let mut lacking: Vec<String> = Vec::new();
    let mut add = |label: &String| {
        if !lacking.contains(label) {
            lacking.push(label.clone());
        }
    };
    arms.filter(|label| !part.has_arm(label)).for_each(&mut add);
    claim.grows_from.iter().filter(|label| !part.has_workload(label)).for_each(&mut add);
    if !claim.workloads.iter().any(|label| part.has_workload(label)) {
        claim.workloads.iter().for_each(&mut add);
    }
    lacking
}

/// How many claims are not judged and what they need, in one line; nothing where all are.
#[must_use]
pub fn words(unjudged: &[Unjudged]) -> Option<String> {
    let mut needs: Vec<&str> = Vec::new();
    for label in unjudged.iter().flat_map(|claim| &claim.needs) {
        if !needs.contains(&label.as_str()) {
            needs.push(label);
        }
    }
    let needs = needs.join(", ");
    match unjudged {
        [] => None,
        [one] => Some(format!(
            "claim {} is not judged: it needs {needs}, left out by --methods or --workloads",
            one.claim
        )),
        _ => Some(format!(
            "{} claims are not judged: they need {needs}, left out by --methods or --workloads",
            unjudged.len()
        )),
    }
}
