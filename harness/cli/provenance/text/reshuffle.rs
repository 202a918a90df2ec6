//! Options of `palimpsest provenance text reshuffle`

use std::path::PathBuf;

use super::super::share_of_run;
use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance text reshuffle`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run whose order is tested, by id or unique prefix
    #[arg(long)]
    pub run: String,
    /// The text: token ids of the workload, documents × tokens (.npy)
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Share of the run, at its end, that is trained again
    #[arg(long, default_value_t = 0.1, value_parser = share_of_run)]
    pub share: f64,
    /// Trainings of that share, each in a fresh order; 99 let the rank p reach 0.01
    #[arg(long, default_value_t = 99, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub replays: u32,
    /// Seed of the fresh orders
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Processes at a time; the result is the same for any number
    #[arg(long, default_value_t = 1)]
    pub jobs: u32,
    /// Serve one part of the work (set by the program itself)
    #[arg(long, hide = true)]
    pub part: Option<u32>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
