//! Metric over train time and over samples seen: one line per arm, its 95 % interval shaded.

use ledger::analysis::{ArmAnalysis, CurvePoint, WorkloadAnalysis};

use crate::axis::{Axis, Scale, zoom};
use crate::figure::{Align, BODY, Figure, GRID, INK, MUTED, PAPER, Point, WIDTH, text_width};
use crate::series::{Dash, Series};
use crate::text;

const TOP: f64 = 58.0;
const BOTTOM_MARGIN: f64 = 48.0;
const LEAST_PLOT_HEIGHT: f64 = 320.0;
const LEGEND_ROW: f64 = 17.5;
const SWATCH: f64 = 28.0;
const LEADER: f64 = 20.0;

/// Ratio of the longest to the shortest run from which times are drawn on a log axis.
pub(crate) const LOG_FROM: f64 = 20.0;

/// Metric over train seconds.
pub(crate) fn over_time(workload: &WorkloadAnalysis, series: &[Series]) -> Figure {
    let ends: Vec<f64> = workload.arms.iter().filter_map(|arm| last_x(&arm.by_time)).collect();
    let longest = ends.iter().copied().fold(0.0, f64::max);
    let shortest = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let (unit, length) = text::time_unit(longest);
    let scale = if longest > LOG_FROM * shortest { Scale::Log } else { Scale::Linear };
    let kind = Kind {
        name: "metric-by-time",
        over: "train time",
        unit: format!("train time ({unit})"),
        length,
        scale,
        points: |arm| &arm.by_time,
    };
    kind.figure(workload, series)
}

/// Metric over samples seen.
pub(crate) fn over_samples(workload: &WorkloadAnalysis, series: &[Series]) -> Figure {
    let most = workload.arms.iter().filter_map(|arm| last_x(&arm.by_samples)).fold(0.0, f64::max);
    let (unit, length) = match most {
        m if m >= 2e6 => ("samples seen (millions)", 1e6),
        m if m >= 2e3 => ("samples seen (thousands)", 1e3),
        _ => ("samples seen", 1.0),
    };
    let kind = Kind {
        name: "metric-by-samples",
        over: "samples seen",
        unit: unit.to_owned(),
        length,
        scale: Scale::Linear,
        points: |arm| &arm.by_samples,
    };
    kind.figure(workload, series)
}

fn last_x(points: &[CurvePoint]) -> Option<f64> {
    points
        .iter()
        .filter(|point| text::drawable(point) && point.x > 0.0)
        .map(|p| p.x)
        .reduce(f64::max)
}

/// What distinguishes the two figures.
struct Kind {
    name: &'static str,
    over: &'static str,
    unit: String,
    length: f64,
    scale: Scale,
    points: fn(&ArmAnalysis) -> &[CurvePoint],
}

/// One arm's points, in figure values: x over the unit, ends ordered and finite.
struct Curve<'a> {
    series: &'a Series,
    points: Vec<CurvePoint>,
}

impl Kind {
    fn figure(&self, workload: &WorkloadAnalysis, series: &[Series]) -> Figure {
        let metric = format!("{} {}", workload.split, workload.metric);
        let mut explanation = format!("{metric}: mean over seeds, shaded 95 % interval");
        if self.scale == Scale::Log {
            explanation.push_str("; log time axis");
        }
        if let Some(left_out) = Series::left_out(workload) {
            explanation.push_str(&format!("; {left_out}"));
        }
        let title = format!("{}: {metric} over {}", workload.workload, self.over);
        let mut figure = Figure::new(title, &explanation);
        figure.name = self.name.to_owned();

        let curves: Vec<Curve> = workload
            .arms
            .iter()
            .zip(series)
            .map(|(arm, series)| Curve { series, points: self.prepared(arm) })
            .collect();
        let plot_height = LEAST_PLOT_HEIGHT.max(curves.len() as f64 * LEGEND_ROW);
        let bottom = TOP + plot_height;
        figure.height = (bottom + BOTTOM_MARGIN).ceil();

        let y = Axis::new(visible_metric(workload, &curves), Scale::Linear, bottom, TOP);
        let ticks = y.ticks(6);
        let widest = ticks.iter().map(|t| text_width(&t.label, BODY, false)).fold(0.0, f64::max);
        let left = 12.0 + widest.min(110.0) + 8.0;
        let labels = curves.iter().map(|c| text_width(&c.series.label, BODY, c.series.baseline));
        let legend = labels.fold(60.0, f64::max) + SWATCH + LEADER + 18.0;
        let right = WIDTH - legend;
        let x = Axis::new(self.range(&curves), self.scale, left, right);

        for tick in &ticks {
            figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
            figure.label((left - 8.0, tick.at + 4.3), &tick.label, Align::Right, MUTED);
        }
        x_axis(&mut figure, &x, (left, right, bottom), &self.unit);
        for curve in &curves {
            curve.shade(&mut figure, &x, &y);
        }
        target_line(&mut figure, workload, &y, left, right);
        for (i, curve) in curves.iter().enumerate() {
            curve.trace(&mut figure, &x, &y, i);
        }
        if curves.iter().all(|curve| curve.points.is_empty()) {
            let middle = ((left + right) / 2.0, TOP + plot_height / 2.0);
            figure.label(middle, "no evaluations recorded", Align::Centre, MUTED);
        }
        legend_column(&mut figure, &curves, &x, &y, right);
        figure
    }

