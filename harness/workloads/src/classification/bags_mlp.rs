//! # bags-mlp
//!
//! Sentences of 20 words as counts of 600 words, four classes, and an MLP 600–64–4 with ReLU, 38,724 parameters. A sentence
//! of tier t, 0 to 5 and as many of each in every split, has six words of its class and t of one other
//! (`data::bags`): it is known how hard each is, and all can be decided. Tiers are the groups of the examples.
//!
//! With `noise` a share of the training examples of tiers 3 to 5 is labelled with another class; validation and test are
//! labelled rightly, and so are a hundred of each tier that adaptive orders may look at. Further examples of the same kind, in no split, are drawn for who asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use data::bags::{Bag, CLASSES, TIERS, VOCABULARY};
use data::sequences::{Part, Place, Sizes, distinct};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::digest::Digest;
use ledger::settings;
use ledger::settings::Range;
use tch::{Device, TchError, Tensor};

use crate::shared::classification::{self, Classifier};
use crate::shared::generated;
use crate::shared::settings::scaled;
use lab::LabError;
use lab::models::mlp::mlp;
use lab::objectives::DefaultLoss;
use lab::offers;
use lab::side_info::{Apart, SideInfo};
use lab::split::Split;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Number of training examples.
        examples: u32 = SIZES[0], range Range::of(6.0..=1e6), from "assumed";
        /// Share of the training examples of the harder half of tiers that have a wrong label.
        noise: f64 = 0.0, range Range::of(0.0..=1.0), from "assumed";
        /// Factor on the hidden width (64).
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::share("accuracy", 1.0 / CLASSES as f64),
    MetricInfo::error("nll"),
    MetricInfo::error("ece"),
    MetricInfo::error("aurc"),
];

/// To train on by default, to validate and to test on: whole rounds of tiers.
const SIZES: [u32; 3] = [4_002, 1_002, 2_004];

/// Examples that adaptive orders may look at.
const PROBE: u32 = 600;

/// How often an example apart that exists already is drawn again.
const TRIES: u32 = 1_000;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "sentences as counts of words in six tiers, MLP 600–64–4",
    data: DataName::Generated,
    offers: &[offers::LOSS, offers::CLASSES, offers::GROUPS, offers::APART],
    metrics: METRICS,
    target: 0.94,
    budget_epochs: 10.0,
    evaluate_every_epochs: 0.5,
    split_sizes: SIZES,
    settings: Settings::table,
    resolve: Settings::resolve,
    epoch_setting: Some("examples"),
    load: |values, _, device| load(&Settings::read(values)?, device),
    network: |values, _, streams, device| {
        let hidden = scaled(64, Settings::read(values)?.width);
        Ok(mlp(&[VOCABULARY, hidden, CLASSES as usize], streams, device)?)
    },
    ..classification::WORKLOAD
};

fn load(settings: &Settings, device: Device) -> Result<Ready, LabError> {
    let [_, validation, test] = SIZES;
    let sizes = Sizes { train: settings.examples, probe: 0, validation, test };
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/bags/v1"));
    let draw = |place: Place| Bag::draw(tier(place.index), &mut random);
    let mut parts = distinct(sizes, draw, Bag::id)?;
    let taken = [&parts.train, &parts.validation, &parts.test];
    let mut taken = taken.into_iter().flat_map(|part| part.ids.clone()).collect();
    parts.probe.examples = further(PROBE, &mut taken, b"palimpsest/bags-probe/v1")?;
    parts.probe.ids = parts.probe.examples.iter().map(Bag::id).collect();
    let mut random = ledger::order::generator(&Digest::of(b"palimpsest/bags-noise/v1"));
    let Part { examples, ids } = &mut parts.train;
    for (bag, id) in examples.iter_mut().zip(ids) {
        bag.disturb(settings.noise, &mut random);
        *id = bag.id();
    }
    let (splits, identity) = generated::placed(&parts, |bags| split(bags, device))?;
    let side = SideInfo {
        loss: Some(DefaultLoss::Classes),
        classes: Some(CLASSES),
        group_names: (0..TIERS).map(|tier| format!("tier {tier}")).collect(),
        groups: splits.train.groups.clone(),
        apart: Some(Arc::new(Further { noise: settings.noise, taken })),
        ..SideInfo::default()
    };
    Ok(Ready { splits, identity, side, judge: Box::new(Classifier) })
}

/// Tiers in turn.
fn tier(index: usize) -> u32 {
    u32::try_from(index % TIERS as usize).unwrap_or(0)
}

/// Inputs N × 600, classes N.
fn split(bags: &[Bag], device: Device) -> Result<Split, TchError> {
    let inputs: Vec<f32> =
        bags.iter().flat_map(|bag| bag.counts.iter().copied().map(f32::from)).collect();
    let labels: Vec<i64> = bags.iter().map(|bag| bag.class.into()).collect();
    let stored = Tensor::f_from_slice(&inputs)?.f_view([-1, VOCABULARY as i64])?;
    Ok(Split {
        stored: stored.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
        groups: bags.iter().map(|bag| bag.tier).collect(),
    })
}

