//! `palimpsest regress record`: what a suite's last run measured, into the history or a file.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::history::chain::History;
use ledger::history::{Entry, HistoryError, Measured};
use ledger::record::{RunRecord, Store, SuiteRun};
use ledger::regress::Snapshot;
use ledger::regress::extract::{Context, Run, snapshot};

use super::place::Place;
use crate::cli::Exit;
use crate::cli::report::suite_name;
use crate::cli::suite_options::Places;
use crate::git::Beside;
use crate::voice::print_text;
use crate::{library, machine};

/// Options of `palimpsest regress record`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of a suite that was run, or its YAML file
    pub suite: String,
    #[command(flatten)]
    /// Where the history is.
    pub place: Place,
    /// Write a reference file instead of the history
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Record runs of a build that had changes which are in no commit
    #[arg(long)]
    pub allow_dirty: bool,
    #[command(flatten)]
    /// Where data and runs are.
    pub places: Places,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let suite = SuiteRun::load(&store, &suite_name(&args.suite))?;
    let records = records(&store, &suite)?;
    let measured = measured(&suite, &records, &args.suite)?;
    if let Some(path) = &args.reference {
        std::fs::write(path, measured.to_json()?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        print_text(&format!("reference: {}\n", path.display()))?;
        return Ok(Exit::Fine);
    }
    let commit = commit(&records, args.allow_dirty)?;
    let digest: Digest = suite.suite_digest.parse().context("the suite run names no digest")?;
    let entry = Entry::Measured(Measured::of(&measured, commit.clone(), digest));
    let (name, machine) = (&suite.suite, &measured.machine.fingerprint);
    let beside = Beside { commit: &commit, content: &serde_json::to_vec(&measured)? };
    let message = format!("Record {name} at {} on {machine}", short(&commit));
    let branch = args.place.open()?;
    branch
        .record(name, machine, &message, Some(beside), |old| append(name, machine, old, &entry))?;
    print_text(&format!("{name} at {}: recorded on machine {machine}\n", short(&commit)))?;
    Ok(Exit::Fine)
}

/// The history with one more line.
pub(super) fn append(
    suite: &str,
    machine: &str,
    old: &[u8],
    entry: &Entry,
) -> Result<Vec<u8>, HistoryError> {
    let mut history = History::parse(&file_name(suite, machine), suite, machine, old)?;
    let line = history.push(entry.clone())?;
    Ok([old, &line].concat())
}

/// A history as messages name it.
pub(super) fn file_name(suite: &str, machine: &str) -> String {
    format!("{suite}/{machine}.jsonl")
}

pub(super) fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

fn records(store: &Store, suite: &SuiteRun) -> anyhow::Result<Vec<RunRecord>> {
    let read = |cell: &String| {
        let again = || format!("`palimpsest run {}` makes it again", suite.source);
        store.record(cell).with_context(again)
    };
    suite.cells.iter().map(|cell| read(&cell.cell)).collect()
}

fn measured(suite: &SuiteRun, records: &[RunRecord], named: &str) -> anyhow::Result<Snapshot> {
    let text = library::suite(named).or_else(|_| library::suite(&suite.source)).ok();
    let parsed = text.and_then(|found| ledger::suite::parse(&found.file, &found.text).ok());
    let wishes = parsed.map(|parsed| parsed.regress.metrics).unwrap_or_default();
    let treatments = wishes.iter().map(|(name, used)| (name.clone(), used.treatment())).collect();
    let context = Context { session: None, treatments, machine: machine::speed_parts() };
    let runs = suite.cells.iter().zip(records).map(|(cell, record)| Run { cell, round: 0, record });
    Ok(snapshot(suite, &runs.collect::<Vec<_>>(), &context)?)
}

/// The one commit that all runs were built from.
fn commit(records: &[RunRecord], allow_dirty: bool) -> anyhow::Result<String> {
    let mut found: Option<&str> = None;
    for record in records {
        let environment = &record.environment;
        let Some(commit) = environment.git_commit.as_deref() else {
            bail!(
                "run {} was built outside of a git repository: it belongs to no commit",
                record.cell
            );
        };
        if environment.git_dirty == Some(true) && !allow_dirty {
            bail!(
                "run {} was built with changes that are in no commit: commit them, build and run again, or --allow-dirty",
                record.cell
            );
        }
        if let Some(other) = found.filter(|other| *other != commit) {
            bail!(
                "the runs are of two commits, {} and {}: `palimpsest run --force` makes all of them again",
                short(other),
                short(commit)
            );
        }
        found = Some(commit);
    }
    found.map(str::to_owned).context("the suite has no runs: nothing can be recorded")
}
