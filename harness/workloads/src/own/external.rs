//! # external
//!
//! Data and evaluation of a program's own: the bench gives the order, the clock and the evaluation grid, and takes the
//! metric that it is told. Only `command:` arms run on it (docs/external.md).
//!
//! ```yaml
//! workloads:
//!   - { workload: external, as: my-task, metric: accuracy, direction: higher, examples: 50000, samples: 500000,
//!       evaluate_every: 25000, target: { value: 0.94, origin: assumed } }
//! ```
//!
//! `metric`, `direction`, `examples`, `test` and `data` may stand beside `as` or under `with`. An order is one of the
//! numbers from 0 to below `examples`; what lies at these places is the program's to know. Under `test: true` it is asked for the metric on a
//! test split, too, where the target is first met and at the end. What is told is called so in records, pages and proofs.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::Origin;
use lab::LabError;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::external::own_task::OwnTask;
use tch::{Device, Kind, Tensor};
use training::judge::{EvaluationRequest, Judge};
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "data and evaluation of a program's own",
    data: DataName::Own,
    offers: &[offers::ORDER],
    // A suite declares its own in the place of this one.
    metrics: &[MetricInfo { name: "declared", higher_is_better: true, best: None, chance: None }],
    metric: "declared",
    target: 0.0,
    target_origin: "to be given",
    budget_epochs: 10.0,
    evaluate_every_epochs: 1.0,
    epoch_setting: Some("examples"),
    count: Some(|values| {
        OwnTask::read(values).map(|task| task.examples).map_err(|error| error.to_string())
    }),
    settings: OwnTask::table,
    resolve: OwnTask::declared,
    load: |values, _, _| {
        let task = OwnTask::read(values)?;
        let none = || Split {
            stored: Tensor::zeros([0], (Kind::Float, Device::Cpu)),
            labels: Tensor::zeros([0], (Kind::Int64, Device::Cpu)),
            groups: Vec::new(),
        };
        let splits = Splits { train: none(), probe: None, validation: none(), test: none() };
        let identity = DataIdentity::new(task.sample_ids(), &[], &[], Origin::Told);
        Ok(Ready {
            splits,
            identity: Arc::new(identity),
            side: SideInfo::default(),
            judge: Box::new(Nobody),
        })
    },
    ..Workload::BLANK
};

/// Judges nothing: the program does.
#[derive(Debug)]
struct Nobody;

impl Judge for Nobody {
    fn metrics(&self, _: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        Err(LabError::Unfit {
            method: "the bench".to_owned(),
            workload: ledger::external::own_task::WORKLOAD.to_owned(),
            reason: "it is judged by the program that has its data".to_owned(),
        })
    }
}
