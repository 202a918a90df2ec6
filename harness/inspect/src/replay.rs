//! A cell trained again outside of clock and record: in parts, in another order, or under the eyes
//! of another judge. In its own order it ends bit for bit where the run ended.

use std::ops::Range;

use ledger::digest::Digest;
use ledger::goal::Budget;
use ledger::transcript::Transcript;
use tch::Tensor;

use crate::estimate::Course;
use crate::estimate::rule::{inspectable, inspectable_mut};
use lab::LabError;
use lab::messages::Exchange;
use lab::network::Network;
use lab::orders::replayed::Replayed;
use lab::recipe::{Recipe, Step, step_bytes};
use lab::seat::{Parametrisation, StepInfo};
use training::cell::{Built, CellSetup};
use training::clock::{Clock, Monotonic};
use training::judge::Judge;
use training::keeping::{Keeper, Reached, Wanted};
use training::run::{Extent, Run};
use training::workload::Ready;

/// A cell at some step of its training.
pub struct Replay<'a> {
    setup: &'a CellSetup<'a>,
    built: Built,
    kept: Kept,
}

/// What a run has kept of itself, for its replay to go on from.
#[derive(Debug, Default)]
struct Kept(Option<Vec<u8>>);

impl Keeper for Kept {
    fn found(&mut self) -> Option<Vec<u8>> {
        self.0.take()
    }

    fn wanted(&mut self, _: &Reached) -> Wanted {
        Wanted::Nothing
    }

    fn keep(&mut self, _: &Reached, _: &[u8]) -> Result<(), LabError> {
        Ok(())
    }

    fn cannot(&mut self, _: &str) {}

    fn reach(&self, _: u64) -> Option<u64> {
        None
    }

    fn missed(&mut self, _: &str) {}
}

/// Weights, buffers and the update rule's state between two steps.
#[derive(Debug)]
pub struct StepState {
    weights: Vec<Tensor>,
    rule: Vec<Tensor>,
}

/// Who looks at the model while it trains.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Judges the model: at the start, on the grid and at the end.
    pub judge: &'a dyn Judge,
    /// Distance of the grid, in samples.
    pub every: u64,
}

impl<'a> Replay<'a> {
    /// The cell before its first step.
    ///
    /// # Errors
    /// When the method does not fit the workload or libtorch refuses an operation.
    pub fn new(setup: &'a CellSetup<'a>) -> Result<Self, LabError> {
        let mut built = setup.build()?;
        setup.start(&mut built.network, &built.streams)?;
        setup.tutor(&mut built.recipe)?;
        Ok(Self { setup, built, kept: Kept::default() })
    }

    /// The same cell from where its run has kept this state, when it trains from its first step on.
    #[must_use]
    pub fn going_on(mut self, state: Vec<u8>) -> Self {
        self.kept = Kept(Some(state));
        self
    }

    /// The same cell in another order.
    #[must_use]
    pub fn in_order(mut self, order: Replayed) -> Self {
        self.built.recipe.order = Box::new(order);
        self
    }

    /// The same cell, which follows what the workers of its recorded run said in `steps` steps and looks
    /// at no loss.
    ///
    /// # Errors
    /// When its steps are not made of messages, or these are more or fewer than the steps have.
    pub fn following(mut self, messages: Vec<u8>, steps: u64) -> Result<Self, LabError> {
        let bytes = messages.len();
        self.built.recipe = self.built.recipe.following(messages)?;
        if let Step::Forward { search, .. } = &self.built.recipe.step {
            let steps = usize::try_from(steps).unwrap_or(usize::MAX);
            let expected = steps.saturating_mul(step_bytes(search.as_ref()));
            if bytes != expected {
                return Err(LabError::Method(format!(
                    "{bytes} bytes of messages, but {steps} steps have {expected}"
                )));
            }
        }
        Ok(self)
    }

    /// How many workers share a step: one, where steps are not made of messages.
    #[must_use]
    pub fn workers(&self) -> u32 {
        match &self.built.recipe.step {
            Step::Forward { search, .. } => search.workers(),
            Step::Gradient { .. } | Step::Learner(_) => 1,
        }
    }

