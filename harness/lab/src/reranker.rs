//! A ranker of a policy's responses and the policy, each made better by the other: the ranker learns pairs of a right and a
//! wrong response, the policy learns what the ranker likes, and what it then writes gives the ranker harder pairs.
//!
//! Source: Sorokin, Sedykh, Malykh, arXiv:2504.09643.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ledger::order::{bounded, shuffle};
use ledger::settings::{Range, SettingError};
use ledger::streams::Streams;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::LabError;
use crate::advantage::{Divergence, Norm, surrogate};
use crate::models::gpt::Gpt;
use crate::network::{Network, Parameter, Role, values};
use crate::objectives::DefaultLoss;
use crate::objectives::preference::preferred;
use crate::optim::lm::LmSettings;
use crate::prompt::Prompt;
use crate::rollout::{Roller, RolloutSettings, Rollouts, column, verified};
use crate::seat::{
    Batch, Facts, Gradients, Objective, Optimizer as _, StepInfo, TaskInfo, Texts, Writer, Written,
};
use crate::side_info::Verifier;
use crate::split::Split;
use crate::stages::Shares;
use crate::state::State;
use crate::workshop::{Manner, Workshop, nothing, prompts};
use crate::writing::{drafts, plain};

/// Texts that are scored at once.
const AT_ONCE: usize = 512;
/// Of so many questions one is not learned from, but tells how well pairs are ordered.
const HELD_OUT: usize = 5;

choice! {
    /// Which wrong responses a later ranker learns from beside those of the first one.
    pub enum Negatives {
        /// Those that the ranker before it liked best.
        Hard = "hard",
        /// Any.
        Random = "random",
        /// None: right and wrong ones are those of the first ranker.
        None = "none",
    }
}

choice! {
    /// Which of several responses is written.
    pub enum Select {
        /// The one that the ranker likes best.
        Ranked = "ranked",
        /// The likeliest.
        Likeliest = "likeliest",
        /// The first.
        First = "first",
    }
}

settings! {
    /// Settings of ranker and policy.
    pub struct RankerSettings {
        /// Rankers that are trained, one after the other.
        iterations: u32 = 2, range Range::of(1.0..=8.0), from "paper: 1 and 2";
        /// Which wrong responses a later ranker learns from.
        negatives: Negatives = Negatives::Hard, from "paper: hard negatives beside right ones";
        /// Of those so many a question.
        quota: u32 = 1, range Range::of(1.0..=16.0), from "assumed";
        /// Training questions that rankers are made from.
        questions: u32 = 512, range Range::of(5.0..), from "assumed";
        /// Responses to each, and to a question when it is asked in the end.
        samples: u32 = 8, range Range::of(2.0..=64.0), from "assumed: not in what was read";
        /// Which response is written.
        select: Select = Select::Ranked, from "paper; the others are controls";
        /// Steps of a ranker, of 64 pairs.
        ranker_steps: u32 = 100, range Range::of(1.0..), from "assumed";
        /// Rate of a ranker.
        ranker_lr: f64 = 1e-3, range Range::above(0.0), from "assumed";
        /// Share of the steps that imitate; 1 for a policy that no ranker teaches.
        imitation: f64 = 0.7, range Range::above_up_to(0.0, 1.0), from "assumed";
        /// Responses to a prompt in a step by the ranker's word.
        responses: u32 = 4, range Range::of(2.0..=64.0), from "assumed";
        /// Weight of the divergence from what imitation left.
        divergence: f64 = 0.05, range Range::of(0.0..), from "assumed: not in what was read";
        /// Factor on the learning rate for steps by the ranker's word.
        policy_lr: f64 = 0.3, range Range::above(0.0), from "assumed";
        refuse Self::without_a_word;
    }
}

impl RankerSettings {
    /// Where no step follows a ranker's word only one ranker is made.
    fn without_a_word(&self) -> Result<(), SettingError> {
        let Self { iterations, imitation, .. } = self;
        if *iterations < 2 || self.shares().get(1).is_some_and(|share| *share > 0) {
            return Ok(());
        }
        Err(SettingError::Joint(format!(
            "imitation is {imitation}, which leaves no steps between {iterations} rankers; \
             set iterations to 1 or lower imitation"
        )))
    }

