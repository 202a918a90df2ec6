//! The order transcript: example ids as the trainer consumed them, with epochs, steps and the
//! step chain that ties them to the commitment made before training (order contract, version 1).
//!
//! Recording a step copies its ids and nothing else; hashing waits for [`Transcript::chain`], which
//! the trainer calls at evaluations and checkpoints, outside the train clock.

pub mod replay;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::merkle::{Leaves, MerkleBuilder};
use crate::order::{order_hash, update_with_ids};

/// Ids written at a time: 16 KiB.
const WRITTEN_AT_ONCE: usize = 4096;

/// Leaf hashes fetched at a time: 8 KiB, which stay in the first-level cache.
const FETCHED_AT_ONCE: usize = 256;

/// The step chain after `step` steps: h_0 is the commitment and
/// h_{t+1} = SHA-256(h_t || t u64 LE || count u32 LE || ids u32 LE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainPoint {
    /// Steps folded in so far.
    pub step: u64,
    /// h_step.
    pub chain: Digest,
}

/// One epoch of a transcript, as the record keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochOrder {
    /// Number of the epoch, from 0.
    pub epoch: u32,
    /// Ids consumed in the epoch.
    pub n: u64,
    /// Where they start in `order.bin`, in ids.
    pub offset: u64,
    /// Exchangeability block: under the law of the order, ids may be permuted within a block, across the
    /// epochs that share it.
    pub block: u32,
    /// SHA-256 of the ids as u32 LE.
    pub order_hash: Digest,
    /// RFC 6962 root over the sample ids in training order.
    pub order_root: Digest,
    /// Step sizes, run-length encoded: `[[size, count], …]`.
    pub steps: Vec<(u32, u32)>,
}

/// Why a transcript cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    /// A step came before the first epoch.
    #[error("step {step} belongs to no epoch; begin one before the first step")]
    NoEpoch {
        /// The step.
        step: u64,
    },
    /// A step consumed nothing.
    #[error("step {step} consumed no example; a step needs at least one id")]
    EmptyStep {
        /// The step.
        step: u64,
    },
    /// A step, or the number of epochs, does not fit the format's 32 bits.
    #[error("{what} does not fit the transcript's 32 bits: {count}")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many there were.
        count: u64,
    },
    /// An id names no example of the dataset.
    #[error("epoch {epoch}, position {position}: id {id}, but the dataset has {examples} examples")]
    NoSuchExample {
        /// The epoch.
        epoch: u32,
        /// Position of the id in its epoch.
        position: u64,
        /// The id.
        id: u32,
        /// Size of the dataset.
        examples: u64,
    },
}

/// A transcript while the run is going on.
#[derive(Debug, Clone)]
pub struct Transcript {
    ids: Vec<u32>,
    epochs: Vec<OpenEpoch>,
    steps: u64,
    /// Sizes of the steps that are not in the chain yet.
    unchained: Vec<u32>,
    /// Ids that are in the chain.
    chained_ids: usize,
    point: ChainPoint,
}

/// An epoch of a transcript that goes on: its block, and its step sizes, run-length encoded.
pub type RecordedEpoch = (u32, Vec<(u32, u32)>);

#[derive(Debug, Clone)]
struct OpenEpoch {
    block: u32,
    offset: usize,
    steps: Vec<(u32, u32)>,
}

/// A finished transcript: what `order.bin` and the record's `order` section hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedTranscript {
    /// The ids of all epochs, one after another.
    pub ids: Vec<u32>,
    /// The epochs.
    pub epochs: Vec<EpochOrder>,
    /// The step chain at the end.
    pub chain: ChainPoint,
}

impl Transcript {
    /// Starts the transcript of a run; `commitment` is h_0.
    #[must_use]
    pub fn start(commitment: Digest) -> Self {
        Self {
            ids: Vec::new(),
            epochs: Vec::new(),
            steps: 0,
            unchained: Vec::new(),
            chained_ids: 0,
            point: ChainPoint { step: 0, chain: commitment },
        }
    }

    /// What is recorded so far, as [`Transcript::go_on`] takes it: the ids, and the block and the step sizes
    /// (run-length encoded) of every epoch.
    #[must_use]
    pub fn recorded(&self) -> (Vec<u32>, Vec<RecordedEpoch>) {
        let epochs = self.epochs.iter().map(|epoch| (epoch.block, epoch.steps.clone()));
        (self.ids.clone(), epochs.collect())
    }

    /// Records again what an earlier part of the same run had recorded; the chain follows from it and from the
    /// commitment that this transcript was started with.
    ///
    /// # Errors
    /// When the steps are not those of the ids.
    pub fn go_on(&mut self, ids: &[u32], epochs: &[RecordedEpoch]) -> Result<(), TranscriptError> {
        let mut left = ids;
        for (block, steps) in epochs {
            self.begin_epoch(*block);
            for (size, count) in steps {
                for _ in 0..*count {
                    let (step, rest) = left.split_at((*size as usize).min(left.len()));
                    if step.len() < *size as usize {
                        return Err(TranscriptError::EmptyStep { step: self.steps });
                    }
                    self.push_step(step)?;
                    left = rest;
                }
            }
        }
        Ok(())
    }

    /// Makes room for `ids` more ids, so that recording them does not reallocate under a clock.
    pub fn reserve(&mut self, ids: usize) {
        self.ids.reserve(ids);
    }

