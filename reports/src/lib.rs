//! Figures, pages and tables of an [`Analysis`].
//!
//! This crate only draws: every number that it shows was computed in `ledger`, so that all outputs
//! agree, and a report can be redrawn from records on a machine without libtorch.

mod at_budget;
mod axis;
mod by_number;
pub mod certificate;
mod claims;
mod cost;
mod csv;
mod curve;
mod error;
pub mod estimates;
mod figure;
mod font;
mod format;
mod grid;
pub mod history;
mod html;
mod kept;
mod latex;
mod looks;
mod markdown;
pub mod membership;
mod metrics;
mod numbers;
pub mod order_estimates;
mod orders;
mod output;
mod paint;
mod pairs;
mod panels;
mod paper;
pub mod pictures;
mod possible;
mod precision;
pub mod preset;
mod profiles;
pub mod provenance;
pub mod register;
pub mod regress;
pub mod score;
mod series;
mod stamp;
mod text;
mod themed;
mod time_to_target;
pub mod tuning;

#[cfg(test)]
#[path = "../examples/sample/analysis.rs"]
mod sample;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use analysis::summary::power::curves;
use analysis::summary::{ANALYSIS_VERSION, Analysis, ArmAnalysis, MOST_POINTS, thinned};

use crate::figure::{Figure, WIDTH};
use crate::series::Looks;

pub use error::ReportError;
pub use format::{Format, UnknownFormat};
pub use html::Place;
pub use html::compare::page as side_by_side;
pub use html::index::{LastReport, page as index};
pub use text::{asked, given, without_clock};

/// Renders `analysis` into the folder `out` and returns the paths written, `index.html` first.
///
/// | format | files |
/// | --- | --- |
/// | html | `index.html`, self-contained: nothing loaded, read without its script |
/// | svg, png, pdf | `figures/<workload>-<figure>.svg`, `.png` (2 pixels per unit) and `.pdf` (fonts embedded), `figures/claims`, `figures/arms-by-workloads`, `figures/profile-<of what>`, `figures/power-<axis>`, `figures/tuning`; each says in its metadata which runs it shows |
/// | tex | `tables.tex` (needs the `booktabs` package), `numbers.tex` |
/// | md | `tables.md` |
/// | csv | `arms.csv`, `runs.csv`, `curves.csv`; `claims.csv` where there are claims, `scores.csv` where arms share several workloads, `provenance.csv` where there are membership tests, `estimates.csv` where there are order estimates, `trials.csv` where settings were tuned |
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
    render_at(analysis, formats, out, &Place::default())
}

