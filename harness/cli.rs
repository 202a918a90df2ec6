//! The command line: one file per verb, each `Args` and `run`.

mod commit;
mod compare;
mod completions;
mod data;
mod doctor;
mod explain;
mod list;
mod plan;
mod prove;
mod report;
mod reproduce;
mod run;
mod suite_options;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A bench for training methods: time-to-accuracy, committed data orders, honest verdicts.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a suite: workloads × methods × seeds; cells that are there already are kept
    Run(run::Args),
    /// Show the cells of a suite and their estimated cost; runs nothing
    Plan(plan::Args),
    /// List methods, workloads, suites, runs or data
    List(list::Args),
    /// Print the card of a method or workload
    Explain(explain::Args),
    /// Draw figures, page and tables of a suite's last run
    Report(report::Args),
    /// Compare two runs, or two suite runs, side by side
    Compare(compare::Args),
    /// Recompute all that a run says of itself; exit 1 on any mismatch
    Verify(verify::Args),
    /// Run a cell again and compare digests and metrics; exit 1 on any mismatch
    Reproduce(reproduce::Args),
    /// Print the commitments of a suite's cells before training
    Commit(commit::Args),
    /// Prove that an example was consumed at a step of a run, or check such a proof
    Prove(prove::Args),
    /// List, fetch or verify data sets
    Data(data::Args),
    /// Say what this machine can run and what is missing
    Doctor(doctor::Args),
    /// Print shell completions
    Completions(completions::Args),
}

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Fine.
    Fine = 0,
    /// A check failed.
    CheckFailed = 1,
    /// The user's mistake.
    Mistake = 2,
    /// Some cells failed.
    CellsFailed = 4,
    /// A bug.
    Bug = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the verb.
pub fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    match cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Plan(args) => plan::run(&args),
        Verb::List(args) => list::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Report(args) => report::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Verify(args) => verify::run(&args),
        Verb::Reproduce(args) => reproduce::run(&args),
        Verb::Commit(args) => commit::run(&args),
        Verb::Prove(args) => prove::run(&args),
        Verb::Data(args) => data::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}
