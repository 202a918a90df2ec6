//! Data on the device, and the batches that are gathered from them.

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
