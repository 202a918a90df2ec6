//! Workloads: data, model, metric, target and budget, one file each.

pub mod blobs_cnn;
pub mod cifar10_resnet;
pub mod digits_mlp;
pub mod fashion_cnn;
pub mod mnist_cnn;
pub mod split;

use ledger::catalogue::WorkloadInfo;
use ledger::settings::Values;
use ledger::streams::Streams;
use tch::{Device, TchError};

use crate::network::Network;
pub use split::{DataIdentity, Ready, Split, Splits};

/// A workload: its row, and how its tensors and network are made.
#[derive(Debug)]
pub struct Workload {
    /// The row that planner, `list` and `explain` see.
    pub info: fn() -> WorkloadInfo,
    /// How stored numbers become inputs.
    pub normalisation: Normalisation,
    /// True when the network takes an example as one row of numbers: it is then stored so, which
    /// saves two views a step.
    pub flat: bool,
    /// Builds the network from the `init` stream.
    pub network: fn(&Values, &Streams, Device) -> Result<Network, TchError>,
}

/// x ↦ (x − mean)/deviation per channel; bytes are first scaled to 0..=1.
#[derive(Debug, Clone, Copy)]
pub struct Normalisation {
    /// Mean per channel.
    pub mean: &'static [f32],
    /// Standard deviation per channel.
    pub deviation: &'static [f32],
}

/// Every workload, sorted by id.
pub static WORKLOADS: &[&Workload] = &[
    &blobs_cnn::WORKLOAD,
    &cifar10_resnet::WORKLOAD,
    &digits_mlp::WORKLOAD,
    &fashion_cnn::WORKLOAD,
    &mnist_cnn::WORKLOAD,
];

/// The workload called `id`.
#[must_use]
pub fn find(id: &str) -> Option<&'static Workload> {
    WORKLOADS.iter().copied().find(|workload| (workload.info)().id == id)
}

/// A width times the workload's `width` setting, at least 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "both factors are small and positive by the settings' range"
)]
fn scaled(base: usize, values: &Values) -> usize {
    let width = values.get("width").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
    ((base as f64 * width).round() as usize).max(1)
}

/// A boolean setting of the workload.
fn flag(values: &Values, key: &str) -> bool {
    values.get(key).and_then(serde_json::Value::as_bool).unwrap_or(false)
}
