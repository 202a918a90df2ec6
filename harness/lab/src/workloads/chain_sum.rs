//! # chain-sum
//!
//! Running sums of 3 to 10 decimal digits modulo 5, and a GPT (d = 64, 2 blocks, 4 heads). The
//! prompt is the digits, the response their running sums and an end; the verifier reads the last
//! token before the end, so that a response may have any length up to 15 tokens. Difficulty is the
//! number of digits: 3, 4, 5, 6, 8 or 10. Per difficulty there are 400 prompts to train on, 60 to
//! validate and 200 to test, and of those left, 40 and 300 for the common start.
//!
//! Every method starts where training on 1,800 demonstrations first solves half of the prompts set
//! aside for this (looked at every 10 steps, at most 400), which is not counted in its budget; a
//! budget of one epoch is 150 steps of 16 prompts.
//!
//! No prompt is in two parts. Two digits have only 100 prompts, too few to be split six ways, so the
//! easiest difficulty is 3.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::chain_sum::ChainSum;
use ledger::catalogue::{MetricInfo, WorkloadInfo};
use ledger::settings;
use ledger::settings::Range;

use super::Workload;
use super::puzzles::{OFFERS, PuzzleSet};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Sums are taken modulo this number.
        modulus: u32 = 5, range Range::of(2.0..=10.0), from "assumed";
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed";
    }
}

const DIFFICULTIES: &[u32] = &[3, 4, 5, 6, 8, 10];
const SIZES: Sizes =
    Sizes { demonstrations: 300, rehearsal: 40, train: 400, validation: 60, test: 200 };

const fn share(name: &'static str) -> MetricInfo {
    MetricInfo { name, higher_is_better: true, best: Some(1.0), chance: None }
}

const METRICS: &[MetricInfo] = &[
    share("accuracy"),
    share("accuracy/3"),
    share("accuracy/4"),
    share("accuracy/5"),
    share("accuracy/6"),
    share("accuracy/8"),
    share("accuracy/10"),
    MetricInfo::error("wrong_length"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    info: || WorkloadInfo {
        id: "chain-sum",
        title: "running sums modulo 5, answers checked by a verifier, GPT of 2 blocks",
        data: "chain-sum",
        offers: OFFERS,
        metrics: METRICS,
        metric: "accuracy",
        target: 0.8,
        target_origin: "assumed",
        budget_epochs: 1.0,
        evaluate_every_epochs: 0.1,
        split_sizes: [2_400, 360, 1_200],
        settings: Settings::table(),
        resolve: Settings::resolve,
        card: include_str!("chain_sum.rs"),
    },
    load: |values, _, device| set(&Settings::read(values)?).load(device),
    network: |values, _, streams, device| {
        set(&Settings::read(values).unwrap_or_default()).network(streams, device)
    },
    start: Some(|network, _, values, streams, artefacts| {
        let settings = Settings::read(values)?;
        set(&settings).start(network, settings.start_accuracy, values, streams, artefacts)
    }),
};

fn set(settings: &Settings) -> PuzzleSet {
    let modulus = u8::try_from(settings.modulus).unwrap_or(u8::MAX);
    let longest = DIFFICULTIES.last().map_or(0, |longest| *longest as usize);
    PuzzleSet {
        kind: Arc::new(ChainSum { modulus, longest }),
        difficulties: DIFFICULTIES,
        sizes: SIZES,
    }
}
