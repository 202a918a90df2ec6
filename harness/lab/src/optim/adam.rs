//! Adam (Kingma & Ba, arXiv:1412.6980) with weight decay in the gradient, as `torch.optim.Adam`.

use tch::Tensor;

use crate::LabError;
use crate::network::Parameter;
use crate::optim::adamw::Adamw;
use crate::seat::{Gradients, Optimizer, StepInfo};
use crate::state::State;

/// AdamW without its own decay, given g + decay·w.
#[derive(Debug)]
pub struct Adam {
    rule: Adamw,
    weight_decay: f64,
}

impl Adam {
    /// Adam whose moments and steps are those of `rule`, which decays nothing itself.
    #[must_use]
    pub fn new(rule: Adamw, weight_decay: f64) -> Self {
        Self { rule, weight_decay }
    }

    /// The rule that is given g + decay·w.
    #[must_use]
    pub fn rule(&self) -> &Adamw {
        &self.rule
    }

    /// The decay.
    #[must_use]
    pub fn weight_decay(&self) -> f64 {
        self.weight_decay
    }
}

impl Optimizer for Adam {
    fn update(
        &mut self,
        parameters: &[Parameter],
        gradients: &Gradients,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        if self.weight_decay == 0.0 {
            return self.rule.update(parameters, gradients, now);
        }
        let decayed = gradients.active.iter().zip(&gradients.tensors).map(|(&index, gradient)| {
            let decay = parameters[index].tensor.f_mul_scalar(self.weight_decay)?;
            gradient.f_add(&decay)
        });
        let tensors = decayed.collect::<Result<_, _>>()?;
        let gradients = Gradients { active: gradients.active.clone(), tensors };
        self.rule.update(parameters, &gradients, now)
    }

    fn momentum(&mut self, parameter: usize) -> Option<&mut Tensor> {
        self.rule.momentum(parameter)
    }

    fn reset(&mut self) -> Result<(), LabError> {
        self.rule.reset()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.rule.state(state)
    }
}
