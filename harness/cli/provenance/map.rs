//! Options of `palimpsest provenance map`

use std::path::PathBuf;

use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance map`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, by id or unique prefix
    pub run: String,
    /// Evenly spaced points of the run at which every training example is scored
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub checkpoints: u32,
    /// Equal parts that the order is cut into
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=200))]
    pub segments: u32,
    /// Folder for figures, table and JSON; reports/map-RUN of the store by default
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
