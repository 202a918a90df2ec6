//! Few steps over fixed milestones, as TLCM's `inference.py` has them (arXiv:2406.05768): a subset of nine levels for each
//! number of steps, and fresh noise between them.

use rand_pcg::Pcg64;
use tch::Tensor;

use super::Setup;
use crate::LabError;
use crate::diffusion::{SIGMA_MAX, grid, noise_like};
use crate::network::Network;
use crate::seat::Sampler;

/// Milestones between the largest level and the smallest, both included, less one.
pub const SEGMENTS: usize = 8;

/// x̂ ← D(x, t); x ← x̂ + t′z for the next milestone t′, or by the straight line through x and x̂.
#[derive(Debug, Clone, Copy)]
pub struct Milestones {
    /// What is sampled.
    pub setup: Setup,
    /// Whether fresh noise comes between steps; otherwise steps are those of DDIM.
    pub renoise: bool,
}

/// Which of the nine milestones begin a step, from the largest level on; the last of nine is where steps end.
#[must_use]
pub fn subset(steps: u32) -> &'static [usize] {
    match steps {
        0 | 1 => &[0],
        2 => &[0, 4],
        3 => &[0, 4, 7],
        4 => &[0, 2, 4, 7],
        5 => &[0, 2, 4, 6, 7],
        6 => &[0, 2, 4, 5, 6, 7],
        7 => &[0, 2, 3, 4, 5, 6, 7],
        _ => &[0, 1, 2, 3, 4, 5, 6, 7],
    }
}

/// Levels of the milestones, from the largest on: every eighth part of the grid.
#[must_use]
pub fn levels() -> Vec<f64> {
    grid(SEGMENTS + 1).into_iter().rev().collect()
}

impl Sampler for Milestones {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let map = self.setup.denoise(network);
        let levels = levels();
        let at: Vec<f64> = subset(evaluations).iter().map(|place| levels[*place]).collect();
        let mut x = noise.f_mul_scalar(SIGMA_MAX)?;
        for (step, level) in at.iter().enumerate() {
            let clean = map.at(&x, *level)?;
            x = match at.get(step + 1) {
                None => return Ok(clean),
                Some(next) if self.renoise => {
                    clean.f_add(&noise_like(noise, random)?.f_mul_scalar(*next)?)?
                }
                Some(next) => clean.f_add(&x.f_sub(&clean)?.f_mul_scalar(next / level)?)?,
            };
        }
        Ok(x)
    }

    fn evaluations(&self) -> u32 {
        self.setup.evaluations
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Preconditioning;
    use crate::models::mlp2d::mlp2d;
    use crate::network::values;
    use crate::samplers::SamplerKind;
    use crate::trial;
    use tch::Device;

    /// The published grid of 1,000 times in as many whole ones.
    fn times() -> Vec<u32> {
        (0..=SEGMENTS as u32)
            .map(|i| 999 - 999 * i / SEGMENTS as u32 - u32::from(999 * i % 8 > 0))
            .collect()
    }

    #[test]
    fn subsets_are_the_published_ones_and_every_number_of_steps_is_one_evaluation_each() {
        assert_eq!(times(), [999, 874, 749, 624, 499, 374, 249, 124, 0]);
        for steps in 1..=8 {
            let subset = subset(steps);
            assert_eq!(subset.len(), steps as usize);
            assert!(
                subset[0] == 0
                    && subset.is_sorted_by(|a, b| a < b)
                    && subset[subset.len() - 1] < SEGMENTS
            );
        }
        let published: Vec<u32> = subset(4).iter().map(|place| times()[*place]).collect();
        assert_eq!(published, [999, 749, 499, 124]);
        assert_eq!(subset(35), subset(8));
    }

    #[test]
    fn one_step_is_one_evaluation_at_the_largest_level_and_noise_comes_between_more() {
        let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let noise = Tensor::from_slice(&[0.3_f32, -1.2, 0.01, 1.5]).view([2, 2]);
        let setup =
            Setup { preconditioning: Preconditioning::Diffusion, sigma_data: 0.5, evaluations: 4 };
        let sample = |renoise: bool, steps: u32, seed: &str| {
            let mut random = trial::streams().generator(seed);
            let sampler = Milestones { setup, renoise };
            values(&sampler.sample(&network, &noise, steps, &mut random).unwrap()).unwrap()
        };
        let one = SamplerKind::OneStep.build(Preconditioning::Diffusion, 0.5, 1);
        let mut random = trial::streams().generator("a");
        let one = values(&one.sample(&network, &noise, 1, &mut random).unwrap()).unwrap();
        assert_eq!((sample(true, 1, "a"), sample(false, 1, "b")), (one.clone(), one));
        assert_ne!(sample(true, 4, "a"), sample(true, 4, "b"));
        assert_eq!(sample(false, 4, "a"), sample(false, 4, "b"));
    }
}
