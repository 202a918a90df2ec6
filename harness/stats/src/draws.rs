//! Seeded draws for bootstrap and permutation: the same seed and purpose, the same draws.

use rand_core::Rng as _;
use rand_pcg::Pcg64;

use ledger::digest::Digest;

/// A stream of draws that depends on nothing but a seed and a purpose.
pub struct Draws(Pcg64);

impl Draws {
    /// PCG XSL-RR 128/64 with state and stream from SHA-256("palimpsest/stats/v1" || seed u64 LE ||
    /// purpose), so that two statistics under one seed do not share their draws.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let digest = Digest::of_parts(&[
            b"palimpsest/stats/v1".as_slice(),
            &seed.to_le_bytes(),
            purpose.as_bytes(),
        ]);
        let half = |bytes: &[u8]| {
            bytes.iter().rev().fold(0u128, |word, &byte| (word << 8) | u128::from(byte))
        };
        let (state, stream) = digest.as_bytes().split_at(16);
        Self(Pcg64::new(half(state), half(stream)))
    }

    /// A uniform index below `bound`, by Lemire's multiply-shift with rejection; 0 for bound 0.
    pub fn index(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(bound);
            let low = product as u64;
            // The low word of the product is below 2^64 mod bound for the few surplus values; that
            // remainder is below the bound, so that it is hardly ever needed.
            if low >= bound || low >= bound.wrapping_neg().checked_rem(bound).unwrap_or(0) {
                return (product >> 64) as usize;
            }
        }
    }

    /// `value` or its negation, each with probability one half.
    pub fn flip(&mut self, value: f64) -> f64 {
        if self.0.next_u64() >> 63 == 0 { value } else { -value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_drawn_equally_often() {
        let mut draws = Draws::new(7, "test");
        let mut counts = [0u32; 5];
        for _ in 0..50_000 {
            counts[draws.index(5)] += 1;
        }
        // Six standard deviations of a binomial with n = 50000 and p = 1/5.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 540), "{counts:?}");
    }

    #[test]
    fn a_bound_that_does_not_divide_the_range_is_not_biased() {
        // Without rejection, multiples of 3 below 3 * 2^62 would be drawn twice as often.
        let mut draws = Draws::new(7, "test");
        let multiples = (0..30_000).filter(|_| draws.index(3 << 62).is_multiple_of(3)).count();
        assert!(multiples.abs_diff(10_000) < 490, "{multiples}");
    }

    #[test]
    fn seed_and_purpose_both_change_the_draws() {
        let eight = |seed, purpose| {
            let mut draws = Draws::new(seed, purpose);
            std::array::from_fn::<usize, 8, _>(|_| draws.index(1000))
        };
        assert_eq!(eight(1, "a"), eight(1, "a"));
        assert_ne!(eight(1, "a"), eight(2, "a"));
        assert_ne!(eight(1, "a"), eight(1, "b"));
    }
}
