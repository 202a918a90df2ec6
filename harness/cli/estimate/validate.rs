//! Options of `palimpsest estimate validate`

use std::path::PathBuf;

use super::fit::Fit;

/// Options of `palimpsest estimate validate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// Orders, drawn apart from all pilots, that are estimated and truly retrained
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=100_000))]
    pub orders: u32,
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
