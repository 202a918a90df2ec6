//! What stays of each look while a run goes on: a row a look, a column an evaluation, a block an arm. Where looks are what
//! was learnt in turn and evaluations come at the ends of turns, this is the forgetting matrix.

use std::collections::BTreeMap;

use analysis::summary::{ArmAnalysis, CurvePoint, WorkloadAnalysis};

use crate::figure::{Align, BODY, Figure, INK, MOST_ARMS, MUTED, WIDTH};
use crate::font::{shorten, text_width};
use crate::series::Series;
use crate::text;

const TOP: f64 = 62.0;
/// Height of a row, of a block's heading, and between blocks.
const ROW: f64 = 20.0;
const HEADING: f64 = 22.0;
const GAP: f64 = 12.0;
/// Widest column, and the narrowest that has room for a number.
const WIDEST: f64 = 72.0;
const LEAST: f64 = 40.0;
/// How dark the best value is.
const DARKEST: f64 = 0.65;

/// Evaluations at which some look was taken, by the samples seen.
fn columns(workload: &WorkloadAnalysis) -> Vec<f64> {
    let points = looking(workload).flat_map(|(_, arm)| arm.looks_by_samples.values().flatten());
    let mut all: Vec<f64> = points.map(|point| point.x).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

/// Arms with looks along the run, by their place in the suite.
fn looking(workload: &WorkloadAnalysis) -> impl Iterator<Item = (usize, &ArmAnalysis)> {
    let arms = workload.arms.iter().enumerate().take(MOST_ARMS);
    arms.filter(|(_, arm)| !arm.looks_by_samples.is_empty())
}

/// The figure, where looks were taken along the run.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series]) -> Option<Figure> {
    let columns = columns(workload);
    let blocks: Vec<_> =
        looking(workload).filter_map(|(at, arm)| Some((series.get(at)?, arm))).collect();
    if columns.is_empty() || blocks.is_empty() {
        return None;
    }
    let (metric, split) = (&workload.target.metric, &workload.split);
    let explanation =
        format!("{split} {metric}, mean over seeds; a column an evaluation, by samples seen");
    let title = format!("{}: {metric} of each look along the run", workload.workload);
    let mut figure = Figure::new(title, &explanation);
    figure.name = "kept".to_owned();

    let names = blocks.iter().flat_map(|(_, arm)| arm.looks_by_samples.keys());
    let widest = names.map(|name| text_width(name, BODY, false)).fold(40.0, f64::max);
    let left = 28.0 + widest.min(240.0);
    let width = ((WIDTH - left - 12.0) / columns.len() as f64).min(WIDEST);
    let values = blocks.iter().flat_map(|(_, arm)| arm.looks_by_samples.values().flatten());
    let ends = values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], point| {
        [low.min(point.mean), high.max(point.mean)]
    });
    let middle = |column: usize| left + width * (column as f64 + 0.5);
    if width >= LEAST {
        for (column, samples) in columns.iter().enumerate() {
            let samples = format!("{samples:.0}");
            figure.write((middle(column), TOP), &samples, BODY, false, Align::Centre, MUTED);
        }
    }
    let mut top = TOP + 6.0;
    for (series, arm) in blocks {
        let label = shorten(&series.label, WIDTH - 24.0, BODY, true);
        figure.write((12.0, top + 16.0), &label, BODY, true, Align::Left, INK);
        top += HEADING;
        for (name, points) in &arm.looks_by_samples {
            let name = shorten(&text::one_line(name), left - 24.0, BODY, false);
            figure.write((left - 12.0, top + 14.5), &name, BODY, false, Align::Right, INK);
            let at: BTreeMap<u64, &CurvePoint> =
                points.iter().map(|p| (p.x.to_bits(), p)).collect();
            for (column, samples) in columns.iter().enumerate() {
                let Some(point) = at.get(&samples.to_bits()) else { continue };
                let (x, half) = (middle(column), width / 2.0 - 1.0);
                let corners = [(-half, 1.0), (half, 1.0), (half, ROW - 1.0), (-half, ROW - 1.0)];
                let corners = corners.map(|(dx, dy)| (x + dx, top + dy)).to_vec();
                let share = shade(point.mean, ends, workload.target.direction.is_higher());
                figure.area(corners, series.colour, DARKEST * share);
                if width >= LEAST {
                    let value = number(point.mean, ends);
                    figure.write((x, top + 14.5), &value, BODY, false, Align::Centre, INK);
                }
            }
            top += ROW;
        }
        top += GAP;
    }
    figure.height = top.ceil();
    Some(figure)
}

/// Where a value lies between the worst and the best of all, from a little above 0 up to 1.
fn shade(value: f64, [low, high]: [f64; 2], higher_is_better: bool) -> f64 {
    let share = if high > low { (value - low) / (high - low) } else { 1.0 };
    0.1 + 0.9 * if higher_is_better { share } else { 1.0 - share }
}

/// A value with as many decimals as tell the ends apart.
fn number(value: f64, [low, high]: [f64; 2]) -> String {
    let decimals = if high - low >= 2.0 { 1 } else { 3 };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Shape;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::sample;
    use crate::series::Looks;

    fn learnt_in_turn() -> WorkloadAnalysis {
        let mut workload = sample::full().workloads.remove(0);
        let point = |x: f64, mean: f64| CurvePoint { x, mean, low: mean, high: mean, n: 5 };
        for (place, arm) in workload.arms.iter_mut().take(2).enumerate() {
            let lost = 6.0 * place as f64;
            arm.looks_by_samples = [
                ("session-1".to_owned(), vec![point(16.0, 30.0), point(32.0, 30.0 - lost)]),
                ("session-2".to_owned(), vec![point(32.0, 28.0)]),
            ]
            .into();
        }
        workload
    }

    #[test]
    fn each_arm_has_a_number_for_every_evaluation_of_every_look_and_no_other() {
        let workload = learnt_in_turn();
        let figure = figure(&workload, &Series::of(&Looks::default(), &workload)).unwrap();
        let texts: Vec<&str> = figure
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Text { text, align: Align::Centre, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(texts, ["16", "32", "30.0", "30.0", "28.0", "30.0", "24.0", "28.0"]);
        check_texts(&figure);
        check_shapes(&figure);
    }

    #[test]
    fn without_looks_along_the_run_there_is_no_figure() {
        let workload = sample::loss().workloads.remove(0);
        assert!(figure(&workload, &Series::of(&Looks::default(), &workload)).is_none());
    }
}
