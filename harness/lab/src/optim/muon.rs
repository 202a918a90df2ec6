//! Newton–Schulz orthogonalisation and the Muon step (Keller Jordan's Muon, `muon.py`).

use ledger::settings::Range;
use ledger::{choice, settings};
use tch::{TchError, Tensor};

use super::adamw::{Adamw, AdamwSettings};
use crate::LabError;
use crate::network::{Network, Parameter, Role};
use crate::seat::{Gradients, Optimizer, StepInfo};
use crate::state::State;

choice! {
    /// Which rule moves a weight.
    pub enum MovedBy {
        /// Muon.
        Muon = "muon",
        /// The auxiliary AdamW.
        Adamw = "adamw",
    }
}

settings! {
    /// Settings of Muon and of the AdamW beside it.
    pub struct MuonSettings {
        /// Peak learning rate of the weights that Muon moves.
        lr: f64 = 0.02, range Range::above(0.0), from "muon.py";
        /// β: share of the momentum that stays; 1 − β in the notation of Drop-Muon.
        momentum: f64 = 0.95, range Range::of(0.0..1.0), from "muon.py";
        /// Nesterov's form.
        nesterov: bool = true, from "muon.py";
        /// Newton–Schulz iterations.
        ns_steps: u32 = 5, range Range::of(1.0..=20.0), from "muon.py; airbench94_muon uses 3";
        /// Decoupled weight decay of the weights that Muon moves.
        weight_decay: f64 = 0.0, range Range::of(0.0..), from "muon.py";
        /// Which rule moves the last layer's weight.
        head: MovedBy = MovedBy::Adamw, from "README of Muon";
        /// Which rule moves the first layer's filters, if it is a convolution.
        first_conv: MovedBy = MovedBy::Adamw, from "README of Muon";
        /// Peak learning rate of the auxiliary AdamW.
        aux_lr: f64 = 3e-4, range Range::above(0.0), from "muon.py";
        /// Decay of the auxiliary AdamW's first moment.
        aux_beta1: f64 = 0.9, range Range::of(0.0..1.0), from "muon.py";
        /// Decay of the auxiliary AdamW's second moment.
        aux_beta2: f64 = 0.95, range Range::of(0.0..1.0), from "muon.py";
        /// Added to the root of the auxiliary AdamW's second moment.
        aux_eps: f64 = 1e-10, range Range::above(0.0), from "muon.py";
        /// Decoupled weight decay of the auxiliary AdamW.
        aux_weight_decay: f64 = 0.0, range Range::of(0.0..), from "muon.py";
    }
}

/// Coefficients of the quintic iteration.
pub const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// Approximates U Vᵀ of `matrix` = U Σ Vᵀ by `steps` quintic Newton–Schulz iterations in f32:
/// X ← aX + (bA + cA²)X with A = XXᵀ, from X = G/(‖G‖_F + 1e−7), on the wide orientation.
///
/// # Errors
/// When `matrix` is not 2-D.
pub fn orthogonalise(matrix: &Tensor, steps: u32) -> Result<Tensor, TchError> {
    let [a, b, c] = COEFFICIENTS;
    let (rows, columns) = matrix.size2()?;
    let tall = rows > columns;
    let scaled = matrix.f_div(&matrix.f_norm()?.f_add_scalar(1e-7)?)?;
    let mut x = if tall { scaled.f_transpose(0, 1)? } else { scaled };
    for _ in 0..steps {
        let gram = x.f_matmul(&x.f_transpose(0, 1)?)?;
        let polynomial = gram.f_mul_scalar(b)?.f_add(&gram.f_matmul(&gram)?.f_mul_scalar(c)?)?;
        x = x.f_mul_scalar(a)?.f_add(&polynomial.f_matmul(&x)?)?;
    }
    if tall { x.f_transpose(0, 1) } else { Ok(x) }
}

