//! How the held-out loss changes with the place of each item, as bars with 95 % intervals.

use stats::estimates::results::Attribution;

use super::rectangle;
use crate::axis::{Axis, Scale, zoom};
use crate::figure::{Align, Colour, Figure, GRID, INK, MUTED};
use crate::text::significant;

const TOP: f64 = 88.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 690.0;
const ROW: f64 = 20.0;
const BAR: Colour = (0x00, 0x72, 0xb2);
const FLAT: Colour = (0xc4, 0xca, 0xd1);
/// Items shown at most, those with the largest effect; all are in the table.
const MOST: usize = 40;

pub(super) fn figure(found: &Attribution) -> Figure {
    let source = &found.source;
    let title = format!("{}, {}: items by their places", source.cell, source.estimator);
    let shown: Vec<_> = found.ranked.iter().take(MOST).collect();
    let explanation = format!(
        "change of the held-out loss if an item comes one step later, in thousandths, with 95 % \
         intervals; grey: flat; {} of {} items",
        shown.len(),
        found.ranked.len()
    );
    let mut figure = Figure::new(title, &explanation);
    figure.name = "estimate-attribution".to_owned();
    let bottom = TOP + ROW * shown.len() as f64;
    figure.height = bottom + 54.0;
    let ends: Vec<f64> = shown
        .iter()
        .flat_map(|one| [one.slope_interval.low, one.slope_interval.high])
        .map(|end| end * 1e3)
        .collect();
    let x = Axis::new(zoom(&ends, &[0.0]), Scale::Linear, LEFT, RIGHT);
    for tick in x.ticks(6) {
        figure.line(vec![(tick.at, TOP), (tick.at, bottom)], GRID, 1.0);
        figure.label((tick.at, bottom + 18.0), &tick.label, Align::Centre, MUTED);
    }
    let zero = x.at(0.0);
    let clip = |value: f64| x.at(value * 1e3).clamp(LEFT, RIGHT);
    for (row, one) in shown.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        let colour = if one.flat { FLAT } else { BAR };
        let (from, to) = (zero.min(clip(one.slope)), zero.max(clip(one.slope)));
        rectangle(&mut figure, [from, top + 4.0, to, top + ROW - 4.0], colour);
        let middle = top + ROW / 2.0;
        let (low, high) = (clip(one.slope_interval.low), clip(one.slope_interval.high));
        figure.line(vec![(low, middle), (high, middle)], INK, 1.2);
        for end in [low, high] {
            figure.line(vec![(end, middle - 3.0), (end, middle + 3.0)], INK, 1.2);
        }
        figure.label((LEFT - 8.0, top + 14.5), &one.item.to_string(), Align::Right, MUTED);
        let p = significant(one.p, 2);
        let text = if one.flat { format!("flat, p = {p}") } else { format!("p = {p}") };
        figure.label((RIGHT + 12.0, top + 14.5), &text, Align::Left, MUTED);
    }
    figure.line(vec![(zero, TOP), (zero, bottom)], MUTED, 1.2);
    figure.label((12.0, TOP - 12.0), "item", Align::Left, INK);
    let below = ((LEFT + RIGHT) / 2.0, bottom + 40.0);
    figure.label(below, "held-out loss per step later, × 1/1000", Align::Centre, INK);
    figure
}
