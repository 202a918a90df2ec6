//! Text of several domains: order-1 Markov chains over one alphabet, packed by domain.
//!
//! Every domain has a table of transition probabilities of its own, whose rows are draws of
//! Dirichlet(0.3). A pack holds sequences of one domain, so that a step on it pulls the model
//! towards that domain: the order of the packs matters, as that of sources does in pre-training. The
//! first symbol of a sequence is uniform, given and not predicted.

use ledger::digest::Digest;
use ledger::order::{bounded, generator};
use rand_pcg::Pcg64;

use crate::error::DataError;
use crate::markov;

/// Concentration of the Dirichlet law that rows are drawn from.
pub const CONCENTRATION: f64 = 0.3;

/// The chains of all domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domains {
    symbols: usize,
    /// Of each domain, sums of the weights up to each symbol: a row for each symbol before.
    chains: Vec<Vec<u64>>,
}

impl Domains {
    /// The chains of a seed; another number of domains keeps the first ones.
    ///
    /// # Errors
    /// [`DataError::Setting`] when there are not 2 to 64 symbols.
    pub fn new(symbols: usize, domains: u32, seed: u64) -> Result<Self, DataError> {
        if !(2..=64).contains(&symbols) {
            let (setting, expected) = ("symbols", "2 to 64");
            return Err(DataError::Setting { setting, found: symbols.to_string(), expected });
        }
        let chain = |domain: u32| {
            let parts: [&[u8]; 3] =
                [b"palimpsest/domains/v1", &seed.to_le_bytes(), &domain.to_le_bytes()];
            let mut random = generator(&Digest::of_parts(&parts));
            markov::rows(symbols, symbols, CONCENTRATION, &mut random)
        };
        Ok(Self { symbols, chains: (0..domains).map(chain).collect::<Result<_, _>>()? })
    }

    fn row(&self, domain: u32, before: usize) -> &[u64] {
        let chain = self.chains.get(domain as usize).map_or(&[][..], Vec::as_slice);
        chain.get(before * self.symbols..(before + 1) * self.symbols).unwrap_or(&[])
    }

    /// The probability of symbol `to` behind `before` in a domain; 0 outside the alphabet.
    #[must_use]
    pub fn probability(&self, domain: u32, before: usize, to: usize) -> f64 {
        let row = self.row(domain, before);
        let up_to = |place: Option<usize>| place.and_then(|at| row.get(at)).copied().unwrap_or(0);
        let weight = up_to(Some(to)).saturating_sub(up_to(to.checked_sub(1)));
        weight as f64 / row.last().copied().unwrap_or(1) as f64
    }

    /// A sequence of `length` symbols of a domain.
    #[must_use]
    pub fn draw(&self, domain: u32, length: usize, random: &mut Pcg64) -> Vec<u16> {
        let mut symbol = bounded(random, self.symbols as u64) as usize;
        let mut tokens = Vec::with_capacity(length);
        for _ in 0..length {
            tokens.push(u16::try_from(symbol).unwrap_or(u16::MAX));
            symbol = markov::step(self.row(domain, symbol), random);
        }
        tokens
    }

    /// Exact log-probability of the symbols after the first, given it, in nats.
    #[must_use]
    pub fn log_probability(&self, domain: u32, tokens: &[u16]) -> f64 {
        let steps = tokens.windows(2).map(|two| match two {
            &[before, to] => self.probability(domain, before.into(), to.into()).ln(),
            _ => 0.0,
        });
        steps.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Pcg64 {
        generator(&Digest::of(b"domains"))
    }

    #[test]
    fn rows_are_distributions_and_symbols_come_as_often_as_they_say() {
        let domains = Domains::new(4, 2, 0).unwrap();
        let text = domains.draw(1, 80_000, &mut random());
        for before in 0..4 {
            let row: Vec<f64> = (0..4).map(|to| domains.probability(1, before, to)).collect();
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let follow = |pair: &&[u16]| usize::from(pair[0]) == before;
            let seen = text.windows(2).filter(follow).count() as f64;
            for (to, probability) in row.iter().enumerate() {
                let pair = [before as u16, to as u16];
                let found = text.windows(2).filter(|two| **two == pair).count() as f64 / seen;
                // Five standard deviations of the share, and one symbol.
                let margin = 5.0 * (probability * (1.0 - probability) / seen).sqrt() + 1.0 / seen;
                assert!((found - probability).abs() < margin, "{pair:?}: {found} {probability}");
            }
        }
    }

    #[test]
    fn probabilities_of_all_texts_sum_to_one() {
        let domains = Domains::new(3, 1, 4).unwrap();
        let texts = (0..27_u16).map(|code| [0, code % 3, code / 3 % 3, code / 9]);
        let sum: f64 = texts.map(|text| domains.log_probability(0, &text).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn a_text_is_likeliest_under_its_own_domain() {
        let domains = Domains::new(20, 6, 0).unwrap();
        for domain in 0..6 {
            let text = domains.draw(domain, 400, &mut random());
            let best = (0..6).max_by(|a, b| {
                let of = |domain: &u32| domains.log_probability(*domain, &text);
                of(a).total_cmp(&of(b))
            });
            assert_eq!(best, Some(domain));
        }
    }

    #[test]
    fn more_domains_keep_the_first_ones_and_other_seeds_are_others() {
        let [few, more] = [2, 3].map(|count| Domains::new(20, count, 0).unwrap());
        assert_eq!(few.chains[..], more.chains[..2]);
        assert_ne!(few, Domains::new(20, 2, 1).unwrap());
        assert_ne!(few.chains[0], few.chains[1]);
        let refused = Domains::new(1, 2, 0).unwrap_err().to_string();
        assert_eq!(refused, "symbols is 1, expected 2 to 64");
    }
}
