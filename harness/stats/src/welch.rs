//! Welch's t-test: whether the means of two independent samples differ, whatever their spreads.
//!
//! For what was measured twice but not in pairs: repetitions in one file beside repetitions in another.
//!
//! Source: Welch (1947), "The generalization of 'Student's' problem when several different population
//! variances are involved", Biometrika 34, 28-35.

use super::StatsError;
use super::distribution::{broken_t_bound, broken_t_tail};
use super::error::{all_finite, in_range, require};
use super::interval::Interval;

const NAME: &str = "Welch's t-test";

/// The difference of two means, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Welch {
    /// Mean of the second sample less that of the first, in their unit.
    pub difference: f64,
    /// Its standard error; 0 where neither sample has any spread.
    pub standard_error: f64,
    /// Degrees of freedom, by Welch and Satterthwaite; rarely a whole number.
    pub freedom: f64,
    /// Number of values of the first and of the second sample.
    pub counts: (usize, usize),
}

impl Welch {
    /// Compares `second` with `first`.
    ///
    /// # Errors
    /// When a sample has fewer than 2 values, one of them is not finite, or their squares leave the
    /// range of f64.
    pub fn of(first: &[f64], second: &[f64]) -> Result<Self, StatsError> {
        let (one, other) = (moments(first)?, moments(second)?);
        let difference = in_range(NAME, other.mean - one.mean)?;
        let standard_error = in_range(NAME, (one.variance + other.variance).sqrt())?;
        // The mean of equal values is off by its rounding, and so is their spread.
        let rounding = 4.0 * f64::EPSILON * one.mean.abs().max(other.mean.abs());
        let counts = (first.len(), second.len());
        if standard_error <= rounding {
            let difference = if difference.abs() <= rounding { 0.0 } else { difference };
            let freedom = (counts.0 + counts.1 - 2) as f64;
            return Ok(Self { difference, standard_error: 0.0, freedom, counts });
        }
        // Shares of the whole, so that no square leaves the range.
        let whole = one.variance + other.variance;
        let part = |variance: f64, n: usize| (variance / whole).powi(2) / (n as f64 - 1.0);
        let freedom = 1.0 / (part(one.variance, counts.0) + part(other.variance, counts.1));
        Ok(Self { difference, standard_error, freedom, counts })
    }

    /// p of "the difference is `null` or less".
    ///
    /// Samples without any spread have no t: their p is that of the permutation that parts them, one of
    /// all ways to draw the first from both.
    #[must_use]
    pub fn p_above(&self, null: f64) -> f64 {
        let gap = self.difference - null;
        if self.standard_error > 0.0 {
            return broken_t_tail(gap / self.standard_error, self.freedom);
        }
        if gap == 0.0 {
            0.5
        } else if gap > 0.0 {
            1.0 / ways(self.counts.0, self.counts.1)
        } else {
            1.0
        }
    }

    /// p of "the difference is `null` or more".
    #[must_use]
    pub fn p_below(&self, null: f64) -> f64 {
        Self { difference: 0.0 - self.difference, ..*self }.p_above(0.0 - null)
    }

    /// Interval of the difference.
    ///
    /// # Errors
    /// When the level is out of range.
    pub fn interval(&self, level: f64) -> Result<Interval, StatsError> {
        let half = broken_t_bound(level, self.freedom)? * self.standard_error;
        Ok(Interval { low: self.difference - half, high: self.difference + half, level })
    }
}

/// Of one sample.
struct Moments {
    mean: f64,
    /// Of the mean.
    variance: f64,
}

fn moments(values: &[f64]) -> Result<Moments, StatsError> {
    require(NAME, 2, values.len())?;
    all_finite(NAME, values)?;
    let n = values.len() as f64;
    let mean = in_range(NAME, values.iter().sum::<f64>() / n)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Ok(Moments { mean, variance: in_range(NAME, squares / (n - 1.0) / n)? })
}

/// How many ways there are to draw `one` of `one + other`; infinite where f64 has no such number.
fn ways(one: usize, other: usize) -> f64 {
    let fewer = one.min(other);
    let more = (one + other - fewer) as f64;
    (1..=fewer).map(|k| (more + k as f64) / k as f64).product()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn means_of_unlike_spread_agree_with_scipy() {
        // scipy 1.17.1: scipy.stats.ttest_ind(second, first, equal_var=False), its df, p of alternative="greater"
        // (of second - 0.05, too) and confidence_interval(0.95).
        let first = [1.02, 0.98, 1.01, 1.0, 0.99];
        let second = [1.1, 1.06, 1.2, 1.02, 1.09, 1.13, 1.01];
        let found = Welch::of(&first, &second).unwrap();
        let close = |found: f64, expected: f64| (found - expected).abs() <= 1e-12;
        assert!(close(found.freedom, 6.942445348642207), "{found:?}");
        assert!(close(found.p_above(0.0), 0.006014140336701893), "{found:?}");
        assert!(close(found.p_above(0.05), 0.09704773261186082), "{found:?}");
        assert!(close(found.p_below(0.0), 1.0 - 0.006014140336701893), "{found:?}");
        let interval = found.interval(0.95).unwrap();
        assert!(
            close(interval.low, 0.025938978548884974) && close(interval.high, 0.1483467357368294),
            "{interval:?}"
        );
    }

    #[test]
    fn samples_without_spread_are_as_sure_as_the_ways_to_part_them() {
        let found = Welch::of(&[0.9; 3], &[0.8; 3]).unwrap();
        assert_eq!((found.p_below(0.0), found.p_above(0.0)), (1.0 / 20.0, 1.0));
        assert_eq!(found.interval(0.95).unwrap().low, found.difference);
        let same = Welch::of(&[0.1; 3], &[0.1; 7]).unwrap();
        assert_eq!((same.difference, same.p_above(0.0)), (0.0, 0.5));
    }

    #[test]
    fn single_values_and_what_is_no_number_are_refused() {
        let few = Welch::of(&[1.0], &[1.0, 2.0]).unwrap_err();
        assert!(matches!(few, StatsError::TooFew { found: 1, .. }), "{few}");
        assert!(Welch::of(&[1.0, 2.0], &[f64::NAN, 1.0]).is_err());
        assert!(Welch::of(&[f64::MAX, -f64::MAX], &[1.0, 2.0]).is_err());
        assert!(Welch::of(&[1.0, 2.0], &[1.0, 2.5]).unwrap().interval(95.0).is_err());
    }

    proptest! {
        #[test]
        fn exchanging_the_samples_turns_the_sign_and_nothing_else(
            first in prop::collection::vec(-1.0..1.0f64, 2..9),
            second in prop::collection::vec(-1.0..1.0f64, 2..9),
        ) {
            let (one, other) = (Welch::of(&first, &second).unwrap(), Welch::of(&second, &first).unwrap());
            prop_assert!((one.difference + other.difference).abs() < 1e-12);
            prop_assert!((one.p_above(0.1) - other.p_below(-0.1)).abs() < 1e-9);
            let least = first.len().min(second.len()) as f64 - 1.0;
            let most = (first.len() + second.len()) as f64 - 2.0;
            prop_assert!(one.freedom >= least - 1e-6 && one.freedom <= most + 1e-6, "{}", one.freedom);
        }
    }
}
