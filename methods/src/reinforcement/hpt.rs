//! # HPT: hybrid post-training, by prompt from reward or from a demonstration
//!
//! ## Mechanism
//! One gradient for imitation and for reward: `1_stable · (1/π_ref) · Â · ∇π_θ`. Imitation (SFT) is π_ref = π_θ, Â = 1,
//! nothing clipped: then it is ∇ log π_θ. GRPO is π_ref = π_old, Â of the group, clipped. For each prompt draw `n`
//! responses; where more than `gate` of them are right (α, β) = (1, 0), else (0, 1):
//! `L = α·L_RL + β·L_SFT`, `L_SFT = −(1/|τ|)·Σ log π_θ(τ_t)` of the prompt's demonstration τ, and L_RL that of `grpo`.
//! Other `rule`s are its baselines, counted in the same way: `sft`, `rl` (which is `grpo`, bit for bit), `sft-then-rl`
//! with a fresh optimiser for the second part, and `mixture`, α = β = ½ for every prompt, as LUFFY mixes by a
//! constant share.
//!
//! Settings of the code: `norm: mean, clip: false, aggregate: constant, average: tokens, clip_norm: 80`; of the
//! paper's text: the defaults. Llama: `gate: 2`.
//!
//! Methods that differ in what they sample are compared at equal forward tokens: every sequence, prompt included,
//! counts once where it is sampled and once for every pass that trains on it (and once under a reference). A run ends
//! its learning at the step that spends the last of `tokens`; steps behind it neither sample nor learn (`idle_steps`).
//! The record's facts say how many tokens there were, and whether they are those stated within 5 %
//! (`forward_tokens_within_5_percent`): they are not where the budget's steps take fewer.
//!
//! ## Claim
//! Qwen2.5-Math-7B, mean of six sets: HPT 52.7; SFT 44.5, GRPO 43.1, SFT then GRPO 46.5, LUFFY 49.8, SRFT 44.2. Of a
//! gate of 0, 1 and 2 of 8 (1.5B): 41.9, 38.7 and 39.0.
//!
//! ## Sources
//! Lv, Zuo, Sun et al., arXiv:2509.04419; TsinghuaC3I/Unify-Post-Training@ae332f5 `mix_trainer.py`, `exp_scripts/`.
//!
//! ## Differences
//! - Text: normalised advantages, clipping. Scripts: no deviation, no clip, a sum over tokens over the padded length,
//!   while imitation is a mean over the tokens of a micro-batch's demonstrations (`average: tokens`: of a step's).
//! - The scripts of LUFFY and SRFT use a rate of 1e-6, those of HPT 5e-6. Here all are to be tuned alike.
//! - Left out: the code's tables of weights by number solved (`soft_type`) and its off-policy sample under a second
//!   gate, which is off by default; LUFFY's shaping of the off-policy ratio.
//! - A prompt below the gate that has no demonstration stays with its roll-outs, and is counted.
//! - Assumed: 16 prompts, AdamW at 1e-3 (scripts: 128 prompts, 5e-6), no entropy bonus (0.001).

use lab::hybrid::{Hybrid, HybridSettings};
use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::{Recipe, Step};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::{Range, SettingError};

