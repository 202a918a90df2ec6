//! The observed statistic with what its tails need, for each of the three metrics.

mod kendall;
mod pearson;
mod spearman;

pub(super) use kendall::{
    Concordance, concordance, exact as kendall_exact, kendall, normal as kendall_normal,
    variance as kendall_variance,
};
pub(super) use pearson::{Pairing, pearson, pearson_of};
pub(super) use spearman::{ranked, spearman};

use super::Metric;

/// A correlation of n pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Correlation {
    /// The coefficient, in -1..=1.
    pub(super) r: f64,
    /// 1 - r², without the cancellation of computing it from r; 0 only at |r| = 1.
    pub(super) complement: f64,
    /// Rows that share their position or their score with another.
    pub(super) ties: u64,
}

/// A statistic that draws are compared by.
pub(super) trait Sums:
    Copy + PartialOrd + std::ops::Add<Output = Self> + std::ops::Sub<Output = Self>
{
    /// The absolute value.
    fn size(self) -> Self;
}

impl Sums for i128 {
    fn size(self) -> Self {
        self.abs()
    }
}

impl Sums for i64 {
    fn size(self) -> Self {
        self.abs()
    }
}

impl Sums for f64 {
    fn size(self) -> Self {
        self.abs()
    }
}

/// The coefficient of checked columns.
pub(super) fn measure(metric: Metric, positions: &[u64], scores: &[f64]) -> Correlation {
    match metric {
        Metric::Spearman => spearman(positions, scores),
        Metric::Pearson => pearson(positions, scores, spearman(positions, scores).ties),
        Metric::Kendall => kendall(&concordance(positions, scores)),
    }
}

/// (a·b - c²)/(a·b) with the difference taken exactly, for a, b > 0 and c² <= a·b.
///
/// Sums of squared ranks reach 10^24, their products 10^48: too wide for u128.
fn exact_complement(a: u128, b: u128, c: u128) -> f64 {
    let (ab_high, ab_low) = wide_product(a, b);
    let (cc_high, cc_low) = wide_product(c, c);
    let (low, borrow) = ab_low.overflowing_sub(cc_low);
    let high = ab_high.saturating_sub(cc_high).saturating_sub(u128::from(borrow));
    (as_f64(high, low) / as_f64(ab_high, ab_low)).min(1.0)
}

fn as_f64(high: u128, low: u128) -> f64 {
    high as f64 * 2_f64.powi(128) + low as f64
}

/// The 256-bit product, schoolbook on 64-bit halves.
fn wide_product(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 64);
    let other = a0 * b1 + (middle & LOW);
    (a1 * b1 + (middle >> 64) + (other >> 64), other << 64 | low & LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_wider_than_128_bits_are_exact() {
        assert_eq!(wide_product(u128::MAX, u128::MAX), (u128::MAX - 1, 1));
        assert_eq!(wide_product(1 << 100, 1 << 100), (1 << 72, 0));
        assert_eq!(wide_product(7, 6), (0, 42));
    }

    #[test]
    fn the_complement_of_nearly_one_keeps_its_digits() {
        // 1 - (10^24 - 1)²/10^48 = 2e-24 - 1e-48, which 1 - r·r in f64 would call 0.
        let found = exact_complement(10_u128.pow(24), 10_u128.pow(24), 10_u128.pow(24) - 1);
        assert!((found / 2e-24 - 1.0).abs() < 1e-14, "{found:e}");
    }
}
