//! # slp-unlabelled
//!
//! Questions about straight-line programs modulo 7 with one worked line per step, as those of `slp-trace`: 4,000 to train
//! on, of which the first 2,000 have gold answers and the others are there for methods that do without. A question shows 2
//! to 6 statements in order and asks for the last register. A reader tells which answer a response gives, right or wrong.
//!
//! The network has seen such programs before: it starts from `pretraining` steps of 64 examples in another notation, one in
//! a hundred in this one. These are drawn for the seed, and none of them is an example of a split. What is known so is
//! latent: `start_accuracy` of the record is that of the start's greedy responses to 256 questions of its own.
//!
//! `steps` is the share of registers whose value is right behind the right thought so far; `accuracy`, computed at the last
//! look, is that of the answer of the model's own greedy response.

use std::collections::BTreeSet;
use std::sync::Arc;

use data::sequences::{Parts, Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::trace::{Trace, Traced};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::order::bounded;
use ledger::settings;
use ledger::settings::{Range, SettingError};
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{Size, split, spread};
use crate::shared::puzzles::{BATCH, descend, key, started};
use crate::shared::traces::{Answering, Answers, accuracy};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::seat::{Objective as _, StepInfo};
use lab::side_info::{SideInfo, Tokens, Unlabelled};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Training examples, of which the first half has gold answers.
        examples: u32 = 4000, range Range::of(2.0..=100_000.0), from "assumed";
        /// Numbers are modulo this.
        modulus: u32 = 7, range Range::of(2.0..=97.0), from "assumed";
        /// Fewest statements.
        fewest: u32 = 2, range Range::of(1.0..=8.0), from "assumed";
        /// Most statements.
        most: u32 = 6, range Range::of(1.0..=8.0), from "assumed";
        /// Steps of 64 examples in another notation that the network starts from.
        pretraining: u32 = 800, range Range::of(0.0..), from "assumed";
        /// Size of the transformer: xs, s or m.
        size: Size = Size::S, from "assumed";
        refuse Self::inverted;
    }
}

impl Settings {
    fn inverted(&self) -> Result<(), SettingError> {
        let Self { fewest, most, .. } = self;
        match fewest > most {
            true => Err(SettingError::Joint(format!(
                "fewest is {fewest}, but must be at most most, which is {most}"
            ))),
            false => Ok(()),
        }
    }

    fn trace(&self) -> Trace {
        Trace {
            modulus: u16::try_from(self.modulus).unwrap_or(u16::MAX),
            steps: self.fewest as usize..=self.most as usize,
            products: false,
            names: NAMES,
        }
    }

    fn groups(&self) -> usize {
        (self.most - self.fewest + 1) as usize
    }

    fn parts(&self) -> Result<Parts<Traced>, LabError> {
        let (trace, groups) = (self.trace(), self.groups());
        let [_, validation, test] = SIZES;
        let sizes = Sizes { train: self.examples, probe: PROBE, validation, test };
        let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-unlabelled/v1"));
        let draw = |place: Place| trace.draw(place.index % groups, &mut random);
        Ok(distinct(sizes, draw, |traced: &Traced| traced.sequence.id())?)
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 1.0 / 7.0),
    MetricInfo::share("steps", 1.0 / 7.0),
    MetricInfo::error("nll"),
];

const SIZES: [u32; 3] = [4_000, 250, 500];

/// Examples that adaptive orders may look at.
const PROBE: u32 = 125;

/// Names to choose from.
const NAMES: u16 = 10;

/// Of so many examples that the network starts from one is in the notation of the others.
const NATIVE_OF: u64 = 100;
/// Questions that a start is asked.
const ASKED: usize = 256;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "questions modulo 7 of which half have gold answers, pretrained small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::GROUPS, offers::UNLABELLED],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.9,
    target_origin: "assumed",
    budget_epochs: 3.0,
    evaluate_every_epochs: 1.0,
    split_sizes: SIZES,
    epoch_setting: Some("examples"),
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, side, streams, device| {
        let Settings { size, .. } = Settings::read(values)?;
        let network = gpt(size.shape(side.vocabulary(), side.context()), streams, device)?;
        spread(&network)?;
        Ok(network)
    },
    start: Some(|network, _, values, streams, artefacts| {
        let settings = Settings::read(values)?;
        let key = key("slp-unlabelled", network, values, streams)?;
        started(network, &key, artefacts, |network| pretrain(network, &settings, streams))
    }),
    ..Workload::BLANK
};

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let (trace, parts) = (settings.trace(), settings.parts()?);
    let place = |examples: &[Traced]| {
        let sequences: Vec<&Sequence> = examples.iter().map(|traced| &traced.sequence).collect();
        split(sequences.into_iter(), trace.length(), device)
    };
    let (splits, identity) = generated::placed(&parts, place)?;
    let Settings { fewest, most, examples, .. } = *settings;
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (fewest..=most).map(|steps| format!("{steps} steps")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: trace.alphabet().size().into(),
            context: trace.length() as i64,
            end: Some(Alphabet::END.into()),
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        unlabelled: Some(Unlabelled {
            first: examples / 2,
            reader: Arc::new(Answering(trace.clone())),
        }),
        ..SideInfo::default()
    };
    let (validation, test) = (parts.validation.examples, parts.test.examples);
    Ok(Ready { splits, identity, side, judge: Box::new(Answers { trace, validation, test }) })
}

