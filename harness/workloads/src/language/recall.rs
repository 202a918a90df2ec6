//! # recall
//!
//! Keys and their values, to be remembered over a long context: sequences of 1,024 tokens, key, value, key, value, …; every key has one of
//! 16 values, drawn anew for each sequence, and half of the pairs are of a key that stood before, a moment ago or far back
//! (2,048 training, 64 validation, 128 test examples; no download). A small decoder with rotary positions (two blocks, width 64, four
//! heads; 135,248 weights at the default length) is to tell the value of every key that comes again.
//!
//! `recall` is the share of these values that are the likeliest, `far` the same where the key stood last more than a quarter of the
//! sequence before, `nll` the mean loss of these values; all at the whole length, whatever a method trained on. Guessing is right
//! one time in 16.

use std::collections::BTreeMap;

use data::recall::{Recall, VALUES, keys};
use data::sequences::{Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::generator;
use ledger::settings;
use ledger::settings::{Range, SettingError, Values};
use tch::{Device, Kind, Tensor};

use crate::shared::generated;
use lab::LabError;
use lab::models::gpt::Shape;
use lab::models::rotary::rotary;
use lab::network::values;
use lab::objectives::{DefaultLoss, IGNORED, token_losses};
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Tokens of a sequence; a multiple of 4.
        length: u32 = 1_024, range Range::of(8.0..=65_536.0), from "assumed";
        /// Training examples.
        examples: u32 = 2_048, range Range::of(1.0..=1e6), from "assumed";
        /// Width of the residual stream, a multiple of 8; the MLP is four times as wide.
        width: u32 = 64, range Range::of(8.0..=2_048.0), from "assumed";
        /// Blocks.
        depth: u32 = 2, range Range::of(1.0..=64.0), from "assumed";
        /// Base of the rotary positions, where no method says another.
        base: f64 = 1e4, range Range::above(0.0), from "RoPE, arXiv:2104.09864";
    }
}

/// Training examples of the default settings, and those to validate and to test on.
const SIZES: [u32; 3] = [2_048, 64, 128];
/// Attention heads.
const HEADS: u32 = 4;
/// Sequences that are judged at once.
const AT_ONCE: i64 = 8;

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("recall", 1.0 / VALUES as f64),
    MetricInfo::share("far", 1.0 / VALUES as f64),
    MetricInfo::error("nll"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "keys and values to remember over a long context, small decoder with rotary positions",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::ROTARY],
    metrics: METRICS,
    metric: "recall",
    target: 0.9,
    target_origin: "assumed",
    budget_epochs: 2.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let Settings { length, width, depth, base, .. } = Settings::read(values)?;
        let [context, width, depth, heads] =
            [length, width, depth, HEADS].map(|size| size as usize);
        let vocabulary = usize::from(VALUES + keys(context));
        let shape = Shape { vocabulary, context, width, depth, heads, hidden: 4 * width };
        rotary(shape, base, streams, device)
    },
    ..Workload::BLANK
};

fn resolve(values: &Values) -> Result<Values, SettingError> {
    let resolved = Settings::resolve(values)?;
    let Settings { length, width, .. } = Settings::read(&resolved)?;
    for (key, value, of) in [("length", length, 4), ("width", width, 2 * HEADS)] {
        if !value.is_multiple_of(of) {
            let (expected, value) = (format!("a multiple of {of}"), value.to_string());
            return Err(SettingError::Invalid { key: key.to_owned(), value, expected });
        }
    }
    Ok(resolved)
}

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let Settings { length, examples, .. } = *settings;
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: examples, probe: 0, validation, test };
    let parts: [&[u8]; 2] = [b"palimpsest/recall/v1", &length.to_le_bytes()];
    let mut random = generator(&Digest::of_parts(&parts));
    let draw = |_: Place| Recall::draw(length as usize, &mut random);
    let parts = distinct(sizes, draw, Recall::id)?;
    let (splits, identity) = generated::placed(&parts, |sequences: &[Recall]| {
        let table = |values: Vec<i64>| {
            Tensor::f_from_slice(&values)?.f_view([-1, i64::from(length)])?.f_to_device(device)
        };
        let tokens = sequences.iter().flat_map(|one| &one.tokens).map(|token| i64::from(*token));
        // Behind a key that stood before, its value.
        let asked = sequences.iter().flat_map(|one| {
            let pairs = one.tokens.chunks(2).zip(&one.since);
            pairs.flat_map(|(pair, since)| {
                [if *since > 0 { i64::from(pair[1]) } else { IGNORED }, IGNORED]
            })
        });
        let (stored, labels) = (table(tokens.collect())?, table(asked.collect())?);
        Ok(Split { stored, labels, groups: Vec::new() })
    })?;
    let far = |sequences: &[Recall]| {
        let quarter = length / 8;
        sequences.iter().flat_map(|one| one.since.iter().map(|since| *since > quarter)).collect()
    };
    let judge = Box::new(Remembered {
        validation: far(&parts.validation.examples),
        test: far(&parts.test.examples),
    });
    let side = SideInfo { loss: Some(DefaultLoss::Tokens), rotary: length, ..SideInfo::default() };
    Ok(Ready { splits, identity, side, judge })
}

