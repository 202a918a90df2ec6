//! # EDM: denoising score matching with preconditioning
//!
//! ## Mechanism
//! `D(x, σ) = c_skip·x + c_out·F(c_in·x, ln(σ)/4)` is trained by
//! `λ(σ)·(D(x + σz, σ) − x)²`, `ln σ ~ N(P_mean, P_std²)`, `λ = (σ² + σ_d²)/(σσ_d)²`, with σ_d the data's deviation,
//! so that F's inputs and targets have unit variance at every level. Samples follow
//! `dx/dσ = (x − D(x, σ))/σ` from σ_max = 80 by Heun steps over the grid with ρ = 7 to 0: N steps take 2N − 1
//! evaluations.
//!
//! ## Claim
//! FID 1.97 on CIFAR-10 (unconditional) with 35 evaluations of the network (abstract). Here it is the
//! diffusion baseline: the quality that few-step methods are measured against, at their price in
//! evaluations.
//!
//! ## Sources
//! Karras, Aittala, Aila, Laine, arXiv:2206.00364 (NeurIPS 2022), table 1 and algorithm 1; NVlabs/edm.
//!
//! ## Differences
//! - No augmentation, no dropout, no warm-up of the learning rate, no churn in the sampler.
//! - The average of the weights has a fixed decay per step, not a half-life in images, and no ramp-up (there its
//!   half-life is at most 0.05 of the images seen so far: `ema_rampup_ratio`).

use lab::averaging::ema::Ema;
use lab::diffusion::{Preconditioning, generation};
use lab::method::Method;
use lab::objectives::denoising::Denoising;
use lab::offers;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::recipe::{Recipe, Step};
use lab::samplers::SamplerKind;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `edm`.
    pub struct Settings {
        /// Mean of ln σ.
        p_mean: f64 = -1.2, range Range::ANY, from "table 1";
        /// Standard deviation of ln σ.
        p_std: f64 = 1.2, range Range::above(0.0), from "table 1";
        /// How samples are drawn.
        sampler: SamplerKind = SamplerKind::Heun, from "algorithm 1";
        /// Evaluations of the network per sample.
        evaluations: u32 = 35, range Range::of(1.0..), from "table 2, CIFAR-10";
        /// Decay of the average of the weights; 0 is none.
        ema: f64 = 0.9993, range Range::of(0.0..1.0), from "train.py: half-life of 500,000 images at batch 512";
        /// Examples per step.
        batch_size: u32 = 512, range Range::of(1.0..), from "train.py";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "train.py, without its warm-up";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "train.py";
        /// Peak learning rate.
        lr: f64 = 1e-3, range Range::above(0.0), from "train.py";
        use adaptive: AdaptiveSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "diffusion model with EDM's preconditioning; Heun sampler",
    paper: Paper {
        title: "Elucidating the Design Space of Diffusion-Based Generative Models",
        authors: "Karras, Aittala, Aila, Laine",
        year: 2022,
        reference: "arXiv:2206.00364",
        code: "NVlabs/edm",
    },
    claim: PaperClaim {
        statement: "high sample quality with few dozen evaluations of the network",
        number: "CIFAR-10 FID 1.97, unconditional, 35 evaluations",
        source: "abstract",
    },
    baseline: None,
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings {
            p_mean,
            p_std,
            sampler,
            evaluations,
            ema,
            batch_size,
            schedule,
            optimizer,
            lr,
            adaptive,
        } = settings;
        let sigma_data = generation(task)?.sigma_data;
        let objective = Box::new(Denoising::new(p_mean, p_std, sigma_data, task.streams));
        let step =
            Step::Gradient { objective, optimizer: adaptive.build(optimizer, lr, task.network)? };
        Ok(Recipe {
            averaging: Ema::seat(ema, &task.network.parameters),
            sampler: Some(sampler.build(Preconditioning::Diffusion, sigma_data, evaluations)),
            ..Recipe::of(batch_size, schedule, step)
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::network::values;
    use lab::seat::Objective;
    use lab::trial;
    use tch::{Device, Tensor};

    #[test]
    fn the_weight_makes_every_level_count_alike_for_the_raw_network() {
        let objective = Denoising::new(-1.2, 1.2, 0.5, &trial::streams());
        for sigma in [0.01, 0.5, 10.0_f64] {
            let [_, out, _, _] = Preconditioning::Diffusion.coefficients(sigma, 0.5);
            assert!((objective.weight(sigma) * out * out - 1.0).abs() < 1e-12, "{sigma}");
        }
    }

    #[test]
    fn a_network_that_gives_zero_has_a_loss_of_one_on_data_of_deviation_sigma_d() {
        // λ·c_out²·F_target² with F_target of unit variance.
        let network = lab::models::mlp2d::mlp2d(2, 4, &trial::streams(), Device::Cpu).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        let mut objective = Denoising::new(-1.2, 1.2, 0.5, &trial::streams());
        let mut random = trial::streams().generator("data");
        let data = ledger::streams::normal(&mut random, 8_000);
        let inputs = Tensor::from_slice(&data).view([4_000, 2]) * 0.5;
        let plain = trial::batch(&[2]).unwrap();
        let batch = lab::seat::Batch { ids: (0..4_000).collect(), inputs, ..plain };
        let losses = objective.losses(&network, &batch, &trial::step_info(0, 1)).unwrap();
        let mean = values(&losses).unwrap().iter().sum::<f32>() / 4_000.0;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert_eq!(objective.costs()["network_evaluations"], 4_000);
    }

    #[test]
    fn it_fits_no_workload_without_samples() {
        let trial = training::trial::Trial { examples: 8, epochs: 1, seed: 0 };
        let error = trial.run(&METHOD, &trial::with([])).unwrap_err();
        assert!(error.to_string().contains("nothing to generate"), "{error}");
    }
}
