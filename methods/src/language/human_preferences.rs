//! # Pretraining with human preferences: objectives for text whose sentences have scores
//!
//! ## Mechanism
//! A scorer has given each sentence a score c, 0 for good; a token's reward is R = −c of its sentence. `objective`:
//! - `mle`: cross-entropy on all of it;
//! - `filter`: the same on documents whose mean score is at most `threshold`, shown more often;
//! - `conditional`: the same with a token before each sentence that tells whether its score is at most `threshold`,
//!   left out with probability `drop`; who writes begins with the token of good ones and bans both;
//! - `unlikelihood`: `−log p` of tokens of good sentences, `−α·log(1 − p)` of the others (`α`: `alpha`);
//! - `rwr`: `w·(−log p)` with `w = min(exp(A/β), 1000)`;
//! - `awr`: `weight·w·(−log p) + (1 − weight)·(R − V)²` with A = R − V, `V = −σ(h·v)` a head on the hidden states, v = 0
//!   at first, which trains the network, too.
//!
//! `start_at` trains by `mle` up to that share of the steps: feedback after pretraining.
//!
//! ## Claim
//! GPT-2 small from scratch, misalignment of samples under toxicity: 0.0141 `mle`, 0.0011 `conditional`, which keeps its
//! capabilities; feedback from the start beats feedback after (PII .0013 against .0018). Numbers at second hand.
//!
//! ## Sources
//! Korbak et al., arXiv:2302.08582; tomekkorbak/pretraining-with-human-feedback@22e2ea99 `apo/objectives.py`,
//! `apo/models.py`, `apo/dataset_wrappers.py`, and its configurations (toxicity unless a setting says otherwise).
//!
//! ## Differences
//! - `variant: code`: a threshold of 0 counts as none, so that `unlikelihood` mixes both terms by c instead (PII and PEP8 have
//!   0), and `rwr` keeps V at the −½ of its untrained head: `exp((R + ½)/β)`. `paper`: the threshold holds; `exp(R/β)`.
//! - Thresholds are 0, for a clean sentence has a score of 0 exactly; published ones are quantiles of a classifier.
//! - Filtered documents are shuffled and begun again, to as many steps; the code draws further ones of the Pile.
//! - Documents are rows, not cut from a stream. The bound on the gradient's norm leaves the head's gradient out.
//! - `start_at` keeps optimiser and schedule. `scores: shuffled` deals the scores out at random: a control.

use lab::feedback::marked::{Kept, Marked};
use lab::feedback::{Rule, Scored, ValueHead};
use lab::method::Method;
use lab::models::gpt::Gpt;
use lab::offers;
use lab::optim::adamw::AdamwSettings;
use lab::optim::lm::LmSettings;
use lab::orders::scored::Scores;
use lab::recipe::{Recipe, Step};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::shuffle;
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::{choice, settings};

choice! {
    /// How scores enter.
    pub enum Feedback {
        /// Not at all.
        Mle = "mle",
        /// Bad documents are left out.
        Filter = "filter",
        /// Tokens tell good sentences from bad ones.
        Conditional = "conditional",
        /// Bad tokens are made unlikely.
        Unlikelihood = "unlikelihood",
        /// Tokens are weighted by reward.
        Rwr = "rwr",
        /// Tokens are weighted by advantage.
        Awr = "awr",
    }
}

choice! {
    /// Whose reading of `unlikelihood` and `rwr`.
    pub enum Variant {
        /// The published code's.
        Code = "code",
        /// The paper's.
        Paper = "paper",
    }
}

