//! Data orders: the law of an order, the generator of an epoch, the shuffle and the order's hash
//! (order contract, version 1).
//!
//! The shuffle is our own and pinned by test vectors, because a library's may change with any
//! release. `docs/verify_order.py` repeats it with NumPy. `Pcg64::new(state, stream)` is PCG's
//! `srandom`: modulo 2^128, increment = 2·stream + 1 and the first internal state is
//! (state + increment)·multiplier + increment; every draw first steps, then outputs.

use std::hint::black_box;

use rand_core::Rng as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// How the order of an epoch came about; an analysis takes its null distribution from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderLaw {
    /// A fresh uniform permutation of all examples each epoch.
    Uniform,
    /// One uniform permutation, that of epoch 0, in every epoch.
    UniformSameEachEpoch,
    /// A uniform permutation of a uniformly drawn subset.
    UniformSubset,
    /// Independent draws with replacement.
    Replacement,
    /// Uniform within blocks whose order is fixed.
    Blockwise,
    /// Deterministic, by some score.
    Sorted,
    /// Chosen while training from what the training showed.
    Adaptive,
}

/// What the order permutes as one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Single examples.
    Sample,
    /// Packs of examples that share a sequence.
    Pack,
    /// Whole steps.
    Step,
}

/// How many draws run ahead of the swaps. Their reads do not depend on each other, so the
/// processor waits for many cache misses at once instead of one after another.
const AHEAD: usize = 32;

/// Ids hashed at a time: 16 KiB, which stay in the first-level cache.
const HASHED_AT_ONCE: usize = 4096;

/// The generator of one epoch's order: [`generator`] of
/// SHA-256("palimpsest/order/v1" || effective seed || epoch u32 LE).
#[must_use]
pub fn epoch_generator(effective_seed: &[u8; 32], epoch: u32) -> Pcg64 {
    generator(&Digest::of_parts(&[b"palimpsest/order/v1", effective_seed, &epoch.to_le_bytes()]))
}

/// PCG XSL-RR 128/64 with state = d[0..16] LE and stream = d[16..32] LE of the digest d.
#[must_use]
pub fn generator(digest: &Digest) -> Pcg64 {
    let mut state = [0; 16];
    let mut stream = [0; 16];
    let (low, high) = digest.as_bytes().split_at(16);
    state.copy_from_slice(low);
    stream.copy_from_slice(high);
    Pcg64::new(u128::from_le_bytes(state), u128::from_le_bytes(stream))
}

/// A uniform integer in 0..n by Lemire's multiply-shift with rejection (arXiv:1805.10941,
/// algorithm 5). `n` is at least 1; for 0 the answer is 0.
#[inline]
pub fn bounded(rng: &mut Pcg64, n: u64) -> u64 {
    let mut product = u128::from(rng.next_u64()) * u128::from(n);
    if (product as u64) < n {
        let threshold = n.wrapping_neg() % n;
        while (product as u64) < threshold {
            product = u128::from(rng.next_u64()) * u128::from(n);
        }
    }
    (product >> 64) as u64
}

/// Durstenfeld's shuffle from the last index down: for i = n-1, …, 1 swap i with a uniform j <= i.
pub fn shuffle(rng: &mut Pcg64, ids: &mut [u32]) {
    let mut picks = [0_usize; AHEAD];
    let mut open = ids.len();
    while open > 1 {
        let count = AHEAD.min(open - 1);
        let mut read = 0;
        for (drawn, pick) in picks.iter_mut().take(count).enumerate() {
            *pick = bounded(rng, (open - drawn) as u64) as usize;
            read ^= ids[*pick];
        }
        // The reads exist to fetch cache lines; without this the compiler drops them.
        black_box(read);
        for &pick in picks.iter().take(count) {
            open -= 1;
            ids.swap(open, pick);
        }
    }
}

/// The uniform order of one epoch over examples 0..`examples`; 4 bytes an id.
#[must_use]
pub fn uniform_order(effective_seed: &[u8; 32], epoch: u32, examples: u32) -> Vec<u32> {
    let mut ids = Vec::new();
    uniform_order_into(effective_seed, epoch, examples, &mut ids);
    ids
}

/// [`uniform_order`] into a buffer that is reused from epoch to epoch; its content is replaced.
pub fn uniform_order_into(
    effective_seed: &[u8; 32],
    epoch: u32,
    examples: u32,
    ids: &mut Vec<u32>,
) {
    ids.clear();
    ids.extend(0..examples);
    shuffle(&mut epoch_generator(effective_seed, epoch), ids);
}

/// SHA-256 of the ids as u32 LE.
#[must_use]
pub fn order_hash(ids: &[u32]) -> Digest {
    let mut hasher = Sha256::new();
    update_with_ids(&mut hasher, ids);
    Digest(hasher.finalize().into())
}

/// Feeds ids as u32 LE to a hasher through a small buffer, on machines of either byte order.
pub(crate) fn update_with_ids(hasher: &mut Sha256, ids: &[u32]) {
    let mut buffer = [0; 4 * HASHED_AT_ONCE];
    for chunk in ids.chunks(HASHED_AT_ONCE) {
        let bytes = &mut buffer[..4 * chunk.len()];
        for (slot, id) in bytes.chunks_exact_mut(4).zip(chunk) {
            slot.copy_from_slice(&id.to_le_bytes());
        }
        hasher.update(&*bytes);
    }
}
