//! # attr
//!
//! Text of a known grammar with a quality, generated from a fixed seed: a mixture of four Markov
//! chains over 32 symbols whose topic changes every 32 symbols on average. A training example of
//! quality q has each symbol from a wrong grammar with probability 1 − q; the levels of q, 32 from 0
//! to 1 or those from `worst` on, are equally frequent, and q is the score that orders may sort by.
//! Validation and test are of quality 1. With `worst: 0` wrong grammar comes as often as right, so
//! that a network trained in uniform order ends no nearer to good text than it began.
//!
//! `excess` is the loss beyond that of the truth on the same text, in nats per symbol: the forward
//! algorithm gives the truth's exactly, so that 0 is the optimum.

use data::attr::{LEVELS, quality};
use data::sequences::{Place, Sequence, Sizes, distinct};
use ledger::catalogue::DataName;
use ledger::digest::Digest;
use ledger::settings;
use ledger::settings::Range;
use tch::Device;

use crate::shared::grammar::{self, LENGTH, METRICS};
use crate::shared::language::Size;
use lab::LabError;
use lab::models::gpt::gpt;
use lab::offers;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Size of the transformer: xs, s or m.
        size: Size = Size::Xs, from "assumed";
        /// Quality of the worst training text; the nearest of the levels k/31.
        worst: f64 = 0.0, range Range::of(0.0..1.0), from "assumed";
    }
}

const SIZES: [u32; 3] = [32_768, 512, 1_024];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "grammar text of graded quality, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::SCORES],
    metrics: METRICS,
    metric: "excess",
    target: 0.1,
    target_origin: "assumed",
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.125,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(Settings::read(values)?.worst, device),
    network: |values, side, streams, device| {
        let Settings { size, .. } = Settings::read(values)?;
        gpt(size.shape(side.vocabulary(), side.context()), streams, device)
    },
    ..Workload::BLANK
};

fn load(worst: f64, device: Device) -> Result<Ready, LabError> {
    let grammar = grammar::grammar();
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: 0, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/attr-text/v1"));
    let lowest = (worst * f64::from(LEVELS - 1)).round() as u32;
    let draw = |place: Place| {
        let level = match place.judged {
            true => LEVELS - 1,
            false => lowest + place.index as u32 % (LEVELS - lowest),
        };
        grammar.draw(LENGTH, level, &mut random)
    };
    let parts = distinct(sizes, draw, Sequence::id)?;
    let mut ready = grammar::ready(&grammar, &parts, device)?;
    ready.side.scores = ready.splits.train.groups.iter().map(|&level| quality(level)).collect();
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::settings::Values;
    use training::judge::{EvaluationRequest, Judged, Model};

    #[test]
    fn a_fresh_network_exceeds_the_truth_by_what_the_truth_knows() {
        let stage = crate::fixture("attr", &Values::new()).unwrap();
        let network = stage.network(1).unwrap();
        let Ready { splits, side, judge, .. } = stage.ready();
        let model = Model::plain(&network);
        let request =
            EvaluationRequest { model, split: &splits.test, judged: Judged::Test, last: true };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        // Almost uniform over 32 symbols.
        assert!((metrics["nll"] - 32_f64.ln()).abs() < 0.05, "{metrics:?}");
        assert!((0.4..1.5).contains(&metrics["excess"]), "{metrics:?}");
        let scores = &side.scores;
        assert_eq!((scores.len(), scores[0], scores[31], scores[32]), (32_768, 0.0, 1.0, 0.0));
    }

    #[test]
    fn no_training_text_is_worse_than_the_worst() {
        let worst = Values::from([("worst".to_owned(), 0.5.into())]);
        let all = crate::fixture("attr", &Values::new()).unwrap();
        let better = crate::fixture("attr", &worst).unwrap();
        let scores = &better.ready().side.scores;
        // Levels 16 to 31 of 31.
        assert_eq!((scores[0], scores[15], scores[16]), (16.0 / 31.0, 1.0, 16.0 / 31.0));
        assert_eq!(scores.iter().copied().fold(1.0, f64::min), 16.0 / 31.0);
        assert_ne!(all.ready().identity, better.ready().identity);
    }
}
