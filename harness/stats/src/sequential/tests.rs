//! When sequences settle, when they must not, and how seldom they are wrong.

use ledger::seed::Seed;
use ledger::streams::{Streams, normal_f64, unit_f64};
use proptest::prelude::*;
use rand_pcg::Pcg64;

use super::*;

const CLEAR: [f64; 8] = [0.30, 0.28, 0.33, 0.31, 0.29, 0.32, 0.30, 0.31];
const SHARES: Range = Range { low: -0.9, high: 0.9 };

/// A plan that takes all effects to be normal.
fn normal(most: usize) -> Stopping {
    Stopping { collapse: 0.0, ..Stopping::planned(most) }
}

#[test]
fn a_clear_effect_stops_early_and_says_what_it_saved() {
    let claim = ClaimKind::Superior { smallest_effect: 0.05 };
    let found = stop(&CLEAR, claim, normal(20), None).unwrap();
    let after = found.settled_after.unwrap();
    assert!(after < 8 && found.saved == 20 - after, "{found:?}");
    assert_eq!(found.holds, Some(true));
    let against = CLEAR.map(|effect| -effect);
    let found = stop(&against, claim, normal(20), None).unwrap();
    assert_eq!(found.holds, Some(false));
}

#[test]
fn a_mean_above_the_claim_is_not_enough_where_the_sequence_is_not() {
    let claim = ClaimKind::Superior { smallest_effect: 0.29 };
    let found = stop(&CLEAR, claim, normal(20), None).unwrap();
    let last = found.steps[7];
    assert!(last.mean > 0.29 && last.low.unwrap() > 0.25, "{last:?}");
    assert_eq!(found.settled_after, None);
}

#[test]
fn a_collapse_that_could_still_be_unseen_settles_nothing_and_enough_seeds_do() {
    let claim = ClaimKind::Superior { smallest_effect: 0.01 };
    let plan = Stopping::planned(40);
    assert_eq!(plan.enough_seeds(), 29);
    assert!(plan.unseen(29) < 0.1 && plan.unseen(28) > 0.1);
    let effects: Vec<f64> = CLEAR.iter().cycle().take(30).map(|effect| effect / 5.0).collect();
    for range in [None, Some(SHARES)] {
        assert_eq!(stop(&effects[..28], claim, plan, range).unwrap().settled_after, None);
        let found = stop(&effects, claim, plan, range).unwrap();
        assert_eq!((found.settled_after, found.holds), (Some(29), Some(true)));
    }
}

#[test]
fn an_effect_that_no_collapse_could_undo_stops_long_before() {
    let claim = ClaimKind::Superior { smallest_effect: 0.01 };
    let effects: Vec<f64> = CLEAR.iter().cycle().take(20).map(|effect| effect + 0.3).collect();
    let found = stop(&effects, claim, Stopping::planned(20), Some(SHARES)).unwrap();
    let after = found.settled_after.unwrap();
    assert!((5..15).contains(&after) && found.holds == Some(true), "{after}");
}

#[test]
fn noise_around_nothing_is_not_settled_for_a_small_claim() {
    let effects = [0.2, -0.3, 0.25, -0.1, 0.05, -0.15];
    let claim = ClaimKind::Superior { smallest_effect: 0.1 };
    let found = stop(&effects, claim, normal(6), None).unwrap();
    assert_eq!((found.settled_after, found.saved), (None, 0));
}

#[test]
fn equal_effects_bound_nothing() {
    for range in [None, Some(SHARES)] {
        let steps = confidence_sequence(&[0.5; 6], Stopping::planned(6), range).unwrap();
        assert!(steps.iter().all(|step| step.low.is_none() && step.high.is_none()));
    }
}

