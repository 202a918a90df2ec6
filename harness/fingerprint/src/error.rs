//! What can be wrong with a tree.

use std::io;
use std::sync::Arc;

/// Why a tree or a closure cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// Where.
        path: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Rust or C++ source that is not UTF-8.
    #[error("{file}: not UTF-8")]
    NotText {
        /// The file.
        file: String,
    },
    /// Rust source that is not a sequence of tokens.
    #[error("{file}: {reason}")]
    Tokens {
        /// The file.
        file: String,
        /// What the lexer said.
        reason: String,
    },
    /// A manifest without what a workspace or a package must have.
    #[error("{file}: {wanted}")]
    Manifest {
        /// The manifest.
        file: String,
        /// What is missing.
        wanted: &'static str,
    },
    /// A root, or a file asked about, that the tree does not have.
    #[error("{file}: no such file in the tree")]
    Missing {
        /// The file.
        file: String,
    },
    /// Code that depends on something which cannot be followed.
    #[error("{file}: {what}, which cannot be followed to the code it brings in")]
    Refused {
        /// The file.
        file: String,
        /// The construct.
        what: String,
    },
    /// A package that the lock file does not have.
    #[error("Cargo.lock: no package \"{0}\"")]
    Unlocked(String),
}