    fn prepared(&self, arm: &ArmAnalysis) -> Vec<CurvePoint> {
        let mut points: Vec<CurvePoint> = (self.points)(arm)
            .iter()
            .filter(|p| text::drawable(p) && (self.scale == Scale::Linear || p.x > 0.0))
            .map(|p| {
                let end = |v: f64| if v.is_finite() { v } else { p.mean };
                CurvePoint { x: p.x / self.length, low: end(p.low), high: end(p.high), ..*p }
            })
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        points
    }

    fn range(&self, curves: &[Curve]) -> (f64, f64) {
        let xs = curves.iter().flat_map(|curve| curve.points.iter().map(|p| p.x));
        let (low, high) =
            xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
        if low > high {
            (0.0, 1.0)
        } else if self.scale == Scale::Log {
            (low / 1.05, high * 1.05)
        } else {
            (low.min(0.0), high)
        }
    }
}

/// The range of the metric to show: the last four fifths of each curve and the target.
fn visible_metric(workload: &WorkloadAnalysis, curves: &[Curve]) -> (f64, f64) {
    let settled = curves.iter().flat_map(|curve| {
        let from = curve.points.last().map_or(0.0, |p| p.x * 0.2);
        curve.points.iter().filter(move |p| p.x >= from)
    });
    let values: Vec<f64> = settled.flat_map(|p| [p.mean, p.low, p.high]).collect();
    zoom(&values, &[workload.target])
}

/// Ticks, their labels and the axis's name under the plot.
pub(crate) fn x_axis(
    figure: &mut Figure,
    x: &Axis,
    (left, right, bottom): (f64, f64, f64),
    name: &str,
) {
    figure.line(vec![(left, bottom), (right, bottom)], MUTED, 1.0);
    let mut free_from = f64::NEG_INFINITY;
    for tick in x.ticks(((right - left) / 75.0) as usize) {
        figure.line(vec![(tick.at, bottom), (tick.at, bottom + 5.0)], MUTED, 1.0);
        let half = text_width(&tick.label, BODY, false) / 2.0;
        if tick.at - half > free_from {
            figure.label((tick.at, bottom + 19.0), &tick.label, Align::Centre, MUTED);
            free_from = tick.at + half + 6.0;
        }
    }
    figure.label(((left + right) / 2.0, bottom + 38.0), name, Align::Centre, INK);
}

fn target_line(figure: &mut Figure, workload: &WorkloadAnalysis, y: &Axis, left: f64, right: f64) {
    let at = y.at(workload.target);
    figure.dashed(&[(left, at), (right, at)], Dash::Dashed, INK, 1.3);
    let label = format!("target {}", text::significant(workload.target, 3));
    let width = text_width(&label, BODY, false);
    let baseline = at - 6.0;
    // A ground under the label keeps it readable where curves pass.
    let (top, foot, end) = (baseline - 11.0, baseline + 3.5, left + 12.0 + width);
    let ground = vec![(left + 4.0, top), (end, top), (end, foot), (left + 4.0, foot)];
    figure.area(ground, PAPER, 0.85);
    figure.label((left + 8.0, baseline), &label, Align::Left, INK);
}

