//! Monte Carlo p-values: the same statistic under fresh draws of the order.
//!
//! p = (b+1)/(T+1), where b of T draws are at least as extreme: valid for any T (Phipson and Smyth
//! 2010), never 0, and ties count against the suspicion. Draw k has a generator of its own, so that
//! the answer is the same on any number of threads.

use rand_pcg::Pcg64;

use super::correlation::{self, Pairing, Sums};
use super::{Draws, Finding, Metric, Query, Refusal, Tail, ranks};
use ledger::order::{bounded, shuffle};
use ledger::seed::Seed;
use ledger::streams::Streams;

/// Statistics closer than this count as tied where they are not integers: far above the rounding of
/// a correlation, far below any difference that matters. It can only raise p.
const TIED: f64 = 1e-12;

/// How an order that might have been is drawn.
#[derive(Debug, Clone, Copy)]
pub enum Null<'a> {
    /// Any assignment of the positions to the examples.
    Permutation,
    /// Any assignment within each block; one block number per row. For orders that are uniform only
    /// within blocks.
    WithinBlocks(&'a [u64]),
    /// The sampler with replacement, run again: `draws` ids, each uniform among `examples`. The
    /// position of an example is that of its last draw; those never drawn share the bottom.
    Replacement {
        /// Dataset id of each row.
        ids: &'a [u64],
        /// Size of the dataset.
        examples: u64,
        /// Draws of the sampler in the epoch.
        draws: u64,
    },
}

impl Query<'_> {
    /// The p-value by `draws` draws from `null`, on one thread. The statistic is that of
    /// [`Query::run`].
    ///
    /// # Errors
    /// As [`Query::run`]; also for 0 draws and for a null that does not fit the rows.
    pub fn monte_carlo(&self, draws: u64, seed: u64, null: Null) -> Result<Finding, Refusal> {
        self.monte_carlo_on(1, draws, seed, null)
    }

    /// [`Query::monte_carlo`] on several threads, with the same answer.
    ///
    /// # Errors
    /// As [`Query::monte_carlo`].
    pub fn monte_carlo_on(
        &self,
        threads: usize,
        draws: u64,
        seed: u64,
        null: Null,
    ) -> Result<Finding, Refusal> {
        if draws == 0 {
            return Err(no_draws());
        }
        let scores = self.checked()?;
        let resampler = Resampler::new(null, self.positions)?;
        let statistic = Statistic::new(self.metric, self.positions, &scores, resampler.permutes());
        let streams = Streams::new(Seed::from_integer(seed).bytes);
        let threads = (threads.max(1) as u64).min(draws);
        let count = &|first: u64| {
            let mut positions = self.positions.to_vec();
            let mut rows: Vec<u32> = (0..positions.len() as u32).collect();
            let mut count = Extremes::default();
            for k in (first..draws).step_by(threads as usize) {
                let mut rng = streams.keyed(STREAM, k as u32, (k >> 32) as u32);
                resampler.draw(&mut rng, &mut rows, &mut positions);
                count = count + statistic.as_extreme(&rows, &positions);
            }
            count
        };
        let extremes = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (1..threads).map(|first| scope.spawn(move || count(first))).collect();
            let own = count(0);
            let others = workers.into_iter().map(|worker| match worker.join() {
                Ok(count) => count,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            others.fold(own, |sum, count| sum + count)
        });
        let found = correlation::measure(self.metric, self.positions, &scores);
        let (extreme, sides) = match self.tail {
            Tail::Less => (extremes.less, 1.0),
            Tail::Greater => (extremes.greater, 1.0),
            // Within blocks the null is not centred at 0: a trend between the blocks is in every
            // draw. Twice the smaller side is valid and sees both directions.
            Tail::TwoSided if matches!(null, Null::WithinBlocks(_)) => {
                (extremes.less.min(extremes.greater), 2.0)
            }
            Tail::TwoSided => (extremes.two_sided, 1.0),
        };
        let ln_p = (sides * (extreme as f64 + 1.0) / (draws as f64 + 1.0)).min(1.0).ln();
        let mut finding = self.finding(&found, ln_p);
        finding.monte_carlo = Some(Draws { draws, seed });
        if extreme == 0 {
            finding.warnings.push(no_extreme(sides, draws));
        }
        Ok(finding)
    }
}