    /// Parts of the steps: imitation, then one stretch by each ranker's word; these are 0 without.
    #[must_use]
    pub fn shares(&self) -> Vec<u32> {
        let first = ((self.imitation * 1000.0).round() as u32).clamp(1, 1000);
        let each = (1000 - first) * 100 / self.iterations.max(1);
        let mut shares = vec![first * 100];
        shares.extend((0..self.iterations).map(|_| each));
        shares
    }
}

/// A transformer that scores texts: a copy of a policy with one number in the place of logits.
#[derive(Debug)]
pub struct Ranker {
    network: Network,
    moved: Vec<usize>,
}

impl Ranker {
    /// From a policy as it is; every text has the score 0.
    ///
    /// # Errors
    /// When the policy is no transformer.
    pub fn new(policy: &Network) -> Result<Self, LabError> {
        let mut network = policy.duplicate();
        let gpt = *Gpt::of(&network)?;
        let (options, width) = ((Kind::Float, network.device()), gpt.shape.width as i64);
        for (name, role, shape) in
            [("score.weight", Role::Weight, vec![1, width]), ("score.bias", Role::Bias, vec![1])]
        {
            let tensor = Tensor::f_zeros(&shape, options)?.set_requires_grad(true);
            let layer = gpt.shape.depth + 1;
            network.parameters.push(Parameter { name: name.to_owned(), layer, role, tensor });
        }
        Self::of(network)
    }

    /// Of a network that scores already: its logits stay as they are.
    fn of(network: Network) -> Result<Self, LabError> {
        let head = Gpt::of(&network)?.head();
        let moved = (0..network.parameters.len()).filter(|index| !head.contains(index)).collect();
        Ok(Self { network, moved })
    }

    /// A score for each text (prompt and response), N.
    ///
    /// # Errors
    /// When a text is empty or exceeds the context.
    pub fn scores(&self, texts: &[&[i64]]) -> Result<Tensor, LabError> {
        let width = texts.iter().map(|text| text.len()).max().unwrap_or(0).max(1);
        let mut table = vec![0_i64; texts.len() * width];
        for (row, text) in table.chunks_mut(width).zip(texts) {
            row[..text.len()].copy_from_slice(text);
        }
        let device = self.network.device();
        let table =
            Tensor::f_from_slice(&table)?.f_view([-1, width as i64])?.f_to_device(device)?;
        let last: Vec<i64> = texts.iter().map(|text| text.len() as i64 - 1).collect();
        let states = Gpt::of(&self.network)?.hidden(&self.network, &table)?;
        let (rows, _, wide) = states.size3()?;
        let last = Tensor::f_from_slice(&last)?.f_to_device(device)?.f_view([rows, 1, 1])?;
        let state = states.f_gather(1, &last.f_expand([rows, 1, wide], false)?, false)?;
        let count = self.network.parameters.len();
        let [weight, bias] = [count - 2, count - 1].map(|index| self.network.at(index));
        Ok(state.f_squeeze_dim(1)?.f_linear(weight, Some(bias))?.f_squeeze_dim(-1)?)
    }

    /// The same as numbers.
    ///
    /// # Errors
    /// As [`Ranker::scores`].
    pub fn numbers(&self, texts: &[&[i64]]) -> Result<Vec<f64>, LabError> {
        let mut all = Vec::with_capacity(texts.len());
        for some in texts.chunks(AT_ONCE) {
            let scores = tch::no_grad(|| self.scores(some))?;
            all.extend(values(&scores)?.into_iter().map(f64::from));
        }
        Ok(all)
    }

