//! `palimpsest claims`

use std::fs;
use std::path::{Path, PathBuf};

use analysis::register::{self, Definition, Reason, Register};
use analysis::suite::Suite;
use analysis::suite_run::Shelf;
use analysis::summary::Analysis;
use analysis::tuning::{Tuned, day};
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::record::writer::write_atomic;

use super::suite_options::Places;
use crate::evidence::StoreEvidence;
use crate::exit::Exit;
use crate::library::{self, SuiteText};
use crate::voice::{note, print_json, print_text};

/// What `palimpsest claims` does.
#[derive(Debug, clap::Subcommand)]
pub enum Claims {
    /// Write the verdicts of a suite's last run into its register, suites/<suite>.claims.json
    Record(RecordArgs),
    /// Log why claims that were judged have changed, before the suite is run again
    Amend(AmendArgs),
    /// Print what the verdict on each claim of a suite hangs on, as JSON, with its digest
    Show {
        /// Name of a suite, or its YAML file
        suite: String,
    },
    /// Find suites that differ from what was judged; exit 1 where one does
    Check {
        /// Suite files; all at or below suites/ when none is given
        suites: Vec<PathBuf>,
    },
    /// Write the page of all verdicts from the registers at or below suites/
    Page {
        /// File to write
        #[arg(long, value_name = "FILE", default_value = "docs/claims.md")]
        out: PathBuf,
    },
}

/// Options of `palimpsest claims record`.
#[derive(Debug, clap::Args)]
pub struct RecordArgs {
    /// Name of a suite below suites/, or its YAML file
    suite: String,
    /// The suite run whose verdicts are written, by its id; by default the one that stands for the suite
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    #[command(flatten)]
    because: Because,
    #[command(flatten)]
    places: Places,
}

/// Options of `palimpsest claims amend`.
#[derive(Debug, clap::Args)]
pub struct AmendArgs {
    /// Name of a suite below suites/, or its YAML file
    suite: String,
    /// The day of the change, YYYY-MM-DD
    #[arg(long, value_name = "DAY", value_parser = a_day)]
    date: String,
    #[command(flatten)]
    because: Because,
}

/// Why something changed.
#[derive(Debug, clap::Args)]
struct Because {
    /// Why something that was judged has changed
    #[arg(long, value_name = "WHY", requires = "seen")]
    because: Option<String>,
    /// The change was made with results at hand
    #[arg(long, group = "seen", requires = "because")]
    results_seen: bool,
    /// The change was made before anybody saw results
    #[arg(long, group = "seen", requires = "because")]
    results_unseen: bool,
}

impl Because {
    fn reason(&self) -> Option<Reason<'_>> {
        let why = self.because.as_deref()?;
        Some(Reason { why, results_seen: self.results_seen })
    }
}

/// `2026-11-28`.
fn a_day(text: &str) -> Result<String, String> {
    let digits =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
    match text.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2) => {
            Ok(text.to_owned())
        }
        _ => Err("a day is written as 2026-11-28".to_owned()),
    }
}

impl Claims {
    /// Runs the verb.
    ///
    /// # Errors
    /// With what was wrong and the way out.
    pub fn run(&self) -> anyhow::Result<Exit> {
        match self {
            Self::Record(args) => record(args),
            Self::Amend(args) => amend(args),
            Self::Show { suite } => show(suite),
            Self::Check { suites } => check(suites),
            Self::Page { out } => page(out),
        }
    }
}

fn record(args: &RecordArgs) -> anyhow::Result<Exit> {
    let (written, path) = of_a_file(&args.suite)?;
    let Written { suite, text, tuned } = &written;
    let store = args.places.store();
    let digest = Digest::of(text.as_bytes()).to_string();
    let shelf = Shelf::of(&store, &suite.suite)?;
    let found = match &args.run {
        Some(id) => shelf.find(id, Some(&digest)),
        None => shelf.standing(Some(&digest), None),
    }?;
    let suite_run = found.shelved.run;
    let analysis = Analysis::of(&suite_run, &store, &StoreEvidence { store: &store });
    let times = suite_run.cells.iter().filter_map(|cell| store.record(&cell.cell).ok());
    let newest = times.map(|record| record.environment.started_unix).max();
    let today = day(newest.with_context(|| format!("no run of \"{}\" is stored", suite.suite))?);
    let mut register = Register::read(&path, &suite.suite)?;
    let written = (suite, text.as_str(), tuned.as_ref());
    let reason = args.because.reason();
    let added = register::record(&mut register, written, &analysis, &today, reason)?;
    register.write(&path)?;
    print_text(&format!("{added} verdicts added to {}\n", path.display()))?;
    Ok(Exit::Fine)
}

