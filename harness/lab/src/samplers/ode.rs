//! Euler and Heun steps of the probability-flow equation dx/dσ = (x − D(x, σ))/σ, deterministic
//! (arXiv:2206.00364, algorithm 1 without churn).

use rand_pcg::Pcg64;
use tch::Tensor;

use super::Setup;
use crate::LabError;
use crate::diffusion::{SIGMA_MAX, grid};
use crate::network::Network;
use crate::seat::Sampler;

/// N steps from σ_max over the levels of the grid to 0; Heun takes 2N − 1 evaluations.
#[derive(Debug, Clone, Copy)]
pub struct Ode {
    /// What is integrated.
    pub setup: Setup,
    /// Second order, but for the step to 0.
    pub heun: bool,
}

impl Ode {
    /// Steps that `evaluations` allow; Heun can use no even number of them.
    fn steps(self, evaluations: u32) -> u32 {
        if self.heun { evaluations.div_ceil(2).max(1) } else { evaluations.max(1) }
    }
}

impl Sampler for Ode {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        _: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let map = self.setup.denoise(network);
        let mut levels: Vec<f64> = match self.steps(evaluations) {
            1 => vec![SIGMA_MAX],
            more => grid(more as usize).into_iter().rev().collect(),
        };
        levels.push(0.0);
        let mut x = noise.f_mul_scalar(SIGMA_MAX)?;
        for pair in levels.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let slope = x.f_sub(&map.at(&x, from)?)?.f_div_scalar(from)?;
            let euler = x.f_add(&slope.f_mul_scalar(to - from)?)?;
            x = if self.heun && to > 0.0 {
                let ahead = euler.f_sub(&map.at(&euler, to)?)?.f_div_scalar(to)?;
                x.f_add(&slope.f_add(&ahead)?.f_mul_scalar((to - from) / 2.0)?)?
            } else {
                euler
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

    #[test]
    fn heun_never_takes_more_evaluations_than_allowed() {
        let setup =
            Setup { preconditioning: Preconditioning::Diffusion, sigma_data: 0.5, evaluations: 35 };
        let heun = Ode { setup, heun: true };
        for (evaluations, steps) in [(1, 1), (2, 1), (3, 2), (4, 2), (8, 4), (35, 18)] {
            assert_eq!(heun.steps(evaluations), steps, "{evaluations}");
            assert!(2 * steps - 1 <= evaluations);
        }
        assert_eq!(Ode { setup, heun: false }.steps(8), 8);
    }
}
