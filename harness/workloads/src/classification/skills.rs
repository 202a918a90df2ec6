//! # skills
//!
//! Eight skills that arrive in turn, each to name one of four classes of an image, 12 normal coordinates, by a random teacher network of
//! its own (4,000 examples to train on, 1,000 to validate and 2,000 to test on, no download), and an MLP 24–128–128–4. The
//! question behind the image names the skill; in a share of the examples (`hints`) it names the class too, so that the image says
//! nothing more. Examples lie in five arrivals of 800: skills 1 and 2; 3 and a rare one, which 2 % of all examples belong to;
//! 4 and 5; 6; 7. Three in ten are near-duplicates of an earlier example of the same skill and arrival (`duplicates`), and a tenth of what
//! teachers say to training examples is another class (`label_noise`). Held-out examples are as many of every skill, their labels right.
//!
//! `accuracy` and `nll` are of all skills alike, `accuracy_1` to `accuracy_7` and `accuracy_rare` of each. What is forgotten, the mean over
//! skills of what the best evaluation had above the last, is a claim on `validation/accuracy_*` with `when: lost`: evaluations
//! at the ends of arrivals, a fifth of the run apart, are those of the literature.

use std::collections::BTreeMap;

use data::skills::{ARRIVAL, ARRIVALS, CLASSES, DIMENSION, Example, HELD_OUT, IMAGE, RARE, SKILLS};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;
use tch::{Device, TchError, Tensor};

use crate::shared::generated;
use crate::shared::settings::scaled;
use lab::LabError;
use lab::arrivals::Arrivals;
use lab::models::mlp::mlp;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::SideInfo;
use lab::split::Split;
use training::judge::{EvaluationRequest, Judge};
use training::metrics::classification::evaluate;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// The teachers and the examples: another number draws others.
        source: u32 = 0, from "assumed";
        /// Share of training examples that are near-duplicates of earlier ones.
        duplicates: f64 = 0.3, range Range::of(0.0..=0.9), from "assumed";
        /// Share of training labels that are another class.
        label_noise: f64 = 0.1, range Range::of(0.0..=0.7), from "assumed";
        /// Share of examples whose question names the class.
        hints: f64 = 0.0, range Range::of(0.0..=1.0), from "assumed";
        /// Factor on the hidden widths of 128.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
    }
}

const CHANCE: f64 = 1.0 / CLASSES as f64;

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", CHANCE),
    MetricInfo::error("nll"),
    MetricInfo::share("accuracy_1", CHANCE),
    MetricInfo::share("accuracy_2", CHANCE),
    MetricInfo::share("accuracy_3", CHANCE),
    MetricInfo::share("accuracy_4", CHANCE),
    MetricInfo::share("accuracy_5", CHANCE),
    MetricInfo::share("accuracy_6", CHANCE),
    MetricInfo::share("accuracy_7", CHANCE),
    MetricInfo::share("accuracy_rare", CHANCE),
];

/// Training examples.
const TRAIN: u32 = ARRIVAL * ARRIVALS.len() as u32;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "eight skills that arrive in turn, one of them rare, MLP 24–128–128–4",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::CLASSES, offers::ARRIVALS],
    metrics: METRICS,
    metric: "accuracy",
    target: 0.6,
    target_origin: "assumed",
    budget_epochs: 10.0,
    evaluate_every_epochs: 2.0,
    split_sizes: [TRAIN, HELD_OUT[0], HELD_OUT[1]],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let Settings { width, .. } = Settings::read(values)?;
        let hidden = scaled(128, width);
        Ok(mlp(&[DIMENSION, hidden, hidden, CLASSES as usize], streams, device)?)
    },
    ..Workload::BLANK
};

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let Settings { source, duplicates, label_noise, hints, .. } = *settings;
    let parts = data::skills::Skills { source, duplicates, label_noise, hints }.generate()?;
    let (splits, identity) = generated::placed(&parts, |examples| split(examples, device))?;
    let arrivals = Arrivals { sizes: vec![ARRIVAL; ARRIVALS.len()], image: IMAGE as i64 };
    let side = SideInfo {
        loss: Some(DefaultLoss::Classes),
        classes: Some(CLASSES),
        arrivals: Some(arrivals),
        ..SideInfo::default()
    };
    Ok(Ready { splits, identity, side, judge: Box::new(EachSkill) })
}

