//! Parameters and momentum that are kept in a format from step to step, without a copy of more bits.

use std::sync::PoisonError;

use ledger::streams::Streams;
use tch::{TchError, Tensor};

use super::Quantiser;
use super::tap::{Noise, keep_noise, noise_like};
use crate::LabError;
use crate::network::{Network, Parameter, Role};
use crate::seat::{Batch, Constraint, Gradients, Optimizer, StepInfo};
use crate::state::State;

/// Rounds weights, biases and tables after every update, and the momentum. Normalisations, and what is learned
/// beside weights, stay as they are.
#[derive(Debug)]
pub struct Stored {
    weights: Quantiser,
    state: Quantiser,
    noise: Noise,
}

impl Stored {
    /// The seat, or nobody where both stay in single precision.
    #[must_use]
    pub fn seat(weights: Quantiser, state: Quantiser, noise: Noise) -> Option<Box<dyn Constraint>> {
        let single = weights.is_single() && state.is_single();
        (!single).then(|| Box::new(Self { weights, state, noise }) as Box<dyn Constraint>)
    }

    fn round(&self, quantiser: Quantiser, tensor: &mut Tensor) -> Result<(), TchError> {
        if quantiser.is_single() {
            return Ok(());
        }
        let noise = match &self.noise {
            None => None,
            Some(generator) => {
                let mut generator = generator.lock().unwrap_or_else(PoisonError::into_inner);
                Some(noise_like(&mut generator, tensor)?)
            }
        };
        let rounded = quantiser.round(tensor, noise.as_ref(), None)?;
        tensor.f_copy_(&rounded)
    }
}

fn is_stored(parameter: &Parameter) -> bool {
    matches!(parameter.role, Role::Weight | Role::Bias | Role::Embedding)
}

impl Constraint for Stored {
    fn prepare(&mut self, network: &mut Network, _: &Streams, _: &Batch) -> Result<(), LabError> {
        let _guard = tch::no_grad_guard();
        for parameter in network.parameters.iter_mut().filter(|p| is_stored(p)) {
            self.round(self.weights, &mut parameter.tensor)?;
        }
        Ok(())
    }

    /// To nearest: what is not to stay draws no noise.
    fn hold(&self, parameters: &mut [Parameter]) -> Result<(), LabError> {
        for Parameter { tensor, .. } in parameters.iter_mut().filter(|p| is_stored(p)) {
            let rounded = self.weights.round(tensor, None, None)?;
            tensor.f_copy_(&rounded)?;
        }
        Ok(())
    }

    fn project(
        &mut self,
        parameters: &mut [Parameter],
        gradients: &Gradients,
        optimizer: &mut dyn Optimizer,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        for &index in &gradients.active {
            if !is_stored(&parameters[index]) {
                continue;
            }
            self.round(self.weights, &mut parameters[index].tensor)?;
            if let Some(momentum) = optimizer.momentum(index) {
                self.round(self.state, momentum)?;
            }
        }
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        keep_noise(&self.noise, state)
    }
}
