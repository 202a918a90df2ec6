//! The map checkpoint × segment as a figure: blue where a segment is known better than elsewhere.

use std::path::{Path, PathBuf};

use stats::provenance::imprint::ImprintMap;

use crate::ReportError;
use crate::figure::{Align, Colour, Figure, INK, MUTED, PAPER, WIDTH};

const TOP: f64 = 74.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 730.0;
const BOTTOM_MARGIN: f64 = 62.0;
const HEIGHT: f64 = 400.0;
/// Width of the colour scale.
const BAR: f64 = 16.0;
/// Most segments whose cells still have room for a number, and most checkpoints.
const NUMBERED: (usize, usize) = (12, 18);

const KNOWN: Colour = (0x1f, 0x5f, 0xa8);
const FORGOTTEN: Colour = (0xc0, 0x44, 0x2b);

/// Writes `imprint-map` as SVG, PNG, CSV and JSON into `out`; returns the paths.
///
/// # Errors
/// When a figure cannot be drawn or the disk refuses.
pub fn render(map: &ImprintMap, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    super::write(&figure(map), table(map), map, out)
}

/// One row per checkpoint and segment.
fn table(map: &ImprintMap) -> String {
    let mut text = "steps,segment,first,end,loss,excess\n".to_owned();
    for ((steps, losses), excess) in map.steps.iter().zip(&map.losses).zip(&map.excess) {
        let cells = losses.iter().zip(excess).zip(&map.segments).zip(1..);
        for (((loss, excess), [first, end]), number) in cells {
            text += &format!("{steps},{number},{first},{end},{loss},{excess}\n");
        }
    }
    text
}

fn figure(map: &ImprintMap) -> Figure {
    let explanation = format!(
        "blue: lower loss than this checkpoint and this segment account for, in millinats (standard \
         error {:.1}); line: trained so far",
        map.standard_error * 1e3
    );
    let title = format!("Run {}: what it knew of its own data, and when", map.run);
    let mut figure = Figure::new(title, &explanation);
    figure.name = "imprint-map".to_owned();
    figure.height = TOP + HEIGHT + BOTTOM_MARGIN;
    let (rows, columns) = (map.steps.len(), map.segments.len());
    let (high, wide) = (HEIGHT / rows as f64, (RIGHT - LEFT) / columns as f64);
    let values = || map.excess.iter().flatten().copied();
    let largest = values().fold(f64::MIN_POSITIVE, |largest, value| largest.max(value.abs()));

    for (row, excess) in map.excess.iter().enumerate() {
        for (column, value) in excess.iter().enumerate() {
            let (x, y) = (LEFT + column as f64 * wide, TOP + row as f64 * high);
            rectangle(&mut figure, [x, y, x + wide, y + high], shade(value / largest));
            if columns <= NUMBERED.0 && rows <= NUMBERED.1 {
                let ink = if value.abs() > 0.55 * largest { PAPER } else { INK };
                let text = format!("{:+.0}", value * 1e3).replace('-', "−");
                let text = if text.ends_with('0') && text.len() <= 4 && value.abs() < 5e-4 {
                    "0".to_owned()
                } else {
                    text
                };
                let at = (x + wide / 2.0, y + high / 2.0 + 4.0);
                figure.write(at, &text, 11.0, false, Align::Centre, ink);
            }
        }
    }
    trained_so_far(&mut figure, map, high);

    let each = rows.div_ceil(20);
    for (row, steps) in map.steps.iter().enumerate().skip(each - 1).step_by(each) {
        let y = TOP + (row as f64 + 0.5) * high + 4.0;
        figure.label((LEFT - 8.0, y), &steps.to_string(), Align::Right, MUTED);
    }
    let each = columns.div_ceil(20);
    for number in (1..=columns).step_by(each) {
        let x = LEFT + (number as f64 - 0.5) * wide;
        figure.label((x, TOP + HEIGHT + 18.0), &number.to_string(), Align::Centre, MUTED);
    }
    figure.label((12.0, TOP - 6.0), "after step", Align::Left, INK);
    let below = ((LEFT + RIGHT) / 2.0, TOP + HEIGHT + 40.0);
    figure.label(below, "segment of the order, as consumed", Align::Centre, INK);
    scale(&mut figure, largest);
    figure
}

