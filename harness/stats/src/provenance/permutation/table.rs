//! Exact tails by adding up tables with fixed margins.

use crate::provenance::tail::{LogTails, ln_factorial};

/// What a column adds to the statistic: from the rows that earlier columns used up, the rows that
/// this one takes, and its number.
pub(super) type Gain<'a> = dyn Fn(&[u64], &[u64], usize) -> i128 + 'a;

/// A state of the sum over columns: what is left of all rows but the largest (as one number), the
/// statistic so far, and ln of the probability.
type State = (u64, i128, f64);

/// The values that the statistic takes over all tables with these margins, rising, with ln of their
/// probabilities; `None` if more than `most` tables, partial ones included, would have to be looked
/// at.
///
/// Column by column: given what is left of the rows, a column of c takes each of the
/// Π C(left_i, k_i) ways equally likely among C(left, c).
pub(super) fn distribution(
    rows: &[u64],
    columns: &[u64],
    gain: &Gain,
    most: usize,
) -> Option<Vec<(i128, f64)>> {
    let largest = (0..rows.len()).max_by_key(|&row| rows[row])?;
    let radix = |row: usize| if row == largest { 1 } else { rows[row] + 1 };
    let states = (0..rows.len()).try_fold(1_u64, |states, row| states.checked_mul(radix(row)))?;
    let mut layer: Vec<State> = vec![(states - 1, 0, 0.0)];
    let mut left = rows.iter().sum::<u64>();
    let mut looked_at = 0.0;
    for (column, &count) in columns.iter().enumerate() {
        let remaining_of = |mut code: u64| {
            let mut remaining = vec![0; rows.len()];
            for (row, left) in remaining.iter_mut().enumerate() {
                *left = code % radix(row);
                code /= radix(row);
            }
            remaining[largest] = left - remaining.iter().sum::<u64>();
            remaining
        };
        // Counted before anything is done.
        for group in layer.chunk_by(|a, b| a.0 == b.0) {
            let ways = ways_to_take(&remaining_of(group[0].0), count);
            looked_at += group.len() as f64 * ways;
            if looked_at > most as f64 {
                return None;
            }
        }
        let mut next: Vec<State> = Vec::new();
        for group in layer.chunk_by(|a, b| a.0 == b.0) {
            let remaining = remaining_of(group[0].0);
            let used: Vec<u64> =
                rows.iter().zip(&remaining).map(|(all, left)| all - left).collect();
            let ways = ln_choose(left, count);
            let mut takes = Takes { remaining: &remaining, taken: vec![0; rows.len()] };
            let mut more = takes.first(count);
            while more {
                let mut code = 0;
                for row in (0..rows.len()).rev().filter(|row| *row != largest) {
                    code = code * radix(row) + remaining[row] - takes.taken[row];
                }
                let chance = remaining.iter().zip(&takes.taken);
                let chance = chance.map(|(all, taken)| ln_choose(*all, *taken)).sum::<f64>() - ways;
                let gained = gain(&used, &takes.taken, column);
                next.extend(group.iter().map(|(_, sum, ln)| (code, sum + gained, ln + chance)));
                more = takes.next();
            }
        }
        layer = merged(next);
        left -= count;
    }
    Some(layer.into_iter().map(|(_, sum, ln)| (sum, ln)).collect())
}

/// Equal states as one, in a fixed order, so that every machine adds alike.
fn merged(mut states: Vec<State>) -> Vec<State> {
    states.sort_by_key(|(code, sum, _)| (*code, *sum));
    let equal = states.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
    equal.map(|group| (group[0].0, group[0].1, ln_sum(group.iter().map(|state| state.2)))).collect()
}

/// In how many ways so many rows can be taken from what is left of each group.
fn ways_to_take(remaining: &[u64], count: u64) -> f64 {
    let count = count as usize;
    let mut ways = vec![0.0; count + 1];
    ways[0] = 1.0;
    for &left in remaining {
        // Sums of the last left + 1 entries.
        let before = ways.clone();
        let mut sum = 0.0;
        for (taken, entry) in ways.iter_mut().enumerate() {
            sum += before[taken];
            if taken as u64 > left {
                sum -= before[taken - left as usize - 1];
            }
            *entry = sum;
        }
    }
    ways[count]
}

/// Ways to take a number of rows from what is left of each group, one after another.
struct Takes<'a> {
    remaining: &'a [u64],
    taken: Vec<u64>,
}

