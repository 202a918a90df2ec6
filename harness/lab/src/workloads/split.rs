//! Data on the device, and the identity that commitments and cell ids refer to.

use data::{Loaded, Origin};
use ledger::digest::Digest;
use ledger::merkle;
use tch::{TchError, Tensor};

use crate::seat::Batch;

/// One split on the device. Images are stored N × H × W × C, so that a gathered batch is already
/// in channels-last memory; everything else is stored as the network takes it.
#[derive(Debug)]
pub struct Split {
    /// Inputs as stored, N × ….
    pub stored: Tensor,
    /// What the loss compares with, N × …: classes or tokens (i64), or numbers (f32).
    pub labels: Tensor,
    /// Group of each example (skill, difficulty, source); empty without groups.
    pub groups: Vec<u32>,
}

/// The splits on the device; no example is in two of them.
#[derive(Debug)]
pub struct Splits {
    /// What is trained on.
    pub train: Split,
    /// What adaptive orders may look at, where the workload has groups.
    pub probe: Option<Split>,
    /// What targets are set on.
    pub validation: Split,
    /// What is only reported.
    pub test: Split,
}

/// What a workload's data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataIdentity {
    /// Ids of the training examples, in dataset order.
    pub sample_ids: Vec<Digest>,
    /// RFC 6962 root over them: the dataset root.
    pub train_root: Digest,
    /// Root over the validation examples' ids.
    pub validation_root: Digest,
    /// Root over the test examples' ids.
    pub test_root: Digest,
    /// Whether these are the published bytes.
    pub origin: Origin,
}

impl DataIdentity {
    /// The identity of examples by their ids, split by split.
    #[must_use]
    pub fn new(
        sample_ids: Vec<Digest>,
        validation_ids: &[Digest],
        test_ids: &[Digest],
        origin: Origin,
    ) -> Self {
        Self {
            train_root: merkle::root(&sample_ids),
            validation_root: merkle::root(validation_ids),
            test_root: merkle::root(test_ids),
            origin,
            sample_ids,
        }
    }

    /// The identity of loaded data.
    #[must_use]
    pub fn of(loaded: &Loaded) -> Self {
        let digests = |ids: &[[u8; 32]]| ids.iter().copied().map(Digest).collect::<Vec<_>>();
        Self::new(
            digests(&loaded.sample_ids),
            &digests(&loaded.validation_ids),
            &digests(&loaded.test_ids),
            loaded.origin,
        )
    }
}

impl Split {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> i64 {
        self.labels.size().first().copied().unwrap_or(0)
    }

    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch of `ids`, which `sample_ids` holds on the split's device as i64.
    ///
    /// # Errors
    /// When an id is outside the split.
    pub fn gather(&self, ids: &[u32], sample_ids: Tensor) -> Result<Batch, TchError> {
        let inputs = channels_first(&self.stored.f_index_select(0, &sample_ids)?)?;
        let labels = self.labels.f_index_select(0, &sample_ids)?;
        Ok(Batch { ids: ids.to_vec(), sample_ids, inputs, labels })
    }

    /// The batch of `ids`.
    ///
    /// # Errors
    /// When an id is outside the split.
    pub fn batch(&self, ids: &[u32]) -> Result<Batch, TchError> {
        let uploaded: Vec<i64> = ids.iter().copied().map(i64::from).collect();
        self.gather(ids, Tensor::f_from_slice(&uploaded)?.f_to_device(self.labels.device())?)
    }

    /// Inputs and labels of `length` examples from `start` on.
    ///
    /// # Errors
    /// When they are outside the split.
    pub fn rows(&self, start: i64, length: i64) -> Result<(Tensor, Tensor), TchError> {
        let inputs = channels_first(&self.stored.f_narrow(0, start, length)?)?;
        Ok((inputs, self.labels.f_narrow(0, start, length)?))
    }
}

/// N × H × W × C memory seen as N × C × H × W.
fn channels_first(stored: &Tensor) -> Result<Tensor, TchError> {
    if stored.dim() == 4 { stored.f_permute([0, 3, 1, 2]) } else { Ok(stored.shallow_clone()) }
}
