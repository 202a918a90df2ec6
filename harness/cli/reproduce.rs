//! Options of `palimpsest reproduce`

use super::suite_options::Places;

/// Options of `palimpsest reproduce`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run, by id or unique prefix
    pub run: String,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
