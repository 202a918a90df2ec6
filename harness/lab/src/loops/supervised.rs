//! The supervised loop: ids → batch → logits → loss → gradients → update → projection.
//!
//! Everything between two evaluations runs inside the train clock, with no copy to the host: the
//! ids of an epoch are uploaded once, batches are gathered by index on the device, and the
//! transcript only copies ids; it is hashed at evaluations, inside the io clock.

use std::collections::BTreeMap;

use ledger::transcript::{ChainPoint, Transcript};
use tch::{Kind, Tensor};

use crate::LabError;
use crate::clock::{Clock, Clocks, Phase, Time};
use crate::metrics;
use crate::network::Network;
use crate::seat::{Active, Gradients, Moment, OrderSource, Recipe};
use crate::workloads::{Split, Splits};

/// How long to train and when to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Samples to see at most.
    pub samples: u64,
    /// Distance of the evaluation grid, in samples.
    pub evaluate_every: u64,
}

/// When a metric counts as at the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Metric on the validation split.
    pub metric: String,
    /// Value.
    pub value: f64,
    /// True when larger is better.
    pub higher_is_better: bool,
}

impl Target {
    fn is_met(&self, value: f64) -> bool {
        if self.higher_is_better { value >= self.value } else { value <= self.value }
    }
}

/// One look at the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Samples seen.
    pub samples: u64,
    /// Steps taken.
    pub steps: u64,
    /// Train clock, seconds.
    pub train_seconds: f64,
    /// Loss of the last training batch; absent before the first.
    pub train_loss: Option<f64>,
    /// `validation/accuracy`, …; `test/…` at the first evaluation at the target and at the end.
    /// Values that are not finite are left out.
    pub metrics: BTreeMap<String, f64>,
    /// Step chain of the transcript at this point.
    pub chain: ChainPoint,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The budget is spent.
    Completed,
    /// Loss or metrics stopped being finite.
    Diverged,
}

/// Receives every evaluation, in order; its time is charged to the io clock.
pub type Observe<'a> = dyn FnMut(&Evaluation, &Clocks) -> Result<(), LabError> + 'a;

/// A run about to start.
#[derive(Debug)]
pub struct Run<'a, T: Time> {
    /// The network, as initialised.
    pub network: &'a mut Network,
    /// The method.
    pub recipe: &'a mut Recipe,
    /// The data.
    pub splits: &'a Splits,
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
}

struct Progress {
    samples: u64,
    total_samples: u64,
    steps: u64,
    target_met: bool,
}

/// Ids per round of a recipe under a budget, cut so that their sum is within the budget.
#[must_use]
pub fn rounds(recipe: &Recipe, examples: u32, budget: Budget) -> Vec<u32> {
    let mut left = budget.samples;
    let rounds = recipe.order.rounds(examples, budget.samples).into_iter().map(|n| {
        let n = u32::try_from(left).map_or(n, |left| left.min(n));
        left -= u64::from(n);
        n
    });
    rounds.take_while(|n| *n > 0).collect()
}

