//! Value over setting: a panel per arm and setting, a disc per trial, the chosen one ringed.

use analysis::suite::{SAMPLES, Space, shown};
use analysis::summary::tuning::{SweptArm, TuningAnalysis};
use analysis::tuning::Trial;

use crate::axis::{Axis, Scale, zoom};
use crate::curve::LOG_FROM;
use crate::figure::{Align, Colour, Figure, GRID, INK, MUTED, PAPER, Point, SMALL, WIDTH};
use crate::font::{shorten, text_width};
use crate::text;

/// Panels of a row, and rows of a figure.
const ACROSS: usize = 3;
const DOWN: usize = 6;
const TOP: f64 = 64.0;
const CELL: f64 = (WIDTH - 24.0) / ACROSS as f64;
/// Room for the numbers at the left of a panel, and beside its right edge.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TITLE: f64 = 16.0;
const HEIGHT: f64 = 104.0;
const ROW: f64 = TITLE + HEIGHT + 42.0;
const TRIAL: Colour = (0x00, 0x72, 0xb2);
const CHOSEN: Colour = (0xd5, 0x5e, 0x00);

/// As many figures as the panels need.
pub(crate) fn figures(tuning: &TuningAnalysis) -> Vec<Figure> {
    let panels: Vec<Panel<'_>> = tuning
        .arms
        .iter()
        .flat_map(|arm| {
            arm.spaces.iter().map(move |(setting, space)| Panel { arm, setting, space })
        })
        .collect();
    let pages = panels.chunks(ACROSS * DOWN);
    let count = pages.len();
    pages.enumerate().map(|(page, panels)| figure(tuning, panels, page, count)).collect()
}

struct Panel<'a> {
    arm: &'a SweptArm,
    setting: &'a str,
    space: &'a Space,
}

fn figure(tuning: &TuningAnalysis, panels: &[Panel<'_>], page: usize, pages: usize) -> Figure {
    let part = if pages > 1 { format!(" ({} of {pages})", page + 1) } else { String::new() };
    let title = format!("{}: {} over the settings tried{part}", tuning.suite, tuning.choose);
    let sound = if tuning.choose == SAMPLES {
        "open: not every seed reached the target"
    } else {
        "open: not every seed has a value"
    };
    let explanation = format!(
        "a disc is a trial, its value over {} seeds; orange: chosen; {sound}; {}",
        tuning.seeds.len(),
        if tuning.higher_is_better { "higher is better" } else { "lower is better" }
    );
    let mut figure = Figure::new(title, &explanation);
    figure.name = if page == 0 { "tuning".to_owned() } else { format!("tuning-{}", page + 1) };
    figure.height = (TOP + panels.len().div_ceil(ACROSS) as f64 * ROW).ceil();
    for (place, panel) in panels.iter().enumerate() {
        let (row, column) = (place / ACROSS, place % ACROSS);
        let at = (12.0 + column as f64 * CELL, TOP + row as f64 * ROW);
        panel.draw(&mut figure, tuning, at);
    }
    figure
}

impl Panel<'_> {
    fn draw(&self, figure: &mut Figure, tuning: &TuningAnalysis, (x0, y0): Point) {
        let (left, right) = (x0 + LEFT, x0 + CELL - RIGHT);
        let (top, bottom) = (y0 + TITLE, y0 + TITLE + HEIGHT);
        let shown_value = Shown::of(self.arm, tuning);
        let title = format!("{}{}", self.arm.arm, shown_value.note());
        let title = shorten(&text::one_line(&title), CELL - 12.0, SMALL, true);
        figure.write((x0 + 4.0, y0 + 9.0), &title, SMALL, true, Align::Left, INK);

        let y = shown_value.axis(self.arm, bottom, top);
        let mut free_above = f64::INFINITY;
        for tick in y.ticks(4) {
            figure.line(vec![(left, tick.at), (right, tick.at)], GRID, 1.0);
            if tick.at + SMALL < free_above && tick.at > top - 2.0 {
                figure.write(
                    (left - 6.0, tick.at + 3.6),
                    &shorten(&tick.label, LEFT - 8.0, SMALL, false),
                    SMALL,
                    false,
                    Align::Right,
                    MUTED,
                );
                free_above = tick.at;
            }
        }
        figure.line(vec![(left, bottom), (right, bottom)], MUTED, 1.0);
        let places = Places::of(self.space, left + 6.0, right - 6.0);
        places.label(figure, bottom);
        let name = shorten(&text::one_line(self.setting), CELL - LEFT - RIGHT, SMALL, false);
        figure.write(
            ((left + right) / 2.0, bottom + 29.0),
            &name,
            SMALL,
            false,
            Align::Centre,
            INK,
        );

        let last = self.arm.trials.len();
        let chosen_last = (0..last).filter(|index| *index != self.arm.best).chain([self.arm.best]);
        for index in chosen_last {
            let Some(trial) = self.arm.trials.get(index) else { continue };
            let (Some(value), Some(setting)) =
                (shown_value.value(trial), trial.settings.get(self.setting))
            else {
                continue;
            };
            let aside = (index as f64 / last.max(2) as f64 - 0.5) * 10.0;
            let Some(x) = places.at(setting, aside) else { continue };
            let whole = trial.values.iter().all(Option::is_some);
            let at = (x, y.at(value).clamp(top, bottom));
            mark(figure, at, index == self.arm.best, whole, trial.share < 1.0);
        }
    }
}