/// The direction Muon moves a weight in: Newton–Schulz of the weight seen as out × rest, times
/// max(1, rows/columns)^½, in the weight's shape.
///
/// # Errors
/// When `update` has fewer than two dimensions.
pub fn direction(update: &Tensor, steps: u32) -> Result<Tensor, TchError> {
    let shape = update.size();
    let matrix = update.f_reshape([shape[0], -1])?;
    let (rows, columns) = matrix.size2()?;
    #[expect(clippy::cast_precision_loss, reason = "matrix sides are far below 2^52")]
    let scale = (rows as f64 / columns as f64).max(1.0).sqrt();
    orthogonalise(&matrix, steps)?.f_mul_scalar(scale)?.f_reshape(&shape)
}

/// m ← m + (1−β)(g − m); u = g + β(m − g) with Nesterov, else m; w ← w(1 − lr·wd) − lr·D(u), where
/// D is [`direction`]. AdamW moves biases, norms and, by settings, head and first convolution.
#[derive(Debug)]
pub struct Muon {
    settings: MuonSettings,
    /// Momentum per parameter; absent where AdamW moves it.
    momenta: Vec<Option<Tensor>>,
    auxiliary: Adamw,
}

impl Muon {
    /// Zero state for every parameter of `network`.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(settings: MuonSettings, network: &Network) -> Result<Self, TchError> {
        let last = network.depth().saturating_sub(1);
        let by_muon = |parameter: &Parameter| {
            let Parameter { layer, role, tensor, .. } = parameter;
            *role == Role::Weight
                && (*layer != last || settings.head == MovedBy::Muon)
                && (*layer != 0 || tensor.dim() < 4 || settings.first_conv == MovedBy::Muon)
        };
        let momenta = network.parameters.iter().map(|parameter| {
            by_muon(parameter).then(|| parameter.tensor.detach().f_zeros_like()).transpose()
        });
        let momenta = momenta.collect::<Result<_, _>>()?;
        let rule = AdamwSettings {
            lr: settings.aux_lr,
            beta1: settings.aux_beta1,
            beta2: settings.aux_beta2,
            eps: settings.aux_eps,
            weight_decay: settings.aux_weight_decay,
        };
        let auxiliary = Adamw::new(rule, network, |_, parameter| !by_muon(parameter))?;
        Ok(Self { settings, momenta, auxiliary })
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &MuonSettings {
        &self.settings
    }

    /// The momentum of each parameter that Muon moves.
    #[must_use]
    pub fn momenta(&self) -> &[Option<Tensor>] {
        &self.momenta
    }

    /// The rule of the others.
    #[must_use]
    pub fn auxiliary(&self) -> &Adamw {
        &self.auxiliary
    }
}

impl Optimizer for Muon {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let MuonSettings { momentum: beta, nesterov, ns_steps, weight_decay, .. } = self.settings;
        let lr = self.settings.lr * now.lr_factor;
        for (&index, gradient) in gradients.active.iter().zip(&gradients.tensors) {
            let Some(momentum) = &mut self.momenta[index] else { continue };
            let _ = momentum.f_lerp_(gradient, 1.0 - beta)?;
            let direction = if nesterov {
                direction(&gradient.f_lerp(momentum, beta)?, ns_steps)?
            } else {
                direction(momentum, ns_steps)?
            };
            let mut weight = parameters[index].tensor.shallow_clone();
            let _ = weight.f_mul_scalar_(1.0 - lr * weight_decay)?;
            let _ = weight.f_sub_(&direction.f_mul_scalar(lr)?)?;
        }
        self.auxiliary.update(parameters, gradients, now)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        match self.momenta.get_mut(parameter)? {
            Some(momentum) => Some(momentum),
            None => self.auxiliary.momentum(parameter),
        }
    }

    fn reset(&mut self) -> Result<(), LabError> {
        for momentum in self.momenta.iter_mut().flatten() {
            let _ = momentum.f_zero_()?;
        }
        self.auxiliary.reset()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("momenta", &mut self.momenta)?;
        self.auxiliary.state(state)
    }
}
