//! # slp-synth
//!
//! Four inputs modulo 7 with their outputs, and a program of one to three statements that explains
//! them, generated from a fixed seed. A response is right when its program maps every input shown to
//! its output, whatever program was drawn. The loss is the response's.
//!
//! `whole` is the share of examples whose drawn program is the likeliest token by token; `accuracy`,
//! computed at the last look, is that of the model's own greedy response.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::sequences::{Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::synth::Synth;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{Scores, Size, complete, mean, split};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::seat::Outcome;
use lab::side_info::{SideInfo, Tokens, Verifier};
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Size of the transformer: xs, s or m.
        size: Size = Size::Xs, from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 0.0),
    MetricInfo::share("whole", 0.0),
    MetricInfo::error("nll"),
];

const SIZES: [u32; 3] = [16_384, 384, 768];

/// Examples that adaptive orders may look at.
const PROBE: u32 = 384;

const SYNTH: Synth = Synth { modulus: 7, shown: 4, statements: 3 };

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "programs from inputs and outputs, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::GROUPS, offers::VERIFIER],
    metrics: METRICS,
    metric: "nll",
    target: 1.3,
    target_origin: "assumed",
    budget_epochs: 4.0,
    evaluate_every_epochs: 0.25,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, _, device| load(device),
    network: |values, side, streams, device| {
        let Settings { size } = Settings::read(values)?;
        gpt(size.shape(side.vocabulary(), side.context()), streams, device)
    },
    ..Workload::BLANK
};

fn load(device: Device) -> Result<Ready, LabError> {
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: PROBE, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-synth/v1"));
    let draw = |place: Place| SYNTH.draw(place.index % SYNTH.statements, &mut random);
    let parts = distinct(sizes, draw, Sequence::id)?;
    let place = |examples: &[Sequence]| split(examples.iter(), SYNTH.length(), device);
    let (splits, identity) = generated::placed(&parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (1..=SYNTH.statements).map(|count| format!("{count} statements")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: SYNTH.alphabet().size().into(),
            context: SYNTH.length() as i64,
            end: Some(Alphabet::END.into()),
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        verifier: Some(Arc::new(Checker { prompts: prompts(&parts.train.examples) })),
        ..SideInfo::default()
    };
    let [validation, test] = [parts.validation.examples, parts.test.examples];
    Ok(Ready { splits, identity, side, judge: Box::new(Programs { validation, test }) })
}

fn prompts(examples: &[Sequence]) -> Vec<Vec<u16>> {
    examples.iter().map(|example| example.tokens[..example.prompt].to_vec()).collect()
}

/// Checks responses to training prompts.
#[derive(Debug)]
struct Checker {
    prompts: Vec<Vec<u16>>,
}

impl Verifier for Checker {
    fn check(&self, id: u32, response: &[i64]) -> Outcome {
        let tokens: Option<Vec<u16>> = response.iter().map(|t| u16::try_from(*t).ok()).collect();
        let checked = self.prompts.get(id as usize).zip(tokens);
        let explains = checked.and_then(|(prompt, tokens)| SYNTH.check(prompt, &tokens));
        Outcome { correct: explains == Some(true), well_formed: explains.is_some() }
    }

    fn longest_response(&self) -> usize {
        SYNTH.longest_response()
    }
}

/// Judges programs token by token and by what they compute.
#[derive(Debug)]
struct Programs {
    validation: Vec<Sequence>,
    test: Vec<Sequence>,
}

impl Judge for Programs {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let scores = Scores::of(request.model.network, request.split)?;
        let mut metrics = BTreeMap::from([
            ("whole".to_owned(), scores.whole()),
            ("nll".to_owned(), scores.nll()),
        ]);
        if request.last {
            let examples = request.judged.pick(&self.validation, &self.test);
            let prompts: Vec<_> =
                examples.iter().map(|example| &example.tokens[..example.prompt]).collect();
            let longest = SYNTH.longest_response();
            let responses = complete(request.model.network, &prompts, longest, Alphabet::END)?;
            let right = prompts.iter().zip(&responses).map(|(prompt, response)| {
                f64::from(u8::from(SYNTH.check(prompt, response) == Some(true)))
            });
            metrics.insert("accuracy".to_owned(), mean(right));
        }
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::settings::Values;

    #[test]
    fn the_verifier_accepts_the_drawn_programs() {
        let stage = crate::fixture("slp-synth", &Values::new()).unwrap();
        let Ready { splits, side, .. } = stage.ready();
        let verifier = side.verifier.as_ref().unwrap();
        for id in 0..60_u32 {
            let labels = Vec::<i64>::try_from(splits.train.labels.get(i64::from(id))).unwrap();
            let mut response: Vec<i64> = labels.into_iter().filter(|label| *label >= 0).collect();
            assert_eq!(response.pop(), side.tokens.unwrap().end);
            assert_eq!(verifier.check(id, &response), Outcome { correct: true, well_formed: true });
        }
        assert!(!verifier.check(0, &[1, 1]).well_formed);
    }
}
