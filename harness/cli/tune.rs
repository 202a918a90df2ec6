//! Options of `palimpsest tune`

use super::suite_options::{Places, SuiteOptions};

/// Options of `palimpsest tune`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a suite with `tuning:`, or its YAML file; what is found is written beside it
    pub suite: String,
    /// Only arms of these methods (ids or labels); the others keep what the frozen file says of them
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<String>,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
    /// Try more beyond the edges at which best values lie, until none does, three times at most
    #[arg(long)]
    pub widen: bool,
    /// Where to train: auto, cpu, cuda, cuda:N; or several GPUs, at least one worker each: cuda:all,
    /// or a list as cuda:0,cuda:1
    #[arg(long, visible_alias = "devices", default_value = "auto")]
    pub device: String,
    /// Worker processes, each pinned to a CPU; at most as many as CPUs
    #[arg(long, default_value_t = 1)]
    pub jobs: u32,
    /// Show what would run, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Run trials again that are in the store already
    #[arg(long)]
    pub force: bool,
    /// Keep records that another build made of the same trials
    #[arg(long, conflicts_with = "force")]
    pub accept_build: bool,
    /// Print what was found as JSON
    #[arg(long)]
    pub json: bool,
    /// Serve as worker K (used by --jobs)
    #[arg(long, hide = true, value_name = "K")]
    pub worker: Option<usize>,
}

impl Args {
    /// The options by which its suite is planned; with `whole`, all arms of it.
    #[must_use]
    pub fn options(&self, whole: bool) -> SuiteOptions {
        SuiteOptions {
            suite: self.suite.clone(),
            methods: if whole { Vec::new() } else { self.methods.clone() },
            workloads: Vec::new(),
            seeds: None,
            set: Vec::new(),
            orders: Vec::new(),
            without: Vec::new(),
            keep_models: false,
            stop_early: false,
            places: self.places.clone(),
        }
    }
}
