//! # GRPO: group-relative policy optimisation
//!
//! ## Mechanism
//! For each prompt sample `G` responses from the policy, reward each by the verifier, and take the
//! group as its own baseline: `A_i = (r_i − mean) / (std + ε)`, one number for all tokens of a
//! response. Loss of a token: `−min(ρA, clip(ρ, 1 − low, 1 + high)A) + β(e^u − u − 1)`, where
//! `ρ = π_θ/π_old` and `u = log π_ref − log π_θ`; π_old sampled the responses, π_ref is the start.
//! A group that is all right or all wrong has no gradient. Presets by settings:
//! - `trl` (its default, DAPO's aggregate): `std_eps: 1e-4`;
//! - `verl`, as DUMP uses it: `beta: 0.001`, `responses: 16`, `batch_size: 128`, `minibatches: 4` (its ε and
//!   aggregate are the defaults here, its divergence, group and batches are not);
//! - paper: `aggregate: sequence-mean`, `beta: 0.04`, `responses: 64`;
//! - Dr. GRPO: `norm: mean`, `aggregate: constant`: neither a response's length nor a prompt's
//!   difficulty scales its gradient (in trl `scale_rewards: none` beside `loss_type: dr_grpo`).
//!
//! On samples of the policy e^u − u − 1 as a loss descends KL(π_ref || π_θ); `divergence: k2`, which is
//! u²/2, descends KL(π_θ || π_ref).
//!
//! ## Claim
//! DeepSeekMath 7B after instruction tuning: GSM8K 82.9 → 88.2 %, MATH 46.8 → 51.7 % (abstract and
//! Table 5 of the paper). Dr. GRPO's claim is shorter wrong answers at equal accuracy (its figure 5).
//! Here: accuracy over the common start, and the length of wrong answers.
//!
//! ## Sources
//! Shao et al., arXiv:2402.03300; Liu et al., arXiv:2503.20783; huggingface/trl@f2cd57710
//! `grpo_trainer.py`; verl in ZhentingWang/DUMP@235e85d `core_algos.py`.
//!
//! ## Differences
//! - With one pass ρ is exactly 1, as in trl: π_old is the first pass's own log-probability, not the
//!   sampler's, which differs by rounding. More `passes` reuse the whole batch; `minibatches` cut each pass into
//!   updates on consecutive prompts, as verl does, with the sampler's π_old (trl shuffles).
//! - `std` of the paper is not said to divide by n or n − 1; both codes divide by n − 1.
//! - Assumed, for a policy of 10⁵ parameters: AdamW at 1e-3 (codes: 1e-6), 16 prompts of 8
//!   responses, a constant rate. Temperature 1. No entropy bonus, no over-long filtering.
//! - A response cut off at the longest length is wrong, whatever it says.

use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::orders::uniform::Uniform;
use lab::orders::{Replacement, Sources};
use lab::policy::{PolicyGradient, PolicySettings};
use lab::recipe::{Recipe, Step};
use lab::seat::Order;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings::Range;
use ledger::{choice, settings};

choice! {
    /// How prompts are drawn.
    pub enum Draws {
        /// Shuffles: every prompt once before any comes back.
        Shuffle = "shuffle",
        /// With replacement: a difficulty, then a prompt of it.
        Replacement = "replacement",
    }
}

settings! {
    /// Settings of `grpo`.
    pub struct Settings {
        /// Prompts per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: what a small policy's step can hold";
        /// How prompts are drawn.
        draws: Draws = Draws::Shuffle, from "verl: RandomSampler without replacement";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "trl max_grad_norm; verl grad_clip";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "verl; trl: linear, the default of transformers";
        use policy: PolicySettings;
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "policy gradient with advantages relative to a prompt's group of responses",
    paper: Paper {
        title: "DeepSeekMath: pushing the limits of mathematical reasoning in open language models",
        authors: "Shao et al.",
        year: 2024,
        reference: "arXiv:2402.03300",
        code: "huggingface/trl@f2cd57710",
    },
    claim: PaperClaim {
        statement: "learning from verified rewards improves on the supervised start",
        number: "DeepSeekMath 7B: GSM8K 82.9 → 88.2 %, MATH 46.8 → 51.7 %",
        source: "arXiv:2402.03300, abstract",
    },
    baseline: Some("untrained"),
    needs: &[offers::VERIFIER, offers::PROMPTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, draws, clip_norm, schedule, policy, adamw } =
            Settings::read(values)?;
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let objective = Box::new(PolicyGradient::new(policy, task)?);
        let order: Box<dyn Order> = match draws {
            Draws::Shuffle => Box::new(Uniform),
            Draws::Replacement => {
                let sources = Sources::new(&task.side.groups, task.examples);
                Box::new(Replacement { sources, batch: batch_size })
            }
        };
        let step = Step::Gradient { objective, optimizer };
        let clip_norm = Some(clip_norm);
        Ok(Recipe { order, clip_norm, ..Recipe::of(batch_size, schedule, step) })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    /// Four steps from a start that needs no reaching.
    fn trained<const N: usize>(fixture: &Fixture, changed: [(&str, Value); N]) -> Trace {
        let mut settings: Values = with([("batch_size", 4.into()), ("responses", 4.into())]);
        settings.extend(with(changed));
        fixture.run(&METHOD, &settings, 16, 3).unwrap()
    }

    fn fixture() -> Fixture {
        workloads::fixture("chain-sum", &with([("start_accuracy", 0.0.into())])).unwrap()
    }

    #[test]
    fn with_one_pass_clipping_is_the_plain_policy_gradient_bit_for_bit() {
        let fixture = fixture();
        let plain = trained(&fixture, [("clip", false.into())]);
        let clipped = trained(&fixture, [("clip", true.into()), ("clip_low", 0.0.into())]);
        assert_eq!(plain.digest, clipped.digest);
        // With a second pass the ratio has moved, and a clip of nothing stops it.
        let narrow = [("clip_low", 0.0.into()), ("clip_high", 0.0.into()), ("passes", 2.into())];
        let twice = trained(&fixture, [("clip", false.into()), ("passes", 2.into())]);
        assert_ne!(trained(&fixture, narrow).digest, twice.digest);
    }

    #[test]
    fn without_beta_there_is_no_reference_and_with_it_training_differs() {
        let fixture = fixture();
        let none = trained(&fixture, []);
        assert_eq!(none.digest, trained(&fixture, [("beta", 0.0.into())]).digest);
        assert_ne!(none.digest, trained(&fixture, [("beta", 0.5.into())]).digest);
        // At the start the policy is its reference, so that the first step is the same.
        let first = |beta: f64| {
            let settings = with([("batch_size", 4.into()), ("beta", beta.into())]);
            fixture.run(&METHOD, &settings, 4, 3).unwrap().facts["responses_sha256"].clone()
        };
        assert_eq!(first(0.0), first(0.5));
    }

    #[test]
    fn dividing_by_a_deviation_matters_and_each_choice_is_its_own() {
        let fixture = fixture();
        let verl = trained(&fixture, []).digest;
        let dr = [("norm", "mean".into()), ("aggregate", "constant".into())];
        assert_ne!(verl, trained(&fixture, dr).digest);
        assert_ne!(verl, trained(&fixture, [("aggregate", "sequence-mean".into())]).digest);
        assert_ne!(verl, trained(&fixture, [("reward", "shuffled".into())]).digest);
        assert_ne!(verl, trained(&fixture, [("draws", "replacement".into())]).digest);
        assert_eq!(verl, trained(&fixture, []).digest);
    }
}
