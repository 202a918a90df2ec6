//! Spearman's rank correlation of two columns of numbers, and its interval.

use serde::{Deserialize, Serialize};

use crate::estimates::EstimateError;
use crate::estimates::error::{check_finite, check_length};
use crate::provenance::ranks;

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Spearman's ρ with mid-ranks; `None` if a column is constant.
///
/// # Errors
/// For columns of different lengths and values that are not finite.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<Option<f64>, EstimateError> {
    check_length("second column", y.len(), x.len())?;
    check_finite("value of the first column, row", x)?;
    check_finite("value of the second column, row", y)?;
    let (a, b) = (ranks::of_scores(x), ranks::of_scores(y));
    let sum = |a: &[i64], b: &[i64]| -> i128 {
        a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum()
    };
    let (products, squares_a, squares_b) = (sum(&a, &b), sum(&a, &a), sum(&b, &b));
    if squares_a == 0 || squares_b == 0 {
        return Ok(None);
    }
    // Perfect agreement is a fact about integers, which a square root would round away.
    let (one, two) = (products.checked_mul(products), squares_a.checked_mul(squares_b));
    if one.is_some() && one == two {
        return Ok(Some(products.signum() as f64));
    }
    let most = 1.0_f64.next_down();
    let r = products as f64 / (squares_a as f64 * squares_b as f64).sqrt();
    Ok(Some(r.clamp(-most, most)))
}

/// The 95 % interval of a Spearman correlation of `n` >= 4 pairs by Fisher's z with the variance
/// (1 + r²/2) / (n − 3) of Bonett and Wright (2000, Psychometrika 65, 23-28). Fisher's own
/// 1/(n − 3) is for Pearson's coefficient and too narrow here: at r = 0.95 by a fifth.
///
/// At |r| = 1 z has no value; the end away from 1 is then that of the coefficient halfway between 1
/// and the next one that n pairs without ties can have, 1 − 12/(n(n² − 1)).
#[must_use]
pub fn spearman_interval(r: f64, n: usize) -> Interval {
    let pairs = n.max(4) as f64;
    let most = 1.0 - 6.0 / (pairs * (pairs * pairs - 1.0));
    let inside = r.clamp(-most, most);
    let Interval { low, high } = fisher_z(inside, n, 1.0 + inside * inside / 2.0);
    Interval { low: if r <= -1.0 { -1.0 } else { low }, high: if r >= 1.0 { 1.0 } else { high } }
}

/// tanh(atanh r ± 1.96 sqrt(factor/(n − 3))).
fn fisher_z(r: f64, n: usize, factor: f64) -> Interval {
    const NORMAL_975: f64 = 1.959_963_984_540_054;
    let freedom = n.saturating_sub(3).max(1) as f64;
    let half = NORMAL_975 * (factor / freedom).sqrt();
    Interval { low: (r.atanh() - half).tanh(), high: (r.atanh() + half).tanh() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn correlations_with_ties_agree_with_scipy() {
        // scipy 1.17.1: scipy.stats.spearmanr(x, y).statistic.
        let x = [0.3, 0.1, 0.3, -2.0, 5.5, 5.5, 0.0];
        let y = [1.0, 2.0, 2.0, -1.0, 8.0, 0.5, 0.25];
        let found = spearman(&x, &y).unwrap().unwrap();
        assert!((found - 0.633_054_164_947_657_4).abs() < 1e-15, "{found}");
    }

    #[test]
    fn fishers_own_interval_of_24_orders_at_95_hundredths_is_the_cards() {
        let Interval { low, high } = fisher_z(0.95, 24, 1.0);
        assert_eq!((format!("{low:.2}"), format!("{high:.2}")), ("0.89".into(), "0.98".into()));
        let wider = spearman_interval(0.95, 24);
        assert!(wider.low < low && wider.high > high);
        // Python: math.tanh(math.atanh(0.95) ± 1.959963984540054 * math.sqrt((1 + 0.95**2 / 2) / 21)).
        assert!((wider.low - 0.8659211010733054).abs() < 1e-12, "{wider:?}");
        assert!((wider.high - 0.9818666494784691).abs() < 1e-12, "{wider:?}");
    }

    #[test]
    fn a_perfect_correlation_is_exact_and_its_interval_is_not_a_point() {
        let x: Vec<f64> = (0..64).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|value| value.exp()).collect();
        assert_eq!(spearman(&x, &y).unwrap(), Some(1.0));
        let Interval { low, high } = spearman_interval(1.0, 64);
        assert!(high == 1.0 && low > 0.999 && low < 1.0, "{low}");
        assert_eq!(spearman_interval(-1.0, 64).low, -1.0);
    }

    #[test]
    fn a_constant_column_has_no_correlation_and_a_nan_is_refused_with_its_row() {
        assert_eq!(spearman(&[1.0, 1.0], &[2.0, 3.0]), Ok(None));
        let refused = spearman(&[1.0, 2.0], &[2.0, f64::NAN]).unwrap_err().to_string();
        assert_eq!(refused, "value of the second column, row 1 is NaN: it must be a finite number");
    }

    proptest! {
        #[test]
        fn a_correlation_has_the_laws_of_one(
            pairs in prop::collection::vec((-9_i32..9, -9_i32..9), 4..40),
        ) {
            let x: Vec<f64> = pairs.iter().map(|&(x, _)| f64::from(x)).collect();
            let y: Vec<f64> = pairs.iter().map(|&(_, y)| f64::from(y)).collect();
            let minus: Vec<f64> = y.iter().map(|y| -y).collect();
            let r = spearman(&x, &y).unwrap();
            prop_assert_eq!(r, spearman(&y, &x).unwrap());
            prop_assert_eq!(r.map(|r| -r), spearman(&x, &minus).unwrap());
            if let Some(r) = r {
                let Interval { low, high } = spearman_interval(r, x.len());
                prop_assert!((-1.0..=1.0).contains(&r) && low <= r && r <= high);
            }
        }
    }
}
