//! Proximal updates with a critic: an advantage for every token of a response, and several passes over what was sampled.
//!
//! The last token of a response earns its score, every token costs `kl·(log π_old − log π_ref)` (k1). A critic `V` gives
//! `δ_t = r_t + γV_{t+1} − V_t`, `A_t = δ_t + γλA_{t+1}`, returns `A + V`; advantages are whitened over the tokens of the
//! batch. Each pass updates on `−min(ρA, clip(ρ, 1 ± clip)A)`, averaged over tokens, and the critic beside it.
//!
//! Sources: Schulman et al., arXiv:1707.06347; huggingface/trl@f2cd57710 `ppo_trainer.py`; allenai/open-instruct@e6c3044a.

use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::Streams;
use ledger::{choice, settings};
use tch::{TchError, Tensor};

use crate::LabError;
use crate::advantage::{Aggregate, gae, k1, surrogate, whiten};
use crate::critic::{Critic, CriticSettings};
use crate::network::{Network, values};
use crate::rollout::{Reward, Roller, RolloutSettings, Rollouts};
use crate::seat::{Batch, Costs, Facts, Objective, StepInfo, TaskInfo};
use crate::split::Split;
use crate::state::State;

settings! {
    /// Settings of proximal updates.
    pub struct ProximalSettings {
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
        use critic: CriticSettings;
    }
}

choice! {
    /// By what rule a policy learns from reward.
    pub enum PolicyRule {
        /// Proximal updates, with a critic's advantage for every token.
        Ppo = "ppo",
        /// Advantages relative to the other responses to the prompt, one of a response.
        Group = "group",
    }
}

settings! {
    /// Settings of a stage that learns from reward, where it is one of several.
    pub struct RuleSettings {
        /// By what rule the policy learns from reward.
        policy_rule: PolicyRule = PolicyRule::Ppo, from "paper; group: Tülu 3.1's";
        /// How far the ratio may go from 1, of `ppo`.
        ratio_clip: f64 = 0.2, range Range::of(0.0..), from "tulu3.md; trl";
        /// λ of the advantage estimates, of `ppo`.
        gae_lambda: f64 = 0.95, range Range::of(0.0..=1.0), from "tulu3.md; trl";
        /// Factor on the policy's rate for that of its critic, of `ppo`.
        critic_rate: f64 = 1.0, range Range::above(0.0), from "tulu3.md: one rate for both";
        /// How far a value may move from the one at sampling before its loss stops improving, of `ppo`.
        value_clip: f64 = 0.2, range Range::of(0.0..), from "tulu3.md; trl";
        refuse Self::idle;
    }
}

impl RuleSettings {
    fn idle(&self) -> Result<(), SettingError> {
        let idle = ["ratio_clip", "gae_lambda", "critic_rate", "value_clip"];
        let idle = idle.map(|name| (name, self.policy_rule != PolicyRule::Ppo, "\"ppo\""));
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    /// Proximal updates in so many passes, with this weight of the divergence, by a critic beside a policy of rate `lr`.
    #[must_use]
    pub fn proximal(&self, passes: u32, kl: f64, lr: f64) -> ProximalSettings {
        let Self { ratio_clip, gae_lambda, critic_rate, value_clip, .. } = *self;
        ProximalSettings {
            lambda: gae_lambda,
            clip: ratio_clip,
            kl,
            epochs: passes,
            critic: CriticSettings { critic_lr: critic_rate * lr, value_clip },
            ..ProximalSettings::default()
        }
    }
}

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

/// The updates, on responses that somebody else has sampled and scored.
#[derive(Debug)]
pub struct Proximal {
    settings: ProximalSettings,
    streams: Streams,
    critic: Option<Critic>,
    reference: Option<Network>,
    prepared: Option<Prepared>,
}

impl Proximal {
    /// Without a critic yet.
    #[must_use]
    pub fn new(settings: ProximalSettings, streams: &Streams) -> Self {
        let streams = streams.clone();
        Self { settings, streams, critic: None, reference: None, prepared: None }
    }

    /// Begins with the critic of a network that scores texts, or of the policy itself, and with the divergence from
    /// the policy as it is.
    ///
    /// # Errors
    /// When a network is no transformer.
    pub fn begin(&mut self, policy: &Network, scorer: Option<Network>) -> Result<(), LabError> {
        self.critic = Some(match scorer {
            Some(scorer) => Critic::of(&self.settings.critic, scorer)?,
            None => Critic::new(&self.settings.critic, policy)?,
        });
        self.reference = (self.settings.kl > 0.0).then(|| policy.duplicate());
        Ok(())
    }

