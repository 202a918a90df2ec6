//! What a method composes: a recipe of seats.

use ledger::catalogue::Schedule;
use ledger::digest::Digest;
use ledger::order::OrderLaw;

use crate::LabError;
use crate::messages::Messages;
use crate::network::Network;
use crate::orders::uniform::Uniform;
use crate::seat::{
    Adapter, Averaging, Batch, Constraint, Costs, EpochPlan, Facts, Learner, Looks, Measures,
    Objective, Optimizer, Order, OrderSource, Parametrisation, Sampler, Search, StepInfo, TaskInfo,
    View, Writer,
};
use crate::stages::Stages;
use crate::state::State;

/// How a step moves the network.
pub enum Step {
    /// By gradients of an objective.
    Gradient {
        /// The loss.
        objective: Box<dyn Objective>,
        /// The update rule.
        optimizer: Box<dyn Optimizer>,
    },
    /// By losses alone.
    Forward {
        /// The loss; its passes and scores are not asked for.
        objective: Box<dyn Objective>,
        /// What is said of losses, and the move made from it.
        search: Box<dyn Search>,
        /// What was said, step after step; of a replay, what is to be followed.
        messages: Messages,
    },
    /// In its own way.
    Learner(Box<dyn Learner>),
}

/// What a method composes: its seats, and how batches and learning rate go.
pub struct Recipe {
    /// Examples per step.
    pub batch_size: u32,
    /// Learning-rate factor over the run.
    pub schedule: Schedule,
    /// Which ids come next.
    pub order: Box<dyn Order>,
    /// How examples are rendered, when not as they are stored.
    pub view: Option<Box<dyn View>>,
    /// Stretches of the run with data, parameters and rates of their own, if any.
    pub stages: Option<Stages>,
    /// How a step moves the network.
    pub step: Step,
    /// Largest norm of the gradient over all parameters; longer ones are scaled down to it.
    pub clip_norm: Option<f64>,
    /// What the forward pass uses, when not what is trained.
    pub parametrisation: Option<Box<dyn Parametrisation>>,
    /// Restriction of parameters, if any.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Weights to evaluate, when not those trained.
    pub averaging: Option<Box<dyn Averaging>>,
    /// Further networks to evaluate, if any.
    pub looks: Option<Box<dyn Looks>>,
    /// How samples are drawn, for workloads that ask for them.
    pub sampler: Option<Box<dyn Sampler>>,
    /// How the trained state meets new tasks, for workloads that judge it on them.
    pub adapter: Option<Box<dyn Adapter>>,
    /// How texts are written, for workloads that ask for some.
    pub writer: Option<Box<dyn Writer>>,
}

impl Recipe {
    /// Uniform shuffles and the workload's own loss, nothing restricted, rendered or averaged.
    ///
    /// # Errors
    /// When the workload has no loss of its own to minimise.
    pub fn plain(
        batch_size: u32,
        schedule: Schedule,
        optimizer: Box<dyn Optimizer>,
        task: &TaskInfo<'_>,
    ) -> Result<Self, LabError> {
        let objective = task.side.loss.ok_or_else(|| LabError::Unfit {
            method: "plain training".to_owned(),
            workload: task.workload.to_owned(),
            reason: "the workload has no loss of its own".to_owned(),
        })?;
        let step = Step::Gradient { objective: Box::new(objective), optimizer };
        Ok(Self::of(batch_size, schedule, step))
    }

    /// No step at all: for what only sets a mark, or changes the weights it starts from in one go.
    #[must_use]
    pub fn idle() -> Self {
        let plain = Self::of(1, Schedule::Constant, Step::Learner(Box::new(Still)));
        Self { order: Box::new(Nothing), ..plain }
    }

    /// What its steps have taken so far.
    #[must_use]
    pub fn costs(&self) -> Costs {
        match &self.step {
            Step::Gradient { objective, .. } => objective.costs(),
            Step::Forward { objective, search, .. } => {
                objective.costs().into_iter().chain(search.costs()).collect()
            }
            Step::Learner(learner) => learner.costs(),
        }
    }

    /// What the steps since the last evaluation came to.
    pub fn measures(&mut self) -> Measures {
        match &mut self.step {
            Step::Gradient { objective, .. } | Step::Forward { objective, .. } => {
                objective.measures()
            }
            Step::Learner(_) => Measures::new(),
        }
    }