const STREAM: &str = "provenance/monte-carlo";

/// A combination by drawn orders.
pub(super) struct DrawnParts {
    /// The coefficient of each part and ln p of it alone.
    pub(super) parts: Vec<(correlation::Correlation, f64)>,
    /// ln p of all together.
    pub(super) ln_p: f64,
    /// Said when no draw is as extreme.
    pub(super) warning: Option<String>,
}

/// Draws fresh orders for all parts, each independent of the others, and compares the weighted sum
/// of the standardised statistics with the observed one; and each of them by itself.
pub(super) fn of_parts(
    queries: &[&Query],
    weights: &[f64],
    Draws { draws, seed }: Draws,
) -> Result<DrawnParts, Refusal> {
    if draws == 0 {
        return Err(no_draws());
    }
    let scores = queries.iter().map(|query| query.checked()).collect::<Result<Vec<_>, _>>()?;
    let mut parts = Vec::with_capacity(queries.len());
    for (query, scores) in queries.iter().zip(&scores) {
        let statistic = Statistic::new(query.metric, query.positions, scores, true);
        let rows: Vec<u32> = (0..query.positions.len() as u32).collect();
        let (scale, observed) = (statistic.scale(), statistic.of(&rows));
        let resampler = Resampler::new(Null::Permutation, query.positions)?;
        parts.push((resampler, statistic, scale, rows, scale * observed));
    }
    let norm = weights.iter().map(|weight| weight * weight).sum::<f64>().sqrt();
    let sum = |zs: &[f64]| zs.iter().zip(weights).map(|(z, weight)| z * weight).sum::<f64>() / norm;
    let together = sum(&parts.iter().map(|(.., observed)| *observed).collect::<Vec<_>>());
    let mut apart = vec![Extremes::default(); parts.len()];
    let mut all = Extremes::default();
    let streams = Streams::new(Seed::from_integer(seed).bytes);
    let mut zs = vec![0.0; parts.len()];
    for k in 0..draws {
        let mut rng = streams.keyed(STREAM, k as u32, (k >> 32) as u32);
        let drawn = parts.iter_mut().zip(&mut zs).zip(&mut apart);
        for (((resampler, statistic, scale, rows, observed), z), count) in drawn {
            resampler.draw(&mut rng, rows, &mut []);
            *z = *scale * statistic.of(rows);
            *count = *count + extreme(*z, *observed, TIED);
        }
        all = all + extreme(sum(&zs), together, TIED);
    }
    let ln_p = |count: &Extremes| {
        let extreme = match queries[0].tail {
            Tail::Less => count.less,
            Tail::Greater => count.greater,
            Tail::TwoSided => count.two_sided,
        };
        (extreme, ((extreme as f64 + 1.0) / (draws as f64 + 1.0)).ln())
    };
    let (extreme, together) = ln_p(&all);
    let measured = queries.iter().zip(&scores).zip(&apart).map(|((query, scores), count)| {
        (correlation::measure(query.metric, query.positions, scores), ln_p(count).1)
    });
    Ok(DrawnParts {
        parts: measured.collect(),
        ln_p: together,
        warning: (extreme == 0).then(|| no_extreme(1.0, draws)),
    })
}

fn no_draws() -> Refusal {
    let range = "at least 1; 9999 gives a p-value down to 1e-4";
    Refusal::OutOfRange { what: "draws", value: 0.0, range }
}

fn no_extreme(sides: f64, draws: u64) -> String {
    format!(
        "no draw is as extreme: p is {sides}/(draws + 1), the least that {draws} draws can give"
    )
}

/// Draws orders under a null.
enum Resampler<'a> {
    /// Rows in blocks that are shuffled each by itself.
    Blocks(Vec<Vec<u32>>),
    Replacement {
        ids: &'a [u64],
        examples: u64,
        draws: u64,
    },
}

