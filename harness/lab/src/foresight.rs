//! How many rounds of reflection a prompt needs, predicted from what the model itself makes of it: a logistic regression
//! on the mean of its hidden states over the prompt, learned from what the model needed behind training prompts.
//!
//! No gold answer and no oracle enters: what a text needed is how often the model, by its own word, wrote something of it
//! again.
//!
//! Source: Phan, Li, Lei, arXiv:2510.01270, which has "a lightweight predictor"; its form and its data are ours.

use std::cell::RefCell;
use std::rc::Rc;

use ledger::digest::Digest;
use ledger::order::shuffle;
use ledger::streams::Streams;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::LabError;
use crate::linear::dot;
use crate::models::gpt::Gpt;
use crate::network::{Network, values};
use crate::objectives::DefaultLoss;
use crate::prompt::Prompt;
use crate::reflection::{ReflectionSettings, reflect};
use crate::seat::{Batch, Facts, Objective, StepInfo, TaskInfo, Texts};
use crate::side_info::ReflectionWords;
use crate::split::Split;
use crate::state::State;
use crate::workshop::{nothing, rows};

/// The rounds that can be predicted.
pub const GRID: [u32; 5] = [0, 1, 2, 4, 8];
/// Prompts that go through the network at once.
const AT_ONCE: usize = 256;
/// Weight of the squares of the regression's weights.
const RIDGE: f64 = 1e-2;
/// Steps of the regression.
const STEPS: u32 = 500;

/// The place in [`GRID`] of the fewest rounds that are enough for so many.
#[must_use]
pub fn class(needed: u32) -> usize {
    GRID.iter().position(|rounds| needed <= *rounds).unwrap_or(GRID.len() - 1)
}

/// A multinomial logistic regression on standardised features.
#[derive(Debug, Clone)]
pub struct Foresight {
    mean: Vec<f64>,
    scale: Vec<f64>,
    /// Of each class a weight of every feature, and one more: its bias.
    weights: Vec<Vec<f64>>,
}

impl Foresight {
    /// Of features with their classes, by accelerated gradient descent on the mean log-loss and a ridge, to its minimum.
    #[must_use]
    pub fn fit(features: &[Vec<f64>], classes: &[usize]) -> Self {
        let count = features.len().max(1) as f64;
        let width = features.first().map_or(0, Vec::len);
        let column = |of: &dyn Fn(&Vec<f64>, usize) -> f64| -> Vec<f64> {
            (0..width).map(|at| features.iter().map(|x| of(x, at)).sum::<f64>() / count).collect()
        };
        let mean = column(&|x, at| x[at]);
        let variance = column(&|x, at| (x[at] - mean[at]) * (x[at] - mean[at]));
        // A feature that never changes says nothing.
        let scale = variance.iter().map(|v| if *v > 1e-12 { v.sqrt().recip() } else { 0.0 });
        let blank = vec![vec![0.0; width + 1]; GRID.len()];
        let mut own = Self { mean, scale: scale.collect(), weights: blank.clone() };
        let inputs: Vec<Vec<f64>> = features.iter().map(|x| own.standardised(x)).collect();
        let squares = inputs.iter().map(|x| dot(x, x)).sum::<f64>() / count;
        // The log-loss of softmax curves by half of its inputs' squares at most.
        let rate = (0.5 * squares + RIDGE).recip();
        let mut before = blank;
        for step in 0..STEPS {
            let momentum = f64::from(step) / f64::from(step + 3);
            let ahead = own.weights.iter().zip(&before).map(|(now, before)| -> Vec<f64> {
                now.iter().zip(before).map(|(now, old)| now + momentum * (now - old)).collect()
            });
            let ahead: Vec<Vec<f64>> = ahead.collect();
            let mut next = ahead.clone();
            for (row, slope) in next.iter_mut().zip(slopes(&ahead, &inputs, classes)) {
                row.iter_mut().zip(slope).for_each(|(weight, slope)| *weight -= rate * slope);
            }
            before = std::mem::replace(&mut own.weights, next);
        }
        own
    }

    fn standardised(&self, features: &[f64]) -> Vec<f64> {
        let each = features.iter().zip(&self.mean).zip(&self.scale);
        each.map(|((x, mean), scale)| (x - mean) * scale).chain([1.0]).collect()
    }

