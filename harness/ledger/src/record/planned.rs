//! A workload and an arm with everything resolved. What of them decides a cell says
//! [`identity`](crate::record::identity).

use std::borrow::Cow;

use crate::catalogue::MetricInfo;
use crate::external::External;
use crate::external::own_task::OwnTask;
use crate::given::GivenOrder;
use crate::goal::Goal;
use crate::lineage::{Origin, Parents};
use crate::settings::Values;

/// A workload with everything resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedWorkload {
    /// Name in tables.
    pub label: String,
    /// Workload id.
    pub id: String,
    /// Its settings, resolved.
    pub settings: Values,
    /// Every metric it reports.
    pub metrics: Vec<MetricInfo<String>>,
    /// What its runs are to reach.
    pub goal: Goal,
}

impl PlannedWorkload {
    /// Whether there is a test split: always, but where the data are a program's own and it has none.
    #[must_use]
    pub fn has_test(&self) -> bool {
        OwnTask::of(&self.id, &self.settings).is_none_or(|task| task.test)
    }
}

/// An arm with everything resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedArm {
    /// Name in tables: `as`, or the method and what the suite sets.
    pub label: String,
    /// Method id.
    pub method: String,
    /// Its settings, resolved.
    pub settings: Values,
    /// Labels of the workloads it runs on; all when empty.
    pub on: Vec<String>,
    /// Share of the workload's budget that its runs get; all of it where there is none.
    pub budget: Option<f64>,
    /// Runs that its runs descend from; cell ids have their part by their own ids.
    pub parents: Parents<Origin>,
    /// The order that its runs are trained in, when it is given and not the method's.
    pub order: Option<GivenOrder>,
    /// The program that its runs are, when they are none of ours.
    pub external: Option<External>,
}

impl PlannedArm {
    /// Whether it runs on the workload of this label.
    #[must_use]
    pub fn runs_on(&self, workload: &str) -> bool {
        self.on.is_empty() || self.on.iter().any(|label| label == workload)
    }

    /// A workload as its runs have it: with its share of the budget.
    #[must_use]
    pub fn budgeted<'w>(&self, workload: &'w PlannedWorkload) -> Cow<'w, PlannedWorkload> {
        let Some(share) = self.budget else { return Cow::Borrowed(workload) };
        let mut short = workload.clone();
        short.goal.budget = short.goal.budget.share(share);
        Cow::Owned(short)
    }
}
