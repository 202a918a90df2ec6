//! A short run on made-up data through the real loop: how methods test their identities.

use std::collections::BTreeMap;

use ledger::digest::Digest;
use ledger::settings::Values;
use ledger::streams::{self, Streams};
use ledger::transcript::Transcript;
use tch::{Device, Tensor};

use crate::LabError;
use crate::cell::facts;
use crate::clock::{Clock, Monotonic};
use crate::loops::supervised::{Budget, Run, Target};
use crate::method::Method;
use crate::network::Network;
use crate::seat::{Batch, Facts, Moment, OrderSource, Task};
use crate::workloads::{Split, Splits};

/// Training examples; at a batch size of 32, four steps an epoch.
pub const EXAMPLES: u32 = 128;

const CLASSES: u32 = 4;

/// Streams of every trial.
#[must_use]
pub fn streams() -> Streams {
    Streams::new([7; 32])
}

/// Normal inputs of `shape` (without the batch; H × W × C for images) in four classes, each at its
/// own mean.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn split(shape: &[i64]) -> Result<Split, LabError> {
    let rows = i64::from(EXAMPLES);
    let noise = streams::normal(
        &mut streams().generator("trial"),
        usize::try_from(rows * shape.iter().product::<i64>()).unwrap_or(0),
    );
    let labels: Vec<i64> = (0..rows).map(|row| row % i64::from(CLASSES)).collect();
    let labels = Tensor::f_from_slice(&labels)?;
    let mut column = vec![1; shape.len() + 1];
    column[0] = rows;
    let noise = Tensor::f_from_slice(&noise)?.f_reshape([&[rows], shape].concat())?;
    Ok(Split { stored: noise.f_add(&labels.f_reshape(column)?)?, labels })
}

/// The first eight examples of [`split`].
///
/// # Errors
/// When libtorch cannot allocate.
pub fn batch(shape: &[i64]) -> Result<Batch, LabError> {
    Ok(split(shape)?.gather(Tensor::f_from_slice(&[0_i64, 1, 2, 3, 4, 5, 6, 7])?)?)
}

/// Step `step` of `total_steps` in a single epoch, at a tenth of the learning rate.
#[must_use]
pub fn moment(step: u64, total_steps: u64) -> Moment {
    Moment { step, total_steps, epoch: 0, total_epochs: 1, lr_factor: 0.1 }
}

/// Trains `network` for `epochs` with `method` under `settings`; what it left, and its facts.
///
/// # Errors
/// When the method does not fit or libtorch refuses an operation.
pub fn train(
    method: &Method,
    settings: &Values,
    mut network: Network,
    shape: &[i64],
    epochs: u32,
) -> Result<(Network, Facts), LabError> {
    let streams = streams();
    let values = (method.resolve)(settings)?;
    let task = Task {
        workload: "trial",
        network: &network,
        examples: EXAMPLES,
        classes: CLASSES,
        streams: &streams,
    };
    let mut recipe = (method.build)(&values, &task)?;
    let splits = Splits { train: split(shape)?, validation: split(shape)?, test: split(shape)? };
    let samples = u64::from(EXAMPLES) * u64::from(epochs);
    let target = Target { metric: "accuracy".to_owned(), value: 2.0, higher_is_better: true };
    Run {
        network: &mut network,
        recipe: &mut recipe,
        splits: &splits,
        source: OrderSource { effective_seed: &[7; 32], streams: &streams, examples: EXAMPLES },
        budget: Budget { samples, evaluate_every: samples },
        target: &target,
        transcript: &mut Transcript::start(Digest::of(b"trial")),
        clock: &mut Clock::start(Monotonic::start(), Device::Cpu),
    }
    .train(&mut |_, _| Ok(()))?;
    Ok((network, facts(&recipe)))
}

/// Settings from pairs.
#[must_use]
pub fn settings<const N: usize>(pairs: [(&str, serde_json::Value); N]) -> Values {
    BTreeMap::from(pairs.map(|(key, value)| (key.to_owned(), value)))
}
