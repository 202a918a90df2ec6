//! What can be wrong with a file of text or tokens, each with the file, the line or offset, the value and the remedy;
//! and the reading of such a file into memory.

use std::io;
use std::path::{Path, PathBuf};

use super::LEAST_PLACES;
use crate::error::DataError;
use crate::files::{self, FILE_CAP};
use crate::text::spelling::MOST_CHARACTERS;

/// Why a file of text or tokens could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The operating system refused.
    #[error("{}: {source}; check that the path is a readable file", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// It is no plain file.
    #[error("{}: not a regular file; name the file itself", .path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// More than is taken into memory.
    #[error("{}: more than {most} bytes; take a part of it", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        most: u64,
    },
    /// A text is not UTF-8.
    #[error(
        "{}: line {line}: byte {byte:#04x} at offset {offset} is not UTF-8; save it as UTF-8, or read bytes: \
         `unit: byte` of tokens, or text-byte",
        .path.display()
    )]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Offset of the first bad byte, from 0.
        offset: usize,
        /// That byte.
        byte: u8,
    },
    /// More different characters than an alphabet may have.
    #[error(
        "{}: {found} different characters, more than {MOST_CHARACTERS}; read bytes, of which there are 256: \
         `unit: byte` of tokens, or text-byte",
        .path.display()
    )]
    Alphabet {
        /// The file.
        path: PathBuf,
        /// Different characters.
        found: usize,
    },
    /// A line of JSON lines that holds no document.
    #[error("{}: line {line} (at offset {offset}): {problem}; {remedy}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Offset of the line's first byte, from 0.
        offset: usize,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Half a token.
    #[error(
        "{}: {bytes} bytes are no whole number of 16-bit tokens; save it with .astype(numpy.uint16).tofile(…)",
        .path.display()
    )]
    Odd {
        /// The file.
        path: PathBuf,
        /// Bytes of the file.
        bytes: usize,
    },
    /// A token that the vocabulary has not.
    #[error(
        "{}: token {index} (at offset {offset}) is {value}, but `vocabulary` is {vocabulary}; say the number of all \
         tokens, or 0 for one more than the largest; tokens of more than 16 bits are not read",
        .path.display()
    )]
    Beyond {
        /// The file.
        path: PathBuf,
        /// Its number, from 0.
        index: usize,
        /// Offset of its first byte.
        offset: usize,
        /// The token.
        value: u16,
        /// How many there are.
        vocabulary: u32,
    },
    /// Less than three windows.
    #[error(
        "{}: {found} tokens, but a context of {context} needs {needed} at least (a window to train, to validate and to \
         test on); take a longer text or a smaller `context`",
        .path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// Tokens found.
        found: usize,
        /// Tokens read at once.
        context: usize,
        /// Tokens needed.
        needed: usize,
    },
    /// Less than three documents.
    #[error("{}: {documents} documents, but three are needed at least: to train, to validate and to test on; give it as a text, or add some", .path.display())]
    Few {
        /// The file.
        path: PathBuf,
        /// Documents found.
        documents: usize,
    },
    /// More windows than are taken into memory.
    #[error(
        "{}: {windows} windows of a context of {context} are more than {most} places (a short one takes as many as the \
         longest, and {LEAST_PLACES} at least); take a smaller file or another `context`: a smaller one where documents are short",
        .path.display()
    )]
    Many {
        /// The file.
        path: PathBuf,
        /// Windows it would be cut into.
        windows: usize,
        /// Tokens read at once.
        context: usize,
        /// Most places in all.
        most: usize,
    },
    /// All that was held out is trained on.
    #[error(
        "{}: it says the same again and again, so that nothing is held out that is not trained on ({left_out} windows \
         are left out); take a text that repeats itself less",
        .path.display()
    )]
    Repeats {
        /// The file.
        path: PathBuf,
        /// Windows that were left out.
        left_out: usize,
    },
}

/// The bytes of a file of the user's.
///
/// # Errors
/// When it is not there, no plain file, or too large.
pub fn read_text(path: &Path) -> Result<Vec<u8>, TokenError> {
    let path = path.to_path_buf();
    files::read(&path, FILE_CAP).map_err(|error| match error {
        DataError::NotAFile { .. } => TokenError::NotAFile { path },
        DataError::TooLarge { cap: most, .. } => TokenError::TooLarge { path, most },
        DataError::Io { source, .. } => TokenError::Io { path, source },
        other => TokenError::Io { path, source: io::Error::other(other) },
    })
}

/// A text from its bytes.
///
/// # Errors
/// With line, offset and byte, when it is not UTF-8.
pub fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, TokenError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let before = bytes.get(..offset).unwrap_or_default();
        TokenError::Encoding {
            path: path.to_path_buf(),
            line: 1 + before.iter().filter(|&&byte| byte == b'\n').count(),
            offset,
            byte: bytes.get(offset).copied().unwrap_or_default(),
        }
    })
}
