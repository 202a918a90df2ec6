//! # digits-mlp
//!
//! 1,797 handwritten digits of 8 × 8 grey levels (scikit-learn's copy of the UCI test set, CC BY
//! 4.0) and an MLP 64–128–128–10 with ReLU, 26,122 parameters. The examples are ranked by a hash
//! of their id: 360 test, 240 validation, 1,197 train.
//!
//! The quick workload: a step is overhead-bound (about 0.2 ms), so it measures the harness as
//! much as the method.

use ledger::catalogue::DataName;
use ledger::settings;
use ledger::settings::Range;

use crate::shared::classification::{self, Layout, Normalisation};
use crate::shared::settings::scaled;
use lab::models::mlp::mlp;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the hidden widths (128 each).
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
    }
}

const LAYOUT: Layout = Layout {
    data: "digits",
    // Mean and deviation over all pixels of the 1,797 images, scaled to 0..=1.
    normalisation: Normalisation { mean: &[0.3053], deviation: &[0.3761] },
    flat: true,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "8×8 handwritten digits, MLP 64–128–128–10",
    data: DataName::Set(LAYOUT.data),
    target: 0.96,
    budget_epochs: 20.0,
    evaluate_every_epochs: 0.5,
    split_sizes: [1_197, 240, 360],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, sources, device| LAYOUT.load(sources, device),
    network: |values, _, streams, device| {
        let Settings { width } = Settings::read(values)?;
        let hidden = scaled(128, width);
        Ok(mlp(&[64, hidden, hidden, 10], streams, device)?)
    },
    ..classification::WORKLOAD
};
