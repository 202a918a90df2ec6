//! Options of `palimpsest run`

use std::path::PathBuf;
use std::time::Duration;

use ledger::seed::{parse_beacon, parse_beacon_source};

use super::suite_options::SuiteOptions;

/// Bytes of a beacon; an alias so that clap does not read a list of numbers.
pub type Beacon = Vec<u8>;

/// Options of `palimpsest run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// The suite.
    pub options: SuiteOptions,
    /// Where to train: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Worker processes, each pinned to a CPU; at most as many as CPUs
    #[arg(long, default_value_t = 1)]
    pub jobs: u32,
    /// How long one cell may take, in seconds or as 90s, 10m, 2h; one that takes longer is stopped and
    /// recorded as failed, and the others go on
    #[arg(long, value_name = "TIME", value_parser = crate::limit::parse)]
    pub timeout: Option<Duration>,
    /// Where cells run; only this machine for now
    #[arg(long, default_value = "local", value_parser = ["local"])]
    pub executor: String,
    /// Show what would run, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Run cells again that are in the store already
    #[arg(long)]
    pub force: bool,
    /// Keep records that another build made of the same cells, instead of training them again; reports
    /// say how many there are
    #[arg(long, conflicts_with = "force")]
    pub accept_build: bool,
    /// Draw seeds from the operating system, so that p-values are evidence and not simulation
    #[arg(long)]
    pub attested: bool,
    /// Take the seeds that `commit --attested --promise FILE` has promised
    #[arg(long, value_name = "FILE", conflicts_with = "attested")]
    pub promise: Option<PathBuf>,
    /// Source and round of the beacon, as `commit --beacon-source` has promised them
    #[arg(long, value_name = "TEXT", value_parser = parse_beacon_source, requires = "beacon", conflicts_with = "promise")]
    pub beacon_source: Option<String>,
    /// Public randomness to mix into every seed, hexadecimal
    #[arg(long, value_name = "HEX", value_parser = parse_beacon)]
    pub beacon: Option<Beacon>,
    /// Exit 1 when a claim no longer comes to the verdict that the suite expects, 3 when none is
    /// refuted but one is inconclusive
    #[arg(long)]
    pub strict: bool,
    /// Print the analysis as JSON
    #[arg(long)]
    pub json: bool,
    /// Run only the cells at these places of the plan, and what they descend from (used by regress)
    #[arg(long, hide = true, value_delimiter = ',', value_name = "K")]
    pub cells: Vec<usize>,
    /// Serve as worker K (used by --jobs)
    #[arg(long, hide = true, value_name = "K")]
    pub worker: Option<usize>,
}
