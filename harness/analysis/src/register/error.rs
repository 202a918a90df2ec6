//! What can be wrong with a register.

use std::io;
use std::path::PathBuf;

/// A register that cannot be read, or an entry that may not be made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no register, or cannot be written.
    #[error("{}: {reason}; take it from the last commit", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What ran is not what the suite says now.
    #[error("suite \"{suite}\" has changed since it was run; `palimpsest run {suite}` first")]
    Stale {
        /// Its name.
        suite: String,
    },
    /// Something that was judged has changed, and nobody says why.
    #[error(
        "what was judged has changed:\n{}\nsay why with --because, and --results-seen or --results-unseen",
        .changes.join("\n")
    )]
    Unexplained {
        /// One line each.
        changes: Vec<String>,
    },
}
