//! # countdown
//!
//! Make a target of at most 99 from 2, 3 or 4 numbers of 1 to 25, and a GPT (d = 64, 2 blocks, 4
//! heads). The response is a postfix expression and an end; the verifier evaluates it in rationals
//! and checks that every number is used at most as often as it is given. Difficulty is how many
//! numbers are given. Per difficulty there are 300 prompts to train on, 60 to validate and 150 to
//! test; of those left, 40 and at most 6,000 are for the common start.
//!
//! Every method starts where training on demonstrations first solves 45 % of the prompts set aside
//! for this (looked at every 10 steps of 64, at most 2,000); it is not in the budget. A budget of 3.2
//! epochs is 180 steps of 16 prompts.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::countdown::Countdown;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::puzzles::{self, PASS_AT_8, PuzzleSet, SAMPLED, WRONG_EXCESS, accuracy};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.45, range Range::of(0.0..=1.0), from "assumed: half is not reached from every seed";
    }
}

const DIFFICULTIES: &[u32] = &[2, 3, 4];
const SIZES: Sizes =
    Sizes { demonstrations: 6_000, rehearsal: 40, train: 300, validation: 60, test: 150 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/2"),
    accuracy("accuracy/3"),
    accuracy("accuracy/4"),
    MetricInfo::error("wrong_length"),
    WRONG_EXCESS,
    SAMPLED,
    PASS_AT_8,
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "expressions that make a target, checked by a verifier, GPT of 2 blocks",
    data: DataName::GeneratedAs("countdown"),
    metrics: METRICS,
    target: 0.6,
    budget_epochs: 3.2,
    evaluate_every_epochs: 0.32,
    split_sizes: [900, 180, 450],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| set(&Settings::read(values)?).load(device),
    network: |values, _, streams, device| set(&Settings::read(values)?).network(streams, device),
    start: Some(|network, _, values, streams, artefacts| {
        let settings = Settings::read(values)?;
        set(&settings).start(network, settings.start_accuracy..=1.0, values, streams, artefacts)
    }),
    ..puzzles::WORKLOAD
};

fn set(_: &Settings) -> PuzzleSet {
    let kind = Arc::new(Countdown { numbers: 4, largest: 25 });
    PuzzleSet { kind, difficulties: DIFFICULTIES.to_vec(), sizes: SIZES, rate: 3e-3 }
}
