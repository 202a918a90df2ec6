//! The seats a method can take: every place where one may act on training, and nothing else.
//!
//! | seat | decides |
//! | --- | --- |
//! | [`Order`] | which example ids come next |
//! | [`Objective`] | the loss, per sample before reduction |
//! | [`Optimizer`] | the update rule and which layers move this step |
//! | [`Adapter`] | how parameters are restricted, at the start and after every update |
//!
//! No seat sees an evaluation result, reads a clock or prints. Randomness comes from named
//! streams. All run inside the train clock.

use std::collections::BTreeMap;

use ledger::catalogue::Schedule;
use ledger::order::OrderLaw;
use ledger::streams::Streams;
use serde_json::Value;
use tch::{TchError, Tensor};

use crate::LabError;
use crate::network::{Network, Parameter};

/// Where in the run a step is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// Steps taken before this one.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Epoch (or round), from 0.
    pub epoch: u32,
    /// Epochs (or rounds) of the whole run.
    pub total_epochs: u32,
    /// Factor of the learning-rate schedule at this step.
    pub lr_factor: f64,
}

/// A batch on the device.
#[derive(Debug)]
pub struct Batch {
    /// Positions in the training split, i64 of shape B.
    pub sample_ids: Tensor,
    /// Inputs, B × ….
    pub inputs: Tensor,
    /// Classes, i64 of shape B.
    pub labels: Tensor,
}

/// What a method may know of the task when it is built.
#[derive(Debug)]
pub struct Task<'a> {
    /// Workload id, for messages.
    pub workload: &'a str,
    /// The network, as initialised.
    pub network: &'a Network,
    /// Number of training examples.
    pub examples: u32,
    /// Number of classes.
    pub classes: u32,
    /// Named streams of this run.
    pub streams: &'a Streams,
}

/// Facts a method leaves in the record: densities, update counts, mask digests.
pub type Facts = BTreeMap<String, Value>;

/// The ids of one epoch, in the order they will be consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochPlan {
    /// Positions in the training split.
    pub ids: Vec<u32>,
    /// Exchangeability block: under the order's law, ids may be permuted within a block.
    pub block: u32,
}

/// Where an order takes its randomness from.
#[derive(Debug)]
pub struct OrderSource<'a> {
    /// Effective seed of the contract's uniform orders.
    pub effective_seed: &'a [u8; 32],
    /// Named streams for anything else.
    pub streams: &'a Streams,
    /// Number of training examples.
    pub examples: u32,
}

impl OrderSource<'_> {
    /// The contract's uniform order of `epoch`.
    #[must_use]
    pub fn uniform(&self, epoch: u32) -> Vec<u32> {
        ledger::order::uniform_order(self.effective_seed, epoch, self.examples)
    }
}

/// Which example ids come next.
pub trait Order {
    /// The law that analyses take their null from.
    fn law(&self) -> OrderLaw;

    /// Number of ids in each epoch (or round) of a run whose budget is `budget_samples`; their sum
    /// may be less than the budget, and is cut to it.
    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        let whole = budget_samples / u64::from(examples.max(1));
        let rest = u32::try_from(budget_samples % u64::from(examples.max(1))).unwrap_or(0);
        let mut rounds = vec![examples; usize::try_from(whole).unwrap_or(0)];
        rounds.extend((rest > 0).then_some(rest));
        rounds
    }

    /// The ids of epoch `epoch`; at least as many as [`Order::rounds`] said.
    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan;
}

/// The loss of a batch.
pub trait Objective {
    /// Losses per sample, shape B, differentiable in `logits`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn losses(
        &mut self,
        batch: &Batch,
        logits: &Tensor,
        moment: &Moment,
    ) -> Result<Tensor, TchError>;

    /// Mean of [`Objective::losses`]; overridden where one kernel gives the same gradient.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn loss(
        &mut self,
        batch: &Batch,
        logits: &Tensor,
        moment: &Moment,
    ) -> Result<Tensor, TchError> {
        self.losses(batch, logits, moment)?.f_mean(None)
    }

    /// Called after the update, with the logits of this step's forward pass.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn after_step(
        &mut self,
        _batch: &Batch,
        _logits: &Tensor,
        _moment: &Moment,
    ) -> Result<(), TchError> {
        Ok(())
    }

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }
}

/// Layers that a step trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Active {
    /// Every layer.
    All,
    /// This layer and those behind it; earlier layers take no gradient, so the backward pass
    /// stops there.
    From(usize),
}

/// Gradients of a step.
#[derive(Debug)]
pub struct Gradients {
    /// Indices of the parameters that are active, ascending.
    pub active: Vec<usize>,
    /// One gradient per active parameter.
    pub tensors: Vec<Tensor>,
}

/// The update rule.
pub trait Optimizer {
    /// Which layers the coming step trains; asked before the forward pass.
    fn active(&mut self, _moment: &Moment) -> Active {
        Active::All
    }

    /// Moves the active parameters in place. Gradient recording is off.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        moment: &Moment,
    ) -> Result<(), TchError>;

    /// The momentum buffer of a parameter, where the rule keeps one.
    fn momentum(&mut self, _parameter: usize) -> Option<&mut Tensor> {
        None
    }

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }
}

/// Restricts parameters.
pub trait Adapter {
    /// Called once before the first batch. `probe` gives one batch for scores at initialisation;
    /// its cost is the method's.
    ///
    /// # Errors
    /// When libtorch refuses an operation or the network has nothing to restrict.
    fn prepare(
        &mut self,
        network: &mut Network,
        streams: &Streams,
        probe: &Batch,
    ) -> Result<(), LabError>;

    /// Called after every update. Gradient recording is off; `gradients` are those of the step.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn project(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &Gradients,
        optimizer: &mut dyn Optimizer,
        moment: &Moment,
    ) -> Result<(), TchError>;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }
}

/// What a method composes: its seats, and how batches and learning rate go.
pub struct Recipe {
    /// Examples per step.
    pub batch_size: u32,
    /// Learning-rate factor over the run.
    pub schedule: Schedule,
    /// Which ids come next.
    pub order: Box<dyn Order>,
    /// The loss.
    pub objective: Box<dyn Objective>,
    /// The update rule.
    pub optimizer: Box<dyn Optimizer>,
    /// Restriction of parameters, if any.
    pub adapter: Option<Box<dyn Adapter>>,
}

impl Recipe {
    /// Plain supervised training: uniform shuffles, cross-entropy, no restriction.
    #[must_use]
    pub fn plain(batch_size: u32, schedule: Schedule, optimizer: Box<dyn Optimizer>) -> Self {
        Self {
            batch_size,
            schedule,
            order: Box::new(crate::orders::Uniform),
            objective: Box::new(crate::objectives::CrossEntropy { smoothing: 0.0 }),
            optimizer,
            adapter: None,
        }
    }
}

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipe")
            .field("batch_size", &self.batch_size)
            .field("schedule", &self.schedule)
            .field("law", &self.order.law())
            .finish_non_exhaustive()
    }
}
