//! # PPO: proximal policy optimisation with a critic
//!
//! ## Mechanism
//! Sample responses, reward the last token of each by the verifier and every token by
//! `−kl·(log π_old − log π_ref)` (k1). A critic `V` gives each token's advantage by
//! `δ_t = r_t + γV_{t+1} − V_t`, `A_t = δ_t + γλA_{t+1}`; returns are `A + V`; advantages are whitened
//! over the tokens of the batch. Then `epochs × minibatches` updates on the clipped surrogate
//! `−min(ρA, clip(ρ, 1 ± clip)A)`, averaged over tokens; the critic, a network of its own that
//! starts as a copy of the policy with one output, learns beside it on the clipped squared error.
//! Unlike in GRPO, tokens of one response have advantages of their own, and a prompt needs no group.
//!
//! ## Claim
//! The paper's own is about control: 7 MuJoCo tasks, average normalised score 0.82 for clipping at
//! 0.2 against −0.39 without clipping or penalty (Table 1). Here: accuracy over the common start.
//!
//! ## Sources
//! Schulman et al., arXiv:1707.06347; huggingface/trl@f2cd57710 `ppo_trainer.py` (defaults); verl in
//! ZhentingWang/DUMP@235e85d `core_algos.py`.
//!
//! ## Differences
//! - The critic has its own weights and AdamW, as in verl; so there is no weight on its loss (trl: 0.1).
//! - G responses per prompt, so that a step samples as much as GRPO's; trl and verl sample one.
//! - Temperature 1 (trl: 0.7). No entropy bonus (verl: 0.001), no whitening of rewards.
//! - The last token, which the score is put on as in verl (trl: the one after it, with values and masks one
//!   longer), is the end, or the one that the longest response was cut off at.
//! - Assumed: rates of 1e-3 for both (trl: 3e-6; verl: 1e-6 and 1e-5), 16 prompts of 8 responses.

use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::proximal::{ProximalPolicy, ProximalSettings};
use lab::recipe::{Recipe, Step};
use lab::rollout::RolloutSettings;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `ppo`.
    pub struct Settings {
        /// Prompts per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: what a small policy's step can hold";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "trl max_grad_norm; verl grad_clip";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "verl";
        use proximal: ProximalSettings;
        use rollouts: RolloutSettings;
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "clipped policy gradient with a critic's advantage for every token",
    paper: Paper {
        title: "Proximal policy optimization algorithms",
        authors: "Schulman, Wolski, Dhariwal, Radford, Klimov",
        year: 2017,
        reference: "arXiv:1707.06347",
        code: "huggingface/trl@f2cd57710",
    },
    claim: PaperClaim {
        statement: "the clipped surrogate learns where the unclipped one fails",
        number: "7 MuJoCo tasks: normalised score 0.82 against −0.39",
        source: "arXiv:1707.06347, table 1",
    },
    baseline: Some("untrained"),
    needs: &[offers::VERIFIER, offers::PROMPTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, clip_norm, schedule, proximal, rollouts, adamw } =
            Settings::read(values)?;
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let objective = Box::new(ProximalPolicy::new(proximal, &rollouts, task)?);
        let plain = Recipe::of(batch_size, schedule, Step::Gradient { objective, optimizer });
        Ok(Recipe { clip_norm: Some(clip_norm), ..plain })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::settings::Values;

    #[test]
    fn the_settings_of_its_parts_are_its_own() {
        let resolved = (METHOD.resolve)(&Values::new()).unwrap();
        for (name, value) in [("lambda", 0.95), ("clip", 0.2), ("kl", 0.05), ("value_clip", 0.2)] {
            assert_eq!(resolved[name], value, "{name}");
        }
        let settings = Settings::read(&resolved).unwrap();
        assert_eq!((settings.proximal.epochs, settings.batch_size), (4, 16));
    }
}