fn split(examples: &[Example], device: Device) -> Result<Split, TchError> {
    let inputs: Vec<f32> = examples.iter().flat_map(|example| example.input.clone()).collect();
    let labels: Vec<i64> = examples.iter().map(|example| i64::from(example.label)).collect();
    let stored = Tensor::f_from_slice(&inputs)?.f_view([-1, DIMENSION as i64])?;
    Ok(Split {
        stored: stored.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        groups: examples.iter().map(|example| example.skill).collect(),
    })
}

/// The metric of a skill.
fn metric_of(skill: u32) -> String {
    if skill == RARE { "accuracy_rare".to_owned() } else { format!("accuracy_{}", skill + 1) }
}

/// Accuracy of all skills and of each.
#[derive(Debug)]
struct EachSkill;

impl Judge for EachSkill {
    fn metrics(&self, request: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        let (network, split) = (request.model.network, request.split);
        let mut all = evaluate(network, split)?;
        all.retain(|name, _| ["accuracy", "nll"].contains(&name.as_str()));
        for skill in 0..SKILLS {
            let own = (0_i64..).zip(&split.groups).filter(|(_, of)| **of == skill);
            let places: Vec<i64> = own.map(|(place, _)| place).collect();
            // The dummy split of a warm-up has no groups.
            if places.is_empty() {
                continue;
            }
            let places = Tensor::f_from_slice(&places)?.f_to_device(split.labels.device())?;
            let part = Split {
                stored: split.stored.f_index_select(0, &places)?,
                labels: split.labels.f_index_select(0, &places)?,
                groups: Vec::new(),
            };
            let accuracy = evaluate(network, &part)?.remove("accuracy");
            all.extend(accuracy.map(|accuracy| (metric_of(skill), accuracy)));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use training::judge::{Judged, Model};

    #[test]
    fn accuracy_is_the_mean_over_skills_each_of_which_has_its_own() {
        let fixture = crate::fixture("skills", &with([])).unwrap();
        let network = fixture.network(1).unwrap();
        let parameters = network.parameters.iter().map(|one| one.tensor.numel()).sum::<usize>();
        assert_eq!(parameters, 24 * 128 + 128 + 128 * 128 + 128 + 128 * 4 + 4);
        let ready = fixture.ready();
        let request = EvaluationRequest {
            model: Model::plain(&network),
            split: &ready.splits.test,
            judged: Judged::Test,
            last: true,
        };
        let found = ready.judge.metrics(&request).unwrap();
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let mut listed: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
        listed.sort_unstable();
        assert_eq!(names, listed);
        let each = found.iter().filter(|(name, _)| name.starts_with("accuracy_"));
        let mean = each.map(|(_, value)| value).sum::<f64>() / f64::from(SKILLS);
        assert!((mean - found["accuracy"]).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn examples_are_told_by_arrival_and_inputs_by_image_and_question() {
        let fixture = crate::fixture("skills", &with([("hints", 1.into())])).unwrap();
        let ready = fixture.ready();
        let arrivals = ready.side.arrivals.as_ref().unwrap();
        assert_eq!(arrivals.ids(4), 3_200..4_000);
        assert!(ready.splits.train.groups[3_200..].iter().all(|skill| *skill == 6));
        let hint = ready.splits.train.stored.narrow(1, 20, 4);
        let told: Tensor = hint.argmax(1, false).eq_tensor(&ready.splits.train.labels);
        assert!(bool::try_from(told.all()).unwrap());
        assert_eq!(arrivals.image, 12);
    }
}
