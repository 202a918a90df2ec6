//! # Progressive distillation
//!
//! ## Mechanism
//! A teacher is trained by denoising score matching for a share of the run. Then, again and again, the network
//! becomes its own frozen teacher of 2N steps and learns to do them in N: i ~ U{0..N−1} on the grid of N steps
//! from σ = 80 to 0.002 (ρ = 7), t, t′, t″ the levels at i, i + ½, i + 1; two DDIM steps of the teacher take
//! x_t = x + tz to x_t″, and the student's target is the denoised x whose single step gets there:
//! `x̃ = x_t − t·(x_t″ − x_t)/(t″ − t)`. Loss `max(1, 1/t²)·‖D(x_t, t) − x̃‖²/d` over d coordinates. N halves from
//! `start`/2 to `until`; in each stage the learning rate falls linearly to 0 and the optimiser starts afresh.
//!
//! ## Claim
//! FID 3.0 on CIFAR-10 in 4 steps, from samplers of up to 8,192 (abstract).
//! The student of N steps is about as good as its teacher of 2N until N is small.
//!
//! ## Sources
//! Salimans, Ho, arXiv:2202.00512 (ICLR 2022), algorithm 2; google-research/google-research
//! `diffusion_distillation`@1d4d2f1; openai/consistency_models@e32b69e `cm/karras_diffusion.py` `progdist_losses`.
//!
//! ## Differences
//! - Levels, step and target are those of OpenAI's code (variance exploding, Karras grid that ends at 0.002);
//!   Google's has a cosine schedule and a case of its own at i = 0, which this grid does not need.
//! - One run: the teacher is trained in it and paid by it. No average of weights, as in Google's code.
//! - Runs recorded until 2026-11-28 summed the student's loss over coordinates, under the same bound on the
//!   gradient's norm, which both codes (Google's, OpenAI's for JAX) set for a mean.
//! - 64 steps at the start, not 8,192; a stage has an equal part of the run (`lengths: long-last` gives the
//!   last two stages OpenAI's 2 and 3 parts).

use lab::diffusion::{Preconditioning, generation};
use lab::method::Method;
use lab::objectives::denoising::Denoising;
use lab::objectives::halving::{Halving, Lengths, Stages};
use lab::offers;
use lab::optim::radam::{Adaptive, AdaptiveSettings};
use lab::recipe::{Recipe, Step};
use lab::samplers::SamplerKind;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};

settings! {
    /// Settings of `progressive-distillation`.
    pub struct Settings {
        /// Steps of the first teacher; a power of two.
        start: u32 = 64, range Range::of(2.0..=8192.0), from "assumed";
        /// Steps of the last student; a power of two.
        until: u32 = 1, range Range::of(1.0..=4096.0), from "diffusion_distillation";
        /// Share of the run that trains the teacher.
        teacher_share: f64 = 0.4, range Range::of(0.0..1.0), from "assumed";
        /// How long the stages of halving are.
        lengths: Lengths = Lengths::Equal, from "diffusion_distillation: 50,000 updates each";
        /// Mean of ln σ in the teacher's training.
        p_mean: f64 = -1.2, range Range::ANY, from "arXiv:2206.00364, table 1";
        /// Standard deviation of ln σ in the teacher's training.
        p_std: f64 = 1.2, range Range::above(0.0), from "arXiv:2206.00364, table 1";
        /// Factor on the learning rate in the stages of halving.
        student_lr: f64 = 1.0, range Range::above(0.0), from "assumed";
        /// Largest norm of a gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "diffusion_distillation cifar_distill.py, of a mean over coordinates";
        /// Examples per step.
        batch_size: u32 = 128, range Range::of(1.0..), from "diffusion_distillation";
        /// Update rule.
        optimizer: Adaptive = Adaptive::Adam, from "diffusion_distillation config/cifar_distill.py";
        /// Peak learning rate.
        lr: f64 = 5e-5, range Range::above(0.0), from "diffusion_distillation config/cifar_distill.py";
        use adaptive: AdaptiveSettings;
    }
}

/// The values with their joint rules.
fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { start, until, .. } = Settings::read(&resolved)?;
    if !start.is_power_of_two() || !until.is_power_of_two() || until >= start {
        let message =
            format!("start {start} and until {until} must be powers of two, the first larger");
        return Err(SettingError::Joint(message));
    }
    Ok(resolved)
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a diffusion model that halves its own number of steps, again and again",
    paper: Paper {
        title: "Progressive Distillation for Fast Sampling of Diffusion Models",
        authors: "Salimans, Ho",
        year: 2022,
        reference: "arXiv:2202.00512",
        code: "google-research/google-research diffusion_distillation@1d4d2f1",
    },
    claim: PaperClaim {
        statement: "few-step samples close to those of the teacher's many steps",
        number: "CIFAR-10 FID 3.0 in 4 steps, from samplers of up to 8,192",
        source: "abstract",
    },
    baseline: Some("edm"),
    needs: &[offers::DENOISING],
    settings: Settings::table,
    resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let sigma_data = generation(task)?.sigma_data;
        let Settings { start, until, teacher_share, lengths, student_lr, .. } = settings;
        let Settings { p_mean, p_std, clip_norm, batch_size, optimizer, lr, adaptive, .. } =
            settings;
        let training = Denoising::new(p_mean, p_std, sigma_data, task.streams);
        let stages = Stages { start, until, teacher_share, lengths, student_lr };
        let objective = Box::new(Halving::new(stages, training, sigma_data, task));
        let optimizer = adaptive.build(optimizer, lr, task.network)?;
        let preconditioning = Preconditioning::Diffusion;
        Ok(Recipe {
            clip_norm: Some(clip_norm),
            sampler: Some(SamplerKind::Ddim.build(preconditioning, sigma_data, until)),
            ..Recipe::of(batch_size, Schedule::Constant, Step::Gradient { objective, optimizer })
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial;
    use serde_json::{Value, json};
    use tch::Device;

    fn facts(settings: Value) -> lab::seat::Facts {
        let settings = serde_json::from_value(settings).unwrap();
        let network = lab::models::mlp2d::mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        training::trial::generate(&METHOD, &settings, network, &[2], 5).unwrap().1
    }

    #[test]
    fn all_stages_pass_in_one_run_and_the_teachers_training_is_paid() {
        let facts = facts(json!({"batch_size": 32, "start": 8}));
        assert_eq!(facts["stages"], 4);
        // 20 steps of 32: 8 of the teacher at 1 evaluation, 12 of students at 3.
        assert_eq!(facts["network_evaluations"], 32 * (8 + 3 * 12));
    }

    #[test]
    fn steps_that_do_not_halve_are_refused() {
        for (start, until) in [(6, 1), (8, 3), (8, 8), (4, 8)] {
            let values = serde_json::from_value(json!({"start": start, "until": until})).unwrap();
            let error = (METHOD.resolve)(&values).unwrap_err().to_string();
            assert!(error.contains("powers of two"), "{error}");
        }
    }

    #[test]
    fn without_distillation_nothing_but_the_teacher_is_trained() {
        let with = |share: f64| facts(json!({"batch_size": 32, "teacher_share": share}));
        assert_eq!(with(0.999)["network_evaluations"], 32 * 20);
        assert_eq!(with(0.0)["network_evaluations"], 32 * 20 * 3);
    }
}
