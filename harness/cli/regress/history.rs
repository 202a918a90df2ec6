//! `palimpsest regress history`: where a suite's metrics changed.

use std::path::PathBuf;

use analysis::history::chain::History;
use analysis::history::changes::{Direction, HistoryAnalysis, Options, analyse_in};
use analysis::history::file;
use anyhow::{Context as _, bail};

use super::place::Place;
use super::record::file_name;
use crate::cli::report::suite_name;
use crate::exit::Exit;
use crate::git::HistoryBranch;
use crate::voice::{print_json, print_text};

/// Options of `palimpsest regress history`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of the suite, or its YAML file
    pub suite: String,
    /// Fingerprint of the machine, where the suite was measured on several
    #[arg(long, value_name = "MACHINE")]
    pub machine: Option<String>,
    /// Only metrics whose name holds this text
    #[arg(long, value_name = "TEXT")]
    pub metric: Option<String>,
    #[command(flatten)]
    /// Where the history is.
    pub place: Place,
    /// Read a history file instead of the branch; its name is the machine's
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Drop the torn last line of that file, and nothing else
    #[arg(long, requires = "file")]
    pub repair: bool,
    /// Folder for a page with a figure of every metric that changed
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the whole analysis as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let suite = suite_name(&args.suite);
    let (history, order) = match &args.file {
        Some(path) => {
            let history = from_file(args, path, &suite)?;
            // A file may come without its repository: its lines are then all the order there is.
            let order =
                args.place.open().ok().map(|branch| order(&branch, &history)).transpose()?;
            let whole = |order: &Vec<String>| order.len() == history.measured().count();
            let order = order.filter(whole);
            (history, order)
        }
        None => {
            let branch = args.place.open()?;
            let machine = only_machine(&branch, &suite, args.machine.as_deref())?;
            let bytes = branch.read(&suite, &machine)?;
            let bytes = bytes.with_context(|| nothing(&suite, args))?;
            let name = file_name(&suite, &machine);
            let history = History::parse(&name, &suite, &machine, &bytes)?;
            let order = order(&branch, &history)?;
            (history, Some(order))
        }
    };
    let mut analysis = analyse_in(order.as_deref(), &history, &Options::default())?;
    if order.is_none() {
        let note = "commits stand in the order of recording: this is not their repository";
        analysis.notes.push(note.to_owned());
    }
    if let Some(text) = &args.metric {
        analysis.series.retain(|series| series.metric.contains(text.as_str()));
        if analysis.series.is_empty() {
            let names = history.metrics().map(|(name, ..)| name).collect::<Vec<_>>();
            bail!(
                "no metric of {suite} has \"{text}\" in its name{}",
                ledger::catalogue::hint(text, names)
            );
        }
    }
    if let Some(folder) = &args.out {
        for path in reports::history::render(&analysis, folder)? {
            crate::voice::note(&format!("wrote {}", path.display()));
        }
    }
    if args.json {
        print_json(&analysis)?;
    } else {
        print_text(&reports::history::text(&analysis))?;
    }
    Ok(exit(&analysis))
}

/// The measured commits as the repository has them, parents first.
fn order(branch: &HistoryBranch, history: &History) -> anyhow::Result<Vec<String>> {
    let commits: Vec<&str> = history.measured().map(|measured| measured.commit.as_str()).collect();
    Ok(branch.in_order(&commits)?)
}

/// 1: a metric got worse and nobody accepted it; 3: too few commits for any change to show.
fn exit(analysis: &HistoryAnalysis) -> Exit {
    let worse = analysis.open().iter().any(|(_, change)| change.direction == Direction::Regressed);
    match (worse, analysis.commits.len() < 2 * analysis.options.minimum) {
        (true, _) => Exit::CheckFailed,
        (false, true) => Exit::NotJudged,
        (false, false) => Exit::Fine,
    }
}

fn from_file(args: &Args, path: &std::path::Path, suite: &str) -> anyhow::Result<History> {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let machine = args.machine.clone().or(stem).unwrap_or_default();
    if !path.is_file() {
        bail!("there is no history {}", path.display());
    }
    if args.repair {
        let dropped = file::repair(path, suite, &machine)?;
        crate::voice::note(&format!("{}: dropped {dropped} bytes of a torn line", path.display()));
    }
    Ok(file::read(path, suite, &machine)?)
}

fn nothing(suite: &str, args: &Args) -> String {
    let branch = &args.place.branch;
    format!(
        "branch {branch} has no history of {suite}: `palimpsest regress record {suite}` begins one"
    )
}

/// The machine that is meant: the one that is named, or the only one there is.
pub(super) fn only_machine(
    branch: &HistoryBranch,
    suite: &str,
    named: Option<&str>,
) -> anyhow::Result<String> {
    let machines = branch.machines(suite)?;
    match (named, machines.as_slice()) {
        (Some(named), known) if known.iter().any(|machine| machine == named) => {
            Ok(named.to_owned())
        }
        (Some(named), known) => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            bail!(
                "{suite} was never recorded on machine {named}{}",
                ledger::catalogue::hint(named, known)
            )
        }
        (None, [one]) => Ok(one.clone()),
        (None, []) => {
            bail!("there is no history of {suite}: `palimpsest regress record {suite}` begins one")
        }
        (None, several) => {
            bail!(
                "{suite} was recorded on several machines: name one with --machine ({})",
                several.join(", ")
            )
        }
    }
}