/// Labels to the right of the plot, each near the height where its line ends, none overlapping.
fn legend_column(figure: &mut Figure, curves: &[Curve], x: &Axis, y: &Axis, right: f64) {
    let bottom = figure.height - BOTTOM_MARGIN;
    let mut rows: Vec<(f64, &Curve)> = curves
        .iter()
        .map(|curve| {
            let end = curve.points.last().map_or(bottom, |p| y.at(p.mean));
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
        let path = [(swatch, *at), (swatch + SWATCH - 6.0, *at)];
        figure.dashed(&path, curve.series.dash, curve.series.colour, 2.0);
        let middle = (swatch + (SWATCH - 6.0) / 2.0, *at);
        figure.marker(middle, 3.6, curve.series, false);
        let weight = curve.series.baseline;
        let start = (swatch + SWATCH, at + 4.3);
        figure.write(start, &curve.series.label, BODY, weight, Align::Left, INK);
        if let Some(p) = last.filter(|_| !shown) {
            // An arm that ends off the plot must not look as if it were missing.
            let up = y.at(p.mean) < TOP;
            let tip = if up { at - 5.0 } else { at + 5.0 };
            let base = if up { at + 3.0 } else { at - 3.0 };
            let x = swatch - 9.0;
            figure.area(vec![(x, tip), (x + 4.5, base), (x - 4.5, base)], curve.series.colour, 1.0);
        }
    }
}

/// Moves sorted positions apart to at least `gap`, within `low..high`, as little as it takes.
fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let mut at: Vec<f64> = Vec::with_capacity(wanted.len());
    for &position in wanted {
        let free = at.last().map_or(low, |last| last + gap);
        at.push(position.max(free));
    }
    let mut limit = high;
    for position in at.iter_mut().rev() {
        *position = position.min(limit);
        limit = *position - gap;
    }
    at
}

impl Curve<'_> {
    /// The points on the figure, with a point added wherever a line crosses the edge of the plot.
    fn placed(&self, x: &Axis, y: &Axis, top: f64, bottom: f64) -> Vec<[f64; 4]> {
        let place = |p: &CurvePoint| [x.at(p.x), y.at(p.mean), y.at(p.low), y.at(p.high)];
        let raw: Vec<[f64; 4]> = self.points.iter().map(place).collect();
        let mut placed: Vec<[f64; 4]> = raw.first().copied().into_iter().collect();
        for (a, b) in raw.iter().zip(raw.iter().skip(1)) {
            let mut cuts: Vec<f64> = Vec::new();
            for (from, to) in a.iter().zip(b).skip(1) {
                for edge in [top, bottom] {
                    let share = (edge - from) / (to - from);
                    if share > 0.0 && share < 1.0 {
                        cuts.push(share);
                    }
                }
            }
            cuts.sort_by(f64::total_cmp);
            for share in cuts {
                let mut point = *a;
                for ((value, from), to) in point.iter_mut().zip(a).zip(b) {
                    *value = from + share * (to - from);
                }
                placed.push(point);
            }
            placed.push(*b);
        }
        placed
    }

    fn shade(&self, figure: &mut Figure, x: &Axis, y: &Axis) {
        let (top, bottom) = (TOP, figure.height - BOTTOM_MARGIN);
        let placed = self.placed(x, y, top, bottom.floor());
        let side = |i: usize| {
            placed.iter().map(move |p| (p[0], if i == 2 { p[2] } else { p[3] }.clamp(top, bottom)))
        };
        let outline: Vec<Point> = side(2).chain(side(3).rev()).collect();
        figure.area(outline, self.series.colour, 0.13);
    }

    fn trace(&self, figure: &mut Figure, x: &Axis, y: &Axis, index: usize) {
        let (top, bottom) = (TOP, figure.height - BOTTOM_MARGIN);
        let inside = |v: f64| (top - 0.01..=bottom + 0.01).contains(&v);
        let width = if self.series.baseline { 2.4 } else { 2.0 };
        let mut run: Vec<Point> = Vec::new();
        for [x, mean, ..] in self.placed(x, y, top, bottom.floor()) {
            if inside(mean) {
                run.push((x, mean));
            } else {
                figure.dashed(
                    &std::mem::take(&mut run),
                    self.series.dash,
                    self.series.colour,
                    width,
                );
            }
        }
        figure.dashed(&run, self.series.dash, self.series.colour, width);
        // A few markers per line, at different points for neighbouring arms, and always the last.
        let stride = self.points.len().div_ceil(5).max(1);
        for (i, p) in self.points.iter().enumerate() {
            let last = i + 1 == self.points.len();
            if (last || i % stride == index % stride) && inside(y.at(p.mean)) {
                figure.marker((x.at(p.x), y.at(p.mean)), 3.6, self.series, false);
            }
        }
    }
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
