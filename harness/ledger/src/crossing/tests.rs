//! Reference values: scikit-learn 1.9.1 `IsotonicRegression().fit(t, v).predict(t)`; crossings by
//! SciPy 1.17.1 `brentq` on `numpy.interp` over that fit.

use proptest::prelude::*;

use super::*;

const VALUES: [f64; 12] = [0.31, 0.52, 0.48, 0.61, 0.70, 0.66, 0.64, 0.79, 0.78, 0.83, 0.81, 0.86];
const SECONDS: [f64; 12] = [1.5, 2.75, 4.25, 5.5, 7.0, 8.25, 9.75, 11.0, 12.5, 13.75, 15.25, 16.5];

fn curve(seconds: &[f64], values: &[f64]) -> Vec<EvalPoint> {
    seconds
        .iter()
        .zip(values)
        .zip(1u64..)
        .map(|((&train_seconds, &value), index)| EvalPoint {
            train_seconds,
            samples: 640 * index + 17,
            steps: 10 * index,
            value,
        })
        .collect()
}

/// A curve with an evaluation at every second from 1.
fn by_second(values: &[f64]) -> Vec<EvalPoint> {
    let seconds: Vec<f64> = (1..=values.len()).map(|second| second as f64).collect();
    curve(&seconds, values)
}

fn higher(values: &[f64], target: f64) -> Crossing {
    crossing(&by_second(values), target, Direction::HigherIsBetter).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
}

#[test]
fn fit_agrees_with_scikit_learn() {
    let third = 2.0 / 3.0;
    let expected = [0.31, 0.5, 0.5, 0.61, third, third, third, 0.785, 0.785, 0.82, 0.82, 0.86];
    let fit = isotonic(&VALUES);
    assert_eq!(fit.len(), expected.len());
    assert!(fit.iter().zip(expected).all(|(&found, expected)| close(found, expected)), "{fit:?}");
}

#[test]
fn crossings_agree_with_root_finding_on_the_reference_fit() {
    for (target, seconds, samples) in [
        (0.55, 4.818181818181819, 2227.9090909090914),
        (0.75, 10.630281690140846, 4947.704225352113),
        (0.80, 13.035714285714285, 6051.285714285714),
        (0.84, 15.874999999999998, 7377.0),
    ] {
        let found = crossing(&curve(&SECONDS, &VALUES), target, Direction::HigherIsBetter).unwrap();
        assert!(close(found.isotonic.unwrap(), seconds), "{target}: {found:?}");
        assert!(close(found.samples.unwrap(), samples), "{target}: {found:?}");
    }
}

#[test]
fn a_target_met_at_the_first_evaluation_is_crossed_there() {
    let found = higher(&[0.9, 0.95], 0.9);
    assert_eq!((found.isotonic, found.first), (Some(1.0), Some(1.0)));
    assert_eq!((found.samples, found.steps), (Some(657.0), Some(10.0)));
}

#[test]
fn a_lucky_evaluation_that_the_fit_does_not_believe_is_censored() {
    let found = higher(&[0.5, 0.81, 0.6, 0.7], 0.8);
    assert_eq!((found.isotonic, found.samples, found.steps), (None, None, None));
    assert_eq!((found.first, found.held3), (Some(2.0), None));
}

#[test]
fn a_flat_block_below_the_target_is_walked_to_its_end() {
    // The fit is 0, 0.5, 0.5, 1: half-way between the end of the block at 3 s and 4 s.
    assert_eq!(higher(&[0.0, 0.75, 0.25, 1.0], 0.75).isotonic, Some(3.5));
}

#[test]
fn a_target_at_the_level_of_a_flat_block_is_crossed_where_it_begins() {
    assert_eq!(higher(&[0.0, 0.75, 0.25, 1.0], 0.5).isotonic, Some(2.0));
}

#[test]
fn held3_is_the_third_of_three_in_a_row() {
    let found = higher(&[0.8, 0.8, 0.7, 0.8, 0.9, 0.8, 0.9], 0.8);
    assert_eq!((found.first, found.held3), (Some(1.0), Some(6.0)));
}

#[test]
fn a_value_that_is_not_finite_ends_the_curve() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let found = higher(&[0.1, 0.2, bad, 0.9, 0.9], 0.5);
        assert_eq!((found.isotonic, found.first, found.diverged_at), (None, None, Some(3.0)));
    }
    let at_once = higher(&[f64::NAN], 0.5);
    assert_eq!((at_once.isotonic, at_once.diverged_at), (None, Some(1.0)));
}

#[test]
fn a_target_reached_before_divergence_still_counts_and_is_flagged() {
    let found = higher(&[0.0, 1.0, f64::NAN], 0.5);
    assert_eq!((found.isotonic, found.diverged_at), (Some(1.5), Some(3.0)));
}

