//! The rule of the verdict, case by case, and its symmetries.

use proptest::prelude::*;

use super::*;

fn claim(effects: &[f64], smallest_effect: f64) -> ClaimTest {
    ClaimTest {
        effects: effects.to_vec(),
        scale: Scale::Difference,
        direction: Direction::HigherIsBetter,
        kind: ClaimKind::Superior { smallest_effect },
        no_room: None,
        cap: None,
        withheld: None,
        level: 0.95,
    }
}

fn match_within(effects: &[f64], margin: f64) -> ClaimTest {
    ClaimTest { kind: ClaimKind::NonInferior { margin }, ..claim(effects, 0.0) }
}

fn verdict(test: &ClaimTest) -> Verdict {
    judge(test).unwrap().verdict
}

/// Mean 0.03, standard error 0.006075, hence 0.0131 to 0.0469 at t(4) = 2.776.
const CLEAR: [f64; 5] = [0.030, 0.042, 0.018, 0.045, 0.015];

#[test]
fn an_interval_above_the_size_claimed_reproduces() {
    let found = judge(&claim(&CLEAR, 0.01)).unwrap();
    assert_eq!((found.verdict, found.n, found.direction_shown), (Verdict::Reproduced, 5, false));
    insta::assert_snapshot!(
        found.reason,
        @"the interval lies at or above the smallest effect +0.0100 (mean +0.0300, 95 % interval +0.0131 to +0.0469, 5 pairs)"
    );
}

#[test]
fn an_effect_surely_smaller_than_claimed_does_not_reproduce_even_when_real() {
    let found = judge(&claim(&CLEAR, 0.05)).unwrap();
    assert_eq!((found.verdict, found.direction_shown), (Verdict::NotReproduced, true));
    insta::assert_snapshot!(
        found.reason,
        @"the interval lies below the smallest effect +0.0500, though above 0 (mean +0.0300, 95 % interval +0.0131 to +0.0469, 5 pairs)"
    );
}

#[test]
fn a_real_effect_of_uncertain_size_is_inconclusive_with_its_direction_shown() {
    // Below and above the mean of 0.03 alike: the mean decides nothing.
    for smallest in [0.02, 0.04] {
        let found = judge(&claim(&CLEAR, smallest)).unwrap();
        assert_eq!((found.verdict, found.direction_shown), (Verdict::Inconclusive, true));
    }
    insta::assert_snapshot!(
        judge(&claim(&CLEAR, 0.02)).unwrap().reason,
        @"the interval lies above 0 but holds the smallest effect +0.0200 (mean +0.0300, 95 % interval +0.0131 to +0.0469, 5 pairs)"
    );
}

#[test]
fn an_interval_across_zero_and_the_smallest_effect_is_inconclusive() {
    let found = judge(&claim(&[0.1, -0.05, 0.02], 0.01)).unwrap();
    assert_eq!((found.verdict, found.direction_shown), (Verdict::Inconclusive, false));
    insta::assert_snapshot!(
        found.reason,
        @"the interval holds the smallest effect +0.0100 (mean +0.0233, 95 % interval -0.163 to +0.210, 3 pairs)"
    );
}

#[test]
fn effects_all_alike_decide_from_six_pairs_on() {
    for n in 3..10 {
        let found = judge(&claim(&vec![0.25; n], 0.1)).unwrap();
        let decided = found.verdict == Verdict::Reproduced;
        assert_eq!((decided, found.direction_shown), (n >= 6, false), "{n}");
        assert!(found.reason.contains("all alike)"), "{}", found.reason);
    }
    assert_eq!(verdict(&claim(&[0.25; 6], 0.25)), Verdict::Reproduced);
    assert_eq!(verdict(&match_within(&[0.0; 5], 0.1)), Verdict::Inconclusive);
    assert!(judge(&claim(&[0.25; 5], 0.1)).unwrap().reason.starts_with("all 5 effects are alike"));
}

#[test]
fn no_effect_at_all_never_reproduces() {
    assert_eq!(verdict(&claim(&[0.0; 8], 0.0)), Verdict::Inconclusive);
    let turned = ClaimTest { direction: Direction::LowerIsBetter, ..claim(&[0.0; 8], 0.01) };
    let found = judge(&turned).unwrap();
    assert_eq!(found.verdict, Verdict::NotReproduced);
    assert!(found.mean.unwrap().is_sign_positive(), "-0 in a report: {found:?}");
}

#[test]
fn the_p_value_is_of_the_test_that_the_interval_inverts() {
    // By the closed form of t with 4 degrees of freedom: (1 - sin a (1 + cos² a / 2)) / 2, a = atan(t / 2).
    let found = judge(&claim(&CLEAR, 0.01)).unwrap().p.unwrap();
    assert!((found - 0.015_073_308_089).abs() < 1e-9, "{found}");
    let at_the_low_end = judge(&claim(&CLEAR, 0.0)).unwrap().interval.unwrap().low;
    let found = judge(&claim(&CLEAR, at_the_low_end)).unwrap().p.unwrap();
    assert!((found - 0.025).abs() < 1e-9, "{found}");
}

#[test]
fn a_log_ratio_is_told_as_times() {
    let effects = [1.30f64, 1.35, 1.25, 1.40].map(f64::ln);
    let test = ClaimTest { scale: Scale::LogRatio, ..claim(&effects, 1.05f64.ln()) };
    insta::assert_snapshot!(
        judge(&test).unwrap().reason,
        @"the interval lies at or above the smallest effect 1.05 times (mean 1.32 times, 95 % interval 1.22 times to 1.43 times, 4 pairs)"
    );
}

