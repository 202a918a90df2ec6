//! # kvr-tasks
//!
//! Small tasks f(x) = a·x + b modulo 17 told by cues of three words, generated from a fixed seed: 384 tasks with all their
//! 17 pairs to train on, 64 others to validate and to test on, with 9 questions each. The first word of a cue goes with a;
//! b cannot be told from a cue, so that a new task is known by solved examples alone. A bank holds the training examples,
//! and, where a split is judged, 8 solved examples of each of its tasks: no question that is asked is in it.
//!
//! A model is judged in four ways, by what is shown before a question: `accuracy` with the `shown` solved examples whose
//! cues are nearest (bags of hashed words, cosine), `accuracy_oracle` with any of the question's own task,
//! `accuracy_random` with any of the bank, `accuracy_none` with none. `accuracy_marginal` is that of a mixture that reads the
//! question behind each of the nearest by itself. `precision` is the share of what was retrieved that is of the question's
//! own task: a constant of the workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::kvr::tasks::{Families, Task};
use data::sequences::{Part, Parts, Sequence};
use data::slp::Alphabet;
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::shuffle;
use ledger::settings;
use ledger::settings::{Range, Values};
use rand_pcg::Pcg64;
use tch::{Device, Kind, Tensor};

use crate::shared::generated;
use crate::shared::language::{Scores, Size, mean, split, spread};
use lab::LabError;
use lab::demonstrations::{Asked, Bank, Shown, Solved};
use lab::models::gpt::gpt;
use lab::network::{Network, values};
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::rendering::{Row, placed};
use lab::side_info::{SideInfo, Tokens};
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Number of different a.
        slopes: u32 = 2, range Range::of(1.0..=16.0), from "assumed: what a model of this size can learn";
        /// Solved examples that are shown before a question.
        shown: u32 = 4, range Range::of(1.0..=8.0), from "assumed: not in what was read";
        /// Dimensions of the vectors of questions.
        dimensions: u32 = 128, range Range::of(1.0..=4096.0), from "assumed";
        /// What a cosine is multiplied with in a mixture's prior.
        scale: f64 = 10.0, range Range::of(0.0..), from "assumed";
        /// Size of the transformer: xs, s or m.
        size: Size = Size::S, from "assumed";
    }
}

const CHANCE: f64 = 1.0 / 17.0;

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", CHANCE),
    MetricInfo::share("accuracy_oracle", CHANCE),
    MetricInfo::share("accuracy_random", CHANCE),
    MetricInfo::share("accuracy_none", CHANCE),
    MetricInfo::share("accuracy_marginal", CHANCE),
    MetricInfo::share("precision", 0.0),
    MetricInfo::error("nll"),
];

const MODULUS: u16 = 17;
/// Tasks to train, validate and test on.
const TASKS: [usize; 3] = [384, 64, 64];
/// Solved examples of a held-out task.
const SUPPORT: usize = 8;
const SIZES: [u32; 3] = [384 * 17, 64 * 9, 64 * 9];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "small tasks told by cues, a bank of solved examples, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::BANK],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.6,
    target_origin: "card: an oracle below that has learned nothing",
    budget_epochs: 12.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(values, device),
    network: |values, side, streams, device| {
        let Settings { size, .. } = Settings::read(values)?;
        let network = gpt(size.shape(side.vocabulary(), side.context()), streams, device)?;
        spread(&network)?;
        Ok(network)
    },
    ..Workload::BLANK
};

/// A question with its answer, and the number of its task.
#[derive(Debug, Clone)]
struct Pair {
    question: Vec<u16>,
    answer: u16,
    task: u32,
}

impl Pair {
    fn sequence(&self) -> Sequence {
        let tokens = [self.question.as_slice(), &[self.answer, Alphabet::END]].concat();
        Sequence { tokens, prompt: self.question.len(), group: 0 }
    }

    fn solved(&self) -> Solved {
        let question = self.question.iter().copied().map(i64::from).collect();
        Solved { question, answer: vec![i64::from(self.answer)], task: self.task }
    }
}

/// Pairs of tasks from number `first` on, in random order of x task by task.
fn pairs(families: Families, tasks: &[Task], first: usize, random: &mut Pcg64) -> Vec<Vec<Pair>> {
    let of = |(task, number): (&Task, u32)| {
        let mut all: Vec<u32> = (0..u32::from(families.modulus)).collect();
        shuffle(random, &mut all);
        let pair = |x: u32| {
            let (question, answer) = families.pair(task, x);
            Pair { question, answer, task: number }
        };
        all.into_iter().map(pair).collect()
    };
    tasks.iter().zip(u32::try_from(first).unwrap_or(0)..).map(of).collect()
}

