//! The policy-gradient objective that methods of learning from reward share: roll-outs of a batch
//! of prompts, advantages within each prompt's group, a clipped surrogate over tokens.

use ledger::settings;
use ledger::settings::Range;
use tch::Tensor;

use crate::LabError;
use crate::advantage::{AdvantageSettings, Aggregate, Divergence, surrogate};
use crate::network::Network;
use crate::rollout::{Reward, Roller, RolloutSettings, Rollouts, column};
use crate::seat::{Batch, Costs, Facts, Objective, StepInfo, TaskInfo};
use crate::split::Split;
use crate::state::State;

settings! {
    /// Settings of the policy gradient.
    pub struct PolicySettings {
        /// Whether the ratio to the policy that sampled is clipped.
        clip: bool = true, from "arXiv:2402.03300, eq. 3";
        /// How far below 1 the ratio may go.
        clip_low: f64 = 0.2, range Range::of(0.0..=1.0), from "trl and verl";
        /// How far above 1 the ratio may go.
        clip_high: f64 = 0.2, range Range::of(0.0..), from "trl and verl; DAPO: 0.28";
        /// β: weight of the divergence from the policy at the start.
        beta: f64 = 0.0, range Range::of(0.0..), from "trl; verl in DUMP: 0.001";
        /// What stands for that divergence in the loss.
        divergence: Divergence = Divergence::K3, from "arXiv:2402.03300, eq. 4; trl and verl";
        /// Updates on each batch of roll-outs.
        passes: u32 = 1, range Range::of(1.0..=64.0), from "trl num_iterations";
        /// Updates of a pass, each on as many of the batch's prompts as the others.
        minibatches: u32 = 1, range Range::of(1.0..=64.0), from "trl; verl in DUMP: 128 prompts, 32 at a time";
        use advantage: AdvantageSettings;
        use rollouts: RolloutSettings;
    }
}

/// What a step has sampled.
#[derive(Debug)]
struct Prepared {
    rollouts: Rollouts,
    /// One per response, N × 1.
    advantages: Tensor,
    /// Weights of token losses, N × R.
    weights: Tensor,
    /// Log-probabilities under the policy at the start, N × R.
    reference: Option<Tensor>,
    /// Log-probabilities under the policy that sampled, N × R: where a pass is one update, those of
    /// the first.
    old: Option<Tensor>,
}

impl Prepared {
    /// The responses at `places` alone, weighed as a batch of their own.
    fn select(
        &self,
        places: &[usize],
        aggregate: Aggregate,
        longest: usize,
    ) -> Result<Self, LabError> {
        let rows: Vec<i64> = places.iter().map(|place| *place as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.advantages.device())?;
        let pick = |table: &Tensor| table.f_index_select(0, &rows);
        let rollouts = self.rollouts.select(places)?;
        Ok(Self {
            advantages: pick(&self.advantages)?,
            weights: aggregate.weights(&rollouts.mask, longest)?,
            reference: self.reference.as_ref().map(pick).transpose()?,
            old: self.old.as_ref().map(pick).transpose()?,
            rollouts,
        })
    }
}

/// Policy gradient with advantages relative to a prompt's group of responses.
#[derive(Debug)]
pub struct PolicyGradient {
    settings: PolicySettings,
    roller: Roller,
    reference: Option<Network>,
    prepared: Option<Prepared>,
    /// Mean |advantage| of each prompt of the last step.
    scores: Vec<f64>,
    /// Groups whose rewards were all the same, and all groups.
    silent: [u64; 2],
}

impl PolicyGradient {
    /// For a task with a verifier.
    ///
    /// # Errors
    /// When the workload verifies nothing.
    pub fn new(settings: PolicySettings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let roller = Roller::new(&settings.rollouts, task)?;
        Ok(Self {
            settings,
            roller,
            reference: None,
            prepared: None,
            scores: Vec::new(),
            silent: [0; 2],
        })
    }

    /// The same, with rewards of a method's own in place of 1 for a right response.
    #[must_use]
    pub fn rewarded(mut self, reward: Box<dyn Reward>) -> Self {
        self.roller = self.roller.rewarded(reward);
        self
    }

    /// What the last step has sampled, or what was kept of it.
    #[must_use]
    pub fn rollouts(&self) -> Option<&Rollouts> {
        self.prepared.as_ref().map(|prepared| &prepared.rollouts)
    }

