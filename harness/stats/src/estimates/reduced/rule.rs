//! Update rules in the coordinates of the basis.

use crate::estimates::EstimateError;
use crate::estimates::error::{check_finite, check_length};

/// Stochastic gradient descent as the bench's optimiser defines it: with weight decay λ,
/// g ← g + λθ; buf ← μ·buf + g (first step: buf = g); z ← z − lr·(g + μ·buf) with Nesterov, else
/// z − lr·buf.
#[derive(Debug, Clone, PartialEq)]
pub struct Sgd {
    /// Learning rate of every step of the window: it belongs to the step, not to the item.
    pub rates: Vec<f64>,
    /// Momentum μ; 0 for none.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// Weight decay λ.
    pub weight_decay: f64,
    /// Qᵀc, k numbers: where the origin of the weights lies, for weight decay.
    pub centre: Vec<f64>,
    /// Qᵀbuf at the window's start; `None` if the window starts the training.
    pub buffer: Option<Vec<f64>>,
}

/// Adam with its denominator frozen, D = 1/(sqrt(v̂) + ε) at the pilots' mean. That is assumed, not
/// what Adam does: measured to cost nothing with β₂ = 0.999 after a warm start (Spearman 0.997 and
/// more with true gradients), with β₂ = 0.95 down to 0.956, and 0.94 at best after a cold start.
///
/// The models of the items are then those of the preconditioned gradient, g̃ = QᵀD∇L and
/// H̃ = QᵀD∇²L Q: m ← β₁m + (1 − β₁)g; z ← z − lr·(λ(z + Qᵀc) + m/(1 − β₁ⁿ)), with decoupled weight
/// decay λ.
#[derive(Debug, Clone, PartialEq)]
pub struct Adam {
    /// Learning rate of every step of the window.
    pub rates: Vec<f64>,
    /// β₁.
    pub beta1: f64,
    /// Decoupled weight decay λ.
    pub weight_decay: f64,
    /// Qᵀc, k numbers.
    pub centre: Vec<f64>,
    /// QᵀDm at the window's start, k numbers.
    pub moment: Vec<f64>,
    /// Steps made before the window: they decide on the bias correction.
    pub steps_before: u32,
}

/// An update rule in the basis.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Gradient descent, with or without momentum.
    Sgd(Sgd),
    /// Adam with a frozen denominator.
    Adam(Adam),
}

/// What a rule carries from step to step.
pub(super) struct State {
    buffer: Vec<f64>,
    started: bool,
}

impl Rule {
    /// Steps that the rule has learning rates for.
    #[must_use]
    pub fn steps(&self) -> usize {
        match self {
            Self::Sgd(rule) => rule.rates.len(),
            Self::Adam(rule) => rule.rates.len(),
        }
    }

    pub(super) fn check(&self, k: usize) -> Result<(), EstimateError> {
        let (rates, centre, buffer, factor, decay) = match self {
            Self::Sgd(rule) => (
                &rule.rates,
                &rule.centre,
                rule.buffer.as_ref(),
                ("momentum", rule.momentum),
                rule.weight_decay,
            ),
            Self::Adam(rule) => (
                &rule.rates,
                &rule.centre,
                Some(&rule.moment),
                ("beta1", rule.beta1),
                rule.weight_decay,
            ),
        };
        check_finite("learning rate of step", rates)?;
        check_length("the projected centre", centre.len(), k)?;
        check_finite("the projected centre, value", centre)?;
        if let Some(buffer) = buffer {
            check_length("the projected momentum", buffer.len(), k)?;
            check_finite("the projected momentum, value", buffer)?;
        }
        let (what, value) = factor;
        if !(0.0..1.0).contains(&value) {
            return Err(EstimateError::Range { what, value, range: "at least 0 and below 1" });
        }
        if !(decay >= 0.0 && decay.is_finite()) {
            let (what, value, range) = ("weight decay", decay, "0 or more");
            return Err(EstimateError::Range { what, value, range });
        }
        Ok(())
    }

    pub(super) fn begin(&self, padded: usize) -> State {
        let given = match self {
            Self::Sgd(rule) => rule.buffer.as_ref(),
            Self::Adam(rule) => Some(&rule.moment),
        };
        let mut buffer = given.cloned().unwrap_or_default();
        buffer.resize(padded, 0.0);
        State { buffer, started: given.is_some() }
    }

    pub(super) fn update(&self, state: &mut State, step: usize, gradient: &[f64], z: &mut [f64]) {
        match self {
            Self::Sgd(rule) => rule.update(state, step, gradient, z),
            Self::Adam(rule) => rule.update(state, step, gradient, z),
        }
    }
}

impl Sgd {
    fn update(&self, state: &mut State, step: usize, gradient: &[f64], z: &mut [f64]) {
        let rate = self.rates[step];
        let kept = if state.started { self.momentum } else { 0.0 };
        state.started = true;
        // The weights along the padding are 0, whatever the centre.
        let centre = self.centre.iter().copied().chain(std::iter::repeat(0.0));
        for (((z, buffer), gradient), centre) in
            z.iter_mut().zip(&mut state.buffer).zip(gradient).zip(centre)
        {
            let gradient = gradient + self.weight_decay * (*z + centre);
            *buffer = kept * *buffer + gradient;
            let ahead = if self.nesterov { gradient + self.momentum * *buffer } else { *buffer };
            *z -= rate * ahead;
        }
    }
}

impl Adam {
    fn update(&self, state: &mut State, step: usize, gradient: &[f64], z: &mut [f64]) {
        let rate = self.rates[step];
        let made = f64::from(self.steps_before) + step as f64 + 1.0;
        let correction = 1.0 - self.beta1.powf(made);
        let centre = self.centre.iter().copied().chain(std::iter::repeat(0.0));
        for (((z, moment), gradient), centre) in
            z.iter_mut().zip(&mut state.buffer).zip(gradient).zip(centre)
        {
            *moment = self.beta1 * *moment + (1.0 - self.beta1) * gradient;
            *z -= rate * (self.weight_decay * (*z + centre) + *moment / correction);
        }
    }
}
