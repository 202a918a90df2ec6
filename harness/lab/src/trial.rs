//! Tasks of a few milliseconds for tests: 128 noisy examples in four classes, and a [`bandit`] for
//! what learns from reward.

use std::sync::Arc;

use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::{self, Streams};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::LabError;
use crate::models::elastic::Elastic;
use crate::models::gpt::{Gpt, Shape, gpt};
use crate::models::vit;
use crate::network::Network;
use crate::seat::{Batch, Outcome, StepInfo, TaskInfo};
use crate::side_info::{SideInfo, Tokens, Verifier};
use crate::split::Split;

/// Settings from pairs.
#[must_use]
pub fn with<const N: usize>(pairs: [(&str, Value); N]) -> Values {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Training examples of [`split`]; at a batch size of 32, four steps an epoch.
pub const EXAMPLES: u32 = 128;

/// Seed of [`streams`].
pub const SEED: u64 = 7;

/// Streams of its seed.
#[must_use]
pub fn streams() -> Streams {
    Streams::new(Seed::from_integer(SEED).bytes)
}

/// Normal inputs of `shape` (without the batch; H × W × C for images) in four classes, each at its
/// own mean.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn split(shape: &[i64]) -> Result<Split, LabError> {
    let rows = i64::from(EXAMPLES);
    let count = usize::try_from(rows * shape.iter().product::<i64>()).unwrap_or(0);
    let noise = streams::normal(&mut streams().generator("trial"), count);
    let labels: Vec<i64> = (0..rows).map(|row| row % 4).collect();
    let labels = Tensor::f_from_slice(&labels)?;
    let mut column = vec![1; shape.len() + 1];
    column[0] = rows;
    let noise = Tensor::f_from_slice(&noise)?.f_reshape([&[rows], shape].concat())?;
    let stored = noise.f_add(&labels.f_reshape(column)?)?;
    Ok(Split { stored, labels, groups: Vec::new() })
}

/// A small elastic network for images of shape 8 × 8 × 1 in the four classes of [`split`].
pub const ELASTIC: Elastic = Elastic { channels: 1, side: 8, widths: [4, 8], classes: 4 };

/// Small towers for images of up to 24 × 24 pixels.
pub const VIT: vit::Shape = vit::Shape {
    side: 24,
    patch: 4,
    width: 16,
    depth: 2,
    heads: 2,
    hidden: 32,
    classes: 4,
    paraphrases: 2,
    features: 8,
};

/// The first eight examples of [`split`].
///
/// # Errors
/// When libtorch cannot allocate.
pub fn batch(shape: &[i64]) -> Result<Batch, LabError> {
    Ok(split(shape)?.batch(&[0, 1, 2, 3, 4, 5, 6, 7])?)
}

/// How [`weights`] are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tails {
    /// N(0, 1).
    Normal,
    /// Laplace's of scale 1.
    Laplace,
    /// Student's t with 5 degrees of freedom.
    T5,
}

/// `count` independent weights, 0.02 times what `tails` says: about the size of those of language
/// models.
#[must_use]
pub fn weights(tails: Tails, count: usize) -> Vec<f32> {
    let mut random = streams().generator("weights");
    let mut draw = || match tails {
        Tails::Normal => streams::normal_f64(&mut random),
        Tails::Laplace => {
            let side = streams::unit_f64(&mut random) - 0.5;
            -side.signum() * (-2.0 * side.abs()).ln_1p()
        }
        Tails::T5 => {
            let normal = streams::normal_f64(&mut random);
            let squares = (0..5).map(|_| streams::normal_f64(&mut random).powi(2)).sum::<f64>();
            normal / (squares / 5.0).sqrt()
        }
    };
    (0..count).map(|_| (0.02 * draw()) as f32).collect()
}

/// Step `step` of `total_steps` in a single epoch, at a tenth of the learning rate.
#[must_use]
pub fn step_info(step: u64, total_steps: u64) -> StepInfo {
    StepInfo { step, total_steps, epoch: 0, total_epochs: 1, lr_factor: 0.1, pass: 0 }
}

/// What a method may know of a task of eight examples on `network`, which offers `side` and has neither teacher nor budget.
#[must_use]
pub fn task<'a>(network: &'a Network, side: &'a SideInfo, streams: &'a Streams) -> TaskInfo<'a> {
    TaskInfo {
        method: "the method",
        workload: "the trial",
        network,
        examples: 8,
        side,
        teacher: None,
        budget_samples: 0,
        streams,
    }
}

