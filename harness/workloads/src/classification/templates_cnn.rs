//! # templates-cnn
//!
//! The images of `templates-mlp` and a CNN of two 3 × 3 convolutions with 32 and 64 channels, each
//! with ReLU and pooled, and a linear head; 24,586 parameters.
//!
//! The trace of the order is weaker than in the MLP: SGD at 1e-2 (constant, batch 8) leaves one, Adam
//! in larger batches none that a single run shows.

use ledger::settings;
use ledger::settings::Range;

use crate::shared::settings::scaled;
use crate::shared::templates::{self, Images};
use lab::models::Builder;
use lab::network::Layer;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// Factor on the channels 32–64.
        width: f64 = 1.0, range Range::above_up_to(0.0, 64.0), from "assumed";
        use images: Images;
    }
}

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "12×12 templates, a fifth under a wrong label, CNN 32–64",
    settings: Settings::table,
    resolve: Settings::resolve,
    load: |values, _, device| templates::load(values, false, device),
    network: |values, _, streams, device| {
        let Settings { width, images } = Settings::read(values)?;
        let [first, second] = [32, 64].map(|channels| scaled(channels, width));
        let mut builder = Builder::new(&images.initial.streams(streams), device);
        let layers = vec![
            builder.conv("conv1", 1, first, 3)?,
            Layer::Relu,
            Layer::MaxPool,
            builder.conv("conv2", first, second, 3)?,
            Layer::Relu,
            Layer::MaxPool,
            Layer::Flatten,
            builder.linear("head", second * 9, 10)?,
        ];
        Ok(builder.finish(layers))
    },
    ..templates::WORKLOAD
};
