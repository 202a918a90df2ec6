//! Options of `palimpsest commit`

use super::suite_options::SuiteOptions;

/// Options of `palimpsest commit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// The suite.
    pub options: SuiteOptions,
    /// Device the runs will use: it is part of what is committed to
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
