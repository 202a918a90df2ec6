//! Kendall's S over all orders.

use super::table::{distribution, ln_choose, tails_of};
use super::{CLOSED_WITHIN, ClosedForm, MOST_TABLES, Margin, Method, Shape, linear};
use crate::provenance::Refusal;
use crate::provenance::correlation::{Concordance, Correlation, kendall_normal, kendall_variance};
use crate::provenance::tail::{LogTails, ln_normal_tail, normal};
use std::f64::consts::{LN_2, PI};

/// The tails of concordant minus discordant pairs of n examples, ties of these sizes (in the order
/// of the values) on both sides: by the normal form where it holds, otherwise over all orders.
///
/// `ranked` is Spearman's correlation of the same columns: with two values on a side S is linear in
/// the mid-ranks of the other, and its p-value is that of Spearman.
pub(in crate::provenance) fn tails(
    counts: &Concordance,
    n: u64,
    ranked: &Correlation,
    shapes: &[Shape; 2],
    sizes: impl FnOnce() -> [Vec<u64>; 2],
) -> Result<(LogTails, Method), Refusal> {
    if let Some(found) = closed_form(counts, n, shapes) {
        return Ok((found, Method::ClosedForm));
    }
    let [positions, scores] = sizes();
    let found = approximate(counts, n, shapes, &positions, &scores);
    if let Some((tails, Method::Saddlepoint)) = found {
        return Ok((tails, Method::Saddlepoint));
    }
    if positions.len() == 2 || scores.len() == 2 {
        return linear(ranked, n, shapes, || {
            [Margin::of_ranks(&positions), Margin::of_ranks(&scores)]
        });
    }
    match exact(&positions, &scores, counts.difference) {
        Some(found) => Ok((found, Method::Exact)),
        None => found.ok_or(Refusal::TooCoarse),
    }
}

/// The normal form where it holds.
pub(super) fn closed_form(counts: &Concordance, n: u64, shapes: &[Shape; 2]) -> Option<LogTails> {
    let variance = kendall_variance(counts, n);
    let z = counts.difference as f64 / variance.sqrt();
    let closed = ClosedForm::of_normal(n, shapes, variance);
    closed.holds(z / (n as f64 - 1.0).sqrt()).then(|| kendall_normal(counts, n))
}

/// Without ties on a side the saddlepoint; otherwise the normal form as an upper bound, where it is
/// one.
pub(super) fn approximate(
    counts: &Concordance,
    n: u64,
    shapes: &[Shape; 2],
    positions: &[u64],
    scores: &[u64],
) -> Option<(LogTails, Method)> {
    let untied = |sizes: &[u64]| sizes.iter().all(|size| *size == 1);
    if untied(positions) || untied(scores) {
        let tied = if untied(positions) { scores } else { positions };
        return Some((Inversions::new(tied).tails(counts.difference), Method::Saddlepoint));
    }
    let deviation = kendall_variance(counts, n).sqrt();
    let z = counts.difference as f64 / deviation;
    // The tails of S are lighter than normal ones unless rare rows on both sides make them heavy.
    if ClosedForm::of_normal_bound(n, shapes).error(z) > CLOSED_WITHIN {
        return None;
    }
    // Values of S are at most 2 apart.
    let size = (counts.difference.unsigned_abs() as f64 - 1.0).max(0.0);
    let bound = normal(size.copysign(z) / deviation);
    Some((bound, Method::Bound))
}

/// The tails by adding up all tables.
pub(super) fn exact(rows: &[u64], columns: &[u64], difference: i64) -> Option<LogTails> {
    let states = |sizes: &[u64]| Margin::of_ranks(sizes).states();
    let (rows, columns) =
        if states(rows) <= states(columns) { (rows, columns) } else { (columns, rows) };
    // Always from the same end, so that turned scores have as many tables to look at.
    let turned: Vec<u64> = columns.iter().rev().copied().collect();
    if turned.as_slice() < columns {
        let found = distribution(rows, &turned, &gain, MOST_TABLES)?;
        let tails = tails_of(&found, -difference as f64, 0.5);
        return Some(LogTails { less: tails.greater, greater: tails.less, ..tails });
    }
    let found = distribution(rows, columns, &gain, MOST_TABLES)?;
    Some(tails_of(&found, difference as f64, 0.5))
}

/// Pairs of a row of this column and one of an earlier column: those in the same order of rows count
/// for, the others against.
fn gain(used: &[u64], taken: &[u64], _: usize) -> i128 {
    let (mut below, mut above) = (0_i128, used.iter().sum::<u64>() as i128);
    let mut sum = 0;
    for (used, taken) in used.iter().zip(taken) {
        above -= i128::from(*used);
        sum += i128::from(*taken) * (below - above);
        below += i128::from(*used);
    }
    sum
}

