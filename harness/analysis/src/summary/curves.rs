//! Metric curves over seeds, against samples seen and against train time.

use std::collections::{BTreeMap, BTreeSet};

use super::{CurvePoint, WorkloadAnalysis};
use ledger::goal::{self, TRAIN, Target, VALIDATION};
use ledger::record::format::{Evaluation, Event};
use stats::interval;

/// Points of a curve over time, and of one over what runs count.
const TIME_POINTS: u32 = 60;
/// Points of a curve over samples that stay: one a unit of a figure's width, with every extreme.
pub const MOST_POINTS: usize = 840;

/// Points of all curves of further metrics of an analysis together, which a page carries along: about a megabyte.
pub const MOST_METRIC_POINTS: usize = 12_000;
/// Points below which a curve says nothing of its shape.
const LEAST_POINTS: usize = 12;

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

/// Every metric but the target's that the evaluations of some run have on the validation split or of its own steps, by
/// its name. Seeds
/// are taken together evaluation by evaluation: one that lacks a value (it was not finite) shifts no other.
pub(super) fn metrics_by_samples<'a>(
    runs: impl Iterator<Item = &'a [Event]>,
    target: &Target,
) -> BTreeMap<String, Vec<CurvePoint>> {
    let runs: Vec<Vec<&Evaluation>> = runs.map(evaluations).collect();
    let own = target.validation_key();
    let is_other = |key: &&String| {
        let (_, look) = goal::metric_and_look(key);
        let split = key.split_once('/').map(|(split, _)| split);
        matches!(split, Some(VALIDATION | TRAIN)) && look.is_none() && **key != own
    };
    let looks = || runs.iter().flatten();
    let names: BTreeSet<&String> =
        looks().flat_map(|look| look.metrics.keys().filter(is_other)).collect();
    let longest = runs.iter().map(Vec::len).max().unwrap_or(0);
    let at = |name: &String, index: usize| {
        let looks = runs.iter().filter_map(|run| run.get(index));
        let found: Vec<(u64, f64)> =
            looks.filter_map(|look| Some((look.samples, *look.metrics.get(name)?))).collect();
        #[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^52")]
        let x = found.first()?.0 as f64;
        Some(curve_point(x, &found.iter().map(|(_, value)| *value).collect::<Vec<_>>()))
    };
    let curve = |name: &String| (0..longest).filter_map(|index| at(name, index)).collect();
    names.into_iter().map(|name| (name.clone(), curve(name))).collect()
}

fn evaluations(events: &[Event]) -> Vec<&Evaluation> {
    let looks = events.iter().filter_map(|event| match event {
        Event::Evaluated(look) => Some(look),
        _ => None,
    });
    looks.collect()
}

/// Leaves out of the curves of further metrics what is no curve, a metric that was looked at once, and holds what
/// stays to [`MOST_METRIC_POINTS`]: each curve keeps its extremes and both ends. Where there are more curves than can
/// keep a shape, parts of a metric (`accuracy/4`) go first, and then all.
pub(super) fn hold(workloads: &mut [WorkloadAnalysis]) {
    for workload in workloads.iter_mut() {
        let curves = workload.arms.iter().flat_map(|arm| &arm.metrics_by_samples);
        let moving = curves.filter(|(_, points)| points.len() > 1);
        let moving: BTreeSet<String> = moving.map(|(name, _)| name.clone()).collect();
        for arm in &mut workload.arms {
            arm.metrics_by_samples.retain(|name, _| moving.contains(name));
        }
    }
    let is_part = |name: &String| name.matches('/').count() > 1;
    if room(workloads) < LEAST_POINTS {
        each(workloads, |curves| curves.retain(|name, _| !is_part(name)));
    }
    let most = room(workloads);
    if most < LEAST_POINTS {
        each(workloads, BTreeMap::clear);
    }
    each(workloads, |curves| {
        for points in curves.values_mut() {
            *points = thinned(std::mem::take(points), most);
            points.iter_mut().for_each(|point| *point = point.short());
        }
    });
}

impl CurvePoint {
    /// With six digits, which no figure shows more of: half as long in JSON.
    #[must_use]
    pub fn short(self) -> Self {
        let short = |value: f64| format!("{value:.5e}").parse().unwrap_or(value);
        Self { mean: short(self.mean), low: short(self.low), high: short(self.high), ..self }
    }
}

/// Points that each curve of a further metric may have; at most as many as any other.
fn room(workloads: &[WorkloadAnalysis]) -> usize {
    let curves = workloads.iter().flat_map(|workload| &workload.arms);
    let curves: usize = curves.map(|arm| arm.metrics_by_samples.len()).sum();
    (MOST_METRIC_POINTS / curves.max(1)).min(MOST_POINTS)
}

