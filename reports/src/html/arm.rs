//! One row of the table of arms.

use analysis::summary::{Analysis, ArmAnalysis, Estimate, ToTarget, WorkloadAnalysis};

use super::key::key;
use crate::series::{Looks, Series};
use crate::text;

/// A value on the first line of a cell and its spread on the second.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) value: String,
    pub(super) spread: String,
    /// What the pointer shows: how the interval was made.
    pub(super) hint: String,
    /// The value itself, which tables are sorted by.
    pub(super) raw: Option<f64>,
}

/// An arm as the page shows it.
pub(super) struct Arm<'a> {
    pub(super) raw: &'a ArmAnalysis,
    /// Its place in the suite.
    pub(super) place: usize,
    /// Whether the page has runs of it to lead to.
    pub(super) has_cells: bool,
    /// Line and marker of the arm in the figures; absent where the figures leave it out.
    pub(super) key: Option<String>,
    pub(super) baseline: bool,
    pub(super) reached: Cell,
    /// Diverged and failed cells, in words, when there are any.
    pub(super) mishaps: Option<String>,
    pub(super) time: Cell,
    pub(super) samples: Cell,
    pub(super) speed_up: Cell,
    pub(super) p: String,
    pub(super) validation: Cell,
    pub(super) test: Cell,
    pub(super) crossing: Cell,
    pub(super) step: Cell,
    pub(super) paired: &'static str,
    /// Other metrics at the budget, in the order of the workload's list.
    pub(super) others: Vec<Cell>,
    pub(super) settings: Vec<(&'a str, String)>,
}

impl<'a> Arm<'a> {
    /// Every arm of `workload`; `metrics` names the other metrics to show.
    pub(super) fn all(
        analysis: &Analysis,
        workload: &'a WorkloadAnalysis,
        metrics: &[String],
    ) -> Vec<Self> {
        let series = Series::of(&Looks::of(analysis), workload);
        let arms = workload.arms.iter().enumerate();
        arms.map(|(i, arm)| Self::new(workload, (i, arm), series.get(i), metrics)).collect()
    }

    fn new(
        workload: &WorkloadAnalysis,
        (place, raw): (usize, &'a ArmAnalysis),
        series: Option<&Series>,
        metrics: &[String],
    ) -> Self {
        let main = |split: &str| estimate(raw.at_budget.get(&workload.target.key(split)));
        let (diverged, failed) = (raw.outcomes.diverged, raw.outcomes.failed);
        let mishaps: Vec<String> = [(diverged, "diverged"), (failed, "failed")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        Self {
            raw,
            place,
            has_cells: false,
            key: series.map(key),
            baseline: workload.baseline.as_ref() == Some(&raw.label),
            reached: reached(raw),
            mishaps: (!mishaps.is_empty()).then(|| mishaps.join(", ")),
            time: match text::without_clock(raw) {
                true => absent(),
                false => timed(raw, || to_target(&raw.time_to_target, text::time_unit)),
            },
            samples: timed(raw, || to_target(&raw.samples_to_target, |_| ("", 1.0))),
            speed_up: speed_up(raw),
            p: raw.speed_up.as_ref().and_then(|s| s.p).map(text::p_value).unwrap_or_default(),
            validation: main("validation"),
            test: main("test"),
            crossing: estimate(raw.test_at_crossing.as_ref()),
            step: estimate(raw.step_milliseconds.as_ref()),
            paired: match raw.order_paired {
                Some(true) => "paired",
                Some(false) => "not paired",
                None => "",
            },
            others: metrics.iter().map(|name| estimate(raw.at_budget.get(name))).collect(),
            settings: raw
                .settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_string()))
                .collect(),
        }
    }
}

fn absent() -> Cell {
    Cell { value: text::ABSENT.to_owned(), ..Cell::default() }
}

/// What an arm that trains nothing has no figure for.
fn timed(arm: &ArmAnalysis, cell: impl FnOnce() -> Cell) -> Cell {
    if arm.idle { absent() } else { cell() }
}

pub(super) fn estimate(estimate: Option<&Estimate>) -> Cell {
    estimate.map_or_else(absent, |estimate| {
        let (value, spread) = text::estimate(estimate);
        Cell {
            value,
            spread,
            hint: format!("{}, n = {}", estimate.method, estimate.n),
            raw: Some(estimate.value),
        }
    })
}

fn reached(arm: &ArmAnalysis) -> Cell {
    let outcomes = &arm.outcomes;
    let ran = outcomes.reached + outcomes.censored + outcomes.diverged;
    let percent = |share: f64| text::fixed(share * 100.0, 0);
    let spread =
        arm.reach_rate.interval.map(|i| format!("[{}, {}] %", percent(i.low), percent(i.high)));
    Cell {
        value: format!("{}/{ran}", outcomes.reached),
        spread: spread.unwrap_or_default(),
        hint: arm.reach_rate.method.clone(),
        raw: Some(arm.reach_rate.value),
    }
}

fn to_target(value: &ToTarget, unit: impl Fn(f64) -> (&'static str, f64)) -> Cell {
    if value.at_start > 0 {
        let value = text::at_start(value).unwrap_or_default();
        return Cell { value, ..Cell::default() };
    }
    let Some((centre, name)) = text::centre(value) else {
        let bound = value.restricted_mean.filter(|mean| mean.is_finite()).map(|mean| {
            let (unit, length) = unit(mean);
            format!("mean ≥ {} {unit}", text::significant(mean / length, 3))
        });
        let spread = bound.unwrap_or_default().trim_end().to_owned();
        let hint = "restricted mean up to the horizon".to_owned();
        return Cell { value: "∞ not reached".to_owned(), spread, hint, raw: None };
    };
    let (unit, length) = unit(centre);
    let interval = value.interval.map(|interval| text::interval(&interval, length));
    let median = if name == "median" { "median " } else { "" };
    Cell {
        value: format!("{} {unit}", text::significant(centre / length, 3)).trim_end().to_owned(),
        spread: format!("{median}{}", interval.unwrap_or_default()).trim_end().to_owned(),
        hint: format!("{name}; interval: {}", value.interval_method),
        raw: Some(centre),
    }
}

fn speed_up(arm: &ArmAnalysis) -> Cell {
    arm.speed_up.as_ref().map_or_else(absent, |speed| {
        let interval = speed.interval.map(|interval| text::interval(&interval, 1.0));
        Cell {
            value: text::ratio(speed.ratio),
            spread: interval.unwrap_or_default(),
            hint: match speed.p {
                Some(p) => format!("paired by seed, n = {}, {}", speed.n, text::p_value(p)),
                None => format!("paired by seed, n = {}", speed.n),
            },
            raw: Some(speed.ratio),
        }
    })
}
