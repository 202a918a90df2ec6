//! Keys and values to be remembered: pairs of a key and its value, in which keys come again after a short or a long while.
//!
//! In a sequence every key has one value, drawn anew for each sequence. Every other pair, as long as there are keys left, is of a new key;
//! the others are of the key that stood so many pairs before, a number whose logarithm is uniform between 1 and all there are.

use ledger::digest::Digest;
use ledger::order::{bounded, shuffle};
use ledger::sample::sample_id;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;

/// Values that a key may have.
pub const VALUES: u16 = 16;

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recall {
    /// Key, value, key, value, …; values are the first [`VALUES`] tokens, keys the others.
    pub tokens: Vec<u16>,
    /// Of every pair, how many pairs before the key stood last; 0 where it is new.
    pub since: Vec<u32>,
}

/// Keys of sequences of so many tokens.
#[must_use]
pub fn keys(length: usize) -> u16 {
    u16::try_from(length / 4).unwrap_or(u16::MAX - VALUES).max(1)
}

impl Recall {
    /// A sequence of `length` tokens, an even number.
    pub fn draw(length: usize, random: &mut Pcg64) -> Self {
        let mut fresh: Vec<u32> = (0..u32::from(keys(length))).collect();
        shuffle(random, &mut fresh);
        let mut said: Vec<(u16, u16)> = Vec::with_capacity(length / 2);
        let mut since = Vec::with_capacity(length / 2);
        for at in 0..length / 2 {
            let again = at > 0 && (fresh.is_empty() || unit_f64(random) < 0.5);
            if again {
                let back = ((at as f64).ln() * unit_f64(random)).exp().round() as usize;
                let pair = said[at - back.clamp(1, at)];
                let last = said.iter().rposition(|other| other.0 == pair.0).unwrap_or(0);
                since.push((at - last) as u32);
                said.push(pair);
            } else {
                let key = fresh.pop().map_or(0, |key| key as u16);
                since.push(0);
                said.push((VALUES + key, bounded(random, u64::from(VALUES)) as u16));
            }
        }
        Self { tokens: said.into_iter().flat_map(|(key, value)| [key, value]).collect(), since }
    }

    /// The sample id: its tokens.
    #[must_use]
    pub fn id(&self) -> Digest {
        let bytes: Vec<u8> = self.tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
        sample_id(&bytes, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_key_has_one_value_in_a_sequence_and_comes_again_near_and_far() {
        let mut random = ledger::order::generator(&Digest::of(b"recall of a test"));
        let mut all = Vec::new();
        for _ in 0..40 {
            let Recall { tokens, since } = Recall::draw(256, &mut random);
            let mut values = BTreeMap::new();
            for (at, pair) in tokens.chunks(2).enumerate() {
                assert!(pair[0] >= VALUES && pair[0] < VALUES + keys(256) && pair[1] < VALUES);
                let before = values.insert(pair[0], (pair[1], at));
                assert_eq!(before.map_or(0, |(_, before)| (at - before) as u32), since[at]);
                assert!(before.is_none_or(|(value, _)| value == pair[1]));
            }
            all.extend(since.into_iter().filter(|since| *since > 0));
        }
        let share =
            |far: u32| all.iter().filter(|since| **since >= far).count() as f64 / all.len() as f64;
        // Of 64 keys all are said within 128 pairs, half of which are new until then.
        assert!(
            all.len() > 40 * 50 && share(2) > 0.5 && share(32) > 0.1,
            "{} {}",
            share(2),
            share(32)
        );
    }
}