/// Trains the start; its steps, and the accuracy of its responses in the notation that it has hardly seen.
fn pretrain(
    network: &mut Network,
    settings: &Settings,
    streams: &Streams,
) -> Result<(u64, f64), LabError> {
    let (trace, groups) = (settings.trace(), settings.groups());
    let Parts { train, probe, validation, test } = settings.parts()?;
    let known: BTreeSet<Digest> =
        [train.ids, probe.ids, validation.ids, test.ids].concat().into_iter().collect();
    let mut random = streams.generator("start");
    let fresh = |random: &mut Pcg64| loop {
        let group = bounded(random, groups as u64);
        let traced = trace.draw(usize::try_from(group).unwrap_or(0), random);
        if !known.contains(&traced.sequence.id()) {
            break traced;
        }
    };
    let rule = AdamwSettings { lr: 2e-3, ..AdamwSettings::default() };
    let mut rule = Adamw::new(rule, network, |_, _| true)?;
    let total_steps = u64::from(settings.pretraining);
    for step in 0..total_steps {
        let examples = (0..BATCH).map(|_| {
            let native = bounded(&mut random, NATIVE_OF) == 0;
            let sequence = fresh(&mut random).sequence;
            if native { sequence } else { Trace::turned(&sequence) }
        });
        let examples: Vec<Sequence> = examples.collect();
        let split = split(examples.iter(), trace.length(), network.device())?;
        let ids: Vec<u32> = (0..).take(BATCH).collect();
        let lr_factor = ledger::catalogue::Schedule::WarmCosine { warmup: 0.05, floor: 0.1 }
            .factor(step, total_steps);
        let now = StepInfo { step, total_steps, epoch: 0, total_epochs: 1, lr_factor, pass: 0 };
        let loss = DefaultLoss::Tokens.loss(network, &split.batch(&ids)?, &now)?;
        descend(network, &mut rule, &loss, &now)?;
    }
    let asked: Vec<Traced> = (0..ASKED).map(|_| fresh(&mut random)).collect();
    Ok((total_steps, tch::no_grad(|| accuracy(&trace, network, &asked))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::json;
    use training::trial::Fixture;

    fn fixture(pretraining: u32) -> Fixture {
        let settings = with([
            ("examples", 60.into()),
            ("pretraining", pretraining.into()),
            ("size", json!("xs")),
        ]);
        crate::fixture("slp-unlabelled", &settings).unwrap()
    }

    #[test]
    fn the_reader_tells_the_answer_of_every_response_and_knows_none() {
        let fixture = fixture(0);
        let Ready { splits, side, .. } = fixture.ready();
        let unlabelled = side.unlabelled.as_ref().unwrap();
        assert_eq!(unlabelled.first, 30);
        for id in 0..60 {
            let labels = Vec::<i64>::try_from(splits.train.labels.get(id)).unwrap();
            let mut response: Vec<i64> = labels.into_iter().filter(|label| *label >= 0).collect();
            response.pop();
            let last = *response.last().unwrap() - i64::from(Alphabet::FIRST_ORDINARY);
            assert_eq!(unlabelled.reader.answer(&response), Some(last));
            assert_eq!(unlabelled.reader.answer(&response[..response.len() - 1]), None);
        }
        assert!(side.verifier.is_none());
    }

    #[test]
    fn the_start_follows_from_the_seed_and_its_steps() {
        let digest = |steps, seed| fixture(steps).network(seed).unwrap().digest().unwrap();
        assert_eq!(digest(3, 1), digest(3, 1));
        assert_ne!(digest(3, 1), digest(3, 2));
        assert_ne!(digest(3, 1), digest(0, 1));
    }

    #[test]
    fn fewer_than_fewest_statements_are_refused() {
        let settings = with([("fewest", 5.into()), ("most", 4.into())]);
        let message = (WORKLOAD.resolve)(&settings).unwrap_err().to_string();
        assert_eq!(message, "fewest is 5, but must be at most most, which is 4");
    }
}
