//! # sum-lines
//!
//! Markov text with lines `digits = sum` between, and a GPT (d = 64, 2 blocks, 4 heads) that may think before it
//! predicts a token. A text of 22 tokens is twice: two uniform symbols of 8, two more of an order-2 chain, five
//! digits, of which two are 0 and the others uniform, `=`, and their sum modulo 5. Rows of the chain have an entropy of 0.2 nats (`easy` tokens) or of
//! 1.0 (`medium`); a sum (`hard`) is uniform for who has not added up. What is drawn uniformly is given: no loss is
//! asked for there. The best guess is right in 0.969 and 0.766 of the easy and medium tokens, and a sum can always be
//! right: 0.911 is the best `accuracy`. There are 2,000 texts to train on, 100 to validate and 400 to test, and a
//! fifth of all lines of digits stands in judged texts alone.
//!
//! Behind any token a policy can be asked to think: a mark, at most 16 tokens, a mark, then the prediction; a thought
//! that does not end in time predicts nothing. `accuracy` is that of the likeliest such response, the mean over the
//! tiers (100 tokens of each to validate, 600 to test); `direct` that of the likeliest token without a thought;
//! `length` the mean tokens of a thought, marks not counted, and `cut_off` the share that does not end.
//!
//! Every method starts where training on texts and, as much, on thoughts before a token of one (the running sums,
//! where it is a sum, then 4 to 10 pauses that say nothing) first has 40 % of 100 sums right behind a thought
//! (looked at every 10 steps of 64 rows, at most 2,000), or up to 15 points more: beyond that it is taken back on the
//! straight line between the weights at the last two looks. It is not in the budget of training. A budget of 1.6
//! epochs is 200 steps of 16 texts.

use std::collections::BTreeMap;

use data::sequences::{Place, Sequence, Sizes, distinct};
use data::sum_lines::{
    ALPHABET, CLOSE, DIGIT, LENGTH, OPEN, PAD, SHORTEST_THOUGHT, SumLines, Tier, thought,
};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::{bounded, generator};
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use crate::shared::puzzles::{self, BATCH, LOOK_EVERY, MOST_STEPS, accuracy};
use lab::LabError;
use lab::models::gpt::{Shape, gpt};
use lab::network::Network;
use lab::objectives::{DefaultLoss, IGNORED};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::seat::Objective as _;
use lab::side_info::{SideInfo, Tokens};
use lab::split::Split;
use lab::thoughts::{Said, Thinking, Thoughts};
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Share of sums right behind a thought at which training for the common start stops.
        start_accuracy: f64 = 0.4, range Range::of(0.0..=1.0), from "assumed: room to gain and to lose";
        /// How far above that the start may be; where it is further, it is taken back.
        start_above: f64 = 0.15, range Range::of(0.0..=1.0), from "assumed";
    }
}

const SIZES: [u32; 3] = [2_000, 100, 400];
/// Tokens of each tier that are judged, of validation and test texts.
const JUDGED: [usize; 2] = [100, 600];
/// Sums that tell when a start has been reached.
const REHEARSED: usize = 100;
/// Learning rate towards the start.
const RATE: f64 = 3e-3;
const THOUGHTS: Thoughts = Thoughts {
    open: OPEN as i64,
    close: CLOSE as i64,
    longest: 16,
    shortest: SHORTEST_THOUGHT as u32,
    prefix: LENGTH as u32 - 1,
};
const CONTEXT: usize = THOUGHTS.whole();
const TIERS: usize = Tier::ALL.len();

const METRICS: &[MetricInfo] = &[
    accuracy("accuracy"),
    accuracy("accuracy/easy"),
    accuracy("accuracy/medium"),
    accuracy("accuracy/hard"),
    accuracy("direct"),
    accuracy("direct/easy"),
    accuracy("direct/medium"),
    accuracy("direct/hard"),
    MetricInfo { name: "length", higher_is_better: false, best: None, chance: None },
    MetricInfo { name: "length/easy", higher_is_better: false, best: None, chance: None },
    MetricInfo { name: "length/medium", higher_is_better: false, best: None, chance: None },
    MetricInfo { name: "length/hard", higher_is_better: false, best: None, chance: None },
    MetricInfo::error("cut_off"),
];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "Markov text with lines of digits and their sum, predicted behind a thought, GPT of 2 blocks",
    data: DataName::GeneratedAs("sum-lines"),
    offers: &[offers::LOSS, offers::TOKENS, offers::THOUGHTS],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.85,
    target_origin: "assumed",
    budget_epochs: 1.6,
    evaluate_every_epochs: 0.32,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| {
        Settings::read(values)?;
        load(device)
    },
    network: |values, _, streams, device| {
        // The network has no setting of its own; settings that cannot be read build none all the same.
        Settings::read(values)?;
        gpt(Shape::xs(ALPHABET.into(), CONTEXT), streams, device)
    },
    start: Some(|network, _, values, streams, artefacts| {
        let settings = Settings::read(values)?;
        let key = puzzles::key("sum-lines", network, values, streams)?;
        puzzles::started(network, &key, artefacts, |network| reach(network, &settings, streams))
    }),
    ..Workload::BLANK
};

