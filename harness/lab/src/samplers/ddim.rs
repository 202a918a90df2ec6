//! Deterministic steps of DDIM in the form x_t′ = x_t + (t′ − t)(x_t − D(x_t, t))/t, on a grid that
//! ends at the smallest noise level, as students of progressive distillation are trained.

use rand_pcg::Pcg64;
use tch::Tensor;

use super::Setup;
use crate::LabError;
use crate::diffusion::{Denoise, SIGMA_MAX, grid};
use crate::network::Network;
use crate::seat::Sampler;

/// As many steps as evaluations.
#[derive(Debug, Clone, Copy)]
pub struct Ddim(pub Setup);

/// One step of all rows from level `from` to level `to`.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn step(map: &Denoise<'_>, x: &Tensor, from: f64, to: f64) -> Result<Tensor, LabError> {
    let slope = x.f_sub(&map.at(x, from)?)?;
    Ok(x.f_add(&slope.f_mul_scalar((to - from) / from)?)?)
}

impl Sampler for Ddim {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        _: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let map = self.0.denoise(network);
        let levels: Vec<f64> = grid(evaluations.max(1) as usize + 1).into_iter().rev().collect();
        let mut x = noise.f_mul_scalar(SIGMA_MAX)?;
        for pair in levels.windows(2) {
            x = step(&map, &x, pair[0], pair[1])?;
        }
        Ok(x)
    }

    fn evaluations(&self) -> u32 {
        self.0.evaluations
    }
}
