//! The reshuffle test: how well the suspect's text fits the model trained in the true order, beside
//! models whose last part was trained again in fresh orders.
//!
//! Source: Kuditipudi et al. (2025), arXiv:2510.19796, the reshuffle statistic. Their z has no
//! honest normal p-value with a handful of replays, so none is given here.

use serde::{Deserialize, Serialize};

use super::tail::{self, LogTails};
use super::{Refusal, adjust};

/// Replays below which z is not to be read at all but through the t-predictive p.
const FEW_REPLAYS: u64 = 20;

/// The answer of a reshuffle test. Larger scores fit better.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshuffle {
    /// Replays in fresh orders, M'.
    pub replays: u64,
    /// The score of the true order.
    pub true_score: f64,
    /// Mean score of the replays.
    pub mean: f64,
    /// Standard deviation of the replays, with M' - 1.
    pub sd: f64,
    /// (true - mean)/sd; not a normal deviate.
    pub z: f64,
    /// (1 + replays that score at least as much)/(M' + 1): exact.
    pub rank_p: f64,
    /// P(T >= (true - mean)/(sd sqrt(1 + 1/M'))) of Student's t with M' - 1 degrees of freedom, that
    /// of a new draw if the replays' scores are normal.
    pub t_predictive_p: f64,
    /// log10 of it.
    pub log10_t_predictive_p: f64,
    /// What a reader must know before using them.
    pub warnings: Vec<String>,
}

/// Tests one-sided whether the true order scores more than the replays do.
///
/// # Errors
/// For fewer than 2 replays, for a score that is not finite, and for replays that all score the
/// same.
pub fn reshuffle(true_score: f64, replays: &[f64]) -> Result<Reshuffle, Refusal> {
    let count = replays.len();
    if count < 2 {
        let (what, of, found) = ("the reshuffle test", "replays", count as u64);
        return Err(Refusal::TooFewOf { what, needed: 2, of, found });
    }
    adjust::check_finite("the score of the true order", &[true_score])?;
    adjust::check_finite("replays", replays)?;
    if let Some(value) = adjust::only_value(replays) {
        return Err(Refusal::Constant {
            what: "the score of the replays".into(),
            value,
            hint: "; did every replay really shuffle anew?",
        });
    }
    let size = count as f64;
    let mean = replays.iter().sum::<f64>() / size;
    let squares: f64 = replays.iter().map(|score| (score - mean).powi(2)).sum();
    let sd = (squares / (size - 1.0)).sqrt();
    let z = (true_score - mean) / sd;
    let at_least = replays.iter().filter(|score| **score >= true_score).count();
    let ln_p = ln_student_tail(z / (1.0 + 1.0 / size).sqrt(), size - 1.0);
    let mut warnings = Vec::new();
    if (count as u64) < FEW_REPLAYS {
        warnings.push(format!(
            "{count} replays: z is no normal deviate; quote the rank p, or the t-predictive p with \
             its assumption of normal scores"
        ));
    }
    Ok(Reshuffle {
        replays: count as u64,
        true_score,
        mean,
        sd,
        z,
        rank_p: (1.0 + at_least as f64) / (size + 1.0),
        t_predictive_p: ln_p.exp(),
        log10_t_predictive_p: ln_p / std::f64::consts::LN_10,
        warnings,
    })
}

/// ln P(T >= t): the t form of a correlation r = t/sqrt(t² + ν) of ν + 2 pairs.
fn ln_student_tail(t: f64, freedom: f64) -> f64 {
    let complement = freedom / (t * t + freedom);
    let r = t / (t * t + freedom).sqrt();
    let LogTails { greater, .. } = tail::student(r, complement, freedom as u64 + 2);
    greater
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nine replays with mean 0 and standard deviation 1 (ddof 1).
    fn nine() -> Vec<f64> {
        let raw: Vec<f64> = (-4..=4).map(f64::from).collect();
        // Σ k² = 60 over -4..=4.
        raw.iter().map(|value| value / (60.0_f64 / 8.0).sqrt()).collect()
    }

    #[test]
    fn eight_standard_deviations_over_nine_replays_are_no_ten_to_the_minus_sixteen() {
        // A published z of 8.03 divides by the deviation with ddof 0, which is sqrt(8/9) here.
        let found = reshuffle(8.03 * (8.0_f64 / 9.0).sqrt(), &nine()).unwrap();
        assert_eq!(found.rank_p, 0.1);
        // scipy 1.17.1: t.sf(8.03 * sqrt(8/9) / sqrt(1 + 1/9), 8); the normal p would be 4.9e-16.
        assert!((found.t_predictive_p / 4.703473714070142e-05 - 1.0).abs() < 1e-9, "{found:?}");
        assert!((found.log10_t_predictive_p - 4.703473714070142e-05_f64.log10()).abs() < 1e-9);
        assert_eq!(found.warnings.len(), 1);
    }

    #[test]
    fn ties_count_against_the_suspicion() {
        let found = reshuffle(1.0, &[1.0, 0.0, 2.0, -1.0]).unwrap();
        assert_eq!(found.rank_p, 3.0 / 5.0);
    }

    #[test]
    fn replays_that_cannot_give_a_spread_are_refused() {
        assert!(matches!(reshuffle(1.0, &[0.5]), Err(Refusal::TooFewOf { found: 1, .. })));
        assert!(matches!(reshuffle(1.0, &[0.5; 4]), Err(Refusal::Constant { .. })));
        let refusal = reshuffle(1.0, &[0.5, f64::NAN]).unwrap_err();
        assert!(matches!(refusal, Refusal::NotFinite { index: 1, .. }));
    }
}
