//! # chain-sum
//!
//! Running sums of 4 to 10 digits modulo 5, and a GPT (d = 64, 2 blocks, 4 heads). The prompt is the
//! digits, the response their running sums and an end; the verifier reads the last token before the
//! end, so that a response may have any length up to 15 tokens. Difficulty is the number of digits: 4,
//! 5, 6, 7, 8 or 10. Per difficulty there are 300 prompts to train on, 50 to validate and 160 to
//! test; of those left, 35 and at most 1,000 are for the common start.
//!
//! Every method starts where training on demonstrations first solves half of the prompts set aside
//! for this (looked at every 10 steps of 64, at most 2,000); it is not in the budget. Sums are
//! learned all at once, between step 400 and 800. A budget of 1.6 epochs is 180 steps of 16 prompts.
//!
//! No prompt is in two parts, so that there is no difficulty of 2 or 3: 25 and 125 prompts are too
//! few to share out.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::chain_sum::ChainSum;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::puzzles::{self, PuzzleSet, accuracy};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Digits and sums are modulo this number.
        modulus: u32 = 5, range Range::of(5.0..=10.0), from "assumed";
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed: room to gain and to lose";
    }
}

const DIFFICULTIES: &[u32] = &[4, 5, 6, 7, 8, 10];
const SIZES: Sizes =
    Sizes { demonstrations: 1_000, rehearsal: 35, train: 300, validation: 50, test: 160 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/4"),
    accuracy("accuracy/5"),
    accuracy("accuracy/6"),
    accuracy("accuracy/7"),
    accuracy("accuracy/8"),
    accuracy("accuracy/10"),
    MetricInfo::error("wrong_length"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "running sums modulo 5, answers checked by a verifier, GPT of 2 blocks",
    data: DataName::GeneratedAs("chain-sum"),
    metrics: METRICS,
    target: 0.9,
    budget_epochs: 1.6,
    evaluate_every_epochs: 0.16,
    split_sizes: [1_800, 300, 960],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| set(&Settings::read(values)?).load(device),
    network: |values, _, streams, device| set(&Settings::read(values)?).network(streams, device),
    start: Some(|network, _, values, streams, artefacts| {
        let settings = Settings::read(values)?;
        set(&settings).start(network, settings.start_accuracy, values, streams, artefacts)
    }),
    ..puzzles::WORKLOAD
};

fn set(settings: &Settings) -> PuzzleSet {
    let modulus = u8::try_from(settings.modulus).unwrap_or(u8::MAX);
    let longest = DIFFICULTIES.last().map_or(0, |longest| *longest as usize);
    let kind = Arc::new(ChainSum { modulus, longest });
    PuzzleSet { kind, difficulties: DIFFICULTIES, sizes: SIZES, rate: 3e-3 }
}
