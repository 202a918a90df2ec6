//! Options of `palimpsest provenance calibrate`

use std::path::PathBuf;

use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Workload that the models are trained on
    #[arg(long, default_value = "markov-mlp")]
    pub workload: String,
    /// Independent models, each tested once, against a fresh order that it never saw
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub runs: u32,
    /// Fresh orders that one model is tested against, for each number of examples
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub permutations: u32,
    /// Processes at a time; the result is the same for any number
    #[arg(long, default_value_t = 1)]
    pub jobs: u32,
    /// Serve one part of the work (set by the program itself)
    #[arg(long, hide = true)]
    pub part: Option<u32>,
    /// Folder for figures, table and JSON; reports/calibration of the store by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
