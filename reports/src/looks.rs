//! Looks: the networks that one trained state stands for (`accuracy@d12-k3-w50`), each with its arms side by side.

use std::collections::BTreeMap;

use analysis::summary::{Estimate, WorkloadAnalysis};
use ledger::goal;

use crate::at_budget::dot;
use crate::axis::{Axis, Scale, zoom};
use crate::curve::x_axis;
use crate::figure::{Align, BODY, Figure, INK, WIDTH};
use crate::font::text_width;
use crate::possible::Possible;
use crate::series::Series;
use crate::text;
use crate::time_to_target::grid;

const TOP: f64 = 78.0;
/// Height of an arm within a look, and between looks.
const ARM: f64 = 13.0;
const GAP: f64 = 9.0;
/// Height of a row of the legend.
const LEGEND_ROW: f64 = 20.0;

/// A look at a workload's models.
#[derive(Debug, PartialEq)]
pub(crate) struct Look<'a> {
    pub(crate) name: &'a str,
    /// The target's metric, by the place of the arm in the suite.
    pub(crate) arms: BTreeMap<usize, &'a Estimate>,
}

/// Whether a metric at the budget is that of a look: of one whose name is no number, which curves show.
pub(crate) fn is_look(key: &str) -> bool {
    goal::metric_and_look(key).1.is_some_and(|name| name.parse::<f64>().is_err())
}

/// Every look with the target's metric on the split that is only reported, else on the target's; in the order
/// of what the arm with the most looks has there, the least first.
pub(crate) fn all(workload: &WorkloadAnalysis) -> (&'static str, Vec<Look<'_>>) {
    let on = |split: &'static str| {
        let stem = workload.target.key(split);
        let mut looks: BTreeMap<&str, BTreeMap<usize, &Estimate>> = BTreeMap::new();
        for (place, arm) in workload.arms.iter().enumerate() {
            for (key, estimate) in arm.at_budget.iter().filter(|(key, _)| is_look(key)) {
                if let (metric, Some(name)) = goal::metric_and_look(key)
                    && metric == stem
                {
                    looks.entry(name).or_default().insert(place, estimate);
                }
            }
        }
        let mut looks: Vec<Look<'_>> =
            looks.into_iter().map(|(name, arms)| Look { name, arms }).collect();
        let has = |place: usize| looks.iter().filter(|look| look.arms.contains_key(&place)).count();
        // Of several the first in the suite.
        let leader = (0..workload.arms.len()).rev().max_by_key(|&place| has(place));
        let value = |look: &Look<'_>| {
            leader.and_then(|leader| look.arms.get(&leader)).map_or(f64::INFINITY, |e| e.value)
        };
        looks.sort_by(|a, b| value(a).total_cmp(&value(b)));
        looks
    };
    let reported = on(goal::TEST);
    if reported.is_empty() {
        (goal::VALIDATION, on(goal::VALIDATION))
    } else {
        (goal::TEST, reported)
    }
}

/// The figure, where a method has looks.
pub(crate) fn figure(workload: &WorkloadAnalysis, series: &[Series]) -> Option<Figure> {
    let (split, looks) = all(workload);
    let shown: Vec<usize> = (0..series.len())
        .filter(|place| looks.iter().any(|look| look.arms.contains_key(place)))
        .collect();
    if looks.is_empty() || shown.is_empty() {
        return None;
    }
    let metric = &workload.target.metric;
    let mut explanation =
        format!("{split} {metric} at the end; mean and 95 % interval, small dots are seeds");
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title = format!("{}: {metric} of each look", workload.workload);
    let mut figure = Figure::new(title, &explanation);
    figure.name = "looks".to_owned();

    let name_width = looks.iter().map(|look| text_width(look.name, BODY, false));
    let left = 28.0 + name_width.fold(40.0, f64::max);
    let labels = shown.iter().map(|&place| text_width(&series[place].label, BODY, false));
    let right = WIDTH - 44.0 - labels.fold(40.0, f64::max);
    let place = |look: &Look<'_>| look.arms.keys().filter(|place| **place < series.len()).count();
    let rows = looks.iter().map(|look| ARM * place(look) as f64 + GAP);
    let bottom = TOP + rows.sum::<f64>().max(LEGEND_ROW * shown.len() as f64) + 4.0;
    figure.height = (bottom + 48.0).ceil();

    let values: Vec<f64> = looks
        .iter()
        .flat_map(|look| look.arms.values())
        .flat_map(|estimate| {
            let ends = estimate.interval.map_or([estimate.value; 2], |i| [i.low, i.high]);
            [estimate.value, ends[0], ends[1]]
        })
        .collect();
    let possible = Possible::of(workload);
    let x = Axis::new(possible.axis(zoom(&values, &[])), Scale::Linear, left, right);
    grid(&mut figure, &x, TOP, bottom);
    x_axis(&mut figure, &x, (left, right, bottom), &text::one_line(&format!("{split} {metric}")));
    let mut top = TOP;
    for look in &looks {
        let height = ARM * place(look) as f64 + GAP;
        let at = (left - 12.0, top + height / 2.0 + 4.3);
        figure.write(at, look.name, BODY, false, Align::Right, INK);
        for (j, (series, estimate)) in
            look.arms.iter().filter_map(|(place, e)| Some((series.get(*place)?, e))).enumerate()
        {
            let y = top + GAP / 2.0 + ARM * (j as f64 + 0.5);
            dot(&mut figure, estimate, series, &x, y, (0.0, possible));
        }
        top += height;
    }
    for (j, place) in shown.iter().enumerate() {
        let y = TOP + LEGEND_ROW * (j as f64 + 0.5);
        let series = &series[*place];
        figure.marker((right + 20.0, y), 5.0, series, false);
        let at = (right + 32.0, y + 4.3);
        figure.write(at, &series.label, BODY, series.baseline, Align::Left, INK);
    }
    Some(figure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::series::Looks;

    #[test]
    fn looks_are_those_of_the_targets_metric_in_the_order_of_their_means() {
        let analysis = sample::loss();
        let (split, looks) = all(&analysis.workloads[0]);
        assert_eq!(split, goal::TEST);
        assert_eq!(looks.iter().map(|look| look.name).collect::<Vec<_>>(), ["whole", "half"]);
        assert_eq!(looks[0].arms.keys().copied().collect::<Vec<_>>(), [0, 1]);
        assert!(
            figure(
                &analysis.workloads[0],
                &Series::of(&Looks::of(&analysis), &analysis.workloads[0])
            )
            .is_some()
        );
    }

    #[test]
    fn a_name_that_is_a_number_is_a_point_of_a_curve_and_no_look() {
        assert!(is_look("test/accuracy@small") && is_look("test/accuracy@d12-k3-w50"));
        assert!(!is_look("test/accuracy") && !is_look("test/sw2@8"));
    }

    #[test]
    fn without_looks_there_is_no_figure() {
        let analysis = sample::full();
        let workload = &analysis.workloads[0];
        assert!(all(workload).1.is_empty());
        assert!(figure(workload, &Series::of(&Looks::of(&analysis), workload)).is_none());
    }
}
