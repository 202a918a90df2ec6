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
    /// Exact distribution, of midranks where sizes are tied; otherwise the normal approximation with
    /// continuity and tie correction.
    pub exact: bool,
}

/// Tests whether paired `differences` are symmetric about 0.
///
/// Exact for at most 25 non-zero differences, tied or not: over all 2^n signs of the midranks. Ties are
/// exact equality of the floating-point sizes.
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
    let mut doubled = Vec::with_capacity(n);
    for tied in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let count = tied.len() as f64;
        let midrank = before as f64 + (count + 1.0) / 2.0;
        positive_ranks += midrank * tied.iter().filter(|value| **value > 0.0).count() as f64;
        ties += count.powi(3) - count;
        doubled.extend(tied.iter().map(|_| 2 * before + tied.len() + 1));
        before += tied.len();
    }
    let exact = n <= EXACT_PAIRS;
    let size = n as f64;
    let middle = size * (size + 1.0) / 4.0;
    let deviation = (positive_ranks - middle).abs();
    let p = if exact {
        // Twice a midrank is a whole number.
        let smaller = (2.0 * (middle - deviation)).round() as usize;
        (2.0 * lower_tail(&doubled, smaller)).min(1.0)
    } else {
        let variance = size * (size + 1.0) * (2.0 * size + 1.0) / 24.0 - ties / 48.0;
        let z = (deviation - 0.5).max(0.0) / variance.sqrt();
        2.0 * normal_cdf(-z)
    };
    Ok(Wilcoxon { positive_ranks, p, n, exact })
}

/// P(W+ <= w), ranks and w doubled: the share of the 2^n sets of ranks whose sum is at most w.
fn lower_tail(ranks: &[usize], w: usize) -> f64 {
    let (n, largest) = (ranks.len(), ranks.iter().sum());
    // sets[s] counts the sets of the ranks so far with sum s; at most 2^25 of them, exact in u32.
    let mut sets = vec![0u32; largest + 1];
    sets[0] = 1;
    for &rank in ranks {
        for sum in (rank..=largest).rev() {
            sets[sum] += sets[sum - rank];
        }
    }
    let below: u32 = sets.iter().take(w + 1).sum();
    f64::from(below) / 2f64.powi(n as i32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Differences without ties in size.
    fn spread(n: i32) -> Vec<f64> {
        (0..n).map(|i| (f64::from(i * 17 % 31) - 11.3) / 10.0).collect()
    }

    #[test]
    fn exact_p_agrees_with_scipy() {
        // scipy 1.17.1: scipy.stats.wilcoxon(d, method='exact').
        let eight = [0.12, -0.03, 0.31, 0.08, 0.22, -0.11, 0.17, 0.05];
        let found = wilcoxon(&eight).unwrap();
        assert_eq!((found.positive_ranks, found.p, found.exact), (31.0, 0.078125, true));
        let found = wilcoxon(&spread(25)).unwrap();
        assert!(found.exact && (found.p - 0.15633821487426758).abs() < 1e-12, "{found:?}");
    }

    /// Twice the smaller tail over every assignment of signs to the midranks, counted one by one.
    fn counted(differences: &[f64]) -> f64 {
        let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).filter(|d| *d > 0.0).collect();
        let rank = |size: &f64| {
            let below = sizes.iter().filter(|other| *other < size).count() as f64;
            let tied = sizes.iter().filter(|other| *other == size).count() as f64;
            below + (tied + 1.0) / 2.0
        };
        let ranks: Vec<f64> = sizes.iter().map(rank).collect();
        let signs = differences.iter().filter(|d| **d != 0.0).map(|d| *d > 0.0);
        let sum = |positive: &mut dyn Iterator<Item = bool>| -> f64 {
            ranks.iter().zip(positive).filter(|(_, plus)| *plus).map(|(rank, _)| rank).sum()
        };
        let found = sum(&mut signs.into_iter());
        let all = 1_u32 << ranks.len();
        let sums = (0..all).map(|mask| sum(&mut (0..ranks.len()).map(|k| mask >> k & 1 == 1)));
        let sums: Vec<f64> = sums.collect();
        let share = |count: usize| count as f64 / f64::from(all);
        let below = share(sums.iter().filter(|sum| **sum <= found).count());
        let above = share(sums.iter().filter(|sum| **sum >= found).count());
        (2.0 * below.min(above)).min(1.0)
    }

    #[test]
    fn tied_differences_have_the_exact_p_of_all_signs_of_their_midranks() {
        // Five equal differences: two of 32 assignments of signs are as one-sided.
        assert_eq!(wilcoxon(&[0.3; 5]).unwrap().p, 0.0625);
        for tied in [
            &[1.0, -1.0, 2.0, 2.0, -3.0, 4.0, 0.0, 5.0, 5.0, 5.0, -6.0, 7.0][..],
            &[1.0, 1.0, -1.0, -1.0],
            &[2.0, 2.0, 2.0, -1.0, 3.0, 3.0, 0.0, 3.0],
            &[-4.0, -4.0, -4.0, -4.0, 1.0, 2.0, -2.0, -9.0, -9.0],
        ] {
            let found = wilcoxon(tied).unwrap();
            assert!(found.exact && (found.p - counted(tied)).abs() < 1e-15, "{found:?}");
        }
    }

    #[test]
    fn normal_p_of_many_differences_agrees_with_scipy() {
        // scipy 1.17.1: scipy.stats.wilcoxon(d, correction=True, method='approx').
        let found = wilcoxon(&spread(31)).unwrap();
        assert!(!found.exact && (found.p - 0.042535513261443024).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn no_difference_at_all_has_p_one() {
        let found = wilcoxon(&[0.0; 4]).unwrap();
        assert_eq!((found.n, found.p), (0, 1.0));
    }

    #[test]
    fn nothing_and_not_a_number_are_refused() {
        assert!(matches!(wilcoxon(&[]), Err(StatsError::TooFew { .. })));
        let error = wilcoxon(&[1.0, f64::NAN]).unwrap_err();
        assert!(matches!(error, StatsError::NotFinite { index: 1, .. }));
    }

    proptest! {
        #[test]
        fn p_does_not_depend_on_the_side_and_is_a_probability(
            differences in prop::collection::vec(-4i32..=4, 1..40),
        ) {
            let differences: Vec<f64> = differences.into_iter().map(f64::from).collect();
            let negated: Vec<f64> = differences.iter().map(|value| -value).collect();
            let (one, two) = (wilcoxon(&differences).unwrap(), wilcoxon(&negated).unwrap());
            prop_assert_eq!(one.p, two.p);
            prop_assert!(0.0 < one.p && one.p <= 1.0);
            let all = (one.n * (one.n + 1)) as f64 / 2.0;
            prop_assert_eq!(one.positive_ranks + two.positive_ranks, all);
        }
    }
}
