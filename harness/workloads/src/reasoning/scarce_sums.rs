//! # scarce-sums
//!
//! Running sums modulo 5 of which few are demonstrated, and some wrongly, and a GPT (d = 64, 2 blocks, 4 heads).
//! There are 128 prompts to learn from, 32 each of 4, 5, 6 and 8 digits, and each has one demonstration, of
//! which one in ten ends in a wrong sum. The verifier asks for every running sum. Validation (60 of each
//! length) and test (192) hold prompts that are not among these, and 7 digits besides, which no training
//! sees; `accuracy` is the mean over all five lengths. (Longer sums than all that are learned nobody solves:
//! this network learns its positions one by one. A pilot with 10 digits ended at 0 for every method.) Learning
//! from reward and from demonstrations have the same prompts here: what can be had by imitation alone is
//! bounded by how few and how good the demonstrations are.
//!
//! Every method starts where training on other demonstrations, of the lengths that are learned and without a
//! mistake, first solves 30 % of the prompts set aside for this (looked at every 10 steps of 64, at most
//! 2,000), or up to 10 points more: beyond that it is taken back on the straight line between the weights at
//! the last two looks. It is not in the budget. A budget of 31.25 epochs is 250 steps of 16 prompts.

use std::sync::Arc;

use data::puzzles::chain_sum::ChainSum;
use data::puzzles::{FIRST, Puzzle, Sizes};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::puzzles::{self, PASS_AT_8, PuzzleSet, SAMPLED, WRONG_EXCESS, accuracy};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Share of the demonstrations that end in a wrong sum.
        wrong: f64 = 0.1, range Range::of(0.0..=1.0), from "assumed: people err";
        /// Share of the prompts to learn from that have a demonstration.
        demonstrated: f64 = 1.0, range Range::of(0.0..=1.0), from "arXiv:2509.04419: each has one";
        /// Accuracy at which training on other demonstrations stops.
        start_accuracy: f64 = 0.3, range Range::of(0.0..=1.0), from "assumed: most groups have some signal";
        /// How far above that the start may be; where it is further, it is taken back.
        start_above: f64 = 0.1, range Range::of(0.0..=1.0), from "assumed";
    }
}

const DIGITS: [u32; 5] = [4, 5, 6, 7, 8];
/// Place among them of the number that is only asked for.
const UNSEEN: usize = 3;
const MODULUS: u8 = 5;
const SIZES: Sizes =
    Sizes { demonstrations: 1_000, rehearsal: 40, train: 32, validation: 60, test: 192 };

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/4"),
    accuracy("accuracy/5"),
    accuracy("accuracy/6"),
    accuracy("accuracy/7"),
    accuracy("accuracy/8"),
    MetricInfo::error("wrong_length"),
    WRONG_EXCESS,
    SAMPLED,
    PASS_AT_8,
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "running sums with few and imperfect demonstrations, checked by a verifier, GPT of 2 blocks",
    data: DataName::GeneratedAs("scarce-sums"),
    metrics: METRICS,
    target: 0.8,
    budget_epochs: 31.25,
    evaluate_every_epochs: 6.25,
    split_sizes: [128, 300, 960],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| {
        let settings = Settings::read(values)?;
        let set = set(&DIGITS);
        let mut parts = set.generate()?;
        parts.train.retain(|puzzle| puzzle.group as usize != UNSEEN);
        spoil(&mut parts.train, settings.wrong);
        forget(&mut parts.train, 1.0 - settings.demonstrated);
        set.load_parts(parts, device)
    },
    network: |values, _, streams, device| {
        // The network has no setting of its own; settings that cannot be read build none all the same.
        Settings::read(values)?;
        set(&DIGITS).network(streams, device)
    },
    start: Some(|network, _, values, streams, artefacts| {
        let Settings { start_accuracy, start_above, .. } = Settings::read(values)?;
        let wanted = start_accuracy..=start_accuracy + start_above;
        let learned = [&DIGITS[..UNSEEN], &DIGITS[UNSEEN + 1..]].concat();
        set(&learned).start(network, wanted, values, streams, artefacts)
    }),
    ..puzzles::WORKLOAD
};

