//! `palimpsest report`

use std::path::{Path, PathBuf};

use analysis::suite_run::{Found, Shelf, Shelved, SuiteRun};
use analysis::summary::Analysis;
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::record::Store;
use reports::Format;

use super::import::SOURCE;
use super::suite_options::Places;
use crate::evidence::StoreEvidence;
use crate::exit::Exit;
use crate::library::{self, SuiteText, is_same_suite};
use crate::voice::{print_json, print_score, print_text, warn, warn_unjudged};

/// Options of `palimpsest report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a suite that was run, or its YAML file
    #[arg(required_unless_present = "run")]
    suite: Option<String>,
    /// A run of the suite by its id (see `list suite-runs`), or `last`; by default the newest of the suite
    /// as it is written
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    #[command(flatten)]
    places: Places,
    /// Folder to write to; by default <store>/reports/<suite>, and below it <ID> for a run of a part
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What to write
    #[arg(long, value_delimiter = ',', default_value = "html,png,svg,tex,csv,json")]
    format: Vec<Format>,
    /// Print the paths as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let store = args.places.store();
    let Found { shelved, stands, notes } =
        find(&store, args.suite.as_deref(), args.run.as_deref())?;
    notes.iter().for_each(|note| warn(note));
    let analysis = Analysis::of(&shelved.run, &store, &StoreEvidence { store: &store });
    let out = match &args.out {
        Some(out) => out.clone(),
        None => {
            let folder = store.root().join("reports").join(&shelved.run.suite);
            if stands {
                hold_to_source(&store, &shelved.run, &folder)?;
                folder
            } else {
                folder.join(&shelved.id)
            }
        }
    };
    let paths = reports::render(&analysis, &args.format, &out).with_context(|| {
        format!("the report cannot be written to {}; --out DIR takes another folder", out.display())
    })?;
    warn_unjudged(&analysis.unjudged);
    let lacking = analysis.runs.iter().filter(|row| row.status.is_none()).count();
    if lacking > 0 {
        warn(&format!(
            "{lacking} of {} cells have no run that can be read; the page's warnings say why, and what to do",
            analysis.runs.len()
        ));
    }
    if args.json {
        print_json(&paths)?;
    } else {
        print_score(&analysis.score)?;
        if let Some(first) = paths.first() {
            print_text(&format!("report: {}\n", first.display()))?;
        }
    }
    Ok(Exit::Fine)
}

/// The suite run that is meant. A file stands for what it says now, and for no run of another text.
fn find(store: &Store, suite: Option<&str>, run: Option<&str>) -> anyhow::Result<Found> {
    let Some(suite) = suite else {
        return Ok(Shelf::all(store)?.find(run.unwrap_or_default(), None)?);
    };
    // Read once: it may come from a pipe.
    let text = library::suite(suite).ok();
    let digest = text.as_ref().map(|found| Digest::of(found.text.as_bytes()).to_string());
    let shelf = Shelf::of(store, &own_name(suite, text.as_ref()))?;
    Ok(match run {
        Some(id) => shelf.find(id, digest.as_deref()),
        None => {
            shelf.standing(digest.as_deref(), Some(suite).filter(|file| Path::new(file).exists()))
        }
    }?)
}

/// Refuses to replace the report of another file that gives itself the same name.
fn hold_to_source(store: &Store, run: &SuiteRun, folder: &Path) -> anyhow::Result<()> {
    let Ok(text) = std::fs::read(folder.join("analysis.json")) else { return Ok(()) };
    let Ok(drawn) = serde_json::from_slice::<Analysis>(&text) else { return Ok(()) };
    if drawn.suite_digest == run.suite_digest {
        return Ok(());
    }
    let SuiteRun { suite, source, .. } = run;
    let of_it = |other: &&Shelved| other.run.suite_digest == drawn.suite_digest;
    match Shelf::of(store, suite)?.runs.iter().find(of_it) {
        // A suite takes the place of the options that its runs were first imported by.
        Some(other) if other.run.source != SOURCE && !is_same_suite(&other.run.source, source) => {
            bail!(
                "{} holds the report of {}, which calls itself \"{suite}\" as {source} does: name another folder with --out, or rename one of the two",
                folder.display(),
                other.run.source
            )
        }
        _ => Ok(()),
    }
}

/// The suite's own name: what its YAML says where the argument is a file, else the argument.
pub(super) fn suite_name(suite: &str) -> String {
    own_name(suite, library::suite(suite).ok().as_ref())
}

fn own_name(suite: &str, text: Option<&SuiteText>) -> String {
    let parsed = text.and_then(|found| analysis::suite::parse(&found.file, &found.text).ok());
    parsed.map_or_else(|| suite.to_owned(), |parsed| parsed.suite)
}
