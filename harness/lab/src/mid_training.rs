//! Reward and next-token loss on one text: some of a batch's tokens are predicted behind a thought and learned from
//! reward, all others as language models learn them.
//!
//! Source: Tian, Chen, Xu, Wang, Bi, Han, Wang, arXiv:2509.24375.

use ledger::order::bounded;
use ledger::settings::{Range, SettingError};
use ledger::streams::{Streams, unit_f64};
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::advantage::{AdvantageSettings, surrogate};
use crate::budgets::{DynamicBudget, Shape};
use crate::network::{Network, values};
use crate::objectives::{DefaultLoss, IGNORED};
use crate::rollout::{Reward, RolloutSettings, column};
use crate::seat::{Batch, Costs, Facts, Objective, Outcome, StepInfo, TaskInfo};
use crate::split::Split;
use crate::state::State;
use crate::thoughts::{Thinking, Thoughts};

/// Tiers of tokens by entropy: easy, medium, hard.
const TIERS: usize = 3;
/// Rows that the reference reads at once.
const AT_ONCE: i64 = 256;

choice! {
    /// Which tokens of a batch are learned from reward.
    pub enum Sampling {
        /// A tier by the step's shares, then a token of it.
        Curriculum = "curriculum",
        /// Any.
        Uniform = "uniform",
        /// Of the hard tier.
        Hard = "hard",
    }
}

settings! {
    /// Settings of mid-training.
    pub struct MidTrainingSettings {
        /// Tokens of a batch that are learned from reward; 0 for none.
        drawn: u32 = 16, range Range::of(0.0..=4096.0), from "assumed; the paper does not say what share";
        /// Which tokens these are.
        sampling: Sampling = Sampling::Curriculum, from "arXiv:2509.24375";
        /// p_1: shares of easy, medium and hard tokens among them at first.
        early: Vec<f64> = vec![0.6, 0.3, 0.1], range Range::of(0.0..=1.0), from "assumed";
        /// p_2: the same at last.
        late: Vec<f64> = vec![0.1, 0.3, 0.6], range Range::of(0.0..=1.0), from "assumed";
        /// t_1/T: share of the run until which shares are those at first.
        rise_from: f64 = 0.3, range Range::of(0.0..=1.0), from "arXiv:2509.24375";
        /// t_2/T: share of the run from which they are those at last.
        rise_to: f64 = 0.7, range Range::of(0.0..=1.0), from "arXiv:2509.24375";
        /// w: share of a reward that goes by the length of the thought; 0 for no budget.
        by_length: f64 = 0.2, range Range::of(0.0..=1.0), from "assumed";
        /// λ: weight of the next-token loss on tokens that are not drawn.
        lambda: f64 = 0.1, range Range::of(0.0..), from "arXiv:2509.24375";
        use budget: DynamicBudget;
        use advantage: AdvantageSettings;
        use rollouts: RolloutSettings;
        refuse Self::meaningless;
    }
}

impl MidTrainingSettings {
    fn meaningless(&self) -> Result<(), SettingError> {
        let Self { drawn, lambda, rise_from, rise_to, .. } = self;
        let shares = |key: &str, shares: &[f64]| {
            let sum: f64 = shares.iter().sum();
            let fits = shares.len() == TIERS && (sum - 1.0).abs() < 1e-9;
            (!fits)
                .then(|| format!("{key} is {shares:?}, but must be {TIERS} shares that sum to 1"))
        };
        let nothing = *drawn == 0 && *lambda == 0.0;
        let wrong = shares("early", &self.early)
            .or_else(|| shares("late", &self.late))
            .or_else(|| {
                (rise_from >= rise_to)
                    .then(|| format!("rise_from is {rise_from}, not below rise_to, {rise_to}"))
            })
            .or_else(|| {
                let message = "drawn and lambda are both 0: nothing would be learned; raise either";
                nothing.then(|| message.to_owned())
            });
        wrong.map_or(Ok(()), |message| Err(SettingError::Joint(message)))
    }

    /// p_t: shares of the tiers among drawn tokens at step t of T.
    #[must_use]
    pub fn shares(&self, step: u64, total: u64) -> [f64; TIERS] {
        let run = step as f64 / total.max(1) as f64;
        let risen = ((run - self.rise_from) / (self.rise_to - self.rise_from)).clamp(0.0, 1.0);
        let share = |tier: usize| (1.0 - risen) * self.early[tier] + risen * self.late[tier];
        [0, 1, 2].map(share)
    }

