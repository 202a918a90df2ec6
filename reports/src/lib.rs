//! Figures, pages and tables of an [`Analysis`].
//!
//! This crate only draws: every number that it shows was computed in `ledger`, so that all outputs
//! agree, and a report can be redrawn from records on a machine without libtorch.

mod at_budget;
mod axis;
mod by_number;
pub mod certificate;
mod csv;
mod curve;
mod error;
pub mod estimates;
mod figure;
mod font;
mod format;
pub mod history;
mod html;
mod kept;
mod latex;
mod looks;
pub mod membership;
pub mod order_estimates;
mod output;
mod paint;
pub mod pictures;
mod profiles;
pub mod provenance;
pub mod register;
pub mod regress;
pub mod score;
mod series;
mod text;
mod time_to_target;
pub mod tuning;

#[cfg(test)]
#[path = "../examples/sample/analysis.rs"]
mod sample;

use std::path::{Path, PathBuf};

use analysis::summary::power::curves;
use analysis::summary::{ANALYSIS_VERSION, Analysis};

pub use error::ReportError;
pub use format::{Format, UnknownFormat};
pub use text::{given, without_clock};

/// Renders `analysis` into the folder `out` and returns the paths written, `index.html` first.
///
/// | format | files |
/// | --- | --- |
/// | html | `index.html`, self-contained: no script, nothing loaded |
/// | svg, png | `figures/<workload>-<figure>.svg` and `.png` (2 pixels per unit), `figures/profile-<of what>`, `figures/power-<axis>`, `figures/tuning` |
/// | tex | `tables.tex` (needs the `booktabs` package) |
/// | csv | `arms.csv`, `runs.csv`; `claims.csv` where there are claims, `scores.csv` where arms share several workloads, `provenance.csv` where there are membership tests, `estimates.csv` where there are order estimates, `trials.csv` where settings were tuned |
/// | json | `analysis.json` |
///
/// Everything is rendered before the first byte is written, and each file replaces an older one
/// whole (temporary file, fsync, rename), so that an interrupted call never leaves half a file.
///
/// # Errors
/// [`ReportError::NewerAnalysis`] when `analysis` was made by a newer version,
/// [`ReportError::Write`] with the path when the disk refuses, and the other variants when a
/// figure, page or table can't be drawn.
pub fn render(
    analysis: &Analysis,
    formats: &[Format],
    out: &Path,
) -> Result<Vec<PathBuf>, ReportError> {
    if analysis.version > ANALYSIS_VERSION {
        return Err(ReportError::NewerAnalysis {
            found: analysis.version,
            known: ANALYSIS_VERSION,
        });
    }
    let mut files = Vec::new();
    let wanted = |format| formats.contains(&format);
    let (figures, profiles, power, estimates, sweeps) =
        if [Format::Html, Format::Svg, Format::Png].into_iter().any(wanted) {
            (
                figure::all(analysis),
                profiles::figures(analysis),
                provenance::power::figures(&curves(&analysis.membership)),
                order_estimates::figures(analysis),
                analysis.tuning.as_ref().map(tuning::figures).unwrap_or_default(),
            )
        } else {
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new())
        };
    let all = || {
        let of_runs = figures.iter().chain(&profiles).flatten();
        of_runs.chain(&power).chain(&estimates).chain(&sweeps)
    };
    if wanted(Format::Html) {
        let page =
            html::page(analysis, [&figures, &profiles], [&power, &estimates, &sweeps], formats)?;
        files.push((PathBuf::from("index.html"), page.into()));
    }
    if wanted(Format::Svg) {
        for figure in all() {
            files.push((figure.file("svg"), paint::svg(figure)?.into()));
        }
    }
    if wanted(Format::Png) {
        for figure in all() {
            files.push((figure.file("png"), paint::png(figure)?));
        }
    }
    if wanted(Format::Tex) {
        files.push((PathBuf::from("tables.tex"), latex::tables(analysis).into()));
    }
    if wanted(Format::Csv) {
        files.push((PathBuf::from("arms.csv"), csv::arms(analysis).into()));
        files.push((PathBuf::from("runs.csv"), csv::runs(analysis).into()));
        if !analysis.claims.is_empty() {
            files.push((PathBuf::from("claims.csv"), csv::claims(analysis).into()));
        }
        if !analysis.score.groups.is_empty() {
            files.push((PathBuf::from("scores.csv"), csv::scores(analysis).into()));
        }
        if !analysis.membership.is_empty() {
            files.push((PathBuf::from("provenance.csv"), csv::membership(analysis).into()));
        }
        if let Some(tuning) = &analysis.tuning {
            files.push((PathBuf::from("trials.csv"), tuning::csv(tuning).into()));
        }
        if !analysis.order_estimates.is_empty() {
            files.push((PathBuf::from("estimates.csv"), csv::estimates(analysis).into()));
        }
    }
    if wanted(Format::Json) {
        let mut json = serde_json::to_vec_pretty(analysis)?;
        json.push(b'\n');
        files.push((PathBuf::from("analysis.json"), json));
    }
    files.into_iter().map(|(name, bytes)| output::write(&out.join(name), &bytes)).collect()
}
