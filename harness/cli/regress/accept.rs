//! `palimpsest regress accept`: a change that is intended, or lived with.

use analysis::history::{Accepted, Entry};

use super::history::only_machine;
use super::place::Place;
use super::record::{append, short};
use crate::cli::report::suite_name;
use crate::exit::Exit;
use crate::voice::print_text;

/// Options of `palimpsest regress accept`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of the suite, or its YAML file
    pub suite: String,
    /// The commit that `regress history` reports
    pub commit: String,
    /// Why the change is accepted
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// A metric, as `regress history` names it; all of them without; may be given again
    #[arg(long = "metric", value_name = "METRIC")]
    pub metrics: Vec<String>,
    /// Fingerprint of the machine, where the suite was measured on several
    #[arg(long, value_name = "MACHINE")]
    pub machine: Option<String>,
    #[command(flatten)]
    /// Where the history is.
    pub place: Place,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let branch = args.place.open()?;
    let suite = suite_name(&args.suite);
    let machine = only_machine(&branch, &suite, args.machine.as_deref())?;
    let commit = branch.commit(&args.commit)?;
    let (metrics, reason) = (args.metrics.clone(), args.reason.clone());
    let entry = Entry::Accepted(Accepted { commit: commit.clone(), metrics, reason });
    let message = format!("Accept the change of {suite} at {}", short(&commit));
    branch.record(&suite, &machine, &message, None, |old| append(&suite, &machine, old, &entry))?;
    print_text(&format!("{suite}: the change at {} is accepted\n", short(&commit)))?;
    Ok(Exit::Fine)
}