#[test]
fn a_match_within_the_margin_is_not_the_same_as_no_significant_difference() {
    let noisy = [0.1, -0.12, 0.05, -0.07];
    assert_eq!(verdict(&match_within(&noisy, 0.01)), Verdict::Inconclusive);
    assert_eq!(verdict(&match_within(&noisy, 0.5)), Verdict::Reproduced);
    assert_eq!(verdict(&match_within(&CLEAR.map(|effect| -effect), 0.01)), Verdict::NotReproduced);
}

#[test]
fn obstacles_make_the_clearest_effect_inconclusive_and_keep_its_numbers() {
    let clear = claim(&CLEAR, 0.01);
    let blocked = [
        (ClaimTest { no_room: Some("old is at chance".into()), ..clear.clone() }, "no room: old"),
        (ClaimTest { cap: Some("models are too small".into()), ..clear.clone() }, "too small"),
        (ClaimTest { withheld: Some("load 9 on 2 cores".into()), ..clear.clone() }, "load 9"),
    ];
    let numbers = judge(&clear).unwrap();
    for (test, words) in blocked {
        let found = judge(&test).unwrap();
        assert_eq!(found.verdict, Verdict::Inconclusive);
        assert!(found.reason.contains(words), "{}", found.reason);
        assert_eq!((found.mean, found.interval), (numbers.mean, numbers.interval));
        assert!(!found.direction_shown);
    }
}

#[test]
fn fewer_than_three_pairs_are_inconclusive_not_an_error() {
    for n in 0..3 {
        let found = judge(&claim(&CLEAR[..n], 0.01)).unwrap();
        assert_eq!((found.verdict, found.n), (Verdict::Inconclusive, n));
        assert!(found.reason.contains("too few"), "{}", found.reason);
        assert_eq!((found.mean.is_some(), found.interval.is_some()), (n > 0, n > 1));
    }
}

#[test]
fn a_negative_smallest_effect_and_an_effect_that_is_not_a_number_are_refused() {
    let negative = judge(&claim(&CLEAR, -0.1));
    assert_eq!(negative, Err(StatsError::Bound { name: "smallest effect", value: -0.1 }));
    assert!(matches!(judge(&match_within(&CLEAR, f64::NAN)), Err(StatsError::Bound { .. })));
    assert!(matches!(judge(&claim(&[f64::NAN; 4], 0.1)), Err(StatsError::NotFinite { .. })));
}

#[test]
fn a_judgement_survives_json_with_its_words_in_kebab_case() {
    let found = judge(&claim(&CLEAR, 0.05)).unwrap();
    let json = serde_json::to_string(&found).unwrap();
    assert!(json.contains(r#""verdict":"not-reproduced""#), "{json}");
    assert_eq!(serde_json::from_str::<Judgement>(&json).unwrap(), found);
    let kind = serde_json::to_string(&ClaimKind::Superior { smallest_effect: 0.5 }).unwrap();
    assert_eq!(kind, r#"{"superior":{"smallest_effect":0.5}}"#);
}

fn effects() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.0..1.0f64, 0..14)
}

proptest! {
    #[test]
    fn the_p_value_and_the_verdict_never_disagree(
        effects in prop::collection::vec(-1.0..1.0f64, 3..14), bound in 0.0..0.5f64,
    ) {
        for test in [claim(&effects, bound), match_within(&effects, bound)] {
            let found = judge(&test).unwrap();
            let p = found.p.unwrap();
            match found.verdict {
                Verdict::Reproduced => prop_assert!(p <= 0.025 + 1e-9),
                Verdict::NotReproduced => prop_assert!(p >= 0.975 - 1e-9),
                Verdict::Inconclusive => prop_assert!((0.025 - 1e-9..=0.975 + 1e-9).contains(&p)),
            }
        }
    }

    #[test]
    fn swapping_arms_and_direction_changes_nothing(effects in effects(), bound in 0.0..0.5f64) {
        let swapped: Vec<f64> = effects.iter().map(|effect| -effect).collect();
        for one in [claim(&effects, bound), match_within(&effects, bound)] {
            let other = ClaimTest {
                effects: swapped.clone(),
                direction: Direction::LowerIsBetter,
                ..one.clone()
            };
            prop_assert_eq!(judge(&one).unwrap(), judge(&other).unwrap());
        }
    }

    #[test]
    fn a_claim_and_its_opposite_never_both_reproduce(effects in effects(), bound in 0.0..0.5f64) {
        let opposite: Vec<f64> = effects.iter().map(|effect| -effect).collect();
        if verdict(&claim(&effects, bound)) == Verdict::Reproduced {
            prop_assert_eq!(verdict(&claim(&opposite, bound)), Verdict::NotReproduced);
            // What is better is in particular not worse.
            prop_assert_eq!(verdict(&match_within(&effects, bound)), Verdict::Reproduced);
        }
    }

    #[test]
    fn a_larger_smallest_effect_never_helps(effects in effects(), bound in 0.0..0.5f64) {
        let rank = |verdict| match verdict {
            Verdict::NotReproduced => 0,
            Verdict::Inconclusive => 1,
            Verdict::Reproduced => 2,
        };
        let (small, large) = (claim(&effects, bound), claim(&effects, bound + 0.1));
        prop_assert!(rank(verdict(&small)) >= rank(verdict(&large)));
    }
}
