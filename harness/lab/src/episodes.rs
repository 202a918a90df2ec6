//! What methods share that learn from episodes: descent on the support set, with or without a way back
//! through it, and the loss of the queries behind it.

use ledger::catalogue::Schedule;
use ledger::layout::Layout;
use ledger::settings;
use ledger::settings::Range;
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use crate::LabError;
use crate::network::{Network, Parameter};
use crate::objectives::DefaultLoss;
use crate::orders::episodes::Episodes;
use crate::recipe::{Recipe, Step};
use crate::seat::{Adapter, Batch, Objective, Shown, StepInfo, TaskInfo};
use crate::state::State;

/// Role of the examples that a task is learnt from.
pub const SUPPORT: &str = "support";
/// Role of those that it is asked for.
pub const QUERY: &str = "query";

settings! {
    /// Settings of methods that learn from episodes.
    pub struct EpisodeSettings {
        /// Steps on the support set in training.
        inner_steps: u32 = 5, range Range::of(0.0..=1_000.0), from "assumed: 1 to 5 in the code of MAML and NIW-Meta";
        /// Steps on the support set of a new task.
        test_steps: u32 = 5, range Range::of(0.0..=1_000.0), from "maml main.py: 5 while it trains, for sines";
        /// Learning rate of these steps.
        inner_lr: f64 = 0.01, range Range::above(0.0), from "MAML, section 5.1";
        /// Episodes per step.
        episodes: u32 = 4, range Range::of(1.0..), from "maml main.py: 4 for images, 25 for sines";
    }
}

/// What a method finds on a workload of episodes.
#[derive(Debug, Clone)]
pub struct Found {
    /// Support, then queries.
    pub layout: Layout,
    /// The loss of both.
    pub loss: DefaultLoss,
}

impl EpisodeSettings {
    /// What the task offers to these settings.
    ///
    /// # Errors
    /// When it has no episodes, no support or fewer episodes than a step asks for.
    pub fn found(&self, task: &TaskInfo<'_>) -> Result<Found, LabError> {
        let (Some(layout), Some(loss)) = (task.side.episodes.clone(), task.side.loss) else {
            return Err(task.unfit("it has no episodes of support and query, or no loss"));
        };
        let roles = layout.parts().iter().map(|(role, _)| role.as_str());
        if !roles.eq([SUPPORT, QUERY]) {
            return Err(task.unfit(format!("its episodes are {layout}, not support and query")));
        }
        let most = task.examples / layout.size();
        if self.episodes > most {
            return Err(task.unfit(format!(
                "setting \"episodes\" is {}, but must be at least 1 and at most {most}, the episodes there are",
                self.episodes
            )));
        }
        Ok(Found { layout, loss })
    }

    /// Shuffled episodes and this step, adapted to new tasks by `adapter`.
    #[must_use]
    pub fn recipe(
        &self,
        layout: &Layout,
        schedule: Schedule,
        step: Step,
        adapter: Box<dyn Adapter>,
    ) -> Recipe {
        let plain = Recipe::of(self.episodes * layout.size(), schedule, step);
        let order = Box::new(Episodes(layout.clone()));
        Recipe { order, adapter: Some(adapter), ..plain }
    }

    /// Descent in training, through which gradients find back as `back` says.
    #[must_use]
    pub fn inner(&self, loss: DefaultLoss, back: Back) -> Inner {
        Inner { loss, back, steps: self.inner_steps, lr: self.inner_lr, first_layer: 0 }
    }

    /// Descent on the support set of a new task, from layer `first_layer` on.
    #[must_use]
    pub fn tested(&self, loss: DefaultLoss, first_layer: usize) -> Inner {
        let steps = self.test_steps;
        Inner { loss, back: Back::None, steps, lr: self.inner_lr, first_layer }
    }
}

/// How a gradient finds back through steps of descent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// Not at all: where they end is a leaf, and nothing of the way is kept.
    None,
    /// As if the gradients of the steps were constants.
    First,
    /// Through them.
    Second,
}

