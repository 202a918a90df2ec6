//! A figure as a list of shapes, and the theme that all figures share.
//!
//! Figures are laid out once, in units with y downwards, and painted as SVG, PNG or PDF by `paint`; tests read the
//! shapes. A unit is 1/96 inch on a screen and 0.6 points on paper, where [`BODY`] is then 7.5 points high: a figure of
//! [`WIDTH`] fills both columns of a paper, one of [`COLUMN`] a single one.

use std::borrow::Cow;
use std::path::PathBuf;

use analysis::summary::Analysis;

use crate::font::{shorten, wrap};
use crate::series::{Dash, Looks, Marker, Series};
use crate::{
    at_budget, by_number, claims, cost, curve, grid, kept, looks, metrics, orders, pairs, panels,
    text, time_to_target,
};

/// Red, green, blue.
pub(crate) type Colour = (u8, u8, u8);
/// Figure units from the upper left corner.
pub(crate) type Point = (f64, f64);

pub(crate) const INK: Colour = (0x1f, 0x23, 0x28);
pub(crate) const MUTED: Colour = (0x5f, 0x67, 0x72);
pub(crate) const GRID: Colour = (0xe4, 0xe7, 0xeb);
pub(crate) const PAPER: Colour = (0xff, 0xff, 0xff);
/// Width of a figure on a screen, and over both columns of a paper: 7 inches there.
pub(crate) const WIDTH: f64 = 840.0;
/// Width of a figure in one column of a paper: 3.33 inches there.
pub(crate) const COLUMN: f64 = 400.0;
/// Width from which a figure is laid out for both columns.
pub(crate) const TWO_COLUMNS_FROM: f64 = 600.0;
/// Points of a unit on paper, and on a screen.
const PAPER_UNIT: f64 = 0.6;
const SCREEN_UNIT: f64 = 0.75;
/// Size of most text.
pub(crate) const BODY: f64 = 12.5;
/// Size of small text: 7 points on paper, below which journals refuse it.
pub(crate) const SMALL: f64 = 11.7;
/// Between lines of an explanation.
const LINE: f64 = 17.0;
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

impl Shape {
    /// Moves it down.
    fn shift(&mut self, by: f64) {
        match self {
            Self::Line { points, .. } | Self::Area { points, .. } => {
                points.iter_mut().for_each(|point| point.1 += by);
            }
            Self::Disc { centre, .. } => centre.1 += by,
            Self::Text { at, .. } => at.1 += by,
        }
    }

    /// Its upper edge.
    fn top(&self) -> f64 {
        match self {
            Self::Line { points, .. } | Self::Area { points, .. } => {
                points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min)
            }
            Self::Disc { centre, radius, .. } => centre.1 - radius,
            Self::Text { at, size, .. } => at.1 - 0.75 * size,
        }
    }
}

/// One figure.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// File name without folder and extension.
    pub(crate) name: String,
    /// Workload and what is shown.
    pub(crate) title: String,
    /// How to read it, however long.
    pub(crate) explanation: String,
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// The title and the explanation first, except in a bare figure.
    pub(crate) shapes: Vec<Shape>,
    /// For a paper: without title and explanation, which its caption has.
    pub(crate) bare: bool,
    /// What its files say of where it comes from, by keyword.
    pub(crate) stamp: Vec<(String, String)>,
    /// What a pointer finds on a page: places, each with its words.
    pub(crate) spots: Vec<(Point, String)>,
    /// What stands upwards, where only the title and the explanation say it: a paper has it over the axis.
    pub(crate) upwards: Option<String>,
}

impl Figure {
    /// An empty figure with its title and a line of explanation under it.
    pub(crate) fn new(title: String, explanation: &str) -> Self {
        Self::wide(WIDTH, title, explanation)
    }

    /// The same of another width.
    pub(crate) fn wide(width: f64, title: String, explanation: &str) -> Self {
        let (title, explanation) = (text::one_line(&title), text::one_line(explanation));
        let mut figure = Self {
            name: String::new(),
            title: title.clone(),
            explanation: explanation.clone(),
            width,
            height: 0.0,
            shapes: Vec::new(),
            bare: false,
            stamp: Vec::new(),
            spots: Vec::new(),
            upwards: None,
        };
        let shown = shorten(&title, width - 24.0, 15.0, true);
        figure.write((12.0, 24.0), &shown, 15.0, true, Align::Left, INK);
        let shown = shorten(&explanation, width - 24.0, BODY, false);
        figure.write((12.0, 43.0), &shown, BODY, false, Align::Left, MUTED);
        figure
    }

