//! # Fresh draws of real data
//!
//! ## Mechanism
//! The sampler returns real samples that no split holds, whatever it is given. No step is taken and no
//! training example consumed.
//!
//! ## Claim
//! None: what a perfect model would score with as many samples. The distance between it and a baseline
//! is the room that a method has.
//!
//! ## Sources
//! Good practice; no paper.
//!
//! ## Differences
//! None.

use lab::LabError;
use lab::diffusion::generation;
use lab::method::Method;
use lab::network::Network;
use lab::offers;
use lab::recipe::Recipe;
use lab::seat::Sampler;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use rand_pcg::Pcg64;
use tch::Tensor;

settings! {
    /// No settings.
    pub struct Settings {}
}

/// The method.
pub static METHOD: Method = Method {
    summary: "fresh draws of real data in place of samples",
    paper: Paper { title: "none", authors: "none", year: 2026, reference: "none", code: "none" },
    claim: PaperClaim {
        statement: "a reference row, not a method",
        number: "none",
        source: "none",
    },
    baseline: None,
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |_, task| {
        let fresh = generation(task)?.fresh.shallow_clone();
        Ok(Recipe { sampler: Some(Box::new(Fresh(fresh))), ..Recipe::idle() })
    },
};

struct Fresh(Tensor);

impl Sampler for Fresh {
    fn sample(
        &self,
        _: &Network,
        noise: &Tensor,
        _: u32,
        _: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        Ok(self.0.f_narrow(0, 0, noise.size().first().copied().unwrap_or(0))?)
    }

    fn evaluations(&self) -> u32 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::models::mlp2d::mlp2d;
    use lab::trial;
    use tch::Device;

    #[test]
    fn samples_are_the_fresh_draws_whatever_the_noise() {
        let network = mlp2d(2, 4, &trial::streams(), Device::Cpu).unwrap();
        let fresh = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0]).view([2, 2]);
        let sampler = Fresh(fresh.shallow_clone());
        let mut random = trial::streams().generator("evaluation");
        let noise = fresh.zeros_like();
        assert_eq!(sampler.sample(&network, &noise, 8, &mut random).unwrap(), fresh);
        let first = sampler.sample(&network, &noise.narrow(0, 0, 1), 1, &mut random).unwrap();
        assert_eq!(first, fresh.narrow(0, 0, 1));
    }

    #[test]
    fn it_fits_no_workload_without_samples() {
        let trial = training::trial::Trial { examples: 8, epochs: 1, seed: 0 };
        let error = trial.run(&METHOD, &trial::with([])).unwrap_err();
        assert!(error.to_string().contains("nothing to generate"), "{error}");
    }
}
