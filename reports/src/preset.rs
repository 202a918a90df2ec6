//! Figures for a paper: of a column's width or of both, with letters of 7 to 9 points, without titles, which are in a file
//! of captions.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use analysis::summary::{ANALYSIS_VERSION, Analysis, WorkloadAnalysis};
use ledger::goal;

use crate::figure::{COLUMN, Figure, WIDTH};
use crate::series::{Looks, Series};
use crate::{Figures, Format, ReportError, at_budget, curve, drawable, output, paint, stamp, text};

/// What a paper wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Paper {
    /// Whether figures go over both columns: 7 inches, else 3.33.
    pub wide: bool,
    /// Dots per inch of bitmaps.
    pub dpi: f64,
    /// Labels of the arms to show; all where there is none.
    pub arms: Vec<String>,
    /// Metrics whose values at the budget, and along the run where they were recorded, are drawn beside the target's,
    /// without their splits: `nll`.
    pub metrics: Vec<String>,
    /// Figures to write by the ends of their names, such as `time-to-target`; all where there is none.
    pub figures: Vec<String>,
    /// Any of PDF, SVG and PNG.
    pub formats: Vec<Format>,
}

impl Default for Paper {
    fn default() -> Self {
        Self {
            wide: false,
            dpi: 300.0,
            arms: Vec::new(),
            metrics: Vec::new(),
            figures: Vec::new(),
            formats: vec![Format::Pdf, Format::Svg, Format::Png],
        }
    }
}

/// Writes `paper/<figure>.pdf`, `.svg` and `.png` and `paper/captions.md` into `out`; returns the paths, the captions
/// first.
///
/// Every number is that of the report: arms are left out, nothing is computed again.
///
/// # Errors
/// [`ReportError::Chosen`] with what there is where an arm, a metric or a figure is not in the report; else as
/// [`crate::render`].
pub fn render(analysis: &Analysis, paper: &Paper, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    if analysis.version > ANALYSIS_VERSION {
        let (found, known) = (analysis.version, ANALYSIS_VERSION);
        return Err(ReportError::NewerAnalysis { found, known });
    }
    // Looks are those among all arms of the suite: an arm keeps its own in every choice.
    let looks = Looks::of(analysis);
    let analysis = &of_arms(&drawable(analysis), &paper.arms)?;
    let figures = chosen(all(analysis, &looks, paper)?, &paper.figures)?;
    let folder = out.join("paper");
    let mut files = vec![("captions.md".to_owned(), captions(analysis, &figures).into_bytes())];
    for figure in &figures {
        for format in &paper.formats {
            let bytes = match format {
                Format::Pdf => paint::pdf::pdf(figure)?,
                Format::Svg => paint::svg(figure)?.into_bytes(),
                Format::Png => paint::png_at(figure, paper.dpi)?,
                Format::Html | Format::Tex | Format::Md | Format::Csv | Format::Json => continue,
            };
            files.push((format!("{}.{format}", figure.name), bytes));
        }
    }
    files.into_iter().map(|(name, bytes)| output::write(&folder.join(name), &bytes)).collect()
}

/// The analysis with these arms alone, in the order of the suite.
fn of_arms(analysis: &Analysis, arms: &[String]) -> Result<Analysis, ReportError> {
    let mut analysis = analysis.clone();
    if arms.is_empty() {
        return Ok(analysis);
    }
    let labels = analysis.workloads.iter().flat_map(|workload| &workload.arms);
    let known: BTreeSet<&str> = labels.map(|arm| arm.label.as_str()).collect();
    check("arm", arms, &known)?;
    let wanted = |label: &String| arms.contains(label);
    for workload in &mut analysis.workloads {
        workload.arms.retain(|arm| wanted(&arm.label));
    }
    analysis.workloads.retain(|workload| !workload.arms.is_empty());
    analysis.runs.retain(|row| wanted(&row.arm));
    analysis.claims.retain(|claim| wanted(&claim.arm) && wanted(&claim.baseline));
    for group in &mut analysis.score.groups {
        group.arms.retain(|arm| wanted(&arm.arm));
    }
    Ok(analysis)
}

fn check(what: &'static str, names: &[String], known: &BTreeSet<&str>) -> Result<(), ReportError> {
    match names.iter().find(|name| !known.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let known = known.iter().map(|known| (*known).to_owned()).collect();
            Err(ReportError::Chosen { what, name: name.clone(), known })
        }
    }
}

