//! Figures and tables of provenance: whether p-values are uniform where they must be, and what a
//! run knew of its data at each of its checkpoints, and how deep tests go.

pub mod calibration;
pub mod heatmap;
pub mod power;

use std::path::{Path, PathBuf};

use crate::figure::Figure;
use crate::{ReportError, output, paint};

/// Writes `<name>.svg`, `.png`, `.csv` and `.json` of one figure into `out`; returns the paths.
pub(crate) fn write(
    figure: &Figure,
    table: String,
    result: &impl serde::Serialize,
    out: &Path,
) -> Result<Vec<PathBuf>, ReportError> {
    let mut json = serde_json::to_vec_pretty(result)?;
    json.push(b'\n');
    let files = [
        ("png", paint::png(figure)?),
        ("svg", paint::svg(figure)?.into()),
        ("csv", table.into()),
        ("json", json),
    ];
    let path = |extension: &str| out.join(format!("{}.{extension}", figure.name));
    files.into_iter().map(|(extension, bytes)| output::write(&path(extension), &bytes)).collect()
}
