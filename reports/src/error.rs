//! What can go wrong while a report is made.

use std::io;
use std::path::PathBuf;

/// Why a report could not be made; reads after "failed to render the report: ".
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The analysis has a version that this build does not know.
    #[error("analysis has version {found}, newer than {known}; use the palimpsest that wrote it")]
    NewerAnalysis {
        /// Version found.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// A figure could not be drawn.
    #[error("figure {figure:?} could not be drawn: {reason}")]
    Figure {
        /// Name of the figure.
        figure: String,
        /// What the drawing backend said.
        reason: String,
    },
    /// Something was chosen that the report does not have.
    #[error("{what} {name:?} is not in the report; it has {}", known.join(", "))]
    Chosen {
        /// Kind of thing: arm, metric or figure.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The page could not be filled in.
    #[error("page could not be filled in: {0}")]
    Page(#[from] askama::Error),
    /// The certificate to be shown is not one.
    #[error(transparent)]
    Certificate(#[from] analysis::evidence::certificate::CertificateError),
    /// The analysis could not be written as JSON.
    #[error("analysis could not be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A file could not be written.
    #[error("{} could not be written: {source}; check that the folder exists and has room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
