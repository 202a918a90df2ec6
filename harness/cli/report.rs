//! `palimpsest report`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use analysis::suite_run::{Found, Shelf, Shelved, SuiteRun};
use analysis::summary::{Analysis, ClaimOutcome};
use analysis::tuning::day;
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::record::Store;
use reports::{Format, LastReport, Place};
use serde::Deserialize;

use self::preset::PresetOptions;
use super::import::SOURCE;
use super::suite_options::Places;
use crate::evidence::StoreEvidence;
use crate::exit::Exit;
use crate::library::{self, SuiteText, is_same_suite};
use crate::voice::{print_json, print_score, print_text, warn, warn_unjudged};

mod preset;

/// What a report on a screen has where nobody asks for anything else.
const FORMATS: [Format; 7] =
    [Format::Html, Format::Png, Format::Svg, Format::Tex, Format::Md, Format::Csv, Format::Json];

/// Options of `palimpsest report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a suite that was run, or its YAML file
    #[arg(required_unless_present_any = ["run", "index"])]
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
    /// Draw the page of all suites alone: every claim with its verdict in the register and in the last report; by
    /// default <store>/reports/index.html, which every report keeps up to date
    #[arg(long, conflicts_with_all = ["suite", "run", "format"])]
    index: bool,
    /// What to write: html, png, svg, pdf, tex, md, csv, json; by default all but pdf, and pdf, svg and png for a paper
    #[arg(long, value_delimiter = ',')]
    format: Vec<Format>,
    #[command(flatten)]
    preset: PresetOptions,
    /// Print the paths as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// With what was wrong and the way out.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let paper = args.preset.paper(&args.format)?;
    let store = args.places.store();
    if args.index {
        return index_alone(args, &store);
    }
    let Found { shelved, stands, notes } =
        find(&store, args.suite.as_deref(), args.run.as_deref())?;
    notes.iter().for_each(|note| warn(note));
    let analysis = Analysis::of(&shelved.run, &store, &StoreEvidence { store: &store });
    let (out, place) = match &args.out {
        Some(out) => (out.clone(), Place::default()),
        None => {
            let folder = reports_folder(&store).join(&shelved.run.suite);
            let place = place(&shelved.run.suite, !stands);
            if stands {
                hold_to_source(&store, &shelved.run, &folder)?;
                (folder, place)
            } else {
                (folder.join(&shelved.id), place)
            }
        }
    };
    let formats = if args.format.is_empty() { &FORMATS[..] } else { &args.format };
    let paths = match &paper {
        // Nothing of the report itself is replaced.
        Some(paper) => reports::preset::render(&analysis, paper, &out),
        None => reports::render_at(&analysis, formats, &out, &place),
    };
    let paths = paths.with_context(|| {
        format!("the report cannot be written to {}; --out DIR takes another folder", out.display())
    })?;
    if args.out.is_none() && paper.is_none() && formats.contains(&Format::Html) {
        write_index(&store, &reports_folder(&store).join(INDEX))?;
    }
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

const INDEX: &str = "index.html";

/// Where the store keeps its reports.
fn reports_folder(store: &Store) -> PathBuf {
    store.root().join("reports")
}

/// What stands around the report of a suite in the store's folder of reports, or of a part of it one folder below.
fn place(suite: &str, is_part: bool) -> Place {
    let depth = Path::new(suite).components().count() + usize::from(is_part);
    let up = vec![".."; depth].join("/");
    Place { index: Some(format!("{up}/{INDEX}")), records: Some(format!("{up}/..")) }
}

fn index_alone(args: &Args, store: &Store) -> anyhow::Result<Exit> {
    let folder = args.out.clone().unwrap_or_else(|| reports_folder(store));
    let path = write_index(store, &folder.join(INDEX))?;
    if args.json {
        print_json(&[path])?;
    } else {
        print_text(&format!("report: {}\n", path.display()))?;
    }
    Ok(Exit::Fine)
}

/// What the index tells of a report that was drawn.
#[derive(Deserialize)]
struct DrawnReport {
    suite: String,
    question: String,
    claims: Vec<ClaimOutcome>,
    environment: Vec<(String, String)>,
}

/// Writes the page of all suites: registers below the working folder, and the reports that the store has.
fn write_index(store: &Store, path: &Path) -> anyhow::Result<PathBuf> {
    let shelf = Shelf::all(store)?;
    let started: BTreeMap<&str, u64> =
        shelf.runs.iter().map(|one| (one.id.as_str(), one.run.made.started_unix)).collect();
    let mut names: Vec<&str> = shelf.runs.iter().map(|one| one.run.suite.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let folder = reports_folder(store);
    let beside = path.parent() == Some(folder.as_path());
    let report = |name: &str| {
        let page = folder.join(name).join(INDEX);
        let text = std::fs::read(folder.join(name).join("analysis.json")).ok()?;
        let drawn: DrawnReport = serde_json::from_slice(&text).ok()?;
        let run = drawn.environment.iter().find(|(name, _)| name == "suite run");
        let date = run.and_then(|(_, id)| started.get(id.as_str())).map(|unix| day(*unix));
        let address = if beside { format!("{name}/{INDEX}") } else { page.display().to_string() };
        let DrawnReport { suite, question, claims, .. } = drawn;
        page.is_file().then_some(LastReport { suite, question, address, date, claims })
    };
    let drawn: Vec<LastReport> = names.into_iter().filter_map(report).collect();
    let page = reports::index(&super::claims::registers(), &drawn)?;
    reports::write_page(path, &page).map_err(Into::into)
}

/// The suite run that is meant. A file stands for what it says now, and for no run of another text.
pub(super) fn find(store: &Store, suite: Option<&str>, run: Option<&str>) -> anyhow::Result<Found> {
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
