//! What the id and the commitment of a cell are taken over.

use serde::Serialize;

use crate::digest::Digest;
use crate::lineage::Parents;
use crate::record::planned::{PlannedArm, PlannedWorkload};

/// What a cell's id is taken over (contract, section 6).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CellKey<'a> {
    /// The workload, resolved.
    pub workload: &'a PlannedWorkload,
    /// The arm, resolved.
    pub arm: &'a PlannedArm,
    /// Cell ids of its parents; left out for a run without any.
    #[serde(skip_serializing_if = "Parents::is_empty")]
    pub parents: &'a Parents<String>,
    /// The seed's text.
    pub seed: &'a str,
    /// Merkle root of the training split.
    pub data_root: &'a Digest,
    /// Digest of the code that decides results.
    pub code: &'a str,
}

/// The resolved cell that a commitment is taken over (contract, section 5).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Config<'a> {
    /// The workload, resolved.
    pub workload: &'a PlannedWorkload,
    /// The arm, resolved.
    pub arm: &'a PlannedArm,
    /// Cell ids of its parents; left out for a run without any.
    #[serde(skip_serializing_if = "Parents::is_empty")]
    pub parents: &'a Parents<String>,
    /// Version of libtorch.
    pub libtorch: &'a str,
    /// Digest of the code that decides results.
    pub code: &'a str,
    /// Name of the device.
    pub device: &'a str,
}

impl CellKey<'_> {
    /// The id: 16 hexadecimal characters.
    ///
    /// # Errors
    /// When a setting cannot be written as JSON.
    pub fn id(&self) -> Result<String, serde_json::Error> {
        Ok(Digest::of_json(self)?.short(16))
    }
}

impl Config<'_> {
    /// The config hash.
    ///
    /// # Errors
    /// When a setting cannot be written as JSON.
    pub fn hash(&self) -> Result<Digest, serde_json::Error> {
        Digest::of_json(self)
    }
}

#[cfg(test)]
mod tests;
