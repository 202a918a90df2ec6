//! Reads files that a stranger may have put where they are: only plain files, so that a pipe hangs
//! nobody and a link leads nowhere else.

use std::fs::{self, File, FileType};
use std::io::{self, Read as _};
use std::path::Path;

/// Opens a plain file.
///
/// # Errors
/// When it cannot be opened, or is a link, a pipe, a socket, a device or a folder.
pub fn open(path: &Path) -> io::Result<File> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if kind.is_file() {
        return File::open(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}", what(kind))))
}

/// Reads a plain file.
///
/// # Errors
/// As [`open`], or when it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a plain file of at most `most` bytes, and no more of one that grows meanwhile.
///
/// # Errors
/// As [`read`], or when it has more.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(bytes)
}

/// Reads a plain file of text.
///
/// # Errors
/// As [`read`], or when it is not UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// What stands where a plain file should.
fn what(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "a link, where a plain file should be"
    } else if kind.is_dir() {
        "a folder, where a plain file should be"
    } else {
        "a pipe, socket or device, where a plain file should be"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn only_plain_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        assert_eq!(read_to_string(&path("file")).unwrap(), "text");
        assert_eq!(read_at_most(&path("file"), 4).unwrap(), b"text");
        let longer = read_at_most(&path("file"), 3).unwrap_err().to_string();
        assert_eq!(longer, "it has more than 3 bytes");
        let refused = |name: &str| read(&path(name)).unwrap_err().to_string();
        assert_eq!(refused("link"), "it is a link, where a plain file should be");
        assert_eq!(refused("."), "it is a folder, where a plain file should be");
        // A pipe without a writer: opening it would wait for ever.
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        assert!(refused("pipe").starts_with("it is a pipe"), "{}", refused("pipe"));
    }
}
