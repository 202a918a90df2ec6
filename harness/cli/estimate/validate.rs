//! Options of `palimpsest estimate validate`

use std::path::PathBuf;

use stats::estimates::OrdersSpec;

use super::fit::Fit;

/// Options of `palimpsest estimate validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// Orders that are estimated and truly retrained: a number of random ones, drawn apart from all pilots, or those of a
    /// file, as --orders of `palimpsest estimate RUN` takes them
    #[arg(long, value_name = "N|FILE", default_value = "64")]
    pub orders: Vec<OrdersSpec>,
    /// Other estimators to hold against the same truth; `all` for every one that fits
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub beside: Vec<String>,
    /// Folder for figures, tables and JSON; under the store's reports by default, named by run, window, verdict and settings
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
