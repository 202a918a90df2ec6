//! Named random streams: every consumer of randomness owns a generator seeded from the run's
//! effective seed and its own name, so that a new consumer never shifts another.

use rand_core::Rng as _;
use rand_distr::{Distribution as _, StandardNormal};
use rand_pcg::Pcg64;

use crate::digest::Digest;
use crate::order;

/// The root of all named streams of a run.
#[derive(Clone)]
pub struct Streams {
    root: [u8; 32],
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
        Self { root: effective_seed }
    }

    /// A fresh generator for `name`, always in its initial state: seeded like an epoch's order,
    /// from SHA-256("palimpsest/stream/v1" || effective seed || name).
    #[must_use]
    pub fn generator(&self, name: &str) -> Pcg64 {
        order::generator(&Digest::of_parts(&[b"palimpsest/stream/v1", &self.root, name.as_bytes()]))
    }
}

/// A uniform number in [0, 1) from the top 53 bits of one draw.
#[inline]
pub fn unit_f64(rng: &mut Pcg64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (rng.next_u64() >> 11) as f64 * STEP
}

/// `n` standard normal numbers, drawn in double precision (ziggurat) and rounded.
#[must_use]
pub fn normal(rng: &mut Pcg64, n: usize) -> Vec<f32> {
    (0..n)
        .map(|_| {
            let value: f64 = StandardNormal.sample(rng);
            value as f32
        })
        .collect()
}

/// `n` uniform numbers in [lo, hi), drawn in double precision and rounded; all `lo` when the
/// interval is empty.
#[must_use]
pub fn uniform(rng: &mut Pcg64, n: usize, lo: f32, hi: f32) -> Vec<f32> {
    let (from, width) = (f64::from(lo), f64::from(hi) - f64::from(lo));
    // Rounding to single precision may reach the open end.
    let last = hi.next_down().max(lo);
    (0..n).map(|_| ((from + width * unit_f64(rng)) as f32).clamp(lo, last)).collect()
}
