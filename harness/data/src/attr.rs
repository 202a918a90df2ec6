//! Grammar text with a quality: mixtures of Markov chains whose exact log-probability is known.
//!
//! A hidden topic chooses the chain that the next symbol comes from; at every step it is redrawn
//! with probability 1/`run`. With probability 1 − q a symbol comes from a chain of a wrong grammar
//! instead, where q is the quality of the example. Transition weights are whole numbers, so that
//! texts are the same on every platform. The forward algorithm sums over the topics, so that the
//! excess of a model's loss over the truth is 0 at the optimum and nowhere below, in expectation.

use ledger::digest::Digest;
use ledger::order::bounded;
use rand_pcg::Pcg64;

use crate::sequences::Sequence;

/// A Markov chain over `symbols` symbols by whole weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    symbols: usize,
    /// Weights from each symbol to each, row by row; every row has a positive sum.
    weights: Vec<u32>,
    /// Sum of each row.
    totals: Vec<u32>,
}

impl Chain {
    /// The chain of square `weights`; a row without weight is made even.
    #[must_use]
    pub fn new(symbols: usize, mut weights: Vec<u32>) -> Self {
        weights.resize(symbols * symbols, 0);
        for row in weights.chunks_mut(symbols.max(1)) {
            if row.iter().all(|weight| *weight == 0) {
                row.fill(1);
            }
        }
        let totals = weights.chunks(symbols.max(1)).map(|row| row.iter().sum()).collect();
        Self { symbols, weights, totals }
    }

    /// Weights 1 + u³ with u uniform in 0..12: of 32 symbols about eight carry most of a row.
    fn drawn(symbols: usize, random: &mut Pcg64) -> Self {
        let weight = |random: &mut Pcg64| {
            let u = u32::try_from(bounded(random, 12)).unwrap_or(0);
            1 + u * u * u
        };
        Self::new(symbols, (0..symbols * symbols).map(|_| weight(random)).collect())
    }

    fn row(&self, from: usize) -> &[u32] {
        self.weights.chunks(self.symbols.max(1)).nth(from).unwrap_or(&[])
    }

    /// The probability of a step.
    #[must_use]
    pub fn probability(&self, from: usize, to: usize) -> f64 {
        let weight = self.row(from).get(to).copied().unwrap_or(0);
        f64::from(weight) / f64::from(self.totals.get(from).copied().unwrap_or(1))
    }

    fn step(&self, from: usize, random: &mut Pcg64) -> usize {
        let total = self.totals.get(from).copied().unwrap_or(1);
        let mut left = bounded(random, u64::from(total));
        for (to, &weight) in self.row(from).iter().enumerate() {
            match left.checked_sub(u64::from(weight)) {
                Some(rest) => left = rest,
                None => return to,
            }
        }
        0
    }

    /// The distribution that a step leaves as it is, by 1,000 steps from the even one.
    #[must_use]
    pub fn stationary(&self) -> Vec<f64> {
        let mut now = vec![1.0 / self.symbols as f64; self.symbols];
        for _ in 0..1000 {
            now = (0..self.symbols)
                .map(|to| {
                    now.iter().enumerate().map(|(from, p)| p * self.probability(from, to)).sum()
                })
                .collect();
        }
        now
    }

    /// Entropy of a step under the stationary distribution, in nats.
    #[must_use]
    pub fn entropy_rate(&self) -> f64 {
        let entropy = |from: usize| -> f64 {
            let steps = (0..self.symbols).map(|to| self.probability(from, to));
            -steps.filter(|p| *p > 0.0).map(|p| p * p.ln()).sum::<f64>()
        };
        self.stationary().iter().enumerate().map(|(from, p)| p * entropy(from)).sum()
    }
}

/// Topics, the wrong grammar, and how often the topic is redrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grammar {
    /// Number of symbols, at most 64.
    pub symbols: usize,
    /// One chain per topic.
    pub topics: Vec<Chain>,
    /// Where the symbols of low quality come from.
    pub wrong: Chain,
    /// Mean number of symbols between two draws of the topic.
    pub run: u32,
}

/// Quality levels: an example of level l has quality l / ([`LEVELS`] − 1).
pub const LEVELS: u32 = 32;

/// The quality of a level.
#[must_use]
pub fn quality(level: u32) -> f64 {
    f64::from(level.min(LEVELS - 1)) / f64::from(LEVELS - 1)
}

impl Grammar {
    /// The grammar of a seed.
    #[must_use]
    pub fn new(symbols: usize, topics: usize, run: u32, seed: u64) -> Self {
        let digest = Digest::of_parts(&[b"palimpsest/attr/v1", &seed.to_le_bytes()]);
        let mut random = ledger::order::generator(&digest);
        let topics = (0..topics).map(|_| Chain::drawn(symbols, &mut random)).collect();
        Self { symbols, topics, wrong: Chain::drawn(symbols, &mut random), run: run.max(1) }
    }

