//! Options of `palimpsest run`

use std::path::PathBuf;
use std::time::Duration;

use analysis::plan::shards::Shard;
use analysis::suite::Every;
use ledger::seed::{parse_beacon, parse_beacon_source};

use super::suite_options::SuiteOptions;
use crate::voice::quoted;

/// Bytes of a beacon; an alias so that clap does not read a list of numbers.
pub type Beacon = Vec<u8>;

/// Who runs the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Executor {
    /// This machine.
    Local,
    /// Slurm, as an array job.
    Slurm,
    /// Kubernetes, as an Indexed Job that the user applies.
    Kubernetes,
}

/// Options of `palimpsest run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    /// The suite.
    pub options: SuiteOptions,
    /// Where to train: auto, cpu, cuda, cuda:N; or several GPUs, at least one worker each: cuda:all,
    /// or a list as cuda:0,cuda:1
    #[arg(long, visible_alias = "devices", default_value = "auto")]
    pub device: String,
    /// Worker processes, each pinned to a CPU; at most as many as CPUs
    #[arg(long, default_value_t = 1)]
    pub jobs: u32,
    /// How long one cell may take, in seconds or as 90s, 10m, 2h; one that takes longer is stopped and
    /// recorded as failed, and the others go on
    #[arg(long, value_name = "TIME", value_parser = crate::limit::parse)]
    pub timeout: Option<Duration>,
    /// How often a run is kept while it goes on, as "20000 samples" or "5 minutes": one that is killed or stopped
    /// goes on from there with the next `run`, to the same bits
    #[arg(long, value_name = "DISTANCE")]
    pub checkpoint_every: Option<Every>,
    /// Who runs the cells: this machine, or a scheduler, part by part (docs/cluster.md)
    #[arg(long, default_value = "local", value_enum)]
    pub executor: Executor,
    /// What cells ask of the scheduler, in YAML: before what the suite says under `executor`
    #[arg(long, value_name = "FILE")]
    pub executor_options: Option<PathBuf>,
    /// Parts that go to the scheduler; by default one for each workload and seed, at most 32
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parts: Option<u32>,
    /// Watch a job again that was handed to a scheduler, by its name or the scheduler's id
    #[arg(long, value_name = "JOB", conflicts_with_all = ["executor_options", "parts", "dry_run", "force"])]
    pub attach: Option<String>,
    /// Run one part of the suite alone: the first of eight is 1/8; `merge` brings stores together
    #[arg(long, value_name = "I/N", conflicts_with_all = ["attested", "strict", "attach"])]
    pub shard: Option<Shard>,
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

impl Args {
    /// The command of one part of the suite but for the part and its store, each word as a shell takes
    /// it; `cells_at_once` run beside one another.
    ///
    /// # Errors
    /// Where an option cannot be given to parts that know nothing of one another.
    pub fn of_a_part(&self, cells_at_once: u32) -> Result<Vec<String>, String> {
        if self.force {
            return Err(
                "--force would train again whatever a part has done when the scheduler starts it anew; take another --store"
                    .to_owned(),
            );
        }
        if self.attested {
            return Err(
                "--attested draws seeds for one process, and parts would draw their own: promise them beforehand (`palimpsest commit SUITE --attested --promise FILE`), then give --promise FILE"
                    .to_owned(),
            );
        }
        let mut words = vec!["run".to_owned(), quoted(&self.options.suite)];
        words.extend(self.options.changes());
        words.push(format!("--device {}", quoted(&self.device)));
        words.push(format!("--jobs {cells_at_once}"));
        let path = |option: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| format!("{option} {}", quoted(&path.to_string_lossy())))
        };
        words.extend(path("--data-dir", &self.options.places.data_dir));
        words.extend(path("--promise", &self.promise));
        words.extend(self.timeout.map(|limit| format!("--timeout {}", limit.as_secs())));
        words.extend(
            self.beacon_source.as_ref().map(|text| format!("--beacon-source {}", quoted(text))),
        );
        let hexadecimal = |bytes: &Beacon| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        words.extend(
            self.beacon.as_ref().map(hexadecimal).map(|hex: String| format!("--beacon {hex}")),
        );
        words.extend(
            self.checkpoint_every
                .map(|every| format!("--checkpoint-every {}", quoted(&every.to_string()))),
        );
        words.extend(self.accept_build.then(|| "--accept-build".to_owned()));
        Ok(words)
    }
}