/// Every figure in the paper's width; those that need both columns have them.
fn all(analysis: &Analysis, looks: &Looks, paper: &Paper) -> Result<Vec<Figure>, ReportError> {
    let width = if paper.wide { WIDTH } else { COLUMN };
    let found = Figures::at(analysis, looks, width);
    let Figures { figures, over_all, profiles, power, estimates, sweeps } = found;
    let known: BTreeSet<&str> = analysis.workloads.iter().flat_map(metrics).collect();
    check("metric", &paper.metrics, &known)?;
    let mut more = Vec::new();
    for (workload, figures) in analysis.workloads.iter().zip(&figures) {
        let own: BTreeSet<&str> = metrics(workload).collect();
        let series = Series::of(looks, workload);
        // The name of the workload's files, before that of the figure.
        let stem = figures.iter().find_map(|figure| figure.name.strip_suffix("-at-budget"));
        let stem = stem.map_or_else(|| text::slug(&workload.workload), str::to_owned);
        let asked = paper.metrics.iter().filter(|metric| own.contains(metric.as_str()));
        for metric in asked.filter(|metric| **metric != workload.target.metric) {
            let at_end = at_budget::of_metric(workload, &series, width, metric);
            let along = curve::of_metric(workload, &series, width, metric);
            for mut figure in [Some(at_end), along].into_iter().flatten() {
                figure.name = format!("{stem}-{}", figure.name);
                stamp::stamp(&mut figure, analysis, Some(&workload.workload));
                more.push(figure);
            }
        }
    }
    let all = figures.into_iter().chain(profiles).flatten().chain(more).chain(over_all);
    let all = all.chain(power).chain(estimates).chain(sweeps);
    Ok(all.map(Figure::bare).collect())
}

/// The metrics that some arm has at the budget, without splits.
fn metrics(workload: &WorkloadAnalysis) -> impl Iterator<Item = &str> {
    let names = workload.arms.iter().flat_map(|arm| arm.at_budget.keys());
    names.filter_map(|name| {
        let (metric, look) = goal::metric_and_look(name);
        let (_, metric) = metric.split_once('/')?;
        look.is_none().then_some(metric)
    })
}

/// The figures with these names, or whose names end with them.
fn chosen(figures: Vec<Figure>, names: &[String]) -> Result<Vec<Figure>, ReportError> {
    if names.is_empty() {
        return Ok(figures);
    }
    let is = |figure: &Figure, name: &str| {
        figure.name == name
            || figure.name.strip_suffix(name).is_some_and(|stem| stem.ends_with('-'))
    };
    if let Some(name) = names.iter().find(|name| !figures.iter().any(|figure| is(figure, name))) {
        let known = figures.iter().map(|figure| figure.name.clone()).collect();
        return Err(ReportError::Chosen { what: "figure", name: name.clone(), known });
    }
    Ok(figures.into_iter().filter(|figure| names.iter().any(|name| is(figure, name))).collect())
}

/// What stands under each figure.
fn captions(analysis: &Analysis, figures: &[Figure]) -> String {
    let mut page = format!("# Captions of suite {}\n", text::one_line(&analysis.suite));
    for figure in figures {
        let columns = if figure.narrow() { "one column, 3.33 in" } else { "two columns, 7 in" };
        // A string's own formatter never fails.
        let _ = write!(
            page,
            "\n## {}\n\n{}. {}. {}\n\n({columns})\n",
            figure.name,
            // It begins with a name where it does not begin with a capital letter, and no name is altered.
            figure.title,
            text::capital(&figure.explanation),
            origin(analysis, figure)
        );
    }
    page
}