/// Moves every parameter against the gradient of `loss`, by `rate` times it.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn descend(network: &Network, loss: &Tensor, rate: f64) -> Result<(), LabError> {
    let leaves: Vec<_> = network.parameters.iter().map(|p| &p.tensor).collect();
    let gradients = Tensor::f_run_backward(&[loss], &leaves, false, false)?;
    tch::no_grad(|| -> Result<(), LabError> {
        for (leaf, gradient) in leaves.into_iter().zip(&gradients) {
            let _ = leaf.shallow_clone().f_sub_(&gradient.f_mul_scalar(rate)?)?;
        }
        Ok(())
    })
}

/// Prompts of the [`bandit`].
pub const PROMPTS: u32 = 12;
/// Ends a response to one of them.
pub const END: i64 = 1;
/// Each prompt is one of three tokens, this one and the two behind it.
const FIRST: i64 = 2;
/// Longest response, the end included.
const LONGEST: usize = 4;

/// The prompt of example `id`; what its answer has to begin with.
#[must_use]
pub fn prompt(id: u32) -> i64 {
    FIRST + i64::from(id % 3)
}

/// Accepts what begins with the prompt, at any length.
#[derive(Debug)]
struct Echo;

impl Verifier for Echo {
    fn check(&self, id: u32, response: &[i64]) -> Outcome {
        let correct = response.first() == Some(&prompt(id));
        Outcome { correct, well_formed: !response.is_empty() }
    }

    fn prompt_length(&self) -> Option<usize> {
        Some(1)
    }

    fn longest_response(&self) -> usize {
        LONGEST
    }
}

/// A verifier for the [`bandit`] that accepts nothing.
#[derive(Debug)]
pub struct Never;

impl Verifier for Never {
    fn check(&self, _: u32, _: &[i64]) -> Outcome {
        Outcome { correct: false, well_formed: true }
    }

    fn prompt_length(&self) -> Option<usize> {
        Some(1)
    }

    fn longest_response(&self) -> usize {
        LONGEST
    }
}

/// A task to learn from reward: to say a prompt of one token again, and a policy of one small block
/// that has learned nothing yet.
#[derive(Debug)]
pub struct Bandit {
    /// The policy as every run starts from it.
    pub network: Network,
    /// The prompts; there are no labels to learn from.
    pub prompts: Split,
    /// The verifier and what else methods need.
    pub side: SideInfo,
    /// Streams of the run.
    pub streams: Streams,
}

/// The task, anew.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn bandit() -> Result<Bandit, LabError> {
    let vocabulary = FIRST + 3;
    let context = 1 + LONGEST;
    let shape = Shape { vocabulary: 5, context, width: 16, depth: 1, heads: 2, hidden: 32 };
    let tokens: Vec<i64> = (0..PROMPTS).map(prompt).collect();
    let groups: Vec<u32> = (0..PROMPTS).map(|id| id % 3).collect();
    let stored = Tensor::f_from_slice(&tokens)?.f_view([-1, 1])?;
    let prompts = Split { labels: stored.copy(), stored, groups: groups.clone() };
    let side = SideInfo {
        group_names: ["2", "3", "4"].map(str::to_owned).to_vec(),
        groups,
        tokens: Some(Tokens {
            vocabulary,
            context: context as i64,
            end: Some(END),
            mask: None,
            first_ordinary: FIRST,
        }),
        verifier: Some(Arc::new(Echo)),
        ..SideInfo::default()
    };
    let streams = streams();
    Ok(Bandit { network: gpt(shape, &streams, Device::Cpu)?, prompts, side, streams })
}

impl Bandit {
    /// What a method may know of the task.
    #[must_use]
    pub fn task(&self) -> TaskInfo<'_> {
        TaskInfo {
            method: "the method",
            workload: "bandit",
            network: &self.network,
            examples: PROMPTS,
            side: &self.side,
            teacher: None,
            budget_samples: 0,
            streams: &self.streams,
        }
    }
}

/// Probability that `network` begins its answer rightly, on average over the three prompts.
///
/// # Errors
/// When it is no policy of the [`bandit`].
pub fn rightly(network: &Network) -> Result<f64, LabError> {
    let prompts = Tensor::f_from_slice(&[prompt(0), prompt(1), prompt(2)])?.f_view([3, 1])?;
    let shares = Gpt::of(network)?.forward(network, &prompts)?.f_softmax(-1, Kind::Double)?;
    let right = shares.f_view([3, -1])?.f_gather(1, &prompts, false)?;
    Ok(right.f_mean(None)?.f_double_value(&[])?)
}