    /// Leaves the roll-outs of all prompts of the step but those at `prompts` (ascending) out of its losses,
    /// which are then of these prompts alone, as if no other had been asked.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn keep(&mut self, prompts: &[usize]) -> Result<(), LabError> {
        let responses = self.roller.responses();
        let Some(prepared) = self.prepared.take() else { return Ok(()) };
        if prompts.len() * responses == prepared.rollouts.lengths.len() {
            self.prepared = Some(prepared);
        } else if !prompts.is_empty() {
            let places = prompts.iter().flat_map(|prompt| {
                let first = prompt * responses;
                first..first + responses
            });
            let places: Vec<usize> = places.collect();
            let aggregate = self.settings.advantage.aggregate;
            self.prepared = Some(prepared.select(&places, aggregate, self.roller.longest())?);
        }
        Ok(())
    }
}

impl Objective for PolicyGradient {
    fn start(&mut self, network: &Network, _: &Split) -> Result<Option<Vec<u32>>, LabError> {
        self.reference = (self.settings.beta > 0.0).then(|| network.duplicate());
        Ok(None)
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let (prompts, parts) = (batch.ids.len(), self.settings.minibatches);
        if prompts < parts as usize {
            let reason =
                format!("{parts} mini-batches of {prompts} prompts: set fewer, or a larger batch");
            return Err(LabError::Method(reason));
        }
        let step = u32::try_from(now.step).unwrap_or(u32::MAX);
        let rollouts = self.roller.sample(network, batch, step)?;
        let rewards = self.roller.rewards(&rollouts, now);
        let norm = self.settings.advantage.norm();
        let groups = rewards.chunks(self.roller.responses()).map(|group| norm.advantages(group));
        let groups: Vec<Vec<f64>> = groups.collect();
        self.scores = groups.iter().map(|group| mean_size(group)).collect();
        let silent = self.scores.iter().filter(|score| **score == 0.0).count();
        self.silent[0] += silent as u64;
        self.silent[1] += groups.len() as u64;
        let reference = match &self.reference {
            Some(reference) => Some(rollouts.log_probabilities(reference)?),
            None => None,
        };
        // Later mini-batches are of a policy that earlier ones have moved.
        let old = (parts > 1).then(|| rollouts.log_probabilities(network)).transpose()?;
        let aggregate = self.settings.advantage.aggregate;
        self.prepared = Some(Prepared {
            advantages: column(&groups.concat(), &rollouts.mask)?,
            weights: aggregate.weights(&rollouts.mask, self.roller.longest())?,
            reference,
            old,
            rollouts,
        });
        Ok(())
    }

    fn passes(&self) -> u32 {
        self.settings.passes * self.settings.minibatches
    }

