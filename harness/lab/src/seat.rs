//! The seats a method can take: every place where one may act on training, and nothing else.
//!
//! | seat | decides |
//! | --- | --- |
//! | [`Order`] | which example ids come next |
//! | [`View`] | how an example is rendered before the network sees it |
//! | [`Objective`] | the loss, per sample before reduction; what it generates; its phases |
//! | [`Optimizer`] | the update rule, which layers move this step, where its gradient is taken |
//! | [`Parametrisation`] | what the forward pass uses in place of what is trained |
//! | [`Constraint`] | how parameters are restricted, at the start and after every update |
//! | [`Averaging`] | which weights are evaluated, when they are not those trained |
//! | [`Looks`] | which further networks the trained state is evaluated as |
//! | [`Sampler`] | how a generative model becomes samples |
//! | [`Adapter`] | which networks a trained state makes of the support set of a task |
//! | [`Writer`] | how a trained model's texts are written, where a workload asks for some |
//! | [`Search`] | a step by losses alone: what is said of them, and the move made from what was said |
//! | [`Learner`] | the whole step, for what none of the above can say |
//!
//! A [`Recipe`](crate::recipe::Recipe) seats them. No seat reads a clock or prints, and none sees an evaluation result: evaluations are made by a
//! [`training::judge::Judge`], which no type of this module can reach. What an order may adapt to
//! is [`Feedback`]: scores of its own training steps and losses on the probe split. Randomness comes
//! from named streams. All run inside the train clock.
//!
//! Every seat that a step can change says what of it is to be kept for a run that goes on elsewhere ([`Order::state`]); looks,
//! samplers and adapters only look.

use std::any::Any;
use std::collections::BTreeMap;

use ledger::layout::Layout;
use ledger::order::OrderLaw;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use serde_json::Value;
use tch::{Device, Tensor};

use crate::LabError;
use crate::network::{Network, Parameter};
use crate::prompt::Prompt;
use crate::side_info::SideInfo;
use crate::split::Split;
use crate::state::State;

/// Where in the run a step is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepInfo {
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
    /// Which gradient pass over the step's batch this is, from 0 (see [`Objective::passes`]).
    pub pass: u32,
}

/// A batch on the device.
#[derive(Debug)]
pub struct Batch {
    /// Positions in the training split.
    pub ids: Vec<u32>,
    /// The same on the device, i64 of shape B.
    pub sample_ids: Tensor,
    /// Inputs, B × ….
    pub inputs: Tensor,
    /// What the loss compares with, B × …: classes or tokens (i64), or numbers (f32).
    pub labels: Tensor,
}

impl Batch {
    /// The part of a batch that falls to `worker` of `workers`: parts of equal size, to one example, in
    /// the order of the batch. Of fewer examples than workers each gets one, several of them the same.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn share(&self, worker: u32, workers: u32) -> Result<Self, LabError> {
        let (n, workers) = (self.ids.len(), workers.max(1) as usize);
        let at = |worker: usize| n * worker / workers;
        let from = at(worker as usize);
        let to = at(worker as usize + 1).max(from + 1).min(n);
        self.rows(from, to)
    }

    /// The units of an order with roles ([`Order::layout`]), one after the other.
    ///
    /// # Errors
    /// When the batch is not of whole units.
    pub fn units(&self, layout: &Layout) -> Result<Vec<Self>, LabError> {
        let (n, size) = (self.ids.len(), layout.size() as usize);
        if !n.is_multiple_of(size) {
            return Err(LabError::Order(format!(
                "a batch of {n} examples is not of whole units of {size} ({layout})"
            )));
        }
        (0..n / size).map(|unit| self.rows(unit * size, (unit + 1) * size)).collect()
    }

    /// The examples of one role in a batch of a single unit.
    ///
    /// # Errors
    /// When the batch is none, or the layout does not know the role.
    pub fn role(&self, layout: &Layout, role: &str) -> Result<Self, LabError> {
        let at = layout.parts().iter().position(|(name, _)| name == role);
        let (Some(at), true) = (at, self.ids.len() == layout.size() as usize) else {
            let n = self.ids.len();
            let reason = format!("{n} examples in the layout {layout} have no part {role:?}");
            return Err(LabError::Order(reason));
        };
        let count = |parts: &[(String, u32)]| parts.iter().map(|(_, n)| *n as usize).sum::<usize>();
        self.rows(count(&layout.parts()[..at]), count(&layout.parts()[..=at]))
    }

    /// Inputs and labels.
    #[must_use]
    pub fn shown(&self) -> Shown<'_> {
        Shown { inputs: &self.inputs, labels: &self.labels }
    }

    fn rows(&self, from: usize, to: usize) -> Result<Self, LabError> {
        let part = |tensor: &Tensor| tensor.f_narrow(0, from as i64, (to - from) as i64);
        Ok(Self {
            ids: self.ids[from..to].to_vec(),
            sample_ids: part(&self.sample_ids)?,
            inputs: part(&self.inputs)?,
            labels: part(&self.labels)?,
        })
    }
}

