//! What `mnist-cnn` and `fashion-cnn` have in common: images of MNIST's format, and a CNN.

use ledger::settings;
use ledger::settings::Range;

use super::classification;
use super::settings::scaled;
use lab::models::cnn::{Shape, cnn};
use training::workload::Workload;

settings! {
    /// Settings of the workloads.
    pub struct Settings {
        /// Factor on the channels 16–32–64.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        /// Batch normalisation behind every convolution.
        norm: bool = false, from "assumed";
    }
}

/// All but the title, the data and the target.
pub const WORKLOAD: Workload = Workload {
    budget_epochs: 2.0,
    evaluate_every_epochs: 0.1,
    split_sizes: [54_000, 6_000, 10_000],
    settings: Settings::table,
    resolve: Settings::resolve,
    network: |values, _, streams, device| {
        let Settings { width, norm } = Settings::read(values)?;
        let widths = [16, 32, 64].map(|channels| scaled(channels, width));
        let shape = Shape { channels: 1, side: 28, widths, classes: 10, norm };
        Ok(cnn(shape, streams, device)?)
    },
    ..classification::WORKLOAD
};
