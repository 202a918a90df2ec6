//! Spearman's rank correlation from exact integer sums.

use super::{Correlation, exact_complement};
use crate::provenance::ranks::{PositionRanks, Record, centred, each_group, order_key, sort};

/// Spearman's ρ = Σ ab / sqrt(Σ a² Σ b²) of the doubled, centred mid-ranks a of the positions and
/// b of the scores; the sums are exact, whatever n and the ties.
///
/// Neither argument may be constant, and no score NaN. O(n log n); 32 bytes a row.
pub(crate) fn spearman(positions: &[u64], scores: &[f64]) -> Correlation {
    let n = positions.len();
    let mut records: Vec<Record> = Vec::with_capacity(n);
    let mut squares_a = 0_i128;
    {
        let ranks = PositionRanks::of(positions);
        for (row, (&position, &score)) in positions.iter().zip(scores).enumerate() {
            let load = ranks.marked(row, position, n);
            squares_a += square(load >> 1);
            records.push(Record { key: order_key(score), load });
        }
    }
    sort(&mut records);
    let (mut products, mut squares_b, mut ties) = (0_i128, 0_i128, 0_u64);
    each_group(&records, |before, group| {
        let b = centred(before, group.len(), n);
        // Below 2^62 for any n that fits in memory.
        let a: i64 = group.iter().map(|record| record.load >> 1).sum();
        products += i128::from(a) * i128::from(b);
        squares_b += square(b) * group.len() as i128;
        ties += if group.len() > 1 { group.len() as u64 } else { (group[0].load & 1) as u64 };
    });
    let complement = exact_complement(
        squares_a.unsigned_abs(),
        squares_b.unsigned_abs(),
        products.unsigned_abs(),
    );
    // By Cauchy-Schwarz |r| is 1 only if the integers say so; rounding must not say it.
    let r = if complement == 0.0 {
        products.signum() as f64
    } else {
        let most = 1.0_f64.next_down();
        (products as f64 / (squares_a as f64 * squares_b as f64).sqrt()).clamp(-most, most)
    };
    Correlation { r, complement, ties }
}

fn square(value: i64) -> i128 {
    i128::from(value) * i128::from(value)
}
