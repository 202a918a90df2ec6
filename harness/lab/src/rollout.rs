//! Responses to a batch of prompts: sampled, verified, rewarded, and scored by a policy.

use std::sync::Arc;

use ledger::settings::Range;
use ledger::streams::Streams;
use ledger::{choice, settings};
use rand_pcg::Pcg64;
use sha2::{Digest as _, Sha256};
use tch::{Device, Kind, TchError, Tensor};

use crate::LabError;
use crate::generate::{Choice, Generated, Options, Prompts, generate};
use crate::models::gpt::Gpt;
use crate::network::Network;
use crate::seat::{Batch, Costs, Facts, Outcome, StepInfo, TaskInfo};
use crate::side_info::{Tokens, Verifier};
use crate::state::State;

choice! {
    /// What a response is rewarded for.
    pub enum Rewarded {
        /// For being right.
        Correct = "correct",
        /// For nothing: the rewards of a batch are dealt out at random. What a method gains with
        /// them it does not gain by learning from reward.
        Shuffled = "shuffled",
        /// For nothing at all: every reward is 0, so that only a divergence or decay moves the policy.
        Nothing = "nothing",
    }
}

impl Rewarded {
    /// What each response of a step gets where these are their own rewards.
    #[must_use]
    pub fn deal(self, rewards: Vec<f64>, streams: &Streams, now: &StepInfo) -> Vec<f64> {
        match self {
            Self::Correct => rewards,
            Self::Shuffled => {
                let step = u32::try_from(now.step).unwrap_or(u32::MAX);
                let mut places: Vec<u32> = (0..).take(rewards.len()).collect();
                ledger::order::shuffle(&mut streams.keyed("control", step, 0), &mut places);
                places.into_iter().map(|place| rewards[place as usize]).collect()
            }
            Self::Nothing => vec![0.0; rewards.len()],
        }
    }
}

settings! {
    /// Settings of roll-outs.
    pub struct RolloutSettings {
        /// G: responses per prompt.
        responses: u32 = 8, range Range::of(1.0..=64.0), from "trl; verl in DUMP: 16";
        /// What a response is rewarded for.
        reward: Rewarded = Rewarded::Correct, from "1[correct], as in arXiv:2402.03300";
        /// Reward of a response that has the form that was asked for, beside 1 for a right one.
        form_reward: f64 = 0.0, range Range::of(0.0..), from "none: the verifier's word alone";
    }
}

/// What a verified response is worth to the learner.
pub trait Reward {
    /// The reward of a response that the verifier gave `outcome`, of `tokens` tokens.
    fn score(&self, now: &StepInfo, outcome: Outcome, tokens: usize) -> f64;
}

/// 1 for a right response, and a bonus for form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correctness {
    /// Reward of a well-formed response.
    pub form: f64,
}

impl Reward for Correctness {
    fn score(&self, _: &StepInfo, outcome: Outcome, _: usize) -> f64 {
        f64::from(u8::from(outcome.correct)) + self.form * f64::from(u8::from(outcome.well_formed))
    }
}

/// Responses as sampled: G in a row for each of B prompts, N = B·G in all.
#[derive(Debug)]
pub struct Rollouts {
    /// Prompts of P tokens and responses of up to R, filled with zeros: N × (P + R), i64.
    pub tokens: Tensor,
    /// 1 at tokens of a response, its end included: N × R, f32.
    pub mask: Tensor,
    /// P.
    pub prompt: i64,
    /// What the verifier says of each, if it was asked.
    pub outcomes: Vec<Outcome>,
    /// Tokens of each, its end included.
    pub lengths: Vec<usize>,
}

