//! # templates-mlp
//!
//! Images of 12 × 12 pixels: one of ten random templates plus noise of three times its deviation; a
//! fifth of the training labels is wrong (10,000 train, 1,000 validation, 2,000 test with right labels; no
//! download). MLP 144–256–10 with ReLU, 39,690 parameters.
//!
//! For tests of provenance on a classifier: an image under a wrong label can only be learnt by heart,
//! and the later it came the better it is remembered. Small batches and one epoch (Adam at 3e-3 or
//! SGD at 1e-2, constant, batch 4) leave the clearest trace; without label noise the sign may turn.

use ledger::settings;
use ledger::settings::Range;

use crate::shared::templates::{self, Images};
use lab::models::mlp::mlp;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Hidden units.
        hidden: u32 = 256, range Range::of(1.0..=8_192.0), from "assumed";
        use images: Images;
    }
}

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "12×12 templates, a fifth under a wrong label, MLP 144–256–10",
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| templates::load(values, true, device),
    network: |values, _, streams, device| {
        let Settings { hidden, images } = Settings::read(values)?;
        let widths = [144, hidden as usize, 10];
        Ok(mlp(&widths, &images.initial.streams(streams), device)?)
    },
    ..templates::WORKLOAD
};
