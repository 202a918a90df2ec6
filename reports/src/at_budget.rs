//! Metric when the budget is spent: one row per arm, one panel per split.

use analysis::summary::{Estimate, WorkloadAnalysis};
use ledger::goal;

use crate::axis::{Axis, Scale, zoom};
use crate::curve::{LEAST_SEEDS, x_axis};
use crate::figure::{Align, BODY, Figure, INK, MUTED, PAPER};
use crate::font::text_width;
use crate::possible::Possible;
use crate::series::{Dash, Series};
use crate::text;
use crate::time_to_target::{ROW, grid, interval_bar, label_column};

const TOP: f64 = 78.0;
const GAP: f64 = 34.0;

/// The figure.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Figure {
    of_metric(workload, series, width, &workload.target.metric)
}

/// The same of another metric.
pub(crate) fn of_metric(
    workload: &WorkloadAnalysis,
    series: &[Series],
    width: f64,
    metric: &str,
) -> Figure {
    let ours = metric == workload.target.metric;
    let mut explanation = "mean and 95 % interval from 3 seeds on; small dots are seeds".to_owned();
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title = format!("{}: {metric} at the budget", workload.workload);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name =
        if ours { "at-budget".to_owned() } else { format!("at-budget-{}", text::slug(metric)) };
    let bottom = TOP + ROW * series.len().max(1) as f64 + 4.0;
    figure.height = (bottom + 48.0).ceil();

    let left = label_column(&mut figure, series, TOP);
    let mut splits = splits(workload, metric);
    if figure.narrow() {
        splits.truncate(1);
    }
    let right = figure.width - 20.0;
    if splits.is_empty() {
        let middle = ((left + right) / 2.0, (TOP + bottom) / 2.0 + 4.0);
        figure.label(middle, "no metric recorded at the budget", Align::Centre, MUTED);
        return figure;
    }
    let panel = (right - left - GAP * (splits.len() - 1) as f64) / splits.len() as f64;
    let possible = Possible::of_metric(workload, metric);
    let range = possible.axis(range(workload, &splits, metric));
    for (i, split) in splits.iter().enumerate() {
        let from = left + i as f64 * (panel + GAP);
        let x = Axis::new(range, Scale::Linear, from, from + panel);
        grid(&mut figure, &x, TOP, bottom);
        let name = format!("{split} {metric}");
        x_axis(&mut figure, &x, (from, from + panel, bottom), &text::one_line(&name));
        if ours && *split == workload.split {
            target_line(&mut figure, workload.target.value, &x, bottom);
        }
        for (j, (arm, series)) in workload.arms.iter().zip(series).enumerate() {
            let y = TOP + ROW * (j as f64 + 0.5);
            if let Some(estimate) = arm.at_budget.get(&goal::key(split, metric)) {
                dot(&mut figure, estimate, series, &x, y, (7.0, possible));
            }
        }
    }
    figure
}

/// Splits on which some arm has the metric, the target's first.
fn splits(workload: &WorkloadAnalysis, wanted: &str) -> Vec<String> {
    let mut splits: Vec<String> = Vec::new();
    for arm in &workload.arms {
        for name in arm.at_budget.keys() {
            if let Some((split, metric)) = name.split_once('/')
                && metric == wanted
                && !splits.iter().any(|known| known == split)
            {
                splits.push(split.to_owned());
            }
        }
    }
    splits.sort_by_key(|split| (*split != workload.split, split != "test"));
    // More panels than this leave no room for a scale.
    splits.truncate(3);
    splits
}

/// One range for all panels, so that they compare.
fn range(workload: &WorkloadAnalysis, splits: &[String], metric: &str) -> (f64, f64) {
    let estimates = splits.iter().flat_map(|split| {
        let name = goal::key(split, metric);
        workload.arms.iter().filter_map(move |arm| arm.at_budget.get(&name))
    });
    let values: Vec<f64> = estimates
        .flat_map(|estimate| {
            let interval = estimate.interval.filter(|_| estimate.n >= LEAST_SEEDS);
            let ends = interval.map_or([estimate.value; 2], |i| [i.low, i.high]);
            [estimate.value, ends[0], ends[1]]
        })
        .collect();
    let target = (metric == workload.target.metric).then_some(workload.target.value);
    zoom(&values, target.as_slice())
}

fn target_line(figure: &mut Figure, target: f64, x: &Axis, bottom: f64) {
    let at = x.at(target);
    figure.dashed(&[(at, TOP), (at, bottom)], Dash::Dashed, INK, 1.3);
    let label = format!("target {}", text::given(target));
    let (start, end) = x.ends();
    let align = if at - start > end - at { Align::Right } else { Align::Left };
    let at = if align == Align::Right { at + 4.0 } else { at - 4.0 };
    figure.label((at, TOP - 6.0), &label, align, INK);
}

/// An estimate with its interval, within what is possible, and its seeds `below` it; seeds alone where they are too few
/// for an interval.
pub(crate) fn dot(
    figure: &mut Figure,
    estimate: &Estimate,
    series: &Series,
    x: &Axis,
    y: f64,
    (below, possible): (f64, Possible),
) {
    let few = estimate.n < LEAST_SEEDS && !estimate.values.is_empty();
    if few && estimate.values.iter().any(|value| x.shows(*value)) {
        for value in estimate.values.iter().filter(|value| x.shows(**value)) {
            figure.marker((x.at(*value), y), 4.0, series, false);
        }
        return;
    }
    for value in estimate.values.iter().filter(|value| x.shows(**value)) {
        figure.disc((x.at(*value), y + below), 2.2, series.colour, 0.45);
    }
    if x.shows(estimate.value) {
        if let Some(interval) = estimate.interval {
            let [low, high] = [interval.low, interval.high].map(|end| x.at(possible.within(end)));
            interval_bar(figure, (low, high), x, y, series);
        }
        figure.marker((x.at(estimate.value), y), 5.0, series, false);
        let (value, spread) = text::estimate(estimate);
        figure.spot((x.at(estimate.value), y), &format!("{}: {value} {spread}", series.label));
        return;
    }
    if estimate.value.is_nan() {
        // On no side of anything; the target's line may pass there.
        let (words, left) = ("not a number", x.ends().0 + 4.0);
        let right = left + text_width(words, BODY, false) + 2.0;
        let corners = [(left - 2.0, -7.0), (right, -7.0), (right, 7.0), (left - 2.0, 7.0)];
        figure.area(corners.map(|(at, by)| (at, y + by)).to_vec(), PAPER, 0.85);
        figure.label((left, y + 4.3), words, Align::Left, MUTED);
        return;
    }
    // Off the scale: an arrow at the edge with the value, so that the arm is not missed.
    let (start, end) = x.ends();
    let below = x.at(estimate.value) < start;
    let (tip, base, words, align) = if below {
        (start + 2.0, start + 10.0, start + 15.0, Align::Left)
    } else {
        (end - 2.0, end - 10.0, end - 15.0, Align::Right)
    };
    let value = text::significant(estimate.value, 3);
    // The target's line may pass there.
    let width = text_width(&value, BODY, false) + 2.0;
    let (left, right) =
        if below { (words - 2.0, words + width) } else { (words - width, words + 2.0) };
    let (top, bottom) = (y - 7.0, y + 7.0);
    figure.area(vec![(left, top), (right, top), (right, bottom), (left, bottom)], PAPER, 0.85);
    figure.area(vec![(tip, y), (base, y - 5.0), (base, y + 5.0)], series.colour, 1.0);
    figure.label((words, y + 4.3), &value, align, INK);
}
