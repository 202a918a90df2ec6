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
use crate::rollout::{column, verified};
use crate::seat::{Batch, Facts, Objective, StepInfo, TaskInfo};
use crate::side_info::{Tokens, Verifier};

settings! {
    /// Settings of the policy gradient on branches.
    pub struct BranchedSettings {
        /// Paths of a block.
        paths: u32 = 2, range Range::of(2.0..=8.0), from "Parallel-R1: 2";
        /// Whether tags that were put there are in the loss.
        forced_in_loss: bool = true, from "Parallel-R1: a mask of ones";
        /// G: responses per prompt.
        responses: u32 = 8, range Range::of(1.0..=64.0), from "Parallel-R1: n";
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

    /// The reward of a response to example `id`; counts it.
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
        let norm = self.settings.advantage.norm();
        let mut advantages = Vec::with_capacity(responses.len());
        for (id, responses) in batch.ids.iter().zip(responses.chunks(group)) {
            let rewards: Vec<f64> =
                responses.iter().map(|response| self.judge(*id, response, now)).collect();
            let own = norm.advantages(&rewards);
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

    fn facts(&self) -> Facts {
        let Counts { responses, tokens, forced, parallel, malformed, accepted, silent, groups } =
            self.counts;
        let share = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        Facts::from([
            ("responses".to_owned(), responses.into()),
            ("response_tokens".to_owned(), tokens.into()),
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
}
