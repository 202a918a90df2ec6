//! Metric over train time and over samples seen: one line per arm, its 95 % interval shaded.

use analysis::summary::{ArmAnalysis, CurvePoint, WorkloadAnalysis};

use crate::axis::{Axis, Scale, zoom};
use crate::figure::{Align, BODY, Figure, GRID, INK, MUTED, Point, WIDTH};
use crate::font::text_width;
use crate::series::{Dash, Series};
use crate::text;
pub(crate) use legend::legend_column;
use legend::target_label;
pub(crate) use line::Curve;

mod legend;
mod line;

pub(crate) const TOP: f64 = 58.0;
pub(crate) const BOTTOM_MARGIN: f64 = 48.0;
pub(crate) const LEAST_PLOT_HEIGHT: f64 = 320.0;
pub(crate) const LEGEND_ROW: f64 = 17.5;
pub(crate) const SWATCH: f64 = 28.0;
pub(crate) const LEADER: f64 = 20.0;

/// Ratio of the longest to the shortest run from which times are drawn on a log axis.
pub(crate) const LOG_FROM: f64 = 20.0;

/// Metric over train seconds.
pub(crate) fn over_time(workload: &WorkloadAnalysis, series: &[Series]) -> Figure {
    let ends: Vec<f64> = workload.arms.iter().filter_map(|arm| last_x(&arm.by_time)).collect();
    let longest = ends.iter().copied().fold(0.0, f64::max);
    let shortest = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let scale = if longest > LOG_FROM * shortest { Scale::Log } else { Scale::Linear };
    let (unit, length) = axis_unit(longest, scale);
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

/// The unit of a time axis up to `longest` seconds; seconds where a log axis spans several units.
pub(crate) fn axis_unit(longest: f64, scale: Scale) -> (&'static str, f64) {
    if scale == Scale::Log { ("s", 1.0) } else { text::time_unit(longest) }
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

impl Kind {
    fn figure(&self, workload: &WorkloadAnalysis, series: &[Series]) -> Figure {
        let metric = format!("{} {}", workload.split, workload.target.metric);
        let lone = workload.arms.iter().all(|arm| (self.points)(arm).iter().all(|p| p.n < 2));
        let seeds =
            if lone { "one seed, no interval" } else { "mean over seeds; shaded: 95 % interval" };
        let mut explanation = format!("{metric}, {seeds}");
        if self.scale == Scale::Log {
            explanation.push_str("; log time axis");
        }
        if let Some(left_out) = Series::left_out(workload) {
            explanation.push_str(&format!("; {left_out}"));
        }
        let title = format!("{}: {metric} over {}", workload.workload, self.over);
        let mut figure = Figure::new(title, &explanation);
        figure.name = self.name.to_owned();

        let trained = |arm: &&ArmAnalysis| !arm.idle;
        let moving: Vec<Vec<CurvePoint>> =
            workload.arms.iter().filter(trained).map(|arm| self.prepared(arm)).collect();
        let shown = visible_metric(workload, &moving);
        let ends = self.range(&moving);
        let curve = |(arm, series)| Curve { series, points: self.drawn(arm, shown, ends) };
        let curves: Vec<Curve> = workload.arms.iter().zip(series).map(curve).collect();
        let axes = Axes {
            x: ends,
            scale: self.scale,
            unit: &self.unit,
            y: shown,
            height: Scale::Linear,
            target: Some(workload.target.value),
        };
        axes.plot(&mut figure, &curves);
        figure
    }

    /// The points of an arm; a level from end to end for one that trains nothing, where it is
    /// within what the axis shows.
    fn drawn(
        &self,
        arm: &ArmAnalysis,
        (low, high): (f64, f64),
        ends: (f64, f64),
    ) -> Vec<CurvePoint> {
        match (arm.idle, arm.by_samples.first()) {
            (false, _) => self.prepared(arm),
            (true, Some(level)) if text::drawable(level) && (low..=high).contains(&level.mean) => {
                [ends.0, ends.1].map(|x| CurvePoint { x, ..*level }).to_vec()
            }
            (true, _) => Vec::new(),
        }
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

    fn range(&self, curves: &[Vec<CurvePoint>]) -> (f64, f64) {
        let xs = curves.iter().flat_map(|points| points.iter().map(|p| p.x));
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

/// What the axes of a plot of curves show.
pub(crate) struct Axes<'a> {
    /// Ends of the horizontal axis.
    pub(crate) x: (f64, f64),
    /// How the horizontal axis is divided.
    pub(crate) scale: Scale,
    /// Name of the horizontal axis.
    pub(crate) unit: &'a str,
    /// Ends of the vertical axis.
    pub(crate) y: (f64, f64),
    /// How the vertical axis is divided.
    pub(crate) height: Scale,
    /// A dashed line across, with its value.
    pub(crate) target: Option<f64>,
}

impl Axes<'_> {
    /// Draws the curves with grid, axes and legend, and makes the figure as high as they need.
    pub(crate) fn plot(&self, figure: &mut Figure, curves: &[Curve<'_>]) {
        let plot_height = LEAST_PLOT_HEIGHT.max(curves.len() as f64 * LEGEND_ROW);
        let bottom = TOP + plot_height;
        figure.height = (bottom + BOTTOM_MARGIN).ceil();
        let y = Axis::new(self.y, self.height, bottom, TOP);
        let ticks = y.ticks(6);
        let widest = ticks.iter().map(|t| text_width(&t.label, BODY, false)).fold(0.0, f64::max);
        let left = 12.0 + widest.min(110.0) + 8.0;
        let labels = curves.iter().map(|c| text_width(&c.series.label, BODY, c.series.baseline));
        let legend = labels.fold(60.0, f64::max) + SWATCH + LEADER + 18.0;
        let right = WIDTH - legend;
        let x = Axis::new(self.x, self.scale, left, right);

        for tick in &ticks {
            figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
            figure.label((left - 8.0, tick.at + 4.3), &tick.label, Align::Right, MUTED);
        }
        x_axis(figure, &x, (left, right, bottom), self.unit);
        for curve in curves {
            curve.shade(figure, &x, &y);
        }
        if let Some(target) = self.target {
            let at = y.at(target);
            figure.dashed(&[(left, at), (right, at)], Dash::Dashed, INK, 1.3);
        }
        for (i, curve) in curves.iter().enumerate() {
            curve.trace(figure, &x, &y, i);
        }
        if let Some(target) = self.target {
            let paths: Vec<Vec<Point>> = curves.iter().map(|curve| curve.path(&x, &y)).collect();
            target_label(figure, target, y.at(target), &paths, (left, right));
        }
        if curves.iter().all(|curve| curve.points.is_empty()) {
            let middle = ((left + right) / 2.0, TOP + plot_height / 2.0);
            figure.label(middle, "no evaluations recorded", Align::Centre, MUTED);
        }
        legend_column(figure, curves, &x, &y, right);
    }
}

/// The range of the metric to show: the last four fifths of each curve and the target.
fn visible_metric(workload: &WorkloadAnalysis, curves: &[Vec<CurvePoint>]) -> (f64, f64) {
    let settled = curves.iter().flat_map(|points| {
        let from = points.last().map_or(0.0, |p| p.x * 0.2);
        points.iter().filter(move |p| p.x >= from)
    });
    let values: Vec<f64> = settled.flat_map(|p| [p.mean, p.low, p.high]).collect();
    let (low, high) = zoom(&values, &[workload.target.value]);
    // A Student-t interval knows no best value; the axis does.
    match workload.best {
        Some(best) if workload.target.direction.is_higher() => (low, high.min(best)),
        Some(best) => (low.max(best), high),
        None => (low, high),
    }
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
    for tick in x.ticks(((right - left) / 60.0) as usize) {
        figure.line(vec![(tick.at, bottom), (tick.at, bottom + 5.0)], MUTED, 1.0);
        let half = text_width(&tick.label, BODY, false) / 2.0;
        if tick.at - half > free_from {
            figure.label((tick.at, bottom + 19.0), &tick.label, Align::Centre, MUTED);
            free_from = tick.at + half + 6.0;
        }
    }
    figure.label(((left + right) / 2.0, bottom + 38.0), name, Align::Centre, INK);
}
