//! # CT: consistency training
//!
//! ## Mechanism
//! `f(x, σ) = c_skip·x + c_out·F(c_in·x, ln(σ)/4)` is the identity at σ_min = 0.002. At step k, over a grid of
//! N(k) levels (ρ = 7), an interval i is drawn uniformly and one noise z for both its ends:
//! `loss = d(f(x + σ_{i+1}z, σ_{i+1}), f⁻(x + σ_i z, σ_i))`, where f⁻ has an average of the weights with decay
//! `μ(k) = exp(s₀·ln μ₀/N(k))` and takes no gradient. `N(k) = ⌈√(k/K·((s₁+1)² − s₀²) + s₀²) − 1⌉ + 1`, from 2
//! to 151. One evaluation samples: f(σ_max z, σ_max).
//!
//! ## Claim
//! One-step FID 8.70 on CIFAR-10 (table 1), without a diffusion model to distil. It is the baseline of `ict`.
//!
//! ## Sources
//! Song, Dhariwal, Chen, Sutskever, arXiv:2303.01469 (ICML 2023), algorithm 3;
//! openai/consistency_models@e32b69e, openai/consistency_models_cifar10@d086e77
//! `configs/cifar10_ve_ct_adaptive.py`.
//!
//! ## Differences
//! - `d` is the squared distance in place of LPIPS, which needs a network trained on photographs; a sum over
//!   coordinates as in the paper, where the code takes the mean.
//! - μ(k) is the paper's formula; the code has N(k) − 1 for N(k) (0.81 for 0.90 at the start).
//! - `K` is the budget of the suite, not 800,000; the average for sampling is as long as the suite says. The teacher's
//!   is not scaled: at 151 levels it reaches back 717 steps, 0.09 % of the paper's run; `s1` and `mu0` shorten it.
//! - Fourier features of the noise level are the bench's (0.25 to 16 radians), as for `ict`; the code's are random, of
//!   scale 16.
//! - Two steps use τ = 0.821, iCT's for CIFAR-10, on all data; the code searches one for each model.
//! - No dropout.

use lab::averaging::ema::Ema;
use lab::diffusion::{Preconditioning, generation_as};
use lab::method::Method;
use lab::objectives::consistency::{
    Consistency, Curriculum, Distance, Proposal, Rules, Teacher, Weighting,
};
use lab::offers;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::recipe::{Recipe, Step};
use lab::samplers::SamplerKind;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};

settings! {
    /// Settings of `ct`.
    pub struct Settings {
        /// How the number of levels grows.
        curriculum: Curriculum = Curriculum::SquareRoot, from "openai/consistency_models_cifar10@d086e77";
        /// First number of intervals between levels.
        s0: u32 = 2, range Range::of(1.0..), from "openai/consistency_models_cifar10@d086e77";
        /// Last number of intervals between levels.
        s1: u32 = 150, range Range::of(1.0..), from "openai/consistency_models_cifar10@d086e77";
        /// Whose output is the target.
        teacher: Teacher = Teacher::Average, from "arXiv:2303.01469, algorithm 3";
        /// Decay of the teacher's average in the beginning, where it is an average.
        mu0: f64 = 0.9, range Range::of(0.0..1.0), from "openai/consistency_models_cifar10@d086e77";
        /// How outputs of student and teacher are compared.
        distance: Distance = Distance::Squared, from "arXiv:2303.01469; LPIPS there";
        /// How levels are drawn.
        proposal: Proposal = Proposal::Uniform, from "arXiv:2303.01469, algorithm 3";
        /// Mean of ln σ of the lognormal proposal.
        p_mean: f64 = -1.1, range Range::ANY, from "arXiv:2310.14189, table 1";
        /// Standard deviation of ln σ of the lognormal proposal.
        p_std: f64 = 2.0, range Range::above(0.0), from "arXiv:2310.14189, table 1";
        /// How losses are weighted.
        weighting: Weighting = Weighting::One, from "arXiv:2303.01469, section 5";
        /// How samples are drawn.
        sampler: SamplerKind = SamplerKind::Multistep, from "arXiv:2303.01469, algorithm 1";
        /// Evaluations of the network per sample.
        evaluations: u32 = 1, range Range::of(1.0..), from "the claim";
        /// Decay of the average of the weights that samples are drawn with; 0 is none.
        ema: f64 = 0.9999, range Range::of(0.0..1.0), from "openai/consistency_models_cifar10@d086e77";
        /// Examples per step.
        batch_size: u32 = 512, range Range::of(1.0..), from "openai/consistency_models_cifar10@d086e77";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "the same code";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Radam, from "openai/consistency_models@e32b69e";
        /// Peak learning rate.
        lr: f64 = 4e-4, range Range::above(0.0), from "openai/consistency_models_cifar10@d086e77 launch.sh; its config has 2e-4";
        use adaptive: AdaptiveSettings;
    }
}

