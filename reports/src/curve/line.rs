//! One arm's curve: its line, markers and shaded interval, cut at the edges of the plot.

use analysis::summary::CurvePoint;

use crate::axis::Axis;
use crate::figure::{Colour, Figure, Point};
use crate::series::Series;
use crate::text;

/// Grey that still shows on white paper.
const FAINT: Colour = (0xa3, 0xab, 0xb5);

/// Whether a height is within the plot.
fn inside(y: &Axis, at: f64) -> bool {
    let (bottom, top) = y.ends();
    (top - 0.01..=bottom + 0.01).contains(&at)
}

/// One arm's points, in figure values: x over the unit, ends ordered and finite.
pub(crate) struct Curve<'a> {
    pub(crate) series: &'a Series,
    pub(crate) points: Vec<CurvePoint>,
    /// The level of an arm that trains nothing, also where the axis does not show it.
    pub(crate) level: Option<f64>,
}

impl Curve<'_> {
    /// The arm's name, with what it does not do and what it has not.
    pub(super) fn label(&self) -> String {
        let note = match (self.level, self.points.is_empty()) {
            (Some(_), _) => " (idle)",
            (None, true) => " (no values)",
            (None, false) => "",
        };
        format!("{}{note}", self.series.label)
    }

    /// Where it ends, or stays all the time.
    pub(crate) fn end(&self) -> Option<f64> {
        self.points.last().map(|point| point.mean).or(self.level)
    }

    /// Whether some interval is wider than nothing.
    pub(crate) fn has_band(&self) -> bool {
        self.points.iter().any(|point| point.low < point.high)
    }

    /// The line of means on the figure.
    pub(super) fn path(&self, x: &Axis, y: &Axis) -> Vec<Point> {
        self.points.iter().map(|p| (x.at(p.x), y.at(p.mean))).collect()
    }

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

    pub(crate) fn shade(&self, figure: &mut Figure, x: &Axis, y: &Axis) {
        if !self.has_band() {
            return;
        }
        let (bottom, top) = y.ends();
        let placed = self.placed(x, y, top, bottom.floor());
        let side = |i: usize| {
            placed.iter().map(move |p| (p[0], if i == 2 { p[2] } else { p[3] }.clamp(top, bottom)))
        };
        let outline: Vec<Point> = side(2).chain(side(3).rev()).collect();
        figure.area(outline, self.series.colour, 0.13);
    }

    /// The pieces of the line of means that lie within the plot.
    fn runs(&self, x: &Axis, y: &Axis) -> Vec<Vec<Point>> {
        let (bottom, top) = y.ends();
        let mut runs: Vec<Vec<Point>> = vec![Vec::new()];
        for [x, mean, ..] in self.placed(x, y, top, bottom.floor()) {
            if inside(y, mean) {
                if let Some(run) = runs.last_mut() {
                    run.push((x, mean));
                }
            } else {
                runs.push(Vec::new());
            }
        }
        runs
    }

    /// The line alone, in grey: something to hold another curve against.
    pub(crate) fn faint(&self, figure: &mut Figure, x: &Axis, y: &Axis) {
        for run in self.runs(x, y) {
            figure.line(run, FAINT, 1.2);
        }
    }

    /// The line with a marker at its end alone, for a small plot.
    pub(crate) fn line(&self, figure: &mut Figure, x: &Axis, y: &Axis) {
        for run in self.runs(x, y) {
            figure.dashed(&run, self.series.dash, self.series.colour, 1.6);
        }
        if let Some(last) = self.points.last().filter(|last| inside(y, y.at(last.mean))) {
            let at = (x.at(last.x), y.at(last.mean));
            figure.marker(at, 3.0, self.series, false);
            figure.spot(at, &text::point(&self.series.label, last));
        }
    }

    pub(crate) fn trace(&self, figure: &mut Figure, x: &Axis, y: &Axis, index: usize) {
        let width = if self.series.baseline { 2.4 } else { 2.0 };
        let inside = |at: f64| inside(y, at);
        for run in self.runs(x, y) {
            figure.dashed(&run, self.series.dash, self.series.colour, width);
        }
        // A few markers per line, at different points for neighbouring arms, and always the last.
        if let [only] = self.points.as_slice()
            && inside(y.at(only.low))
            && inside(y.at(only.high))
        {
            let ends = vec![(x.at(only.x), y.at(only.low)), (x.at(only.x), y.at(only.high))];
            figure.line(ends, self.series.colour, 1.5);
        }
        let stride = self.points.len().div_ceil(5).max(1);
        for (i, p) in self.points.iter().enumerate() {
            let last = i + 1 == self.points.len();
            let regular =
                i % stride == index % stride && i + stride.div_ceil(2) < self.points.len();
            if (last || regular) && inside(y.at(p.mean)) {
                figure.marker((x.at(p.x), y.at(p.mean)), 3.6, self.series, false);
                figure.spot((x.at(p.x), y.at(p.mean)), &text::point(&self.series.label, p));
            }
        }
    }
}
