//! Predicted held-out losses of orders from the lowest to the highest, with their intervals.

use stats::estimates::results::Prediction;

use crate::axis::{Axis, Scale, zoom};
use crate::figure::{Align, BODY, Colour, Figure, GRID, INK, MUTED, WIDTH};
use crate::font::shorten;
use crate::series::Dash;
use crate::text::fixed;

const TOP: f64 = 88.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = WIDTH - 24.0;
const POINTS: Colour = (0x00, 0x72, 0xb2);
const REFERENCE: Colour = (0xd5, 0x5e, 0x00);
/// Orders shown at most, evenly over the ranks; all are in the table.
const MOST: usize = 200;

/// Intervals are left out where the gate says that estimates may not be believed.
pub(super) fn figure(found: &Prediction) -> Figure {
    let source = &found.source;
    let title = format!("{}, {}: predicted losses of other orders", source.cell, source.estimator);
    let explanation = format!("{}: {}", source.validity.verdict, source.validity.reason);
    let mut figure = Figure::new(title, &explanation);
    figure.name = "estimate-prediction".to_owned();
    figure.height = TOP + HEIGHT + 84.0;
    let usable = source.validity.verdict.is_usable();
    let known: Vec<(f64, Option<(f64, f64)>)> = found
        .ranking()
        .into_iter()
        .filter_map(|row| {
            let row = &found.rows[row];
            let ends = row.interval.filter(|_| usable).map(|at| (at.low, at.high));
            Some((row.held_out?, ends))
        })
        .collect();
    let losses: Vec<f64> = known.iter().map(|(loss, _)| *loss).collect();
    let ends = known.iter().filter_map(|(_, ends)| *ends).flat_map(|(low, high)| [low, high]);
    let spread: Vec<f64> = losses.iter().copied().chain(ends).collect();
    let y = Axis::new(zoom(&spread, &[found.reference]), Scale::Linear, TOP + HEIGHT, TOP);
    let last = known.len().max(2) as f64;
    let x = Axis::new((0.5, last + 0.5), Scale::Linear, LEFT, RIGHT);
    for tick in y.ticks(6) {
        figure.line(vec![(LEFT, tick.at), (RIGHT, tick.at)], GRID, 1.0);
        figure.label((LEFT - 7.0, tick.at + 4.0), &tick.label, Align::Right, MUTED);
    }
    for tick in x.ticks(6) {
        figure.label((tick.at, TOP + HEIGHT + 18.0), &tick.label, Align::Centre, MUTED);
    }
    let reference = y.at(found.reference);
    figure.dashed(&[(LEFT, reference), (RIGHT, reference)], Dash::Dashed, REFERENCE, 1.2);
    let each = known.len().div_ceil(MOST).max(1);
    for (rank, (loss, ends)) in known.iter().enumerate().step_by(each) {
        let at = x.at(rank as f64 + 1.0);
        if let Some((low, high)) = ends {
            let clip = |value: f64| y.at(value).clamp(TOP, TOP + HEIGHT);
            figure.leader(vec![(at, clip(*low)), (at, clip(*high))], POINTS);
        }
        if y.shows(*loss) {
            figure.disc((at, y.at(*loss)), 2.6, POINTS, 1.0);
        }
    }
    figure.label((12.0, TOP - 12.0), "held-out loss, predicted ↑", Align::Left, MUTED);
    let below = ((LEFT + RIGHT) / 2.0, TOP + HEIGHT + 40.0);
    figure.label(below, "rank of the order", Align::Centre, INK);
    key(&mut figure, found, known.len(), each, usable);
    figure
}

/// What the marks mean, and what has no mark.
fn key(figure: &mut Figure, found: &Prediction, known: usize, each: usize, usable: bool) {
    let y = TOP + HEIGHT + 66.0;
    figure.dashed(&[(LEFT, y - 4.0), (LEFT + 26.0, y - 4.0)], Dash::Dashed, REFERENCE, 1.2);
    let mut text = format!("recorded order, true: {}", fixed(found.reference, 5));
    text += if usable {
        "; bars: 95 % prediction intervals"
    } else {
        "; no intervals outside validity"
    };
    if each > 1 {
        text += &format!("; one order in {each} is drawn");
    }
    if found.rows.len() > known {
        text += &format!("; {} diverged", found.rows.len() - known);
    }
    let text = shorten(&text, RIGHT - LEFT - 34.0, BODY, false);
    figure.label((LEFT + 34.0, y), &text, Align::Left, MUTED);
}
