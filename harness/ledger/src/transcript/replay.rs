//! Recomputes a transcript's hashes, roots and chain from its bytes and names the first thing that
//! does not agree with the record. Every input may be hostile.

use crate::digest::Digest;
use crate::merkle::Leaves;

use sha2::Digest as _;

use super::{ChainPoint, EpochOrder, order_root, step_hasher};

/// The first disagreement between `order.bin` and the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The bytes are not whole ids.
    #[error("order.bin has {bytes} bytes, which is not a multiple of 4: it was cut or is not one")]
    PartialId {
        /// Length of the file.
        bytes: u64,
    },
    /// Epochs are not numbered 0, 1, ….
    #[error("order.epochs[{position}]: epoch is {found}; epochs are numbered from 0 without gaps")]
    EpochNumber {
        /// Place in the table.
        position: u64,
        /// The number found there.
        found: u32,
    },
    /// An epoch does not start where the one before ends.
    #[error("epoch {epoch}: offset is {found}, but the epochs before it hold {expected} ids")]
    Offset {
        /// The epoch.
        epoch: u32,
        /// Where it must start.
        expected: u64,
        /// Where the record says it starts.
        found: u64,
    },
    /// The file ends inside an epoch.
    #[error("epoch {epoch}: n is {n}, but order.bin has only {available} ids from its offset on")]
    MissingIds {
        /// The epoch.
        epoch: u32,
        /// Ids the record promises.
        n: u64,
        /// Ids there are.
        available: u64,
    },
    /// The file goes on after the last epoch.
    #[error("order.bin has {ids} ids after the last epoch")]
    TrailingIds {
        /// How many.
        ids: u64,
    },
    /// The step table has an entry without steps or with empty steps.
    #[error("epoch {epoch}: steps[{entry}] is [{size}, {count}]; both numbers must be at least 1")]
    EmptySteps {
        /// The epoch.
        epoch: u32,
        /// The entry.
        entry: u64,
        /// Ids in each step.
        size: u32,
        /// Number of such steps.
        count: u32,
    },
    /// The step sizes do not add up to the epoch.
    #[error("epoch {epoch}: its steps do not add up to its n of {n} ids")]
    StepSum {
        /// The epoch.
        epoch: u32,
        /// Ids of the epoch.
        n: u64,
    },
    /// An id names no example.
    #[error("epoch {epoch}, position {position}: id {id}, but the dataset has {examples} examples")]
    NoSuchExample {
        /// The epoch.
        epoch: u32,
        /// Position in the epoch.
        position: u64,
        /// The id.
        id: u32,
        /// Size of the dataset.
        examples: u64,
    },
    /// The ids are not those that were hashed.
    #[error("epoch {epoch}: order_hash is {recorded}, but the ids hash to {recomputed}")]
    OrderHash {
        /// The epoch.
        epoch: u32,
        /// As recorded.
        recorded: Digest,
        /// As recomputed.
        recomputed: Digest,
    },
    /// The examples behind the ids are not those of the root.
    #[error("epoch {epoch}: order_root is {recorded}, but the sample ids give {recomputed}")]
    OrderRoot {
        /// The epoch.
        epoch: u32,
        /// As recorded.
        recorded: Digest,
        /// As recomputed.
        recomputed: Digest,
    },
    /// A kept chain value does not follow from commitment and ids.
    #[error("step {step}: chain is {recorded}, but commitment and ids give {recomputed}")]
    Chain {
        /// Steps before the chain value.
        step: u64,
        /// As recorded.
        recorded: Digest,
        /// As recomputed.
        recomputed: Digest,
    },
    /// Chain points out of order, beyond the end, or without the end.
    #[error("order.chain must rise in steps and end at step {steps}; found {found:?}")]
    ChainPoints {
        /// Steps of the run.
        steps: u64,
        /// The steps of the first points that break the rule, or of the last point.
        found: Vec<u64>,
    },
}

/// Reads the ids of `order.bin`.
///
/// # Errors
/// When the length is not a multiple of 4.
pub fn read_ids(order_bin: &[u8]) -> Result<Vec<u32>, ReplayError> {
    check_whole(order_bin)?;
    Ok(ids_of(order_bin).collect())
}

