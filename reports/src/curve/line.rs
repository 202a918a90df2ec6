//! One arm's curve: its line, markers and shaded interval, cut at the edges of the plot.

use analysis::summary::CurvePoint;

use super::{BOTTOM_MARGIN, TOP};
use crate::axis::Axis;
use crate::figure::{Figure, Point};
use crate::series::Series;

/// One arm's points, in figure values: x over the unit, ends ordered and finite.
pub(crate) struct Curve<'a> {
    pub(crate) series: &'a Series,
    pub(crate) points: Vec<CurvePoint>,
}

impl Curve<'_> {
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

    pub(super) fn shade(&self, figure: &mut Figure, x: &Axis, y: &Axis) {
        let (top, bottom) = (TOP, figure.height - BOTTOM_MARGIN);
        let placed = self.placed(x, y, top, bottom.floor());
        let side = |i: usize| {
            placed.iter().map(move |p| (p[0], if i == 2 { p[2] } else { p[3] }.clamp(top, bottom)))
        };
        let outline: Vec<Point> = side(2).chain(side(3).rev()).collect();
        figure.area(outline, self.series.colour, 0.13);
    }

    pub(super) fn trace(&self, figure: &mut Figure, x: &Axis, y: &Axis, index: usize) {
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
            let regular =
                i % stride == index % stride && i + stride.div_ceil(2) < self.points.len();
            if (last || regular) && inside(y.at(p.mean)) {
                figure.marker((x.at(p.x), y.at(p.mean)), 3.6, self.series, false);
            }
        }
    }
}
