//! Recency curves as maps: an item's own loss, and the held-out loss, by the place of the item.

use std::path::{Path, PathBuf};

use stats::estimates::curves::CurveAgreement;
use stats::estimates::results::RecencyCurves;

use super::{cell, mix, rectangle};
use crate::ReportError;
use crate::figure::{Align, BODY, Colour, Figure, INK, MUTED, PAPER};
use crate::text::{fixed, significant};

const TOP: f64 = 78.0;
const LEFTS: [f64; 2] = [76.0, 466.0];
/// Width of a map.
const SIDE: f64 = 292.0;
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
    let explanation = "losses at the end by where the item came, less the item's mean over places, \
                       in thousandths; blue: lower";
    let mut figure = Figure::new(title, explanation);
    figure.name = "estimate-position".to_owned();
    figure.height = TOP + HEIGHT + 62.0;
    let r2 = |agreement: &Option<CurveAgreement>| agreement.as_ref()?.centred_r2;
    let panels = [
        ("own loss", &found.own, r2(&found.own_agreement)),
        ("held-out loss", &found.held_out, r2(&found.held_out_agreement)),
    ];
    for (left, (name, curves, r2)) in LEFTS.into_iter().zip(panels) {
        let checked =
            r2.map_or(String::new(), |r2| format!(", R² {} against true runs", fixed(r2, 3)));
        let heading = format!("{name}{checked}");
        figure.write((left, TOP - 12.0), &heading, BODY, true, Align::Left, INK);
        map(&mut figure, left, curves);
    }
    let rows = found.items.len().max(1);
    let high = HEIGHT / rows as f64;
    for (row, item) in found.items.iter().enumerate().step_by(rows.div_ceil(20)) {
        let y = TOP + (row as f64 + 0.5) * high + 4.0;
        let flat = found.flat.get(row).copied().unwrap_or(false);
        let label = if flat { format!("{item} flat") } else { item.to_string() };
        let label = crate::font::shorten(&label, LEFTS[0] - 10.0, BODY, false);
        figure.label((LEFTS[0] - 8.0, y), &label, Align::Right, MUTED);
    }
    figure.label((12.0, TOP - 12.0), "item", Align::Left, INK);
    figure
}

/// One map: a row an item, a column a place, with its own colour scale beside it.
fn map(figure: &mut Figure, left: f64, curves: &[Vec<Option<f64>>]) {
    let curves: Vec<Vec<Option<f64>>> = curves.iter().map(|curve| centred(curve)).collect();
    let columns = curves.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let (high, wide) = (HEIGHT / curves.len().max(1) as f64, SIDE / columns as f64);
    let largest = curves
        .iter()
        .flatten()
        .flatten()
        .fold(f64::MIN_POSITIVE, |largest, loss| largest.max(loss.abs()));
    for (row, curve) in curves.iter().enumerate() {
        for (column, loss) in curve.iter().enumerate() {
            let (x, y) = (left + column as f64 * wide, TOP + row as f64 * high);
            let colour = match loss {
                None => NOTHING,
                Some(loss) => {
                    mix(PAPER, if *loss < 0.0 { LOW } else { HIGH }, loss.abs() / largest)
                }
            };
            rectangle(figure, [x, y, x + wide, y + high], colour);
        }
    }
    for position in (0..columns).step_by(columns.div_ceil(8)) {
        let x = left + (position as f64 + 0.5) * wide;
        figure.label((x, TOP + HEIGHT + 18.0), &position.to_string(), Align::Centre, MUTED);
    }
    let below = (left + SIDE / 2.0, TOP + HEIGHT + 40.0);
    figure.label(below, "step of its epoch that the item came at", Align::Centre, INK);
    scale(figure, left + SIDE + 10.0, largest);
}

fn scale(figure: &mut Figure, x: f64, largest: f64) {
    let pieces = 60_u32;
    let height = HEIGHT / f64::from(pieces);
    for piece in 0..pieces {
        let y = TOP + f64::from(piece) * height;
        let value = 1.0 - 2.0 * (f64::from(piece) + 0.5) / f64::from(pieces);
        let colour = mix(PAPER, if value < 0.0 { LOW } else { HIGH }, value.abs());
        rectangle(figure, [x, y, x + 12.0, y + height], colour);
    }
    for (share, at) in [(1.0, TOP + 10.0), (0.0, TOP + HEIGHT / 2.0 + 4.0), (-1.0, TOP + HEIGHT)] {
        let value = share * largest * 1e3;
        // A wide number would leave the figure.
        let text = if value.abs() < 1e4 { significant(value, 3) } else { format!("{value:.1e}") };
        figure.label((x + 16.0, at), &text, Align::Left, MUTED);
    }
}
