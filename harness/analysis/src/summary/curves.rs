//! Metric curves over seeds, against samples seen and against train time.

use std::collections::{BTreeMap, BTreeSet};

use super::CurvePoint;
use ledger::goal::{self, Target};
use ledger::record::format::Event;
use stats::interval;

/// Points of a curve over time.
const TIME_POINTS: u32 = 60;

/// An evaluation on the target's metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    samples: f64,
    seconds: f64,
    value: f64,
}

#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
fn points(events: &[Event], name: &str) -> Vec<Point> {
    let point = |event: &Event| match event {
        Event::Evaluated(look) => Some(Point {
            samples: look.samples as f64,
            seconds: look.clocks.train,
            value: *look.metrics.get(name)?,
        }),
        _ => None,
    };
    events.iter().filter_map(point).collect()
}

/// The same of every look at the models, by its name; none where all are looked at the end alone.
pub(super) fn looks_by_samples<'a>(
    runs: impl Iterator<Item = &'a [Event]>,
    target: &Target,
) -> BTreeMap<String, Vec<CurvePoint>> {
    let mut all: BTreeMap<String, Vec<Vec<Point>>> = BTreeMap::new();
    for events in runs {
        let names: BTreeSet<&str> = events.iter().flat_map(|event| names(event, target)).collect();
        for name in names {
            let key = goal::look_key(&target.validation_key(), name);
            all.entry(name.to_owned()).or_default().push(points(events, &key));
        }
    }
    if !all.values().flatten().any(|points| points.len() > 1) {
        return BTreeMap::new();
    }
    all.into_iter().map(|(name, curves)| (name, by_samples(&curves))).collect()
}

/// Names of the looks that an evaluation took at the target's metric.
fn names<'a>(event: &'a Event, target: &Target) -> Vec<&'a str> {
    let Event::Evaluated(look) = event else { return Vec::new() };
    let keys = look.metrics.keys().map(|key| goal::metric_and_look(key));
    keys.filter(|(metric, _)| *metric == target.validation_key())
        .filter_map(|(_, name)| name)
        .collect()
}

/// The target's metric of every evaluation.
pub(super) fn curve(events: &[Event], target: &Target) -> Vec<Point> {
    points(events, &target.validation_key())
}

/// Mean over seeds at each evaluation of the common grid.
pub(super) fn by_samples(curves: &[Vec<Point>]) -> Vec<CurvePoint> {
    let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
    let at = |index: usize| {
        let points: Vec<Point> =
            curves.iter().filter_map(|curve| curve.get(index).copied()).collect();
        let x = points.first().map_or(0.0, |point| point.samples);
        curve_point(x, &points.iter().map(|point| point.value).collect::<Vec<_>>())
    };
    (0..longest).map(at).collect()
}

/// Mean over seeds at equal times, up to the shortest run, by linear interpolation.
pub(super) fn by_time(curves: &[Vec<Point>]) -> Vec<CurvePoint> {
    let ends = curves.iter().filter_map(|curve| curve.last()).map(|point| point.seconds);
    let end = ends.fold(f64::INFINITY, f64::min);
    if !end.is_finite() || end <= 0.0 {
        return Vec::new();
    }
    let at = |index: u32| {
        let x = end * f64::from(index) / f64::from(TIME_POINTS);
        let values: Vec<f64> = curves.iter().filter_map(|curve| interpolate(curve, x)).collect();
        curve_point(x, &values)
    };
    (0..=TIME_POINTS).map(at).collect()
}

fn interpolate(curve: &[Point], x: f64) -> Option<f64> {
    let after = curve.iter().position(|point| point.seconds >= x)?;
    let right = curve[after];
    let Some(left) = after.checked_sub(1).map(|before| curve[before]) else {
        return Some(right.value);
    };
    let share = (x - left.seconds) / (right.seconds - left.seconds).max(f64::MIN_POSITIVE);
    Some(left.value + share * (right.value - left.value))
}

fn curve_point(x: f64, values: &[f64]) -> CurvePoint {
    #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
    let mean = values.iter().sum::<f64>() / (values.len().max(1) as f64);
    let interval = interval::mean(values, 0.95).ok().map(|found| found.interval);
    let n = u32::try_from(values.len()).unwrap_or(u32::MAX);
    CurvePoint {
        x,
        mean,
        low: interval.map_or(mean, |i| i.low),
        high: interval.map_or(mean, |i| i.high),
        n,
    }
}
