//! Options of `palimpsest estimate search`

use std::path::PathBuf;

use super::fit::Fit;

/// Options of `palimpsest estimate search`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// Which run, and how.
    pub fit: Fit,
    /// Random orders to score
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(16..=10_000_000))]
    pub random: u32,
    /// Best orders to retrain for true
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub keep: u32,
    /// Of those, how many start a descent by pair swaps
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub descents: u32,
    /// Random orders to retrain for true, which the best are held against
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=10_000))]
    pub against: u32,
    /// Folder for the best order, figures, tables and JSON; under the store's reports by default, named by run, window, verdict and settings
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
