//! Confidence intervals for one sample: a proportion, a mean, a geometric mean, a median.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::distribution::{check_level, fair_binomial_cdf, normal_quantile, student_t_bound};
use super::error::{all_finite, in_range, require};
use super::survival::{Outcome, check_times};

/// A two-sided confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower bound.
    pub low: f64,
    /// Upper bound.
    pub high: f64,
    /// Nominal confidence level, 0.95 for a 95 % interval.
    pub level: f64,
}

impl Interval {
    /// The interval with both ends mapped by the increasing function `map`.
    #[must_use]
    pub fn map(self, map: impl Fn(f64) -> f64) -> Self {
        Self { low: map(self.low), high: map(self.high), level: self.level }
    }
}

/// A point estimate with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its confidence interval.
    pub interval: Interval,
    /// Number of values it rests on.
    pub n: usize,
}

/// The median of possibly censored times, with a distribution-free interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MedianInterval {
    /// Lower bound in seconds.
    pub low: f64,
    /// Upper bound in seconds; `None` means unbounded (not reached within the budget).
    pub high: Option<f64>,
    /// The level asked for.
    pub level: f64,
    /// The coverage guaranteed for any continuous distribution. It is below `level` when there are
    /// too few runs: even (minimum, maximum) of 5 covers 93.75 % only.
    pub coverage: f64,
}

/// Wilson's score interval of a proportion, such as the share of runs that reached the target.
///
/// Source: Wilson (1927), JASA 22, 209-212; no continuity correction.
///
/// # Errors
/// When there are no trials, more successes than trials, or the level is out of range.
pub fn wilson(successes: u64, trials: u64, level: f64) -> Result<Estimate, StatsError> {
    check_level(level)?;
    require("the Wilson interval", 1, usize::try_from(trials).unwrap_or(usize::MAX))?;
    if successes > trials {
        return Err(StatsError::Proportion { successes, trials });
    }
    let n = trials as f64;
    let p = successes as f64 / n;
    let z = normal_quantile(0.5 + level / 2.0);
    let shrink = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / shrink;
    let half = z / shrink * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    // The bounds of 0 of n and of n of n are exactly 0 and 1; rounding must not leave that range.
    let interval =
        Interval { low: (centre - half).clamp(0.0, p), high: (centre + half).clamp(p, 1.0), level };
    Ok(Estimate { value: p, interval, n: usize::try_from(trials).unwrap_or(usize::MAX) })
}

/// Student's t interval of the mean.
///
/// # Errors
/// When there are fewer than 2 values, one is not finite, the sum leaves the range of f64, or the
/// level is out of range.
pub fn mean(values: &[f64], level: f64) -> Result<Estimate, StatsError> {
    const NAME: &str = "the t interval of a mean";
    require(NAME, 2, values.len())?;
    all_finite(NAME, values)?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let half = student_t_bound(level, values.len() - 1)? * (squares / (n - 1.0) / n).sqrt();
    let interval =
        Interval { low: in_range(NAME, mean - half)?, high: in_range(NAME, mean + half)?, level };
    Ok(Estimate { value: mean, interval, n: values.len() })
}

/// Student's t interval of the geometric mean, taken on logarithms and mapped back.
///
/// # Errors
/// As [`mean`], and when a value is not positive.
pub fn geometric_mean(values: &[f64], level: f64) -> Result<Estimate, StatsError> {
    const NAME: &str = "the log-t interval";
    all_finite(NAME, values)?;
    all_positive(NAME, values)?;
    let logs: Vec<f64> = values.iter().map(|value| value.ln()).collect();
    exp(NAME, mean(&logs, level)?)
}

/// Order-statistic interval of the median of possibly censored times.
///
/// The bounds are the k-th smallest and k-th largest time with the largest k whose coverage
/// 1 - 2 P(Binomial(n, 1/2) < k) is at least `level`, or k = 1 where none is. A censored run counts
/// with its censoring time in the lower bound and as never in the upper one, so that the coverage
/// holds wherever its time to target lies.
///
/// # Errors
/// When there are fewer than 2 runs, a time is negative or not finite, or the level is out of range.
pub fn median(outcomes: &[Outcome], level: f64) -> Result<MedianInterval, StatsError> {
    const NAME: &str = "the order-statistic interval";
    check_level(level)?;
    require(NAME, 2, outcomes.len())?;
    check_times(NAME, outcomes)?;
    let n = outcomes.len();
    // Below the median's own rank both tails stay under one half, so that k never passes the middle.
    let coverage = |k: usize| 1.0 - 2.0 * fair_binomial_cdf(k as u64 - 1, n as u64);
    let k = (1..=n / 2).take_while(|&k| coverage(k) >= level).last().unwrap_or(1);
    let mut earliest: Vec<f64> = outcomes.iter().map(|outcome| outcome.time()).collect();
    let mut latest: Vec<f64> =
        outcomes.iter().map(|outcome| outcome.reached().unwrap_or(f64::INFINITY)).collect();
    earliest.sort_by(f64::total_cmp);
    latest.sort_by(f64::total_cmp);
    Ok(MedianInterval {
        low: earliest[k - 1],
        high: Some(latest[n - k]).filter(|bound| bound.is_finite()),
        level,
        coverage: coverage(k),
    })
}

/// Refuses zero and negative values.
pub(crate) fn all_positive(statistic: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|&value| value <= 0.0) {
        Some(index) => Err(StatsError::NotPositive { statistic, index, value: values[index] }),
        None => Ok(()),
    }
}

/// The estimate with value and bounds exponentiated.
pub(crate) fn exp(statistic: &'static str, logs: Estimate) -> Result<Estimate, StatsError> {
    let interval = logs.interval.map(f64::exp);
    in_range(statistic, interval.high)?;
    in_range(statistic, logs.value.exp())?;
    Ok(Estimate { value: logs.value.exp(), interval, n: logs.n })
}