/// The first `count` sentences of a stream that are not among those seen, rightly labelled.
fn further(count: u32, seen: &mut BTreeSet<Digest>, stream: &[u8]) -> Result<Vec<Bag>, LabError> {
    let mut random = ledger::order::generator(&Digest::of(stream));
    let mut fresh = |index: usize| {
        (0..TRIES).find_map(|_| {
            let bag = Bag::draw(tier(index), &mut random);
            seen.insert(bag.id()).then_some(bag)
        })
    };
    let bags: Vec<Bag> = (0..count as usize).map_while(&mut fresh).collect();
    if bags.len() < count as usize {
        let found = bags.len();
        return Err(LabError::Method(format!(
            "{count} examples apart from all splits are more than the {found} that were found: ask for fewer"
        )));
    }
    Ok(bags)
}

/// Examples as those to train on, in no split.
#[derive(Debug)]
struct Further {
    noise: f64,
    /// Ids of all splits, before labels were made wrong.
    taken: BTreeSet<Digest>,
}

impl Apart for Further {
    fn draw(&self, count: u32, device: Device) -> Result<Split, LabError> {
        let mut seen = self.taken.clone();
        let mut bags = further(count, &mut seen, b"palimpsest/bags-apart/v1")?;
        let mut random = ledger::order::generator(&Digest::of(b"palimpsest/bags-apart-noise/v1"));
        bags.iter_mut().for_each(|bag| bag.disturb(self.noise, &mut random));
        Ok(split(&bags, device)?)
    }
}

#[cfg(test)]
mod tests {
    use lab::trial::with;

    fn rows(split: &lab::split::Split) -> Vec<Vec<u8>> {
        let numbers: Vec<f32> = split.stored.view([-1]).try_into().unwrap();
        numbers.chunks(600).map(|row| row.iter().map(|count| *count as u8).collect()).collect()
    }

    #[test]
    fn it_has_as_many_parameters_as_its_card_says_and_tiers_in_equal_numbers() {
        let fixture = crate::fixture("bags-mlp", &with([])).unwrap();
        let network = fixture.network(1).unwrap();
        let found = network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>();
        assert_eq!(found, 600 * 64 + 64 + 64 * 4 + 4);
        let ready = fixture.ready();
        for split in [&ready.splits.train, &ready.splits.validation, &ready.splits.test] {
            for tier in 0..6 {
                let own = split.groups.iter().filter(|group| **group == tier).count();
                assert_eq!(own * 6, split.groups.len());
            }
        }
    }

    #[test]
    fn noise_changes_labels_of_training_examples_of_the_harder_half_and_nothing_else() {
        let clean = crate::fixture("bags-mlp", &with([])).unwrap();
        let noisy = crate::fixture("bags-mlp", &with([("noise", 0.1.into())])).unwrap();
        let (clean, noisy) = (clean.ready(), noisy.ready());
        let labels = |split: &lab::split::Split| Vec::<i64>::try_from(&split.labels).unwrap();
        let (before, after) = (labels(&clean.splits.train), labels(&noisy.splits.train));
        assert_eq!(rows(&clean.splits.train), rows(&noisy.splits.train));
        let changed: Vec<usize> = (0..4_002).filter(|id| before[*id] != after[*id]).collect();
        assert!(changed.iter().all(|id| clean.splits.train.groups[*id] >= 3));
        // A tenth of 2,001, standard deviation 13.
        assert!(changed.len().abs_diff(200) < 54, "{}", changed.len());
        assert_eq!(labels(&clean.splits.test), labels(&noisy.splits.test));
        let differ = |id: &usize| clean.identity.sample_ids[*id] != noisy.identity.sample_ids[*id];
        assert_eq!((0..4_002).filter(differ).collect::<Vec<_>>(), changed);
    }

    #[test]
    fn examples_apart_are_in_no_split_and_always_the_same() {
        let fixture = crate::fixture("bags-mlp", &with([("noise", 0.1.into())])).unwrap();
        let ready = fixture.ready();
        let apart = ready.side.apart.as_ref().unwrap();
        let further = apart.draw(800, tch::Device::Cpu).unwrap();
        let splits = [&ready.splits.train, &ready.splits.validation, &ready.splits.test];
        let taken: std::collections::BTreeSet<Vec<u8>> =
            splits.into_iter().flat_map(rows).collect();
        assert!(rows(&further).iter().all(|row| !taken.contains(row)));
        let again = apart.draw(800, tch::Device::Cpu).unwrap();
        assert_eq!(rows(&again), rows(&further));
        let labels = |split: &lab::split::Split| Vec::<i64>::try_from(&split.labels).unwrap();
        assert_eq!(labels(&again), labels(&further));
    }
}
