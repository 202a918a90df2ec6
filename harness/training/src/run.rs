//! The training loop: ids → batch → view → loss → gradients → update → projection.
//!
//! Everything between two evaluations runs inside the train clock, generation, probes and teachers
//! included, and the loop itself copies nothing to the host: the ids of an epoch are uploaded
//! once, batches are gathered by index on the device, and the transcript only copies ids; it is
//! hashed at evaluations, inside the io clock.
//!
//! The judge is the loop's alone. No seat is handed it, or anything it returned.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use ledger::goal::{self, Budget, Target};
use ledger::record::format::Evaluation;
use ledger::transcript::Transcript;
use tch::{Kind, Tensor};

use crate::calibrate;
use crate::clock::{Clock, Phase, Time};
use crate::judge::{EvaluationRequest, Judge, Judged, Model};
use crate::keeping::{Keeper, Reached, Wanted};
use crate::splits::Splits;
use lab::LabError;
pub use lab::gradients::clip;
use lab::messages::Messages;
use lab::network::{Network, Parameter, values};
use lab::objectives::DefaultLoss;
use lab::recipe::{Recipe, Step};
use lab::seat::{
    Active, Averaging, Batch, Constraint, Feedback, Gradients, Look, Objective, OrderSource,
    Parametrisation, Search, StepInfo,
};
use lab::split::Split;
use lab::state::State;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The budget is spent.
    Completed,
    /// Loss or metrics stopped being finite.
    Diverged,
}

/// Receives every evaluation, in order; its time is charged to the io clock.
pub type Observe<'a> = dyn FnMut(&Evaluation) -> Result<(), LabError> + 'a;

/// A run about to start.
#[derive(Debug)]
pub struct Run<'a, T: Time> {
    /// The network, as initialised.
    pub network: &'a mut Network,
    /// The method.
    pub recipe: &'a mut Recipe,
    /// The data.
    pub splits: &'a Splits,
    /// The loss that probes are made with, where the workload has one.
    pub loss: Option<DefaultLoss>,
    /// What judges the model; nobody in a warm-up.
    pub judge: Option<&'a dyn Judge>,
    /// Where the order comes from.
    pub source: OrderSource<'a>,
    /// How long.
    pub budget: Budget,
    /// What to reach.
    pub target: &'a Target,
    /// What was consumed.
    pub transcript: &'a mut Transcript,
    /// Time.
    pub clock: &'a mut Clock<T>,
    /// The steps that are taken, counted from 0; a replay passes over the others.
    pub part: Range<u64>,
    /// What keeps the run between its steps, if anything does.
    pub keeper: Option<&'a mut (dyn Keeper + 'static)>,
}

/// Every step of a run.
pub const WHOLE: Range<u64> = 0..u64::MAX;

struct Progress {
    samples: u64,
    total_samples: u64,
    steps: u64,
    total_steps: u64,
    target_met: bool,
    /// What was observed.
    looks: Vec<Evaluation>,
}

/// The round in course.
#[derive(Default)]
struct Round {
    number: u32,
    ids: Vec<u32>,
    /// How many of the ids were consumed.
    taken: usize,
}

/// How a budget is spent: rounds, and the steps that they make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Ids per round; their sum is within the budget.
    pub rounds: Vec<u32>,
    /// Number of rounds.
    pub epochs: u32,
    /// Steps of all rounds.
    pub steps: u64,
}

impl Extent {
    /// What `recipe` makes of a budget.
    #[must_use]
    pub fn of(recipe: &Recipe, examples: u32, budget: Budget) -> Self {
        let mut left = budget.samples;
        let rounds = recipe.order.rounds(examples, budget.samples).into_iter().map(|n| {
            let n = u32::try_from(left).map_or(n, |left| left.min(n));
            left -= u64::from(n);
            n
        });
        let rounds: Vec<u32> = rounds.take_while(|n| *n > 0).collect();
        let batch = recipe.batch_size.max(1);
        let steps = rounds.iter().map(|n| u64::from(n.div_ceil(batch))).sum();
        let epochs = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
        Self { rounds, epochs, steps }
    }
}

