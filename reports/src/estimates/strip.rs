//! The best orders of a search as strips: a row an order, a column a step, a colour an item.

use std::path::{Path, PathBuf};

use stats::estimates::results::SearchResult;
use stats::estimates::search::Scored;

use super::{mix, rectangle};
use crate::ReportError;
use crate::figure::{Align, BODY, Colour, Figure, INK, MUTED, PAPER, SMALL, WIDTH};
use crate::text::fixed;

const TOP: f64 = 96.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 660.0;
const ROW: f64 = 22.0;
/// Most steps whose cells have room for the item's number.
const NUMBERED: usize = 24;
/// Items from the first of the reference order to the last.
const FIRST: Colour = (0xf2, 0xe6, 0xb8);
const LAST: Colour = (0x1f, 0x4e, 0x8c);

/// Writes `estimate-search` as PNG, SVG, CSV and JSON into `out`; returns the paths.
///
/// # Errors
/// When a figure cannot be drawn or the disk refuses.
pub fn render(found: &SearchResult, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    crate::provenance::write(&figure(found), table(found), found, out)
}

/// The orders found with the way they were found and, where retrained, their true loss.
fn rows(found: &SearchResult) -> Vec<(&'static str, &Scored, Option<f64>)> {
    let truth = |true_losses: Option<&Vec<f64>>, row: usize| true_losses?.get(row).copied();
    let (best, ends) = (
        found.best.as_ref().map(|verified| &verified.best),
        found.descents.as_ref().map(|verified| &verified.best),
    );
    let descents = found.found.descents.iter().enumerate();
    let descents = descents.map(|(row, one)| ("descent", &one.end, truth(ends, row)));
    let random = found.found.best.iter().enumerate();
    descents.chain(random.map(|(row, one)| ("random", one, truth(best, row)))).collect()
}

/// One row per order.
fn table(found: &SearchResult) -> String {
    let mut text = "found_by,order,estimate,retrained,items\n".to_owned();
    for (how, one, truth) in rows(found) {
        let items: Vec<String> = one.order.flat().iter().map(u32::to_string).collect();
        let truth = super::cell(truth);
        text += &format!("{how},{},{},{truth},{}\n", one.hash, one.estimate, items.join(" "));
    }
    text
}

pub(crate) fn figure(found: &SearchResult) -> Figure {
    let title = format!("{}, {}: the best orders", found.source.cell, found.source.estimator);
    let explanation =
        format!("{}: {}", found.source.validity.verdict, found.source.validity.reason);
    let mut figure = Figure::new(title, &explanation);
    figure.name = "estimate-search".to_owned();
    let rows = rows(found);
    figure.height = TOP + ROW * rows.len() as f64 + 70.0;
    let items = f64::from(found.source.item_count.max(2) as u32 - 1);
    let steps = rows.iter().map(|(_, one, _)| one.order.len()).max().unwrap_or(1).max(1);
    let wide = (RIGHT - LEFT) / steps as f64;
    if let Some(sentence) = sentence(found) {
        let sentence = crate::font::shorten(&sentence, WIDTH - 24.0, BODY, true);
        figure.write((12.0, TOP - 30.0), &sentence, 12.5, true, Align::Left, INK);
    }
    figure.label((RIGHT + 8.0, TOP - 8.0), "held-out: estimate → true", Align::Left, MUTED);
    figure.label(
        (LEFT, TOP - 8.0),
        "step of the window (numbers below), item consumed (in the cell)",
        Align::Left,
        MUTED,
    );
    for (row, (how, one, truth)) in rows.iter().enumerate() {
        let top = TOP + ROW * row as f64;
        figure.label((LEFT - 8.0, top + 15.0), how, Align::Right, MUTED);
        for (step, consumed) in one.order.steps.iter().enumerate() {
            let left = LEFT + wide * step as f64;
            // Examples of a step share its cell, side by side.
            let each = wide / consumed.len().max(1) as f64;
            for (place, &item) in consumed.iter().enumerate() {
                let share = f64::from(item) / items;
                let left = left + each * place as f64;
                rectangle(
                    &mut figure,
                    [left, top + 1.0, left + each, top + ROW - 1.0],
                    mix(FIRST, LAST, share),
                );
                if consumed.len() == 1 && steps <= NUMBERED {
                    let ink = if share > 0.5 { PAPER } else { INK };
                    let at = (left + wide / 2.0, top + 15.0);
                    figure.write(at, &item.to_string(), SMALL, false, Align::Centre, ink);
                }
            }
        }
        let truth = truth.map_or(String::new(), |loss| format!(" → {}", fixed(loss, 5)));
        let text = format!("{}{truth}", fixed(one.estimate, 5));
        let text = crate::font::shorten(&text, WIDTH - RIGHT - 16.0, BODY, false);
        figure.label((RIGHT + 8.0, top + 15.0), &text, Align::Left, INK);
    }
    let bottom = TOP + ROW * rows.len() as f64;
    for step in (0..steps).step_by(steps.div_ceil(16)) {
        let x = LEFT + wide * (step as f64 + 0.5);
        figure.label((x, bottom + 18.0), &step.to_string(), Align::Centre, MUTED);
    }
    scale(&mut figure, bottom + 38.0, found.source.item_count);
    figure
}

/// The colours of the items, from the first of the run to the last.
fn scale(figure: &mut Figure, top: f64, items: usize) {
    figure.label((LEFT, top + 12.0), "item 0", Align::Left, MUTED);
    let (left, pieces) = (LEFT + 60.0, 40_u32);
    for piece in 0..pieces {
        let x = left + 4.0 * f64::from(piece);
        let colour = mix(FIRST, LAST, f64::from(piece) / f64::from(pieces - 1));
        rectangle(figure, [x, top, x + 4.0, top + 14.0], colour);
    }
    let last = format!("{}, the last of the recorded run", items.saturating_sub(1));
    let at = (left + 4.0 * f64::from(pieces) + 8.0, top + 12.0);
    figure.label(at, &last, Align::Left, MUTED);
}

/// Whether the promise was kept, where orders were retrained.
fn sentence(found: &SearchResult) -> Option<String> {
    let part = |name: &str, verified: &stats::estimates::search::Verified| {
        format!("{name} {} sd from random", fixed(verified.difference_in_sd, 2))
    };
    let parts = |both: [(&str, &Option<stats::estimates::search::Verified>); 2]| -> Vec<String> {
        both.into_iter()
            .filter_map(|(name, verified)| verified.as_ref().map(|verified| part(name, verified)))
            .collect()
    };
    // Where nothing was searched first: that is the verdict.
    let elsewhere = found.elsewhere.as_ref().map(|at| {
        let parts = parts([("best", &at.best), ("descents", &at.descents)]);
        format!("on {}, {}", at.split.name(), parts.join("; "))
    });
    let searched = parts([("best", &found.best), ("descents", &found.descents)]);
    let searched =
        (!searched.is_empty()).then(|| format!("where searched, {}", searched.join("; ")));
    let all: Vec<String> = elsewhere.into_iter().chain(searched).collect();
    (!all.is_empty()).then(|| format!("truly retrained {}", all.join("; ")))
}
