//! Options of `palimpsest estimate drop` and `palimpsest estimate weights`

use std::path::PathBuf;

use super::fit::Fit;

/// Options of `palimpsest estimate drop`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// Items to leave out together: numbers apart by commas, or a file (.npy, or text) with a subset a line; may be repeated
    #[arg(long, value_name = "ITEMS|FILE")]
    pub without: Vec<String>,
    /// Share of the items that the random subsets of gate and test keep
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = share)]
    pub keep: f64,
    /// Random subsets, drawn apart from all pilots, that are estimated and truly trained on; 0 for none
    #[arg(long, default_value_t = 64, value_parser = subsets)]
    pub subsets: u32,
    /// Random subsets of the size found to train on for true, which the found one is held against
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(8..=10_000))]
    pub against: u32,
    /// Train on what `--without` leaves for true as well
    #[arg(long)]
    pub check: bool,
    /// Folder for tables, JSON and the found subset; under the store's reports by default, named by run, window, verdict and settings
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `palimpsest estimate weights`.
#[derive(Debug, clap::Args)]
pub struct WeightsArgs {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// Weights to ask about, one an item, a row each: .npy, or text; 1 is what the run used
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Share of the items that the random subsets of pilots and gate keep
    #[arg(long, value_name = "SHARE", default_value = "0.5", value_parser = share)]
    pub keep: f64,
    /// Train with these weights for true as well
    #[arg(long, requires = "weights")]
    pub check: bool,
    /// Folder for tables and JSON; under the store's reports by default, named by run, window, verdict and settings
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// A share of items that leaves some out.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("\"{text}\" is not a number"))?;
    if (0.05..=0.98).contains(&share) {
        return Ok(share);
    }
    Err(format!("a share is 0.05 to 0.98, as in 0.5; it is {text}"))
}

/// None, or enough for a correlation.
fn subsets(text: &str) -> Result<u32, String> {
    let count: u32 = text.parse().map_err(|_| format!("\"{text}\" is not a whole number"))?;
    if count == 0 || (16..=100_000).contains(&count) {
        return Ok(count);
    }
    Err(format!("subsets are 0, or 16 to 100000; they are {text}"))
}
