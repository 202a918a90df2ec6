//! # mnist-gen
//!
//! MNIST's 28 × 28 handwritten digits to be generated (52,000 train, 6,000 validation, 10,000 test;
//! 2,000 of the training examples are kept back as real draws), and a small U-shaped convolutional
//! network of 16–32–64 channels.
//!
//! Looks at the validation split draw 500 samples, at the test split 2,000, and compare them with the
//! first as many real ones; noise is the same for every method.
//! `sw2` is the sliced Wasserstein-2 distance of pixels, `high_band` the energy above a quarter of the highest
//! frequency over that of real images, `high_band_gap` how far its logarithm is from 0. The last look adds Fréchet distances in 64
//! features of a fixed random network (`fd_random`) and of a classifier trained once on the training
//! split (`fd_classifier`), precision and recall by neighbours in the latter, MMD² of pixels, and
//! `…@n`: the same model sampled with n evaluations of the network.

use data::Sources;
use ledger::catalogue::DataName;
use ledger::settings;
use ledger::settings::Range;
use tch::Device;

use crate::shared::classification::{Layout, Normalisation};
use crate::shared::generative::{self, Kind, OFFERS, Source, split_of};
use crate::shared::settings::scaled;
use lab::LabError;
use lab::models::unet_s::unet_s;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 16–32–64; widths must stay multiples of 8.
        width: f64 = 1.0, range Range::of(1.0..=64.0), from "assumed";
    }
}

/// Training examples kept back as the draws of real data.
const SPARE: usize = 2_000;

const LAYOUT: Layout = Layout {
    data: "mnist",
    // Mean over all pixels scaled to 0..=1, and twice their deviation: inputs then have 0.5.
    normalisation: Normalisation { mean: &[0.1307], deviation: &[0.6162] },
    flat: false,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "MNIST to generate, U-net 16–32–64",
    data: DataName::Set(LAYOUT.data),
    offers: OFFERS,
    budget_epochs: 4.0,
    evaluate_every_epochs: 1.0,
    split_sizes: [52_000, 6_000, 10_000],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, sources, device| load(sources, device),
    network: |values, _, streams, device| {
        let Settings { width } = Settings::read(values)?;
        Ok(unet_s(scaled(16, width), streams, device)?)
    },
    ..generative::WORKLOAD
};

fn load(sources: &Sources, device: Device) -> Result<Ready, LabError> {
    let loaded = data::load(LAYOUT.data, sources)?;
    let (train, kept) = loaded.split.train.split_at(loaded.split.train.len().saturating_sub(SPARE));
    let spare = split_of(&loaded.samples, kept, &LAYOUT, device)?;
    let judged = [500, 2_000];
    let source = Source { layout: &LAYOUT, loaded: &loaded, spare, kind: Kind::Images, judged };
    source.ready(train, device)
}
