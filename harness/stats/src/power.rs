//! Planning: the power of the paired t-test, and how many pairs and minutes an effect needs.
//!
//! Source: Johnson, Kotz and Balakrishnan (1995), "Continuous univariate distributions 2", chapter
//! 31 (noncentral t).

use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;
use statrs::function::gamma::ln_gamma;

use super::StatsError;
use super::distribution::{chi_squared_quantile, student_t_bound};
use super::error::{all_finite, between, require};

/// Pairs beyond which no plan is made.
const MOST_PAIRS: usize = 100_000;
/// Panels of Simpson's rule: the steepest integrand (2 pairs, level 0.9999) needs them all.
const PANELS: u32 = 20_000;

/// What is to be shown and how surely.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// How far the true mean effect lies from what the interval must exclude (a claim's smallest
    /// effect or margin, or 0), in the unit of the pairs' differences (log units for ratios).
    pub effect: f64,
    /// Standard deviation of the differences between pairs, in that unit.
    pub spread: f64,
    /// Confidence level of the two-sided interval: 0.95.
    pub level: f64,
}

/// How many pairs a goal needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampleSize {
    /// The smallest number of pairs with the power asked for.
    pub pairs: usize,
    /// The power of that number.
    pub power: f64,
    /// What is to be shown.
    pub goal: Goal,
    /// Minutes for both sides of all pairs.
    pub minutes: f64,
}

/// The probability that the interval of `pairs` paired differences lies on the effect's side of what
/// it must exclude: of a claim "better by at least s" and a true effect of s + `goal.effect`, the
/// probability of "reproduced", and of a true effect of s - `goal.effect` that of "not reproduced".
///
/// # Errors
/// When there are fewer than 2 pairs, the effect is 0, a number is not finite, the spread is not
/// positive, or the level is out of range.
pub fn power(goal: Goal, pairs: usize) -> Result<f64, StatsError> {
    require("the power of the paired t-test", 2, pairs)?;
    all_finite("the planned effect", &[goal.effect])?;
    let size = goal.effect.abs();
    between("the planned effect", size, 0.0, f64::INFINITY)?;
    between("the spread between pairs", goal.spread, 0.0, f64::INFINITY)?;
    let bound = student_t_bound(goal.level, pairs - 1)?;
    let noncentrality = size / goal.spread * (pairs as f64).sqrt();
    Ok(noncentral_t_tail(bound, pairs - 1, noncentrality))
}

/// The smallest number of pairs with at least this `power`, and what they cost.
///
/// `pair_seconds` is what one pair takes, both sides together.
///
/// # Errors
/// As [`power()`]; when the power asked for is not between 0 and 1, the cost is negative or not
/// finite, or 100,000 pairs are not enough.
pub fn pairs_needed(
    goal: Goal,
    least_power: f64,
    pair_seconds: f64,
) -> Result<SampleSize, StatsError> {
    between("the power asked for", least_power, 0.0, 1.0)?;
    if !(pair_seconds.is_finite() && pair_seconds >= 0.0) {
        return Err(StatsError::Bound {
            name: "the cost of a pair in seconds",
            value: pair_seconds,
        });
    }
    let mut enough = 2;
    while power(goal, enough)? < least_power {
        if enough == MOST_PAIRS {
            let Goal { effect, spread, .. } = goal;
            return Err(StatsError::Unaffordable { effect, spread, most: MOST_PAIRS });
        }
        enough = (enough * 2).min(MOST_PAIRS);
    }
    let mut few = enough / 2;
    while enough - few > 1 {
        let middle = few.midpoint(enough);
        if middle < 2 || power(goal, middle)? < least_power {
            few = middle;
        } else {
            enough = middle;
        }
    }
    let minutes = enough as f64 * pair_seconds / 60.0;
    Ok(SampleSize { pairs: enough, power: power(goal, enough)?, goal, minutes })
}