impl Rollouts {
    /// `responses` to `prompts`, row by row.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn new(prompts: &Tensor, responses: &[Vec<i64>]) -> Result<Self, TchError> {
        let (rows, prompt) = prompts.size2()?;
        let lengths: Vec<usize> = responses.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let filled = responses.iter().flat_map(|response| {
            let fill = std::iter::repeat_n(0, longest - response.len());
            response.iter().copied().chain(fill)
        });
        let filled: Vec<i64> = filled.collect();
        let device = prompts.device();
        let longest = longest as i64;
        let tokens = Tensor::f_from_slice(&filled)?.f_view([rows, longest])?.f_to_device(device)?;
        let mask = mask(&lengths, longest)?.f_to_device(device)?;
        let tokens = Tensor::f_cat(&[prompts.shallow_clone(), tokens], 1)?;
        Ok(Self { tokens, mask, prompt, outcomes: Vec::new(), lengths })
    }

    /// The tokens of every response, on the host.
    ///
    /// # Errors
    /// When they cannot be copied.
    pub fn responses(&self) -> Result<Vec<Vec<i64>>, TchError> {
        let (_, longest) = self.mask.size2()?;
        rows_of(&self.tokens.f_narrow(1, self.prompt, longest)?, &self.lengths)
    }

    /// Log-probabilities that `network` gives the tokens of the responses: N × R, of which those
    /// off the mask mean nothing.
    ///
    /// # Errors
    /// When the network is no transformer.
    pub fn log_probabilities(&self, network: &Network) -> Result<Tensor, LabError> {
        let logits = Gpt::of(network)?.logits(network, &self.states(network)?)?;
        let (_, longest) = self.mask.size2()?;
        let responses = self.tokens.f_narrow(1, self.prompt, longest)?.f_unsqueeze(-1)?;
        let chosen = logits.f_gather(-1, &responses, false)?.f_squeeze_dim(-1)?;
        Ok(chosen.f_sub(&logits.f_logsumexp([-1], false)?)?)
    }

    /// Hidden states that the tokens of the responses are predicted from: N × R × d.
    ///
    /// # Errors
    /// When the network is no transformer.
    pub fn states(&self, network: &Network) -> Result<Tensor, LabError> {
        let (_, longest) = self.mask.size2()?;
        let seen = self.tokens.f_narrow(1, 0, self.prompt + longest - 1)?;
        Ok(Gpt::of(network)?.hidden(network, &seen)?.f_narrow(1, self.prompt - 1, longest)?)
    }

    /// The rows at `places`, as roll-outs of their own.
    ///
    /// # Errors
    /// When a place is beyond the last row.
    pub fn select(&self, places: &[usize]) -> Result<Self, TchError> {
        let rows: Vec<i64> = places.iter().map(|place| *place as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(self.tokens.device())?;
        Ok(Self {
            tokens: self.tokens.f_index_select(0, &rows)?,
            mask: self.mask.f_index_select(0, &rows)?,
            prompt: self.prompt,
            outcomes: places
                .iter()
                .filter_map(|place| self.outcomes.get(*place).copied())
                .collect(),
            lengths: places.iter().map(|place| self.lengths[*place]).collect(),
        })
    }
}

/// Samples, verifies and rewards responses to training prompts.
pub struct Roller {
    verifier: Arc<dyn Verifier>,
    prompt: usize,
    end: i64,
    responses: usize,
    rewarded: Rewarded,
    reward: Box<dyn Reward>,
    streams: Streams,
    sampled: Sha256,
    count: u64,
    accepted: u64,
    tokens: u64,
}

impl std::fmt::Debug for Roller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roller").field("responses", &self.responses).finish_non_exhaustive()
    }
}

impl Roller {
    /// For the task's verifier and the run's `rollout` stream.
    ///
    /// # Errors
    /// When the workload verifies nothing, or prompt and response exceed the network's context.
    pub fn new(settings: &RolloutSettings, task: &TaskInfo<'_>) -> Result<Self, LabError> {
        let RolloutSettings { responses, reward, form_reward } = *settings;
        let side = task.side;
        let (Some(verifier), Some(Tokens { end: Some(end), context, .. })) =
            (&side.verifier, side.tokens)
        else {
            return Err(task.unfit("there is no verifier of responses"));
        };
        let Some(prompt) = verifier.prompt_length() else {
            return Err(task.unfit("prompts are of different lengths"));
        };
        let longest = verifier.longest_response();
        if (prompt + longest) as i64 > context {
            return Err(task.unfit(format!(
                "prompts of {prompt} tokens and responses of up to {longest} exceed the context of {context}"
            )));
        }
        Ok(Self {
            verifier: verifier.clone(),
            prompt,
            end,
            responses: responses as usize,
            rewarded: reward,
            reward: Box::new(Correctness { form: form_reward }),
            streams: task.streams.clone(),
            sampled: Sha256::new(),
            count: 0,
            accepted: 0,
            tokens: 0,
        })
    }