impl Takes<'_> {
    /// Fills the groups from the first on; false if there are not enough rows.
    fn first(&mut self, count: u64) -> bool {
        self.taken.fill(0);
        self.fill(0, count)
    }

    fn fill(&mut self, from: usize, mut count: u64) -> bool {
        for row in from..self.taken.len() {
            self.taken[row] = count.min(self.remaining[row]);
            count -= self.taken[row];
        }
        count == 0
    }

    /// The next way: one less of some group, and all after it filled anew.
    fn next(&mut self) -> bool {
        let mut after = 0;
        for row in (0..self.taken.len()).rev() {
            let room: u64 = self.remaining[row + 1..].iter().sum();
            if self.taken[row] > 0 && after < room {
                self.taken[row] -= 1;
                return self.fill(row + 1, after + 1);
            }
            after += self.taken[row];
        }
        false
    }
}

/// The tails of an observed value among these; values within `slack` of it count as equal.
pub(super) fn tails_of(found: &[(i128, f64)], observed: f64, slack: f64) -> LogTails {
    let some = |keep: &dyn Fn(f64) -> bool| {
        let kept = found.iter().filter(|(sum, _)| keep(*sum as f64));
        ln_sum(kept.map(|(_, ln)| *ln)).min(0.0)
    };
    LogTails {
        less: some(&|sum| sum <= observed + slack),
        greater: some(&|sum| sum >= observed - slack),
        two_sided: some(&|sum| sum.abs() >= observed.abs() - slack),
    }
}

/// Fisher's exact test: `both` of the `rows` marked rows are among the `columns` marked ones of n.
/// Two-sided are the tables as far from the mean, as for every other statistic here.
pub(super) fn hypergeometric(n: u64, rows: u64, columns: u64, both: u64) -> LogTails {
    let (least, most) = ((rows + columns).saturating_sub(n), rows.min(columns));
    let upper = |from: u64| tail(n, rows, columns, from, most);
    // Few in both are many of the marked rows among the unmarked columns.
    let lower = |to: u64| tail(n, rows, n - columns, rows - to, rows - least);
    // 2·mean - both, and whether it is attained or passed on the other side, in whole numbers.
    let (n_wide, expected) = (i128::from(n), 2 * i128::from(rows) * i128::from(columns));
    let mirror = expected - i128::from(both) * n_wide;
    let two_sided = if i128::from(both) * n_wide >= mirror {
        let other = mirror.div_euclid(n_wide);
        let other = u64::try_from(other).ok().filter(|other| *other >= least).map(lower);
        ln_sum([upper(both)].into_iter().chain(other))
    } else {
        let other = -(-mirror).div_euclid(n_wide);
        let other = u64::try_from(other).ok().filter(|other| *other <= most).map(upper);
        ln_sum([lower(both)].into_iter().chain(other))
    };
    // The same value on both sides is one value.
    let two_sided = if mirror == i128::from(both) * n_wide { 0.0 } else { two_sided.min(0.0) };
    LogTails { less: lower(both), greater: upper(both), two_sided }
}

/// ln P(K >= from) of K marked rows among the marked columns, `most` being the largest K.
fn tail(n: u64, rows: u64, columns: u64, from: u64, most: u64) -> f64 {
    let at = |both: u64| {
        ln_choose(columns, both) + ln_choose(n - columns, rows - both) - ln_choose(n, rows)
    };
    let odds = |both: u64| {
        let (k, left) = (both as f64, (n + both) as f64 - (rows + columns) as f64);
        (rows as f64 - k) * (columns as f64 - k) / ((k + 1.0) * (left + 1.0))
    };
    // Upwards where the terms fall from the start, which is beyond the mode.
    if odds(from) <= 1.0 {
        let (mut term, mut sum, mut both) = (1.0, 1.0, from);
        while both < most && term > sum * 1e-17 {
            term *= odds(both);
            sum += term;
            both += 1;
        }
        return (at(from) + f64::ln(sum)).min(0.0);
    }
    let least = (rows + columns).saturating_sub(n);
    if from <= least {
        return 0.0;
    }
    // Otherwise what is below, downwards.
    let (mut term, mut sum, mut both) = (1.0, 1.0, from - 1);
    while both > least && term > sum * 1e-17 {
        term /= odds(both - 1);
        sum += term;
        both -= 1;
    }
    let below = (at(from - 1) + f64::ln(sum)).min(0.0);
    (-below.exp()).ln_1p()
}

/// ln C(n, k).
pub(super) fn ln_choose(n: u64, k: u64) -> f64 {
    if k == 0 || k == n {
        return 0.0;
    }
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// ln Σ e^x.
fn ln_sum(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.map(|term| (term - largest).exp()).sum::<f64>().ln()
}
