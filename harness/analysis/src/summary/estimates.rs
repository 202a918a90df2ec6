//! Estimates over seeds with their intervals.

use super::{Estimate, Outcomes, ToTarget};
use stats::interval;
use stats::survival::{Outcome, kaplan_meier};

/// Level of every interval.
pub(super) const LEVEL: f64 = 0.95;
/// How the interval of a mean is made.
const STUDENT_T: &str = "student-t";

/// Share of cells that reached the target; failed cells are no trials.
pub(super) fn reach_rate(counted: Outcomes) -> Estimate {
    let trials = counted.reached + counted.censored + counted.diverged;
    match interval::wilson(u64::from(counted.reached), u64::from(trials), 0.95) {
        Ok(rate) => Estimate {
            value: rate.value,
            interval: Some(rate.interval),
            method: "wilson".to_owned(),
            n: trials,
            values: Vec::new(),
        },
        Err(_) => Estimate {
            value: 0.0,
            interval: None,
            method: "no cells".to_owned(),
            n: 0,
            values: Vec::new(),
        },
    }
}

/// Mean with its Student t interval.
pub(super) fn estimate(values: Vec<f64>) -> Estimate {
    let n = u32::try_from(values.len()).unwrap_or(u32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
    let mean = values.iter().sum::<f64>() / (values.len().max(1) as f64);
    match interval::mean(&values, LEVEL) {
        Ok(found) => Estimate {
            value: mean,
            interval: Some(found.interval),
            method: STUDENT_T.to_owned(),
            n,
            values,
        },
        Err(_) => {
            Estimate { value: mean, interval: None, method: "one value".to_owned(), n, values }
        }
    }
}

/// Times to the target of runs that did not meet it at the start; `at_start` is the number of those
/// that did, whose times are none and would take every mean with them.
pub(super) fn to_target(outcomes: &[Outcome], at_start: u32, horizon: f64) -> ToTarget {
    let values: Vec<Option<f64>> = outcomes.iter().map(|outcome| outcome.reached()).collect();
    let reached: Vec<f64> = values.iter().copied().flatten().collect();
    let censored = outcomes.iter().filter(|outcome| outcome.reached().is_none());
    let censored_at = censored.map(|outcome| outcome.time()).reduce(f64::max);
    if at_start > 0 {
        return ToTarget {
            median: None,
            geometric_mean: None,
            interval: None,
            interval_method: format!("none: {at_start} met the target at the start"),
            restricted_mean: None,
            horizon,
            censored_at,
            at_start,
            values,
        };
    }
    let curve = kaplan_meier(outcomes).ok();
    // Runs end after so many samples, not seconds: a slow clock would let a late crossing outlive the runs
    // that never crossed, and stand for a median that lies beyond the budget.
    let half = 2 * reached.len() >= values.len();
    let median = curve.as_ref().filter(|_| half).and_then(|curve| curve.median());
    let restricted =
        curve.as_ref().and_then(|curve| curve.restricted_mean(horizon).ok()).map(|mean| mean.mean);
    let logs: Vec<f64> = reached.iter().map(|time| time.ln()).collect();
    let all_reached = reached.len() == values.len() && !values.is_empty();
    let (geometric_mean, interval, interval_method) = if all_reached {
        #[expect(clippy::cast_precision_loss, reason = "seed counts stay far below 2^52")]
        let mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        match interval::mean(&logs, LEVEL) {
            Ok(found) => {
                let interval = Some(found.interval.map(f64::exp));
                (Some(mean), interval, format!("{STUDENT_T} on logarithms"))
            }
            Err(_) => (Some(mean), None, "one value".to_owned()),
        }
    } else {
        let bounds = interval::median(outcomes, 0.95).ok().filter(|_| median.is_some());
        let closed = bounds.and_then(|bounds| {
            Some((
                interval::Interval { low: bounds.low, high: bounds.high?, level: bounds.coverage },
                bounds.coverage,
            ))
        });
        match closed {
            Some((interval, coverage)) => (
                None,
                Some(interval),
                format!("order statistics of the median, coverage {:.1} %", 100.0 * coverage),
            ),
            None => (None, None, "censored".to_owned()),
        }
    };
    ToTarget {
        median,
        geometric_mean,
        interval,
        interval_method,
        restricted_mean: restricted,
        horizon,
        censored_at,
        at_start,
        values,
    }
}

/// The longest horizon on which every arm's restricted mean is defined.
pub(super) fn common_horizon(arms: impl Iterator<Item = Vec<Outcome>>) -> f64 {
    let (mut longest, mut shortest_censored) = (0.0_f64, f64::INFINITY);
    for arm in arms {
        let last = arm.iter().map(|outcome| outcome.time()).fold(0.0, f64::max);
        longest = longest.max(last);
        if arm.iter().any(|outcome| outcome.reached().is_none()) {
            shortest_censored = shortest_censored.min(last);
        }
    }
    longest.min(shortest_censored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_crossing_is_no_median_of_runs_most_of_which_never_crossed() {
        let quick = [1.0, 1.1, 1.2].map(Outcome::Censored);
        // A slow clock: the crossing of one of four comes after the ends of the others.
        let late = [&quick[..], &[Outcome::Reached(1.5)]].concat();
        assert_eq!(to_target(&late, 0, 1.0).median, None);
        let half = [&quick[..2], &[Outcome::Reached(0.5), Outcome::Reached(0.7)]].concat();
        assert_eq!(to_target(&half, 0, 1.0).median, Some(0.7));
    }
}
