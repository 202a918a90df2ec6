//! Imitation, preferences by a verifier's word, and reinforcement by it, one after the other.
//!
//! Source: Lambert et al., arXiv:2411.15124 (Tülu 3); allenai/open-instruct@e6c3044a `tulu3.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::unit_f64;
use ledger::{choice, settings};
use serde_json::json;
use tch::Tensor;

use crate::LabError;
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::objectives::preference::{log_likelihoods, preferred};
use crate::orders::pool::Pool;
use crate::policy::{PolicyGradient, PolicySettings};
use crate::prompt::Prompt;
use crate::proximal::{PolicyRule, ProximalPolicy, RuleSettings};
use crate::ranker::{Lesson, Ranker};
use crate::rendering::Row;
use crate::rollout::{Reward, Rewarded, RolloutSettings, verified};
use crate::seat::{Batch, Costs, Facts, Objective, Outcome, StepInfo, TaskInfo};
use crate::side_info::{Tokens, Verifier};
use crate::split::Split;
use crate::stages::Shares;
use crate::state::State;
use crate::workshop::{Manner, Workshop, nothing, prompts};

choice! {
    /// What a critic begins as.
    pub enum ValueFrom {
        /// A reward model, which has learned the pairs of preferences in one pass from what imitation left.
        RewardModel = "reward-model",
        /// The policy, with a value of 0.
        Policy = "policy",
    }
}

settings! {
    /// Settings of the three stages.
    pub struct PostTrainingSettings {
        /// Parts of the steps that imitate.
        imitation: u32 = 6, range Range::of(0.0..=1000.0), from "assumed";
        /// Parts of the steps that learn preferences; 0 for none.
        preferences: u32 = 2, range Range::of(0.0..=1000.0), from "assumed";
        /// Parts of the steps that learn from reward; 0 for none.
        reinforcement: u32 = 2, range Range::of(0.0..=1000.0), from "assumed";
        /// Samples of a prompt that a pair is looked for in.
        samples: u32 = 2, range Range::of(2.0..=64.0), from "assumed: two";
        /// Share of the pairs that are told the wrong way round.
        noise: f64 = 0.1, range Range::of(0.0..=1.0), from "assumed";
        /// How much a margin of a mean token counts.
        preference_beta: f64 = 5.0, range Range::above(0.0), from "tulu3.md: dpo_norm, 8 B";
        /// Factor on the learning rate for preferences.
        preference_lr: f64 = 0.1, range Range::above(0.0), from "tulu3.md: 5e-7 behind 5e-6";
        /// Factor on the learning rate for reward.
        reinforcement_lr: f64 = 0.06, range Range::above(0.0), from "tulu3.md: 3e-7 behind 5e-6";
        /// Responses to a prompt in a step by reward.
        responses: u32 = 8, range Range::of(1.0..=64.0), from "as grpo; Tülu 3.1: 16";
        /// What a response is rewarded for.
        reward: Rewarded = Rewarded::Correct, from "tulu3.md";
        /// Weight of the divergence from what the stage before left: in the reward of `ppo` (k1), in the loss of `group` (k3).
        beta: f64 = 0.05, range Range::of(0.0..), from "tulu3.md: 8 B; 3.1: 0.01";
        /// Updates on each batch of roll-outs.
        passes: u32 = 4, range Range::of(1.0..=16.0), from "tulu3.md: 4 epochs; 3.1: 1";
        /// What the critic begins as, of `ppo`.
        value_from: ValueFrom = ValueFrom::RewardModel, from "tulu3.md";
        /// Factor on the learning rate for the reward model.
        reward_model_lr: f64 = 0.6, range Range::above(0.0), from "tulu3.md: 3e-6 behind 5e-6";
        use rule: RuleSettings;
        refuse Self::idle;
    }
}

