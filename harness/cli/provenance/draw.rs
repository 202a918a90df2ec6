//! Options of `palimpsest provenance draw`

use crate::cli::suite_options::Places;

/// Options of `palimpsest provenance draw`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs, by id
    #[arg(required = true)]
    pub runs: Vec<String>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}
