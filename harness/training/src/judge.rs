//! What judges a model: only the training loop holds it, so that no method can see an evaluation.

use std::collections::BTreeMap;

use lab::LabError;
use lab::network::Network;
use lab::seat::{Adapter, Facts, Sampler, Texts, Writer, Written};
use lab::split::Split;
use lab::writing;

/// A split that a model is judged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Targets are set on it.
    Validation,
    /// Only reported.
    Test,
}

impl Judged {
    /// What belongs to this split, of what belongs to each.
    #[must_use]
    pub fn pick<T>(self, validation: T, test: T) -> T {
        match self {
            Self::Validation => validation,
            Self::Test => test,
        }
    }
}

/// A trained model as it is judged.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// The network.
    pub network: &'a Network,
    /// How samples are drawn from it, when the method said so.
    pub sampler: Option<&'a dyn Sampler>,
    /// How it meets new tasks, when the method said so; the judge shows it support sets and nothing else.
    pub adapter: Option<&'a dyn Adapter>,
    /// How it writes, when the method said so.
    pub writer: Option<&'a dyn Writer>,
}

impl<'a> Model<'a> {
    /// The network as it is.
    #[must_use]
    pub fn plain(network: &'a Network) -> Self {
        Self { network, sampler: None, adapter: None, writer: None }
    }

    /// Texts, as the method writes them, or without more ado.
    ///
    /// # Errors
    /// When the network is no transformer, or a text does not fit its context.
    pub fn write(&self, asked: &Texts<'_>) -> Result<Vec<Written>, LabError> {
        match self.writer {
            Some(writer) => writer.write(self.network, asked),
            None => writing::plain(self.network, asked),
        }
    }
}

/// One look at a model.
#[derive(Clone, Copy)]
pub struct EvaluationRequest<'a> {
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
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError>;

    /// Facts for the record: what the metrics rest on.
    fn facts(&self) -> Facts {
        Facts::new()
    }
}
