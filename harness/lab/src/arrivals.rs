//! Training examples that arrive in turn, and when.

use std::ops::Range;

/// How many training examples arrive together, and what of an input is an image. Examples lie arrival after arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrivals {
    /// Examples of each arrival.
    pub sizes: Vec<u32>,
    /// Columns of an input that are its image, which come first; what is behind them is a question.
    pub image: i64,
}

impl Arrivals {
    /// The ids of an arrival.
    #[must_use]
    pub fn ids(&self, arrival: usize) -> Range<u32> {
        let before = |arrival: usize| self.sizes.iter().take(arrival).sum::<u32>();
        before(arrival)..before(arrival + 1)
    }

    /// The arrival of a step: each has an equal part of the run.
    #[must_use]
    pub fn at(&self, step: u64, total: u64) -> usize {
        let arrivals = self.sizes.len().max(1) as u64;
        let at = step.min(total.saturating_sub(1)) * arrivals / total.max(1);
        usize::try_from(at).unwrap_or(0)
    }

    /// What of an arrival's steps lies before this one, from 0 up to 1.
    #[must_use]
    pub fn gone(&self, step: u64, total: u64) -> f64 {
        let arrivals = self.sizes.len().max(1) as u64;
        let first = (self.at(step, total) as u64 * total).div_ceil(arrivals);
        let next = ((self.at(step, total) as u64 + 1) * total).div_ceil(arrivals);
        (step - first) as f64 / (next - first).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_equal_parts_of_the_run_and_their_examples_lie_behind_each_other() {
        let arrivals = Arrivals { sizes: vec![3, 1, 4], image: 2 };
        assert_eq!([0, 1, 2].map(|at| arrivals.ids(at)), [0..3, 3..4, 4..8]);
        let at: Vec<usize> = (0..10).map(|step| arrivals.at(step, 10)).collect();
        assert_eq!(at, [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]);
        let gone = [0, 2, 4, 5, 7, 9].map(|step| arrivals.gone(step, 10));
        assert_eq!(gone, [0.0, 0.5, 0.0, 1.0 / 3.0, 0.0, 2.0 / 3.0]);
        // Fewer steps than arrivals pass over some.
        assert_eq!([0, 1].map(|step| arrivals.at(step, 2)), [0, 1]);
    }
}
