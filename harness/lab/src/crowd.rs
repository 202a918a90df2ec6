//! A crowd of learners that are trained for a while and then asked: who answers what rightly tells how hard items are
//! ([`crate::responses`]).
//!
//! Learners have the run's network, each with the initial values of every tensor dealt out anew, so that they are drawn from the
//! same distribution. They learn from examples apart from all splits, and are asked several times on the way: each look counts as
//! a learner, as weaker and stronger ones are wanted.

use ledger::order::shuffle;
use ledger::streams::Streams;
use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::network::{Network, values};
use crate::objectives::{DefaultLoss, IGNORED};
use crate::optim::lm::LmSettings;
use crate::responses::Responses;
use crate::seat::{Gradients, Optimizer, StepInfo};
use crate::split::Split;

/// Shares of their training at which learners are asked.
const LOOKS: [f64; 4] = [0.125, 0.25, 0.5, 1.0];
/// Rows that go through a network at once when it is asked.
const AT_ONCE: i64 = 256;

/// How a crowd is made.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// Networks that are trained.
    pub networks: u32,
    /// Steps that each is trained for, at least 1.
    pub steps: u64,
    /// Update rule, rate and batch size; constant rate, no bound on the gradient.
    pub settings: LmSettings,
    /// What they and the run learn by.
    pub loss: DefaultLoss,
}

/// What a crowd took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Steps of all networks.
    pub steps: u64,
    /// Examples in them.
    pub samples: u64,
    /// Items that were answered, over all looks.
    pub answers: u64,
}

impl Crowd {
    /// Trains the crowd on `apart` and asks it `items`: answers of `4 · networks` learners.
    ///
    /// # Errors
    /// When there is nothing to learn from, or libtorch refuses an operation.
    pub fn ask(
        &self,
        network: &Network,
        apart: &Split,
        items: &Split,
        streams: &Streams,
    ) -> Result<(Responses, Cost), LabError> {
        if apart.is_empty() || self.networks == 0 {
            let reason = "a crowd needs learners and examples to learn from; there are none";
            return Err(LabError::Method(reason.to_owned()));
        }
        let looks = LOOKS.map(|share| ((share * self.steps as f64).ceil() as u64).max(1));
        let mut right = Vec::new();
        for learner in 0..self.networks {
            let mut network = dealt_out_anew(network, streams, learner)?;
            let mut rule = self.settings.optimizer(&network)?;
            let mut batches = Batches { streams, learner, pass: 0, ids: Vec::new() };
            for step in 0..self.steps.max(1) {
                let batch_size = self.settings.batch_size as usize;
                let ids = batches.next(batch_size, apart.len());
                self.step(&mut network, &mut rule, apart, &ids, step)?;
                // Of few steps several looks are the same.
                let due = looks.iter().filter(|look| **look == step + 1).count();
                if due > 0 {
                    right.extend(vec![answers(&network, items, self.loss)?; due]);
                }
            }
        }
        let steps = u64::from(self.networks) * self.steps.max(1);
        let samples = steps * u64::from(self.settings.batch_size).min(apart.len() as u64);
        let answers = right.len() as u64 * items.len() as u64;
        Ok((Responses { right }, Cost { steps, samples, answers }))
    }

    fn step(
        &self,
        network: &mut Network,
        rule: &mut dyn Optimizer,
        apart: &Split,
        ids: &[u32],
        step: u64,
    ) -> Result<(), LabError> {
        let batch = apart.batch(ids)?;
        let gradients = tch::with_grad(|| {
            let outputs = network.forward(&batch.inputs, true)?;
            let loss = self.loss.of_outputs(&outputs, &batch.labels)?.f_mean(None)?;
            let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
            Ok::<_, LabError>(Tensor::f_run_backward(&[&loss], &leaves, false, false)?)
        })?;
        let active = (0..gradients.len()).collect();
        let gradients = Gradients { active, tensors: gradients };
        let now = StepInfo {
            step,
            total_steps: self.steps,
            epoch: 0,
            total_epochs: 1,
            lr_factor: 1.0,
            pass: 0,
        };
        tch::no_grad(|| rule.update(&network.parameters, &gradients, &now))
    }
}

/// Shuffled passes over examples, batch by batch; what is left of a pass is not used.
struct Batches<'a> {
    streams: &'a Streams,
    learner: u32,
    pass: u32,
    ids: Vec<u32>,
}

impl Batches<'_> {
    fn next(&mut self, size: usize, examples: i64) -> Vec<u32> {
        if self.ids.len() < size {
            self.ids = (0..u32::try_from(examples).unwrap_or(0)).collect();
            let mut random = self.streams.keyed("crowd-order", self.learner, self.pass);
            shuffle(&mut random, &mut self.ids);
            self.pass += 1;
        }
        let rest = self.ids.len().saturating_sub(size);
        self.ids.split_off(rest)
    }
}

/// The network with other initial values: those of each tensor, shuffled.
fn dealt_out_anew(network: &Network, streams: &Streams, learner: u32) -> Result<Network, TchError> {
    let mut random = streams.keyed("crowd-init", learner, 0);
    let copy = network.duplicate();
    tch::no_grad(|| {
        for parameter in &copy.parameters {
            let count = u32::try_from(parameter.tensor.numel()).unwrap_or(0);
            let mut places: Vec<u32> = (0..count).collect();
            shuffle(&mut random, &mut places);
            let places: Vec<i64> = places.into_iter().map(i64::from).collect();
            let places = Tensor::f_from_slice(&places)?.f_to_device(parameter.tensor.device())?;
            let flat = parameter.tensor.detach().f_reshape([-1])?.f_index_select(0, &places)?;
            parameter.tensor.detach().f_copy_(&flat.f_reshape(parameter.tensor.size())?)?;
        }
        Ok::<_, TchError>(())
    })?;
    Ok(copy)
}