impl<'a> Resampler<'a> {
    fn new(null: Null<'a>, positions: &[u64]) -> Result<Self, Refusal> {
        let rows = positions.len();
        let fits = |what: &str, column: &[u64]| {
            let (expected, found) = (rows as u64, column.len() as u64);
            if found == expected {
                Ok(())
            } else {
                Err(Refusal::Length { what: what.into(), expected, found })
            }
        };
        match null {
            Null::Permutation => Ok(Self::Blocks(vec![(0..rows as u32).collect()])),
            Null::WithinBlocks(blocks) => {
                fits("blocks", blocks)?;
                let mut by_block: Vec<u32> = (0..rows as u32).collect();
                by_block.sort_by_key(|&row| blocks[row as usize]);
                let grouped: Vec<Vec<u32>> = by_block
                    .chunk_by(|&a, &b| blocks[a as usize] == blocks[b as usize])
                    .filter(|block| block.len() > 1)
                    .map(<[u32]>::to_vec)
                    .collect();
                if grouped.is_empty() {
                    return Err(Refusal::TooFewOf {
                        what: "a permutation within blocks",
                        needed: 1,
                        of: "block of two or more examples",
                        found: 0,
                    });
                }
                Ok(Self::Blocks(grouped))
            }
            Null::Replacement { ids, examples, draws } => {
                fits("ids", ids)?;
                super::law::check_ids(ids, examples)?;
                if draws == 0 {
                    let range = "the number of draws in the epoch, at least 1";
                    return Err(Refusal::OutOfRange { what: "sampler draws", value: 0.0, range });
                }
                Ok(Self::Replacement { ids, examples, draws })
            }
        }
    }

    /// Whether a draw only moves the observed positions among the rows.
    fn permutes(&self) -> bool {
        matches!(self, Self::Blocks(_))
    }

    /// Draws an order: for a permutation `rows[i]` becomes the row whose position row i takes,
    /// otherwise `positions` are drawn anew.
    fn draw(&self, rng: &mut Pcg64, rows: &mut [u32], positions: &mut [u64]) {
        match self {
            Self::Blocks(blocks) => {
                for block in blocks {
                    let mut drawn = block.clone();
                    shuffle(rng, &mut drawn);
                    for (&row, other) in block.iter().zip(drawn) {
                        rows[row as usize] = other;
                    }
                }
            }
            Self::Replacement { ids, examples, draws } => {
                // Position 0 is "never drawn".
                let mut last = vec![0_u64; *examples as usize];
                for position in 1..=*draws {
                    last[bounded(rng, *examples) as usize] = position;
                }
                for (position, &id) in positions.iter_mut().zip(*ids) {
                    *position = last[id as usize];
                }
            }
        }
    }
}

/// What is compared between the observed order and a drawn one.
enum Statistic<'a> {
    /// Σ ab of integer ranks; the rest of Spearman's ρ does not change.
    Ranks { a: Vec<i64>, b: Vec<i64>, observed: i128 },
    /// Σ xy of centred columns.
    Products { pairing: Pairing, observed: f64 },
    /// Concordant minus discordant pairs.
    Pairs { positions: &'a [u64], scores: &'a [f64], observed: i64 },
    /// The coefficient itself, where ties and norms change from draw to draw.
    Coefficient { metric: Metric, scores: &'a [f64], observed: f64 },
}

impl<'a> Statistic<'a> {
    fn new(metric: Metric, positions: &'a [u64], scores: &'a [f64], permutes: bool) -> Self {
        if !permutes {
            let observed = correlation::measure(metric, positions, scores).r;
            return Self::Coefficient { metric, scores, observed };
        }
        match metric {
            Metric::Spearman => {
                let (a, b) = (ranks::of_positions(positions), ranks::of_scores(scores));
                let observed = a.iter().zip(&b).map(|(a, b)| i128::from(*a) * i128::from(*b)).sum();
                Self::Ranks { a, b, observed }
            }
            Metric::Pearson => {
                let pairing = Pairing::of(&ranks::as_numbers(positions), scores);
                let observed = pairing.products();
                Self::Products { pairing, observed }
            }
            Metric::Kendall => {
                let observed = correlation::concordance(positions, scores).difference;
                Self::Pairs { positions, scores, observed }
            }
        }
    }