/// The upper confidence bound of a standard deviation that was estimated from `n` differences.
///
/// A plan from the estimate itself is too small half of the time: with few stored pairs, plan with
/// the 80 % bound.
///
/// Source: Browne (1995), Statistics in Medicine 14, 1933-1940.
///
/// # Errors
/// When there are fewer than 2 differences, the spread is not positive, or `confidence` is not
/// between 0 and 1.
pub fn spread_bound(spread: f64, n: usize, confidence: f64) -> Result<f64, StatsError> {
    require("the bound of a spread", 2, n)?;
    between("the spread between pairs", spread, 0.0, f64::INFINITY)?;
    between("the confidence of the spread", confidence, 0.0, 1.0)?;
    let freedom = n - 1;
    Ok(spread * (freedom as f64 / chi_squared_quantile(1.0 - confidence, freedom)).sqrt())
}

/// P(T > t) of the noncentral t: T = (Z + d) / S with v S² chi-squared, so that the tail is the mean
/// of Φ(d - t S) over the density 2 (v/2)^(v/2) / Γ(v/2) s^(v-1) exp(-v s²/2) of S.
fn noncentral_t_tail(t: f64, freedom: usize, noncentrality: f64) -> f64 {
    let v = freedom as f64;
    let log_scale = LN_2 + v / 2.0 * (v / 2.0).ln() - ln_gamma(v / 2.0);
    let integrand = |s: f64| {
        let log_power = if freedom == 1 { 0.0 } else { (v - 1.0) * s.ln() };
        let density = (log_scale + log_power - v * s * s / 2.0).exp();
        density * 0.5 * erfc((t * s - noncentrality) * FRAC_1_SQRT_2)
    };
    // S lies within 12 standard deviations 1 / sqrt(2 v) of 1.
    let reach = 12.0 / (2.0 * v).sqrt();
    let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let step = (high - low) / f64::from(PANELS);
    let sum: f64 = (0..=PANELS)
        .map(|panel| {
            let weight = match panel {
                0 | PANELS => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * integrand(low + f64::from(panel) * step)
        })
        .sum();
    (sum * step / 3.0).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOAL: Goal = Goal { effect: 0.05, spread: 0.03, level: 0.95 };

    #[test]
    fn the_smallest_number_of_pairs_is_the_smallest() {
        let found = pairs_needed(GOAL, 0.8, 30.0).unwrap();
        assert!(power(GOAL, found.pairs).unwrap() >= 0.8);
        assert!(power(GOAL, found.pairs - 1).unwrap() < 0.8);
        assert_eq!(found.minutes, found.pairs as f64 / 2.0);
    }

    #[test]
    fn an_effect_far_above_the_spread_needs_two_pairs_and_a_tiny_one_is_refused() {
        let with = |effect| pairs_needed(Goal { effect, ..GOAL }, 0.8, 0.0);
        assert_eq!(with(3.0).unwrap().pairs, 2);
        assert!(matches!(with(1e-6), Err(StatsError::Unaffordable { most: MOST_PAIRS, .. })));
    }

    #[test]
    fn the_side_of_the_effect_does_not_matter() {
        let other = Goal { effect: -GOAL.effect, ..GOAL };
        assert_eq!(power(GOAL, 7), power(other, 7));
    }

    #[test]
    fn plans_without_meaning_are_refused() {
        for goal in [
            Goal { effect: 0.0, ..GOAL },
            Goal { effect: f64::NAN, ..GOAL },
            Goal { spread: 0.0, ..GOAL },
            Goal { spread: f64::INFINITY, ..GOAL },
            Goal { level: 95.0, ..GOAL },
        ] {
            assert!(power(goal, 5).is_err(), "{goal:?}");
        }
        assert!(matches!(power(GOAL, 1), Err(StatsError::TooFew { .. })));
        assert!(matches!(pairs_needed(GOAL, 80.0, 1.0), Err(StatsError::Outside { .. })));
        assert!(matches!(pairs_needed(GOAL, 0.8, -1.0), Err(StatsError::Bound { .. })));
        assert!(spread_bound(0.1, 1, 0.8).is_err() && spread_bound(0.1, 5, 80.0).is_err());
    }
}
