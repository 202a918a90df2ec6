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
    Ok(from_replicates(value, replicates, &jackknife, resampling))
}

/// The interval from bootstrap replicates, at least one, and leave-one-out values, all finite.
fn from_replicates(
    value: f64,
    mut replicates: Vec<f64>,
    jackknife: &[f64],
    resampling: Resampling,
) -> Bca {
    let level = resampling.level;
    let lowest = replicates.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = replicates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // The same elements summed in another order are the same value: without the tolerance, ties
    // would fall to one side by rounding.
    let tie = 1e-12 * lowest.abs().max(highest.abs());
    if highest - lowest <= tie && (value - lowest).abs() <= tie {
        let interval = Interval { low: value, high: value, level };
        let (bias, acceleration, degenerate) = (0.0, 0.0, true);
        return Bca { value, interval, bias, acceleration, degenerate, resampling };
    }
    let bias = bias(value, &replicates, tie);
    let acceleration = acceleration(jackknife);
    let mut bound =
        |tail: f64| quantile_unsorted(&mut replicates, adjusted_tail(tail, bias, acceleration));
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
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    let (low, high) = (at(position.floor()), at(position.ceil()));
    let fraction = position.fract();
    // A convex combination, because the distance of two finite numbers can overflow.
    low * (1.0 - fraction) + high * fraction
}