    /// The same cell as one worker among processes; of steps without messages it is the cell as it is.
    #[must_use]
    pub fn among(mut self, exchange: Box<dyn Exchange>) -> Self {
        if let Some(messages) = self.built.recipe.messages_mut() {
            messages.among(exchange);
        }
        self
    }

    /// Ends the exchange with the other processes.
    ///
    /// # Errors
    /// When one of them has come to other weights, or is gone.
    pub fn close(&mut self) -> Result<(), LabError> {
        let weights = self.digest()?;
        self.built.recipe.messages_mut().map_or(Ok(()), |messages| messages.close(&weights))
    }

    /// The same cell before its first step.
    ///
    /// # Errors
    /// As [`Replay::new`].
    pub fn again(&self) -> Result<Self, LabError> {
        Self::new(self.setup)
    }

    /// Whether what is trained is not the weights that are seen, but what they are made of.
    #[must_use]
    pub fn is_parametrised(&self) -> bool {
        self.built.recipe.parametrisation.is_some()
    }

    /// Puts what is trained in place of the weights that are seen, where these are made of something, before
    /// the first step and once.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn install(&mut self) -> Result<(), LabError> {
        if self.is_parametrised() {
            self.train(0..0, None)?;
        }
        Ok(())
    }

    /// How the weights that are seen are made of what is trained, installed; `None` where they are the same.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn into_parametrisation(mut self) -> Result<Option<Box<dyn Parametrisation>>, LabError> {
        self.install()?;
        Ok(self.built.recipe.parametrisation)
    }

    /// From here on in another order.
    pub fn reorder(&mut self, order: Replayed) {
        self.built.recipe.order = Box::new(order);
    }

    /// The data.
    #[must_use]
    pub fn ready(&self) -> &'a Ready {
        self.setup.ready
    }

    /// Where every step of the run in `order` stands, and the ids that it consumes.
    #[must_use]
    pub fn moments(&self, order: &Replayed) -> Vec<(StepInfo, Vec<u32>)> {
        let recipe = &self.built.recipe;
        let Extent { rounds, epochs: total_epochs, steps: total_steps } = self.extent();
        let batch = recipe.batch_size.max(1);
        let epochs = (0_u32..).zip(order.epochs()).zip(&rounds);
        let steps = epochs.flat_map(|((epoch, ids), n)| {
            let ids = &ids[..ids.len().min(*n as usize)];
            ids.chunks(batch as usize).map(move |ids| (epoch, ids.to_vec()))
        });
        let moments = (0_u64..).zip(steps).map(|(step, (epoch, ids))| {
            let lr_factor = recipe.schedule.factor(step, total_steps);
            (StepInfo { step, total_steps, epoch, total_epochs, lr_factor, pass: 0 }, ids)
        });
        moments.collect()
    }

    /// What of the method a step has beside the gradient of a loss and the update rule.
    #[must_use]
    pub fn beyond_gradients(&self) -> Option<&'static str> {
        let Recipe {
            batch_size: _,
            schedule: _,
            order,
            view,
            stages,
            step,
            clip_norm: _,
            parametrisation,
            constraint,
            averaging,
            looks: _,
            sampler: _,
            adapter,
            writer: _,
        } = &self.built.recipe;
        match step {
            Step::Gradient { .. } => {}
            Step::Forward { .. } => return Some("steps without a gradient"),
            Step::Learner(_) => return Some("a learner of its own"),
        }
        let parts = [
            (view.is_some(), "a view that renders examples anew"),
            (
                parametrisation.as_ref().is_some_and(|made| !made.is_fixed()),
                "a parametrisation of the weights that depends on the step",
            ),
            (constraint.is_some(), "a constraint that restricts parameters"),
            (averaging.is_some(), "averaged weights"),
            (adapter.is_some(), "adaptation to the tasks that it is judged on"),
            (order.layout().is_some(), "an order of units with roles"),
            (stages.is_some(), "stages that begin with a fresh optimiser"),
        ];
        parts.into_iter().find_map(|(present, what)| present.then_some(what))
    }

    /// The update rule in its present state, over steps at `moments`.
    ///
    /// # Errors
    /// When the method has no update rule, or one that cannot tell its state.
    pub fn into_course(self, moments: Vec<StepInfo>) -> Result<Course, LabError> {
        let Built { network, recipe, .. } = self.built;
        match recipe.step {
            Step::Gradient { optimizer, .. } => {
                Course::new(&network, optimizer, moments, recipe.clip_norm)
            }
            Step::Forward { .. } | Step::Learner(_) => {
                Err(LabError::Order("the method has no update rule".to_owned()))
            }
        }
    }

    /// The network as it is.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.built.network
    }

    /// Examples per step.
    #[must_use]
    pub fn batch_size(&self) -> u32 {
        self.built.recipe.batch_size
    }

    /// Steps of the whole run.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.extent().steps
    }

    fn extent(&self) -> Extent {
        Extent::of(&self.built.recipe, self.setup.examples(), self.setup.goal.budget)
    }

    /// Takes the steps of `part`, counted from 0 over the whole run; those before it are passed
    /// over. Returns after how many steps the judge looked, each time.
    ///
    /// # Errors
    /// When libtorch refuses an operation, or the judge fails.
    pub fn train(
        &mut self,
        part: Range<u64>,
        watch: Option<Watch<'_>>,
    ) -> Result<Vec<u64>, LabError> {
        let budget = self.setup.goal.budget;
        let mut transcript = Transcript::start(self.built.commitment().digest());
        let Built { streams, effective_seed, network, recipe, .. } = &mut self.built;
        let evaluate_every = watch.map_or(budget.evaluate_every, |watch| watch.every.max(1));
        let mut clock = Clock::start(Monotonic::start(), self.setup.device);
        let drawn = (&*streams, &*effective_seed);
        let mut looks = Vec::new();
        let _ = Run {
            judge: watch.map(|watch| watch.judge),
            budget: Budget { evaluate_every, ..budget },
            part,
            keeper: Some(&mut self.kept),
            ..self.setup.training(network, recipe, drawn, &mut transcript, &mut clock)
        }
        .train(&mut |evaluation| {
            looks.push(evaluation.steps);
            Ok(())
        })?;
        Ok(looks)
    }

    /// All that the coming steps depend on, where the update rule can tell its state and nothing
    /// else of the method is known to keep one; what an objective keeps is not seen.
    #[must_use]
    pub fn step_state(&self) -> Option<StepState> {
        // A view is a function of example and epoch; an order is asked for its ids anew.
        let Recipe {
            batch_size: _,
            schedule: _,
            order: _,
            view: _,
            stages,
            step,
            clip_norm: _,
            parametrisation,
            constraint,
            averaging,
            looks: _,
            sampler: _,
            adapter: _,
            writer: _,
        } = &self.built.recipe;
        if parametrisation.as_ref().is_some_and(|made| !made.is_fixed())
            || constraint.is_some()
            || averaging.is_some()
            || stages.is_some()
        {
            return None;
        }
        match step {
            Step::Gradient { optimizer, .. } => {
                let rule = inspectable(optimizer.as_ref())?.state();
                Some(StepState { weights: self.built.network.snapshot(), rule })
            }
            Step::Forward { .. } | Step::Learner(_) => None,
        }
    }

    /// Goes to where `between` was taken, in a replay of the same cell.
    ///
    /// # Errors
    /// When it is of another cell.
    pub fn resume(&mut self, state: &StepState) -> Result<(), LabError> {
        self.built.network.restore(&state.weights)?;
        match &mut self.built.recipe.step {
            Step::Gradient { optimizer, .. } => match inspectable_mut(optimizer.as_mut()) {
                Some(rule) => rule.restore(&state.rule),
                None => Err(LabError::Order("the update rule cannot put state back".to_owned())),
            },
            Step::Forward { .. } | Step::Learner(_) => Ok(()),
        }
    }

    /// Digest of the parameters and buffers that are evaluated, as records have it.
    ///
    /// # Errors
    /// When values cannot be copied to the host.
    pub fn digest(&self) -> Result<Digest, LabError> {
        Ok(self.built.recipe.kept(self.built.network.duplicate())?.digest()?)
    }

    /// The network with the weights that are evaluated.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn finish(self) -> Result<Network, LabError> {
        let Built { network, recipe, .. } = self.built;
        recipe.kept(network)
    }
}
