//! Metrics that one run has at several numbers, such as `m@1`, `m@2`, `m@4`: a curve per arm.

use std::collections::BTreeMap;

use analysis::summary::{ArmAnalysis, CurvePoint, WorkloadAnalysis};
use ledger::goal;

use crate::axis::Scale;
use crate::curve::{self, Axes, Curve, held};
use crate::figure::Figure;
use crate::possible::Possible;
use crate::series::Series;
use crate::text;

/// One figure for each metric that some arm has at two numbers or more, on the split that is only
/// reported, else on the target's.
pub(crate) fn figures(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Vec<Figure> {
    let mut names: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for name in workload.arms.iter().flat_map(|arm| arm.at_budget.keys()) {
        if let Some((stem, number)) = numbered(name) {
            let numbers = names.entry(stem.to_owned()).or_default();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }
    names.retain(|_, numbers| numbers.len() > 1);
    let reported: Vec<String> = names.keys().filter(|stem| goal::is_test(stem)).cloned().collect();
    let shown = names.keys().filter(|stem| {
        let metric = stem.split_once('/').map_or("", |(_, metric)| metric);
        goal::is_test(stem) || !reported.contains(&goal::key(goal::TEST, metric))
    });
    shown.map(|stem| figure(workload, series, width, stem)).collect()
}

/// `split/metric@number` as its stem and its number, above 0.
fn numbered(name: &str) -> Option<(&str, f64)> {
    let (stem, number) = name.rsplit_once('@')?;
    number
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number > 0.0)
        .map(|n| (stem, n))
}

/// Ratio of the largest to the smallest value from which values are drawn on a log axis.
const LOG_FROM: f64 = 5.0;

fn figure(workload: &WorkloadAnalysis, series: &[Series], width: f64, stem: &str) -> Figure {
    let (split, metric) = stem.split_once('/').unwrap_or(("", stem));
    let estimates = workload.arms.iter().flat_map(|arm| &arm.at_budget);
    let own = estimates.filter(|(name, _)| numbered(name).is_some_and(|(own, _)| own == stem));
    let seeds = curve::over_seeds(own.map(|(_, estimate)| estimate.n).max().unwrap_or(0));
    let mut explanation =
        format!("{split} {metric}@n of the same trained models for each n; {seeds}");
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let curves: Vec<Curve<'_>> = workload
        .arms
        .iter()
        .zip(series)
        .map(|(arm, series)| Curve { series, points: points(arm, stem), level: None })
        .collect();
    let all = || curves.iter().flat_map(|curve| curve.points.iter());
    let ends = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (low, high) = ends(&mut all().map(|point| point.mean));
    let height = if low > 0.0 && high > LOG_FROM * low { Scale::Log } else { Scale::Linear };
    if height == Scale::Log {
        explanation.push_str("; log axes");
    } else {
        explanation.push_str("; n on a log axis");
    }
    let title = format!("{}: {metric}@n over n", workload.workload);
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = format!("{}-by-number", text::slug(metric));
    figure.upwards = Some(format!("{split} {metric}@n"));
    let margin = if height == Scale::Log { (low / 1.3, high * 1.3) } else { (low, high) };
    let axes = Axes {
        x: ends(&mut all().map(|point| point.x)),
        scale: Scale::Log,
        unit: format!("n, in {split} {metric}@n"),
        measured: all().map(|point| point.x).collect(),
        y: margin,
        height,
        target: None,
        cut: (false, false),
        line: None,
    };
    axes.plot(&mut figure, &curves);
    figure
}

fn points(arm: &ArmAnalysis, stem: &str) -> Vec<CurvePoint> {
    let mut points: Vec<CurvePoint> = arm
        .at_budget
        .iter()
        .filter_map(|(name, estimate)| {
            let (own, x) = numbered(name)?;
            let [low, high] = estimate.interval.map_or([estimate.value; 2], |i| [i.low, i.high]);
            let point = CurvePoint { x, mean: estimate.value, low, high, n: estimate.n };
            // Errors and counts: an interval of them that goes below 0 where no seed did says nothing there.
            let low =
                if estimate.values.iter().all(|v| *v >= 0.0) { 0.0 } else { f64::NEG_INFINITY };
            let point = held(point, Possible { low, ..Possible::ANY });
            (own == stem && text::drawable(&point)).then_some(point)
        })
        .collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::WIDTH;
    use crate::sample;
    use crate::series::Looks;

    #[test]
    fn the_words_promise_an_interval_only_where_seeds_give_one() {
        let mut workload = sample::full().workloads.remove(0);
        for (n, words) in [(1, "one seed"), (2, "two seeds, no interval"), (5, "shaded: 95 %")] {
            for arm in &mut workload.arms {
                let Some(any) = arm.at_budget.values().next().cloned() else { continue };
                for at in ["test/m@1", "test/m@2"] {
                    let estimate = analysis::summary::Estimate { n, ..any.clone() };
                    arm.at_budget.insert(at.to_owned(), estimate);
                }
            }
            let series = Series::of(&Looks::default(), &workload);
            let drawn = figures(&workload, &series, WIDTH);
            assert_eq!(drawn.len(), 1);
            assert!(drawn[0].explanation.contains(words), "{}", drawn[0].explanation);
        }
    }

    #[test]
    fn a_name_with_a_number_behind_at_is_a_point_of_a_curve() {
        assert_eq!(numbered("test/sw2@8"), Some(("test/sw2", 8.0)));
        for plain in ["test/sw2", "test/sw2@", "test/sw2@x", "test/sw2@0", "test/sw2@-1"] {
            assert_eq!(numbered(plain), None, "{plain}");
        }
    }
}