impl PostTrainingSettings {
    /// Refuses what the other rule, or the other critic, reads.
    fn idle(&self) -> Result<(), SettingError> {
        let group = self.rule.policy_rule == PolicyRule::Group;
        let idle = [
            ("value_from", group, "policy_rule \"ppo\""),
            (
                "reward_model_lr",
                group || self.value_from == ValueFrom::Policy,
                "value_from \"reward-model\"",
            ),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }

    /// How reward is learned by a policy of rate `lr`.
    fn learner(&self, task: &TaskInfo<'_>, lr: f64) -> Result<Learner, LabError> {
        let Self { responses, reward, beta, passes, .. } = *self;
        let rollouts = RolloutSettings { responses, reward, ..RolloutSettings::default() };
        let verifiable = Box::new(Verifiable);
        Ok(match self.rule.policy_rule {
            PolicyRule::Ppo => {
                let settings = self.rule.proximal(passes, beta, lr);
                let policy = ProximalPolicy::new(settings, &rollouts, task)?;
                Learner::Proximal(policy.rewarded(verifiable))
            }
            PolicyRule::Group => {
                let settings = PolicySettings { beta, passes, rollouts, ..Default::default() };
                Learner::Group(PolicyGradient::new(settings, task)?.rewarded(verifiable))
            }
        })
    }

    /// Parts of the steps in order.
    #[must_use]
    pub fn parts(&self) -> [u32; 3] {
        [self.imitation, self.preferences, self.reinforcement]
    }
}

/// 10 for a right response, 0 for a wrong one, −10 for one that does not end or has no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verifiable;

impl Reward for Verifiable {
    fn score(&self, _: &StepInfo, outcome: Outcome, _: usize) -> f64 {
        match outcome {
            Outcome { well_formed: false, .. } => -10.0,
            Outcome { correct: true, .. } => 10.0,
            Outcome { .. } => 0.0,
        }
    }
}

/// −log σ(β·margin) of margins between mean log-probabilities of a token, from sums and numbers of tokens under policy and
/// reference, preferred ones first, 2N.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn normalised(
    policy: &Tensor,
    reference: &Tensor,
    counts: &Tensor,
    beta: f64,
) -> Result<Tensor, LabError> {
    let means = policy.f_sub(reference)?.f_div(counts)?;
    let n = means.size().first().copied().unwrap_or(0) / 2;
    Ok(preferred(&means.f_narrow(0, 0, n)?.f_sub(&means.f_narrow(0, n, n)?)?, beta)?)
}

/// What learns from reward.
#[derive(Debug)]
enum Learner {
    Proximal(ProximalPolicy),
    Group(PolicyGradient),
}

impl Learner {
    fn seat(&mut self) -> &mut dyn Objective {
        match self {
            Self::Proximal(policy) => policy,
            Self::Group(policy) => policy,
        }
    }

    fn passes(&self) -> u32 {
        match self {
            Self::Proximal(policy) => policy.passes(),
            Self::Group(policy) => policy.passes(),
        }
    }

    fn costs(&self) -> Costs {
        match self {
            Self::Proximal(policy) => policy.costs(),
            Self::Group(policy) => policy.costs(),
        }
    }

    fn facts(&self) -> Facts {
        match self {
            Self::Proximal(policy) => policy.facts(),
            Self::Group(policy) => policy.facts(),
        }
    }
}

/// Which stage a run is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Imitation,
    Preferences,
    Reinforcement,
}

const ALL: [Doing; 3] = [Doing::Imitation, Doing::Preferences, Doing::Reinforcement];

/// The objective.
pub struct PostTraining {
    settings: PostTrainingSettings,
    verifier: Arc<dyn Verifier>,
    end: i64,
    workshop: Workshop,
    pool: Pool,
    /// Stages that have steps, and where they begin.
    stages: Vec<Doing>,
    shares: Shares,
    doing: Doing,
    rehearsing: bool,
    policy: Learner,
    lr: f64,
    train: Option<Split>,
    questions: Vec<Prompt>,
    pairs: BTreeMap<u32, [Row; 2]>,
    reference: Option<Network>,
    facts: Facts,
}

impl PostTraining {
    /// For a task with a verifier and a policy of rate `lr`; it fills `pool`.
    ///
    /// # Errors
    /// When the workload verifies nothing, prompts are of different lengths, or no stage has steps.
    pub fn new(
        settings: PostTrainingSettings,
        task: &TaskInfo<'_>,
        pool: &Pool,
        lr: f64,
    ) -> Result<Self, LabError> {
        let (Some(verifier), Some(Tokens { end: Some(end), .. })) =
            (task.side.verifier.clone(), task.side.tokens)
        else {
            return Err(task.unfit("there is no verifier of responses"));
        };
        let parts = settings.parts();
        let stages = ALL.into_iter().zip(parts).filter(|(_, part)| *part > 0);
        let stages: Vec<Doing> = stages.map(|(doing, _)| doing).collect();
        let Some(&doing) = stages.first() else {
            return Err(task
                .unfit("imitation, preferences and reinforcement are all 0: nothing is trained"));
        };
        let policy = settings.learner(task, lr)?;
        Ok(Self {
            verifier,
            end,
            workshop: Workshop::new(task.streams),
            pool: pool.clone(),
            shares: Shares::new(parts.into_iter().filter(|part| *part > 0)),
            stages,
            doing,
            rehearsing: false,
            policy,
            lr,
            settings,
            train: None,
            questions: Vec::new(),
            pairs: BTreeMap::new(),
            reference: None,
            facts: Facts::new(),
        })
    }

