//! Named random streams: every consumer of randomness owns a generator seeded from the run's
//! effective seed and its own name, so that a new consumer never shifts another.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rand_core::Rng as _;
use rand_distr::{Distribution as _, StandardNormal};
use rand_pcg::Pcg64;

use crate::digest::Digest;
use crate::order;

/// The root of all named streams of a run. Clones share the list of names drawn from.
#[derive(Clone)]
pub struct Streams {
    root: [u8; 32],
    used: Arc<Mutex<BTreeSet<String>>>,
}

impl std::fmt::Debug for Streams {
    /// Without the root: who knows it knows the order before it is revealed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Streams(..)")
    }
}

impl Streams {
    /// Streams of a run with this effective seed.
    #[must_use]
    pub fn new(effective_seed: [u8; 32]) -> Self {
        Self { root: effective_seed, used: Arc::default() }
    }

    /// A fresh generator for `name`, always in its initial state: seeded like an epoch's order,
    /// from SHA-256("palimpsest/stream/v1" || effective seed || name).
    #[must_use]
    pub fn generator(&self, name: &str) -> Pcg64 {
        self.note(name);
        order::generator(&Digest::of_parts(&[b"palimpsest/stream/v1", &self.root, name.as_bytes()]))
    }

    /// A fresh generator of stream `name` for example `id` in `epoch`: what it gives does not
    /// depend on the batch the example is in. From SHA-256("palimpsest/stream-keyed/v1" ||
    /// effective seed || id u32 LE || epoch u32 LE || name).
    #[must_use]
    pub fn keyed(&self, name: &str, id: u32, epoch: u32) -> Pcg64 {
        self.note(name);
        let (id, epoch) = (id.to_le_bytes(), epoch.to_le_bytes());
        order::generator(&Digest::of_parts(&[
            b"palimpsest/stream-keyed/v1",
            &self.root,
            &id,
            &epoch,
            name.as_bytes(),
        ]))
    }

    /// Names of the streams that were asked for so far, sorted.
    #[must_use]
    pub fn used(&self) -> Vec<String> {
        let used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        used.iter().cloned().collect()
    }

    /// Takes note of names that an earlier part of the same run has drawn from.
    pub fn note_all(&self, names: &[String]) {
        names.iter().for_each(|name| self.note(name));
    }

    fn note(&self, name: &str) {
        let mut used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !used.contains(name) {
            used.insert(name.to_owned());
        }
    }
}

/// A uniform number in [0, 1) from the top 53 bits of one draw.
#[inline]
pub fn unit_f64(rng: &mut Pcg64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (rng.next_u64() >> 11) as f64 * STEP
}

/// A standard normal number (ziggurat).
pub fn normal_f64(rng: &mut Pcg64) -> f64 {
    StandardNormal.sample(rng)
}

/// `n` standard normal numbers, drawn in double precision and rounded.
#[must_use]
pub fn normal(rng: &mut Pcg64, n: usize) -> Vec<f32> {
    (0..n).map(|_| normal_f64(rng) as f32).collect()
}