    /// Weights of the tiers for the next token to be drawn from `pools`; nothing where a pool is empty.
    fn weights(&self, pools: &[Vec<Place>; TIERS], now: &StepInfo) -> [f64; TIERS] {
        let shares = match self.sampling {
            Sampling::Curriculum => self.shares(now.step, now.total_steps),
            Sampling::Uniform => [0, 1, 2].map(|tier: usize| pools[tier].len() as f64),
            Sampling::Hard => [0.0, 0.0, 1.0],
        };
        [0, 1, 2].map(|tier: usize| if pools[tier].is_empty() { 0.0 } else { shares[tier] })
    }
}

/// A token of a batch: its row, and the place that it is predicted from.
type Place = (usize, usize);

/// C: tokens of the step to learn from reward, ascending.
fn drawn(
    settings: &MidTrainingSettings,
    mut pools: [Vec<Place>; TIERS],
    now: &StepInfo,
    random: &mut Pcg64,
) -> Vec<(Place, usize)> {
    let mut places = Vec::with_capacity(settings.drawn as usize);
    for _ in 0..settings.drawn {
        let weights = settings.weights(&pools, now);
        let mut left = unit_f64(random) * weights.iter().sum::<f64>();
        let open = (0..TIERS).filter(|tier| weights[*tier] > 0.0);
        // Rounding may leave nothing of the last one.
        let mut tier = None;
        for candidate in open {
            tier = Some(candidate);
            left -= weights[candidate];
            if left < 0.0 {
                break;
            }
        }
        let Some(tier) = tier else { break };
        let at = bounded(random, pools[tier].len() as u64) as usize;
        places.push((pools[tier].swap_remove(at), tier));
    }
    places.sort_unstable();
    places
}

/// r = (1 − w)·1[the prediction is right] + w·R(l; B), and a bonus for a thought that ends in time.
#[derive(Debug)]
struct Worth {
    by_length: f64,
    form: f64,
    budget: DynamicBudget,
}

impl Reward for Worth {
    fn score(&self, now: &StepInfo, outcome: Outcome, tokens: usize) -> f64 {
        let holds = |what: bool| f64::from(u8::from(what));
        let budget = self.budget.at(now.step, now.total_steps);
        (1.0 - self.by_length) * holds(outcome.correct)
            + self.by_length * Shape::Triangle.worth(tokens as f64, budget)
            + self.form * holds(outcome.well_formed)
    }
}

/// What a step has drawn and thought.
#[derive(Debug)]
struct Prepared {
    thinking: Thinking,
    /// One per response, N × 1.
    advantages: Tensor,
    /// Weights of token losses, N × (T − 1).
    weights: Tensor,
}

/// What a run has come to.
#[derive(Debug, Default)]
struct Counts {
    reference: usize,
    sampled: usize,
    trained: usize,
    responses: usize,
    response_tokens: usize,
    /// Thoughts and their tokens, in each tenth of the run.
    tenths: [[usize; 2]; 10],
    drawn: [usize; TIERS],
    right: usize,
    /// Groups whose rewards were all the same, and all groups.
    silent: [usize; 2],
}

crate::kept!(Counts {
    reference,
    sampled,
    trained,
    responses,
    response_tokens,
    tenths,
    drawn,
    right,
    silent,
});

/// Policy gradient on drawn tokens, each predicted behind a thought, and the next-token loss on the rest.
#[derive(Debug)]
pub struct MidTraining {
    settings: MidTrainingSettings,
    reward: Worth,
    thoughts: Thoughts,
    streams: Streams,
    /// Tier of what is predicted from each place of each training row; none where nothing is.
    tiers: Vec<Vec<Option<usize>>>,
    /// Entropies at which the medium and the hard tier begin, in nats.
    bounds: [f32; 2],
    prepared: Option<Prepared>,
    /// Labels of the tokens that are not drawn.
    rest: Option<Tensor>,
    counts: Counts,
    sampled: Sha256,
}

