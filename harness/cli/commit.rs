//! Options of `palimpsest commit`

use std::path::PathBuf;

use ledger::seed::parse_beacon_source;

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
    /// Draw the seeds from the operating system and keep them in the file of --promise
    #[arg(long, requires = "promise")]
    pub attested: bool,
    /// Where the drawn seeds are kept, for `run --promise FILE`; show it to nobody before the runs
    #[arg(long, value_name = "FILE", requires = "attested")]
    pub promise: Option<PathBuf>,
    /// Source and round of public randomness that will be mixed in, which is not out yet: `run --beacon`
    #[arg(long, value_name = "TEXT", value_parser = parse_beacon_source)]
    pub beacon_source: Option<String>,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}