/// [`quantile`] of values in any order, which are reordered: two quantiles do not pay for a sort.
pub fn quantile_unsorted(values: &mut [f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * values.len().saturating_sub(1) as f64;
    let (index, fraction) = (position.floor() as usize, position.fract());
    if index >= values.len() {
        return f64::NAN;
    }
    let (_, &mut low, above) = values.select_nth_unstable_by(index, f64::total_cmp);
    let next = above.iter().copied().min_by(f64::total_cmp);
    // The next value has no weight where the position is a whole number.
    low * (1.0 - fraction) + next.unwrap_or(low) * fraction
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    fn deviation(values: &[f64]) -> f64 {
        let centre = mean(values);
        mean(&values.iter().map(|value| (value - centre).powi(2)).collect::<Vec<_>>()).sqrt()
    }

    /// The statistic of all n^n resamples, sorted: the bootstrap distribution without drawing.
    fn exhaustive(sample: &[f64], statistic: fn(&[f64]) -> f64) -> Vec<f64> {
        let n = sample.len();
        let mut all: Vec<f64> = (0..n.pow(n as u32))
            .map(|code| {
                let pick = |place: u32| sample[code / n.pow(place) % n];
                statistic(&(0..n as u32).map(pick).collect::<Vec<_>>())
            })
            .collect();
        all.sort_by(f64::total_cmp);
        all
    }

    #[test]
    fn formula_agrees_with_scipy_on_the_exhaustive_bootstrap_distribution() {
        // scipy 1.17.1: scipy.stats._resampling._bca_interval over all 3125 resamples with
        // alpha = 0.025, then numpy.percentile (NumPy 2.4.6) at the two percentiles it returns.
        type Case = (fn(&[f64]) -> f64, [f64; 4]);
        let cases: [Case; 2] = [
            (mean, [0.06863519921209625, 0.059292706128157104, 2.0, 7.4]),
            (
                deviation,
                [0.28662430790867083, 0.09496863324656332, 1.2649110640673518, 3.9191835884530852],
            ),
        ];
        let sample = [1.0, 2.0, 3.0, 5.0, 9.0];
        for (statistic, expected) in cases {
            let jackknife: Vec<f64> = (0..sample.len())
                .map(|out| statistic(&[&sample[..out], &sample[out + 1..]].concat()))
                .collect();
            let found = from_replicates(
                statistic(&sample),
                exhaustive(&sample, statistic),
                &jackknife,
                Resampling::seeded(0),
            );
            let numbers = [found.bias, found.acceleration, found.interval.low, found.interval.high];
            for (number, expected) in numbers.iter().zip(expected) {
                assert!((number - expected).abs() < 1e-9, "{numbers:?}");
            }
        }
    }

    #[test]
    fn percentages_between_replicates_agree_with_numpy() {
        // scipy 1.17.1, as above for the mean of [1, 2, 3, 5, 9]: the adjusted tails.
        let (bias, acceleration) = (0.06863519921209625, 0.059292706128157104);
        let tails = [(0.025, 0.051341547298737265), (0.975, 0.991215969622304)];
        for (tail, expected) in tails {
            assert!((adjusted_tail(tail, bias, acceleration) - expected).abs() < 1e-9);
        }
        // numpy 2.4.6: numpy.percentile([1, 2, 4, 8], [10, 50, 90]).
        for (share, expected) in [(0.1, 1.3), (0.5, 3.0), (0.9, 6.8)] {
            assert!((quantile(&[1.0, 2.0, 4.0, 8.0], share) - expected).abs() < 1e-12);
            let unsorted = quantile_unsorted(&mut [4.0, 1.0, 8.0, 2.0], share);
            assert!((unsorted - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn drawn_interval_is_near_the_exhaustive_one() {
        let sample = [1.0, 2.0, 3.0, 5.0, 9.0];
        let resampling = Resampling { resamples: 100_000, ..Resampling::seeded(3) };
        let found = bca(&sample, mean, resampling).unwrap();
        // The bootstrap distribution of this mean is a lattice with steps of 0.2.
        assert!((found.interval.low - 2.0).abs() <= 0.2, "{found:?}");
        assert!((found.interval.high - 7.4).abs() <= 0.2, "{found:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_seed_another() {
        let sample: Vec<f64> = (0..12).map(|i| f64::from(i * i % 7) + 0.1 * f64::from(i)).collect();
        let interval = |seed| bca(&sample, deviation, Resampling::seeded(seed)).unwrap();
        assert_eq!(interval(1), interval(1));
        assert_ne!(interval(1).interval, interval(2).interval);
    }

    #[test]
    fn equal_values_give_an_interval_without_width_and_say_so() {
        let found = bca(&[0.1; 12], mean, Resampling::seeded(0)).unwrap();
        assert!(found.degenerate);
        assert_eq!((found.interval.low, found.interval.high), (found.value, found.value));
        assert!(!bca(&[0.1, 0.2, 0.3], mean, Resampling::seeded(0)).unwrap().degenerate);
    }

    #[test]
    fn pairs_are_resampled_as_pairs() {
        let pairs: Vec<(f64, f64)> = (0..12).map(|i| (f64::from(i), f64::from(i) + 2.0)).collect();
        let gap = |pairs: &[(f64, f64)]| {
            pairs.iter().map(|(left, right)| right - left).sum::<f64>() / pairs.len() as f64
        };
        let found = bca(&pairs, gap, Resampling::seeded(0)).unwrap();
        // Broken pairs would have gaps other than 2.
        assert!(found.degenerate && found.value == 2.0, "{found:?}");
    }

    #[test]
    fn an_acceleration_past_the_pole_takes_the_whole_tail() {
        assert_eq!(adjusted_tail(0.975, 0.0, 0.6), 1.0);
        assert_eq!(adjusted_tail(0.025, 0.0, -0.6), 0.0);
    }

    #[test]
    fn a_scale_that_would_underflow_leaves_the_acceleration_alone() {
        let at = |scale: f64| acceleration(&[1.0, 2.0, 3.0, 5.0, 9.0].map(|value| value * scale));
        assert!((at(1e-150) - at(1.0)).abs() < 1e-12 && at(1.0).abs() > 0.01);
    }

    #[test]
    fn bad_settings_and_statistics_without_a_value_are_refused() {
        let with =
            |resamples, level| bca(&[1.0, 2.0], mean, Resampling { level, resamples, seed: 0 });
        assert_eq!(with(0, 0.95), Err(StatsError::Resamples { found: 0 }));
        assert_eq!(with(u32::MAX, 0.95), Err(StatsError::Resamples { found: u32::MAX }));
        assert_eq!(with(1000, 95.0), Err(StatsError::Level { level: 95.0 }));
        let resampling = Resampling::seeded(0);
        assert!(matches!(bca(&[1.0], mean, resampling), Err(StatsError::TooFew { .. })));
        let undefined = bca(&[1.0, 2.0], |_| f64::NAN, resampling);
        assert!(matches!(undefined, Err(StatsError::NotFinite { .. })));
    }

    proptest! {
        #[test]
        fn a_quantile_needs_no_sorting(
            mut values in prop::collection::vec(-9..9i32, 1..40), share in 0.0..=1.0f64,
        ) {
            let mut unsorted: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
            values.sort_unstable();
            let sorted: Vec<f64> = values.into_iter().map(f64::from).collect();
            prop_assert_eq!(quantile_unsorted(&mut unsorted, share), quantile(&sorted, share));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn the_interval_of_a_mean_is_ordered_and_within_the_sample(
            values in prop::collection::vec(-10.0..10.0f64, 2..20), seed in any::<u64>(),
        ) {
            let resampling = Resampling { level: 0.9, resamples: 500, seed };
            let Interval { low, high, .. } = bca(&values, mean, resampling).unwrap().interval;
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(least - 1e-9 <= low && low <= high && high <= most + 1e-9);
        }

        #[test]
        fn a_statistic_of_negated_values_has_the_mirrored_interval(
            values in prop::collection::vec(-10.0..10.0f64, 2..20), seed in any::<u64>(),
        ) {
            let resampling = Resampling { level: 0.9, resamples: 500, seed };
            let negated: Vec<f64> = values.iter().map(|value| -value).collect();
            let (one, two) =
                (bca(&values, mean, resampling).unwrap(), bca(&negated, mean, resampling).unwrap());
            prop_assert!((one.interval.low + two.interval.high).abs() < 1e-6, "{one:?} {two:?}");
            prop_assert!((one.interval.high + two.interval.low).abs() < 1e-6, "{one:?} {two:?}");
        }
    }
}
