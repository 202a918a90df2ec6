//! The backward process as a policy that is paid for what it comes to: DDIM steps with η = 1 are normal moves with
//! log-probabilities, the reward comes at their end, and gradients are those of clipped ratios (DDPO, Black et al.,
//! arXiv:2305.13301); stages that train a growing last part of the steps, and branches that share their beginning
//! (B²-DiffuRL, Hu et al., arXiv:2503.11240).

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::sync::Arc;

use ledger::settings;
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::streams::Streams;
use rand_pcg::Pcg64;
use tch::Tensor;

use super::matching::{Matching, ScoreSettings, Told};
use super::{Output, Score, Span, variance};
use crate::LabError;
use crate::diffusion::{generation, noise_like};
use crate::network::{Network, values};
use crate::recipe::Recipe;
use crate::seat::{self, Batch, Costs, Facts, Objective, Sampler, StepInfo, TaskInfo};
use crate::side_info::Reward;
use crate::stages::{Stage, Stages, Tutor};
use crate::state::State;

settings! {
    /// Settings that DDPO and what is built on it have in common.
    pub struct PolicySettings {
        /// T, steps of the backward process.
        steps: u32 = 20, range Range::of(2.0..=1000.0), from "B2-DiffuRL run_process.sh; DDPO: 50";
        /// Bound on how far a ratio may be from 1.
        clip: f64 = 0.1, range Range::above_up_to(0.0, 1.0), from "B2-DiffuRL config/stage_process.py; DDPO: 0.0001";
        /// Largest size of an advantage.
        largest_advantage: f64 = 5.0, range Range::above_up_to(0.0, 1000.0), from "DDPO config/base.py";
        /// Passes over what a step has sampled.
        passes: u32 = 2, range Range::of(1.0..=64.0), from "B2-DiffuRL run_process.sh; DDPO: 1";
        /// Samples that the model which is steered is trained on, in budgets of the run.
        model_budgets: f64 = 60.0, range Range::above_up_to(0.0, 10000.0), from "assumed";
        /// Learning rate of that model.
        model_lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        use score: ScoreSettings;
        refuse Self::used;
    }
}

impl PolicySettings {
    /// How roll-outs are learnt from, where the last `first` moves are from the first stage on, by `branches`.
    #[must_use]
    pub fn rules(&self, [first, branches, history]: [u32; 3], threshold: f64) -> Rules {
        let Self { steps, clip, largest_advantage, passes, .. } = *self;
        let bounds = [clip, largest_advantage];
        Rules { bounds, steps, passes, first, branches, threshold, history }
    }

    /// A run of this objective from a model that is trained beside it.
    ///
    /// # Errors
    /// When there is no reward, a teacher is named, or libtorch cannot allocate.
    pub fn recipe(&self, rules: Rules, task: &TaskInfo<'_>) -> Result<Recipe, LabError> {
        if task.teacher.is_some() {
            return Err(task.unfit("trains the model that it steers: name no teacher in the arm"));
        }
        let reward = generation(task)?.reward.clone();
        let reward = reward.ok_or_else(|| task.unfit("nobody says what a sample is worth"))?;
        let score = &self.score;
        let (span, output, steps) = (score.span(), score.output, self.steps);
        let objective = Steered::new(rules, output, span, reward, task.streams);
        let sampler = MoveSampler { span, output, steps };
        let mut stages = Stages::new(vec![Stage::plain("steering", 1)]);
        stages.tutor = Some(self.model(task)?);
        let plain = score.recipe(Box::new(objective), Some(Box::new(sampler)), task.network)?;
        // Neither repository averages what it steers; the average is of the model before.
        Ok(Recipe { averaging: None, stages: Some(stages), ..plain })
    }

    /// The model that is steered: by score matching of the data.
    fn model(&self, task: &TaskInfo<'_>) -> Result<Tutor, LabError> {
        let seed = Tutor::seed(task.streams);
        let score = ScoreSettings { lr: self.model_lr, ..self.score.clone() };
        let matching = Matching::new(&score, Told::Nothing, 0.0, &Streams::new(seed));
        let recipe = Box::new(score.recipe(Box::new(matching), None, task.network)?);
        let samples = (self.model_budgets * task.budget_samples as f64).round() as u64;
        let mut settings = score.values();
        settings.retain(|name, _| name != "evaluations");
        let network = task.network.duplicate();
        Ok(Tutor { name: "model", network, recipe, samples, settings, seed })
    }

    fn used(&self) -> Result<(), SettingError> {
        let idle = [("evaluations", true, "methods that only sample (here \"steps\" counts)")];
        refuse_idle(&self.values(), &Self::default().values(), &idle)
    }
}

