//! Writes a run folder so that it is either whole or not there.
//!
//! Files go to a temporary folder of the store, each is fsynced, the manifest last; then the
//! folder is renamed to its cell id. A process killed at any moment leaves a folder that the next
//! run of the cell removes.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::format::{Event, FileEntry, MESSAGES, Manifest, RecordError, RunRecord};
use crate::digest::{Digest, of_reader};
use crate::plain;
use crate::transcript::FinishedTranscript;

/// A run folder being written.
#[derive(Debug)]
pub struct RunWriter {
    folder: PathBuf,
    target: PathBuf,
    cell: String,
    events: BufWriter<File>,
}

impl RunWriter {
    /// Starts in `folder` (created empty), to become `target`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn start(folder: PathBuf, target: PathBuf, cell: &str) -> Result<Self, RecordError> {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(RecordError::io("remove", &folder))?;
        }
        fs::create_dir_all(&folder).map_err(RecordError::io("create", &folder))?;
        let path = folder.join("events.jsonl");
        let events = BufWriter::new(File::create(&path).map_err(RecordError::io("create", &path))?);
        Ok(Self { folder, target, cell: cell.to_owned(), events })
    }

    /// Adds a line to `events.jsonl`.
    ///
    /// # Errors
    /// When the line cannot be written.
    pub fn event(&mut self, event: &Event) -> Result<(), RecordError> {
        let write = |out: &mut BufWriter<File>| {
            serde_json::to_writer(&mut *out, event)?;
            out.write_all(b"\n")?;
            out.flush()
        };
        write(&mut self.events).map_err(RecordError::io("write", &self.folder.join("events.jsonl")))
    }

    /// Writes the transcript and the sample ids it refers to.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn order(
        &self,
        order: &FinishedTranscript,
        sample_ids: &[Digest],
    ) -> Result<(), RecordError> {
        self.file("order.bin", |out| order.write_to(out))?;
        self.file("sample_ids.bin", |out| {
            sample_ids.iter().try_for_each(|id| out.write_all(id.as_bytes()))
        })
    }

    /// Writes what the workers of a search said.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn messages(&self, bytes: &[u8]) -> Result<(), RecordError> {
        self.file(MESSAGES, |out| out.write_all(bytes))
    }

    /// Adds a file that `write` makes at the path it is given.
    ///
    /// # Errors
    /// What `write` says, or when the file cannot be made durable.
    pub fn add<E: From<RecordError>>(
        &self,
        name: &str,
        write: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(RecordError::io("create", folder))?;
        }
        write(&path)?;
        let sync = File::open(&path).and_then(|file| file.sync_all());
        sync.map_err(RecordError::io("sync", &path))?;
        path.parent().map_or(Ok(()), |folder| Ok(sync_folder(folder)?))
    }

    /// Writes `record.json` and the manifest and puts the folder in place; returns the run digest.
    ///
    /// # Errors
    /// When a file cannot be written; the folder is then still a temporary one.
    pub fn finish(mut self, record: &RunRecord, suite_text: &str) -> Result<Digest, RecordError> {
        self.file("suite.yaml", |out| out.write_all(suite_text.as_bytes()))?;
        let json = canonical(record)
            .map_err(RecordError::io("write", &self.folder.join("record.json")))?;
        self.file("record.json", |out| out.write_all(&json))?;
        let events = self.folder.join("events.jsonl");
        self.events.flush().map_err(RecordError::io("write", &events))?;
        self.events.get_ref().sync_all().map_err(RecordError::io("sync", &events))?;

        let manifest =
            Manifest { version: 1, cell: self.cell.clone(), files: entries(&self.folder)? };
        let json = canonical(&manifest)
            .map_err(RecordError::io("write", &self.folder.join("manifest.json")))?;
        let digest = Digest::of(&json);
        self.file("manifest.json", |out| out.write_all(&json))?;
        sync_folder(&self.folder)?;
        self.put_in_place()?;
        Ok(digest)
    }

    /// Renames the folder to its final name, moving an older record of the cell out of the way.
    fn put_in_place(&self) -> Result<(), RecordError> {
        let old = self.folder.with_extension("old");
        if self.target.exists() {
            let _ = fs::remove_dir_all(&old);
            fs::rename(&self.target, &old).map_err(RecordError::io("move away", &self.target))?;
        }
        fs::rename(&self.folder, &self.target)
            .map_err(RecordError::io("put in place", &self.target))?;
        if let Some(parent) = self.target.parent() {
            sync_folder(parent)?;
        }
        // What remains of the older record is removed by the next run of the cell if this fails.
        let _ = fs::remove_dir_all(&old);
        Ok(())
    }

    fn file(
        &self,
        name: &str,
        fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<(), RecordError> {
        write_synced(&self.folder.join(name), fill)
    }
}

pub(super) fn write_synced(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), RecordError> {
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        fill(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()
    };
    write().map_err(RecordError::io("write", path))
}

/// Writes `bytes` to `path` by way of a temporary file beside it: whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RecordError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    write_synced(&temporary, |out| out.write_all(bytes))?;
    fs::rename(&temporary, path).map_err(RecordError::io("put in place", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Canonical JSON with a final newline.
fn canonical<T: Serialize>(value: &T) -> std::io::Result<Vec<u8>> {
    let mut bytes = serde_json_canonicalizer::to_vec(value).map_err(std::io::Error::other)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Folder of a run folder that the manifest does not list: signatures of the manifest.
pub const SIGNATURES: &str = "signatures";

/// Size and digest of every file below `folder`, sorted by path; the manifest itself and its
/// signatures are left out.
///
/// # Errors
/// When a file cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<FileEntry>, RecordError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).map_err(RecordError::io("list", &current))? {
            let entry = entry.map_err(RecordError::io("list", &current))?;
            let path = entry.path();
            if path == folder.join(SIGNATURES) || path == folder.join("manifest.json") {
                continue;
            }
            // A link to a folder is none: it would lead out of the store, or round in it.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else {
                let (size, sha256) = plain::open(&path)
                    .and_then(|mut file| of_reader(&mut file))
                    .map_err(RecordError::io("read", &path))?;
                let relative = path.strip_prefix(folder).unwrap_or(&path);
                files.push(FileEntry {
                    path: relative.to_string_lossy().into_owned(),
                    size,
                    sha256,
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Copies the plain files below a folder to a new one, each fsynced.
pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<(), RecordError> {
    fs::create_dir_all(to).map_err(RecordError::io("create", to))?;
    for entry in fs::read_dir(from).map_err(RecordError::io("list", from))? {
        let entry = entry.map_err(RecordError::io("list", from))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            copy_folder(&path, &target)?;
            continue;
        }
        let mut file = plain::open(&path).map_err(RecordError::io("read", &path))?;
        write_synced(&target, |out| std::io::copy(&mut file, out).map(|_| ()))?;
    }
    sync_folder(to)
}

/// Writes a file that must be new, with these permissions (on Unix) from its first byte on.
///
/// # Errors
/// When there is one already, or it cannot be written.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes renames within `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), RecordError> {
    // The parent of a bare file name is empty, and means the current folder.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(RecordError::io("sync", folder))
}