fn load(device: Device) -> Result<Ready, LabError> {
    let [train, validation, test] = SIZES;
    let source = SumLines::default();
    let mut random = generator(&Digest::of(b"palimpsest/sum-lines-texts/v1"));
    let draw = |place: Place| {
        let tokens = source.draw(place.judged, &mut random);
        Sequence { tokens, prompt: 0, group: 0 }
    };
    let parts = distinct(Sizes { train, probe: 0, validation, test }, draw, Sequence::id)?;
    let place = |texts: &[Sequence]| {
        let rows: Vec<Row> = texts.iter().map(|text| text_row(&text.tokens)).collect();
        split(&rows, LENGTH - 1, device)
    };
    let (splits, identity) = generated::placed(&parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        tokens: Some(Tokens {
            vocabulary: ALPHABET.into(),
            context: CONTEXT as i64,
            end: None,
            mask: None,
            first_ordinary: DIGIT.into(),
        }),
        thoughts: Some(THOUGHTS),
        ..SideInfo::default()
    };
    let [validation, test] = [(&parts.validation, JUDGED[0]), (&parts.test, JUDGED[1])]
        .map(|(part, each)| questions(part.examples.iter().map(|text| &text.tokens), each));
    Ok(Ready { splits, identity, side, judge: Box::new(Reader { validation, test }) })
}

/// Tokens, and which of them are asked for.
type Row = (Vec<u16>, Vec<bool>);

/// A text, of which is asked what can be predicted.
fn text_row(text: &[u16]) -> Row {
    let asked = (0..text.len()).map(|place| Tier::of(text, place).is_some());
    (text.to_vec(), asked.collect())
}

/// Rows of up to `width` + 1 tokens: inputs are all but the last, labels those that follow where they are asked for.
fn split(rows: &[Row], width: usize, device: Device) -> Result<Split, TchError> {
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for (tokens, asked) in rows {
        let input = tokens.iter().take(tokens.len() - 1).copied();
        inputs.extend(input.chain(std::iter::repeat(PAD)).take(width).map(i64::from));
        let next = tokens.iter().zip(asked).skip(1);
        let next = next.map(|(token, asked)| if *asked { (*token).into() } else { IGNORED });
        labels.extend(next.chain(std::iter::repeat(IGNORED)).take(width));
    }
    let table = |values: &[i64]| {
        Tensor::f_from_slice(values)?.f_view([-1, width as i64])?.f_to_device(device)
    };
    Ok(Split { stored: table(&inputs)?, labels: table(&labels)?, groups: Vec::new() })
}

/// A token to predict.
#[derive(Debug)]
struct Question {
    tier: Tier,
    prefix: Vec<i64>,
    answer: i64,
    /// Where its prediction without a thought stands among those of all texts.
    place: usize,
}

/// The first `each` tokens of every tier.
fn questions<'a>(texts: impl Iterator<Item = &'a Vec<u16>>, each: usize) -> Vec<Question> {
    let mut left = [each; TIERS];
    let mut all = Vec::with_capacity(each * TIERS);
    for (row, text) in texts.enumerate() {
        for (at, token) in text.iter().enumerate() {
            let Some(tier) = Tier::of(text, at).filter(|tier| left[*tier as usize] > 0) else {
                continue;
            };
            left[tier as usize] -= 1;
            let prefix = text[..at].iter().copied().map(i64::from).collect();
            let place = row * (LENGTH - 1) + at - 1;
            all.push(Question { tier, prefix, answer: (*token).into(), place });
        }
    }
    all
}

/// What is said behind the likeliest thought before each token.
fn said(network: &Network, questions: &[Question]) -> Result<Vec<Said>, LabError> {
    let prefixes: Vec<Vec<i64>> = questions.iter().map(|asked| asked.prefix.clone()).collect();
    Ok(Thinking::likeliest(network, &THOUGHTS, &prefixes)?.said)
}

/// Judges a policy by the tokens that it predicts, behind a thought and without one.
#[derive(Debug)]
struct Reader {
    validation: Vec<Question>,
    test: Vec<Question>,
}

