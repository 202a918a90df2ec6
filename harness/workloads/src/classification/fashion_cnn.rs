//! # fashion-cnn
//!
//! Fashion-MNIST (28 × 28, ten classes; 54,000 train, 6,000 validation by hash rank, the official 10,000
//! test) and a CNN with 16–32–64 channels, 54,666 parameters. The files are the user's:
//! `palimpsest data fetch fashion-mnist`, or `--data-dir`.

use ledger::catalogue::DataName;

use crate::shared::classification::{Layout, Normalisation};
use crate::shared::idx;
use training::workload::Workload;

const LAYOUT: Layout = Layout {
    data: "fashion-mnist",
    // Mean and deviation over all pixels of the training files.
    normalisation: Normalisation { mean: &[0.2860], deviation: &[0.3530] },
    flat: false,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "Fashion-MNIST 28×28, CNN 16–32–64",
    data: DataName::Set(LAYOUT.data),
    target: 0.85,
    load: |_, sources, device| LAYOUT.load(sources, device),
    ..idx::WORKLOAD
};
