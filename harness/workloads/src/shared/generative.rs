//! What workloads of samples have in common: noise that is the same for every arm, references, and
//! the judge.

mod judge;

use std::sync::Arc;

use data::planar::Density;
use data::{Loaded, Samples};
use ledger::catalogue::MetricInfo;
use ledger::digest::Digest;
use tch::{Device, TchError};

use judge::{Ground, Samplewise, Spaces};

use super::classification::{Layout, place};
use lab::LabError;
use lab::offers;
use lab::side_info::{Generation, SideInfo};
use lab::split::Split;
use training::metrics::features::Features;
use training::metrics::sliced_wasserstein::Projections;
use training::splits::{DataIdentity, Splits};
use training::workload::{Ready, Workload};

/// Standard deviation of the data per coordinate after [`Layout::normalisation`].
pub const SIGMA_DATA: f64 = 0.5;

/// A metric that is better when it is smaller and has no value of its own at best.
pub const fn smaller(name: &'static str) -> MetricInfo {
    MetricInfo { name, higher_is_better: false, best: None, chance: None }
}

/// A share, without a known value of guessing.
pub const fn share(name: &'static str) -> MetricInfo {
    MetricInfo { name, higher_is_better: true, best: Some(1.0), chance: None }
}

/// Energy of samples above a quarter of the highest frequency, over that of real ones: 1 where there is as much.
pub const HIGH_BAND: MetricInfo =
    MetricInfo { name: "high_band", higher_is_better: true, best: None, chance: None };

/// Metrics of images without known factors.
const IMAGES: &[MetricInfo] = &[
    MetricInfo::error("sw2"),
    HIGH_BAND,
    MetricInfo::error("high_band_gap"),
    smaller("mmd2"),
    MetricInfo::error("fd_random"),
    MetricInfo::error("fd_classifier"),
    share("precision"),
    share("recall"),
    MetricInfo::error("sw2@1"),
    MetricInfo::error("sw2@2"),
    MetricInfo::error("sw2@4"),
    MetricInfo::error("sw2@8"),
    MetricInfo::error("fd_classifier@1"),
    MetricInfo::error("fd_classifier@2"),
    MetricInfo::error("fd_classifier@4"),
    MetricInfo::error("fd_classifier@8"),
];

/// What workloads of images offer.
pub const OFFERS: &[&str] = &[offers::DENOISING, offers::IMAGES];

/// What these workloads declare alike; the metrics are those of images without known factors.
pub const WORKLOAD: Workload = Workload {
    offers: &[offers::DENOISING],
    metrics: IMAGES,
    metric: "sw2",
    target: 0.1,
    target_origin: "assumed",
    ..Workload::BLANK
};

/// What samples are, beside vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Points that should follow a density.
    Points(Density),
    /// Images of shapes; mean and deviation that pixels were normalised by.
    Shapes([f64; 2]),
    /// Other images.
    Images,
}

/// Everything that a workload of samples loads.
#[derive(Debug)]
pub struct Source<'a> {
    /// How stored numbers become inputs.
    pub layout: &'a Layout,
    /// Samples and splits.
    pub loaded: &'a Loaded,
    /// Samples that no split holds.
    pub spare: Split,
    /// What samples are.
    pub kind: Kind,
    /// Samples that a look at the validation split draws, and one at the test split.
    pub judged: [i64; 2],
}

impl Source<'_> {
    /// Puts all on the device and makes the judge.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn ready(self, train: &[u32], device: Device) -> Result<Ready, LabError> {
        let Self { layout, loaded, spare, kind, judged } = self;
        let place = |positions: &[u32]| place(&loaded.samples, positions, layout, device);
        let splits = Splits {
            train: place(train)?,
            probe: None,
            validation: place(&loaded.split.validation)?,
            test: place(&loaded.split.test)?,
        };
        let shape: Vec<i64> = splits.train.rows(0, 1)?.0.size().split_off(1);
        let classes = u32::from(loaded.samples.classes());
        let spaces = match kind {
            Kind::Points(_) => None,
            Kind::Shapes(_) | Kind::Images => {
                let classifier = Features::classifier(&splits.train, classes, device)?;
                Some(Spaces { random: Features::random(device)?, classifier })
            }
        };
        let projections = Projections::new(shape.iter().product(), device)?;
        let ground = |name: &str, split: &Split, count: i64| {
            Ground::new(layout.data, name, &split.rows(0, count.min(split.len()))?.0, &projections)
        };
        let validation = ground("validation", &splits.validation, judged[0])?;
        let test = ground("test", &splits.test, judged[1])?;
        let digests = |ids: &[[u8; 32]]| ids.iter().copied().map(Digest).collect::<Vec<_>>();
        // Training examples may be fewer than the data's: some of them may be the spare ones.
        let all = digests(&loaded.sample_ids);
        let own = loaded.split.train.iter().zip(&all);
        let kept = own.filter(|(position, _)| train.binary_search(position).is_ok());
        let identity = DataIdentity::new(
            kept.map(|(_, id)| *id).collect(),
            &digests(&loaded.validation_ids),
            &digests(&loaded.test_ids),
            loaded.origin,
        );
        let fresh = spare.rows(0, spare.len())?.0;
        let generation = Generation {
            shape,
            sigma_data: SIGMA_DATA,
            fresh,
            conditions: None,
            reward: None,
            start: None,
        };
        let side = SideInfo { generation: Some(generation), ..SideInfo::default() };
        let judge = Box::new(Samplewise { kind, projections, spaces, validation, test });
        Ok(Ready { splits, identity: Arc::new(identity), side, judge })
    }
}

/// Some samples, laid out as the splits are.
///
/// # Errors
/// When the device has no room.
pub fn split_of(
    samples: &Samples,
    positions: &[u32],
    layout: &Layout,
    device: Device,
) -> Result<Split, TchError> {
    place(samples, positions, layout, device)
}

#[cfg(test)]
mod tests;
