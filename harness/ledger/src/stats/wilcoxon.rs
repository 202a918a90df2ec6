//! Wilcoxon's signed-rank test of paired differences.
//!
//! Source: Wilcoxon (1945), Biometrics Bulletin 1, 80-83; tie correction as in Hollander, Wolfe and
//! Chicken (2013), section 3.1.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::distribution::normal_cdf;
use super::error::{all_finite, require};

/// Non-zero differences up to which the exact distribution is used.
const EXACT_PAIRS: usize = 25;

/// A two-sided signed-rank test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wilcoxon {
    /// Sum of the ranks of the positive differences, W+.
    pub positive_ranks: f64,
    /// The p-value.
    pub p: f64,
    /// Number of non-zero differences; zeros are left out (Wilcoxon's own rule).
    pub n: usize,
    /// Exact distribution; otherwise the normal approximation with continuity and tie correction.
    pub exact: bool,
}

/// Tests whether paired `differences` are symmetric about 0.
///
/// Exact for at most 25 non-zero differences without ties in size. Ties are exact equality of the
/// floating-point sizes.
///
/// # Errors
/// When there is no difference, or one is not finite.
pub fn wilcoxon(differences: &[f64]) -> Result<Wilcoxon, StatsError> {
    const NAME: &str = "the signed-rank test";
    require(NAME, 1, differences.len())?;
    all_finite(NAME, differences)?;
    let mut sorted: Vec<f64> = differences.iter().copied().filter(|value| *value != 0.0).collect();
    sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let n = sorted.len();
    let mut positive_ranks = 0.0;
    let mut ties = 0.0;
    let mut before = 0;
    for tied in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let count = tied.len() as f64;
        let midrank = before as f64 + (count + 1.0) / 2.0;
        positive_ranks += midrank * tied.iter().filter(|value| **value > 0.0).count() as f64;
        ties += count.powi(3) - count;
        before += tied.len();
    }
    let exact = n <= EXACT_PAIRS && ties == 0.0;
    let size = n as f64;
    let middle = size * (size + 1.0) / 4.0;
    let deviation = (positive_ranks - middle).abs();
    let p = if exact {
        // Without ties ranks are whole numbers.
        let smaller = (middle - deviation).round() as usize;
        (2.0 * lower_tail(n, smaller)).min(1.0)
    } else {
        let variance = size * (size + 1.0) * (2.0 * size + 1.0) / 24.0 - ties / 48.0;
        let z = (deviation - 0.5).max(0.0) / variance.sqrt();
        2.0 * normal_cdf(-z)
    };
    Ok(Wilcoxon { positive_ranks, p, n, exact })
}

/// P(W+ <= w) without ties: the share of the 2^n sets of ranks whose sum is at most w.
fn lower_tail(n: usize, w: usize) -> f64 {
    let largest = n * (n + 1) / 2;
    // sets[s] counts the subsets of {1..rank} with sum s; at most 2^25 of them, exact in u32.
    let mut sets = vec![0u32; largest + 1];
    sets[0] = 1;
    for rank in 1..=n {
        for sum in (rank..=largest).rev() {
            sets[sum] += sets[sum - rank];
        }
    }
    let below: u32 = sets.iter().take(w + 1).sum();
    f64::from(below) / 2f64.powi(n as i32)
}
