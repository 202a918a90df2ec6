//! Exact permutation p-values: all orders of a few examples, and the single orders at the end of
//! any number of them.

use super::Metric;
use super::correlation::Pairing;
use super::ranks;
use super::tail::{self, LogTails};

/// Examples up to which all orders are visited: 9! = 362,880.
pub const MOST_EXAMPLES: usize = 9;

/// Visits all orders of the scores against the positions.
///
/// Spearman and Kendall compare integers. Pearson's Σ xy of the centred columns is computed with a
/// rounding error of at most (n+2)·ε·Σ|x||y| <= (n+2)·ε·n (the columns are scaled to size 1-2, so
/// 4n); two orders closer than 1e-13 times that bound of Σ|x||y| count as tied, which can only
/// raise p.
pub(super) fn all_orders(metric: Metric, positions: &[u64], scores: &[f64]) -> LogTails {
    match metric {
        Metric::Spearman => {
            let (a, b) = (ranks::of_positions(positions), ranks::of_scores(scores));
            count(a.len(), 0, |order| order.iter().zip(&a).map(|(&j, a)| a * b[j]).sum::<i64>())
        }
        Metric::Kendall => {
            let (a, b) = (ranks::of_positions(positions), ranks::of_scores(scores));
            count(a.len(), 0, |order| {
                let pairs = (0..a.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
                let sign = |(i, j): (usize, usize)| {
                    (a[i] - a[j]).signum() * (b[order[i]] - b[order[j]]).signum()
                };
                pairs.map(sign).sum::<i64>()
            })
        }
        Metric::Pearson => {
            let pairing = Pairing::of(&ranks::as_numbers(positions), scores);
            let size: f64 = pairing.x.iter().map(|x| x.abs()).sum::<f64>()
                * pairing.y.iter().fold(0.0, |largest, y| y.abs().max(largest));
            // As integers of 1e-15 of the largest possible sum, 100 of which are the tolerance.
            let unit = 1e15 / size;
            count(positions.len(), 100, |order| {
                let sum: f64 = order.iter().zip(&pairing.x).map(|(&j, x)| x * pairing.y[j]).sum();
                (sum * unit).round() as i64
            })
        }
    }
}

/// Counts the orders whose statistic is as extreme as that of the identity, or closer to it than
/// `tolerance`.
fn count(n: usize, tolerance: i64, statistic: impl Fn(&[usize]) -> i64) -> LogTails {
    let mut order: Vec<usize> = (0..n).collect();
    let observed = statistic(&order);
    let (mut less, mut greater, mut two_sided, mut all) = (0_u32, 0_u32, 0_u32, 0_u32);
    let mut visit = |order: &[usize]| {
        let value = statistic(order);
        less += u32::from(value <= observed + tolerance);
        greater += u32::from(value >= observed - tolerance);
        two_sided += u32::from(value.abs() >= observed.abs() - tolerance);
        all += 1;
    };
    // Heap's algorithm (1963) without recursion.
    visit(&order);
    let mut turns = vec![0; n];
    let mut place = 1;
    while place < n {
        if turns[place] < place {
            let other = if place % 2 == 0 { 0 } else { turns[place] };
            order.swap(other, place);
            visit(&order);
            turns[place] += 1;
            place = 1;
        } else {
            turns[place] = 0;
            place += 1;
        }
    }
    let ln = |count: u32| (f64::from(count) / f64::from(all)).ln();
    LogTails { less: ln(less), greater: ln(greater), two_sided: ln(two_sided) }
}

/// The tails of a perfect correlation: the share of orders that keep the values of the scores where
/// they are, Π t! / n! over tie groups of size t, and for the other sign the share that reverses
/// them, which is the same if the tie groups are (`mirrored`) and none otherwise.
pub(super) fn perfect(scores: &[f64], sign: f64, mirrored: bool) -> LogTails {
    let sizes = ranks::group_sizes(scores);
    let same: f64 = sizes.iter().map(|&size| tail::ln_factorial(size)).sum();
    let near = same - tail::ln_factorial(scores.len() as u64);
    let two_sided = if mirrored { near + std::f64::consts::LN_2 } else { near };
    if sign < 0.0 {
        LogTails { less: near, greater: 0.0, two_sided }
    } else {
        LogTails { less: 0.0, greater: near, two_sided }
    }
}

/// Whether the tie groups of the scores read the same from both ends.
pub(super) fn groups_mirror(scores: &[f64]) -> bool {
    let sizes = ranks::group_sizes(scores);
    sizes.iter().eq(sizes.iter().rev())
}
