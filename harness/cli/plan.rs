//! Options of `palimpsest plan`

use super::suite_options::SuiteOptions;

/// Options of `palimpsest plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// The suite.
    pub options: SuiteOptions,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
