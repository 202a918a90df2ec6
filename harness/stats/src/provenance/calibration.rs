//! Are the p-values what they claim to be? Uniformity over independent null runs, the fractions in
//! the tail, and exhaustive checks that need no training.
//!
//! Every null p-value needs a fresh order. Many models against one order share its accidental
//! correlation with the difficulty of the examples, and correct code then fails any check.

mod kolmogorov;
pub mod public;

use serde::{Deserialize, Serialize};

pub use kolmogorov::kolmogorov_tail;

use super::{Finding, Metric, Query, Refusal};
use ledger::order::shuffle;
use ledger::seed::Seed;
use ledger::streams::Streams;

/// The fractions that are checked in the tail, where Kolmogorov-Smirnov is blind.
const LEVELS: [f64; 2] = [0.05, 0.01];

/// How many p-values fell below a level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailFraction {
    /// The level.
    pub level: f64,
    /// The fraction of p-values below it.
    pub fraction: f64,
    /// level - 3 sqrt(level (1 - level)/n), at least 0.
    pub low: f64,
    /// level + 3 sqrt(level (1 - level)/n), at most 1.
    pub high: f64,
    /// The fraction is within low..=high.
    pub inside: bool,
}

/// The calibration of independent p-values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// How many p-values.
    pub n: u64,
    /// The largest distance between their distribution function and the diagonal.
    pub ks_statistic: f64,
    /// Two-sided Kolmogorov-Smirnov p against U(0, 1).
    pub ks_p: f64,
    /// The fractions below 0.05 and 0.01.
    pub tails: Vec<TailFraction>,
}

/// Compares independent p-values with U(0, 1).
///
/// # Errors
/// For fewer than 2, and for a value outside 0..=1.
pub fn calibrate(ps: &[f64]) -> Result<Calibration, Refusal> {
    let n = ps.len() as u64;
    if n < 2 {
        let (what, of) = ("a calibration", "p-values");
        return Err(Refusal::TooFewOf { what, needed: 2, of, found: n });
    }
    if let Some(&value) = ps.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Refusal::OutOfRange { what: "a p-value", value, range: "within 0 to 1" });
    }
    let mut sorted = ps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let size = n as f64;
    let ks_statistic = sorted.iter().enumerate().fold(0.0_f64, |largest, (before, p)| {
        largest.max((before as f64 + 1.0) / size - p).max(p - before as f64 / size)
    });
    let tails = LEVELS.map(|level| {
        let fraction = ps.iter().filter(|p| **p < level).count() as f64 / size;
        let band = 3.0 * (level * (1.0 - level) / size).sqrt();
        let (low, high) = ((level - band).max(0.0), (level + band).min(1.0));
        TailFraction { level, fraction, low, high, inside: (low..=high).contains(&fraction) }
    });
    Ok(Calibration {
        n,
        ks_statistic,
        ks_p: kolmogorov_tail(n, ks_statistic),
        tails: tails.to_vec(),
    })
}

/// p-values of the query under `count` fresh uniform assignments of its positions: the cheapest
/// check of the null, without training. Draw k comes from its own stream of `seed`.
///
/// # Errors
/// As [`Query::run`].
pub fn fresh_permutations(query: &Query, count: u32, seed: u64) -> Result<Vec<Finding>, Refusal> {
    let streams = Streams::new(Seed::from_integer(seed).bytes);
    let mut rows: Vec<u32> = (0..query.positions.len() as u32).collect();
    let mut found = Vec::with_capacity(count as usize);
    for k in 0..count {
        shuffle(&mut streams.keyed("provenance/calibration", k, 0), &mut rows);
        let moved: Vec<u64> = rows.iter().map(|&row| query.positions[row as usize]).collect();
        found.push(Query { positions: &moved, ..query.clone() }.run()?);
    }
    Ok(found)
}

/// The exhaustive check of the exact branch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enumeration {
    /// Orders visited: n!.
    pub orders: u64,
    /// Each p-value that occurs with the fraction of orders whose p is at most it.
    pub atoms: Vec<(f64, f64)>,
    /// P(p <= a) <= a for every a, with equality at every atom.
    pub valid: bool,
}