/// Plain gradient descent from given weights.
#[derive(Debug, Clone, Copy)]
pub struct Inner {
    /// What is minimised, as a mean.
    pub loss: DefaultLoss,
    /// How a gradient finds back.
    pub back: Back,
    /// Number of steps.
    pub steps: u32,
    /// Learning rate.
    pub lr: f64,
    /// The first layer that moves; those before it stay.
    pub first_layer: usize,
}

impl Inner {
    /// The network behind all steps.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn descend(&self, from: &Network, shown: Shown<'_>) -> Result<Network, LabError> {
        let mut network = start(from, self.back)?;
        for _ in 0..self.steps {
            self.step(&mut network, shown)?;
        }
        Ok(network)
    }

    /// One step. Parameters that the loss does not depend on stay where they are.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn step(&self, network: &mut Network, shown: Shown<'_>) -> Result<(), LabError> {
        tch::with_grad(|| {
            let outputs = network.forward(shown.inputs, true)?;
            let loss = self.loss.of_outputs(&outputs, shown.labels)?.f_mean(None)?;
            let moves = |index: &usize| network.parameters[*index].layer >= self.first_layer;
            let moved: Vec<usize> = (0..network.parameters.len()).filter(moves).collect();
            let inputs: Vec<_> = moved.iter().map(|&index| network.at(index)).collect();
            let through = self.back == Back::Second;
            let gradients = Tensor::f_run_backward(&[&loss], &inputs, through, through)?;
            for (&index, gradient) in moved.iter().zip(&gradients) {
                if gradient.defined() {
                    let tensor = &mut network.parameters[index].tensor;
                    *tensor = self.moved(tensor, gradient)?;
                }
            }
            Ok(())
        })
    }

    fn moved(&self, weight: &Tensor, gradient: &Tensor) -> Result<Tensor, TchError> {
        let step = gradient.f_mul_scalar(self.lr)?;
        match self.back {
            Back::None => Ok(weight.f_detach()?.f_sub(&step)?.set_requires_grad(true)),
            Back::First => weight.f_sub(&step.f_detach()?),
            Back::Second => weight.f_sub(&step),
        }
    }
}

/// The weights to start from: the network's own tensors where a gradient finds back, else leaves of the same
/// values.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn start(from: &Network, back: Back) -> Result<Network, LabError> {
    let copies = from.parameters.iter().map(|parameter| Parameter {
        name: parameter.name.clone(),
        tensor: parameter.tensor.shallow_clone(),
        ..*parameter
    });
    let mut network = from.over(copies.collect());
    if back == Back::None {
        for parameter in &mut network.parameters {
            parameter.tensor = parameter.tensor.f_detach()?.set_requires_grad(true);
        }
    }
    Ok(network)
}

impl Adapter for Inner {
    fn adapt(
        &self,
        network: &Network,
        support: Shown<'_>,
        _: &mut Pcg64,
    ) -> Result<Vec<Network>, LabError> {
        Ok(vec![self.descend(network, support)?])
    }
}

/// The loss of every episode's queries behind descent on its support set.
#[derive(Debug, Clone)]
pub struct Queried {
    /// The descent.
    pub inner: Inner,
    /// Support, then queries.
    pub layout: Layout,
}

impl Objective for Queried {
    /// One loss per query.
    fn losses(&mut self, from: &Network, batch: &Batch, _: &StepInfo) -> Result<Tensor, LabError> {
        let mut all = Vec::new();
        for episode in batch.units(&self.layout)? {
            let support = episode.role(&self.layout, SUPPORT)?;
            let adapted = self.inner.descend(from, support.shown())?;
            let query = episode.role(&self.layout, QUERY)?;
            let outputs = adapted.forward(&query.inputs, true)?;
            all.push(self.inner.loss.of_outputs(&outputs, &query.labels)?);
        }
        Ok(Tensor::f_cat(&all, 0)?)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}
