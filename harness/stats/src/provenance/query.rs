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
use super::correlation::{self, Correlation, Pairing};
use super::permutation::{self, Margin, Method, Shape};
use super::tail::{self, LogTails};
use super::{Adjust, Finding, Kind, Metric, Refusal, Tail, exact, ranks};

/// Examples below which no test is made: of the 24 orders of four, no two-sided p is below 1/12, so
/// that a test at 0.05 could never reject; five examples reach 2/120.
pub const FEWEST_EXAMPLES: u64 = 5;

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
    pub(super) method: Method,
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
    /// most 9 examples, for a perfect correlation, for few tables of ties and for Kendall up to 33
    /// untied examples; otherwise by the t form (Spearman, Pearson) or the normal form (Kendall)
    /// where that is within a tenth of log10 p, and by saddlepoint where it is not. Spearman and
    /// Kendall come from exact integers; a Pearson coefficient within 1e-6 of ±1 leaves a residual
    /// near the rounding of the scores, and its log10 p then has 6 digits after the point.
    ///
    /// # Errors
    /// When columns differ in length, a score is not finite, a column is constant, there are fewer
    /// than 5 examples, references and adjustment do not fit together, or ties leave the statistic
    /// too coarse for any of this.
    pub fn run(&self) -> Result<Finding, Refusal> {
        let measured = self.measure()?;
        let ln_p = self.tail.of(&measured.tails);
        let mut finding = self.finding(&measured.correlation, ln_p);
        finding.exact = measured.method == Method::Exact;
        finding.saddlepoint = measured.method == Method::Saddlepoint;
        finding.warnings = measured.warnings;
        Ok(finding)
    }

    /// The statistic in words, with a p of 1 in place of one that is drawn.
    pub(super) fn described(&self) -> Result<Finding, Refusal> {
        let scores = self.checked()?;
        Ok(self.finding(&correlation::measure(self.metric, self.positions, &scores), 0.0))
    }

    /// The statistic and its tails, all columns checked.
    pub(super) fn measure(&self) -> Result<Measured, Refusal> {
        let scores = self.checked()?;
        let n = scores.len() as u64;
        let (ranked, shapes) = correlation::ranked(self.positions, &scores);
        let found = match self.metric {
            Metric::Spearman => ranked,
            Metric::Pearson => {
                let mut found = correlation::pearson(self.positions, &scores, ranked.ties);
                if found.complement <= ROUNDING && ranked.complement == 0.0 {
                    found.r = found.r.signum();
                }
                found
            }
            Metric::Kendall => {
                correlation::kendall(&correlation::concordance(self.positions, &scores))
            }
        };
        let rounding = if self.metric == Metric::Pearson { ROUNDING } else { 0.0 };
        let (tails, method) = if scores.len() <= exact::MOST_EXAMPLES {
            (exact::all_orders(self.metric, self.positions, &scores), Method::Exact)
        } else if found.complement <= rounding {
            let perfect = exact::perfect(&scores, found.r, exact::groups_mirror(&scores));
            let method = if ranked.complement == 0.0 { Method::Exact } else { Method::ClosedForm };
            (perfect, method)
        } else {
            self.tails(&scores, &found, &ranked, &shapes)?
        };
        let mut warnings = Vec::new();
        if method == Method::Bound {
            warnings.push(
                "p is an upper bound: with ties on both sides the normal form of Kendall's tau is \
                 too large in the tail; spearman or Monte Carlo come closer"
                    .into(),
            );
        }
        let rarest = -tail::ln_factorial(n);
        if self.tail.of(&tails) < rarest {
            warnings.push(format!(
                "p is below 1/{n}! (log10 {:.2}), the probability of a single order: quote that \
                 bound instead",
                rarest / LN_10
            ));
        }
        Ok(Measured { correlation: found, tails, method, warnings })
    }

    /// The tails of more than a handful of examples that are not perfectly correlated.
    fn tails(
        &self,
        scores: &[f64],
        found: &Correlation,
        ranked: &Correlation,
        shapes: &[Shape; 2],
    ) -> Result<(LogTails, Method), Refusal> {
        let n = scores.len() as u64;
        let sizes = || {
            let positions = if ranks::is_permutation(self.positions) {
                vec![1; self.positions.len()]
            } else {
                ranks::group_sizes(&ranks::as_numbers(self.positions))
            };
            [positions, ranks::group_sizes(scores)]
        };
        match self.metric {
            Metric::Spearman => {
                let margins = || sizes().map(|sizes| Margin::of_ranks(&sizes));
                permutation::linear(found, n, shapes, margins)
            }
            Metric::Pearson => product_moment(found, &ranks::as_numbers(self.positions), scores),
            Metric::Kendall => {
                let counts = correlation::concordance(self.positions, scores);
                match correlation::kendall_exact(&counts, n) {
                    Some(tails) => Ok((tails, Method::Exact)),
                    None => permutation::kendall(&counts, n, ranked, shapes, sizes),
                }
            }
        }
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
            saddlepoint: false,
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

/// The tails of a product-moment correlation of two columns over all orders.
pub(super) fn product_moment(
    found: &Correlation,
    x: &[f64],
    y: &[f64],
) -> Result<(LogTails, Method), Refusal> {
    let pairing = Pairing::of(x, y);
    let shapes = [Shape::of_values(&pairing.x), Shape::of_values(&pairing.y)];
    let margins = || [Margin::of_values(&pairing.x), Margin::of_values(&pairing.y)];
    permutation::linear(found, x.len() as u64, &shapes, margins)
}

#[cfg(test)]
mod tests;
