//! The words of a curve figure: arm labels beside the plot and the target's name in it.

use super::line::Curve;
use super::{LEADER, LEGEND_ROW, SWATCH, TOP};
use crate::axis::Axis;
use crate::figure::{Align, BODY, Figure, INK, PAPER, Point};
use crate::font::{shorten, text_width};

/// Names the target just above or below its line, where the fewest curves pass.
pub(super) fn target_label(
    figure: &mut Figure,
    label: &str,
    at: f64,
    paths: &[Vec<Point>],
    (left, right, bottom): (f64, f64, f64),
) {
    let width = text_width(label, BODY, false) + 8.0;
    // The ends first: among equals the first wins.
    let spots = [0.0, 1.0, 0.5, 0.25, 0.75, 0.125, 0.375, 0.625, 0.875]
        .into_iter()
        .map(|share| left + 4.0 + share * (right - left - width - 8.0))
        .flat_map(|start| [(start, at - 20.0), (start, at + 4.0)])
        .filter(|(_, top)| *top >= TOP - 16.0 && top + 16.0 <= bottom);
    let crowd = |(start, top): (f64, f64)| -> usize {
        paths.iter().filter(|path| passes(path, (start, top), (start + width, top + 16.0))).count()
    };
    let Some((start, top)) = spots.min_by_key(|spot| crowd(*spot)) else { return };
    // A ground under the label keeps both readable where every spot is taken.
    let (end, foot) = (start + width, top + 16.0);
    figure.area(vec![(start, top), (end, top), (end, foot), (start, foot)], PAPER, 0.6);
    figure.label((start + 4.0, top + 12.5), label, Align::Left, INK);
}

/// True when the path enters the box, looked at every few units.
fn passes(path: &[Point], (left, top): Point, (right, bottom): Point) -> bool {
    path.iter().zip(path.iter().skip(1)).any(|(a, b)| {
        let steps = (((b.0 - a.0).hypot(b.1 - a.1) / 4.0).ceil() as usize).clamp(1, 400);
        (0..=steps).any(|i| {
            let share = i as f64 / steps as f64;
            let (x, y) = (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1));
            (left..=right).contains(&x) && (top..=bottom).contains(&y)
        })
    })
}

/// Labels to the right of the plot, each near the height where its line ends, none overlapping.
pub(crate) fn legend_column(figure: &mut Figure, curves: &[Curve], x: &Axis, y: &Axis, right: f64) {
    let (bottom, _) = y.ends();
    let mut rows: Vec<(f64, &Curve)> = curves
        .iter()
        .map(|curve| {
            let end = curve.end().map_or(bottom, |end| y.at(end));
            (end.clamp(TOP, bottom), curve)
        })
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = rows.iter().map(|row| row.0).collect();
    let swatch = right + LEADER;
    for (at, (end, curve)) in spread(&wanted, LEGEND_ROW, TOP + 4.0, bottom - 4.0).iter().zip(rows)
    {
        let last = curve.points.last();
        let shown = last.is_some_and(|p| y.shows(p.mean));
        if shown && last.is_some_and(|p| right - x.at(p.x) < 6.0) {
            figure.leader(vec![(right + 5.0, end), (swatch - 3.0, *at)], curve.series.colour);
        }
        entry(figure, curve, (swatch, *at), f64::INFINITY);
        off_scale(figure, curve, y, (swatch - 9.0, *at));
    }
}

/// Labels under the plot, with a mark on those that end outside of it.
pub(super) fn legend_below(figure: &mut Figure, curves: &[Curve], y: &Axis) {
    for (at, curve) in legend_rows(figure, curves).into_iter().zip(curves) {
        off_scale(figure, curve, y, at);
    }
}

/// Labels under what is drawn, side by side as far as the width goes, in the order of the suite; returns where a mark
/// can stand before each.
pub(crate) fn legend_rows(figure: &mut Figure, curves: &[Curve]) -> Vec<Point> {
    const MARK: f64 = 12.0;
    let left = 12.0;
    let room = figure.width - 8.0 - left;
    let widths = curves.iter().map(|curve| {
        MARK + SWATCH + text_width(&curve.label(), BODY, curve.series.baseline) + 10.0
    });
    let widest = widths.fold(60.0, f64::max).min(room);
    let across = ((room / widest) as usize).clamp(1, 4);
    let (cell, first) = (room / across as f64, figure.height + 6.0);
    let mut marks = Vec::new();
    for (place, curve) in curves.iter().enumerate() {
        let (row, column) = (place / across, place % across);
        let at = (left + cell * column as f64, first + LEGEND_ROW * row as f64);
        entry(figure, curve, (at.0 + MARK, at.1), cell - MARK - SWATCH - 6.0);
        marks.push((at.0 + 5.0, at.1));
    }
    figure.height = (first + LEGEND_ROW * curves.len().div_ceil(across) as f64).ceil();
    marks
}

/// Line, marker and name of an arm, no wider than `room`.
fn entry(figure: &mut Figure, curve: &Curve, (x, y): Point, room: f64) {
    figure.dashed(&[(x, y), (x + SWATCH - 6.0, y)], curve.series.dash, curve.series.colour, 2.0);
    figure.marker((x + (SWATCH - 6.0) / 2.0, y), 3.6, curve.series, false);
    let (label, bold) = (curve.label(), curve.series.baseline);
    let label = if room.is_finite() { shorten(&label, room, BODY, bold) } else { label };
    figure.write((x + SWATCH, y + 4.3), &label, BODY, bold, Align::Left, INK);
}

/// A triangle that says on which side of the plot an arm ends, where it is not in it: it must not look as if it were
/// missing.
fn off_scale(figure: &mut Figure, curve: &Curve, y: &Axis, (x, at): Point) {
    let Some(end) = curve.end().filter(|end| !y.shows(*end)) else { return };
    let up = y.at(end) < TOP;
    let tip = if up { at - 5.0 } else { at + 5.0 };
    let base = if up { at + 3.0 } else { at - 3.0 };
    figure.area(vec![(x, tip), (x + 4.5, base), (x - 4.5, base)], curve.series.colour, 1.0);
}

/// Moves sorted positions apart to at least `gap`, within `low..high`, as little as it takes in the
/// least-squares sense: less `gap` per rank, the answer is a non-decreasing sequence, which pooling
/// adjacent violators gives.
fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (rank, position) in wanted.iter().enumerate() {
        let mut pool = (position - rank as f64 * gap, 1);
        while let Some((mean, size)) = pools.pop_if(|(mean, _)| *mean > pool.0) {
            let whole = size + pool.1;
            pool = ((mean * size as f64 + pool.0 * pool.1 as f64) / whole as f64, whole);
        }
        pools.push(pool);
    }
    let most = high - wanted.len().saturating_sub(1) as f64 * gap;
    let shifted = pools.iter().flat_map(|(mean, size)| std::iter::repeat_n(mean, *size));
    shifted.enumerate().map(|(rank, mean)| mean.min(most).max(low) + rank as f64 * gap).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn legend_rows_never_overlap_nor_leave_the_plot(
            mut wanted in prop::collection::vec(58.0f64..378.0, 1..18),
        ) {
            wanted.sort_by(f64::total_cmp);
            let at = spread(&wanted, 17.5, 60.0, 380.0);
            prop_assert!(at.windows(2).all(|pair| pair[1] - pair[0] > 17.49));
            prop_assert!(at.iter().all(|v| (59.9..=380.1).contains(v)));
        }
    }
}
