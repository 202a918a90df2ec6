//! What the id and the commitment of a cell are taken over.
//!
//! What of a planned workload and arm decides a run is named field by field below: whoever adds a
//! field to them is asked by the compiler whether it does.

use serde::{Serialize, Serializer};

use crate::digest::Digest;
use crate::external::External;
use crate::given::GivenOrder;
use crate::goal::{Budget, Goal, Target};
use crate::lineage::Parents;
use crate::record::planned::{PlannedArm, PlannedWorkload};
use crate::settings::Values;

/// What a cell's id is taken over (contract, section 6).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CellKey<'a> {
    /// The workload, resolved.
    #[serde(serialize_with = "workload")]
    pub workload: &'a PlannedWorkload,
    /// The arm, resolved.
    #[serde(serialize_with = "arm")]
    pub arm: &'a PlannedArm,
    /// Cell ids of its parents; left out for a run without any.
    #[serde(skip_serializing_if = "Parents::is_empty")]
    pub parents: &'a Parents<String>,
    /// The seed's text.
    pub seed: &'a str,
    /// What the data are.
    #[serde(flatten)]
    pub data: DataKey,
    /// Digest of the code that decides results.
    pub code: &'a str,
}

/// What a cell's data are. The code of a workload decides what of them is judged, but not what stands in a
/// file of the user's: there the file has its part beside the root of what is trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DataKey {
    /// Merkle root of the training split.
    #[serde(rename = "data_root")]
    pub root: Digest,
    /// SHA-256 of a file of the user's; left out where there is none.
    #[serde(rename = "data_file", skip_serializing_if = "Option::is_none")]
    pub file: Option<Digest>,
}

impl From<Digest> for DataKey {
    /// Data of no file of the user's.
    fn from(root: Digest) -> Self {
        Self { root, file: None }
    }
}

/// The resolved cell that a commitment is taken over (contract, section 5).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Config<'a> {
    /// The workload, resolved.
    #[serde(serialize_with = "workload")]
    pub workload: &'a PlannedWorkload,
    /// The arm, resolved.
    #[serde(serialize_with = "arm")]
    pub arm: &'a PlannedArm,
    /// Cell ids of its parents; left out for a run without any.
    #[serde(skip_serializing_if = "Parents::is_empty")]
    pub parents: &'a Parents<String>,
    /// Version of libtorch.
    pub libtorch: &'a str,
    /// Digest of the code that decides results.
    pub code: &'a str,
    /// Name of the device.
    pub device: &'a str,
}

/// What of a workload decides its runs.
#[derive(Serialize)]
struct WorkloadIdentity<'a> {
    id: &'a str,
    settings: &'a Values,
    metric: &'a str,
    higher_is_better: bool,
    target: f64,
    budget_samples: u64,
    evaluate_every_samples: u64,
}

/// What of an arm decides its runs. Its parents have their part by their own ids, its share of the budget by the
/// workload's samples.
#[derive(Serialize)]
struct ArmIdentity<'a> {
    method: &'a str,
    settings: &'a Values,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'a GivenOrder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external: Option<&'a External>,
}

fn workload<S: Serializer>(planned: &PlannedWorkload, serializer: S) -> Result<S::Ok, S::Error> {
    let PlannedWorkload { label: _, id, settings, metrics: _, goal } = planned;
    let Goal { target, budget } = goal;
    let Target { metric, direction, value, origin: _ } = target;
    let Budget { samples, evaluate_every } = budget;
    let identity = WorkloadIdentity {
        id,
        settings,
        metric,
        higher_is_better: direction.is_higher(),
        target: *value,
        budget_samples: *samples,
        evaluate_every_samples: *evaluate_every,
    };
    identity.serialize(serializer)
}

fn arm<S: Serializer>(planned: &PlannedArm, serializer: S) -> Result<S::Ok, S::Error> {
    let PlannedArm { label: _, method, settings, on: _, budget: _, parents: _, order, external } =
        planned;
    let (order, external) = (order.as_ref(), external.as_ref());
    ArmIdentity { method, settings, order, external }.serialize(serializer)
}

impl CellKey<'_> {
    /// The id: 16 hexadecimal characters.
    ///
    /// # Errors
    /// When a setting cannot be written as JSON.
    pub fn id(&self) -> Result<String, serde_json::Error> {
        Ok(Digest::of_json(self)?.short(16))
    }
}

impl Config<'_> {
    /// The config hash.
    ///
    /// # Errors
    /// When a setting cannot be written as JSON.
    pub fn hash(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(self)
    }
}

#[cfg(test)]
mod tests;