fn amend(args: &AmendArgs) -> anyhow::Result<Exit> {
    let (Written { suite, tuned, .. }, path) = of_a_file(&args.suite)?;
    let mut register = Register::read(&path, &suite.suite)?;
    let written = (&suite, tuned.as_ref());
    let changes = register::amend(&mut register, written, &args.date, args.because.reason())?;
    register.write(&path)?;
    print_text(&format!("{} changes logged in {}\n", changes.len(), path.display()))?;
    Ok(Exit::Fine)
}

fn show(suite: &str) -> anyhow::Result<Exit> {
    let Written { suite, tuned, .. } = read(library::suite(suite)?)?;
    let of = |claim| Definition::of(&suite, tuned.as_ref(), claim);
    let definitions: Vec<Definition> = suite.claims.iter().map(of).collect();
    print_json(&definitions)?;
    Ok(Exit::Fine)
}

fn check(suites: &[PathBuf]) -> anyhow::Result<Exit> {
    let files = if suites.is_empty() { suite_files()? } else { suites.to_vec() };
    let mut differences = 0;
    for file in &files {
        let (Written { suite, tuned, .. }, register) = both(file)?;
        for difference in register::check(&register, &suite, tuned.as_ref()) {
            print_text(&format!("{}: {difference}\n", file.display()))?;
            differences += 1;
        }
    }
    if differences == 0 {
        print_text(&format!("{} suites are as they were judged\n", files.len()))?;
        return Ok(Exit::Fine);
    }
    note(
        "run the suite, then `palimpsest claims record SUITE --because WHY --results-seen`; or log it now: `claims amend`",
    );
    Ok(Exit::CheckFailed)
}

fn page(out: &Path) -> anyhow::Result<Exit> {
    let mut registers = Vec::new();
    for file in suite_files()? {
        let (_, register) = both(&file)?;
        if !register.claims.is_empty() {
            registers.push(register);
        }
    }
    write_atomic(out, reports::register::page(&registers).as_bytes())?;
    print_text(&format!("page: {}\n", out.display()))?;
    Ok(Exit::Fine)
}

/// The registers at or below `suites/` of the working folder that hold claims and can be read; none where there is no
/// such folder.
pub(super) fn registers() -> Vec<Register> {
    let read = |file: PathBuf| {
        let shown = file.display().to_string();
        let suite = analysis::suite::parse(&shown, &fs::read_to_string(&file).ok()?).ok()?;
        Register::read(&Register::beside(&file), &suite.suite).ok()
    };
    let files = suite_files().unwrap_or_default().into_iter();
    files.filter_map(read).filter(|register| !register.claims.is_empty()).collect()
}

/// A suite as it is written, with the settings that trials chose for it where it has been tuned.
struct Written {
    suite: Suite,
    text: String,
    tuned: Option<Tuned>,
}

fn read(found: SuiteText) -> anyhow::Result<Written> {
    let suite = analysis::suite::parse(&found.file, &found.text)?;
    let (file, frozen) = library::tuned(&found)?;
    let tuned = frozen.map(|text| Tuned::parse(&file, &found.file, &text)).transpose()?;
    Ok(Written { suite, text: found.text, tuned })
}

/// A suite that is a file, and where its register lies.
fn of_a_file(suite: &str) -> anyhow::Result<(Written, PathBuf)> {
    let found = library::suite(suite)?;
    let file = PathBuf::from(&found.file);
    if !file.is_file() {
        bail!("{} is no file here: a register lies beside its suite", file.display());
    }
    Ok((read(found)?, Register::beside(&file)))
}

/// A suite file and its register.
fn both(file: &Path) -> anyhow::Result<(Written, Register)> {
    let shown = file.display().to_string();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let written = read(SuiteText { file: shown, text })?;
    let register = Register::read(&Register::beside(file), &written.suite.suite)?;
    Ok((written, register))
}

/// The suites at or below `suites/` of the working folder, sorted.
fn suite_files() -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = vec![PathBuf::from("suites")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let missing = || format!("there is no folder {} here", folder.display());
        for entry in fs::read_dir(&folder).with_context(missing)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") && !stem.contains('.')
            {
                // `<name>.tuned.yaml` holds settings, not a suite.
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