    fn losses(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<Tensor, LabError> {
        let (responses, longest) = (self.roller.responses(), self.roller.longest());
        let Some(prepared) = &mut self.prepared else {
            return Err(LabError::Method("no roll-outs were made for this step".to_owned()));
        };
        let parts = self.settings.minibatches as usize;
        let mut part = if parts > 1 {
            let (prompts, at) =
                (prepared.rollouts.lengths.len() / responses, now.pass as usize % parts);
            let [from, to] = [at, at + 1].map(|part| part * prompts / parts * responses);
            let places: Vec<usize> = (from..to).collect();
            Some(prepared.select(&places, self.settings.advantage.aggregate, longest)?)
        } else {
            None
        };
        let prepared = part.as_mut().unwrap_or(prepared);
        let own = prepared.rollouts.log_probabilities(network)?;
        let old = prepared.old.get_or_insert_with(|| own.detach());
        let PolicySettings { clip, clip_low, clip_high, beta, divergence, .. } = self.settings;
        let clip = clip.then_some((clip_low, clip_high));
        let mut losses = surrogate(&own, old, &prepared.advantages, clip)?;
        if let Some(reference) = &prepared.reference {
            losses = losses.f_add(&divergence.of(&own, reference)?.f_mul_scalar(beta)?)?;
        }
        Ok(losses
            .f_mul(&prepared.weights)?
            .f_sum_dim_intlist(1, false, losses.kind())?
            .f_view([-1, responses as i64])?
            .f_mean_dim(1, false, losses.kind())?)
    }

    fn scores(&self) -> Option<&[f64]> {
        Some(&self.scores)
    }

    fn costs(&self) -> Costs {
        self.roller.costs()
    }

    fn facts(&self) -> Facts {
        let [silent, all] = self.silent;
        let mut facts = self.roller.facts();
        facts
            .insert("groups_without_signal".to_owned(), (silent as f64 / all.max(1) as f64).into());
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.roller.state(state)?;
        // Where it reinforces what a run has learned before, its start is no start of the run.
        state.network("reference", &mut self.reference)?;
        state.of("silent", &mut self.silent)
    }
}

fn mean_size(advantages: &[f64]) -> f64 {
    advantages.iter().map(|advantage| advantage.abs()).sum::<f64>() / advantages.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial::{self, Bandit};

    fn objective(bandit: &Bandit, beta: f64, responses: u32) -> PolicyGradient {
        let rollouts = RolloutSettings { responses, ..RolloutSettings::default() };
        let settings = PolicySettings { beta, rollouts, ..PolicySettings::default() };
        PolicyGradient::new(settings, &bandit.task()).unwrap()
    }

    /// Three prompts, so that groups of eight are not as many as they are long.
    fn sampled(bandit: &Bandit, objective: &mut PolicyGradient, step: u64) -> (Batch, StepInfo) {
        let batch = bandit.prompts.batch(&[1, 3, 8]).unwrap();
        let now = trial::step_info(step, 100);
        tch::no_grad(|| objective.before_step(&bandit.network, &batch, &now)).unwrap();
        (batch, now)
    }

    #[test]
    fn a_prompt_is_scored_by_the_mean_size_of_its_own_group_of_responses() {
        let bandit = trial::bandit().unwrap();
        let mut objective = objective(&bandit, 0.0, 8);
        let mut mixed = 0;
        for step in 0..10 {
            sampled(&bandit, &mut objective, step);
            let outcomes = &objective.prepared.as_ref().unwrap().rollouts.outcomes;
            let scores = objective.scores().unwrap();
            assert_eq!((scores.len(), outcomes.len()), (3, 24));
            for (score, group) in scores.iter().zip(outcomes.chunks(8)) {
                let k = group.iter().filter(|outcome| outcome.correct).count() as f64;
                // Of k ones among n numbers: 2k(n − k)/n² over the deviation √(k(n − k)/(n(n − 1))).
                let deviation = (k * (8.0 - k) / 56.0).sqrt();
                let expected = k * (8.0 - k) / 32.0 / (deviation + 1e-6);
                assert!((score - expected).abs() < 1e-9, "{k}: {score} instead of {expected}");
                mixed += u32::from(k > 0.0 && k < 8.0);
            }
        }
        assert!(mixed > 5, "{mixed}");
    }

    #[test]
    fn a_right_response_has_an_advantage_above_zero_and_a_wrong_one_below_in_its_own_group() {
        let bandit = trial::bandit().unwrap();
        let mut objective = objective(&bandit, 0.0, 8);
        for step in 0..10 {
            let (batch, now) = sampled(&bandit, &mut objective, step);
            let losses = objective.losses(&bandit.network, &batch, &now).unwrap();
            assert_eq!(losses.size(), [3]);
            let Prepared { rollouts, advantages, .. } = objective.prepared.as_ref().unwrap();
            let groups = rollouts.outcomes.chunks(8).zip(objective.scores().unwrap());
            let expected = groups.flat_map(|(group, score)| {
                let sign = |right: bool| if right { 1.0 } else { -1.0 };
                group
                    .iter()
                    .map(move |outcome| if *score > 0.0 { sign(outcome.correct) } else { 0.0 })
            });
            let signs = values(&advantages.sign()).unwrap();
            assert_eq!(signs, expected.collect::<Vec<f32>>());
        }
    }

    #[test]
    fn what_is_kept_of_a_step_has_the_losses_that_it_had_among_all() {
        let bandit = trial::bandit().unwrap();
        let mut objective = objective(&bandit, 0.0, 8);
        objective.settings.advantage.aggregate = Aggregate::SequenceMean;
        let (batch, now) = sampled(&bandit, &mut objective, 0);
        let all = values(&objective.losses(&bandit.network, &batch, &now).unwrap()).unwrap();
        let lengths = objective.rollouts().unwrap().lengths.clone();
        objective.keep(&[0, 1, 2]).unwrap();
        assert_eq!(values(&objective.losses(&bandit.network, &batch, &now).unwrap()).unwrap(), all);
        objective.keep(&[0, 2]).unwrap();
        let kept = values(&objective.losses(&bandit.network, &batch, &now).unwrap()).unwrap();
        assert_eq!(objective.rollouts().unwrap().lengths, [&lengths[..8], &lengths[16..]].concat());
        for (found, expected) in kept.iter().zip([all[0], all[2]]) {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
        objective.keep(&[]).unwrap();
        assert!(objective.losses(&bandit.network, &batch, &now).is_err());
    }

    #[test]
    fn a_reward_of_its_own_takes_the_place_of_the_verifiers_word() {
        /// Every token counts.
        struct Long;

        impl Reward for Long {
            fn score(&self, _: &StepInfo, _: crate::seat::Outcome, tokens: usize) -> f64 {
                tokens as f64
            }
        }

        let bandit = trial::bandit().unwrap();
        let mut objective = objective(&bandit, 0.0, 8).rewarded(Box::new(Long));
        sampled(&bandit, &mut objective, 0);
        let Prepared { rollouts, advantages, .. } = objective.prepared.as_ref().unwrap();
        let signs = values(&advantages.sign()).unwrap();
        for (group, signs) in rollouts.lengths.chunks(8).zip(signs.chunks(8)) {
            let mean = group.iter().sum::<usize>() as f64 / 8.0;
            for (length, sign) in group.iter().zip(signs) {
                let above = *length as f64 - mean;
                assert_eq!(f64::from(*sign), if above == 0.0 { 0.0 } else { above.signum() });
            }
        }
    }

    #[test]
    fn mini_batches_are_the_prompts_of_a_batch_in_parts_against_the_policy_that_sampled() {
        let bandit = trial::bandit().unwrap();
        let with = |minibatches| {
            // So many that hardly a group is all right or all wrong.
            let rollouts = RolloutSettings { responses: 16, ..RolloutSettings::default() };
            // Weights that depend on no other prompt of the batch.
            let advantage = AdvantageSettings {
                aggregate: Aggregate::Constant,
                ..AdvantageSettings::default()
            };
            let settings =
                PolicySettings { minibatches, rollouts, advantage, ..PolicySettings::default() };
            PolicyGradient::new(PolicySettings { clip: false, ..settings }, &bandit.task()).unwrap()
        };
        let (mut whole, mut parts) = (with(1), with(3));
        let (batch, now) = sampled(&bandit, &mut whole, 0);
        sampled(&bandit, &mut parts, 0);
        assert_eq!((whole.passes(), parts.passes()), (1, 3));
        let losses = |objective: &mut PolicyGradient, pass| {
            let now = StepInfo { pass, ..now };
            values(&objective.losses(&bandit.network, &batch, &now).unwrap()).unwrap()
        };
        let all = losses(&mut whole, 0);
        assert!(all.iter().any(|loss| loss.abs() > 1e-3), "{all:?}");
        let joined =
            |parts: &mut PolicyGradient| [0, 1, 2].map(|pass| losses(parts, pass)).concat();
        let far = |one: &[f32], other: &[f32]| {
            one.iter().zip(other).any(|(one, other)| (one - other).abs() > 1e-5)
        };
        assert!(!far(&all, &joined(&mut parts)));
        // Tokens weigh as in a batch of the part's responses: on average one per response.
        let prepared = whole.prepared.as_ref().unwrap();
        let part = prepared.select(&(16..48).collect::<Vec<_>>(), Aggregate::TokenMean, 4).unwrap();
        assert!((part.weights.sum(tch::Kind::Float).double_value(&[]) - 32.0).abs() < 1e-3);
        // An update between them moves the ratio of what was sampled before it.
        let [_, bias] = crate::models::gpt::Gpt::of(&bandit.network).unwrap().head();
        let pushed = Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 0.0, 0.0]);
        let _ = tch::no_grad(|| bandit.network.at(bias).shallow_clone().f_add_(&pushed)).unwrap();
        assert!(far(&all, &joined(&mut parts)));
        let batch = bandit.prompts.batch(&[1, 3]).unwrap();
        let refused = parts.before_step(&bandit.network, &batch, &now).unwrap_err().to_string();
        assert!(refused.contains("3 mini-batches of 2 prompts"), "{refused}");
    }

