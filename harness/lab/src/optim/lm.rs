//! How small language models are trained: AdamW that decays matrices only, a warm-up, a bound on
//! the gradient.

use ledger::catalogue::Schedule;
use ledger::settings;
use ledger::settings::Range;
use tch::TchError;

use super::adamw::{Adamw, AdamwSettings};
use crate::LabError;
use crate::network::{Network, Parameter};
use crate::recipe::Recipe;
use crate::seat::{Gradients, Optimizer, StepInfo, TaskInfo};
use crate::state::State;

settings! {
    /// Settings of the training of language models.
    pub struct LmSettings {
        /// Examples per step.
        batch_size: u32 = 64, range Range::of(1.0..), from "assumed";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::WarmCosine { warmup: 0.05, floor: 0.1 }, from "GPT-3: warm-up, cosine to a tenth; warm-up assumed";
        /// Peak learning rate.
        lr: f64 = 3e-3, range Range::above(0.0), from "assumed, for models of some 100,000 parameters";
        /// Decay of the first moment.
        beta1: f64 = 0.9, range Range::of(0.0..1.0), from "GPT-3, appendix B";
        /// Decay of the second moment.
        beta2: f64 = 0.95, range Range::of(0.0..1.0), from "GPT-3, appendix B";
        /// Added to the root of the second moment.
        eps: f64 = 1e-8, range Range::above(0.0), from "GPT-3, appendix B";
        /// Decoupled weight decay of matrices and tables; vectors do not decay.
        weight_decay: f64 = 0.1, range Range::of(0.0..), from "GPT-3, appendix B; matrices only: nanoGPT";
        /// Largest norm of the gradient; 0 for none.
        clip: f64 = 1.0, range Range::of(0.0..), from "GPT-3, appendix B";
    }
}

impl LmSettings {
    /// Plain training on a workload's own loss.
    ///
    /// # Errors
    /// When the workload has no loss or libtorch cannot allocate.
    pub fn recipe(&self, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        let optimizer = Box::new(self.optimizer(task.network)?);
        self.recipe_with(optimizer, task)
    }

    /// The same with another update rule.
    ///
    /// # Errors
    /// When the workload has no loss.
    pub fn recipe_with(
        &self,
        optimizer: Box<dyn Optimizer>,
        task: &TaskInfo<'_>,
    ) -> Result<Recipe, LabError> {
        let plain = Recipe::plain(self.batch_size, self.schedule.clone(), optimizer, task)?;
        Ok(Recipe { clip_norm: (self.clip > 0.0).then_some(self.clip), ..plain })
    }

    /// AdamW that decays what has two dimensions or more.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn optimizer(&self, network: &Network) -> Result<MatrixDecay, TchError> {
        let Self { lr, beta1, beta2, eps, weight_decay, .. } = *self;
        let rule = |weight_decay, moves: fn(&Parameter) -> bool| {
            let settings = AdamwSettings { lr, beta1, beta2, eps, weight_decay };
            Adamw::new(settings, network, |_, parameter| moves(parameter))
        };
        Ok(MatrixDecay {
            matrices: rule(weight_decay, is_matrix)?,
            vectors: rule(0.0, |p| !is_matrix(p))?,
        })
    }
}

fn is_matrix(parameter: &Parameter) -> bool {
    parameter.tensor.dim() >= 2
}

/// AdamW with weight decay on matrices and without it on vectors.
#[derive(Debug)]
pub struct MatrixDecay {
    matrices: Adamw,
    vectors: Adamw,
}

impl MatrixDecay {
    /// The rules of matrices and of vectors.
    #[must_use]
    pub fn rules(&self) -> [&Adamw; 2] {
        [&self.matrices, &self.vectors]
    }
}

impl Optimizer for MatrixDecay {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        self.matrices.update(parameters, gradients, now)?;
        self.vectors.update(parameters, gradients, now)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut tch::Tensor> {
        self.matrices.momentum(parameter).or_else(|| self.vectors.momentum(parameter))
    }

    fn reset(&mut self) -> Result<(), LabError> {
        self.matrices.reset()?;
        self.vectors.reset()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.matrices.state(state)?;
        self.vectors.state(state)
    }
}
