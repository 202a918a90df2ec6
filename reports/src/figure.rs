//! A figure as a list of shapes, and the theme that all figures share.
//!
//! Figures are laid out once, in units of 1/96 inch with y downwards, and painted as SVG or PNG
//! by `paint`; tests read the shapes.

use std::path::PathBuf;
use std::sync::LazyLock;

use ledger::analysis::Analysis;
use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

use crate::series::{Dash, Marker, Series};
use crate::{at_budget, curve, text, time_to_target};

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

/// CSS family list of the SVG text; the embedded Noto Sans is registered under this name, so the
/// bitmap and the measured widths come from it.
pub(crate) const FAMILY: &str = "Noto Sans, system-ui, sans-serif";
/// Ascent plus descent of the embedded Noto Sans over its em (2789/2048).
pub(crate) const LINE_PER_EM: f64 = 2789.0 / 2048.0;

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
            let mut figures = vec![
                curve::over_time(workload, &series),
                curve::over_samples(workload, &series),
                time_to_target::figure(workload, &series),
                at_budget::figure(workload, &series),
            ];
            for figure in &mut figures {
                figure.name = format!("{stem}-{}", figure.name);
            }
            figures
        })
        .collect()
}

/// Registers the embedded font once; the error is the reason why it can't be read.
pub(crate) fn fonts() -> Result<(), &'static str> {
    static REGISTERED: LazyLock<Result<(), &'static str>> = LazyLock::new(|| {
        register_font(FAMILY, FontStyle::Normal, notosans::REGULAR_TTF)
            .and_then(|()| register_font(FAMILY, FontStyle::Bold, notosans::BOLD_TTF))
            .map_err(|_| "the embedded font can't be read")
    });
    *REGISTERED
}

/// Width of `text` at `size` units per em.
pub(crate) fn text_width(text: &str, size: f64, bold: bool) -> f64 {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    // Measured large, since the library rounds to whole pixels.
    let font = FontDesc::new(FontFamily::Name(FAMILY), 1000.0 * LINE_PER_EM, style);
    let per_em = fonts().ok().and_then(|()| font.box_size(text).ok());
    // Without a font the figure will be refused when painted; any width does until then.
    per_em.map_or(0.6 * text.chars().count() as f64, |(width, _)| f64::from(width) / 1000.0) * size
}

/// `text`, or its beginning and end around an ellipsis, no wider than `width`.
pub(crate) fn shorten(text: &str, width: f64, size: f64, bold: bool) -> String {
    // Far beyond any width: keeps the search below short for hostile labels.
    let chars: Vec<char> = text.chars().take(400).collect();
    let whole: String = chars.iter().collect();
    if chars.len() == text.chars().count() && text_width(&whole, size, bold) <= width {
        return whole;
    }
    for kept in (2..chars.len()).rev() {
        let (head, tail) = (kept - kept / 3, kept / 3);
        let start: String = chars.iter().take(head).collect();
        let end: String = chars.iter().skip(chars.len() - tail).collect();
        let short = format!("{start}…{end}");
        if text_width(&short, size, bold) <= width {
            return short;
        }
    }
    "…".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_font_measures_text() {
        fonts().unwrap();
        let (narrow, wide) = (text_width("ill", 12.0, false), text_width("WWW", 12.0, false));
        assert!(narrow > 5.0 && wide > 2.0 * narrow, "{narrow} {wide}");
        assert!(text_width("sgd", 12.0, true) > text_width("sgd", 12.0, false));
    }

    #[test]
    fn long_label_keeps_its_beginning_and_end() {
        let short = shorten("drop-muon[cutoff=uniform, momentum=0.95]", 120.0, 12.0, false);
        assert!(short.starts_with("drop-muon") && short.ends_with(']') && short.contains('…'));
        assert!(text_width(&short, 12.0, false) <= 120.0);
        assert_eq!(shorten("sgd", 120.0, 12.0, false), "sgd");
        assert_eq!(shorten("anything", 1.0, 12.0, false), "…");
    }
}
