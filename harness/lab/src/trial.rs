//! A task of a few milliseconds for tests: 128 noisy examples in four classes.

use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::{self, Streams};
use serde_json::Value;
use tch::Tensor;

use crate::LabError;
use crate::seat::{Batch, StepInfo};
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

/// The first eight examples of [`split`].
///
/// # Errors
/// When libtorch cannot allocate.
pub fn batch(shape: &[i64]) -> Result<Batch, LabError> {
    Ok(split(shape)?.batch(&[0, 1, 2, 3, 4, 5, 6, 7])?)
}

/// Step `step` of `total_steps` in a single epoch, at a tenth of the learning rate.
#[must_use]
pub fn step_info(step: u64, total_steps: u64) -> StepInfo {
    StepInfo { step, total_steps, epoch: 0, total_epochs: 1, lr_factor: 0.1, pass: 0 }
}
