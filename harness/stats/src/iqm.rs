//! The interquartile mean: the mean of the middle half of the values.

use super::StatsError;
use super::error::{all_finite, in_range, require};

/// The mean without the lowest and the highest floor(n / 4) values.
///
/// For n not divisible by 4 the share cut is a little under a quarter per side, as in rliable
/// (Agarwal et al. 2021, arXiv 2108.13264) and `scipy.stats.trim_mean(values, 0.25)`.
///
/// # Errors
/// When there is no value, one is not finite, or the sum leaves the range of f64.
pub fn interquartile_mean(values: &[f64]) -> Result<f64, StatsError> {
    const NAME: &str = "the interquartile mean";
    require(NAME, 1, values.len())?;
    all_finite(NAME, values)?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let cut = sorted.len() / 4;
    let middle = &sorted[cut..sorted.len() - cut];
    in_range(NAME, middle.iter().sum::<f64>() / middle.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middle_half_agrees_with_scipy_trim_mean() {
        // scipy 1.17.1: scipy.stats.trim_mean(values, 0.25), for 4, 5, 7 and 8 values.
        let values = [9.5, 1.25, 4.0, 2.0, 7.75, 3.5, 100.0, 0.5];
        for (n, expected) in [(4, 3.0), (5, 4.583333333333333), (7, 5.35), (8, 4.3125)] {
            let found = interquartile_mean(&values[..n]).unwrap();
            assert!((found - expected).abs() < 1e-12, "{n}: {found}");
        }
    }

    #[test]
    fn one_wild_value_of_four_does_not_move_it() {
        let calm = interquartile_mean(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!(calm, interquartile_mean(&[1.0, 2.0, 3.0, 4e30]).unwrap());
    }

    #[test]
    fn nothing_and_not_a_number_are_refused() {
        assert!(matches!(interquartile_mean(&[]), Err(StatsError::TooFew { found: 0, .. })));
        let error = interquartile_mean(&[1.0, f64::NAN]).unwrap_err();
        assert!(matches!(error, StatsError::NotFinite { index: 1, .. }));
    }
}
