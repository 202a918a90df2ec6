//! Paired comparison of two arms: the speed-up and the difference in a metric, seed by seed.
//!
//! The same seed gives both arms the same initial weights and the same order, so that the spread
//! between seeds cancels. The interval is Student's t at every number of pairs: a BCa bootstrap of
//! 10 to 20 pairs covers 86 to 92 % where t covers 95 to 96 % (`docs/statistics.md`).

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::error::all_finite;
use super::interval::{self, Estimate, all_positive};

/// What two arms gave under the same seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair<T> {
    /// Of the arm compared with.
    pub baseline: T,
    /// Of the arm under test.
    pub treatment: T,
}

/// ln(baseline) - ln(treatment) of each pair of times: positive where the treatment is faster.
///
/// Times must be of runs that reached the target. Leaving censored pairs out biases the result
/// towards the runs that were quick: use [`super::improvement`] where there are any.
///
/// # Errors
/// When a time is not finite or not positive.
pub fn log_ratios(pairs: &[Pair<f64>]) -> Result<Vec<f64>, StatsError> {
    const NAME: &str = "the log ratio";
    for side in [|pair: &Pair<f64>| pair.baseline, |pair: &Pair<f64>| pair.treatment] {
        let times: Vec<f64> = pairs.iter().map(side).collect();
        all_finite(NAME, &times)?;
        all_positive(NAME, &times)?;
    }
    Ok(pairs.iter().map(|pair| pair.baseline.ln() - pair.treatment.ln()).collect())
}

/// treatment - baseline of each pair.
///
/// # Errors
/// When a difference is not finite.
pub fn differences(pairs: &[Pair<f64>]) -> Result<Vec<f64>, StatsError> {
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.treatment - pair.baseline).collect();
    all_finite("the paired difference", &differences)?;
    Ok(differences)
}

/// The speed-up exp(mean of [`log_ratios`]): 1.25 means that the baseline takes 1.25 times as long.
///
/// # Errors
/// As [`log_ratios`] and [`interval::mean`], and when the ratio leaves the range of f64.
pub fn speed_up(pairs: &[Pair<f64>], level: f64) -> Result<Estimate, StatsError> {
    interval::exp("the speed-up", interval::mean(&log_ratios(pairs)?, level)?)
}

/// The mean of [`differences`] in a metric.
///
/// # Errors
/// As [`differences`] and [`interval::mean`].
pub fn mean_difference(pairs: &[Pair<f64>], level: f64) -> Result<Estimate, StatsError> {
    interval::mean(&differences(pairs)?, level)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(baseline: &[f64], treatment: &[f64]) -> Vec<Pair<f64>> {
        baseline
            .iter()
            .zip(treatment)
            .map(|(&baseline, &treatment)| Pair { baseline, treatment })
            .collect()
    }

    const LEVEL: f64 = 0.95;

    #[test]
    fn speed_up_of_five_pairs_agrees_with_scipy() {
        // scipy 1.17.1: exp of scipy.stats.t.interval over numpy.log(baseline / treatment).
        let pairs = pairs(&[14.2, 13.0, 15.9, 13.8, 14.6], &[10.9, 11.8, 10.1, 11.2, 10.7]);
        let Estimate { value, interval, n } = speed_up(&pairs, LEVEL).unwrap();
        assert_eq!(n, 5);
        assert!((value - 1.3059477959340564).abs() < 1e-9);
        assert!((interval.low - 1.1092313464883417).abs() < 1e-9, "{interval:?}");
        assert!((interval.high - 1.537550891528961).abs() < 1e-9, "{interval:?}");
    }

    #[test]
    fn a_gain_in_a_metric_is_treatment_minus_baseline() {
        let found = mean_difference(&pairs(&[0.5, 0.75], &[0.75, 1.0]), LEVEL).unwrap();
        assert_eq!(found.value, 0.25);
    }

    #[test]
    fn a_time_of_zero_one_pair_and_not_a_number_are_refused() {
        let refusal = |baseline: &[f64], treatment: &[f64]| {
            speed_up(&pairs(baseline, treatment), LEVEL).unwrap_err()
        };
        let zero = refusal(&[1.0, 1.0], &[1.0, 0.0]);
        assert!(matches!(zero, StatsError::NotPositive { index: 1, .. }));
        assert!(matches!(refusal(&[1.0], &[2.0]), StatsError::TooFew { .. }));
        let nan = refusal(&[f64::NAN, 1.0], &[1.0, 1.0]);
        assert!(matches!(nan, StatsError::NotFinite { index: 0, .. }));
    }

    proptest! {
        #[test]
        fn swapping_the_arms_inverts_the_speed_up(
            times in prop::collection::vec((0.1..100.0f64, 0.1..100.0f64), 2..14),
        ) {
            let (baseline, treatment): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
            let there = speed_up(&pairs(&baseline, &treatment), LEVEL).unwrap();
            let back = speed_up(&pairs(&treatment, &baseline), LEVEL).unwrap();
            prop_assert!((there.value * back.value - 1.0).abs() < 1e-9);
            prop_assert!((there.interval.low * back.interval.high - 1.0).abs() < 1e-6);
        }

        #[test]
        fn a_common_slowdown_of_the_machine_does_not_matter(
            times in prop::collection::vec((0.1..100.0f64, 0.1..100.0f64), 2..9),
            slowdown in 0.5..2.0f64,
        ) {
            let (baseline, treatment): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
            let slow = |times: &[f64]| times.iter().map(|time| time * slowdown).collect::<Vec<_>>();
            let one = speed_up(&pairs(&baseline, &treatment), LEVEL).unwrap();
            let two = speed_up(&pairs(&slow(&baseline), &slow(&treatment)), LEVEL).unwrap();
            prop_assert!((one.interval.low / two.interval.low - 1.0).abs() < 1e-9);
        }
    }
}
