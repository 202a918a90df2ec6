//! Options of `palimpsest estimate position` and `palimpsest estimate attribute`

use std::path::PathBuf;

use stats::estimates::OrdersSpec;

use super::fit::Fit;

/// Options of `palimpsest estimate position` and `palimpsest estimate attribute`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// Only these items, by number, from 0 in the order consumed; all by default
    #[arg(long, value_name = "ITEMS", value_delimiter = ',')]
    pub item: Vec<u32>,
    /// The order in which items are moved, in place of the recorded one, as --orders of `palimpsest estimate RUN` takes it
    #[arg(long, value_name = "FILE|reverse|sorted:KEY")]
    pub order: Option<OrdersSpec>,
    /// Train every moved order for true as well, and say how well the curves agree
    #[arg(long)]
    pub check: bool,
    /// Folder for figures, tables and JSON; under the store's reports by default, named by run, window, verdict and settings
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
