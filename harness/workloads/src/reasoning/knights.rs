//! # knights
//!
//! Knights and knaves with 3 to 6 people, one statement each, exactly one consistent answer, and a
//! GPT (d = 64, 2 blocks, 4 heads). The response is one token per person and an end; the verifier
//! tries all assignments. Difficulty is the number of people. Per difficulty there are 120 prompts to
//! train on, 40 to validate and 100 to test; of those left, 40 and at most 10,000 are for the
//! common start. (Three people say only some 350 different things; two, fewer than 16.)
//!
//! Every method starts where training on demonstrations first solves a fifth of the prompts set
//! aside for this (looked at every 10 steps of 64, at most 2,000); it is not in the budget. More is out of
//! reach: the answer takes as many inferences as there are people, and the response has no room to
//! write them down; and since all four kinds of statement are linear modulo 2 in who is a knight, the
//! answer is that of linear equations modulo 2, in one forward pass. A budget of 6 epochs is 180 steps of 16 prompts.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::knights::Knights;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::puzzles::{self, PuzzleSet, WRONG_EXCESS, accuracy};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.2, range Range::of(0.0..=1.0), from "assumed: what every seed reaches";
    }
}

const DIFFICULTIES: &[u32] = &[3, 4, 5, 6];
const SIZES: Sizes =
    Sizes { demonstrations: 10_000, rehearsal: 40, train: 120, validation: 40, test: 100 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/3"),
    accuracy("accuracy/4"),
    accuracy("accuracy/5"),
    accuracy("accuracy/6"),
    MetricInfo::error("wrong_length"),
    WRONG_EXCESS,
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "knights and knaves, answers checked by a verifier, GPT of 2 blocks",
    data: DataName::GeneratedAs("knights"),
    metrics: METRICS,
    target: 0.4,
    budget_epochs: 6.0,
    evaluate_every_epochs: 0.6,
    split_sizes: [480, 160, 400],
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
    let kind = Arc::new(Knights { people: 6 });
    PuzzleSet { kind, difficulties: DIFFICULTIES.to_vec(), sizes: SIZES, rate: 1e-3 }
}
