//! Seeds, pair by pair: what each seed came to under the baseline and under an arm, joined by a line. Whether an arm is
//! better is in the slopes, not in the spread over seeds.

use std::collections::BTreeMap;

use analysis::summary::{Analysis, WorkloadAnalysis};
use ledger::record::format::Status;

use crate::axis::{Axis, Scale, zoom};
use crate::figure::{Align, Colour, Figure, GRID, INK, MUTED, SMALL};
use crate::font::{shorten, text_width};
use crate::possible::Possible;
use crate::series::{Dash, Series};

const TOP: f64 = 60.0;
const TITLE: f64 = 20.0;
const HEIGHT: f64 = 128.0;
const ROW: f64 = TITLE + HEIGHT + 14.0;
const GAP: f64 = 12.0;
/// A pair in which the arm ended worse.
const WORSE: Colour = (0x8a, 0x93, 0x9e);

/// The figure, where there is a baseline and an arm that shares a seed with it.
pub(crate) fn figure(
    analysis: &Analysis,
    workload: &WorkloadAnalysis,
    series: &[Series],
    width: f64,
) -> Option<Figure> {
    let baseline = series.iter().find(|series| series.baseline)?;
    let label = workload.baseline.as_deref()?;
    let theirs = by_seed(analysis, workload, label);
    let pairs: Vec<(&Series, Vec<(f64, f64)>)> = workload
        .arms
        .iter()
        .zip(series)
        .filter(|(arm, series)| !series.baseline && !arm.idle)
        .filter_map(|(arm, series)| {
            let ours = by_seed(analysis, workload, &arm.label);
            let both: Vec<(f64, f64)> = theirs
                .iter()
                .filter_map(|(seed, theirs)| Some((*theirs, *ours.get(seed)?)))
                .collect();
            (!both.is_empty()).then_some((series, both))
        })
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let metric = format!("{} {}", workload.split, workload.target.metric);
    let higher = workload.target.direction.is_higher();
    let mut explanation = format!(
        "{metric} at the budget; a line joins the runs of one seed, {} on the left; grey: the arm ended no better",
        baseline.label
    );
    let values: Vec<f64> =
        pairs.iter().flat_map(|(_, both)| both).flat_map(|two| [two.0, two.1]).collect();
    let range = Possible::of(workload).axis(zoom(&values, &[workload.target.value]));
    let off = |both: &[(f64, f64)]| {
        both.iter().filter(|two| !(range.0..=range.1).contains(&two.1)).count()
    };
    if pairs.iter().any(|(_, both)| off(both) > 0) {
        explanation.push_str("; triangles: seeds beyond the axis");
    }
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title = format!("{}: {metric} seed by seed", workload.workload);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = "seeds".to_owned();
    figure.upwards = Some(metric);
    let most: usize = if figure.narrow() { 3 } else { 7 };
    let across = most.min(pairs.len());
    let ticks = Axis::new(range, Scale::Linear, HEIGHT, 0.0).ticks(5);
    let widest = ticks.iter().map(|tick| text_width(&tick.label, SMALL, false)).fold(0.0, f64::max);
    let first = 12.0 + widest.min(90.0) + 6.0;
    let cell = ((width - first - 12.0 - GAP * (most - 1) as f64) / most as f64).min(150.0);
    figure.height = (TOP + pairs.len().div_ceil(across) as f64 * ROW + 10.0).ceil();
    for (place, (series, both)) in pairs.iter().enumerate() {
        let (row, column) = (place / across, place % across);
        let left = first + column as f64 * (cell + GAP);
        let top = TOP + row as f64 * ROW + TITLE;
        let (right, bottom) = (left + cell, top + HEIGHT);
        let y = Axis::new(range, Scale::Linear, bottom, top);
        for tick in y.ticks(5) {
            figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
            if column == 0 {
                let at = (left - 6.0, tick.at + 4.0);
                figure.write(at, &tick.label, SMALL, false, Align::Right, MUTED);
            }
        }
        let target = y.at(workload.target.value);
        figure.dashed(&[(left, target), (right, target)], Dash::Dashed, INK, 1.0);
        let name = shorten(&series.label, cell, SMALL, false);
        figure.write((left, top - 5.0), &name, SMALL, false, Align::Left, INK);
        let (from, to) = (left + 0.2 * cell, right - 0.2 * cell);
        for (theirs, ours) in both {
            let better = if higher { ours > theirs } else { ours < theirs };
            let colour = if better { series.colour } else { WORSE };
            let held = |value: f64| y.at(value).clamp(top, bottom);
            figure.line(vec![(from, held(*theirs)), (to, held(*ours))], colour, 1.4);
            if y.shows(*theirs) {
                figure.marker((from, y.at(*theirs)), 3.0, baseline, false);
            }
            if y.shows(*ours) {
                figure.marker((to, y.at(*ours)), 3.4, series, false);
            } else {
                let (edge, inwards) = if y.at(*ours) < top { (top, 7.0) } else { (bottom, -7.0) };
                let base = edge + inwards;
                figure.area(
                    vec![(to, edge), (to + 4.5, base), (to - 4.5, base)],
                    series.colour,
                    1.0,
                );
            }
        }
    }
    Some(figure)
}

