//! # slp-refine
//!
//! Questions about straight-line programs modulo 13, as those of `slp-trace`, to be answered several times: 4,000 to train on,
//! generated from a fixed seed. A question shows 3 to 6 statements in order; the response is the value of every register, of
//! which the last is the answer. A model is asked in rounds: in the first by the question alone, then by the question, all
//! that it said so far (three responses at most, the latest ones) and a mark.
//!
//! At the end of a run, of the model's own greedy responses: `accuracy`, that of the first round, `round_2` to `round_4`;
//! `gain`, that of the second round over the first; `mended` and `spoilt`, shares of the questions that were answered
//! rightly in the second round alone and in the first alone; `told`, the accuracy behind the right response. Always:
//! `whole`, the share of questions whose right response is the likeliest token by token, in the first round, and its `nll`.

use std::collections::BTreeMap;

use data::sequences::{Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::trace::{Trace, Traced};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{Scores, Size, complete, mean, split, spread};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{Refinement, SideInfo, Tokens};
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Size of the transformer: xs, s or m.
        size: Size = Size::S, from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", CHANCE),
    MetricInfo::share("round_2", CHANCE),
    MetricInfo::share("round_3", CHANCE),
    MetricInfo::share("round_4", CHANCE),
    MetricInfo { name: "gain", higher_is_better: true, best: Some(1.0), chance: None },
    MetricInfo { name: "mended", higher_is_better: true, best: Some(1.0), chance: None },
    MetricInfo::error("spoilt"),
    MetricInfo::share("told", CHANCE),
    MetricInfo::share("whole", 0.0),
    MetricInfo::error("nll"),
];

const CHANCE: f64 = 1.0 / 13.0;
const SIZES: [u32; 3] = [4_000, 256, 512];
const FEWEST: usize = 3;
const MOST: usize = 6;
/// Responses that stand before another one at most.
const BEFORE: usize = 3;
const ROUNDS: usize = 4;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "values of programs modulo 13 in several rounds, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::GROUPS, offers::REFINEMENT],
    metrics: METRICS,
    metric: "whole",
    target: 0.5,
    target_origin: "assumed",
    budget_epochs: 10.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, _, device| load(device),
    network: |values, side, streams, device| {
        let Settings { size } = Settings::read(values)?;
        let network = gpt(size.shape(side.vocabulary(), side.context()), streams, device)?;
        spread(&network)?;
        Ok(network)
    },
    ..Workload::BLANK
};

fn trace() -> Trace {
    Trace { modulus: 13, steps: FEWEST..=MOST, products: false, names: 10 }
}

/// A question whose response is the values alone.
fn listed(traced: Traced) -> Traced {
    let Traced { program, sequence } = traced;
    let prompt = sequence.prompt;
    let mut tokens = sequence.tokens[..prompt].to_vec();
    let values = program.run(&[]).unwrap_or_default();
    tokens.extend(values.into_iter().map(|value| trace().alphabet().digit(value)));
    tokens.push(Alphabet::END);
    Traced { program, sequence: Sequence { tokens, ..sequence } }
}

fn load(device: Device) -> Result<Ready, LabError> {
    let trace = trace();
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: validation, validation, test };
    let groups = MOST - FEWEST + 1;
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-refine/v1"));
    let draw = |place: Place| listed(trace.draw(place.index % groups, &mut random));
    let parts = distinct(sizes, draw, |traced: &Traced| traced.sequence.id())?;
    // The longest question, and the longest response.
    let (question, response) = (4 * MOST, MOST + 1);
    let place = |examples: &[Traced]| {
        let sequences: Vec<&Sequence> = examples.iter().map(|traced| &traced.sequence).collect();
        split(sequences.into_iter(), question + response, device)
    };
    let (splits, identity) = generated::placed(&parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (FEWEST..=MOST).map(|steps| format!("{steps} steps")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: trace.alphabet().size().into(),
            context: (question + (BEFORE + 1) * response + 1) as i64,
            end: Some(Alphabet::END.into()),
            mask: None,
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        refinement: Some(Refinement {
            mark: Alphabet::MASK.into(),
            most: BEFORE as u32,
            longest: response,
        }),
        ..SideInfo::default()
    };
    let (validation, test) = (parts.validation.examples, parts.test.examples);
    Ok(Ready { splits, identity, side, judge: Box::new(Rounds { validation, test }) })
}

/// Judges responses round by round.
#[derive(Debug)]
struct Rounds {
    validation: Vec<Traced>,
    test: Vec<Traced>,
}