    /// Learns that the first text of each pair is better than the second.
    ///
    /// # Errors
    /// When there is no pair.
    pub fn learn(
        &self,
        stage: &str,
        pairs: &[[Vec<i64>; 2]],
        settings: &RankerSettings,
        streams: &Streams,
    ) -> Result<(), LabError> {
        if pairs.is_empty() {
            return Err(nothing(stage, "there is no pair to learn from"));
        }
        let lm = LmSettings { lr: settings.ranker_lr, weight_decay: 0.0, ..LmSettings::default() };
        let mut rule = lm.optimizer(&self.network)?;
        let (size, total_steps) = (64.min(pairs.len()), u64::from(settings.ranker_steps));
        let (mut queue, mut pass) = (Vec::<u32>::new(), 0);
        for step in 0..total_steps {
            if queue.len() < size {
                queue = (0..).take(pairs.len()).collect();
                shuffle(&mut streams.keyed(stage, 0, pass), &mut queue);
                pass += 1;
            }
            let chosen = queue.split_off(queue.len() - size);
            let side =
                |side: usize| chosen.iter().map(move |at| pairs[*at as usize][side].as_slice());
            let texts: Vec<&[i64]> = side(0).chain(side(1)).collect();
            let tensors = tch::with_grad(|| {
                let scores = self.scores(&texts)?;
                let n = size as i64;
                let margins = scores.f_narrow(0, 0, n)?.f_sub(&scores.f_narrow(0, n, n)?)?;
                let loss = preferred(&margins, 1.0)?.f_mean(None)?;
                let leaves: Vec<_> =
                    self.moved.iter().map(|at| &self.network.parameters[*at].tensor).collect();
                Ok::<_, LabError>(Tensor::f_run_backward(&[&loss], &leaves, false, false)?)
            })?;
            let (epoch, total_epochs, lr_factor, pass) = (0, 1, 1.0, 0);
            let now = StepInfo { step, total_steps, epoch, total_epochs, lr_factor, pass };
            let gradients = Gradients { active: self.moved.clone(), tensors };
            tch::no_grad(|| rule.update(&self.network.parameters, &gradients, &now))?;
        }
        Ok(())
    }

    /// Share of the pairs whose first text has the higher score; ties count half.
    ///
    /// # Errors
    /// As [`Ranker::scores`].
    pub fn accuracy(&self, pairs: &[[Vec<i64>; 2]]) -> Result<f64, LabError> {
        let side = |side: usize| -> Vec<&[i64]> {
            pairs.iter().map(|pair| pair[side].as_slice()).collect()
        };
        let (won, lost) = (self.numbers(&side(0))?, self.numbers(&side(1))?);
        let right = won.iter().zip(&lost).map(|(won, lost)| match won.total_cmp(lost) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        });
        Ok(right.sum::<f64>() / pairs.len().max(1) as f64)
    }
}

/// A response that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Prompt and response.
    pub text: Vec<i64>,
    /// Whether the verifier says that it is right.
    pub right: bool,
    /// What the ranker thinks of it.
    pub score: f64,
}

/// The wrong responses to a question with the highest scores, `quota` at most; of equals the first.
#[must_use]
pub fn hardest(tried: &[Tried], quota: usize) -> Vec<&Tried> {
    let mut wrong: Vec<&Tried> = tried.iter().filter(|tried| !tried.right).collect();
    wrong.sort_by(|one, other| other.score.total_cmp(&one.score));
    wrong.truncate(quota);
    wrong
}

/// What rankers and writer share.
pub type Shared = Rc<RefCell<Option<Ranker>>>;

/// Writes the best of several drafts, by the ranker's word.
pub struct Selecting {
    /// Which draft.
    pub select: Select,
    /// How many drafts.
    pub samples: u32,
    /// The last ranker.
    pub ranker: Shared,
}

