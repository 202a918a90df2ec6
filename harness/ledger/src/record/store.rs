//! The store: a folder of run folders, one commitment index and one lock per cell.
//!
//! ```text
//! runs/
//!   <cell id>/          a finished run: record.json, events.jsonl, order.bin, …, manifest.json
//!   commitments.jsonl   append-only, hash-chained: written before a run starts
//!   commitments-*.jsonl those of stores that were merged into this one
//!   suites/<suite>/     which cells each run of a suite consists of
//!   reports/<suite>/    reports
//!   scores/<root>/      a model's scores per training example: <cell>.loss.npy, …
//!   .damaged/           runs that were mended, as they were before
//!   .tmp/  .locks/      runs being written, and who writes them
//!   .checkpoints/       runs that go on: <cell>.kept, until the run is over
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::format::{Event, IndexPlace, Manifest, RECORD_VERSION, RecordError, RunRecord};
use super::writer::{RunWriter, copy_folder, entries, sync_folder};
use crate::commitment::{CommitmentEntry, CommitmentIndex, CommitmentLine};
use crate::digest::Digest;
use crate::plain;

/// Folder that says which cells a suite consists of; also the name of the lock on it.
const SUITES: &str = "suites";

/// A store on disk.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Held while a cell is being run, or a suite file written; released by the system when the process ends, however it ends.
#[derive(Debug)]
pub struct CellLock {
    _file: File,
}

impl Store {
    /// Opens a store for reading; it need not exist.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Makes the store's folders, checks that they can be written, and clears what killed
    /// processes left.
    ///
    /// # Errors
    /// When they cannot.
    pub fn prepare(&self) -> Result<(), RecordError> {
        for folder in [".tmp", ".locks", SUITES] {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(|error| self.refused("create", &path, error))?;
        }
        // Always the same file, so that a process killed here leaves nothing new.
        let probe = self.root.join(".locks").join("writable");
        fs::write(&probe, b"writable")
            .map_err(|error| self.refused("write to the store at", &self.root, error))?;
        let index = self.root.join("commitments.jsonl");
        if index.exists() {
            let open = File::options().append(true).open(&index);
            open.map_err(|error| self.refused("append to", &index, error))?;
        }
        self.sweep()
    }

