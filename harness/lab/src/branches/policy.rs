//! Policy gradient on responses that branch: roll-outs with blocks of paths, rewards by what is right and whole, advantages
//! within each prompt's group, a clipped surrogate over tokens.

use std::sync::Arc;

use ledger::digest::Digest;
use ledger::settings;
use ledger::settings::Range;
use ledger::streams::Streams;
use sha2::{Digest as _, Sha256};
use tch::Tensor;

use super::{Branched, Choice, Options, Response, Structure, respond};
use crate::LabError;
use crate::advantage::{AdvantageSettings, surrogate};
use crate::network::Network;
use crate::rollout::{Rewarded, column, verified};
use crate::seat::{Batch, Costs, Facts, Objective, StepInfo, TaskInfo};
use crate::side_info::{Tokens, Verifier};
use crate::state::State;

settings! {
    /// Settings of the policy gradient on branches.
    pub struct BranchedSettings {
        /// Paths of a block.
        paths: u32 = 2, range Range::of(2.0..=8.0), from "Parallel-R1: 2";
        /// Whether tags that were put there are in the loss.
        forced_in_loss: bool = true, from "Parallel-R1: a mask of ones";
        /// G: responses per prompt.
        responses: u32 = 8, range Range::of(1.0..=64.0), from "Parallel-R1: n";
        /// What a response is rewarded for.
        reward: Rewarded = Rewarded::Correct, from "Parallel-R1: being right, and blocks where the mode says so";
        /// How far below 1 the ratio to the policy that sampled may go.
        clip_low: f64 = 0.2, range Range::of(0.0..=1.0), from "verl";
        /// How far above 1 the ratio may go.
        clip_high: f64 = 0.2, range Range::of(0.0..), from "verl; S2 of Parallel-R1: 0.28";
        /// Updates on each batch of roll-outs.
        passes: u32 = 1, range Range::of(1.0..=64.0), from "assumed; Parallel-R1: two mini-batches";
        use advantage: AdvantageSettings;
    }
}

/// What a response is worth at a step, by whether it is right and what its tags make of it.
pub type Worth = Box<dyn Fn(&StepInfo, bool, Structure) -> f64>;

/// What a step has sampled.
#[derive(Debug)]
struct Prepared {
    branched: Branched,
    /// One per response, N × 1.
    advantages: Tensor,
    /// Weights of token losses, N × R.
    weights: Tensor,
    /// Log-probabilities of the first pass, N × R.
    old: Option<Tensor>,
}

/// What was sampled so far.
#[derive(Debug, Default)]
struct Counts {
    responses: u64,
    tokens: u64,
    forced: u64,
    parallel: u64,
    malformed: u64,
    accepted: u64,
    silent: u64,
    groups: u64,
}

crate::kept!(Counts { responses, tokens, forced, parallel, malformed, accepted, silent, groups });

/// Policy gradient with advantages relative to a prompt's group of responses, which may branch.
pub struct BranchedGradient {
    settings: BranchedSettings,
    worth: Worth,
    options: Options,
    prompt: i64,
    verifier: Arc<dyn Verifier>,
    streams: Streams,
    prepared: Option<Prepared>,
    sampled: Sha256,
    counts: Counts,
}

impl std::fmt::Debug for BranchedGradient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BranchedGradient").field("options", &self.options).finish_non_exhaustive()
    }
}

impl BranchedGradient {
    /// For a task with a verifier and blocks, which are `forbidden` or not.
    ///
    /// # Errors
    /// When the workload has no blocks to verify, prompts and responses exceed its context, or there are more paths than
    /// tags for them.
    pub fn new(
        settings: BranchedSettings,
        forbidden: bool,
        worth: Worth,
        task: &TaskInfo<'_>,
    ) -> Result<Self, LabError> {
        let side = task.side;
        let (Some(verifier), Some(branching), Some(Tokens { end: Some(end), context, .. })) =
            (&side.verifier, side.branches, side.tokens)
        else {
            return Err(task.unfit("there are no blocks that a verifier could read"));
        };
        let (prompt, longest) =
            (verifier.prompt_length().unwrap_or(0), verifier.longest_response());
        if prompt == 0 || (prompt + longest) as i64 > context + 1 {
            return Err(task.unfit(format!(
                "prompts of {prompt} tokens and responses of up to {longest} do not fit its context of {context}"
            )));
        }
        let (paths, most) = (settings.paths as usize, branching.tags.paths);
        if paths > most {
            return Err(
                task.unfit(format!("\"paths\" is {paths}, but it has tags for {most} at most"))
            );
        }
        Ok(Self {
            options: Options { longest, end, branching, paths, forbidden },
            settings,
            worth,
            prompt: prompt as i64,
            verifier: verifier.clone(),
            streams: task.streams.clone(),
            prepared: None,
            sampled: Sha256::new(),
            counts: Counts::default(),
        })
    }

