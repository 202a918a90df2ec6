//! The suite runs that a store keeps, and which of them is meant.
//!
//! ```text
//! suites/<suite>/<id>.json   one run of the suite; <id> is 20261129T053012-1a2b3c4d:
//!                            when it first started, and what was run
//! suites/<suite>.json        the last run, as builds of before kept it
//! ```

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use ledger::plain;
use ledger::record::format::RecordError;
use ledger::record::store::Store;
use ledger::record::writer::write_atomic;

use super::{SUITE_RUN_VERSION, SuiteRun};
use crate::calendar::moment;

/// All runs of a suite, or of all suites, in a store.
#[derive(Debug)]
pub struct Shelf {
    /// Those that can be read, the one that started last first.
    pub runs: Vec<Shelved>,
    /// Why others cannot.
    pub damaged: Vec<RecordError>,
    whose: String,
}

/// A suite run in a store.
#[derive(Debug, Clone)]
pub struct Shelved {
    /// Its name there.
    pub id: String,
    /// What it says.
    pub run: SuiteRun,
    /// When its file was last written, as the file system tells it.
    written: Option<SystemTime>,
}

/// The suite run that is meant, and what must be said about the choice.
#[derive(Debug)]
pub struct Found {
    /// The run.
    pub shelved: Shelved,
    /// True where it is what the suite's name stands for, and false where it was asked for by its id
    /// and another one stands for the suite.
    pub stands: bool,
    /// What a reader must know: that a part ran, that the text has changed since, what is damaged.
    pub notes: Vec<String>,
}

impl Shelf {
    /// All runs of a suite in a store.
    ///
    /// # Errors
    /// When the folder is there but cannot be listed.
    pub fn of(store: &Store, suite: &str) -> Result<Self, RecordError> {
        let mut files = json_files(&store.suite_folder(suite))?;
        files.extend(Some(store.suite_file(suite)).filter(|file| file.exists()));
        let whose = format!("suite \"{suite}\" has no run in {}", store.root().display());
        Ok(Self::read(&files, whose))
    }

    /// All runs of all suites in a store.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn all(store: &Store) -> Result<Self, RecordError> {
        let root = store.suites_folder();
        let mut files = json_files(&root)?;
        for folder in entries(&root)?.into_iter().filter(|path| path.is_dir()) {
            files.extend(json_files(&folder)?);
        }
        Ok(Self::read(&files, format!("no suite has a run in {}", store.root().display())))
    }

    fn read(files: &[std::path::PathBuf], whose: String) -> Self {
        let mut shelf = Self { runs: Vec::new(), damaged: Vec::new(), whose };
        for file in files {
            match read(file) {
                Ok(run) => {
                    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
                    let written = fs::metadata(file).and_then(|file| file.modified()).ok();
                    shelf.runs.push(Shelved { id: stem.into_owned(), run, written });
                }
                Err(error) => shelf.damaged.push(error),
            }
        }
        // Of those that started within one second, the one that was written last.
        shelf.runs.sort_by_cached_key(|one| {
            std::cmp::Reverse((one.run.made.started_unix, one.written, one.id.clone()))
        });
        shelf
    }

    /// The run that stands for the suite, best first: of `text` and whole, of `text`, whole, any; the
    /// newest of these. With `only_text` a run of another text never does.
    ///
    /// # Errors
    /// When there is none.
    pub fn standing(
        self,
        text: Option<&str>,
        only_text: Option<&str>,
    ) -> Result<Found, RecordError> {
        let Self { runs, mut damaged, whose } = self;
        let of_text = |one: &Shelved| text.is_none_or(|text| one.run.suite_digest == text);
        let rank = |one: &&Shelved| (!of_text(one), !one.run.is_whole());
        // The first of equals is the newest.
        let Some(best) = runs.iter().min_by_key(rank) else {
            return Err(if damaged.is_empty() { none(&whose) } else { damaged.swap_remove(0) });
        };
        if let Some(file) = only_text.filter(|_| !of_text(best)) {
            return Err(RecordError::NotFound(format!(
                "{file} has not run as it is now: what the store holds of suite \"{}\" is of another text \
                 (ran from {}, {}); {}, and `--run {}` means the other",
                best.run.suite,
                best.run.source,
                moment(best.run.made.started_unix),
                again(&best.run, file),
                best.id
            )));
        }
        let mut notes = Vec::new();
        if !best.run.is_whole() {
            notes.push(format!(
                "only a part of the suite, or a change of it, has run: {}",
                best.run.made.options.join(" ")
            ));
        }
        if !of_text(best) {
            notes.push(format!(
                "the suite's text has changed since it ran; {} as it is now",
                again(&best.run, &best.run.source)
            ));
        }
        notes.extend(damaged.iter().map(|error| format!("left out: {error}")));
        Ok(Found { shelved: best.clone(), stands: true, notes })
    }

    /// The run with this id, or the one whose id starts or ends so; `last` is the newest.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub fn find(self, id: &str, text: Option<&str>) -> Result<Found, RecordError> {
        let wanted: Vec<&Shelved> = if id == "last" {
            self.runs.iter().take(1).collect()
        } else {
            let fits = |one: &&Shelved| one.id.starts_with(id) || one.id.ends_with(id);
            self.runs.iter().filter(fits).collect()
        };
        let shelved = match wanted.as_slice() {
            [one] if !id.is_empty() => (*one).clone(),
            [] => {
                return Err(RecordError::NotFound(format!(
                    "no suite run \"{id}\"; `palimpsest list suite-runs` shows what is there"
                )));
            }
            several => {
                let ids: Vec<&str> = several.iter().map(|one| one.id.as_str()).collect();
                return Err(RecordError::NotFound(format!(
                    "\"{id}\" is {} suite runs: {}",
                    several.len(),
                    ids.join(", ")
                )));
            }
        };
        let of_suite = |one: &&Shelved| one.run.suite == shelved.run.suite;
        let runs = self.runs.iter().filter(of_suite).cloned().collect();
        let standing = Self { runs, ..self }.standing(text, None)?;
        let stands = standing.shelved.id == shelved.id;
        let part = !shelved.run.is_whole();
        let notes = part.then(|| {
            format!("a part or a change of the suite: {}", shelved.run.made.options.join(" "))
        });
        Ok(Found { shelved, stands, notes: notes.into_iter().collect() })
    }
}