#[test]
fn extreme_values_do_not_overflow() {
    let found = higher(&[-f64::MAX, f64::MAX], 0.0);
    assert_eq!(found.isotonic, Some(1.5));
    assert!(isotonic(&[f64::MAX, f64::MAX * 0.5, f64::MAX * 0.9]).iter().all(|f| f.is_finite()));
}

#[test]
fn curves_that_make_no_sense_are_refused() {
    let judge = |points: &[EvalPoint]| crossing(points, 0.5, Direction::HigherIsBetter);
    let good = by_second(&[0.1, 0.2]);
    assert_eq!(judge(&[]), Err(CrossingError::Empty));
    let target = crossing(&good, f64::INFINITY, Direction::HigherIsBetter);
    assert_eq!(target, Err(CrossingError::Target { target: f64::INFINITY }));

    let still = curve(&[1.0, 1.0], &[0.1, 0.2]);
    let expected = CrossingError::TimeOrder { index: 1, seconds: 1.0, before: 1.0 };
    assert_eq!(judge(&still), Err(expected));
    let negative = curve(&[-1.0, 1.0], &[0.1, 0.2]);
    assert_eq!(judge(&negative), Err(CrossingError::Time { index: 0, seconds: -1.0 }));
    let unknown = curve(&[1.0, f64::NAN], &[0.1, 0.2]);
    assert!(matches!(judge(&unknown), Err(CrossingError::Time { index: 1, .. })));

    let mut fewer = good;
    fewer[1].steps = 9;
    let expected = CrossingError::CountOrder { axis: "steps", index: 1, found: 9, before: 10 };
    assert_eq!(judge(&fewer), Err(expected));
}

#[test]
fn absence_survives_json_as_null() {
    let json = serde_json::to_string(&higher(&[0.1], 0.5)).unwrap();
    assert!(json.contains(r#""isotonic":null"#), "{json}");
    assert_eq!(serde_json::from_str::<Crossing>(&json).unwrap(), higher(&[0.1], 0.5));
}

fn values() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.0..1.0f64, 1..40)
}

proptest! {
    #[test]
    fn fit_rises_keeps_the_mean_and_is_its_own_fit(values in values()) {
        let fit = isotonic(&values);
        prop_assert!(fit.is_sorted());
        prop_assert_eq!(fit.len(), values.len());
        let (before, after): (f64, f64) = (values.iter().sum(), fit.iter().sum());
        prop_assert!((before - after).abs() < 1e-9);
        prop_assert_eq!(isotonic(&fit), fit);
    }

    #[test]
    fn no_other_rising_sequence_is_closer(values in values(), other in values()) {
        let square = |fit: &[f64]| -> f64 {
            assert_eq!(fit.len(), values.len());
            fit.iter().zip(&values).map(|(fit, value)| (fit - value).powi(2)).sum()
        };
        let mut rising: Vec<f64> = other.into_iter().cycle().take(values.len()).collect();
        rising.sort_by(f64::total_cmp);
        prop_assert!(square(&isotonic(&values)) <= square(&rising) + 1e-9);
    }

    #[test]
    fn doubling_the_clock_doubles_the_time_and_leaves_the_samples(
        values in values(), target in 0.0..1.0f64, power in -8..8i32,
    ) {
        let factor = 2f64.powi(power);
        let one = by_second(&values);
        let scaled: Vec<EvalPoint> = one
            .iter()
            .map(|point| EvalPoint { train_seconds: point.train_seconds * factor, ..*point })
            .collect();
        let found = |points: &[EvalPoint]| {
            crossing(points, target, Direction::HigherIsBetter).unwrap()
        };
        let (one, scaled) = (found(&one), found(&scaled));
        prop_assert_eq!(one.isotonic.map(|seconds| seconds * factor), scaled.isotonic);
        prop_assert_eq!(one.first.map(|seconds| seconds * factor), scaled.first);
        prop_assert_eq!((one.samples, one.steps), (scaled.samples, scaled.steps));
    }

    #[test]
    fn a_metric_turned_upside_down_crosses_at_the_same_time(
        values in values(), target in 0.0..1.0f64,
    ) {
        let negated: Vec<f64> = values.iter().map(|value| -value).collect();
        let lower = crossing(&by_second(&negated), -target, Direction::LowerIsBetter).unwrap();
        prop_assert_eq!(higher(&values, target), lower);
    }

    #[test]
    fn a_higher_target_is_not_reached_sooner(
        values in values(), target in 0.0..1.0f64, more in 0.0..0.5f64,
    ) {
        let time = |target| higher(&values, target).isotonic.unwrap_or(f64::INFINITY);
        prop_assert!(time(target) <= time(target + more));
    }
}
