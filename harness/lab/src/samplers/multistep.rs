//! Multistep consistency sampling (arXiv:2303.01469, algorithm 1).

use rand_pcg::Pcg64;
use tch::Tensor;

use super::Setup;
use crate::LabError;
use crate::diffusion::{SIGMA_MAX, SIGMA_MIN, grid, noise_like};
use crate::network::Network;
use crate::seat::Sampler;

/// The second level of two-step sampling on CIFAR-10 in arXiv:2310.14189, here that of all data and of
/// both methods.
const TWO_STEP: f64 = 0.821;

/// x ← f(σ_max z, σ_max); then, at each further level τ, x ← f(x + √(τ² − σ_min²) z′, τ).
#[derive(Debug, Clone, Copy)]
pub struct Multistep(pub Setup);

/// Noise levels of `evaluations` evaluations, descending: for two those of the paper, for more those
/// of the grid of as many steps.
fn levels(evaluations: u32) -> Vec<f64> {
    match evaluations {
        0 | 1 => vec![SIGMA_MAX],
        2 => vec![SIGMA_MAX, TWO_STEP],
        more => grid(more as usize + 1).into_iter().skip(1).rev().collect(),
    }
}

impl Sampler for Multistep {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let map = self.0.denoise(network);
        let mut x = map.at(&noise.f_mul_scalar(SIGMA_MAX)?, SIGMA_MAX)?;
        for level in levels(evaluations).into_iter().skip(1) {
            let size = (level * level - SIGMA_MIN * SIGMA_MIN).max(0.0).sqrt();
            let again = noise_like(noise, random)?.f_mul_scalar(size)?;
            x = map.at(&x.f_add(&again)?, level)?;
        }
        Ok(x)
    }

    fn evaluations(&self) -> u32 {
        self.0.evaluations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_fall_from_the_largest_and_never_reach_the_smallest() {
        assert_eq!(levels(2), [80.0, 0.821]);
        let four = levels(4);
        assert_eq!((four.len(), four[0]), (4, 80.0));
        assert!(four.is_sorted_by(|a, b| a > b) && four[3] > SIGMA_MIN);
    }
}
