//! Power curves: log10 p over the quantity that a suite varies, deeper is lower; the median over
//! seeds as a line, the smallest and the largest as whiskers.

use std::path::{Path, PathBuf};

use analysis::summary::CurvePoint;
use analysis::summary::power::{Power, PowerCurve, PowerLine, PowerPoint};

use crate::axis::{Axis, Scale};
use crate::curve::{
    BOTTOM_MARGIN, Curve, LEADER, LEAST_PLOT_HEIGHT, LEGEND_ROW, LOG_FROM, SWATCH, TOP,
    legend_column,
};
use crate::figure::{Align, BODY, Figure, GRID, INK, MOST_ARMS, MUTED, WIDTH};
use crate::font::{shorten, text_width};
use crate::series::{Dash, Series};
use crate::{ReportError, csv, output, paint, text};

/// log10 of 0.05: what is above its line is no evidence.
const NOTHING: f64 = -1.301_029_995_663_981_2;
/// Figure units between the points of neighbouring lines at one value, and over all lines.
const DODGE: (f64, f64) = (5.0, 26.0);
const MARKER: f64 = 4.0;

/// Writes `power.csv`, `power.json` and, for each quantity, `power-<quantity>.svg` and `.png` into
/// `out`; returns the paths.
///
/// # Errors
/// When a figure cannot be drawn or the disk refuses.
pub fn render(power: &Power, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut json = serde_json::to_vec_pretty(power)?;
    json.push(b'\n');
    let mut files = vec![
        ("power.csv".to_owned(), csv::power(power).into_bytes()),
        ("power.json".to_owned(), json),
    ];
    for figure in figures(&power.curves) {
        files.push((format!("{}.svg", figure.name), paint::svg(&figure)?.into_bytes()));
        files.push((format!("{}.png", figure.name), paint::png(&figure)?));
    }
    files.into_iter().map(|(name, bytes)| output::write(&out.join(name), &bytes)).collect()
}

/// One figure for each quantity that has a point, with unique names.
pub(crate) fn figures(curves: &[PowerCurve]) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    for curve in curves.iter().filter(|curve| !curve.lines.is_empty()) {
        let mut figure = figure(curve);
        let stem = format!("power-{}", text::slug(&curve.axis));
        figure.name.clone_from(&stem);
        let mut copy = 2;
        while figures.iter().any(|other| other.name == figure.name) {
            figure.name = format!("{stem}-{copy}");
            copy += 1;
        }
        figures.push(figure);
    }
    figures
}

fn figure(power: &PowerCurve) -> Figure {
    let names: Vec<&str> = power.lines.iter().map(|line| name(&line.line)).collect();
    let series = Series::named(&names);
    let points = || power.lines.iter().take(series.len()).flat_map(|line| &line.points);
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        let from = (f64::INFINITY, f64::NEG_INFINITY);
        values.fold(from, |(low, high), value| (low.min(value), high.max(value)))
    };
    let (first, last) = ends(&mut points().map(|point| point.at));
    let scale = if first > 0.0 && last > LOG_FROM * first { Scale::Log } else { Scale::Linear };
    let (deepest, _) = ends(&mut points().map(|point| point.low));

    let title = format!("Depth of the test over {}", power.axis);
    let mut figure = Figure::new(title, &explanation(power, scale));
    let plot_height = LEAST_PLOT_HEIGHT.max(series.len() as f64 * LEGEND_ROW);
    let bottom = TOP + plot_height;
    figure.height = (bottom + BOTTOM_MARGIN).ceil();
    let y = Axis::new((deepest.min(2.0 * NOTHING) * 1.04, 0.0), Scale::Linear, bottom, TOP);
    let ticks = y.ticks(6);
    let widest = ticks.iter().map(|tick| text_width(&tick.label, BODY, false)).fold(0.0, f64::max);
    let left = 12.0 + widest.min(110.0) + 8.0;
    let labels = series.iter().map(|series| text_width(&series.label, BODY, false));
    let right = WIDTH - labels.fold(60.0, f64::max) - SWATCH - LEADER - 18.0;
    // Room for the whiskers of the first and of the last value beside the edges.
    let margin = DODGE.1 / 2.0 + 8.0;
    let x = Axis::new((first, last), scale, left + margin, right - margin);

    for tick in &ticks {
        figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
        figure.label((left - 8.0, tick.at + 4.3), &tick.label, Align::Right, MUTED);
    }
    figure.line(vec![(left, bottom), (right, bottom)], MUTED, 1.0);
    values(&mut figure, points().map(|point| point.at), &x, bottom);
    let axis = shorten(&text::one_line(&power.axis), right - left, BODY, false);
    figure.label(((left + right) / 2.0, bottom + 38.0), &axis, Align::Centre, INK);
    let nothing = y.at(NOTHING);
    figure.dashed(&[(left, nothing), (right, nothing)], Dash::Dashed, MUTED, 1.2);

    let lines = series.len() as f64;
    let step = DODGE.0.min(DODGE.1 / (lines - 1.0).max(1.0));
    for (i, (line, series)) in power.lines.iter().zip(&series).enumerate() {
        let aside = (i as f64 - (lines - 1.0) / 2.0) * step;
        trace(&mut figure, line, series, |at| x.at(at) + aside, &y);
    }
    let curves: Vec<Curve<'_>> = power
        .lines
        .iter()
        .zip(&series)
        .map(|(line, series)| Curve {
            series,
            points: line.points.iter().map(ending).collect(),
            level: None,
        })
        .collect();
    legend_column(&mut figure, &curves, &x, &y, right);
    figure
}

fn name(line: &str) -> &str {
    if line.is_empty() { "median" } else { line }
}