/// What runs a suite.
fn again(run: &SuiteRun, source: &str) -> String {
    match run.is_imported() {
        false => format!("`palimpsest run {source}` runs it"),
        true => format!("`palimpsest import LOGS --suite {source}` imports it"),
    }
}

fn none(whose: &str) -> RecordError {
    RecordError::NotFound(format!("{whose}; `palimpsest run` makes one"))
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>, RecordError> {
    use std::io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        // One that may not be read is not one without runs.
        Err(error) => match error.kind() {
            NotFound | NotADirectory | InvalidFilename | InvalidInput => return Ok(Vec::new()),
            _ => return Err(RecordError::io("list", folder)(error)),
        },
    };
    let mut paths: Vec<_> = list.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn json_files(folder: &Path) -> Result<Vec<std::path::PathBuf>, RecordError> {
    let json = |path: &std::path::PathBuf| path.extension().is_some_and(|kind| kind == "json");
    Ok(entries(folder)?.into_iter().filter(json).collect())
}

fn read(path: &Path) -> Result<SuiteRun, RecordError> {
    let shown = path.display().to_string();
    let text = plain::read_to_string(path).map_err(RecordError::io("read", path))?;
    let damaged = |reason: String| RecordError::Damaged { path: shown.clone(), reason };
    let run: SuiteRun = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    if run.version > SUITE_RUN_VERSION {
        return Err(RecordError::Newer { path: shown, found: u64::from(run.version) });
    }
    let fits =
        |cell: &super::RunCell| cell.workload < run.workloads.len() && cell.arm < run.arms.len();
    if run.cells.iter().all(fits) {
        Ok(run)
    } else {
        Err(damaged("a cell names no arm or workload".to_owned()))
    }
}

impl SuiteRun {
    /// Gives the run its id: that of the same run where the store has it already, so that one which
    /// was interrupted goes on under its name, else a new one from when it starts and what is run.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn take_place(&mut self, store: &Store) -> Result<(), RecordError> {
        let what = self.digest().short(8);
        let before = json_files(&store.suite_folder(&self.suite))?;
        let names = before.iter().filter_map(|path| path.file_stem()?.to_str());
        let same = names.into_iter().find(|name| name.ends_with(&what));
        let now = || {
            let time = moment(self.made.started_unix).replace(['-', ':'], "").replace(' ', "T");
            format!("{time}-{what}")
        };
        self.made.id = same.map_or_else(now, str::to_owned);
        Ok(())
    }

    /// Writes the file into the store, under its id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, store: &Store) -> Result<(), RecordError> {
        let folder = store.suite_folder(&self.suite);
        let path = folder.join(format!("{}.json", self.made.id));
        let json = serde_json::to_vec_pretty(self).map_err(|error| RecordError::Damaged {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let _lock = store.lock_suites()?;
        fs::create_dir_all(&folder).map_err(RecordError::io("create", &folder))?;
        write_atomic(&path, &json)
    }

    /// The run that stands for a suite: the newest that ran as it is written, or else the newest.
    ///
    /// # Errors
    /// When the suite was never run here, or no file of it can be read.
    pub fn load(store: &Store, suite: &str) -> Result<Self, RecordError> {
        Ok(Shelf::of(store, suite)?.standing(None, None)?.shelved.run)
    }
}