/// Pairs in the wrong order when tie groups are shuffled against a column without ties. Their
/// generating function is the q-multinomial coefficient, so that with g(x) = ln((e^x - 1)/x) the
/// cumulant function is Σ g(kt) over k up to n less the same sums up to each group's size.
pub(super) struct Inversions {
    /// How often k counts: 1, less the groups of at least k.
    weights: Vec<f64>,
    most: u64,
    /// ln of the share of orders without any.
    none: f64,
}

impl Inversions {
    pub(super) fn new(sizes: &[u64]) -> Self {
        let n = sizes.iter().sum::<u64>() as usize;
        let mut ends = vec![0_u64; n + 2];
        sizes.iter().for_each(|size| ends[*size as usize + 1] += 1);
        let mut groups = sizes.len() as u64;
        let weights = (1..=n).map(|k| {
            groups -= ends[k];
            1.0 - groups as f64
        });
        let weights = weights.collect();
        let pairs = |size: u64| size * size.saturating_sub(1) / 2;
        let most = pairs(n as u64) - sizes.iter().copied().map(pairs).sum::<u64>();
        let mut left = n as u64;
        let none = sizes.iter().map(|&size| {
            let ways = ln_choose(left, size);
            left -= size;
            -ways
        });
        Self { weights, most, none: none.sum() }
    }

    /// The tails of a difference S = most - 2·(pairs in the wrong order), which is symmetric.
    pub(super) fn tails(&self, difference: i64) -> LogTails {
        // By symmetry: at least this many in the wrong order.
        let size = difference.unsigned_abs();
        let many = u64::midpoint(self.most, size);
        let near = self.at_least(many);
        let far = if many == self.most { 0.0 } else { (-self.at_least(many + 1).exp()).ln_1p() };
        let two_sided = if size == 0 { 0.0 } else { (near + LN_2).min(0.0) };
        if difference < 0 {
            LogTails { less: near, greater: far, two_sided }
        } else {
            LogTails { less: far, greater: near, two_sided }
        }
    }

    /// ln P of at least this many, from the mean on: the saddlepoint formula of Lugannani and Rice
    /// (1980, Advances in Applied Probability 12, 475-490) for whole numbers (Daniels 1987).
    fn at_least(&self, many: u64) -> f64 {
        if many == self.most {
            return self.none;
        }
        let target = many as f64 - 0.5;
        // The first derivative rises with t.
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut t = 0.0_f64;
        let mut at = self.cumulants(t);
        for _ in 0..200 {
            let missing = target - at[1];
            if missing.abs() <= 1e-9 * target {
                break;
            }
            if missing > 0.0 {
                low = t
            } else {
                high = t
            }
            let next = t + missing / at[2];
            t = match (low.is_finite(), high.is_finite()) {
                (true, true) if !(low < next && next < high) => f64::midpoint(low, high),
                // Far steps are wild ones: the cumulants are those of t = 0 still.
                (true, false) => next.min(2.0 * low + 1.0 / self.weights.len() as f64),
                _ => next,
            };
            at = self.cumulants(t);
        }
        let w = t.signum() * (2.0 * (t * target - at[0])).max(0.0).sqrt();
        let u = 2.0 * (0.5 * t).sinh() * at[2].sqrt();
        let tail = ln_normal_tail(w);
        if w.abs() < 1e-3 {
            return tail;
        }
        let ratio = (-0.5 * w * w - 0.5 * (2.0 * PI).ln() - tail).exp() * (1.0 / u - 1.0 / w);
        (tail + ratio.ln_1p()).min(0.0)
    }

    /// K, K' and K'' at t.
    fn cumulants(&self, t: f64) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for (weight, k) in self.weights.iter().zip(1..) {
            let k = f64::from(k);
            let [g, first, second] = logarithm(k * t);
            sums[0] += weight * g;
            sums[1] += weight * k * first;
            sums[2] += weight * k * k * second;
        }
        sums
    }
}

/// ln((e^x - 1)/x) with its derivatives.
fn logarithm(x: f64) -> [f64; 3] {
    if x.abs() < 1e-2 {
        let square = x * x;
        return [
            0.5 * x + square / 24.0 - square * square / 2880.0,
            0.5 + x / 12.0 - x * square / 720.0,
            1.0 / 12.0 - square / 240.0 + square * square / 6048.0,
        ];
    }
    // (e^x - 1)/x = e^x (1 - e^-x)/x = e^(x/2) sinh(x/2)/(x/2).
    let size = x.abs();
    let decay = (-size).exp();
    let g = 0.5 * x + 0.5 * size + (-decay).ln_1p() - size.ln();
    let first = if x > 0.0 { 1.0 / (1.0 - decay) } else { 1.0 - 1.0 / (1.0 - decay) } - 1.0 / x;
    [g, first, 1.0 / (x * x) - decay / ((1.0 - decay) * (1.0 - decay))]
}