impl Writer for Selecting {
    fn write(&self, network: &Network, asked: &Texts<'_>) -> Result<Vec<Written>, LabError> {
        let ranker = self.ranker.borrow();
        // Before there is a ranker there is nothing to select by.
        if self.select == Select::First || (self.select == Select::Ranked && ranker.is_none()) {
            return plain(network, asked);
        }
        let all = drafts(network, asked, self.samples)?;
        let mut written = Vec::with_capacity(all.len());
        for (prompt, drafts) in asked.prompts.iter().zip(all) {
            let scores = match (&*ranker, self.select) {
                (Some(ranker), Select::Ranked) => {
                    let texts: Vec<Vec<i64>> = drafts
                        .iter()
                        .map(|draft| [prompt.tokens.as_slice(), &draft.tokens].concat())
                        .collect();
                    ranker.numbers(&texts.iter().map(Vec::as_slice).collect::<Vec<_>>())?
                }
                _ => drafts.iter().map(|draft| draft.likelihood).collect(),
            };
            let spent = drafts.iter().map(|draft| draft.tokens.len() as u64).sum();
            // Of equally good ones the first.
            let best =
                scores.iter().enumerate().rev().max_by(|one, other| one.1.total_cmp(other.1));
            let best = best.map_or(0, |(place, _)| place);
            let tokens = drafts.into_iter().nth(best).map(|draft| draft.tokens).unwrap_or_default();
            written.push(Written { tokens, spent, refused: false });
        }
        Ok(written)
    }
}

/// What a step by the ranker's word has sampled.
#[derive(Debug)]
struct Prepared {
    rollouts: Rollouts,
    advantages: Tensor,
    reference: Option<Tensor>,
}

/// Imitation, then policy gradients by rankers' words.
pub struct Ranking {
    settings: RankerSettings,
    verifier: Arc<dyn Verifier>,
    roller: Roller,
    workshop: Workshop,
    shares: Shares,
    ranker: Shared,
    reference: Option<Network>,
    questions: Vec<Prompt>,
    /// Pairs that rankers learn from, and those that tell how well they do.
    pairs: [Vec<[Vec<i64>; 2]>; 2],
    prepared: Option<Prepared>,
    stage: usize,
    rehearsing: bool,
    trained: u32,
    told: Vec<Value>,
}

impl Ranking {
    /// For a task with a verifier, with a ranker that others see.
    ///
    /// # Errors
    /// When the workload verifies nothing, or prompts are of different lengths.
    pub fn new(
        settings: RankerSettings,
        task: &TaskInfo<'_>,
        ranker: &Shared,
    ) -> Result<Self, LabError> {
        let rollouts =
            RolloutSettings { responses: settings.responses, ..RolloutSettings::default() };
        let roller = Roller::new(&rollouts, task)?;
        let Some(verifier) = task.side.verifier.clone() else {
            return Err(task.unfit("there is no verifier of responses"));
        };
        Ok(Self {
            shares: Shares::new(settings.shares()),
            settings,
            verifier,
            roller,
            workshop: Workshop::new(task.streams),
            ranker: ranker.clone(),
            reference: None,
            questions: Vec::new(),
            pairs: [Vec::new(), Vec::new()],
            prepared: None,
            stage: 0,
            rehearsing: false,
            trained: 0,
            told: Vec::new(),
        })
    }

    /// Responses of `network` to the questions, verified and scored.
    fn tried(&mut self, stage: &str, network: &Network) -> Result<Vec<Vec<Tried>>, LabError> {
        let (longest, end) = (self.roller.longest(), self.roller.end());
        let manner = Manner { temperature: 1.0, samples: self.settings.samples, longest, end };
        let written = self.workshop.write(stage, network, &self.questions, &manner)?;
        let ranker = self.ranker.borrow();
        let mut all = Vec::with_capacity(written.len());
        for (question, texts) in self.questions.iter().zip(written) {
            let mut tried: Vec<Tried> = Vec::with_capacity(texts.len());
            for text in texts {
                let right = verified(self.verifier.as_ref(), question.id, &text, end).correct;
                tried.push(Tried {
                    text: [question.tokens.as_slice(), &text].concat(),
                    right,
                    score: 0.0,
                });
            }
            if let Some(ranker) = &*ranker {
                let texts: Vec<&[i64]> = tried.iter().map(|tried| tried.text.as_slice()).collect();
                let scores = ranker.numbers(&texts)?;
                tried.iter_mut().zip(scores).for_each(|(tried, score)| tried.score = score);
            }
            all.push(tried);
        }
        Ok(all)
    }

