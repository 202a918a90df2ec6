//! AdamW: Adam with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101).

use ledger::settings;
use ledger::settings::Range;
use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::kernels::{AdamwStep, fused_adamw};
use crate::network::{Network, Parameter};
use crate::seat::{Gradients, Optimizer, StepInfo};
use crate::state::State;

settings! {
    /// Settings of AdamW.
    pub struct AdamwSettings {
        /// Peak learning rate.
        lr: f64 = 1e-3, range Range::above(0.0), from "PyTorch 2.11 default";
        /// Decay of the first moment.
        beta1: f64 = 0.9, range Range::of(0.0..1.0), from "PyTorch 2.11 default";
        /// Decay of the second moment.
        beta2: f64 = 0.999, range Range::of(0.0..1.0), from "PyTorch 2.11 default";
        /// Added to the root of the second moment.
        eps: f64 = 1e-8, range Range::above(0.0), from "PyTorch 2.11 default";
        /// Decoupled weight decay.
        weight_decay: f64 = 0.01, range Range::of(0.0..), from "PyTorch 2.11 default";
    }
}

/// m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; w ← w(1 − lr·wd) − lr·m̂/(√v̂ + ε), on a subset of a
/// network's parameters.
#[derive(Debug)]
pub struct Adamw {
    settings: AdamwSettings,
    /// State per parameter; absent where another rule moves it.
    moments: Vec<Option<[Tensor; 2]>>,
    /// Updates per parameter, f32, on the device: a frozen layer's count stands still.
    steps: Tensor,
    /// The same, as one view per parameter.
    counts: Vec<Tensor>,
}

impl Adamw {
    /// State for the parameters of `network` that `moves` selects.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(
        settings: AdamwSettings,
        network: &Network,
        moves: impl Fn(usize, &Parameter) -> bool,
    ) -> Result<Self, TchError> {
        let device =
            network.parameters.first().map_or(tch::Device::Cpu, |first| first.tensor.device());
        let zeros = |tensor: &Tensor| [tensor.detach().zeros_like(), tensor.detach().zeros_like()];
        let parameters = network.parameters.iter().enumerate();
        let count = network.parameters.len() as i64;
        let steps = Tensor::f_zeros([count], (Kind::Float, device))?;
        let moments = parameters.map(|(index, p)| moves(index, p).then(|| zeros(&p.tensor)));
        Self::of(settings, moments.collect(), steps)
    }

    /// With these moments, `None` where another rule moves the parameter, after so many updates of
    /// each parameter (f32).
    ///
    /// # Errors
    /// When `steps` is a single number.
    pub fn of(
        settings: AdamwSettings,
        moments: Vec<Option<[Tensor; 2]>>,
        steps: Tensor,
    ) -> Result<Self, TchError> {
        Ok(Self { settings, moments, counts: steps.f_unbind(0)?, steps })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &AdamwSettings {
        &self.settings
    }

    /// First and second moment of each parameter that it moves.
    #[must_use]
    pub fn moments(&self) -> &[Option<[Tensor; 2]>] {
        &self.moments
    }

    /// Updates of each parameter, f32.
    pub fn steps(&self) -> &Tensor {
        &self.steps
    }

    /// Changes learning rate and ε from the next update on.
    pub(crate) fn rate(&mut self, lr: f64, eps: f64) {
        self.settings.lr = lr;
        self.settings.eps = eps;
    }
}

impl Optimizer for Adamw {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let Some(&first_active) = gradients.active.first() else { return Ok(()) };
        // Layers lie in order and `Active` keeps a suffix of them, so one addition counts for all.
        let _ = if first_active == 0 {
            self.steps.f_add_scalar_(1.0)?
        } else {
            let start = first_active as i64;
            let rest = self.moments.len() as i64 - start;
            self.steps.f_narrow(0, start, rest)?.f_add_scalar_(1.0)?
        };
        let count = gradients.active.len();
        let (mut tensors, mut moved) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut first, mut second) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut steps = Vec::with_capacity(count);
        for (&index, gradient) in gradients.active.iter().zip(&gradients.tensors) {
            if let Some([m, v]) = &self.moments[index] {
                tensors.push(&parameters[index].tensor);
                moved.push(gradient);
                first.push(m);
                second.push(v);
                steps.push(&self.counts[index]);
            }
        }
        if tensors.is_empty() {
            return Ok(());
        }
        let AdamwSettings { lr, beta1, beta2, eps, weight_decay } = self.settings;
        let step = AdamwStep { lr: lr * now.lr_factor, beta1, beta2, weight_decay, eps };
        Ok(fused_adamw(&tensors, &moved, &first, &second, &steps, step)?)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.moments.get_mut(parameter)?.as_mut().map(|[first, _]| first)
    }

    fn reset(&mut self) -> Result<(), LabError> {
        let _ = self.steps.f_zero_()?;
        for now in self.moments.iter_mut().flatten().flatten() {
            let _ = now.f_zero_()?;
        }
        Ok(())
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("moments", &mut self.moments)?;
        state.of("steps", &mut self.steps)?;
        // They are views of the steps.
        self.counts = self.steps.f_unbind(0)?;
        Ok(())
    }
}
