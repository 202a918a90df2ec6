//! Metric over train time, over samples seen and over what runs count: one line per arm, its 95 % interval shaded.

use std::collections::BTreeSet;

use analysis::summary::{ArmAnalysis, CurvePoint, WorkloadAnalysis};
use ledger::goal;

use crate::axis::{Axis, Scale, zoom};
use crate::figure::{Align, BODY, Figure, GRID, INK, MUTED, Point};
use crate::font::{shorten, text_width};
use crate::possible::Possible;
use crate::series::{Dash, Series};
use crate::text;
use legend::{legend_below, target_label};
pub(crate) use legend::{legend_column, legend_rows};
pub(crate) use line::Curve;

mod legend;
mod line;

pub(crate) const TOP: f64 = 58.0;
pub(crate) const BOTTOM_MARGIN: f64 = 48.0;
pub(crate) const LEAST_PLOT_HEIGHT: f64 = 320.0;
pub(crate) const LEGEND_ROW: f64 = 17.5;
pub(crate) const SWATCH: f64 = 28.0;
pub(crate) const LEADER: f64 = 20.0;

/// Ratio of the longest to the shortest run from which they are drawn over a log axis: beyond it, most arms would share
/// the first tenth of the width.
pub(crate) const LOG_FROM: f64 = 8.0;
/// Curves whose intervals can still be told apart when they lie on one another; of more, each has its own panel.
pub(crate) const MOST_BANDS: usize = 6;
/// The same in a small plot.
const MOST_SMALL_BANDS: usize = 4;
/// Seeds below which nothing is an interval.
pub(crate) const LEAST_SEEDS: u32 = 3;
/// Height of a plot in one column of a paper.
const COLUMN_PLOT_HEIGHT: f64 = 210.0;

/// Metric over train seconds.
pub(crate) fn over_time(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Figure {
    let ends: Vec<f64> = workload.arms.iter().filter_map(|arm| last_x(&arm.by_time)).collect();
    let scale = scale_of(&ends);
    let (unit, length) = axis_unit(ends.iter().copied().fold(0.0, f64::max), scale);
    let kind = Kind {
        name: "metric-by-time".to_owned(),
        over: "train time".to_owned(),
        unit: format!("train time ({unit})"),
        length,
        scale,
        drawn: Drawn::TargetOverTime,
    };
    kind.figure(workload, series, width)
}

/// Metric over samples seen.
pub(crate) fn over_samples(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Figure {
    samples(workload, Drawn::TargetOverSamples).figure(workload, series, width)
}

/// Metric over each thing that some arm's runs count along their way.
pub(crate) fn over_costs(
    workload: &WorkloadAnalysis,
    series: &[Series],
    width: f64,
) -> Vec<Figure> {
    let costs = workload.arms.iter().flat_map(|arm| &arm.costs);
    let names: BTreeSet<&str> = costs
        .filter(|(_, cost)| cost.curve.iter().any(text::drawable))
        .map(|(name, _)| name.as_str())
        .collect();
    let figure = |name: &str| {
        let drawn = Drawn::TargetOverCost(name);
        let ends: Vec<f64> =
            workload.arms.iter().filter_map(|arm| last_x(drawn.points(arm))).collect();
        let over = text::counted(name);
        let (unit, length) = text::count_axis(&over, ends.iter().copied().fold(0.0, f64::max));
        let kind = Kind {
            name: format!("metric-by-{}", text::slug(&over)),
            over,
            unit,
            length,
            scale: scale_of(&ends),
            drawn,
        };
        kind.figure(workload, series, width)
    };
    names.into_iter().map(figure).collect()
}

/// Another metric of the target's split over samples seen, where it was recorded along the run.
pub(crate) fn of_metric(
    workload: &WorkloadAnalysis,
    series: &[Series],
    width: f64,
    metric: &str,
) -> Option<Figure> {
    let key = goal::key(&workload.split, metric);
    workload.arms.iter().find(|arm| arm.metrics_by_samples.contains_key(&key))?;
    let mut kind = samples(workload, Drawn::Other(&key));
    kind.name = format!("{}-by-samples", text::slug(metric));
    Some(kind.figure(workload, series, width))
}

/// What curves show.
#[derive(Clone, Copy)]
enum Drawn<'a> {
    TargetOverTime,
    TargetOverSamples,
    /// By what is counted.
    TargetOverCost(&'a str),
    /// A metric by its name, with its split.
    Other(&'a str),
}

impl Drawn<'_> {
    fn points<'a>(&self, arm: &'a ArmAnalysis) -> &'a [CurvePoint] {
        match self {
            Self::TargetOverTime => &arm.by_time,
            Self::TargetOverSamples => &arm.by_samples,
            Self::TargetOverCost(name) => arm.costs.get(*name).map_or(&[][..], |cost| &cost.curve),
            Self::Other(key) => arm.metrics_by_samples.get(*key).map_or(&[][..], Vec::as_slice),
        }
    }

    /// What an arm that trains nothing has all the time.
    fn level(&self, arm: &ArmAnalysis) -> Option<CurvePoint> {
        let points: &[CurvePoint] = match self {
            Self::Other(_) => self.points(arm),
            Self::TargetOverTime | Self::TargetOverSamples | Self::TargetOverCost(_) => {
                &arm.by_samples
            }
        };
        points.first().copied().filter(text::drawable)
    }

    /// The metric's name without the split.
    fn metric<'a>(&'a self, workload: &'a WorkloadAnalysis) -> &'a str {
        match self {
            Self::TargetOverTime | Self::TargetOverSamples | Self::TargetOverCost(_) => {
                &workload.target.metric
            }
            Self::Other(key) => key.split_once('/').map_or(*key, |(_, metric)| metric),
        }
    }

    fn target(&self, workload: &WorkloadAnalysis) -> Option<f64> {
        (!matches!(self, Self::Other(_))).then_some(workload.target.value)
    }

    /// Whether an arm trains, but counts nothing of what others do: then it has no place.
    fn is_uncounted(&self, arm: &ArmAnalysis) -> bool {
        matches!(self, Self::TargetOverCost(_)) && !arm.idle && self.points(arm).is_empty()
    }
}