/// Suite, seeds and commit, and where the runs are named.
fn origin(analysis: &Analysis, figure: &Figure) -> String {
    let of = |key: &str| {
        let found = figure.stamp.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    };
    let cells: BTreeSet<&str> = of("Runs")
        .unwrap_or_default()
        .split(' ')
        .filter_map(|run| Some(run.split_once('=')?.0))
        .collect();
    let shown = analysis.runs.iter().filter(|row| cells.contains(row.cell.as_str()));
    let seeds: BTreeSet<&str> = shown.map(|row| row.seed.as_str()).collect();
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    let mut words = format!(
        "Suite {} ({}), {} {noun}, {} runs, whose digests are in the file's metadata",
        text::one_line(&analysis.suite),
        text::short_hash(&analysis.suite_digest),
        seeds.len(),
        cells.len()
    );
    if let Some(commit) = of("Commit") {
        let _ = write!(words, "; commit {}", text::short_hash(commit));
    }
    words + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Shape;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::sample;

    fn drawn(analysis: &Analysis, paper: &Paper) -> Vec<Figure> {
        let looks = Looks::of(analysis);
        chosen(
            all(&of_arms(analysis, &paper.arms).unwrap(), &looks, paper).unwrap(),
            &paper.figures,
        )
        .unwrap()
    }

    #[test]
    fn no_letter_is_smaller_than_7_points_or_larger_than_9_and_no_title_is_inside() {
        for analysis in [sample::full(), sample::loss(), sample::several(), sample::provenance()] {
            for wide in [false, true] {
                for figure in drawn(&analysis, &Paper { wide, ..Paper::default() }) {
                    for shape in &figure.shapes {
                        let Shape::Text { text, size, .. } = shape else { continue };
                        let points = size * figure.unit();
                        assert!(
                            (6.99..=9.0).contains(&points),
                            "{}: {text:?} {points}",
                            figure.name
                        );
                        assert!(*text != figure.title, "{}: title inside", figure.name);
                    }
                    check_texts(&figure);
                    check_shapes(&figure);
                }
            }
        }
    }

    #[test]
    fn a_chosen_arm_looks_as_in_the_report_and_others_are_gone() {
        let analysis = sample::full();
        let arms = vec!["sgd".to_owned(), "muon".to_owned()];
        let figures = vec!["time-to-target".to_owned()];
        let few = drawn(&analysis, &Paper { arms, figures: figures.clone(), ..Paper::default() });
        let whole = drawn(&analysis, &Paper { figures, ..Paper::default() });
        let looks = |figure: &Figure| -> BTreeSet<(u8, u8, u8)> {
            let colours = figure.shapes.iter().filter_map(|shape| match shape {
                Shape::Disc { colour, .. } => Some(*colour),
                _ => None,
            });
            colours.collect()
        };
        assert_eq!((few.len(), whole.len()), (1, 1));
        assert!(looks(&few[0]).is_subset(&looks(&whole[0])));
        let texts: Vec<&str> = few[0]
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert!(texts.contains(&"muon") && !texts.contains(&"adamw"), "{texts:?}");
    }

    #[test]
    fn what_is_not_in_the_report_is_refused_with_what_is() {
        let analysis = sample::full();
        let out = Path::new("never-written");
        let one = |name: &str| vec![name.to_owned()];
        let arms = Paper { arms: one("sdg"), ..Paper::default() };
        let error = render(&analysis, &arms, out).unwrap_err().to_string();
        assert!(error.starts_with("arm \"sdg\" is not in the report; it has "), "{error}");
        assert!(error.contains("drop-muon") && error.contains("sgd"), "{error}");
        let metrics = Paper { metrics: one("loss"), ..Paper::default() };
        let error = render(&analysis, &metrics, out).unwrap_err().to_string();
        assert!(error.contains("it has accuracy, nll"), "{error}");
        let figures = Paper { figures: one("curves"), ..Paper::default() };
        let error = render(&analysis, &figures, out).unwrap_err().to_string();
        assert!(error.contains("digits-mlp-time-to-target"), "{error}");
    }

    #[test]
    fn a_metric_of_choice_that_was_recorded_along_the_run_has_its_curve_too() {
        let metrics = vec!["length".to_owned()];
        for wide in [false, true] {
            let figures = drawn(
                &sample::recorded(),
                &Paper { metrics: metrics.clone(), wide, ..Paper::default() },
            );
            for end in
                ["-at-budget-length", "-length-by-samples", "-metrics", "-cost-forward-tokens"]
            {
                let found = figures.iter().find(|figure| figure.name.ends_with(end));
                let figure = found.unwrap_or_else(|| panic!("no {end}"));
                check_texts(figure);
                check_shapes(figure);
            }
        }
    }

    #[test]
    fn files_in_every_format_name_their_runs_and_a_metric_of_choice_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let paper = Paper {
            metrics: vec!["nll".to_owned()],
            figures: vec!["at-budget-nll".to_owned(), "claims".to_owned()],
            ..Paper::default()
        };
        let analysis = sample::full();
        let paths = render(&analysis, &paper, folder.path()).unwrap();
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names[0], "captions.md");
        assert_eq!(names.len(), 1 + 2 * 3, "{names:?}");
        let digest = analysis.runs[0].run_digest.as_deref().unwrap();
        for path in &paths[1..] {
            let bytes = std::fs::read(path).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(text.contains(digest), "{} names no run", path.display());
        }
        let captions = std::fs::read_to_string(&paths[0]).unwrap();
        assert!(captions.contains("## digits-mlp-at-budget-nll"), "{captions}");
        assert!(captions.contains("\n\ndigits-mlp: nll at the budget. Mean and"), "{captions}");
        let left = analysis.runs.iter().filter(|row| row.run_digest.is_some());
        let cells: BTreeSet<&str> = left.map(|row| row.cell.as_str()).collect();
        let shown = format!("5 seeds, {} runs", cells.len());
        assert!(captions.contains(&shown), "no {shown} in {captions}");
    }
}
