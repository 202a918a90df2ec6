//! # Tülu 3: imitation, normalised preferences, verifiable rewards
//!
//! ## Mechanism
//! SFT on demonstrations. Then DPO on pairs, by mean log-probabilities of a token: −log σ(β[(log π(y⁺)/|y⁺| − log π(y⁻)/|y⁻|) − (the
//! same of the reference)]), β 5, the reference being the result of SFT. Then reward by a verifier (RLVR): 10 for a right response, 0 for
//! a wrong one, −10 for one without an end, by PPO: four passes over each batch of roll-outs, every token costing 0.05 of
//! its divergence (k1) from the result of DPO, with a critic that begins as a reward model of the pairs.
//!
//! ## Claim
//! Each stage improves the average, and reward what can be verified: 8 B, GSM8K 76.2 → 84.3 → 87.6, average 60 → 64.4 → 64.8 (model
//! card, from memory).
//!
//! ## Sources
//! Lambert et al., arXiv:2411.15124; allenai/open-instruct@e6c3044a `tulu3.md`: SFT at 5e-6, linear, 2 epochs; DPO `dpo_norm` at
//! 5e-7, β 5, 1 epoch; PPO at 3e-7, KL 0.05; 3.1: GRPO with 16 samples, KL 0.01, at 5e-7.
//!
//! ## Differences
//! - `policy_rule: group` is Tülu 3.1's, advantages relative to a prompt's other responses (there with `beta: 0.01`, `passes: 1`).
//! - The critic has an AdamW of its own, so that its loss has no weight (there 0.1); several responses to a prompt, there one.
//!   With `preferences: 0` the pairs of the reward model are samples of the policy that is rewarded.
//! - A value moves by `value_clip`, 0.2, at most on a batch, while rewards are ±10: as there.
//! - Pairs are two samples of the run itself, told by the verifier, one in ten the wrong way round; the paper's are partly on-policy, from
//!   many models and a judge.
//! - A response that ends without the form that is asked for is punished like one without an end.
//! - Each stage has its own warm-up and cosine, where the recipe has linear ones. Lengths of stages are assumed.

use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::orders::pool::{FromPool, Pool};
use lab::post_training::{PostTraining, PostTrainingSettings};
use lab::recipe::{Recipe, Step};
use lab::stages::{Stage, Stages};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;