/// How a metric stands over the samples seen.
fn samples<'a>(workload: &WorkloadAnalysis, drawn: Drawn<'a>) -> Kind<'a> {
    // Those of the target's metric, whatever is drawn: panels side by side have one unit.
    let trained = workload.arms.iter().filter(|arm| !arm.idle);
    // One that was over after a look, since it diverged, is no short run.
    let lines = trained.filter(|arm| arm.by_samples.len() > 1);
    let ends: Vec<f64> = lines.filter_map(|arm| last_x(&arm.by_samples)).collect();
    let longest = ends.iter().copied().fold(0.0, f64::max);
    let (unit, length) = text::count_axis("samples seen", longest);
    Kind {
        name: "metric-by-samples".to_owned(),
        over: "samples seen".to_owned(),
        unit,
        length,
        scale: scale_of(&ends),
        drawn,
    }
}

/// A log axis where most arms would share the first part of a linear one.
fn scale_of(ends: &[f64]) -> Scale {
    let longest = ends.iter().copied().fold(0.0, f64::max);
    let shortest = ends.iter().copied().fold(f64::INFINITY, f64::min);
    if longest > LOG_FROM * shortest { Scale::Log } else { Scale::Linear }
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

/// What distinguishes the figures.
struct Kind<'d> {
    name: String,
    over: String,
    unit: String,
    length: f64,
    scale: Scale,
    drawn: Drawn<'d>,
}

/// Everything that a figure of curves is drawn from.
pub(crate) struct Curves<'a> {
    pub(crate) all: Vec<Curve<'a>>,
    pub(crate) axes: Axes<'a>,
    /// Seeds of the points, the most.
    pub(crate) seeds: u32,
    /// Whether some curve goes beyond the axis, below and above.
    pub(crate) cut: (bool, bool),
}

/// The curves over samples seen.
pub(crate) fn curves_over_samples<'a>(
    workload: &'a WorkloadAnalysis,
    series: &'a [Series],
) -> Curves<'a> {
    samples(workload, Drawn::TargetOverSamples).curves(workload, series, true)
}

