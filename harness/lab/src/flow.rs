//! Rectified flows: a velocity that carries noise to data along paths that are to be straight.
//!
//! Notation of Lee, Lin & Fanti (arXiv:2405.20320): x_t = (1 − t)x + tz with data at t = 0 and z standard normal at
//! t = 1; the velocity is v(x_t, t) = E[z − x | x_t].

pub mod features;
pub mod reflow;

use ledger::choice;
use ledger::streams::{normal_f64, unit_f64};
use rand_pcg::Pcg64;
use tch::Tensor;

use crate::LabError;
use crate::diffusion::{Preconditioning, SIGMA_MAX, column};
use crate::network::Network;
use crate::seat::Sampler;

/// How near to the ends of the path times are taken, as in the published code.
pub const NEAR: f64 = 1e-5;
/// Rows that are moved at once without gradients: more would leave the caches.
const CHUNK: i64 = 1_024;

choice! {
    /// How a network's output F becomes a velocity: a·x + b·F(c·x, ln(σ)/4), σ = t/(1 − t) or EDM's largest if smaller.
    pub enum Form {
        /// The velocity itself: a = 0, b = c = 1.
        Velocity = "velocity",
        /// A denoiser D with EDM's preconditioning, converted: v = (x_t − D(x_t/(1 − t), t/(1 − t)))/t.
        Denoiser = "denoiser",
    }
}

impl Form {
    /// a, b, c and the network's noise level at time t, within 0 and 1. Levels end where EDM's do, at t = 80/81: hardly
    /// a draw lies behind, so that a network would be told of a level that it has not learnt.
    #[must_use]
    pub fn coefficients(self, t: f64, sigma_data: f64) -> [f64; 4] {
        let sigma = t / (1.0 - t);
        let told = sigma.min(SIGMA_MAX).ln() / 4.0;
        match self {
            Self::Velocity => [0.0, 1.0, 1.0, told],
            Self::Denoiser => {
                let [skip, out, scale, _] =
                    Preconditioning::Diffusion.coefficients(sigma, sigma_data);
                // In double precision, so that nothing cancels where t is small.
                [(1.0 - skip / (1.0 - t)) / t, -out / t, scale / (1.0 - t), told]
            }
        }
    }
}

choice! {
    /// Where on the path losses are taken.
    pub enum Times {
        /// Everywhere alike.
        Uniform = "uniform",
        /// More often near both ends: with density proportional to cosh(a(t − ½)).
        UShaped = "u-shaped",
        /// 1/(1 + e^{−u}) of a standard normal u, shifted by s.
        LogitNormal = "logit-normal",
    }
}

impl Times {
    /// A time within [`NEAR`] and 1 − [`NEAR`]; `shape` is a, or s.
    pub fn draw(self, shape: f64, random: &mut Pcg64) -> f64 {
        let time = match self {
            Self::Uniform => unit_f64(random),
            Self::UShaped => quantile(unit_f64(random), shape),
            Self::LogitNormal => shifted(1.0 / (1.0 + (-normal_f64(random)).exp()), shape),
        };
        time.clamp(NEAR, 1.0 - NEAR)
    }
}

/// A time moved towards noise by s above 1: st/(1 + (s − 1)t) (Esser et al., arXiv:2403.03206), as more pixels ask for.
#[must_use]
pub fn shifted(t: f64, shift: f64) -> f64 {
    shift * t / (1.0 + (shift - 1.0) * t)
}

/// Density of [`Times::UShaped`]: a·cosh(a(t − ½))/(2·sinh(a/2)), which is ½C(e^{at} + e^{a(1−t)}).
#[must_use]
pub fn density(t: f64, shape: f64) -> f64 {
    shape * (shape * (t - 0.5)).cosh() / (2.0 * (shape / 2.0).sinh())
}

/// The time that a share of [`Times::UShaped`] lies below.
#[must_use]
pub fn quantile(share: f64, shape: f64) -> f64 {
    0.5 + ((2.0 * share - 1.0) * (shape / 2.0).sinh()).asinh() / shape
}

/// A network seen as a velocity.
#[derive(Debug, Clone, Copy)]
pub struct Flow<'a> {
    /// The network.
    pub network: &'a Network,
    /// How its output is used.
    pub form: Form,
    /// Standard deviation of the data per coordinate.
    pub sigma_data: f64,
}