impl Settings {
    fn rules(&self) -> Rules {
        let Self {
            curriculum,
            s0,
            s1,
            teacher,
            mu0,
            distance,
            proposal,
            p_mean,
            p_std,
            weighting,
            ..
        } = *self;
        Rules { curriculum, s0, s1, teacher, mu0, distance, proposal, p_mean, p_std, weighting }
    }
}

/// The values with their joint rule: levels never become fewer.
fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { s0, s1, .. } = Settings::read(&resolved)?;
    if s0 > s1 {
        return Err(SettingError::Joint(format!("s0 is {s0}, above s1, which is {s1}")));
    }
    Ok(resolved)
}

/// The method.
pub static METHOD: Method = Method {
    summary: "consistency training with a teacher's average; one-step samples",
    paper: Paper {
        title: "Consistency Models",
        authors: "Song, Dhariwal, Chen, Sutskever",
        year: 2023,
        reference: "arXiv:2303.01469",
        code: "openai/consistency_models@e32b69e",
    },
    claim: PaperClaim {
        statement: "one-step samples without a diffusion model to distil",
        number: "CIFAR-10 FID 8.70 in one step",
        source: "table 1",
    },
    baseline: Some("edm"),
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let sigma_data = generation_as(Some(Preconditioning::Consistency), task)?.sigma_data;
        let objective = Box::new(Consistency::new(settings.rules(), sigma_data, task));
        let Settings {
            sampler,
            evaluations,
            ema,
            batch_size,
            schedule,
            optimizer,
            lr,
            adaptive,
            ..
        } = settings;
        let step =
            Step::Gradient { objective, optimizer: adaptive.build(optimizer, lr, task.network)? };
        Ok(Recipe {
            averaging: Ema::seat(ema, &task.network.parameters),
            sampler: Some(sampler.build(Preconditioning::Consistency, sigma_data, evaluations)),
            ..Recipe::of(batch_size, schedule, step)
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial;
    use serde_json::{Value, json};
    use tch::Device;

    fn facts(settings: Value) -> (ledger::digest::Digest, lab::seat::Facts) {
        let settings = serde_json::from_value(settings).unwrap();
        let network = lab::models::mlp2d::mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let (network, facts) =
            training::trial::generate(&METHOD, &settings, network, &[2], 2).unwrap();
        (network.digest().unwrap(), facts)
    }

    #[test]
    fn a_step_takes_two_evaluations_per_example_and_levels_grow_to_their_last_number() {
        let (_, facts) = facts(json!({"batch_size": 32, "s1": 6}));
        assert_eq!(facts["network_evaluations"], 2 * 2 * trial::EXAMPLES);
        // Of 8 steps the last is k = 7: ⌈√(7/8·45 + 4) − 1⌉ + 1.
        assert_eq!(facts["levels"], 7);
    }

    #[test]
    fn ablations_of_the_improved_recipe_can_be_added_one_by_one() {
        let plain = facts(json!({"batch_size": 32})).0;
        for (name, value) in [("teacher", "stop-gradient"), ("distance", "huber")] {
            assert_ne!(facts(json!({"batch_size": 32, name: value})).0, plain, "{name}");
        }
        // The average for sampling never touches training.
        assert_eq!(facts(json!({"batch_size": 32, "ema": 0.0})).0, plain);
    }
}
