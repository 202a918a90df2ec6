//! # chain-sum
//!
//! Running sums of 4 to 10 digits modulo 5, and a GPT (d = 64, 2 blocks, 4 heads). The prompt is the
//! digits, the response their running sums and an end; the verifier reads the last token before the
//! end, so that a response may have any length up to 15 tokens, and a guess is right one time in five. With
//! `verify: strict` every running sum has to be right. Difficulty is the number of digits: 4, 5, 6, 7, 8 or
//! 10, or those of `lengths`. Per difficulty there are 300 prompts to train on, 50 to validate and 160 to
//! test; of those left, 35 and at most 1,000 are for the common start. Other numbers of lengths share out the
//! same 1,800, 300, 960 and 210.
//!
//! Every method starts where training on demonstrations first solves half of the prompts set aside
//! for this (looked at every 10 steps of 64, at most 2,000); it is not in the budget. Sums are
//! learned all at once, between step 400 and 800, so that a start can be far beyond: `start_above` bounds
//! that, by going back on the straight line between the weights at the last two looks. A budget of 1.6
//! epochs is 180 steps of 16 prompts.
//!
//! No prompt is in two parts, so that there is no difficulty of 2, and one of 3 only beside many others and
//! with a larger modulus: 25 and 125 prompts are too few to share out.

use std::sync::Arc;

use data::puzzles::Sizes;
use data::puzzles::chain_sum::ChainSum;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings::{Range, SettingError, Values};
use ledger::{choice, settings};

use crate::shared::puzzles::{self, PASS_AT_8, PuzzleSet, SAMPLED, WRONG_EXCESS, accuracy};
use training::workload::Workload;

choice! {
    /// What makes a response right.
    pub enum Verify {
        /// Its last token.
        Last = "last",
        /// All of it.
        Strict = "strict",
    }
}

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Digits and sums are modulo this number.
        modulus: u32 = 5, range Range::of(5.0..=10.0), from "assumed";
        /// Accuracy at which training on demonstrations stops.
        start_accuracy: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed: room to gain and to lose";
        /// How far above that the start may be; where it is further, it is taken back.
        start_above: f64 = 1.0, range Range::of(0.0..=1.0), from "assumed: as far as it comes";
        /// What makes a response right: its last token, or all running sums.
        verify: Verify = Verify::Last, from "assumed: a response may have any length";
        /// Numbers of digits, ascending; 1, 2, 3, 5, 6 or 10 of them.
        lengths: Vec<f64> = vec![4.0, 5.0, 6.0, 7.0, 8.0, 10.0], range Range::of(3.0..=12.0), from "assumed";
    }
}

/// Puzzles of all difficulties together; demonstrations of each.
const SIZES: Sizes =
    Sizes { demonstrations: 1_000, rehearsal: 210, train: 1_800, validation: 300, test: 960 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/3"),
    accuracy("accuracy/4"),
    accuracy("accuracy/5"),
    accuracy("accuracy/6"),
    accuracy("accuracy/7"),
    accuracy("accuracy/8"),
    accuracy("accuracy/9"),
    accuracy("accuracy/10"),
    accuracy("accuracy/11"),
    accuracy("accuracy/12"),
    MetricInfo::error("wrong_length"),
    WRONG_EXCESS,
    SAMPLED,
    PASS_AT_8,
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
    resolve,
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

/// Numbers of digits, if they are whole, ascend and share out every part of the data.
fn lengths(settings: &Settings) -> Option<Vec<u32>> {
    let lengths = &settings.lengths;
    let whole = lengths.iter().all(|length| length.fract() == 0.0);
    let fits = whole && lengths.is_sorted_by(|one, next| one < next);
    let shares = |all: usize| !lengths.is_empty() && all.is_multiple_of(lengths.len());
    let Sizes { rehearsal, train, validation, test, .. } = SIZES;
    let shared = [rehearsal, train, validation, test].into_iter().all(shares);
    (fits && shared).then(|| lengths.iter().map(|length| *length as u32).collect())
}

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    if lengths(&Settings::read(&resolved)?).is_none() {
        return Err(SettingError::Invalid {
            key: "lengths".to_owned(),
            value: resolved["lengths"].to_string(),
            expected: "1, 2, 3, 5, 6 or 10 whole numbers that ascend".to_owned(),
        });
    }
    Ok(resolved)
}

fn set(settings: &Settings) -> PuzzleSet {
    let modulus = u8::try_from(settings.modulus).unwrap_or(u8::MAX);
    let difficulties = lengths(settings).unwrap_or_default();
    let longest = difficulties.last().map_or(0, |longest| *longest as usize);
    let strict = settings.verify == Verify::Strict;
    let kind = Arc::new(ChainSum { modulus, longest, strict });
    let each = |all: usize| all / difficulties.len().max(1);
    let Sizes { demonstrations, rehearsal, train, validation, test } = SIZES;
    let sizes = Sizes {
        demonstrations,
        rehearsal: each(rehearsal),
        train: each(train),
        validation: each(validation),
        test: each(test),
    };
    PuzzleSet { kind, difficulties, sizes, rate: 3e-3 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::json;
    use tch::Device;

    #[test]
    fn by_default_each_of_six_lengths_has_the_puzzles_that_it_always_had() {
        let PuzzleSet { difficulties, sizes, .. } = set(&Settings::default());
        assert_eq!(difficulties, [4, 5, 6, 7, 8, 10]);
        let expected =
            Sizes { demonstrations: 1_000, rehearsal: 35, train: 300, validation: 50, test: 160 };
        assert_eq!(sizes, expected);
    }

    #[test]
    fn other_lengths_share_out_as_many_puzzles_and_what_cannot_be_shared_is_refused() {
        let values = with([("lengths", json!([6, 8, 10])), ("verify", json!("strict"))]);
        let settings = Settings::read(&resolve(&values).unwrap()).unwrap();
        let ready = set(&settings).load(Device::Cpu).unwrap();
        let splits = &ready.splits;
        let sizes = [&splits.train, &splits.validation, &splits.test].map(|split| split.len());
        assert_eq!(sizes, WORKLOAD.split_sizes.map(i64::from));
        assert_eq!(ready.side.group_names, ["6", "8", "10"]);
        let refused = |lengths| resolve(&with([("lengths", lengths)])).is_err();
        for lengths in
            [json!([]), json!([4, 4]), json!([6, 4]), json!([4.5]), json!([4, 5, 6, 7, 8, 9, 10])]
        {
            assert!(refused(lengths.clone()), "{lengths}");
        }
    }
}