/// One move: from a time to the next, earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// The time it is made at.
    pub from: f64,
    /// What is kept of x, and what the noise that the network sees counts.
    means: [f64; 2],
    /// Deviation of the fresh noise.
    pub deviation: f64,
}

impl Move {
    /// DDIM's move with η = 1 between two times (Song et al., arXiv:2010.02502, equation 12), with ᾱ = e^{−t}.
    #[must_use]
    pub fn between(from: f64, to: f64) -> Self {
        let [noisy, clean] = [variance(from), variance(to)];
        let shrunk = (-(from - to) / 2.0).exp();
        // 1 − ᾱ_t/ᾱ_s, without cancelling.
        let fresh = clean / noisy * variance(from - to);
        let kept = 1.0 / shrunk;
        let noise = (clean - fresh).max(0.0).sqrt() - noisy.sqrt() * kept;
        Self { from, means: [kept, noise], deviation: fresh.sqrt() }
    }

    /// The mean of the next points, B × D.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn mean(&self, score: &Score<'_>, x: &Tensor) -> Result<Tensor, LabError> {
        let seen = score.rows(x, &[self.from], None)?;
        // The noise that is seen is −√(1 − ᾱ)·s.
        let [kept, noise] = self.means;
        let factor = -variance(self.from).sqrt() * noise;
        Ok(x.f_mul_scalar(kept)?.f_add(&seen.f_mul_scalar(factor)?)?)
    }

    /// Log-probability of having come to `to` from a mean, as both repositories take it: a mean over coordinates.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn log_probability(&self, mean: &Tensor, to: &Tensor) -> Result<Tensor, LabError> {
        let squared = to.f_sub(mean)?.f_square()?.f_flatten(1, -1)?;
        let each = squared.f_mean_dim([1].as_slice(), false, squared.kind())?;
        let constant = self.deviation.ln() + 0.5 * TAU.ln();
        let scale = -0.5 / (self.deviation * self.deviation);
        Ok(each.f_mul_scalar(scale)?.f_sub_scalar(constant)?)
    }
}

/// All moves from the horizon down to the early end.
#[must_use]
pub fn moves(span: Span, steps: u32) -> Vec<Move> {
    span.steps(steps).windows(2).map(|pair| Move::between(pair[0], pair[1])).collect()
}

/// What came of moves that are to be learnt from.
#[derive(Debug)]
pub struct Rollouts {
    /// Points before the first of these moves and behind each, B × D; branches of one beginning side by side.
    pub points: Vec<Tensor>,
    /// Log-probabilities of these moves when they were made, shape B each.
    pub logs: Vec<Tensor>,
}

/// Makes all moves from `noise`, the last `learnt` of them from `branches` copies of each point.
///
/// # Errors
/// When libtorch refuses an operation.
pub fn roll(
    score: &Score<'_>,
    noise: &Tensor,
    moves: &[Move],
    [learnt, branches]: [u32; 2],
    random: &mut Pcg64,
) -> Result<Rollouts, LabError> {
    let first = moves.len().saturating_sub(learnt as usize);
    let next = |step: &Move, mean: &Tensor, random: &mut Pcg64| -> Result<Tensor, LabError> {
        let fresh = noise_like(mean, random)?.f_mul_scalar(step.deviation)?;
        Ok(mean.f_add(&fresh)?)
    };
    let mut x = noise.shallow_clone();
    for step in &moves[..first] {
        x = next(step, &step.mean(score, &x)?, random)?;
    }
    x = x.f_repeat_interleave_self_int(i64::from(branches), 0, None)?;
    let (mut points, mut logs) = (vec![x.shallow_clone()], Vec::new());
    for step in &moves[first..] {
        let mean = step.mean(score, &x)?;
        x = next(step, &mean, random)?;
        logs.push(step.log_probability(&mean, &x)?);
        points.push(x.shallow_clone());
    }
    Ok(Rollouts { points, logs })
}

/// Which of the roll-outs are learnt from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Largest distance of a ratio from 1, and largest size of an advantage.
    pub bounds: [f64; 2],
    /// T.
    pub steps: u32,
    /// Passes over what is kept.
    pub passes: u32,
    /// How many of the last moves the first stage trains; all of them where it is T.
    pub first: u32,
    /// Branches of each beginning; 1 for none.
    pub branches: u32,
    /// Standardised rewards that the best of a beginning's branches must reach, and the worst stay below the
    /// negative of.
    pub threshold: f64,
    /// Steps before this one whose rewards count in the standardisation.
    pub history: u32,
}

impl Rules {
    /// How many of the last moves a step trains: first + ⌊(T − first + 1)·i/S⌋ in step i of S.
    #[must_use]
    pub fn learnt(&self, step: u64, total: u64) -> u32 {
        let more = u64::from(self.steps.saturating_sub(self.first)) + 1;
        let grown = u32::try_from(more * step / total.max(1)).unwrap_or(u32::MAX);
        self.first.saturating_add(grown).min(self.steps)
    }

