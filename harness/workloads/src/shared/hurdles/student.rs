//! REINFORCE (Williams 1992) for the policy of the hurdle car.

use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::{Kind, TchError, Tensor};

use super::track::{Policy, SENSES, Track, drive, passed};
use lab::LabError;
use lab::network::{Network, values};
use lab::seat::{Batch, Objective, StepInfo};
use lab::state::State;

/// Deviation of the noise on actions.
pub const NOISE: f64 = 0.5;

/// Drives the tasks of a batch, then −Σ_t log π(a_t | s_t)·(rewards from t on) per episode.
#[derive(Debug)]
pub struct Reinforce {
    /// Where gaps are.
    env: Pcg64,
    /// Noise on actions.
    rollout: Pcg64,
    driven: Option<Driven>,
    rewards: Vec<f64>,
}

/// All decisions of a batch of episodes, n in all.
#[derive(Debug)]
struct Driven {
    /// n × senses.
    senses: Tensor,
    /// n.
    actions: Tensor,
    /// Rewards from the decision on, n.
    returns: Tensor,
    /// Episode of each decision, i64, n.
    episodes: Tensor,
}

impl Reinforce {
    /// With gaps and noise drawn from the streams `env` and `rollout`.
    #[must_use]
    pub fn new(streams: &Streams) -> Self {
        Self {
            env: streams.generator("env"),
            rollout: streams.generator("rollout"),
            driven: None,
            rewards: Vec::new(),
        }
    }
}

impl Objective for Reinforce {
    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<(), LabError> {
        let policy = policy(network)?;
        let (mut senses, mut actions) = (Vec::new(), Vec::new());
        let (mut returns, mut episodes) = (Vec::new(), Vec::new());
        self.rewards.clear();
        for (episode, task) in (0_i64..).zip(values(&batch.inputs)?.chunks_exact(2)) {
            let track = Track::of([task[0], task[1]].map(f64::from), &mut self.env);
            let decisions = drive(&track, &policy, Some((NOISE, &mut self.rollout)));
            let mut left = passed(&decisions);
            self.rewards.push(left);
            for decision in decisions {
                senses.extend(decision.senses.map(|sense| sense as f32));
                actions.push(decision.action as f32);
                returns.push(left as f32);
                episodes.push(episode);
                left -= decision.reward;
            }
        }
        let device = network.device();
        self.driven = Some(Driven {
            senses: Tensor::f_from_slice(&senses)?.f_view([-1, SENSES as i64])?.f_to(device)?,
            actions: Tensor::f_from_slice(&actions)?.f_to(device)?,
            returns: Tensor::f_from_slice(&returns)?.f_to(device)?,
            episodes: Tensor::f_from_slice(&episodes)?.f_to(device)?,
        });
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        _: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let Some(Driven { senses, actions, returns, episodes }) = &self.driven else {
            return Err(LabError::Method("a step must be driven before its loss".to_owned()));
        };
        let means = network.forward(senses, true)?.f_tanh()?.f_view([-1])?;
        // −log of a normal density, up to a constant.
        let surprises = actions.f_sub(&means)?.f_square()?.f_mul_scalar(0.5 / (NOISE * NOISE))?;
        let weighted = surprises.f_mul(returns)?;
        let size = batch.ids.len() as i64;
        let zeros = Tensor::f_zeros([size], (Kind::Float, weighted.device()))?;
        Ok(zeros.f_index_add(0, episodes, &weighted)?)
    }

    fn scores(&self) -> Option<&[f64]> {
        Some(&self.rewards)
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("env", &mut self.env)?;
        state.of("rollout", &mut self.rollout)
    }
}

/// The policy that the network's parameters are.
///
/// # Errors
/// When values cannot be copied to the host.
pub fn policy(network: &Network) -> Result<Policy, TchError> {
    let mut policy = Policy { weights: [0.0; SENSES], bias: 0.0 };
    let [weight, bias] = [0, 1].map(|index| values(&network.parameters[index].tensor));
    for (ours, value) in policy.weights.iter_mut().zip(weight?) {
        *ours = f64::from(value);
    }
    policy.bias = bias?.into_iter().map(f64::from).sum();
    Ok(policy)
}
