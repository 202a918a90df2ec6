//! # knights
//!
//! Knights and knaves with 3 to 6 people, one statement each of the published puzzles' kinds (a claim about
//! somebody, its negation, or two joined by and, or, implies or iff), exactly one consistent answer, and a
//! GPT (d = 64, 2 blocks, 4 heads). The response is free up to a mark, then one token per person and an end;
//! the verifier tries all assignments and reads nothing before the mark. Demonstrations write a search
//! there: what follows from whose statement, an assumption where nothing does, a contradiction and the way
//! back. Difficulty is the number of people. Per difficulty there are 2,000 prompts to train on, 50 to
//! validate and 150 to test; of those left, 40 and at most 10,000 are for the common start.
//!
//! Every method starts where training on demonstrations (looked at every 10 steps of 64, at most 2,000) first
//! solves 30 % of the prompts set aside for this, or up to 10 points more: beyond that it is taken back on
//! the straight line between the weights at the last two looks. It is not in the budget. A budget of 0.36
//! epochs is 180 steps of 16 prompts.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::knights::Knights;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::puzzles::{self, PASS_AT_8, PuzzleSet, SAMPLED, WRONG_EXCESS, accuracy};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.3, range Range::of(0.0..=1.0), from "assumed: room to gain and to lose";
        /// How far above that the start may be; where it is further, it is taken back.
        start_above: f64 = 0.1, range Range::of(0.0..=1.0), from "assumed";
        /// Learning rate on demonstrations.
        start_rate: f64 = 3e-3, range Range::above(0.0), from "assumed: at 1e-3 one seed ended below that";
    }
}

const DIFFICULTIES: &[u32] = &[3, 4, 5, 6];
const SIZES: Sizes =
    Sizes { demonstrations: 10_000, rehearsal: 40, train: 2_000, validation: 50, test: 150 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/3"),
    accuracy("accuracy/4"),
    accuracy("accuracy/5"),
    accuracy("accuracy/6"),
    MetricInfo::error("wrong_length"),
    WRONG_EXCESS,
    SAMPLED,
    PASS_AT_8,
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "knights and knaves with a written search, answers checked by a verifier, GPT of 2 blocks",
    data: DataName::GeneratedAs("knights"),
    metrics: METRICS,
    target: 0.6,
    budget_epochs: 0.36,
    evaluate_every_epochs: 0.036,
    split_sizes: [8_000, 200, 600],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| set(&Settings::read(values)?).load(device),
    network: |values, _, streams, device| set(&Settings::read(values)?).network(streams, device),
    start: Some(|network, _, values, streams, artefacts| {
        let settings = Settings::read(values)?;
        let Settings { start_accuracy, start_above, .. } = settings;
        let wanted = start_accuracy..=start_accuracy + start_above;
        set(&settings).start(network, wanted, values, streams, artefacts)
    }),
    ..puzzles::WORKLOAD
};

fn set(settings: &Settings) -> PuzzleSet {
    let kind = Arc::new(Knights { people: 6 });
    PuzzleSet { kind, difficulties: DIFFICULTIES.to_vec(), sizes: SIZES, rate: settings.start_rate }
}