/// What is recorded along the runs over the samples seen: the target's metric, and others by their names with the split;
/// the same with intervals on every line or on none.
pub(crate) fn curves_of_metrics<'a>(
    workload: &'a WorkloadAnalysis,
    series: &'a [Series],
    others: &[&str],
) -> Vec<Curves<'a>> {
    let kinds =
        [Drawn::TargetOverSamples].into_iter().chain(others.iter().map(|key| Drawn::Other(key)));
    let kinds: Vec<Kind<'_>> = kinds.map(|drawn| samples(workload, drawn)).collect();
    let all = |shaded: bool| -> Vec<Curves<'a>> {
        kinds.iter().map(|kind| kind.curves(workload, series, shaded)).collect()
    };
    let shaded = all(true);
    if shaded.iter().any(|found| found.banded() > MOST_SMALL_BANDS) { all(false) } else { shaded }
}

impl Curves<'_> {
    /// How many lines have intervals.
    pub(crate) fn banded(&self) -> usize {
        self.all.iter().filter(|curve| curve.has_band()).count()
    }
}

impl Kind<'_> {
    fn figure(&self, workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Figure {
        let metric = text::one_line(&format!("{} {}", workload.split, self.drawn.metric(workload)));
        let mut found = self.curves(workload, series, true);
        let banded = found.banded();
        if banded > MOST_BANDS {
            found = self.curves(workload, series, false);
        }
        let seeds = match self.drawn {
            _ if found.seeds < LEAST_SEEDS || banded <= MOST_BANDS => over_seeds(found.seeds),
            Drawn::TargetOverCost(_) => {
                "mean over seeds; their 95 % intervals are in the table of curves"
            }
            _ => "mean over seeds; their 95 % intervals are in the panels",
        };
        let mut explanation = format!("{metric}, {seeds}");
        if self.scale == Scale::Log {
            explanation.push_str("; log axis");
        }
        match found.cut {
            (true, true) => explanation.push_str("; curves go beyond both ends of the axis"),
            (true, false) => {
                explanation.push_str("; the axis is cut below: curves come from there")
            }
            (false, true) => {
                explanation.push_str("; the axis is cut above: curves come from there")
            }
            (false, false) => {}
        }
        match workload.arms.iter().filter(|arm| self.drawn.is_uncounted(arm)).count() {
            0 => {}
            1 => explanation.push_str("; left out: an arm that does not count them"),
            n => explanation.push_str(&format!("; left out: {n} arms that do not count them")),
        }
        if workload.arms.iter().any(|arm| arm.idle) {
            explanation.push_str("; level: an arm that trains nothing");
        }
        if let Some(left_out) = Series::left_out(workload) {
            explanation.push_str(&format!("; {left_out}"));
        }
        let title = format!("{}: {metric} over {}", workload.workload, self.over);
        let mut figure = Figure::wide(width, title, &explanation);
        figure.name.clone_from(&self.name);
        figure.upwards = Some(metric);
        found.axes.plot(&mut figure, &found.all);
        figure
    }

    /// The curves with their intervals, or with none: then the axis shows the means.
    fn curves<'a>(
        &self,
        workload: &'a WorkloadAnalysis,
        series: &'a [Series],
        shaded: bool,
    ) -> Curves<'a> {
        let possible = Possible::of_metric(workload, self.drawn.metric(workload));
        let target = self.drawn.target(workload);
        let trained = |arm: &&ArmAnalysis| !arm.idle;
        let bare = |mut points: Vec<CurvePoint>| {
            for point in points.iter_mut().filter(|_| !shaded) {
                (point.low, point.high) = (point.mean, point.mean);
            }
            points
        };
        let trained = workload.arms.iter().filter(trained);
        let moving: Vec<Vec<CurvePoint>> =
            trained.map(|arm| bare(self.prepared(arm, possible))).collect();
        let kept = match target {
            Some(target) => vec![target],
            None => ends_kept(&moving),
        };
        let shown = visible(&moving, &kept, possible);
        let ends = self.range(&moving);
        let curve = |(arm, series): (&ArmAnalysis, &'a Series)| {
            let (points, level) = self.drawn(arm, possible, shown, ends);
            Curve { series, points: bare(points), level }
        };
        let counted = |(arm, _): &(&ArmAnalysis, &Series)| !self.drawn.is_uncounted(arm);
        let all: Vec<Curve<'a>> =
            workload.arms.iter().zip(series).filter(counted).map(curve).collect();
        let means = || all.iter().flat_map(|curve| curve.points.iter().map(|point| point.mean));
        let cut = (means().any(|mean| mean < shown.0), means().any(|mean| mean > shown.1));
        let seeds = workload.arms.iter().flat_map(|arm| self.drawn.points(arm)).map(|p| p.n).max();
        Curves {
            axes: Axes {
                x: ends,
                scale: self.scale,
                unit: self.unit.clone(),
                measured: Vec::new(),
                y: shown,
                height: Scale::Linear,
                target,
                cut,
                line: None,
            },
            all,
            seeds: seeds.unwrap_or(0),
            cut,
        }
    }

    /// The points of an arm; a level from end to end for one that trains nothing, where it is within what the axis
    /// shows, and the level itself in any case.
    fn drawn(
        &self,
        arm: &ArmAnalysis,
        possible: Possible,
        (low, high): (f64, f64),
        ends: (f64, f64),
    ) -> (Vec<CurvePoint>, Option<f64>) {
        match (arm.idle, self.drawn.level(arm)) {
            (false, _) => (self.prepared(arm, possible), None),
            (true, Some(level)) => {
                let inside = (low..=high).contains(&level.mean);
                let level = held(level, possible);
                let points = ends_of(ends).map(|x| CurvePoint { x, ..level }).to_vec();
                (if inside { points } else { Vec::new() }, Some(level.mean))
            }
            (true, None) => (Vec::new(), None),
        }
    }

    fn prepared(&self, arm: &ArmAnalysis, possible: Possible) -> Vec<CurvePoint> {
        let mut points: Vec<CurvePoint> = self
            .drawn
            .points(arm)
            .iter()
            .filter(|p| text::drawable(p) && (self.scale == Scale::Linear || p.x > 0.0))
            .map(|p| CurvePoint { x: p.x / self.length, ..held(*p, possible) })
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

/// What a point of a curve is of so many seeds.
pub(crate) fn over_seeds(seeds: u32) -> &'static str {
    match seeds {
        0 | 1 => "one seed, no interval",
        2 => "mean of two seeds, no interval",
        _ => "mean over seeds; shaded: 95 % interval",
    }
}

