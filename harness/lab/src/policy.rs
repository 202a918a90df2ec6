//! The policy-gradient objective that methods of learning from reward share: roll-outs of a batch
//! of prompts, advantages within each prompt's group, a clipped surrogate over tokens.

use ledger::settings;
use ledger::settings::Range;
use tch::Tensor;

use crate::LabError;
use crate::advantage::{AdvantageSettings, Divergence, surrogate};
use crate::network::Network;
use crate::rollout::{Roller, RolloutSettings, Rollouts, column};
use crate::seat::{Batch, Facts, Objective, StepInfo, TaskInfo};
use crate::split::Split;

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
    /// Log-probabilities under the policy that sampled, N × R: those of the first pass.
    old: Option<Tensor>,
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
        let aggregate = self.settings.advantage.aggregate;
        self.prepared = Some(Prepared {
            advantages: column(&groups.concat(), &rollouts.mask)?,
            weights: aggregate.weights(&rollouts.mask, self.roller.longest())?,
            reference,
            old: None,
            rollouts,
        });
        Ok(())
    }

    fn passes(&self) -> u32 {
        self.settings.passes
    }

    fn losses(&mut self, network: &Network, _: &Batch, _: &StepInfo) -> Result<Tensor, LabError> {
        let Some(prepared) = &mut self.prepared else {
            return Err(LabError::Method("no roll-outs were made for this step".to_owned()));
        };
        let own = prepared.rollouts.log_probabilities(network)?;
        let old = prepared.old.get_or_insert_with(|| own.detach());
        let PolicySettings { clip, clip_low, clip_high, beta, divergence, .. } = self.settings;
        let clip = clip.then_some((clip_low, clip_high));
        let mut losses = surrogate(&own, old, &prepared.advantages, clip)?;
        if let Some(reference) = &prepared.reference {
            losses = losses.f_add(&divergence.of(&own, reference)?.f_mul_scalar(beta)?)?;
        }
        let responses = self.roller.responses() as i64;
        Ok(losses
            .f_mul(&prepared.weights)?
            .f_sum_dim_intlist(1, false, losses.kind())?
            .f_view([-1, responses])?
            .f_mean_dim(1, false, losses.kind())?)
    }

    fn scores(&self) -> Option<&[f64]> {
        Some(&self.scores)
    }

    fn facts(&self) -> Facts {
        let [silent, all] = self.silent;
        let mut facts = self.roller.facts();
        facts
            .insert("groups_without_signal".to_owned(), (silent as f64 / all.max(1) as f64).into());
        facts
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
