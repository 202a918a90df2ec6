//! A figure as a list of shapes, and the theme that all figures share.
//!
//! Figures are laid out once, in units of 1/96 inch with y downwards, and painted as SVG or PNG
//! by `paint`; tests read the shapes.

use std::path::PathBuf;

use analysis::summary::Analysis;

use crate::font::shorten;
use crate::series::{Dash, Marker, Series};
use crate::{at_budget, by_number, curve, kept, looks, text, time_to_target};

/// Red, green, blue.
pub(crate) type Colour = (u8, u8, u8);
/// Figure units from the upper left corner.
pub(crate) type Point = (f64, f64);

pub(crate) const INK: Colour = (0x1f, 0x23, 0x28);
pub(crate) const MUTED: Colour = (0x5f, 0x67, 0x72);
pub(crate) const GRID: Colour = (0xe4, 0xe7, 0xeb);
pub(crate) const PAPER: Colour = (0xff, 0xff, 0xff);
/// Width of every figure.
pub(crate) const WIDTH: f64 = 840.0;
/// Size of most text.
pub(crate) const BODY: f64 = 12.5;
/// Arms shown at most; the rest are in the tables, and the figure says so.
pub(crate) const MOST_ARMS: usize = 40;

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Centre,
    Right,
}

/// Something to paint; later shapes cover earlier ones.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Line { points: Vec<Point>, colour: Colour, alpha: f64, width: f64 },
    Area { points: Vec<Point>, colour: Colour, alpha: f64 },
    Disc { centre: Point, radius: f64, colour: Colour, alpha: f64 },
    Text { at: Point, text: String, size: f64, bold: bool, align: Align, colour: Colour },
}

/// One figure.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// File name without folder and extension.
    pub(crate) name: String,
    /// Workload and what is shown.
    pub(crate) title: String,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

impl Figure {
    /// An empty figure with its title and a line of explanation under it.
    pub(crate) fn new(title: String, explanation: &str) -> Self {
        let title = text::one_line(&title);
        let mut figure =
            Self { name: String::new(), title: title.clone(), height: 0.0, shapes: Vec::new() };
        let shown = shorten(&title, WIDTH - 24.0, 15.0, true);
        figure.write((12.0, 24.0), &shown, 15.0, true, Align::Left, INK);
        let shown = shorten(&text::one_line(explanation), WIDTH - 24.0, BODY, false);
        figure.write((12.0, 43.0), &shown, BODY, false, Align::Left, MUTED);
        figure
    }

    /// Path relative to the report's folder.
    pub(crate) fn file(&self, extension: &str) -> PathBuf {
        PathBuf::from("figures").join(format!("{}.{extension}", self.name))
    }

    pub(crate) fn line(&mut self, points: Vec<Point>, colour: Colour, width: f64) {
        if points.len() > 1 {
            self.shapes.push(Shape::Line { points, colour, alpha: 1.0, width });
        }
    }

    /// A faint line that leads the eye.
    pub(crate) fn leader(&mut self, points: Vec<Point>, colour: Colour) {
        self.shapes.push(Shape::Line { points, colour, alpha: 0.45, width: 1.0 });
    }

    /// A line broken as `dash` says.
    pub(crate) fn dashed(&mut self, points: &[Point], dash: Dash, colour: Colour, width: f64) {
        for piece in dash.cut(points) {
            self.line(piece, colour, width);
        }
    }

    pub(crate) fn area(&mut self, points: Vec<Point>, colour: Colour, alpha: f64) {
        if points.len() > 2 {
            self.shapes.push(Shape::Area { points, colour, alpha });
        }
    }

    pub(crate) fn disc(&mut self, centre: Point, radius: f64, colour: Colour, alpha: f64) {
        self.shapes.push(Shape::Disc { centre, radius, colour, alpha });
    }

    /// A filled marker, or an outlined one when `open`.
    pub(crate) fn marker(&mut self, centre: Point, radius: f64, series: &Series, open: bool) {
        self.filled_marker(centre, radius, series.marker, series.colour);
        if open {
            self.filled_marker(centre, radius * 0.58, series.marker, PAPER);
        }
    }

    fn filled_marker(&mut self, centre: Point, radius: f64, marker: Marker, colour: Colour) {
        match marker.corners(centre, radius) {
            None => self.disc(centre, radius, colour, 1.0),
            Some(corners) => self.area(corners, colour, 1.0),
        }
    }

    /// Text whose baseline starts, is centred or ends at `at`.
    pub(crate) fn write(
        &mut self,
        at: Point,
        text: &str,
        size: f64,
        bold: bool,
        align: Align,
        colour: Colour,
    ) {
        self.shapes.push(Shape::Text { at, text: text.to_owned(), size, bold, align, colour });
    }

    /// Body text.
    pub(crate) fn label(&mut self, at: Point, text: &str, align: Align, colour: Colour) {
        self.write(at, text, BODY, false, align, colour);
    }
}

