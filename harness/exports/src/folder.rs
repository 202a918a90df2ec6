//! A folder that appears whole or not at all, and replaces only what an export has written.
//!
//! ```text
//! DIR/                          put in place by one rename
//!   palimpsest-export.json      which runs, in which form, and the digest of every other file
//!   …
//! .DIR.<process>.tmp  .old      what a killed export left; the next one of DIR removes it
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use ledger::digest::{Digest, of_reader};
use ledger::plain;
use serde::{Deserialize, Serialize};

use crate::{Batch, ExportError};

/// The file by which an export is known as one.
pub const MARK: &str = "palimpsest-export.json";

/// Version of the mark that this build writes.
pub const MARK_VERSION: u32 = 1;

/// What [`MARK`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// [`MARK_VERSION`].
    pub version: u32,
    /// The form: `mlflow`, `tensorboard`, ….
    pub form: String,
    /// Version of Palimpsest.
    pub palimpsest: String,
    /// The suite, or `runs`.
    pub name: String,
    /// SHA-256 of the suite's text.
    pub suite_digest: Option<String>,
    /// Run digests, by cell id.
    pub runs: BTreeMap<String, Digest>,
    /// SHA-256 of every other file, by its path below the folder.
    pub files: BTreeMap<String, Digest>,
}

/// Fills a temporary folder beside `out` and puts it in the place of `out`; returns the paths of its files, the
/// mark aside, sorted.
///
/// # Errors
/// When `out` holds what no export has written there, or a file cannot be written: `out` is then as it was.
pub fn put(
    out: &Path,
    form: &str,
    batch: &Batch,
    fill: impl FnOnce(&Path) -> Result<(), ExportError>,
) -> Result<Vec<PathBuf>, ExportError> {
    let target = place(out)?;
    held_by_others(&target, out)?;
    let parent = target.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(ExportError::io("create", parent))?;
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    sweep(parent, &name, &target)?;
    let process = std::process::id();
    let temporary = parent.join(format!(".{name}.{process}.tmp"));
    let put = || {
        fs::create_dir(&temporary).map_err(ExportError::io("create", &temporary))?;
        fill(&temporary)?;
        let files = digests(&temporary)?;
        let mark = Mark {
            version: MARK_VERSION,
            form: form.to_owned(),
            palimpsest: env!("CARGO_PKG_VERSION").to_owned(),
            name: batch.name.clone(),
            suite_digest: batch.suite_digest.clone(),
            runs: batch.runs.iter().map(|run| (run.record.cell.clone(), run.digest)).collect(),
            files,
        };
        let mut json = serde_json::to_vec_pretty(&mark)?;
        json.push(b'\n');
        write(&temporary.join(MARK), &json)?;
        replace(&temporary, &target, &parent.join(format!(".{name}.{process}.old")))?;
        Ok(mark.files.into_keys().map(|path| out.join(path)).collect())
    };
    put().inspect_err(|_| {
        let _ = fs::remove_dir_all(&temporary);
    })
}

/// Writes a file of an export, making its folder.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ExportError::io("create", folder))?;
    }
    // Not synced one by one: an export can be made again, a store of MLflow has thousands of files, and the mark
    // tells a file that a power cut has emptied.
    fs::write(path, bytes).map_err(ExportError::io("write", path))
}

/// Where the folder will be, from the root on.
///
/// # Errors
/// When it has no name of its own.
pub fn place(out: &Path) -> Result<PathBuf, ExportError> {
    let absolute = std::path::absolute(out).map_err(ExportError::io("find", out))?;
    // A link stays where it is: what it leads to is replaced.
    let absolute = if absolute.exists() {
        absolute.canonicalize().map_err(ExportError::io("find", out))?
    } else {
        absolute
    };
    let named = matches!(absolute.components().next_back(), Some(Component::Normal(_)));
    if named { Ok(absolute) } else { Err(theirs(out, "it has no name of its own")) }
}

fn theirs(folder: &Path, reason: &str) -> ExportError {
    ExportError::Theirs { folder: folder.display().to_string(), reason: reason.to_owned() }
}

/// Refuses a folder with anything in it that no export has written there as it is now.
fn held_by_others(target: &Path, out: &Path) -> Result<(), ExportError> {
    if !target.exists() {
        return Ok(());
    }
    if !target.is_dir() {
        return Err(theirs(out, "it is a file"));
    }
    let found = digests(target)?;
    if found.is_empty() && !target.join(MARK).exists() {
        return Ok(());
    }
    let text = plain::read(&target.join(MARK)).ok();
    let Some(mark) = text.and_then(|text| serde_json::from_slice::<Mark>(&text).ok()) else {
        return Err(theirs(out, &format!("it holds files, and no {MARK} of an export")));
    };
    for (path, digest) in &found {
        match mark.files.get(path) {
            Some(written) if written == digest => {}
            Some(_) => return Err(theirs(out, &format!("{path} in it has been changed"))),
            None => return Err(theirs(out, &format!("{path} in it is of no export"))),
        }
    }
    Ok(())
}

