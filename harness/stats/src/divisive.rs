//! The statistic of E-divisive and the test that stands for its permutations.
//!
//! Matteson and James, "A nonparametric approach for multiple change point analysis of multivariate
//! data", JASA 109 (2014), equations 5 to 7, with exponent 1; Fleming et al., "Hunter: using change
//! point detection to hunt for performance regressions", ICPE 2023, for the t-test.

use statrs::function::beta::beta_reg;

/// The best split of a window: its values before `at` against those from `at` to before `end`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// First value of the new level.
    pub at: usize,
    /// End of the part that is compared, exclusive; what follows may differ again.
    pub end: usize,
    /// Q̂(at, end), in the unit of the values.
    pub statistic: f64,
}

/// Finds best splits; holds its working memory between calls.
#[derive(Debug, Clone)]
pub struct Search {
    minimum: usize,
    /// Sum of |x_i − x_j| over pairs within `from..=last`, by `from`.
    within: Vec<f64>,
    /// The same over pairs before an index.
    before: Vec<f64>,
}

impl Search {
    /// A search for parts of at least `minimum` values; 2 is the least that has a spread.
    #[must_use]
    pub fn new(minimum: usize) -> Self {
        Self { minimum: minimum.max(2), within: Vec::new(), before: Vec::new() }
    }

    /// The split (τ, κ) with the largest
    /// Q̂(τ, κ) = mn/(m+n) · (2·mean|x−y| − mean|x−x′| − mean|y−y′|), where x are the m = τ values
    /// before τ, y the n = κ−τ values from τ to κ, and the last two means are over pairs. The first
    /// of equal ones; `None` when no split has Q̂ above 0, as in a constant window.
    ///
    /// Takes O(length²) time and O(length) memory: the three sums of a split follow from those of
    /// shorter windows.
    pub fn best(&mut self, values: &[f64]) -> Option<Split> {
        let Self { minimum, within, before } = self;
        within.clear();
        within.resize(values.len(), 0.0);
        before.clear();
        before.push(0.0);
        let mut best: Option<Split> = None;
        let mut largest = 0.0;
        for (last, &value) in values.iter().enumerate() {
            let mut distances = 0.0;
            for (sum, &other) in within[..last].iter_mut().zip(&values[..last]).rev() {
                distances += (value - other).abs();
                *sum += distances;
            }
            let all = within[0];
            before.push(all);
            let end = last + 1;
            if end < 2 * *minimum {
                continue;
            }
            for at in *minimum..=end - *minimum {
                let (left, right) = (before[at], within[at]);
                let (m, n) = (at as f64, (end - at) as f64);
                let cross = all - left - right;
                // Q̂ · κ/2: the sums over pairs are halves of the sums that the means divide.
                let statistic = (cross - left * n / (m - 1.0) - right * m / (n - 1.0)) / end as f64;
                if statistic > largest {
                    largest = statistic;
                    best = Some(Split { at, end, statistic: 2.0 * statistic });
                }
            }
        }
        best
    }
}

/// Mean of `values`, exact when all are equal; NaN when there are none.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    let Some(&first) = values.first() else { return f64::NAN };
    first + values.iter().map(|value| value - first).sum::<f64>() / values.len() as f64
}

/// Sum of squared distances from `centre`.
fn squares(values: &[f64], centre: f64) -> f64 {
    values.iter().map(|value| (value - centre).powi(2)).sum()
}

/// Two-sided p of Student's t-test for equal means, with the pooled variance over
/// `left + right − 2` degrees of freedom (Bessel's correction on either side). Without any spread p
/// is 1 for equal values and 0 for different ones; 1 for fewer than three values.
#[must_use]
pub fn t_test(left: &[f64], right: &[f64]) -> f64 {
    if left.is_empty() || right.is_empty() || left.len() + right.len() < 3 {
        return 1.0;
    }
    let (first, second) = (mean(left), mean(right));
    let spread = squares(left, first) + squares(right, second);
    let difference = (first - second).powi(2);
    if difference == 0.0 {
        return 1.0;
    }
    let (m, n) = (left.len() as f64, right.len() as f64);
    let freedom = m + n - 2.0;
    // freedom / (freedom + t²), without the division by a spread of zero.
    let error = spread * (1.0 / m + 1.0 / n);
    let share = error / (error + difference);
    if share <= 0.0 { 0.0 } else { beta_reg(freedom / 2.0, 0.5, share) }
}

#[cfg(test)]
mod tests;
