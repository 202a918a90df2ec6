//! Weights that several runs start from, kept under the digest of all that made them.

pub mod kept;

use ledger::digest::Digest;
use tch::Tensor;

use lab::LabError;

/// A keeper of artefacts; a lost one is only made again.
pub trait Artefacts {
    /// The tensors kept under `key`.
    ///
    /// # Errors
    /// When they are there and cannot be read.
    fn load(&self, key: &Digest) -> Result<Option<Vec<Tensor>>, LabError>;

    /// Keeps `tensors` under `key`.
    ///
    /// # Errors
    /// When they cannot be written.
    fn save(&self, key: &Digest, tensors: &[Tensor]) -> Result<(), LabError>;
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unkept;

impl Artefacts for Unkept {
    fn load(&self, _: &Digest) -> Result<Option<Vec<Tensor>>, LabError> {
        Ok(None)
    }

    fn save(&self, _: &Digest, _: &[Tensor]) -> Result<(), LabError> {
        Ok(())
    }
}
