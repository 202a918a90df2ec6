//! What `templates-mlp` and `templates-cnn` have in common: images of ten templates, some under a
//! wrong label.

use data::templates::Templates;
use ledger::catalogue::DataName;
use ledger::settings;
use ledger::settings::{Range, Values};
use tch::Device;

use super::classification::{self, Layout, Normalisation};
use super::initial::Initial;
use lab::LabError;
use training::workload::{Ready, Workload};

settings! {
    /// Settings of the images.
    pub struct Images {
        /// Share of training labels that are wrong; with 0 the imprint of the order may change its sign.
        label_noise: f64 = 0.2, range Range::of(0.0..=1.0), from "assumed";
        /// Standard deviation of the pixels' noise; that of the templates is 1.
        noise: f64 = 3.0, range Range::of(0.0..=10.0), from "assumed";
        /// The templates: another number is another set of ten.
        source: u32 = 0, from "assumed";
        /// The images: another number draws fresh ones of the same templates.
        sample: u32 = 0, from "assumed";
        /// Training images; budgets are counted in epochs of 10,000 whatever this is.
        examples: u32 = 10_000, range Range::of(16.0..=1e6), from "assumed";
        use initial: Initial;
    }
}

/// Images to train on by default, to validate and to test on.
const SIZES: [u32; 3] = [10_000, 1_000, 2_000];

/// All but the title, the settings and the network.
pub const WORKLOAD: Workload = Workload {
    data: DataName::Generated,
    target: 0.9,
    budget_epochs: 1.0,
    evaluate_every_epochs: 0.5,
    split_sizes: SIZES,
    ..classification::WORKLOAD
};

/// Generates the images and puts them on the device, as rows of numbers where `flat`.
///
/// # Errors
/// When a setting is not valid or the device has no room.
pub fn load(values: &Values, flat: bool, device: Device) -> Result<Ready, LabError> {
    let Images { label_noise, noise, source, sample, examples, .. } = Images::read(values)?;
    let [_, validation, test] = SIZES;
    let train = examples;
    let loaded =
        Templates { train, validation, test, noise, label_noise, source, sample }.load()?;
    let normalisation = Normalisation { mean: &[0.0], deviation: &[1.0] };
    Layout { data: "generated", normalisation, flat }.ready(&loaded, device)
}