    /// Takes in the responses of a step and their scores, one each.
    ///
    /// # Errors
    /// When it has not begun, or libtorch refuses an operation.
    pub fn prepare(
        &mut self,
        network: &Network,
        rollouts: Rollouts,
        scores: &[f64],
    ) -> Result<(), LabError> {
        let Some(critic) = &self.critic else {
            return Err(LabError::Method("there is no critic yet".to_owned()));
        };
        let old = rollouts.log_probabilities(network)?;
        let expected = critic.values(&rollouts)?;
        let reference = self.reference.as_ref().map(|start| rollouts.log_probabilities(start));
        let lengths = &rollouts.lengths;
        let ProximalSettings { gamma, lambda, kl, .. } = self.settings;
        let rewards = token_rewards(&old, reference.transpose()?, kl, scores, lengths)?;
        let own = values(&expected)?;
        let both = estimates(&rewards, &own, lengths, [gamma, lambda]);
        let table = |numbers: &Vec<f32>| {
            Tensor::f_from_slice(numbers)?.f_view(old.size().as_slice())?.f_to_device(old.device())
        };
        let [advantages, returns] = [table(&both[0])?, table(&both[1])?];
        self.prepared = Some(Prepared { rollouts, old, values: expected, advantages, returns });
        Ok(())
    }

    /// Updates on each batch.
    #[must_use]
    pub fn passes(&self) -> u32 {
        self.settings.epochs * self.settings.minibatches
    }

    /// The losses of the responses of a pass, weighted so that their mean is that over tokens; its critic learns beside.
    ///
    /// # Errors
    /// When nothing was prepared, or libtorch refuses an operation.
    pub fn losses(&mut self, network: &Network, now: &StepInfo) -> Result<Tensor, LabError> {
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
        let longest = usize::try_from(rollouts.mask.size2()?.1).unwrap_or(1);
        let weights = Aggregate::TokenMean.weights(&rollouts.mask, longest)?;
        let losses = surrogate(&own, old, advantages, clip)?.f_mul(&weights)?;
        Ok(losses.f_sum_dim_intlist(1, false, losses.kind())?)
    }

    /// The critic and what the divergence is from.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        Critic::state_of(&mut self.critic, &self.settings.critic, state)?;
        state.network("reference", &mut self.reference)
    }
}

/// Proximal updates on what a policy samples and a verifier rewards.
#[derive(Debug)]
pub struct ProximalPolicy {
    roller: Roller,
    proximal: Proximal,
}

impl ProximalPolicy {
    /// For a task with a verifier.
    ///
    /// # Errors
    /// When the workload verifies nothing.
    pub fn new(
        settings: ProximalSettings,
        rollouts: &RolloutSettings,
        task: &TaskInfo<'_>,
    ) -> Result<Self, LabError> {
        let roller = Roller::new(rollouts, task)?;
        Ok(Self { roller, proximal: Proximal::new(settings, task.streams) })
    }

    /// The same, with rewards of a method's own in place of 1 for a right response.
    #[must_use]
    pub fn rewarded(mut self, reward: Box<dyn Reward>) -> Self {
        self.roller = self.roller.rewarded(reward);
        self
    }

    /// Begins as [`Proximal::begin`].
    ///
    /// # Errors
    /// As there.
    pub fn begin(&mut self, policy: &Network, scorer: Option<Network>) -> Result<(), LabError> {
        self.proximal.begin(policy, scorer)
    }
}

impl Objective for ProximalPolicy {
    fn start(&mut self, network: &Network, _: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.proximal.begin(network, None)?;
        Ok(None)
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let step = u32::try_from(now.step).unwrap_or(u32::MAX);
        let rollouts = self.roller.sample(network, batch, step)?;
        let scores = self.roller.rewards(&rollouts, now);
        self.proximal.prepare(network, rollouts, &scores)
    }

    fn passes(&self) -> u32 {
        self.proximal.passes()
    }