settings! {
    /// Settings of `hpt`.
    pub struct Settings {
        /// Prompts per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: what a small policy's step can hold";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "as grpo; exp_scripts/train.sh: 80";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "verl";
        use hybrid: HybridSettings;
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "each prompt by reward where it is solved often enough, else by its demonstration",
    paper: Paper {
        title: "Towards a unified view of large language model post-training",
        authors: "Lv, Zuo, Sun et al.",
        year: 2025,
        reference: "arXiv:2509.04419",
        code: "TsinghuaC3I/Unify-Post-Training@ae332f5",
    },
    claim: PaperClaim {
        statement: "choosing by prompt is better than imitation, reward, one after the other or a fixed mixture",
        number: "Qwen2.5-Math-7B, six sets: 52.7 against 44.5, 43.1, 46.5 and 49.8",
        source: "figs/results1.png of the code",
    },
    baseline: Some("grpo"),
    needs: &[offers::VERIFIER, offers::PROMPTS, offers::RESPONSES],
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let HybridSettings { gate, policy, .. } = HybridSettings::read(values)?;
        let responses = policy.rollouts.responses;
        if gate >= responses {
            return Err(SettingError::Joint(format!(
                "gate is {gate} of {responses} responses: no prompt would be learned by reward"
            )));
        }
        Ok(resolved)
    },
    build: |values, task| {
        let Settings { batch_size, clip_norm, schedule, hybrid, adamw } = Settings::read(values)?;
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let objective = Box::new(Hybrid::new(hybrid, task)?);
        let step = Step::Gradient { objective, optimizer };
        Ok(Recipe { clip_norm: Some(clip_norm), ..Recipe::of(batch_size, schedule, step) })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::Value;
    use training::trial::{Fixture, Trace};

    /// Few of a policy's responses are right before it has learned anything: at a demonstrated share of half
    /// there are prompts of every kind.
    fn fixture(demonstrated: f64) -> Fixture {
        let settings = [("start_accuracy", 0.0.into()), ("demonstrated", demonstrated.into())];
        workloads::fixture("scarce-sums", &with(settings)).unwrap()
    }

    fn trained<const N: usize>(fixture: &Fixture, changed: [(&str, Value); N]) -> Trace {
        let mut settings = with([("batch_size", 8.into()), ("responses", 4.into())]);
        settings.extend(with(changed));
        fixture.run(&METHOD, &settings, 32, 3).unwrap()
    }

    fn fact(trace: &Trace, name: &str) -> f64 {
        trace.facts[name].as_f64().unwrap()
    }

    #[test]
    fn by_reward_alone_it_is_grpo_bit_for_bit() {
        let fixture = fixture(1.0);
        // Form earns something before sums are right.
        let settings =
            with([("batch_size", 8.into()), ("responses", 4.into()), ("form_reward", 0.5.into())]);
        let grpo = fixture.run(crate::find("grpo").unwrap().method, &settings, 32, 3).unwrap();
        let own = |rule: &str| {
            trained(&fixture, [("rule", rule.into()), ("form_reward", 0.5.into())]).digest
        };
        assert_eq!(own("rl"), grpo.digest);
        assert_ne!(own("hpt"), grpo.digest);
        let mixture = |share: f64| {
            let rule = ("rule", "mixture".into());
            trained(&fixture, [rule, ("share", share.into()), ("form_reward", 0.5.into())])
        };
        assert_eq!(mixture(0.0).digest, grpo.digest);
        let (half, all) = (mixture(0.5), mixture(1.0));
        assert_eq!((fact(&half, "imitated"), fact(&all, "imitated")), (1.0, 1.0));
        assert_eq!(all.digest, trained(&fixture, [("rule", "sft".into())]).digest);
        assert_ne!(half.digest, all.digest);
    }

    #[test]
    fn an_imitation_of_no_steps_is_learning_by_reward_and_one_of_all_is_imitation() {
        let fixture = fixture(1.0);
        let both = |switch: f64| {
            let rule = ("rule", "sft-then-rl".into());
            trained(&fixture, [rule, ("switch", switch.into())]).digest
        };
        let alone = |rule: &str| trained(&fixture, [("rule", rule.into())]).digest;
        assert_eq!((both(0.0), both(1.0)), (alone("rl"), alone("sft")));
        assert_ne!(both(0.5), alone("sft"));
    }

    #[test]
    fn every_sequence_counts_where_it_is_sampled_and_in_every_pass_that_trains_on_it() {
        let fixture = fixture(1.0);
        let count = |rule: &str, passes: u32| {
            let trace = trained(&fixture, [("rule", rule.into()), ("passes", passes.into())]);
            let sampled = fact(&trace, "forward_tokens_sampled");
            let responses = trace.facts.get("response_tokens").and_then(Value::as_f64);
            (sampled, fact(&trace, "forward_tokens_trained"), responses.unwrap_or(0.0))
        };
        // 128 sequences of a prompt of 9 tokens and a response.
        let (sampled, trained, responses) = count("rl", 1);
        assert_eq!((sampled, trained), (128.0 * 9.0 + responses, sampled));
        let (sampled, trained, _) = count("rl", 2);
        assert_eq!(trained, 2.0 * sampled);
        // 32 demonstrations of 4, 5, 6 or 8 sums and an end.
        let (sampled, trained, _) = count("sft", 1);
        assert_eq!(sampled, 0.0);
        assert!((32.0 * 14.0..=32.0 * 18.0).contains(&trained), "{trained}");
    }

    #[test]
    fn prompts_that_lack_a_demonstration_are_counted_and_stay_with_their_responses() {
        let half = trained(&fixture(0.5), []);
        let (lacking, imitated) = (fact(&half, "without_demonstration"), fact(&half, "imitated"));
        assert!(lacking > 4.0 && lacking < 28.0, "{lacking}");
        // Before it has learned anything it solves next to nothing.
        assert!((imitated - (32.0 - lacking) / 32.0).abs() < 0.1, "{imitated} {lacking}");
        assert_eq!(fact(&trained(&fixture(1.0), []), "without_demonstration"), 0.0);
        let none = trained(&fixture(0.0), [("rule", "sft".into())]);
        assert_eq!(fact(&none, "forward_tokens"), 0.0);
    }

    #[test]
    fn a_gate_that_no_prompt_can_pass_is_refused() {
        let refused = |gate: u32| {
            (METHOD.resolve)(&with([("gate", gate.into())])).map_err(|error| error.to_string())
        };
        let message = "gate is 8 of 8 responses: no prompt would be learned by reward";
        assert_eq!(refused(8).unwrap_err(), message);
        assert!(refused(7).is_ok());
    }
}
