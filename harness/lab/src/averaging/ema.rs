//! Exponential moving average of the weights.

use tch::Tensor;

use crate::LabError;
use crate::network::Parameter;
use crate::seat::{Averaging, StepInfo};
use crate::state::State;

/// a ← decay·a + (1 − decay)·w after every update, from the weights at the start (of the stage).
#[derive(Debug)]
pub struct Ema {
    decay: f64,
    average: Vec<Tensor>,
}

impl Ema {
    /// Starts from `parameters`.
    #[must_use]
    pub fn new(decay: f64, parameters: &[Parameter]) -> Self {
        Self { decay, average: copies(parameters) }
    }

    /// The seat, or nobody at decay 0, where the weights stand for themselves.
    #[must_use]
    pub fn seat(decay: f64, parameters: &[Parameter]) -> Option<Box<dyn Averaging>> {
        (decay > 0.0).then(|| Box::new(Self::new(decay, parameters)) as Box<dyn Averaging>)
    }
}

fn copies(parameters: &[Parameter]) -> Vec<Tensor> {
    parameters.iter().map(|parameter| parameter.tensor.detach().copy()).collect()
}

impl Averaging for Ema {
    fn after_update(&mut self, parameters: &[Parameter], _: &StepInfo) -> Result<(), LabError> {
        for (average, parameter) in self.average.iter_mut().zip(parameters) {
            let _ = average.f_lerp_(&parameter.tensor.f_detach()?, 1.0 - self.decay)?;
        }
        Ok(())
    }

    fn weights(&self) -> Result<Option<Vec<Tensor>>, LabError> {
        Ok(Some(self.average.iter().map(Tensor::shallow_clone).collect()))
    }

    fn reset(&mut self, parameters: &[Parameter]) -> Result<(), LabError> {
        for (average, parameter) in self.average.iter_mut().zip(parameters) {
            average.f_copy_(&parameter.tensor.f_detach()?)?;
        }
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("average", &mut self.average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp2d::mlp2d;
    use crate::trial;
    use tch::Device;

    #[test]
    fn the_average_follows_its_recursion_and_starts_afresh() {
        let network = mlp2d(2, 4, &trial::streams(), Device::Cpu).unwrap();
        let mut ema = Ema::new(0.9, &network.parameters);
        let now = trial::step_info(0, 1);
        let mut expected = network.parameters[0].tensor.double_value(&[0, 0]);
        for _ in 0..5 {
            let _ =
                tch::no_grad(|| network.parameters[0].tensor.shallow_clone().g_add_scalar_(1.0));
            let moved = network.parameters[0].tensor.double_value(&[0, 0]);
            expected = 0.9 * expected + 0.1 * moved;
            ema.after_update(&network.parameters, &now).unwrap();
        }
        let average = |ema: &Ema| ema.weights().unwrap().unwrap()[0].double_value(&[0, 0]);
        assert!((average(&ema) - expected).abs() < 1e-6);
        ema.reset(&network.parameters).unwrap();
        assert_eq!(average(&ema), network.parameters[0].tensor.double_value(&[0, 0]));
        assert!(Ema::seat(0.0, &network.parameters).is_none());
    }
}
