//! Diffusion as the survey of Chen, Mei, Fan & Wang (arXiv:2404.07771) has it: the forward process of Ornstein and
//! Uhlenbeck, x_t = e^{−t/2}x₀ + √(1 − e^{−t})ε, a score s(x, t) = ∇ log p_t(x), and the backward process
//! dx = [x/2 + s]dt + dW, which stops early, at a small t₀.
//!
//! Guidance is a combination of evaluations ([`guide`]), so that every sampler of a score takes it.

pub mod guide;
pub mod matching;
pub mod policy;
pub mod reward;

use ledger::choice;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use crate::LabError;
use crate::diffusion::{column, noise_like};
use crate::network::Network;

/// Rows that are looked at at once without gradients: more would leave the caches.
const CHUNK: i64 = 1_024;

/// What is left of x₀ at time t: e^{−t/2}.
#[must_use]
pub fn left(t: f64) -> f64 {
    (-t / 2.0).exp()
}

/// The variance of the noise at time t: 1 − e^{−t}.
#[must_use]
pub fn variance(t: f64) -> f64 {
    -(-t).exp_m1()
}

choice! {
    /// How a network's output F becomes a score.
    pub enum Output {
        /// F is the noise: s = −F/√(1 − e^{−t}).
        Noise = "noise",
        /// F is the mean of e^{−t/2}x₀: s = (F − x)/(1 − e^{−t}), for data on a subspace.
        Mean = "mean",
    }
}

choice! {
    /// Which times losses are taken at, within t₀ and the horizon.
    pub enum Times {
        /// All alike.
        Uniform = "uniform",
        /// All powers alike.
        Logarithmic = "logarithmic",
    }
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// t₀, where the backward process stops.
    pub early: f64,
    /// T, where it begins.
    pub horizon: f64,
}

impl Span {
    /// A time.
    pub fn draw(self, times: Times, random: &mut Pcg64) -> f64 {
        let Self { early, horizon } = self;
        let share = unit_f64(random);
        match times {
            Times::Uniform => early + share * (horizon - early),
            Times::Logarithmic => early * (horizon / early).powf(share),
        }
    }

    /// The ends of `steps` steps from T down to t₀, each the same factor shorter of what is left.
    #[must_use]
    pub fn steps(self, steps: u32) -> Vec<f64> {
        let Self { early, horizon } = self;
        let steps = steps.max(1);
        let at = |place: u32| match place {
            0 => horizon,
            place if place == steps => early,
            place => horizon * (early / horizon).powf(f64::from(place) / f64::from(steps)),
        };
        (0..=steps).map(at).collect()
    }
}

/// A network seen as a score.
#[derive(Debug, Clone, Copy)]
pub struct Score<'a> {
    /// The network.
    pub network: &'a Network,
    /// How its output is used.
    pub output: Output,
}

impl Score<'_> {
    /// Scores of points B × D at one time per row, or one for all, under a condition B × columns, if any.
    ///
    /// # Errors
    /// When libtorch refuses an operation, or the network takes no such condition.
    pub fn rows(
        &self,
        x: &Tensor,
        times: &[f64],
        condition: Option<&Tensor>,
    ) -> Result<Tensor, LabError> {
        let outputs = outputs(self.network, x, times, condition)?;
        let each = |of: fn(f64) -> f64| -> Result<Tensor, TchError> {
            column(&times.iter().map(|&t| of(t)).collect::<Vec<_>>(), x)
        };
        Ok(match self.output {
            Output::Noise => outputs.f_mul(&each(|t| -1.0 / variance(t).sqrt())?)?,
            Output::Mean => outputs.f_sub(x)?.f_mul(&each(|t| 1.0 / variance(t))?)?,
        })
    }

    /// The same at one time, in pieces: for use without gradients.
    ///
    /// # Errors
    /// As [`Score::rows`].
    pub fn at(&self, x: &Tensor, t: f64, condition: Option<&Tensor>) -> Result<Tensor, LabError> {
        pieces(x, condition, |x, condition| self.rows(x, &[t], condition))
    }
}

/// What a network says of points at one time per row, or one for all: told the noise level that a variance-exploding
/// process would have, ln(√(e^t − 1))/4, as other denoisers are.
///
/// # Errors
/// When libtorch refuses an operation, or the network takes no such condition.
pub fn outputs(
    network: &Network,
    x: &Tensor,
    times: &[f64],
    condition: Option<&Tensor>,
) -> Result<Tensor, LabError> {
    let levels: Vec<f64> = times.iter().map(|t| t.exp_m1().ln() / 8.0).collect();
    let levels = column(&levels, x)?.f_view([-1])?;
    match condition {
        Some(condition) => network.denoise(&Tensor::f_cat(&[x, condition], 1)?, &levels),
        None => network.denoise(x, &levels),
    }
}

/// What `of` says of rows, some at a time.
pub(crate) fn pieces(
    x: &Tensor,
    condition: Option<&Tensor>,
    of: impl Fn(&Tensor, Option<&Tensor>) -> Result<Tensor, LabError>,
) -> Result<Tensor, LabError> {
    let rows = x.size().first().copied().unwrap_or(0);
    if rows <= CHUNK {
        return of(x, condition);
    }
    let mut all = Vec::new();
    for start in (0..rows).step_by(CHUNK as usize) {
        let length = CHUNK.min(rows - start);
        let part = |tensor: &Tensor| tensor.f_narrow(0, start, length);
        all.push(of(&part(x)?, condition.map(part).transpose()?.as_ref())?);
    }
    Ok(Tensor::f_cat(&all, 0)?)
}

/// x_t of data x₀, with one time per row.
///
/// # Errors
/// When the shapes do not fit.
pub fn noised(x: &Tensor, noise: &Tensor, times: &[f64]) -> Result<Tensor, TchError> {
    let kept: Vec<f64> = times.iter().map(|&t| left(t)).collect();
    let added: Vec<f64> = times.iter().map(|&t| variance(t).sqrt()).collect();
    x.f_mul(&column(&kept, x)?)?.f_addcmul(noise, &column(&added, x)?)
}

/// Runs the backward process from `noise` over `ends`, by steps that are exact for a score that stays what it is:
/// x ← e^{Δ/2}x + 2(e^{Δ/2} − 1)s + √(e^Δ − 1)z.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn backward(
    noise: &Tensor,
    ends: &[f64],
    random: &mut Pcg64,
    mut score: impl FnMut(&Tensor, f64) -> Result<Tensor, LabError>,
) -> Result<Tensor, LabError> {
    let mut x = noise.shallow_clone();
    for pair in ends.windows(2) {
        let (from, length) = (pair[0], pair[0] - pair[1]);
        let grown = (length / 2.0).exp();
        let drift = score(&x, from)?.f_mul_scalar(2.0 * (grown - 1.0))?;
        let fresh = noise_like(&x, random)?.f_mul_scalar(length.exp_m1().sqrt())?;
        x = x.f_mul_scalar(grown)?.f_add(&drift)?.f_add(&fresh)?;
    }
    Ok(x)
}

#[cfg(test)]
mod tests;