/// Examples with their labels, as a network learns from them.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Inputs, B × ….
    pub inputs: &'a Tensor,
    /// What the loss compares with.
    pub labels: &'a Tensor,
}

/// What a method may know of the task when it is built.
#[derive(Debug)]
pub struct TaskInfo<'a> {
    /// Method id, for messages.
    pub method: &'a str,
    /// Workload id, for messages.
    pub workload: &'a str,
    /// The network, as initialised.
    pub network: &'a Network,
    /// Number of training examples.
    pub examples: u32,
    /// What the workload offers beside batches.
    pub side: &'a SideInfo,
    /// A trained network of the same architecture to learn from, where the suite names one. Its
    /// parameters are a copy: nobody trains them.
    pub teacher: Option<&'a Network>,
    /// Samples the run may consume.
    pub budget_samples: u64,
    /// Named streams of this run.
    pub streams: &'a Streams,
}

impl TaskInfo<'_> {
    /// Where the network lives.
    #[must_use]
    pub fn device(&self) -> Device {
        self.network.device()
    }

    /// The error of the method that asks for what the workload does not offer.
    #[must_use]
    pub fn unfit(&self, reason: impl Into<String>) -> LabError {
        LabError::Unfit {
            method: self.method.to_owned(),
            workload: self.workload.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Facts a method leaves in the record: densities, update counts, mask digests.
pub type Facts = BTreeMap<String, Value>;

/// What a run has taken beside time and samples, each by what is counted, in words of small letters joined by `_`:
/// `forward_tokens`, `network_evaluations`. Each only grows. Records have it at every evaluation, and among the facts
/// what it came to.
pub type Costs = BTreeMap<&'static str, u64>;

/// What an objective tells of its steps, each a mean over what it saw since the last evaluation: `imitated`, the share
/// of prompts that learned by imitation. Records have it as `train/imitated`.
pub type Measures = BTreeMap<&'static str, f64>;

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
    /// The ids that the objective can use, ascending, when it said so at its start.
    pub eligible: Option<&'a [u32]>,
}

impl OrderSource<'_> {
    /// The contract's uniform order of `epoch`.
    #[must_use]
    pub fn uniform(&self, epoch: u32) -> Vec<u32> {
        ledger::order::uniform_order(self.effective_seed, epoch, self.examples)
    }
}

/// What training has shown so far: all that an order may adapt to.
#[derive(Debug, Clone, Copy)]
pub enum Feedback<'a> {
    /// A step was taken; the objective (or learner) scored its examples.
    Step {
        /// Ids of the step, as consumed.
        ids: &'a [u32],
        /// One score per id.
        scores: &'a [f64],
    },
    /// Mean loss of each group of examples on the probe split, which is disjoint from training,
    /// validation and test.
    Probe {
        /// One loss per group.
        group_losses: &'a [f64],
    },
}

/// Which example ids come next.
pub trait Order {
    /// The law that analyses take their null from.
    fn law(&self) -> OrderLaw;

    /// What its examples are there for, where it moves units of them as one piece: every round and step is
    /// then of whole units.
    fn layout(&self) -> Option<Layout> {
        None
    }

