//! Options of `palimpsest mend`

use super::suite_options::Places;

/// Options of `palimpsest mend`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Damaged runs, by id or unique prefix
    #[arg(required = true)]
    pub runs: Vec<String>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