    /// Gives it another title.
    pub(crate) fn retitle(&mut self, title: &str) {
        self.title = text::one_line(title);
        let shown = shorten(&self.title, self.width - 24.0, 15.0, true);
        if let Some(Shape::Text { text, .. }) = self.shapes.first_mut().filter(|_| !self.bare) {
            *text = shown;
        }
    }

    /// Whether it is as wide as one column.
    pub(crate) fn narrow(&self) -> bool {
        self.width < TWO_COLUMNS_FROM
    }

    /// Points of a unit.
    pub(crate) fn unit(&self) -> f64 {
        if self.bare { PAPER_UNIT } else { SCREEN_UNIT }
    }

    /// As it is painted: with the whole explanation, on as many lines as it takes.
    pub(crate) fn laid(&self) -> Cow<'_, Self> {
        let Some(Shape::Text { text, .. }) = self.shapes.get(1).filter(|_| !self.bare) else {
            return Cow::Borrowed(self);
        };
        if *text == self.explanation {
            return Cow::Borrowed(self);
        }
        let lines = wrap(&self.explanation, self.width - 24.0, BODY, 4);
        let more = LINE * lines.len().saturating_sub(1) as f64;
        let mut laid = self.clone();
        laid.shapes.remove(1);
        laid.shapes.iter_mut().skip(1).for_each(|shape| shape.shift(more));
        laid.spots.iter_mut().for_each(|(place, _)| place.1 += more);
        for (line, y) in lines.iter().zip((0..).map(|row| 43.0 + LINE * f64::from(row))) {
            laid.label((12.0, y), line, Align::Left, MUTED);
        }
        laid.height += more;
        Cow::Owned(laid)
    }

    /// For a paper: without title and explanation, and without the room above the first shape.
    pub(crate) fn bare(mut self) -> Self {
        if self.bare {
            return self;
        }
        self.shapes.drain(..2.min(self.shapes.len()));
        self.bare = true;
        let top = self.shapes.iter().map(Shape::top).fold(f64::INFINITY, f64::min);
        if top.is_finite() {
            let name = self.upwards.take();
            let less = top - if name.is_some() { 24.0 } else { 4.0 };
            self.shapes.iter_mut().for_each(|shape| shape.shift(-less));
            self.spots.iter_mut().for_each(|(place, _)| place.1 -= less);
            self.height = (self.height - less).max(1.0);
            if let Some(name) = name {
                let name = shorten(&text::one_line(&name), self.width - 24.0, BODY, false);
                self.label((12.0, 15.0), &name, Align::Left, INK);
            }
        }
        self
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

    /// Lets a page say the value at a place to who points there.
    pub(crate) fn spot(&mut self, at: Point, words: &str) {
        self.spots.push((at, text::one_line(words)));
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

/// Every figure of every workload at some width, in the analysis's order, each arm with its looks, with unique file
/// names: the answer first.
pub(crate) fn drawn(analysis: &Analysis, looks_of: &Looks, width: f64) -> Vec<Vec<Figure>> {
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
            let series = Series::of(looks_of, workload);
            // Of logs without a clock there is nothing to draw over time.
            let mut arms = workload.arms.iter();
            let timed =
                !arms.clone().any(text::without_clock) || !arms.all(|arm| arm.by_time.is_empty());
            let mut figures = Vec::new();
            if timed {
                figures.push(time_to_target::figure(workload, &series, width));
                figures.push(curve::over_time(workload, &series, width));
            }
            figures.push(curve::over_samples(workload, &series, width));
            figures.extend(curve::over_costs(workload, &series, width));
            figures.extend(panels::figure(workload, &series, width));
            figures.extend(metrics::figure(workload, &series, width));
            figures.push(at_budget::figure(workload, &series, width));
            figures.extend(pairs::figure(analysis, workload, &series, width));
            figures.extend(cost::figures(workload, &series, width));
            figures.extend(looks::figure(workload, &series));
            figures.extend(kept::figure(workload, &series, width));
            figures.extend(by_number::figures(workload, &series, width));
            figures.extend(orders::figure(analysis, workload, &series, width));
            for figure in &mut figures {
                figure.name = format!("{stem}-{}", figure.name);
            }
            figures
        })
        .collect()
}