    /// Number of ids in each epoch (or round) of a run whose budget is `budget_samples`; their sum
    /// may be less than the budget, and is cut to it.
    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        let whole = budget_samples / u64::from(examples.max(1));
        let rest = u32::try_from(budget_samples % u64::from(examples.max(1))).unwrap_or(0);
        let mut rounds = vec![examples; usize::try_from(whole).unwrap_or(0)];
        rounds.extend((rest > 0).then_some(rest));
        rounds
    }

    /// Whether epoch `epoch` is chosen after a look at the probe split; its cost is the method's.
    fn wants_probe(&self, _epoch: u32) -> bool {
        false
    }

    /// Takes note of what training showed, before the next epoch is asked for.
    fn observe(&mut self, _shown: Feedback<'_>) {}

    /// The ids of epoch `epoch`; at least as many as [`Order::rounds`] said.
    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, for a run that goes on in another process ([`State`]): the same line writes and
    /// reads it. What is made before the first step is made again, and what a step makes for itself is not said.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// How examples are rendered: masks, markers, corruption.
pub trait View {
    /// Changes inputs (or labels) of a batch before the network sees it. Randomness is that of
    /// [`Streams::keyed`] by (example id, epoch), so that it does not depend on the batch.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn render(
        &mut self,
        batch: &mut Batch,
        now: &StepInfo,
        streams: &Streams,
    ) -> Result<(), LabError>;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// A stretch of the run with its own snapshot, optimiser state and learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stage {
    /// Its number, from 0; when it changes, the optimiser and the averaging start afresh.
    pub index: u32,
    /// Factor on the learning rate, beside the recipe's schedule.
    pub lr_factor: f64,
}

/// The loss of a batch, and what has to be made before it can be taken.
pub trait Objective {
    /// Called once, before the first epoch, without gradients: data to generate, snapshots to
    /// freeze. Returns the ids that can be trained on, ascending; all when `None`.
    ///
    /// # Errors
    /// When libtorch refuses an operation or nothing can be trained on.
    fn start(&mut self, _network: &Network, _train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        Ok(None)
    }

    /// Told before all else where steps are taken that nobody keeps, on data that mean nothing: nothing has to be made then that
    /// takes long, and nothing that is missing is an error.
    fn rehearse(&mut self) {}

    /// Is given the tutor of the recipe's stages, trained, before [`Objective::start`].
    fn learn_from(&mut self, _tutor: Network) {}

    /// Called without gradients when a stage of the recipe begins, the first one included.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn enter(&mut self, _stage: usize, _network: &Network) -> Result<(), LabError> {
        Ok(())
    }

    /// The stage that a step belongs to, where the recipe states none.
    fn stage(&self, _moment: &StepInfo) -> Stage {
        Stage { index: 0, lr_factor: 1.0 }
    }

    /// Called before the passes of a step, without gradients: roll-outs, noise, teacher outputs.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn before_step(
        &mut self,
        _network: &Network,
        _batch: &Batch,
        _moment: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(())
    }

    /// Gradient passes (each with its update) over what a step has prepared.
    fn passes(&self) -> u32 {
        1
    }

    /// Losses per sample, differentiable in the parameters of `network`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError>;

    /// What is differentiated: the mean of [`Objective::losses`]; overridden where another
    /// reduction is the method's, or where one kernel gives the same gradient.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        Ok(self.losses(network, batch, now)?.f_mean(None)?)
    }

    /// Called after the last update of a step, without gradients.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn after_step(
        &mut self,
        _network: &Network,
        _batch: &Batch,
        _moment: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(())
    }

    /// Whether it acts before or after the passes of a step: where it does not, the loop need not make
    /// for it what a [`Parametrisation`] lets it see there.
    fn acts_beside_passes(&self) -> bool {
        true
    }

    /// One score per example of the last step, for orders that adapt.
    fn scores(&self) -> Option<&[f64]> {
        None
    }

    /// What its steps have taken so far.
    fn costs(&self) -> Costs {
        Costs::new()
    }

    /// What its steps since the last call came to; called once at every evaluation.
    fn measures(&mut self) -> Measures {
        Measures::new()
    }

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
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

/// The update rule. Which one it is, and so the state in it, is for inspection to ask ([`Any`]); the
/// loop does not.
pub trait Optimizer: Any {
    /// Which layers the coming step trains; asked before the forward pass.
    fn active(&mut self, _moment: &StepInfo) -> Active {
        Active::All
    }

