//! The few functions of probability distributions that the statistics need, checked once here.

use statrs::distribution::{ContinuousCDF as _, Normal, StudentsT};
use statrs::function::beta::beta_reg;

use super::StatsError;

/// Refuses a confidence level outside 0.5..=0.9999 (the range in which the quantiles are tested).
pub(crate) fn check_level(level: f64) -> Result<(), StatsError> {
    if (0.5..=0.9999).contains(&level) { Ok(()) } else { Err(StatsError::Level { level }) }
}

/// Φ(z), the standard normal distribution function.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// Φ⁻¹(p) for p in (0, 1).
pub(crate) fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// The quantile of Student's t with `freedom` degrees of freedom that bounds a two-sided interval of
/// confidence `level`.
pub(crate) fn student_t_bound(level: f64, freedom: usize) -> Result<f64, StatsError> {
    check_level(level)?;
    let few = StatsError::TooFew { statistic: "Student's t", needed: 2, found: freedom + 1 };
    let distribution = StudentsT::new(0.0, 1.0, freedom as f64).map_err(|_| few)?;
    Ok(distribution.inverse_cdf(0.5 + level / 2.0))
}

/// P(X <= k) of a binomial with `n` trials of probability one half.
pub(crate) fn fair_binomial_cdf(k: u64, n: u64) -> f64 {
    if k >= n { 1.0 } else { beta_reg((n - k) as f64, k as f64 + 1.0, 0.5) }
}
