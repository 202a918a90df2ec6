//! A workload and an arm with everything resolved: what the identity of a cell is taken over.

use serde::Serialize;

use crate::catalogue::MetricInfo;
use crate::given::GivenOrder;
use crate::lineage::{Origin, Parents};
use crate::settings::Values;

/// A workload with everything resolved: its identity in cell ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedWorkload {
    /// Name in tables.
    #[serde(skip)]
    pub label: String,
    /// Workload id.
    pub id: String,
    /// Its settings, resolved.
    pub settings: Values,
    /// Every metric it reports.
    #[serde(skip)]
    pub metrics: Vec<MetricInfo<String>>,
    /// Metric the target is set on.
    pub metric: String,
    /// Whether larger is better.
    pub higher_is_better: bool,
    /// Target on the validation split.
    pub target: f64,
    /// Where the target comes from.
    #[serde(skip)]
    pub target_origin: String,
    /// Budget in samples.
    pub budget_samples: u64,
    /// Distance of the evaluation grid in samples.
    pub evaluate_every_samples: u64,
}

/// An arm with everything resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedArm {
    /// Name in tables: `as`, or the method and what the suite sets.
    #[serde(skip)]
    pub label: String,
    /// Method id.
    pub method: String,
    /// Its settings, resolved.
    pub settings: Values,
    /// Labels of the workloads it runs on; all when empty.
    #[serde(skip)]
    pub on: Vec<String>,
    /// Runs that its runs descend from; cell ids have their part by their own ids.
    #[serde(skip)]
    pub parents: Parents<Origin>,
    /// The order that its runs are trained in, when it is given and not the method's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<GivenOrder>,
}

impl PlannedArm {
    /// Whether it runs on the workload of this label.
    #[must_use]
    pub fn runs_on(&self, workload: &str) -> bool {
        self.on.is_empty() || self.on.iter().any(|label| label == workload)
    }
}