    /// The same, with rewards of a method's own in place of [`Correctness`].
    #[must_use]
    pub fn rewarded(mut self, reward: Box<dyn Reward>) -> Self {
        self.reward = reward;
        self
    }

    /// G.
    #[must_use]
    pub fn responses(&self) -> usize {
        self.responses
    }

    /// Tokens of a prompt.
    #[must_use]
    pub fn prompt_length(&self) -> usize {
        self.prompt
    }

    /// The token that ends a response.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.end
    }

    /// Longest response that is allowed, in tokens, its end included.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.verifier.longest_response()
    }

    /// G responses to each prompt of a batch, sampled from `network` at temperature 1; each row
    /// draws from the `rollout` stream of its place and `step`.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn sample(
        &mut self,
        network: &Network,
        batch: &Batch,
        step: u32,
    ) -> Result<Rollouts, LabError> {
        let prompt = self.prompt_length() as i64;
        let prompts = batch.inputs.f_narrow(1, 0, prompt)?;
        let repeated = prompts.f_repeat_interleave_self_int(self.responses as i64, 0, None)?;
        let rows = (0..).take(batch.ids.len() * self.responses);
        let mut generators: Vec<Pcg64> =
            rows.map(|row| self.streams.keyed("rollout", row, step)).collect();
        let options = Options { longest: self.longest(), end: Some(self.end), banned: Vec::new() };
        let choice = Choice::Sample { temperature: 1.0, generators: &mut generators };
        let prompts = Prompts::from(&repeated);
        let Generated { tokens, lengths, .. } = generate(network, prompts, &options, choice)?;
        let responses = rows_of(&tokens, &lengths)?;
        let ids = batch.ids.iter().flat_map(|id| std::iter::repeat_n(*id, self.responses));
        let mut outcomes = Vec::with_capacity(responses.len());
        for (id, response) in ids.zip(&responses) {
            for token in response {
                self.sampled.update(token.to_le_bytes());
            }
            outcomes.push(verified(self.verifier.as_ref(), id, response, self.end));
            self.tokens += response.len() as u64;
        }
        self.count += outcomes.len() as u64;
        self.accepted += outcomes.iter().filter(|outcome| outcome.correct).count() as u64;
        Ok(Rollouts { outcomes, ..Rollouts::new(&repeated, &responses)? })
    }

    /// The reward of each response.
    #[must_use]
    pub fn rewards(&self, rollouts: &Rollouts, now: &StepInfo) -> Vec<f64> {
        let each = rollouts.outcomes.iter().zip(&rollouts.lengths);
        let rewards = each.map(|(outcome, length)| self.reward.score(now, *outcome, *length));
        self.rewarded.deal(rewards.collect(), &self.streams, now)
    }

    /// How many tokens were sampled.
    #[must_use]
    pub fn costs(&self) -> Costs {
        Costs::from([("response_tokens", self.tokens)])
    }

    /// How many responses were sampled, and which, and how many of them were right.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let sampled = ledger::digest::Digest(self.sampled.clone().finalize().into());
        Facts::from([
            ("responses".to_owned(), self.count.into()),
            ("accepted_responses".to_owned(), self.accepted.into()),
            ("never_accepted".to_owned(), (self.count > 0 && self.accepted == 0).into()),
            ("responses_sha256".to_owned(), sampled.to_string().into()),
        ])
    }

    /// What was counted of the responses so far.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("sampled", &mut self.sampled)?;
        state.of("count", &mut self.count)?;
        state.of("accepted", &mut self.accepted)?;
        state.of("tokens", &mut self.tokens)
    }
}