/// The staircase between what was trained before a checkpoint and what came after.
fn trained_so_far(figure: &mut Figure, map: &ImprintMap, high: f64) {
    let total = map.total_steps.max(1) as f64;
    let mut points = Vec::with_capacity(2 * map.steps.len());
    for (row, steps) in map.steps.iter().enumerate() {
        let x = LEFT + (RIGHT - LEFT) * *steps as f64 / total;
        let y = TOP + row as f64 * high;
        points.extend([(x, y), (x, y + high)]);
    }
    figure.line(points, INK, 2.0);
}

fn scale(figure: &mut Figure, largest: f64) {
    let (x, pieces) = (RIGHT + 24.0, 60_u32);
    let height = HEIGHT / f64::from(pieces);
    for piece in 0..pieces {
        let y = TOP + f64::from(piece) * height;
        let value = 1.0 - 2.0 * (f64::from(piece) + 0.5) / f64::from(pieces);
        rectangle(figure, [x, y, (x + BAR).min(WIDTH), y + height], shade(value));
    }
    for (share, at) in [(1.0, TOP + 10.0), (0.0, TOP + HEIGHT / 2.0 + 4.0), (-1.0, TOP + HEIGHT)] {
        let text = format!("{:+.0}", share * largest * 1e3).replace('-', "−").replace("+0", "0");
        figure.label((x + BAR + 5.0, at), &text, Align::Left, MUTED);
    }
    figure.label((x - 4.0, TOP - 6.0), "millinats", Align::Left, MUTED);
}

fn rectangle(figure: &mut Figure, [left, top, right, bottom]: [f64; 4], colour: Colour) {
    let corners = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
    figure.area(corners, colour, 1.0);
}

/// White at 0, full colour at -1 and 1.
fn shade(value: f64) -> Colour {
    let end = if value < 0.0 { KNOWN } else { FORGOTTEN };
    let weight = value.abs().min(1.0);
    let mix = |from: u8, to: u8| {
        let mixed = f64::from(from) + (f64::from(to) - f64::from(from)) * weight;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two bytes"
        )]
        let byte = mixed.round() as u8;
        byte
    };
    (mix(PAPER.0, end.0), mix(PAPER.1, end.1), mix(PAPER.2, end.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Shape;

    fn map() -> ImprintMap {
        ImprintMap {
            run: "0123456789abcdef".to_owned(),
            steps: vec![50, 100],
            total_steps: 100,
            segments: vec![[0, 8], [8, 16]],
            losses: vec![vec![1.0, 1.4], vec![1.4, 1.0]],
            excess: vec![vec![-0.2, 0.2], vec![0.2, -0.2]],
            standard_error: 0.01,
            just_trained: -0.2,
        }
    }

    #[test]
    fn what_was_just_trained_is_blue_and_what_was_not_is_red() {
        let figure = figure(&map());
        let colours: Vec<Colour> = figure
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Area { colour, .. } => Some(*colour),
                _ => None,
            })
            .take(4)
            .collect();
        assert_eq!(colours, [KNOWN, FORGOTTEN, FORGOTTEN, KNOWN]);
    }

    #[test]
    fn the_table_has_a_row_for_every_cell() {
        let text = table(&map());
        assert_eq!(text.lines().count(), 5);
        assert_eq!(text.lines().nth(2), Some("50,2,8,16,1.4,0.2"));
    }

    #[test]
    fn all_four_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let paths = render(&map(), folder.path()).unwrap();
        assert_eq!(paths.len(), 4);
        assert!(paths.iter().all(|path| path.metadata().unwrap().len() > 100));
    }
}
