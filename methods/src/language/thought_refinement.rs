//! # PTR: progressive thought refinement
//!
//! ## Mechanism
//! A weak network attempts every question; the answer to learn comes behind the attempts. `ptr` reads question and attempts and
//! learns the answer alone: loss = mean cross-entropy of the answer's tokens. `ift` learns the attempts, too; `sft` has none. In
//! use a model is asked in rounds, behind what it said before.
//!
//! ## Claim
//! Average of ten tasks 49.6 → 53.5 (abstract); CommonsenseQA from the first to the second round: ift 46.1 → 40.3, ptr 48.9 → 52.5
//! (at second hand); about three rounds help.
//!
//! ## Sources
//! Du et al., arXiv:2410.13413; cydu24/Progressive-Thought-Refinement@84182f1b.
//!
//! ## Differences
//! - The paper's loss is λ₁·(−log p(answer)) + λ₂·F_cons(y_t, y_{t−1}) + λ₃·(a term of confidence with weights β_t), Σλ = 1,
//!   "adjusted dynamically"; it gives neither forms nor weights, and the code has the first term alone, as has the default here.
//!   `terms: paper` has forms of our own: F_cons is KL(p(answer | t − 1 attempts) ‖ p(answer | t)), mean over tokens, the former
//!   not learned; confidence is β_t·(1 − mean probability of the answer's tokens), β_t ∝ t; t is what the die shows, so that a
//!   step has one term of each sum; λ₂ and λ₃ grow from 0 (`growing`).
//! - Attempts are samples at temperature 1 of a network of 110,000 parameters after `weak_epochs` at a rate of its own (`weak_lr`, so
//!   that arms at several rates read the same attempts); `attempts_right` among the facts is the share that is the answer. The answer
//!   to learn is the truth, in place of a strong model's. The paper filters for consistency by a criterion that it does not state;
//!   nothing is filtered here.
//! - Half of the examples are read without attempts (`direct`): a model of this size has no first round else.
//! - Rate, warm-up and batches are those of `lm-adamw`; the code has AdamW(0.98, 0.999) under DeepSpeed's warm-up over 800 steps.

use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::{Recipe, Step};
use lab::refinement::{Learned, RefinementSettings, Refining};
use lab::stages::{Stage, Stages};
use lab::workshop::small_tutor;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;

settings! {
    /// Settings of `thought-refinement`.
    pub struct Settings {
        use refinement: RefinementSettings;
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "answers learned behind a weak network's attempts, which are read and not learned",
    paper: Paper {
        title: "Think thrice before you act: progressive thought refinement in large language models",
        authors: "Du et al.",
        year: 2024,
        reference: "arXiv:2410.13413",
        code: "cydu24/Progressive-Thought-Refinement@84182f1b",
    },
    claim: PaperClaim {
        statement: "who learned answers behind attempts gets better from the first round to the second",
        number: "CommonsenseQA 48.9 → 52.5, and 46.1 → 40.3 where attempts are learned",
        source: "arXiv:2410.13413, at second hand",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::REFINEMENT],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { refinement, lm } = Settings::read(values)?;
        let mut stages = Stages::new(vec![Stage::plain("refinement", 1)]);
        if refinement.learned != Learned::Direct {
            let extent = (task.examples, refinement.weak_epochs);
            stages.tutor = Some(small_tutor("weak", extent, &refinement.weak(&lm), task)?);
        }
        let objective = Box::new(Refining::new(refinement, task)?);
        let step = Step::Gradient { objective, optimizer: Box::new(lm.optimizer(task.network)?) };
        Ok(Recipe { stages: Some(stages), step, ..lm.recipe(task)? })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::LabError;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("slp-refine", &with([("size", json!("xs"))])).unwrap()
    }

    fn run<const N: usize>(
        fixture: &Fixture,
        pairs: [(&str, Value); N],
    ) -> Result<Trace, LabError> {
        let mut settings = with([("batch_size", 16.into()), ("weak_epochs", 1.into())]);
        settings.extend(with(pairs));
        fixture.run(&METHOD, &settings, 64, 5)
    }

    #[test]
    fn without_attempts_it_is_plain_training_bit_for_bit() {
        let fixture = fixture();
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = fixture.run(lm, &with([("batch_size", 16.into())]), 64, 5).unwrap();
        let direct = run(&fixture, [("learned", json!("sft"))]).unwrap();
        assert_eq!((direct.digest, direct.order), (plain.digest, plain.order));
        let always = run(&fixture, [("direct", json!(1))]).unwrap();
        assert_eq!(always.digest, plain.digest);
    }

    #[test]
    fn what_is_learned_makes_a_difference_and_attempts_are_told() {
        let fixture = fixture();
        let [ptr, ift] =
            ["ptr", "ift"].map(|learned| run(&fixture, [("learned", json!(learned))]).unwrap());
        assert_ne!(ptr.digest, ift.digest);
        assert_eq!(ptr.facts["made"], ift.facts["made"]);
        assert_eq!(ptr.facts["made"][0]["texts"], 12_000);
        assert_eq!(ptr.facts["stages"][0]["name"], "weak");
    }

    #[test]
    fn the_papers_terms_with_no_weight_are_the_codes_bit_for_bit_and_with_some_they_are_not() {
        let fixture = fixture();
        let paper = |weight: f64, growing: bool| {
            let [consistency, confidence] =
                ["consistency", "confidence"].map(|name| (name, json!(weight)));
            let terms = [("terms", json!("paper")), ("growing", json!(growing))];
            run(&fixture, [terms[0].clone(), terms[1].clone(), consistency, confidence]).unwrap()
        };
        let code = run(&fixture, []).unwrap();
        assert_eq!(paper(0.0, false).digest, code.digest);
        let [growing, level] = [true, false].map(|growing| paper(0.2, growing));
        assert!(growing.digest != code.digest && growing.digest != level.digest);
        assert_eq!(growing.facts["made"], code.facts["made"]);
    }

    #[test]
    fn attempts_are_the_same_at_every_rate_of_the_run() {
        let fixture = fixture();
        let [low, high] = [0.001, 0.006].map(|lr| run(&fixture, [("lr", json!(lr))]).unwrap());
        assert_ne!(low.digest, high.digest);
        assert_eq!(low.facts["made"], high.facts["made"]);
        assert!((0.0..=1.0).contains(&low.facts["attempts_right"].as_f64().unwrap()));
    }

    #[test]
    fn more_attempts_than_the_context_has_room_for_are_refused() {
        let message = run(&fixture(), [("thoughts", json!(4))]).unwrap_err().to_string();
        assert!(message.ends_with("room for 3 attempts, not 4: lower thoughts"), "{message}");
        assert!((METHOD.resolve)(&Values::new()).is_ok());
    }
}
