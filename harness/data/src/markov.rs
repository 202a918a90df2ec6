//! Text of an order-2 Markov chain, whose exact likelihood and entropy rate are known.
//!
//! Each symbol depends on the two before it. The row of transition probabilities of every pair is a
//! draw of Dirichlet(0.15), made of gamma draws: of 32 symbols a few carry most of a row. Rows are
//! held as whole weights, so that texts are the same on every platform. A text starts with two
//! uniform symbols, which are given and not predicted.
//!
//! With noise d a symbol is uniform with probability d instead: that is how documents of one pack
//! share a difficulty.

use ledger::digest::Digest;
use ledger::order::bounded;
use rand_distr::{Distribution as _, Gamma};
use rand_pcg::Pcg64;

use crate::error::DataError;

/// Concentration of the Dirichlet law that rows are drawn from.
pub const CONCENTRATION: f64 = 0.15;

/// Noise levels: at level l a symbol is uniform with probability l / (2·[`LEVELS`]).
pub const LEVELS: u32 = 8;

/// What the weights of a row sum to, but for rounding.
const SCALE: f64 = (1_u64 << 30) as f64;

/// An order-2 Markov chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Markov {
    symbols: usize,
    /// Sums of the weights up to each symbol, a row for each pair of symbols (a, b) at a·S + b.
    sums: Vec<u64>,
}

/// The share of uniform symbols at a noise level.
#[must_use]
pub fn noise(level: u32) -> f64 {
    f64::from(level.min(LEVELS)) / f64::from(2 * LEVELS)
}

impl Markov {
    /// The chain of a seed, with rows of Dirichlet(`concentration`).
    ///
    /// # Errors
    /// [`DataError::Setting`] without symbols, or when the concentration is not above 0.
    pub fn new(symbols: usize, concentration: f64, seed: u64) -> Result<Self, DataError> {
        if !(2..=64).contains(&symbols) {
            let (setting, expected) = ("symbols", "2 to 64");
            return Err(DataError::Setting { setting, found: symbols.to_string(), expected });
        }
        let digest = Digest::of_parts(&[b"palimpsest/markov/v1", &seed.to_le_bytes()]);
        let mut random = ledger::order::generator(&digest);
        let sums = rows(symbols * symbols, symbols, concentration, &mut random)?;
        Ok(Self { symbols, sums })
    }

    fn row(&self, before: [usize; 2]) -> &[u64] {
        let [a, b] = before;
        self.sums.chunks(self.symbols).nth(a * self.symbols + b).unwrap_or(&[])
    }

    /// The probability of symbol `to` behind the pair `before`.
    #[must_use]
    pub fn probability(&self, before: [usize; 2], to: usize) -> f64 {
        let row = self.row(before);
        let up_to = |place: Option<usize>| place.and_then(|at| row.get(at)).copied().unwrap_or(0);
        let weight = up_to(Some(to)).saturating_sub(up_to(to.checked_sub(1)));
        weight as f64 / row.last().copied().unwrap_or(1) as f64
    }

    /// A text of `length` symbols at a noise level.
    #[must_use]
    pub fn draw(&self, length: usize, level: u32, random: &mut Pcg64) -> Vec<u16> {
        let any = |random: &mut Pcg64| bounded(random, self.symbols as u64) as usize;
        let mut before = [any(random), any(random)];
        let mut tokens = before.to_vec();
        while tokens.len() < length {
            let uniform = bounded(random, u64::from(2 * LEVELS)) < u64::from(level.min(LEVELS));
            let next = if uniform { any(random) } else { self.step(before, random) };
            tokens.push(next);
            before = [before[1], next];
        }
        tokens.truncate(length);
        tokens.into_iter().filter_map(|token| u16::try_from(token).ok()).collect()
    }

    fn step(&self, before: [usize; 2], random: &mut Pcg64) -> usize {
        step(self.row(before), random)
    }

    /// Exact log-probability of the symbols after the first two, given them, in nats.
    #[must_use]
    pub fn log_probability(&self, tokens: &[u16], level: u32) -> f64 {
        let (share, even) = (noise(level), 1.0 / self.symbols as f64);
        let steps = tokens.windows(3).map(|three| {
            let &[a, b, to] = three else { return 0.0 };
            let own = self.probability([usize::from(a), usize::from(b)], usize::from(to));
            ((1.0 - share) * own + share * even).ln()
        });
        steps.sum()
    }

    /// Entropy of a symbol given the two before it under the stationary distribution of pairs, in
    /// nats: the loss of a perfect model on a long text without noise.
    #[must_use]
    pub fn entropy_rate(&self) -> f64 {
        let symbols = self.symbols;
        let pairs = || (0..symbols).flat_map(|a| (0..symbols).map(move |b| [a, b]));
        let mut now = vec![1.0 / (symbols * symbols) as f64; symbols * symbols];
        for _ in 0..500 {
            let mut next = vec![0.0; symbols * symbols];
            for ([a, b], mass) in pairs().zip(&now) {
                let places = next.iter_mut().skip(b * symbols).take(symbols);
                for (to, place) in places.enumerate() {
                    *place += mass * self.probability([a, b], to);
                }
            }
            now = next;
        }
        let entropy = |pair: [usize; 2]| -> f64 {
            let steps = (0..symbols).map(|to| self.probability(pair, to));
            -steps.filter(|p| *p > 0.0).map(|p| p * p.ln()).sum::<f64>()
        };
        pairs().zip(&now).map(|(pair, mass)| mass * entropy(pair)).sum()
    }
}