    /// Makes what a stage needs before its order is asked.
    fn prepare(&mut self, doing: Doing, network: &Network) -> Result<(), LabError> {
        match doing {
            Doing::Imitation => Ok(()),
            Doing::Preferences => self.prefer(network),
            Doing::Reinforcement => {
                self.pool.fill(self.questions.iter().map(|question| question.id));
                self.reinforce(network)
            }
        }
    }

    /// Makes what learns from reward ready: a critic, where there is one, and what the divergence is from.
    fn reinforce(&mut self, network: &Network) -> Result<(), LabError> {
        let scorer = match (&self.policy, self.settings.value_from) {
            (Learner::Proximal(_), ValueFrom::RewardModel) => Some(self.reward_model(network)?),
            _ => None,
        };
        let Some(train) = &self.train else { return Ok(()) };
        match (&mut self.policy, scorer) {
            (Learner::Proximal(policy), Some(scorer)) => policy.begin(network, Some(scorer)),
            (policy, _) => policy.seat().start(network, train).map(|_| ()),
        }
    }

    /// A model of the pairs of preferences, from what imitation left; its word is worth nothing in the reward.
    fn reward_model(&mut self, network: &Network) -> Result<Network, LabError> {
        if self.pairs.is_empty() {
            self.pair_up("reward model", network)?;
        }
        let model = Ranker::new(self.reference.as_ref().unwrap_or(network))?;
        let pairs = self.pairs.values().map(|pair| pair.each_ref().map(|row| row.tokens.clone()));
        let pairs: Vec<[Vec<i64>; 2]> = pairs.collect();
        let lesson = Lesson::passes(1, pairs.len(), self.settings.reward_model_lr * self.lr);
        model.learn("reward model", &pairs, lesson, self.workshop.streams())?;
        let accuracy = model.accuracy(&pairs)?;
        let told = json!({
            "pairs": pairs.len(),
            "steps": lesson.steps,
            "accuracy": accuracy,
            "parameters_sha256": model.network().digest()?.to_string(),
        });
        self.facts.insert("reward_model".to_owned(), told);
        Ok(model.into_network())
    }

    /// Pairs to learn, and what their margins are held against.
    fn prefer(&mut self, network: &Network) -> Result<(), LabError> {
        self.pair_up("preferences", network)?;
        self.pool.fill(self.pairs.keys().copied());
        self.reference = Some(network.duplicate());
        Ok(())
    }

    /// Pairs of a right and a wrong sample of each prompt, some the wrong way round.
    fn pair_up(&mut self, stage: &str, network: &Network) -> Result<(), LabError> {
        let (longest, end) = (self.verifier.longest_response(), self.end);
        let manner = Manner { temperature: 1.0, samples: self.settings.samples, longest, end };
        let written = self.workshop.write("pairs", network, &self.questions, &manner)?;
        let (mut right, mut turned) = (0_u64, 0_u64);
        self.pairs.clear();
        for (question, texts) in self.questions.iter().zip(&written) {
            let is =
                |text: &&Vec<i64>| verified(self.verifier.as_ref(), question.id, text, end).correct;
            let won = texts.iter().find(is);
            let lost = texts.iter().find(|text| !is(text));
            right += texts.iter().filter(is).count() as u64;
            let Some((won, lost)) = won.zip(lost) else { continue };
            let mut pair = [won, lost].map(|text| Row::of(&question.tokens, text));
            let mut random = self.workshop.streams().keyed("noise", question.id, 0);
            if unit_f64(&mut random) < self.settings.noise {
                pair.reverse();
                turned += 1;
            }
            self.pairs.insert(question.id, pair);
        }
        if self.pairs.is_empty() {
            let count = self.questions.len();
            let reason = format!(
                "of {count} prompts, with {right} right samples, none has a right and a wrong one; raise \
                 samples, or imitate for longer"
            );
            return Err(nothing(stage, &reason));
        }
        self.facts.insert("pairs".to_owned(), self.pairs.len().into());
        self.facts.insert("pairs_turned".to_owned(), turned.into());
        Ok(())
    }

    fn preference_losses(&self, network: &Network, batch: &Batch) -> Result<Tensor, LabError> {
        let side = |side: usize| {
            let row = move |id: &u32| self.pairs.get(id).map(|pair| &pair[side]);
            batch.ids.iter().map(row).collect::<Option<Vec<&Row>>>()
        };
        let (Some(won), Some(lost), Some(reference)) = (side(0), side(1), &self.reference) else {
            return Err(LabError::Method("a prompt without a pair was asked for".to_owned()));
        };
        let both: Vec<&Row> = won.into_iter().chain(lost).collect();
        let [sums, counts] = log_likelihoods(network, both.iter().copied())?;
        let [before, _] = tch::no_grad(|| log_likelihoods(reference, both.iter().copied()))?;
        normalised(&sums, &before, &counts, self.settings.preference_beta)
    }
}

