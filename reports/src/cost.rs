//! Cost against quality: an arm is on the front where no other is at once no dearer and no worse.

use std::collections::BTreeSet;

use analysis::summary::{ArmAnalysis, CurvePoint, Estimate, WorkloadAnalysis, front};

use crate::axis::{Scale, zoom};
use crate::curve::{Axes, Curve, LEAST_SEEDS, LOG_FROM, axis_unit, held};
use crate::figure::{Figure, MUTED, Point};
use crate::possible::Possible;
use crate::series::{Dash, Series};
use crate::text;

/// What a metric is held against.
#[derive(Clone, Copy, PartialEq)]
enum Price<'a> {
    Time,
    /// What runs count, by its name in records.
    Counted(&'a str),
}

impl<'a> Price<'a> {
    fn of(self, arm: &ArmAnalysis) -> Option<&Estimate> {
        match self {
            Self::Time => arm.train_seconds.as_ref(),
            Self::Counted(name) => arm.costs.get(name).map(|cost| &cost.in_all),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Time => "train time".to_owned(),
            Self::Counted(name) => text::counted(name),
        }
    }

    /// The name of its axis up to `most`, and how much one of the axis's units is.
    fn axis(self, most: f64, scale: Scale) -> (String, f64) {
        let what = format!("{} in all", self.words());
        match self {
            Self::Time => {
                let (unit, length) = axis_unit(most, scale);
                (format!("{what} ({unit})"), length)
            }
            Self::Counted(_) => text::count_axis(&what, most),
        }
    }

    /// What the figure is called.
    fn figure(self) -> String {
        match self {
            Self::Time => "cost".to_owned(),
            Self::Counted(_) => format!("cost-{}", text::slug(&self.words())),
        }
    }

    fn say(self, value: f64) -> String {
        match self {
            Self::Time => text::time(value),
            Self::Counted(_) => format!("{} {}", text::fixed(value, 0), self.words()),
        }
    }
}

/// A figure against train time, and one against each thing that runs count.
pub(crate) fn figures(workload: &WorkloadAnalysis, series: &[Series], width: f64) -> Vec<Figure> {
    let counted = workload.arms.iter().flat_map(|arm| arm.costs.keys());
    let names: BTreeSet<&str> = counted.map(String::as_str).collect();
    let prices = std::iter::once(Price::Time).chain(names.into_iter().map(Price::Counted));
    prices.filter_map(|price| figure(workload, series, width, price)).collect()
}

/// The figure, where two arms at least have a cost and a metric.
fn figure(
    workload: &WorkloadAnalysis,
    series: &[Series],
    width: f64,
    price: Price<'_>,
) -> Option<Figure> {
    let name = front::quality(&workload.arms, &workload.target);
    let arms = workload.arms.iter().zip(series);
    let mut placed: Vec<(&Estimate, &Estimate, bool, &Series)> = arms
        .filter_map(|(arm, series)| {
            let (cost, quality) = (price.of(arm)?, arm.at_budget.get(&name)?);
            let drawable = cost.value.is_finite() && cost.value > 0.0 && quality.value.is_finite();
            // Which arms none beats is known of time.
            let first = price == Price::Time && arm.undominated == Some(true);
            drawable.then_some((cost, quality, first, series))
        })
        .collect();
    if placed.len() < 2 {
        return None;
    }
    placed.sort_by(|a, b| a.0.value.total_cmp(&b.0.value));
    let possible = Possible::of(workload);
    let ends = |of: &Estimate| {
        let interval = of.interval.filter(|_| of.n >= LEAST_SEEDS);
        interval.map_or([of.value; 2], |i| [i.low, i.high])
    };
    let (least, most) = (placed[0].0.value, placed[placed.len() - 1].0.value);
    let scale = if most > LOG_FROM * least { Scale::Log } else { Scale::Linear };
    let (unit, length) = price.axis(most, scale);
    let qualities: Vec<f64> = placed
        .iter()
        .flat_map(|(_, quality, ..)| [quality.value, ends(quality)[0], ends(quality)[1]])
        .collect();
    let y = possible.axis(zoom(&qualities, &[]));
    let x = match scale {
        Scale::Log => (least / 1.4 / length, most * 1.4 / length),
        Scale::Linear => (0.0, most * 1.08 / length),
    };
    let curves: Vec<Curve<'_>> = placed
        .iter()
        .map(|(cost, quality, _, series)| {
            let [low, high] = ends(quality);
            let (x, n) = (cost.value / length, quality.n);
            let point = held(CurvePoint { x, mean: quality.value, low, high, n }, possible);
            Curve { series, points: vec![point], level: None }
        })
        .collect();
    let (split, metric) = name.split_once('/').unwrap_or(("", &name));
    let better = if workload.target.direction.is_higher() { "up" } else { "down" };
    let mut explanation = format!(
        "{split} {metric} at the budget, mean and 95 % interval from 3 seeds on; left and {better} is better"
    );
    if price == Price::Time {
        explanation.push_str("; line: arms that none beats in both");
    }
    if scale == Scale::Log {
        explanation.push_str("; log axis");
    }
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title = format!("{}: {metric} against {}", workload.workload, price.words());
    let mut figure = Figure::wide(width, title, &explanation);
    figure.name = price.figure();
    figure.upwards = Some(format!("{split} {metric}"));
    let axes = Axes {
        x,
        scale,
        unit,
        measured: Vec::new(),
        y,
        height: Scale::Linear,
        target: None,
        cut: (false, false),
        line: None,
    };
    let (x, y) = axes.plot(&mut figure, &curves);
    // Those of curves say where a point is on the axis, in its unit.
    figure.spots.clear();
    for (cost, quality, _, series) in &placed {
        if y.shows(quality.value) {
            let words = format!(
                "{}: {} at {}",
                series.label,
                text::significant(quality.value, 4),
                price.say(cost.value)
            );
            figure.spot((x.at(cost.value / length), y.at(quality.value)), &words);
        }
        let [low, high] = ends(cost).map(|end| x.at(end / length).clamp(x.ends().0, x.ends().1));
        if low < high && y.shows(quality.value) {
            let at = y.at(quality.value);
            figure.line(vec![(low, at), (high, at)], series.colour, 1.5);
        }
    }
    let front = placed.iter().filter(|(_, quality, first, _)| *first && y.shows(quality.value));
    let corners = front.map(|(cost, quality, ..)| (x.at(cost.value / length), y.at(quality.value)));
    staircase(&mut figure, &corners.collect::<Vec<_>>(), x.ends().1);
    Some(figure)
}

