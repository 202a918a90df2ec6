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