/// The target's metric at the budget, of the runs that did not end in no number.
fn by_seed<'a>(
    analysis: &'a Analysis,
    workload: &WorkloadAnalysis,
    arm: &str,
) -> BTreeMap<&'a str, f64> {
    let rows = analysis.runs.iter().filter(|row| {
        row.workload == workload.workload && row.arm == arm && row.status != Some(Status::Diverged)
    });
    let values = rows.filter_map(|row| Some((row.seed.as_str(), row.at_budget?)));
    values.filter(|(_, value)| value.is_finite()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, Shape, WIDTH};
    use crate::sample;
    use crate::series::Looks;

    fn draw(analysis: &Analysis, width: f64) -> Option<Figure> {
        let workload = &analysis.workloads[0];
        figure(analysis, workload, &Series::of(&Looks::of(analysis), workload), width)
    }

    #[test]
    fn a_seed_that_only_one_arm_has_is_joined_to_nothing() {
        let joins = |analysis: &Analysis| {
            let figure = draw(analysis, WIDTH).unwrap();
            let lines = figure
                .shapes
                .iter()
                .filter(|shape| matches!(shape, Shape::Line { width, .. } if *width == 1.4));
            lines.count()
        };
        let mut analysis = sample::full();
        let whole = joins(&analysis);
        analysis.runs.retain(|row| !(row.arm == "adamw" && row.seed == "2"));
        assert_eq!(joins(&analysis), whole - 1);
        // Without that seed of the baseline no arm has a pair of it.
        let workload = &analysis.workloads[0];
        let others = workload.arms.iter().zip(Series::of(&Looks::of(&analysis), workload));
        let has = |arm: &str| by_seed(&analysis, workload, arm).contains_key("1");
        let lost =
            others.filter(|(arm, series)| !series.baseline && !arm.idle && has(&arm.label)).count();
        assert!(lost > 3, "{lost}");
        analysis.runs.retain(|row| !(row.arm == "sgd" && row.seed == "1"));
        assert_eq!(joins(&analysis), whole - 1 - lost);
    }

    #[test]
    fn without_a_baseline_there_is_no_pair() {
        let mut analysis = sample::full();
        assert!(draw(&analysis, WIDTH).is_some());
        analysis.workloads[0].baseline = None;
        assert!(draw(&analysis, WIDTH).is_none());
    }

    #[test]
    fn panels_fit_one_column_and_two() {
        for width in [COLUMN, WIDTH] {
            let figure = draw(&sample::sixteen(), width).unwrap();
            check_shapes(&figure);
            if width == WIDTH {
                check_texts(&figure);
            }
        }
    }
}
