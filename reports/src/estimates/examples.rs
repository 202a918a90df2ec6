//! The most helpful and the most harmful items, with what their examples look like: pictures, text or
//! numbers.

use stats::estimates::results::{Dropped, LeftOut, Look, Shown, ShownItem};

use super::{mix, rectangle};
use crate::figure::{Align, BODY, Colour, Figure, GRID, INK, MUTED, PAPER, SMALL};
use crate::font::{shorten, wrap};
use crate::text::{fixed, one_line};

const TOP: f64 = 92.0;
const LEFTS: [f64; 2] = [12.0, 430.0];
/// Width of a side.
const SIDE: f64 = 398.0;
/// From one item to the next.
const ROW: f64 = 104.0;
/// Height, and largest width, of what an example is shown in.
const FRAME: f64 = 58.0;
const GAP: f64 = 8.0;
/// Width that an example has at least, so that its label can be read.
const SLOT: f64 = 92.0;
/// Width of a bar.
const BAR: f64 = 40.0;
const HELPFUL: Colour = (0x00, 0x72, 0xb2);
const HARMFUL: Colour = (0xc0, 0x44, 0x2b);
/// Pixels of a drawn picture along its longer side; larger ones are averaged.
const PIXELS: usize = 14;
/// Brightnesses that are told apart: neighbours of one are drawn as one.
const LEVELS: u8 = 24;
/// Lines of a text.
const LINES: usize = 4;
/// Between lines of a text.
const LINE: f64 = 14.5;

pub(super) fn figure(found: &Dropped) -> Figure {
    let source = &found.source;
    let title = format!("{}, {}: what helps and what harms", source.cell, source.estimator);
    let what = match found.by_weight {
        false => "change of the held-out loss without an item",
        true => "change of the held-out loss by unit of an item's weight",
    };
    let scale = Scale::of(found);
    let explanation = format!(
        "{what}, with its 95 % interval where the gate allows one; the first examples of each; {}: {}",
        source.validity.verdict, source.validity.reason
    );
    let mut figure = Figure::new(title, &explanation);
    figure.name = "estimate-drop".to_owned();
    let Some(shown) = &found.shown else {
        figure.height = TOP;
        return figure;
    };
    let rows = shown.helpful.len().max(shown.harmful.len());
    figure.height = TOP + ROW * rows as f64 + 12.0;
    let worst = shown.harmful.first().map(|item| item.item);
    let worst = found.alone.iter().find(|one| Some(one.item) == worst);
    // Without what harms the loss is lower; with more weight on it, higher.
    let harms = worst
        .and_then(|one| one.change)
        .is_some_and(|change| if found.by_weight { change > 0.0 } else { change < 0.0 });
    let last = if harms { "most harmful" } else { "least helpful, none does harm" };
    let sides = [("most helpful", &shown.helpful, HELPFUL), (last, &shown.harmful, HARMFUL)];
    for (left, (name, items, colour)) in LEFTS.into_iter().zip(sides) {
        figure.write((left, TOP - 20.0), name, BODY, true, Align::Left, INK);
        for (row, item) in items.iter().enumerate() {
            let top = TOP + ROW * row as f64;
            let change = found.alone.iter().find(|one| one.item == item.item);
            head(&mut figure, (left, top), item, change, &scale, colour);
            let mut x = left;
            for example in &item.examples {
                match width(example, left + SIDE - x, x == left) {
                    Some(wide) => draw(&mut figure, (x, top + 16.0), wide, example),
                    None => break,
                }
                x += width(example, left + SIDE - x, x == left).unwrap_or(0.0) + GAP;
            }
        }
    }
    figure
}

/// How changes are told and drawn.
struct Scale {
    /// Digits behind the point.
    digits: usize,
    /// The largest change, without its sign.
    largest: f64,
}

impl Scale {
    fn of(found: &Dropped) -> Self {
        let changes = found.alone.iter().filter_map(|one| one.change).map(f64::abs);
        let largest = changes.fold(0.0, f64::max);
        let digits =
            if largest > 0.0 { (2.0 - largest.log10().floor()).clamp(0.0, 12.0) } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 12 by the clamp"
        )]
        Self { digits: digits as usize, largest }
    }

    fn told(&self, value: f64) -> String {
        let sign = if value > 0.0 { "+" } else { "" };
        format!("{sign}{}", fixed(value, self.digits))
    }
}

