//! # DDPO: denoising diffusion policy optimisation
//!
//! ## Mechanism
//! T DDIM steps with η = 1 are normal moves x' ~ N(μ_θ(x, t), σ_t²) and so a policy, paid r(x₀) at the end. A step of the
//! run draws as many samples as its batch has examples, standardises their rewards to advantages A within ±5 and makes
//! `passes` updates by `max(−A·ρ, −A·clip(ρ, 1 ± ε))`, ρ = exp(log p_θ − log p_old) of every move, as a mean over moves.
//! Log-probabilities are means over coordinates.
//!
//! ## Claim
//! A text-to-image model comes to more reward than by reward-weighted regression (paper, without a number that was
//! read). Here it is the baseline of `b2-diffurl`.
//!
//! ## Sources
//! Black, Janner, Du, Kostrikov, Levine, arXiv:2305.13301; kvablack/ddpo-pytorch `config/base.py`.
//!
//! ## Differences
//! - ε is 0.1, as in B²-DiffuRL, not 0.0001: with another bound than its own the comparison would be one of bounds.
//! - T = 20 for 50, two passes for one, all moves of all samples in one update, no adapters: all of the network trains.
//! - Adam without weight decay for AdamW with 0.0001, no clipping of gradients' norms for a bound of 1, a rate of 0.001
//!   for 0.0003 (DDPO) or 0.0001 (B²-DiffuRL).
//! - There is one context, not prompts: rewards are standardised over the step, not over a buffer of each prompt.
//! - The model that is steered is trained beside the run by score matching for `model_budgets` budgets, and named in the record; runs
//!   of a seed share it. Ids of a step stand for as many samples: no example is looked at.
//! - Times of the process shrink by one factor, as in `score-matching`, and end at its early stop.

use lab::method::Method;
use lab::offers;
use lab::score::policy::PolicySettings;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;

settings! {
    /// Settings of `ddpo`.
    pub struct Settings {
        use policy: PolicySettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "denoising steps as a policy, by clipped ratios of their probabilities",
    paper: Paper {
        title: "Training Diffusion Models with Reinforcement Learning",
        authors: "Black, Janner, Du, Kostrikov, Levine",
        year: 2023,
        reference: "arXiv:2305.13301",
        code: "kvablack/ddpo-pytorch",
    },
    claim: PaperClaim {
        statement: "policy gradients of denoising steps raise the reward of samples",
        number: "none that was read",
        source: "arXiv:2305.13301",
    },
    baseline: None,
    needs: &[offers::DENOISING, offers::REWARD],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { policy } = Settings::read(values)?;
        // All moves of all samples, of this step alone.
        let rules = policy.rules([policy.steps, 1, 0], 0.0);
        policy.recipe(rules, task)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::record::stages::{STAGES, read};
    use serde_json::Value;
    use training::trial::{Fixture, Parents, Trace};

    fn stage() -> Fixture {
        workloads::fixture("ring-steer", &with([("width", 0.25.into())])).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, changed: [(&str, Value); N]) -> Trace {
        let mut settings = with([("batch_size", 40.into())]);
        settings.extend(with(changed));
        stage.run(&METHOD, &settings, 40 * 4, 3).unwrap()
    }

    #[test]
    fn every_sample_and_move_is_counted_and_learnt_from_unless_all_of_a_step_earn_alike() {
        let trace = run(&stage(), [("steps", 6.into())]);
        assert_eq!(trace.facts["reward_evaluations"], 160);
        let count = |name: &str| trace.facts[name].as_u64().unwrap();
        let (learnt, idle) = (count("samples_learnt_from"), count("steps_without_update"));
        assert!(idle < 4, "{idle}");
        assert_eq!(learnt, 160 - 40 * idle);
        // Six moves to draw a sample, and in each of two passes.
        assert_eq!(count("network_evaluations"), 160 * 6 + 2 * 6 * learnt);
        assert_eq!(trace.facts["clipped_in_first_passes"][0], 0);
        let list = read(&trace.facts[STAGES]).unwrap();
        assert_eq!((list[0].name.as_str(), list[0].made.unwrap().samples), ("model", 9_600));
        assert_ne!(list[0].parameters_sha256, trace.digest);
    }

    #[test]
    fn settings_that_nothing_reads_and_a_named_teacher_are_refused_before_training() {
        let error = (METHOD.resolve)(&with([("evaluations", 30.into())])).unwrap_err();
        assert!(error.to_string().contains("evaluations"), "{error}");
        let stage = stage();
        let network = stage.network(9).unwrap();
        let parents = Parents { start: None, teacher: Some(&network) };
        let named = stage.derive(&METHOD, &with([]), 40, 3, parents).unwrap_err().to_string();
        assert!(named.contains("name no teacher"), "{named}");
    }
}
