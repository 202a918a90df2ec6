//! RAdam: Adam whose step is rectified while the second moment is uncertain (Liu et al.,
//! arXiv:1908.03265), as PyTorch 2.11 computes it.

use ledger::choice;
use ledger::settings;
use ledger::settings::Range;
use tch::{TchError, Tensor};

use super::adamw::{Adamw, AdamwSettings};
use crate::LabError;
use crate::network::{Network, Parameter};
use crate::seat::{Gradients, Optimizer, StepInfo};
use crate::state::State;

choice! {
    /// Which adaptive rule.
    pub enum Adaptive {
        /// Adam.
        Adam = "adam",
        /// Rectified Adam.
        Radam = "radam",
    }
}

settings! {
    /// Settings of an adaptive optimiser, beside which one and its learning rate.
    pub struct AdaptiveSettings {
        /// Decay of the first moment.
        beta1: f64 = 0.9, range Range::of(0.0..1.0), from "PyTorch 2.11 default";
        /// Decay of the second moment.
        beta2: f64 = 0.999, range Range::of(0.0..1.0), from "PyTorch 2.11 default";
        /// Added to the root of the second moment.
        eps: f64 = 1e-8, range Range::above(0.0), from "PyTorch 2.11 default";
    }
}

impl AdaptiveSettings {
    /// The rule at learning rate `lr` with its state for `network`.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn build(
        &self,
        rule: Adaptive,
        lr: f64,
        network: &Network,
    ) -> Result<Box<dyn Optimizer>, LabError> {
        let Self { beta1, beta2, eps } = *self;
        let settings = AdamwSettings { lr, beta1, beta2, eps, weight_decay: 0.0 };
        Ok(match rule {
            Adaptive::Adam => Box::new(Adamw::new(settings, network, |_, _| true)?),
            Adaptive::Radam => Box::new(Radam::new(settings, network)?),
        })
    }
}

/// With ρ∞ = 2/(1−β₂) − 1 and ρ = ρ∞ − 2tβ₂ᵗ/(1−β₂ᵗ): w ← w − lr·m̂ while ρ ≤ 5, then
/// w ← w − lr·r·m̂·√(1−β₂ᵗ)/(√v + ε), r² = (ρ−4)(ρ−2)ρ∞/((ρ∞−4)(ρ∞−2)ρ). No weight decay.
///
/// The moments are Adam's, and so is the step, at learning rate lr·r and ε/√(1−β₂ᵗ).
#[derive(Debug)]
pub struct Radam {
    settings: AdamwSettings,
    adam: Adamw,
    steps: i32,
}

/// The rectification r at step t (from 1), or `None` while the second moment is not to be used.
#[must_use]
pub fn rectification(beta2: f64, step: i32) -> Option<f64> {
    let longest = 2.0 / (1.0 - beta2) - 1.0;
    let power = beta2.powi(step);
    let length = longest - 2.0 * f64::from(step) * power / (1.0 - power);
    let numerator = (length - 4.0) * (length - 2.0) * longest;
    let denominator = (longest - 4.0) * (longest - 2.0) * length;
    (length > 5.0).then(|| (numerator / denominator).sqrt())
}

impl Radam {
    /// Zero moments for every parameter of `network`.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(settings: AdamwSettings, network: &Network) -> Result<Self, TchError> {
        Ok(Self { adam: Adamw::new(settings.clone(), network, |_, _| true)?, settings, steps: 0 })
    }
}

impl Optimizer for Radam {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        self.steps += 1;
        let AdamwSettings { lr, beta1, beta2, eps, .. } = self.settings;
        let correction = (1.0 - beta2.powi(self.steps)).sqrt();
        if let Some(factor) = rectification(beta2, self.steps) {
            self.adam.rate(lr * factor, eps / correction);
            return self.adam.update(parameters, gradients, now);
        }
        // Adam takes note of the gradient and does not move; the momentum alone does.
        self.adam.rate(0.0, eps);
        self.adam.update(parameters, gradients, now)?;
        let size = -lr * now.lr_factor / (1.0 - beta1.powi(self.steps));
        for &index in &gradients.active {
            if let Some(first) = self.adam.momentum(index) {
                let mut tensor = parameters[index].tensor.shallow_clone();
                let _ = tensor.f_add_(&first.f_mul_scalar(size)?)?;
            }
        }
        Ok(())
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.adam.momentum(parameter)
    }

    fn reset(&mut self) -> Result<(), LabError> {
        self.steps = 0;
        self.adam.reset()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.adam.state(state)?;
        state.of("steps", &mut self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::mlp::mlp;
    use crate::trial;
    use tch::Device;

    /// The update written out as in PyTorch's `_single_tensor_radam`.
    fn by_hand(start: f64, gradients: &[f64], lr: f64) -> Vec<f64> {
        let (beta1, beta2, eps) = (0.9_f64, 0.999_f64, 1e-8);
        let (mut w, mut m, mut v) = (start, 0.0, 0.0);
        let mut path = Vec::new();
        for (step, g) in (1..).zip(gradients) {
            m = beta1 * m + (1.0 - beta1) * g;
            v = beta2 * v + (1.0 - beta2) * g * g;
            let bias1 = 1.0 - beta1.powi(step);
            let bias2 = 1.0 - beta2.powi(step);
            let rho_inf = 2.0 / (1.0 - beta2) - 1.0;
            let rho = rho_inf - 2.0 * f64::from(step) * beta2.powi(step) / bias2;
            let corrected = m / bias1;
            w -= if rho > 5.0 {
                let rect = ((rho - 4.0) * (rho - 2.0) * rho_inf
                    / ((rho_inf - 4.0) * (rho_inf - 2.0) * rho))
                    .sqrt();
                lr * corrected * (bias2.sqrt() / (v.sqrt() + eps)) * rect
            } else {
                lr * corrected
            };
            path.push(w);
        }
        path
    }

    #[test]
    fn updates_are_pytorchs() {
        let network = mlp(&[1, 1], &trial::streams(), Device::Cpu).unwrap();
        let settings =
            AdamwSettings { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
        let mut radam = Radam::new(settings, &network).unwrap();
        let weight = || network.parameters[0].tensor.double_value(&[0, 0]);
        let gradients = [0.5, -0.2, 0.9, 0.1, 0.3, -0.7, 0.05, 0.4, 1.5, -0.6];
        let expected = by_hand(weight(), &gradients, 0.01);
        let now = crate::seat::StepInfo { lr_factor: 1.0, ..trial::step_info(0, 1) };
        for (gradient, expected) in gradients.into_iter().zip(expected) {
            let tensors = network.parameters.iter().map(|p| p.tensor.detach().full_like(gradient));
            let gradients = Gradients { active: vec![0, 1], tensors: tensors.collect() };
            tch::no_grad(|| radam.update(&network.parameters, &gradients, &now)).unwrap();
            assert!((weight() - expected).abs() < 1e-7, "{} {expected}", weight());
        }
    }

    #[test]
    fn the_second_moment_is_used_from_the_sixth_step_on_and_fully_in_the_end() {
        assert!((1..=5).all(|step| rectification(0.999, step).is_none()));
        // ρ₆ = 5.9930: r = √(1.9930·3.9930·1999/(1995·1997·5.9930)).
        assert!((rectification(0.999, 6).unwrap() - 0.025_81).abs() < 1e-4);
        assert!((rectification(0.999, 20_000).unwrap() - 1.0).abs() < 1e-4);
    }
}