/// As [`render`], with a page that links to what stands around it.
///
/// # Errors
/// As [`render`].
pub fn render_at(
    analysis: &Analysis,
    formats: &[Format],
    out: &Path,
    place: &Place,
) -> Result<Vec<PathBuf>, ReportError> {
    if analysis.version > ANALYSIS_VERSION {
        return Err(ReportError::NewerAnalysis {
            found: analysis.version,
            known: ANALYSIS_VERSION,
        });
    }
    let analysis = &*drawable(analysis);
    let mut files = Vec::new();
    let wanted = |format| formats.contains(&format);
    let figures = if [Format::Html, Format::Svg, Format::Png, Format::Pdf].into_iter().any(wanted) {
        Figures::of(analysis)
    } else {
        Figures::default()
    };
    if wanted(Format::Html) {
        let page = html::page(analysis, &figures, formats, place)?;
        files.push((PathBuf::from("index.html"), page.into()));
    }
    if wanted(Format::Svg) {
        for figure in figures.all() {
            files.push((figure.file("svg"), paint::svg(figure)?.into()));
        }
    }
    if wanted(Format::Png) {
        let all: Vec<&Figure> = figures.all().collect();
        for (figure, bytes) in all.iter().zip(paint::pngs(&all)?) {
            files.push((figure.file("png"), bytes));
        }
    }
    if wanted(Format::Pdf) {
        for figure in figures.all() {
            files.push((figure.file("pdf"), paint::pdf::pdf(figure)?));
        }
    }
    if wanted(Format::Tex) {
        files.push((PathBuf::from("tables.tex"), latex::tables(analysis).into()));
        files.push((PathBuf::from("numbers.tex"), numbers::macros(analysis).into()));
    }
    if wanted(Format::Md) {
        files.push((PathBuf::from("tables.md"), markdown::tables(analysis).into()));
    }
    if wanted(Format::Csv) {
        files.push((PathBuf::from("arms.csv"), csv::arms(analysis).into()));
        files.push((PathBuf::from("runs.csv"), csv::runs(analysis).into()));
        files.push((PathBuf::from("curves.csv"), csv::curves(analysis).into()));
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

/// The analysis with no more points a curve than a figure can show: those of an older version may have all.
fn drawable(analysis: &Analysis) -> Cow<'_, Analysis> {
    let arms = analysis.workloads.iter().flat_map(|workload| &workload.arms);
    let is_long = |arm: &ArmAnalysis| {
        let further = arm.looks_by_samples.values().chain(arm.metrics_by_samples.values());
        let costs = arm.costs.values().map(|cost| &cost.curve);
        let mut curves = further.chain(costs).chain([&arm.by_samples, &arm.by_time]);
        curves.any(|points| points.len() > MOST_POINTS)
    };
    if !arms.clone().any(is_long) {
        return Cow::Borrowed(analysis);
    }
    let mut analysis = analysis.clone();
    for arm in analysis.workloads.iter_mut().flat_map(|workload| &mut workload.arms) {
        let further = arm.looks_by_samples.values_mut().chain(arm.metrics_by_samples.values_mut());
        let costs = arm.costs.values_mut().map(|cost| &mut cost.curve);
        for points in further.chain(costs).chain([&mut arm.by_samples, &mut arm.by_time]) {
            *points = thinned(std::mem::take(points), MOST_POINTS);
        }
    }
    Cow::Owned(analysis)
}

/// Every figure of a report, by the section that it belongs to.
#[derive(Default)]
struct Figures {
    figures: Vec<Vec<Figure>>,
    over_all: Vec<Figure>,
    profiles: Vec<Vec<Figure>>,
    power: Vec<Figure>,
    estimates: Vec<Figure>,
    sweeps: Vec<Figure>,
}

impl Figures {
    fn of(analysis: &Analysis) -> Self {
        Self::at(analysis, &Looks::of(analysis), WIDTH)
    }

    /// All of them, those of workloads first.
    fn all(&self) -> impl Iterator<Item = &Figure> {
        let of_runs = self.figures.iter().chain(&self.profiles).flatten().chain(&self.over_all);
        of_runs.chain(&self.power).chain(&self.estimates).chain(&self.sweeps)
    }

    /// At some width, each arm with its looks, each figure with its stamp.
    fn at(analysis: &Analysis, looks: &Looks, width: f64) -> Self {
        let mut all = Self {
            figures: figure::drawn(analysis, looks, width),
            over_all: figure::over_all(analysis, width),
            profiles: profiles::drawn(analysis, looks, width),
            power: provenance::power::figures(&curves(&analysis.membership)),
            estimates: order_estimates::figures(analysis),
            sweeps: analysis.tuning.as_ref().map(tuning::figures).unwrap_or_default(),
        };
        for (workload, figures) in analysis.workloads.iter().zip(&mut all.figures) {
            for figure in figures {
                stamp::stamp(figure, analysis, Some(&workload.workload));
            }
        }
        let others = all.profiles.iter_mut().flatten().chain(&mut all.over_all);
        let others = others.chain(&mut all.power).chain(&mut all.estimates).chain(&mut all.sweeps);
        others.for_each(|figure| stamp::stamp(figure, analysis, None));
        all
    }
}

/// Puts a page at `path`, whole or not at all.
///
/// # Errors
/// [`ReportError::Write`] with the path when the disk refuses.
pub fn write_page(path: &Path, page: &str) -> Result<PathBuf, ReportError> {
    output::write(path, page.as_bytes())
}
