//! # RMT: reinforcement mid-training, reward on a few tokens of a text and next-token loss on the rest
//!
//! ## Mechanism
//! Between pre- and post-training, on plain text. A frozen reference, here the policy as it starts, says of every
//! token how uncertain it is before it (entropy); tiers are easy, medium, hard. Of each batch `drawn` tokens C are
//! predicted behind a thought: a tier by the step's shares p_t, then a token of it.
//! - Curriculum: p_t = p_1 before t_1, (1 − u)·p_1 + u·p_2 with u = (t − t_1)/(t_2 − t_1) up to t_2, then p_2.
//! - Budget: B_t = max(B_min, ⌊B_0·γ^(t/T)⌋) tokens of thought; R(l; B) = l/B up to B, 2 − l/B up to 2B, then 0.
//! - Reward of a thought of l tokens before a prediction y of x_p: r = (1 − w)·1[y = x_p] + w·R(l; B_t); `responses`
//!   for each token of C, advantages as in `grpo`.
//! - L = L_RL + λ·L_NTP, L_NTP the negative log-likelihood of all tokens that are not in C.
//!
//! Its baselines are settings: `ntp` is `drawn: 0, lambda: 1` (`lm-adamw` but for the optimiser's settings); `rpt`
//! (reward on uncertain tokens alone) is `sampling: hard, by_length: 0, lambda: 0`. Less one part: `by_length: 0` (no
//! budget), `sampling: uniform` (no curriculum over tiers), `lambda: 0` (no next-token loss).
//!
//! Facts say what a run has cost: `forward_tokens`, every sequence once where the reference reads it, once where it
//! is sampled and once where it is trained on; thoughts by tenths of the run; draws by tier.
//!
//! ## Claim
//! Next-token accuracy on held-out text, mean of three tiers, Qwen3-14B: 59.12 against 35.85 of RPT, at 186 tokens
//! a response against 872. Less a part (R1-Distill-14B, whole 46.87): no budget 40.24, no curriculum 43.22, no
//! next-token loss 33.84. 200 samples; no seeds.
//!
//! ## Sources
//! Tian, Chen, Xu, Wang, Bi, Han, Wang, arXiv:2509.24375 (ICLR 2026), at second hand: the text was not to be had,
//! equations and numbers are from a reading note, checked against two reviews. No code has been published.
//!
//! ## Differences
//! - Not found in what was read, so assumed: w, p_1, p_2, tiers (terciles of entropy over the training split), the
//!   share of drawn tokens, that L_NTP is a mean, and that "no budget" means no reward for length.
//! - The paper's prompt states B_t; here nothing does, and the budget is learned from reward alone.
//! - A thought longer than the workload allows predicts nothing; B_0 is that longest one, not 800.
//! - Assumed: AdamW at 1e-3 (paper: 1e-6), 16 texts a step (128), no clipping, since each batch makes one update.

