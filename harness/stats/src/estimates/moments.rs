//! Mean, standard deviation and median of finite numbers.

/// The mean; NaN of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation with n - 1 in the denominator; 0 of fewer than two values.
pub(super) fn sd(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let middle = mean(values);
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The median, of an even number the mean of the middle two; NaN of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[half],
        _ => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_definitions() {
        let values = [4.0, 1.0, 2.0, 9.0];
        assert_eq!((mean(&values), median(&values), median(&values[..3])), (4.0, 3.0, 2.0));
        assert!((sd(&values) - (38.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(sd(&[3.0]), 0.0);
        assert!(median(&[]).is_nan());
    }
}