/// Sums of the weights up to each symbol, of `count` rows of Dirichlet(`concentration`) side by side.
///
/// # Errors
/// [`DataError::Setting`] when the concentration is not above 0.
pub(crate) fn rows(
    count: usize,
    symbols: usize,
    concentration: f64,
    random: &mut Pcg64,
) -> Result<Vec<u64>, DataError> {
    let gamma = Gamma::new(concentration, 1.0).map_err(|_| DataError::Setting {
        setting: "concentration",
        found: concentration.to_string(),
        expected: "a number above 0",
    })?;
    let mut sums = Vec::with_capacity(count * symbols);
    for _ in 0..count {
        let draws: Vec<f64> = (0..symbols).map(|_| gamma.sample(random)).collect();
        let total: f64 = draws.iter().sum();
        let mut sum = 0;
        for draw in draws {
            // A row whose draws all vanish is even.
            let share = if total > 0.0 { draw / total } else { 1.0 / symbols as f64 };
            sum += weight(share);
            sums.push(sum);
        }
    }
    Ok(sums)
}

/// A symbol drawn by the sums of a row's weights.
pub(crate) fn step(row: &[u64], random: &mut Pcg64) -> usize {
    let drawn = bounded(random, row.last().copied().unwrap_or(1));
    row.partition_point(|sum| *sum <= drawn).min(row.len().saturating_sub(1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is in 0..=1, so the product is at most the scale"
)]
fn weight(share: f64) -> u64 {
    (share * SCALE).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Markov {
        Markov::new(32, CONCENTRATION, 0).unwrap()
    }

    fn random() -> Pcg64 {
        ledger::order::generator(&Digest::of(b"markov"))
    }

    #[test]
    fn rows_are_distributions_of_the_entropy_that_the_dirichlet_law_has() {
        let source = source();
        let mut entropies = Vec::new();
        for a in 0..32 {
            for b in 0..32 {
                let row: Vec<f64> = (0..32).map(|to| source.probability([a, b], to)).collect();
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                let steps = row.iter().filter(|p| **p > 0.0);
                entropies.push(-steps.map(|p| p * p.ln()).sum::<f64>());
            }
        }
        // ψ(32·0.15 + 1) − ψ(0.15 + 1) = 2.023 508 (asymptotic series of digamma); the mean of 1,024 rows lies
        // within a few hundredths of it.
        let mean = entropies.iter().sum::<f64>() / 1024.0;
        assert!((mean - 2.023_508).abs() < 0.05, "{mean}");
    }

    #[test]
    fn the_entropy_rate_is_what_the_truth_loses_on_a_long_text() {
        let source = source();
        let text = source.draw(400_000, 0, &mut random());
        let loss = -source.log_probability(&text, 0) / 399_998.0;
        assert!((loss - source.entropy_rate()).abs() < 0.01, "{loss} {}", source.entropy_rate());
    }

    #[test]
    fn the_entropy_rate_of_a_chain_written_down_is_that_of_its_formula() {
        // Two symbols, the next is 0 with probability 1/4 behind (·, 0) and 3/4 behind (·, 1): an
        // order-1 chain in disguise, stationary at a half each, ln 4 − ¾ ln 3 per symbol.
        let source = Markov { symbols: 2, sums: [1, 4, 3, 4, 1, 4, 3, 4].to_vec() };
        assert!((source.entropy_rate() - (4_f64.ln() - 0.75 * 3_f64.ln())).abs() < 1e-12);
        assert_eq!(source.probability([1, 0], 1), 0.75);
    }

    #[test]
    fn probabilities_of_all_texts_sum_to_one_with_and_without_noise() {
        let source = Markov::new(3, 0.5, 4).unwrap();
        for level in [0, 3, LEVELS] {
            let texts = (0..27_u16).map(|code| [0, 1, code % 3, code / 3 % 3, code / 9]);
            let sum: f64 = texts.map(|text| source.log_probability(&text, level).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn symbols_come_as_often_as_their_probabilities_say() {
        let source = Markov::new(4, 0.5, 9).unwrap();
        let mut random = random();
        let mut counts = [0.0; 4];
        for _ in 0..40_000 {
            counts[source.step([2, 1], &mut random)] += 1.0 / 40_000.0;
        }
        for (to, share) in counts.into_iter().enumerate() {
            // Four standard deviations of a share are at most 0.01.
            assert!((share - source.probability([2, 1], to)).abs() < 0.01, "{to}: {share}");
        }
    }

    #[test]
    fn noise_raises_the_loss_of_the_truth() {
        let source = source();
        let loss = |level| {
            let text = source.draw(20_000, level, &mut random());
            -source.log_probability(&text, level) / 19_998.0
        };
        assert!(loss(0) + 0.2 < loss(4) && loss(4) + 0.2 < loss(8));
        assert_eq!((noise(0), noise(LEVELS), noise(99)), (0.0, 0.5, 0.5));
    }

    #[test]
    fn other_seeds_are_other_sources_and_bad_settings_are_named() {
        assert_ne!(source(), Markov::new(32, CONCENTRATION, 1).unwrap());
        assert_eq!(source(), source());
        let message = |found: Result<Markov, DataError>| found.unwrap_err().to_string();
        assert_eq!(message(Markov::new(1, 0.15, 0)), "symbols is 1, expected 2 to 64");
        let refused = message(Markov::new(32, f64::NAN, 0));
        assert_eq!(refused, "concentration is NaN, expected a number above 0");
    }
}