/// Digest of every file below a folder, without the mark. A link counts as a file that nobody can have written.
fn digests(folder: &Path) -> Result<BTreeMap<String, Digest>, ExportError> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        for entry in fs::read_dir(&current).map_err(ExportError::io("list", &current))? {
            let entry = entry.map_err(ExportError::io("list", &current))?;
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                continue;
            }
            if path == folder.join(MARK) {
                continue;
            }
            let digest = match plain::open(&path) {
                Ok(mut file) => of_reader(&mut file).map_err(ExportError::io("read", &path))?.1,
                Err(_) => Digest([0; 32]),
            };
            let relative = path.strip_prefix(folder).unwrap_or(&path);
            found.insert(relative.to_string_lossy().into_owned(), digest);
        }
    }
    Ok(found)
}

/// Puts `temporary` in the place of `target`, which is moved aside first and comes back if that fails.
fn replace(temporary: &Path, target: &Path, aside: &Path) -> Result<(), ExportError> {
    let was_there = target.exists();
    if was_there {
        fs::rename(target, aside).map_err(ExportError::io("move away", target))?;
    }
    if let Err(error) = fs::rename(temporary, target) {
        if was_there {
            let _ = fs::rename(aside, target);
        }
        return Err(ExportError::io("put in place", target)(error));
    }
    if was_there {
        fs::remove_dir_all(aside).map_err(ExportError::io("remove", aside))?;
    }
    Ok(())
}

/// Removes what killed exports of the folder left; what one had moved aside and not yet replaced comes back.
fn sweep(parent: &Path, name: &str, target: &Path) -> Result<(), ExportError> {
    for entry in fs::read_dir(parent).map_err(ExportError::io("list", parent))? {
        let path = entry.map_err(ExportError::io("list", parent))?.path();
        let left = path.file_name().and_then(|left| left.to_str()).unwrap_or_default();
        let Some(rest) = left.strip_prefix('.').and_then(|rest| rest.strip_prefix(name)) else {
            continue;
        };
        let parts = rest.strip_prefix('.').and_then(|rest| rest.split_once('.'));
        let Some((process, kind @ ("tmp" | "old"))) = parts else { continue };
        let is_over = !process.is_empty()
            && process.bytes().all(|c| c.is_ascii_digit())
            && Path::new("/proc/self").exists()
            && !Path::new("/proc").join(process).exists();
        if !is_over {
            continue;
        }
        if kind == "old" && !target.exists() {
            fs::rename(&path, target).map_err(ExportError::io("put back", &path))?;
        } else {
            fs::remove_dir_all(&path).map_err(ExportError::io("remove", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn filled(out: &Path, text: &str) -> Result<Vec<PathBuf>, ExportError> {
        put(out, "csv", &sample::batch(), |folder| write(&folder.join("a/b.txt"), text.as_bytes()))
    }

    fn read(out: &Path) -> String {
        fs::read_to_string(out.join("a/b.txt")).unwrap()
    }

    #[test]
    fn an_export_replaces_itself_and_its_mark_has_every_digest() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("deep/out");
        assert_eq!(filled(&out, "1").unwrap(), [out.join("a/b.txt")]);
        filled(&out, "2").unwrap();
        assert_eq!(read(&out), "2");
        let mark: Mark = serde_json::from_slice(&fs::read(out.join(MARK)).unwrap()).unwrap();
        assert_eq!(mark.files, [("a/b.txt".to_owned(), Digest::of(b"2"))].into());
        let batch = sample::batch();
        let runs = batch.runs.iter().map(|run| (run.record.cell.clone(), run.digest)).collect();
        assert_eq!(mark.runs, runs);
        assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_wrote_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |out: &Path, why: &str| {
            let error = filled(out, "new").unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("--out"), "{error}");
        };
        let theirs = folder.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        filled(&theirs, "an empty folder is nobody's").unwrap();
        fs::write(theirs.join("notes.txt"), "mine").unwrap();
        refused(&theirs, "notes.txt in it is of no export");
        fs::remove_file(theirs.join("notes.txt")).unwrap();
        fs::write(theirs.join("a/b.txt"), "edited").unwrap();
        refused(&theirs, "a/b.txt in it has been changed");
        assert_eq!(read(&theirs), "edited");
        fs::remove_file(theirs.join(MARK)).unwrap();
        refused(&theirs, "it holds files, and no palimpsest-export.json");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        refused(&file, "it is a file");
        refused(Path::new("/"), "it has no name of its own");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_folder_is_of_no_export() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        filled(&out, "1").unwrap();
        std::os::unix::fs::symlink("/etc", out.join("link")).unwrap();
        assert!(filled(&out, "2").unwrap_err().to_string().contains("link in it"));
    }

    #[test]
    fn an_export_that_fails_or_is_killed_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        filled(&out, "whole").unwrap();
        let failed = put(&out, "csv", &sample::batch(), |temporary| {
            write(&temporary.join("half"), b"half of")?;
            Err(theirs(temporary, "the power is cut"))
        });
        assert!(failed.is_err());
        assert_eq!(read(&out), "whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A process that is over: one that this number can never have.
        let gone = format!(".out.{}.", u32::MAX);
        fs::create_dir(folder.path().join(format!("{gone}tmp"))).unwrap();
        fs::rename(&out, folder.path().join(format!("{gone}old"))).unwrap();
        fs::write(folder.path().join(".out.notes.tmp"), "mine").unwrap();
        let broken = put(&out, "csv", &sample::batch(), |folder| Err(theirs(folder, "again")));
        assert!(broken.is_err());
        assert_eq!(read(&out), "whole", "what was moved aside comes back");
        filled(&out, "next").unwrap();
        assert_eq!(read(&out), "next");
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".out.notes.tmp", "out"]);
    }
}