/// Which questions a network answers rightly behind what was said before, and what it says.
fn answered(
    network: &Network,
    examples: &[Traced],
    before: &[Vec<Vec<u16>>],
) -> Result<(Vec<bool>, Vec<Vec<u16>>), LabError> {
    let prompts = examples.iter().zip(before).map(|(Traced { sequence, .. }, said)| {
        let mut prompt = sequence.tokens[..sequence.prompt].to_vec();
        let latest = &said[said.len().saturating_sub(BEFORE)..];
        latest.iter().for_each(|said| prompt.extend(said));
        prompt.extend((!latest.is_empty()).then_some(Alphabet::MASK));
        prompt
    });
    let prompts: Vec<Vec<u16>> = prompts.collect();
    let prompts: Vec<&[u16]> = prompts.iter().map(Vec::as_slice).collect();
    let mut said = complete(network, &prompts, MOST + 1, Alphabet::END)?;
    let right = examples.iter().zip(&said).map(|(traced, said)| {
        let values = traced.program.run(&[]).unwrap_or_default();
        let answer = said.last().and_then(|token| trace().alphabet().read_digit(*token));
        answer.is_some() && answer == values.last().copied()
    });
    let right = right.collect();
    for said in &mut said {
        // A response that did not end gives its last token for the end.
        said.truncate(MOST);
        said.push(Alphabet::END);
    }
    Ok((right, said))
}

fn share(right: &[bool]) -> f64 {
    mean(right.iter().map(|right| f64::from(u8::from(*right))))
}

impl Judge for Rounds {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let network = request.model.network;
        let scores = Scores::of(network, request.split)?;
        let mut metrics = BTreeMap::from([
            ("whole".to_owned(), scores.whole()),
            ("nll".to_owned(), scores.nll()),
        ]);
        if !request.last {
            return Ok(metrics);
        }
        let examples = request.judged.pick(&self.validation, &self.test);
        let mut before: Vec<Vec<Vec<u16>>> = vec![Vec::new(); examples.len()];
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let (right, said) = answered(network, examples, &before)?;
            before.iter_mut().zip(said).for_each(|(before, said)| before.push(said));
            rounds.push(right);
        }
        let names = ["accuracy", "round_2", "round_3", "round_4"];
        metrics.extend(
            names.iter().zip(&rounds).map(|(name, right)| ((*name).to_owned(), share(right))),
        );
        metrics.insert("gain".to_owned(), share(&rounds[1]) - share(&rounds[0]));
        let flips = |from: bool| {
            let each = rounds[0].iter().zip(&rounds[1]);
            share(
                &each.map(|(first, second)| *first == from && *second != from).collect::<Vec<_>>(),
            )
        };
        metrics.insert("mended".to_owned(), flips(false));
        metrics.insert("spoilt".to_owned(), flips(true));
        let told =
            examples.iter().map(|Traced { sequence, .. }| vec![sequence.response().to_vec()]);
        let (told, _) = answered(network, examples, &told.collect::<Vec<_>>())?;
        metrics.insert("told".to_owned(), share(&told));
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::settings::Values;
    use training::judge::{Judged, Model};

    #[test]
    fn responses_are_the_values_of_all_registers() {
        let mut random = ledger::order::generator(&Digest::of(b"refine"));
        for group in 0..4 {
            let Traced { program, sequence } = listed(trace().draw(group, &mut random));
            let (response, end) = sequence.response().split_at(group + FEWEST);
            let values =
                response.iter().map(|token| trace().alphabet().read_digit(*token).unwrap());
            assert_eq!(values.collect::<Vec<_>>(), program.run(&[]).unwrap());
            assert_eq!(end, [Alphabet::END]);
        }
    }

    #[test]
    fn rounds_are_asked_at_the_last_look_and_add_up() {
        let fixture = crate::fixture("slp-refine", &Values::new()).unwrap();
        let network = fixture.network(3).unwrap();
        let Ready { splits, judge, .. } = fixture.ready();
        let metrics = |last| {
            let (model, split) = (Model::plain(&network), &splits.validation);
            let request = EvaluationRequest { model, split, judged: Judged::Validation, last };
            tch::no_grad(|| judge.metrics(&request)).unwrap()
        };
        assert!(!metrics(false).contains_key("accuracy"));
        let all = metrics(true);
        assert!(["accuracy", "round_4", "told"].iter().all(|name| all[*name] < 0.3), "{all:?}");
        assert!((all["gain"] - (all["round_2"] - all["accuracy"])).abs() < 1e-12);
        assert!((all["gain"] - (all["mended"] - all["spoilt"])).abs() < 1e-12);
    }
}
