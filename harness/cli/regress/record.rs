//! `palimpsest regress record`: what a suite's last run measured, into the history or a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use analysis::history::chain::History;
use analysis::history::{Entry, HistoryError, Kept, measured};
use analysis::imported::is_imported;
use analysis::regress::Snapshot;
use analysis::regress::extract::{Context, Run, snapshot};
use analysis::suite_run::SuiteRun;
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::record::writer::write_atomic;
use ledger::record::{RunRecord, Store};
use logs::measurements::MOST_BYTES;

use super::foreign;
use super::place::Place;
use crate::cli::report::suite_name;
use crate::cli::suite_options::Places;
use crate::exit::Exit;
use crate::git::{Beside, HistoryBranch};
use crate::voice::{print_text, warn};
use crate::{library, machine};

/// Most metrics that a message names.
const NAMED: usize = 5;

/// Options of `palimpsest regress record`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of a suite that was run, or its YAML file; of another tool's results, what their history is called
    pub suite: String,
    #[command(flatten)]
    /// Where the history is.
    pub place: Place,
    /// Write a reference file instead of the history
    #[arg(long, value_name = "FILE", conflicts_with = "commit")]
    pub reference: Option<PathBuf>,
    /// What was measured: the gate's head.json, or results in Bencher Metric Format, of pytest-benchmark or asv
    #[arg(long, value_name = "FILE", conflicts_with = "reference")]
    pub from: Option<PathBuf>,
    /// Measure of another tool's results of which less is better, where they do not say; may be given again
    #[arg(long, value_name = "NAME", requires = "from")]
    pub lower: Vec<String>,
    /// The same, of which more is better
    #[arg(long, value_name = "NAME", requires = "from")]
    pub higher: Vec<String>,
    /// The commit that was measured, when the build does not know its own
    #[arg(long, value_name = "REV")]
    pub commit: Option<String>,
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
    if let Some(path) = &args.from {
        return from_gate(args, path);
    }
    let store = args.places.store();
    let suite = SuiteRun::load(&store, &suite_name(&args.suite))?;
    let records = records(&store, &suite)?;
    check_machine(&records)?;
    let mut snapshot = taken(&suite, &records, &args.suite)?;
    if let Some(path) = &args.reference {
        write_atomic(path, snapshot.to_json()?.as_bytes())?;
        print_text(&format!("reference: {}\n", path.display()))?;
        return Ok(Exit::Fine);
    }
    let branch = args.place.open()?;
    let commit = commit(args, &records, &branch)?;
    snapshot.commit = Some(commit);
    let digest: Digest = suite.suite_digest.parse().context("the suite run names no digest")?;
    keep(&snapshot, digest, &branch, args)
}

/// A file as a text, with one byte more than may be read where it has more.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Keeps what the gate measured.
fn from_gate(args: &Args, path: &Path) -> anyhow::Result<Exit> {
    let shown = path.display().to_string();
    let text = read(path).with_context(|| format!("cannot read {shown}"))?;
    if text.len() as u64 > MOST_BYTES {
        let most = MOST_BYTES >> 20;
        bail!(
            "{shown} has more than {most} MiB, which no results have: give the file that was measured into"
        );
    }
    if let Some(form) = foreign::recognised(&shown, &text) {
        return foreign::record(args, &shown, &text, form);
    }
    foreign::hold(args)?;
    let mut snapshot = Snapshot::parse(&text, &shown)?;
    let suite = library::suite(&args.suite)?;
    let named = analysis::suite::parse(&suite.file, &suite.text)?.suite;
    if named != snapshot.suite {
        bail!("{shown} is of suite {}, not of {named}: name its own suite", snapshot.suite);
    }
    let branch = args.place.open()?;
    // What follows a plus are changes that are in no commit.
    let built =
        snapshot.commit.as_deref().map(|built| built.split_once('+').unwrap_or((built, "")));
    let dirty = snapshot.commit.as_deref().is_some_and(|built| built.contains('+'));
    if dirty && !args.allow_dirty {
        bail!(
            "{shown} was measured with changes that are in no commit: commit them and measure again, or --allow-dirty"
        );
    }
    let built = built.map(|(commit, _)| commit.to_owned());
    snapshot.commit = Some(agreed(args, built.as_deref(), &branch)?);
    keep(&snapshot, Digest::of(suite.text.as_bytes()), &branch, args)
}

