//! A column by its distinct values.

/// Distinct ranks that are told apart: far more than the saddlepoint looks at.
const MOST_RANKS: usize = 1 << 16;

/// What the cumulants of a linear statistic need of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::provenance) struct Shape {
    /// k3/k2^(3/2) of Fisher's k-statistics.
    pub(in crate::provenance) skewness: f64,
    /// k4/k2² of them.
    pub(in crate::provenance) kurtosis: f64,
    /// The greatest common divisor of the distances of its values, in standard deviations (of n,
    /// not n - 1); 0 for values that are no ranks.
    pub(in crate::provenance) step: f64,
}

impl Shape {
    /// From the power sums of a column around its mean.
    pub(in crate::provenance) fn of(
        n: u64,
        squares: f64,
        cubes: f64,
        fourths: f64,
        step: f64,
    ) -> Self {
        let n = n as f64;
        let second = squares / n;
        let third = cubes / n / second.powf(1.5);
        let fourth = fourths / n / (second * second) - 3.0;
        Self {
            skewness: third * (n * (n - 1.0)).sqrt() / (n - 2.0),
            kurtosis: (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * fourth + 6.0),
            step: step / second.sqrt(),
        }
    }

    /// Of a column of mean 0 whose values are no ranks.
    pub(in crate::provenance) fn of_values(values: &[f64]) -> Self {
        let power = |k: i32| values.iter().map(|value| value.powi(k)).sum::<f64>();
        Self::of(values.len() as u64, power(2), power(3), power(4), 0.0)
    }
}

/// A column as its distinct values, standardised to mean 0 and mean square 1, with their counts.
#[derive(Debug, Clone)]
pub(in crate::provenance) struct Margin {
    /// Distinct values, rising.
    pub(super) values: Vec<f64>,
    /// How often each occurs.
    pub(super) counts: Vec<u64>,
    /// The values before they were standardised, where they are ranks.
    ranks: Option<Vec<i64>>,
    /// The greatest common divisor of the distances of the values; 0 where they are no ranks.
    pub(super) step: f64,
}

impl Margin {
    /// Mid-ranks of tie groups of these sizes. Of very many groups neighbours are taken together,
    /// whose mean rank is that of one group.
    pub(in crate::provenance) fn of_ranks(sizes: &[u64]) -> Self {
        if sizes.len() > MOST_RANKS {
            let together = sizes.len().div_ceil(MOST_RANKS);
            let sizes: Vec<u64> = sizes.chunks(together).map(|sizes| sizes.iter().sum()).collect();
            let coarse = Self::of_ranks(&sizes);
            return Self { ranks: None, step: 0.0, ..coarse };
        }
        let n: u64 = sizes.iter().sum();
        let mut before = 0;
        let ranks = sizes.iter().map(|&size| {
            let rank = (2 * before + size) as i64 - n as i64;
            before += size;
            rank
        });
        let ranks: Vec<i64> = ranks.collect();
        let step = ranks.windows(2).fold(0, |step, pair| divisor(step, pair[1].abs_diff(pair[0])));
        let values: Vec<f64> = ranks.iter().map(|rank| *rank as f64).collect();
        let standardised = Self::standardised(values, sizes.to_vec());
        let spread = ranks[ranks.len() - 1] - ranks[0];
        let scale = (standardised.values[ranks.len() - 1] - standardised.values[0]) / spread as f64;
        Self { ranks: Some(ranks), step: step as f64 * scale, ..standardised }
    }

    /// Numbers, in any order.
    pub(in crate::provenance) fn of_values(column: &[f64]) -> Self {
        let mut sorted = column.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (mut values, mut counts) = (Vec::new(), Vec::new());
        for group in sorted.chunk_by(|a, b| a == b) {
            values.push(group[0]);
            counts.push(group.len() as u64);
        }
        Self::standardised(values, counts)
    }