fn load(values: &Values, device: Device) -> Result<Ready, LabError> {
    let Settings { slopes, shown, dimensions, scale, .. } = Settings::read(values)?;
    let slopes = u16::try_from(slopes).unwrap_or(1);
    let families = Families { modulus: MODULUS, slopes, tasks: TASKS.iter().sum() };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/kvr-tasks/v1"));
    let tasks = families.draw(&mut random);
    let [trained, validated, _] = TASKS;
    let (train, held_out) = tasks.split_at(trained);
    let (validation, test) = held_out.split_at(validated);
    let train = pairs(families, train, 0, &mut random).concat();
    let mut bank = Bank::new(shown as usize, dimensions as usize).keyed(Families::CUE);
    bank.extend((0..).zip(train.iter().map(Pair::solved)))?;
    let mut judged = |tasks: &[Task], first: usize| -> Result<(Bank, Vec<Pair>), LabError> {
        let (mut bank, mut asked) = (bank.clone(), Vec::new());
        let all = pairs(families, tasks, first, &mut random);
        let support = all.iter().flat_map(|pairs| &pairs[..SUPPORT]).map(Pair::solved);
        bank.extend((u32::try_from(train.len()).unwrap_or(u32::MAX)..).zip(support))?;
        all.iter().for_each(|pairs| asked.extend_from_slice(&pairs[SUPPORT..]));
        Ok((bank, asked))
    };
    let (validating, testing) = (judged(validation, trained)?, judged(test, trained + validated)?);
    let part = |pairs: &[Pair]| {
        let examples: Vec<Sequence> = pairs.iter().map(Pair::sequence).collect();
        Part { ids: examples.iter().map(Sequence::id).collect(), examples }
    };
    let parts = Parts {
        train: part(&train),
        probe: part(&[]),
        validation: part(&validating.1),
        test: part(&testing.1),
    };
    let length = Families::QUESTION + 2;
    let place = |examples: &[Sequence]| split(examples.iter(), length, device);
    let (splits, identity) = generated::placed(&parts, place)?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        tokens: Some(Tokens {
            vocabulary: families.alphabet().size().into(),
            context: (shown as usize * (Families::QUESTION + 1) + length) as i64,
            end: Some(Alphabet::END.into()),
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        bank: Some(Arc::new(bank)),
        ..SideInfo::default()
    };
    let [validation, test] =
        [validating, testing].map(|(bank, asked)| Questions::new(&bank, &asked, scale, device));
    let judge = Box::new(FewShot { validation: validation?, test: test? });
    Ok(Ready { splits, identity, side, judge })
}

/// The questions of a split as they are asked.
#[derive(Debug)]
struct Questions {
    /// With what is shown before them.
    ways: Vec<(&'static str, Split)>,
    /// Behind each of the nearest by itself, N·K × T, and how much each counts, N × K.
    alone: (Tensor, Tensor),
    answers: Vec<i64>,
    precision: f64,
}

impl Questions {
    fn new(bank: &Bank, asked: &[Pair], scale: f64, device: Device) -> Result<Self, LabError> {
        let ways = [
            ("accuracy", Shown::Retrieved),
            ("accuracy_oracle", Shown::Oracle),
            ("accuracy_random", Shown::Random),
            ("accuracy_none", Shown::None),
        ];
        let (mut own, mut all) = (0_u32, 0_u32);
        let (mut alone, mut counts) = (Vec::new(), Vec::new());
        let mut way = |shown: Shown| -> Result<Split, LabError> {
            let mut rows = Vec::new();
            for (index, pair) in (0_u32..).zip(asked) {
                let solved = pair.solved();
                let (question, task) = (solved.question.as_slice(), pair.task);
                let name = [&b"palimpsest/kvr-tasks/shown/v1"[..], &index.to_le_bytes()].concat();
                let mut random = ledger::order::generator(&Digest::of(&name));
                let asked = Asked { question, task, own: None };
                let chosen = bank.choose(shown, asked, &mut random)?;
                if shown == Shown::Retrieved {
                    for (id, cosine) in &chosen {
                        alone.push(Row::of(&bank.before([*id], question), &solved.answer));
                        counts.push(scale * cosine);
                        own += u32::from(bank.solved(*id).is_some_and(|of| of.task == task));
                        all += 1;
                    }
                }
                let given = bank.before(chosen.into_iter().map(|(id, _)| id), question);
                let end = i64::from(Alphabet::END);
                rows.push(Row::of(&given, &[solved.answer[0], end]));
            }
            let (stored, labels) = placed(&rows, 0, device)?;
            Ok(Split { stored, labels, groups: Vec::new() })
        };
        let ways = ways.map(|(name, shown)| Ok::<_, LabError>((name, way(shown)?)));
        let ways = ways.into_iter().collect::<Result<Vec<_>, _>>()?;
        let counts = Tensor::f_from_slice(&counts)?.f_view([asked.len() as i64, -1])?;
        let counts = counts.f_softmax(-1, Kind::Float)?.f_to_device(device)?;
        let alone = (placed(&alone, 0, device)?.0, counts);
        let answers = asked.iter().map(|pair| i64::from(pair.answer)).collect();
        Ok(Self { ways, alone, answers, precision: f64::from(own) / f64::from(all.max(1)) })
    }

    /// Share of the questions that the mixture answers rightly.
    fn marginal(&self, network: &Network) -> Result<f64, LabError> {
        let (inputs, counts) = &self.alone;
        let logits = network.forward(inputs, false)?.f_select(1, -1)?;
        let (questions, shown) = counts.size2()?;
        let shares = logits.f_softmax(-1, Kind::Float)?.f_view([questions, shown, -1])?;
        let mixed =
            shares.f_mul(&counts.f_unsqueeze(-1)?)?.f_sum_dim_intlist(1, false, Kind::Float)?;
        let said = values(&mixed.f_argmax(-1, false)?.f_to_kind(Kind::Float)?)?;
        let right = said.iter().zip(&self.answers).map(|(said, answer)| {
            f64::from(u8::from((f64::from(*said) - *answer as f64).abs() < 0.5))
        });
        Ok(mean(right))
    }
}

/// Judges answers to questions of tasks that were not trained on.
#[derive(Debug)]
struct FewShot {
    validation: Questions,
    test: Questions,
}

impl Judge for FewShot {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let network = request.model.network;
        let questions = request.judged.pick(&self.validation, &self.test);
        let mut metrics = BTreeMap::from([
            ("precision".to_owned(), questions.precision),
            ("accuracy_marginal".to_owned(), questions.marginal(network)?),
        ]);
        for (name, split) in &questions.ways {
            let scores = Scores::of(network, split)?;
            if *name == "accuracy" {
                metrics.insert("nll".to_owned(), scores.nll());
            }
            metrics.insert((*name).to_owned(), scores.whole());
        }
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use training::judge::{Judged, Model};
    use training::trial::Fixture;

    fn fixture() -> Fixture {
        crate::fixture("kvr-tasks", &Values::new()).unwrap()
    }

    #[test]
    fn the_bank_is_the_training_split_and_no_question_that_is_judged_is_in_it() {
        let fixture = fixture();
        let Ready { splits, side, .. } = fixture.ready();
        let bank = side.bank.as_ref().unwrap();
        assert_eq!((bank.index().len(), splits.train.len()), (6_528, 6_528));
        let questions = |split: &Split| -> BTreeSet<Vec<i64>> {
            let rows = (0..split.len()).map(|row| split.stored.get(row).narrow(0, 0, 5));
            rows.map(|row| Vec::try_from(&row).unwrap()).collect()
        };
        let known: BTreeSet<Vec<i64>> =
            (0..6_528).map(|id| bank.solved(id).unwrap().question.clone()).collect();
        assert_eq!(questions(&splits.train), known);
        for split in [&splits.validation, &splits.test] {
            assert!(questions(split).is_disjoint(&known));
        }
    }

    #[test]
    fn what_is_shown_stands_before_the_question_as_the_context_allows() {
        let fixture = fixture();
        let Ready { side, judge, splits, .. } = fixture.ready();
        assert_eq!(side.tokens.unwrap().context, 4 * 6 + 7);
        let network = fixture.network(3).unwrap();
        let (model, split) = (Model::plain(&network), &splits.test);
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        // No two tasks have the same words; now and then a hash has the same place for two.
        assert!(metrics["precision"] > 0.9, "{metrics:?}");
        for name in ["accuracy", "accuracy_oracle", "accuracy_random", "accuracy_none"] {
            assert!(metrics[name] < 0.25, "{metrics:?}");
        }
        assert!(metrics["accuracy_marginal"] < 0.25, "{metrics:?}");
    }
}
