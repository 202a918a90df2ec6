//! `palimpsest merge`: the runs of other stores into this one, with the promises that they keep.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ledger::commitment::CommitmentIndex;
use ledger::plain;
use ledger::record::Store;
use ledger::record::writer::write_atomic;
use serde::Serialize;

use super::suite_options::Places;
use crate::exit::Exit;
use crate::voice::{print_json, print_text, printable, warn};

/// Options of `palimpsest merge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stores whose runs are copied into --store; they stay as they are
    #[arg(required = true, value_name = "STORE")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    places: Places,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What came of a store.
#[derive(Debug, Default, Serialize)]
pub struct Merged {
    from: String,
    /// Runs that were copied.
    pub copied: Vec<String>,
    /// Runs that were there already, byte for byte.
    pub same: Vec<String>,
    /// Runs of the same cell that differ; what was there stays.
    pub different: Vec<String>,
    /// Runs whose files are not those of their manifests; left out.
    pub damaged: Vec<String>,
    suite_runs: usize,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let into = args.places.store();
    into.prepare()?;
    let merged =
        args.from.iter().map(|from| merge(from, &into)).collect::<anyhow::Result<Vec<_>>>()?;
    let clean = merged.iter().all(|one| one.different.is_empty() && one.damaged.is_empty());
    if args.json {
        print_json(&merged)?;
        return Ok(if clean { Exit::Fine } else { Exit::CheckFailed });
    }
    for one in &merged {
        let Merged { from, copied, same, different, damaged, suite_runs } = one;
        print_text(&format!(
            "{}: {} runs copied, {} here already, {suite_runs} suite runs\n",
            printable(from),
            copied.len(),
            same.len()
        ))?;
        if !different.is_empty() {
            warn(&format!(
                "{} runs differ from those of the same cell here, which stay: {}",
                different.len(),
                different.join(" ")
            ));
        }
        if !damaged.is_empty() {
            warn(&format!(
                "{} runs are damaged and were left out: {}",
                damaged.len(),
                damaged.join(" ")
            ));
        }
    }
    Ok(if clean { Exit::Fine } else { Exit::CheckFailed })
}

/// The lock under which stores are merged into one: two at a time would be in each other's way.
const MERGING: &str = "merging";

/// Copies the runs of a store into another, with the promises that they keep.
///
/// # Errors
/// When there is no such store, it is the same, or one of them cannot be read or written.
pub fn merge(from: &Path, into: &Store) -> anyhow::Result<Merged> {
    if !from.is_dir() {
        bail!("there is no store at {}", from.display());
    }
    let same_folder = from.canonicalize().ok().zip(into.root().canonicalize().ok());
    if same_folder.is_some_and(|(from, into)| from == into) {
        bail!(
            "{} is the store that it was to be merged into; name another with --store",
            from.display()
        );
    }
    let source = Store::at(from);
    let _one_at_a_time = into.lock(MERGING)?;
    let mut merged = Merged { from: from.display().to_string(), ..Merged::default() };
    // The promises first: a run is never there without its own.
    for index in [from.join("commitments.jsonl")].into_iter().chain(source.merged_indices()) {
        bring_index(&index, into)?;
    }
    for cell in source.cells()? {
        let list = if source.fault(&cell).is_some() {
            &mut merged.damaged
        } else if into.has(&cell) {
            let digest = |store: &Store| store.manifest(&cell).ok().map(|(_, digest)| digest);
            if digest(&source) == digest(into) { &mut merged.same } else { &mut merged.different }
        } else {
            into.bring(&source, &cell)?;
            &mut merged.copied
        };
        list.push(cell);
    }
    merged.suite_runs = bring_missing(&source.suites_folder(), &into.suites_folder())?;
    bring_missing(&from.join("scores"), &into.root().join("scores"))?;
    Ok(merged)
}

/// Copies an index under the name of its head, so that the same one comes once.
fn bring_index(path: &Path, into: &Store) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let index = CommitmentIndex::read_and_verify(path)?;
    let to = into.root().join(format!("commitments-{}.jsonl", index.head().short(16)));
    // An index only grows: of two, one may be the beginning of the other.
    let begins = |one: &CommitmentIndex, other: &CommitmentIndex| {
        one.lines.is_empty() || other.lines.iter().any(|line| line.digest == one.head())
    };
    let own = into.root().join("commitments.jsonl");
    let mut outgrown = Vec::new();
    for known in into.merged_indices().into_iter().chain([own.clone()]).filter(|path| path.exists())
    {
        let there = CommitmentIndex::read_and_verify(&known)?;
        if begins(&index, &there) {
            return Ok(());
        }
        if known != own && begins(&there, &index) {
            outgrown.push(known);
        }
    }
    let bytes = plain::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // What is torn off the end promises nothing.
    let whole =
        &bytes[..bytes.len() - usize::try_from(index.torn_bytes).unwrap_or(0).min(bytes.len())];
    write_atomic(&to, whole)?;
    for path in outgrown {
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Copies the files below a folder that are not there yet; says how many.
fn bring_missing(from: &Path, to: &Path) -> anyhow::Result<usize> {
    let Ok(list) = fs::read_dir(from) else { return Ok(0) };
    let mut brought = 0;
    let mut paths: Vec<PathBuf> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        // A link to a folder would lead out of the store.
        if path.is_dir() && !path.is_symlink() {
            brought += bring_missing(&path, &target)?;
        } else if !target.exists() && path.extension().is_none_or(|extension| extension != "tmp") {
            let bytes =
                plain::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
            write_atomic(&target, &bytes)?;
            brought += 1;
        }
    }
    Ok(brought)
}
