//! # PPO: proximal policy optimisation with a critic
//!
//! ## Mechanism
//! Sample responses, reward the last token of each by the verifier and every token by
//! `−kl·(log π_old − log π_ref)` (k1). A critic `V` gives each token's advantage by
//! `δ_t = r_t + γV_{t+1} − V_t`, `A_t = δ_t + γλA_{t+1}`; returns are `A + V`; advantages are whitened
//! over the tokens of the batch. Then `epochs × minibatches` updates on the clipped surrogate
//! `−min(ρA, clip(ρ, 1 ± clip)A)`, averaged over tokens; the critic, a network of its own that
//! starts as a copy of the policy with one output, learns beside it on the clipped squared error.
//! Unlike in GRPO, tokens of one response have advantages of their own, and a prompt needs no group.
//!
//! ## Claim
//! The paper's own is about control: 7 MuJoCo tasks, average normalised score 0.82 for clipping at
//! 0.2 against −0.39 without clipping or penalty (Table 1). Here: accuracy over the common start.
//!
//! ## Sources
//! Schulman et al., arXiv:1707.06347; huggingface/trl@f2cd57710 `ppo_trainer.py` (defaults); verl in
//! ZhentingWang/DUMP@235e85d `core_algos.py`.
//!
//! ## Differences
//! - The critic has its own weights and AdamW, as in verl; so there is no weight on its loss (trl: 0.1).
//! - G responses per prompt, so that a step samples as much as GRPO's; trl and verl sample one.
//! - Temperature 1 (trl: 0.7). No entropy bonus (verl: 0.001), no whitening of rewards.
//! - The last token, which the score is put on as in verl (trl: the one after it, with values and masks one
//!   longer), is the end, or the one that the longest response was cut off at.
//! - Assumed: rates of 1e-3 for both (trl: 3e-6; verl: 1e-6 and 1e-5), 16 prompts of 8 responses.

use lab::LabError;
use lab::advantage::{Aggregate, gae, k1, surrogate, whiten};
use lab::critic::{Critic, CriticSettings};
use lab::method::Method;
use lab::network::{Network, values};
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::{Recipe, Step};
use lab::rollout::{Roller, RolloutSettings, Rollouts};
use lab::seat::{Batch, Facts, Objective, StepInfo, TaskInfo};
use lab::split::Split;
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;
use tch::{TchError, Tensor};

settings! {
    /// Settings of `ppo`.
    pub struct Settings {
        /// γ: discount per token.
        gamma: f64 = 1.0, range Range::of(0.0..=1.0), from "trl and verl";
        /// λ of the advantage estimates.
        lambda: f64 = 0.95, range Range::of(0.0..=1.0), from "trl; verl: 1";
        /// How far the ratio may go from 1; 1e9 is no clipping.
        clip: f64 = 0.2, range Range::of(0.0..), from "arXiv:1707.06347, table 1";
        /// Weight of the divergence (k1) in the reward.
        kl: f64 = 0.05, range Range::of(0.0..), from "trl";
        /// Passes over each batch of roll-outs.
        epochs: u32 = 4, range Range::of(1.0..=16.0), from "trl";
        /// Updates per pass.
        minibatches: u32 = 1, range Range::of(1.0..=16.0), from "trl";
        /// Prompts per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: what a small policy's step can hold";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "trl max_grad_norm; verl grad_clip";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "verl";
        use critic: CriticSettings;
        use rollouts: RolloutSettings;
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "clipped policy gradient with a critic's advantage for every token",
    paper: Paper {
        title: "Proximal policy optimization algorithms",
        authors: "Schulman, Wolski, Dhariwal, Radford, Klimov",
        year: 2017,
        reference: "arXiv:1707.06347",
        code: "huggingface/trl@f2cd57710",
    },
    claim: PaperClaim {
        statement: "the clipped surrogate learns where the unclipped one fails",
        number: "7 MuJoCo tasks: normalised score 0.82 against −0.39",
        source: "arXiv:1707.06347, table 1",
    },
    baseline: Some("untrained"),
    needs: &[offers::VERIFIER, offers::PROMPTS],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings { batch_size, clip_norm, schedule, adamw, .. } = settings.clone();
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let objective = Box::new(Proximal::new(settings, task)?);
        let plain = Recipe::of(batch_size, schedule, Step::Gradient { objective, optimizer });
        Ok(Recipe { clip_norm: Some(clip_norm), ..plain })
    },
};

