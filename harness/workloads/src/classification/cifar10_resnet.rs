//! # cifar10-resnet
//!
//! CIFAR-10 (32 × 32 colour, ten classes; 45,000 train, 5,000 validation by hash rank, the
//! official 10,000 test) and a small ResNet-9 of base width 16 (a quarter of the common one). No
//! augmentation. The files are the user's: `palimpsest data fetch cifar10`, or `--data-dir`.

use ledger::catalogue::DataName;
use ledger::settings;
use ledger::settings::Range;

use crate::shared::classification::{self, Layout, Normalisation};
use crate::shared::settings::scaled;
use lab::models::resnet9::resnet9;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the base width 16; 4 gives the common ResNet-9.
        width: f64 = 1.0, range Range::above_up_to(0.0, 16.0), from "assumed";
    }
}

const LAYOUT: Layout = Layout {
    data: "cifar10",
    // Mean and deviation per channel of the training files.
    normalisation: Normalisation {
        mean: &[0.4914, 0.4822, 0.4465],
        deviation: &[0.2470, 0.2435, 0.2616],
    },
    flat: false,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "CIFAR-10, ResNet-9 of width 16",
    data: DataName::Set(LAYOUT.data),
    target: 0.60,
    budget_epochs: 3.0,
    evaluate_every_epochs: 0.25,
    split_sizes: [45_000, 5_000, 10_000],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, sources, device| LAYOUT.load(sources, device),
    network: |values, _, streams, device| {
        let Settings { width } = Settings::read(values)?;
        Ok(resnet9(scaled(16, width), 10, streams, device)?)
    },
    ..classification::WORKLOAD
};
