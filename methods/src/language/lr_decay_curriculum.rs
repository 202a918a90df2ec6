//! # Data order against learning-rate decay
//!
//! ## Mechanism
//! Examples are consumed in ascending order of a quality score, so that the best come last, when a decayed
//! learning rate has little use for them. Three ways to pair order, schedule and averaging:
//! *ascend + WSD*: rate `η₀(1 − √r) + η_T√r` over the last part of the run, r its share that is over;
//! *CMA*: constant rate after the warm-up, and the last checkpoints averaged, `m ← αθ + (1 − α)m`
//! with α = 0.2 over six of them (EMA) or their mean (SMA); *CDMA*: a moderate decay, to a third of the
//! peak, and the same average.
//!
//! ## Claim
//! Ascending order helps at a constant rate and decay cancels it: the gap between uniform and ascending
//! order shrinks as the final rate falls. Moderate decay and averages together (CDMA) gain 1.64 % on average
//! over uniform order (abstract). Averages alone (CMA) gain 0.39 points over WSD with uniform order: mean
//! accuracies 50.56 (WSD, uniform), 50.34 (WSD, ascend), 49.94 (constant, EMA, uniform), 50.95 (constant, EMA,
//! ascend), 49.13 (cosine, uniform).
//!
//! ## Sources
//! arXiv:2511.18903v1 (ICLR 2026; readable at arxiv.org/html/2511.18903v1): the abstract; accuracies of the table
//! by a summary of it. No official code found. Orders and schedules are those of `lab::orders::scored` and
//! `ledger::catalogue::Schedule`.
//!
//! ## Differences
//! - The average starts at the oldest of the six checkpoints, which then carries the largest weight (0.328);
//!   the paper's initialisation and the distance between its checkpoints are not known: here 2 % of the
//!   run. The end of the run is always a checkpoint.
//! - Ties of the score are broken at random, anew in every pass.
//! - `scores: shuffled` deals the scores to the examples at random: a control.
//! - Paper: 1.5 B parameters, 30 B tokens, fastText quality. Here the workload's own score.

use lab::LabError;
use lab::averaging::ring::{Blend, Ring};
use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::optim::sgd::{Sgd, SgdSettings};
use lab::orders::scored::{Arrangement, ByScore, Scores};
use lab::recipe::Recipe;
use lab::seat::{EpochPlan, Facts, Optimizer, Order, OrderSource};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::order::OrderLaw;
use ledger::settings::Range;
use ledger::{choice, settings};

choice! {
    /// The update rule.
    pub enum Rule {
        /// AdamW, as `lm-adamw`.
        Adamw = "adamw",
        /// Plain SGD: no momentum, no decay, no bound on the gradient.
        Sgd = "sgd",
    }
}

