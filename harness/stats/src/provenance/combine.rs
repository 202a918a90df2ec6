//! Several p-values as one, or each held to account for the others; all in log space.
//!
//! Which one is valid depends on what the tests share. Independent orders (epochs, layers) may be
//! combined by Stouffer or Fisher. Several suspects or several metrics on one order are dependent:
//! only Holm.

use std::f64::consts::{LN_2, LN_10};

use super::Refusal;
use super::tail::{self, LogTails};

/// Weighted Stouffer of independent tests, for each direction apart and two-sided.
///
/// For one direction Z = Σ w z(p) / sqrt(Σ w²), where z(p) is the upper deviate of the one-sided p:
/// a super-uniform p gives a deviate that is stochastically at most standard normal, so the result
/// is valid for exact p-values with atoms too. Two-sided is twice the smaller direction, at most 1:
/// epochs whose signs disagree cancel, as they should. The deviate of a p near 1 is taken from the
/// other side's p where that is the complement, because ln p no longer resolves it.
///
/// # Errors
/// For no tests, and for weights that are not finite, negative, or all 0.
pub fn stouffer(tests: &[(LogTails, f64)]) -> Result<LogTails, Refusal> {
    if tests.is_empty() {
        let (what, of) = ("a combination", "test");
        return Err(Refusal::TooFewOf { what, needed: 1, of, found: 0 });
    }
    for &(_, weight) in tests {
        if !weight.is_finite() || weight < 0.0 {
            let range = "a finite number of at least 0";
            return Err(Refusal::OutOfRange { what: "weight", value: weight, range });
        }
    }
    let norm = tests.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
    if norm == 0.0 {
        let range = "above 0 for at least one test";
        return Err(Refusal::OutOfRange { what: "the largest weight", value: 0.0, range });
    }
    let combined = |deviate: fn(&LogTails) -> f64| {
        // A weight of 0 leaves a test out, even one whose deviate is infinite.
        let used = tests.iter().filter(|(_, weight)| *weight > 0.0);
        let sum: f64 = used.map(|(tails, weight)| weight * deviate(tails)).sum();
        tail::ln_normal_tail(sum / norm)
    };
    let less = combined(|tails| deviate(tails.less, tails.greater));
    let greater = combined(|tails| deviate(tails.greater, tails.less));
    Ok(LogTails { less, greater, two_sided: (less.min(greater) + LN_2).min(0.0) })
}

/// z of a one-sided ln p whose opposite side is `other`.
fn deviate(ln_p: f64, other: f64) -> f64 {
    // For a continuous null p + other = 1; an exact null has more, by the atom at the statistic.
    let continuous = (ln_p.exp() + other.exp() - 1.0).abs() < 1e-9;
    if ln_p > -LN_2 && continuous {
        -tail::normal_deviate(other)
    } else {
        tail::normal_deviate(ln_p)
    }
}

/// Fisher's combination of independent p-values: log10 p of -2 Σ ln p as chi-squared with 2k
/// degrees of freedom. For independent permutations only.
///
/// # Errors
/// For no p-values and for one that is no probability (log10 p above 0 or NaN).
pub fn fisher(log10_ps: &[f64]) -> Result<f64, Refusal> {
    check(log10_ps)?;
    let statistic: f64 = -2.0 * LN_10 * log10_ps.iter().sum::<f64>();
    Ok(tail::ln_chi_squared_tail(statistic, 2.0 * log10_ps.len() as f64) / LN_10)
}

/// Holm's adjusted p-values (1979) in the order given, as log10: the i-th smallest of m is
/// multiplied by m - i + 1, made monotone and cut at 1. Valid under any dependence, so for several
/// suspects or metrics on one order.
///
/// # Errors
/// For no p-values and for one that is no probability.
pub fn holm(log10_ps: &[f64]) -> Result<Vec<f64>, Refusal> {
    check(log10_ps)?;
    let mut by_size: Vec<usize> = (0..log10_ps.len()).collect();
    by_size.sort_by(|&a, &b| log10_ps[a].total_cmp(&log10_ps[b]));
    let mut adjusted = vec![0.0; log10_ps.len()];
    let mut largest = f64::NEG_INFINITY;
    for (rank, &test) in by_size.iter().enumerate() {
        let tests_left = (log10_ps.len() - rank) as f64;
        largest = largest.max((log10_ps[test] + tests_left.log10()).min(0.0));
        adjusted[test] = largest;
    }
    Ok(adjusted)
}

