//! The distribution of a correlation over all orders, where the closed form does not hold.
//!
//! Given its ties, a correlation is S = Σ n_ij a_i b_j over a table that counts how often position
//! value i meets score value j; over all orders the table has its margins fixed and is otherwise
//! random. The t form takes S for normal in all but its variance. It is off where a few rows carry
//! the variance on both sides (rare positions, rare scores), where S takes few values, and far out
//! in the tail. [`ClosedForm::error`] says by how much, from the third and fourth cumulants of S.
//!
//! Where it is off, [`tails`] adds up the tables if they are few ([`table`]) and otherwise takes the
//! saddlepoint approximation of the same distribution ([`saddlepoint`]), if S is fine enough for it.

mod inversions;
mod margin;
mod saddlepoint;
mod table;

pub(super) use inversions::tails as kendall;
pub(super) use margin::{Margin, Shape, divisor};

use std::f64::consts::LN_10;

use super::Refusal;
use super::correlation::Correlation;
use super::tail::{self, LogTails};
use saddlepoint::Saddlepoint;

/// Largest error of ln p that the closed form may have by its cumulants: a twentieth of a decade.
const CLOSED_WITHIN: f64 = 0.05 * LN_10;

/// Deviate below which the error is not looked for: there it only decides between large p-values.
const LEAST_DEVIATE: f64 = 2.0;

/// |r| above which the cumulants say too little of the tail.
const LARGEST_CLOSED: f64 = 0.5;

/// Largest error of ln p that gaps between the values of the statistic may be expected to make: 0.03
/// in log10 p.
const MOST_RIPPLE: f64 = 0.03 * LN_10;

/// Tables, partial ones included, that are added up at most.
const MOST_TABLES: usize = 1 << 20;

/// What decides whether the closed form holds: see [`ClosedForm::error`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosedForm {
    /// Examples.
    pub(super) n: u64,
    /// Skewness of the statistic over all orders.
    pub(super) skewness: f64,
    /// Its excess kurtosis beyond that of the closed form.
    pub(super) kurtosis: f64,
    /// Distance of the values that it takes, in standard deviations; 0 where they lie dense.
    pub(super) step: f64,
}

impl ClosedForm {
    /// The t form of a correlation of columns with these shapes: Pitman (1937), Supplement to the
    /// Journal of the Royal Statistical Society 4, 225-232, gives E r³ and E r⁴ over all orders; the
    /// t form has skewness 0 and excess kurtosis -6/(n+1).
    pub(super) fn of_t(n: u64, a: &Shape, b: &Shape) -> Self {
        let size = n as f64;
        let skewness = (size - 2.0) / (size * (size - 1.0).sqrt()) * a.skewness * b.skewness;
        let kurtosis = (size - 2.0) * (size - 3.0) / (size * (size + 1.0) * (size - 1.0))
            * (a.kurtosis * b.kurtosis);
        Self { n, skewness, kurtosis, step: a.step * b.step * (size - 1.0).sqrt() / size }
    }

    /// The normal form of Kendall's S, whose variance is `variance`. Over all orders S is nearly
    /// linear in the mid-ranks, from which it has its skewness; its excess kurtosis is theirs, or
    /// -2.16/n without ties (Kendall and Gibbons 1990, Rank Correlation Methods, chapter 5).
    pub(super) fn of_normal(n: u64, [a, b]: &[Shape; 2], variance: f64) -> Self {
        let size = n as f64;
        let kurtosis = Self::of_ranks(n, [a, b]).kurtosis.abs().max(2.2 / size);
        Self { kurtosis, step: 2.0 / variance.sqrt(), ..Self::of_t(n, a, b) }
    }

    /// The excess kurtosis of the linear statistic itself, where it is positive, and no step: what
    /// makes a normal form with a continuity correction too small, and not what makes it too large.
    pub(super) fn of_normal_bound(n: u64, [a, b]: &[Shape; 2]) -> Self {
        let linear = Self::of_ranks(n, [a, b]);
        Self { kurtosis: linear.kurtosis.max(0.0), ..linear }
    }

    fn of_ranks(n: u64, [a, b]: [&Shape; 2]) -> Self {
        let beside_t = Self::of_t(n, a, b);
        Self { kurtosis: beside_t.kurtosis - 6.0 / (n as f64 + 1.0), step: 0.0, ..beside_t }
    }