impl<T: Time> Run<'_, T> {
    /// Trains to the end of the budget, calling `observe` after every evaluation.
    ///
    /// # Errors
    /// When libtorch refuses an operation, the order leaves the training split, or `observe` fails.
    pub fn train(&mut self, observe: &mut Observe<'_>) -> Result<Ending, LabError> {
        let Extent { rounds, epochs: total_epochs, steps: total_steps } =
            Extent::of(self.recipe, self.source.examples, self.budget);
        let batch_size = self.recipe.batch_size.max(1) as usize;
        self.check_layout(&rounds)?;
        let total_samples = rounds.iter().copied().map(u64::from).sum();
        let mut progress = Progress {
            samples: 0,
            total_samples,
            steps: 0,
            total_steps,
            target_met: false,
            looks: Vec::new(),
        };
        if self.part.start == 0 {
            if let Some(parametrisation) = &mut self.recipe.parametrisation {
                parametrisation.install(self.network, self.source.streams)?;
            }
            // It was made before a start or a tutor had brought the weights to where they are.
            if let Some(averaging) = &mut self.recipe.averaging {
                averaging.reset(&self.network.parameters)?;
            }
        }
        if rounds.is_empty() {
            // Without a step, what a method prepares is all it does: the only look is behind it.
            self.clock.enter(Phase::Train);
            self.prepare()?;
            return self.evaluate(&mut progress, None, observe);
        }
        let mut trained = Trained::new();
        let found = self.keeper.as_mut().and_then(|keeper| keeper.found());
        let (eligible, mut kept) = if let Some(found) = found {
            let (eligible, round) = self.go_on(&found, &mut progress, &mut trained, observe)?;
            let own = rounds.get(round.number as usize);
            if own.is_none_or(|n| *n as usize != round.ids.len()) {
                let reason = "the round that it was in is none of this run";
                return Err(LabError::State(reason.to_owned()));
            }
            (eligible, Some(round))
        } else {
            if self.evaluate(&mut progress, None, observe)? == Ending::Diverged {
                return Ok(Ending::Diverged);
            }
            self.clock.enter(Phase::Train);
            let eligible = self.prepare()?;
            trained.switch(self.network, Active::All);
            (eligible, None)
        };
        for (epoch, &n) in (0..).zip(&rounds) {
            if kept.as_ref().is_some_and(|round| epoch < round.number) {
                continue;
            }
            let mut round = match kept.take() {
                Some(round) => round,
                None => self.round(epoch, n, eligible.as_deref())?,
            };
            let uploaded = self.upload(&round.ids)?;
            while round.taken < round.ids.len() && progress.steps < self.part.end {
                let start = round.taken;
                let chunk = &round.ids[start..round.ids.len().min(start + batch_size)];
                let length = chunk.len() as u64;
                round.taken += chunk.len();
                if progress.steps < self.part.start {
                    progress.steps += 1;
                    progress.samples += length;
                    continue;
                }
                let step = progress.steps;
                let lr_factor = self.recipe.schedule.factor(step, total_steps);
                let mut now =
                    StepInfo { step, total_steps, epoch, total_epochs, lr_factor, pass: 0 };
                self.enter(&mut trained, &mut now)?;
                let sample_ids = uploaded.f_narrow(0, start as i64, chunk.len() as i64)?;
                let batch = self.splits.train.gather(chunk, sample_ids)?;
                let loss = self.step(batch, &mut trained, now)?;
                let pushed = self.transcript.push_step(chunk);
                pushed.map_err(|error| LabError::Order(error.to_string()))?;
                let cell = progress.samples / self.budget.evaluate_every;
                progress.steps += 1;
                progress.samples += length;
                if progress.samples / self.budget.evaluate_every > cell
                    || progress.steps == total_steps
                {
                    if self.evaluate(&mut progress, loss.as_ref(), observe)? == Ending::Diverged {
                        return Ok(Ending::Diverged);
                    }
                    self.clock.enter(Phase::Train);
                }
                self.keep(&mut progress, &mut trained, &mut round)?;
            }
        }
        self.clock.enter(Phase::Other);
        Ok(Ending::Completed)
    }

    /// Looks at the probe split where the order wants it, and begins the round that it chooses.
    fn round(&mut self, number: u32, n: u32, eligible: Option<&[u32]>) -> Result<Round, LabError> {
        if self.recipe.order.wants_probe(number) {
            let group_losses = self.probe()?;
            self.recipe.order.observe(Feedback::Probe { group_losses: &group_losses });
        }
        let source = OrderSource { eligible, ..self.source };
        let plan = self.recipe.order.epoch(number, &source);
        let ids = self.checked(&plan.ids, n, number)?.to_vec();
        self.transcript.begin_epoch(plan.block);
        Ok(Round { number, ids, taken: 0 })
    }

    /// Goes on from what an earlier part of the run has kept. What is made before the first step is made again, the same
    /// and on no clock; then comes what steps have changed since.
    fn go_on(
        &mut self,
        found: &[u8],
        progress: &mut Progress,
        trained: &mut Trained,
        observe: &mut Observe<'_>,
    ) -> Result<(Option<Vec<u32>>, Round), LabError> {
        let eligible = self.prepare()?;
        trained.switch(self.network, Active::All);
        let mut round = Round::default();
        let read = self.state(Some(found), progress, trained, &mut round);
        let (_, clocks) = read.map_err(unfit)?;
        progress.looks.iter().try_for_each(&mut *observe)?;
        self.clock.go_on(clocks);
        self.clock.enter(Phase::Train);
        Ok((eligible, round))
    }

    /// Keeps the run behind a step, where that is wanted.
    fn keep(
        &mut self,
        progress: &mut Progress,
        trained: &mut Trained,
        round: &mut Round,
    ) -> Result<(), LabError> {
        if progress.steps == progress.total_steps || self.keeper.is_none() {
            return Ok(());
        }
        let Progress { steps, samples, .. } = *progress;
        let reached = Reached { steps, samples, passed: self.clock.passed() };
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        let wanted = keeper.wanted(&reached);
        if wanted == Wanted::Nothing {
            return Ok(());
        }
        self.clock.enter(Phase::Io);
        let state = self.state(None, progress, trained, round);
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        match state {
            Ok((state, _)) => keeper.keep(&reached, &state)?,
            Err(error @ LabError::Unkept(_)) => keeper.cannot(&error.to_string()),
            Err(error) => return Err(error),
        }
        if wanted == Wanted::Stopped {
            return Err(LabError::Stopped { step: steps });
        }
        self.clock.enter(Phase::Train);
        Ok(())
    }

    /// Writes what steps change, or reads it from `found`; with what the clocks showed.
    fn state(
        &mut self,
        found: Option<&[u8]>,
        progress: &mut Progress,
        trained: &mut Trained,
        round: &mut Round,
    ) -> Result<(Vec<u8>, [Duration; 4]), LabError> {
        let network: &Network = self.network;
        let mut state = match found {
            None => State::writing(network),
            Some(bytes) => State::reading(bytes, network),
        };
        state.weights("network", network)?;
        self.recipe.state(&mut state)?;
        let Progress { samples, total_samples: _, steps, total_steps: _, target_met, looks } =
            progress;
        state.of("samples", samples)?;
        state.of("steps", steps)?;
        state.of("target_met", target_met)?;
        state.told("looks", looks)?;
        state.of("stage", &mut trained.stage)?;
        let Round { number, ids, taken } = round;
        state.of("round", number)?;
        state.of("ids", ids)?;
        state.of("taken", taken)?;
        let (mut consumed, mut epochs) = self.transcript.recorded();
        let mut chain = self.transcript.chain();
        state.of("consumed", &mut consumed)?;
        state.of("epochs", &mut epochs)?;
        state.told("chain", &mut chain)?;
        let mut streams = self.source.streams.used();
        state.of("streams", &mut streams)?;
        let mut clocks = self.clock.shown();
        state.told("clocks", &mut clocks)?;
        if state.is_read() {
            let again = self.transcript.go_on(&consumed, &epochs);
            again.map_err(|error| LabError::State(error.to_string()))?;
            let behind = ids.get(..*taken).is_some_and(|taken| consumed.ends_with(taken));
            let counted = consumed.len() as u64 == *samples && self.transcript.steps() == *steps;
            let within = ids.iter().all(|id| *id < self.source.examples);
            if self.transcript.chain() != chain || !behind || !counted || !within {
                let reason = "its order is not that of this commitment";
                return Err(LabError::State(reason.to_owned()));
            }
            self.source.streams.note_all(&streams);
        }
        Ok((state.finish()?, clocks))
    }

    /// Goes into the stage of a step, where the recipe states stages, and gives the step its rate.
    fn enter(&mut self, trained: &mut Trained, now: &mut StepInfo) -> Result<(), LabError> {
        let Some(stages) = &self.recipe.stages else { return Ok(()) };
        let (index, before) = (stages.at(now), stages.reached());
        now.lr_factor *= stages.lr_factor(now);
        if before != Some(index) {
            self.clock.enter(Phase::Io);
            let weights = self.recipe.kept(self.network.duplicate())?.digest()?;
            self.clock.enter(Phase::Train);
            let Recipe { stages, step, averaging, parametrisation, .. } = &mut *self.recipe;
            if let Some(stages) = stages {
                stages.enter(index, now.step, weights);
            }
            if before.is_some() {
                if let Step::Gradient { optimizer, .. } = step {
                    optimizer.reset()?;
                }
                if let Some(averaging) = averaging {
                    averaging.reset(&self.network.parameters)?;
                }
            }
            if let Step::Gradient { objective, .. } | Step::Forward { objective, .. } = step {
                tch::no_grad(|| {
                    let seen = seen(parametrisation.as_deref(), self.network, Some(now))?;
                    objective.enter(index, seen.as_ref().unwrap_or(self.network))
                })?;
            }
        }
        let stage = self.recipe.stages.as_mut().and_then(|stages| stages.stage(index));
        if let (Some(stage), true) = (stage, trained.of != Some(index)) {
            trained.of = Some(index);
            trained.trains = stage.trains;
            trained.switch_again(self.network);
        }
        Ok(())
    }

    /// One step; returns the loss, still on the device.
    fn step(
        &mut self,
        mut batch: Batch,
        trained: &mut Trained,
        mut now: StepInfo,
    ) -> Result<Option<Tensor>, LabError> {
        let Recipe {
            batch_size: _,
            schedule: _,
            order,
            view,
            stages,
            step,
            clip_norm,
            parametrisation,
            constraint,
            averaging,
            looks: _,
            sampler: _,
            adapter: _,
            writer: _,
        } = &mut *self.recipe;
        if let Some(view) = view {
            view.render(&mut batch, &now, self.source.streams)?;
        }
        let own = stages.as_mut().and_then(|stages| {
            let index = stages.reached()?;
            stages.stage(index)?.view.as_mut()
        });
        if let Some(view) = own {
            view.render(&mut batch, &now, self.source.streams)?;
        }
        let (objective, optimizer) = match step {
            Step::Gradient { objective, optimizer } => (objective, optimizer),
            Step::Forward { objective, search, messages } => {
                if constraint.is_some() || parametrisation.is_some() {
                    let reason = "constraints and parametrisations look at gradients, and these steps have none";
                    return Err(LabError::Method(reason.to_owned()));
                }
                let (objective, search) = (objective.as_mut(), search.as_mut());
                let forward = Forward { objective, search, messages, averaging };
                let _guard = tch::no_grad_guard();
                return forward.step(self.network, &batch, &mut trained.stage, now);
            }
            Step::Learner(learner) => {
                let loss = learner.step(self.network, &batch, &now)?;
                if let Some(scores) = learner.scores() {
                    order.observe(Feedback::Step { ids: &batch.ids, scores });
                }
                return Ok(loss.map(Tensor::from));
            }
        };
        let stage = objective.stage(&now);
        if stage.index != trained.stage {
            trained.stage = stage.index;
            optimizer.reset()?;
            if let Some(averaging) = averaging {
                averaging.reset(&self.network.parameters)?;
            }
        }
        now.lr_factor *= stage.lr_factor;
        trained.switch(self.network, optimizer.active(&now));
        let aside = objective.acts_beside_passes();
        if aside {
            tch::no_grad(|| {
                let seen = seen(parametrisation.as_deref(), self.network, Some(&now))?;
                objective.before_step(seen.as_ref().unwrap_or(self.network), &batch, &now)
            })?;
        }
        let mut last = None;
        for pass in 0..objective.passes() {
            now.pass = pass;
            let active = trained.parameters.clone();
            let rule = parametrisation.as_deref();
            let (loss, tensors) =
                differentiate(objective.as_mut(), self.network, rule, &batch, &now, &active)?;
            let mut gradients = Gradients { active, tensors };
            let parameters = &self.network.parameters;
            let point = tch::no_grad(|| optimizer.elsewhere(parameters, &gradients, &now))?;
            if let Some(point) = point {
                let place = Place { point, constraint: constraint.as_deref(), rule };
                let active = &gradients.active;
                gradients.tensors =
                    place.gradients(objective.as_mut(), self.network, &batch, &now, active)?;
            }
            let _guard = tch::no_grad_guard();
            if let Some(parametrisation) = parametrisation {
                parametrisation.amend(self.network, &mut gradients, &now)?;
            }
            if let Some(longest) = clip_norm {
                clip(&mut gradients.tensors, *longest)?;
            }
            optimizer.update(&self.network.parameters, &gradients, &now)?;
            if let Some(constraint) = constraint {
                let parameters = &mut self.network.parameters;
                constraint.project(parameters, &gradients, optimizer.as_mut(), &now)?;
            }
            if let Some(averaging) = averaging {
                averaging.after_update(&self.network.parameters, &now)?;
            }
            last = Some(loss);
        }
        if aside {
            tch::no_grad(|| {
                let seen = seen(parametrisation.as_deref(), self.network, Some(&now))?;
                objective.after_step(seen.as_ref().unwrap_or(self.network), &batch, &now)
            })?;
        }
        if let Some(scores) = objective.scores() {
            order.observe(Feedback::Step { ids: &batch.ids, scores });
        }
        Ok(last)
    }

    /// Lets the constraint see the network and one batch, drawn from its own stream, and the
    /// objective the training split; returns the ids that it can use, if not all.
    fn prepare(&mut self) -> Result<Option<Vec<u32>>, LabError> {
        if let Some(constraint) = &mut self.recipe.constraint {
            let mut ids: Vec<u32> = (0..self.source.examples).collect();
            ledger::order::shuffle(&mut self.source.streams.generator("probe"), &mut ids);
            ids.truncate(self.recipe.batch_size as usize);
            let probe = self.splits.train.batch(&ids)?;
            constraint.prepare(self.network, self.source.streams, &probe)?;
        }
        let Recipe { step, parametrisation, .. } = &mut *self.recipe;
        match step {
            Step::Gradient { objective, .. } | Step::Forward { objective, .. } => {
                tch::no_grad(|| {
                    let seen = seen(parametrisation.as_deref(), self.network, None)?;
                    objective.start(seen.as_ref().unwrap_or(self.network), &self.splits.train)
                })
            }
            Step::Learner(_) => Ok(None),
        }
    }

    /// Mean loss of each group on the probe split.
    fn probe(&self) -> Result<Vec<f64>, LabError> {
        let (Some(split), Some(loss)) = (&self.splits.probe, self.loss) else {
            return Err(LabError::Order("the order asks for a probe split; there is none".into()));
        };
        let groups = split.groups.iter().max().map_or(0, |last| *last as usize + 1);
        let mut sums = vec![(0.0, 0.0); groups];
        tch::no_grad(|| {
            let (inputs, labels) = split.rows(0, split.len())?;
            let seen = seen(self.recipe.parametrisation.as_deref(), self.network, None)?;
            let network = seen.as_ref().unwrap_or(self.network);
            let losses = loss.of_outputs(&network.forward(&inputs, false)?, &labels)?;
            for (loss, &group) in values(&losses)?.into_iter().zip(&split.groups) {
                let (sum, count) = &mut sums[group as usize];
                *sum += f64::from(loss);
                *count += 1.0;
            }
            Ok::<_, LabError>(())
        })?;
        Ok(sums.into_iter().map(|(sum, count)| sum / f64::max(count, 1.0)).collect())
    }

    /// Refuses an order with roles whose rounds or steps would end within a unit.
    fn check_layout(&self, rounds: &[u32]) -> Result<(), LabError> {
        let Some(layout) = self.recipe.order.layout() else { return Ok(()) };
        let lengths = rounds.iter().chain([&self.recipe.batch_size]);
        match lengths.into_iter().find(|n| !n.is_multiple_of(layout.size())) {
            Some(n) => Err(LabError::Order(format!(
                "a round or step of {n} ids is not of whole units of {} ({layout})",
                layout.size()
            ))),
            None => Ok(()),
        }
    }

    /// The first `n` ids of an epoch, all within the training split.
    fn checked<'p>(&self, ids: &'p [u32], n: u32, epoch: u32) -> Result<&'p [u32], LabError> {
        let examples = self.source.examples;
        let broken =
            |what: String| Err(LabError::Order(format!("the order of epoch {epoch} {what}")));
        let Some(consumed) = ids.get(..n as usize) else {
            return broken(format!("has {} ids, but {n} were announced", ids.len()));
        };
        match consumed.iter().find(|id| **id >= examples) {
            Some(id) => broken(format!("names example {id} of {examples}")),
            None => Ok(consumed),
        }
    }

    fn upload(&self, ids: &[u32]) -> Result<Tensor, LabError> {
        Ok(upload(ids, self.splits)?)
    }

    /// Takes the statistics of a network anew from so many training examples, if any.
    fn calibrate(&self, network: &Network, examples: Option<u32>) -> Result<(), LabError> {
        let Some(examples) = examples else { return Ok(()) };
        calibrate::statistics(network, &self.splits.train, examples, self.source.streams)
    }

    /// Metrics of the model and of every look at it on a split, as `split/metric` and
    /// `split/metric@look`.
    fn judged(
        &self,
        judge: &dyn Judge,
        network: &Network,
        looks: &[Look],
        judged: Judged,
        last: bool,
    ) -> Result<BTreeMap<String, f64>, LabError> {
        let sampler = self.recipe.sampler.as_deref();
        let adapter = self.recipe.adapter.as_deref();
        let writer = self.recipe.writer.as_deref();
        let (name, split): (_, &Split) = match judged {
            Judged::Validation => (goal::VALIDATION, &self.splits.validation),
            Judged::Test => (goal::TEST, &self.splits.test),
        };
        let mut all = BTreeMap::new();
        let named = looks.iter().map(|look| (Some(look.name.as_str()), &look.network));
        for (look, network) in std::iter::once((None, network)).chain(named) {
            let model = Model { network, sampler, adapter, writer };
            let request = EvaluationRequest { model, split, judged, last };
            let metrics = tch::no_grad(|| judge.metrics(&request))?.into_iter();
            all.extend(metrics.map(|(metric, value)| {
                let metric = look.map_or(metric.clone(), |look| goal::look_key(&metric, look));
                (goal::key(name, &metric), value)
            }));
        }
        if self.recipe.looks.as_ref().is_some_and(|looks| looks.mean()) && !looks.is_empty() {
            let mut sums: BTreeMap<String, f64> = BTreeMap::new();
            for (key, value) in &all {
                if let (metric, Some(_)) = goal::metric_and_look(key) {
                    *sums.entry(goal::look_key(metric, "mean")).or_default() += value;
                }
            }
            let n = looks.len() as f64;
            all.extend(sums.into_iter().map(|(key, sum)| (key, sum / n)));
        }
        Ok(all)
    }

    /// Evaluates with the train clock stopped.
    fn evaluate(
        &mut self,
        progress: &mut Progress,
        loss: Option<&Tensor>,
        observe: &mut Observe<'_>,
    ) -> Result<Ending, LabError> {
        let last = progress.samples == progress.total_samples;
        // Unwatched, there is only what looks leave in the network that is kept.
        if self.judge.is_none() && (!last || self.recipe.looks.is_none()) {
            return Ok(Ending::Completed);
        }
        self.clock.enter(Phase::Eval);
        let train_loss = match loss {
            Some(loss) => Some(f64::try_from(&loss.f_to_kind(Kind::Double)?)?),
            None => None,
        };
        let averaged = match &self.recipe.averaging {
            Some(averaging) => tch::no_grad(|| averaging.weights())?,
            None => None,
        };
        let trained = match averaged {
            Some(weights) => Some(self.network.exchange(&weights)?),
            None => None,
        };
        let seen =
            tch::no_grad(|| seen(self.recipe.parametrisation.as_deref(), self.network, None))?;
        let network = seen.as_ref().unwrap_or(self.network);
        let mut looks = Vec::new();
        if let Some(further) = &self.recipe.looks {
            // Charged, as everything that a method does.
            self.clock.enter(Phase::Train);
            self.calibrate(network, further.recalibrate())?;
            if (last || further.throughout()) && self.judge.is_some() {
                looks = tch::no_grad(|| further.looks(self.network, network))?;
            }
            for Look { network, recalibrate, .. } in &looks {
                self.calibrate(network, *recalibrate)?;
            }
            self.clock.enter(Phase::Eval);
        }
        let Some(judge) = self.judge else {
            if let Some(weights) = trained {
                self.network.exchange(&weights)?;
            }
            return Ok(Ending::Completed);
        };
        let look = |split| self.judged(judge, network, &looks, split, last);
        let mut all = look(Judged::Validation)?;
        let value = all.get(&self.target.validation_key()).copied().unwrap_or(f64::NAN);
        let first = !progress.target_met && self.target.is_met(value);
        progress.target_met |= first;
        let finite =
            train_loss.is_none_or(f64::is_finite) && all.values().all(|value| value.is_finite());
        if finite && (first || last) {
            all.extend(look(Judged::Test)?);
        }
        if let Some(weights) = trained {
            self.network.exchange(&weights)?;
        }
        self.clock.enter(Phase::Io);
        let chain = self.transcript.chain();
        let measures = self.recipe.measures().into_iter();
        all.extend(measures.map(|(name, value)| (goal::key(goal::TRAIN, name), value)));
        all.retain(|_, value| value.is_finite());
        let Progress { samples, steps, .. } = *progress;
        let train_loss = train_loss.filter(|loss| loss.is_finite());
        let clocks = self.clock.read();
        let costs = self.recipe.costs().into_iter();
        let costs = costs.map(|(name, count)| (name.to_owned(), count)).collect();
        let look = Evaluation { samples, steps, clocks, train_loss, metrics: all, costs, chain };
        observe(&look)?;
        progress.looks.push(look);
        self.clock.enter(Phase::Other);
        Ok(if finite { Ending::Completed } else { Ending::Diverged })
    }
}

