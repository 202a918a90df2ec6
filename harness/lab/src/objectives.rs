//! The default loss.

use tch::{Reduction, TchError, Tensor};

use crate::seat::{Batch, Moment, Objective};

/// Cross-entropy with optional label smoothing.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropy {
    /// Share of the target spread evenly over all classes.
    pub smoothing: f64,
}

impl CrossEntropy {
    fn reduced(
        self,
        batch: &Batch,
        logits: &Tensor,
        reduction: Reduction,
    ) -> Result<Tensor, TchError> {
        logits.f_cross_entropy_loss::<Tensor>(&batch.labels, None, reduction, -100, self.smoothing)
    }
}

impl Objective for CrossEntropy {
    fn losses(&mut self, batch: &Batch, logits: &Tensor, _: &Moment) -> Result<Tensor, TchError> {
        self.reduced(batch, logits, Reduction::None)
    }

    fn loss(&mut self, batch: &Batch, logits: &Tensor, _: &Moment) -> Result<Tensor, TchError> {
        self.reduced(batch, logits, Reduction::Mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn the_fused_mean_has_the_gradient_of_the_mean_of_losses_bit_for_bit() {
        let logits =
            (Tensor::arange(12, (Kind::Float, tch::Device::Cpu)).reshape([4, 3]) * 0.37).sin();
        let batch = Batch {
            sample_ids: Tensor::from_slice(&[0_i64, 1, 2, 3]),
            inputs: Tensor::zeros([4, 1], (Kind::Float, tch::Device::Cpu)),
            labels: Tensor::from_slice(&[0_i64, 2, 1, 0]),
        };
        let moment = Moment { step: 0, total_steps: 1, epoch: 0, total_epochs: 1, lr_factor: 1.0 };
        let gradient = |fused: bool| {
            let leaf = logits.copy().set_requires_grad(true);
            let mut objective = CrossEntropy { smoothing: 0.0 };
            let loss = if fused {
                objective.loss(&batch, &leaf, &moment).unwrap()
            } else {
                objective.losses(&batch, &leaf, &moment).unwrap().mean(None)
            };
            Vec::<f32>::try_from(
                Tensor::run_backward(&[loss], &[&leaf], false, false).remove(0).reshape([-1]),
            )
            .unwrap()
        };
        assert_eq!(gradient(true), gradient(false));
    }
}