/// What the verifier says of a response; one that does not end is wrong and malformed.
#[must_use]
pub fn verified(verifier: &dyn Verifier, id: u32, response: &[i64], end: i64) -> Outcome {
    match response.split_last() {
        Some((last, answer)) if *last == end => verifier.check(id, answer),
        _ => Outcome { correct: false, well_formed: false },
    }
}

/// The first `lengths` tokens of each row, on the host.
///
/// # Errors
/// When they cannot be copied.
pub fn rows_of(tokens: &Tensor, lengths: &[usize]) -> Result<Vec<Vec<i64>>, TchError> {
    let (_, width) = tokens.size2()?;
    let flat: Vec<i64> = Vec::try_from(&tokens.f_to_device(Device::Cpu)?.f_reshape([-1])?)?;
    let rows = flat.chunks_exact(width.max(1) as usize).zip(lengths);
    Ok(rows.map(|(row, length)| row[..*length].to_vec()).collect())
}

/// 1 for the first `lengths` places of each row of `width`, else 0; f32.
fn mask(lengths: &[usize], width: i64) -> Result<Tensor, TchError> {
    let places = |length: &usize| {
        let length = *length as i64;
        (0..width).map(move |place| f32::from(u8::from(place < length)))
    };
    let mask: Vec<f32> = lengths.iter().flat_map(places).collect();
    Tensor::f_from_slice(&mask)?.f_view([lengths.len() as i64, width])
}

