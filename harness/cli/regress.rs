//! `palimpsest regress`: did a change make anything worse?
//!
//! Nothing here builds tensors: the builds that are compared run as programs of their own.

pub mod aa;
pub mod accept;
pub mod bisect;
pub mod build;
pub mod checks;
pub mod conclude;
pub mod floors;
mod foreign;
pub mod gate;
pub mod history;
pub mod judge;
pub mod measuring;
pub mod place;
pub mod record;
pub mod reference;
pub mod scratch;
pub mod trees;
pub mod turns;
pub mod words;

use clap::Subcommand;

use crate::exit::Exit;

/// Options of `palimpsest regress`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Args {
    /// What to do; without a verb, a suite is judged.
    #[command(subcommand)]
    pub verb: Option<Regress>,
    #[command(flatten)]
    /// The gate.
    pub gate: Option<gate::Args>,
}

/// Verbs of `palimpsest regress`.
#[derive(Debug, Subcommand)]
pub enum Regress {
    /// Compare a build with itself: how much times differ on this machine when nothing changed
    Aa(Box<aa::Args>),
    /// Judge two files of results alone: nothing is run
    Judge(Box<judge::Args>),
    /// Keep what a suite's last run, or another tool, measured for a commit, in the history or in a reference file
    Record(Box<record::Args>),
    /// Show where the metrics of a history changed; exit 1 while one got worse and nobody accepted it
    History(Box<history::Args>),
    /// Accept a change that the history shows, with a reason
    Accept(Box<accept::Args>),
    /// Find the commit that made something worse, by building and comparing commits between two
    Bisect(Box<bisect::Args>),
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    match (&args.verb, &args.gate) {
        (Some(Regress::Aa(args)), _) => aa::run(args),
        (Some(Regress::Judge(args)), _) => judge::run(args),
        (Some(Regress::Record(args)), _) => record::run(args),
        (Some(Regress::History(args)), _) => history::run(args),
        (Some(Regress::Accept(args)), _) => accept::run(args),
        (Some(Regress::Bisect(args)), _) => bisect::run(args),
        (None, Some(args)) => gate::run(args),
        (None, None) => anyhow::bail!("name a suite, or a verb of `palimpsest regress --help`"),
    }
}
