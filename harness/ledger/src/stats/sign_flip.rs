//! The sign-flip permutation test of paired differences: exact up to 20 pairs.
//!
//! If the two arms are exchangeable within a pair, each difference could as well have had the other
//! sign. The p-value is the share of all sign assignments whose mean is at least as far from 0 as the
//! observed one. It cannot be below 2^(1-n): three pairs cannot show p < 0.25.
//!
//! Sources: Fisher (1935), "The design of experiments", section 21; for the Monte Carlo p-value
//! (b + 1) / (T + 1): Phipson and Smyth (2010).

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::draws::Draws;
use super::error::{all_finite, in_range, require};

/// Pairs up to which all 2^n assignments are enumerated.
const EXACT_PAIRS: usize = 20;
/// Random assignments beyond that.
const MONTE_CARLO: u32 = 99_999;

/// A two-sided sign-flip p-value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SignFlip {
    /// The p-value.
    pub p: f64,
    /// Number of pairs.
    pub n: usize,
    /// Sign assignments looked at: all 2^n, or a random sample.
    pub assignments: u32,
    /// The seed of the random sample; `None` where the enumeration is complete and p exact.
    pub seed: Option<u64>,
}

/// Tests whether the mean of paired `differences` is 0; `seed` is used above 20 pairs only.
///
/// # Errors
/// When there is no difference, one is not finite, or their sum leaves the range of f64.
pub fn sign_flip(differences: &[f64], seed: u64) -> Result<SignFlip, StatsError> {
    const NAME: &str = "the sign-flip test";
    let n = differences.len();
    require(NAME, 1, n)?;
    all_finite(NAME, differences)?;
    let size = in_range(NAME, differences.iter().map(|value| value.abs()).sum())?;
    // Assignments equal to the observed one in exact arithmetic must count despite rounding.
    let observed = differences.iter().sum::<f64>().abs() - 1e-12 * size;
    if n <= EXACT_PAIRS {
        let (left, right) = differences.split_at(n / 2);
        let (left, right) = (signed_sums(left), signed_sums(right));
        let extreme = left
            .iter()
            .map(|a| right.iter().filter(|b| (a + *b).abs() >= observed).count())
            .sum::<usize>();
        let assignments = 1u32 << n;
        return Ok(SignFlip {
            p: extreme as f64 / f64::from(assignments),
            n,
            assignments,
            seed: None,
        });
    }
    let mut draws = Draws::new(seed, NAME);
    let extreme = (0..MONTE_CARLO)
        .filter(|_| {
            differences.iter().map(|&value| draws.flip(value)).sum::<f64>().abs() >= observed
        })
        .count();
    let p = (extreme as f64 + 1.0) / (f64::from(MONTE_CARLO) + 1.0);
    Ok(SignFlip { p, n, assignments: MONTE_CARLO, seed: Some(seed) })
}

/// The 2^n sums of `values` under all sign assignments.
fn signed_sums(values: &[f64]) -> Vec<f64> {
    values.iter().fold(vec![0.0], |sums, value| {
        sums.iter().flat_map(|sum| [sum + value, sum - value]).collect()
    })
}