    /// Which of the rewards, branches of one beginning side by side, are learnt from: all without branches; with
    /// them the best of each beginning if good, and the worst if bad.
    #[must_use]
    pub fn kept(&self, standard: &[f64]) -> Vec<usize> {
        if self.branches <= 1 {
            return (0..standard.len()).collect();
        }
        let mut kept = Vec::new();
        let size = self.branches as usize;
        for (group, rewards) in standard.chunks(size).enumerate() {
            let by = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
            let best = rewards.iter().enumerate().max_by(by);
            let worst = rewards.iter().enumerate().min_by(by);
            if let Some((place, _)) = best.filter(|(_, z)| **z >= self.threshold) {
                kept.push(group * size + place);
            }
            if let Some((place, _)) = worst.filter(|(_, z)| **z < -self.threshold) {
                kept.push(group * size + place);
            }
        }
        kept
    }
}

/// Rewards less their mean, over their deviation, with those of some steps before.
fn standardised(rewards: &[f64], before: &VecDeque<Vec<f64>>) -> Vec<f64> {
    let all: Vec<f64> = before.iter().flatten().chain(rewards).copied().collect();
    let n = all.len().max(1) as f64;
    let mean = all.iter().sum::<f64>() / n;
    let deviation = (all.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n).sqrt();
    rewards.iter().map(|reward| (reward - mean) / (deviation + 1e-8)).collect()
}

/// What a step's passes learn from.
#[derive(Debug)]
struct Kept {
    first: usize,
    points: Vec<Tensor>,
    logs: Vec<Tensor>,
    advantages: Tensor,
}

/// The objective: roll-outs before a step, clipped ratios in its passes.
#[derive(Debug)]
pub struct Steered {
    rules: Rules,
    output: Output,
    moves: Vec<Move>,
    reward: Arc<dyn Reward>,
    random: Pcg64,
    tutor: Option<Network>,
    begun: bool,
    before: VecDeque<Vec<f64>>,
    kept: Option<Kept>,
    samples: u64,
    /// Steps that had nothing to learn from.
    idle: u64,
    rollouts: u64,
    evaluations: u64,
    clipped: [u64; 2],
    learnt: u32,
}

impl Steered {
    /// Roll-outs come from stream `rollout`.
    #[must_use]
    pub fn new(
        rules: Rules,
        output: Output,
        span: Span,
        reward: Arc<dyn Reward>,
        streams: &Streams,
    ) -> Self {
        Self {
            rules,
            output,
            moves: moves(span, rules.steps),
            reward,
            random: streams.generator("rollout"),
            tutor: None,
            begun: false,
            before: VecDeque::new(),
            kept: None,
            samples: 0,
            idle: 0,
            rollouts: 0,
            evaluations: 0,
            clipped: [0; 2],
            learnt: 0,
        }
    }
}

impl Objective for Steered {
    fn learn_from(&mut self, tutor: Network) {
        self.tutor = Some(tutor);
    }

    fn enter(&mut self, _: usize, network: &Network) -> Result<(), LabError> {
        let Some(tutor) = self.tutor.take() else {
            return Err(LabError::Method("nothing was trained to be steered".to_owned()));
        };
        for (own, trained) in network.parameters.iter().zip(&tutor.parameters) {
            own.tensor.shallow_clone().f_copy_(&trained.tensor)?;
        }
        self.begun = true;
        Ok(())
    }