/// A step by losses alone. Nothing of what the workers see reaches the weights but by the messages.
struct Forward<'a> {
    objective: &'a mut dyn Objective,
    search: &'a mut dyn Search,
    messages: &'a mut Messages,
    averaging: &'a mut Option<Box<dyn Averaging>>,
}

impl Forward<'_> {
    /// Returns the mean of all losses that were looked at; none where messages are followed.
    fn step(
        self,
        network: &mut Network,
        batch: &Batch,
        stage: &mut u32,
        mut now: StepInfo,
    ) -> Result<Option<Tensor>, LabError> {
        let Self { objective, search, messages, averaging } = self;
        let current = objective.stage(&now);
        if current.index != *stage {
            *stage = current.index;
            if let Some(averaging) = averaging {
                averaging.reset(&network.parameters)?;
            }
        }
        now.lr_factor *= current.lr_factor;
        let mut loss = None;
        if let Some(said) = messages.of_step(now.step)? {
            search.follow(network, said, &now)?;
        } else {
            objective.before_step(network, batch, &now)?;
            let asked = messages.asked(search.workers());
            let (said, seen) = ask(objective, search, network, batch, asked, &now)?;
            let said = messages.exchange(said)?;
            search.follow(network, &said, &now)?;
            objective.after_step(network, batch, &now)?;
            messages.push(&said);
            loss = Some(Tensor::from(seen));
        }
        if let Some(averaging) = averaging {
            averaging.after_update(&network.parameters, &now)?;
        }
        Ok(loss)
    }
}

