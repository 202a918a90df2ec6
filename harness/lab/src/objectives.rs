//! Losses that belong to a kind of data, or to several methods.

pub mod adversary;
pub mod consistency;
pub mod denoising;
pub mod frames;
pub mod halving;
pub mod one_step;
pub mod pipeline;
pub mod preference;
pub mod ranking;
pub mod rewarded;
pub mod segments;
pub mod towers;

use tch::{Reduction, TchError, Tensor};

use crate::LabError;
use crate::network::Network;
use crate::seat::{Batch, Objective, StepInfo};
use crate::state::State;

/// Label of a position that no loss is taken at.
pub const IGNORED: i64 = -100;

/// The loss that a workload's data call for when a method brings none of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultLoss {
    /// Cross-entropy of one class per example; labels i64 of shape B.
    Classes,
    /// Cross-entropy of tokens, per example the mean over positions whose label is not
    /// [`IGNORED`]; logits B × T × V, labels i64 of shape B × T.
    Tokens,
    /// ½(f(x) − y)²; outputs B × 1, labels f32 of shape B.
    Squares,
}

impl DefaultLoss {
    /// Losses per example, shape B, from the network's outputs.
    ///
    /// # Errors
    /// When labels do not fit the outputs.
    pub fn of_outputs(self, outputs: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Classes => {
                outputs.f_cross_entropy_loss::<Tensor>(labels, None, Reduction::None, IGNORED, 0.0)
            }
            Self::Tokens => {
                let each = token_losses(outputs, labels)?;
                let asked = labels.f_ne(IGNORED)?.f_sum_dim_intlist(1, false, each.kind())?;
                each.f_sum_dim_intlist(1, false, each.kind())?.f_div(&asked.f_clamp_min(1.0)?)
            }
            Self::Squares => outputs.f_view([-1])?.f_sub(labels)?.f_square()?.f_mul_scalar(0.5),
        }
    }
}

/// Cross-entropy of every position, B × T, from logits B × T × V; 0 where the label is
/// [`IGNORED`].
///
/// # Errors
/// When labels do not fit the logits.
pub fn token_losses(logits: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
    let (rows, positions) = labels.size2()?;
    let flat = logits.f_reshape([rows * positions, -1])?;
    let labels = labels.f_reshape([-1])?;
    let each = flat.f_cross_entropy_loss::<Tensor>(&labels, None, Reduction::None, IGNORED, 0.0)?;
    each.f_view([rows, positions])
}

impl Objective for DefaultLoss {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        Ok(self.of_outputs(&network.forward(&batch.inputs, true)?, &batch.labels)?)
    }

    /// One kernel where the mean over examples is the mean over classes; for tokens the mean runs
    /// over all positions of the batch that are asked for, as language models are trained.
    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        match self {
            Self::Classes => CrossEntropy { smoothing: 0.0 }.loss(network, batch, now),
            Self::Tokens => {
                let logits = network.forward(&batch.inputs, true)?;
                let flat = logits.f_flatten(0, -2)?;
                let labels = batch.labels.f_reshape([-1])?;
                Ok(flat.f_cross_entropy_loss::<Tensor>(
                    &labels,
                    None,
                    Reduction::Mean,
                    IGNORED,
                    0.0,
                )?)
            }
            Self::Squares => Ok(self.losses(network, batch, now)?.f_mean(None)?),
        }
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// Cross-entropy of classes with label smoothing.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropy {
    /// Share of the target spread evenly over all classes.
    pub smoothing: f64,
}

impl CrossEntropy {
    fn reduced(
        self,
        network: &Network,
        batch: &Batch,
        reduction: Reduction,
    ) -> Result<Tensor, LabError> {
        let logits = network.forward(&batch.inputs, true)?;
        Ok(logits.f_cross_entropy_loss::<Tensor>(
            &batch.labels,
            None,
            reduction,
            IGNORED,
            self.smoothing,
        )?)
    }
}

impl Objective for CrossEntropy {
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.reduced(network, batch, Reduction::None)
    }

    fn loss(&mut self, network: &Network, batch: &Batch, _: &StepInfo) -> Result<Tensor, LabError> {
        self.reduced(network, batch, Reduction::Mean)
    }

    fn acts_beside_passes(&self) -> bool {
        false
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::network::values;
    use crate::trial::{self, batch, step_info};
    use tch::{Device, Kind, Tensor};

    #[test]
    fn the_fused_mean_has_the_gradient_of_the_mean_of_losses_bit_for_bit() {
        let network = mlp(&[6, 5, 4], &trial::streams(), Device::Cpu).unwrap();
        let batch = batch(&[6]).unwrap();
        let gradient = |fused: bool| {
            let mut objective = DefaultLoss::Classes;
            let loss = if fused {
                objective.loss(&network, &batch, &step_info(0, 1)).unwrap()
            } else {
                objective.losses(&network, &batch, &step_info(0, 1)).unwrap().mean(None)
            };
            let leaf = &network.parameters[0].tensor;
            values(&Tensor::run_backward(&[loss], &[leaf], false, false)[0]).unwrap()
        };
        assert_eq!(gradient(true), gradient(false));
    }

    #[test]
    fn the_loss_of_a_row_of_tokens_is_the_mean_over_what_is_asked() {
        let logits = Tensor::from_slice(&[2.0_f32, 0.0, 0.0, 0.0, 3.0, 0.0]).view([1, 2, 3]);
        let own = |row: i64, class: i64| {
            -logits.log_softmax(-1, Kind::Double).double_value(&[0, row, class])
        };
        let loss = |labels: [i64; 2]| {
            let labels = Tensor::from_slice(&labels).view([1, 2]);
            DefaultLoss::Tokens.of_outputs(&logits, &labels).unwrap().double_value(&[0])
        };
        assert!((loss([0, 1]) - f64::midpoint(own(0, 0), own(1, 1))).abs() < 1e-6);
        assert!((loss([IGNORED, 2]) - own(1, 2)).abs() < 1e-6);
        assert_eq!(loss([IGNORED, IGNORED]), 0.0);
    }
}