settings! {
    /// Settings of `human-preferences`.
    pub struct Settings {
        /// How scores enter.
        objective: Feedback = Feedback::Conditional, from "paper: best of six";
        /// Score up to which a sentence is good, or, of `filter`, a document on average.
        threshold: f64 = 0.0, range Range::of(0.0..=1.0), from "PII: 0; toxicity 5.6e-4, filter 7.8e-4";
        /// Probability that a sentence gets no token, of `conditional`.
        drop: f64 = 0.01, range Range::of(0.0..=1.0), from "code; PEP8 0.1";
        /// α of `unlikelihood`.
        alpha: f64 = 1.0, range Range::of(0.0..), from "code; PEP8 0.01";
        /// Weight of the policy's part, of `awr`.
        weight: f64 = 0.5, range Range::of(0.0..=1.0), from "code (there alpha); PEP8 0.05";
        /// β of `rwr` and `awr`.
        beta: f64 = 10.0, range Range::above(0.0), from "code; awr on PII 0.1, on PEP8 1";
        /// Whose reading of `unlikelihood` and `rwr`.
        variant: Variant = Variant::Code, from "the published numbers are the code's";
        /// Share of the steps before which nothing but `mle` is done.
        start_at: f64 = 0.0, range Range::of(0.0..=1.0), from "paper: 0; fine-tuning 0.5 or 0.9";
        /// Which scores.
        scores: Scores = Scores::Given, from "paper; shuffled: a control";
        use lm: LmSettings;
        refuse Self::idle;
    }
}

