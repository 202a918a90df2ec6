//! Data on the device, and the identity that commitments and cell ids refer to.

use std::sync::Arc;

use data::{Loaded, Origin, Samples, Sources};
use ledger::digest::Digest;
use ledger::merkle;
use tch::{Device, TchError, Tensor};

use super::Workload;
use crate::LabError;
use crate::seat::Batch;

/// One split on the device. Images are stored N × H × W × C, so that a gathered batch is already
/// in channels-last memory; other inputs are stored as rows, N × (C·H·W).
#[derive(Debug)]
pub struct Split {
    /// Inputs as stored.
    pub stored: Tensor,
    /// Classes, i64 of shape N.
    pub labels: Tensor,
}

/// The three splits on the device.
#[derive(Debug)]
pub struct Splits {
    /// What is trained on.
    pub train: Split,
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
    fn of(loaded: &Loaded) -> Self {
        let digests = |ids: &[[u8; 32]]| ids.iter().copied().map(Digest).collect::<Vec<_>>();
        let sample_ids = digests(&loaded.sample_ids);
        Self {
            train_root: merkle::root(&sample_ids),
            validation_root: merkle::root(&digests(&loaded.validation_ids)),
            test_root: merkle::root(&digests(&loaded.test_ids)),
            origin: loaded.origin,
            sample_ids,
        }
    }
}

/// A workload's data, ready to train on.
#[derive(Debug)]
pub struct Ready {
    /// Tensors on the device.
    pub splits: Splits,
    /// What they are.
    pub identity: Arc<DataIdentity>,
    /// Number of classes.
    pub classes: u32,
}

impl Workload {
    /// Loads the data and puts them on `device`.
    ///
    /// # Errors
    /// When files are missing or damaged, or the device has no room.
    pub fn load(&self, sources: &Sources, device: Device) -> Result<Ready, LabError> {
        let loaded = data::load((self.info)().data, sources)?;
        let place = |positions: &[u32]| place(&loaded, positions, self, device);
        let splits = Splits {
            train: place(&loaded.split.train)?,
            validation: place(&loaded.split.validation)?,
            test: place(&loaded.split.test)?,
        };
        let classes = u32::from(loaded.samples.classes());
        Ok(Ready { splits, identity: Arc::new(DataIdentity::of(&loaded)), classes })
    }
}

/// Standardises the examples at `positions` and lays them out as `workload` takes them.
fn place(
    loaded: &Loaded,
    positions: &[u32],
    workload: &Workload,
    device: Device,
) -> Result<Split, TchError> {
    let [channels, height, width] = loaded.samples.shape();
    let area = height * width;
    let mut values = vec![0.0_f32; positions.len() * channels * area];
    let examples = values.chunks_exact_mut((channels * area).max(1));
    for (example, &position) in examples.zip(positions) {
        let offset = position as usize * channels * area;
        for channel in 0..channels {
            let how = workload.normalisation;
            let (mean, deviation) = (how.mean[channel], how.deviation[channel]);
            for pixel in 0..area {
                let source = offset + channel * area + pixel;
                let raw = match &loaded.samples {
                    Samples::Bytes(images) => {
                        f32::from(images.pixels[source]) / f32::from(images.full_scale)
                    }
                    Samples::Floats(floats) => floats.values[source],
                };
                let place =
                    if workload.flat { channel * area + pixel } else { pixel * channels + channel };
                example[place] = (raw - mean) / deviation;
            }
        }
    }
    let size = |number: usize| i64::try_from(number).unwrap_or(0);
    let rows = size(positions.len());
    let shape = if workload.flat {
        vec![rows, size(channels * area)]
    } else {
        vec![rows, size(height), size(width), size(channels)]
    };
    let stored = Tensor::f_from_slice(&values)?.f_view(shape.as_slice())?;
    let labels = loaded.samples.labels();
    let labels: Vec<i64> =
        positions.iter().map(|&position| i64::from(labels[position as usize])).collect();
    Ok(Split {
        stored: stored.f_to_device(device)?,
        labels: Tensor::f_from_slice(&labels)?.f_to_device(device)?,
    })
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

    /// The batch of `sample_ids` (i64, on the split's device).
    ///
    /// # Errors
    /// When an id is outside the split.
    pub fn gather(&self, sample_ids: Tensor) -> Result<Batch, TchError> {
        let inputs = channels_first(&self.stored.f_index_select(0, &sample_ids)?)?;
        let labels = self.labels.f_index_select(0, &sample_ids)?;
        Ok(Batch { sample_ids, inputs, labels })
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