fn each(
    workloads: &mut [WorkloadAnalysis],
    change: impl Fn(&mut BTreeMap<String, Vec<CurvePoint>>),
) {
    let arms = workloads.iter_mut().flat_map(|workload| &mut workload.arms);
    arms.for_each(|arm| change(&mut arm.metrics_by_samples));
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
    let over = |curve: &Vec<Point>| curve.iter().map(|at| (at.seconds, at.value)).collect();
    interpolated(&curves.iter().map(over).collect::<Vec<_>>(), 0.0)
}

/// The target's metric over what runs have taken of something, mean over seeds at equal counts: from where all have
/// been looked at to the end of the shortest. Of looks between which nothing was taken the last counts: that much was
/// had for it.
pub(super) fn by_cost<'a>(
    runs: impl Iterator<Item = &'a [Event]>,
    target: &Target,
    cost: &str,
) -> Vec<CurvePoint> {
    let name = target.validation_key();
    let curve = |events: &'a [Event]| {
        let mut curve: Vec<(f64, f64)> = Vec::new();
        for look in evaluations(events) {
            let (Some(count), Some(value)) = (look.costs.get(cost), look.metrics.get(&name)) else {
                continue;
            };
            #[expect(clippy::cast_precision_loss, reason = "what a run takes stays far below 2^52")]
            let count = *count as f64;
            curve.pop_if(|last| last.0 >= count);
            curve.push((count, *value));
        }
        curve
    };
    let curves: Vec<Vec<(f64, f64)>> = runs.map(curve).filter(|curve| curve.len() > 1).collect();
    let from = curves.iter().filter_map(|curve| curve.first()).map(|first| first.0);
    let mut points = interpolated(&curves, from.fold(0.0, f64::max));
    points.iter_mut().for_each(|point| *point = point.short());
    points
}

/// Mean over curves at equal places from `from` to the end of the shortest.
fn interpolated(curves: &[Vec<(f64, f64)>], from: f64) -> Vec<CurvePoint> {
    let ends = curves.iter().filter_map(|curve| curve.last()).map(|last| last.0);
    let end = ends.fold(f64::INFINITY, f64::min);
    if !end.is_finite() || end <= from {
        return Vec::new();
    }
    let at = |index: u32| {
        let x = from + (end - from) * f64::from(index) / f64::from(TIME_POINTS);
        let values: Vec<f64> = curves.iter().filter_map(|curve| interpolate(curve, x)).collect();
        curve_point(x, &values)
    };
    (0..=TIME_POINTS).map(at).collect()
}

