//! Grammar text that is judged by how much more it loses than the truth (`attr`, `attr-scarce`).

use std::collections::BTreeMap;

use data::attr::Grammar;
use data::sequences::{Parts, Sequence};
use ledger::catalogue::MetricInfo;
use tch::Device;

use super::generated;
use super::language::{Scores, mean, split};
use lab::LabError;
use lab::objectives::DefaultLoss;
use lab::side_info::{SideInfo, Tokens};
use training::judge::{EvaluationRequest, Judge};
use training::workload::Ready;

/// What is judged: the loss, and what of it the truth would not have lost.
pub const METRICS: &[MetricInfo] = &[MetricInfo::error("excess"), MetricInfo::error("nll")];

/// Symbols of a text: 32 inputs and the last one's next symbol.
pub const LENGTH: usize = 33;

const SYMBOLS: usize = 32;

/// The grammar of all of them: four topics over 32 symbols, redrawn every 32 symbols on average.
#[must_use]
pub fn grammar() -> Grammar {
    Grammar::new(SYMBOLS, 4, 32, 7)
}

/// The data, and their judge.
///
/// # Errors
/// When the device has no room.
pub fn ready(
    grammar: &Grammar,
    parts: &Parts<Sequence>,
    device: Device,
) -> Result<Ready, LabError> {
    let place = |texts: &[Sequence]| split(texts.iter(), LENGTH, device);
    let (splits, identity) = generated::placed(parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        tokens: Some(Tokens {
            vocabulary: SYMBOLS as i64,
            context: LENGTH as i64,
            end: None,
            mask: None,
            first_ordinary: 0,
        }),
        ..SideInfo::default()
    };
    let truth = |texts: &[Sequence]| {
        let total = texts.iter().map(|text| grammar.log_probability(&text.tokens, 1.0));
        -mean(total) / (LENGTH - 1) as f64
    };
    let judge =
        Excess { validation: truth(&parts.validation.examples), test: truth(&parts.test.examples) };
    Ok(Ready { splits, identity, side, judge: Box::new(judge) })
}

/// What the truth loses on each split, in nats per symbol.
#[derive(Debug)]
struct Excess {
    validation: f64,
    test: f64,
}

impl Judge for Excess {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let nll = Scores::of(request.model.network, request.split)?.nll();
        let truth = request.judged.pick(self.validation, self.test);
        Ok(BTreeMap::from([("nll".to_owned(), nll), ("excess".to_owned(), nll - truth)]))
    }
}
