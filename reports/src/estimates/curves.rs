//! Recency curves as a map: an item's own loss by the position it was moved to.

use std::path::{Path, PathBuf};

use ledger::estimates::results::RecencyCurves;

use super::{cell, mix, rectangle};
use crate::ReportError;
use crate::figure::{Align, Colour, Figure, INK, MUTED, PAPER};
use crate::text::fixed;

const TOP: f64 = 78.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 700.0;
const HEIGHT: f64 = 380.0;
const LOW: Colour = (0x1f, 0x5f, 0xa8);
const HIGH: Colour = (0xc0, 0x44, 0x2b);
const NOTHING: Colour = (0xd0, 0xd4, 0xd9);

/// Writes `estimate-position` as PNG, SVG, CSV and JSON into `out`; returns the paths.
///
/// # Errors
/// When a figure cannot be drawn or the disk refuses.
pub fn render(found: &RecencyCurves, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    crate::provenance::write(&figure(found), table(found), found, out)
}

/// One row per item and position.
fn table(found: &RecencyCurves) -> String {
    let mut text = "item,position,own_loss,held_out_loss\n".to_owned();
    for (row, item) in found.items.iter().enumerate() {
        let own = found.own.get(row).map_or(&[][..], Vec::as_slice);
        let held_out = found.held_out.get(row).map_or(&[][..], Vec::as_slice);
        for position in 0..own.len().max(held_out.len()) {
            let own = cell(own.get(position).copied().flatten());
            let held_out = cell(held_out.get(position).copied().flatten());
            text += &format!("{item},{position},{own},{held_out}\n");
        }
    }
    text
}

/// An item's losses less their mean; `None` stays none.
fn centred(curve: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = curve.iter().flatten().copied().collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    curve.iter().map(|loss| loss.map(|loss| loss - mean)).collect()
}

pub(crate) fn figure(found: &RecencyCurves) -> Figure {
    let title = format!("{}, {}: recency", found.source.cell, found.source.estimator);
    let explanation = "an item's own loss at the end, less its mean over positions, in millinats; \
                       blue: lower";
    let mut figure = Figure::new(title, explanation);
    figure.name = "estimate-position".to_owned();
    figure.height = TOP + HEIGHT + 62.0;
    let curves: Vec<Vec<Option<f64>>> = found.own.iter().map(|curve| centred(curve)).collect();
    let (rows, columns) =
        (curves.len().max(1), curves.iter().map(Vec::len).max().unwrap_or(1).max(1));
    let (high, wide) = (HEIGHT / rows as f64, (RIGHT - LEFT) / columns as f64);
    let largest = curves
        .iter()
        .flatten()
        .flatten()
        .fold(f64::MIN_POSITIVE, |largest, loss| largest.max(loss.abs()));
    for (row, curve) in curves.iter().enumerate() {
        for (column, loss) in curve.iter().enumerate() {
            let (x, y) = (LEFT + column as f64 * wide, TOP + row as f64 * high);
            let colour = match loss {
                None => NOTHING,
                Some(loss) => {
                    mix(PAPER, if *loss < 0.0 { LOW } else { HIGH }, loss.abs() / largest)
                }
            };
            rectangle(&mut figure, [x, y, x + wide, y + high], colour);
        }
    }
    let each = rows.div_ceil(20);
    for (row, item) in found.items.iter().enumerate().step_by(each) {
        let y = TOP + (row as f64 + 0.5) * high + 4.0;
        let flat = found.flat.get(row).copied().unwrap_or(false);
        let label = if flat { format!("{item} flat") } else { item.to_string() };
        figure.label((LEFT - 8.0, y), &label, Align::Right, MUTED);
    }
    for position in (0..columns).step_by(columns.div_ceil(20)) {
        let x = LEFT + (position as f64 + 0.5) * wide;
        figure.label((x, TOP + HEIGHT + 18.0), &position.to_string(), Align::Centre, MUTED);
    }
    figure.label((12.0, TOP - 8.0), "item", Align::Left, INK);
    let below = ((LEFT + RIGHT) / 2.0, TOP + HEIGHT + 40.0);
    figure.label(below, "step that the item was moved to", Align::Centre, INK);
    scale(&mut figure, largest);
    figure
}

fn scale(figure: &mut Figure, largest: f64) {
    let (x, pieces) = (RIGHT + 28.0, 60_u32);
    let height = HEIGHT / f64::from(pieces);
    for piece in 0..pieces {
        let y = TOP + f64::from(piece) * height;
        let value = 1.0 - 2.0 * (f64::from(piece) + 0.5) / f64::from(pieces);
        let colour = mix(PAPER, if value < 0.0 { LOW } else { HIGH }, value.abs());
        rectangle(figure, [x, y, x + 16.0, y + height], colour);
    }
    for (share, at) in [(1.0, TOP + 10.0), (0.0, TOP + HEIGHT / 2.0 + 4.0), (-1.0, TOP + HEIGHT)] {
        let text = fixed(share * largest * 1e3, 2);
        figure.label((x + 22.0, at), &text, Align::Left, MUTED);
    }
}
