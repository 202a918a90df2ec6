//! Performance profiles: of what share of workloads and seeds is an arm within a factor of the best?

use analysis::summary::score::{GroupScore, Part};
use analysis::summary::{Analysis, CurvePoint};
use stats::profile::{ArmProfile, Profile};

use crate::axis::Scale;
use crate::curve::{Axes, Curve};
use crate::figure::Figure;
use crate::series::{Looks, Series};
use crate::text::capital;

/// The least factor that the axis goes up to.
const LEAST_END: f64 = 1.25;

/// The figures of each group of arms at some width, each arm with its looks: of samples and of time, where they are
/// not withheld.
pub(crate) fn drawn(analysis: &Analysis, looks: &Looks, width: f64) -> Vec<Vec<Figure>> {
    let groups = analysis.score.groups.iter().zip(1..);
    let of_group = |(group, number): (&GroupScore, usize)| {
        let parts =
            [("samples", &group.samples_profile), ("train time", &group.time_profile)].into_iter();
        let drawn = parts.filter_map(|(what, part)| {
            let mut figure = figure(analysis, (looks, width), group, what, part)?;
            let stem = format!("profile-{}", what.rsplit(' ').next().unwrap_or(what));
            figure.name = if number == 1 { stem } else { format!("{stem}-{number}") };
            Some(figure)
        });
        drawn.collect()
    };
    groups.map(of_group).collect()
}

fn figure(
    analysis: &Analysis,
    (looks_of, width): (&Looks, f64),
    group: &GroupScore,
    what: &str,
    part: &Part<Profile>,
) -> Option<Figure> {
    let profile = part.found()?;
    let first = group.workloads.first()?;
    let workload = analysis.workloads.iter().find(|workload| workload.workload == *first)?;
    let series = Series::of(looks_of, workload);
    // An arm looks as it does in the figures of its workload.
    let looks = |label: &str| {
        let place = workload.arms.iter().position(|arm| arm.label == label)?;
        series.get(place)
    };
    let largest = profile.arms.iter().filter_map(|arm| arm.steps.last()).map(|step| step.tau);
    let end = (1.05 * largest.fold(1.0, f64::max)).clamp(LEAST_END, profile.tau_max);
    let curve = |label: &str| {
        let arm = profile.arms.iter().find(|arm| arm.arm == label)?;
        Some(Curve { series: looks(label)?, points: points(arm, end), level: None })
    };
    let curves: Vec<Curve<'_>> = group.arms.iter().filter_map(|arm| curve(&arm.arm)).collect();
    let mut explanation =
        "share of workloads and seeds on which an arm needs at most so many times what the best arm needs under that seed"
            .to_owned();
    if let Some(left_out) = Series::left_out(workload) {
        explanation.push_str(&format!("; {left_out}"));
    }
    let title =
        format!("{what} to the target, performance profile over {}", group.workloads.join(", "));
    let mut figure = Figure::wide(width, capital(&title), &explanation);
    figure.upwards = Some("share of workloads and seeds".to_owned());
    let unit = format!("times the best arm's {what} to the target");
    let axes = Axes {
        x: (1.0, end),
        scale: Scale::Log,
        unit,
        measured: Vec::new(),
        y: (0.0, 1.03),
        height: Scale::Linear,
        target: None,
        cut: (false, false),
        line: None,
    };
    axes.plot(&mut figure, &curves);
    Some(figure)
}

/// The corners of the step function from 1 to `end`.
fn points(arm: &ArmProfile, end: f64) -> Vec<CurvePoint> {
    let point = |x: f64, share: f64| CurvePoint { x, mean: share, low: share, high: share, n: 1 };
    let first = arm.steps.first().filter(|step| step.tau <= 1.0).map_or(0.0, |step| step.share);
    let mut points = vec![point(1.0, first)];
    let mut share = first;
    for step in arm.steps.iter().filter(|step| step.tau > 1.0 && step.tau <= end) {
        points.extend([point(step.tau, share), point(step.tau, step.share)]);
        share = step.share;
    }
    points.push(point(end, share));
    points
}

#[cfg(test)]
mod tests {
    use stats::interval::Interval;
    use stats::profile::ProfileStep;

    use super::*;

    #[test]
    fn a_profile_is_drawn_by_its_corners_and_reads_right_at_every_factor() {
        let arm = |steps: &[(f64, f64)]| ArmProfile {
            arm: "a".to_owned(),
            ratios: Vec::new(),
            steps: steps.iter().map(|&(tau, share)| ProfileStep { tau, share }).collect(),
            score: 0.0,
            interval: Interval { low: 0.0, high: 0.0, level: 0.95 },
        };
        let drawn = |steps: &[(f64, f64)]| -> Vec<(f64, f64)> {
            points(&arm(steps), 3.0).iter().map(|point| (point.x, point.mean)).collect()
        };
        assert_eq!(
            drawn(&[(1.0, 0.5), (2.0, 0.75), (9.0, 1.0)]),
            [(1.0, 0.5), (2.0, 0.5), (2.0, 0.75), (3.0, 0.75)]
        );
        assert_eq!(drawn(&[(2.0, 0.25)]), [(1.0, 0.0), (2.0, 0.0), (2.0, 0.25), (3.0, 0.25)]);
        assert_eq!(drawn(&[]), [(1.0, 0.0), (3.0, 0.0)]);
    }
}