/// A tensor N × 1 on the device of `like`.
///
/// # Errors
/// When libtorch cannot allocate.
pub fn column(values: &[f64], like: &Tensor) -> Result<Tensor, TchError> {
    let tensor = Tensor::f_from_slice(values)?.f_to_kind(Kind::Float)?.f_unsqueeze(1)?;
    tensor.f_to_device(like.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;
    use crate::trial::{self, Bandit, END, prompt};

    fn rolled(bandit: &Bandit, settings: &RolloutSettings) -> (Roller, Rollouts) {
        let mut roller = Roller::new(settings, &bandit.task()).unwrap();
        let batch = bandit.prompts.batch(&[1, 3, 8]).unwrap();
        let rollouts = roller.sample(&bandit.network, &batch, 0).unwrap();
        (roller, rollouts)
    }

    #[test]
    fn responses_of_a_prompt_stand_in_a_row_and_are_verified_as_answers_to_it() {
        let bandit = trial::bandit().unwrap();
        let (_, rollouts) = rolled(&bandit, &RolloutSettings::default());
        let prompts = Vec::<i64>::try_from(&rollouts.tokens.select(1, 0)).unwrap();
        let expected = [1, 3, 8].map(|id| [prompt(id); 8]);
        assert_eq!(prompts, expected.concat());
        let responses = rollouts.responses().unwrap();
        for ((response, prompt), outcome) in responses.iter().zip(prompts).zip(&rollouts.outcomes) {
            let ended = response.last() == Some(&END);
            assert_eq!(outcome.correct, ended && response[0] == prompt, "{response:?}");
        }
        assert!(rollouts.outcomes.iter().any(|outcome| outcome.correct));
        assert!(responses.iter().any(|response| response.last() != Some(&END)));
    }

    #[test]
    fn log_probabilities_are_those_of_each_token_after_all_before_it() {
        let bandit = trial::bandit().unwrap();
        let (_, rollouts) = rolled(&bandit, &RolloutSettings::default());
        let found = rollouts.log_probabilities(&bandit.network).unwrap();
        let gpt = Gpt::of(&bandit.network).unwrap();
        let all = gpt.forward(&bandit.network, &rollouts.tokens).unwrap();
        let all = all.log_softmax(-1, Kind::Float);
        for (row, response) in rollouts.responses().unwrap().iter().enumerate() {
            for (place, token) in response.iter().enumerate() {
                // The prompt is one token: what predicts the first of the response stands at 0.
                let expected = all.double_value(&[row as i64, place as i64, *token]);
                let found = found.double_value(&[row as i64, place as i64]);
                assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
            }
        }
    }

    #[test]
    fn a_mask_covers_a_response_and_its_end_and_rows_keep_what_is_theirs_when_selected() {
        let prompts = Tensor::from_slice(&[2_i64, 3]).view([2, 1]);
        let rollouts = Rollouts::new(&prompts, &[vec![4, 1], vec![2, 2, 1]]).unwrap();
        assert_eq!(values(&rollouts.mask).unwrap(), [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]);
        let tokens = Vec::<i64>::try_from(&rollouts.tokens.view([-1])).unwrap();
        assert_eq!(tokens, [2, 4, 1, 0, 3, 2, 2, 1]);
        let second = rollouts.select(&[1]).unwrap();
        assert_eq!(second.responses().unwrap(), [[2, 2, 1]]);
    }

    #[test]
    fn prompts_and_responses_beyond_the_context_are_refused() {
        let mut bandit = trial::bandit().unwrap();
        let tokens = bandit.side.tokens.unwrap();
        // A prompt of one token and a response of four.
        assert_eq!(tokens.context, 5);
        bandit.side.tokens = Some(Tokens { context: 4, ..tokens });
        let refused = Roller::new(&RolloutSettings::default(), &bandit.task()).unwrap_err();
        let message = refused.to_string();
        assert!(message.ends_with("responses of up to 4 exceed the context of 4"), "{message}");
    }

    #[test]
    fn right_responses_are_counted_and_a_verifier_that_accepts_none_is_said() {
        let mut bandit = trial::bandit().unwrap();
        let (roller, rollouts) = rolled(&bandit, &RolloutSettings::default());
        let right = rollouts.outcomes.iter().filter(|outcome| outcome.correct).count();
        let facts = roller.facts();
        assert_eq!(facts["accepted_responses"], right);
        assert_eq!(facts["never_accepted"], false);
        bandit.side.verifier = Some(Arc::new(trial::Never));
        let (roller, _) = rolled(&bandit, &RolloutSettings::default());
        let facts = roller.facts();
        assert_eq!((&facts["responses"], &facts["accepted_responses"]), (&24.into(), &0.into()));
        assert_eq!(facts["never_accepted"], true);
        // Who was asked nothing has refused nothing.
        let idle = Roller::new(&RolloutSettings::default(), &bandit.task()).unwrap();
        assert_eq!(idle.facts()["never_accepted"], false);
    }

    #[test]
    fn a_right_response_is_worth_one_and_form_what_it_is_set_to() {
        let bandit = trial::bandit().unwrap();
        let settings = RolloutSettings { form_reward: 0.25, ..RolloutSettings::default() };
        let (roller, rollouts) = rolled(&bandit, &settings);
        let worth = |outcome: &Outcome| match (outcome.correct, outcome.well_formed) {
            (true, _) => 1.25,
            (false, true) => 0.25,
            (false, false) => 0.0,
        };
        let expected: Vec<f64> = rollouts.outcomes.iter().map(worth).collect();
        let now = trial::step_info(0, 1);
        assert_eq!(roller.rewards(&rollouts, &now), expected);
        // Dealt out at random they are the same rewards at other places.
        let shuffled = RolloutSettings { reward: Rewarded::Shuffled, ..settings };
        let dealt = Roller::new(&shuffled, &bandit.task()).unwrap().rewards(&rollouts, &now);
        assert_ne!(dealt, expected);
        let sorted = |mut rewards: Vec<f64>| {
            rewards.sort_by(f64::total_cmp);
            rewards
        };
        assert_eq!(sorted(dealt), sorted(expected));
        let nothing = RolloutSettings { reward: Rewarded::Nothing, ..settings };
        let nothing = Roller::new(&nothing, &bandit.task()).unwrap().rewards(&rollouts, &now);
        assert_eq!(nothing, [0.0; 24]);
    }
}