/// The item's number, its change and a bar of it.
fn head(
    figure: &mut Figure,
    (left, top): (f64, f64),
    item: &ShownItem,
    change: Option<&LeftOut>,
    scale: &Scale,
    colour: Colour,
) {
    let mut text = format!("item {}", item.item);
    if let Some(change) = change.and_then(|one| one.change) {
        text += &format!(": {}", scale.told(change));
        let share = if scale.largest > 0.0 { change.abs() / scale.largest } else { 0.0 };
        let right = left + SIDE;
        rectangle(figure, [right - BAR, top, right, top + 8.0], GRID);
        rectangle(figure, [right - BAR, top, right - BAR + BAR * share, top + 8.0], colour);
    }
    if let Some(at) = change.and_then(|one| one.interval) {
        text += &format!(" [{}, {}]", scale.told(at.low), scale.told(at.high));
    }
    if item.of > 1 {
        text += &format!(", {} examples", item.of);
    }
    let text = shorten(&text, SIDE - BAR - 8.0, BODY, false);
    figure.label((left, top + 9.0), &text, Align::Left, INK);
}

/// How wide an example is drawn; `None` where there is no room for it.
fn width(example: &Shown, room: f64, first: bool) -> Option<f64> {
    let wanted = match &example.look {
        Look::Pixels { height, width, .. } => {
            FRAME * *width as f64 / (*height).max(*width).max(1) as f64
        }
        // A text is read alone.
        Look::Text { .. } => return first.then_some(room),
        Look::Numbers { .. } => SLOT,
    };
    let wanted = wanted.max(SLOT);
    (wanted <= room).then_some(wanted)
}

fn draw(figure: &mut Figure, (left, top): (f64, f64), wide: f64, example: &Shown) {
    match &example.look {
        Look::Pixels { height, width, values } => {
            pixels(figure, (left, top), [*height, *width], values);
        }
        Look::Text { text } => {
            for (row, line) in wrap(&one_line(text), wide, SMALL, LINES).iter().enumerate() {
                let at = (left, top + 11.0 + LINE * row as f64);
                figure.write(at, line, SMALL, false, Align::Left, INK);
            }
        }
        Look::Numbers { values, of } => {
            let told: Vec<String> = values.iter().map(|value| fixed(*value, 1)).collect();
            let rest = if *of > values.len() { " …" } else { "" };
            let halves = told.chunks(values.len().div_ceil(2).max(1)).map(|part| part.join(" "));
            let halves: Vec<String> = halves.collect();
            for (row, line) in halves.iter().enumerate() {
                let line =
                    if row + 1 == halves.len() { format!("{line}{rest}") } else { line.clone() };
                let line = shorten(&line, wide, SMALL, false);
                let at = (left, top + 14.0 + LINE * row as f64);
                figure.write(at, &line, SMALL, false, Align::Left, INK);
            }
        }
    }
    let label = example.label.as_ref().map(|label| format!("{label}, ")).unwrap_or_default();
    let text = shorten(&format!("{label}{}", example.id), wide, SMALL, false);
    figure.write((left, top + FRAME + 14.0), &text, SMALL, false, Align::Left, MUTED);
}

/// A picture in squares; neighbours of one brightness are one.
fn pixels(
    figure: &mut Figure,
    (left, top): (f64, f64),
    [height, width]: [usize; 2],
    values: &[u8],
) {
    let coloured = values.len() == 3 * height * width;
    if height * width == 0 || (!coloured && values.len() != height * width) {
        return;
    }
    let cut = height.max(width).div_ceil(PIXELS);
    let (rows, columns) = (height.div_ceil(cut), width.div_ceil(cut));
    // Whole units: between squares that end within a pixel a viewer lets the ground shine through.
    let side = (FRAME / rows.max(columns) as f64).floor();
    let at = |row: usize, column: usize| -> Colour {
        let mut sums = [0_usize; 3];
        let mut count = 0;
        for y in row * cut..((row + 1) * cut).min(height) {
            for x in column * cut..((column + 1) * cut).min(width) {
                let pixel = y * width + x;
                for (channel, sum) in sums.iter_mut().enumerate() {
                    let place = if coloured { 3 * pixel + channel } else { pixel };
                    *sum += usize::from(values[place]);
                }
                count += 1;
            }
        }
        let level = |sum: usize| {
            let share = sum as f64 / (255 * count.max(1)) as f64;
            (share * f64::from(LEVELS - 1)).round() / f64::from(LEVELS - 1)
        };
        let [red, green, blue] = sums.map(|sum| mix((0, 0, 0), PAPER, level(sum)).0);
        (red, green, blue)
    };
    for row in 0..rows {
        let colours: Vec<Colour> = (0..columns).map(|column| at(row, column)).collect();
        let y = top + side * row as f64;
        let mut from = 0;
        for run in colours.chunk_by(|a, b| a == b) {
            let [x, end] = [from, from + run.len()].map(|column| left + side * column as f64);
            rectangle(figure, [x, y, end, y + side], run[0]);
            from += run.len();
        }
    }
}
