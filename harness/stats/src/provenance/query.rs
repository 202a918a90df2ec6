//! The query test: are a suspect's scores on the examples of a run associated with the order in
//! which the run consumed them?
//!
//! Under the null the suspect is independent of the order given the examples. If the order was
//! uniform, every assignment of positions to scores is equally likely, whatever the scores are: the
//! null distribution of a correlation is that of random permutations. Source: Kuditipudi et al.
//! (2025), arXiv:2510.19796, the query statistic with and without reference.

use std::borrow::Cow;
use std::f64::consts::LN_10;

use super::adjust::adjusted;
use super::correlation::{self, Correlation};
use super::tail::{self, LogTails};
use super::{Adjust, Finding, Kind, Metric, Refusal, Tail, exact};

/// Examples below which no test is made: of the 24 orders of four, no two-sided p is below 1/12, so
/// that a test at 0.05 could never reject; five examples reach 2/120.
pub const FEWEST_EXAMPLES: u64 = 5;

/// Examples below which the far tail of an approximation is not to be read as a court would.
const APPROXIMATE_BELOW: u64 = 50;

/// A residual share of squares that rounding alone leaves of a perfect line.
const ROUNDING: f64 = 1e-27;

/// What is tested.
#[derive(Debug, Clone)]
pub struct Query<'a> {
    /// Where each example was in the order; smaller is earlier; ties are allowed.
    pub positions: &'a [u64],
    /// The suspect's score on each example, in the same row order.
    pub scores: &'a [f64],
    /// Scores of models that are independent of the order, in the same row order.
    pub references: Vec<&'a [f64]>,
    /// The coefficient.
    pub metric: Metric,
    /// The alternative.
    pub tail: Tail,
    /// What the references are used for.
    pub adjust: Adjust,
    /// What a score is, for the words of the finding.
    pub kind: Kind,
}

/// A statistic with all its tails.
pub(super) struct Measured {
    pub(super) correlation: Correlation,
    pub(super) tails: LogTails,
    pub(super) exact: bool,
    pub(super) warnings: Vec<String>,
}

impl<'a> Query<'a> {
    /// A Spearman test of losses, two-sided and without reference: the defaults.
    #[must_use]
    pub fn new(positions: &'a [u64], scores: &'a [f64]) -> Self {
        Self {
            positions,
            scores,
            references: Vec::new(),
            metric: Metric::Spearman,
            tail: Tail::TwoSided,
            adjust: Adjust::None,
            kind: Kind::Loss,
        }
    }

    /// Computes the statistic and its p-value under a uniform order: exact over all orders for at
    /// most 9 examples, for a perfect correlation and for Kendall up to 33 untied examples;
    /// otherwise the t form (Spearman, Pearson) or the normal form (Kendall). Spearman and Kendall
    /// come from exact integers; a Pearson coefficient within 1e-6 of ±1 leaves a residual near the
    /// rounding of the scores, and its log10 p then has 6 digits after the point.
    ///
    /// # Errors
    /// When columns differ in length, a score is not finite, a column is constant, there are fewer
    /// than 5 examples, or references and adjustment do not fit together.
    pub fn run(&self) -> Result<Finding, Refusal> {
        let measured = self.measure()?;
        let ln_p = self.tail.of(&measured.tails);
        let mut finding = self.finding(&measured.correlation, ln_p);
        finding.exact = measured.exact;
        finding.warnings = measured.warnings;
        Ok(finding)
    }

    /// The statistic and its tails, all columns checked.
    pub(super) fn measure(&self) -> Result<Measured, Refusal> {
        let scores = self.checked()?;
        let n = scores.len() as u64;
        let rank_based = correlation::spearman(self.positions, &scores);
        let (found, closed, mut is_exact) = match self.metric {
            Metric::Spearman => {
                let closed = self.t_form(&rank_based, &scores, 0.0);
                (rank_based, closed, rank_based.complement == 0.0)
            }
            Metric::Pearson => {
                let mut found = correlation::pearson(self.positions, &scores, rank_based.ties);
                let perfect = found.complement <= ROUNDING && rank_based.complement == 0.0;
                if perfect {
                    found.r = found.r.signum();
                }
                (found, self.t_form(&found, &scores, ROUNDING), perfect)
            }
            Metric::Kendall => {
                let counts = correlation::concordance(self.positions, &scores);
                let found = correlation::kendall(&counts);
                if found.complement == 0.0 {
                    (found, self.t_form(&found, &scores, 0.0), true)
                } else {
                    let (tails, exact) = correlation::kendall_tails(&counts, n);
                    (found, tails, exact)
                }
            }
        };
        let tails = if scores.len() <= exact::MOST_EXAMPLES {
            is_exact = true;
            exact::all_orders(self.metric, self.positions, &scores)
        } else {
            closed
        };
        let mut warnings = self.warnings(n, is_exact);
        let rarest = -tail::ln_factorial(n);
        if self.tail.of(&tails) < rarest {
            warnings.push(format!(
                "p is below 1/{n}! (log10 {:.2}), the probability of a single order: quote that \
                 bound instead",
                rarest / LN_10
            ));
        }
        Ok(Measured { correlation: found, tails, exact: is_exact, warnings })
    }

    /// The adjusted scores, after every check of the input.
    pub(super) fn checked(&self) -> Result<Cow<'a, [f64]>, Refusal> {
        let n = self.positions.len() as u64;
        if self.scores.len() as u64 != n {
            let found = self.scores.len() as u64;
            return Err(Refusal::Length { what: "scores".into(), expected: n, found });
        }
        if n < FEWEST_EXAMPLES {
            return Err(Refusal::TooFew { needed: FEWEST_EXAMPLES, found: n });
        }
        let first = self.positions[0];
        if self.positions.iter().all(|position| *position == first) {
            return Err(Refusal::ConstantPositions { position: first });
        }
        adjusted(self.adjust, self.scores, &self.references)
    }

    /// The t form, or the exact share of orders where the correlation is perfect and it breaks down.
    fn t_form(&self, found: &Correlation, scores: &[f64], rounding: f64) -> LogTails {
        if found.complement <= rounding {
            return exact::perfect(scores, found.r, exact::groups_mirror(scores));
        }
        tail::student(found.r, found.complement, scores.len() as u64)
    }

    fn warnings(&self, n: u64, exact: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if !exact && n < APPROXIMATE_BELOW {
            warnings.push(format!(
                "with {n} examples the p-value is an approximation, poor in the far tail: ask for \
                 Monte Carlo to have a valid one"
            ));
        }
        if !exact && self.metric == Metric::Pearson {
            warnings.push(
                "Pearson's t form takes the scores for nearly normal, which heavy-tailed losses \
                 are not: spearman or Monte Carlo need no such assumption"
                    .into(),
            );
        }
        warnings
    }

    /// A finding of this query with the p-value of its tail.
    pub(super) fn finding(&self, found: &Correlation, ln_p: f64) -> Finding {
        Finding {
            metric: self.metric,
            statistic: found.r,
            n: self.positions.len() as u64,
            ties: found.ties,
            rows_left_out: 0,
            tail: self.tail,
            adjust: self.adjust,
            p: ln_p.exp(),
            log10_p: ln_p / LN_10,
            exact: false,
            direction: self.kind.direction(found.r, self.adjust),
            randomness: "undeclared".into(),
            simulation: false,
            floor_log10_p: None,
            monte_carlo: None,
            epochs: None,
            warnings: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
