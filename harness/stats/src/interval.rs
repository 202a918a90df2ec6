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
    // A coverage equal to the level in exact arithmetic must pass despite rounding.
    let k = (1..=n / 2).take_while(|&k| coverage(k) >= level - 1e-12).last().unwrap_or(1);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Outcome::{Censored, Reached};
    use super::*;

    const TIMES: [f64; 5] = [12.1, 9.8, 14.3, 11.0, 10.4];

    fn close(found: Interval, low: f64, high: f64) -> bool {
        (found.low - low).abs() < 1e-9 && (found.high - high).abs() < 1e-9
    }

    #[test]
    fn wilson_agrees_with_scipy() {
        // scipy 1.17.1: scipy.stats.binomtest(k, n).proportion_ci(level, method='wilson').
        for (successes, trials, level, low, high) in [
            (0, 5, 0.95, 0.0, 0.43448246478317476),
            (3, 5, 0.95, 0.23072428127601297, 0.8823792257673521),
            (5, 5, 0.95, 0.5655175352168251, 1.0),
            (17, 40, 0.9, 0.30523413698015683, 0.5542688803166618),
            (1, 1, 0.99, 0.13097754328018596, 1.0),
        ] {
            let found = wilson(successes, trials, level).unwrap();
            assert!(close(found.interval, low, high), "{successes}/{trials}: {found:?}");
        }
    }

    #[test]
    fn t_interval_agrees_with_scipy() {
        // scipy 1.17.1: scipy.stats.t.interval(0.95, 4, loc=x.mean(), scale=scipy.stats.sem(x)).
        let found = mean(&TIMES, 0.95).unwrap();
        assert!((found.value - 11.52).abs() < 1e-12);
        assert!(close(found.interval, 9.320817107952656, 13.719182892047343), "{found:?}");
    }

    #[test]
    fn log_t_interval_agrees_with_scipy() {
        // scipy 1.17.1: exp of t.interval(0.9, 4, ...) over numpy.log(x).
        let found = geometric_mean(&TIMES, 0.9).unwrap();
        assert!((found.value - 11.417070993455406).abs() < 1e-9);
        assert!(close(found.interval, 9.915650740871945, 13.145835152533659), "{found:?}");
    }

    #[test]
    fn five_runs_span_their_median_with_less_than_the_level_and_say_so() {
        let found = median(&TIMES.map(Reached), 0.95).unwrap();
        assert_eq!((found.low, found.high), (9.8, Some(14.3)));
        assert!((found.coverage - 0.9375).abs() < 1e-12);
        // At that very level the extremes suffice, and the next pair inwards does not.
        assert_eq!(median(&TIMES.map(Reached), 0.9375).unwrap().low, 9.8);
        assert_eq!(median(&TIMES.map(Reached), 0.625).unwrap().low, 10.4);
    }

    #[test]
    fn eight_runs_reach_the_level_with_their_extremes_and_eleven_drop_one_each() {
        // 1 - 2 P(Binomial(8, 1/2) < 1) = 0.9921875; 1 - 2 P(Binomial(11, 1/2) < 2) = 0.98828125.
        let runs: Vec<Outcome> = (1..=11).map(|time| Reached(f64::from(time))).collect();
        let eight = median(&runs[..8], 0.95).unwrap();
        assert_eq!((eight.low, eight.high), (1.0, Some(8.0)));
        assert!((eight.coverage - 0.9921875).abs() < 1e-12);
        let eleven = median(&runs, 0.95).unwrap();
        assert_eq!((eleven.low, eleven.high), (2.0, Some(10.0)));
        assert!((eleven.coverage - 0.98828125).abs() < 1e-12);
    }

    #[test]
    fn a_censored_run_leaves_the_upper_bound_open() {
        let runs = [Reached(3.0), Reached(4.0), Censored(2.0), Reached(6.0), Reached(7.0)];
        let found = median(&runs, 0.95).unwrap();
        assert_eq!((found.low, found.high), (2.0, None));
    }

    #[test]
    fn too_few_values_and_impossible_values_are_refused() {
        assert!(matches!(mean(&[1.0], 0.95), Err(StatsError::TooFew { needed: 2, .. })));
        assert!(matches!(median(&[Reached(1.0)], 0.95), Err(StatsError::TooFew { .. })));
        assert!(matches!(wilson(0, 0, 0.95), Err(StatsError::TooFew { .. })));
        assert_eq!(wilson(3, 2, 0.95), Err(StatsError::Proportion { successes: 3, trials: 2 }));
        let error = mean(&[1.0, f64::NAN], 0.95).unwrap_err();
        assert!(matches!(error, StatsError::NotFinite { index: 1, .. }));
        let error = geometric_mean(&[1.0, 0.0], 0.95).unwrap_err();
        assert!(matches!(error, StatsError::NotPositive { index: 1, .. }));
        assert!(matches!(mean(&[f64::MAX, f64::MAX], 0.95), Err(StatsError::Overflow { .. })));
        let beyond = geometric_mean(&[0.01, 100.0], 0.9999);
        assert!(matches!(beyond, Err(StatsError::Overflow { .. })));
        assert!(matches!(wilson(1, 2, 95.0), Err(StatsError::Level { .. })));
    }

    #[test]
    fn a_refusal_reads_as_a_sentence() {
        insta::assert_snapshot!(
            mean(&[1.0], 0.95).unwrap_err(),
            @"the t interval of a mean needs at least 2 values, found 1: add seeds"
        );
    }

    proptest! {
        #[test]
        fn intervals_contain_their_estimate(
            values in prop::collection::vec(0.01..100.0f64, 2..20), level in 0.5..0.9999f64,
        ) {
            // Two values far apart at 99.99 %: a bound beyond the range of f64 is refused.
            let geometric = match geometric_mean(&values, level) {
                Err(StatsError::Overflow { .. }) if values.len() == 2 => None,
                found => Some(found.unwrap()),
            };
            for found in [mean(&values, level).unwrap()].into_iter().chain(geometric) {
                prop_assert!(found.interval.low <= found.value);
                prop_assert!(found.value <= found.interval.high);
            }
        }

        #[test]
        fn wilson_contains_its_share_and_stays_a_probability(
            (successes, trials) in (1u64..10_000).prop_flat_map(|n| (0..=n, Just(n))),
            level in 0.5..0.9999f64,
        ) {
            let found = wilson(successes, trials, level).unwrap();
            prop_assert!(0.0 <= found.interval.low && found.interval.low <= found.value);
            prop_assert!(found.value <= found.interval.high && found.interval.high <= 1.0);
        }

        #[test]
        fn more_confidence_is_never_a_narrower_interval_of_the_median(
            times in prop::collection::vec(0.0..100.0f64, 2..30), level in 0.5..0.9f64,
        ) {
            let runs: Vec<Outcome> = times.into_iter().map(Reached).collect();
            let (less, more) = (median(&runs, level).unwrap(), median(&runs, level + 0.09).unwrap());
            prop_assert!(more.low <= less.low && more.high >= less.high);
            prop_assert!(more.coverage >= less.coverage);
        }
    }
}
