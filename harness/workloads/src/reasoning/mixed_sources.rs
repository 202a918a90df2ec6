//! # mixed-sources
//!
//! Twelve sources of 4, 6, 8 or 10 digits modulo 5, and a GPT (d = 64, 2 blocks, 4 heads): four to be copied,
//! four to be summed as in `chain-sum`, four whose answers are random digits. The first token of a prompt says
//! which is asked for; the verifier asks for the whole answer. What is copied is soon always right and what is
//! random never is, so that a policy gradient finds signal in the four sums alone: a curriculum over sources
//! has something to tell apart, and the mean accuracy ends at two thirds. Per source there are 150 prompts to
//! train on, 25 to validate and 80 to test; of those left, 20 and at most 1,000 are for the common start.
//!
//! Every method starts where training on demonstrations (looked at every 10 steps of 64, at most 2,000) first
//! solves 40 % of the prompts set aside for this, so all copies and some sums, or up to 5 points more: beyond
//! that it is taken back on the straight line between the weights at the last two looks. It is not in the
//! budget. A budget of 1.6 epochs is 180 steps of 16 prompts.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::chain_sum::ChainSum;
use data::puzzles::mixed::{COPY, Mixed, RANDOM};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::puzzles::{self, PASS_AT_8, PuzzleSet, SAMPLED, WRONG_EXCESS, accuracy};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.4, range Range::of(0.0..=1.0), from "assumed: all copies and some sums";
        /// How far above that the start may be; where it is further, it is taken back.
        start_above: f64 = 0.05, range Range::of(0.0..=1.0), from "assumed";
    }
}

const DIGITS: [u32; 4] = [4, 6, 8, 10];
const SIZES: Sizes =
    Sizes { demonstrations: 1_000, rehearsal: 20, train: 150, validation: 25, test: 80 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/sum-4"),
    accuracy("accuracy/sum-6"),
    accuracy("accuracy/sum-8"),
    accuracy("accuracy/sum-10"),
    accuracy("accuracy/copy-4"),
    accuracy("accuracy/copy-6"),
    accuracy("accuracy/copy-8"),
    accuracy("accuracy/copy-10"),
    accuracy("accuracy/random-4"),
    accuracy("accuracy/random-6"),
    accuracy("accuracy/random-8"),
    accuracy("accuracy/random-10"),
    MetricInfo::error("wrong_length"),
    WRONG_EXCESS,
    SAMPLED,
    PASS_AT_8,
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "digits to copy, to sum and to guess, answers checked by a verifier, GPT of 2 blocks",
    data: DataName::GeneratedAs("mixed-sources"),
    metrics: METRICS,
    target: 0.6,
    budget_epochs: 1.6,
    evaluate_every_epochs: 0.16,
    split_sizes: [1_800, 300, 960],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, _, device| set().load(device),
    network: |values, _, streams, device| {
        // The network has no setting of its own; settings that cannot be read build none all the same.
        Settings::read(values)?;
        set().network(streams, device)
    },
    start: Some(|network, _, values, streams, artefacts| {
        let Settings { start_accuracy, start_above } = Settings::read(values)?;
        let wanted = start_accuracy..=start_accuracy + start_above;
        set().start(network, wanted, values, streams, artefacts)
    }),
    ..puzzles::WORKLOAD
};

fn set() -> PuzzleSet {
    let longest = DIGITS[DIGITS.len() - 1] as usize;
    let kind = Arc::new(Mixed { sums: ChainSum { modulus: 5, longest, strict: true } });
    let sorts = [0, COPY, RANDOM];
    let difficulties = sorts.into_iter().flat_map(|sort| DIGITS.map(|digits| sort + digits));
    PuzzleSet { kind, difficulties: difficulties.collect(), sizes: SIZES, rate: 3e-3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn every_source_has_its_accuracy_among_the_metrics_and_the_parts_are_as_declared() {
        let ready = set().load(Device::Cpu).unwrap();
        let splits = &ready.splits;
        let sizes = [&splits.train, &splits.validation, &splits.test].map(|split| split.len());
        assert_eq!(sizes, WORKLOAD.split_sizes.map(i64::from));
        let names = METRICS.iter().filter_map(|metric| metric.name.strip_prefix("accuracy/"));
        assert_eq!(ready.side.group_names, names.collect::<Vec<_>>());
    }
}
