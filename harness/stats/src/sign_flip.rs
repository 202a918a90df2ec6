//! The sign-flip permutation test of paired differences: exact up to 20 pairs.
//!
//! If the two arms are exchangeable within a pair, each difference could as well have had the other
//! sign. The p-value is the share of all sign assignments whose mean is at least as far from 0 as the
//! observed one. It cannot be below 2^(1-n): three pairs cannot show p < 0.25.
//!
//! Sources: Fisher (1935), "The design of experiments", section 21; for the Monte Carlo p-value
//! (b + 1) / (T + 1): Phipson and Smyth (2010).

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::draws::Draws;
use super::error::{all_finite, in_range, require};

/// Pairs up to which all 2^n assignments are enumerated.
const EXACT_PAIRS: usize = 20;
/// Random assignments beyond that.
const MONTE_CARLO: u32 = 99_999;

/// A two-sided sign-flip p-value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SignFlip {
    /// The p-value.
    pub p: f64,
    /// Number of pairs.
    pub n: usize,
    /// Sign assignments looked at: all 2^n, or a random sample.
    pub assignments: u32,
    /// The seed of the random sample; `None` where the enumeration is complete and p exact.
    pub seed: Option<u64>,
}

/// Tests whether the mean of paired `differences` is 0; `seed` is used above 20 pairs only.
///
/// # Errors
/// When there is no difference, one is not finite, or their sum leaves the range of f64.
pub fn sign_flip(differences: &[f64], seed: u64) -> Result<SignFlip, StatsError> {
    const NAME: &str = "the sign-flip test";
    let n = differences.len();
    require(NAME, 1, n)?;
    all_finite(NAME, differences)?;
    let size = in_range(NAME, differences.iter().map(|value| value.abs()).sum())?;
    // Assignments equal to the observed one in exact arithmetic must count despite rounding.
    let observed = differences.iter().sum::<f64>().abs() - 1e-12 * size;
    if n <= EXACT_PAIRS {
        let (left, right) = differences.split_at(n / 2);
        let (left, right) = (signed_sums(left), signed_sums(right));
        let extreme = left
            .iter()
            .map(|a| right.iter().filter(|b| (a + *b).abs() >= observed).count())
            .sum::<usize>();
        let assignments = 1u32 << n;
        return Ok(SignFlip {
            p: extreme as f64 / f64::from(assignments),
            n,
            assignments,
            seed: None,
        });
    }
    let mut draws = Draws::new(seed, NAME);
    let extreme = (0..MONTE_CARLO)
        .filter(|_| {
            differences.iter().map(|&value| draws.flip(value)).sum::<f64>().abs() >= observed
        })
        .count();
    let p = (extreme as f64 + 1.0) / (f64::from(MONTE_CARLO) + 1.0);
    Ok(SignFlip { p, n, assignments: MONTE_CARLO, seed: Some(seed) })
}

/// Tests whether the mean of paired `differences` is above 0: the share of sign assignments whose
/// mean is at least the observed one. `seed` is used above 20 pairs only.
///
/// # Errors
/// As [`sign_flip`].
pub fn sign_flip_above(differences: &[f64], seed: u64) -> Result<SignFlip, StatsError> {
    const NAME: &str = "the one-sided sign-flip test";
    let n = differences.len();
    require(NAME, 1, n)?;
    all_finite(NAME, differences)?;
    let size = in_range(NAME, differences.iter().map(|value| value.abs()).sum())?;
    let observed = differences.iter().sum::<f64>() - 1e-12 * size;
    if n <= EXACT_PAIRS {
        let (left, right) = differences.split_at(n / 2);
        let (left, right) = (signed_sums(left), signed_sums(right));
        let above = |a: f64| right.iter().filter(|b| a + **b >= observed).count();
        let extreme: usize = left.iter().map(|&a| above(a)).sum();
        let assignments = 1u32 << n;
        let p = extreme as f64 / f64::from(assignments);
        return Ok(SignFlip { p, n, assignments, seed: None });
    }
    let mut draws = Draws::new(seed, NAME);
    let mut drawn = || differences.iter().map(|&value| draws.flip(value)).sum::<f64>();
    let extreme = (0..MONTE_CARLO).filter(|_| drawn() >= observed).count();
    let p = (extreme as f64 + 1.0) / (f64::from(MONTE_CARLO) + 1.0);
    Ok(SignFlip { p, n, assignments: MONTE_CARLO, seed: Some(seed) })
}

