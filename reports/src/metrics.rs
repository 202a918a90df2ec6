//! Small multiples of what runs record beside the target's metric: a panel per metric, each with a scale of its own, over
//! the samples seen.

use std::collections::BTreeSet;

use analysis::summary::WorkloadAnalysis;
use ledger::goal::TRAIN;

use crate::axis::{Axis, Scale};
use crate::curve::{Curves, curves_of_metrics, cut_mark, legend_rows};
use crate::figure::{Align, Figure, GRID, INK, MUTED, SMALL};
use crate::font::{shorten, text_width};
use crate::series::{Dash, Series};
use crate::text;

/// Metrics shown at most, the target's among them.
const MOST_PANELS: usize = 12;
const TOP: f64 = 60.0;
const TITLE: f64 = 26.0;
const HEIGHT: f64 = 130.0;
/// Between rows: ticks of the axis.
const ROW_GAP: f64 = 24.0;
const GAP: f64 = 16.0;
const BELOW: f64 = 26.0;

/// The figure, where some other metric was recorded along the run.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Option<Figure> {
    let keys = keys(workload);
    if keys.is_empty() {
        return None;
    }
    let left_out = (keys.len() + 1).saturating_sub(MOST_PANELS);
    let shown: Vec<&str> = keys.into_iter().take(MOST_PANELS - 1).collect();
    // What a method tells of its own steps keeps the name of where it is told.
    let of_split = format!("{}/", workload.split);
    let others = shown.iter().map(|key| key.strip_prefix(&of_split).unwrap_or(key));
    let names = [workload.target.metric.as_str()].into_iter().chain(others);
    let panels: Vec<(&str, Curves<'_>)> =
        names.zip(curves_of_metrics(workload, series, &shown)).collect();
    let shaded = panels.iter().any(|(_, found)| found.banded() > 0);
    let seeds = panels.iter().map(|(_, found)| found.seeds).max().unwrap_or(0);
    let mut explanation = format!("{} metrics over samples seen, ", workload.split);
    explanation.push_str(match (seeds, shaded) {
        (0 | 1, _) => "one seed",
        (2, _) => "mean of two seeds",
        (_, true) => "mean over seeds; shaded: 95 % interval",
        (_, false) => "mean over seeds; intervals are in the tables",
    });
    explanation.push_str("; dashed: target");
    let is_told = |key: &&str| key.split('/').next() == Some(TRAIN);
    if shown.iter().any(is_told) {
        explanation.push_str("; train/: of the steps since the evaluation before");
    }
    if panels.iter().any(|(_, found)| found.axes.scale == Scale::Log) {
        explanation.push_str("; log axis");
    }
    if panels.iter().any(|(_, found)| found.cut.0 || found.cut.1) {
        explanation.push_str("; two strokes: curves go beyond the axis");
    }
    if left_out > 0 {
        explanation.push_str(&format!("; {left_out} more metrics are in curves.csv"));
    }
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title = format!("{}: what was recorded along the run", workload.workload);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = "metrics".to_owned();
    lay(&mut figure, &panels, workload);
    Some(figure)
}

fn without_split(key: &str) -> &str {
    key.split_once('/').map_or(key, |(_, metric)| metric)
}

/// Every other metric that some arm has a curve of, wholes before parts, and parts by their numbers.
fn keys(workload: &WorkloadAnalysis) -> Vec<&str> {
    let arms = workload.arms.iter();
    let all: BTreeSet<&str> =
        arms.flat_map(|arm| arm.metrics_by_samples.keys().map(String::as_str)).collect();
    let mut keys: Vec<&str> = all.into_iter().collect();
    keys.sort_by_cached_key(|key| {
        let metric = without_split(key);
        let part = metric.split_once('/');
        let number = part.and_then(|(_, part)| part.parse::<u64>().ok());
        (part.is_some(), part.map(|(whole, _)| whole.to_owned()), number, metric.to_owned())
    });
    keys
}

