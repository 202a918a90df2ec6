//! Histories on disk: read, append to, repair.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::chain::{History, whole_lines};
use super::entry::Entry;
use super::error::HistoryError;

/// Reads and verifies a history under a shared lock; a file that is not there is an empty history.
///
/// # Errors
/// When it cannot be read, or naming the first broken or torn line.
pub fn read(path: &Path, suite: &str, machine: &str) -> Result<History, HistoryError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(History::new(&shown(path), suite, machine));
        }
        Err(error) => return Err(failed("open", path)(error)),
    };
    file.lock_shared().map_err(failed("lock", path))?;
    History::parse(&shown(path), suite, machine, &read_all(&mut file, path)?)
}

/// Appends an entry under an exclusive lock, after verifying the whole file; on disk when this
/// returns. A write that fails is taken back; one that is killed leaves a torn last line, which the
/// next reader reports. Returns the history with the new line.
///
/// # Errors
/// When the file is broken or torn, the entry does not fit, or the file system refuses; the file is
/// then as it was.
pub fn append(
    path: &Path,
    suite: &str,
    machine: &str,
    entry: Entry,
) -> Result<History, HistoryError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed("open", path))?;
    file.lock().map_err(failed("lock", path))?;
    let bytes = read_all(&mut file, path)?;
    let mut history = History::parse(&shown(path), suite, machine, &bytes)?;
    let line = history.push(entry)?;
    let written = file
        .seek(SeekFrom::End(0))
        .and_then(|_| file.write_all(&line))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Whatever of the line arrived would be a torn one.
        let _ = file.set_len(bytes.len() as u64);
        return Err(failed("append to", path)(error));
    }
    if bytes.is_empty() {
        sync_folder(path).map_err(failed("sync the folder of", path))?;
    }
    Ok(history)
}

/// Drops a torn last line, and nothing else, after verifying the whole lines before it; returns how
/// many bytes were dropped.
///
/// # Errors
/// When a whole line is broken, or the file system refuses; the file is then as it was.
pub fn repair(path: &Path, suite: &str, machine: &str) -> Result<u64, HistoryError> {
    let mut file =
        OpenOptions::new().read(true).write(true).open(path).map_err(failed("open", path))?;
    file.lock().map_err(failed("lock", path))?;
    let bytes = read_all(&mut file, path)?;
    let whole = whole_lines(&bytes);
    History::parse(&shown(path), suite, machine, whole)?;
    if whole.len() < bytes.len() {
        file.set_len(whole.len() as u64)
            .and_then(|()| file.sync_all())
            .map_err(failed("repair", path))?;
    }
    Ok((bytes.len() - whole.len()) as u64)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HistoryError {
    let path = path.to_owned();
    move |source| HistoryError::Io { action, path, source }
}

fn read_all(file: &mut File, path: &Path) -> Result<Vec<u8>, HistoryError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok(bytes)
}

/// Makes a new file's name durable; only Unix can open a folder for that.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
