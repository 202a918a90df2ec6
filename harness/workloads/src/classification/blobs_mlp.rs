//! # blobs-mlp
//!
//! The images of `blobs-cnn` (16 × 16, ten classes; 8,192 train, 1,024 validation, 2,048 test; no download) and an
//! MLP 256–256–256–10 with ReLU, 134,154 parameters.
//!
//! All widths but the last are powers of two, so that groups of inputs up to 256 fit: for patterns of sparsity and
//! factorised weights, at a size at which they cost accuracy.

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
        /// Factor on the hidden widths (256 each).
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
    }
}

const LAYOUT: Layout = Layout {
    data: "blobs",
    normalisation: Normalisation { mean: &[0.0], deviation: &[1.0] },
    flat: true,
};

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "procedural 16×16 blobs, MLP 256–256–256–10",
    data: DataName::Set(LAYOUT.data),
    target: 0.88,
    budget_epochs: 8.0,
    evaluate_every_epochs: 0.5,
    split_sizes: [8_192, 1_024, 2_048],
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |_, sources, device| LAYOUT.load(sources, device),
    network: |values, _, streams, device| {
        let Settings { width } = Settings::read(values)?;
        let hidden = scaled(256, width);
        Ok(mlp(&[256, hidden, hidden, 10], streams, device)?)
    },
    ..classification::WORKLOAD
};

#[cfg(test)]
mod tests {
    use ledger::settings::Values;

    #[test]
    fn it_has_as_many_parameters_as_its_card_says() {
        let network = crate::fixture("blobs-mlp", &Values::new()).unwrap().network(1).unwrap();
        let found = network.parameters.iter().map(|p| p.tensor.numel()).sum::<usize>();
        assert_eq!(found, 134_154);
    }
}
