//! Doubled, centred mid-ranks as exact integers.
//!
//! The example at rank k (from 0) among n, alone, has 2k - (n-1); a tie group takes the mean of its
//! members', which is again an integer. They sum to 0 and the sums of their products are exact in
//! i128, so that a rank correlation is the same number on every platform and in every row order.
//! Positions that run through 0..n or nearly so are counted instead of sorted; scores go through a
//! radix sort, which at 10^8 rows takes a few seconds.

use std::borrow::Cow;

/// Rows below which a comparison sort is faster than filling the radix tables.
const SMALL: usize = 2048;
const DIGIT_BITS: u32 = 11;
const BUCKETS: usize = 1 << DIGIT_BITS;
const PASSES: usize = 6;

/// A sort key and what travels with it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Record {
    pub(super) key: u64,
    pub(super) load: i64,
}

/// An integer that orders as the number does; -0 and 0 are equal. Not for NaN.
pub(super) fn order_key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// Sorts by key, stably.
pub(super) fn sort(records: &mut Vec<Record>) {
    if records.len() < SMALL {
        records.sort_by_key(|record| record.key);
        return;
    }
    let mut counts = vec![[0_usize; BUCKETS]; PASSES];
    for record in records.iter() {
        for (pass, count) in counts.iter_mut().enumerate() {
            count[digit(record.key, pass)] += 1;
        }
    }
    let mut from = std::mem::take(records);
    let mut to = vec![Record::default(); from.len()];
    for (pass, count) in counts.iter_mut().enumerate() {
        // Scores stored in single precision have the same low bits everywhere.
        if count.contains(&from.len()) {
            continue;
        }
        let mut start = 0;
        for slot in count.iter_mut() {
            start += std::mem::replace(slot, start);
        }
        for record in &from {
            let slot = &mut count[digit(record.key, pass)];
            to[*slot] = *record;
            *slot += 1;
        }
        std::mem::swap(&mut from, &mut to);
    }
    *records = from;
}

fn digit(key: u64, pass: usize) -> usize {
    (key >> (DIGIT_BITS * pass as u32)) as usize & (BUCKETS - 1)
}

/// The doubled, centred mid-rank of a tie group of `size` rows, `before` rows being smaller.
pub(super) fn centred(before: usize, size: usize, n: usize) -> i64 {
    (2 * before + size) as i64 - n as i64
}

/// Ranks of positions, in the cheapest form that these positions allow.
pub(super) enum PositionRanks {
    /// The positions are a permutation of 0..n: the rank is the position.
    Permutation,
    /// Rank and tie mark by position.
    Table(Vec<i64>),
    /// Rank and tie mark by row.
    Rows(Vec<i64>),
}

impl PositionRanks {
    pub(super) fn of(positions: &[u64]) -> Self {
        let n = positions.len();
        let largest = positions.iter().copied().max().unwrap_or(0);
        if is_permutation(positions) {
            return Self::Permutation;
        }
        if let Ok(largest) = usize::try_from(largest)
            && largest < 2 * n + 1024
        {
            return Self::Table(table(positions, largest, n));
        }
        let mut records: Vec<Record> =
            positions.iter().zip(0..).map(|(&key, load)| Record { key, load }).collect();
        sort(&mut records);
        let mut rows = vec![0; n];
        each_group(&records, |before, group| {
            let marked = mark(centred(before, group.len(), n), group.len());
            for record in group {
                rows[record.load as usize] = marked;
            }
        });
        Self::Rows(rows)
    }

    /// Twice the doubled, centred mid-rank of a row, plus 1 if its position is tied.
    pub(super) fn marked(&self, row: usize, position: u64, n: usize) -> i64 {
        match self {
            Self::Permutation => 2 * (2 * position as i64 - (n as i64 - 1)),
            Self::Table(table) => table[position as usize],
            Self::Rows(rows) => rows[row],
        }
    }
}

/// A rank with the mark of a tie in its lowest bit.
fn mark(rank: i64, size: usize) -> i64 {
    2 * rank + i64::from(size > 1)
}

/// Whether these are the positions 0..n, each once.
pub(super) fn is_permutation(positions: &[u64]) -> bool {
    let n = positions.len();
    let mut seen = vec![0_u64; n.div_ceil(64)];
    for &position in positions {
        if position >= n as u64 {
            return false;
        }
        let (word, bit) = ((position / 64) as usize, 1 << (position % 64));
        if seen[word] & bit != 0 {
            return false;
        }
        seen[word] |= bit;
    }
    true
}