/// The figures over all workloads: claims, whose words need both columns, and arms by workload.
pub(crate) fn over_all(analysis: &Analysis, width: f64) -> Vec<Figure> {
    [claims::figure(analysis), grid::figure(analysis, width)].into_iter().flatten().collect()
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
        let looks = Looks::of(analysis);
        let profiles = crate::profiles::drawn(analysis, &looks, WIDTH);
        let narrow = drawn(analysis, &looks, COLUMN).into_iter().flatten();
        let over = [WIDTH, COLUMN].into_iter().flat_map(|width| over_all(analysis, width));
        let wide = drawn(analysis, &looks, WIDTH)
            .into_iter()
            .chain(profiles)
            .flatten()
            .chain(power)
            .chain(over);
        // Without its title, which one column has no room for.
        wide.chain(narrow.map(Figure::bare)).collect()
    }

    fn every_sample() -> Vec<Analysis> {
        let ordinary = [
            sample::lone(),
            sample::forty(),
            sample::strange(),
            sample::thousand(),
            sample::full(),
            sample::sixteen(),
            sample::loss(),
            sample::single_seed(),
            sample::extreme(),
            sample::several(),
            sample::provenance(),
            sample::recorded(),
        ];
        ordinary.into_iter().chain(sample::hostile().into_iter().map(|(_, it)| it)).collect()
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
            let inside =
                a[0] >= 0.0 && a[1] >= 0.0 && a[2] <= figure.width && a[3] <= figure.height;
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
                let inside =
                    (0.0..=figure.width).contains(&x) && (0.0..=figure.height).contains(&y);
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
    fn no_text_stands_on_a_colour_that_stays_light_in_the_dark() {
        let style = include_str!("../templates/style.css");
        let (mut analysis, mut grounds) = (sample::several(), 0);
        analysis.workloads[1].arms[2].speed_up = None;
        let cells =
            |figure: &Figure| ["orders", "workloads"].iter().any(|end| figure.name.ends_with(end));
        for figure in everything(&analysis).iter().filter(|figure| cells(figure)) {
            for (at, shape) in figure.shapes.iter().enumerate() {
                let Shape::Text { at: (x, y), text, .. } = shape else { continue };
                let under = figure.shapes[..at].iter().filter_map(|shape| match shape {
                    Shape::Area { points, colour, alpha } => {
                        let (from, to) = (points[0], points[2]);
                        let inside = from.0 < *x && *x < to.0 && from.1 < *y && *y < to.1;
                        inside.then_some((*colour, *alpha))
                    }
                    _ => None,
                });
                for ((red, green, blue), alpha) in under {
                    grounds += 1;
                    let known = style.contains(&format!("--x{red:02X}{green:02X}{blue:02X}:"));
                    assert!(
                        known || alpha < 0.5,
                        "{}: {text} on {red:02x}{green:02x}{blue:02x}",
                        figure.name
                    );
                }
            }
        }
        assert!(grounds > 20, "{grounds}");
    }

    #[test]
    fn sixteen_arms_look_different_from_each_other() {
        let analysis = sample::sixteen();
        let series = Series::of(&Looks::of(&analysis), &analysis.workloads[0]);
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
        let empty = sample::empty();
        assert!(drawn(&empty, &Looks::of(&empty), WIDTH).is_empty());
    }

    #[test]
    fn workloads_with_one_slug_get_different_files() {
        let mut analysis = sample::single_seed();
        let mut twin = analysis.workloads[0].clone();
        twin.workload = "One seed!".to_owned();
        analysis.workloads.push(twin);
        let names: Vec<String> = drawn(&analysis, &Looks::of(&analysis), WIDTH)
            .into_iter()
            .flatten()
            .map(|f| f.name)
            .collect();
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.contains(&"one-seed-2-at-budget".to_owned()), "{names:?}");
    }
}