    /// A text of `length` symbols at the quality of `level`; the first symbol is uniform.
    #[must_use]
    pub fn draw(&self, length: usize, level: u32, random: &mut Pcg64) -> Sequence {
        let topic = |random: &mut Pcg64| bounded(random, self.topics.len() as u64) as usize;
        let mut symbol = bounded(random, self.symbols as u64) as usize;
        let mut current = topic(random);
        let mut tokens = Vec::with_capacity(length);
        for place in 0..length {
            if place > 0 {
                if bounded(random, u64::from(self.run)) == 0 {
                    current = topic(random);
                }
                let wrong = bounded(random, u64::from(LEVELS - 1)) < u64::from(LEVELS - 1 - level);
                let chain = self.topics.get(current).filter(|_| !wrong).unwrap_or(&self.wrong);
                symbol = chain.step(symbol, random);
            }
            tokens.push(u16::try_from(symbol).unwrap_or(0));
        }
        Sequence { tokens, prompt: 1, group: level }
    }

    /// Exact log-probability of the symbols after the first, given it, at quality `q`, in nats.
    #[must_use]
    pub fn log_probability(&self, tokens: &[u16], q: f64) -> f64 {
        let topics = self.topics.len() as f64;
        let redrawn = 1.0 / f64::from(self.run);
        let mut belief = vec![1.0 / topics; self.topics.len()];
        let mut total = 0.0;
        for pair in tokens.windows(2) {
            let &[from, to] = pair else { continue };
            let (from, to) = (usize::from(from), usize::from(to));
            let wrong = self.wrong.probability(from, to);
            for (weight, chain) in belief.iter_mut().zip(&self.topics) {
                let before = *weight * (1.0 - redrawn) + redrawn / topics;
                *weight = before * (q * chain.probability(from, to) + (1.0 - q) * wrong);
            }
            let likelihood: f64 = belief.iter().sum();
            total += likelihood.ln();
            belief.iter_mut().for_each(|weight| *weight /= likelihood);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Pcg64 {
        ledger::order::generator(&Digest::of(b"attr"))
    }

    #[test]
    fn the_published_chain_has_its_stationary_distribution_and_entropy_rate() {
        let chain = Chain::new(3, vec![7, 2, 1, 1, 6, 3, 3, 3, 4]);
        for (found, expected) in chain.stationary().iter().zip([0.375, 0.375, 0.25]) {
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
        assert!((chain.entropy_rate() - 0.909_637).abs() < 5e-7, "{}", chain.entropy_rate());
    }

    #[test]
    fn probabilities_of_all_texts_sum_to_one() {
        let grammar = Grammar::new(3, 2, 4, 1);
        for q in [0.0, 0.3, 1.0] {
            let mut sum = 0.0;
            for code in 0..27_u16 {
                let tokens = [0, code % 3, code / 3 % 3, code / 9];
                sum += grammar.log_probability(&tokens, q).exp();
            }
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }

    #[test]
    fn the_forward_algorithm_is_the_sum_over_all_courses_of_the_topic() {
        let grammar = Grammar::new(4, 2, 5, 2);
        let tokens = [1_u16, 3, 0, 2];
        let mut sum = 0.0;
        for code in 0..8_usize {
            let topics = [code & 1, code >> 1 & 1, code >> 2];
            let mut weight = 0.5;
            for (place, &topic) in topics.iter().enumerate() {
                if place > 0 {
                    let stays = f64::from(u8::from(topics[place - 1] == topic));
                    weight *= 0.8 * stays + 0.2 / 2.0;
                }
                let (from, to) = (usize::from(tokens[place]), usize::from(tokens[place + 1]));
                weight *= grammar.topics[topic].probability(from, to);
            }
            sum += weight;
        }
        let found = grammar.log_probability(&tokens, 1.0);
        assert!((found - f64::ln(sum)).abs() < 1e-12, "{found}");
    }

    #[test]
    fn the_truth_explains_its_own_text_better_than_any_other_quality() {
        let grammar = Grammar::new(32, 4, 32, 7);
        let mut random = random();
        let mean = |level: u32, random: &mut Pcg64| {
            let texts: Vec<_> = (0..200).map(|_| grammar.draw(33, level, random)).collect();
            [0.0, 0.5, 1.0].map(|q| {
                let sum: f64 =
                    texts.iter().map(|text| grammar.log_probability(&text.tokens, q)).sum();
                sum / (200.0 * 32.0)
            })
        };
        let best = mean(LEVELS - 1, &mut random);
        assert!(best[2] > best[1] && best[1] > best[0], "{best:?}");
        let worst = mean(0, &mut random);
        assert!(worst[0] > worst[1] && worst[1] > worst[2], "{worst:?}");
        // Well below the ln 32 = 3.47 of an even guess.
        assert!(best[2] > -3.2, "{best:?}");
    }

    #[test]
    fn symbols_follow_their_weights_and_a_row_without_weight_is_even() {
        let chain = Chain::new(2, vec![3, 1, 0, 0]);
        assert_eq!(chain.probability(1, 0), 0.5);
        let mut random = random();
        let stays = (0..4000).filter(|_| chain.step(0, &mut random) == 0).count();
        // 3000 with a deviation of 27.
        assert!((2890..3110).contains(&stays), "{stays}");
    }
}
