//! The one-sample t-test of paired effects, one-sided or two-sided.
//!
//! Source: Student (1908), "The probable error of a mean", Biometrika 6, 1-25.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::distribution::student_t_tail;
use super::error::{all_finite, in_range, require};

const NAME: &str = "the paired t-test";

/// What the test looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alternative {
    /// A mean above the null's.
    Greater,
    /// A mean below the null's.
    Less,
    /// A mean on either side.
    TwoSided,
}

/// A t-test of a mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// Mean of the effects.
    pub mean: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
    /// (mean - null) / standard error.
    pub t: f64,
    /// Degrees of freedom, n - 1.
    pub freedom: usize,
    /// The p-value.
    pub p: f64,
}

/// Tests whether the mean of `effects` is `null`.
///
/// Effects without any spread have no t: their p is that of the sign-flip test, 2^-n towards the
/// side they are on (twice that two-sided), because t would call two equal values certain.
///
/// # Errors
/// When there are fewer than 2 effects, one or the null is not finite, or their squares leave the
/// range of f64.
pub fn t_test(effects: &[f64], null: f64, alternative: Alternative) -> Result<TTest, StatsError> {
    require(NAME, 2, effects.len())?;
    all_finite(NAME, effects)?;
    all_finite("the null of the t-test", &[null])?;
    let n = effects.len() as f64;
    let freedom = effects.len() - 1;
    let mean = in_range(NAME, effects.iter().sum::<f64>() / n)?;
    let squares: f64 = effects.iter().map(|effect| (effect - mean).powi(2)).sum();
    let standard_error = in_range(NAME, (squares / freedom as f64 / n).sqrt())?;
    let gap = mean - null;
    // The mean of equal values is off by its rounding, and so is their spread.
    let rounding = 4.0 * f64::EPSILON * mean.abs().max(null.abs());
    if standard_error <= rounding {
        let (t, p) = without_spread(if gap.abs() <= rounding { 0.0 } else { gap }, n, alternative);
        return Ok(TTest { mean, standard_error: 0.0, t, freedom, p });
    }
    let t = gap / standard_error;
    let p = match alternative {
        Alternative::Greater => student_t_tail(t, freedom),
        Alternative::Less => student_t_tail(-t, freedom),
        Alternative::TwoSided => (2.0 * student_t_tail(t.abs(), freedom)).min(1.0),
    };
    Ok(TTest { mean, standard_error, t, freedom, p })
}

/// t and p of `n` equal effects that lie `gap` from the null.
fn without_spread(gap: f64, n: f64, alternative: Alternative) -> (f64, f64) {
    if gap == 0.0 {
        let p = if alternative == Alternative::TwoSided { 1.0 } else { 0.5 };
        return (0.0, p);
    }
    let least = (-n).exp2();
    let p = match alternative {
        Alternative::TwoSided => 2.0 * least,
        Alternative::Greater if gap > 0.0 => least,
        Alternative::Less if gap < 0.0 => least,
        Alternative::Greater | Alternative::Less => 1.0,
    };
    (gap.signum() * f64::MAX, p)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Alternative::{Greater, Less, TwoSided};
    use super::*;

    #[test]
    fn equal_effects_are_as_sure_as_their_number_of_signs_allows() {
        for value in [0.1, -0.3, 7.0] {
            let found = t_test(&[value; 5], 0.0, TwoSided).unwrap();
            assert_eq!(found.p, 2.0 / 32.0, "{found:?}");
        }
        assert_eq!(t_test(&[0.1; 5], 0.0, Greater).unwrap().p, 1.0 / 32.0);
        assert_eq!(t_test(&[0.1; 5], 0.0, Less).unwrap().p, 1.0);
        assert_eq!(t_test(&[0.0; 5], 0.0, Greater).unwrap().p, 0.5);
        assert_eq!(t_test(&[0.1; 3], 0.1, TwoSided).unwrap().p, 1.0);
    }

    #[test]
    fn one_effect_and_what_is_no_number_are_refused() {
        assert!(matches!(t_test(&[1.0], 0.0, Greater), Err(StatsError::TooFew { found: 1, .. })));
        let nan = t_test(&[1.0, f64::NAN], 0.0, Greater).unwrap_err();
        assert!(matches!(nan, StatsError::NotFinite { index: 1, .. }));
        assert!(t_test(&[1.0, 2.0], f64::INFINITY, Greater).is_err());
        assert!(matches!(
            t_test(&[f64::MAX, -f64::MAX], 0.0, Greater),
            Err(StatsError::Overflow { .. })
        ));
    }

    proptest! {
        #[test]
        fn the_two_sides_are_complements_and_the_smaller_half_of_both(
            effects in prop::collection::vec(-1.0..1.0f64, 2..12),
        ) {
            let p = |alternative| t_test(&effects, 0.0, alternative).unwrap().p;
            prop_assert!((p(Greater) + p(Less) - 1.0).abs() < 1e-9);
            prop_assert!((p(TwoSided) - 2.0 * p(Greater).min(p(Less))).abs() < 1e-9);
        }
    }
}
