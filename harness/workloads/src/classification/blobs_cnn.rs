//! # blobs-cnn
//!
//! Procedural 16 × 16 images: ten classes of three smooth random prototypes each, shifted, mixed
//! with a distractor of another class and noised (8,192 train, 1,024 validation, 2,048 test; no
//! download), and a CNN with 8–16–32 channels, 11,018 parameters without normalisation.
//!
//! `norm: true` puts batch normalisation behind every convolution: without it every random mask
//! collapses, because the signal shrinks by the root of the density in each layer.

use ledger::catalogue::DataName;
use ledger::settings;
use ledger::settings::Range;

use crate::shared::classification::{self, Layout, Normalisation};
use crate::shared::settings::scaled;
use lab::models::cnn::{Shape, cnn};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 8–16–32.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Batch normalisation behind every convolution.
        norm: bool = false, from "assumed";
    }
}

const LAYOUT: Layout = Layout {
    data: "blobs",
    normalisation: Normalisation { mean: &[0.0], deviation: &[1.0] },
    flat: false,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "procedural 16×16 blobs, CNN 8–16–32",
    data: DataName::Set(LAYOUT.data),
    target: 0.90,
    budget_epochs: 6.0,
    evaluate_every_epochs: 0.25,
    split_sizes: [8_192, 1_024, 2_048],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, sources, device| LAYOUT.load(sources, device),
    network: |values, _, streams, device| {
        let Settings { width, norm } = Settings::read(values)?;
        let widths = [8, 16, 32].map(|channels| scaled(channels, width));
        let shape = Shape { channels: 1, side: 16, widths, classes: 10, norm };
        Ok(cnn(shape, streams, device)?)
    },
    ..classification::WORKLOAD
};
