//! # arrays
//!
//! Two NumPy arrays of your own, from the suite's folder on: `inputs_file`, whose first axis counts examples (N × F, or
//! images N × H × W, N × C × H × W, or with `channels: last` N × H × W × C), and `labels_file`, a class an example
//! (whole numbers or text).
//!
//! ```yaml
//! workloads: [{ workload: arrays, as: glyphs, with: { inputs_file: X.npy, labels_file: y.npy, network: cnn } }]
//! ```
//!
//! The examples are split as those of `table` are. Numbers are standardised by what trains: by column, or by channel of
//! images. `network: mlp` has `depth` hidden layers of `width`; `cnn` three convolutions with batch normalisation
//! (8, 16 and 32 channels at `width: 64`), two poolings and a linear head, for squares with a side that 4 divides.

use data::columns::LabelKind;
use data::own::OwnData;
use ledger::settings;
use ledger::settings::{Range, Values};

use crate::shared::own::{self, Channels, NetworkName, NetworkSize};
use lab::LabError;
use training::workload::Workload;

settings! {
    /// Settings of the workload.
    pub struct Settings {
        /// The inputs; a path from the suite's folder on.
        inputs_file: String = String::new(), from "to be given";
        /// The labels; a path from the suite's folder on.
        labels_file: String = String::new(), from "to be given";
        /// Where the channels of images stand.
        channels: Channels = Channels::First, from "assumed";
        /// Share of the examples that targets are set on.
        validation: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// Share of the examples that is only reported.
        test: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// The network.
        network: NetworkName = NetworkName::Mlp, from "assumed";
        /// Width of hidden layers; of a `cnn` 64 stands for 8, 16 and 32 channels.
        width: u32 = 64, range Range::of(1.0..=16_384.0), from "assumed";
        /// Number of hidden layers of an `mlp`.
        depth: u32 = 2, range Range::of(0.0..=64.0), from "assumed";
    }
}

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "arrays of your own in classes, MLP or CNN",
    count: Some(|values| own::count(read(values))),
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Settings { inputs_file, labels_file, validation, test, .. } =
            Settings::read(&resolved)?;
        own::named("inputs_file", &inputs_file)?;
        own::named("labels_file", &labels_file)?;
        own::shares(validation, test)?;
        Ok(resolved)
    },
    load: |values, _, device| {
        let Settings { channels, .. } = Settings::read(values)?;
        own::ready(&read(values)?, channels, device)
    },
    network: |values, side, streams, device| {
        let Settings { network: name, width, depth, .. } = Settings::read(values)?;
        own::network(NetworkSize { name, width, depth }, side, streams, device)
    },
    ..own::CLASSES
};

fn read(values: &Values) -> Result<OwnData, LabError> {
    let Settings { inputs_file, labels_file, validation, test, .. } = Settings::read(values)?;
    let inputs = own::named("inputs_file", &inputs_file)?;
    let labels = own::named("labels_file", &labels_file)?;
    let shares = own::shares(validation, test)?;
    Ok(OwnData::of_arrays(inputs, labels, LabelKind::Names, shares)?)
}
