//! # Corgi: a course that raises the level for all subjects at once
//!
//! ## Mechanism
//! Examples have a subject s, a concept c (a place in the subject's list) and a cognitive level b (remember, understand,
//! apply of Bloom's). They come once a pass, in the order of (b, c, s), and a second pass begins again: `interleave` raises the
//! level for all subjects together. `block` goes by (s, c, b), subject by subject; `random` shuffles. Within a cell (b, c, s) the
//! order is a shuffle of the seed.
//!
//! ## Claim
//! Instruction tuning of a 13 B model: +3.06 MMLU and +1.28 ARC-hard over the same data shuffled (abstract of the later version;
//! the first one has +2.98 MMLU). Global interleaving beats blocks.
//!
//! ## Sources
//! Lee, Cho, Yoo, arXiv:2310.09518 (Findings of NAACL 2024), abstract and notes at second hand; no code was found.
//!
//! ## Differences
//! - Data are generated with their places known; the paper has them written by a teacher and filtered.
//! - Rates and epochs are not in what was read. A schedule that ends low wastes what comes last (`lr-decay-curriculum`), so that the
//!   rate may decide the sign: `average` is an exponential moving average of the weights, for a constant rate.
//! - `reverse` goes from the last cell to the first; `shuffled` deals the places of the course out at random, a control.
//! - Cells are rounds: a step never holds examples of two. Spiral and clustered variants are not here.

use lab::averaging::ema::Ema;
use lab::method::Method;
use lab::offers;
use lab::optim::lm::LmSettings;
use lab::orders::course::{ByCourse, Curriculum};
use lab::recipe::Recipe;
use ledger::catalogue::{Paper, PaperClaim};
use ledger::settings;
use ledger::settings::Range;

settings! {
    /// Settings of `corgi`.
    pub struct Settings {
        /// How the course goes.
        curriculum: Curriculum = Curriculum::Interleave, from "paper";
        /// Decay of the average of the weights that is judged; 0 for none.
        average: f64 = 0.0, range Range::of(0.0..1.0), from "none: a regime of this bench";
        use lm: LmSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "a course by cognitive level, concept and subject: levels rise for all subjects at once",
    paper: Paper {
        title: "Instruction tuning with human curriculum",
        authors: "Lee, Cho, Yoo",
        year: 2023,
        reference: "arXiv:2310.09518",
        code: "none found",
    },
    claim: PaperClaim {
        statement: "interleaved subjects at rising levels beat the same examples in random order and in blocks",
        number: "+3.06 MMLU (2.98 in the first version), +1.28 ARC-hard over random order",
        source: "arXiv:2310.09518, abstracts",
    },
    baseline: Some("lm-adamw"),
    needs: &[offers::LOSS, offers::TOKENS, offers::COURSE],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let Settings { curriculum, average, lm } = Settings::read(values)?;
        let order = Box::new(ByCourse::new(curriculum, task)?);
        let averaging = Ema::seat(average, &task.network.parameters);
        Ok(Recipe { order, averaging, ..lm.recipe(task)? })
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
    use ledger::order::OrderLaw;
    use serde_json::{Value, json};
    use training::judge::{EvaluationRequest, Judge};
    use training::trial::{Fixture, Trace};

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

    fn fixture() -> Fixture {
        workloads::fixture("slp-course", &ledger::settings::Values::new()).unwrap()
    }

    fn run(fixture: &Fixture, curriculum: &str, more: &[(&str, Value)], seed: u64) -> Trace {
        let mut settings = with([("curriculum", json!(curriculum)), ("batch_size", 300.into())]);
        settings.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        fixture.run(&METHOD, &settings, 1_200, seed).unwrap()
    }

    #[test]
    fn in_no_order_and_without_an_average_it_is_plain_training_bit_for_bit() {
        let fixture = fixture();
        let lm = crate::find("lm-adamw").unwrap().method;
        let plain = fixture.run(lm, &with([("batch_size", 300.into())]), 1_200, 4).unwrap();
        let random = run(&fixture, "random", &[], 4);
        assert_eq!((random.digest, random.law), (plain.digest, OrderLaw::Uniform));
        assert_eq!(random.order, plain.order);
    }

    #[test]
    fn a_course_begins_with_its_first_cells_and_shuffles_within_them() {
        let fixture = fixture();
        let course = fixture.ready().side.course.clone().unwrap();
        let first = |curriculum| {
            let trace = run(&fixture, curriculum, &[], 4);
            assert_eq!((trace.rounds().len(), trace.law), (4, OrderLaw::Blockwise));
            let places = trace.rounds().into_iter().map(|round| {
                let place = course[round[0] as usize];
                assert!(round.iter().all(|id| course[*id as usize] == place));
                (place.level, place.concept, place.subject)
            });
            places.collect::<Vec<_>>()
        };
        assert_eq!(first("interleave"), [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)]);
        assert_eq!(first("block"), [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0)]);
        assert_eq!(first("reverse"), [(2, 5, 3), (2, 5, 2), (2, 5, 1), (2, 5, 0)]);
        let [own, other] = [4, 5].map(|seed| run(&fixture, "interleave", &[], seed).order.ids);
        assert_ne!(own, other);
        let dealt = run(&fixture, "shuffled", &[], 4);
        let mixed = dealt.rounds()[0].iter().map(|id| course[*id as usize].level);
        assert!(mixed.collect::<std::collections::BTreeSet<_>>().len() == 3);
    }

    #[test]
    fn an_average_changes_what_is_judged_and_not_what_is_trained() {
        let fixture = fixture();
        let judged = |average: f64| {
            let last = Last(fixture.ready().judge.as_ref(), RefCell::default());
            let settings = with([("batch_size", 300.into()), ("average", json!(average))]);
            let budget = Budget { samples: 1_200, evaluate_every: 1_200 };
            let trace = fixture.watch(&METHOD, &settings, budget, 4, &last).unwrap();
            (trace.digest, last.1.into_inner()["nll"])
        };
        let ((plain, own), (averaged, other)) = (judged(0.0), judged(0.9));
        assert_eq!(plain, averaged);
        assert!((own - other).abs() > 1e-6, "{own} {other}");
    }
}