/// Tests these scores against every order of as many positions, exactly.
///
/// # Errors
/// As [`Query::run`]; also for more scores than the exact branch takes.
pub fn enumerate_orders(metric: Metric, scores: &[f64]) -> Result<Enumeration, Refusal> {
    if scores.len() > super::MOST_EXAMPLES {
        return Err(Refusal::OutOfRange {
            what: "the number of scores",
            value: scores.len() as f64,
            range: "at most 9, so that all orders can be visited",
        });
    }
    let mut positions: Vec<u64> = (0..scores.len() as u64).collect();
    let mut ps = Vec::new();
    loop {
        ps.push(Query { metric, ..Query::new(&positions, scores) }.run()?.p);
        if !next_permutation(&mut positions) {
            break;
        }
    }
    ps.sort_by(f64::total_cmp);
    let orders = ps.len() as f64;
    let mut below = 0;
    // Equal counts give equal p up to the rounding of exp and ln.
    let atoms: Vec<(f64, f64)> = ps
        .chunk_by(|a, b| (a - b).abs() < 1e-12)
        .map(|group| {
            below += group.len();
            (group[0], below as f64 / orders)
        })
        .collect();
    let valid = atoms.iter().all(|(p, fraction)| (p - fraction).abs() < 1e-12);
    Ok(Enumeration { orders: ps.len() as u64, atoms, valid })
}

/// The next order in lexicographic order; false after the last.
pub(super) fn next_permutation(values: &mut [u64]) -> bool {
    let Some(pivot) = values.windows(2).rposition(|pair| pair[0] < pair[1]) else { return false };
    let Some(larger) = values.iter().rposition(|value| *value > values[pivot]) else {
        return false;
    };
    values.swap(pivot, larger);
    values[pivot + 1..].reverse();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_three_standard_errors() {
        let ps: Vec<f64> = (0..200).map(|k| (f64::from(k) + 0.5) / 200.0).collect();
        let found = calibrate(&ps).unwrap();
        assert!((found.ks_statistic - 0.0025).abs() < 1e-12 && found.ks_p > 0.999);
        let five = found.tails[0];
        assert!(
            (five.low - 0.00377).abs() < 1e-5 && (five.high - 0.09623).abs() < 1e-5,
            "{five:?}"
        );
        assert!(five.inside && (five.fraction - 0.05).abs() < 1e-12);
    }

    #[test]
    fn p_values_that_are_too_small_are_caught_in_both_checks() {
        let ps: Vec<f64> = (0..200).map(|k| ((f64::from(k) + 0.5) / 200.0).powi(3)).collect();
        let found = calibrate(&ps).unwrap();
        assert!(
            found.ks_p < 1e-10 && !found.tails[0].inside && !found.tails[1].inside,
            "{found:?}"
        );
    }

    #[test]
    fn what_is_no_p_value_is_refused() {
        assert!(matches!(calibrate(&[0.5]), Err(Refusal::TooFewOf { .. })));
        assert!(matches!(calibrate(&[0.5, 1.5]), Err(Refusal::OutOfRange { value: 1.5, .. })));
        assert!(matches!(calibrate(&[0.5, f64::NAN]), Err(Refusal::OutOfRange { .. })));
    }

    #[test]
    fn every_order_of_six_gives_an_exact_p_that_is_uniform_on_its_atoms() {
        let plain = [0.3, -1.0, 2.5, 0.9, 0.1, 4.0];
        let tied = [0.0, 1.0, 1.0, 0.0, 2.0, 1.0];
        for metric in Metric::ALL {
            for scores in [plain, tied] {
                let found = enumerate_orders(*metric, &scores).unwrap();
                assert_eq!(found.orders, 720);
                assert!(found.valid, "{metric} {found:?}");
            }
        }
    }

    #[test]
    fn every_one_of_the_5040_orders_of_seven_keeps_its_level() {
        for scores in [[0.3, -1.0, 2.5, 0.9, 0.1, 4.0, 1.1], [0.0, 1.0, 1.0, 0.0, 2.0, 1.0, 2.0]] {
            let found = enumerate_orders(Metric::Spearman, &scores).unwrap();
            assert_eq!(found.orders, 5040);
            assert!(found.valid && found.atoms.len() > 10, "{found:?}");
        }
    }

    #[test]
    fn fresh_permutations_give_uniform_p_values() {
        let mut rng = Streams::new([1; 32]).generator("scores");
        for n in [50, 500] {
            let noise: Vec<f64> = (0..n).map(|_| ledger::streams::normal_f64(&mut rng)).collect();
            let tied: Vec<f64> = noise.iter().map(|value| (2.0 * value).round()).collect();
            let positions: Vec<u64> = (0..n).collect();
            for scores in [noise, tied] {
                let query = Query::new(&positions, &scores);
                let ps: Vec<f64> = fresh_permutations(&query, 1000, 7)
                    .unwrap()
                    .into_iter()
                    .map(|finding| finding.p)
                    .collect();
                let found = calibrate(&ps).unwrap();
                assert!(found.ks_p > 0.01 && found.tails[0].inside, "{n} {found:?}");
            }
        }
    }
}