fn set(difficulties: &[u32]) -> PuzzleSet {
    let longest = DIGITS[DIGITS.len() - 1] as usize;
    let kind = Arc::new(ChainSum { modulus: MODULUS, longest, strict: true });
    PuzzleSet { kind, difficulties: difficulties.to_vec(), sizes: SIZES, rate: 3e-3 }
}

/// Places, of `n`, of a share of them, spread evenly.
fn spread(n: usize, share: f64) -> impl Iterator<Item = usize> {
    let before = move |place: usize| (place as f64 * share).floor();
    (0..n).filter(move |place| before(place + 1) > before(*place))
}

/// Puts another last sum in the place of the right one, in a share of the demonstrations.
fn spoil(puzzles: &mut [Puzzle], share: f64) {
    for place in spread(puzzles.len(), share) {
        if let Some(last) = puzzles[place].demonstration.last_mut() {
            *last = FIRST + (*last - FIRST + 1) % MODULUS;
        }
    }
}

/// Takes the demonstrations of a share of the prompts away: from the end, so that wrong ones stay as often.
fn forget(puzzles: &mut [Puzzle], share: f64) {
    let n = puzzles.len();
    spread(n, share).for_each(|place| puzzles[n - 1 - place].demonstration.clear());
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Sources;
    use lab::objectives::IGNORED;
    use lab::trial::with;
    use ledger::settings::Values;
    use serde_json::json;
    use tch::Device;
    use training::workload::Ready;

    fn loaded(values: &Values) -> Ready {
        let values = (WORKLOAD.resolve)(values).unwrap();
        (WORKLOAD.load)(&values, &Sources::from_env(None), Device::Cpu).unwrap()
    }

    /// Digits of each prompt to learn from, and its demonstration without the end.
    fn demonstrations(ready: &Ready) -> Vec<(Vec<i64>, Vec<i64>)> {
        let row = |id: u32| {
            let batch = ready.splits.train.batch(&[id]).unwrap();
            let numbers = |tensor: &tch::Tensor| Vec::<i64>::try_from(&tensor.view([-1])).unwrap();
            let prompt = numbers(&batch.inputs)[..9].to_vec();
            let digits = prompt.into_iter().filter(|token| *token >= FIRST.into()).collect();
            let mut shown = numbers(&batch.labels);
            shown.retain(|token| *token != IGNORED);
            shown.pop();
            (digits, shown)
        };
        (0..128).map(row).collect()
    }

    #[test]
    fn one_demonstration_in_ten_ends_in_a_wrong_sum_and_no_other_sum_is_wrong() {
        let (ready, kind) = (loaded(&Values::new()), set(&DIGITS).kind);
        let mut wrong = 0;
        for (digits, mut shown) in demonstrations(&ready) {
            let bytes = |tokens: &[i64]| -> Vec<u8> {
                tokens.iter().map(|token| u8::try_from(*token).unwrap()).collect()
            };
            let right = |shown: &[i64]| kind.check(&bytes(&digits), &bytes(shown)).correct;
            if !right(&shown) {
                wrong += 1;
                let last = shown.pop().unwrap();
                let others = (3..8).filter(|token| *token != last);
                let mended = others.map(|token| right(&[&shown[..], &[token]].concat()));
                assert_eq!(mended.filter(|right| *right).count(), 1, "{digits:?}");
            }
        }
        assert_eq!(wrong, 12);
    }

    #[test]
    fn one_length_is_asked_for_and_never_learned() {
        let ready = loaded(&Values::new());
        assert_eq!(ready.side.group_names, ["4", "5", "6", "7", "8"]);
        let mut digits: Vec<usize> =
            demonstrations(&ready).iter().map(|(digits, _)| digits.len()).collect();
        digits.dedup();
        assert_eq!(digits, [4, 5, 6, 8]);
        assert_eq!(ready.splits.test.groups.iter().filter(|group| **group == 3).count(), 192);
    }

    #[test]
    fn prompts_may_lack_a_demonstration() {
        let ready = loaded(&with([("demonstrated", json!(0.75))]));
        let lacking = demonstrations(&ready).iter().filter(|(_, shown)| shown.is_empty()).count();
        assert_eq!(lacking, 32);
    }
}