fn ends_of((from, to): (f64, f64)) -> [f64; 2] {
    [from, to]
}

/// A point with ends that are numbers, within what is possible, and none at all below [`LEAST_SEEDS`].
pub(crate) fn held(point: CurvePoint, possible: Possible) -> CurvePoint {
    let mean = possible.within(point.mean);
    let end = |end: f64| {
        if end.is_finite() && point.n >= LEAST_SEEDS { possible.within(end) } else { mean }
    };
    CurvePoint { mean, low: end(point.low), high: end(point.high), ..point }
}

/// What the axes of a plot of curves show.
pub(crate) struct Axes<'a> {
    /// Ends of the horizontal axis.
    pub(crate) x: (f64, f64),
    /// How the horizontal axis is divided.
    pub(crate) scale: Scale,
    /// Name of the horizontal axis.
    pub(crate) unit: String,
    /// Values of the horizontal axis to label, where only they were measured; round ones where there are none.
    pub(crate) measured: Vec<f64>,
    /// Ends of the vertical axis.
    pub(crate) y: (f64, f64),
    /// How the vertical axis is divided.
    pub(crate) height: Scale,
    /// A dashed line across, with its value.
    pub(crate) target: Option<f64>,
    /// Whether curves go beyond the vertical axis, below and above.
    pub(crate) cut: (bool, bool),
    /// A name beside the target's line instead of `target`.
    pub(crate) line: Option<&'a str>,
}