    /// The facts of all seats, and what steps have taken.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let Self {
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
            adapter: _,
            writer: _,
        } = self;
        let mut all = order.facts();
        all.extend(self.costs().into_iter().map(|(name, count)| (name.to_owned(), count.into())));
        all.extend(view.iter().flat_map(|view| view.facts()));
        all.extend(stages.iter().flat_map(Stages::facts));
        match step {
            Step::Gradient { objective, optimizer } => {
                all.extend(objective.facts());
                all.extend(optimizer.facts());
            }
            Step::Forward { objective, search, messages } => {
                all.extend(objective.facts());
                all.extend(search.facts());
                all.extend(messages.facts());
            }
            Step::Learner(learner) => all.extend(learner.facts()),
        }
        all.extend(parametrisation.iter().flat_map(|parametrisation| parametrisation.facts()));
        all.extend(constraint.iter().flat_map(|constraint| constraint.facts()));
        all.extend(averaging.iter().flat_map(|averaging| averaging.facts()));
        all
    }

    /// What steps change of all seats, for a run that goes on in another process.
    ///
    /// # Errors
    /// When a seat cannot be kept, what is read does not fit, or libtorch refuses an operation.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        let Self {
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
            adapter: _,
            writer: _,
        } = self;
        order.state(state)?;
        view.as_mut().map_or(Ok(()), |view| view.state(state))?;
        stages.as_mut().map_or(Ok(()), |stages| stages.state(state))?;
        match step {
            Step::Gradient { objective, optimizer } => {
                objective.state(state)?;
                optimizer.state(state)?;
            }
            Step::Forward { objective, search, messages } => {
                objective.state(state)?;
                search.state(state)?;
                messages.state(state)?;
            }
            Step::Learner(learner) => learner.state(state)?,
        }
        parametrisation.as_mut().map_or(Ok(()), |rule| rule.state(state))?;
        constraint.as_mut().map_or(Ok(()), |constraint| constraint.state(state))?;
        averaging.as_mut().map_or(Ok(()), |averaging| averaging.state(state))
    }

    /// The network that is judged and kept, made of the one that was trained: averaged where the method
    /// averages, and as the forward pass sees it. Its parameters are leaves.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn kept(&self, mut trained: Network) -> Result<Network, LabError> {
        if let Some(averaging) = &self.averaging
            && let Some(weights) = averaging.weights()?
        {
            trained.exchange(&weights)?;
        }
        match &self.parametrisation {
            Some(rule) => Ok(tch::no_grad(|| rule.seen(&trained, None))?.duplicate()),
            None => Ok(trained),
        }
    }

    /// Ends the stage that training is in, where there are stages, behind so many steps of the run and with what
    /// is kept of it.
    pub fn close_stages(&mut self, steps: u64, kept: Digest) {
        if let Some(stages) = &mut self.stages {
            stages.leave(steps, kept);
        }
    }

    /// What the workers of a search have said, for steps that are made of it.
    #[must_use]
    pub fn messages(&self) -> Option<&Messages> {
        match &self.step {
            Step::Forward { messages, .. } => Some(messages),
            Step::Gradient { .. } | Step::Learner(_) => None,
        }
    }

    /// The same, to bring the workers together.
    pub fn messages_mut(&mut self) -> Option<&mut Messages> {
        match &mut self.step {
            Step::Forward { messages, .. } => Some(messages),
            Step::Gradient { .. } | Step::Learner(_) => None,
        }
    }

    /// The same recipe, which follows what was said in another run of it and looks at no loss.
    ///
    /// # Errors
    /// When its steps are not made of messages, or these are not whole steps.
    pub fn following(mut self, bytes: Vec<u8>) -> Result<Self, LabError> {
        let Step::Forward { search, messages, .. } = &mut self.step else {
            let reason = "its steps are not made of messages: there is nothing to follow";
            return Err(LabError::Method(reason.to_owned()));
        };
        *messages = Messages::recorded(bytes, step_bytes(search.as_ref()))?;
        Ok(self)
    }

    /// Uniform shuffles and this step, nothing else.
    #[must_use]
    pub fn of(batch_size: u32, schedule: Schedule, step: Step) -> Self {
        Self {
            batch_size,
            schedule,
            order: Box::new(Uniform),
            view: None,
            stages: None,
            step,
            clip_norm: None,
            parametrisation: None,
            constraint: None,
            averaging: None,
            looks: None,
            sampler: None,
            adapter: None,
            writer: None,
        }
    }
}

/// Bytes that all workers together say in a step.
#[must_use]
pub fn step_bytes(search: &dyn Search) -> usize {
    search.workers() as usize * search.width()
}

/// Learns nothing.
struct Still;

impl Learner for Still {
    fn step(&mut self, _: &mut Network, _: &Batch, _: &StepInfo) -> Result<Option<f64>, LabError> {
        Ok(None)
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// An order without a step.
struct Nothing;

impl Order for Nothing {
    fn law(&self) -> OrderLaw {
        OrderLaw::Sorted
    }

    fn rounds(&self, _: u32, _: u64) -> Vec<u32> {
        Vec::new()
    }

    fn epoch(&mut self, epoch: u32, _: &OrderSource<'_>) -> EpochPlan {
        EpochPlan { ids: Vec::new(), block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
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
