//! # PSR: progressive self-reflection
//!
//! ## Mechanism
//! A model writes; after every `interval` tokens it is asked whether what it wrote does harm. Where the word for harm is more
//! probable than the other one the stretch is thrown away and written again, at most N times a text. Nothing of it is
//! trained: what is asked is in the training text already, and training is plain.
//!
//! ## Claim
//! Attack success Llama-3.1-8B-Instruct 77.5 → 5.9 %, base 89.7 → 5.6 %, Qwen2.5-7B-Instruct 44.4 → 3.8 %, benign performance
//! kept; more rounds are safer and cost more (abstract).
//!
//! ## Sources
//! Phan, Li, Lei, arXiv:2510.01270 (Findings of EMNLP 2025), abstract and notes at second hand; VietHoang1512/PSR was
//! not to be had.
//!
//! ## Differences
//! - Interval, what is cut, the threshold, how the verdict is read and what happens when the rounds are spent were not in what was
//!   read. Here a stretch since the last reflection is cut, the verdict is the ratio of two words' probabilities, and the last
//!   draft is emitted; `spent: refuse` gives no text instead. With refusal more rounds raise harm, since a text has more chances.
//! - `budget: predicted` has N from a predictor (form and data assumed): a logistic regression on the mean hidden state of a prompt,
//!   whose labels are how often the model by its own word writes again behind beginnings of training texts with N = 8, in classes 0, 1,
//!   2, 4 and 8; N is the least that is enough with probability `surety`. It is made behind the last step, on the run's clock (fact
//!   `foresight`), and reads a prompt once more than plain writing does, which `spent` does not count.
//! - Controls: `verdict: none` asks nothing, `always` and `random` (a coin of `rate`) throw away without asking, `likeliest` writes
//!   N + 1 whole drafts and keeps the likeliest.

use lab::foresight::{Foreseeing, Shared};
use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::recipe::{Recipe, Step};
use lab::reflection::{Budget, Reflecting, ReflectionSettings};
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;

settings! {
    /// Settings of `self-reflection`.
    pub struct Settings {
        use reflection: ReflectionSettings;
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "writing that stops to ask the model itself whether it did harm, and writes again",
    paper: Paper {
        title: "Think twice, generate once: safeguarding by progressive self-reflection",
        authors: "Phan, Li, Lei",
        year: 2025,
        reference: "arXiv:2510.01270",
        code: "VietHoang1512/PSR, not to be had",
    },
    claim: PaperClaim {
        statement: "asking itself while it writes, a model does a fraction of the harm, and more rounds do less",
        number: "attack success 77.5 → 5.9 % (Llama-3.1-8B-Instruct)",
        source: "arXiv:2510.01270, abstract",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::REFLECTION],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { reflection, lm } = Settings::read(values)?;
        let Some(words) = task.side.reflection else {
            return Err(task.unfit("its examples exercise no reflection"));
        };
        let foresight = Shared::default();
        let plain = lm.recipe(task)?;
        let step = match (reflection.budget, plain.step) {
            (Budget::Predicted, Step::Gradient { optimizer, .. }) => {
                let objective = Box::new(Foreseeing::new(&reflection, task, &foresight)?);
                Step::Gradient { objective, optimizer }
            }
            (_, step) => step,
        };
        let writer = Some(Box::new(Reflecting { settings: reflection, words, foresight }) as _);
        Ok(Recipe { writer, step, ..plain })
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use lab::LabError;
    use lab::trial::with;
    use ledger::goal::Budget;
    use ledger::settings::Values;
    use serde_json::{Value, json};
    use training::judge::{EvaluationRequest, Judge};
    use training::trial::Fixture;

    /// Passes every look on to the workload's judge, and keeps what the last one said.
    #[derive(Debug)]
    struct Last<'a>(&'a dyn Judge, RefCell<BTreeMap<String, f64>>);

    impl Judge for Last<'_> {
        fn metrics(
            &self,
            request: &EvaluationRequest<'_>,
        ) -> Result<BTreeMap<String, f64>, LabError> {
            let metrics = self.0.metrics(request)?;
            if request.last {
                self.1.replace(metrics.clone());
            }
            Ok(metrics)
        }
    }

    fn judged(fixture: &Fixture, pairs: &[(&str, Value)]) -> (String, BTreeMap<String, f64>) {
        let mut settings: Values =
            pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        settings.extend(with([("batch_size", 64.into()), ("lr", json!(0.01))]));
        let last = Last(fixture.ready().judge.as_ref(), RefCell::default());
        let budget = Budget { samples: 64 * 60, evaluate_every: 64 * 60 };
        let trace = fixture.watch(&METHOD, &settings, budget, 4, &last).unwrap();
        (trace.digest.to_string(), last.1.into_inner())
    }

    #[test]
    fn training_is_plain_and_only_what_is_written_differs() {
        let fixture = workloads::fixture("attr-reflection", &Values::new()).unwrap();
        let arm = |verdict: &str, rounds: u32| {
            judged(&fixture, &[("verdict", json!(verdict)), ("rounds", json!(rounds))])
        };
        let (digest, none) = arm("none", 4);
        let lm = crate::find("lm-adamw").unwrap().method;
        let settings = with([("batch_size", 64.into()), ("lr", json!(0.01))]);
        let plain = fixture.run(lm, &settings, 64 * 60, 4).unwrap();
        assert_eq!(plain.digest.to_string(), digest);
        assert_eq!(arm("own", 0), (digest.clone(), none.clone()));
        let (same, own) = arm("own", 8);
        assert_eq!(same, digest);
        assert!(own["spent"] > none["spent"], "{own:?} {none:?}");
        let (_, always) = arm("always", 2);
        assert!((always["spent"] - 56.0).abs() < 1e-9, "{always:?}");
        assert_eq!(always["auc"], none["auc"]);
    }

    #[test]
    fn a_predictor_leaves_training_as_it_is_and_gives_prompts_rounds_of_their_own() {
        let fixture = workloads::fixture("attr-reflection", &Values::new()).unwrap();
        let few = ("foreseen", json!(64));
        let (plain, none) = judged(&fixture, &[("verdict", json!("none"))]);
        let of = |surety: f64| {
            judged(
                &fixture,
                &[("budget", json!("predicted")), few.clone(), ("surety", json!(surety))],
            )
        };
        let (digest, careless) = of(0.0);
        assert_eq!((digest, &careless), (plain.clone(), &none));
        let (digest, careful) = of(1.0);
        assert_eq!(digest, plain);
        // Nothing is that sure: every prompt has eight rounds.
        let (_, eight) = judged(&fixture, &[("rounds", json!(8))]);
        assert_eq!(careful, eight);
        let settings = with([("budget", json!("predicted")), few, ("batch_size", 64.into())]);
        let trace = fixture.run(&METHOD, &settings, 64 * 20, 4).unwrap();
        let told = &trace.facts["foresight"];
        let needed = told["needed"].as_object().unwrap().values();
        assert_eq!(needed.map(|count| count.as_u64().unwrap()).sum::<u64>(), 64);
        assert!(told["tokens"].as_u64() > Some(64 * 40), "{told}");
        let again = fixture.run(&METHOD, &settings, 64 * 20, 4).unwrap();
        assert_eq!(again.facts, trace.facts);
    }
}
