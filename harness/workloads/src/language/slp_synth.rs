//! # slp-synth
//!
//! Four inputs modulo 7 with their outputs, and a program of one to three statements that explains
//! them, generated from a fixed seed. A response is right when its program maps every input shown to
//! its output, whatever program was drawn. The loss is the response's.
//!
//! `whole` is the share of examples whose drawn program is the likeliest token by token; `accuracy`,
//! computed at the last look, is that of the model's own greedy response. At the last look, too, of responses at temperature
//! 1: `sampled`, how many are right, `pass@8`, how many prompts have a right one among eight, and `selected`, how many
//! prompts a method answers rightly that writes in its own way, as those do that choose among samples.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::sequences::{Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::synth::Synth;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use ledger::streams::Streams;
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{Scores, Size, complete, mean, split};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::prompt::Prompt;
use lab::seat::{Outcome, Texts};
use lab::side_info::{SideInfo, Tokens, Verifier};
use lab::writing::drafts;
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
    MetricInfo::share("sampled", 0.0),
    MetricInfo::share("pass@8", 0.0),
    MetricInfo::share("selected", 0.0),
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
    offers: &[
        offers::LOSS,
        offers::TOKENS,
        offers::RESPONSES,
        offers::GROUPS,
        offers::VERIFIER,
        offers::PROMPTS,
    ],
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

    fn prompt_length(&self) -> Option<usize> {
        Some(SYNTH.length() - SYNTH.longest_response())
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
            metrics.extend(written(request, &prompts)?);
        }
        Ok(metrics)
    }
}

/// Drafts that a prompt has a right one among.
const DRAFTS: u32 = 8;

/// What samples and the method's own choice among them are worth; the same random numbers for every arm and seed.
fn written(
    request: &EvaluationRequest<'_>,
    asked: &[&[u16]],
) -> Result<[(String, f64); 3], LabError> {
    let streams = Streams::new(Digest::of(b"palimpsest/slp-synth/texts/v1").0);
    let prompt = |(id, tokens): (u32, &&[u16])| Prompt {
        id,
        tokens: tokens.iter().copied().map(i64::from).collect(),
    };
    let prompts: Vec<Prompt> = (0..).zip(asked).map(prompt).collect();
    let texts = Texts {
        prompts: &prompts,
        longest: SYNTH.longest_response(),
        end: Some(Alphabet::END.into()),
        temperature: 1.0,
        banned: &[],
        streams: &streams,
    };
    let right = |prompt: &[u16], text: &[i64]| {
        let tokens = text.iter().filter_map(|token| u16::try_from(*token).ok());
        let tokens: Vec<u16> = tokens.collect();
        let ended = tokens.strip_suffix(&[Alphabet::END]);
        ended.is_some_and(|response| SYNTH.check(prompt, response) == Some(true))
    };
    let share = |right: bool| f64::from(u8::from(right));
    let drafts = drafts(request.model.network, &texts, DRAFTS)?;
    let each: Vec<Vec<bool>> = asked
        .iter()
        .zip(&drafts)
        .map(|(prompt, drafts)| drafts.iter().map(|draft| right(prompt, &draft.tokens)).collect())
        .collect();
    let selected = request.model.write(&texts)?;
    let selected =
        asked.iter().zip(&selected).map(|(prompt, text)| share(right(prompt, &text.tokens)));
    let values = [
        ("sampled", mean(each.iter().flatten().map(|right| share(*right)))),
        ("pass@8", mean(each.iter().map(|right| share(right.contains(&true))))),
        ("selected", mean(selected)),
    ];
    Ok(values.map(|(name, value)| (name.to_owned(), value)))
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

    #[test]
    fn no_choice_among_samples_is_right_more_often_than_some_sample_is() {
        let stage = crate::fixture("slp-synth", &Values::new()).unwrap();
        let network = stage.network(3).unwrap();
        let Ready { splits, judge, .. } = stage.ready();
        let (model, split) = (training::judge::Model::plain(&network), &splits.validation);
        let judged = training::judge::Judged::Validation;
        let request = EvaluationRequest { model, split, judged, last: true };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        let [sampled, passed, selected] =
            ["sampled", "pass@8", "selected"].map(|name| metrics[name]);
        assert!(sampled <= passed && selected <= passed, "{metrics:?}");
        // One program in some thousand, now and then.
        assert!(passed < 0.2, "{metrics:?}");
    }
}
