//! Plain mean of the weights over the end of a run (Izmailov et al., arXiv:1803.05407).

use tch::Tensor;

use crate::LabError;
use crate::network::Parameter;
use crate::seat::{Averaging, StepInfo};
use crate::state::State;

/// Mean of the weights after each update from the share `from` of the run on.
#[derive(Debug)]
pub struct Swa {
    from: f64,
    updates: u64,
    mean: Vec<Tensor>,
}

impl Swa {
    /// The seat, or nobody where the mean would begin with the end.
    #[must_use]
    pub fn seat(from: f64) -> Option<Box<dyn Averaging>> {
        let swa = Self { from, updates: 0, mean: Vec::new() };
        (from < 1.0).then(|| Box::new(swa) as Box<dyn Averaging>)
    }
}

impl Averaging for Swa {
    fn after_update(&mut self, parameters: &[Parameter], now: &StepInfo) -> Result<(), LabError> {
        // The last update counts always, so that there is something to judge.
        let taken = now.step + 1;
        if (taken as f64) < self.from * now.total_steps as f64 {
            return Ok(());
        }
        self.updates += 1;
        let weights = parameters.iter().map(|parameter| &parameter.tensor);
        if self.updates == 1 {
            self.mean = weights.map(|weight| weight.detach().copy()).collect();
            return Ok(());
        }
        for (mean, weight) in self.mean.iter_mut().zip(weights) {
            let _ = mean.f_lerp_(&weight.f_detach()?, (self.updates as f64).recip())?;
        }
        Ok(())
    }

    fn weights(&self) -> Result<Option<Vec<Tensor>>, LabError> {
        let mean = || self.mean.iter().map(Tensor::shallow_clone).collect();
        Ok((self.updates > 0).then(mean))
    }

    fn reset(&mut self, _: &[Parameter]) -> Result<(), LabError> {
        self.updates = 0;
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("updates", &mut self.updates)?;
        state.of("mean", &mut self.mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::trial;
    use tch::Device;

    #[test]
    fn it_is_the_mean_of_the_weights_after_the_updates_of_the_last_half() {
        let network = mlp(&[2, 2], &trial::streams(), Device::Cpu).unwrap();
        let mut swa = Swa { from: 0.5, updates: 0, mean: Vec::new() };
        let _guard = tch::no_grad_guard();
        let mut expected = Vec::new();
        for step in 0..8 {
            let mut weight = network.parameters[0].tensor.shallow_clone();
            let _ = weight.g_add_scalar_(1.0);
            swa.after_update(&network.parameters, &trial::step_info(step, 8)).unwrap();
            assert_eq!(swa.weights().unwrap().is_some(), step >= 3);
            if step >= 3 {
                expected.push(weight.double_value(&[0, 0]));
            }
        }
        let mean = expected.iter().sum::<f64>() / 5.0;
        let found = swa.weights().unwrap().unwrap()[0].double_value(&[0, 0]);
        assert!((found - mean).abs() < 1e-5, "{found} {mean}");
        assert!(Swa::seat(1.0).is_none() && Swa::seat(0.9).is_some());
    }
}
