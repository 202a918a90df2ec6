//! p-values of many tests at once, adjusted.
//!
//! Benjamini-Hochberg bounds the expected share of false alarms among the alarms, Holm the
//! probability of any false alarm.
//!
//! Sources: Benjamini and Hochberg (1995), JRSS B 57, 289-300; Holm (1979), Scand. J. Statist. 6,
//! 65-70.

use super::StatsError;

/// Benjamini-Hochberg adjusted p-values ("q-values") in the order given: the smallest false
/// discovery rate at which each test is an alarm. Empty for no p-values.
///
/// # Errors
/// When a p-value is not a number from 0 to 1.
pub fn benjamini_hochberg(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let order = ascending(p_values)?;
    let m = p_values.len() as f64;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least: f64 = 1.0;
    for (below, &index) in order.iter().enumerate().rev() {
        least = least.min(p_values[index] * m / (below + 1) as f64);
        adjusted[index] = least;
    }
    Ok(adjusted)
}

/// Holm's adjusted p-values in the order given. Empty for no p-values.
///
/// # Errors
/// When a p-value is not a number from 0 to 1.
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let order = ascending(p_values)?;
    let m = p_values.len();
    let mut adjusted = vec![0.0; m];
    let mut most: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        most = most.max((p_values[index] * (m - rank) as f64).min(1.0));
        adjusted[index] = most;
    }
    Ok(adjusted)
}

/// Positions of the p-values from the smallest to the largest.
fn ascending(p_values: &[f64]) -> Result<Vec<usize>, StatsError> {
    if let Some(index) = p_values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(StatsError::PValue { index, value: p_values[index] });
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    Ok(order)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_probability_is_refused_with_its_place() {
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            for adjust in [benjamini_hochberg, holm] {
                let error = adjust(&[0.5, bad]).unwrap_err();
                assert!(matches!(error, StatsError::PValue { index: 1, .. }), "{error}");
            }
        }
        assert_eq!(holm(&[]).unwrap(), benjamini_hochberg(&[]).unwrap());
    }

    proptest! {
        #[test]
        fn adjusting_never_lowers_p_keeps_their_order_and_holm_is_the_stricter(
            p_values in prop::collection::vec(0.0..=1.0f64, 1..30),
        ) {
            let (bh, strict) = (benjamini_hochberg(&p_values).unwrap(), holm(&p_values).unwrap());
            for i in 0..p_values.len() {
                prop_assert!(p_values[i] <= bh[i] + 1e-15 && bh[i] <= strict[i] + 1e-15 && strict[i] <= 1.0);
                for j in 0..p_values.len() {
                    prop_assert!(p_values[i] > p_values[j] || bh[i] <= bh[j]);
                }
            }
        }
    }
}