    /// What has the weights of a trained model starts afresh, its average too.
    fn stage(&self, _: &StepInfo) -> seat::Stage {
        seat::Stage { index: u32::from(self.begun), lr_factor: 1.0 }
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let learnt = self.rules.learnt(now.step, now.total_steps);
        let branches = self.rules.branches.max(1);
        self.learnt = learnt;
        let beginnings = (batch.ids.len() / branches as usize).max(1) as i64;
        let noise = noise_like(&batch.inputs.f_narrow(0, 0, beginnings)?, &mut self.random)?;
        let score = Score { network, output: self.output };
        let Rollouts { points, logs } =
            roll(&score, &noise, &self.moves, [learnt, branches], &mut self.random)?;
        let rows = beginnings.unsigned_abs() * u64::from(branches);
        let (alone, shared) = (u64::from(self.rules.steps - learnt), u64::from(learnt));
        self.evaluations += alone * beginnings.unsigned_abs() + shared * rows;
        self.rollouts += rows;
        let last = points.last().ok_or_else(|| LabError::Method("no move was made".to_owned()))?;
        let rewards = self.reward.of(last)?;
        let standard = standardised(&rewards, &self.before);
        self.before.push_back(rewards);
        while self.before.len() > self.rules.history as usize {
            self.before.pop_front();
        }
        let chosen = self.rules.kept(&standard);
        self.kept = None;
        // Rewards that are all alike, as where none is near enough to earn any, say nothing.
        if chosen.is_empty() || standard.iter().all(|z| *z == 0.0) {
            self.idle += 1;
            return Ok(());
        }
        self.samples += chosen.len() as u64;
        let [_, largest] = self.rules.bounds;
        let advantages: Vec<f32> =
            chosen.iter().map(|&row| standard[row].clamp(-largest, largest) as f32).collect();
        let device = noise.device();
        let places: Vec<i64> = chosen.iter().map(|&row| row as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(device)?;
        let pick = |all: Vec<Tensor>| -> Result<Vec<Tensor>, LabError> {
            Ok(all.iter().map(|t| t.f_index_select(0, &places)).collect::<Result<_, _>>()?)
        };
        self.kept = Some(Kept {
            first: self.moves.len() - learnt as usize,
            points: pick(points)?,
            logs: pick(logs)?,
            advantages: Tensor::f_from_slice(&advantages)?.f_to_device(device)?,
        });
        Ok(())
    }

    fn passes(&self) -> u32 {
        if self.kept.is_some() { self.rules.passes } else { 0 }
    }

    fn losses(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<Tensor, LabError> {
        let Some(Kept { first, points, logs, advantages }) = &self.kept else {
            return Err(LabError::Method("a pass over nothing".to_owned()));
        };
        let score = Score { network, output: self.output };
        let [clip, _] = self.rules.bounds;
        let minus = advantages.f_neg()?;
        let mut sum: Option<Tensor> = None;
        let mut outside = 0;
        for ((step, pair), log) in self.moves[*first..].iter().zip(points.windows(2)).zip(logs) {
            let own = step.log_probability(&step.mean(&score, &pair[0])?, &pair[1])?;
            let ratio = own.f_sub(log)?.f_exp()?;
            let bounded = ratio.f_clamp(1.0 - clip, 1.0 + clip)?;
            let loss = ratio.f_mul(&minus)?.f_maximum(&bounded.f_mul(&minus)?)?;
            if now.pass == 0 {
                let far = values(&ratio)?.into_iter().filter(|r| f64::from((r - 1.0).abs()) > clip);
                outside += far.count() as u64;
            }
            sum = Some(match sum {
                Some(sum) => sum.f_add(&loss)?,
                None => loss,
            });
        }
        let rows = advantages.size().first().copied().unwrap_or(0).unsigned_abs();
        let made = logs.len() as u64 * rows;
        self.evaluations += made;
        if now.pass == 0 {
            self.clipped = [self.clipped[0] + outside, self.clipped[1] + made];
        }
        let sum = sum.ok_or_else(|| LabError::Method("no move is learnt from".to_owned()))?;
        Ok(sum.f_div_scalar(logs.len().max(1) as f64)?)
    }

    fn costs(&self) -> Costs {
        Costs::from([
            ("network_evaluations", self.evaluations),
            ("reward_evaluations", self.rollouts),
        ])
    }

    fn facts(&self) -> Facts {
        let [outside, made] = self.clipped;
        Facts::from([
            ("samples_learnt_from".to_owned(), self.samples.into()),
            ("steps_without_update".to_owned(), self.idle.into()),
            ("steps_learnt".to_owned(), self.learnt.into()),
            ("clipped_in_first_passes".to_owned(), vec![outside, made].into()),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.network("tutor", &mut self.tutor)?;
        state.of("begun", &mut self.begun)?;
        state.of("random", &mut self.random)?;
        state.of("before", &mut self.before)?;
        state.of("samples", &mut self.samples)?;
        state.of("idle", &mut self.idle)?;
        state.of("rollouts", &mut self.rollouts)?;
        state.of("evaluations", &mut self.evaluations)?;
        state.of("clipped", &mut self.clipped)?;
        state.of("learnt", &mut self.learnt)
    }
}

/// Samples by the moves that are learnt.
#[derive(Debug)]
pub struct MoveSampler {
    /// From when to when.
    pub span: Span,
    /// How the network's output is used.
    pub output: Output,
    /// T.
    pub steps: u32,
}

impl Sampler for MoveSampler {
    fn sample(
        &self,
        network: &Network,
        noise: &Tensor,
        evaluations: u32,
        random: &mut Pcg64,
    ) -> Result<Tensor, LabError> {
        let score = Score { network, output: self.output };
        let moves = moves(self.span, evaluations);
        let Rollouts { mut points, .. } = roll(&score, noise, &moves, [1, 1], random)?;
        points.pop().ok_or_else(|| LabError::Method("no move was made".to_owned()))
    }

    fn evaluations(&self) -> u32 {
        self.steps
    }
}

#[cfg(test)]
mod tests;
