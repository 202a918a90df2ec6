//! # sum-routes
//!
//! Running sums of 8 digits modulo 5 and a budget in the prompt, and a GPT (d = 64, 2 blocks, 4 heads). The
//! response steps through the running sums to the last, none, one or two digits at a token: 8 tokens for who
//! writes every sum, 4 for who writes every second, anything between and beyond. The verifier looks at the
//! sums and not at the budget, which is one token before the end of the prompt: 1 to 12 tokens, the end not
//! counted. Validation and test prompts state `budget`, those to learn from too until a method states another.
//! There are 1,800 prompts to train on, 300 to validate and 960 to test; 210 and at most 1,000 more are for the
//! common start.
//!
//! Every method starts where training on demonstrations first solves half of the prompts set aside for this
//! (looked at every 10 steps of 64, at most 2,000), or up to 10 points more; it is not in the budget of
//! training. Demonstrations write every sum, at budgets that mean nothing; `short_demonstrations` of a hundred
//! take the short route instead. A budget of 2.6667 epochs is 300 steps of 16 prompts.
//!
//! Metrics beside accuracy: `length`, tokens before the end; `on_budget`, the share within 5 % of the budget;
//! `accuracy_in_budget`, the share that is right and no longer.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::chain_sum::ChainSum;
use data::puzzles::sum_routes::SumRoutes;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::puzzles::{
    self, IN_BUDGET, LENGTH, ON_BUDGET, PASS_AT_8, PuzzleSet, SAMPLED, WRONG_EXCESS, accuracy,
};
use lab::offers;
use lab::side_info::Budgets;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Tokens before the end that prompts ask for.
        budget: u32 = 4, range Range::of(1.0..=12.0), from "assumed: the short route";
        /// Demonstrations of the start, in a hundred, that take the short route.
        short_demonstrations: u32 = 0, range Range::of(0.0..=100.0), from "assumed: it is to be found";
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed: room to gain and to lose";
        /// How far above that the start may be; where it is further, it is taken back.
        start_above: f64 = 0.1, range Range::of(0.0..=1.0), from "assumed";
    }
}

const DIGITS: u32 = 8;
/// Largest budget that a prompt can state.
const LARGEST: u8 = 12;
const SIZES: Sizes =
    Sizes { demonstrations: 1_000, rehearsal: 210, train: 1_800, validation: 300, test: 960 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/8"),
    LENGTH,
    ON_BUDGET,
    IN_BUDGET,
    MetricInfo::error("wrong_length"),
    WRONG_EXCESS,
    SAMPLED,
    PASS_AT_8,
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "running sums by a long or a short route under a stated budget, GPT of 2 blocks",
    data: DataName::GeneratedAs("sum-routes"),
    offers: &[
        offers::LOSS,
        offers::TOKENS,
        offers::RESPONSES,
        offers::GROUPS,
        offers::VERIFIER,
        offers::PROMPTS,
        offers::BUDGETS,
    ],
    metrics: METRICS,
    target: 0.9,
    budget_epochs: 2.6667,
    evaluate_every_epochs: 0.26667,
    split_sizes: [1_800, 300, 960],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| {
        let settings = Settings::read(values)?;
        let (kind, set) = set(&settings);
        let mut parts = set.generate()?;
        let stated = kind.token(u8::try_from(settings.budget).unwrap_or(LARGEST));
        for part in [&mut parts.train, &mut parts.validation, &mut parts.test] {
            part.iter_mut().for_each(|puzzle| puzzle.prompt[kind.place()] = stated);
        }
        let mut ready = set.load_parts(parts, device)?;
        ready.side.budgets = Some(Budgets {
            place: kind.place(),
            first: kind.token(1).into(),
            largest: LARGEST.into(),
            shortest: SumRoutes::shortest(DIGITS as usize) as u32,
        });
        Ok(ready)
    },
    network: |values, _, streams, device| set(&Settings::read(values)?).1.network(streams, device),
    start: Some(|network, _, values, streams, artefacts| {
        let settings = Settings::read(values)?;
        let Settings { start_accuracy, start_above, .. } = settings;
        let wanted = start_accuracy..=start_accuracy + start_above;
        set(&settings).1.start(network, wanted, values, streams, artefacts)
    }),
    ..puzzles::WORKLOAD
};

fn set(settings: &Settings) -> (SumRoutes, PuzzleSet) {
    let sums = ChainSum { modulus: 5, longest: DIGITS as usize, strict: true };
    let short = u8::try_from(settings.short_demonstrations).unwrap_or(u8::MAX);
    let kind = SumRoutes { sums, largest: LARGEST, short };
    let set =
        PuzzleSet { kind: Arc::new(kind), difficulties: vec![DIGITS], sizes: SIZES, rate: 3e-3 };
    (kind, set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Sources;
    use data::puzzles::Kind;
    use lab::trial::with;
    use tch::Device;

    #[test]
    fn every_prompt_to_learn_from_and_to_answer_states_the_budget() {
        let values = with([("budget", 6.into())]);
        let values = (WORKLOAD.resolve)(&values).unwrap();
        let ready = (WORKLOAD.load)(&values, &Sources::from_env(None), Device::Cpu).unwrap();
        let Budgets { place, first, largest, shortest } = ready.side.budgets.unwrap();
        assert_eq!((place, largest, shortest), (8, 12, 4));
        for split in [&ready.splits.train, &ready.splits.validation, &ready.splits.test] {
            let stated = split.stored.select(1, place as i64);
            assert!(bool::try_from(&stated.eq(first + 5).all()).unwrap());
        }
        let kind = set(&Settings::default()).0;
        assert_eq!(i64::from(kind.token(12)), first + 11);
        assert_eq!(first + 12, i64::from(kind.alphabet()));
    }
}