/// What these workers say of their shares of a batch, one after the other, and the mean of the losses that
/// they saw.
fn ask(
    objective: &mut dyn Objective,
    search: &mut dyn Search,
    network: &mut Network,
    batch: &Batch,
    workers: Range<u32>,
    now: &StepInfo,
) -> Result<(Vec<u8>, f64), LabError> {
    let (mut said, mut seen, mut looks) = (Vec::new(), 0.0, 0_u32);
    for worker in workers {
        let share = batch.share(worker, search.workers())?;
        let mut look = |network: &Network| {
            let loss = f64::try_from(&objective.loss(network, &share, now)?)?;
            seen += loss;
            looks += 1;
            Ok(loss)
        };
        let message = search.ask(network, worker, &mut look, now)?;
        if message.len() != search.width() {
            return Err(LabError::Method(format!(
                "worker {worker} said {} bytes, not the {} that were announced",
                message.len(),
                search.width()
            )));
        }
        said.extend(message);
    }
    Ok((said, seen / f64::from(looks.max(1))))
}

/// What the forward pass sees in place of the trained network, if it sees another.
fn seen(
    rule: Option<&dyn Parametrisation>,
    trained: &Network,
    now: Option<&StepInfo>,
) -> Result<Option<Network>, LabError> {
    rule.map(|rule| rule.seen(trained, now)).transpose()
}