/// Draws the panels in rows, and the legend below them.
fn lay(figure: &mut Figure, panels: &[(&str, Curves<'_>)], workload: &WorkloadAnalysis) {
    let across = match (figure.narrow(), panels.len()) {
        (true, _) | (false, 2 | 4) => 2,
        (false, _) => 3,
    };
    let labels = panels.iter().flat_map(|(_, found)| {
        let ticks = Axis::new(found.axes.y, Scale::Linear, HEIGHT, 0.0).ticks(4);
        ticks.into_iter().map(|tick| text_width(&tick.label, SMALL, false))
    });
    let scale = labels.fold(20.0, f64::max).min(80.0) + 6.0;
    let cell = (figure.width - 20.0 - GAP * (across - 1) as f64) / across as f64;
    let rows = panels.len().div_ceil(across);
    for (place, (metric, found)) in panels.iter().enumerate() {
        let (row, column) = (place / across, place % across);
        let edge = 8.0 + column as f64 * (cell + GAP);
        let (left, right) = (edge + scale, edge + cell);
        let top = TOP + row as f64 * (TITLE + HEIGHT + ROW_GAP) + TITLE;
        let name = shorten(&text::one_line(metric), cell, SMALL, true);
        figure.write((edge, top - 10.0), &name, SMALL, true, Align::Left, INK);
        let target = (place == 0).then_some(workload.target.value);
        panel(figure, found, [left, right, top, top + HEIGHT], target);
    }
    figure.height = TOP + rows as f64 * (TITLE + HEIGHT + ROW_GAP) + BELOW;
    let unit = panels.first().map_or("", |(_, found)| found.axes.unit.as_str());
    figure.label((figure.width / 2.0, figure.height - 14.0), unit, Align::Centre, INK);
    if let Some((_, found)) = panels.first() {
        legend_rows(figure, &found.all);
    }
}

/// One metric: grid, axes and lines.
fn panel(
    figure: &mut Figure,
    found: &Curves<'_>,
    [left, right, top, bottom]: [f64; 4],
    target: Option<f64>,
) {
    let x = Axis::new(found.axes.x, found.axes.scale, left, right);
    let y = Axis::new(found.axes.y, Scale::Linear, bottom, top);
    for tick in y.ticks(4) {
        figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
        let label = shorten(&tick.label, 80.0, SMALL, false);
        figure.write((left - 6.0, tick.at + 4.0), &label, SMALL, false, Align::Right, MUTED);
    }
    figure.line(vec![(left, bottom), (right, bottom)], MUTED, 1.0);
    let mut free_from = left - 4.0;
    for tick in x.ticks(((right - left) / 50.0) as usize) {
        let half = text_width(&tick.label, SMALL, false) / 2.0;
        figure.line(vec![(tick.at, bottom), (tick.at, bottom + 4.0)], MUTED, 1.0);
        if tick.at - half > free_from && tick.at + half < right + 8.0 {
            let at = (tick.at, bottom + 16.0);
            figure.write(at, &tick.label, SMALL, false, Align::Centre, MUTED);
            free_from = tick.at + half + 6.0;
        }
    }
    for (cut, at) in [(found.cut.0, bottom), (found.cut.1, top)] {
        if cut {
            cut_mark(figure, (left, at));
        }
    }
    for curve in &found.all {
        curve.shade(figure, &x, &y);
    }
    if let Some(target) = target.filter(|target| y.shows(*target)) {
        let at = y.at(target);
        figure.dashed(&[(left, at), (right, at)], Dash::Dashed, INK, 1.0);
    }
    for curve in &found.all {
        curve.line(figure, &x, &y);
    }
    if found.all.iter().all(|curve| curve.points.is_empty()) {
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        figure.write(middle, "nothing recorded", SMALL, false, Align::Centre, MUTED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, Shape, WIDTH};
    use crate::sample;
    use crate::series::Looks;

    fn drawn(workload: &WorkloadAnalysis, width: f64) -> Option<Figure> {
        figure(workload, &Series::of(&Looks::default(), workload), width)
    }

    fn bold(figure: &Figure) -> Vec<&str> {
        let texts = figure.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { text, bold: true, size, .. } if *size == SMALL => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn each_metric_has_a_panel_the_targets_first_and_parts_by_their_numbers() {
        let workload = sample::recorded().workloads.remove(0);
        for width in [COLUMN, WIDTH] {
            let figure = drawn(&workload, width).unwrap();
            let names = ["accuracy", "length", "nll", "accuracy/4", "accuracy/10"];
            assert_eq!(bold(&figure), names);
            check_texts(&figure);
            check_shapes(&figure);
        }
        assert!(drawn(&sample::full().workloads.remove(0), WIDTH).is_none());
    }

    #[test]
    fn no_more_panels_are_drawn_than_can_be_read_and_the_figure_says_so() {
        let mut workload = sample::recorded().workloads.remove(0);
        let curve = workload.arms[0].metrics_by_samples["validation/length"].clone();
        for more in 0..30 {
            let name =
                format!("validation/a-metric-with-a-name-of-sixty-characters-or-more-{more}");
            workload.arms[0].metrics_by_samples.insert(name, curve.clone());
        }
        for width in [COLUMN, WIDTH] {
            let figure = drawn(&workload, width).unwrap();
            assert_eq!(bold(&figure).len(), MOST_PANELS);
            assert!(figure.explanation.contains("23 more metrics"), "{}", figure.explanation);
            check_texts(&figure);
            check_shapes(&figure);
        }
    }

    #[test]
    fn more_arms_than_bands_can_be_told_apart_have_lines_alone() {
        let mut workload = sample::recorded().workloads.remove(0);
        let areas = |workload: &WorkloadAnalysis| {
            let figure = drawn(workload, WIDTH).unwrap();
            let faint = |shape: &&Shape| matches!(shape, Shape::Area { alpha, .. } if *alpha < 0.2);
            (figure.shapes.iter().filter(faint).count(), figure.explanation)
        };
        let (few, words) = areas(&workload);
        assert!(few > 0 && words.contains("shaded"), "{few}: {words}");
        for copy in 0..12 {
            let mut arm = workload.arms[0].clone();
            arm.label = format!("copy-{copy}");
            workload.arms.push(arm);
        }
        let (many, words) = areas(&workload);
        assert!(many == 0 && !words.contains("shaded"), "{many}: {words}");
    }
}
