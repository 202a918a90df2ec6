//! The command line: one file per verb, with its options and, where it needs no tensor, what it does.

pub mod claims;
pub mod commit;
pub mod compare;
pub mod completions;
pub mod data;
pub mod doctor;
pub mod drawing;
pub mod estimate;
pub mod explain;
pub mod export;
pub mod import;
pub mod keygen;
pub mod list;
pub mod mend;
pub mod merge;
pub mod plan;
pub mod prove;
pub mod provenance;
pub mod record;
pub mod regress;
pub mod report;
pub mod reproduce;
pub mod run;
pub mod sample;
pub mod sign;
pub mod suite_options;
pub mod timestamps;
pub mod tune;
pub mod verify;
pub mod verify_certificate;

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use ledger::catalogue::listing::Listing;
use provenance::Provenance;

use crate::exit::Exit;

/// A bench for training methods: time-to-accuracy, committed data orders, honest verdicts.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Keep a line a row in tables, however narrow the terminal
    #[arg(long, global = true, display_order = 1000)]
    pub wide: bool,
}

/// All verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Those that build tensors.
    #[command(flatten)]
    Training(Training),
    /// Those that only read and check.
    #[command(flatten)]
    Reading(Reading),
    /// Test whether a model, or a text, derives from a run
    #[command(subcommand)]
    Provenance(Provenance),
    /// Estimate what other orders of a run's data would have given, without training again
    Estimate(estimate::Args),
}

/// Verbs of the engine: they build tensors, or need the methods' code.
#[derive(Debug, Subcommand)]
pub enum Training {
    /// Run a suite: workloads × methods × seeds; cells that are there already are kept
    Run(run::Args),
    /// Choose the settings that a suite leaves open, by trials on seeds of their own, and freeze them
    Tune(tune::Args),
    /// Train damaged runs again, each alone; what was there is kept aside
    Mend(mend::Args),
    /// Show the cells of a suite and their estimated cost; runs nothing
    Plan(plan::Args),
    /// Print the commitments of a suite's cells before training
    Commit(commit::Args),
    /// Record the run of a script that runs by itself and starts this as a child (docs/external.md)
    Record(record::Args),
    /// Run a cell again and compare digests and metrics; exit 1 on any mismatch
    Reproduce(reproduce::Args),
    /// Write text with the model that a run of text kept
    Sample(sample::Args),
    /// Say what this machine can run and what is missing
    Doctor(doctor::Args),
    /// Print the rows of all methods and workloads as JSON
    #[command(hide = true)]
    Catalogue,
    /// Be one worker of a run whose workers are processes; what it needs comes on standard input
    #[command(hide = true)]
    Worker,
}

/// Verbs that need no tensor.
#[derive(Debug, Subcommand)]
pub enum Reading {
    /// List methods, workloads, suites, runs or data
    List(list::Args),
    /// Print the card of a method or workload
    Explain(explain::Args),
    /// Draw figures, page and tables of a suite's last run
    Report(report::Args),
    /// Keep the register of what claims came to, and find what changed in silence
    #[command(subcommand)]
    Claims(claims::Claims),
    /// Compare two runs, or two suite runs, side by side
    Compare(compare::Args),
    /// Recompute all that a run says of itself; exit 1 on any mismatch
    Verify(verify::Args),
    /// Prove that an example was consumed at a step of a run, or check such a proof
    Prove(prove::Args),
    /// Make a pair of ed25519 keys, to sign runs and certificates with
    Keygen(keygen::Args),
    /// Sign a run, a certificate or any file
    Sign(sign::Args),
    /// Check a certificate against itself, its inputs, keys and a store; exit 1 on any mismatch
    VerifyCertificate(Box<verify_certificate::Args>),
    /// Judge whether a change made a suite's runs worse or slower; exit 1 when it did
    Regress(Box<regress::Args>),
    /// Write runs, or those of a suite, in the form of another tool
    Export(export::Args),
    /// Turn logs of other tools into runs, marked as imported
    Import(Box<import::Args>),
    /// Copy the runs of other stores into this one, with the promises that they keep
    Merge(merge::Args),
    /// List, fetch or verify data sets
    Data(data::Args),
    /// Print shell completions
    Completions(completions::Args),
}

/// Runs the engine with these arguments and returns what it prints: what a verb here needs of a model or
/// of a method's code.
pub type Ask<'a> = &'a dyn Fn(&[OsString]) -> anyhow::Result<Vec<u8>>;

/// Where the catalogue's rows come from, asked only when they are needed.
pub type Rows<'a> = &'a dyn Fn() -> anyhow::Result<Listing>;

impl Reading {
    /// Runs the verb.
    ///
    /// # Errors
    /// With what was wrong and the way out.
    pub fn run(&self, rows: Rows<'_>, ask: Ask<'_>) -> anyhow::Result<Exit> {
        match self {
            Self::List(args) => list::run(args, rows),
            Self::Explain(args) => explain::run(args, &rows()?),
            Self::Report(args) => report::run(args),
            Self::Claims(claims) => claims.run(),
            Self::Compare(args) => compare::run(args),
            Self::Verify(args) => verify::run(args, ask),
            Self::Prove(args) => prove::run(args),
            Self::Keygen(args) => keygen::run(args),
            Self::Sign(args) => sign::run(args, ask),
            Self::VerifyCertificate(args) => verify_certificate::run(args, ask),
            Self::Regress(args) => regress::run(args),
            Self::Export(args) => export::run(args, rows, ask),
            Self::Import(args) => import::run(args),
            Self::Merge(args) => merge::run(args),
            Self::Data(args) => data::run(args),
            Self::Completions(args) => completions::run(args, rows),
        }
    }
}