fn check(log10_ps: &[f64]) -> Result<(), Refusal> {
    if log10_ps.is_empty() {
        let (what, of) = ("a combination", "p-value");
        return Err(Refusal::TooFewOf { what, needed: 1, of, found: 0 });
    }
    // NaN fails this comparison too.
    match log10_ps.iter().find(|log10_p| !(f64::NEG_INFINITY..=0.0).contains(*log10_p)) {
        None => Ok(()),
        Some(&value) => {
            Err(Refusal::OutOfRange { what: "log10 p", value, range: "a number of at most 0" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tails(less: f64, greater: f64) -> LogTails {
        let two_sided = (less.min(greater) + LN_2).min(0.0);
        LogTails { less, greater, two_sided }
    }

    #[test]
    fn one_test_combines_to_itself_at_any_depth() {
        let deep = tails(-120_000.0, -0.0);
        let found = stouffer(&[(deep, 3.0)]).unwrap();
        assert!((found.less / -120_000.0 - 1.0).abs() < 1e-12, "{found:?}");
        assert!((found.two_sided - (found.less + LN_2)).abs() < 1e-9);
    }

    #[test]
    fn four_equal_tests_double_the_deviate() {
        // ln Φ(-3) and, for Z = 4·3/2 = 6, ln Φ(-6).
        let one = tails(tail::ln_normal_tail(3.0), tail::ln_normal_tail(-3.0));
        let found = stouffer(&[(one, 1.0); 4]).unwrap();
        assert!((found.less - tail::ln_normal_tail(6.0)).abs() < 1e-12);
        assert!((found.greater - tail::ln_normal_tail(-6.0)).abs() < 1e-15);
    }

    #[test]
    fn epochs_of_opposite_sign_cancel() {
        let (down, up) = (tails(-50.0, -2e-22), tails(-2e-22, -50.0));
        let found = stouffer(&[(down, 1.0), (up, 1.0)]).unwrap();
        assert!(found.two_sided > -1e-9, "{found:?}");
    }

    #[test]
    fn the_direction_is_fixed_before_the_tests_are_combined() {
        // Two p of 0.04 with opposite signs: combining two-sided p-values would find 0.004.
        let z = tail::normal_deviate(0.02_f64.ln());
        let (down, up) = (tail::normal(-z), tail::normal(z));
        assert!((down.two_sided.exp() - 0.04).abs() < 1e-12);
        assert!(stouffer(&[(down, 1.0), (up, 1.0)]).unwrap().two_sided.exp() > 0.999);
    }

    #[test]
    fn an_exact_p_of_one_cannot_be_outvoted_into_evidence() {
        let exact = tails(0.0, (1.0_f64 / 120.0).ln());
        let found = stouffer(&[(exact, 1.0), (tails(-40.0, -4e-18), 1.0)]).unwrap();
        assert_eq!(found.less, 0.0);
    }

    #[test]
    fn holm_multiplies_by_the_tests_that_are_left() {
        let found = holm(&[-2.0, -300.0, -1.0, -1.9]).unwrap();
        let four = 4_f64.log10();
        let expected = [-2.0 + 3_f64.log10(), -300.0 + four, -1.0, -2.0 + 3_f64.log10()];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        assert_eq!(holm(&[-0.1, -0.2]).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        assert!(matches!(fisher(&[-3.0, 0.1]), Err(Refusal::OutOfRange { value: 0.1, .. })));
        assert!(matches!(holm(&[f64::NAN]), Err(Refusal::OutOfRange { .. })));
        assert!(matches!(holm(&[]), Err(Refusal::TooFewOf { .. })));
        assert!(matches!(stouffer(&[]), Err(Refusal::TooFewOf { .. })));
        let one = tails(-1.0, -1.0);
        assert!(matches!(stouffer(&[(one, -1.0)]), Err(Refusal::OutOfRange { .. })));
        assert!(matches!(stouffer(&[(one, 0.0)]), Err(Refusal::OutOfRange { .. })));
    }

    #[test]
    fn fisher_of_depths_beyond_f64_is_finite() {
        let found = fisher(&[-5000.0, -300.0, -0.3]).unwrap();
        // For large X the tail of chi-squared with 6 degrees is e^{-X/2} (X/2)²/2 (1 + small).
        let half = 5300.3 * LN_10;
        let expected = (-half + 2.0 * half.ln() - LN_2 + (2.0 / half).ln_1p()) / LN_10;
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}
