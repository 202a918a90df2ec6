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

use crate::shared::own::{self, ArraysSettings};
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "arrays of your own in classes, MLP or CNN",
    count: Some(|values| own::count(ArraysSettings::data(values, LabelKind::Names))),
    settings: ArraysSettings::table,
    resolve: ArraysSettings::checked,
    load: |values, _, device| ArraysSettings::ready(values, LabelKind::Names, device),
    network: ArraysSettings::network,
    ..own::CLASSES
};
