//! Ways to turn noise into samples, one file each; a method's setting names one.

pub mod ddim;
pub mod higher;
pub mod milestones;
pub mod multistep;
pub mod ode;
pub mod one_step;

use ledger::choice;

use crate::diffusion::Preconditioning;
use crate::seat::Sampler;

choice! {
    /// How samples are drawn.
    pub enum SamplerKind {
        /// One evaluation at the largest noise level.
        OneStep = "one-step",
        /// Consistency function, noised again between evaluations.
        Multistep = "multistep",
        /// Probability-flow equation, Euler steps.
        Euler = "euler",
        /// Probability-flow equation, Heun steps.
        Heun = "heun",
        /// Deterministic steps on a grid that ends at the smallest noise level.
        Ddim = "ddim",
    }
}

impl SamplerKind {
    /// The sampler for data of deviation `sigma_data`; its own claim is about `evaluations`.
    #[must_use]
    pub fn build(
        self,
        preconditioning: Preconditioning,
        sigma_data: f64,
        evaluations: u32,
    ) -> Box<dyn Sampler> {
        let setup = Setup { preconditioning, sigma_data, evaluations };
        match self {
            Self::OneStep => Box::new(one_step::OneStep(setup)),
            Self::Multistep => Box::new(multistep::Multistep(setup)),
            Self::Euler => Box::new(ode::Ode { setup, heun: false }),
            Self::Heun => Box::new(ode::Ode { setup, heun: true }),
            Self::Ddim => Box::new(ddim::Ddim(setup)),
        }
    }
}

/// What every sampler of a denoiser knows.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// How the network's output is used.
    pub preconditioning: Preconditioning,
    /// Standard deviation of the data per coordinate.
    pub sigma_data: f64,
    /// Evaluations of the network that the method's own claim is about.
    pub evaluations: u32,
}

impl Setup {
    /// The network as a denoiser.
    fn denoise<'a>(&self, network: &'a crate::network::Network) -> crate::diffusion::Denoise<'a> {
        let Self { preconditioning, sigma_data, .. } = *self;
        crate::diffusion::Denoise { network, preconditioning, sigma_data }
    }
}

#[cfg(test)]
mod tests {
    use crate::LabError;
    use std::sync::Arc;

    use rand_pcg::Pcg64;
    use tch::{Device, Kind, Tensor};

    use super::*;
    use crate::network::{Body, Denoiser, Network, values};
    use crate::trial;

    /// F such that the denoiser of N(0, ¼) is exact: c_skip·x, that is F = 0, for diffusion.
    #[derive(Debug)]
    struct Zero;

    impl Denoiser for Zero {
        fn run(&self, _: &Network, inputs: &Tensor, _: &Tensor) -> Result<Tensor, LabError> {
            Ok(inputs.f_zeros_like()?)
        }
    }

    fn exact() -> Network {
        Network::new(vec![], vec![], Body::Denoiser(Arc::new(Zero)))
    }

    fn random() -> Pcg64 {
        trial::streams().generator("evaluation")
    }

    fn factor(kind: SamplerKind, evaluations: u32) -> f64 {
        let sampler = kind.build(Preconditioning::Diffusion, 0.5, evaluations);
        let noise = Tensor::ones([1, 2], (Kind::Float, Device::Cpu));
        let sample = sampler.sample(&exact(), &noise, evaluations, &mut random()).unwrap();
        sample.double_value(&[0, 0]) / 80.0
    }

    #[test]
    fn ode_samplers_approach_the_exact_flow_map_of_a_normal() {
        // x(0) = x(80)·½/√(80² + ¼) for data N(0, ¼).
        let exact = 0.5 / (80.0_f64.powi(2) + 0.25).sqrt();
        assert!((exact - 0.006_249_88).abs() < 1e-8);
        let error = |kind, n| (factor(kind, n) / exact - 1.0).abs();
        // From the recursions, written down elsewhere.
        for (kind, evaluations, expected) in [
            (SamplerKind::Heun, 35, 0.055_270),
            (SamplerKind::Heun, 127, 0.003_662),
            (SamplerKind::Euler, 35, 0.080_188),
            (SamplerKind::Ddim, 64, 0.043_424),
            (SamplerKind::Ddim, 512, 0.005_527),
        ] {
            assert!((error(kind, evaluations) - expected).abs() < 2e-5, "{kind:?} {evaluations}");
        }
    }

    #[test]
    fn a_ddim_step_multiplies_by_the_published_factor() {
        // (¼ + tt′)/(¼ + t²) at 80 → 2.515219 → 0.002, and with more teacher steps.
        for (steps, expected) in [(2, 0.001_220_7), (4, 0.002_920_4), (8, 0.004_368_7)] {
            let factor = factor(SamplerKind::Ddim, steps);
            assert!((factor - expected).abs() < 6e-8, "{steps}: {factor}");
        }
    }

    #[test]
    fn between_evaluations_noise_comes_back_up_to_the_next_level_above_the_smallest() {
        // Of F = 0, f(x, σ) = ¼/((σ − 0.002)² + ¼)·x; x ← f(x + √(τ² − 0.002²)·z′, τ).
        let noise = Tensor::from_slice(&[0.3_f32, -1.2]).view([1, 2]);
        let skip = |sigma: f64| 0.25 / ((sigma - 0.002).powi(2) + 0.25);
        // In 64 steps of the grid the last levels are near 0.002, where √(τ² − 0.002²) is not τ.
        let grid = crate::diffusion::grid(65).into_iter().rev().take(64).collect();
        for levels in [vec![80.0, 0.821], grid] {
            let evaluations = levels.len() as u32;
            let sampler = SamplerKind::Multistep.build(Preconditioning::Consistency, 0.5, 1);
            let found = sampler.sample(&exact(), &noise, evaluations, &mut random()).unwrap();
            let mut again = random();
            let mut x = [0.3, -1.2].map(|z| skip(80.0) * 80.0 * z);
            for level in &levels[1..] {
                let size = (level * level - 0.002_f64.powi(2)).sqrt();
                let fresh = ledger::streams::normal(&mut again, 2);
                for (x, fresh) in x.iter_mut().zip(fresh) {
                    *x = skip(*level) * (*x + size * f64::from(fresh));
                }
            }
            for (found, expected) in values(&found).unwrap().into_iter().zip(x) {
                assert!((f64::from(found) / expected - 1.0).abs() < 1e-5, "{found} {expected}");
            }
        }
    }

    #[test]
    fn one_evaluation_of_the_multistep_sampler_is_the_one_step_sampler_bit_for_bit() {
        let network = crate::models::mlp2d::mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let noise = Tensor::from_slice(&[0.3_f32, -1.2, 0.01, 1.5]).view([2, 2]);
        let sample = |kind: SamplerKind, evaluations| {
            let sampler = kind.build(Preconditioning::Consistency, 0.5, 1);
            let sample = sampler.sample(&network, &noise, evaluations, &mut random()).unwrap();
            values(&sample).unwrap()
        };
        assert_eq!(sample(SamplerKind::OneStep, 1), sample(SamplerKind::Multistep, 1));
        assert_eq!(sample(SamplerKind::OneStep, 4), sample(SamplerKind::OneStep, 1));
        assert_ne!(sample(SamplerKind::Multistep, 2), sample(SamplerKind::Multistep, 1));
    }
}