fn explanation(power: &PowerCurve, scale: Scale) -> String {
    let seeds = power.lines.iter().flat_map(|line| &line.points).map(|point| point.log10_ps.len());
    let (least, most) = seeds.fold((usize::MAX, 0), |(l, m), n| (l.min(n), m.max(n)));
    let mut text = match (least, most) {
        (_, 1) => "log10 p of one seed".to_owned(),
        (a, b) if a == b => format!("log10 p, median of {b} seeds; whiskers: smallest to largest"),
        (a, b) => format!("log10 p, median of {a} to {b} seeds; whiskers: smallest to largest"),
    };
    text.push_str("; lower is stronger evidence; dashed: p = 0.05");
    if scale == Scale::Log {
        text.push_str("; log axis");
    }
    if power.lines.len() > MOST_ARMS {
        let lines = power.lines.len();
        text.push_str(&format!("; first {MOST_ARMS} of {lines} lines; the rest are in the table"));
    }
    text
}

/// Names the values that were measured, as far as there is room.
fn values(figure: &mut Figure, measured: impl Iterator<Item = f64>, x: &Axis, bottom: f64) {
    let mut values: Vec<f64> = measured.collect();
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
}

fn trace(figure: &mut Figure, line: &PowerLine, series: &Series, x: impl Fn(f64) -> f64, y: &Axis) {
    for point in &line.points {
        let (at, low, high) = (x(point.at), y.at(point.low), y.at(point.high));
        if point.low < point.high {
            figure.leader(vec![(at, low), (at, high)], series.colour);
            for end in [low, high] {
                figure.leader(vec![(at - 3.5, end), (at + 3.5, end)], series.colour);
            }
        }
    }
    let path: Vec<_> = line.points.iter().map(|point| (x(point.at), y.at(point.median))).collect();
    figure.dashed(&path, series.dash, series.colour, 2.0);
    for at in path {
        figure.marker(at, MARKER, series, false);
    }
}

/// The point as the legend looks at it.
fn ending(point: &PowerPoint) -> CurvePoint {
    let PowerPoint { at, median, low, high, log10_ps } = point;
    CurvePoint { x: *at, mean: *median, low: *low, high: *high, n: log10_ps.len() as u32 }
}

#[cfg(test)]
mod tests {
    use analysis::summary::power::curves;

    use super::*;
    use crate::figure::Shape;
    use crate::sample;

    fn sampled() -> Vec<PowerCurve> {
        curves(&sample::provenance().membership)
    }

    fn texts(figure: &Figure) -> Vec<&str> {
        let shapes = figure.shapes.iter();
        let texts = shapes.filter_map(|shape| match shape {
            Shape::Text { text, .. } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn a_wide_axis_is_logarithmic_and_every_line_is_named() {
        let curves = sampled();
        let figures = figures(&curves);
        let wide = texts(&figures[0]);
        for wanted in ["full", "last epoch only", "unrelated", "100", "4,000"] {
            assert!(wide.contains(&wanted), "no {wanted:?} in {wide:?}");
        }
        assert!(wide[1].ends_with("dashed: p = 0.05; log axis"), "{wide:?}");
        let narrow = texts(&figures[1]);
        assert!(narrow[1].contains("median of 4 to 5 seeds"), "{narrow:?}");
        assert!(narrow.contains(&"0.5") && narrow.contains(&"median"), "{narrow:?}");
        assert!(!narrow[1].contains("log axis"), "{narrow:?}");
    }

    #[test]
    fn deeper_p_values_are_drawn_lower() {
        let figures = figures(&sampled());
        let discs = figures[0].shapes.iter().filter_map(|shape| match shape {
            Shape::Disc { centre, radius, .. } if *radius == MARKER => Some(*centre),
            _ => None,
        });
        let full: Vec<(f64, f64)> = discs.take(6).collect();
        assert!(full.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    }

    #[test]
    fn quantities_with_one_slug_get_different_files() {
        let mut curves = sampled();
        curves[1].axis = format!("{}!", curves[0].axis);
        let names: Vec<String> = figures(&curves).into_iter().map(|figure| figure.name).collect();
        let first = "power-examples-of-the-run-that-were-queried";
        assert_eq!(names, [first.to_owned(), format!("{first}-2")]);
    }

    #[test]
    fn no_figure_is_drawn_of_a_quantity_without_a_point() {
        let empty = PowerCurve { axis: "x".into(), lines: Vec::new(), left_out: vec!["y".into()] };
        assert!(figures(&[empty]).is_empty());
    }

    #[test]
    fn one_point_at_zero_is_drawn() {
        let point = PowerPoint { at: 0.0, median: 0.0, low: 0.0, high: 0.0, log10_ps: vec![0.0] };
        let line = PowerLine { line: "a".into(), points: vec![point] };
        let curve = PowerCurve { axis: "x".into(), lines: vec![line], left_out: Vec::new() };
        let figures = figures(&[curve]);
        assert!(paint::svg(&figures[0]).unwrap().contains("log10 p of one seed"));
    }

    #[test]
    fn the_table_the_document_and_a_figure_per_quantity_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let power = Power { suite: "s".into(), queries: vec![100], draw: 0, curves: sampled() };
        let paths = render(&power, folder.path()).unwrap();
        assert_eq!(paths.len(), 2 + 2 * 2);
        let json = std::fs::read_to_string(&paths[1]).unwrap();
        assert_eq!(serde_json::from_str::<Power>(&json).unwrap(), power);
        let table = std::fs::read_to_string(&paths[0]).unwrap();
        assert_eq!(table.lines().count(), 1 + 18 + 3);
        assert!(table.lines().all(|row| row.matches(',').count() == 6), "{table}");
    }
}
