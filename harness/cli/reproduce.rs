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
    /// Look at no loss: follow what the run's workers said (messages.bin), from its initial weights
    #[arg(long)]
    pub messages: bool,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
