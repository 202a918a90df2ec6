//! One precision for a column: numbers that stand below one another have equally many digits and one unit, so that
//! they can be compared by eye. Files for machines keep every digit.

use stats::interval::Interval;

use crate::text::{self, decimals_for};

/// Most digits after the point.
const MOST: usize = 4;

/// How the numbers of a column are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Precision {
    /// So many digits after the point.
    Fixed(usize),
    /// Three significant digits each: what lies too far apart for one number of decimals.
    Significant,
}

impl Precision {
    /// For numbers with their intervals: as many digits as the narrowest interval carries, and no more than one above
    /// the usual.
    pub(crate) fn of<'a>(numbers: impl Iterator<Item = (f64, Option<&'a Interval>)>) -> Self {
        let mut wanted = Vec::new();
        let mut largest = 0.0_f64;
        for (value, interval) in numbers.filter(|(value, _)| value.is_finite()) {
            largest = largest.max(value.abs());
            let half = interval.map(|ends| (ends.high - ends.low) / 2.0);
            wanted.push(match half.filter(|half| half.is_finite() && *half > 0.0) {
                Some(half) => decimals_for(half),
                None => decimals_for(value.abs() / 40.0),
            });
        }
        wanted.sort_unstable();
        let Some(most) = wanted.last() else { return Self::Fixed(0) };
        let usual = wanted[wanted.len() / 2];
        if largest >= 1e6 || usual > MOST {
            return Self::Significant;
        }
        Self::Fixed((*most).min(usual + 1).min(MOST))
    }

    /// A number.
    pub(crate) fn number(self, value: f64) -> String {
        match self {
            Self::Fixed(decimals) => text::fixed(value, decimals),
            Self::Significant => text::significant(value, 3),
        }
    }

    /// A number with its interval: `0.953 ± 0.004`, or `0.953 [0.949, 0.956]` where it leans.
    pub(crate) fn estimate(self, value: f64, interval: Option<&Interval>) -> String {
        let shown = self.number(value);
        let Some(ends) = interval else { return shown };
        let half = (ends.high - ends.low) / 2.0;
        let lean = (ends.high + ends.low) / 2.0 - value;
        if half.is_finite() && lean.abs() <= 0.02 * half.abs() {
            format!("{shown} ± {}", self.number(half))
        } else {
            format!("{shown} {}", self.ends(ends))
        }
    }

    /// A number with both ends of its interval.
    pub(crate) fn with_ends(self, value: f64, interval: Option<&Interval>) -> String {
        let shown = self.number(value);
        interval.map_or_else(|| shown.clone(), |ends| format!("{shown} {}", self.ends(ends)))
    }

    fn ends(self, ends: &Interval) -> String {
        format!("[{}, {}]", self.number(ends.low), self.number(ends.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(low: f64, high: f64) -> Interval {
        Interval { low, high, level: 0.95 }
    }

    #[test]
    fn numbers_of_a_column_have_equally_many_decimals() {
        let all =
            [(0.979, ends(0.975, 0.983)), (0.9811, ends(0.9807, 0.9815)), (0.5, ends(0.4, 0.6))];
        let column = Precision::of(all.iter().map(|(value, ends)| (*value, Some(ends))));
        let shown: Vec<_> =
            all.iter().map(|(value, ends)| column.estimate(*value, Some(ends))).collect();
        assert_eq!(shown, ["0.9790 ± 0.0040", "0.9811 ± 0.0004", "0.5000 ± 0.1000"]);
    }

    #[test]
    fn an_interval_that_leans_shows_its_ends_and_none_shows_none() {
        let leaning = ends(11.8, 14.1);
        let column = Precision::of([(12.4, Some(&leaning)), (20.0, None)].into_iter());
        assert_eq!(column, Precision::Fixed(1));
        assert_eq!(column.estimate(12.4, Some(&leaning)), "12.4 [11.8, 14.1]");
        assert_eq!(column.with_ends(12.4, None), "12.4");
    }

    #[test]
    fn what_lies_too_far_apart_or_is_too_large_keeps_three_digits_each() {
        let numbers = |values: [f64; 3]| Precision::of(values.into_iter().map(|v| (v, None)));
        assert_eq!(numbers([1e-7, 2e-7, 3e-7]), Precision::Significant);
        assert_eq!(numbers([1e7, 2.0, 3.0]), Precision::Significant);
        assert_eq!(numbers([f64::NAN, f64::INFINITY, f64::NAN]), Precision::Fixed(0));
        assert_eq!(Precision::Significant.number(1_234_567.0), "1,234,567");
    }
}