    #[test]
    fn a_ratio_to_the_policy_that_sampled_counts_up_to_its_bounds_where_it_is_clipped() {
        let bandit = trial::bandit().unwrap();
        for (clip, minibatches) in [(true, 1), (false, 1), (true, 3), (false, 3)] {
            let advantage = AdvantageSettings {
                aggregate: Aggregate::SequenceMean,
                ..AdvantageSettings::default()
            };
            let settings = PolicySettings { clip, minibatches, advantage, ..Default::default() };
            let settings = PolicySettings { clip_low: 0.1, passes: 2, ..settings };
            let mut objective = PolicyGradient::new(settings, &bandit.task()).unwrap();
            assert_eq!(objective.passes(), 2 * minibatches);
            let (batch, now) = sampled(&bandit, &mut objective, 0);
            let all = |objective: &mut PolicyGradient| {
                let losses = (0..minibatches).map(|pass| {
                    let now = StepInfo { pass, ..now };
                    values(&objective.losses(&bandit.network, &batch, &now).unwrap()).unwrap()
                });
                losses.collect::<Vec<_>>().concat()
            };
            all(&mut objective);
            let [_, bias] = crate::models::gpt::Gpt::of(&bandit.network).unwrap().head();
            let push = |by: f32| {
                let by = Tensor::from_slice(&[0.0_f32, 0.0, by, 0.0, 0.0]);
                let _ =
                    tch::no_grad(|| bandit.network.at(bias).shallow_clone().f_add_(&by)).unwrap();
            };
            push(1.0);
            let losses = all(&mut objective);
            let Prepared { rollouts, advantages, weights, old, .. } =
                objective.prepared.as_ref().unwrap();
            let own = rollouts.log_probabilities(&bandit.network).unwrap();
            let advantages = advantages.expand_as(&own);
            let [own, old, advantages, weights] =
                [&own, old.as_ref().unwrap(), &advantages, weights].map(|of| values(of).unwrap());
            let (mut bounded, mut free) = ([0.0_f32; 3], [0.0_f32; 3]);
            for at in 0..own.len() {
                let (ratio, prompt) = ((own[at] - old[at]).exp(), at * 3 / own.len());
                let moved = ratio * advantages[at];
                bounded[prompt] -=
                    weights[at] * moved.min(ratio.clamp(0.9, 1.2) * advantages[at]) / 8.0;
                free[prompt] -= weights[at] * moved / 8.0;
            }
            let far = |one: &[f32], other: &[f32]| {
                one.iter().zip(other).any(|(one, other)| (one - other).abs() > 1e-4)
            };
            let (expected, other) = if clip { (bounded, free) } else { (free, bounded) };
            assert!(!far(&losses, &expected), "{clip} {minibatches}: {losses:?} {expected:?}");
            assert!(far(&losses, &other), "{clip} {minibatches}: {losses:?} {other:?}");
            push(-1.0);
        }
    }

    #[test]
    fn without_reward_the_divergence_brings_the_policy_back_to_where_it_started() {
        let bandit = trial::bandit().unwrap();
        // A single response is its own baseline: no advantage.
        let mut objective = objective(&bandit, 1.0, 1);
        objective.start(&bandit.network, &bandit.prompts).unwrap();
        let [_, bias] = crate::models::gpt::Gpt::of(&bandit.network).unwrap().head();
        let pushed = Tensor::from_slice(&[0.0_f32, 0.0, 2.0, 0.0, 0.0]);
        let _ = tch::no_grad(|| bandit.network.at(bias).shallow_clone().f_add_(&pushed)).unwrap();
        let raised = || bandit.network.at(bias).double_value(&[2]);
        for step in 0..20 {
            let before = raised();
            let (batch, now) = sampled(&bandit, &mut objective, step);
            let loss = objective.loss(&bandit.network, &batch, &now).unwrap();
            trial::descend(&bandit.network, &loss, 0.1).unwrap();
            assert!(step > 0 || raised() < before, "{} after {before}", raised());
        }
        assert!(raised() < 1.95, "{}", raised());
    }
}