    fn losses(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<Tensor, LabError> {
        self.proximal.losses(network, now)
    }

    fn costs(&self) -> Costs {
        self.roller.costs()
    }

    fn facts(&self) -> Facts {
        self.roller.facts()
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.roller.state(state)?;
        self.proximal.state(state)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranker::{Lesson, Ranker};
    use crate::trial;
    use ledger::settings::Values;
    use serde_json::json;

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

    /// Responses of one and two tokens to two prompts of the bandit.
    fn rollouts() -> Rollouts {
        let prompts = Tensor::from_slice(&[trial::prompt(0), trial::prompt(1)]).view([2, 1]);
        Rollouts::new(&prompts, &[vec![trial::END], vec![trial::prompt(2), trial::END]]).unwrap()
    }

    fn table(tensor: &Tensor) -> Vec<f32> {
        values(&tensor.detach()).unwrap()
    }

    #[test]
    fn a_critic_of_a_ranker_expects_at_the_last_token_what_the_ranker_says_of_the_text_before_it() {
        let bandit = trial::bandit().unwrap();
        let ranker = Ranker::new(&bandit.network).unwrap();
        let pairs: Vec<[Vec<i64>; 2]> = (0..3)
            .map(|id| [vec![trial::prompt(id), 2], vec![trial::prompt(id), trial::END]])
            .collect();
        let lesson = Lesson { steps: 30, lr: 0.01 };
        ranker.learn("ranker", &pairs, lesson, &trial::streams()).unwrap();
        let rollouts = rollouts();
        let texts = [vec![trial::prompt(0)], vec![trial::prompt(1), trial::prompt(2)]];
        let texts: Vec<&[i64]> = texts.iter().map(Vec::as_slice).collect();
        let expected = ranker.numbers(&texts).unwrap();
        let critic = Critic::of(&CriticSettings::default(), ranker.into_network()).unwrap();
        let found = table(&critic.values(&rollouts).unwrap());
        for (found, expected) in [found[0], found[3]].into_iter().zip(expected) {
            assert!((f64::from(found) - expected).abs() < 1e-5, "{found} instead of {expected}");
            assert!(found.abs() > 1e-3, "the ranker has no opinion: {found}");
        }
    }

    #[test]
    fn scores_reach_every_token_of_their_response_through_the_critic_and_are_whitened() {
        let bandit = trial::bandit().unwrap();
        let settings = ProximalSettings { kl: 0.0, lambda: 0.5, ..ProximalSettings::default() };
        let mut proximal = Proximal::new(settings, &bandit.streams);
        let refused = proximal.prepare(&bandit.network, rollouts(), &[1.0, 0.0]).unwrap_err();
        assert_eq!(refused.to_string(), "there is no critic yet");
        proximal.begin(&bandit.network, None).unwrap();
        proximal.prepare(&bandit.network, rollouts(), &[1.0, -2.0]).unwrap();
        let Prepared { advantages, returns, .. } = proximal.prepared.as_ref().unwrap();
        // Values are 0: of scores 1 and −2 the tokens have 1, and half of −2 and −2: mean −2/3, variance 7/3.
        let deviation = (7.0_f32 / 3.0).sqrt();
        let expected = [5.0 / 3.0, 0.0, -1.0 / 3.0, -4.0 / 3.0].map(|x| x / deviation);
        for (found, expected) in table(advantages).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
        }
        assert_eq!(table(returns), [1.0, 0.0, -1.0, -2.0]);
        // At the policy that sampled, the ratio is 1: a loss is −A over its tokens, by the mean of tokens.
        let now = trial::step_info(0, 10);
        let losses = table(&proximal.losses(&bandit.network, &now).unwrap());
        for (found, expected) in losses.iter().zip([-10.0 / 9.0, 10.0 / 9.0]) {
            assert!((found - expected / deviation).abs() < 1e-5, "{found}");
        }
        // The critic has moved towards its returns beside: from 0 they are off by 1, 1 and 4 squared.
        let values = table(&proximal.critic.as_ref().unwrap().values(&rollouts()).unwrap());
        let apart = [values[0] - 1.0, values[2] + 1.0, values[3] + 2.0];
        assert!(apart.iter().map(|x| x * x).sum::<f32>() < 6.0, "{values:?}");
        assert_eq!(proximal.passes(), 4);
    }

    #[test]
    fn divergence_is_from_the_policy_as_it_was_at_the_beginning() {
        let bandit = trial::bandit().unwrap();
        let settings = ProximalSettings { kl: 1.0, ..ProximalSettings::default() };
        let mut proximal = Proximal::new(settings, &bandit.streams);
        proximal.begin(&bandit.network, None).unwrap();
        let returns = |proximal: &mut Proximal| {
            proximal.prepare(&bandit.network, rollouts(), &[0.0, 0.0]).unwrap();
            table(&proximal.prepared.as_ref().unwrap().returns)
        };
        assert!(returns(&mut proximal).iter().all(|value| value.abs() < 1e-6));
        let [_, bias] = crate::models::gpt::Gpt::of(&bandit.network).unwrap().head();
        let pushed = Tensor::from_slice(&[2.0_f32, 0.0, 0.0, 0.0, 0.0]);
        let _ = tch::no_grad(|| bandit.network.at(bias).shallow_clone().f_add_(&pushed)).unwrap();
        assert!(returns(&mut proximal).iter().any(|value| value.abs() > 0.1));
    }

    #[test]
    fn what_the_other_rule_reads_is_refused() {
        let of = |json: serde_json::Value| {
            let values: Values = serde_json::from_value(json).unwrap();
            RuleSettings::resolve(&values)
        };
        assert!(
            of(json!({"value_clip": 0.5})).is_ok() && of(json!({"policy_rule": "group"})).is_ok()
        );
        let refused =
            of(json!({"policy_rule": "group", "value_clip": 0.5})).unwrap_err().to_string();
        assert_eq!(refused, "setting \"value_clip\" is of \"ppo\" alone: leave it out");
    }
}
