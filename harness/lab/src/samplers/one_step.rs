//! One evaluation at the largest noise level, whatever is allowed.

use rand_pcg::Pcg64;
use tch::Tensor;

use super::Setup;
use crate::LabError;
use crate::diffusion::SIGMA_MAX;
use crate::network::Network;
use crate::seat::Sampler;

/// f(σ_max z, σ_max).
#[derive(Debug, Clone, Copy)]
pub struct OneStep(pub Setup);

impl Sampler for OneStep {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        _: u32,
        _: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        self.0.denoise(network).at(&noise.f_mul_scalar(SIGMA_MAX)?, SIGMA_MAX)
    }

    fn evaluations(&self) -> u32 {
        1
    }
}
