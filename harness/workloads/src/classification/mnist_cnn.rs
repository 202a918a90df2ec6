//! # mnist-cnn
//!
//! MNIST (28 × 28, ten classes; 54,000 train, 6,000 validation by hash rank, the official 10,000
//! test) and a CNN with 16–32–64 channels, 54,666 parameters. The files are the user's:
//! `palimpsest data fetch mnist`, or `--data-dir`.

use ledger::catalogue::WorkloadInfo;
use ledger::settings;
use ledger::settings::Range;

use crate::shared::classification::{Layout, METRICS, Normalisation, OFFERS};
use lab::models::cnn::{Shape, cnn};
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 16–32–64.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Batch normalisation behind every convolution.
        norm: bool = false, from "assumed";
    }
}

const LAYOUT: Layout = Layout {
    data: "mnist",
    // Mean and deviation over all pixels of the training files.
    normalisation: Normalisation { mean: &[0.1307], deviation: &[0.3081] },
    flat: false,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    info: || WorkloadInfo {
        id: "mnist-cnn",
        title: "MNIST 28×28, CNN 16–32–64",
        data: LAYOUT.data,
        offers: OFFERS,
        metrics: METRICS,
        metric: "accuracy",
        target: 0.97,
        target_origin: "assumed",
        budget_epochs: 2.0,
        evaluate_every_epochs: 0.1,
        split_sizes: [54_000, 6_000, 10_000],
        settings: Settings::table(),
        resolve: Settings::resolve,
        card: include_str!("mnist_cnn.rs"),
    },
    load: |_, sources, device| LAYOUT.load(sources, device),
    network: |values, _, streams, device| {
        let widths = [16, 32, 64].map(|channels| crate::shared::settings::scaled(channels, values));
        let shape = Shape {
            channels: 1,
            side: 28,
            widths,
            classes: 10,
            norm: crate::shared::settings::flag(values, "norm"),
        };
        Ok(cnn(shape, streams, device)?)
    },
    start: None,
};