impl MidTraining {
    /// For a task whose policy thinks.
    ///
    /// # Errors
    /// When it does not, when no thought can keep to the budget, or when text and thought exceed the context.
    pub fn new(settings: MidTrainingSettings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let (Some(thoughts), Some(tokens)) = (task.side.thoughts, task.side.tokens) else {
            return Err(task.unfit("nothing is thought before a prediction"));
        };
        if let Some(reason) = beyond(&settings, &thoughts, tokens.context) {
            return Err(task.unfit(reason));
        }
        let MidTrainingSettings { by_length, budget, rollouts, .. } = settings.clone();
        Ok(Self {
            settings,
            reward: Worth { by_length, form: rollouts.form_reward, budget },
            thoughts,
            streams: task.streams.clone(),
            tiers: Vec::new(),
            bounds: [0.0; 2],
            prepared: None,
            rest: None,
            counts: Counts::default(),
            sampled: Sha256::new(),
        })
    }

    /// Samples, rewards and weighs responses to the drawn tokens of a batch, whose rows are `inputs` and `labels`.
    fn think(
        &mut self,
        network: &Network,
        [inputs, labels]: [&[Vec<i64>]; 2],
        places: &[(Place, usize)],
        now: &StepInfo,
    ) -> Result<Prepared, LabError> {
        let MidTrainingSettings { advantage, rollouts, .. } = &self.settings;
        let group = rollouts.responses as usize;
        let prefix = |((row, place), _): &(Place, usize)| inputs[*row][..=*place].to_vec();
        let prefixes: Vec<Vec<i64>> = places.iter().map(prefix).collect();
        let step = u32::try_from(now.step).unwrap_or(u32::MAX);
        let streams = (&self.streams, step);
        let thinking = Thinking::sampled(network, &self.thoughts, &prefixes, group, streams)?;
        let wanted = places
            .iter()
            .flat_map(|((row, place), _)| std::iter::repeat_n(Some(labels[*row][*place]), group));
        let outcomes = thinking.said.iter().zip(wanted).map(|(said, wanted)| {
            let well_formed = said.token.is_some();
            (Outcome { correct: said.token == wanted, well_formed }, said.length)
        });
        let outcomes: Vec<(Outcome, usize)> = outcomes.collect();
        let own =
            outcomes.iter().map(|(outcome, length)| self.reward.score(now, *outcome, *length));
        let rewards = rollouts.reward.deal(own.collect(), &self.streams, now);
        let norm = advantage.norm();
        let groups: Vec<Vec<f64>> =
            rewards.chunks(group).map(|group| norm.advantages(group)).collect();
        let silent = groups.iter().filter(|group| group.iter().all(|value| *value == 0.0)).count();
        for token in thinking.responses.iter().flatten() {
            self.sampled.update(token.to_le_bytes());
        }
        let counts = &mut self.counts;
        counts.sampled += thinking.lengths.iter().sum::<usize>();
        counts.responses += outcomes.len();
        counts.response_tokens += thinking.responses.iter().map(Vec::len).sum::<usize>();
        counts.right += outcomes.iter().filter(|(outcome, _)| outcome.correct).count();
        counts.silent = [counts.silent[0] + silent, counts.silent[1] + groups.len()];
        places.iter().for_each(|(_, tier)| counts.drawn[*tier] += 1);
        let tenth = (10 * now.step / now.total_steps.max(1)).min(9) as usize;
        let [thought, tokens] = &mut counts.tenths[tenth];
        *thought += outcomes.len();
        *tokens += outcomes.iter().map(|(_, length)| length).sum::<usize>();
        Ok(Prepared {
            advantages: column(&groups.concat(), &thinking.mask)?,
            weights: advantage
                .aggregate
                .weights(&thinking.mask, self.thoughts.longest_response())?,
            thinking,
        })
    }
}

/// Why no thought can keep to the budget, or no text has room for one, if so.
fn beyond(settings: &MidTrainingSettings, thoughts: &Thoughts, context: i64) -> Option<String> {
    let Thoughts { longest, shortest, prefix, .. } = *thoughts;
    if thoughts.whole() as i64 > context {
        return Some(format!(
            "a text of {prefix} tokens and a thought of up to {longest} with its marks and a prediction exceed the context of {context}"
        ));
    }
    if settings.drawn == 0 || settings.by_length == 0.0 {
        return None;
    }
    let first = settings.budget.first;
    if first > f64::from(longest) {
        return Some(format!(
            "a budget of {first} tokens, and thoughts have {longest} at most: lower `first`"
        ));
    }
    let last = settings.budget.at(1, 1);
    (last < f64::from(shortest)).then(|| {
        format!("a budget that ends at {last} tokens, and the shortest thought that helps has {shortest}: raise `least`, `gamma` or `first`")
    })
}

