//! Samples of a higher resolution than a denoiser was trained at, without training (DiffuseHigh, arXiv:2406.18459): a
//! sample of the native size is made larger, noised, and denoised again under its own low frequencies.

use ledger::choice;
use rand_pcg::Pcg64;
use tch::{TchError, Tensor};

use super::Setup;
use super::ode::Ode;
use crate::LabError;
use crate::diffusion::noise_like;
use crate::network::Network;
use crate::seat::Sampler;
use crate::wavelets::{Coefficients, Filters, Wavelet};

choice! {
    /// How a larger image comes to be.
    pub enum Way {
        /// By noising and denoising what was made larger, size by size.
        Refined = "refined",
        /// Made larger by bicubic interpolation alone.
        Upsampled = "upsampled",
        /// Sampled at the larger size from the first step on.
        Direct = "direct",
    }
}

/// Steps of the process that SDXL is trained by, and the ends of its β (evenly spaced in √β).
const TIMES: u32 = 1_000;
const BETAS: [f64; 2] = [0.000_85, 0.012];

/// Times of the last `last` of `steps` steps, from the largest on: multiples of 1,000/`steps`, and one.
#[must_use]
pub fn times(steps: u32, last: u32) -> Vec<u32> {
    let apart = TIMES / steps.max(1);
    (0..last.min(steps)).rev().map(|place| place * apart + 1).collect()
}

/// σ at a time: √((1 − ᾱ)/ᾱ) with ᾱ_t = Π_{s ≤ t}(1 − β_s), for data of deviation 1.
#[must_use]
pub fn level(time: u32) -> f64 {
    let [low, high] = BETAS.map(f64::sqrt);
    let beta = |s: u32| (low + f64::from(s) / f64::from(TIMES - 1) * (high - low)).powi(2);
    let kept: f64 = (0..=time.min(TIMES - 1)).map(|s| 1.0 - beta(s)).product();
    ((1.0 - kept) / kept).sqrt()
}

/// How an image that was made larger is denoised.
#[derive(Debug, Clone, PartialEq)]
pub struct Refinement {
    /// Levels of its steps, from the largest on; the last step ends at 0.
    pub levels: Vec<f64>,
    /// How many of the first steps keep the low band of the enlarged image.
    pub guided: usize,
    /// α: g ← (1 + α)g − α·blur(g).
    pub sharpening: f64,
    /// Deviation of the blur, in pixels.
    pub blur: f64,
    /// Filters of the bands.
    pub filters: Filters,
}

/// The sampler.
#[derive(Debug, Clone)]
pub struct Higher {
    /// Network and data.
    pub setup: Setup,
    /// How.
    pub way: Way,
    /// Side that the network was trained at.
    pub native: i64,
    /// Sides to come to, one after the other; the last is what is asked for.
    pub sides: Vec<i64>,
    /// How each is refined.
    pub refinement: Refinement,
}

/// Bicubic interpolation to `side` × `side`.
fn enlarged(images: &Tensor, side: i64) -> Result<Tensor, TchError> {
    images.f_upsample_bicubic2d([side, side], false, None, None)
}

/// (1 + α)g − α·blur(g), by a Gaussian of 3 × 3 with mirrored edges.
fn sharpened(images: &Tensor, alpha: f64, deviation: f64) -> Result<Tensor, TchError> {
    if alpha == 0.0 {
        return Ok(images.shallow_clone());
    }
    let side = (-0.5 / (deviation * deviation)).exp();
    let row = [side, 1.0, side].map(|weight| weight / (1.0 + 2.0 * side));
    let kernel: Vec<f32> = row.iter().flat_map(|a| row.map(|b| (a * b) as f32)).collect();
    let kernel = Tensor::f_from_slice(&kernel)?.f_view([1, 1, 3, 3])?;
    let size = images.size();
    let [.., height, width] = size[..] else { return Ok(images.shallow_clone()) };
    let flat = images.f_reshape([-1, 1, height, width])?.f_reflection_pad2d([1, 1, 1, 1])?;
    let kernel = kernel.f_to_device(images.device())?;
    let blurred = flat.f_conv2d::<Tensor>(&kernel, None, [1, 1], [0, 0], [1, 1], 1)?;
    let blurred = blurred.f_view(size.as_slice())?;
    images.f_mul_scalar(1.0 + alpha)?.f_sub(&blurred.f_mul_scalar(alpha)?)
}

impl Higher {
    /// Evaluations of the network that the first sample may take, of all.
    fn first(&self, evaluations: u32) -> u32 {
        let each = u32::try_from(self.refinement.levels.len()).unwrap_or(u32::MAX);
        let later = match self.way {
            Way::Refined => {
                each.saturating_mul(u32::try_from(self.sides.len()).unwrap_or(u32::MAX))
            }
            Way::Upsampled | Way::Direct => 0,
        };
        evaluations.saturating_sub(later)
    }

    /// Noise of the native size: sums over squares of the larger noise, which are standard normal again.
    fn native_noise(&self, noise: &Tensor) -> Result<Tensor, LabError> {
        let side = noise.size().last().copied().unwrap_or(0);
        let factor = side / self.native.max(1);
        if factor <= 1 {
            return Ok(noise.shallow_clone());
        }
        let mean = noise.f_avg_pool2d([factor; 2], [factor; 2], [0, 0], false, true, None)?;
        Ok(mean.f_mul_scalar(factor as f64)?)
    }

    /// One size larger.
    fn refined(
        &self,
        network: &Network,
        smaller: &Tensor,
        side: i64,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let Refinement { ref levels, guided, sharpening, blur, filters } = self.refinement;
        let guide = sharpened(&enlarged(smaller, side)?, sharpening, blur)?;
        let wavelet = Wavelet::new(filters, side, guide.device())?;
        let low = wavelet.split(&guide)?.low;
        let map = self.setup.denoise(network);
        let first = levels.first().copied().unwrap_or(0.0);
        let mut x = guide.f_add(&noise_like(&guide, random)?.f_mul_scalar(first)?)?;
        let ends = levels.iter().skip(1).copied().chain([0.0]);
        for (step, (from, to)) in levels.iter().copied().zip(ends).enumerate() {
            let mut clean = map.at(&x, from)?;
            if step < guided {
                let Coefficients { details, .. } = wavelet.split(&clean)?;
                clean = wavelet.join(&Coefficients { low: low.shallow_clone(), details })?;
            }
            let slope = x.f_sub(&clean)?.f_div_scalar(from)?;
            x = x.f_add(&slope.f_mul_scalar(to - from)?)?;
        }
        Ok(x)
    }
}

impl Sampler for Higher {
    /// Noise of the native size asks for the sample that larger ones are made of. Where evaluations do not reach for
    /// both, what was made larger is left as it is.
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let base = Ode { setup: self.setup, heun: true };
        if self.way == Way::Direct {
            return base.sample(network, noise, evaluations, random);
        }
        let small = self.native_noise(noise)?;
        let (first, refined) = match (self.way, self.first(evaluations)) {
            (Way::Refined, 0) => (evaluations, false),
            (way, first) => (first, way == Way::Refined),
        };
        let mut x = base.sample(network, &small, first, random)?;
        if small.size() == noise.size() {
            return Ok(x);
        }
        for side in &self.sides {
            x = if refined {
                self.refined(network, &x, *side, random)?
            } else {
                enlarged(&x, *side)?
            };
        }
        Ok(x)
    }

    fn evaluations(&self) -> u32 {
        self.setup.evaluations
    }
}

#[cfg(test)]
mod tests;