/// One more line of the history, and the snapshot beside it.
fn keep(
    snapshot: &Snapshot,
    digest: Digest,
    branch: &HistoryBranch,
    args: &Args,
) -> anyhow::Result<Exit> {
    let commit = snapshot.commit.clone().unwrap_or_default();
    let kept = measured(snapshot, &commit, digest);
    check_kept(&kept, &args.suite)?;
    let count = kept.measured.metrics.len();
    let entry = Entry::Measured(kept.measured);
    let (name, machine) = (&snapshot.suite, &snapshot.machine.fingerprint);
    let beside = Beside { commit: &commit, content: &serde_json::to_vec(snapshot)? };
    let message = format!("Record {name} at {} on {machine}", short(&commit));
    branch
        .record(name, machine, &message, Some(beside), |old| append(name, machine, old, &entry))?;
    print_text(&format!(
        "{name} at {}: {count} metrics recorded on machine {machine}\n",
        short(&commit)
    ))?;
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

/// A measurement belongs to the machine that made it, and a snapshot says which one this is.
fn check_machine(records: &[RunRecord]) -> anyhow::Result<()> {
    let here = machine::cpu_model();
    // Those that were imported are of no machine here, and their times are left out.
    for RunRecord { cell, environment, .. } in records.iter().filter(|record| !is_imported(record))
    {
        let there = &environment.cpu;
        if *there != here {
            bail!(
                "run {cell} was made on {there}, and this is {here}: record on the machine that ran it"
            );
        }
    }
    Ok(())
}

/// The snapshot of all runs, with the comparisons that the suite wished for when it ran.
fn taken(suite: &SuiteRun, records: &[RunRecord], named: &str) -> anyhow::Result<Snapshot> {
    let text = library::suite(named).or_else(|_| library::suite(&suite.source)).ok();
    let text =
        text.filter(|found| Digest::of(found.text.as_bytes()).to_string() == suite.suite_digest);
    let parsed = text.and_then(|found| analysis::suite::parse(&found.file, &found.text).ok());
    let wishes = parsed.map(|parsed| parsed.regress).unwrap_or_default();
    let exceptions = wishes.exceptions();
    let treatments =
        wishes.metrics.iter().map(|(name, used)| (name.clone(), used.treatment())).collect();
    let imported = records.iter().all(is_imported);
    let parts = if imported { BTreeMap::new() } else { machine::speed_parts() };
    let context = Context { session: None, treatments, exceptions, machine: parts };
    let runs = suite.cells.iter().zip(records).map(|(cell, record)| Run { cell, round: 0, record });
    Ok(snapshot(suite, &runs.collect::<Vec<_>>(), &context)?)
}

/// Says what a history will lack, and refuses an empty entry.
fn check_kept(kept: &Kept, suite: &str) -> anyhow::Result<()> {
    let named: Vec<&str> = kept.left_out.iter().take(NAMED).map(String::as_str).collect();
    let more = if kept.left_out.len() > NAMED { ", …" } else { "" };
    let left_out = format!("{}{more}", named.join(", "));
    if kept.measured.metrics.is_empty() {
        bail!(
            "no metric was measured by every run of its arm ({left_out}): `palimpsest run {suite} --force` measures again"
        );
    }
    if !kept.left_out.is_empty() {
        warn(&format!(
            "{} metrics are left out, as a run failed, was disturbed or did not measure them: {left_out}",
            kept.left_out.len()
        ));
    }
    Ok(())
}

/// The one commit that all runs were built from.
fn commit(args: &Args, records: &[RunRecord], branch: &HistoryBranch) -> anyhow::Result<String> {
    let environments = || records.iter().map(|record| (&record.cell, &record.environment));
    let changed = environments().find(|(_, environment)| environment.git_dirty == Some(true));
    if let Some((cell, _)) = changed.filter(|_| !args.allow_dirty) {
        bail!(
            "run {cell} was built with changes or new files that are in no commit: commit them, build and run again, or --allow-dirty"
        );
    }
    let built: BTreeSet<Option<&str>> =
        environments().map(|(_, environment)| environment.git_commit.as_deref()).collect();
    let built = match built.into_iter().collect::<Vec<_>>().as_slice() {
        [] => bail!("the suite has no runs: nothing can be recorded"),
        [one] => *one,
        [one, other, ..] => bail!(
            "the runs are of two commits, {} and {}: `palimpsest run {} --force` makes all of them again",
            one.map_or("an unknown one", short),
            other.map_or("an unknown one", short),
            args.suite
        ),
    };
    agreed(args, built, branch)
}

/// The commit that is named and the one that the build knows, where they are one and the repository
/// has it.
pub(super) fn agreed(
    args: &Args,
    built: Option<&str>,
    branch: &HistoryBranch,
) -> anyhow::Result<String> {
    let named = args.commit.as_deref().map(|revision| branch.commit(revision)).transpose()?;
    match (named, built) {
        (None, None) => bail!(
            "the runs were built outside of a git repository: name their commit by --commit REV"
        ),
        (Some(named), Some(built)) if named != built => bail!(
            "--commit names {}, and the runs were built from {}: leave it out",
            short(&named),
            short(built)
        ),
        (Some(named), _) => Ok(named),
        (None, Some(built)) => branch.commit(built).with_context(|| {
            format!(
                "the runs were built from {}, which this repository does not have: name it with --repository, or fetch that commit",
                short(built)
            )
        }),
    }
}
