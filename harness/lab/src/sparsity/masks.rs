//! Masks over a network's weights.

use ledger::digest::Digest;
use ledger::streams::unit_f64;
use rand_pcg::Pcg64;
use sha2::{Digest as _, Sha256};
use tch::{Kind, TchError, Tensor};

use super::count;
use crate::LabError;
use crate::network::{Parameter, Role, channels_last, values};
use crate::seat::{Facts, Optimizer};
use crate::state::{Kept, State};

/// One mask of zeros and ones per weight; other parameters have none.
#[derive(Debug, Default)]
pub struct Masks(Vec<Option<Tensor>>);

impl Kept for Masks {
    fn blank() -> Self {
        Self::default()
    }

    fn pass(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.0.pass(state)
    }
}

impl Masks {
    /// Keeps each weight on its own with its layer's density: u < density, u from `stream`, one
    /// draw per weight in logical order. So under one seed a sparser mask lies within a denser one.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn bernoulli(
        parameters: &[Parameter],
        densities: &[f64],
        stream: &mut Pcg64,
    ) -> Result<Self, TchError> {
        let mut densities = densities.iter();
        let mut draw = |parameter: &Parameter| {
            if parameter.role != Role::Weight {
                return Ok(None);
            }
            let Some(&density) = densities.next() else { return Ok(None) };
            let kept = |_| f32::from(u8::from(unit_f64(stream) < density));
            let mask: Vec<f32> = (0..parameter.tensor.numel()).map(kept).collect();
            like(&Tensor::f_from_slice(&mask)?, &parameter.tensor).map(Some)
        };
        parameters.iter().map(&mut draw).collect::<Result<_, _>>().map(Self)
    }

    /// The mask of a parameter, in its shape.
    #[must_use]
    pub fn get(&self, parameter: usize) -> Option<&Tensor> {
        self.0.get(parameter)?.as_ref()
    }

    /// Replaces the mask of `parameter`, which has one; `mask` is flat, in logical order.
    ///
    /// # Errors
    /// When `mask` has another length.
    pub fn replace(&mut self, parameter: usize, mask: &Tensor) -> Result<(), TchError> {
        if let Some(Some(old)) = self.0.get_mut(parameter) {
            *old = like(mask, old)?;
        }
        Ok(())
    }

    /// w ← w ⊙ m. Gradient recording must be off.
    ///
    /// # Errors
    /// When the masks are of another network.
    pub fn apply(&self, parameters: &mut [Parameter]) -> Result<(), TchError> {
        for (parameter, mask) in parameters.iter_mut().zip(&self.0) {
            if let Some(mask) = mask {
                let _ = parameter.tensor.f_mul_(mask)?;
            }
        }
        Ok(())
    }

    /// [`Masks::apply`], and the same for the momentum buffers where the rule keeps some.
    ///
    /// # Errors
    /// When the masks are of another network.
    pub fn apply_with_momentum(
        &self,
        parameters: &mut [Parameter],
        optimizer: &mut dyn Optimizer,
    ) -> Result<(), TchError> {
        self.apply(parameters)?;
        for (index, mask) in self.0.iter().enumerate() {
            if let (Some(mask), Some(momentum)) = (mask, optimizer.momentum(index)) {
                let _ = momentum.f_mul_(mask)?;
            }
        }
        Ok(())
    }

    /// Weights kept and weights in all, per masked layer.
    ///
    /// # Errors
    /// When masks cannot be copied to the host.
    pub fn counts(&self) -> Result<Vec<(u64, u64)>, TchError> {
        self.0.iter().flatten().map(|mask| Ok((count(mask)?, mask.numel() as u64))).collect()
    }

    /// Share of all maskable weights that is kept; 1 where there are none.
    ///
    /// # Errors
    /// When masks cannot be copied to the host.
    pub fn density(&self) -> Result<f64, TchError> {
        let counts = self.counts()?.into_iter();
        let (kept, all) = counts.fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
        Ok(if all == 0 { 1.0 } else { kept as f64 / all as f64 })
    }

    /// SHA-256 over the masks as one byte, 0 or 1, per weight, in logical order.
    ///
    /// # Errors
    /// When masks cannot be copied to the host.
    pub fn digest(&self) -> Result<Digest, TchError> {
        let mut hasher = Sha256::new();
        for mask in self.0.iter().flatten() {
            let bytes: Vec<u8> = values(mask)?.iter().map(|&one| u8::from(one > 0.5)).collect();
            hasher.update(bytes);
        }
        Ok(Digest(hasher.finalize().into()))
    }

    /// The fact `mask_digest`, left out where the masks cannot be copied to the host.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let digest = self.digest().ok().map(|digest| digest.to_string().into());
        digest.map(|digest| ("mask_digest".to_owned(), digest)).into_iter().collect()
    }
}

/// A flat mask in the shape, device and memory layout of `tensor`.
fn like(mask: &Tensor, tensor: &Tensor) -> Result<Tensor, TchError> {
    let shaped = mask.f_to_device(tensor.device())?.f_to_kind(Kind::Float)?;
    channels_last(&shaped.f_reshape(tensor.size())?)
}
