//! # arrays-regression
//!
//! As `arrays`, with a number an example as label: standardised while training; `rmse` and `mae` are in its own units,
//! `r2` is the share of the labels' variance that is explained.
//!
//! ```yaml
//! workloads: [{ workload: arrays-regression, as: forces, with: { inputs_file: X.npy, labels_file: y.npy } }]
//! ```

use data::columns::LabelKind;

use crate::shared::own::{self, ArraysSettings};
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "arrays of your own with numbers as labels, a network by name or a module of yours",
    count: Some(|values| ArraysSettings::count(values, LabelKind::Numbers)),
    settings: ArraysSettings::table,
    resolve: ArraysSettings::checked,
    load: |values, _, device| ArraysSettings::ready(values, LabelKind::Numbers, device),
    network: ArraysSettings::network,
    ..own::NUMBERS
};