/// `n` uniform numbers in [lo, hi), drawn in double precision and rounded; all `lo` when the
/// interval is empty.
#[must_use]
pub fn uniform(rng: &mut Pcg64, n: usize, lo: f32, hi: f32) -> Vec<f32> {
    let (from, width) = (f64::from(lo), f64::from(hi) - f64::from(lo));
    // Rounding to single precision may reach the open end.
    let last = hi.next_down().max(lo);
    // `clamp` would panic for bounds that are not numbers.
    (0..n).map(|_| ((from + width * unit_f64(rng)) as f32).min(last).max(lo)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seed::Seed;

    fn streams() -> Streams {
        Streams::new(Seed::from_integer(0).bytes)
    }

    // Printed by `draws(sha256(b"palimpsest/stream/v1", integer_seed(0), name))` of
    // docs/verify_order.py, that is by NumPy's PCG64.
    #[test]
    fn streams_agree_with_numpy() {
        for (name, expected) in [
            ("init", [0xd0a8_072d_1cc5_86ac_u64, 0x1b5c_37ed_c51a_ffe9, 0xdf3f_3ebf_7e7d_a762]),
            ("view", [0x7c36_1124_380d_340d, 0x5153_6ee4_c395_569e, 0xc7e7_0f5c_e0d1_faca]),
        ] {
            let mut rng = streams().generator(name);
            assert_eq!([rng.next_u64(), rng.next_u64(), rng.next_u64()], expected, "{name}");
        }
    }

    #[test]
    fn unit_numbers_agree_with_numpy() {
        let mut rng = streams().generator("init");
        for expected in [0.815_063_904_298_559_9, 0.106_875_892_209_341_46, 0.872_058_793_784_609_2]
        {
            assert_eq!(unit_f64(&mut rng), expected);
        }
    }

    #[test]
    fn normal_numbers_are_pinned_against_changes_of_the_ziggurat() {
        let numbers = normal(&mut streams().generator("init"), 4);
        assert_eq!(numbers, [0.780_664, -0.570_380_75, 1.299_637_3, 1.359_082]);
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        // Standard errors at n = 100,000: 0.0032 of the mean, 0.0045 of the variance.
        let n = 100_000;
        let numbers = normal(&mut streams().generator("noise"), n);
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / n as f64;
        let variance =
            numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 4.0 * 0.0032, "mean {mean}");
        assert!((variance - 1.0).abs() < 4.0 * 0.0045, "variance {variance}");
    }

    #[test]
    fn a_new_consumer_never_shifts_another() {
        let alone = normal(&mut streams().generator("init"), 100);
        let streams = streams();
        let mut noise = streams.generator("noise");
        let mut init = streams.generator("init");
        let mut interleaved = Vec::new();
        for _ in 0..100 {
            assert_eq!(uniform(&mut noise, 3, 0.0, 1.0).len(), 3);
            interleaved.extend(normal(&mut init, 1));
        }
        assert_eq!(interleaved, alone);
    }

    #[test]
    fn keyed_streams_differ_by_example_and_epoch_and_every_name_is_noted() {
        let streams = streams();
        let first = |id, epoch| streams.keyed("view", id, epoch).next_u64();
        assert_eq!(first(3, 1), first(3, 1));
        assert!(first(3, 1) != first(1, 3) && first(3, 1) != first(3, 2));
        let _ = streams.clone().generator("init");
        assert_eq!(streams.used(), ["init", "view"]);
    }

    #[test]
    fn names_and_seeds_give_different_streams() {
        let first = |streams: &Streams, name: &str| streams.generator(name).next_u64();
        let other = Streams::new(Seed::from_integer(1).bytes);
        assert_ne!(first(&streams(), "init"), first(&streams(), "init2"));
        assert_ne!(first(&streams(), "init"), first(&other, "init"));
    }

    proptest! {
        #[test]
        fn uniform_numbers_stay_in_their_half_open_interval(
            k: u64, lo in -1e30_f32..1e30, width in 1e-30_f32..1e30,
        ) {
            let hi = lo + width;
            prop_assume!(lo < hi);
            let mut rng = Streams::new(Seed::from_integer(k).bytes).generator("x");
            for x in uniform(&mut rng, 50, lo, hi) {
                prop_assert!(lo <= x && x < hi);
            }
        }
    }

    #[test]
    fn an_interval_of_neighbouring_floats_never_reaches_its_open_end() {
        let mut rng = streams().generator("x");
        assert_eq!(uniform(&mut rng, 100, 1.0, 1.0_f32.next_up()), [1.0; 100]);
    }

    #[test]
    fn an_empty_interval_gives_its_lower_end() {
        let mut rng = streams().generator("x");
        assert_eq!(uniform(&mut rng, 2, 3.0, 3.0), [3.0, 3.0]);
    }
}
