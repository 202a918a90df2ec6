//! # slp-explained
//!
//! Questions about straight-line programs modulo 11 with responses of three teachers, 5,000 to train on, generated from a fixed
//! seed. A question shows 2 to 4 statements in order. The first teacher says the answer; the second gives every register its
//! value and then the answer; the third says for every statement which values it is made of, too: `c 5 - 3 2` for what the
//! second calls `c 2`. Examples are stored with the first one's responses.
//!
//! `accuracy` is that of the answers of the model's own greedy responses, whatever stands before them, at every look; `deeper`
//! that to questions of 5 and 6 statements, which no example has. `response` is the mean number of tokens of a response.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::sequences::{Part, Parts, Place, Sequence, Sizes, distinct};
use data::slp::trace::{Trace, Traced};
use data::slp::{Alphabet, Operand, Operator};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{Size, complete, mean, split, spread};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{SideInfo, Tokens};
use lab::teachers::Teachers;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Size of the transformer: xs, s or m.
        size: Size = Size::Xs, from "assumed";
    }
}

const CHANCE: f64 = 1.0 / 11.0;

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", CHANCE),
    MetricInfo::share("deeper", CHANCE),
    MetricInfo { name: "response", higher_is_better: false, best: None, chance: None },
];

const SIZES: [u32; 3] = [5_000, 240, 480];
const FEWEST: usize = 2;
const MOST: usize = 4;
/// Statements of the deepest questions.
const DEEPEST: usize = 6;
/// Deeper questions of a split.
const DEEPER: usize = 240;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "questions modulo 11 with the explanations of three teachers, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::GROUPS, offers::TEACHERS],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.8,
    target_origin: "assumed",
    budget_epochs: 4.8,
    evaluate_every_epochs: 0.6,
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

fn trace(steps: std::ops::RangeInclusive<usize>) -> Trace {
    Trace { modulus: 11, steps, products: false, names: 10 }
}

/// Tokens of the longest response to a question of so many statements.
fn longest(steps: usize) -> usize {
    2 + 5 * steps.saturating_sub(1) + 3
}

/// What the three teachers say.
fn said(traced: &Traced) -> [Vec<u16>; 3] {
    let Traced { program, sequence } = traced;
    let alphabet = trace(FEWEST..=DEEPEST).alphabet();
    let values = program.run(&[]).unwrap_or_default();
    let medium = sequence.response().to_vec();
    let end = medium[medium.len().saturating_sub(3)..].to_vec();
    let value = |operand: Operand| match operand {
        Operand::Constant(value) => alphabet.digit(value),
        Operand::Register(register) => alphabet.digit(values.get(register).copied().unwrap_or(0)),
    };
    let lines = program.statements.iter().zip(medium.chunks(2)).enumerate();
    let mut long: Vec<u16> = lines
        .flat_map(|(register, (statement, line))| {
            let operator = match statement.operator {
                Operator::Add => 0,
                Operator::Subtract => 1,
                Operator::Multiply => 2,
            };
            let (left, right) = (value(statement.left), value(statement.right));
            match (register, line) {
                (1.., [name, own]) => vec![*name, left, alphabet.operator(operator), right, *own],
                _ => line.to_vec(),
            }
        })
        .collect();
    long.extend_from_slice(&end);
    [end, medium, long]
}

/// The example as it is stored, with the answer alone.
fn short(traced: &Traced) -> Sequence {
    let [answer, ..] = said(traced);
    let mut tokens = traced.sequence.tokens[..traced.sequence.prompt].to_vec();
    tokens.extend(answer);
    Sequence { tokens, ..traced.sequence.clone() }
}

fn load(device: Device) -> Result<Ready, LabError> {
    let seen = trace(FEWEST..=MOST);
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: validation, validation, test };
    let groups = MOST - FEWEST + 1;
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-explained/v1"));
    let draw = |place: Place| seen.draw(place.index % groups, &mut random);
    let Parts { train, probe, validation, test } =
        distinct(sizes, draw, |traced: &Traced| short(traced).id())?;
    let mut teachers = Teachers { responses: vec![Vec::new(); 3] };
    for traced in &train.examples {
        for (all, said) in teachers.responses.iter_mut().zip(said(traced)) {
            all.push(said.into_iter().map(i64::from).collect());
        }
    }
    let questions = |part: &Part<Traced>, name: &[u8]| {
        let parts: [&[u8]; 2] = [b"palimpsest/slp-explained/deeper/v1", name];
        let mut random = ledger::order::generator(&Digest::of_parts(&parts));
        let deep = trace(MOST + 1..=DEEPEST);
        let deeper = (0..DEEPER).map(|at| deep.draw(at % 2, &mut random)).collect();
        Questions { seen: part.examples.clone(), deeper }
    };
    let judge = Box::new(Explaining {
        validation: questions(&validation, b"validation"),
        test: questions(&test, b"test"),
    });
    let part = |part: Part<Traced>| Part {
        examples: part.examples.iter().map(short).collect::<Vec<_>>(),
        ids: part.ids,
    };
    let parts = Parts {
        train: part(train),
        probe: part(probe),
        validation: part(validation),
        test: part(test),
    };
    let place = |examples: &[Sequence]| split(examples.iter(), 4 * MOST + 3, device);
    let (splits, identity) = generated::placed(&parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (FEWEST..=MOST).map(|steps| format!("{steps} steps")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: seen.alphabet().size().into(),
            context: (4 * DEEPEST + longest(DEEPEST)) as i64,
            end: Some(Alphabet::END.into()),
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        teachers: Some(Arc::new(teachers)),
        ..SideInfo::default()
    };
    Ok(Ready { splits, identity, side, judge })
}