    /// The probability of each class.
    #[must_use]
    pub fn shares(&self, features: &[f64]) -> Vec<f64> {
        softmax(&self.weights, &self.standardised(features))
    }

    /// The fewest rounds of [`GRID`] that are enough with this probability.
    #[must_use]
    pub fn enough(&self, features: &[f64], surety: f64) -> u32 {
        let mut sum = 0.0;
        let shares = self.shares(features);
        let place = shares.iter().position(|share| {
            sum += share;
            sum >= surety
        });
        GRID[place.unwrap_or(GRID.len() - 1)]
    }

    /// The same of prompts, as `network` reads them.
    ///
    /// # Errors
    /// When the network is no transformer, or a prompt exceeds its context.
    pub fn rounds(
        &self,
        network: &Network,
        prompts: &[Prompt],
        surety: f64,
    ) -> Result<Vec<u32>, LabError> {
        let features = features(network, prompts)?;
        Ok(features.iter().map(|features| self.enough(features, surety)).collect())
    }

    fn digest(&self) -> Digest {
        let all = self.weights.iter().flatten().chain(&self.mean).chain(&self.scale);
        Digest::of(&all.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }
}

fn softmax(weights: &[Vec<f64>], input: &[f64]) -> Vec<f64> {
    let scores: Vec<f64> = weights.iter().map(|row| dot(row, input)).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let all: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f64 = all.iter().sum();
    all.into_iter().map(|share| share / sum).collect()
}

/// The gradient of mean log-loss and ridge; biases have no ridge.
fn slopes(weights: &[Vec<f64>], inputs: &[Vec<f64>], classes: &[usize]) -> Vec<Vec<f64>> {
    let count = inputs.len().max(1) as f64;
    let mut all: Vec<Vec<f64>> = weights
        .iter()
        .map(|row| {
            let bias = row.len().saturating_sub(1);
            row.iter().enumerate().map(|(at, w)| if at < bias { RIDGE * w } else { 0.0 }).collect()
        })
        .collect();
    for (input, &class) in inputs.iter().zip(classes) {
        for (at, (row, share)) in all.iter_mut().zip(softmax(weights, input)).enumerate() {
            let error = (share - f64::from(u8::from(at == class))) / count;
            row.iter_mut().zip(input).for_each(|(slope, x)| *slope += error * x);
        }
    }
    all
}

/// The mean hidden state of each prompt.
///
/// # Errors
/// When the network is no transformer, or a prompt is empty or exceeds its context.
pub fn features(network: &Network, prompts: &[Prompt]) -> Result<Vec<Vec<f64>>, LabError> {
    let gpt = Gpt::of(network)?;
    let mut all = Vec::with_capacity(prompts.len());
    for prompts in prompts.chunks(AT_ONCE) {
        let width = prompts.iter().map(|prompt| prompt.tokens.len()).max().unwrap_or(1).max(1);
        let mut table = vec![0_i64; prompts.len() * width];
        let mut shares = vec![0.0_f32; prompts.len() * width];
        let places = table.chunks_mut(width).zip(shares.chunks_mut(width));
        for (prompt, (tokens, shares)) in prompts.iter().zip(places) {
            let length = prompt.tokens.len();
            tokens[..length].copy_from_slice(&prompt.tokens);
            shares[..length].fill(1.0 / length.max(1) as f32);
        }
        let place = |tensor: Tensor| -> Result<Tensor, LabError> {
            Ok(tensor.f_view([-1, width as i64])?.f_to_device(network.device())?)
        };
        let (table, shares) =
            (place(Tensor::f_from_slice(&table)?)?, place(Tensor::f_from_slice(&shares)?)?);
        // What lies behind a prompt is not seen by it, and has no share.
        let states = tch::no_grad(|| gpt.hidden(network, &table))?;
        let means = shares.f_unsqueeze(1)?.f_bmm(&states.f_to_kind(Kind::Float)?)?;
        let (_, _, wide) = means.size3()?;
        let means = values(&means)?;
        let wide = usize::try_from(wide).unwrap_or(1);
        all.extend(
            means.chunks(wide).map(|row| row.iter().copied().map(f64::from).collect::<Vec<_>>()),
        );
    }
    Ok(all)
}

/// What predictor and writer share.
pub type Shared = Rc<RefCell<Option<Foresight>>>;

/// Plain training, and behind its last step a predictor that learns from what the model then needs.
pub struct Foreseeing {
    settings: ReflectionSettings,
    words: ReflectionWords,
    first_ordinary: i64,
    context: usize,
    loss: DefaultLoss,
    streams: Streams,
    prompts: Vec<Prompt>,
    shared: Shared,
    rehearsing: bool,
    told: Option<Value>,
}

impl Foreseeing {
    /// For a task whose examples exercise reflection.
    ///
    /// # Errors
    /// When they do not, or have no loss of tokens.
    pub fn new(
        settings: &ReflectionSettings,
        task: &TaskInfo<'_>,
        shared: &Shared,
    ) -> Result<Self, LabError> {
        let (Some(words), Some(tokens), Some(loss)) =
            (task.side.reflection, task.side.tokens, task.side.loss)
        else {
            return Err(task.unfit("its examples exercise no reflection"));
        };
        let context = usize::try_from(tokens.context).unwrap_or(0);
        let (wanted, least) = (settings.foreseen_length as usize, settings.interval as usize + 1);
        if wanted + least > context {
            return Err(task.unfit(format!(
                "prompts of {wanted} tokens leave no room for a stretch in a context of {context}: lower foreseen_length"
            )));
        }
        Ok(Self {
            settings: settings.clone(),
            words,
            first_ordinary: tokens.first_ordinary,
            context,
            loss,
            streams: task.streams.clone(),
            prompts: Vec::new(),
            shared: shared.clone(),
            rehearsing: false,
            told: None,
        })
    }

