//! The statistics of comparisons beside values computed by SciPy, statsmodels, mpmath and exact
//! fractions; the script stands beside them: `tests/reference/statistics_reference.py`.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read must fail the test")]

#[path = "statistics/resampled.rs"]
mod resampled;
#[path = "statistics/samples.rs"]
mod samples;

use ledger::goal::Direction;
use serde_json::Value;
use stats::best_of::{expected_best, expected_best_curve};
use stats::equivalence::equivalence;
use stats::multiple::{benjamini_hochberg, holm};
use stats::power::{Goal, pairs_needed, power, spread_bound};
use stats::sequential::{Stopping, confidence_sequence};
use stats::t_test::{Alternative, t_test};

/// The cases of one section; never none.
fn cases(section: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("reference/statistics.json")).unwrap();
    let cases = all[section].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn numbers(value: &Value, key: &str) -> Vec<f64> {
    value[key].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn size(value: &Value, key: &str) -> usize {
    usize::try_from(value[key].as_u64().unwrap()).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64, case: &Value) {
    let tolerance = 1e-9 * expected.abs().max(1.0);
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}: {case}");
}

/// Small probabilities agree in their digits, not only in their zeros.
#[track_caller]
fn close_p(found: f64, expected: f64, case: &Value) {
    let near = (found / expected - 1.0).abs() <= 1e-9 || (found - expected).abs() < 1e-300;
    assert!(near, "p {found:e} is not {expected:e}: {case}");
}

#[test]
fn t_tests_agree_with_scipy_on_every_side() {
    for case in cases("t_test") {
        let sample = numbers(&case, "sample");
        for (name, alternative) in [
            ("greater", Alternative::Greater),
            ("less", Alternative::Less),
            ("two-sided", Alternative::TwoSided),
        ] {
            let found = t_test(&sample, number(&case, "null"), alternative).unwrap();
            close(found.t, number(&case, "t"), &case);
            close_p(found.p, number(&case["p"], name), &case);
        }
    }
}

#[test]
fn equivalence_agrees_with_two_one_sided_tests_of_scipy() {
    for case in cases("equivalence") {
        let (margin, alpha) = (number(&case, "margin"), number(&case, "alpha"));
        let found = equivalence(&numbers(&case, "sample"), margin, alpha).unwrap();
        close_p(found.p_below, number(&case, "p_below"), &case);
        close_p(found.p_above, number(&case, "p_above"), &case);
        close(found.interval.low, number(&case, "low"), &case);
        close(found.interval.high, number(&case, "high"), &case);
        assert_eq!(found.equivalent, found.p < alpha);
    }
}

#[test]
fn adjusted_p_values_agree_with_scipy_and_statsmodels() {
    for case in cases("multiple") {
        let p = numbers(&case, "p");
        for (name, found) in [("benjamini_hochberg", benjamini_hochberg(&p)), ("holm", holm(&p))] {
            let (found, expected) = (found.unwrap(), numbers(&case, name));
            assert_eq!(found.len(), expected.len(), "{case}");
            for (found, expected) in found.into_iter().zip(expected) {
                close(found, expected, &case);
            }
        }
    }
}

#[test]
fn the_expected_best_is_the_mean_over_all_subsets() {
    for case in cases("best_of") {
        let (trials, budget) = (numbers(&case, "trials"), size(&case, "budget"));
        let direction: Direction = serde_json::from_value(case["direction"].clone()).unwrap();
        let found = expected_best(&trials, budget, direction).unwrap();
        close(found, number(&case, "expected"), &case);
        assert_eq!(expected_best_curve(&trials, direction).unwrap()[budget - 1], found);
    }
}

fn goal(case: &Value) -> Goal {
    Goal {
        effect: number(case, "effect"),
        spread: number(case, "spread"),
        level: number(case, "level"),
    }
}

#[test]
fn power_agrees_with_the_noncentral_t_at_forty_digits() {
    for case in cases("power") {
        let found = power(goal(&case), size(&case, "pairs")).unwrap();
        close(found, number(&case, "power"), &case);
    }
}

#[test]
fn sample_sizes_agree_with_a_search_by_scipy() {
    for case in cases("sample_size") {
        let found = pairs_needed(goal(&case), number(&case, "power"), 6.0).unwrap();
        assert_eq!(found.pairs, size(&case, "pairs"), "{case}");
        close(found.minutes, found.pairs as f64 / 10.0, &case);
    }
    for case in cases("spread") {
        let found =
            spread_bound(number(&case, "spread"), size(&case, "n"), number(&case, "confidence"));
        close(found.unwrap(), number(&case, "bound"), &case);
    }
}

#[test]
fn the_confidence_sequence_ends_where_the_mixture_ratio_reaches_its_bound() {
    for case in cases("sequence") {
        let sample = numbers(&case, "sample");
        let stopping = Stopping {
            level: number(&case, "level"),
            prior_variance: number(&case, "prior_variance"),
            collapse: 0.0,
            least: 2,
            most: sample.len(),
        };
        let steps = confidence_sequence(&sample, stopping, None).unwrap();
        let last = steps.last().unwrap();
        close(last.mean, number(&case, "mean"), &case);
        close(last.half_width.unwrap(), number(&case, "half"), &case);
    }
}
