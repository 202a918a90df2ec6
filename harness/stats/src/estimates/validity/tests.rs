use proptest::prelude::*;

use super::*;

/// Sixteen pilots with true losses 1 to 16, of sd 4.76, off by `size` sd in turns.
fn pilots(error: f64, size: f64) -> Vec<GatePilot> {
    let of = |number: u32| {
        let retrained = f64::from(number + 1);
        let side = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
        GatePilot {
            relative_error: Some(error),
            estimated: retrained + side * size * SD,
            retrained,
        }
    };
    (0..16).map(of).collect()
}

/// sd of 1 to 16 (n − 1), by that of the residuals ±1 (√(16/15)).
const SD: f64 = 4.760_952_285_695_233 / 1.032_795_558_988_644_3;

/// Four pilots whose estimates are off by so much.
fn off_by(off: [f64; 4]) -> Vec<GatePilot> {
    let of = |off| GatePilot { relative_error: None, estimated: 1.0 + off, retrained: 1.0 };
    off.map(of).to_vec()
}

fn losses() -> Vec<f64> {
    (1..=16).map(f64::from).collect()
}

fn judged(pilots: &[GatePilot]) -> Validity {
    gate(pilots, &losses(), Answers::Losses).unwrap()
}

#[test]
fn losses_are_judged_by_the_bound_of_their_residual_and_not_by_the_parameters() {
    // The bound of 16 residuals is 1.437 times their sd: √(15/7.26094) (scipy 1.17).
    let at = |size: f64| judged(&pilots(0.1, size)).verdict;
    assert_eq!((at(0.05), at(0.30)), (Verdict::Ok, Verdict::Ok));
    assert_eq!((at(0.36), at(0.60)), (Verdict::Weak, Verdict::Weak));
    assert_eq!(at(0.72), Verdict::OutsideValidity);
    let found = judged(&pilots(0.1, 0.30));
    assert!(
        (found.residual_bound.unwrap() / found.residual_over_sd.unwrap() - 1.437_31).abs() < 1e-4
    );
    // Losses that are right are right, whatever the parameters are.
    for (error, parameters) in [
        (0.20, Verdict::Ok),
        (0.21, Verdict::Weak),
        (0.50, Verdict::Weak),
        (1.10, Verdict::OutsideValidity),
        (f64::NAN, Verdict::OutsideValidity),
    ] {
        let found = judged(&pilots(error, 0.05));
        assert_eq!((found.verdict, found.parameters), (Verdict::Ok, Some(parameters)), "{error}");
    }
    // A constant offset is no error of the ranking.
    let shifted: Vec<GatePilot> = pilots(0.1, 0.05)
        .into_iter()
        .map(|one| GatePilot { estimated: one.estimated + 7.0, ..one })
        .collect();
    assert_eq!(judged(&shifted).verdict, Verdict::Ok);
}

/// What a constant, or a score without skill, gives is never called weak: fewer than one gate in a
/// hundred.
#[test]
fn estimates_without_skill_are_outside_validity() {
    let mut rng = ledger::streams::Streams::new([3; 32]).generator("skill");
    let mut draw = || ledger::streams::normal_f64(&mut rng);
    for (size, answers) in [(0.01, Answers::Losses), (1.0, Answers::Losses), (1.0, Answers::Ranks)]
    {
        let mut passed = 0;
        for _ in 0..1000 {
            let pilots: Vec<GatePilot> = (0..16)
                .map(|_| GatePilot {
                    relative_error: None,
                    estimated: size * draw(),
                    retrained: draw(),
                })
                .collect();
            let true_losses: Vec<f64> = pilots.iter().map(|pilot| pilot.retrained).collect();
            let found = gate(&pilots, &true_losses, answers).unwrap();
            passed += u32::from(found.verdict.is_usable());
        }
        assert!(passed <= 10, "{passed} of 1000 with {size} {answers:?}");
    }
}

#[test]
fn ranks_are_judged_by_their_order_alone() {
    let scores: Vec<GatePilot> = pilots(0.1, 0.05)
        .into_iter()
        .map(|one| GatePilot { relative_error: None, estimated: 1e6 * one.estimated, ..one })
        .collect();
    assert_eq!(judged(&scores).verdict, Verdict::OutsideValidity);
    let found = gate(&scores, &losses(), Answers::Ranks).unwrap();
    assert_eq!((found.verdict, found.residual_over_sd), (Verdict::Ok, None));
    assert_eq!(found.parameters, None);
}