/// From arm to arm along the front, and on to the end of the axis: for more time there is nothing better.
fn staircase(figure: &mut Figure, corners: &[Point], end: f64) {
    let mut path: Vec<Point> = Vec::new();
    for (place, corner) in corners.iter().enumerate() {
        path.push(*corner);
        let next = corners.get(place + 1).map_or(end, |next| next.0);
        path.push((next, corner.1));
    }
    figure.dashed(&path, Dash::Dotted, MUTED, 1.3);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::tests::{check_shapes, check_texts};
    use crate::figure::{COLUMN, WIDTH};
    use crate::sample;
    use crate::series::Looks;

    #[test]
    fn arms_without_a_cost_are_not_placed_and_one_arm_is_no_comparison() {
        let mut analysis = sample::full();
        let looks = Looks::of(&analysis);
        let workload = &mut analysis.workloads[0];
        assert_eq!(front::quality(&workload.arms, &workload.target), "test/accuracy");
        let series = Series::of(&looks, workload);
        for width in [COLUMN, WIDTH] {
            let figure = figure(workload, &series, width, Price::Time).unwrap();
            check_shapes(&figure);
            check_texts(&figure);
        }
        workload.arms.iter_mut().skip(1).for_each(|arm| arm.train_seconds = None);
        assert!(figures(workload, &series, WIDTH).is_empty());
    }

    #[test]
    fn what_runs_count_is_an_axis_with_its_unit() {
        let analysis = sample::recorded();
        let workload = &analysis.workloads[0];
        let series = Series::of(&Looks::of(&analysis), workload);
        for width in [COLUMN, WIDTH] {
            let figures = figures(workload, &series, width);
            let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
            assert_eq!(names, ["cost", "cost-forward-tokens", "cost-questions"]);
            let spots = &figures[1].spots;
            assert_eq!(spots.len(), 3);
            assert!(spots.iter().all(|(_, words)| words.ends_with(" forward tokens")), "{spots:?}");
            check_shapes(&figures[1]);
            check_texts(&figures[1]);
        }
    }

    #[test]
    fn the_front_goes_down_to_no_arm_that_is_dearer_and_worse() {
        let mut figure = Figure::new(String::new(), "");
        let before = figure.shapes.len();
        staircase(&mut figure, &[(10.0, 50.0), (30.0, 20.0)], 90.0);
        let points: Vec<Point> = figure.shapes[before..]
            .iter()
            .filter_map(|shape| match shape {
                crate::figure::Shape::Line { points, .. } => Some(points.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        let level =
            |x: &f64, y: &f64| if *x < 29.99 { *y == 50.0 } else { (20.0..=50.0).contains(y) };
        assert!(points.iter().all(|(x, y)| level(x, y)), "{points:?}");
        assert!(points.iter().any(|(x, y)| *x > 80.0 && *y == 20.0), "it goes on to the end");
    }
}
