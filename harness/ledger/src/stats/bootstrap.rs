//! The bias-corrected and accelerated (BCa) bootstrap interval of any statistic of one sample.
//!
//! A sample of pairs is one sample: `bca` is generic over its elements. Everything is drawn from the
//! seed in [`Resampling`], which the result repeats, so that an interval in a report can be redrawn.
//!
//! Source: Efron (1987), "Better bootstrap confidence intervals", JASA 82, 171-185.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::distribution::{check_level, normal_cdf, normal_quantile};
use super::draws::Draws;
use super::error::{all_finite, require};
use super::interval::Interval;

const NAME: &str = "the BCa bootstrap";

/// How an interval is resampled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resampling {
    /// Confidence level, in 0.5..=0.9999.
    pub level: f64,
    /// Number of resamples, in 100..=1000000.
    pub resamples: u32,
    /// Seed of every draw.
    pub seed: u64,
}

impl Resampling {
    /// 95 % from 10 000 resamples.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { level: 0.95, resamples: 10_000, seed }
    }

    /// Refuses a level or a number of resamples out of range.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> Result<(), StatsError> {
        check_level(self.level)?;
        if (100..=1_000_000).contains(&self.resamples) {
            Ok(())
        } else {
            Err(StatsError::Resamples { found: self.resamples })
        }
    }
}

/// A BCa interval with what it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bca {
    /// The statistic of the sample itself.
    pub value: f64,
    /// The interval. BCa does not promise that it contains `value`.
    pub interval: Interval,
    /// Bias correction z0, in standard normal units.
    pub bias: f64,
    /// Acceleration a, from the jackknife.
    pub acceleration: f64,
    /// Every resample gave the same value (all elements equal, or a statistic blind to them): the
    /// interval has no width, which says nothing about certainty.
    pub degenerate: bool,
    /// Level, resamples and seed.
    pub resampling: Resampling,
}

/// The BCa interval of `statistic` over `sample`.
///
/// # Errors
/// When there are fewer than 2 elements, `resampling` is out of range, or the statistic of the
/// sample, of a resample or of a leave-one-out sample is not finite.
pub fn bca<T: Copy>(
    sample: &[T],
    statistic: impl Fn(&[T]) -> f64,
    resampling: Resampling,
) -> Result<Bca, StatsError> {
    resampling.check()?;
    require(NAME, 2, sample.len())?;
    let value = statistic(sample);
    let mut draws = Draws::new(resampling.seed, NAME);
    let mut resample = sample.to_vec();
    let mut replicates = Vec::with_capacity(resampling.resamples as usize);
    for _ in 0..resampling.resamples {
        resample.fill_with(|| sample[draws.index(sample.len())]);
        replicates.push(statistic(&resample));
    }
    let jackknife: Vec<f64> = (0..sample.len())
        .map(|left_out| {
            let (before, after) = sample.split_at(left_out);
            statistic(&[before, &after[1..]].concat())
        })
        .collect();
    all_finite(NAME, &[value])?;
    all_finite(NAME, &replicates)?;
    all_finite(NAME, &jackknife)?;
    replicates.sort_by(f64::total_cmp);
    Ok(from_replicates(value, &replicates, &jackknife, resampling))
}

/// The interval from sorted bootstrap replicates and leave-one-out values, all finite.
fn from_replicates(value: f64, sorted: &[f64], jackknife: &[f64], resampling: Resampling) -> Bca {
    let level = resampling.level;
    let (lowest, highest) = match sorted {
        [] => (value, value),
        [one] => (*one, *one),
        [first, .., last] => (*first, *last),
    };
    // The same elements summed in another order are the same value: without the tolerance, ties
    // would fall to one side by rounding.
    let tie = 1e-12 * lowest.abs().max(highest.abs());
    if highest - lowest <= tie && (value - lowest).abs() <= tie {
        let interval = Interval { low: value, high: value, level };
        let (bias, acceleration, degenerate) = (0.0, 0.0, true);
        return Bca { value, interval, bias, acceleration, degenerate, resampling };
    }
    let bias = bias(value, sorted, tie);
    let acceleration = acceleration(jackknife);
    let bound = |tail: f64| quantile(sorted, adjusted_tail(tail, bias, acceleration));
    let tail = (1.0 - level) / 2.0;
    let interval = Interval { low: bound(tail), high: bound(1.0 - tail), level };
    Bca { value, interval, bias, acceleration, degenerate: false, resampling }
}

/// z0 = Φ⁻¹(share of replicates below the value, those equal to it counting one half).
///
/// A share of 0 or 1 is moved inwards by half a replicate, so that z0 stays finite.
fn bias(value: f64, replicates: &[f64], tie: f64) -> f64 {
    let count = replicates.len() as f64;
    let half_points: u32 = replicates
        .iter()
        .map(|replicate| match replicate - value {
            gap if gap < -tie => 2,
            gap if gap <= tie => 1,
            _ => 0,
        })
        .sum();
    let share = f64::from(half_points) / (2.0 * count);
    normal_quantile(share.clamp(0.5 / count, 1.0 - 0.5 / count))
}

/// a = sum (m - x_i)^3 / (6 (sum (m - x_i)^2)^(3/2)) over the leave-one-out values with mean m.
fn acceleration(jackknife: &[f64]) -> f64 {
    let mean = jackknife.iter().sum::<f64>() / jackknife.len() as f64;
    // In units of the largest deviation, so that no power under- or overflows.
    let unit = jackknife.iter().map(|value| (mean - value).abs()).fold(0.0, f64::max);
    if unit == 0.0 {
        return 0.0;
    }
    let moment =
        |power: i32| jackknife.iter().map(|value| ((mean - value) / unit).powi(power)).sum::<f64>();
    moment(3) / (6.0 * moment(2).powf(1.5))
}

/// The tail Φ(z0 + w / (1 - a w)) with w = z0 + Φ⁻¹(tail).
///
/// Where 1 - a w is not positive the map has passed its pole and the tail is complete.
fn adjusted_tail(tail: f64, bias: f64, acceleration: f64) -> f64 {
    let w = bias + normal_quantile(tail);
    let divisor = 1.0 - acceleration * w;
    if divisor > 0.0 {
        normal_cdf(bias + w / divisor)
    } else if w > 0.0 {
        1.0
    } else {
        0.0
    }
}

/// The quantile of sorted values by linear interpolation (type 7 of Hyndman and Fan, NumPy's).
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(position.floor()), at(position.ceil()));
    let fraction = position.fract();
    // A convex combination, because the distance of two finite numbers can overflow.
    low * (1.0 - fraction) + high * fraction
}