/// Ranks by counting how often each position occurs.
fn table(positions: &[u64], largest: usize, n: usize) -> Vec<i64> {
    let mut table = vec![0_i64; largest + 1];
    for &position in positions {
        table[position as usize] += 1;
    }
    let mut before = 0;
    for entry in &mut table {
        let size = *entry as usize;
        *entry = mark(centred(before, size, n), size);
        before += size;
    }
    table
}

/// Calls `visit` with the number of records before it for every run of equal keys.
pub(super) fn each_group(records: &[Record], mut visit: impl FnMut(usize, &[Record])) {
    let mut before = 0;
    for group in records.chunk_by(|a, b| a.key == b.key) {
        visit(before, group);
        before += group.len();
    }
}

/// The doubled, centred mid-rank of every score, by row.
pub(crate) fn of_scores(scores: &[f64]) -> Vec<i64> {
    let n = scores.len();
    let mut records: Vec<Record> = scores
        .iter()
        .zip(0..)
        .map(|(&score, load)| Record { key: order_key(score), load })
        .collect();
    sort(&mut records);
    let mut ranks = vec![0; n];
    each_group(&records, |before, group| {
        for record in group {
            ranks[record.load as usize] = centred(before, group.len(), n);
        }
    });
    ranks
}

/// The doubled, centred mid-rank of every position, by row.
pub(super) fn of_positions(positions: &[u64]) -> Vec<i64> {
    let ranks = PositionRanks::of(positions);
    let rank = |(row, &position)| ranks.marked(row, position, positions.len()) >> 1;
    positions.iter().enumerate().map(rank).collect()
}

/// Sizes of the groups of equal scores, in increasing order of the score.
pub(super) fn group_sizes(scores: &[f64]) -> Vec<u64> {
    let mut keys: Vec<u64> = scores.iter().map(|&score| order_key(score)).collect();
    keys.sort_unstable();
    keys.chunk_by(|a, b| a == b).map(|group| group.len() as u64).collect()
}

/// Positions as numbers, for the statistics that use their size.
pub(super) fn as_numbers(positions: &[u64]) -> Cow<'static, [f64]> {
    positions.iter().map(|&position| position as f64).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: 2·(smaller) + (equal) - n, counted pair by pair.
    fn counted<T: PartialOrd>(values: &[T]) -> Vec<i64> {
        let n = values.len() as i64;
        let count = |one: &T| {
            let smaller = values.iter().filter(|other| *other < one).count() as i64;
            let equal = values.iter().filter(|other| *other == one).count() as i64;
            2 * smaller + equal - n
        };
        values.iter().map(count).collect()
    }

    #[test]
    fn ties_share_the_mean_rank() {
        assert_eq!(of_scores(&[0.3, 0.1, 0.3, -2.0]), [2, -1, 2, -3]);
        assert_eq!(of_positions(&[7, 7, 1_000_000, 3]), [0, 0, 3, -3]);
    }

    #[test]
    fn both_zeros_are_one_value() {
        assert_eq!(of_scores(&[0.0, -0.0, 1.0, -1.0]), [0, 0, 3, -3]);
    }

    #[test]
    fn large_sets_are_ranked_by_radix_as_small_ones_by_comparison() {
        let mut rng = ledger::streams::Streams::new([3; 32]).generator("ranks");
        let wide: Vec<f64> =
            (0..9000).map(|_| ledger::streams::normal_f64(&mut rng) * 1e200).collect();
        let single: Vec<f64> =
            (0..9000).map(|_| f64::from(ledger::streams::normal_f64(&mut rng) as f32)).collect();
        let tied: Vec<f64> = wide.iter().map(|value| (value / 1e200 * 40.0).round()).collect();
        for scores in [wide, single, tied] {
            let mut sorted = scores.clone();
            sorted.sort_by(f64::total_cmp);
            let expected: Vec<i64> = scores
                .iter()
                .map(|score| {
                    let smaller = sorted.partition_point(|other| other < score);
                    let not_larger = sorted.partition_point(|other| other <= score);
                    (smaller + not_larger) as i64 - 9000
                })
                .collect();
            assert_eq!(of_scores(&scores), expected);
        }
    }

    proptest! {
        #[test]
        fn ranks_of_scores_are_those_of_the_definition(
            scores in prop::collection::vec(prop_oneof![
                (-4_i32..4).prop_map(f64::from), prop::num::f64::NORMAL,
            ], 1..60),
        ) {
            prop_assert_eq!(of_scores(&scores), counted(&scores));
        }

        #[test]
        fn ranks_of_positions_are_those_of_the_definition(
            positions in prop_oneof![
                prop::collection::vec(0_u64..30, 1..60),
                prop::collection::vec(any::<u64>(), 1..60),
                Just((0..40).rev().collect::<Vec<u64>>()),
            ],
        ) {
            prop_assert_eq!(of_positions(&positions), counted(&positions));
        }
    }
}
