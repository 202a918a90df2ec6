//! Kruskal and Wallis's test over bins of the position: any difference between stretches of the
//! order, also one that is not monotone.
//!
//! Source: Kruskal and Wallis (1952), JASA 47, 583-621, with the correction for ties.

use std::f64::consts::LN_10;

use serde::{Deserialize, Serialize};

use super::{FEWEST_EXAMPLES, Refusal, adjust, ranks, tail};

/// The answer of a Kruskal-Wallis test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kruskal {
    /// H, corrected for ties.
    pub h: f64,
    /// Mean rank of each bin, first to last, as a share of n: 0.5 is no effect.
    pub mean_ranks: Vec<f64>,
    /// P(chi-squared with bins - 1 degrees of freedom >= H); may underflow to 0.
    pub p: f64,
    /// log10 of it.
    pub log10_p: f64,
}

/// Cuts the order into `bins` stretches of equal length (to one rank) and tests whether they have
/// the same distribution of scores. Examples that share a position share the bin of their mid-rank.
///
/// # Errors
/// When columns differ in length, a score is not finite, all are equal, there are fewer than 5
/// examples, or `bins` is below 2, above n/5, or leaves a bin empty.
pub fn kruskal(positions: &[u64], scores: &[f64], bins: u64) -> Result<Kruskal, Refusal> {
    let n = positions.len() as u64;
    if scores.len() as u64 != n {
        let found = scores.len() as u64;
        return Err(Refusal::Length { what: "scores".into(), expected: n, found });
    }
    if n < FEWEST_EXAMPLES {
        return Err(Refusal::TooFew { needed: FEWEST_EXAMPLES, found: n });
    }
    adjust::check_finite("scores", scores)?;
    if let Some(value) = adjust::only_value(scores) {
        return Err(Refusal::Constant { what: "scores".into(), value, hint: "" });
    }
    if bins < 2 || bins > n / 5 {
        let range = "at least 2 and at most a fifth of the examples";
        return Err(Refusal::OutOfRange { what: "bins", value: bins as f64, range });
    }
    let mut sums = vec![(0_i128, 0_u64); bins as usize];
    let score_ranks = ranks::of_scores(scores);
    for (place, rank) in ranks::of_positions(positions).into_iter().zip(&score_ranks) {
        // A doubled, centred rank of -(n-1)..=n-1 back to 0..n.
        let from_start = (place + n as i64 - 1) as u128 / 2;
        let bin = (from_start * u128::from(bins) / u128::from(n)) as usize;
        sums[bin].0 += i128::from(*rank);
        sums[bin].1 += 1;
    }
    if let Some(empty) = sums.iter().position(|(_, count)| *count == 0) {
        let (value, range) = (empty as f64, "a bin with examples; use fewer bins");
        return Err(Refusal::OutOfRange { what: "the empty bin", value, range });
    }
    let size = n as f64;
    // H = (n-1) Σ_bins (sum of centred ranks)²/count / Σ centred ranks²; doubling cancels, and the
    // denominator is the correction for ties.
    let between: f64 = sums.iter().map(|&(sum, count)| (sum as f64).powi(2) / count as f64).sum();
    let within: i128 = score_ranks.iter().map(|rank| i128::from(*rank) * i128::from(*rank)).sum();
    let h = (size - 1.0) * between / within as f64;
    let ln_p = tail::ln_chi_squared_tail(h, bins as f64 - 1.0);
    let mean = |&(sum, count): &(i128, u64)| 0.5 + sum as f64 / count as f64 / (2.0 * size);
    Ok(Kruskal {
        h,
        mean_ranks: sums.iter().map(mean).collect(),
        p: ln_p.exp(),
        log10_p: ln_p / LN_10,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_in_the_middle_is_found_though_no_rank_correlation_sees_it() {
        let positions: Vec<u64> = (0..100).collect();
        let scores: Vec<f64> = (0..100)
            .map(|k| f64::from(k * 37 % 100) + if (40..60).contains(&k) { 90.0 } else { 0.0 })
            .collect();
        let found = kruskal(&positions, &scores, 5).unwrap();
        assert!(found.p < 1e-6 && found.mean_ranks[2] > 0.8, "{found:?}");
        assert!(super::super::Query::new(&positions, &scores).run().unwrap().p > 0.01);
    }

    #[test]
    fn bins_that_cannot_be_compared_are_refused() {
        let positions: Vec<u64> = (0..20).collect();
        let scores: Vec<f64> = (0..20).map(f64::from).collect();
        for bins in [0, 1, 5, u64::MAX] {
            assert!(matches!(kruskal(&positions, &scores, bins), Err(Refusal::OutOfRange { .. })));
        }
        let heaped = [vec![0; 19], vec![9]].concat();
        assert!(matches!(kruskal(&heaped, &scores, 4), Err(Refusal::OutOfRange { .. })));
    }
}
