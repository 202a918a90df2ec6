//! The few functions of probability distributions that the statistics need, checked once here.

use statrs::distribution::{ChiSquared, ContinuousCDF as _, FisherSnedecor, Normal, StudentsT};
use statrs::function::beta::beta_reg;

use super::StatsError;

/// Refuses a confidence level outside 0.5..=0.9999 (the range in which the quantiles are tested).
pub fn check_level(level: f64) -> Result<(), StatsError> {
    if (0.5..=0.9999).contains(&level) { Ok(()) } else { Err(StatsError::Level { level }) }
}

/// Φ(z), the standard normal distribution function.
pub fn normal_cdf(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// Φ⁻¹(p) for p in (0, 1).
pub fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

/// The quantile of Student's t with `freedom` degrees of freedom that bounds a two-sided interval of
/// confidence `level`.
pub fn student_t_bound(level: f64, freedom: usize) -> Result<f64, StatsError> {
    broken_t_bound(level, freedom as f64)
}

/// The same for degrees of freedom that are no whole number, as [`crate::welch`] has them.
pub fn broken_t_bound(level: f64, freedom: f64) -> Result<f64, StatsError> {
    check_level(level)?;
    let found = freedom.max(0.0) as usize + 1;
    let few = StatsError::TooFew { statistic: "Student's t", needed: 2, found };
    let distribution = StudentsT::new(0.0, 1.0, freedom).map_err(|_| few)?;
    Ok(distribution.inverse_cdf(0.5 + level / 2.0))
}

/// P(T > t) of Student's t with `freedom` degrees of freedom, at least 1; `t` may be infinite.
pub fn student_t_tail(t: f64, freedom: usize) -> f64 {
    broken_t_tail(t, freedom as f64)
}

/// The same for degrees of freedom that are no whole number.
pub fn broken_t_tail(t: f64, freedom: f64) -> f64 {
    let share = freedom / (freedom + t * t);
    let beyond = if share > 0.0 { 0.5 * beta_reg(freedom / 2.0, 0.5, share) } else { 0.0 };
    if t >= 0.0 { beyond } else { 1.0 - beyond }
}

/// The quantile of chi-squared with `freedom` degrees of freedom, at least 1, for p in (0, 1).
pub fn chi_squared_quantile(p: f64, freedom: usize) -> f64 {
    ChiSquared::new(freedom as f64).map_or(f64::NAN, |distribution| distribution.inverse_cdf(p))
}

/// P(X <= t) of Student's t with `freedom` >= 1 degrees of freedom.
pub fn student_t_cdf(t: f64, freedom: usize) -> f64 {
    StudentsT::new(0.0, 1.0, freedom.max(1) as f64).map_or(f64::NAN, |law| law.cdf(t))
}

/// P(X > f) of Fisher's F with `above` and `below` >= 1 degrees of freedom, for f >= 0.
pub fn fisher_f_tail(f: f64, above: usize, below: usize) -> f64 {
    let law = FisherSnedecor::new(above.max(1) as f64, below.max(1) as f64);
    law.map_or(f64::NAN, |law| law.sf(f))
}

/// P(X <= k) of a binomial with `n` trials of probability one half.
pub fn fair_binomial_cdf(k: u64, n: u64) -> f64 {
    if k >= n { 1.0 } else { beta_reg((n - k) as f64, k as f64 + 1.0, 0.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    #[test]
    fn student_t_bounds_agree_with_scipy() {
        // scipy 1.17.1: scipy.stats.t.ppf(0.5 + level / 2, freedom).
        for (freedom, level, expected) in [
            (1, 0.5, 1.0000000000000002),
            (1, 0.95, 12.706204736174694),
            (1, 0.9999, 6366.197671316637),
            (2, 0.9, 2.9199855803537242),
            (2, 0.9999, 99.99249984375004),
            (4, 0.5, 0.7406970841126829),
            (4, 0.95, 2.7764451051977934),
            (9, 0.99, 3.249835541592126),
            (30, 0.95, 2.0422724563012378),
            (999, 0.5, 0.6747354103467192),
            (999, 0.9999, 3.906359561102238),
        ] {
            let found = student_t_bound(level, freedom).unwrap();
            assert!(close(found, expected), "{freedom} {level}: {found}");
        }
    }

    #[test]
    fn normal_distribution_agrees_with_scipy() {
        // scipy 1.17.1: scipy.stats.norm.ppf and norm.cdf.
        for (level, expected) in
            [(0.5, 0.6744897501960817), (0.95, 1.959963984540054), (0.9999, 3.8905918864131204)]
        {
            assert!(close(normal_quantile(0.5 + level / 2.0), expected), "{level}");
            assert!(close(normal_quantile(0.5 - level / 2.0), -expected), "{level}");
        }
        for (z, expected) in
            [(-3.5, 0.00023262907903552502), (0.3, 0.6179114221889526), (6.0, 0.9999999990134123)]
        {
            assert!(close(normal_cdf(z), expected), "{z}");
        }
    }

    #[test]
    fn fair_binomial_agrees_with_scipy() {
        // scipy 1.17.1: scipy.stats.binom.cdf(k, n, 0.5).
        for (k, n, expected) in [
            (0, 5, 0.03125),
            (1, 8, 0.03515625),
            (2, 3, 0.875),
            (5, 5, 1.0),
            (39, 100, 0.017600100108852428),
        ] {
            assert!(close(fair_binomial_cdf(k, n), expected), "{k} {n}");
        }
    }

    #[test]
    fn tails_of_students_t_and_fishers_f_agree_with_scipy() {
        // scipy 1.17.1: scipy.stats.t.cdf(1.5, 3), scipy.stats.f.sf(8.7, 15, 3).
        assert!(close(student_t_cdf(1.5, 3), 0.8847080673775886));
        assert!(close(student_t_cdf(-1.5, 3), 1.0 - 0.8847080673775886));
        assert!(close(fisher_f_tail(8.7, 15, 3), 0.050022776688259496));
    }

    #[test]
    fn levels_that_are_percentages_or_not_numbers_are_refused() {
        for level in [95.0, 0.05, 1.0, f64::NAN] {
            assert!(matches!(student_t_bound(level, 4), Err(StatsError::Level { .. })), "{level}");
        }
        assert!(matches!(student_t_bound(0.95, 0), Err(StatsError::TooFew { found: 1, .. })));
    }
}