/// What a step has sampled, all N × R.
#[derive(Debug)]
struct Prepared {
    rollouts: Rollouts,
    /// Log-probabilities at sampling.
    old: Tensor,
    /// Values at sampling.
    values: Tensor,
    advantages: Tensor,
    returns: Tensor,
}

impl Prepared {
    fn select(&self, places: &[usize]) -> Result<Self, TchError> {
        let rows: Vec<i64> = places.iter().map(|place| *place as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.old.device())?;
        let Self { rollouts, old, values, advantages, returns } = self;
        let pick = |table: &Tensor| table.f_index_select(0, &rows);
        let [advantages, returns] = [pick(advantages)?, pick(returns)?];
        let rollouts = rollouts.select(places)?;
        Ok(Self { rollouts, old: pick(old)?, values: pick(values)?, advantages, returns })
    }
}

#[derive(Debug)]
struct Proximal {
    settings: Settings,
    roller: Roller,
    streams: Streams,
    critic: Option<Critic>,
    reference: Option<Network>,
    prepared: Option<Prepared>,
}

impl Proximal {
    fn new(settings: Settings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let roller = Roller::new(&settings.rollouts, task)?;
        let streams = task.streams.clone();
        Ok(Self { settings, roller, streams, critic: None, reference: None, prepared: None })
    }
}

/// The rows, of `rows`, that a pass updates on: each pass over the batch deals them into `parts` anew.
fn part(rows: usize, parts: u32, streams: &Streams, now: &StepInfo) -> Vec<usize> {
    let step = u32::try_from(now.step).unwrap_or(u32::MAX);
    let mut all: Vec<u32> = (0..).take(rows).collect();
    ledger::order::shuffle(&mut streams.keyed("minibatches", now.pass / parts, step), &mut all);
    let chunk = rows.div_ceil(parts as usize);
    let part = all.chunks(chunk).nth((now.pass % parts) as usize).unwrap_or(&all);
    part.iter().map(|place| *place as usize).collect()
}

/// Rewards of all tokens, row by row: `−kl` times k1 where there is a reference, N × R as `old`, and
/// at the last token of a response what the verifier gives it.
fn token_rewards(
    old: &Tensor,
    reference: Option<Tensor>,
    kl: f64,
    scores: &[f64],
    lengths: &[usize],
) -> Result<Vec<f32>, TchError> {
    let mut rewards = match reference {
        Some(reference) => values(&k1(old, &reference)?.f_mul_scalar(-kl)?)?,
        None => vec![0.0; old.numel()],
    };
    let width = rewards.len() / lengths.len().max(1);
    for (row, (score, length)) in scores.iter().zip(lengths).enumerate() {
        rewards[row * width + length - 1] += *score as f32;
    }
    Ok(rewards)
}

/// Advantages (whitened over tokens of responses) and returns, N × R each, from rows of rewards
/// and values of which the first `lengths` count.
fn estimates(
    rewards: &[f32],
    values: &[f32],
    lengths: &[usize],
    [gamma, lambda]: [f64; 2],
) -> [Vec<f32>; 2] {
    let width = rewards.len() / lengths.len().max(1);
    let (mut flat, mut returns) = (Vec::new(), vec![0.0; rewards.len()]);
    for (row, length) in lengths.iter().enumerate() {
        let wide = |numbers: &[f32]| -> Vec<f64> {
            numbers[row * width..row * width + length].iter().map(|x| f64::from(*x)).collect()
        };
        let own = wide(values);
        let advantages = gae(&wide(rewards), &own, gamma, lambda);
        for (place, (advantage, value)) in advantages.iter().zip(&own).enumerate() {
            returns[row * width + place] = (advantage + value) as f32;
        }
        flat.extend(advantages);
    }
    whiten(&mut flat);
    let (mut spread, mut left) = (vec![0.0; rewards.len()], flat.into_iter());
    for (row, length) in lengths.iter().enumerate() {
        let places = &mut spread[row * width..row * width + length];
        places.iter_mut().zip(left.by_ref()).for_each(|(place, value)| *place = value as f32);
    }
    [spread, returns]
}