    /// Why the store cannot be written, with the way out where it is somebody else's.
    fn refused(&self, action: &'static str, path: &Path, source: std::io::Error) -> RecordError {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem) {
            return RecordError::NotWritable { path: self.root.display().to_string(), source };
        }
        RecordError::io(action, path)(source)
    }

    /// Clears temporary folders of cells that nobody is running, and temporary suite files.
    fn sweep(&self) -> Result<(), RecordError> {
        let temporary = self.root.join(".tmp");
        for path in listed(&temporary)? {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let Some(cell) = stem.filter(|stem| is_cell_id(stem)) else {
                if stem.is_some_and(was_a_repetition) {
                    fs::remove_dir_all(&path).map_err(RecordError::io("remove", &path))?;
                }
                continue;
            };
            if let Some(lock) = self.try_lock(cell)? {
                self.clear(cell, &lock)?;
            }
        }
        let Some(_lock) = self.try_lock(SUITES)? else { return Ok(()) };
        let suites = self.suites_folder();
        let folders = listed(&suites)?.into_iter().filter(|path| path.is_dir());
        for folder in folders.chain([suites.clone()]).collect::<Vec<_>>() {
            for path in listed(&folder)? {
                if path.extension().is_some_and(|extension| extension == "tmp") {
                    fs::remove_file(&path).map_err(RecordError::io("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    /// Where the program of an external arm works while its cell runs: removed with what else a killed
    /// process leaves, and by whoever runs it.
    #[must_use]
    pub fn program_folder(&self, cell: &str) -> PathBuf {
        self.root.join(".tmp").join(cell).with_extension("program")
    }

    /// Removes what a killed process left of a cell. A record that it had moved aside and not yet
    /// replaced comes back.
    fn clear(&self, cell: &str, _lock: &CellLock) -> Result<(), RecordError> {
        let temporary = self.root.join(".tmp").join(cell);
        let aside = temporary.with_extension("old");
        let target = self.folder(cell);
        if aside.is_dir() && !target.exists() {
            fs::rename(&aside, &target).map_err(RecordError::io("put back", &aside))?;
        }
        for path in [temporary, aside, self.program_folder(cell)] {
            if path.exists() {
                fs::remove_dir_all(&path).map_err(RecordError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// The store's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of a cell's finished run.
    #[must_use]
    pub fn folder(&self, cell: &str) -> PathBuf {
        self.root.join(cell)
    }

    /// Where a cell's run is kept while it goes on.
    #[must_use]
    pub fn checkpoint(&self, cell: &str) -> PathBuf {
        self.root.join(".checkpoints").join(format!("{cell}.kept"))
    }

    /// File with a number per training example of the data with Merkle root `root`, in dataset
    /// order, given by the model of a cell; `what` is `loss`, `top1`, `sampled` or `documents`.
    #[must_use]
    pub fn score_file(&self, root: &Digest, cell: &str, what: &str) -> PathBuf {
        self.root.join("scores").join(root.short(16)).join(format!("{cell}.{what}.npy"))
    }

    /// Folder with what the runs of all suites consist of.
    #[must_use]
    pub fn suites_folder(&self) -> PathBuf {
        self.root.join(SUITES)
    }

    /// Folder with what the runs of a suite consist of, a file each.
    #[must_use]
    pub fn suite_folder(&self, suite: &str) -> PathBuf {
        self.root.join(SUITES).join(suite)
    }

    /// Where builds of before kept the last run of a suite.
    #[must_use]
    pub fn suite_file(&self, suite: &str) -> PathBuf {
        self.root.join(SUITES).join(format!("{suite}.json"))
    }

    /// Locks a cell against other processes; `None` when another one holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn try_lock(&self, cell: &str) -> Result<Option<CellLock>, RecordError> {
        let (path, file) = self.lock_file(cell)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(CellLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(no_locks(&path, source)),
        }
    }

    /// Waits for the lock that a writer of suite files holds.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock_suites(&self) -> Result<CellLock, RecordError> {
        self.lock(SUITES)
    }

    /// Waits for a cell's lock.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self, cell: &str) -> Result<CellLock, RecordError> {
        let (path, file) = self.lock_file(cell)?;
        file.lock().map_err(|source| no_locks(&path, source))?;
        Ok(CellLock { _file: file })
    }

    fn lock_file(&self, cell: &str) -> Result<(PathBuf, File), RecordError> {
        let path = self.root.join(".locks").join(cell);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        // Another user's lock file can be locked as well, where it may be read.
        let readable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => File::open(&path).map_err(|_| error),
            _ => Err(error),
        };
        let file = file.or_else(readable).map_err(RecordError::io("create", &path))?;
        Ok((path, file))
    }

    /// Starts writing a run; whatever a killed process left of the cell is removed. The caller
    /// holds the cell's lock.
    ///
    /// # Errors
    /// When the temporary folder cannot be made.
    pub fn start(&self, cell: &str, lock: &CellLock) -> Result<RunWriter, RecordError> {
        self.clear(cell, lock)?;
        RunWriter::start(self.root.join(".tmp").join(cell), self.folder(cell), cell)
    }

    /// Copies a whole run of another store; the folder is put in place when all of it is there.
    ///
    /// # Errors
    /// When another process is running the cell, a file is none, or cannot be copied.
    pub fn bring(&self, from: &Self, cell: &str) -> Result<(), RecordError> {
        let Some(lock) = self.try_lock(cell)? else {
            return Err(RecordError::NotFound(format!("another process is running {cell}")));
        };
        self.clear(cell, &lock)?;
        let (source, temporary) = (from.folder(cell), self.root.join(".tmp").join(cell));
        copy_folder(&source, &temporary)?;
        let target = self.folder(cell);
        fs::rename(&temporary, &target).map_err(RecordError::io("put in place", &target))?;
        sync_folder(&self.root)
    }

    /// Why a run is not what its manifest says: a file that is missing, changed or added, a record that
    /// cannot be read. None where it is whole.
    #[must_use]
    pub fn fault(&self, cell: &str) -> Option<String> {
        if !self.has(cell) {
            return Some(format!("it is not in {}", self.root.display()));
        }
        let read = || {
            self.record(cell)?;
            self.events(cell)?;
            let (manifest, _) = self.manifest(cell)?;
            Ok::<_, RecordError>(manifest.files == entries(&self.folder(cell))?)
        };
        match read() {
            Ok(true) => None,
            Ok(false) => Some("its files are not those of its manifest".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Moves what is there of a run to `.damaged`, and says where it is; none where nothing was.
    ///
    /// # Errors
    /// When another process is running the cell, or the folder cannot be moved.
    pub fn set_aside(&self, cell: &str) -> Result<Option<PathBuf>, RecordError> {
        let Some(_lock) = self.try_lock(cell)? else {
            return Err(RecordError::NotFound(format!("another process is running {cell}")));
        };
        if !self.has(cell) {
            return Ok(None);
        }
        let damaged = self.root.join(".damaged");
        fs::create_dir_all(&damaged).map_err(RecordError::io("create", &damaged))?;
        let names = std::iter::once(cell.to_owned()).chain((2u32..).map(|n| format!("{cell}-{n}")));
        let mut places = names.map(|name| damaged.join(name));
        let place = places.find(|place| !place.exists()).unwrap_or_else(|| damaged.join(cell));
        fs::rename(self.folder(cell), &place)
            .map_err(RecordError::io("move aside", &self.folder(cell)))?;
        Ok(Some(place))
    }

    /// The commitment indices of stores that were merged into this one: `commitments-*.jsonl`, sorted.
    #[must_use]
    pub fn merged_indices(&self) -> Vec<PathBuf> {
        let name = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("commitments-") && name.ends_with(".jsonl")
        };
        let mut paths: Vec<_> =
            listed(&self.root).unwrap_or_default().into_iter().filter(name).collect();
        paths.sort();
        paths
    }

    /// Whether the commitment index holds this promise of a cell at this place.
    ///
    /// # Errors
    /// When the index is damaged or cannot be read.
    pub fn holds(
        &self,
        place: IndexPlace,
        cell: &str,
        commitment: &Digest,
    ) -> Result<bool, RecordError> {
        let path = self.root.join("commitments.jsonl");
        if !path.exists() {
            return Ok(false);
        }
        let index = CommitmentIndex::read_and_verify(&path)?;
        let is_it = |line: &CommitmentLine| {
            (line.sequence, line.digest) == (place.sequence, place.digest)
                && line.entry.cell == cell
                && line.entry.commitment == *commitment
        };
        Ok(index.lines.iter().any(is_it))
    }

    /// Appends to the commitment index; durable when this returns.
    ///
    /// # Errors
    /// When the index is damaged or cannot be written.
    pub fn commit(&self, entry: CommitmentEntry) -> Result<CommitmentLine, RecordError> {
        Ok(CommitmentIndex::append(&self.root.join("commitments.jsonl"), entry)?)
    }

    /// True when a run of the cell is there. Folders are put in place whole, so one that lacks
    /// files was damaged later, and is still a run.
    #[must_use]
    pub fn has(&self, cell: &str) -> bool {
        self.folder(cell).is_dir()
    }

    /// Reads a run's record.
    ///
    /// # Errors
    /// When it is missing, damaged or newer than this build.
    pub fn record(&self, cell: &str) -> Result<RunRecord, RecordError> {
        let path = self.folder(cell).join("record.json");
        let text = plain::read_to_string(&path).map_err(RecordError::io("read", &path))?;
        let shown = path.display().to_string();
        let damaged = |reason: String| RecordError::Damaged { path: shown.clone(), reason };
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        match version {
            Some(found) if found > u64::from(RECORD_VERSION) => {
                Err(RecordError::Newer { path: shown, found })
            }
            Some(0) => Err(damaged("there is no version 0".to_owned())),
            Some(_) => serde_json::from_value(value).map_err(|error| damaged(error.to_string())),
            None => Err(damaged("it has no version".to_owned())),
        }
    }

    /// Reads a run's events.
    ///
    /// # Errors
    /// When they are missing or damaged.
    pub fn events(&self, cell: &str) -> Result<Vec<Event>, RecordError> {
        let path = self.folder(cell).join("events.jsonl");
        let text = plain::read_to_string(&path).map_err(RecordError::io("read", &path))?;
        let lines = text.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| RecordError::Damaged {
                path: format!("{}:{}", path.display(), number + 1),
                reason: error.to_string(),
            })
        });
        lines.collect()
    }

    /// Reads a run's manifest and its digest, the run digest.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn manifest(&self, cell: &str) -> Result<(Manifest, crate::digest::Digest), RecordError> {
        let path = self.folder(cell).join("manifest.json");
        let bytes = plain::read(&path).map_err(RecordError::io("read", &path))?;
        let manifest = serde_json::from_slice(&bytes).map_err(|error| RecordError::Damaged {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        Ok((manifest, crate::digest::Digest::of(&bytes)))
    }

    /// Ids of all finished runs, sorted.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn cells(&self) -> Result<Vec<String>, RecordError> {
        if !self.root.exists() {
            return Ok(Vec::new());
        }
        let list = fs::read_dir(&self.root).map_err(RecordError::io("list", &self.root))?;
        let names = list.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut cells: Vec<_> =
            names.filter(|name| is_cell_id(name)).filter(|name| self.has(name)).collect();
        cells.sort();
        Ok(cells)
    }

    /// The one cell whose id starts with `prefix` (or whose folder `prefix` names).
    ///
    /// # Errors
    /// When there is none or more than one.
    pub fn find(&self, prefix: &str) -> Result<String, RecordError> {
        let name = prefix.trim_end_matches('/').rsplit('/').next().unwrap_or(prefix);
        let matching: Vec<_> =
            self.cells()?.into_iter().filter(|cell| cell.starts_with(name)).collect();
        match matching.as_slice() {
            [one] if !name.is_empty() => Ok(one.clone()),
            [] => Err(RecordError::NotFound(format!(
                "no run \"{prefix}\" in {}; `palimpsest list runs` shows what is there",
                self.root.display()
            ))),
            several => Err(RecordError::NotFound(format!(
                "\"{prefix}\" is {} runs: {}",
                several.len(),
                several.join(", ")
            ))),
        }
    }
}

/// Whether a temporary folder is what a repetition of a build of before has left: its process is over.
fn was_a_repetition(name: &str) -> bool {
    let process =
        name.strip_prefix("reproduce-").filter(|id| id.bytes().all(|c| c.is_ascii_digit()));
    process
        .is_some_and(|id| Path::new("/proc/self").exists() && !Path::new("/proc").join(id).exists())
}

fn no_locks(path: &Path, source: std::io::Error) -> RecordError {
    RecordError::NoLocks { path: path.display().to_string(), source }
}

/// What a folder of the store holds.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, RecordError> {
    let list = fs::read_dir(folder).map_err(RecordError::io("list", folder))?;
    let paths = list.map(|entry| Ok(entry.map_err(RecordError::io("list", folder))?.path()));
    paths.collect()
}

/// Whether a name in the store is a cell's: 16 hexadecimal characters.
#[must_use]
pub fn is_cell_id(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
