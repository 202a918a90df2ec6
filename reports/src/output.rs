//! Files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::ReportError;

/// Puts `bytes` at `path`, making its folder; an older file stays until the new one is complete.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<PathBuf, ReportError> {
    replace(path, |file| file.write_all(bytes))
        .map_err(|source| ReportError::Write { path: path.to_owned(), source })?;
    Ok(path.to_owned())
}

/// Temporary file in the same folder, fsync, rename, fsync of the folder.
fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    // A bare name has a folder without a name: the one we are in.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".report-").suffix(".tmp");
    // A report is meant to be served and shared: as readable as the umask allows, unlike the
    // private default of a temporary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    fill(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Only Unix lets a folder be opened and synced.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupted_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.html");
        write(&path, b"old").unwrap();
        let outcome = replace(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err(io::Error::other("power cut"))
        });
        assert_eq!(outcome.unwrap_err().to_string(), "power cut");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn refused_folder_is_named_in_the_error() {
        let folder = tempfile::tempdir().unwrap();
        let blocker = folder.path().join("out");
        fs::write(&blocker, b"a file, not a folder").unwrap();
        let error = write(&blocker.join("index.html"), b"x").unwrap_err();
        assert!(error.to_string().contains("index.html"), "{error}");
    }
}
