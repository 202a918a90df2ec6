//! # Meta-training with demonstration retrieval
//!
//! ## Mechanism
//! A bank holds solved examples of many tasks. In training and in use an input comes behind `shown` of them, chosen by a
//! retriever: those whose questions are nearest, whatever their task; never the input itself. `mixing: joint` reads all of
//! them in one context; `marginal` is the mixture of RAG, p(y|x) = Σ_z p(z|x)·p(y|x, z), p(z|x) the softmax of scaled
//! cosines over the K nearest, each read by itself. What is judged are tasks that were not trained on, with a few solved
//! examples of each in the bank.
//!
//! ## Claim
//! Better than parameter-efficient and retrieval-augmented few-shot methods on SQuAD, QNLI, TREC and others (abstract); TREC 91.7,
//! QNLI 84.4, MRPC 73.4 F1 (a benchmark site).
//!
//! ## Sources
//! Mueller, Narang, Mathias, Wang, Firooz, arXiv:2307.00119 (Findings of ACL 2023), abstract; the rest at second hand. Its repository
//! was not to be had. RAG: Lewis et al., arXiv:2005.11401.
//!
//! ## Differences
//! - The retriever is fixed: bags of the hashed words of a question's cue and cosines, in place of DPR's two encoders.
//! - Tasks are functions of a number told by cues, the model a decoder of 400,000 parameters, not BART on UnifiedQA.
//! - K, rate and steps are not in what was read. The marginal likelihood is from memory of the paper.
//! - `demonstrations: none` is training without, judged with; `random` shows any examples of the bank, a control; `oracle` any of the
//!   input's own task.

use lab::demonstrations::{Demonstrated, Mixture, Shown};
use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::{Recipe, Step};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings::{Range, SettingError};
use ledger::{choice, settings};

choice! {
    /// How what is shown is read.
    pub enum Mixing {
        /// All in one context.
        Joint = "joint",
        /// One by one, as a mixture.
        Marginal = "marginal",
    }
}

settings! {
    /// Settings of `demonstration-retrieval`.
    pub struct Settings {
        /// Which solved examples are shown in training.
        demonstrations: Shown = Shown::Retrieved, from "paper";
        /// How they are read.
        mixing: Mixing = Mixing::Joint, from "assumed; the paper's, from memory: marginal";
        /// What a cosine is multiplied with in the prior of a mixture.
        scale: f64 = 10.0, range Range::of(0.0..), from "assumed";
        use lm: LmSettings;
        refuse Self::empty;
    }
}

impl Settings {
    fn empty(&self) -> Result<(), SettingError> {
        let mixes = self.mixing == Mixing::Marginal;
        let reason = match self.demonstrations {
            Shown::None if mixes => "a mixture of no demonstrations: set mixing to \"joint\"",
            _ if !mixes && (self.scale - Self::default().scale).abs() > 0.0 => {
                "scale is of a mixture alone: leave it out, or set mixing to \"marginal\""
            }
            _ => return Ok(()),
        };
        Err(SettingError::Joint(reason.to_owned()))
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "inputs are read behind solved examples of many tasks, found by a retriever",
    paper: Paper {
        title: "Meta-training with demonstration retrieval for efficient few-shot learning",
        authors: "Mueller, Narang, Mathias, Wang, Firooz",
        year: 2023,
        reference: "arXiv:2307.00119",
        code: "none found; facebookresearch/metatrained-demRAG was not to be had",
    },
    claim: PaperClaim {
        statement: "training behind retrieved examples of many tasks makes better few-shot learners",
        number: "TREC 91.7, QNLI 84.4, MRPC 73.4 F1",
        source: "arXiv:2307.00119, at second hand",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::BANK],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { demonstrations, mixing, scale, lm } = Settings::read(values)?;
        let Some(bank) = &task.side.bank else {
            return Err(task.unfit("it has no bank of solved examples"));
        };
        if bank.index().is_empty() {
            return Err(task.unfit("its bank of solved examples is empty"));
        }
        let plain = lm.recipe(task)?;
        if mixing == Mixing::Joint {
            let view = Some(Box::new(Demonstrated::new(bank, demonstrations)) as _);
            return Ok(Recipe { view, ..plain });
        }
        let objective = Box::new(Mixture::new(bank, demonstrations, scale, task.streams));
        let step = Step::Gradient { objective, optimizer: Box::new(lm.optimizer(task.network)?) };
        Ok(Recipe { step, ..plain })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn fixture() -> Fixture {
        workloads::fixture("kvr-tasks", &with([("size", json!("xs"))])).unwrap()
    }

    fn run<const N: usize>(fixture: &Fixture, pairs: [(&str, Value); N]) -> Trace {
        let mut settings = with(pairs);
        settings.insert("batch_size".to_owned(), 16.into());
        fixture.run(&METHOD, &settings, 64, 5).unwrap()
    }

    #[test]
    fn without_demonstrations_it_is_plain_training_bit_for_bit() {
        let fixture = fixture();
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = fixture.run(lm, &with([("batch_size", 16.into())]), 64, 5).unwrap();
        let none = run(&fixture, [("demonstrations", json!("none"))]);
        assert_eq!((none.digest, none.order), (plain.digest, plain.order));
    }

    #[test]
    fn arms_are_different_runs_and_say_what_they_showed() {
        let fixture = fixture();
        let arms = ["retrieved", "random", "oracle"];
        let traces = arms.map(|shown| run(&fixture, [("demonstrations", json!(shown))]));
        let share = |trace: &Trace| trace.facts["shown_of_the_task"].as_f64().unwrap();
        let [retrieved, random, oracle] = traces.each_ref().map(share);
        assert!(retrieved > 0.5 && random < 0.1, "{retrieved} {random}");
        assert!((oracle - 1.0).abs() < 1e-12);
        assert!(traces.iter().all(|trace| trace.facts["shown"] == 256));
        let mut digests = traces.map(|trace| trace.digest).to_vec();
        digests.push(run(&fixture, [("mixing", json!("marginal"))]).digest);
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 4);
    }

    #[test]
    fn what_would_show_nothing_or_not_be_used_is_refused() {
        let refused = |values: Values| (METHOD.resolve)(&values).unwrap_err().to_string();
        let none = with([("mixing", json!("marginal")), ("demonstrations", json!("none"))]);
        assert!(refused(none).starts_with("a mixture of no demonstrations"));
        assert!(refused(with([("scale", json!(3))])).starts_with("scale is of a mixture alone"));
    }
}