settings! {
    /// Settings of `lr-decay-curriculum`.
    pub struct Settings {
        /// How scores order the examples of a pass.
        order: Arrangement = Arrangement::Ascend, from "the paper's curriculum";
        /// Segments of `folding`, or number of `buckets`.
        parts: u32 = 10, range Range::of(1.0..), from "assumed";
        /// Whose scores: the workload's, or those dealt at random.
        scores: Scores = Scores::Given, from "the paper's curriculum";
        /// How the last checkpoints become the weights that are evaluated.
        average: Blend = Blend::Ema, from "the paper's CMA and CDMA";
        /// α: weight of the newer checkpoint.
        alpha: f64 = 0.2, range Range::above_up_to(0.0, 1.0), from "paper";
        /// Number of checkpoints.
        last: u32 = 6, range Range::of(1.0..=100.0), from "paper";
        /// Distance between checkpoints, as a share of the run.
        every: f64 = 0.02, range Range::above_up_to(0.0, 1.0), from "assumed";
        /// The update rule.
        optimizer: Rule = Rule::Adamw, from "paper";
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "order by quality, learning-rate decay and checkpoint averages, crossed",
    paper: Paper {
        title: "How learning rate decay wastes your best data in curriculum-based LLM pretraining",
        authors: "Luo, Sun, Wen, Shi, Cui, Dang, Lyu, Chen",
        year: 2026,
        reference: "arXiv:2511.18903",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "ascending order with moderate decay and checkpoint averages beats decay with uniform order",
        number: "+1.64 % on average with both (CDMA); +0.39 points with averages alone (CMA)",
        source: "abstract; CMA by the table, 50.95 against 50.56",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::SCORES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { order, parts, scores, average, alpha, last, every, optimizer, lm } =
            Settings::read(values)?;
        let rule: Box<dyn Optimizer> = match optimizer {
            Rule::Adamw => Box::new(lm.optimizer(task.network)?),
            Rule::Sgd => {
                let plain =
                    SgdSettings { lr: lm.lr, momentum: 0.0, nesterov: false, weight_decay: 0.0 };
                Box::new(Sgd::new(plain, task.network))
            }
        };
        let order = ByScore::new(order, parts, scores, task);
        let rounds = order.rounds(task.examples, task.budget_samples);
        let steps = rounds.iter().map(|n| u64::from(n.div_ceil(lm.batch_size))).sum();
        let mass = lm.schedule.mass(steps);
        let plain = lm.recipe_with(rule, task)?;
        Ok(Recipe {
            order: Box::new(Weighed { order, mass }),
            clip_norm: plain.clip_norm.filter(|_| optimizer == Rule::Adamw),
            averaging: Ring::seat(average, alpha, last as usize, every),
            ..plain
        })
    },
};

/// The order, with how many steps at the peak rate its schedule is worth: comparing schedules
/// without that number compares step budgets.
#[derive(Debug)]
struct Weighed {
    order: ByScore,
    mass: f64,
}

impl Order for Weighed {
    fn law(&self) -> OrderLaw {
        self.order.law()
    }

    fn rounds(&self, examples: u32, budget_samples: u64) -> Vec<u32> {
        self.order.rounds(examples, budget_samples)
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        self.order.epoch(epoch, source)
    }

    fn facts(&self) -> Facts {
        Facts::from([("learning_rate_mass".to_owned(), self.mass.into())])
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::json;
    use training::trial::{Fixture, Trace};
    use workloads::regression::quad::{Quad, excess_risk};

    const SAMPLES: u64 = 3_000;

    fn quad() -> Fixture {
        workloads::fixture("quad", &Values::new()).unwrap()
    }

    fn run<const N: usize>(fixture: &Fixture, pairs: [(&str, serde_json::Value); N]) -> Trace {
        let mut settings = with(pairs);
        settings.entry("batch_size".to_owned()).or_insert(json!(20));
        fixture.run(&METHOD, &settings, SAMPLES, 5).unwrap()
    }

    #[test]
    fn uniform_order_without_average_is_lm_adamw_bit_for_bit() {
        let fixture = quad();
        let neutral = run(&fixture, [("order", json!("uniform")), ("average", json!("none"))]);
        let baseline = crate::find("lm-adamw").unwrap().method;
        let plain = fixture.run(baseline, &with([("batch_size", json!(20))]), SAMPLES, 5).unwrap();
        assert_eq!((neutral.digest, neutral.law), (plain.digest, plain.law));
        assert_eq!(neutral.order, plain.order);
    }

    #[test]
    fn an_average_never_touches_training() {
        let fixture = quad();
        let [none, sma, ema] = ["none", "sma", "ema"].map(|kind| {
            run(&fixture, [("order", json!("ascend")), ("average", json!(kind))]).digest
        });
        assert!(none == sma && sma == ema);
    }

    #[test]
    fn ascending_consumes_the_ids_of_uniform_from_the_lowest_score_to_the_highest() {
        let fixture = quad();
        let scores = &fixture.ready().side.scores;
        let [uniform, ascend, dealt] =
            [("uniform", "given"), ("ascend", "given"), ("ascend", "shuffled")].map(
                |(order, which)| run(&fixture, [("order", json!(order)), ("scores", json!(which))]),
            );
        let ids = |trace: &Trace| {
            let mut ids = trace.order.ids.clone();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids(&uniform), ids(&ascend));
        let quality = |trace: &Trace| {
            trace.order.ids.iter().map(|id| scores[*id as usize]).collect::<Vec<_>>()
        };
        assert!(quality(&ascend).is_sorted());
        assert_eq!(ascend.law, OrderLaw::Sorted);
        // Dealt at random, early and late examples are of one quality: 0.5 ± 0.289/√1500.
        let half: f64 = quality(&dealt)[..1500].iter().sum::<f64>() / 1500.0;
        assert!((half - 0.5).abs() < 0.04, "{half}");
        assert_eq!(dealt.law, OrderLaw::Sorted);
    }

    #[test]
    fn the_record_says_what_the_schedule_is_worth() {
        let fixture = quad();
        let wsd = json!({"wsd": {"warmup": 0.05, "decay_from": 0.8, "floor": 1.0 / 300.0}});
        let mass = |schedule, batch_size: u32| {
            let trace = run(&fixture, [("schedule", schedule), ("batch_size", json!(batch_size))]);
            trace.facts["learning_rate_mass"].as_f64().unwrap()
        };
        // 842.13 for steps counted from 1; from 0 the last factor gives way to the first, 0.
        assert!((mass(wsd, 3) - 842.13 + 1.0 / 300.0).abs() < 6e-3);
        assert_eq!(mass(json!("constant"), 100), 30.0);
    }

    #[test]
    fn plain_sgd_on_sorted_equations_has_the_risk_that_the_recursion_expects() {
        let fixture = quad();
        let quad = Quad { bias: 1.0, noise: 0.1, noise_slope: 0.5 };
        let risk = |order: &str, schedule: serde_json::Value| {
            let trace = run(
                &fixture,
                [
                    ("order", json!(order)),
                    ("average", json!("none")),
                    ("optimizer", json!("sgd")),
                    ("lr", json!(0.1)),
                    ("batch_size", json!(1)),
                    ("schedule", schedule.clone()),
                ],
            );
            let schedule: ledger::catalogue::Schedule = serde_json::from_value(schedule).unwrap();
            let scores = &fixture.ready().side.scores;
            let steps = trace.order.ids.iter().enumerate().map(|(step, &id)| {
                (scores[id as usize], 0.1 * schedule.factor(step as u64, SAMPLES))
            });
            let weights = lab::network::values(&trace.network.parameters[0].tensor).unwrap();
            let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            (excess_risk(&weights), quad.expected_excess(steps))
        };
        let low = json!({"wsd": {"decay_from": 0.8, "floor": 0.003}});
        // One run against its expectation: decayed rates leave little noise.
        let (found, expected) = risk("uniform", low.clone());
        assert!((found / expected - 1.0).abs() < 0.25, "{found} against {expected}");
        let (found, expected) = risk("ascend", low);
        assert!((found / expected - 1.0).abs() < 0.25, "{found} against {expected}");
    }
}
