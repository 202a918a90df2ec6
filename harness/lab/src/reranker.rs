//! A ranker of a policy's responses and the policy, each made better by the other: the ranker learns pairs of a right and a
//! wrong response, the policy learns what the ranker likes, and what it then writes gives the ranker harder pairs.
//!
//! Source: Sorokin, Sedykh, Malykh, arXiv:2504.09643.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ledger::order::{bounded, shuffle};
use ledger::settings::{Range, SettingError, refuse_idle};
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use tch::Tensor;

use crate::LabError;
use crate::advantage::{Divergence, Norm, surrogate};
use crate::network::Network;
use crate::objectives::DefaultLoss;
use crate::prompt::Prompt;
use crate::proximal::{PolicyRule, Proximal, RuleSettings};
use crate::ranker::{Lesson, Ranker};
use crate::rollout::{Roller, RolloutSettings, Rollouts, column, verified};
use crate::seat::{Batch, Costs, Facts, Objective, StepInfo, TaskInfo, Texts, Writer, Written};
use crate::side_info::Verifier;
use crate::split::Split;
use crate::stages::Shares;
use crate::state::State;
use crate::workshop::{Manner, Workshop, nothing, prompts};
use crate::writing::{drafts, plain};

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
        /// Whether a policy begins again with what imitation left for each ranker, in place of going on.
        restart: bool = true, from "paper: PPO anew on each ranker";
        /// Responses to a prompt in a step by the ranker's word.
        responses: u32 = 4, range Range::of(2.0..=64.0), from "assumed";
        /// Weight of the divergence from what imitation left.
        divergence: f64 = 0.05, range Range::of(0.0..), from "assumed: not in what was read; trl: 0.05";
        /// Updates on each batch of responses, of `ppo`.
        passes: u32 = 4, range Range::of(1.0..=16.0), from "trl; not in what was read";
        /// Factor on the learning rate for steps by the ranker's word.
        policy_lr: f64 = 0.3, range Range::above(0.0), from "assumed";
        use rule: RuleSettings;
        refuse Self::without_a_word;
    }
}

impl RankerSettings {
    /// Where no step follows a ranker's word only one ranker is made; what nothing reads is refused.
    fn without_a_word(&self) -> Result<(), SettingError> {
        let Self { iterations, imitation, .. } = self;
        let group = self.rule.policy_rule == PolicyRule::Group;
        let idle = [
            ("passes", group, "policy_rule \"ppo\""),
            ("restart", *iterations < 2, "several iterations"),
        ];
        refuse_idle(&self.values(), &Self::default().values(), &idle)?;
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
    proximal: Proximal,
    /// The policy that imitation left.
    imitator: Option<Network>,
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
    /// For a task with a verifier, with a ranker that others see and a policy of rate `lr`.
    ///
    /// # Errors
    /// When the workload verifies nothing, or prompts are of different lengths.
    pub fn new(
        settings: RankerSettings,
        task: &TaskInfo<'_>,
        ranker: &Shared,
        lr: f64,
    ) -> Result<Self, LabError> {
        let rollouts =
            RolloutSettings { responses: settings.responses, ..RolloutSettings::default() };
        let roller = Roller::new(&rollouts, task)?;
        let Some(verifier) = task.side.verifier.clone() else {
            return Err(task.unfit("there is no verifier of responses"));
        };
        let RankerSettings { passes, divergence, .. } = settings;
        let proximal = settings.rule.proximal(passes, divergence, lr);
        Ok(Self {
            shares: Shares::new(settings.shares()),
            settings,
            proximal: Proximal::new(proximal, task.streams),
            verifier,
            roller,
            workshop: Workshop::new(task.streams),
            ranker: ranker.clone(),
            imitator: None,
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

    fn by_proximal_updates(&self) -> bool {
        self.settings.rule.policy_rule == PolicyRule::Ppo
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
        let lesson = Lesson { steps: self.settings.ranker_steps, lr: self.settings.ranker_lr };
        ranker.learn(&stage, learned, lesson, &streams)?;
        let accuracy = if held_out.is_empty() { None } else { Some(ranker.accuracy(held_out)?) };
        self.told.push(json!({
            "stage": stage,
            "pairs": learned.len(),
            "new_pairs": hard,
            "accuracy": accuracy,
            "accuracy_of_the_one_before": before,
            "policy_sha256": network.digest()?.to_string(),
            "parameters_sha256": ranker.network().digest()?.to_string(),
        }));
        self.trained += 1;
        self.ranker.replace(Some(ranker));
        Ok(())
    }
}

/// Gives a network the values of another of its kind.
fn put_back(network: &Network, of: &Network) -> Result<(), LabError> {
    tch::no_grad(|| {
        for (own, other) in network.parameters.iter().zip(&of.parameters) {
            own.tensor.shallow_clone().f_copy_(&other.tensor)?;
        }
        Ok(())
    })
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
            self.imitator = Some(network.duplicate());
        }
        if self.stage > 0 && self.by_proximal_updates() {
            let scorer = self.ranker.borrow().as_ref().map(|ranker| ranker.network().duplicate());
            // Of a policy that goes on the divergence is from what imitation left, too.
            self.proximal.begin(self.imitator.as_ref().unwrap_or(network), scorer)?;
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
        if self.by_proximal_updates() {
            return self.proximal.prepare(network, rollouts, &scores);
        }
        let norm = Norm::MeanStd { unbiased: true, eps: 1e-6 };
        let each = scores.chunks(self.roller.responses()).flat_map(|group| norm.advantages(group));
        let advantages = column(&each.collect::<Vec<f64>>(), &rollouts.mask)?;
        let reference = match &self.imitator {
            Some(imitator) if self.settings.divergence > 0.0 => {
                Some(rollouts.log_probabilities(imitator)?)
            }
            _ => None,
        };
        self.prepared = Some(Prepared { rollouts, advantages, reference });
        Ok(())
    }

    fn passes(&self) -> u32 {
        if self.stage > 0 && self.by_proximal_updates() { self.proximal.passes() } else { 1 }
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
        let responses = self.roller.responses() as i64;
        if self.by_proximal_updates() {
            let each = self.proximal.losses(network, now)?;
            return Ok(each.f_view([-1, responses])?.f_mean_dim(1, false, each.kind())?);
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
        Ok(each.f_view([-1, responses])?.f_mean_dim(1, false, kind)?)
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

    /// Behind the last step of each stretch the next ranker is made, as long as there is one to make; where another
    /// stretch follows, the policy is put back to what imitation left.
    fn after_step(&mut self, network: &Network, _: &Batch, now: &StepInfo) -> Result<(), LabError> {
        let (next, total) = (now.step + 1, now.total_steps);
        let ends =
            next == total || self.shares.at(next, total).0 > self.shares.at(now.step, total).0;
        if ends && !self.rehearsing && self.trained < self.settings.iterations {
            self.rank(network)?;
            if let (true, true, Some(imitator)) =
                (self.settings.restart, next < total, &self.imitator)
            {
                put_back(network, imitator)?;
            }
        }
        Ok(())
    }

    fn costs(&self) -> Costs {
        self.roller.costs()
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
        let mut ranker = self.ranker.take().map(Ranker::into_network);
        state.network("ranker", &mut ranker)?;
        self.ranker.replace(ranker.map(Ranker::of).transpose()?);
        state.network("imitator", &mut self.imitator)?;
        self.proximal.state(state)?;
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
        ranker.learn("ranker-1", &pairs, Lesson { steps: 100, lr: 1e-3 }, &streams).unwrap();
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