impl<T: Time> Run<'_, T> {
    /// Trains to the end of the budget, calling `observe` after every evaluation.
    ///
    /// # Errors
    /// When libtorch refuses an operation, the order leaves the training split, or `observe` fails.
    pub fn train(&mut self, observe: &mut Observe<'_>) -> Result<Ending, LabError> {
        let rounds = rounds(self.recipe, self.source.examples, self.budget);
        let batch_size = self.recipe.batch_size as usize;
        let total_steps =
            rounds.iter().map(|n| u64::from(n.div_ceil(self.recipe.batch_size))).sum();
        let total_samples = rounds.iter().copied().map(u64::from).sum();
        let total_epochs = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
        let mut progress = Progress { samples: 0, total_samples, steps: 0, target_met: false };
        if self.look(&mut progress, None, observe)? == Ending::Diverged {
            return Ok(Ending::Diverged);
        }

        self.clock.enter(Phase::Train);
        self.prepare()?;
        let mut active = Active::All;
        let mut trained = trainable(self.network, active);
        for (epoch, &n) in (0..).zip(&rounds) {
            let plan = self.recipe.order.epoch(epoch, &self.source);
            let ids = self.checked(&plan.ids, n, epoch)?;
            let uploaded = self.upload(ids)?;
            self.transcript.begin_epoch(plan.block);
            let mut start = 0;
            for chunk in ids.chunks(batch_size) {
                let lr_factor = self.recipe.schedule.factor(progress.steps, total_steps);
                let moment =
                    Moment { step: progress.steps, total_steps, epoch, total_epochs, lr_factor };
                let wanted = self.recipe.optimizer.active(&moment);
                if wanted != active {
                    active = wanted;
                    trained = trainable(self.network, active);
                }
                let length = chunk.len() as u64;
                let sample_ids = uploaded.f_narrow(0, start, chunk.len() as i64)?;
                start += chunk.len() as i64;
                let loss = self.step(sample_ids, &trained, &moment)?;
                let pushed = self.transcript.push_step(chunk);
                pushed.map_err(|error| LabError::Order(error.to_string()))?;
                let cell = progress.samples / self.budget.evaluate_every;
                progress.steps += 1;
                progress.samples += length;
                if progress.samples / self.budget.evaluate_every > cell
                    || progress.steps == total_steps
                {
                    if self.look(&mut progress, Some(&loss), observe)? == Ending::Diverged {
                        return Ok(Ending::Diverged);
                    }
                    self.clock.enter(Phase::Train);
                }
            }
        }
        self.clock.enter(Phase::Other);
        Ok(Ending::Completed)
    }

    /// One step; returns the loss, still on the device.
    fn step(
        &mut self,
        sample_ids: Tensor,
        trained: &[usize],
        moment: &Moment,
    ) -> Result<Tensor, LabError> {
        let batch = self.splits.train.gather(sample_ids)?;
        let logits = self.network.forward(&batch.inputs, true)?;
        let loss = self.recipe.objective.loss(&batch, &logits, moment)?;
        let inputs: Vec<_> =
            trained.iter().map(|&index| &self.network.parameters[index].tensor).collect();
        let tensors = Tensor::f_run_backward(&[&loss], &inputs, false, false)?;
        let gradients = Gradients { active: trained.to_vec(), tensors };
        let _guard = tch::no_grad_guard();
        self.recipe.optimizer.update(&self.network.parameters, &gradients, moment)?;
        if let Some(adapter) = &mut self.recipe.adapter {
            let optimizer = self.recipe.optimizer.as_mut();
            adapter.project(&mut self.network.parameters, &gradients, optimizer, moment)?;
        }
        self.recipe.objective.after_step(&batch, &logits, moment)?;
        Ok(loss)
    }

    /// Lets the adapter see the network and one batch, drawn from its own stream.
    fn prepare(&mut self) -> Result<(), LabError> {
        let Some(adapter) = &mut self.recipe.adapter else { return Ok(()) };
        let mut ids: Vec<u32> = (0..self.source.examples).collect();
        ledger::order::shuffle(&mut self.source.streams.generator("probe"), &mut ids);
        ids.truncate(self.recipe.batch_size as usize);
        let probe = self.splits.train.gather(upload(&ids, self.splits)?)?;
        adapter.prepare(self.network, self.source.streams, &probe)
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

    /// Evaluates with the train clock stopped.
    fn look(
        &mut self,
        progress: &mut Progress,
        loss: Option<&Tensor>,
        observe: &mut Observe<'_>,
    ) -> Result<Ending, LabError> {
        self.clock.enter(Phase::Eval);
        let train_seconds = self.clock.read().train;
        let train_loss = match loss {
            Some(loss) => Some(f64::try_from(&loss.f_to_kind(Kind::Double)?)?),
            None => None,
        };
        let mut all = prefixed("validation", self.network, &self.splits.validation)?;
        let value =
            all.get(&format!("validation/{}", self.target.metric)).copied().unwrap_or(f64::NAN);
        let first = !progress.target_met && self.target.is_met(value);
        progress.target_met |= first;
        let finite =
            train_loss.is_none_or(f64::is_finite) && all.values().all(|value| value.is_finite());
        if finite && (first || progress.samples == progress.total_samples) {
            all.extend(prefixed("test", self.network, &self.splits.test)?);
        }
        self.clock.enter(Phase::Io);
        let chain = self.transcript.chain();
        all.retain(|_, value| value.is_finite());
        let Progress { samples, steps, .. } = *progress;
        let train_loss = train_loss.filter(|loss| loss.is_finite());
        let evaluation =
            Evaluation { samples, steps, train_seconds, train_loss, metrics: all, chain };
        observe(&evaluation, &self.clock.read())?;
        self.clock.enter(Phase::Other);
        Ok(if finite { Ending::Completed } else { Ending::Diverged })
    }
}