use lab::method::Method;
use lab::mid_training::{MidTraining, MidTrainingSettings};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::{Recipe, Step};
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `rmt`.
    pub struct Settings {
        /// Texts per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: what a small policy's step can hold; paper: 128";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "as grpo";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "assumed";
        use training: MidTrainingSettings;
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "reward for thoughts before a few tokens of a text, next-token loss on all others",
    paper: Paper {
        title: "Reinforcement mid-training",
        authors: "Tian, Chen, Xu, Wang, Bi, Han, Wang",
        year: 2025,
        reference: "arXiv:2509.24375",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "budget, curriculum and next-token loss beat reward on uncertain tokens, in less thought",
        number: "Qwen3-14B: 35.85 → 59.12 % of next tokens, 872 → 186 tokens a response",
        source: "arXiv:2509.24375, main table, at second hand",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::THOUGHTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { batch_size, clip_norm, schedule, training, adamw } = Settings::read(values)?;
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let objective = Box::new(MidTraining::new(training, task)?);
        let step = Step::Gradient { objective, optimizer };
        Ok(Recipe { clip_norm: Some(clip_norm), ..Recipe::of(batch_size, schedule, step) })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("sum-lines", &with([("start_accuracy", 0.0.into())])).unwrap()
    }

    /// Four steps of eight texts.
    fn trained<const N: usize>(fixture: &Fixture, changed: [(&str, Value); N]) -> Trace {
        let small = [("batch_size", 8), ("responses", 4), ("drawn", 8)];
        let mut settings = with(small.map(|(key, value)| (key, value.into())));
        settings.extend(with(changed));
        fixture.run(&METHOD, &settings, 32, 3).unwrap()
    }

    fn fact(trace: &Trace, name: &str) -> f64 {
        trace.facts[name].as_f64().unwrap()
    }

    #[test]
    fn without_drawn_tokens_it_is_training_on_the_next_token_bit_for_bit() {
        let fixture = fixture();
        let own = trained(&fixture, [("drawn", 0.into()), ("lambda", 1.into())]);
        let alike = [
            ("batch_size", json!(8)),
            ("schedule", json!("constant")),
            ("lr", json!(1e-3)),
            ("beta2", json!(0.999)),
            ("weight_decay", json!(0.0)),
        ];
        let plain = crate::find("lm-adamw").unwrap().method;
        let [_, _, lr, beta2, decay] = alike.clone();
        let [drawn, lambda] = [("drawn", 0.into()), ("lambda", 1.into())];
        let plain = fixture.run(plain, &with(alike), 32, 3).unwrap();
        assert_eq!(trained(&fixture, [drawn, lambda, lr, beta2, decay]).digest, plain.digest);
        assert_ne!(trained(&fixture, []).digest, plain.digest);
        // 32 texts of 21 tokens to read.
        assert_eq!(fact(&own, "forward_tokens"), 32.0 * 21.0);
        assert!(!own.facts.contains_key("responses"));
    }

    #[test]
    fn every_part_that_is_left_out_is_another_run_and_rpt_lacks_all_three() {
        let fixture = fixture();
        let digest = |changed: &[(&str, Value)]| {
            let changed = changed.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
            let small = [("batch_size", 8), ("responses", 4), ("drawn", 8)];
            let mut settings = with(small.map(|(key, value)| (key, value.into())));
            // Hardly anything ends in time by itself: form earns something before predictions do.
            settings.insert("form_reward".to_owned(), json!(0.5));
            settings.extend(changed);
            fixture.run(&METHOD, &settings, 32, 3).unwrap().digest
        };
        let parts = [
            ("by_length", json!(0)),
            ("sampling", json!("uniform")),
            ("lambda", json!(0)),
            ("gamma", json!(1)),
            ("reward", json!("shuffled")),
        ];
        let mut seen = vec![digest(&[])];
        seen.extend(parts.iter().map(|part| digest(std::slice::from_ref(part))));
        let rpt = [("sampling", json!("hard")), ("by_length", json!(0)), ("lambda", json!(0))];
        seen.push(digest(&rpt));
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }

    #[test]
    fn drawn_tokens_follow_the_curriculum_from_easy_to_hard_ones() {
        let fixture = fixture();
        let drawn = |settings: [(&str, Value); 2]| -> Vec<u64> {
            let facts = trained(&fixture, settings).facts;
            facts["drawn_by_tier"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
        };
        let always = |shares: [u32; 3]| drawn([("early", json!(shares)), ("late", json!(shares))]);
        assert_eq!(always([1, 0, 0]), [32, 0, 0]);
        assert_eq!(always([0, 0, 1]), [0, 0, 32]);
        // Half of the steps by the shares at first, half by those at last.
        let both = drawn([("rise_from", json!(0.49)), ("rise_to", json!(0.5))]);
        let [easy, medium, hard] = both[..] else { panic!("{both:?}") };
        assert_eq!(easy + medium + hard, 32);
        assert!(easy > 0 && medium > 0 && hard > 0, "{easy} {medium} {hard}");
    }

    #[test]
    fn budgets_that_no_thought_can_keep_and_settings_that_mean_nothing_are_refused() {
        let fixture = fixture();
        let refused = |changed: &[(&str, f64)]| {
            let settings = changed.iter().map(|(key, value)| ((*key).to_owned(), (*value).into()));
            fixture.run(&METHOD, &settings.collect(), 16, 3).unwrap_err().to_string()
        };
        let short = refused(&[("first", 12.0)]);
        assert!(short.contains("a budget that ends at 2 tokens, and the shortest"), "{short}");
        assert!(short.ends_with("has 3: raise `least`, `gamma` or `first`"), "{short}");
        let long = refused(&[("first", 17.0)]);
        assert!(long.ends_with("thoughts have 16 at most: lower `first`"), "{long}");
        assert_eq!(
            refused(&[("first", 4.0), ("least", 5.0)]),
            "first is 4, below least, which is 5"
        );
        assert!(refused(&[("drawn", 0.0), ("lambda", 0.0)]).contains("nothing would be learned"));
        // Without a reward for length no budget is looked at.
        let settings = with([("first", 12.into()), ("by_length", 0.into())]);
        assert!(fixture.run(&METHOD, &settings, 16, 3).is_ok());
    }
}