impl Axes<'_> {
    /// Draws the curves with grid, axes and legend, and makes the figure as high as they need; returns where the
    /// values stand.
    pub(crate) fn plot(&self, figure: &mut Figure, curves: &[Curve<'_>]) -> (Axis, Axis) {
        let narrow = figure.narrow();
        let plot_height = if narrow {
            COLUMN_PLOT_HEIGHT
        } else {
            LEAST_PLOT_HEIGHT.max(curves.len() as f64 * LEGEND_ROW)
        };
        let bottom = TOP + plot_height;
        figure.height = (bottom + BOTTOM_MARGIN).ceil();
        let y = Axis::new(self.y, self.height, bottom, TOP);
        let ticks = y.ticks(6);
        let widest = ticks.iter().map(|t| text_width(&t.label, BODY, false)).fold(0.0, f64::max);
        let left = 12.0 + widest.min(110.0) + 8.0;
        let right = if narrow {
            figure.width - 12.0
        } else {
            let labels = curves.iter().map(|c| text_width(&c.label(), BODY, c.series.baseline));
            figure.width - labels.fold(60.0, f64::max) - SWATCH - LEADER - 18.0
        };
        let x = Axis::new(self.x, self.scale, left, right);

        for tick in &ticks {
            figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
            figure.label((left - 8.0, tick.at + 4.3), &tick.label, Align::Right, MUTED);
        }
        if self.measured.is_empty() {
            x_axis(figure, &x, (left, right, bottom), &self.unit);
        } else {
            measured_axis(figure, &x, (left, right, bottom), &self.unit, &self.measured);
        }
        for (cut, at) in [(self.cut.0, bottom), (self.cut.1, TOP)] {
            if cut {
                cut_mark(figure, (left, at));
            }
        }
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
        let nothing = curves.iter().all(|curve| curve.points.is_empty() && curve.level.is_none());
        if let Some(target) = self.target.filter(|_| !nothing) {
            let paths: Vec<Vec<Point>> = curves.iter().map(|curve| curve.path(&x, &y)).collect();
            let name = self.line.unwrap_or("target");
            let label = format!("{name} {}", text::given(target));
            target_label(figure, &label, y.at(target), &paths, (left, right, bottom));
        }
        if nothing {
            // Above the target's line, which is in the middle where nothing else is.
            let middle = ((left + right) / 2.0, TOP + plot_height / 2.0 - 14.0);
            figure.label(middle, "no values recorded", Align::Centre, MUTED);
        }
        if narrow {
            legend_below(figure, curves, &y);
        } else {
            legend_column(figure, curves, &x, &y, right);
        }
        (x, y)
    }
}

/// Two strokes across the end of an axis that does not show everything.
pub(crate) fn cut_mark(figure: &mut Figure, (x, y): Point) {
    for shift in [-2.5, 2.5] {
        let (from, to) = ((x - 5.0, y + shift + 2.5), (x + 5.0, y + shift - 2.5));
        figure.line(vec![from, to], INK, 1.2);
    }
}

/// The range of a metric to show: the last four fifths of each curve, and what is to be `kept` in any case.
fn visible(curves: &[Vec<CurvePoint>], kept: &[f64], possible: Possible) -> (f64, f64) {
    let settled = curves.iter().flat_map(|points| {
        let from = points.last().map_or(0.0, |p| p.x * 0.2);
        points.iter().filter(move |p| p.x >= from)
    });
    let values: Vec<f64> = settled.flat_map(|p| [p.mean, p.low, p.high]).collect();
    possible.axis(zoom(&values, kept))
}

/// Where curves of a metric without a target end, as far as they are of one size: where most arms have none of something,
/// that one has some is what the figure is for.
fn ends_kept(curves: &[Vec<CurvePoint>]) -> Vec<f64> {
    let mut ends: Vec<f64> =
        curves.iter().filter_map(|points| points.last()).map(|p| p.mean).collect();
    ends.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let middle = ends.get(ends.len() / 2).map_or(0.0, |end| end.abs());
    ends.retain(|end| end.abs() <= (100.0 * middle).max(1.0));
    ends
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
        // The last of them may stand at the figure's edge.
        let at = tick.at.min(figure.width - half - 1.0);
        if at - half > free_from {
            figure.label((at, bottom + 19.0), &tick.label, Align::Centre, MUTED);
            free_from = at + half + 6.0;
        }
    }
    axis_name(figure, (left, right, bottom), name);
}

/// The axis's name, no wider than the figure.
fn axis_name(figure: &mut Figure, (left, right, bottom): (f64, f64, f64), name: &str) {
    let name = shorten(name, figure.width - 16.0, BODY, false);
    let half = text_width(&name, BODY, false) / 2.0;
    let middle = ((left + right) / 2.0).clamp(half + 4.0, figure.width - half - 4.0);
    figure.label((middle, bottom + 38.0), &name, Align::Centre, INK);
}