    /// Pairs of a question: a right response, drawn, with each of the wrong ones that are asked for.
    fn pairs_of(&self, tried: &[Tried], random: &mut Pcg64) -> Vec<[Vec<i64>; 2]> {
        let draw = |of: &[&Tried], random: &mut Pcg64| -> Option<Vec<i64>> {
            let count = u64::try_from(of.len()).ok().filter(|count| *count > 0)?;
            let place = usize::try_from(bounded(random, count)).unwrap_or(0);
            of.get(place).map(|tried| tried.text.clone())
        };
        let right: Vec<&Tried> = tried.iter().filter(|tried| tried.right).collect();
        let wrong: Vec<&Tried> = tried.iter().filter(|tried| !tried.right).collect();
        let quota = self.settings.quota as usize;
        let lost: Vec<Vec<i64>> = match (self.trained, self.settings.negatives) {
            (1.., Negatives::None) => Vec::new(),
            (1.., Negatives::Hard) => {
                hardest(tried, quota).into_iter().map(|tried| tried.text.clone()).collect()
            }
            _ => (0..quota).filter_map(|_| draw(&wrong, random)).collect(),
        };
        lost.into_iter().filter_map(|lost| draw(&right, random).map(|won| [won, lost])).collect()
    }

    /// Trains the next ranker on what the policy writes now.
    fn rank(&mut self, network: &Network) -> Result<(), LabError> {
        let stage = format!("ranker-{}", self.trained + 1);
        let all = self.tried(&stage, network)?;
        let streams = self.workshop.streams().clone();
        let mut hard = 0;
        for (place, tried) in all.iter().enumerate() {
            let id = self.questions[place].id;
            let made = self.pairs_of(tried, &mut streams.keyed(&stage, id, u32::MAX));
            hard += made.len();
            self.pairs[usize::from(place % HELD_OUT == 0)].extend(made);
        }
        let [learned, held_out] = &self.pairs;
        if learned.is_empty() {
            let right = all.iter().flatten().filter(|tried| tried.right).count();
            let count = all.iter().map(Vec::len).sum::<usize>();
            let reason = format!(
                "of {count} responses {right} are right, and no question has a right and a wrong one: \
                 change imitation, questions or samples"
            );
            return Err(nothing(&stage, &reason));
        }
        // What the ranker before this one makes of the pairs that it has not seen. Hard negatives are those that it liked, so that
        // what it has of them is too little: no measure of what the next ranker gains.
        let before = match &*self.ranker.borrow() {
            Some(ranker) if !held_out.is_empty() => Some(ranker.accuracy(held_out)?),
            _ => None,
        };
        let ranker = Ranker::new(network)?;
        ranker.learn(&stage, learned, &self.settings, &streams)?;
        let accuracy = if held_out.is_empty() { None } else { Some(ranker.accuracy(held_out)?) };
        self.told.push(json!({
            "stage": stage,
            "pairs": learned.len(),
            "new_pairs": hard,
            "accuracy": accuracy,
            "accuracy_of_the_one_before": before,
            "parameters_sha256": ranker.network.digest()?.to_string(),
        }));
        self.trained += 1;
        self.ranker.replace(Some(ranker));
        Ok(())
    }
}

impl Objective for Ranking {
    fn rehearse(&mut self) {
        self.rehearsing = true;
    }

    fn start(&mut self, _: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        let mut ids: Vec<u32> = (0..u32::try_from(train.len()).unwrap_or(u32::MAX)).collect();
        shuffle(&mut self.workshop.streams().generator("questions"), &mut ids);
        ids.truncate(self.settings.questions as usize);
        self.questions = prompts(train, &ids)?;
        Ok(None)
    }

