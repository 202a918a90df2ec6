//! What of a suite a claim's verdict hangs on, as one JSON value.

use std::collections::{BTreeMap, BTreeSet};

use ledger::digest::Digest;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::suite::{ArmUse, ClaimUse, Suite, WorkloadUse};
use crate::tuning::Tuned;
use ledger::settings::Values;

/// A claim with all that decides what its verdict means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Definition {
    /// Id of the claim.
    pub id: String,
    /// As JSON, without what is absent or empty.
    #[serde(rename = "definition")]
    pub value: Value,
    /// SHA-256 of its canonical JSON.
    pub digest: String,
}

impl Definition {
    /// That of `claim` in `suite`, as written: the claim without the verdict that it is expected to get,
    /// its arms with the settings that trials chose for them, the settings of all arms, its workloads with
    /// targets and budgets, the seeds.
    #[must_use]
    pub fn of(suite: &Suite, tuned: Option<&Tuned>, claim: &ClaimUse) -> Self {
        let mut labels = BTreeSet::from([claim.arm.as_str(), claim.baseline.as_str()]);
        labels.extend(claim.floor.as_deref());
        labels.extend(claim.minus.iter().flat_map(|pair| [pair.arm.as_str(), &pair.baseline]));
        let arms: BTreeMap<&str, &ArmUse> = suite
            .arms
            .iter()
            .map(|arm| (arm.label.as_deref().unwrap_or(&arm.method), arm))
            .filter(|(label, _)| labels.contains(label))
            .collect();
        let about = |label: &str| {
            let named =
                claim.workloads.is_empty() || claim.workloads.iter().any(|one| one == label);
            named || claim.grows_from.as_deref() == Some(label)
        };
        let workloads: BTreeMap<&str, &WorkloadUse> = suite
            .workloads
            .iter()
            .map(|one| (one.label.as_deref().unwrap_or(&one.workload), one))
            .filter(|(label, _)| about(label))
            .collect();
        let chosen: BTreeMap<&str, &Values> = tuned
            .into_iter()
            .flat_map(|tuned| &tuned.arms)
            .filter(|arm| labels.contains(arm.arm.as_str()))
            .map(|arm| (arm.arm.as_str(), &arm.chosen))
            .collect();
        let tuning = if chosen.is_empty() { None } else { suite.tuning.as_ref() };
        let claim_only = ClaimUse { expect: None, ..claim.clone() };
        let mut value = json!({
            "claim": claim_only, "arms": arms, "settings": suite.settings,
            "workloads": workloads, "seeds": suite.seeds, "tuning": tuning, "chosen": chosen,
        });
        prune(&mut value);
        let digest = digest(&value);
        Self { id: claim.id.clone(), value, digest }
    }
}

/// SHA-256 of the canonical JSON; a value of finite numbers and text always has one.
pub(super) fn digest<T: Serialize>(value: &T) -> String {
    Digest::of_json(value).map_or_else(|_| String::new(), |digest| digest.to_string())
}

/// Takes out what is absent or empty, so that a key that a later build knows changes no definition.
fn prune(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, value| !is_empty(value));
        }
        Value::Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null()
        || value.as_object().is_some_and(Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty)
}

/// What differs, as `path: before → after`.
#[must_use]
pub fn differences(before: &Value, after: &Value) -> Vec<String> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    leaves("", before, &mut old);
    leaves("", after, &mut new);
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    paths
        .into_iter()
        .filter(|path| old.get(*path) != new.get(*path))
        .map(|path| {
            let told = |found: Option<&String>| found.map_or("none", String::as_str).to_owned();
            format!("{path}: {} → {}", told(old.get(path)), told(new.get(path)))
        })
        .collect()
}

/// Every value that is no object, as compact JSON under its path.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                leaves(&below, value, found);
            }
        }
        other => {
            found.insert(path.to_owned(), other.to_string());
        }
    }
}