fn prefixed(
    name: &str,
    network: &Network,
    split: &Split,
) -> Result<BTreeMap<String, f64>, LabError> {
    let metrics = metrics::evaluate(network, split)?.into_iter();
    Ok(metrics.map(|(metric, value)| (format!("{name}/{metric}"), value)).collect())
}

fn upload(ids: &[u32], splits: &Splits) -> Result<Tensor, tch::TchError> {
    let ids: Vec<i64> = ids.iter().copied().map(i64::from).collect();
    Tensor::f_from_slice(&ids)?.f_to_device(splits.train.labels.device())
}

/// Switches gradients on for the active layers and off before them; returns the indices of the
/// parameters that move. Off *before* the forward pass: only so is the backward pass cut short.
fn trainable(network: &Network, active: Active) -> Vec<usize> {
    let first = match active {
        Active::All => 0,
        Active::From(layer) => layer.min(network.depth().saturating_sub(1)),
    };
    let mut moved = Vec::with_capacity(network.parameters.len());
    for (index, parameter) in network.parameters.iter().enumerate() {
        let moves = parameter.layer >= first;
        let _ = parameter.tensor.set_requires_grad(moves);
        if moves {
            moved.push(index);
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use ledger::catalogue::{Paper, PaperClaim, Schedule};
    use ledger::order::OrderLaw;

    use super::*;
    use crate::method::Method;
    use crate::optim::sgd::{Sgd, SgdSettings};
    use crate::seat::{EpochPlan, Order};
    use crate::trial::{Trial, with};

    struct Outside;

    impl Order for Outside {
        fn law(&self) -> OrderLaw {
            OrderLaw::Sorted
        }

        fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
            EpochPlan { ids: (1..=source.examples).collect(), block: epoch }
        }
    }

    #[test]
    fn an_order_that_leaves_the_training_split_is_the_methods_fault_and_not_the_stores() {
        let method = Method {
            summary: "",
            paper: Paper { title: "", authors: "", year: 2026, reference: "", code: "" },
            claim: PaperClaim { statement: "", number: "", source: "" },
            baseline: None,
            settings: SgdSettings::table,
            resolve: SgdSettings::resolve,
            build: |_, task| {
                let sgd = Box::new(Sgd::new(SgdSettings::default(), task.network));
                let plain = Recipe::plain(8, Schedule::Constant, sgd);
                Ok(Recipe { order: Box::new(Outside), ..plain })
            },
        };
        let trial = Trial { examples: 24, epochs: 1, seed: 0 };
        let error = trial.run(&method, &with([])).unwrap_err();
        assert!(matches!(error, LabError::Order(_)), "{error}");
        assert_eq!(error.to_string(), "the order of epoch 0 names example 24 of 24");
    }
}
