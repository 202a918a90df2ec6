//! Layer densities, weight masks and N:M patterns: the mathematics that the sparse methods share.
//!
//! Only parameters with [`Role::Weight`] are ever masked; "the weights" below are those, from the
//! input on. Shapes are out × in (× k × k).

pub mod densities;
pub mod fading;
pub mod low_rank;
pub mod masks;
pub mod n_m;
pub mod scores;
pub mod snip;
pub mod surgery;

use ledger::streams::Streams;
use tch::{TchError, Tensor};

use crate::network::{Network, Parameter, Role};
use crate::{LabError, init};

/// Why layers cannot get densities.
#[derive(Debug, thiserror::Error)]
pub enum SparsityError {
    /// Layers whose density is fixed leave too little, or too much, for the others.
    #[error(
        "density {density} keeps {kept:.1} weights, but layers of fixed density hold {fixed:.1} \
         and the others have room for 0 to {room}; change the density or take \"erk\""
    )]
    Unreachable {
        /// The overall density asked for.
        density: f64,
        /// Weights it keeps.
        kept: f64,
        /// Weights in layers of fixed density.
        fixed: f64,
        /// Weights in the other layers.
        room: f64,
    },
    /// Scores that cannot be ranked.
    #[error("scores at initialisation are not finite; take \"erk\", or scale the inputs down")]
    Scores,
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] TchError),
    /// The network could not be run.
    #[error(transparent)]
    Lab(#[from] LabError),
}

impl SparsityError {
    /// The error of `method` on `workload`.
    #[must_use]
    pub fn of(self, method: &str, workload: &str) -> LabError {
        match self {
            Self::Torch(error) => LabError::Torch(error),
            Self::Lab(error) => error,
            other => LabError::Unfit {
                method: method.to_owned(),
                workload: workload.to_owned(),
                reason: other.to_string(),
            },
        }
    }
}

/// Shapes of the weights.
#[must_use]
pub fn shapes(parameters: &[Parameter]) -> Vec<Vec<i64>> {
    weights(parameters).map(|(_, parameter)| parameter.tensor.size()).collect()
}

/// The weights with their indices among all parameters.
pub fn weights(parameters: &[Parameter]) -> impl Iterator<Item = (usize, &Parameter)> {
    parameters.iter().enumerate().filter(|(_, parameter)| parameter.role == Role::Weight)
}

/// Re-draws all weights, from the stream `method/init`, from Kaiming's normal for the fan-in that a mask
/// of overall density `density` leaves: N(0, 2/((1 + 0.01²)·fan_in·`density`)).
///
/// # Errors
/// When libtorch cannot allocate.
pub fn scaled_init(network: &mut Network, density: f64, streams: &Streams) -> Result<(), TchError> {
    let mut stream = streams.generator("method/init");
    let parameters = network.parameters.iter_mut();
    for Parameter { tensor, .. } in parameters.filter(|parameter| parameter.role == Role::Weight) {
        let drawn = init::kaiming_normal(&mut stream, &tensor.size(), density)?;
        tch::no_grad(|| tensor.f_copy_(&drawn))?;
    }
    Ok(())
}

/// The int(`density`·N)-th largest of `scores` (at least the largest), shape 1.
///
/// # Errors
/// When `scores` is not a vector with elements.
pub fn threshold(scores: &Tensor, density: f64) -> Result<Tensor, TchError> {
    let keep = ((scores.numel() as f64 * density) as i64).max(1);
    let (top, _) = scores.f_topk(keep, 0, true, true)?;
    top.f_narrow(0, keep - 1, 1)
}

/// Number of elements that are not zero.
///
/// # Errors
/// When it cannot be copied to the host.
pub fn count(mask: &Tensor) -> Result<u64, TchError> {
    let count = i64::try_from(&mask.f_count_nonzero(None)?)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp;
    use crate::{network, trial};
    use tch::Device;

    #[test]
    fn scaled_weights_have_the_deviation_of_fan_in_times_density() {
        let mut network = mlp::mlp(&[400, 100, 4], &trial::streams(), Device::Cpu).unwrap();
        scaled_init(&mut network, 0.1, &trial::streams()).unwrap();
        let weights = network::values(&network.parameters[0].tensor).unwrap();
        let square = weights.iter().map(|w| f64::from(w * w)).sum::<f64>() / 40_000.0;
        // The mean of 40,000 squares has a relative deviation of √(2/40,000).
        assert!((square / (2.0 / 1.0001 / 40.0) - 1.0).abs() < 4.0 * 0.00708, "{square}");
    }
}
