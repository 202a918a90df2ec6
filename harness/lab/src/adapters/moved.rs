//! How far an adapter moves a network, and along how many directions: measured at the end of a run.

use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::network::Network;
use crate::objectives::denoising::Denoising;
use crate::seat::{Batch, Costs, Facts, Objective, StepInfo};
use crate::split::Split;
use crate::state::State;

/// A singular value counts where it is above this share of the largest.
const COUNTS: f64 = 1e-3;

/// Denoising, and the change that training by it makes: ‖ΔW‖ over all tensors, and the rank of the change of the
/// largest matrix, which is the number of singular values above a thousandth of the largest.
#[derive(Debug)]
pub struct Moved {
    denoising: Denoising,
    start: Vec<Tensor>,
    found: Option<[f64; 2]>,
}

impl Moved {
    /// Looks at what `denoising` does.
    #[must_use]
    pub fn by(denoising: Denoising) -> Self {
        Self { denoising, start: Vec::new(), found: None }
    }
}

/// ‖ΔW‖ and the rank of the largest matrix's change, from so many tensors to those of `network`.
fn change(start: &[Tensor], network: &Network) -> Result<[f64; 2], TchError> {
    let (mut squares, mut largest) = (0.0, None::<Tensor>);
    for (before, after) in start.iter().zip(&network.parameters) {
        let change = after.tensor.f_detach()?.f_sub(before)?.f_to_kind(Kind::Double)?;
        squares += change.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let more = largest.as_ref().is_none_or(|largest| largest.numel() < change.numel());
        if change.dim() == 2 && more {
            largest = Some(change);
        }
    }
    let rank = match largest {
        Some(change) => rank(&change)?,
        None => 0.0,
    };
    Ok([squares.sqrt(), rank])
}

/// Singular values above a thousandth of the largest; none where all are 0.
fn rank(matrix: &Tensor) -> Result<f64, TchError> {
    let (_, singular, _) = matrix.f_svd(true, false)?;
    let bar = singular.f_max()?.f_mul_scalar(COUNTS)?;
    singular.f_gt_tensor(&bar)?.f_sum(Kind::Double)?.f_double_value(&[])
}

impl Objective for Moved {
    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.start = network.snapshot();
        self.denoising.start(network, train)
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        self.denoising.losses(network, batch, now)
    }

    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        if now.step + 1 == now.total_steps {
            self.found = Some(change(&self.start, network)?);
        }
        Ok(())
    }

    fn costs(&self) -> Costs {
        self.denoising.costs()
    }

    fn facts(&self) -> Facts {
        let told = |[length, rank]: [f64; 2]| [("moved", length), ("moved_rank", rank)];
        let found = self.found.map(told).into_iter().flatten();
        found.map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.denoising.state(state)?;
        let mut found = self.found.map(Vec::from);
        state.of("moved", &mut found)?;
        self.found = found.and_then(|found| found.try_into().ok());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::trial;
    use tch::Device;

    #[test]
    fn a_change_is_as_long_as_its_squares_and_of_the_rank_of_the_largest_matrix() {
        let network = mlp2d(2, 16, &trial::streams(), Device::Cpu).unwrap();
        let start = network.snapshot();
        assert_eq!(change(&start, &network).unwrap(), [0.0, 0.0]);
        // Of 32 × 16 noise weights: two outer products of length 3 and 4 at right angles.
        let at = network.parameters.iter().position(|p| p.name == "noise.weight").unwrap();
        tch::no_grad(|| {
            let tensor = network.at(at).shallow_clone();
            for (row, length) in [(0, 3.0), (5, 4.0)] {
                let _ = tensor.narrow(0, row, 1).narrow(1, row, 1).f_add_scalar_(length).unwrap();
            }
        });
        let [length, rank] = change(&start, &network).unwrap();
        assert!((length - 5.0).abs() < 1e-5 && rank == 2.0, "{length} {rank}");
    }
}