/// Questions of a split, and deeper ones.
#[derive(Debug)]
struct Questions {
    seen: Vec<Traced>,
    deeper: Vec<Traced>,
}

/// Judges answers, whatever stands before them.
#[derive(Debug)]
struct Explaining {
    validation: Questions,
    test: Questions,
}

/// Share of right answers, and mean tokens of a response.
fn answered(network: &Network, examples: &[Traced], steps: usize) -> Result<[f64; 2], LabError> {
    let prompts =
        examples.iter().map(|Traced { sequence, .. }| &sequence.tokens[..sequence.prompt]);
    let prompts: Vec<_> = prompts.collect();
    let responses = complete(network, &prompts, longest(steps), Alphabet::END)?;
    let trace = trace(FEWEST..=DEEPEST);
    let right = examples.iter().zip(&responses).map(|(traced, response)| {
        let values = traced.program.run(&[]).unwrap_or_default();
        let answer = trace.answer(response);
        f64::from(u8::from(answer.is_some() && answer == values.last().copied()))
    });
    Ok([mean(right), mean(responses.iter().map(|response| response.len() as f64))])
}

impl Judge for Explaining {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let network = request.model.network;
        let questions = request.judged.pick(&self.validation, &self.test);
        let [accuracy, response] = answered(network, &questions.seen, MOST)?;
        let [deeper, _] = answered(network, &questions.deeper, DEEPEST)?;
        let names = ["accuracy", "deeper", "response"].map(str::to_owned);
        Ok(names.into_iter().zip([accuracy, deeper, response]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::settings::Values;
    use training::judge::{Judged, Model};

    #[test]
    fn every_teacher_ends_with_the_answer_and_says_more_than_the_one_before() {
        let mut random = ledger::order::generator(&Digest::of(b"explained"));
        for group in [0, 1, 2, 0, 1, 2] {
            let traced = trace(FEWEST..=MOST).draw(group, &mut random);
            let [short, medium, long] = said(&traced);
            let steps = FEWEST + group;
            assert_eq!([short.len(), medium.len(), long.len()], [3, 2 * steps + 3, longest(steps)]);
            assert!(medium.ends_with(&short) && long.ends_with(&short));
            let alphabet = trace(FEWEST..=MOST).alphabet();
            let values = traced.program.run(&[]).unwrap();
            // Name, left, operator, right, value: what the operands are worth makes the value.
            for (line, value) in long[2..long.len() - 3].chunks(5).zip(&values[1..]) {
                let [left, right, own] = [1, 3, 4].map(|at| alphabet.read_digit(line[at]).unwrap());
                let made = match alphabet.read_operator(line[2]).unwrap() {
                    0 => Operator::Add,
                    _ => Operator::Subtract,
                };
                assert_eq!((made.apply(left, right, 11), own), (*value, *value));
            }
        }
    }

    #[test]
    fn stored_are_questions_with_their_answers_alone_and_a_guesser_is_at_chance() {
        let fixture = crate::fixture("slp-explained", &Values::new()).unwrap();
        let Ready { splits, side, judge, .. } = fixture.ready();
        let teachers = side.teachers.as_ref().unwrap();
        assert!(teachers.responses.iter().all(|all| all.len() == 5_000));
        for id in [0, 7, 4_999] {
            let labels = Vec::<i64>::try_from(splits.train.labels.get(id)).unwrap();
            let stored: Vec<i64> = labels.into_iter().filter(|label| *label >= 0).collect();
            assert_eq!(stored, teachers.responses[0][usize::try_from(id).unwrap()]);
        }
        let network = fixture.network(3).unwrap();
        let (model, split) = (Model::plain(&network), &splits.test);
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: false };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        assert!(metrics["accuracy"] < 0.3 && metrics["deeper"] < 0.3, "{metrics:?}");
    }
}