/// Entropy of what `network` expects behind every place of these rows, in nats, row by row.
fn entropies(network: &Network, inputs: &Tensor) -> Result<Vec<f32>, LabError> {
    let logs = network.forward(inputs, false)?.f_log_softmax(-1, None::<Kind>)?;
    let each = logs.f_exp()?.f_mul(&logs)?.f_sum_dim_intlist(-1, false, None::<Kind>)?;
    Ok(values(&each.f_neg()?)?)
}

/// Bounds of terciles: the values that a third and two thirds of all are below.
fn terciles(mut all: Vec<f32>) -> [f32; 2] {
    all.sort_unstable_by(f32::total_cmp);
    [1, 2].map(|third| all.get(third * all.len() / TIERS).copied().unwrap_or(0.0))
}

/// The rows of a table of numbers, on the host.
fn rows(table: &Tensor) -> Result<Vec<Vec<i64>>, TchError> {
    let (_, width) = table.size2()?;
    let flat = Vec::<i64>::try_from(&table.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
    Ok(flat.chunks_exact(width.max(1) as usize).map(<[i64]>::to_vec).collect())
}

impl Objective for MidTraining {
    /// The frozen reference is the policy as it starts, and is asked once about every token.
    fn start(&mut self, network: &Network, train: &Split) -> Result<Option<Vec<u32>>, LabError> {
        if self.settings.drawn == 0 {
            return Ok(None);
        }
        let mut all = Vec::new();
        let mut start = 0;
        while start < train.len() {
            let (inputs, _) = train.rows(start, AT_ONCE.min(train.len() - start))?;
            all.extend(entropies(network, &inputs)?);
            self.counts.reference += inputs.numel();
            start += AT_ONCE;
        }
        let labels = rows(&train.labels)?;
        let asked = labels.iter().flatten().zip(&all).filter(|(label, _)| **label != IGNORED);
        self.bounds = terciles(asked.map(|(_, entropy)| *entropy).collect());
        let tier = |entropy: f32| self.bounds.iter().filter(|bound| entropy >= **bound).count();
        let width = labels.first().map_or(1, Vec::len).max(1);
        let tiers = labels.iter().zip(all.chunks(width)).map(|(labels, entropies)| {
            let places = labels.iter().zip(entropies);
            places.map(|(label, entropy)| (*label != IGNORED).then(|| tier(*entropy))).collect()
        });
        self.tiers = tiers.collect();
        Ok(None)
    }

    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        (self.prepared, self.rest) = (None, None);
        if self.settings.drawn > 0 {
            let mut pools: [Vec<Place>; TIERS] = Default::default();
            for (row, id) in batch.ids.iter().enumerate() {
                let places = self.tiers[*id as usize].iter().enumerate();
                let asked = places.filter_map(|(place, tier)| Some((place, (*tier)?)));
                asked.for_each(|(place, tier)| pools[tier].push((row, place)));
            }
            let step = u32::try_from(now.step).unwrap_or(u32::MAX);
            let mut random = self.streams.keyed("drawn", step, 0);
            let places = drawn(&self.settings, pools, now, &mut random);
            let (inputs, mut labels) = (rows(&batch.inputs)?, rows(&batch.labels)?);
            if !places.is_empty() {
                self.prepared = Some(self.think(network, [&inputs, &labels], &places, now)?);
            }
            places.iter().for_each(|((row, place), _)| labels[*row][*place] = IGNORED);
            let asked = labels.iter().flatten().any(|label| *label != IGNORED);
            let rest = Tensor::f_from_slice(&labels.concat())?.f_view_as(&batch.labels)?;
            let rest = rest.f_to_device(batch.labels.device())?;
            self.rest = asked.then_some(rest);
        } else {
            self.rest = Some(batch.labels.shallow_clone());
        }
        let thought = self.prepared.as_ref().map(|prepared| &prepared.thinking.lengths);
        let read = self.settings.lambda > 0.0 && self.rest.is_some();
        let read = if read { batch.inputs.numel() } else { 0 };
        self.counts.trained += thought.into_iter().flatten().sum::<usize>() + read;
        Ok(())
    }

    /// The loss of the step, for each row: a thought belongs to none alone.
    fn losses(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        Ok(self.loss(network, batch, now)?.f_repeat([batch.ids.len() as i64])?)
    }

    /// L = L_RL + λ·L_NTP, the latter a mean over the tokens that are not drawn.
    fn loss(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<Tensor, LabError> {
        let reward = match &self.prepared {
            None => None,
            Some(Prepared { thinking, advantages, weights }) => {
                let own = thinking.log_probabilities(network)?;
                let each = surrogate(&own, &own.detach(), advantages, None)?.f_mul(weights)?;
                let each = each.f_sum_dim_intlist(1, false, None::<Kind>)?;
                Some(each.f_mean(None::<Kind>)?)
            }
        };
        let lambda = self.settings.lambda;
        let text = match &self.rest {
            Some(rest) if lambda > 0.0 => {
                let batch = Batch {
                    ids: batch.ids.clone(),
                    sample_ids: batch.sample_ids.shallow_clone(),
                    inputs: batch.inputs.shallow_clone(),
                    labels: rest.shallow_clone(),
                };
                let loss = DefaultLoss::Tokens.loss(network, &batch, now)?;
                Some(if lambda == 1.0 { loss } else { loss.f_mul_scalar(lambda)? })
            }
            _ => None,
        };
        match (reward, text) {
            (Some(reward), Some(text)) => Ok(reward.f_add(&text)?),
            (Some(loss), None) | (None, Some(loss)) => Ok(loss),
            (None, None) => {
                let reason = "no token of the batch is hard, and lambda is 0: enlarge the batch";
                Err(LabError::Method(reason.to_owned()))
            }
        }
    }

    fn costs(&self) -> Costs {
        let Counts { reference, sampled, trained, response_tokens, .. } = self.counts;
        let mut costs = Costs::from([("forward_tokens", (reference + sampled + trained) as u64)]);
        if self.settings.drawn > 0 {
            costs.insert("response_tokens", response_tokens as u64);
        }
        costs
    }

    fn facts(&self) -> Facts {
        let Counts { reference, sampled, trained, responses, .. } = self.counts;
        let Counts { tenths, drawn, right, silent, .. } = &self.counts;
        let mut facts = Facts::from(
            [
                ("forward_tokens_reference", json!(reference)),
                ("forward_tokens_sampled", json!(sampled)),
                ("forward_tokens_trained", json!(trained)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if self.settings.drawn > 0 {
            let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
            let digest = ledger::digest::Digest(self.sampled.clone().finalize().into());
            let more = [
                ("responses", json!(responses)),
                ("responses_sha256", json!(digest.to_string())),
                ("right", json!(share(*right, responses))),
                ("never_accepted", json!(responses > 0 && *right == 0)),
                ("thought_by_tenth", json!(tenths.map(|[all, tokens]| share(tokens, all)))),
                ("drawn_by_tier", json!(drawn)),
                ("tier_bounds", json!(self.bounds)),
                ("groups_without_signal", json!(share(silent[0], silent[1]))),
            ];
            facts.extend(more.map(|(name, value)| (name.to_owned(), value)));
        }
        facts
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("counts", &mut self.counts)?;
        state.of("sampled", &mut self.sampled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::gpt::{Shape as Sizes, gpt};
    use crate::side_info::{SideInfo, Tokens};
    use crate::trial::{self, step_info};

    const THOUGHTS: Thoughts = Thoughts { open: 1, close: 2, longest: 4, shortest: 1, prefix: 6 };

    /// Texts of seven tokens 3 to 6 that count up or down, of which the first two are given.
    struct Counting {
        network: Network,
        texts: Split,
        side: SideInfo,
        streams: Streams,
    }

    fn counting() -> Counting {
        let streams = trial::streams();
        let shape = Sizes { vocabulary: 7, context: 13, width: 16, depth: 1, heads: 2, hidden: 32 };
        let network = gpt(shape, &streams, Device::Cpu).unwrap();
        let up = |id: i64| if id < 4 { 1 } else { -1 };
        let token = |id: i64, place: i64| 3 + (id + up(id) * place).rem_euclid(4);
        let rows = |from: i64| {
            (0..8).flat_map(move |id| (from..from + 6).map(move |place| token(id, place)))
        };
        let inputs: Vec<i64> = rows(0).collect();
        let labels = rows(1).enumerate();
        let labels: Vec<i64> =
            labels.map(|(at, label)| if at % 6 == 0 { IGNORED } else { label }).collect();
        let table = |rows: &[i64]| Tensor::from_slice(rows).view([8, 6]);
        let texts = Split { stored: table(&inputs), labels: table(&labels), groups: Vec::new() };
        let side = SideInfo {
            loss: Some(DefaultLoss::Tokens),
            tokens: Some(Tokens {
                vocabulary: 7,
                context: 13,
                end: None,
                mask: None,
                first_ordinary: 3,
            }),
            thoughts: Some(THOUGHTS),
            ..SideInfo::default()
        };
        Counting { network, texts, side, streams }
    }

    impl Counting {
        fn task(&self) -> TaskInfo<'_> {
            TaskInfo {
                method: "the method",
                workload: "counting",
                network: &self.network,
                examples: 8,
                side: &self.side,
                teacher: None,
                budget_samples: 0,
                streams: &self.streams,
            }
        }

        fn objective(&self, settings: &MidTrainingSettings) -> MidTraining {
            let mut objective = MidTraining::new(settings.clone(), &self.task()).unwrap();
            tch::no_grad(|| objective.start(&self.network, &self.texts)).unwrap();
            objective
        }

        fn batch(&self) -> Batch {
            self.texts.batch(&[0, 3, 5, 6]).unwrap()
        }

        /// Prepares a step.
        fn step(&self, objective: &mut MidTraining, step: u64) -> (Batch, StepInfo) {
            let (batch, now) = (self.batch(), step_info(step, 100));
            tch::no_grad(|| objective.before_step(&self.network, &batch, &now)).unwrap();
            (batch, now)
        }
    }

    fn settings() -> MidTrainingSettings {
        let budget = DynamicBudget { first: 4.0, least: 1.0, gamma: 0.25 };
        MidTrainingSettings { drawn: 6, budget, ..MidTrainingSettings::default() }
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} instead of {expected}");
    }

    #[test]
    fn shares_of_tiers_are_the_first_then_go_over_to_the_last() {
        let at = |step| MidTrainingSettings::default().shares(step, 100);
        for (step, expected) in [
            (0, [0.6, 0.3, 0.1]),
            (30, [0.6, 0.3, 0.1]),
            (50, [0.35, 0.30, 0.35]),
            (70, [0.1, 0.3, 0.6]),
            (99, [0.1, 0.3, 0.6]),
        ] {
            at(step).into_iter().zip(expected).for_each(|(found, share)| close(found, share));
        }
    }

    #[test]
    fn a_response_is_rewarded_for_its_prediction_and_for_its_length() {
        let budget = DynamicBudget { first: 87.0, least: 1.0, gamma: 1.0 };
        let reward = |by_length: f64, correct: bool, length: usize| {
            let worth = Worth { by_length, form: 0.0, budget: budget.clone() };
            worth.score(&step_info(0, 100), Outcome { correct, well_formed: true }, length)
        };
        for (length, expected) in [(0, 0.0), (87, 1.0), (174, 0.0), (175, 0.0)] {
            close(reward(1.0, true, length), expected);
        }
        close(reward(1.0, false, 58), 58.0 / 87.0);
        close(reward(0.2, true, 87), 1.0);
        close(reward(0.2, false, 87), 0.2);
        close(reward(0.0, true, 500), 1.0);
        let form = Worth { by_length: 0.0, form: 0.25, budget };
        let cut = Outcome { correct: false, well_formed: false };
        close(form.score(&step_info(0, 1), cut, 3), 0.0);
        close(form.score(&step_info(0, 1), Outcome { well_formed: true, ..cut }, 3), 0.25);
    }

    #[test]
    fn a_third_of_what_is_asked_is_in_each_tier_and_the_rest_in_none() {
        let objective = counting().objective(&settings());
        let mut counts = [0; TIERS + 1];
        for tier in objective.tiers.iter().flatten() {
            counts[tier.unwrap_or(TIERS)] += 1;
        }
        // Eight texts of five tokens, and one that is given.
        assert_eq!(counts, [13, 13, 14, 8]);
        assert_eq!(terciles(vec![5.0, 1.0, 4.0, 2.0, 3.0, 6.0]), [3.0, 5.0]);
    }

    #[test]
    fn a_reference_is_as_uncertain_as_its_distribution_says() {
        let Counting { network, texts, .. } = counting();
        let own = entropies(&network, &texts.stored).unwrap();
        let shares = network.forward(&texts.stored, false).unwrap().softmax(-1, Kind::Double);
        for place in [0_i64, 5] {
            let expected: f64 = (0..7)
                .map(|token| shares.double_value(&[1, place, token]))
                .fold(0.0, |sum, share| sum - share * share.ln());
            assert!((f64::from(own[6 + place as usize]) - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn every_asked_token_is_learned_from_reward_or_by_its_likelihood_and_none_by_both() {
        let counting = counting();
        for sampling in [Sampling::Curriculum, Sampling::Uniform, Sampling::Hard] {
            let mut objective = counting.objective(&MidTrainingSettings { sampling, ..settings() });
            for step in [0, 40, 99] {
                let (batch, _) = counting.step(&mut objective, step);
                let thinking = &objective.prepared.as_ref().unwrap().thinking;
                assert_eq!(thinking.said.len() % 8, 0);
                let rest = rows(objective.rest.as_ref().unwrap()).unwrap();
                let mut covered = vec![vec![0; 6]; 4];
                for (row, place) in (0..4).flat_map(|row| (0..6).map(move |place| (row, place))) {
                    covered[row][place] += u32::from(rest[row][place] != IGNORED);
                }
                let inputs = rows(&batch.inputs).unwrap();
                for group in thinking.tokens.split(8, 0) {
                    let tokens = Vec::<i64>::try_from(group.get(0)).unwrap();
                    let prefix = tokens.split(|token| *token == THOUGHTS.open).next().unwrap();
                    let row = inputs.iter().position(|row| row.starts_with(prefix)).unwrap();
                    covered[row][prefix.len() - 1] += 1;
                }
                for (covered, labels) in covered.iter().zip(rows(&batch.labels).unwrap()) {
                    let asked: Vec<u32> =
                        labels.iter().map(|label| u32::from(*label != IGNORED)).collect();
                    assert_eq!(*covered, asked, "{sampling:?}");
                }
            }
        }
    }

    #[test]
    fn tokens_are_drawn_once_each_by_the_shares_of_their_tiers() {
        let pools = || [0, 1, 2].map(|tier| (0..40).map(|place| (tier, place)).collect());
        let mut counts = [0.0_f64; TIERS];
        for step in 0..200 {
            let mut random = trial::streams().keyed("drawn", step, 0);
            let settings = MidTrainingSettings { drawn: 10, ..settings() };
            let places = drawn(&settings, pools(), &step_info(50, 100), &mut random);
            assert!(places.is_sorted_by(|one, next| one.0 < next.0) && places.len() == 10);
            for ((pool, _), tier) in places {
                assert_eq!(pool, tier);
                counts[tier] += 1.0 / 2_000.0;
            }
        }
        for (share, expected) in counts.into_iter().zip([0.35, 0.30, 0.35]) {
            assert!((share - expected).abs() < 0.04, "{share} instead of {expected}");
        }
        // Of a tier that is used up others take the place; of all there are no more.
        let few = || [vec![], vec![(0, 0), (0, 1)], vec![(1, 1)]];
        let all = |sampling| {
            let settings = MidTrainingSettings { sampling, ..settings() };
            let mut random = trial::streams().keyed("drawn", 0, 0);
            drawn(&settings, few(), &step_info(0, 100), &mut random).len()
        };
        assert_eq!([Sampling::Curriculum, Sampling::Uniform, Sampling::Hard].map(all), [3, 3, 1]);
    }

    #[test]
    fn the_loss_is_that_of_reward_and_lambda_times_that_of_the_rest() {
        let counting = counting();
        let loss = |drawn, lambda| {
            let mut objective =
                counting.objective(&MidTrainingSettings { drawn, lambda, ..settings() });
            let (batch, now) = counting.step(&mut objective, 0);
            let loss = objective.loss(&counting.network, &batch, &now).unwrap();
            (loss.double_value(&[]), objective)
        };
        let (reward, _) = loss(6, 0.0);
        let (both, objective) = loss(6, 0.1);
        let rest = objective.rest.unwrap();
        let logits = counting.network.forward(&counting.batch().inputs, false).unwrap();
        let each = crate::objectives::token_losses(&logits, &rest).unwrap();
        // Four texts of five tokens, of which six are drawn.
        let mean = each.sum(Kind::Double).double_value(&[]) / 14.0;
        assert!((both - reward - 0.1 * mean).abs() < 1e-6, "{both} {reward} {mean}");
        let (text, objective) = loss(0, 1.0);
        assert!(objective.prepared.is_none() && text > 1.0);
        assert_eq!(objective.costs()["forward_tokens"], 24);
    }

    #[test]
    fn all_that_is_sampled_and_trained_on_is_counted() {
        let counting = counting();
        let mut objective = counting.objective(&settings());
        counting.step(&mut objective, 0);
        let rows: usize = objective.prepared.as_ref().unwrap().thinking.lengths.iter().sum();
        let facts = objective.facts();
        let count = |name: &str| facts[name].as_u64().unwrap() as usize;
        assert_eq!(count("forward_tokens_reference"), 48);
        assert_eq!(count("forward_tokens_sampled"), rows);
        assert_eq!(count("forward_tokens_trained"), rows + 24);
        assert_eq!(objective.costs()["forward_tokens"], (2 * rows + 72) as u64);
        assert_eq!(count("responses"), 48);
        assert_eq!(facts["never_accepted"], json!(facts["right"] == json!(0.0)));
    }

    #[test]
    fn that_no_prediction_was_ever_right_is_said() {
        let mut counting = counting();
        let asked = counting.texts.labels.ne(IGNORED);
        // No token of the alphabet.
        counting.texts.labels = counting.texts.labels.masked_fill(&asked, 99);
        let mut objective = counting.objective(&settings());
        counting.step(&mut objective, 0);
        let facts = objective.facts();
        assert_eq!((&facts["right"], &facts["never_accepted"]), (&json!(0.0), &json!(true)));
    }

    #[test]
    fn rewarded_for_length_alone_thoughts_become_about_as_long_as_is_asked_for() {
        let mean = |first: f64| {
            let counting = counting();
            let budget = DynamicBudget { first, least: 1.0, gamma: 1.0 };
            let alone = MidTrainingSettings { by_length: 1.0, lambda: 0.0, ..settings() };
            let mut objective = counting.objective(&MidTrainingSettings { budget, ..alone });
            for step in 0..100 {
                let (batch, now) = counting.step(&mut objective, step);
                let loss = objective.loss(&counting.network, &batch, &now).unwrap();
                trial::descend(&counting.network, &loss, 0.3).unwrap();
            }
            let said = &objective.prepared.as_ref().unwrap().thinking.said;
            said.iter().map(|said| said.length as f64).sum::<f64>() / said.len() as f64
        };
        let (short, long) = (mean(1.0), mean(4.0));
        assert!(short + 1.0 < long, "{short} and {long}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_values_and_a_remedy() {
        let counting = counting();
        let unfit = |settings: MidTrainingSettings, thoughts: Thoughts| {
            let side = SideInfo { thoughts: Some(thoughts), ..counting.side.clone() };
            let task = TaskInfo { side: &side, ..counting.task() };
            MidTraining::new(settings, &task).unwrap_err().to_string()
        };
        let long = DynamicBudget { first: 5.0, ..settings().budget };
        let message = unfit(MidTrainingSettings { budget: long, ..settings() }, THOUGHTS);
        let expected = "a budget of 5 tokens, and thoughts have 4 at most: lower `first`";
        assert!(message.ends_with(expected), "{message}");
        let message = unfit(settings(), Thoughts { shortest: 2, ..THOUGHTS });
        assert!(message.contains("ends at 1 tokens") && message.contains("has 2"), "{message}");
        let message = unfit(settings(), Thoughts { prefix: 7, ..THOUGHTS });
        assert!(message.ends_with("exceed the context of 13"), "{message}");
        let side = SideInfo { thoughts: None, ..counting.side.clone() };
        let task = TaskInfo { side: &side, ..counting.task() };
        assert!(MidTraining::new(settings(), &task).is_err());
        let joint = |settings: MidTrainingSettings| settings.together().unwrap_err().to_string();
        let shares = joint(MidTrainingSettings { late: vec![0.5, 0.6], ..settings() });
        assert_eq!(shares, "late is [0.5, 0.6], but must be 3 shares that sum to 1");
        let order = joint(MidTrainingSettings { rise_from: 0.7, ..settings() });
        assert_eq!(order, "rise_from is 0.7, not below rise_to, 0.7");
        let nothing = joint(MidTrainingSettings { drawn: 0, lambda: 0.0, ..settings() });
        assert!(nothing.contains("nothing would be learned"), "{nothing}");
    }
}