fn interpolate(curve: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = curve.iter().position(|point| point.0 >= x)?;
    let right = curve[after];
    let Some(left) = after.checked_sub(1).map(|before| curve[before]) else {
        return Some(right.1);
    };
    let share = (x - left.0) / (right.0 - left.0).max(f64::MIN_POSITIVE);
    Some(left.1 + share * (right.1 - left.1))
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
    use ledger::digest::Digest;
    use ledger::goal::Direction;
    use ledger::record::format::ClockSeconds;
    use ledger::transcript::ChainPoint;
    use proptest::prelude::*;

    use super::super::tests::{Made, times};
    use super::*;

    fn evaluated(samples: u64, metrics: &[(&str, f64)]) -> Event {
        Event::Evaluated(Evaluation {
            samples,
            steps: samples,
            clocks: ClockSeconds::default(),
            train_loss: None,
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            costs: BTreeMap::new(),
            chain: ChainPoint { step: 0, chain: Digest::of(b"") },
        })
    }

    #[test]
    fn every_metric_along_a_run_is_a_curve_but_the_targets_those_of_looks_and_the_test_splits() {
        let target = Target {
            metric: "accuracy".to_owned(),
            direction: Direction::HigherIsBetter,
            value: 0.9,
            origin: String::new(),
        };
        let all = |length: f64| {
            [
                ("validation/accuracy", 0.5),
                ("validation/accuracy/4", 0.4),
                ("validation/length", length),
                ("train/imitated", 0.25),
                ("validation/length@half", 1.0),
                ("test/length", 2.0),
            ]
        };
        let whole = [evaluated(0, &all(9.0)), evaluated(64, &all(7.0)), evaluated(128, &all(5.0))];
        // The second evaluation has no length: the third must not take its place.
        let gap = [evaluated(0, &all(9.0)), evaluated(64, &[]), evaluated(128, &all(3.0))];
        let runs = [&whole[..], &gap[..]];
        let found = metrics_by_samples(runs.into_iter(), &target);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["train/imitated", "validation/accuracy/4", "validation/length"]);
        let length: Vec<(f64, f64, u32)> =
            found["validation/length"].iter().map(|point| (point.x, point.mean, point.n)).collect();
        assert_eq!(length, [(0.0, 9.0, 2), (64.0, 7.0, 1), (128.0, 4.0, 2)]);
    }

    #[test]
    fn a_metric_over_what_runs_take_is_a_mean_at_equal_counts_and_what_was_had_for_nothing_is_its_start()
     {
        let target = Target {
            metric: "accuracy".to_owned(),
            direction: Direction::HigherIsBetter,
            value: 0.9,
            origin: String::new(),
        };
        let run = |looks: &[(u64, f64)]| -> Vec<Event> {
            let look = |(place, (count, accuracy)): (u64, &(u64, f64))| {
                let Event::Evaluated(look) =
                    evaluated(place, &[("validation/accuracy", *accuracy)])
                else {
                    unreachable!()
                };
                Event::Evaluated(Evaluation {
                    costs: BTreeMap::from([("tokens".to_owned(), *count)]),
                    ..look
                })
            };
            (0..).zip(looks).map(look).collect()
        };
        // The first took none until its second look; the other ends at 400, where the curve does.
        let runs = [
            run(&[(0, 0.1), (0, 0.2), (600, 0.8)]),
            run(&[(0, 0.0), (400, 0.4)]),
            // Looked at once: no curve.
            run(&[(9_000, 0.9)]),
        ];
        let all = || runs.iter().map(Vec::as_slice);
        let found = by_cost(all(), &target, "tokens");
        let at = |x: f64| found.iter().find(|point| point.x == x).unwrap();
        assert_eq!(found.last().unwrap().x, 400.0);
        assert_eq!((at(0.0).mean, at(0.0).n), (0.1, 2));
        assert_eq!(at(200.0).mean, 0.3);
        assert_eq!(at(400.0).mean, 0.5);
        assert!(by_cost(all(), &target, "questions").is_empty());
    }

    #[test]
    fn further_metrics_fit_a_page_whatever_their_number_and_parts_of_a_metric_go_first() {
        let line = |length: u32| {
            let points = (0..length).map(|x| point(f64::from(x), f64::from(x * 37 % 101), 0.1, 5));
            points.collect()
        };
        let with = |arms: usize, names: &[&str], length: u32| {
            let times = times(&[4.0, 6.0]);
            let mut workload =
                Made::on_one(&times, &times, Vec::new()).analysis().workloads.remove(0);
            let curves = names.iter().map(|name| ((*name).to_owned(), line(length)));
            workload.arms[0].metrics_by_samples = curves.collect();
            workload.arms = vec![workload.arms[0].clone(); arms];
            vec![workload]
        };
        let held = |mut workloads: Vec<WorkloadAnalysis>| {
            hold(&mut workloads);
            let arms = workloads.iter().flat_map(|workload| &workload.arms);
            let names = workloads[0].arms[0].metrics_by_samples.keys().cloned().collect();
            let points = arms.flat_map(|arm| arm.metrics_by_samples.values()).map(Vec::len).sum();
            (names, points)
        };
        let [length, part] = ["validation/length", "validation/accuracy/4"];
        // Few and short: all of it. Many points: fewer, of the same curves.
        let whole: (Vec<String>, usize) = held(with(3, &[length, part], 50));
        assert_eq!(whole, (vec![part.to_owned(), length.to_owned()], 300));
        let (names, points) = held(with(40, &[length, part], 1000));
        assert_eq!(names.len(), 2);
        assert!((5_000..=MOST_METRIC_POINTS + 80 * 6).contains(&points), "{points}");
        // Too many curves to keep a shape of each.
        let (names, points) = held(with(900, &[length, part], 20));
        assert_eq!(names, [length]);
        assert!(points <= MOST_METRIC_POINTS + 900 * 6, "{points}");
        assert_eq!(held(with(1100, &[length, part], 20)), (Vec::new(), 0));
        // Six digits.
        let mut workload = with(1, &[length], 2);
        workload[0].arms[0]
            .metrics_by_samples
            .insert(length.to_owned(), vec![point(1.0, 1.0 / 3.0, 0.1, 5); 2]);
        hold(&mut workload);
        assert_eq!(workload[0].arms[0].metrics_by_samples[length][0].mean, 0.333_333);
        // One look is no curve.
        assert_eq!(held(with(2, &[length], 1)), (Vec::new(), 0));
    }

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
