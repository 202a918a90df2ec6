//! Kendall's tau-b from exact counts of concordant and discordant pairs.
//!
//! Source: Knight (1966), JASA 61, 436-439, for the O(n log n) count; Kendall (1970), Rank
//! Correlation Methods, chapters 3-5, for the exact distribution and the variance under ties.

use super::{Correlation, exact_complement};
use crate::provenance::ranks::{Record, order_key, sort};
use crate::provenance::tail::{self, LogTails};

/// Orders up to which 34! fits in u128 and the exact distribution is cheap.
const EXACT: u64 = 33;

/// Counts over all pairs of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Concordance {
    /// Concordant minus discordant pairs.
    pub(crate) difference: i64,
    /// Discordant pairs.
    pub(crate) discordant: u64,
    /// Pairs that differ in the position.
    pub(crate) positions_differ: u64,
    /// Pairs that differ in the score.
    pub(crate) scores_differ: u64,
    /// Rows that share their position or their score with another.
    pub(crate) ties: u64,
    position_ties: TieSums,
    score_ties: TieSums,
}

/// Sums over tie groups of size t that the variance needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct TieSums {
    /// Σ t(t-1).
    two: u128,
    /// Σ t(t-1)(t-2).
    three: u128,
    /// Σ t(t-1)(2t+5).
    variance: u128,
}

impl TieSums {
    fn add(&mut self, size: usize) {
        let t = size as u128;
        self.two += t * (t - 1);
        self.three += if t > 2 { t * (t - 1) * (t - 2) } else { 0 };
        self.variance += t * (t - 1) * (2 * t + 5);
    }
}

/// Counts the pairs: sort by position and score, then count the swaps of a merge sort by score.
pub(crate) fn concordance(positions: &[u64], scores: &[f64]) -> Concordance {
    let n = positions.len();
    let mut records: Vec<Record> = scores
        .iter()
        .zip(0..)
        .map(|(&score, load)| Record { key: order_key(score), load })
        .collect();
    sort(&mut records);
    // From here on the key is the position and the load the number of the score's tie group, twice,
    // plus 1 if that group has more than one row.
    let mut score_ties = TieSums::default();
    let mut start = 0;
    let mut number = 0;
    while start < n {
        let key = records[start].key;
        let size = records[start..].iter().take_while(|record| record.key == key).count();
        for record in &mut records[start..start + size] {
            record.key = positions[record.load as usize];
            record.load = 2 * number + i64::from(size > 1);
        }
        score_ties.add(size);
        number += 1;
        start += size;
    }
    // Stable, so that rows of one position stay in the order of their scores.
    sort(&mut records);
    let (mut position_ties, mut both_tied, mut ties) = (TieSums::default(), 0_u128, 0);
    for group in records.chunk_by(|a, b| a.key == b.key) {
        position_ties.add(group.len());
        for same in group.chunk_by(|a, b| a.load == b.load) {
            both_tied += (same.len() * (same.len() - 1)) as u128;
        }
        let alone = |record: &&Record| group.len() == 1 && record.load & 1 == 0;
        ties += (group.len() - group.iter().filter(alone).count()) as u64;
    }
    let mut order: Vec<i64> = records.into_iter().map(|record| record.load).collect();
    let discordant = inversions(&mut order);
    let pairs = |twice: u128| (twice / 2) as u64;
    let all = pairs(n as u128 * (n as u128 - 1));
    let positions_differ = all - pairs(position_ties.two);
    let scores_differ = all - pairs(score_ties.two);
    let concordant = positions_differ + pairs(both_tied) - pairs(score_ties.two) - discordant;
    Concordance {
        difference: concordant as i64 - discordant as i64,
        discordant,
        positions_differ,
        scores_differ,
        ties,
        position_ties,
        score_ties,
    }
}