    /// The statistic of rows that take each other's positions, up to a factor; for permutations.
    fn of(&self, rows: &[u32]) -> f64 {
        match self {
            Self::Ranks { a, b, .. } => rank_products(rows, a, b) as f64,
            Self::Products { pairing, .. } => products(rows, pairing),
            Self::Pairs { positions, scores, .. } => difference(rows, positions, scores) as f64,
            Self::Coefficient { .. } => 0.0,
        }
    }

    /// What makes [`Self::of`] of variance 1 over all orders.
    fn scale(&self) -> f64 {
        let deviation = |squares: f64, n: usize| (squares / (n as f64 - 1.0)).sqrt();
        let sum = |ranks: &[i64]| ranks.iter().map(|rank| (*rank as f64).powi(2)).sum::<f64>();
        match self {
            Self::Ranks { a, b, .. } => 1.0 / deviation(sum(a) * sum(b), a.len()),
            Self::Products { pairing, .. } => {
                1.0 / deviation(pairing.scale.powi(2), pairing.x.len())
            }
            Self::Pairs { positions, scores, .. } => {
                let counts = correlation::concordance(positions, scores);
                1.0 / correlation::kendall_variance(&counts, positions.len() as u64).sqrt()
            }
            Self::Coefficient { .. } => 1.0,
        }
    }

    fn as_extreme(&self, rows: &[u32], positions: &[u64]) -> Extremes {
        match self {
            Self::Ranks { a, b, observed } => extreme(rank_products(rows, a, b), *observed, 0),
            Self::Products { pairing, observed } => {
                extreme(products(rows, pairing), *observed, TIED * pairing.scale)
            }
            Self::Pairs { positions, scores, observed } => {
                extreme(difference(rows, positions, scores), *observed, 0)
            }
            Self::Coefficient { metric, scores, observed } => {
                // A draw in which all rows share one position shows no association.
                let constant = positions.iter().all(|position| *position == positions[0]);
                let drawn =
                    if constant { 0.0 } else { correlation::measure(*metric, positions, scores).r };
                extreme(drawn, *observed, TIED)
            }
        }
    }
}

fn rank_products(rows: &[u32], a: &[i64], b: &[i64]) -> i128 {
    rows.iter().zip(b).map(|(&row, b)| i128::from(a[row as usize]) * i128::from(*b)).sum()
}

fn products(rows: &[u32], pairing: &Pairing) -> f64 {
    rows.iter().zip(&pairing.y).map(|(&row, y)| pairing.x[row as usize] * y).sum()
}

/// Concordant minus discordant pairs.
fn difference(rows: &[u32], positions: &[u64], scores: &[f64]) -> i64 {
    let moved: Vec<u64> = rows.iter().map(|&row| positions[row as usize]).collect();
    correlation::concordance(&moved, scores).difference
}

/// Draws at least as extreme as the observed statistic, by alternative.
#[derive(Debug, Clone, Copy, Default)]
struct Extremes {
    less: u64,
    greater: u64,
    two_sided: u64,
}

impl std::ops::Add for Extremes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            less: self.less + other.less,
            greater: self.greater + other.greater,
            two_sided: self.two_sided + other.two_sided,
        }
    }
}

/// Whether `drawn` is at least as extreme as `observed`, up to `slack`.
fn extreme<T: Sums>(drawn: T, observed: T, slack: T) -> Extremes {
    Extremes {
        less: u64::from(drawn <= observed + slack),
        greater: u64::from(drawn >= observed - slack),
        two_sided: u64::from(drawn.size() >= observed.size() - slack),
    }
}

#[cfg(test)]
mod tests;