/// A trial: open where a seed is missing, pale where it was ended early, ringed where it was chosen.
fn mark(figure: &mut Figure, at: Point, chosen: bool, whole: bool, early: bool) {
    let (colour, radius) = if chosen { (CHOSEN, 4.6) } else { (TRIAL, 3.2) };
    figure.disc(at, radius, colour, if early { 0.35 } else { 1.0 });
    if !whole {
        figure.disc(at, radius * 0.55, PAPER, 1.0);
    }
    if chosen {
        let corners = (0..=24).map(|step| {
            let angle = f64::from(step) * std::f64::consts::TAU / 24.0;
            (at.0 + 8.0 * angle.cos(), at.1 + 8.0 * angle.sin())
        });
        figure.line(corners.collect(), CHOSEN, 1.3);
    }
}

/// What the height shows: what chose, or where no seed of any trial has a value, the end of the budget, by
/// which it was then chosen.
enum Shown {
    Value { log: bool },
    End,
}

impl Shown {
    fn of(arm: &SweptArm, tuning: &TuningAnalysis) -> Self {
        let any = arm.trials.iter().any(|trial| trial.values.iter().any(Option::is_some));
        if any { Self::Value { log: tuning.choose == SAMPLES } } else { Self::End }
    }

    fn note(&self) -> &'static str {
        match self {
            Self::Value { .. } => "",
            Self::End => " (not reached; metric at the end)",
        }
    }

    fn value(&self, trial: &Trial) -> Option<f64> {
        match self {
            Self::Value { .. } => trial.value,
            Self::End => trial.last,
        }
    }

    fn axis(&self, arm: &SweptArm, bottom: f64, top: f64) -> Axis {
        let values: Vec<f64> = arm.trials.iter().filter_map(|trial| self.value(trial)).collect();
        let best = arm.trials.get(arm.best).and_then(|trial| self.value(trial));
        let keep: Vec<f64> = best.into_iter().collect();
        let (least, most) =
            values.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), v| (l.min(*v), m.max(*v)));
        match self {
            Self::Value { log: true } if least > 0.0 && least.is_finite() => {
                Axis::new((least / 1.15, most * 1.15), Scale::Log, bottom, top)
            }
            _ => Axis::new(zoom(&values, &keep), Scale::Linear, bottom, top),
        }
    }
}

/// Where the values of a setting stand.
enum Places<'a> {
    Numbers(Axis),
    Names(&'a [serde_json::Value], f64, f64),
}

impl<'a> Places<'a> {
    fn of(space: &'a Space, from: f64, to: f64) -> Self {
        let ends: Vec<f64> =
            space.extremes().iter().filter_map(serde_json::Value::as_f64).collect();
        match (space, ends.as_slice()) {
            (Space::Choices(values), _) => Self::Names(values, from, to),
            (_, &[low, high]) => {
                let log = space.is_log() && (high > LOG_FROM.sqrt() * low);
                Self::Numbers(Axis::new(
                    (low, high),
                    if log { Scale::Log } else { Scale::Linear },
                    from,
                    to,
                ))
            }
            _ => Self::Names(&[], from, to),
        }
    }

    fn at(&self, value: &serde_json::Value, aside: f64) -> Option<f64> {
        match self {
            Self::Numbers(axis) => Some(axis.at(value.as_f64()?)),
            Self::Names(values, from, to) => {
                let place = values.iter().position(|other| other == value)?;
                let width = (to - from) / values.len() as f64;
                Some(from + width * (place as f64 + 0.5) + aside * (width / 60.0).min(1.0))
            }
        }
    }

    fn label(&self, figure: &mut Figure, bottom: f64) {
        let mut write = |at: f64, label: &str| {
            figure.write((at, bottom + 14.0), label, SMALL, false, Align::Centre, MUTED);
        };
        match self {
            Self::Numbers(axis) => {
                let mut free_from = f64::NEG_INFINITY;
                for tick in axis.ticks(4) {
                    let half = text_width(&tick.label, SMALL, false) / 2.0;
                    if tick.at - half > free_from {
                        write(tick.at, &tick.label);
                        free_from = tick.at + half + 6.0;
                    }
                }
            }
            Self::Names(values, from, to) => {
                let width = (to - from) / values.len().max(1) as f64;
                for (place, value) in values.iter().enumerate() {
                    let label = shorten(&text::one_line(&shown(value)), width - 4.0, SMALL, false);
                    write(from + width * (place as f64 + 0.5), &label);
                }
            }
        }
    }
}
