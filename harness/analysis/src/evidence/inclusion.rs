//! Proofs that an example stood at one place of one epoch's order, as `palimpsest prove` writes them.

use serde::{Deserialize, Serialize};

use ledger::digest::Digest;
use ledger::merkle::verify_inclusion;
use ledger::record::RunRecord;
use ledger::record::format::OrderSection;
use ledger::record::store::is_cell_id;
use ledger::transcript::EpochOrder;

/// Version that this build writes and reads.
pub const PROOF_VERSION: u32 = 1;

/// That an example stood at one place of one epoch's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// [`PROOF_VERSION`].
    pub version: u32,
    /// Cell id of the run.
    pub run: String,
    /// Step of the run, from 0.
    pub step: u64,
    /// Place in the step's batch, from 0.
    pub slot: u64,
    /// Number of the epoch, from 0.
    pub epoch: u32,
    /// Place in the epoch, from 0.
    pub position: u64,
    /// Ids consumed in the epoch.
    pub epoch_length: u64,
    /// The example.
    pub sample_id: Digest,
    /// Root over the epoch's examples in training order.
    pub order_root: Digest,
    /// Siblings from the leaf to the root.
    pub path: Vec<Digest>,
    /// True where a program of one's own told what it consumed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub told: bool,
}

/// Why bytes are no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Not the JSON of a proof.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Another version.
    #[error("proof version {0}, but this build reads version {PROOF_VERSION}")]
    Version(u32),
    /// No cell id.
    #[error("it names run {0:?}, which is not the id of a run")]
    Run(String),
}

/// Why a step and a slot are no place of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// The step has fewer examples.
    #[error("--slot is {slot}, but step {step} has {size} examples")]
    Slot {
        /// The step.
        step: u64,
        /// The slot.
        slot: u64,
        /// Examples of the step.
        size: u64,
    },
    /// The run has fewer steps.
    #[error("--step is {step}, but the run has {steps} steps")]
    Step {
        /// The step.
        step: u64,
        /// Steps of the run.
        steps: u64,
    },
}

impl Proof {
    /// Reads the fields; [`Proof::holds`] says whether they hold.
    ///
    /// # Errors
    /// When the bytes are no proof, or one of another version.
    pub fn read(bytes: &[u8]) -> Result<Self, ProofError> {
        let proof: Self = serde_json::from_slice(bytes)?;
        if proof.version != PROOF_VERSION {
            return Err(ProofError::Version(proof.version));
        }
        if !is_cell_id(&proof.run) {
            return Err(ProofError::Run(proof.run));
        }
        Ok(proof)
    }

    /// Whether the path leads from the example to the root.
    #[must_use]
    pub fn holds(&self) -> bool {
        verify_inclusion(
            &self.sample_id,
            self.position,
            self.epoch_length,
            &self.path,
            &self.order_root,
        )
    }

    /// What does not fit between the proof and the record of its run.
    #[must_use]
    pub fn disagreement(&self, record: &RunRecord) -> Option<String> {
        let Some(order) = &record.order else { return Some("there is no order".to_owned()) };
        if self.told != record.external.is_some() {
            let whose = if self.told { "seen by the bench" } else { "told by a program" };
            return Some(format!("what was consumed is {whose}"));
        }
        let (epoch, position) = match locate(order, self.step, self.slot) {
            Ok(place) => place,
            Err(error) => return Some(error.to_string()),
        };
        let fits =
            epoch.epoch == self.epoch && position == self.position && epoch.n == self.epoch_length;
        if !fits {
            return Some(format!(
                "slot {} of step {} is example {position} of the {} of epoch {}",
                self.slot, self.step, epoch.n, epoch.epoch
            ));
        }
        (epoch.order_root != self.order_root)
            .then(|| format!("epoch {} has order root {}", epoch.epoch, epoch.order_root))
    }
}

/// The epoch in which a step lies, and the position of its slot in that epoch.
///
/// # Errors
/// When the run has no such step, or the step no such slot.
pub fn locate(order: &OrderSection, step: u64, slot: u64) -> Result<(&EpochOrder, u64), NoPlace> {
    let mut steps = 0_u64;
    for epoch in &order.epochs {
        let mut position = 0_u64;
        for &(size, count) in &epoch.steps {
            let (size, count) = (u64::from(size), u64::from(count));
            let ahead = step - steps;
            if ahead < count {
                if slot >= size {
                    return Err(NoPlace::Slot { step, slot, size });
                }
                return Ok((epoch, position.saturating_add(ahead * size + slot)));
            }
            steps += count;
            position = position.saturating_add(size * count);
        }
    }
    Err(NoPlace::Step { step, steps })
}