/// The 2^n sums of `values` under all sign assignments.
fn signed_sums(values: &[f64]) -> Vec<f64> {
    values.iter().fold(vec![0.0], |sums, value| {
        sums.iter().flat_map(|sum| [sum + value, sum - value]).collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn enumeration_agrees_with_scipy() {
        // scipy 1.17.1: scipy.stats.permutation_test((d,), mean, permutation_type='samples',
        // n_resamples=inf).pvalue.
        let eight = [0.12, -0.03, 0.31, 0.08, 0.22, -0.11, 0.17, 0.05];
        let twenty: Vec<f64> = (0..20).map(|i| (f64::from(i * 37 % 23) - 9.5) / 10.0).collect();
        for (differences, expected) in
            [(&eight[..], 0.078125), (&[1.0, 2.0, 3.0], 0.25), (&twenty, 0.31754112243652344)]
        {
            let found = sign_flip(differences, 0).unwrap();
            assert!((found.p - expected).abs() < 1e-12, "{found:?}");
            assert_eq!((found.assignments, found.seed), (1 << differences.len(), None));
        }
    }

    #[test]
    fn random_assignments_come_near_the_exact_p_and_name_their_seed() {
        // The twenty-first difference is so small that it barely matters to the p above.
        let mut differences: Vec<f64> =
            (0..20).map(|i| (f64::from(i * 37 % 23) - 9.5) / 10.0).collect();
        differences.push(1e-6);
        let found = sign_flip(&differences, 11).unwrap();
        assert_eq!((found.assignments, found.seed), (99_999, Some(11)));
        // Five standard errors, and the ties that the small difference breaks (below 0.01).
        assert!((found.p - 0.3175).abs() < 0.0174, "{found:?}");
        assert_eq!(found, sign_flip(&differences, 11).unwrap());
    }

    #[test]
    fn the_smallest_monte_carlo_p_is_one_in_a_hundred_thousand() {
        assert_eq!(sign_flip(&[1.0; 40], 0).unwrap().p, 1e-5);
    }

    #[test]
    fn the_one_sided_test_agrees_with_scipy() {
        // scipy 1.17.1: as above with alternative='greater' and 'less'.
        let eight = [0.12, -0.03, 0.31, 0.08, 0.22, -0.11, 0.17, 0.05];
        let above = sign_flip_above(&eight, 0).unwrap();
        assert!((above.p - 0.0390625).abs() < 1e-12, "{above:?}");
        let below = sign_flip_above(&eight.map(|value| -value), 0).unwrap();
        assert!((below.p - 0.96484375).abs() < 1e-12, "{below:?}");
        assert_eq!(sign_flip_above(&[1.0; 40], 0).unwrap().p, 1e-5);
    }

    #[test]
    fn no_difference_at_all_has_p_one() {
        assert_eq!(sign_flip(&[0.0; 5], 0).unwrap().p, 1.0);
        assert_eq!(sign_flip(&[0.0; 30], 0).unwrap().p, 1.0);
    }

    #[test]
    fn nothing_and_infinity_are_refused() {
        assert!(matches!(sign_flip(&[], 0), Err(StatsError::TooFew { .. })));
        let error = sign_flip(&[1.0, f64::INFINITY], 0).unwrap_err();
        assert!(matches!(error, StatsError::NotFinite { index: 1, .. }));
        assert!(matches!(sign_flip(&[f64::MAX; 2], 0), Err(StatsError::Overflow { .. })));
    }

    proptest! {
        #[test]
        fn p_is_a_probability_of_at_least_two_in_two_to_the_n(
            differences in prop::collection::vec(-1.0..1.0f64, 1..12),
        ) {
            let p = sign_flip(&differences, 0).unwrap().p;
            prop_assert!(2.0 * 0.5f64.powi(differences.len() as i32) <= p && p <= 1.0);
        }

        #[test]
        fn order_scale_and_side_do_not_change_p(
            differences in prop::collection::vec(-1.0..1.0f64, 1..12), scale in 0.001..1000.0f64,
        ) {
            let changed: Vec<f64> = differences.iter().rev().map(|value| -value * scale).collect();
            prop_assert_eq!(
                sign_flip(&differences, 0).unwrap().p,
                sign_flip(&changed, 0).unwrap().p
            );
        }
    }
}