    /// The reward of each of G responses in a row for each of `ids`.
    fn rewards(&mut self, ids: &[u32], responses: &[Response], now: &StepInfo) -> Vec<f64> {
        let group = self.settings.responses as usize;
        let ids = ids.iter().flat_map(|id| std::iter::repeat_n(*id, group));
        let own = ids.zip(responses).map(|(id, response)| self.judge(id, response, now)).collect();
        self.settings.reward.deal(own, &self.streams, now)
    }

    /// What a response to example `id` is worth; counts it.
    fn judge(&mut self, id: u32, response: &Response, now: &StepInfo) -> f64 {
        let Response { tokens, forced, .. } = response;
        let structure = self.options.branching.tags.structure(tokens);
        let outcome = verified(self.verifier.as_ref(), id, tokens, self.options.end);
        tokens.iter().for_each(|token| self.sampled.update(token.to_le_bytes()));
        let counts = &mut self.counts;
        counts.responses += 1;
        counts.tokens += tokens.len() as u64;
        counts.forced += forced.iter().filter(|forced| **forced).count() as u64;
        counts.parallel += u64::from(matches!(structure, Structure::Blocks(_)));
        counts.malformed += u64::from(structure == Structure::Malformed);
        counts.accepted += u64::from(outcome.correct);
        (self.worth)(now, outcome.correct, structure)
    }
}

impl Objective for BranchedGradient {
    fn before_step(
        &mut self,
        network: &Network,
        batch: &Batch,
        now: &StepInfo,
    ) -> Result<(), LabError> {
        let group = self.settings.responses as usize;
        let prompts = batch.inputs.f_narrow(1, 0, self.prompt)?;
        let prompts = prompts.f_repeat_interleave_self_int(group as i64, 0, None)?;
        let step = u32::try_from(now.step).unwrap_or(u32::MAX);
        let choice = Choice::Sample { streams: &self.streams, step };
        let responses = respond(network, &prompts, &self.options, choice)?;
        let rewards = self.rewards(&batch.ids, &responses, now);
        let norm = self.settings.advantage.norm();
        let mut advantages = Vec::with_capacity(responses.len());
        for rewards in rewards.chunks(group) {
            let own = norm.advantages(rewards);
            self.counts.silent += u64::from(own.iter().all(|advantage| *advantage == 0.0));
            self.counts.groups += 1;
            advantages.extend(own);
        }
        let branched = Branched::new(&prompts, &responses, self.options.branching.isolated)?;
        let taught = if self.settings.forced_in_loss { &branched.mask } else { &branched.drawn };
        let weights = self.settings.advantage.aggregate.weights(taught, self.options.longest)?;
        let advantages = column(&advantages, &branched.mask)?;
        self.prepared = Some(Prepared { advantages, weights, old: None, branched });
        Ok(())
    }

    fn passes(&self) -> u32 {
        self.settings.passes
    }

    fn losses(&mut self, network: &Network, _: &Batch, _: &StepInfo) -> Result<Tensor, LabError> {
        let Some(prepared) = &mut self.prepared else {
            return Err(LabError::Method("no roll-outs were made for this step".to_owned()));
        };
        let own = prepared.branched.log_probabilities(network)?;
        let old = prepared.old.get_or_insert_with(|| own.detach());
        let BranchedSettings { clip_low, clip_high, responses, .. } = self.settings;
        let losses = surrogate(&own, old, &prepared.advantages, Some((clip_low, clip_high)))?;
        let each = losses.f_mul(&prepared.weights)?.f_sum_dim_intlist(1, false, losses.kind())?;
        Ok(each.f_view([-1, i64::from(responses)])?.f_mean_dim(1, false, losses.kind())?)
    }

    fn costs(&self) -> Costs {
        Costs::from([("response_tokens", self.counts.tokens)])
    }

