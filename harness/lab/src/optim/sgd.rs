//! Stochastic gradient descent with momentum, as PyTorch defines it.

use ledger::settings;
use ledger::settings::Range;
use tch::{TchError, Tensor};

use crate::kernels::{SgdStep, fused_sgd};
use crate::network::{Network, Parameter};
use crate::optim::{put_back, repeated};
use crate::seat::{Expanded, Expansion, Gradients, Moment, Optimizer};

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
        Self { settings, momenta, started: false }
    }
}

impl Sgd {
    /// w ← w − lr·(g + decay·w): the kernel takes no buffers where there is no momentum.
    fn plain(
        &self,
        tensors: &[&Tensor],
        gradients: &Gradients,
        moment: &Moment,
    ) -> Result<(), TchError> {
        let rate = self.settings.lr * moment.lr_factor;
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
        moment: &Moment,
    ) -> Result<(), TchError> {
        let active = &gradients.active;
        let tensors: Vec<_> = active.iter().map(|&index| &parameters[index].tensor).collect();
        if self.settings.momentum == 0.0 {
            return self.plain(&tensors, gradients, moment);
        }
        let momenta: Vec<_> = active.iter().map(|&index| &self.momenta[index]).collect();
        let step = SgdStep {
            lr: self.settings.lr * moment.lr_factor,
            momentum: self.settings.momentum,
            weight_decay: self.settings.weight_decay,
            // The kernel refuses Nesterov's form without momentum, where it changes nothing.
            nesterov: self.settings.nesterov && self.settings.momentum > 0.0,
            first: !std::mem::replace(&mut self.started, true),
        };
        fused_sgd(&tensors, &gradients.tensors, &momenta, step)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.momenta.get_mut(parameter)
    }

    fn reset(&mut self) -> Result<(), TchError> {
        self.started = false;
        for momentum in &mut self.momenta {
            let _ = momentum.f_zero_()?;
        }
        Ok(())
    }

    /// Whether it has started, as 0 or 1, then the momenta.
    fn state(&self) -> Option<Vec<Tensor>> {
        let started = Tensor::from(i64::from(self.started));
        Some([started].into_iter().chain(self.momenta.iter().map(Tensor::copy)).collect())
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), TchError> {
        let mut started = Tensor::from(0_i64);
        put_back([&mut started].into_iter().chain(&mut self.momenta), state)?;
        self.started = i64::try_from(&started)? != 0;
        Ok(())
    }

    fn for_rows(&self, rows: i64) -> Option<Box<dyn Optimizer>> {
        let momenta = vec![repeated(self.momenta.iter(), rows)];
        Some(Box::new(Self { settings: self.settings.clone(), momenta, started: self.started }))
    }

    /// Γ is linear in gradient and parameters: dΓ has the same factors, without the buffer.
    fn expanded(&self, at: &Expansion<'_>, moment: &Moment) -> Option<Expanded> {
        let [buffer] = self.momenta.as_slice() else { return None };
        let SgdSettings { lr, momentum, nesterov, weight_decay } = self.settings;
        let rate = lr * moment.lr_factor;
        // On the first step the buffer is 0 and becomes the gradient.
        let weight = if nesterov { 1.0 + momentum } else { 1.0 };
        let rest = if nesterov { momentum * momentum } else { momentum };
        let both = || {
            let slope = |gradient: &Tensor, theta: &Tensor| {
                gradient.f_add(&theta.f_mul_scalar(weight_decay)?)?.f_mul_scalar(rate * weight)
            };
            let own = slope(at.gradient, at.theta)?;
            let update = own.f_add(&buffer.f_mul_scalar(rate * rest)?)?;
            Ok([update, slope(at.change, at.away)?])
        };
        Some(both())
    }

    fn sgd(&self) -> Option<&SgdSettings> {
        Some(&self.settings)
    }
}