/// The same with the values that were measured, as far as there is room, in the place of round ones.
pub(crate) fn measured_axis(
    figure: &mut Figure,
    x: &Axis,
    (left, right, bottom): (f64, f64, f64),
    name: &str,
    measured: &[f64],
) {
    figure.line(vec![(left, bottom), (right, bottom)], MUTED, 1.0);
    let mut values = measured.to_vec();
    values.sort_by(f64::total_cmp);
    values.dedup();
    let mut free_from = f64::NEG_INFINITY;
    for value in values {
        let at = x.at(value);
        figure.line(vec![(at, bottom), (at, bottom + 5.0)], MUTED, 1.0);
        let label = text::measured(value);
        let half = text_width(&label, BODY, false) / 2.0;
        if at - half > free_from {
            figure.label((at, bottom + 19.0), &label, Align::Centre, MUTED);
            free_from = at + half + 6.0;
        }
    }
    axis_name(figure, (left, right, bottom), name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, Shape, WIDTH};
    use crate::sample;
    use crate::series::Looks;

    fn point(x: f64, mean: f64, half: f64, n: u32) -> CurvePoint {
        CurvePoint { x, mean, low: mean - half, high: mean + half, n }
    }

    #[test]
    fn the_one_arm_that_has_some_of_a_metric_is_on_its_axis_and_one_that_diverged_is_not() {
        let line = |end: f64| vec![point(0.0, 0.0, 0.0, 1), point(9.0, end, 0.0, 1)];
        let shown = |ends: &[f64]| {
            let curves: Vec<Vec<CurvePoint>> = ends.iter().map(|end| line(*end)).collect();
            visible(&curves, &ends_kept(&curves), Possible::ANY)
        };
        assert!(shown(&[0.0, 0.0, 0.0, 0.0, 0.9]).1 > 0.9);
        assert!(shown(&[20.0, 21.0, 22.0, 20.0, 1e9]).1 < 100.0);
    }

    #[test]
    fn what_runs_count_is_an_axis_of_its_own_and_an_arm_that_counts_none_of_it_is_left_out_and_said()
     {
        let analysis = sample::recorded();
        let workload = &analysis.workloads[0];
        let series = Series::of(&Looks::of(&analysis), workload);
        for width in [COLUMN, WIDTH] {
            let figures = over_costs(workload, &series, width);
            let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
            assert_eq!(names, ["metric-by-forward-tokens", "metric-by-questions"]);
            let arms = |figure: &Figure| {
                let labels = series.iter().map(|one| one.label.as_str());
                let is_there = |label: &&str| {
                    figure.shapes.iter().any(|shape| matches!(shape, Shape::Text { text, .. } if text.starts_with(*label)))
                };
                labels.filter(is_there).map(str::to_owned).collect::<Vec<_>>()
            };
            // The last arm trains nothing: a level.
            assert_eq!(arms(&figures[0]).len(), 4);
            assert!(!figures[0].explanation.contains("left out"), "{}", figures[0].explanation);
            assert_eq!(arms(&figures[1]), [&series[2].label, &series[3].label].map(String::clone));
            assert!(
                figures[1].explanation.contains("left out: 2 arms"),
                "{}",
                figures[1].explanation
            );
            for figure in &figures {
                check_shapes(figure);
                check_texts(figure);
                let unit = figure.shapes.iter().any(|shape| matches!(shape, Shape::Text { text, .. } if text.ends_with("(thousands)")));
                assert!(unit, "{}", figure.name);
            }
        }
        assert!(over_costs(&sample::full().workloads[0], &series, WIDTH).is_empty());
    }

    #[test]
    fn runs_far_apart_in_length_stand_over_a_log_axis() {
        assert_eq!(scale_of(&[1.0, 2.0, 8.0]), Scale::Linear);
        assert_eq!(scale_of(&[1.0, 2.0, 8.1]), Scale::Log);
        assert_eq!(scale_of(&[]), Scale::Linear);
    }

    #[test]
    fn no_interval_of_an_accuracy_goes_below_zero_or_above_one_and_two_seeds_have_none() {
        let share = Possible { low: 0.0, high: 1.0 };
        let wide = held(point(1.0, 0.5, 0.9, 5), share);
        assert_eq!((wide.low, wide.mean, wide.high), (0.0, 0.5, 1.0));
        let two = held(point(1.0, 0.5, 0.4, 2), share);
        assert_eq!((two.low, two.high), (0.5, 0.5));
        let broken = held(CurvePoint { low: f64::NAN, ..point(1.0, 0.5, 0.1, 5) }, share);
        assert_eq!((broken.low, broken.high), (0.5, 0.6));
    }
}
