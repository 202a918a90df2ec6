//! Scores that are alike wherever positions are tied: rows that are no examples of their own.
//!
//! Positions are tied by right where examples share a step or units were averaged; the scores within
//! a tie are then as far apart as elsewhere, but for what a smooth trend over the order explains.
//! Repeated rows, documents of shuffled packs or windows of one document share their position *and*
//! their score, and a test that counts each of them has far too many small p-values.

use super::ranks::{self, Record};

/// Intraclass correlation above which a warning is given.
const ALIKE: f64 = 0.3;
/// Tied positions below which chance alone gives that; without spread within ties, a quarter of it.
const ENOUGH: usize = 20;

/// A warning when scores within tied positions are alike beyond a trend over the order.
///
/// The spread between ties is that between neighbours in the order: half the mean square of the
/// difference of their means, which a trend hardly moves.
pub(super) fn warning(positions: &[u64], scores: &[f64]) -> Option<String> {
    if ranks::is_permutation(positions) {
        return None;
    }
    let mut records: Vec<Record> =
        positions.iter().zip(0..).map(|(&key, load)| Record { key, load }).collect();
    ranks::sort(&mut records);
    // Mean, squares around it and size of each tie of two rows or more.
    let mut ties: Vec<(f64, f64, f64)> = Vec::new();
    ranks::each_group(&records, |_, group| {
        if group.len() > 1 {
            let size = group.len() as f64;
            let of = |record: &Record| scores[record.load as usize];
            let mean = group.iter().map(of).sum::<f64>() / size;
            ties.push((mean, group.iter().map(|record| (of(record) - mean).powi(2)).sum(), size));
        }
    });
    let rows: f64 = ties.iter().map(|(_, _, size)| size).sum();
    if ties.len() < ENOUGH / 4 || 2.0 * rows < positions.len() as f64 {
        return None;
    }
    let count = ties.len() as f64;
    let within = ties.iter().map(|(_, squares, _)| squares).sum::<f64>() / (rows - count);
    let neighbours = ties.windows(2).map(|pair| (pair[1].0 - pair[0].0).powi(2));
    let between = neighbours.sum::<f64>() / (2.0 * (count - 1.0));
    // What the spread within ties alone gives their means.
    let chance = within * ties.iter().map(|(_, _, size)| 1.0 / size).sum::<f64>() / count;
    let shared = between - chance;
    let correlation = shared / (shared + within);
    let identical = within <= 1e-12 * between;
    if shared <= 0.0 || correlation < ALIKE || (ties.len() < ENOUGH && !identical) {
        return None;
    }
    Some(format!(
        "scores are alike wherever positions are tied (intraclass correlation {correlation:.2} in \
         {} ties of {:.1} rows): if rows of a tie are one document, pack or example, p is far too \
         small; average them by units",
        ties.len(),
        rows / count
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::seed::Seed;
    use ledger::streams::{Streams, normal_f64};

    /// `groups` positions of `size` rows whose scores share `shared` of their spread.
    fn tied(k: u64, groups: u64, size: u64, shared: f64, slope: f64) -> Option<String> {
        let mut rng = Streams::new(Seed::from_integer(k).bytes).generator("tied");
        let (mut positions, mut scores) = (Vec::new(), Vec::new());
        for group in 0..groups {
            let common = shared.sqrt() * normal_f64(&mut rng) + slope * group as f64;
            for _ in 0..size {
                positions.push(group);
                scores.push(common + (1.0 - shared).sqrt() * normal_f64(&mut rng));
            }
        }
        warning(&positions, &scores)
    }

    #[test]
    fn rows_that_share_position_and_score_are_told() {
        let repeated = tied(1, 100, 10, 1.0, 0.0).unwrap();
        assert!(repeated.contains("1.00 in 100 ties of 10.0 rows"), "{repeated}");
        assert!(tied(1, 6, 3, 1.0, 0.0).is_some());
        for k in 0..20 {
            assert!(tied(k, 250, 8, 0.5, 0.0).is_some(), "{k}");
        }
    }

    #[test]
    fn steps_are_tied_by_right_with_and_without_a_trend() {
        for k in 0..200 {
            assert_eq!(tied(k, 250, 16, 0.0, 0.0), None, "{k}");
            assert_eq!(tied(k, 100, 2, 0.0, 0.05), None, "{k}, strong trend");
        }
        // Nothing is tied, or hardly anything.
        assert_eq!(warning(&[0, 1, 2, 3, 4], &[0.0, 1.0, 2.0, 3.0, 4.0]), None);
        assert_eq!(warning(&[0, 0, 2, 3, 4, 5], &[7.0, 7.0, 2.0, 3.0, 4.0, 0.0]), None);
    }
}
