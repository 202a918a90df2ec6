//! Workloads: data, model, metrics, target and budget, one file each.
//!
//! A workload gives methods [`Splits`] and [`Material`]; what judges a model, its [`Judge`], stays
//! with the training loop, so that no method can see an evaluation.

pub mod attr;
pub mod blobs_cnn;
pub mod chain_sum;
pub mod cifar10_resnet;
pub mod classification;
pub mod clusters_mlp;
pub mod countdown;
pub mod digits_gen;
pub mod digits_mlp;
pub mod domains_gpt;
pub mod fashion_cnn;
pub mod generative;
pub mod hurdle_car;
pub mod initial;
pub mod knights;
pub mod language;
mod markov;
pub mod markov_gpt;
pub mod markov_gru;
pub mod markov_mlp;
pub mod material;
pub mod mnist_cnn;
pub mod mnist_gen;
pub mod puzzles;
pub mod quad;
pub mod ring8;
pub mod shapes16;
pub mod slp_resolve;
pub mod slp_synth;
pub mod slp_trace;
pub mod split;
pub mod task_grid;
mod tasks;
mod templates;
pub mod templates_cnn;
pub mod templates_mlp;
mod text;
pub mod text_byte;
pub mod text_char;

use std::collections::BTreeMap;
use std::sync::Arc;

use data::Sources;
use ledger::catalogue::WorkloadInfo;
use ledger::settings::Values;
use ledger::streams::Streams;
use tch::{Device, TchError};

use crate::LabError;
use crate::artefacts::Artefacts;
use crate::network::Network;
use crate::seat::{Facts, Sampler};
pub use material::{Generation, Material, Points, Tokens, Verifier};
pub use split::{DataIdentity, Split, Splits};

/// Words of [`WorkloadInfo::offers`], which methods ask for in their `needs`.
pub mod offers {
    /// A loss of its own that plain training minimises.
    pub const LOSS: &str = "a loss";
    /// One class per example, and logits.
    pub const CLASSES: &str = "classes";
    /// Tokens, and a model that predicts the next one.
    pub const TOKENS: &str = "tokens";
    /// Prompt and response in each example.
    pub const RESPONSES: &str = "responses";
    /// Named groups of examples, and a probe split.
    pub const GROUPS: &str = "groups";
    /// A score per example, such as its quality.
    pub const SCORES: &str = "scores";
    /// A verifier of responses.
    pub const VERIFIER: &str = "a verifier";
    /// Prompts of one length, so that a batch of them can be completed together.
    pub const PROMPTS: &str = "prompts of one length";
    /// A network that takes a noise level, and metrics of samples.
    pub const DENOISING: &str = "denoising";
    /// Tasks as points of a space, and a student of its own.
    pub const TASKS: &str = "a task space";
}

/// A workload: its row, and how its data and network are made.
#[derive(Debug)]
pub struct Workload {
    /// The row that planner, `list` and `explain` see.
    pub info: fn() -> WorkloadInfo,
    /// Loads or generates the data and puts them on the device.
    pub load: fn(&Values, &Sources, Device) -> Result<Ready, LabError>,
    /// Builds the network from the `init` stream.
    pub network: fn(&Values, &Material, &Streams, Device) -> Result<Network, TchError>,
    /// Brings the network to where every method starts from, when that is not its initialisation.
    pub start: Option<Start>,
}

/// Trains the common start of all methods of one seed; what it cost and its digest are facts.
pub type Start =
    fn(&mut Network, &Ready, &Values, &Streams, &dyn Artefacts) -> Result<Facts, LabError>;

/// A workload's data, ready to train on.
#[derive(Debug)]
pub struct Ready {
    /// Tensors on the device.
    pub splits: Splits,
    /// What they are.
    pub identity: Arc<DataIdentity>,
    /// What methods may know of them.
    pub material: Material,
    /// What judges a model.
    pub judge: Box<dyn Judge>,
}

/// A split that a model is judged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Targets are set on it.
    Validation,
    /// Only reported.
    Test,
}

/// A trained model as it is judged.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// The network.
    pub network: &'a Network,
    /// How samples are drawn from it, when the method said so.
    pub sampler: Option<&'a dyn Sampler>,
}

/// One look at a model.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// What is looked at.
    pub model: Model<'a>,
    /// Data of the split.
    pub split: &'a Split,
    /// Which split it is.
    pub judged: Judged,
    /// True at the end of the run, when figures that cost more are due.
    pub last: bool,
}

/// Computes a workload's metrics.
pub trait Judge: std::fmt::Debug {
    /// Metrics by name, for example `accuracy`. Evaluation noise is fixed: the same for every arm.
    ///
    /// # Errors
    /// When libtorch refuses an operation, or the model cannot be judged.
    fn metrics(&self, look: &Look<'_>) -> Result<BTreeMap<String, f64>, LabError>;

    /// Facts for the record: what the metrics rest on.
    fn facts(&self) -> Facts {
        Facts::new()
    }
}

/// Every workload, sorted by id.
pub static WORKLOADS: &[&Workload] = &[
    &attr::WORKLOAD,
    &blobs_cnn::WORKLOAD,
    &chain_sum::WORKLOAD,
    &cifar10_resnet::WORKLOAD,
    &clusters_mlp::WORKLOAD,
    &countdown::WORKLOAD,
    &digits_gen::WORKLOAD,
    &digits_mlp::WORKLOAD,
    &domains_gpt::WORKLOAD,
    &fashion_cnn::WORKLOAD,
    &hurdle_car::WORKLOAD,
    &knights::WORKLOAD,
    &markov_gpt::WORKLOAD,
    &markov_gru::WORKLOAD,
    &markov_mlp::WORKLOAD,
    &mnist_cnn::WORKLOAD,
    &mnist_gen::WORKLOAD,
    &quad::WORKLOAD,
    &ring8::WORKLOAD,
    &shapes16::WORKLOAD,
    &slp_resolve::WORKLOAD,
    &slp_synth::WORKLOAD,
    &slp_trace::WORKLOAD,
    &task_grid::WORKLOAD,
    &templates_cnn::WORKLOAD,
    &templates_mlp::WORKLOAD,
    &text_byte::WORKLOAD,
    &text_char::WORKLOAD,
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
