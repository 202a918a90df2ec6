//! What can go wrong while runs are written for another tool.

use std::io;
use std::path::Path;

/// Why runs could not be written in another form.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The target is somebody else's, or was changed.
    #[error("{folder} is not written over: {reason}; name another folder with --out, or remove it")]
    Theirs {
        /// The folder.
        folder: String,
        /// What in it is not of an export.
        reason: String,
    },
    /// A file of a run is not what its manifest says.
    #[error(
        "{path} of run {cell} is not what the run's manifest says; `palimpsest verify {cell}` tells more"
    )]
    Changed {
        /// The run.
        cell: String,
        /// The file.
        path: String,
    },
    /// JSON could not be written.
    #[error("what is exported cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A Parquet file could not be written.
    #[cfg(feature = "parquet")]
    #[error("a table cannot be written as Parquet: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
}

impl ExportError {
    /// Wraps an error of the file system.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}