    /// Where the gradient of the update is taken, when not where the parameters are: one value for
    /// each active parameter, given the gradients here. The loop holds them to what the constraint allows,
    /// takes the gradient of the same loss on the same batch there, and brings the parameters back
    /// before it clips and updates; running statistics stay those of the first pass. Gradient
    /// recording is off.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn elsewhere(
        &mut self,
        _parameters: &[Parameter],
        _gradients: &Gradients,
        _moment: &StepInfo,
    ) -> Result<Option<Vec<Tensor>>, LabError> {
        Ok(None)
    }

    /// Moves the active parameters in place. Gradient recording is off.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError>;

    /// The momentum buffer of a parameter, where the rule keeps one.
    fn momentum(&mut self, _parameter: usize) -> Option<&mut Tensor> {
        None
    }

    /// Forgets all state: a new stage begins.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn reset(&mut self) -> Result<(), LabError>;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// What the forward pass uses in place of what is trained: a low rank and a sparse part in place of a
/// matrix, rounded or masked weights, and a [`Tap`](crate::network::Tap) on what is multiplied.
///
/// What is trained stands in the run's network, so that update rule, constraint and averaging need not
/// know. Losses and judges are handed the network that is seen, which is plain: no objective, model or
/// judge needs to know either. At the end of the run what is seen is kept.
pub trait Parametrisation {
    /// Is shown the tutor of the recipe's stages, trained, before [`Parametrisation::install`].
    fn learn_from(&mut self, _tutor: &Network) {}

    /// Puts what is trained in place of the network's parameters, before the first look at it.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    fn install(&mut self, network: &mut Network, streams: &Streams) -> Result<(), LabError>;

    /// The network that is seen: its parameters are differentiable functions of those of `trained`. At a
    /// step (`now`), or as it is judged and kept (`None`).
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn seen(&self, trained: &Network, now: Option<&StepInfo>) -> Result<Network, LabError>;

    /// Changes the gradients of what is trained before they are clipped and used. Gradient recording
    /// is off.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn amend(
        &mut self,
        _trained: &Network,
        _gradients: &mut Gradients,
        _now: &StepInfo,
    ) -> Result<(), LabError> {
        Ok(())
    }

    /// Whether what is seen is one function of what is trained, the same at every step, and gradients stay as
    /// they are: a step is then that of the update rule on what is trained, and nothing else.
    fn is_fixed(&self) -> bool {
        false
    }

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// A network that the trained state stands for.
#[derive(Debug)]
pub struct Look {
    /// What records call it: `accuracy@name`.
    pub name: String,
    /// The network.
    pub network: Network,
    /// Number of training examples that its statistics over batches are taken from anew, on the train
    /// clock; they stay as they are where there is none.
    pub recalibrate: Option<u32>,
}

/// One trained state as several networks, made anew from the weights at every look.
pub trait Looks {
    /// The networks, in the order of reports. `trained` is the run's network, `seen` what of it is
    /// judged anyway. Gradient recording is off.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn looks(&self, trained: &Network, seen: &Network) -> Result<Vec<Look>, LabError>;

    /// Number of training examples that the statistics of the run's own network are taken from anew
    /// before each evaluation, on the train clock, where looks have stirred them.
    fn recalibrate(&self) -> Option<u32> {
        None
    }

    /// Whether looks are taken at every evaluation, and not at the last alone: of what a run is to keep while
    /// it learns something else.
    fn throughout(&self) -> bool {
        false
    }

    /// Whether the mean of each metric over all looks is recorded too, as `accuracy@mean`.
    fn mean(&self) -> bool {
        false
    }
}

/// Restricts parameters.
pub trait Constraint {
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

    /// Brings parameters that are not to stay where they are within the restriction as it stands,
    /// which is left as it is: where [`Optimizer::elsewhere`] takes a gradient. Gradient recording is
    /// off.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn hold(&self, parameters: &mut [Parameter]) -> Result<(), LabError>;

    /// Called after every update. Gradient recording is off; `gradients` are those of the step.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn project(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &Gradients,
        optimizer: &mut dyn Optimizer,
        now: &StepInfo,
    ) -> Result<(), LabError>;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// Weights that are evaluated in place of those trained.
pub trait Averaging {
    /// Takes note of the parameters after an update, without gradients.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn after_update(&mut self, parameters: &[Parameter], now: &StepInfo) -> Result<(), LabError>;

    /// One tensor per parameter, or `None` while the trained weights stand for themselves.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn weights(&self) -> Result<Option<Vec<Tensor>>, LabError>;