impl Objective for PostTraining {
    fn rehearse(&mut self) {
        self.rehearsing = true;
        self.doing = Doing::Imitation;
    }

    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let ids: Vec<u32> = (0..u32::try_from(train.len()).unwrap_or(u32::MAX)).collect();
        self.questions = prompts(train, &ids)?;
        let (stored, labels) = (train.stored.shallow_clone(), train.labels.shallow_clone());
        self.train = Some(Split { stored, labels, groups: train.groups.clone() });
        if !self.rehearsing {
            self.prepare(self.doing, network)?;
        }
        Ok(None)
    }

    fn enter(&mut self, stage: usize, _: &Network) -> Result<(), LabError> {
        if !self.rehearsing {
            self.doing = self.stages.get(stage).copied().unwrap_or(self.doing);
        }
        Ok(())
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        match self.doing {
            Doing::Reinforcement => self.policy.seat().before_step(network, batch, now),
            Doing::Imitation | Doing::Preferences => Ok(()),
        }
    }

    fn passes(&self) -> u32 {
        if self.doing == Doing::Reinforcement { self.policy.passes() } else { 1 }
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        match self.doing {
            Doing::Imitation => DefaultLoss::Tokens.losses(network, batch, now),
            Doing::Preferences => self.preference_losses(network, batch),
            Doing::Reinforcement => self.policy.seat().losses(network, batch, now),
        }
    }

    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        match self.doing {
            Doing::Imitation => DefaultLoss::Tokens.loss(network, batch, now),
            Doing::Preferences => Ok(self.losses(network, batch, now)?.f_mean(None)?),
            Doing::Reinforcement => self.policy.seat().loss(network, batch, now),
        }
    }

    /// Behind the last step of a stage the next one is made ready, so that the order finds its prompts in the pool.
    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        let (next, total) = (now.step + 1, now.total_steps);
        let stage = self.shares.at(next, total).0;
        if !self.rehearsing && next < total && stage > self.shares.at(now.step, total).0 {
            let doing = self.stages.get(stage).copied().unwrap_or(self.doing);
            self.prepare(doing, network)?;
        }
        Ok(())
    }

    fn costs(&self) -> Costs {
        self.policy.costs()
    }

    fn facts(&self) -> Facts {
        let mut facts = self.workshop.facts();
        facts.extend(self.policy.facts());
        facts.extend(self.facts.clone());
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.workshop.state(state)?;
        self.policy.seat().state(state)?;
        state.network("reference", &mut self.reference)?;
        state.of("pairs", &mut self.pairs)?;
        let mut doing = ALL.iter().position(|doing| *doing == self.doing).unwrap_or(0);
        state.of("doing", &mut doing)?;
        self.doing = ALL.get(doing).copied().unwrap_or(self.doing);
        state.told("facts", &mut self.facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::step_info;

    #[test]
    fn a_margin_is_that_of_mean_tokens_and_not_of_whole_responses() {
        let of = |values: [f64; 2]| Tensor::from_slice(&values);
        let [policy, reference] = [of([-8.0, -30.0]), of([-10.0, -20.0])];
        let loss = |counts, beta| {
            normalised(&policy, &reference, &of(counts), beta).unwrap().double_value(&[0])
        };
        assert!((loss([10.0, 20.0], 5.0) - 0.029_750).abs() < 1e-6);
        assert!((loss([1.0, 1.0], 0.1) - 0.263_282).abs() < 1e-6);
        let same = normalised(&policy, &policy, &of([10.0, 20.0]), 5.0).unwrap();
        assert!((same.double_value(&[0]) - std::f64::consts::LN_2).abs() < 1e-9);
    }

    #[test]
    fn what_does_not_end_is_punished_even_where_its_answer_is_right() {
        let score = |correct, well_formed| {
            Verifiable.score(&step_info(0, 1), Outcome { correct, well_formed }, 3)
        };
        assert_eq!(
            [score(true, true), score(false, true), score(false, false)],
            [10.0, 0.0, -10.0]
        );
        // The bandit accepts whatever begins with the prompt; without an end it is not asked.
        let bandit = crate::trial::bandit().unwrap();
        let verifier = bandit.side.verifier.as_deref().unwrap();
        let outcome = |response: &[i64]| verified(verifier, 0, response, crate::trial::END);
        let right = crate::trial::prompt(0);
        let ended = Verifiable.score(&step_info(0, 1), outcome(&[right, crate::trial::END]), 2);
        let open = Verifiable.score(&step_info(0, 1), outcome(&[right, right]), 2);
        assert_eq!([ended, open], [10.0, -10.0]);
    }
}