    /// About how far ln p of the closed form is off for a statistic of deviate z = r·sqrt(n-1): the
    /// terms of the exponent that it leaves out, |κ3||z|³/6 + |κ4|z⁴/24, and half a step.
    pub(super) fn error(&self, z: f64) -> f64 {
        let z = z.abs().max(LEAST_DEVIATE);
        self.skewness.abs() * z.powi(3) / 6.0
            + self.kurtosis.abs() * z.powi(4) / 24.0
            + self.step * z / 2.0
    }

    /// Whether the closed form is to be used for the coefficient r.
    pub(super) fn holds(&self, r: f64) -> bool {
        let z = r * (self.n as f64 - 1.0).sqrt();
        r.abs() <= LARGEST_CLOSED && self.error(z) <= CLOSED_WITHIN
    }
}

/// How tails were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Exact,
    ClosedForm,
    Saddlepoint,
    /// A closed form that is known to be too large.
    Bound,
}

/// The tails of a rank or product-moment correlation of n examples: by the t form where that holds,
/// otherwise over all orders, the margins being those that `margins` makes.
pub(super) fn linear(
    found: &Correlation,
    n: u64,
    shapes: &[Shape; 2],
    margins: impl FnOnce() -> [Margin; 2],
) -> Result<(LogTails, Method), Refusal> {
    if ClosedForm::of_t(n, &shapes[0], &shapes[1]).holds(found.r) {
        return Ok((tail::student(found.r, found.complement, n), Method::ClosedForm));
    }
    let [rows, columns] = margins();
    tails(&rows, &columns, found.r).ok_or(Refusal::TooCoarse)
}

/// The tails of a linear statistic over all orders: exact where the tables are few, else by
/// saddlepoint; `None` where S is too coarse for that. `r` is the observed coefficient.
fn tails(rows: &Margin, columns: &Margin, r: f64) -> Option<(LogTails, Method)> {
    if let (&[low, high], &[left, right]) = (rows.counts.as_slice(), columns.counts.as_slice()) {
        let n = (low + high) as f64;
        let [low_, high_, left_, right_] = [low, high, left, right].map(|count| count as f64);
        let mean = high_ * right_ / n;
        let both = mean + r * (low_ * high_ * left_ * right_).sqrt() / n;
        let tails = table::hypergeometric(low + high, high, right, both.round() as u64);
        return Some((tails, Method::Exact));
    }
    let exact = exact_tails(rows, columns, r, MOST_TABLES).map(|tails| (tails, Method::Exact));
    exact.or_else(|| {
        let found = Saddlepoint::new(rows, columns).tails(r)?;
        (found.ripple <= MOST_RIPPLE).then_some((found.tails, Method::Saddlepoint))
    })
}

/// The tails by adding up all tables.
fn exact_tails(rows: &Margin, columns: &Margin, r: f64, most: usize) -> Option<LogTails> {
    // As few states as possible, and the largest column last: what is left is its.
    let (rows, columns) =
        if rows.states() <= columns.states() { (rows, columns) } else { (columns, rows) };
    if rows.states() > most as f64 {
        return None;
    }
    let mut order: Vec<usize> = (0..columns.counts.len()).collect();
    let far = |column: usize| columns.values[column].abs();
    order.sort_by(|&a, &b| {
        // By distance and not by side, so that turned scores have as many tables to look at.
        columns.counts[a].cmp(&columns.counts[b]).then(far(a).total_cmp(&far(b)))
    });
    let counts: Vec<u64> = order.iter().map(|&column| columns.counts[column]).collect();
    let (weights, unit) = margin::products(rows, columns);
    let gain = |_: &[u64], taken: &[u64], column: usize| {
        let weights = &weights[order[column]];
        taken.iter().zip(weights).map(|(count, weight)| i128::from(*count) * weight).sum()
    };
    let found = table::distribution(&rows.counts, &counts, &gain, most)?;
    let n = rows.examples() as f64;
    // Sums closer than this count as equal: far above the rounding of r and of quantised values, far
    // below the distance of sums of ranks. It can only raise p.
    Some(table::tails_of(&found, r * n * unit, 1e-13 * n * unit))
}

#[cfg(test)]
mod tests;