impl Flow<'_> {
    /// Velocities, B × …, at one time per row, or one for all.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn rows(&self, x: &Tensor, times: &[f64]) -> Result<Tensor, LabError> {
        let each = times.iter().map(|&t| self.form.coefficients(t, self.sigma_data));
        let each: Vec<[f64; 4]> = each.collect();
        let part = |place: usize| -> Result<Tensor, LabError> {
            let numbers: Vec<f64> = each.iter().map(|row| row[place]).collect();
            Ok(column(&numbers, x)?)
        };
        let output = self.network.denoise(&x.f_mul(&part(2)?)?, &part(3)?.f_view([-1])?)?;
        Ok(x.f_mul(&part(0)?)?.f_addcmul(&part(1)?, &output)?)
    }

    /// The same at one time, in pieces: for use without gradients.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn at(&self, x: &Tensor, t: f64) -> Result<Tensor, LabError> {
        let rows = x.size().first().copied().unwrap_or(0);
        if rows <= CHUNK {
            return self.rows(x, &[t]);
        }
        let starts = (0..rows).step_by(CHUNK as usize);
        let piece = |start: i64| self.rows(&x.f_narrow(0, start, CHUNK.min(rows - start))?, &[t]);
        Ok(Tensor::f_cat(&starts.map(piece).collect::<Result<Vec<_>, _>>()?, 0)?)
    }
}

choice! {
    /// How a step goes from one time to the next.
    pub enum Rule {
        /// x ← x + (t′ − t)·v.
        Euler = "euler",
        /// x ← (1 − t′)(x − t·v) + t′·z with the noise z that the path began with.
        New = "new",
    }
}

/// Times of `steps` steps: from 1 − [`NEAR`] over (N − i)/N to 0.
#[must_use]
pub fn times(steps: u32) -> Vec<f64> {
    let steps = steps.max(1);
    let later = (0..steps).rev().map(|left| f64::from(left) / f64::from(steps));
    [1.0 - NEAR].into_iter().chain(later).collect()
}

/// Where `noise` is carried in `steps` steps, calling `seen` with the velocity of each.
fn carried(
    flow: &Flow<'_>,
    noise: &Tensor,
    steps: u32,
    rule: Rule,
    seen: &mut dyn FnMut(Tensor),
) -> Result<Tensor, LabError> {
    let mut x = noise.shallow_clone();
    for pair in times(steps).windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let velocity = flow.at(&x, from)?;
        x = match rule {
            Rule::Euler => x.f_add(&velocity.f_mul_scalar(to - from)?)?,
            Rule::New => {
                let clean = x.f_sub(&velocity.f_mul_scalar(from)?)?;
                clean.f_mul_scalar(1.0 - to)?.f_add(&noise.f_mul_scalar(to)?)?
            }
        };
        seen(velocity);
    }
    Ok(x)
}

/// Where `noise`, B × …, is carried in `steps` steps.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn carry(flow: &Flow<'_>, noise: &Tensor, steps: u32, rule: Rule) -> Result<Tensor, LabError> {
    carried(flow, noise, steps, rule, &mut |_| ())
}

/// How far paths are from straight: the mean over `steps` Euler steps, rows and coordinates of
/// (v_i − (x_1 − x_0))², as the published code has it (`utils.py`); 0 where a single step gives what many do.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn straightness(flow: &Flow<'_>, noise: &Tensor, steps: u32) -> Result<f64, LabError> {
    let mut velocities = Vec::new();
    let end = carried(flow, noise, steps, Rule::Euler, &mut |velocity| velocities.push(velocity))?;
    let chord = noise.f_sub(&end)?;
    let mut sum = 0.0;
    for velocity in &velocities {
        sum += velocity.f_sub(&chord)?.f_square()?.f_mean(None)?.f_double_value(&[])?;
    }
    Ok(sum / velocities.len().max(1) as f64)
}

/// As many steps as evaluations.
#[derive(Debug, Clone, Copy)]
pub struct FlowSampler {
    /// How the network's output is used.
    pub form: Form,
    /// Standard deviation of the data per coordinate.
    pub sigma_data: f64,
    /// How steps go.
    pub rule: Rule,
    /// Evaluations of the network that the method's own claim is about.
    pub evaluations: u32,
}

impl Sampler for FlowSampler {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        _: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let Self { form, sigma_data, rule, .. } = *self;
        carry(&Flow { network, form, sigma_data }, noise, evaluations, rule)
    }

    fn evaluations(&self) -> u32 {
        self.evaluations
    }
}

#[cfg(test)]
mod tests;