    fn standardised(mut values: Vec<f64>, counts: Vec<u64>) -> Self {
        let n = counts.iter().sum::<u64>() as f64;
        let mean = |values: &[f64], power: i32| {
            let terms = values.iter().zip(&counts);
            terms.map(|(value, count)| value.powi(power) * *count as f64).sum::<f64>() / n
        };
        let middle = mean(&values, 1);
        values.iter_mut().for_each(|value| *value -= middle);
        let deviation = mean(&values, 2).sqrt();
        values.iter_mut().for_each(|value| *value /= deviation);
        Self { values, counts, ranks: None, step: 0.0 }
    }

    /// Whether these are ranks without ties.
    pub(super) fn untied(&self) -> bool {
        self.ranks.as_ref().is_some_and(|ranks| ranks.len() as u64 == self.examples())
    }

    pub(super) fn examples(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Ways to have used up a part of all groups but the largest.
    pub(super) fn states(&self) -> f64 {
        let largest = self.counts.iter().copied().max().unwrap_or(0) as f64;
        self.counts.iter().map(|count| *count as f64 + 1.0).product::<f64>() / (largest + 1.0)
    }

    /// The same upside down.
    pub(super) fn reversed(&self) -> Self {
        Self {
            values: self.values.iter().rev().map(|value| -value).collect(),
            counts: self.counts.iter().rev().copied().collect(),
            ranks: self.ranks.as_ref().map(|ranks| ranks.iter().rev().map(|rank| -rank).collect()),
            step: self.step,
        }
    }

    /// Whether it is the same upside down, so that the statistic is symmetric.
    pub(super) fn mirrors(&self) -> bool {
        let pairs = self.values.iter().zip(self.values.iter().rev());
        self.counts.iter().eq(self.counts.iter().rev())
            && pairs.into_iter().all(|(low, high)| (low + high).abs() < 1e-9)
    }

    /// At most so many groups: neighbours are merged to their mean, evenly by the number of
    /// rows and by their share of the fourth powers, so that rare values far out stay apart.
    pub(super) fn merged(&self, most: usize) -> Self {
        if self.values.len() <= most {
            return self.clone();
        }
        let share = |power: i32| {
            let terms = self.values.iter().zip(&self.counts);
            let terms: Vec<f64> =
                terms.map(|(value, count)| value.powi(power) * *count as f64).collect();
            let sum: f64 = terms.iter().sum();
            terms.into_iter().map(move |term| term / sum)
        };
        let weights = share(0).zip(share(4)).map(|(rows, far)| 0.5 * (rows + far));
        let bin = |middle: f64| ((middle * most as f64) as usize).min(most - 1);
        let mut bins = vec![(0.0, 0_u64); most];
        let mut before = 0.0;
        for ((value, &count), weight) in self.values.iter().zip(&self.counts).zip(weights) {
            let (sum, rows) = &mut bins[bin(before + 0.5 * weight)];
            *sum += value * count as f64;
            *rows += count;
            before += weight;
        }
        bins.retain(|(_, rows)| *rows > 0);
        let values = bins.iter().map(|(sum, rows)| sum / *rows as f64).collect();
        Self::standardised(values, bins.iter().map(|(_, rows)| *rows).collect())
    }
}

/// The products of all pairs of values as integers, column by column, and what a product of
/// standardised values is multiplied by: products of ranks, or 2^-60 of the largest possible sum.
pub(super) fn products(rows: &Margin, columns: &Margin) -> (Vec<Vec<i128>>, f64) {
    if let (Some(a), Some(b)) = (&rows.ranks, &columns.ranks) {
        let of = |b: &i64| a.iter().map(|a| i128::from(*a) * i128::from(*b)).collect();
        let scale = |margin: &Margin, ranks: &[i64]| {
            let last = ranks.len() - 1;
            (ranks[last] - ranks[0]) as f64 / (margin.values[last] - margin.values[0])
        };
        return (b.iter().map(of).collect(), scale(rows, a) * scale(columns, b));
    }
    let largest =
        |margin: &Margin| margin.values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let unit = 2_f64.powi(60) / (rows.examples() as f64 * largest(rows) * largest(columns));
    let of = |column: &f64| {
        rows.values.iter().map(|row| (row * column * unit).round() as i128).collect()
    };
    (columns.values.iter().map(of).collect(), unit)
}

/// The greatest common divisor; of 0 and a number the number.
pub(in crate::provenance) fn divisor(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
