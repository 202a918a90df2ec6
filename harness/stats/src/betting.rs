//! Bounds of the mean of bounded values that hold at every number of them, whatever their law.
//!
//! Against "the mean is at most m" bet the share f of all that can be lost: the wealth
//! W_n = Π (1 - f + f (x_i - a) / (m - a)), a being the least value possible, has a mean of at most 1
//! there, and passes 1/α with probability α at most, over all n (Ville). So does an average over
//! several f. It falls in m; the lower bound is the m at which it has just passed 1/α.
//!
//! Nothing is asked of the values but their range, and that their mean does not drift: a rare value
//! far below the others is paid for before it is seen. Sources: Ville (1939), "Étude critique de la
//! notion de collectif"; Waudby-Smith and Ramdas (2024), JRSS B 86, 1-27.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::error::{all_finite, between};

const NAME: &str = "the bounds by betting";
/// Shares that are staked, with their weights. The whole is best where nothing has collapsed yet; the
/// others survive a value at the very end of the range.
const STAKES: [(f64, f64); 3] = [(1.0, 0.5), (0.75, 0.25), (0.5, 0.25)];
/// Halvings of the range in which a bound is looked for.
const HALVINGS: u32 = 60;

/// Between what the values can lie, known otherwise than from their spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The least value possible.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// The lower bound of the mean after each of `values`, each at error `alpha` over all of them; it
/// never falls.
///
/// # Errors
/// When a value or an end is not finite, a value lies outside of the range, or `alpha` is not between 0 and 1.
pub fn lower_bounds(values: &[f64], range: Range, alpha: f64) -> Result<Vec<f64>, StatsError> {
    all_finite(NAME, values)?;
    all_finite("the range of the effects", &[range.low, range.high])?;
    between("the error of a bound", alpha, 0.0, 1.0)?;
    let outside = |value: &&f64| !(range.low..=range.high).contains(*value);
    if let Some(&value) = values.iter().find(outside) {
        let (above, below) = (range.low, range.high);
        return Err(StatsError::Outside { name: "an effect", value, above, below });
    }
    let mut bound = range.low;
    let mut bounds = Vec::with_capacity(values.len());
    for n in 1..=values.len() {
        bound = bound.max(lower_bound(&values[..n], range.low, alpha));
        bounds.push(bound);
    }
    Ok(bounds)
}

/// The upper bound after each value: the lower one of the values with the other sign.
///
/// # Errors
/// As [`lower_bounds`].
pub fn upper_bounds(values: &[f64], range: Range, alpha: f64) -> Result<Vec<f64>, StatsError> {
    let turned: Vec<f64> = values.iter().map(|value| -value).collect();
    let range = Range { low: -range.high, high: -range.low };
    Ok(lower_bounds(&turned, range, alpha)?.into_iter().map(|bound| -bound).collect())
}

fn lower_bound(values: &[f64], least: f64, alpha: f64) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    // At the mean itself the wealth is at most 1, because the logarithm is concave.
    let (mut passed, mut open) = (least, mean);
    for _ in 0..HALVINGS {
        let middle = passed.midpoint(open);
        if middle > least && wealth(values, least, middle) >= 1.0 / alpha {
            passed = middle;
        } else if middle > least {
            open = middle;
        } else {
            break;
        }
    }
    passed
}

fn wealth(values: &[f64], least: f64, mean: f64) -> f64 {
    let of = |stake: f64| {
        let factor = |value: &f64| 1.0 - stake + stake * (value - least) / (mean - least);
        values.iter().map(factor).product::<f64>()
    };
    STAKES.iter().map(|&(stake, weight)| weight * of(stake)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANGE: Range = Range { low: -1.0, high: 1.0 };

    #[test]
    fn ten_like_values_are_bounded_by_what_one_collapse_could_cost() {
        // All staked from the start: 0.5 ((0.5 + 1) / (m + 1))^10 = 40 at m = -0.032; the other stakes
        // add to it a little.
        let bounds = lower_bounds(&[0.5; 10], RANGE, 0.025).unwrap();
        let alone = 1.5 / 80f64.powf(0.1) - 1.0;
        assert!(bounds[9] >= alone && bounds[9] < alone + 0.03, "{} {alone}", bounds[9]);
        let more = lower_bounds(&[0.5; 100], RANGE, 0.025).unwrap();
        assert!(more[99] > 0.43 && more[99] < 0.5, "{}", more[99]);
    }

    #[test]
    fn a_value_at_the_end_of_the_range_is_survived() {
        let mut values = vec![0.9; 40];
        values[0] = -1.0;
        let bounds = lower_bounds(&values, RANGE, 0.025).unwrap();
        assert!(bounds[39] > 0.3 && bounds[39] < 0.8525, "{}", bounds[39]);
    }

    #[test]
    fn values_outside_of_the_range_are_refused() {
        assert!(matches!(lower_bounds(&[1.5], RANGE, 0.025), Err(StatsError::Outside { .. })));
        assert!(lower_bounds(&[f64::NAN], RANGE, 0.025).is_err());
        assert!(lower_bounds(&[0.0], Range { low: f64::NEG_INFINITY, high: 1.0 }, 0.025).is_err());
        assert!(lower_bounds(&[0.0], RANGE, 1.0).is_err());
        assert!(lower_bounds(&[], RANGE, 0.025).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn bounds_hold_the_mean_between_them_and_only_close(
            values in prop::collection::vec(-1.0..1.0f64, 1..20),
        ) {
            let low = lower_bounds(&values, RANGE, 0.025).unwrap();
            let high = upper_bounds(&values, RANGE, 0.025).unwrap();
            prop_assert!(low.windows(2).all(|pair| pair[0] <= pair[1]));
            prop_assert!(high.windows(2).all(|pair| pair[0] >= pair[1]));
            let n = values.len();
            let mean = values.iter().sum::<f64>() / n as f64;
            prop_assert!(lower_bound(&values, -1.0, 0.025) <= mean);
            prop_assert!(low[0] <= values[0] && values[0] <= high[0]);
        }

        #[test]
        fn bounds_move_and_stretch_with_their_values(
            values in prop::collection::vec(-1.0..1.0f64, 1..20),
            shift in -5.0..5.0f64, stretch in 0.1..10.0f64,
        ) {
            let map = |value: f64| shift + stretch * value;
            let moved: Vec<f64> = values.iter().map(|value| map(*value)).collect();
            let range = Range { low: map(-1.0) - 1e-12, high: map(1.0) + 1e-12 };
            let here = lower_bounds(&values, RANGE, 0.025).unwrap();
            let there = lower_bounds(&moved, range, 0.025).unwrap();
            prop_assert!(here.iter().zip(&there).all(|(one, two)| (map(*one) - two).abs() < 1e-6));
        }
    }
}
