//! Statistics of one sample and of pairs.

use ledger::crossing::{EvalPoint, crossing, isotonic};
use ledger::goal::Direction;
use serde_json::Value;
use stats::interval::{geometric_mean, mean, median, wilson};
use stats::iqm::interquartile_mean;
use stats::survival::{Outcome, kaplan_meier};
use stats::wilcoxon::wilcoxon;

use super::{cases, close, close_p, number, numbers, size};

/// `[seconds, whether the target was reached]`.
pub fn outcome(value: &Value) -> Outcome {
    let time = value[0].as_f64().unwrap();
    if value[1].as_bool().unwrap() { Outcome::Reached(time) } else { Outcome::Censored(time) }
}

fn outcomes(case: &Value) -> Vec<Outcome> {
    case["outcomes"].as_array().unwrap().iter().map(outcome).collect()
}

#[track_caller]
fn close_or_none(found: Option<f64>, expected: &Value, case: &Value) {
    assert_eq!(found.is_none(), expected.is_null(), "{case}");
    if let (Some(found), Some(expected)) = (found, expected.as_f64()) {
        close(found, expected, case);
    }
}

#[test]
fn isotonic_fits_agree_with_scipy_and_crossings_with_root_finding_on_its_fit() {
    let mut roots = 0;
    for case in cases("isotonic") {
        let (values, seconds) = (numbers(&case, "values"), numbers(&case, "seconds"));
        let (fit, expected) = (isotonic(&values), numbers(&case, "fit"));
        assert_eq!(fit.len(), expected.len(), "{case}");
        assert_eq!(values.len(), seconds.len(), "{case}");
        for (found, expected) in fit.into_iter().zip(expected) {
            close(found, expected, &case);
        }
        let curve: Vec<EvalPoint> = values
            .iter()
            .zip(&seconds)
            .zip(1..)
            .map(|((&value, &train_seconds), steps)| EvalPoint {
                train_seconds,
                samples: 64 * steps,
                steps,
                value,
            })
            .collect();
        for target in case["crossings"].as_array().unwrap() {
            let found = crossing(&curve, number(target, "target"), Direction::HigherIsBetter);
            close(found.unwrap().isotonic.unwrap(), number(target, "seconds"), target);
            roots += 1;
        }
    }
    assert_eq!(roots, 8);
}

#[test]
fn survival_curves_medians_and_restricted_means_agree_with_scipy_and_exact_fractions() {
    for case in cases("survival") {
        let curve = kaplan_meier(&outcomes(&case)).unwrap();
        let steps = case["steps"].as_array().unwrap();
        assert_eq!(curve.steps.len(), steps.len(), "{case}");
        for (found, expected) in curve.steps.iter().zip(steps) {
            close(found.time, expected[0].as_f64().unwrap(), &case);
            close(found.survival, expected[1].as_f64().unwrap(), &case);
        }
        close_or_none(curve.median(), &case["median"], &case);
        let found = curve.restricted_mean(number(&case, "tau")).unwrap();
        close(found.mean, number(&case, "mean"), &case);
        close(found.standard_error, number(&case, "standard_error"), &case);
    }
}

#[test]
fn median_intervals_agree_with_the_binomial_of_scipy() {
    for case in cases("median") {
        let found = median(&outcomes(&case), number(&case, "level")).unwrap();
        close(found.low, number(&case, "low"), &case);
        close_or_none(found.high, &case["high"], &case);
        close(found.coverage, number(&case, "coverage"), &case);
    }
}

#[test]
fn wilson_intervals_agree_with_scipy() {
    for case in cases("wilson") {
        let (successes, trials) = (size(&case, "successes"), size(&case, "trials"));
        let found = wilson(successes as u64, trials as u64, number(&case, "level")).unwrap();
        close(found.interval.low, number(&case, "low"), &case);
        close(found.interval.high, number(&case, "high"), &case);
    }
}

#[test]
fn means_and_geometric_means_have_the_t_intervals_of_scipy() {
    for case in cases("mean") {
        let level = number(&case, "level");
        let found = mean(&numbers(&case, "sample"), level).unwrap().interval;
        close(found.low, number(&case, "low"), &case);
        close(found.high, number(&case, "high"), &case);
        let Ok(found) = geometric_mean(&numbers(&case, "positive"), level) else {
            // Two values at 99.99 %: the upper end is beyond f64 in the reference as well.
            assert!(number(&case, "log_high") > 1e300, "{case}");
            continue;
        };
        close(found.value, number(&case, "geometric"), &case);
        close(found.interval.low, number(&case, "log_low"), &case);
        close(found.interval.high, number(&case, "log_high"), &case);
    }
}

#[test]
fn signed_rank_tests_agree_with_scipy() {
    for case in cases("wilcoxon") {
        let found = wilcoxon(&numbers(&case, "differences")).unwrap();
        assert_eq!(found.exact, case["exact"].as_bool().unwrap(), "{case}");
        close(found.positive_ranks, number(&case, "positive_ranks"), &case);
        close_p(found.p, number(&case, "p"), &case);
    }
}

#[test]
fn interquartile_means_agree_with_scipy_for_every_remainder() {
    for case in cases("iqm") {
        let found = interquartile_mean(&numbers(&case, "values")).unwrap();
        close(found, number(&case, "expected"), &case);
    }
}