/// Whether the likeliest output is right, example by example; of tokens, at all places that are asked for.
///
/// # Errors
/// When outputs are numbers, of which none is likeliest, or libtorch refuses an operation.
pub fn answers(network: &Network, items: &Split, loss: DefaultLoss) -> Result<Vec<bool>, LabError> {
    let mut right = Vec::new();
    let mut start = 0;
    while start < items.len() {
        let length = AT_ONCE.min(items.len() - start);
        let (inputs, labels) = items.rows(start, length)?;
        let outputs = tch::no_grad(|| network.forward(&inputs, false))?;
        let likeliest = outputs.f_argmax(-1, false)?.f_eq_tensor(&labels)?;
        let rows = match loss {
            DefaultLoss::Classes => likeliest,
            DefaultLoss::Tokens => {
                likeliest.f_logical_or(&labels.f_eq(IGNORED)?)?.f_all_dim(1, false)?
            }
            DefaultLoss::Squares => {
                let reason = "whether an answer is right is not defined for numbers";
                return Err(LabError::Method(reason.to_owned()));
            }
        };
        right.extend(values(&rows.f_to_kind(Kind::Float)?)?.into_iter().map(|right| right > 0.0));
        start += length;
    }
    Ok(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::responses::Scale;
    use crate::trial::{self, split};
    use tch::Device;

    fn crowd(steps: u64) -> Crowd {
        let settings = LmSettings { batch_size: 16, lr: 0.01, ..LmSettings::default() };
        Crowd { networks: 3, steps, settings, loss: DefaultLoss::Classes }
    }

    fn asked(steps: u64) -> (Responses, Cost) {
        let network = mlp(&[6, 16, 4], &trial::streams(), Device::Cpu).unwrap();
        let before = network.digest().unwrap();
        let all = split(&[6]).unwrap();
        let found = crowd(steps).ask(&network, &all, &all, &trial::streams()).unwrap();
        assert_eq!(network.digest().unwrap(), before);
        found
    }

    #[test]
    fn later_looks_answer_more_and_the_same_streams_the_same() {
        let (responses, cost) = asked(40);
        assert_eq!(cost, Cost { steps: 120, samples: 1_920, answers: 12 * 128 });
        let share = |right: &[bool]| right.iter().filter(|r| **r).count() as f64 / 128.0;
        for learner in responses.right.chunks(4) {
            assert!(
                share(&learner[3]) > share(&learner[0]),
                "{:?}",
                learner.iter().map(|r| share(r))
            );
        }
        assert_eq!(asked(40).0, responses);
        // Networks differ, by where they start and by what they see.
        assert_ne!(responses.right[0], responses.right[4]);
        let scale = Scale::of(&responses, 2.0);
        // Given the learners, an item is as hard as few of them answer it.
        let mut items: Vec<(usize, f64)> = scale
            .difficulties
            .iter()
            .enumerate()
            .map(|(item, b)| (responses.right.iter().filter(|right| right[item]).count(), *b))
            .collect();
        items.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        assert!(items.is_sorted_by(|a, b| a.1 >= b.1 - 1e-4) && items[0].0 + 2 < items[127].0);
    }

    #[test]
    fn a_single_step_is_looked_at_four_times_and_nothing_to_learn_from_is_an_error() {
        let (responses, cost) = asked(1);
        assert_eq!((responses.right.len(), cost.steps), (12, 3));
        let network = mlp(&[6, 16, 4], &trial::streams(), Device::Cpu).unwrap();
        let all = split(&[6]).unwrap();
        let none = Crowd { networks: 0, ..crowd(1) };
        let error = none.ask(&network, &all, &all, &trial::streams()).unwrap_err().to_string();
        assert!(error.contains("crowd"), "{error}");
    }

    #[test]
    fn tokens_are_right_where_all_that_is_asked_for_is() {
        let table =
            Tensor::from_slice(&[9.0_f32, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 9.0]).view([3, 3]);
        let network = crate::models::ngram::ngram(
            crate::models::ngram::Shape { vocabulary: 3, length: 1, vectors: 3, hidden: 3 },
            &trial::streams(),
            Device::Cpu,
        )
        .unwrap();
        // A network that says each token again: the identity, twice, over one-hot vectors.
        tch::no_grad(|| {
            let extended = Tensor::cat(&[&table, &table.narrow(0, 0, 1)], 0);
            network.at(0).shallow_clone().copy_(&extended);
            network.at(1).shallow_clone().copy_(&table);
            let _ = network.at(2).shallow_clone().zero_();
            network.at(3).shallow_clone().copy_(&table);
            let _ = network.at(4).shallow_clone().zero_();
        });
        let items = Split {
            stored: Tensor::from_slice(&[0_i64, 1, 2, 1, 0, 2]).view([3, 2]),
            labels: Tensor::from_slice(&[IGNORED, 1, 2, 0, IGNORED, IGNORED]).view([3, 2]),
            groups: Vec::new(),
        };
        assert_eq!(answers(&network, &items, DefaultLoss::Tokens).unwrap(), [true, false, true]);
        assert!(answers(&network, &items, DefaultLoss::Squares).is_err());
    }
}
