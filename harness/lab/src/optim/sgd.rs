//! Stochastic gradient descent with momentum, as PyTorch defines it.

use ledger::settings;
use ledger::settings::Range;
use tch::{TchError, Tensor};

use crate::LabError;
use crate::kernels::{SgdStep, fused_sgd};
use crate::network::{Network, Parameter};
use crate::seat::{Gradients, Optimizer, StepInfo};
use crate::state::State;

settings! {
    /// Settings of SGD.
    pub struct SgdSettings {
        /// Peak learning rate.
        lr: f64 = 0.1, range Range::above(0.0), from "the repositories of PS-KD, Random Pruning, GraNet and RS2 agree";
        /// Momentum.
        momentum: f64 = 0.9, range Range::of(0.0..1.0), from "the same repositories";
        /// Nesterov's form.
        nesterov: bool = true, from "the same repositories";
        /// Weight decay, added to the gradient.
        weight_decay: f64 = 5e-4, range Range::of(0.0..), from "the same repositories";
    }
}

/// buf ← μ·buf + g (first step: buf = g); w ← w − lr·(g + μ·buf) with Nesterov, else w − lr·buf,
/// where g includes weight decay times w.
#[derive(Debug)]
pub struct Sgd {
    settings: SgdSettings,
    momenta: Vec<Tensor>,
    started: bool,
}

impl Sgd {
    /// Zero momentum for every parameter of `network`.
    #[must_use]
    pub fn new(settings: SgdSettings, network: &Network) -> Self {
        let momenta = network.parameters.iter().map(|p| p.tensor.detach().zeros_like()).collect();
        Self::of(settings, momenta, false)
    }

    /// With these momenta; whether they are of steps that were taken.
    #[must_use]
    pub fn of(settings: SgdSettings, momenta: Vec<Tensor>, started: bool) -> Self {
        Self { settings, momenta, started }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &SgdSettings {
        &self.settings
    }

    /// The buffer of each parameter.
    pub fn momenta(&self) -> &[Tensor] {
        &self.momenta
    }

    /// Whether a step was taken: the first one sets the buffers.
    #[must_use]
    pub fn started(&self) -> bool {
        self.started
    }

    /// w ← w − lr·(g + decay·w): the kernel takes no buffers where there is no momentum.
    fn plain(
        &self,
        tensors: &[&Tensor],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), TchError> {
        let rate = self.settings.lr * now.lr_factor;
        for (tensor, gradient) in tensors.iter().zip(&gradients.tensors) {
            let mut tensor = tensor.detach();
            if self.settings.weight_decay > 0.0 {
                let _ = tensor.f_mul_scalar_(1.0 - rate * self.settings.weight_decay)?;
            }
            let _ = tensor.f_sub_(&gradient.f_mul_scalar(rate)?)?;
        }
        Ok(())
    }
}

impl Optimizer for Sgd {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let active = &gradients.active;
        let tensors: Vec<_> = active.iter().map(|&index| &parameters[index].tensor).collect();
        if self.settings.momentum == 0.0 {
            return Ok(self.plain(&tensors, gradients, now)?);
        }
        let momenta: Vec<_> = active.iter().map(|&index| &self.momenta[index]).collect();
        let step = SgdStep {
            lr: self.settings.lr * now.lr_factor,
            momentum: self.settings.momentum,
            weight_decay: self.settings.weight_decay,
            // The kernel refuses Nesterov's form without momentum, where it changes nothing.
            nesterov: self.settings.nesterov && self.settings.momentum > 0.0,
            first: !std::mem::replace(&mut self.started, true),
        };
        Ok(fused_sgd(&tensors, &gradients.tensors, &momenta, step)?)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.momenta.get_mut(parameter)
    }

    fn reset(&mut self) -> Result<(), LabError> {
        self.started = false;
        for momentum in &mut self.momenta {
            let _ = momentum.f_zero_()?;
        }
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("momenta", &mut self.momenta)?;
        state.of("started", &mut self.started)
    }
}