/// Judges values of keys that stood before; knows of every pair whether its key stood far back.
#[derive(Debug)]
struct Remembered {
    validation: Vec<bool>,
    test: Vec<bool>,
}

impl Judge for Remembered {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let (network, split) = (request.model.network, request.split);
        let mut far = request.judged.pick(&self.validation, &self.test).iter();
        let (mut asked, mut right, mut loss) = (0, 0, 0.0);
        let (mut asked_far, mut right_far) = (0, 0);
        let mut start = 0;
        while start < split.len() {
            let (inputs, labels) = split.rows(start, AT_ONCE.min(split.len() - start))?;
            start += AT_ONCE;
            let logits = network.forward(&inputs, false)?;
            let losses = values(&token_losses(&logits, &labels)?)?;
            let same = logits.f_argmax(-1, false)?.f_eq_tensor(&labels)?;
            let same = values(&same.f_to_kind(Kind::Float)?)?;
            let known = values(&labels.f_ne(IGNORED)?.f_to_kind(Kind::Float)?)?;
            // A pair is its key's place and its value's, where nothing is asked.
            let pairs = losses.chunks(2).zip(same.chunks(2)).zip(known.chunks(2));
            for ((losses, same), known) in pairs {
                let far = far.next().copied().unwrap_or(false);
                if known[0] > 0.0 {
                    let same = u32::from(same[0] > 0.0);
                    asked += 1;
                    right += same;
                    loss += f64::from(losses[0]);
                    asked_far += u32::from(far);
                    right_far += u32::from(far) * same;
                }
            }
        }
        let found = [
            ("recall", f64::from(right) / f64::from(asked)),
            ("far", f64::from(right_far) / f64::from(asked_far)),
            ("nll", loss / f64::from(asked)),
        ];
        Ok(found.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{Judged, Model};

    #[test]
    fn a_network_of_zeros_says_the_first_value_and_spends_the_alphabet() {
        let settings = with([("examples", 8.into()), ("length", 64.into()), ("width", 16.into())]);
        let stage = crate::fixture("recall", &settings).unwrap();
        let network = stage.network(1).unwrap();
        for parameter in &network.parameters {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().zero_());
        }
        let ready = stage.ready();
        let model = Model::plain(&network);
        let split = &ready.splits.test;
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        let found = tch::no_grad(|| ready.judge.metrics(&request)).unwrap();
        assert!((found["nll"] - 32_f64.ln()).abs() < 1e-4, "{found:?}");
        assert!((found["recall"] - 1.0 / 16.0).abs() < 0.03, "{found:?}");
        assert!((found["far"] - 1.0 / 16.0).abs() < 0.06, "{found:?}");
    }

    #[test]
    fn what_is_asked_is_the_value_that_stood_behind_the_key_before() {
        let settings = with([("examples", 8.into()), ("length", 64.into())]);
        let stage = crate::fixture("recall", &settings).unwrap();
        let train = &stage.ready().splits.train;
        for row in 0..8 {
            let [tokens, labels] = [&train.stored, &train.labels]
                .map(|table| Vec::<i64>::try_from(table.get(row)).unwrap());
            for (at, label) in labels.iter().enumerate() {
                let before = (0..at).rev().find(|other| tokens[*other] == tokens[at]);
                match (at % 2, before) {
                    (0, Some(before)) => assert_eq!(*label, tokens[before + 1]),
                    _ => assert_eq!(*label, IGNORED),
                }
            }
        }
    }

    #[test]
    fn the_default_network_has_135_248_weights_and_odd_sizes_are_refused() {
        let stage = crate::fixture("recall", &with([("examples", 2.into())])).unwrap();
        let network = stage.network(1).unwrap();
        assert_eq!(network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>(), 135_248);
        for (name, value) in [("length", 66), ("width", 60)] {
            let error = crate::fixture("recall", &with([(name, value.into())])).unwrap_err();
            assert!(error.to_string().contains("a multiple of"), "{error}");
        }
    }
}
