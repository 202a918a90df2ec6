//! # shapes16
//!
//! Grey images of 16 × 16 pixels with one disc, square, cross or ring each, at any place, size and
//! angle (8,192 train, 2,000 validation, 2,000 test; no download), and a small U-shaped convolutional
//! network of 8–16–32 channels.
//!
//! Every look at the validation split draws 500 samples, at the test split 2,000, from noise that is
//! the same for every method. A reader of shapes fits a rendering to each: `one_object` is the share
//! with a single object, `recognised` the share that its rendering fits, `class_entropy` and
//! `position_gap` compare what was recognised with a uniform choice of classes and with real
//! positions. `sw2` is the sliced Wasserstein-2 distance of pixels, `high_band` the energy above a quarter of
//! the highest frequency over that of real images, and `high_band_gap` how far its logarithm is from 0. The last look adds Fréchet
//! distances in 64 features of a fixed random network (`fd_random`) and of a classifier trained once
//! on the training split (`fd_classifier`), precision and recall by neighbours in the latter, MMD² of
//! pixels, and `…@n`: the same model sampled with n evaluations of the network.

use data::{Samples, shapes};
use ledger::catalogue::{DataName, MetricInfo};
use ledger::settings;
use ledger::settings::Range;

use crate::shared::classification::{Layout, Normalisation};
use crate::shared::generative::{self, HIGH_BAND, Kind, OFFERS, Source, share, smaller, split_of};
use crate::shared::settings::scaled;
use lab::models::unet_s::unet_s;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 8–16–32; widths must stay multiples of 8.
        width: f64 = 1.0, range Range::of(1.0..=64.0), from "assumed";
    }
}

const METRICS: &[MetricInfo] = &[
    MetricInfo::error("sw2"),
    share("one_object"),
    share("recognised"),
    share("class_entropy"),
    MetricInfo::error("position_gap"),
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

/// Mean over all training pixels, and twice their standard deviation: inputs then have 0.5.
const MEAN: f32 = 0.1437;
const DEVIATION: f32 = 0.6508;

const LAYOUT: Layout = Layout {
    data: "shapes16",
    normalisation: Normalisation { mean: &[MEAN], deviation: &[DEVIATION] },
    flat: false,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "16×16 shapes to generate, U-net 8–16–32",
    data: DataName::Set(LAYOUT.data),
    offers: OFFERS,
    metrics: METRICS,
    budget_epochs: 10.0,
    evaluate_every_epochs: 2.5,
    split_sizes: [shapes::TRAIN, shapes::HELD_OUT, shapes::HELD_OUT],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, _, device| {
        let loaded = shapes::load();
        let positions: Vec<u32> = (0..shapes::HELD_OUT).collect();
        let spare = split_of(&Samples::Bytes(shapes::spare()), &positions, &LAYOUT, device)?;
        let kind = Kind::Shapes([MEAN, DEVIATION].map(f64::from));
        let judged = [500, i64::from(shapes::HELD_OUT)];
        let source = Source { layout: &LAYOUT, loaded: &loaded, spare, kind, judged };
        source.ready(&loaded.split.train, device)
    },
    network: |values, _, streams, device| {
        let Settings { width } = Settings::read(values)?;
        Ok(unet_s(scaled(8, width), streams, device)?)
    },
    ..generative::WORKLOAD
};