impl Objective for Proximal {
    fn start(&mut self, network: &Network, _: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.critic = Some(Critic::new(&self.settings.critic, network)?);
        self.reference = (self.settings.kl > 0.0).then(|| network.duplicate());
        Ok(None)
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let Some(critic) = &self.critic else { return Ok(()) };
        let step = u32::try_from(now.step).unwrap_or(u32::MAX);
        let rollouts = self.roller.sample(network, batch, step)?;
        let old = rollouts.log_probabilities(network)?;
        let expected = critic.values(&rollouts)?;
        let reference = self.reference.as_ref().map(|start| rollouts.log_probabilities(start));
        let (scores, lengths) = (self.roller.rewards(&rollouts, now), &rollouts.lengths);
        let kl = self.settings.kl;
        let rewards = token_rewards(&old, reference.transpose()?, kl, &scores, lengths)?;
        let Settings { gamma, lambda, .. } = self.settings;
        let own = values(&expected)?;
        let both = estimates(&rewards, &own, lengths, [gamma, lambda]);
        let table = |numbers: &Vec<f32>| {
            Tensor::f_from_slice(numbers)?.f_view(old.size().as_slice())?.f_to_device(old.device())
        };
        let [advantages, returns] = [table(&both[0])?, table(&both[1])?];
        self.prepared = Some(Prepared { rollouts, old, values: expected, advantages, returns });
        Ok(())
    }

    fn passes(&self) -> u32 {
        self.settings.epochs * self.settings.minibatches
    }

    fn losses(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<Tensor, LabError> {
        let absent = || LabError::Method("no roll-outs were made for this step".to_owned());
        let prepared = self.prepared.as_ref().ok_or_else(absent)?;
        let (rows, parts) = (prepared.rollouts.lengths.len(), self.settings.minibatches);
        let part = (parts > 1).then(|| prepared.select(&part(rows, parts, &self.streams, now)));
        let part = part.transpose()?;
        let Prepared { rollouts, old, values, advantages, returns } =
            part.as_ref().unwrap_or(prepared);
        let critic = self.critic.as_mut().ok_or_else(absent)?;
        critic.learn(rollouts, values, returns, now)?;
        let own = rollouts.log_probabilities(network)?;
        let clip = Some((self.settings.clip, self.settings.clip));
        let weights = Aggregate::TokenMean.weights(&rollouts.mask, self.roller.longest())?;
        let losses = surrogate(&own, old, advantages, clip)?.f_mul(&weights)?;
        Ok(losses.f_sum_dim_intlist(1, false, losses.kind())?)
    }

    fn facts(&self) -> Facts {
        self.roller.facts()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.roller.state(state)?;
        self.critic.as_mut().map_or(Ok(()), |critic| critic.state(state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial;

    #[test]
    fn divergence_costs_every_token_and_the_last_one_earns_the_score() {
        let old = Tensor::from_slice(&[-1.0_f32, -2.0, -3.0, -1.0]).view([2, 2]);
        let reference = Tensor::from_slice(&[-1.5_f32, -1.0, -3.0, -2.0]).view([2, 2]);
        let both = token_rewards(&old, Some(reference), 0.5, &[1.0, 2.0], &[2, 1]).unwrap();
        assert_eq!(both, [-0.25, 1.5, 2.0, -0.5]);
    }

    #[test]
    fn the_parts_of_a_pass_are_all_rows_once_and_the_next_pass_deals_anew() {
        let now = trial::step_info(0, 1);
        let dealt = |pass| part(10, 4, &trial::streams(), &StepInfo { pass, ..now });
        let [mut rows, others] =
            [0..4, 4..8].map(|passes| passes.flat_map(dealt).collect::<Vec<_>>());
        assert_ne!(rows, others);
        rows.sort_unstable();
        assert_eq!(rows, Vec::from_iter(0..10));
    }

    #[test]
    fn estimates_follow_each_response_to_its_own_end() {
        let rewards = [0.0, 0.0, 1.0, 9.0, 0.5, 9.0, 9.0, 9.0];
        let values = [0.5, 0.6, 0.7, 9.0, 0.2, 9.0, 9.0, 9.0];
        let [advantages, returns] = estimates(&rewards, &values, &[3, 1], [0.99, 0.95]);
        for (found, expected) in returns.iter().zip([0.946_829, 0.975_150, 1.0, 0.0, 0.5]) {
            assert!((found - expected).abs() < 1e-6, "{found}");
        }
        // Of 0.446829, 0.375150, 0.3 and 0.3: mean 0.355495, deviation 0.070446.
        for (found, expected) in advantages.iter().zip([1.296_5, 0.279_0, -0.787_8, 0.0, -0.787_8])
        {
            assert!((found - expected).abs() < 1e-3, "{found} instead of {expected}");
        }
    }
}
