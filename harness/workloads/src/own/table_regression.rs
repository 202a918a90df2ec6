//! # table-regression
//!
//! As `table`, with numbers as labels. They are standardised, too, while training; `rmse` and `mae` are in their own units,
//! `r2` is the share of the labels' variance that is explained: 0 for their mean, 1 at best.
//!
//! ```yaml
//! workloads: [{ workload: table-regression, as: houses, with: { file: houses.csv, label: price } }]
//! ```

use data::columns::LabelKind;

use crate::shared::own::{self, Channels, TableSettings};
use training::workload::Workload;

/// The workload.
pub static WORKLOAD: Workload = Workload {
    title: "table of your own with numbers as labels, MLP or a module of yours",
    count: Some(|values| TableSettings::count(values, LabelKind::Numbers)),
    settings: TableSettings::table,
    resolve: TableSettings::checked,
    load: |values, _, device| {
        own::ready(&TableSettings::data(values, LabelKind::Numbers)?, Channels::First, device)
    },
    network: TableSettings::network,
    ..own::NUMBERS
};
