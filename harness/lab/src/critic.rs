//! A critic: what reward a policy may still expect at each token.

use ledger::settings;
use ledger::settings::Range;
use tch::{Kind, TchError, Tensor};

use crate::LabError;
use crate::models::gpt::Gpt;
use crate::network::{Network, Parameter, Role};
use crate::optim::adamw::{Adamw, AdamwSettings};
use crate::rollout::Rollouts;
use crate::seat::{Gradients, Optimizer, StepInfo};
use crate::state::State;

settings! {
    /// Settings of a critic.
    pub struct CriticSettings {
        /// Learning rate of the critic's AdamW.
        critic_lr: f64 = 1e-3, range Range::above(0.0), from "assumed; verl: 1e-5 at a policy's 1e-6";
        /// How far a value may move from the one at sampling before its loss stops improving.
        value_clip: f64 = 0.2, range Range::of(0.0..), from "trl; verl: 0.5";
    }
}

/// A copy of the policy with one number, zero at first, in place of logits; learns by itself.
#[derive(Debug)]
pub struct Critic {
    network: Network,
    /// Indices of the parameters that move: all but the policy's head.
    moved: Vec<usize>,
    rule: Adamw,
    value_clip: f64,
}

impl Critic {
    /// From the policy as it is.
    ///
    /// # Errors
    /// When the policy is no transformer.
    pub fn new(settings: &CriticSettings, policy: &Network) -> Result<Self, LabError> {
        let mut network = policy.duplicate();
        let gpt = *Gpt::of(&network)?;
        let options = (Kind::Float, network.device());
        let width = gpt.shape.width as i64;
        for (name, role, shape) in
            [("value.weight", Role::Weight, vec![1, width]), ("value.bias", Role::Bias, vec![1])]
        {
            let tensor = Tensor::f_zeros(&shape, options)?.set_requires_grad(true);
            let layer = gpt.shape.depth + 1;
            network.parameters.push(Parameter { name: name.to_owned(), layer, role, tensor });
        }
        Self::of(settings, network)
    }

    /// From a network that scores texts already (its last two parameters are weight and bias of the score): a value
    /// begins as the score of the text so far.
    ///
    /// # Errors
    /// When it is no transformer.
    pub fn of(settings: &CriticSettings, network: Network) -> Result<Self, LabError> {
        let head = Gpt::of(&network)?.head();
        let moved = (0..network.parameters.len()).filter(|index| !head.contains(index)).collect();
        let adamw =
            AdamwSettings { lr: settings.critic_lr, weight_decay: 0.0, ..AdamwSettings::default() };
        let rule = Adamw::new(adamw, &network, |index, _| !head.contains(&index))?;
        Ok(Self { network, moved, rule, value_clip: settings.value_clip })
    }

    /// The value of each state that a token of a response is chosen in, N × R.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn values(&self, rollouts: &Rollouts) -> Result<Tensor, LabError> {
        let states = rollouts.states(&self.network)?;
        let count = self.network.parameters.len();
        let [weight, bias] = [count - 2, count - 1].map(|index| self.network.at(index));
        Ok(states.f_linear(weight, Some(bias))?.f_squeeze_dim(-1)?)
    }

    /// One update towards `returns`, with `old` the values at sampling, each N × R: on
    /// ½ max((v − R)², (v_clip − R)²), averaged over tokens.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn learn(
        &mut self,
        rollouts: &Rollouts,
        old: &Tensor,
        returns: &Tensor,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let losses = value_losses(&self.values(rollouts)?, old, returns, self.value_clip)?;
        let mask = &rollouts.mask;
        let loss = losses.f_mul(mask)?.f_sum(Kind::Float)?.f_div(&mask.f_sum(Kind::Float)?)?;
        let leaves: Vec<_> =
            self.moved.iter().map(|index| &self.network.parameters[*index].tensor).collect();
        let tensors = Tensor::f_run_backward(&[&loss], &leaves, false, false)?;
        let gradients = Gradients { active: self.moved.clone(), tensors };
        tch::no_grad(|| self.rule.update(&self.network.parameters, &gradients, now))
    }

    /// Its weights and the state of its rule.
    ///
    /// # Errors
    /// When what is read is another critic's, or libtorch refuses an operation.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.weights("critic", &self.network)?;
        self.rule.state(state)
    }

    /// The same of a critic that there may not be, as where a stage has one.
    ///
    /// # Errors
    /// When what is read is another critic's, or libtorch refuses an operation.
    pub fn state_of(
        critic: &mut Option<Self>,
        settings: &CriticSettings,
        state: &mut State<'_>,
    ) -> Result<(), LabError> {
        let (network, rule) = critic.take().map(|own| (own.network, own.rule)).unzip();
        let mut network = network;
        state.network("critic", &mut network)?;
        let Some(network) = network else { return Ok(()) };
        let mut own = Self::of(settings, network)?;
        if let Some(rule) = rule {
            own.rule = rule;
        }
        own.rule.state(state)?;
        *critic = Some(own);
        Ok(())
    }
}

/// ½ max((v − R)², (clip(v, old ± clip) − R)²), of tensors of one shape.
///
/// # Errors
/// When the shapes do not fit.
pub fn value_losses(
    values: &Tensor,
    old: &Tensor,
    returns: &Tensor,
    clip: f64,
) -> Result<Tensor, TchError> {
    let moved = values.f_sub(old)?.f_clamp(-clip, clip)?;
    let clipped = old.f_add(&moved)?.f_sub(returns)?.f_square()?;
    values.f_sub(returns)?.f_square()?.f_maximum(&clipped)?.f_mul_scalar(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial;
    use tch::Device;

    #[test]
    fn a_value_that_moved_beyond_the_clip_is_held_to_the_worse_of_both() {
        let of = |value: f64| Tensor::from_slice(&[value]);
        for (value, expected) in [(0.1, 0.405), (0.5, 0.32), (1.5, 0.32), (-0.5, 1.125)] {
            let loss = value_losses(&of(value), &of(0.0), &of(1.0), 0.2).unwrap();
            assert!((loss.double_value(&[0]) - expected).abs() < 1e-12, "{value}: {loss:?}");
        }
    }

    #[test]
    fn values_are_zero_at_first_and_then_learn_their_returns() {
        let shape = Shape { vocabulary: 6, context: 8, width: 16, depth: 1, heads: 2, hidden: 64 };
        let policy = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
        let settings = CriticSettings { critic_lr: 0.01, value_clip: 10.0 };
        let mut critic = Critic::new(&settings, &policy).unwrap();
        let prompts = Tensor::from_slice(&[3_i64, 4, 4, 3]).view([2, 2]);
        let rollouts = Rollouts::new(&prompts, &[vec![5, 1], vec![1]]).unwrap();
        let old = critic.values(&rollouts).unwrap().detach();
        assert_eq!(old.abs().max().double_value(&[]), 0.0);
        let returns = Tensor::from_slice(&[1.0_f32, 1.0, -1.0, 7.0]).view([2, 2]);
        for step in 0..200 {
            let now = StepInfo { lr_factor: 1.0, ..trial::step_info(step, 200) };
            critic.learn(&rollouts, &old, &returns, &now).unwrap();
        }
        let error = (critic.values(&rollouts).unwrap() - returns) * &rollouts.mask;
        assert!(error.abs().max().double_value(&[]) < 0.05, "{error:?}");
        // The policy itself has not moved.
        let fresh = gpt(shape, &trial::streams(), Device::Cpu).unwrap();
        assert_eq!(policy.digest().unwrap(), fresh.digest().unwrap());
    }
}
