//! Paired comparison of two arms: the speed-up and the difference in a metric, seed by seed.
//!
//! The same seed gives both arms the same initial weights and the same order, so that the spread
//! between seeds cancels. The interval is Student's t below 10 pairs, where the bootstrap is too
//! narrow (a nominal 95 % percentile interval covers 75 % at n = 3), and BCa from 10 on.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::bootstrap::{Resampling, bca};
use super::error::{all_finite, in_range, require};
use super::interval::{self, Estimate, all_positive};

/// Pairs from which the interval is a BCa bootstrap.
const BOOTSTRAP_PAIRS: usize = 10;

/// What two arms gave under the same seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair<T> {
    /// Of the arm compared with.
    pub baseline: T,
    /// Of the arm under test.
    pub treatment: T,
}

/// How the interval of a mean was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntervalMethod {
    /// Student's t.
    StudentT,
    /// BCa bootstrap with these settings.
    Bca(Resampling),
}

/// A paired effect with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairedEstimate {
    /// The estimate, its interval and the number of pairs.
    pub estimate: Estimate,
    /// How the interval was made.
    pub method: IntervalMethod,
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

/// The mean of paired effects: Student's t interval below 10 of them, BCa from 10 on.
///
/// # Errors
/// When there are fewer than 2 effects, one is not finite, their sum leaves the range of f64, or
/// `resampling` is out of range.
pub fn mean_effect(effects: &[f64], resampling: Resampling) -> Result<PairedEstimate, StatsError> {
    const NAME: &str = "the mean effect";
    require(NAME, 2, effects.len())?;
    all_finite(NAME, effects)?;
    resampling.check()?;
    if effects.len() < BOOTSTRAP_PAIRS {
        let estimate = interval::mean(effects, resampling.level)?;
        return Ok(PairedEstimate { estimate, method: IntervalMethod::StudentT });
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    in_range(NAME, effects.iter().map(|effect| effect.abs()).sum())?;
    let bca = bca(effects, mean, resampling)?;
    let estimate = Estimate { value: bca.value, interval: bca.interval, n: effects.len() };
    Ok(PairedEstimate { estimate, method: IntervalMethod::Bca(resampling) })
}

/// The speed-up exp(mean of [`log_ratios`]): 1.25 means that the baseline takes 1.25 times as long.
///
/// # Errors
/// As [`log_ratios`] and [`mean_effect`], and when the ratio leaves the range of f64.
pub fn speed_up(pairs: &[Pair<f64>], resampling: Resampling) -> Result<PairedEstimate, StatsError> {
    let PairedEstimate { estimate, method } = mean_effect(&log_ratios(pairs)?, resampling)?;
    Ok(PairedEstimate { estimate: interval::exp("the speed-up", estimate)?, method })
}

/// The mean of [`differences`] in a metric.
///
/// # Errors
/// As [`differences`] and [`mean_effect`].
pub fn mean_difference(
    pairs: &[Pair<f64>],
    resampling: Resampling,
) -> Result<PairedEstimate, StatsError> {
    mean_effect(&differences(pairs)?, resampling)
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

    fn settings() -> Resampling {
        Resampling { resamples: 500, ..Resampling::seeded(1) }
    }

    #[test]
    fn speed_up_of_five_pairs_agrees_with_scipy() {
        // scipy 1.17.1: exp of scipy.stats.t.interval over numpy.log(baseline / treatment).
        let pairs = pairs(&[14.2, 13.0, 15.9, 13.8, 14.6], &[10.9, 11.8, 10.1, 11.2, 10.7]);
        let found = speed_up(&pairs, settings()).unwrap();
        let Estimate { value, interval, n } = found.estimate;
        assert_eq!((n, found.method), (5, IntervalMethod::StudentT));
        assert!((value - 1.3059477959340564).abs() < 1e-9);
        assert!((interval.low - 1.1092313464883417).abs() < 1e-9, "{interval:?}");
        assert!((interval.high - 1.537550891528961).abs() < 1e-9, "{interval:?}");
    }

    #[test]
    fn the_bootstrap_takes_over_at_ten_pairs_and_states_its_seed() {
        let effects: Vec<f64> = (0..10).map(|i| f64::from(i * 7 % 10)).collect();
        assert_eq!(
            mean_effect(&effects[..9], settings()).unwrap().method,
            IntervalMethod::StudentT
        );
        let method = mean_effect(&effects, settings()).unwrap().method;
        assert_eq!(method, IntervalMethod::Bca(settings()));
    }

    #[test]
    fn a_gain_in_a_metric_is_treatment_minus_baseline() {
        let found = mean_difference(&pairs(&[0.5, 0.75], &[0.75, 1.0]), settings()).unwrap();
        assert_eq!(found.estimate.value, 0.25);
    }

    #[test]
    fn a_time_of_zero_one_pair_and_not_a_number_are_refused() {
        let refusal = |baseline: &[f64], treatment: &[f64]| {
            speed_up(&pairs(baseline, treatment), settings()).unwrap_err()
        };
        let zero = refusal(&[1.0, 1.0], &[1.0, 0.0]);
        assert!(matches!(zero, StatsError::NotPositive { index: 1, .. }));
        assert!(matches!(refusal(&[1.0], &[2.0]), StatsError::TooFew { .. }));
        let nan = refusal(&[f64::NAN, 1.0], &[1.0, 1.0]);
        assert!(matches!(nan, StatsError::NotFinite { index: 0, .. }));
    }

    #[test]
    fn an_estimate_survives_json() {
        let found = mean_effect(&[0.25; 12], settings()).unwrap();
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<PairedEstimate>(&json).unwrap(), found);
    }

    proptest! {
        #[test]
        fn swapping_the_arms_inverts_the_speed_up(
            times in prop::collection::vec((0.1..100.0f64, 0.1..100.0f64), 2..14),
        ) {
            let (baseline, treatment): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
            let there = speed_up(&pairs(&baseline, &treatment), settings()).unwrap().estimate;
            let back = speed_up(&pairs(&treatment, &baseline), settings()).unwrap().estimate;
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
            let one = speed_up(&pairs(&baseline, &treatment), settings()).unwrap().estimate;
            let two =
                speed_up(&pairs(&slow(&baseline), &slow(&treatment)), settings()).unwrap().estimate;
            prop_assert!((one.interval.low / two.interval.low - 1.0).abs() < 1e-9);
        }
    }
}