/// The loss, and its gradients by the trained parameters at `active`.
fn differentiate(
    objective: &mut dyn Objective,
    network: &Network,
    rule: Option<&dyn Parametrisation>,
    batch: &Batch,
    now: &StepInfo,
    active: &[usize],
) -> Result<(Tensor, Vec<Tensor>), LabError> {
    let seen = seen(rule, network, Some(now))?;
    let loss = objective.loss(seen.as_ref().unwrap_or(network), batch, now)?;
    let inputs: Vec<_> = active.iter().map(|&index| &network.parameters[index].tensor).collect();
    let mut tensors = Tensor::f_run_backward(&[&loss], &inputs, false, false)?;
    for (gradient, parameter) in tensors.iter_mut().zip(&inputs) {
        // A parameter that the loss does not depend on.
        if !gradient.defined() {
            *gradient = parameter.f_zeros_like()?;
        }
    }
    Ok((loss, tensors))
}

/// Where an update rule asks for the gradient: values of the active parameters, and what they are
/// held to.
struct Place<'a> {
    point: Vec<Tensor>,
    constraint: Option<&'a dyn Constraint>,
    rule: Option<&'a dyn Parametrisation>,
}

impl Place<'_> {
    /// The gradients there; parameters and running statistics are left as they were, bit for bit.
    fn gradients(
        &self,
        objective: &mut dyn Objective,
        network: &mut Network,
        batch: &Batch,
        now: &StepInfo,
        active: &[usize],
    ) -> Result<Vec<Tensor>, LabError> {
        let before = network.snapshot();
        tch::no_grad(|| {
            for (&index, value) in active.iter().zip(&self.point) {
                network.parameters[index].tensor.f_copy_(value)?;
            }
            self.constraint.map_or(Ok(()), |constraint| constraint.hold(&mut network.parameters))
        })?;
        let (_, tensors) = differentiate(objective, network, self.rule, batch, now, active)?;
        network.restore(&before)?;
        Ok(tensors)
    }
}

