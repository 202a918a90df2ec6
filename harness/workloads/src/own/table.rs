//! # table
//!
//! A table of your own: a CSV, TSV or Parquet file (`file`, from the suite's folder on) with a row of names, a column of
//! classes (`label`: numbers or names) and numbers in all others but those in `ignore` (names, parted by commas).
//!
//! ```yaml
//! workloads: [{ workload: table, as: penguins, with: { file: penguins.csv, label: species, ignore: island } }]
//! ```
//!
//! The rows are ranked by a hash of their numbers and label: the first share validates (`validation`), the next is
//! tested on (`test`), the others train, whatever their order in the file; rows that are alike stay together. Columns
//! are standardised by mean and deviation of the rows that train. Classes are numbered by their names.
//!
//! `network: mlp`, with ReLU (`depth` hidden layers of `width`; with depth 0 a linear model), or a module scripted in PyTorch,
//! `network: { torchscript: net.pt }`: it is given N × columns and has to make N × classes of them. It is a program: load
//! what you would run (docs/your_own.md). Metrics are those of `digits-mlp`.

use data::columns::LabelKind;

use crate::shared::own::{self, Channels, TableSettings};
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "table of your own in classes, MLP or a module of yours",
    count: Some(|values| TableSettings::count(values, LabelKind::Names)),
    settings: TableSettings::table,
    resolve: TableSettings::checked,
    load: |values, _, device| {
        own::ready(&TableSettings::data(values, LabelKind::Names)?, Channels::First, device)
    },
    network: TableSettings::network,
    ..own::CLASSES
};