impl Judge for Reader {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let questions = request.judged.pick(&self.validation, &self.test);
        let network = request.model.network;
        let direct = network.forward(&request.split.stored, false)?.f_argmax(-1, false)?;
        let direct = Vec::<i64>::try_from(&direct.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
        // Right behind a thought, right without, tokens of the thought, cut off; then how many.
        let mut sums = [[0.0; 5]; TIERS];
        let holds = |what: bool| f64::from(u8::from(what));
        for (Question { tier, answer, place, .. }, said) in
            questions.iter().zip(said(network, questions)?)
        {
            let values = [
                holds(said.token == Some(*answer)),
                holds(direct[*place] == *answer),
                said.length as f64,
                holds(said.token.is_none()),
                1.0,
            ];
            sums[*tier as usize].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        let mut metrics = BTreeMap::new();
        for (index, name) in ["accuracy", "direct", "length", "cut_off"].into_iter().enumerate() {
            let means = sums.map(|tier| tier[index] / f64::max(tier[4], 1.0));
            metrics.insert(name.to_owned(), means.iter().sum::<f64>() / TIERS as f64);
            if name != "cut_off" {
                let tiers = Tier::ALL.iter().zip(means);
                metrics.extend(tiers.map(|((_, tier), mean)| (format!("{name}/{tier}"), mean)));
            }
        }
        Ok(metrics)
    }
}

/// Prefix, thought and prediction of a token of `text`, half of the time of a sum; asked for behind the first mark.
fn demonstration(text: &[u16], random: &mut Pcg64) -> Row {
    let hard = bounded(random, 2) == 0;
    let fits =
        |place: &usize| Tier::of(text, *place).is_some_and(|tier| (tier == Tier::Hard) == hard);
    let places: Vec<usize> = (0..text.len()).filter(fits).collect();
    let place = places[bounded(random, places.len() as u64) as usize];
    let prefix = &text[..place];
    let row = [prefix, &[OPEN], thought(prefix, random).as_slice(), &[CLOSE, text[place]]].concat();
    let asked = (0..row.len()).map(|at| at > place).collect();
    (row, asked)
}

/// Steps on texts and demonstrations, and the share of sums then right behind a thought.
fn reach(
    network: &mut Network,
    settings: &Settings,
    streams: &Streams,
) -> Result<(u64, f64), LabError> {
    let Settings { start_accuracy, start_above } = *settings;
    let wanted = start_accuracy..=start_accuracy + start_above;
    let source = SumLines::default();
    let mut random = streams.generator("start");
    let rehearsed: Vec<Vec<u16>> =
        (0..REHEARSED).map(|_| source.draw(false, &mut random)).collect();
    let mut rehearsed = questions(rehearsed.iter(), REHEARSED);
    rehearsed.retain(|asked| asked.tier == Tier::Hard);
    let look = |network: &Network| -> Result<f64, LabError> {
        let said = said(network, &rehearsed)?;
        let right =
            rehearsed.iter().zip(&said).filter(|(asked, said)| said.token == Some(asked.answer));
        Ok(right.count() as f64 / rehearsed.len() as f64)
    };
    let rate = AdamwSettings { lr: RATE, ..AdamwSettings::default() };
    let mut rule = Adamw::new(rate, network, |_, _| true)?;
    let ids: Vec<u32> = (0..).take(BATCH).collect();
    let mut before = network.snapshot();
    let mut steps = 0;
    loop {
        if steps % LOOK_EVERY == 0 {
            let found = look(network)?;
            if found > *wanted.end() {
                return Ok((steps, puzzles::taken_back(network, &before, &wanted, look)?));
            }
            if found >= *wanted.start() || steps >= MOST_STEPS {
                return Ok((steps, found));
            }
            before = network.snapshot();
        }
        let rows = ids.iter().map(|id| {
            let text = source.draw(false, &mut random);
            if id % 2 == 0 { text_row(&text) } else { demonstration(&text, &mut random) }
        });
        let rows: Vec<Row> = rows.collect();
        let batch = split(&rows, CONTEXT - 1, network.device())?.batch(&ids)?;
        let now = puzzles::moment(steps);
        let loss = DefaultLoss::Tokens.loss(network, &batch, &now)?;
        puzzles::descend(network, &mut rule, &loss, &now)?;
        steps += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial;
    use ledger::settings::Values;
    use training::artefacts::Unkept;
    use training::judge::{Judged, Model};

    fn numbers(tensor: &Tensor) -> Vec<i64> {
        Vec::try_from(&tensor.view([-1])).unwrap()
    }

    #[test]
    fn a_row_asks_for_what_can_be_predicted_and_a_demonstration_for_what_is_thought_and_said() {
        let source = SumLines::default();
        let mut random = generator(&Digest::of(b"rows"));
        for _ in 0..40 {
            let text = source.draw(false, &mut random);
            let row = split(&[text_row(&text)], LENGTH - 1, Device::Cpu).unwrap();
            let asked = numbers(&row.labels).into_iter().enumerate();
            let asked: Vec<(usize, i64)> = asked.filter(|(_, label)| *label != IGNORED).collect();
            assert_eq!(asked.len(), 6);
            assert!(asked.iter().all(|(at, label)| *label == i64::from(text[at + 1])));
            let (shown, asked) = demonstration(&text, &mut random);
            let open = shown.iter().position(|token| *token == OPEN).unwrap();
            assert_eq!(shown[..open], text[..open]);
            assert_eq!(shown.last(), text.get(open));
            assert!(shown.len() <= CONTEXT && Tier::of(&text, open).is_some());
            let response: Vec<i64> = shown[open + 1..].iter().copied().map(i64::from).collect();
            let said = THOUGHTS.read(&response);
            assert_eq!(said.token, Some(text[open].into()));
            assert_eq!(said.length + 2, response.len());
            assert!(asked.iter().enumerate().all(|(at, asked)| *asked == (at > open)));
        }
    }

    #[test]
    fn as_many_tokens_of_each_tier_are_judged_and_who_knows_nothing_is_right_now_and_then() {
        let ready = load(Device::Cpu).unwrap();
        let network = (WORKLOAD.network)(
            &Settings::default().values(),
            &ready.side,
            &trial::streams(),
            Device::Cpu,
        );
        let network = network.unwrap();
        let model = Model::plain(&network);
        for (judged, split, each) in [
            (Judged::Validation, &ready.splits.validation, JUDGED[0]),
            (Judged::Test, &ready.splits.test, JUDGED[1]),
        ] {
            let request = EvaluationRequest { model, split, judged, last: true };
            let metrics = tch::no_grad(|| ready.judge.metrics(&request)).unwrap();
            let names: Vec<&str> = metrics.keys().map(String::as_str).collect();
            assert!(METRICS.iter().all(|row| names.contains(&row.name)), "{names:?}");
            assert_eq!(names.len(), METRICS.len());
            assert!(metrics["direct"] < 0.4 && metrics["accuracy"] < 0.4, "{metrics:?}");
            for tier in ["easy", "medium", "hard"] {
                // Whole numbers of right ones.
                let right = metrics[&format!("direct/{tier}")] * each as f64;
                assert!((right - right.round()).abs() < 1e-9, "{right} of {each}");
            }
        }
    }

    #[test]
    fn predictions_without_a_thought_are_those_of_the_places_that_are_asked_for() {
        let texts: Vec<Vec<u16>> = {
            let mut random = generator(&Digest::of(b"places"));
            (0..3).map(|_| SumLines::default().draw(true, &mut random)).collect()
        };
        let rows: Vec<Row> = texts.iter().map(|text| text_row(text)).collect();
        let labels = numbers(&split(&rows, LENGTH - 1, Device::Cpu).unwrap().labels);
        let questions = questions(texts.iter(), 100);
        assert_eq!(questions.len(), 18);
        assert!(questions.iter().all(|asked| labels[asked.place] == asked.answer));
        assert!(questions.iter().all(|asked| asked.prefix.len() < LENGTH));
    }

    #[test]
    fn a_start_has_some_sums_right_behind_a_thought_and_is_the_same_for_the_same_seed() {
        let streams = trial::streams();
        let started = || {
            let settings = Settings { start_accuracy: 0.1, start_above: 0.2 };
            let values: Values = settings.values();
            let side = SideInfo::default();
            let mut network = (WORKLOAD.network)(&values, &side, &streams, Device::Cpu).unwrap();
            let (steps, right) = reach(&mut network, &settings, &streams).unwrap();
            assert!((0.1..=0.3).contains(&right), "{right} after {steps} steps");
            (network.digest().unwrap(), steps)
        };
        let (digest, steps) = started();
        assert!(steps > 0 && steps < MOST_STEPS, "{steps}");
        assert_eq!(started(), (digest, steps));
        let start = WORKLOAD.start.unwrap();
        let values = Settings { start_accuracy: 0.0, start_above: 1.0 }.values();
        let ready = load(Device::Cpu).unwrap();
        let mut network = (WORKLOAD.network)(&values, &ready.side, &streams, Device::Cpu).unwrap();
        let facts = start(&mut network, &ready, &values, &streams, &Unkept).unwrap();
        assert_eq!(facts["start_steps"], 0);
    }
}
