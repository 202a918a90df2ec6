//! AdamW: Adam with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101).

use ledger::settings;
use ledger::settings::Range;
use tch::{Kind, TchError, Tensor};

use crate::kernels::{AdamwStep, fused_adamw};
use crate::network::{Network, Parameter};
use crate::optim::{put_back, repeated};
use crate::seat::{Expanded, Expansion, Gradients, Moment, Optimizer};

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
        Ok(Self {
            settings,
            moments: parameters
                .map(|(index, p)| moves(index, p).then(|| zeros(&p.tensor)))
                .collect(),
            counts: steps.f_unbind(0)?,
            steps,
        })
    }
}

impl Adamw {
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
        moment: &Moment,
    ) -> Result<(), TchError> {
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
        let step = AdamwStep { lr: lr * moment.lr_factor, beta1, beta2, weight_decay, eps };
        fused_adamw(&tensors, &moved, &first, &second, &steps, step)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.moments.get_mut(parameter)?.as_mut().map(|[first, _]| first)
    }

    fn reset(&mut self) -> Result<(), TchError> {
        let _ = self.steps.f_zero_()?;
        for moment in self.moments.iter_mut().flatten().flatten() {
            let _ = moment.f_zero_()?;
        }
        Ok(())
    }

    /// Counts of updates, then both moments of each parameter that it moves.
    fn state(&self) -> Option<Vec<Tensor>> {
        let moments = self.moments.iter().flatten().flatten();
        Some([&self.steps].into_iter().chain(moments).map(Tensor::copy).collect())
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), TchError> {
        let moments = self.moments.iter_mut().flatten().flatten();
        put_back([&mut self.steps].into_iter().chain(moments), state)
    }

    fn for_rows(&self, rows: i64) -> Option<Box<dyn Optimizer>> {
        // A rule that moves only some of the parameters, or has moved some less often, is not one
        // rule for all values.
        let moments: Option<Vec<&[Tensor; 2]>> = self.moments.iter().map(Option::as_ref).collect();
        let (moments, first) = (moments?, self.counts.first()?);
        if self.steps.ne_tensor(first).any().int64_value(&[]) != 0 {
            return None;
        }
        let all = |which: usize| repeated(moments.iter().map(|pair| &pair[which]), rows);
        let steps = first.reshape([1]).copy();
        Some(Box::new(Self {
            settings: self.settings.clone(),
            moments: vec![Some([all(0), all(1)])],
            counts: steps.unbind(0),
            steps,
        }))
    }

    /// With m′, v′ after the gradient g, ĉ₁ = 1 − β₁ⁿ, ĉ₂ = 1 − β₂ⁿ, s = √(v′/ĉ₂) and D = s + ε:
    /// Γ = lr·(wd·θ + m′/(ĉ₁D)), dΓ = lr·(wd·δ + (1−β₁)dg/(ĉ₁D) − (m′/ĉ₁)(1−β₂)g·dg/(ĉ₂sD²)); the
    /// last term is left out where s = 0, where it has no value (g = 0 with no history).
    fn expanded(&self, at: &Expansion<'_>, moment: &Moment) -> Option<Expanded> {
        let [Some([first, second])] = self.moments.as_slice() else { return None };
        let AdamwSettings { lr, beta1, beta2, eps, weight_decay } = self.settings;
        let rate = lr * moment.lr_factor;
        let both = || {
            let Expansion { theta, gradient, away, change } = *at;
            let count = self.steps.f_double_value(&[0])? + 1.0;
            let (c1, c2) = (1.0 - beta1.powf(count), 1.0 - beta2.powf(count));
            let first = first.f_mul_scalar(beta1)?.f_add(&gradient.f_mul_scalar(1.0 - beta1)?)?;
            let square = gradient.f_square()?.f_mul_scalar(1.0 - beta2)?;
            let second = second.f_mul_scalar(beta2)?.f_add(&square)?;
            let root = second.f_div_scalar(c2)?.f_sqrt()?;
            let divisor = root.f_add_scalar(eps)?;
            let direct = first.f_div(&divisor)?.f_div_scalar(c1)?;
            let update = direct.f_add(&theta.f_mul_scalar(weight_decay)?)?.f_mul_scalar(rate)?;

            let by_first = change.f_mul_scalar((1.0 - beta1) / c1)?.f_div(&divisor)?;
            let still = root.f_eq(0.0)?;
            // direct / D = m′/(ĉ₁D²)
            let by_second = direct
                .f_div(&divisor)?
                .f_mul(gradient)?
                .f_mul(change)?
                .f_mul_scalar((1.0 - beta2) / c2)?
                .f_div(&root.f_masked_fill(&still, 1.0)?)?
                .f_masked_fill(&still, 0.0)?;
            let slope = by_first.f_sub(&by_second)?;
            let slope = slope.f_add(&away.f_mul_scalar(weight_decay)?)?.f_mul_scalar(rate)?;
            Ok([update, slope])
        };
        Some(both())
    }
}
