//! # slp-course
//!
//! Questions about functions modulo 13 that stand in a course, 21,600 to train on, generated from a fixed seed: four
//! subjects (sums, differences, products, products with a sum) of six concepts each, at three levels. The first level asks
//! for a value, the second for the argument that has it, the third for the value of a value, or once more. A question names
//! subject, concept and what is asked, gives three registers their values and asks about one of them.
//!
//! `accuracy` is the mean over levels of the share of right answers, `level_1` to `level_3` are the levels' own.

use std::collections::BTreeMap;
use std::sync::Arc;

use data::sequences::{Place, Sequence, Sizes, distinct};
use data::slp::Alphabet;
use data::slp::course::{self, Item, LENGTH, LEVELS};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use tch::Device;

use crate::shared::generated;
use crate::shared::language::{Scores, Size, mean, split, spread};
use lab::LabError;
use lab::models::gpt::gpt;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::orders::course::Standing;
use lab::side_info::{SideInfo, Tokens};
use training::judge::{EvaluationRequest, Judge};
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Size of the transformer: xs, s or m.
        size: Size = Size::Xs, from "assumed";
    }
}

const CHANCE: f64 = 1.0 / 13.0;

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", CHANCE),
    MetricInfo::share("level_1", CHANCE),
    MetricInfo::share("level_2", CHANCE),
    MetricInfo::share("level_3", CHANCE),
    MetricInfo::error("nll"),
];

/// Whole numbers of questions of each of the 72 cells.
const SIZES: [u32; 3] = [21_600, 720, 1_440];

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "a course of functions modulo 13 at three levels, small transformer",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::TOKENS, offers::RESPONSES, offers::GROUPS, offers::COURSE],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.8,
    target_origin: "assumed",
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.25,
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

fn load(device: Device) -> Result<Ready, LabError> {
    let [train, validation, test] = SIZES;
    let sizes = Sizes { train, probe: validation, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/slp-course/v1"));
    let draw = |place: Place| course::draw(place.index, &mut random);
    let parts = distinct(sizes, draw, |item: &Item| item.sequence.id())?;
    let place = |items: &[Item]| {
        let sequences: Vec<&Sequence> = items.iter().map(|item| &item.sequence).collect();
        split(sequences.into_iter(), LENGTH, device)
    };
    let (splits, identity) = generated::placed(&parts, place)?;
    let standing = |item: &Item| {
        let course::Place { level, concept, subject } = item.place;
        Standing { subject, concept, level }
    };
    let side = SideInfo {
        loss: Some(DefaultLoss::Tokens),
        group_names: (1..=LEVELS).map(|level| format!("level {level}")).collect(),
        groups: splits.train.groups.clone(),
        tokens: Some(Tokens {
            vocabulary: course::alphabet().size().into(),
            context: LENGTH as i64,
            end: Some(Alphabet::END.into()),
            mask: Some(Alphabet::MASK.into()),
            first_ordinary: Alphabet::FIRST_ORDINARY.into(),
        }),
        course: Some(Arc::new(parts.train.examples.iter().map(standing).collect())),
        ..SideInfo::default()
    };
    Ok(Ready { splits, identity, side, judge: Box::new(Levels) })
}

/// Judges answers, level by level.
#[derive(Debug)]
struct Levels;

impl Judge for Levels {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let scores = Scores::of(request.model.network, request.split)?;
        let groups = &request.split.groups;
        let levels: Vec<f64> =
            (0..LEVELS).map(|level| scores.group(groups, level).whole()).collect();
        let mut metrics = BTreeMap::from([
            ("accuracy".to_owned(), mean(levels.iter().copied())),
            ("nll".to_owned(), scores.nll()),
        ]);
        let named = (1..).zip(levels).map(|(level, share)| (format!("level_{level}"), share));
        metrics.extend(named);
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::settings::Values;
    use training::judge::{Judged, Model};

    #[test]
    fn every_cell_of_the_course_has_as_many_questions_and_guessers_are_at_chance() {
        let fixture = crate::fixture("slp-course", &Values::new()).unwrap();
        let Ready { splits, side, judge, .. } = fixture.ready();
        let course = side.course.as_ref().unwrap();
        assert_eq!((course.len(), splits.train.len()), (21_600, 21_600));
        let cell = course.iter().filter(|standing| **standing == course[71]);
        assert_eq!((cell.count(), course[71].level, course[71].subject), (300, 2, 3));
        let network = fixture.network(3).unwrap();
        let (model, split) = (Model::plain(&network), &splits.test);
        let request = EvaluationRequest { model, split, judged: Judged::Test, last: true };
        let metrics = tch::no_grad(|| judge.metrics(&request)).unwrap();
        let levels = [1, 2, 3].map(|level| metrics[&format!("level_{level}")]);
        assert!((levels.iter().sum::<f64>() / 3.0 - metrics["accuracy"]).abs() < 1e-12);
        assert!(metrics["accuracy"] < 0.3, "{metrics:?}");
    }
}