    /// Begins the next epoch, in the exchangeability block `block`.
    pub fn begin_epoch(&mut self, block: u32) {
        self.epochs.push(OpenEpoch { block, offset: self.ids.len(), steps: Vec::new() });
    }

    /// Records the ids one step consumed, in order.
    ///
    /// # Errors
    /// Before the first epoch, for an empty step, and for a step of more than 2^32 - 1 ids.
    pub fn push_step(&mut self, ids: &[u32]) -> Result<(), TranscriptError> {
        let step = self.steps;
        let Some(epoch) = self.epochs.last_mut() else {
            return Err(TranscriptError::NoEpoch { step });
        };
        if ids.is_empty() {
            return Err(TranscriptError::EmptyStep { step });
        }
        let size = u32_of("ids of one step", ids.len())?;
        match epoch.steps.last_mut() {
            Some((last, count)) if *last == size && *count < u32::MAX => *count += 1,
            _ => epoch.steps.push((size, 1)),
        }
        self.ids.extend_from_slice(ids);
        self.unchained.push(size);
        self.steps += 1;
        Ok(())
    }

    /// Folds the steps recorded since the last call into the chain and returns where it stands.
    pub fn chain(&mut self) -> ChainPoint {
        for &size in &self.unchained {
            let end = self.chained_ids + size as usize;
            let mut hasher = step_hasher(&self.point, size);
            update_with_ids(&mut hasher, &self.ids[self.chained_ids..end]);
            self.point.advance(hasher);
            self.chained_ids = end;
        }
        self.unchained.clear();
        self.point
    }

    /// Steps recorded so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Closes the transcript: chains the remaining steps and takes hash and root of each epoch.
    /// `sample_ids` are those of the dataset, in dataset order.
    ///
    /// # Errors
    /// When an id is not below the number of sample ids, or there are 2^32 epochs or more.
    pub fn finish(mut self, sample_ids: &[Digest]) -> Result<FinishedTranscript, TranscriptError> {
        let chain = self.chain();
        let leaves = Leaves::of(sample_ids);
        let ends = self.epochs.iter().skip(1).map(|next| next.offset).chain([self.ids.len()]);
        let mut epochs = Vec::with_capacity(self.epochs.len());
        for ((number, open), end) in self.epochs.iter().enumerate().zip(ends) {
            let epoch = u32_of("epochs", number)?;
            let ids = &self.ids[open.offset..end];
            let order_root = order_root(ids.iter().copied(), &leaves).map_err(|missing| {
                TranscriptError::NoSuchExample {
                    epoch,
                    position: missing.position,
                    id: missing.id,
                    examples: leaves.len() as u64,
                }
            })?;
            epochs.push(EpochOrder {
                epoch,
                n: ids.len() as u64,
                offset: open.offset as u64,
                block: open.block,
                order_hash: order_hash(ids),
                order_root,
                steps: open.steps.clone(),
            });
        }
        Ok(FinishedTranscript { ids: self.ids, epochs, chain })
    }
}

impl FinishedTranscript {
    /// Writes `order.bin`: the ids of all epochs as u32 LE.
    ///
    /// # Errors
    /// When `target` refuses the bytes.
    pub fn write_to(&self, target: &mut impl Write) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(4 * WRITTEN_AT_ONCE);
        for chunk in self.ids.chunks(WRITTEN_AT_ONCE) {
            buffer.clear();
            buffer.extend(chunk.iter().flat_map(|id| id.to_le_bytes()));
            target.write_all(&buffer)?;
        }
        Ok(())
    }
}

impl ChainPoint {
    fn advance(&mut self, hasher: Sha256) {
        *self = Self { step: self.step + 1, chain: Digest(hasher.finalize().into()) };
    }
}

/// A hasher that has taken h_t, t and the count, and waits for the ids.
fn step_hasher(at: &ChainPoint, count: u32) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(at.chain.as_bytes());
    hasher.update(at.step.to_le_bytes());
    hasher.update(count.to_le_bytes());
    hasher
}

/// An id without an example.
struct MissingExample {
    position: u64,
    id: u32,
}

/// The root over the examples in training order.
///
/// An order jumps about the leaves: those of a chunk are fetched together, so that the misses of the
/// cache overlap instead of each holding up one hash.
fn order_root(
    mut ids: impl Iterator<Item = u32>,
    leaves: &Leaves,
) -> Result<Digest, MissingExample> {
    let mut builder = MerkleBuilder::new();
    let mut chunk = Vec::with_capacity(FETCHED_AT_ONCE);
    let mut position = 0;
    loop {
        chunk.clear();
        for id in ids.by_ref().take(FETCHED_AT_ONCE) {
            let Some(leaf) = leaves.get(id) else { return Err(MissingExample { position, id }) };
            chunk.push(*leaf);
            position += 1;
        }
        if chunk.is_empty() {
            return Ok(builder.root());
        }
        chunk.iter().for_each(|leaf| builder.push_leaf_hash(*leaf));
    }
}

fn u32_of(what: &'static str, count: usize) -> Result<u32, TranscriptError> {
    u32::try_from(count).map_err(|_| TranscriptError::TooMany { what, count: count as u64 })
}

#[cfg(test)]
mod tests;