    /// Writes behind training prompts with as many rounds as there can be, and learns what they needed.
    fn learn(&mut self, network: &Network) -> Result<(), LabError> {
        let most = GRID[GRID.len() - 1];
        let interval = self.settings.interval as usize;
        let room = self.context - self.settings.foreseen_length as usize - 1;
        let banned: Vec<i64> = (0..self.first_ordinary).collect();
        let asked = Texts {
            prompts: &self.prompts,
            longest: room / interval * interval,
            end: None,
            temperature: 1.0,
            banned: &banned,
            streams: &self.streams,
        };
        let rounds = vec![most; self.prompts.len()];
        let all = reflect(network, &asked, &self.settings, &self.words, &rounds)?;
        let classes: Vec<usize> = all.iter().map(|one| class(one.again)).collect();
        let features = features(network, &self.prompts)?;
        let foresight = Foresight::fit(&features, &classes);
        let counts: Vec<usize> = (0..GRID.len())
            .map(|class| classes.iter().filter(|own| **own == class).count())
            .collect();
        let right = features
            .iter()
            .zip(&classes)
            .filter(|(x, class)| foresight.enough(x, self.settings.surety) >= GRID[**class]);
        self.told = Some(json!({
            "prompts": self.prompts.len(),
            "tokens": all.iter().map(|one| one.written.spent).sum::<u64>(),
            "needed": GRID.iter().map(u32::to_string).zip(counts).collect::<std::collections::BTreeMap<_, _>>(),
            "enough": right.count() as f64 / self.prompts.len().max(1) as f64,
            "parameters_sha256": foresight.digest().to_string(),
        }));
        self.shared.replace(Some(foresight));
        Ok(())
    }
}

impl Objective for Foreseeing {
    fn rehearse(&mut self) {
        self.rehearsing = true;
    }

    fn start(&mut self, _: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let mut ids: Vec<u32> = (0..u32::try_from(train.len()).unwrap_or(u32::MAX)).collect();
        shuffle(&mut self.streams.generator("foreseen"), &mut ids);
        let length = self.settings.foreseen_length as usize;
        let all = rows(train, &ids)?.into_iter().zip(&ids);
        // Beginnings of documents, which hold no word of reflection.
        let words = [self.words.ask, self.words.harmful, self.words.harmless];
        let begins = all.filter_map(|(row, &id)| {
            let tokens = row.tokens.get(..length)?;
            let plain = !tokens.iter().any(|token| words.contains(token));
            plain.then(|| Prompt { id, tokens: tokens.to_vec() })
        });
        self.prompts = begins.take(self.settings.foreseen as usize).collect();
        if self.prompts.is_empty() {
            let reason = format!(
                "no training text begins with {length} tokens without a word of reflection: lower foreseen_length"
            );
            return Err(nothing("foresight", &reason));
        }
        Ok(None)
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.loss.losses(network, batch, now)
    }

    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.loss.loss(network, batch, now)
    }

    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        if now.step + 1 == now.total_steps && !self.rehearsing {
            self.learn(network)?;
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        self.told.iter().map(|told| ("foresight".to_owned(), told.clone())).collect()
    }