settings! {
    /// Settings of `tulu3`.
    pub struct Settings {
        use stages: PostTrainingSettings;
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "demonstrations, then preferences by mean tokens, then rewards that a verifier gives",
    paper: Paper {
        title: "Tülu 3: pushing frontiers in open language model post-training",
        authors: "Lambert et al.",
        year: 2024,
        reference: "arXiv:2411.15124",
        code: "allenai/open-instruct@e6c3044a",
    },
    claim: PaperClaim {
        statement: "each stage improves on the one before, and the last one what can be verified",
        number: "8 B, GSM8K 76.2 → 84.3 → 87.6",
        source: "model card, from memory",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::VERIFIER, offers::PROMPTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { stages, lm } = Settings::read(values)?;
        let pool = Pool::default();
        let rates = [1.0, stages.preference_lr, stages.reinforcement_lr];
        let names = ["imitation", "preferences", "reinforcement"];
        let each =
            names.into_iter().zip(stages.parts()).zip(rates).filter(|((_, part), _)| *part > 0);
        let list = each.map(|((name, part), lr_factor)| {
            let schedule = lm.schedule.clone();
            Stage { lr_factor, schedule, ..Stage::plain(name, part) }
        });
        let list: Vec<Stage> = list.collect();
        let objective = Box::new(PostTraining::new(stages, task, &pool, lm.lr)?);
        let step = Step::Gradient { objective, optimizer: Box::new(lm.optimizer(task.network)?) };
        Ok(Recipe {
            order: Box::new(FromPool::new(&pool, lm.batch_size)),
            stages: Some(Stages::new(list)),
            clip_norm: (lm.clip > 0.0).then_some(lm.clip),
            ..Recipe::of(lm.batch_size, Schedule::Constant, step)
        })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::LabError;
    use lab::advantage::{gae, surrogate, whiten};
    use lab::trial::with;
    use serde_json::{Value, json};
    use tch::Tensor;
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("chain-sum", &with([("start_accuracy", 0.15.into())])).unwrap()
    }

    fn run<const N: usize>(
        fixture: &Fixture,
        pairs: [(&str, Value); N],
    ) -> Result<Trace, LabError> {
        let mut settings = with([("batch_size", 16.into()), ("responses", 4.into())]);
        settings.extend(with(pairs));
        fixture.run(&METHOD, &settings, 160, 5)
    }

    #[test]
    fn reward_is_spread_clipped_and_whitened_as_the_formulas_say() {
        let found = gae(&[0.0, 0.0, 1.0], &[0.2, 0.4, 0.6], 1.0, 0.95);
        for (found, expected) in found.iter().zip([0.751, 0.58, 0.4]) {
            assert!((found - expected).abs() < 1e-9, "{found}");
        }
        let of = |ratio: f64, advantage: f64| {
            let [own, old] = [Tensor::from_slice(&[ratio.ln()]), Tensor::from_slice(&[0.0_f64])];
            let advantage = Tensor::from_slice(&[advantage]);
            -surrogate(&own, &old, &advantage, Some((0.2, 0.2))).unwrap().double_value(&[0])
        };
        assert!((of(1.3, 1.0) - 1.2).abs() < 1e-9 && (of(1.3, -1.0) + 1.3).abs() < 1e-9);
        let mut rewards = vec![10.0, 0.0, 0.0, 10.0, -10.0, 0.0];
        whiten(&mut rewards);
        for (found, expected) in
            rewards.iter().zip([1.2127, -0.2425, -0.2425, 1.2127, -1.6977, -0.2425])
        {
            // These are by the variance with n, `whiten` is by that with n − 1.
            let found = found * (6.0_f64 / 5.0).sqrt();
            assert!((found - expected).abs() < 1e-3, "{found} instead of {expected}");
        }
    }

    #[test]
    fn imitation_alone_is_plain_training_bit_for_bit() {
        let fixture = fixture();
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = fixture.run(lm, &with([("batch_size", 16.into())]), 160, 5).unwrap();
        let alone =
            run(&fixture, [("preferences", json!(0)), ("reinforcement", json!(0))]).unwrap();
        assert_eq!((alone.digest, alone.order.ids), (plain.digest, plain.order.ids));
    }

    #[test]
    fn stages_follow_each_other_and_each_leaves_a_mark() {
        let fixture = fixture();
        let all = run(&fixture, []).unwrap();
        let names = ["imitation", "preferences", "reinforcement"];
        for (place, name) in names.iter().enumerate() {
            assert_eq!(all.facts["stages"][place]["name"], *name);
        }
        assert!(all.facts["pairs"].as_u64() > Some(0));
        // 32 prompts of 4 samples each.
        assert_eq!(all.facts["responses"], 128);
        let without = |stage: &str| run(&fixture, [(stage, json!(0))]).unwrap();
        let mut digests =
            ["preferences", "reinforcement"].map(|stage| without(stage).digest).to_vec();
        digests.push(all.digest);
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 3);
        let again = run(&fixture, []).unwrap();
        assert_eq!((again.digest, again.facts), (all.digest, all.facts));
    }

    #[test]
    fn the_rule_of_reward_and_what_its_critic_begins_as_make_a_difference() {
        let fixture = fixture();
        let ppo = run(&fixture, []).unwrap();
        let model = &ppo.facts["reward_model"];
        assert_eq!(model["pairs"], ppo.facts["pairs"]);
        assert!(model["steps"].as_u64() > Some(0), "{model}");
        let policy = run(&fixture, [("value_from", json!("policy"))]).unwrap();
        let group = run(&fixture, [("policy_rule", json!("group"))]).unwrap();
        for other in [&policy, &group] {
            assert!(!other.facts.contains_key("reward_model"));
            assert_eq!(other.facts["stages"][1], ppo.facts["stages"][1]);
        }
        assert!(ppo.digest != policy.digest && policy.digest != group.digest);
        // Behind imitation alone the pairs are samples of what is rewarded.
        let behind = run(&fixture, [("preferences", json!(0))]).unwrap();
        assert!(behind.facts["reward_model"]["pairs"].as_u64() > Some(0));
        let idle = (METHOD.resolve)(&with([
            ("policy_rule", json!("group")),
            ("reward_model_lr", json!(1)),
        ]));
        let idle = idle.unwrap_err().to_string();
        assert!(idle.ends_with("is of value_from \"reward-model\" alone: leave it out"), "{idle}");
    }

    #[test]
    fn no_stage_at_all_and_no_pair_are_refused() {
        let fixture = fixture();
        let none = names(["imitation", "preferences", "reinforcement"]);
        let message = run(&fixture, none).unwrap_err().to_string();
        assert!(message.ends_with("are all 0: nothing is trained"), "{message}");
        let never =
            workloads::fixture("countdown", &with([("start_accuracy", 0.0.into())])).unwrap();
        let settings = with([("batch_size", 16.into()), ("lr", json!(1e-9))]);
        let message = never.run(&METHOD, &settings, 160, 5).unwrap_err().to_string();
        assert!(message.starts_with("stage \"preferences\" leaves nothing: of"), "{message}");
    }

    fn names(stages: [&str; 3]) -> [(&str, Value); 3] {
        stages.map(|stage| (stage, json!(0)))
    }
}
