//! Spearman's rank correlation from exact integer sums.

use super::{Correlation, exact_complement};
use crate::provenance::permutation::{Shape, divisor};
use crate::provenance::ranks::{PositionRanks, Record, centred, each_group, order_key, sort};

/// Spearman's ρ = Σ ab / sqrt(Σ a² Σ b²) of the doubled, centred mid-ranks a of the positions and
/// b of the scores; the sums are exact, whatever n and the ties.
///
/// Neither argument may be constant, and no score NaN. O(n log n); 32 bytes a row.
pub(crate) fn spearman(positions: &[u64], scores: &[f64]) -> Correlation {
    ranked(positions, scores).0
}

/// The same with the shapes of both columns of ranks.
pub(crate) fn ranked(positions: &[u64], scores: &[f64]) -> (Correlation, [Shape; 2]) {
    let n = positions.len();
    let mut records: Vec<Record> = Vec::with_capacity(n);
    let mut squares_a = 0_i128;
    let mut sums_a = Powers::default();
    {
        let ranks = PositionRanks::of(positions);
        for (row, (&position, &score)) in positions.iter().zip(scores).enumerate() {
            let load = ranks.marked(row, position, n);
            squares_a += square(load >> 1);
            sums_a.add(load >> 1, 1.0);
            records.push(Record { key: order_key(score), load });
        }
    }
    sort(&mut records);
    let (mut products, mut squares_b, mut ties) = (0_i128, 0_i128, 0_u64);
    let mut sums_b = Powers::default();
    each_group(&records, |before, group| {
        let b = centred(before, group.len(), n);
        // Below 2^62 for any n that fits in memory.
        let a: i64 = group.iter().map(|record| record.load >> 1).sum();
        products += i128::from(a) * i128::from(b);
        squares_b += square(b) * group.len() as i128;
        sums_b.add(b, group.len() as f64);
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
    let shape = |sums: Powers, squares: i128| {
        Shape::of(n as u64, squares as f64, sums.cubes, sums.fourths, sums.step as f64)
    };
    (Correlation { r, complement, ties }, [shape(sums_a, squares_a), shape(sums_b, squares_b)])
}

/// Sums of higher powers of ranks.
#[derive(Default)]
struct Powers {
    cubes: f64,
    fourths: f64,
    /// The greatest common divisor of the distances between the ranks.
    step: u64,
    first: Option<i64>,
}

impl Powers {
    fn add(&mut self, rank: i64, times: f64) {
        let square = (rank as f64) * (rank as f64);
        self.cubes += times * square * rank as f64;
        self.fourths += times * square * square;
        let first = *self.first.get_or_insert(rank);
        let distance = rank.abs_diff(first);
        if self.step == 0 || !distance.is_multiple_of(self.step) {
            self.step = divisor(self.step, distance);
        }
    }
}

fn square(value: i64) -> i128 {
    i128::from(value) * i128::from(value)
}