    /// What it makes it makes behind the last step.
    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial::streams;
    use ledger::streams::{normal_f64, unit_f64};
    use tch::Device;

    #[test]
    fn the_fewest_rounds_that_are_enough_are_those_of_the_grid() {
        let found = [0, 1, 2, 3, 4, 5, 8].map(|needed| GRID[class(needed)]);
        assert_eq!(found, [0, 1, 2, 4, 4, 8, 8]);
    }

    /// A prompt of feature x needs one round with probability 1/(1 + e^−2x), and none else.
    fn learned() -> Foresight {
        let mut random = streams().generator("features");
        let (mut features, mut classes) = (Vec::new(), Vec::new());
        for _ in 0..20_000 {
            let x = normal_f64(&mut random);
            features.push(vec![3.0 + 5.0 * x, 7.0]);
            classes.push(usize::from(unit_f64(&mut random) < (1.0 + (-2.0 * x).exp()).recip()));
        }
        Foresight::fit(&features, &classes)
    }

    #[test]
    fn a_logistic_law_is_found_again_and_rounds_follow_from_how_sure_they_are_to_be() {
        let foresight = learned();
        for x in [-1.5, -0.5, 0.0, 1.0] {
            let shares = foresight.shares(&[3.0 + 5.0 * x, 7.0]);
            let expected = (1.0 + (-2.0 * x).exp()).recip();
            assert!((shares[1] - expected).abs() < 0.03, "{x}: {shares:?} {expected}");
            assert!(
                shares[2..].iter().sum::<f64>() < 0.03
                    && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9
            );
        }
        // At −1 no round is enough with a probability of 0.88.
        let rounds = |surety| foresight.enough(&[3.0 - 5.0, 7.0], surety);
        assert_eq!((rounds(0.8), rounds(0.95)), (0, 1));
        assert_eq!(foresight.enough(&[3.0 + 15.0, 7.0], 0.8), 1);
    }

    #[test]
    fn the_slope_vanishes_at_what_was_found() {
        let mut random = streams().generator("features");
        let mut draw = || -> Vec<f64> { (0..3).map(|_| normal_f64(&mut random)).collect() };
        let features: Vec<Vec<f64>> = (0..60).map(|_| draw()).collect();
        let classes: Vec<usize> = (0..60).map(|place| place % 3).collect();
        let foresight = Foresight::fit(&features, &classes);
        let inputs: Vec<Vec<f64>> = features.iter().map(|x| foresight.standardised(x)).collect();
        let all = slopes(&foresight.weights, &inputs, &classes).concat();
        // No prompt needs four or eight: their biases go on falling, ever more slowly.
        assert!(all.iter().all(|slope| slope.abs() < 2e-3), "{all:?}");
    }

    #[test]
    fn features_of_a_prompt_are_the_mean_of_its_own_states_whatever_stands_beside_it() {
        let shape =
            Shape { vocabulary: 9, context: 12, width: 32, depth: 1, heads: 2, hidden: 128 };
        let network = gpt(shape, &streams(), Device::Cpu).unwrap();
        let prompts = [vec![1, 2, 3], vec![4], vec![5, 6, 7, 8, 1]];
        let prompts = prompts.map(|tokens| Prompt { id: 0, tokens });
        let all = features(&network, &prompts).unwrap();
        for (prompt, found) in prompts.iter().zip(&all) {
            let input = Tensor::from_slice(&prompt.tokens).unsqueeze(0);
            let states = Gpt::of(&network).unwrap().hidden(&network, &input).unwrap();
            let mean = values(&states.mean_dim(1, false, Kind::Float)).unwrap();
            assert_eq!(found.len(), 32);
            for (found, expected) in found.iter().zip(mean) {
                assert!((found - f64::from(expected)).abs() < 1e-5, "{found} {expected}");
            }
        }
    }
}