/// Recomputes everything that `epochs` and the kept `chain` points say about `order_bin`.
///
/// `commitment` is h_0, `leaves` are those of the dataset. The last chain point
/// must be the end of the run. Returns that end.
///
/// # Errors
/// The first disagreement, in the order of the file.
pub fn replay(
    order_bin: &[u8],
    epochs: &[EpochOrder],
    commitment: Digest,
    chain: &[ChainPoint],
    leaves: &Leaves,
) -> Result<ChainPoint, ReplayError> {
    check_whole(order_bin)?;
    let mut rest = order_bin;
    let mut offset = 0;
    let mut kept = KeptChain { left: chain, at: ChainPoint { step: 0, chain: commitment } };
    kept.compare()?;
    for (position, epoch) in epochs.iter().enumerate() {
        if u32::try_from(position) != Ok(epoch.epoch) {
            let position = position as u64;
            return Err(ReplayError::EpochNumber { position, found: epoch.epoch });
        }
        if epoch.offset != offset {
            return Err(ReplayError::Offset {
                epoch: epoch.epoch,
                expected: offset,
                found: epoch.offset,
            });
        }
        let (bytes, after) = split_ids(rest, epoch.n).ok_or(ReplayError::MissingIds {
            epoch: epoch.epoch,
            n: epoch.n,
            available: (rest.len() / 4) as u64,
        })?;
        check_epoch(epoch, bytes, leaves)?;
        kept.fold(epoch, bytes)?;
        rest = after;
        offset += epoch.n;
    }
    if !rest.is_empty() {
        return Err(ReplayError::TrailingIds { ids: (rest.len() / 4) as u64 });
    }
    kept.end(chain)
}

/// Hash, root and step table of one epoch; `bytes` are its ids.
fn check_epoch(epoch: &EpochOrder, bytes: &[u8], leaves: &Leaves) -> Result<(), ReplayError> {
    check_steps(epoch)?;
    let root = order_root(ids_of(bytes), leaves).map_err(|missing| ReplayError::NoSuchExample {
        epoch: epoch.epoch,
        position: missing.position,
        id: missing.id,
        examples: leaves.len() as u64,
    })?;
    let hash = Digest::of(bytes);
    if hash != epoch.order_hash {
        return Err(ReplayError::OrderHash {
            epoch: epoch.epoch,
            recorded: epoch.order_hash,
            recomputed: hash,
        });
    }
    if root != epoch.order_root {
        return Err(ReplayError::OrderRoot {
            epoch: epoch.epoch,
            recorded: epoch.order_root,
            recomputed: root,
        });
    }
    Ok(())
}

/// Steps of at least one id that add up to n: then walking them takes no longer than the ids.
fn check_steps(epoch: &EpochOrder) -> Result<(), ReplayError> {
    let mut sum = 0_u64;
    for (entry, &(size, count)) in epoch.steps.iter().enumerate() {
        if size == 0 || count == 0 {
            let entry = entry as u64;
            return Err(ReplayError::EmptySteps { epoch: epoch.epoch, entry, size, count });
        }
        sum = sum.saturating_add(u64::from(size) * u64::from(count));
    }
    if sum == epoch.n {
        Ok(())
    } else {
        Err(ReplayError::StepSum { epoch: epoch.epoch, n: epoch.n })
    }
}

/// The recomputed chain beside the kept points that are still to be met.
struct KeptChain<'a> {
    left: &'a [ChainPoint],
    at: ChainPoint,
}

impl KeptChain<'_> {
    fn fold(&mut self, epoch: &EpochOrder, bytes: &[u8]) -> Result<(), ReplayError> {
        let mut rest = bytes;
        for &(size, count) in &epoch.steps {
            for _ in 0..count {
                let Some((step, after)) = split_ids(rest, u64::from(size)) else {
                    return Err(ReplayError::StepSum { epoch: epoch.epoch, n: epoch.n });
                };
                let mut hasher = step_hasher(&self.at, size);
                hasher.update(step);
                self.at.advance(hasher);
                self.compare()?;
                rest = after;
            }
        }
        Ok(())
    }

    /// Compares the next kept point when the chain has reached it.
    fn compare(&mut self) -> Result<(), ReplayError> {
        let Some((next, left)) = self.left.split_first() else { return Ok(()) };
        if next.step != self.at.step {
            return Ok(());
        }
        if next.chain != self.at.chain {
            return Err(ReplayError::Chain {
                step: next.step,
                recorded: next.chain,
                recomputed: self.at.chain,
            });
        }
        self.left = left;
        Ok(())
    }

    /// All points met, the last of them at the end of the run.
    fn end(self, chain: &[ChainPoint]) -> Result<ChainPoint, ReplayError> {
        let ends_here = chain.last().is_some_and(|point| point.step == self.at.step);
        if self.left.is_empty() && ends_here {
            return Ok(self.at);
        }
        let broken = if self.left.is_empty() { chain.last() } else { self.left.first() };
        Err(ReplayError::ChainPoints {
            steps: self.at.step,
            found: broken.map(|point| point.step).into_iter().collect(),
        })
    }
}

fn check_whole(order_bin: &[u8]) -> Result<(), ReplayError> {
    if order_bin.len().is_multiple_of(4) {
        Ok(())
    } else {
        Err(ReplayError::PartialId { bytes: order_bin.len() as u64 })
    }
}

fn ids_of(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|id| id.iter().rev().fold(0, |value, &b| value << 8 | u32::from(b)))
}

fn split_ids(bytes: &[u8], n: u64) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(n).ok()?.checked_mul(4)?)
}

#[cfg(test)]
mod tests;