/// Every figure of every workload, in the analysis's order, with unique file names.
pub(crate) fn all(analysis: &Analysis) -> Vec<Vec<Figure>> {
    let mut taken: Vec<String> = Vec::new();
    analysis
        .workloads
        .iter()
        .map(|workload| {
            let slug = text::slug(&workload.workload);
            let mut stem = slug.clone();
            let mut copy = 2;
            while taken.contains(&stem) {
                stem = format!("{slug}-{copy}");
                copy += 1;
            }
            taken.push(stem.clone());
            let series = Series::of(workload);
            // Of logs without a clock there is nothing to draw over time.
            let mut arms = workload.arms.iter();
            let timed =
                !arms.clone().any(text::without_clock) || !arms.all(|arm| arm.by_time.is_empty());
            let mut figures = vec![curve::over_samples(workload, &series)];
            if timed {
                figures.insert(0, curve::over_time(workload, &series));
                figures.push(time_to_target::figure(workload, &series));
            }
            figures.push(at_budget::figure(workload, &series));
            figures.extend(looks::figure(workload, &series));
            figures.extend(kept::figure(workload, &series));
            figures.extend(by_number::figures(workload, &series));
            for figure in &mut figures {
                figure.name = format!("{stem}-{}", figure.name);
            }
            figures
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use analysis::summary::power::curves;

    use super::*;
    use crate::font::text_width;
    use crate::sample;

    /// Every figure of a report.
    fn everything(analysis: &Analysis) -> Vec<Figure> {
        let power = crate::provenance::power::figures(&curves(&analysis.membership));
        let profiles = crate::profiles::figures(analysis);
        all(analysis).into_iter().chain(profiles).flatten().chain(power).collect()
    }

    fn every_sample() -> [Analysis; 7] {
        [
            sample::full(),
            sample::sixteen(),
            sample::loss(),
            sample::single_seed(),
            sample::extreme(),
            sample::several(),
            sample::provenance(),
        ]
    }

    /// Left, top, right and bottom of every text, in its widest font.
    fn boxes(figure: &Figure) -> Vec<(String, [f64; 4])> {
        let texts = figure.shapes.iter().filter_map(|shape| match shape {
            Shape::Text { at: (x, y), text, size, bold, align, .. } => {
                let width = text_width(text, *size, *bold);
                let left = match align {
                    Align::Left => *x,
                    Align::Centre => x - width / 2.0,
                    Align::Right => x - width,
                };
                Some((text.clone(), [left, y - 0.72 * size, left + width, y + 0.2 * size]))
            }
            _ => None,
        });
        texts.collect()
    }

    /// Fails where a text overlaps another or leaves the figure.
    pub(crate) fn check_texts(figure: &Figure) {
        let boxes = boxes(figure);
        for (i, (text, a)) in boxes.iter().enumerate() {
            let name = &figure.name;
            let inside = a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= WIDTH && a[3] <= figure.height;
            assert!(inside, "{name}: {text:?} leaves the figure: {a:?}");
            for (other, b) in boxes.iter().skip(i + 1) {
                let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
                assert!(apart, "{name}: {text:?} overlaps {other:?}: {a:?} {b:?}");
            }
        }
    }

    /// Fails where a shape leaves the figure.
    pub(crate) fn check_shapes(figure: &Figure) {
        for shape in &figure.shapes {
            let points = match shape {
                Shape::Line { points, .. } | Shape::Area { points, .. } => points.clone(),
                Shape::Disc { centre, .. } => vec![*centre],
                Shape::Text { at, .. } => vec![*at],
            };
            for (x, y) in points {
                let inside = (0.0..=WIDTH).contains(&x) && (0.0..=figure.height).contains(&y);
                assert!(inside, "{}: {x}, {y} in {shape:?}", figure.name);
            }
        }
    }

    #[test]
    fn no_text_overlaps_another_or_leaves_the_figure() {
        for analysis in every_sample() {
            everything(&analysis).iter().for_each(check_texts);
        }
    }

    #[test]
    fn nothing_is_drawn_outside_the_figure() {
        for analysis in every_sample() {
            everything(&analysis).iter().for_each(check_shapes);
        }
    }

    #[test]
    fn sixteen_arms_look_different_from_each_other() {
        let analysis = sample::sixteen();
        let series = Series::of(&analysis.workloads[0]);
        assert_eq!(series.len(), 16);
        for (i, a) in series.iter().enumerate() {
            for b in series.iter().skip(i + 1) {
                assert!(
                    (a.colour, a.dash, a.marker) != (b.colour, b.dash, b.marker),
                    "{a:?} {b:?}"
                );
                assert_ne!(a.label, b.label);
            }
        }
    }

    #[test]
    fn empty_analysis_has_no_figure() {
        assert!(all(&sample::empty()).is_empty());
    }

    #[test]
    fn workloads_with_one_slug_get_different_files() {
        let mut analysis = sample::single_seed();
        let mut twin = analysis.workloads[0].clone();
        twin.workload = "One seed!".to_owned();
        analysis.workloads.push(twin);
        let names: Vec<String> = all(&analysis).into_iter().flatten().map(|f| f.name).collect();
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.contains(&"one-seed-2-at-budget".to_owned()), "{names:?}");
    }
}
