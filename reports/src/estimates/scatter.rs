//! Predicted against retrained held-out losses with the identity line, and the growth of the error
//! over the steps.

use std::path::{Path, PathBuf};

use stats::estimates::results::Validation;

use super::cell;
use crate::ReportError;
use crate::axis::{Axis, Scale};
use crate::figure::{Align, Colour, Figure, GRID, INK, MUTED, Point};
use crate::series::Dash;
use crate::text::{ABSENT, fixed};

const TOP: f64 = 108.0;
const SIDE: f64 = 320.0;
const LEFTS: [f64; 2] = [84.0, 504.0];
const POINTS: Colour = (0x00, 0x72, 0xb2);
const LIMIT: Colour = (0xd5, 0x5e, 0x00);
/// Relative error up to which the gate calls an estimator good.
const GOOD: f64 = stats::estimates::validity::GOOD_ERROR;

/// Writes `estimate-validation` as PNG, SVG, CSV and JSON into `out`; returns the paths.
///
/// # Errors
/// When a figure cannot be drawn or the disk refuses.
pub fn render(found: &Validation, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    crate::provenance::write(&figure(found), table(found), found, out)
}

/// One row per order.
fn table(found: &Validation) -> String {
    let mut text = "order,estimated,retrained,relative_error\n".to_owned();
    for point in &found.points {
        let (guess, error) = (cell(point.estimated), cell(point.relative_error));
        text += &format!("{},{guess},{},{error}\n", point.hash, point.retrained);
    }
    text
}

pub(crate) fn figure(found: &Validation) -> Figure {
    let title = format!(
        "{}, {}: predicted against retrained losses",
        found.source.cell, found.source.estimator
    );
    let explanation =
        format!("{}: {}", found.source.validity.verdict, found.source.validity.reason);
    let mut figure = Figure::new(title, &explanation);
    figure.name = "estimate-validation".to_owned();
    figure.height = TOP + SIDE + 84.0;
    scatter(&mut figure, found);
    growth(&mut figure, found);
    figure
}

fn heading(found: &Validation) -> String {
    let agreement = &found.agreement;
    match (agreement.held_out, agreement.held_out_interval) {
        (Some(r), Some(interval)) => format!(
            "Spearman {} [{}, {}], {} orders",
            fixed(r, 3),
            fixed(interval.low, 3),
            fixed(interval.high, 3),
            agreement.orders
        ),
        _ => format!("no Spearman: {}", agreement.reason.as_deref().unwrap_or(ABSENT)),
    }
}

fn scatter(figure: &mut Figure, found: &Validation) {
    let left = LEFTS[0];
    let known: Vec<(f64, f64)> =
        found.points.iter().filter_map(|point| Some((point.retrained, point.estimated?))).collect();
    let all = || known.iter().flat_map(|&(x, y)| [x, y]).chain([found.reference]);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::MIN, f64::max));
    let margin = (high - low) * 0.05;
    let range = (low - margin, high + margin);
    let x = Axis::new(range, Scale::Linear, left, left + SIDE);
    let y = Axis::new(range, Scale::Linear, TOP + SIDE, TOP);
    let shown = crate::font::shorten(&heading(found), SIDE + 40.0, 12.5, true);
    figure.write((left, TOP - 32.0), &shown, 12.5, true, Align::Left, INK);
    frame(figure, &x, &y, left);
    figure.line(vec![(x.at(range.0), y.at(range.0)), (x.at(range.1), y.at(range.1))], MUTED, 1.2);
    // What the null says: every order ends like the reference.
    let null = y.at(found.reference);
    figure.dashed(&[(left, null), (left + SIDE, null)], Dash::Dashed, LIMIT, 1.2);
    for (truth, guess) in known {
        figure.disc((x.at(truth), y.at(guess)), 3.2, POINTS, 0.7);
    }
    let below = (left + SIDE / 2.0, TOP + SIDE + 40.0);
    figure.label(below, "held-out loss, retrained", Align::Centre, INK);
    figure.label((left, TOP - 12.0), "held-out loss, predicted ↑", Align::Left, MUTED);
    let y = TOP + SIDE + 66.0;
    figure.line(vec![(left, y - 4.0), (left + 26.0, y - 4.0)], MUTED, 1.2);
    figure.label((left + 32.0, y), "identity", Align::Left, MUTED);
    let key = left + 110.0;
    figure.dashed(&[(key, y - 4.0), (key + 26.0, y - 4.0)], Dash::Dashed, LIMIT, 1.2);
    let null = "null: every order ends as recorded";
    figure.label((key + 32.0, y), null, Align::Left, MUTED);
}

fn growth(figure: &mut Figure, found: &Validation) {
    let errors: Vec<(f64, f64)> = found
        .error_growth
        .iter()
        .enumerate()
        .filter_map(|(step, error)| Some((step as f64 + 1.0, (*error)?)))
        .collect();
    if errors.is_empty() {
        return;
    }
    let left = LEFTS[1];
    let high = errors.iter().map(|&(_, error)| error).fold(GOOD * 1.25, f64::max);
    let x = Axis::new((1.0, found.error_growth.len() as f64), Scale::Linear, left, left + SIDE);
    let y = Axis::new((0.0, high), Scale::Linear, TOP + SIDE, TOP);
    let heading = "relative error of the parameters by step";
    figure.write((left, TOP - 32.0), heading, 12.5, true, Align::Left, INK);
    frame(figure, &x, &y, left);
    let limit = y.at(GOOD);
    figure.dashed(&[(left, limit), (left + SIDE, limit)], Dash::Dashed, LIMIT, 1.2);
    let points: Vec<Point> =
        errors.iter().map(|&(step, error)| (x.at(step), y.at(error))).collect();
    for &point in &points {
        figure.disc(point, 3.0, POINTS, 1.0);
    }
    figure.line(points, POINTS, 1.8);
    let below = (left + SIDE / 2.0, TOP + SIDE + 40.0);
    figure.label(below, "step of the window", Align::Centre, INK);
    figure.label((left, TOP - 12.0), "median over orders ↑", Align::Left, MUTED);
    let y = TOP + SIDE + 66.0;
    figure.dashed(&[(left, y - 4.0), (left + 26.0, y - 4.0)], Dash::Dashed, LIMIT, 1.2);
    let key = format!("up to {} the gate says ok", fixed(GOOD, 2));
    figure.label((left + 32.0, y), &key, Align::Left, MUTED);
}

fn frame(figure: &mut Figure, x: &Axis, y: &Axis, left: f64) {
    for tick in x.ticks(4) {
        figure.line(vec![(tick.at, TOP), (tick.at, TOP + SIDE)], GRID, 1.0);
        figure.label((tick.at, TOP + SIDE + 18.0), &tick.label, Align::Centre, MUTED);
    }
    for tick in y.ticks(6) {
        figure.line(vec![(left, tick.at), (left + SIDE, tick.at)], GRID, 1.0);
        figure.label((left - 7.0, tick.at + 4.0), &tick.label, Align::Right, MUTED);
    }
}
