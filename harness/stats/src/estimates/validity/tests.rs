use proptest::prelude::*;

use super::*;

/// Four pilots with true losses 1..4 of sd 1.29.
fn pilots(error: f64, off: [f64; 4]) -> Vec<GatePilot> {
    let of = |(truth, off)| GatePilot {
        relative_error: Some(error),
        estimated: truth + off,
        retrained: truth,
    };
    [1.0, 2.0, 3.0, 4.0].into_iter().zip(off).map(of).collect()
}

const LOSSES: [f64; 4] = [1.0, 2.0, 3.0, 4.0];
const SMALL: [f64; 4] = [0.1, -0.1, 0.1, -0.1];

fn verdict(error: f64, off: [f64; 4]) -> Verdict {
    gate(&pilots(error, off), &LOSSES).unwrap().verdict
}

#[test]
fn the_thresholds_divide_ok_weak_and_outside() {
    assert_eq!(verdict(0.20, SMALL), Verdict::Ok);
    assert_eq!(verdict(0.21, SMALL), Verdict::Weak);
    assert_eq!(verdict(0.50, SMALL), Verdict::Weak);
    assert_eq!(verdict(0.51, SMALL), Verdict::OutsideValidity);
    assert_eq!(verdict(f64::NAN, SMALL), Verdict::OutsideValidity);
}

#[test]
fn a_small_error_of_the_parameters_does_not_excuse_wrong_losses() {
    // The wide network of the card: relative error 0.15, but the spread of the losses is tiny.
    assert_eq!(verdict(0.15, [0.8, -0.8, 0.8, -0.8]), Verdict::Weak);
    assert_eq!(verdict(0.15, [1.5, -1.5, 1.5, -1.5]), Verdict::OutsideValidity);
    // A constant offset is no error of the ranking.
    assert_eq!(verdict(0.15, [7.0, 7.0, 7.1, 7.0]), Verdict::Ok);
}

#[test]
fn a_diverged_estimate_is_outside_and_a_constant_one_has_no_signal() {
    assert_eq!(verdict(0.1, [f64::INFINITY, 0.0, 0.0, 0.0]), Verdict::OutsideValidity);
    assert_eq!(verdict(1.0, [1.5, 0.5, -0.5, -1.5]), Verdict::NoOrderSignal);
    let still = gate(&pilots(0.1, SMALL), &[2.0; 4]).unwrap();
    assert_eq!(still.verdict, Verdict::NoOrderSignal);
    assert_eq!(still.residual_over_sd, None);
}

#[test]
fn two_pilots_are_too_few_for_ok_and_one_for_anything() {
    let few = gate(&pilots(0.1, SMALL)[..2], &LOSSES).unwrap();
    assert_eq!(few.verdict, Verdict::Weak);
    assert_eq!(few.reason, "only 2 held-out pilots, 4 are needed for ok");
    let refused = gate(&pilots(0.1, SMALL)[..1], &LOSSES).unwrap_err().to_string();
    assert_eq!(refused, "a validity gate needs at least 2 held-out pilots, found 1");
}

#[test]
fn a_verdict_gives_its_reason_and_remedy() {
    let good = gate(&pilots(0.1, SMALL), &LOSSES).unwrap();
    insta::assert_snapshot!(good.reason, @"the relative error of the parameters of 4 held-out pilots is 0.10, within 0.20, and the losses of 4 held-out pilots are off by 0.09 sd, within 0.5 sd");
    assert_eq!(good.remedy, None);
    let bad = gate(&pilots(0.9, SMALL), &LOSSES).unwrap();
    insta::assert_snapshot!(bad.reason, @"the relative error of the parameters of 4 held-out pilots is 0.90, above 0.50");
    assert!(bad.remedy.unwrap().starts_with("use a smaller learning rate"));
    assert_eq!(serde_json::to_string(&bad.verdict).unwrap(), r#""outside validity""#);
}

#[test]
fn an_interval_is_students_around_the_corrected_estimate() {
    let found = band(&pilots(0.1, [0.3, 0.1, 0.3, 0.1])).unwrap();
    // s = 0.115470, t(0.975, 3) = 3.182446 (scipy 1.17), sqrt(1 + 1/4) = 1.118034.
    let interval = found.interval(2.0);
    let half = 3.182_446_305_284_263 * (0.04_f64 / 3.0).sqrt() * 1.25_f64.sqrt();
    assert!((interval.low - (1.8 - half)).abs() < 1e-9, "{interval:?}");
    assert!((interval.high - (1.8 + half)).abs() < 1e-9, "{interval:?}");
}

#[test]
fn without_residuals_the_lower_estimate_is_surely_lower() {
    let found = band(&pilots(0.1, [0.2; 4])).unwrap();
    let exact = Band { residual_sd: 0.0, ..found };
    assert_eq!(exact.confidence_below(1.0, 2.0), 1.0);
    assert_eq!(exact.confidence_below(2.0, 1.0), 0.0);
    assert_eq!(exact.confidence_below(1.0, 1.0), 0.5);
}

/// The formula holds its promise: 95 % of the intervals of normal residuals hold the truth.
#[test]
fn intervals_cover_as_often_as_they_say() {
    let mut rng = ledger::streams::Streams::new([5; 32]).generator("coverage");
    let mut draw = || ledger::streams::normal_f64(&mut rng);
    let mut hits = 0;
    for _ in 0..4000 {
        let pilots: Vec<GatePilot> = (0..5)
            .map(|_| GatePilot { relative_error: None, estimated: 0.7 + draw(), retrained: 0.0 })
            .collect();
        let interval = band(&pilots).unwrap().interval(3.0 + 0.7 + draw());
        hits += u32::from(interval.low <= 3.0 && 3.0 <= interval.high);
    }
    // sd of the count is 13.8.
    assert!((3755..3846).contains(&hits), "{hits}");
}

proptest! {
    #[test]
    fn confidence_grows_with_the_difference_and_is_antisymmetric(a in -3.0_f64..3.0, b in -3.0_f64..3.0) {
        let band = Band { bias: 0.3, residual_sd: 0.4, pilots: 5 };
        let (there, back) = (band.confidence_below(a, b), band.confidence_below(b, a));
        prop_assert!((there + back - 1.0).abs() < 1e-12);
        prop_assert!(band.confidence_below(a - 0.1, b) > there);
    }
}
