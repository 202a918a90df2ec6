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
//! An MLP with ReLU (`depth` hidden layers of `width`; with depth 0 a linear model). Metrics are those of `digits-mlp`.

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
        /// The table; a path from the suite's folder on.
        file: String = String::new(), from "to be given";
        /// Name of the column that is learnt.
        label: String = "label".to_owned(), from "assumed";
        /// Names of columns that are left out, parted by commas.
        ignore: String = String::new(), from "assumed";
        /// Share of the rows that targets are set on.
        validation: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// Share of the rows that is only reported.
        test: f64 = 0.15, range Range::above_up_to(0.0, 0.8), from "assumed";
        /// Width of hidden layers.
        width: u32 = 64, range Range::of(1.0..=16_384.0), from "assumed";
        /// Number of hidden layers.
        depth: u32 = 2, range Range::of(0.0..=64.0), from "assumed";
    }
}

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "table of your own in classes, MLP",
    count: Some(|values| own::count(read(values))),
    settings: Settings::table,
    resolve: |values| {
        let resolved = Settings::resolve(values)?;
        let Settings { file, validation, test, .. } = Settings::read(&resolved)?;
        own::named("file", &file)?;
        own::shares(validation, test)?;
        Ok(resolved)
    },
    load: |values, _, device| own::ready(&read(values)?, Channels::First, device),
    network: |values, side, streams, device| {
        let Settings { width, depth, .. } = Settings::read(values)?;
        own::network(NetworkSize { name: NetworkName::Mlp, width, depth }, side, streams, device)
    },
    ..own::CLASSES
};

fn read(values: &Values) -> Result<OwnData, LabError> {
    let Settings { file, label, ignore, validation, test, .. } = Settings::read(values)?;
    own::table(&file, &label, &ignore, LabelKind::Names, own::shares(validation, test)?)
}