/// Which parameters the coming step moves.
struct Trained {
    active: Active,
    parameters: Vec<usize>,
    /// The stage that the objective says a step is in.
    stage: u32,
    /// The recipe's stage that says what trains.
    of: Option<usize>,
    trains: fn(&Parameter) -> bool,
}

impl Trained {
    fn new() -> Self {
        let (active, parameters) = (Active::All, Vec::new());
        Self { active, parameters, stage: 0, of: None, trains: |_| true }
    }

    fn switch(&mut self, network: &Network, wanted: Active) {
        if wanted != self.active || self.parameters.is_empty() {
            self.active = wanted;
            self.switch_again(network);
        }
    }

    fn switch_again(&mut self, network: &Network) {
        self.parameters = trainable(network, self.active, self.trains);
    }
}

/// Whatever fails while a state is read, the state is at fault: it is of another build.
fn unfit(error: LabError) -> LabError {
    match error {
        LabError::State(_) => error,
        other => LabError::State(other.to_string()),
    }
}

fn upload(ids: &[u32], splits: &Splits) -> Result<Tensor, tch::TchError> {
    let ids: Vec<i64> = ids.iter().copied().map(i64::from).collect();
    Tensor::f_from_slice(&ids)?.f_to_device(splits.train.labels.device())
}

/// Switches gradients on for the active layers and off before them; returns the indices of the
/// parameters that move. Off *before* the forward pass: only so is the backward pass cut short.
fn trainable(network: &Network, active: Active, trains: fn(&Parameter) -> bool) -> Vec<usize> {
    let first = match active {
        Active::All => 0,
        Active::From(layer) => layer.min(network.depth().saturating_sub(1)),
    };
    let mut moved = Vec::with_capacity(network.parameters.len());
    for (index, parameter) in network.parameters.iter().enumerate() {
        let moves = parameter.layer >= first && trains(parameter);
        let _ = parameter.tensor.set_requires_grad(moves);
        if moves {
            moved.push(index);
        }
    }
    moved
}

#[cfg(test)]
mod tests;