    /// Starts afresh from `parameters`: a new stage begins.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn reset(&mut self, parameters: &[Parameter]) -> Result<(), LabError>;

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// Turns noise into samples with a trained network.
pub trait Sampler {
    /// Samples, B × …, from standard normal `noise` of the same shape with at most `evaluations`
    /// evaluations of the network; further noise comes from `random`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError>;

    /// Evaluations of the network that the method's own claim is about.
    fn evaluations(&self) -> u32;
}

/// What a trained state makes of a task that it was not trained on.
pub trait Adapter {
    /// Networks whose mean output predicts the rest of the task, made of its support set alone: neither
    /// what is asked nor its answers are seen. Of several tasks each is adapted to from `network`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn adapt(
        &self,
        network: &Network,
        support: Shown<'_>,
        random: &mut Pcg64,
    ) -> Result<Vec<Network>, LabError>;
}

/// Texts that a workload asks for.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// What each is to go on from.
    pub prompts: &'a [Prompt],
    /// Most tokens of a text, its end included.
    pub longest: usize,
    /// The token that ends a text, if one does.
    pub end: Option<i64>,
    /// Temperature that tokens are drawn at, above 0.
    pub temperature: f64,
    /// Tokens that never stand in a text.
    pub banned: &'a [i64],
    /// Where draws come from: of `written` by prompt and number of the draft, so that no text depends on another.
    pub streams: &'a Streams,
}

/// A text that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its tokens, with its end; none where it was refused.
    pub tokens: Vec<i64>,
    /// Tokens that were fed or drawn for it, those that were thrown away included, behind its prompt.
    pub spent: u64,
    /// Whether the writer gave no text.
    pub refused: bool,
}

/// Writes texts with a trained network in its own way, for workloads that judge what it writes.
pub trait Writer {
    /// A text behind each prompt, whatever the other prompts are.
    ///
    /// # Errors
    /// When the network is no transformer, or a text does not fit its context.
    fn write(&self, network: &Network, asked: &Texts<'_>) -> Result<Vec<Written>, LabError>;
}

/// What a verifier says of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The answer is right.
    pub correct: bool,
    /// The response has the form that was asked for.
    pub well_formed: bool,
}

/// The loss on a worker's share of the step's batch, at the weights that the network has when it is asked.
/// No gradient is recorded.
pub type LossAt<'a> = dyn FnMut(&Network) -> Result<f64, LabError> + 'a;

/// A step without a gradient, in two halves with nothing between them but bytes: workers look at losses and
/// say a few bytes, then the weights move by these bytes and by nothing else that was seen. So the bytes of
/// all steps are a transcript ([`Messages`](crate::messages::Messages)) from which anybody who has the
/// initial weights makes the final ones, bit for bit.
pub trait Search {
    /// Workers among which each batch is shared.
    fn workers(&self) -> u32;

    /// Bytes that a worker says in a step.
    fn width(&self) -> usize;

    /// What `worker` says of the losses around the weights, in exactly [`Search::width`] bytes. The
    /// weights are then what they were, bit for bit.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn ask(
        &mut self,
        network: &mut Network,
        worker: u32,
        loss: &mut LossAt<'_>,
        now: &StepInfo,
    ) -> Result<Vec<u8>, LabError>;

    /// Moves the weights by what all workers said, one after the other: a function of the weights, `said`,
    /// `now` and settings.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn follow(
        &mut self,
        network: &mut Network,
        said: &[u8],
        now: &StepInfo,
    ) -> Result<(), LabError>;

    /// What its steps have taken so far.
    fn costs(&self) -> Costs {
        Costs::new()
    }

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}

/// A whole training step, for what fits in no other seat.
pub trait Learner {
    /// Learns from a batch; returns the loss where there is one.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    fn step(
        &mut self,
        network: &mut Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Option<f64>, LabError>;

    /// One score per example of the last step, for orders that adapt.
    fn scores(&self) -> Option<&[f64]> {
        None
    }

    /// What its steps have taken so far.
    fn costs(&self) -> Costs {
        Costs::new()
    }

    /// Facts for the record.
    fn facts(&self) -> Facts {
        Facts::new()
    }

    /// What steps change of it, as [`Order::state`] has it.
    ///
    /// # Errors
    /// When what is read does not fit, or libtorch refuses an operation.
    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError>;
}