    fn enter(&mut self, stage: usize, network: &Network) -> Result<(), LabError> {
        // Where nothing is kept there is no ranker: imitation goes on.
        self.stage = if self.rehearsing { 0 } else { stage };
        if self.stage == 1 {
            self.reference = (self.settings.divergence > 0.0).then(|| network.duplicate());
        }
        Ok(())
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        if self.stage == 0 {
            return Ok(());
        }
        let step = u32::try_from(now.step).unwrap_or(u32::MAX);
        let rollouts = self.roller.sample(network, batch, step)?;
        let flat =
            Vec::<i64>::try_from(&rollouts.tokens.f_to_device(tch::Device::Cpu)?.f_reshape([-1])?)?;
        let (_, width) = rollouts.tokens.size2()?;
        let [width, prompt] = [width, rollouts.prompt].map(|n| usize::try_from(n).unwrap_or(1));
        let texts = flat.chunks(width).zip(&rollouts.lengths);
        let texts: Vec<&[i64]> = texts.map(|(row, length)| &row[..prompt + length]).collect();
        let scores = match &*self.ranker.borrow() {
            Some(ranker) => ranker.numbers(&texts)?,
            None => return Err(LabError::Method("there is no ranker yet".to_owned())),
        };
        let norm = Norm::MeanStd { unbiased: true, eps: 1e-6 };
        let each = scores.chunks(self.roller.responses()).flat_map(|group| norm.advantages(group));
        let advantages = column(&each.collect::<Vec<f64>>(), &rollouts.mask)?;
        let reference = match &self.reference {
            Some(reference) => Some(rollouts.log_probabilities(reference)?),
            None => None,
        };
        self.prepared = Some(Prepared { rollouts, advantages, reference });
        Ok(())
    }

    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        if self.stage == 0 {
            return DefaultLoss::Tokens.losses(network, batch, now);
        }
        let Some(Prepared { rollouts, advantages, reference }) = &self.prepared else {
            return Err(LabError::Method("no roll-outs were made for this step".to_owned()));
        };
        let own = rollouts.log_probabilities(network)?;
        let mut losses = surrogate(&own, &own.detach(), advantages, None)?;
        if let Some(reference) = reference {
            let apart = Divergence::K3.of(&own, reference)?;
            losses = losses.f_add(&apart.f_mul_scalar(self.settings.divergence)?)?;
        }
        let mask = &rollouts.mask;
        let kind = losses.kind();
        let counts = mask.f_sum_dim_intlist(1, false, kind)?.f_clamp_min(1.0)?;
        let each = losses.f_mul(mask)?.f_sum_dim_intlist(1, false, kind)?.f_div(&counts)?;
        Ok(each.f_view([-1, self.roller.responses() as i64])?.f_mean_dim(1, false, kind)?)
    }

    /// The mean over all tokens where responses are imitated, as language models are trained.
    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        match self.stage {
            0 => DefaultLoss::Tokens.loss(network, batch, now),
            _ => Ok(self.losses(network, batch, now)?.f_mean(None)?),
        }
    }

    /// Behind the last step of each stretch the next ranker is made, as long as there is one to make.
    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        let (next, total) = (now.step + 1, now.total_steps);
        let ends =
            next == total || self.shares.at(next, total).0 > self.shares.at(now.step, total).0;
        if ends && !self.rehearsing && self.trained < self.settings.iterations {
            self.rank(network)?;
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let mut facts = self.workshop.facts();
        facts.extend(self.roller.facts());
        facts.insert("rankers".to_owned(), json!(self.told));
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        self.workshop.state(state)?;
        self.roller.state(state)?;
        let mut ranker = self.ranker.take().map(|ranker| ranker.network);
        state.network("ranker", &mut ranker)?;
        self.ranker.replace(ranker.map(Ranker::of).transpose()?);
        state.network("reference", &mut self.reference)?;
        state.of("pairs", &mut self.pairs)?;
        state.of("stage", &mut self.stage)?;
        state.of("trained", &mut self.trained)?;
        state.told("told", &mut self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape, gpt};
    use crate::trial::streams;
    use tch::Device;

    fn policy() -> Network {
        let shape =
            Shape { vocabulary: 9, context: 12, width: 32, depth: 1, heads: 2, hidden: 128 };
        gpt(shape, &streams(), Device::Cpu).unwrap()
    }

    #[test]
    fn the_hardest_are_wrong_ones_that_the_ranker_likes_best() {
        let tried = |score: f64, right: bool| Tried { text: vec![1], right, score };
        let all = [tried(0.9, false), tried(0.8, true), tried(0.7, false), tried(0.1, false)];
        let scores = |quota| hardest(&all, quota).iter().map(|t| t.score).collect::<Vec<_>>();
        assert_eq!((scores(1), scores(2)), (vec![0.9], vec![0.9, 0.7]));
        assert!(hardest(&all, 9).iter().all(|tried| !tried.right) && scores(9).len() == 3);
    }

    #[test]
    fn a_ranker_begins_without_an_opinion_and_learns_which_of_two_is_better() {
        let ranker = Ranker::new(&policy()).unwrap();
        let pairs: Vec<[Vec<i64>; 2]> =
            (0..40).map(|n| [vec![n % 7, 1, 8], vec![n % 7, 2, 3, 8]]).collect();
        assert!((ranker.accuracy(&pairs).unwrap() - 0.5).abs() < 1e-12);
        let settings = RankerSettings { ranker_steps: 60, ..RankerSettings::default() };
        ranker.learn("ranker-1", &pairs, &settings, &streams()).unwrap();
        assert!(ranker.accuracy(&pairs).unwrap() > 0.95);
        // A score is of its text alone.
        let [one, other] = [&pairs[0][0], &pairs[1][1]].map(|text| text.as_slice());
        let together = ranker.numbers(&[one, other]).unwrap();
        let alone = ranker.numbers(&[one]).unwrap();
        assert!((together[0] - alone[0]).abs() < 1e-5, "{together:?} {alone:?}");
        let none = ranker.learn("ranker-1", &[], &settings, &streams()).unwrap_err().to_string();
        assert_eq!(none, "stage \"ranker-1\" leaves nothing: there is no pair to learn from");
    }

    #[test]
    fn what_is_selected_is_one_of_the_drafts_and_the_best_by_the_rankers_word() {
        let network = policy();
        let prompts: Vec<Prompt> =
            (0..30).map(|id| Prompt { id, tokens: vec![i64::from(id % 8)] }).collect();
        let streams = streams();
        let (temperature, end, banned) = (1.0, Some(8), &[]);
        let asked =
            Texts { prompts: &prompts, longest: 5, end, temperature, banned, streams: &streams };
        let all = drafts(&network, &asked, 6).unwrap();
        let ranker = Ranker::new(&network).unwrap();
        // Prefers texts that end early.
        let pairs: Vec<[Vec<i64>; 2]> =
            (0..40).map(|n| [vec![n % 8, 8], vec![n % 8, 2, 3, 1]]).collect();
        ranker.learn("ranker-1", &pairs, &RankerSettings::default(), &streams).unwrap();
        let shared: Shared = Rc::new(RefCell::new(Some(ranker)));
        let of = |select| {
            let writer = Selecting { select, samples: 6, ranker: shared.clone() };
            writer.write(&network, &asked).unwrap()
        };
        let (ranked, first, likeliest) =
            (of(Select::Ranked), of(Select::First), of(Select::Likeliest));
        for (at, drafts) in all.iter().enumerate() {
            assert_eq!(first[at].tokens, drafts[0].tokens);
            let texts: Vec<Vec<i64>> = drafts
                .iter()
                .map(|d| [prompts[at].tokens.as_slice(), &d.tokens].concat())
                .collect();
            let texts: Vec<&[i64]> = texts.iter().map(Vec::as_slice).collect();
            let scores = shared.borrow().as_ref().unwrap().numbers(&texts).unwrap();
            let best = scores.iter().copied().fold(f64::MIN, f64::max);
            let chosen = drafts.iter().position(|draft| draft.tokens == ranked[at].tokens).unwrap();
            assert!(best - scores[chosen] < 1e-6);
            let top = drafts.iter().map(|draft| draft.likelihood).fold(f64::MIN, f64::max);
            let chosen = drafts.iter().find(|draft| draft.tokens == likeliest[at].tokens).unwrap();
            assert!((chosen.likelihood - top).abs() < 1e-12);
        }
        assert!(ranked.iter().zip(&first).any(|(one, other)| one.tokens != other.tokens));
    }
}
