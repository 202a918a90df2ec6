//! Small multiples: a panel per arm with its interval, where so many intervals would lie on one another.

use analysis::summary::WorkloadAnalysis;

use crate::axis::{Axis, Scale};
use crate::curve::{Curve, MOST_BANDS, curves_over_samples};
use crate::figure::{Align, Figure, GRID, INK, MUTED, SMALL};
use crate::font::{shorten, text_width};
use crate::series::{Dash, Series};
use crate::text;

const TOP: f64 = 60.0;
const TITLE: f64 = 20.0;
const HEIGHT: f64 = 104.0;
const GAP: f64 = 14.0;
const BELOW: f64 = 44.0;

/// The figure, where more arms have intervals than one plot can show.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Option<Figure> {
    let found = curves_over_samples(workload, series);
    if found.all.iter().filter(|curve| curve.has_band()).count() <= MOST_BANDS {
        return None;
    }
    let metric = format!("{} {}", workload.split, workload.target.metric);
    let mut explanation =
        format!("{metric}, mean over seeds; shaded: 95 % interval; dashed: target");
    let baseline = found.all.iter().find(|curve| curve.series.baseline);
    if baseline.is_some() {
        explanation.push_str("; grey: the baseline");
    }
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title = format!("{}: {metric} over samples seen, arm by arm", workload.workload);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = "metric-panels".to_owned();
    figure.upwards = Some(metric);
    // Two columns of many would be longer than a page.
    let across: usize = match (figure.narrow(), found.all.len()) {
        (true, ..=8) => 2,
        (true, _) => 3,
        (false, _) => 4,
    };
    let rows = found.all.len().div_ceil(across);
    let ticks = Axis::new(found.axes.y, Scale::Linear, HEIGHT, 0.0).ticks(4);
    let widest = ticks.iter().map(|tick| text_width(&tick.label, SMALL, false)).fold(0.0, f64::max);
    let first = 12.0 + widest.min(90.0) + 6.0;
    let cell = (width - first - 12.0 - GAP * (across - 1) as f64) / across as f64;
    figure.height = (TOP + rows as f64 * (TITLE + HEIGHT + 6.0) + BELOW).ceil();
    for (place, curve) in found.all.iter().enumerate() {
        let (row, column) = (place / across, place % across);
        let left = first + column as f64 * (cell + GAP);
        let top = TOP + row as f64 * (TITLE + HEIGHT + 6.0) + TITLE;
        let (right, bottom) = (left + cell, top + HEIGHT);
        let x = Axis::new(found.axes.x, found.axes.scale, left, right);
        let y = Axis::new(found.axes.y, Scale::Linear, bottom, top);
        for tick in y.ticks(4) {
            figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
            if column == 0 {
                let at = (left - 6.0, tick.at + 4.0);
                figure.write(at, &tick.label, SMALL, false, Align::Right, MUTED);
            }
        }
        figure.line(vec![(left, bottom), (right, bottom)], MUTED, 1.0);
        // The last panel of each column names the axis.
        if place + across >= found.all.len() {
            let mut free_from = left - 12.0;
            for tick in x.ticks((cell / 50.0) as usize) {
                let half = text_width(&tick.label, SMALL, false) / 2.0;
                if tick.at - half > free_from && tick.at + half < right + 10.0 {
                    let at = (tick.at, bottom + 15.0);
                    figure.write(at, &tick.label, SMALL, false, Align::Centre, MUTED);
                    free_from = tick.at + half + 6.0;
                }
            }
        }
        let bold = curve.series.baseline;
        let name = shorten(&curve.series.label, cell - 16.0, SMALL, bold);
        figure.marker((left + 5.0, top - 8.0), 3.6, curve.series, false);
        figure.write((left + 14.0, top - 4.0), &name, SMALL, bold, Align::Left, INK);
        if let Some(baseline) = baseline.filter(|_| !bold) {
            baseline.faint(&mut figure, &x, &y);
        }
        curve.shade(&mut figure, &x, &y);
        let target = y.at(workload.target.value);
        figure.dashed(&[(left, target), (right, target)], Dash::Dashed, INK, 1.0);
        curve.trace(&mut figure, &x, &y, 0);
        if !curve.points.iter().any(|point| y.shows(point.mean)) {
            beyond(&mut figure, curve, &y, (left, right));
        }
    }
    let below = (width / 2.0, figure.height - 12.0);
    figure.label(below, &found.axes.unit, Align::Centre, INK);
    Some(figure)
}

/// Says of a curve of which the panel shows nothing where it ends.
fn beyond(figure: &mut Figure, curve: &Curve<'_>, y: &Axis, (left, right): (f64, f64)) {
    let (bottom, top) = y.ends();
    let Some(end) = curve.end() else {
        let middle = ((left + right) / 2.0, (top + bottom) / 2.0);
        figure.write(middle, "nothing recorded", SMALL, false, Align::Centre, MUTED);
        return;
    };
    let above = y.at(end) < top;
    let (tip, base) = if above { (top + 2.0, top + 10.0) } else { (bottom - 2.0, bottom - 10.0) };
    let colour = curve.series.colour;
    let words = format!("ends at {}", text::significant(end, 3));
    // To the right, where curves are seldom low, and ones that fall seldom high.
    let at = (right - 2.0, if above { top + 11.0 } else { bottom - 2.5 });
    let middle = right - 12.0 - text_width(&words, SMALL, false);
    figure.area(vec![(middle, tip), (middle - 5.0, base), (middle + 5.0, base)], colour, 1.0);
    figure.write(at, &words, SMALL, false, Align::Right, INK);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, Shape, WIDTH};
    use crate::sample;
    use crate::series::Looks;

    #[test]
    fn more_bands_than_can_be_told_apart_have_a_panel_each_and_fewer_have_none() {
        for width in [COLUMN, WIDTH] {
            let draw = |analysis: &analysis::summary::Analysis| {
                let workload = &analysis.workloads[0];
                figure(workload, &Series::of(&Looks::of(analysis), workload), width)
            };
            let drawn = draw(&sample::sixteen()).unwrap();
            check_shapes(&drawn);
            if width > COLUMN {
                check_texts(&drawn);
            }
            let bands = |figure: &Figure| {
                let areas = figure
                    .shapes
                    .iter()
                    .filter(|shape| matches!(shape, Shape::Area { alpha, .. } if *alpha < 0.2));
                areas.count()
            };
            assert_eq!(bands(&drawn), 16);
            // One of them lies below all axes.
            let ends = |shape: &&Shape| matches!(shape, Shape::Text { text, .. } if text.starts_with("ends at 0.0"));
            assert_eq!(drawn.shapes.iter().filter(ends).count(), 1);
            assert!(draw(&sample::loss()).is_none());
            assert!(draw(&sample::single_seed()).is_none());
        }
    }
}