/// Pairs out of order, by merge sort from the bottom up.
fn inversions(values: &mut Vec<i64>) -> u64 {
    let n = values.len();
    let mut buffer = vec![0; n];
    let (mut width, mut count) = (1, 0);
    while width < n {
        for start in (0..n).step_by(2 * width) {
            let middle = (start + width).min(n);
            let end = (start + 2 * width).min(n);
            let (mut left, mut right) = (start, middle);
            for slot in &mut buffer[start..end] {
                let from_left = left < middle && (right == end || values[left] <= values[right]);
                let next = if from_left { &mut left } else { &mut right };
                *slot = values[*next];
                *next += 1;
                if !from_left {
                    count += (middle - left) as u64;
                }
            }
        }
        std::mem::swap(values, &mut buffer);
        width *= 2;
    }
    count
}

/// tau-b = (C - D)/sqrt((pairs that differ in position)(pairs that differ in score)).
pub(crate) fn kendall(counts: &Concordance) -> Correlation {
    let (a, b) = (counts.positions_differ, counts.scores_differ);
    let difference = u128::from(counts.difference.unsigned_abs());
    let complement = exact_complement(a.into(), b.into(), difference);
    let r = if complement == 0.0 {
        counts.difference.signum() as f64
    } else {
        counts.difference as f64 / (a as f64 * b as f64).sqrt()
    };
    Correlation { r, complement, ties: counts.ties }
}

/// The exact tails under the permutation null where they are cheap: the distribution of the number
/// of inversions for up to 33 rows without ties, and beyond that where at most one pair is out of
/// place.
pub(crate) fn exact(counts: &Concordance, n: u64) -> Option<LogTails> {
    let untied = counts.position_ties.two == 0 && counts.score_ties.two == 0;
    let all = counts.positions_differ;
    let fewer = counts.discordant.min(all - counts.discordant);
    (untied && (n <= EXACT || fewer <= 1)).then(|| exact_tails(counts.discordant, all, n))
}

/// The normal form: a deviate with the variance under ties, as SciPy's `kendalltau`.
pub(crate) fn normal(counts: &Concordance, n: u64) -> LogTails {
    tail::normal(counts.difference as f64 / variance(counts, n).sqrt())
}

/// Variance of concordant minus discordant pairs over all orders, ties included.
pub(crate) fn variance(counts: &Concordance, n: u64) -> f64 {
    let (size, x, y) = (n as f64, &counts.position_ties, &counts.score_ties);
    let ordered = size * (size - 1.0);
    (ordered * (2.0 * size + 5.0) - x.variance as f64 - y.variance as f64) / 18.0
        + 2.0 * (x.two as f64 / 2.0) * (y.two as f64 / 2.0) / ordered
        + x.three as f64 * y.three as f64 / (9.0 * ordered * (size - 2.0))
}

/// Many discordant pairs mean a small tau: P(tau <= observed) = P(inversions >= discordant).
fn exact_tails(discordant: u64, all: u64, n: u64) -> LogTails {
    let less = ln_at_most(all - discordant, n);
    let greater = ln_at_most(discordant, n);
    let two_sided = if 2 * discordant == all {
        0.0
    } else {
        (less.min(greater) + std::f64::consts::LN_2).min(0.0)
    };
    LogTails { less, greater, two_sided }
}

/// ln of the share of the n! orders with at most `most` inversions.
fn ln_at_most(most: u64, n: u64) -> f64 {
    if n > EXACT {
        // Reached only for 0 or 1 inversions (1 and n-1 orders) and for their complements.
        return match most {
            0 => -tail::ln_factorial(n),
            1 => (n as f64).ln() - tail::ln_factorial(n),
            _ => {
                let missing = n * (n - 1) / 2 - most;
                (-ln_at_most(missing.saturating_sub(1), n).exp()).ln_1p()
            }
        };
    }
    // counts[k] orders of `size` rows have k inversions: at most 33!, exact in u128.
    let most = most as usize;
    let mut counts = vec![0_u128; most + 1];
    counts[0] = 1;
    for size in 2..=n as usize {
        let before = counts.clone();
        for (k, count) in counts.iter_mut().enumerate() {
            *count = before[k.saturating_sub(size - 1)..=k].iter().sum();
        }
    }
    let all: u128 = (1..=u128::from(n)).product();
    let some: u128 = counts.iter().sum();
    if 2 * some > all {
        (-((all - some) as f64 / all as f64)).ln_1p()
    } else {
        (some as f64 / all as f64).ln()
    }
}
