//! One metric over the commits: every commit a dot, every level a line, every change marked.

use analysis::history::changes::{Change, Direction, HistoryAnalysis, SeriesChanges};

use super::{open, percent, short};
use crate::axis::{Axis, Scale};
use crate::figure::{Align, Colour, Figure, GRID, INK, MUTED, PAPER, SMALL, WIDTH};
use crate::font::{shorten, text_width};

const TOP: f64 = 92.0;
const BOTTOM: f64 = 330.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 22.0;
const LABEL: f64 = SMALL;
const DOT: Colour = (0x8a, 0x93, 0x9e);
const LEVEL: Colour = (0x1f, 0x5f, 0xa8);
const WORSE: Colour = (0xc0, 0x44, 0x2b);
const BETTER: Colour = (0x1d, 0x7a, 0x4d);

pub(super) fn figure(analysis: &HistoryAnalysis, series: &SeriesChanges, number: usize) -> Figure {
    let explanation = "dots: median of each commit; lines: mean of each level; the first commit of a \
                       new level is named";
    let title = format!("{}: {}", analysis.suite, series.metric);
    let mut figure = Figure::new(title, explanation);
    figure.name = format!("history-{number}");
    figure.height = BOTTOM + 52.0;
    let values = || series.points.iter().map(|(_, value)| *value);
    let (low, high) =
        (values().fold(f64::INFINITY, f64::min), values().fold(-f64::INFINITY, f64::max));
    let margin = 0.08 * (high - low);
    let scale = if series.logarithmic { Scale::Log } else { Scale::Linear };
    let lowest = if series.logarithmic { (low - margin).max(low * 0.9) } else { low - margin };
    let y = Axis::new((lowest, high + margin), scale, BOTTOM, TOP);
    let last = analysis.commits.len().saturating_sub(1).max(1);
    let x = |commit: usize| LEFT + (RIGHT - LEFT) * commit as f64 / last as f64;

    for tick in y.ticks(5) {
        let at = tick.at;
        figure.line(vec![(LEFT, at), (RIGHT, at)], GRID, 1.0);
        figure.label((LEFT - 8.0, at + 4.0), &tick.label, Align::Right, MUTED);
    }
    let unit = shorten(&crate::text::one_line(&series.unit), LEFT, LABEL, false);
    figure.write((LEFT, TOP - 30.0), &unit, LABEL, false, Align::Left, MUTED);
    let radius = if series.points.len() > 200 { 1.6 } else { 2.6 };
    for (commit, value) in &series.points {
        figure.disc((x(*commit), y.at(*value)), radius, DOT, 0.8);
    }
    for level in &series.levels {
        let place = |point: usize| series.points.get(point).map(|(commit, _)| x(*commit));
        let ends = (place(level.first), place(level.first + level.points.saturating_sub(1)));
        if let (Some(from), Some(to)) = ends {
            let at = y.at(level.mean);
            figure.line(vec![(from - 3.0, at), (to + 3.0, at)], LEVEL, 2.0);
        }
    }
    let mut taken = Vec::new();
    for change in &series.changes {
        if let Some((commit, _)) = series.points.get(change.at) {
            mark(&mut figure, change, x(*commit), &mut taken);
        }
    }
    for (commit, align) in [(0, Align::Left), (analysis.commits.len() - 1, Align::Right)] {
        if let Some(id) = analysis.commits.get(commit) {
            figure.label((x(commit), BOTTOM + 20.0), &short(id), align, MUTED);
        }
    }
    let middle = ((LEFT + RIGHT) / 2.0, BOTTOM + 38.0);
    figure.label(middle, "commit, oldest first", Align::Centre, INK);
    figure
}

/// A vertical line where a level begins, with commit and change above it, in one of two rows so that
/// neighbours do not overlap; a label without room is left out, as the text lists all.
fn mark(figure: &mut Figure, change: &Change, x: f64, taken: &mut Vec<(usize, f64, f64)>) {
    let colour = match change.direction {
        _ if !open(change) => MUTED,
        Direction::Regressed => WORSE,
        Direction::Improved => BETTER,
        Direction::Changed => INK,
    };
    figure.line(vec![(x, TOP), (x, BOTTOM)], colour, 1.0);
    let share = change.relative.map_or(String::new(), |share| format!(" {}", percent(share)));
    let fate = match (&change.accepted, open(change)) {
        (Some(_), _) => " accepted",
        (None, false) => " undone",
        (None, true) => "",
    };
    let label = format!("{}{share}{fate}", short(&change.commit));
    let half = text_width(&label, LABEL, true) / 2.0;
    let centre = x.clamp(LEFT + half, RIGHT - half);
    let free = |row: usize, taken: &[(usize, f64, f64)]| {
        taken.iter().all(|(other, from, to)| {
            *other != row || centre + half + 6.0 < *from || centre - half - 6.0 > *to
        })
    };
    if let Some(row) = (0..2).find(|row| free(*row, taken)) {
        let y = TOP - 6.0 - 15.0 * row as f64;
        let box_ = [
            (centre - half - 2.0, y - 10.0),
            (centre + half + 2.0, y - 10.0),
            (centre + half + 2.0, y + 3.0),
            (centre - half - 2.0, y + 3.0),
        ];
        figure.area(box_.to_vec(), PAPER, 1.0);
        figure.write((centre, y), &label, LABEL, true, Align::Centre, colour);
        taken.push((row, centre - half, centre + half));
    }
}