#[test]
fn a_diverged_estimate_is_outside_and_a_constant_one_has_no_signal() {
    let mut diverged = pilots(0.1, 0.05);
    diverged[0].estimated = f64::INFINITY;
    assert_eq!(judged(&diverged).verdict, Verdict::OutsideValidity);
    let constant: Vec<GatePilot> =
        pilots(1.0, 0.0).into_iter().map(|one| GatePilot { estimated: 2.5, ..one }).collect();
    assert_eq!(judged(&constant).verdict, Verdict::NoOrderSignal);
    let still = gate(&pilots(0.1, 0.05), &[2.0; 4], Answers::Losses).unwrap();
    assert_eq!(still.verdict, Verdict::NoOrderSignal);
    assert_eq!(still.residual_over_sd, None);
}

#[test]
fn few_pilots_are_too_few_to_judge_by_and_one_is_refused() {
    let few = gate(&pilots(0.1, 0.05)[..3], &losses(), Answers::Losses).unwrap();
    assert_eq!(few.verdict, Verdict::OutsideValidity);
    assert_eq!(few.reason, "only 3 held-out pilots, 4 are needed to judge by");
    let refused = gate(&pilots(0.1, 0.05)[..1], &losses(), Answers::Losses);
    let refused = refused.unwrap_err().to_string();
    assert_eq!(refused, "a validity gate needs at least 2 held-out pilots, found 1");
}

#[test]
fn a_verdict_gives_its_reason_and_the_remedy_of_its_cause() {
    let good = judged(&pilots(0.1, 0.05));
    insta::assert_snapshot!(good.reason, @"the losses of 16 held-out pilots are off by 0.05 sd (surely below 0.07), with a rank correlation of 1.00 (surely above 0.99)");
    assert_eq!(good.remedy, None);
    let weak = judged(&pilots(0.1, 0.36));
    assert!(weak.remedy.as_ref().unwrap().contains("--gate"), "{weak:?}");
    let bad = judged(&pilots(0.9, 0.9));
    assert!(bad.remedy.as_ref().unwrap().contains("--estimator exact"), "{bad:?}");
    let found = Diagnosis { projected: 0.9, whole: 0.2, pilots: 2 };
    assert!(bad.clone().diagnosed(found).remedy.unwrap().contains("--passes 2"));
    assert_eq!(good.clone().diagnosed(found), good);
    assert_eq!(serde_json::to_string(&bad.verdict).unwrap(), r#""outside validity""#);
    insta::assert_snapshot!(bad.parameters_in_words().unwrap(), @"outside validity (relative error 0.90 in the median): do not take them for the parameters of a true run");
}

#[test]
fn a_known_loss_in_the_middle_of_an_interval_is_as_likely_above_as_below() {
    let band = Band { bias: 0.3, residual_sd: 0.4, pilots: 5 };
    assert_eq!(band.confidence_below_known(2.3, 2.0), 0.5);
    let high = band.interval(2.3).high;
    assert!((band.confidence_below_known(2.3, high) - 0.975).abs() < 1e-9);
    assert_eq!(Band { residual_sd: 0.0, ..band }.confidence_below_known(2.3, 2.1), 1.0);
}

#[test]
fn an_interval_is_students_around_the_corrected_estimate() {
    let found = band(&off_by([0.3, 0.1, 0.3, 0.1])).unwrap();
    // s = 0.115470, t(0.975, 3) = 3.182446 (scipy 1.17), sqrt(1 + 1/4) = 1.118034.
    let interval = found.interval(2.0);
    let half = 3.182_446_305_284_263 * (0.04_f64 / 3.0).sqrt() * 1.25_f64.sqrt();
    assert!((interval.low - (1.8 - half)).abs() < 1e-9, "{interval:?}");
    assert!((interval.high - (1.8 + half)).abs() < 1e-9, "{interval:?}");
}

#[test]
fn without_residuals_the_lower_estimate_is_surely_lower() {
    let found = band(&off_by([0.2; 4])).unwrap();
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
