//! Metric curves over seeds, against samples seen and against train time.

use std::collections::{BTreeMap, BTreeSet};

use super::CurvePoint;
use ledger::goal::{self, Target};
use ledger::record::format::Event;
use stats::interval;

/// Points of a curve over time.
const TIME_POINTS: u32 = 60;
/// Points of a curve over samples that stay: one a unit of a figure's width, with every extreme.
pub const MOST_POINTS: usize = 840;

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

/// Mean over seeds at each evaluation of the common grid; of more than [`MOST_POINTS`] those that a figure can show.
pub(super) fn by_samples(curves: &[Vec<Point>]) -> Vec<CurvePoint> {
    let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
    let at = |index: usize| {
        let points: Vec<Point> =
            curves.iter().filter_map(|curve| curve.get(index).copied()).collect();
        let x = points.first().map_or(0.0, |point| point.samples);
        curve_point(x, &points.iter().map(|point| point.value).collect::<Vec<_>>())
    };
    thinned((0..longest).map(at).collect(), MOST_POINTS)
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

/// At most `most` points, or few more: of each stretch of the curve the first, the last, and those with the least and
/// the largest mean and ends, so that nothing that sticks out is lost.
#[must_use]
pub fn thinned(points: Vec<CurvePoint>, most: usize) -> Vec<CurvePoint> {
    if points.len() <= most {
        return points;
    }
    // Six of each stretch at most.
    let each = points.len().div_ceil((most / 6).max(1));
    let mut kept = Vec::new();
    for (stretch, points) in points.chunks(each).enumerate() {
        let mut places = vec![0, points.len() - 1];
        let least = |value: fn(&CurvePoint) -> f64| {
            let values = points.iter().map(value).enumerate().filter(|(_, value)| !value.is_nan());
            values.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(place, _)| place)
        };
        // The largest value is the least of the negated ones.
        let ends = [
            least(|point| point.mean),
            least(|point| -point.mean),
            least(|point| point.low),
            least(|point| -point.high),
        ];
        places.extend(ends.into_iter().flatten());
        places.sort_unstable();
        places.dedup();
        kept.extend(places.into_iter().map(|place| stretch * each + place));
    }
    kept.into_iter().filter_map(|place| points.get(place).copied()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(x: f64, mean: f64, half: f64, n: u32) -> CurvePoint {
        CurvePoint { x, mean, low: mean - half, high: mean + half, n }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn thinning_keeps_every_extreme_both_ends_and_the_order(
            values in prop::collection::vec((-1e3f64..1e3, 0.0f64..10.0), 1..4000), most in 12usize..300,
        ) {
            let points: Vec<CurvePoint> = values.iter().zip(0u32..)
                .map(|((mean, half), x)| point(f64::from(x), *mean, *half, 5)).collect();
            let thin = thinned(points.clone(), most);
            prop_assert!(thin.len() <= most.max(6) + 6 && thin.windows(2).all(|two| two[0].x < two[1].x));
            let least = |of: &[CurvePoint], value: fn(&CurvePoint) -> f64| of.iter().map(value).fold(f64::INFINITY, f64::min);
            prop_assert_eq!(least(&points, |p| p.mean), least(&thin, |p| p.mean));
            prop_assert_eq!(least(&points, |p| -p.mean), least(&thin, |p| -p.mean));
            prop_assert_eq!(least(&points, |p| p.low), least(&thin, |p| p.low));
            prop_assert_eq!(least(&points, |p| -p.high), least(&thin, |p| -p.high));
            prop_assert_eq!(points[0], thin[0]);
            prop_assert_eq!(points[points.len() - 1], thin[thin.len() - 1]);
        }
    }

    #[test]
    fn a_curve_of_a_hundred_thousand_evaluations_keeps_its_one_spike() {
        let curve: Vec<Point> = (0..100_000_u32)
            .map(|step| Point {
                samples: f64::from(step),
                seconds: f64::from(step),
                value: if step == 44_444 { -1.0 } else { f64::from(step % 7) },
            })
            .collect();
        let drawn = by_samples(&[curve]);
        assert!(drawn.len() <= MOST_POINTS + 6, "{}", drawn.len());
        let spike = drawn.iter().find(|point| point.x == 44_444.0).unwrap();
        assert_eq!(spike.mean, -1.0);
        assert_eq!(drawn.last().unwrap().x, 99_999.0);
    }
}