    fn facts(&self) -> Facts {
        let Counts { responses, tokens: _, forced, parallel, malformed, accepted, silent, groups } =
            self.counts;
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        Facts::from([
            ("responses".to_owned(), responses.into()),
            (
                "responses_sha256".to_owned(),
                Digest(self.sampled.clone().finalize().into()).to_string().into(),
            ),
            ("forced_tokens".to_owned(), forced.into()),
            ("parallel_ratio".to_owned(), share(parallel, responses).into()),
            ("malformed_responses".to_owned(), malformed.into()),
            ("accepted_responses".to_owned(), accepted.into()),
            ("never_accepted".to_owned(), (accepted == 0).into()),
            ("groups_without_signal".to_owned(), share(silent, groups).into()),
        ])
    }

    fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("sampled", &mut self.sampled)?;
        state.of("counts", &mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::branches::{Branching, Tags};
    use crate::models::gpt::Gpt;
    use crate::network::values;
    use crate::trial::{self, Bandit, END, Never, prompt};

    const TAGS: Tags =
        Tags { open: 5, path: 6, paths: 2, closed: 8, close: 9, summary: 10, summarised: 11 };

    /// A bandit whose responses may hold blocks.
    fn bandit() -> Bandit {
        let mut bandit = trial::bandit().unwrap();
        let branching = Branching { tags: TAGS, longest_path: 2, blocks: 1, isolated: true };
        bandit.side.branches = Some(branching);
        bandit
    }

    /// Two right responses, one wrong and one malformed to each prompt.
    fn rewards(bandit: &Bandit, reward: Rewarded, step: u64) -> (Vec<f64>, Facts) {
        let settings = BranchedSettings { reward, responses: 4, ..BranchedSettings::default() };
        let worth = |_: &StepInfo, right, structure| match (right, structure) {
            (_, Structure::Malformed) => -2.0,
            (true, _) => 1.0,
            (false, _) => -1.0,
        };
        let task = bandit.task();
        let mut gradient = BranchedGradient::new(settings, false, Box::new(worth), &task).unwrap();
        let ids: Vec<u32> = (0..6).collect();
        let response = |tokens| Response { tokens, ..Response::default() };
        let four = |id: &u32| {
            let right = prompt(*id);
            let wrong = if right == 2 { 3 } else { 2 };
            let all = [vec![right, END], vec![right, END], vec![wrong, END], vec![TAGS.open, END]];
            all.map(response)
        };
        let responses: Vec<Response> = ids.iter().flat_map(four).collect();
        let rewards = gradient.rewards(&ids, &responses, &trial::step_info(step, 10));
        (rewards, gradient.facts())
    }

    #[test]
    fn rewards_that_are_dealt_out_are_the_own_ones_at_places_that_the_step_decides() {
        let bandit = bandit();
        let (own, facts) = rewards(&bandit, Rewarded::Correct, 0);
        assert_eq!(own, [1.0, 1.0, -1.0, -2.0].repeat(6));
        let (dealt, counted) = rewards(&bandit, Rewarded::Shuffled, 0);
        assert_ne!(dealt, own);
        let sorted = |mut rewards: Vec<f64>| {
            rewards.sort_by(f64::total_cmp);
            rewards
        };
        assert_eq!(sorted(dealt.clone()), sorted(own));
        // From prompt to prompt too: a group of its own rewards alone would sum to -1 every time.
        assert!(dealt.chunks(4).any(|group| group.iter().sum::<f64>() != -1.0), "{dealt:?}");
        assert_eq!(rewards(&bandit, Rewarded::Shuffled, 0).0, dealt);
        assert_ne!(rewards(&bandit, Rewarded::Shuffled, 1).0, dealt);
        // What was right stays counted as such.
        assert_eq!((&facts["accepted_responses"], &facts), (&12.into(), &counted));
        assert_eq!(rewards(&bandit, Rewarded::Nothing, 0).0, [0.0; 24]);
    }

    #[test]
    fn malformed_blocks_are_counted_and_a_verifier_that_accepts_nothing_is_said() {
        let mut bandit = bandit();
        let (_, facts) = rewards(&bandit, Rewarded::Correct, 0);
        assert_eq!(
            (&facts["malformed_responses"], &facts["never_accepted"]),
            (&6.into(), &false.into())
        );
        bandit.side.verifier = Some(Arc::new(Never));
        let (all, facts) = rewards(&bandit, Rewarded::Correct, 0);
        assert_eq!(all, [-1.0, -1.0, -1.0, -2.0].repeat(6));
        assert_eq!(
            (&facts["accepted_responses"], &facts["never_accepted"]),
            (&0.into(), &true.into())
        );
    }

    #[test]
    fn what_does_not_fit_the_context_or_has_no_tags_is_refused() {
        let refused = |bandit: &Bandit, paths| {
            let settings = BranchedSettings { paths, ..BranchedSettings::default() };
            let worth: Worth = Box::new(|_, _, _| 0.0);
            BranchedGradient::new(settings, false, worth, &bandit.task()).unwrap_err().to_string()
        };
        let mut bandit = bandit();
        let found = refused(&bandit, 3);
        assert!(found.ends_with("\"paths\" is 3, but it has tags for 2 at most"), "{found}");
        let tokens = bandit.side.tokens.unwrap();
        bandit.side.tokens = Some(Tokens { context: 3, ..tokens });
        let found = refused(&bandit, 2);
        let expected = "prompts of 1 tokens and responses of up to 4 do not fit its context of 3";
        assert!(found.ends_with(expected), "{found}");
        bandit.side.branches = None;
        let found = refused(&bandit, 2);
        assert!(found.ends_with("there are no blocks that a verifier could read"), "{found}");
    }

    #[test]
    fn a_ratio_to_the_policy_that_sampled_counts_up_to_its_bounds() {
        let bandit = bandit();
        let bounds = BranchedSettings { clip_low: 0.1, clip_high: 0.2, ..Default::default() };
        let settings = BranchedSettings { passes: 2, ..bounds };
        let worth: Worth = Box::new(|_, right, _| if right { 1.0 } else { -1.0 });
        let mut gradient = BranchedGradient::new(settings, true, worth, &bandit.task()).unwrap();
        assert_eq!(gradient.passes(), 2);
        let batch = bandit.prompts.batch(&[1, 3, 8]).unwrap();
        let now = trial::step_info(0, 10);
        tch::no_grad(|| gradient.before_step(&bandit.network, &batch, &now)).unwrap();
        let mut pass = || {
            let losses = gradient.losses(&bandit.network, &batch, &now).unwrap();
            let Prepared { branched, advantages, weights, old } =
                gradient.prepared.as_ref().unwrap();
            let own = branched.log_probabilities(&bandit.network).unwrap();
            let advantages = advantages.expand_as(&own);
            let all = [&own, old.as_ref().unwrap(), &advantages, weights].map(values);
            (values(&losses).unwrap(), all.map(Result::unwrap))
        };
        // Of the mean over a prompt's eight responses, by hand; and what it would be without bounds.
        let expected = |[own, old, advantages, weights]: &[Vec<f32>; 4]| {
            let (mut bounded, mut free) = ([0.0_f32; 3], [0.0_f32; 3]);
            for at in 0..own.len() {
                let (ratio, prompt) = ((own[at] - old[at]).exp(), at * 3 / own.len());
                let moved = ratio * advantages[at];
                let held = ratio.clamp(0.9, 1.2) * advantages[at];
                bounded[prompt] -= weights[at] * moved.min(held) / 8.0;
                free[prompt] -= weights[at] * moved / 8.0;
            }
            (bounded, free)
        };
        let far = |one: &[f32], other: &[f32]| {
            one.iter().zip(other).any(|(one, other)| (one - other).abs() > 1e-4)
        };
        let (losses, numbers) = pass();
        let (bounded, free) = expected(&numbers);
        assert!(!far(&losses, &bounded) && !far(&bounded, &free), "{losses:?} {bounded:?}");
        let [_, bias] = Gpt::of(&bandit.network).unwrap().head();
        let pushed = Tensor::from_slice(&[0.0_f32, 0.0, 1.0, 0.0, 0.0]);
        let _ = tch::no_grad(|| bandit.network.at(bias).shallow_clone().f_add_(&pushed)).unwrap();
        let (losses, numbers) = pass();
        let (bounded, free) = expected(&numbers);
        assert!(!far(&losses, &bounded), "{losses:?} {bounded:?}");
        assert!(far(&bounded, &free), "{bounded:?} {free:?}");
    }
}