#[test]
fn plans_that_cannot_be_followed_are_refused() {
    let claim = ClaimKind::NonInferior { margin: 0.1 };
    let plan = Stopping::planned(5);
    assert!(matches!(stop(&CLEAR, claim, plan, None), Err(StatsError::TooFew { found: 5, .. })));
    for bad in [
        Stopping { level: 95.0, ..plan },
        Stopping { prior_variance: 0.0, ..plan },
        Stopping { prior_variance: f64::NAN, ..plan },
        Stopping { collapse: 0.5, ..plan },
        Stopping { collapse: f64::NAN, ..plan },
        Stopping { least: 1, ..plan },
        Stopping { least: 6, ..plan },
    ] {
        assert!(confidence_sequence(&[0.1, 0.2], bad, None).is_err(), "{bad:?}");
    }
    let nan = confidence_sequence(&[0.1, f64::NAN], plan, None).unwrap_err();
    assert!(matches!(nan, StatsError::NotFinite { index: 1, .. }));
    let outside = confidence_sequence(&[0.1, 0.95], plan, Some(SHARES)).unwrap_err();
    assert!(matches!(outside, StatsError::Outside { .. }));
}

/// Effects of which one in `one_in` collapses, without any effect on average.
fn collapsing(rng: &mut Pcg64, one_in: f64, seeds: usize) -> Vec<f64> {
    let gain = 0.05;
    let draw = |rng: &mut Pcg64| {
        let noise = 0.01 * normal_f64(rng);
        if unit_f64(rng) < 1.0 / one_in { gain - gain * one_in + noise } else { gain + noise }
    };
    (0..seeds).map(|_| draw(rng)).collect()
}

/// Share of 1,000 plans of `seeds` that come to "reproduced" though the mean effect is 0.
fn wrongly_reproduced(seeds: usize, stopping: Stopping, range: Option<Range>) -> f64 {
    let mut rng = Streams::new(Seed::from_integer(7).bytes).generator("collapse");
    let claim = ClaimKind::Superior { smallest_effect: 0.01 };
    let wrong = (0..1000).filter(|_| {
        let effects = collapsing(&mut rng, 10.0, seeds);
        stop(&effects, claim, stopping, range).unwrap().holds == Some(true)
    });
    wrong.count() as f64 / 1000.0
}

#[test]
fn one_seed_in_ten_that_collapses_makes_no_claim_hold_that_does_not() {
    // The sequence for normal effects alone says "reproduced" in more than half of these plans.
    assert!(wrongly_reproduced(20, normal(20), None) > 0.5);
    for range in [None, Some(SHARES)] {
        for seeds in [20, 60] {
            let share = wrongly_reproduced(seeds, Stopping::planned(seeds), range);
            // 5 %, and three standard errors of 1,000 plans.
            assert!(share <= 0.05 + 0.021, "{share} of plans of {seeds} seeds, {range:?}");
        }
    }
}

proptest! {
    #[test]
    fn the_sequence_never_grows_and_moves_with_its_effects(
        effects in prop::collection::vec(-1.0..1.0f64, 2..30), shift in -5.0..5.0f64,
        bounded in prop::bool::ANY,
    ) {
        let plan = Stopping { collapse: 0.2, ..Stopping::planned(30) };
        let range = |shift| bounded.then_some(Range { low: shift - 1.0, high: shift + 1.0 });
        let steps = confidence_sequence(&effects, plan, range(0.0)).unwrap();
        for pair in steps.windows(2) {
            prop_assert!(pair[1].low >= pair[0].low || pair[0].low.is_none());
            prop_assert!(pair[1].high <= pair[0].high || pair[0].high.is_none());
        }
        // A little more room: shifted values may leave the range by their rounding.
        let wider = range(shift).map(|Range { low, high }| Range { low: low - 1e-9, high: high + 1e-9 });
        let moved: Vec<f64> = effects.iter().map(|effect| effect + shift).collect();
        let moved = confidence_sequence(&moved, plan, wider).unwrap();
        for (here, there) in steps.iter().zip(&moved) {
            if let (Some(here), Some(there)) = (here.low, there.low) {
                prop_assert!((here + shift - there).abs() < 1e-6, "{here} {there}");
            }
        }
    }
}