impl Settings {
    /// Refuses what another objective reads.
    fn idle(&self) -> Result<(), SettingError> {
        use Feedback::{Awr, Conditional, Filter, Mle, Rwr, Unlikelihood};
        let of = |kinds: &[Feedback]| !kinds.contains(&self.objective);
        let idle = [
            (
                "threshold",
                of(&[Filter, Conditional, Unlikelihood]),
                "\"filter\", \"conditional\" and \"unlikelihood\"",
            ),
            ("drop", of(&[Conditional]), "\"conditional\""),
            ("alpha", of(&[Unlikelihood]), "\"unlikelihood\""),
            ("weight", of(&[Awr]), "\"awr\""),
            ("beta", of(&[Rwr, Awr]), "\"rwr\" and \"awr\""),
            ("variant", of(&[Unlikelihood, Rwr]), "\"unlikelihood\" and \"rwr\""),
            (
                "start_at",
                self.objective == Mle || self.objective == Filter,
                "objectives that act step by step",
            ),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "pretraining objectives for text whose sentences somebody scored",
    paper: Paper {
        title: "Pretraining language models with human preferences",
        authors: "Korbak et al.",
        year: 2023,
        reference: "arXiv:2302.08582",
        code: "tomekkorbak/pretraining-with-human-feedback@22e2ea99",
    },
    claim: PaperClaim {
        statement: "conditional training writes far fewer bad sentences than likelihood, and is as capable",
        number: "toxicity of samples 0.0141 → 0.0011",
        source: "arXiv:2302.08582, at second hand",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::SENTENCES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let unfit = || task.unfit("the workload has no sentences with scores");
        let mut sentences = (**task.side.sentences.as_ref().ok_or_else(unfit)?).clone();
        if settings.scores == Scores::Shuffled {
            let mut places: Vec<u32> = (0..).take(sentences.scores.len()).collect();
            shuffle(&mut task.streams.generator("scores"), &mut places);
            let dealt = places.iter().map(|place| sentences.scores[*place as usize]);
            sentences.scores = dealt.collect();
        }
        let plain = settings.lm.recipe(task)?;
        let Settings { threshold, drop, alpha, weight, beta, variant, start_at, .. } = settings;
        let rule = match settings.objective {
            Feedback::Mle => return Ok(plain),
            Feedback::Filter => {
                let kept = Kept::new(&sentences, threshold, task)?;
                return Ok(Recipe { order: Box::new(kept), ..plain });
            }
            Feedback::Conditional => {
                let view = Box::new(Marked { sentences, threshold, drop, start_at });
                return Ok(Recipe { view: Some(view), ..plain });
            }
            Feedback::Unlikelihood => {
                // The code takes a threshold of 0 for none.
                let soft = variant == Variant::Code && threshold == 0.0;
                Rule::Unlikelihood { alpha, threshold: (!soft).then_some(threshold) }
            }
            Feedback::Rwr => {
                // Of an untrained head −σ(0).
                let value = if variant == Variant::Code { -0.5 } else { 0.0 };
                Rule::Reward { beta, value }
            }
            Feedback::Awr => {
                let LmSettings { lr, beta1, beta2, eps, weight_decay, .. } = settings.lm;
                let rule = AdamwSettings { lr, beta1, beta2, eps, weight_decay };
                let width = Gpt::of(task.network)?.shape.width as i64;
                let head = ValueHead::new(width, rule, task.device())?;
                Rule::Advantage { beta, weight, head }
            }
        };
        let objective = Box::new(Scored::new(rule, start_at, sentences, task)?);
        let optimizer = Box::new(settings.lm.optimizer(task.network)?);
        Ok(Recipe { step: Step::Gradient { objective, optimizer }, ..plain })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn stage() -> Fixture {
        workloads::fixture("attr-toxic", &Values::new()).unwrap()
    }

    fn run<const N: usize>(stage: &Fixture, pairs: [(&str, Value); N]) -> Trace {
        let mut settings = with(pairs);
        settings.insert("batch_size".to_owned(), 16.into());
        stage.run(&METHOD, &settings, 96, 5).unwrap()
    }

    #[test]
    fn neutral_settings_are_plain_likelihood_bit_for_bit() {
        let stage = stage();
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = stage.run(lm, &with([("batch_size", 16.into())]), 96, 5).unwrap();
        let of = |objective: &str, key: &str, value: f64| {
            run(&stage, [("objective", json!(objective)), (key, value.into())])
        };
        let mle = run(&stage, [("objective", json!("mle"))]);
        assert_eq!((mle.digest, &mle.order), (plain.digest, &plain.order));
        let unmarked = of("conditional", "drop", 1.0);
        assert_eq!((unmarked.digest, &unmarked.order), (plain.digest, &plain.order));
        let unfiltered = of("filter", "threshold", 1.0);
        assert_eq!((unfiltered.digest, &unfiltered.order.ids), (plain.digest, &plain.order.ids));
        for objective in ["conditional", "unlikelihood", "rwr", "awr"] {
            assert_eq!(of(objective, "start_at", 1.0).digest, plain.digest, "{objective}");
            let half = of(objective, "start_at", 0.5).digest;
            let whole = of(objective, "start_at", 0.0).digest;
            assert!(half != plain.digest && half != whole, "{objective}");
        }
    }

    #[test]
    fn a_threshold_of_0_counts_as_none_in_the_code_and_as_0_in_the_paper() {
        let stage = stage();
        let of = |variant: &str, threshold: f64| {
            let objective = ("objective", json!("unlikelihood"));
            let pairs = [objective, ("variant", json!(variant)), ("threshold", threshold.into())];
            run(&stage, pairs).digest
        };
        assert_ne!(of("code", 0.0), of("paper", 0.0));
        // Between 0 and a quarter, the lowest score above it, there is none.
        assert_eq!(of("code", 0.1), of("paper", 0.0));
        let rwr = |variant: &str| {
            let pairs =
                [("objective", json!("rwr")), ("variant", json!(variant)), ("clip", 0.0.into())];
            run(&stage, pairs)
        };
        assert_ne!(rwr("code").digest, rwr("paper").digest);
    }

    #[test]
    fn filtering_leaves_out_what_holds_a_bad_sentence_and_spends_the_budget_all_the_same() {
        let stage = stage();
        let sentences = stage.ready().side.sentences.clone().unwrap();
        let trace = run(&stage, [("objective", json!("filter"))]);
        assert_eq!(trace.order.ids.len(), 96);
        let bad = |id: &u32| {
            let own = sentences.scores.chunks(sentences.count).nth(*id as usize).unwrap();
            own.iter().any(|score| *score > 0.0)
        };
        assert!(!trace.order.ids.iter().any(bad));
        let kept = trace.facts["documents_kept"].as_u64().unwrap();
        let clean = (0..16_384).filter(|id| !bad(id)).count();
        assert_eq!(kept, clean as u64);
        let dealt = run(&stage, [("objective", json!("filter")), ("scores", json!("shuffled"))]);
        assert!(dealt.order.ids.iter().any(bad));
    }

    #[test]
    fn what_another_objective_reads_is_refused() {
        for (objective, key, value) in [
            ("rwr", "alpha", 0.5),
            ("conditional", "beta", 1.0),
            ("filter", "drop", 0.5),
            ("mle", "start_at", 0.5),
        ] {
            let error =
                Settings::resolve(&with([("objective", json!(objective)), (key, value.into())]));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(&format!("{key:?} is of")), "{error}");
        }
    }
}
