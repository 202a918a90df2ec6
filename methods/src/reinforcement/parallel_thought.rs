//! # Parallel thought: a policy that branches, taught by a curriculum of rewards
//!
//! ## Mechanism
//! After imitating easy demonstrations the policy learns from reward on hard prompts. Where a response opens a block,
//! `paths` paths are drawn from the same prefix, each by itself, put behind each other, and the response goes on with a
//! summary. Advantages and loss are those of `grpo`; the reward of step s (from 1) is
//! - `unseen-s1`: 1 for a right answer, −1 for a wrong one;
//! - `unseen-s2`: that, but in the last 2 of every 10 steps 1.2 for a right one with a whole block, 1 for a right one without
//!   tags, −1 for what is wrong or malformed;
//! - `scaffold`: as `unseen-s2` up to a share `switch` of the steps, as `unseen-s1` from there on;
//! - `seen`: on easy prompts, 1 for a right answer with a whole block, else −1; from a share `easy_share` of the steps on, as
//!   `unseen-s1` on hard ones;
//! - `sequential`, the baseline: as `unseen-s1`, and no tag ever comes.
//!
//! Whether paths are isolated from each other ("unseen") or read from left to right ("seen") is the workload's: it made
//! the start. Forced tags are in the loss, as published; `forced_in_loss: false` leaves them out.
//!
//! ## Claim
//! Mean of AIME 25 and 24, AMC 23 and MATH: 48.9 seen, 47.1 (S1) and 46.8 (S2) unseen, 45.1 GRPO without blocks; shares of
//! responses with a block 27.3, 13.6 and 63.0 %. As a scaffold that is taken away +42.9 % (relative) on AIME 25.
//! Here: `sequential` has as much computation as the blocks, so the direction alone can be asked for.
//!
//! ## Sources
//! Zheng, Zhang, Yu et al., arXiv:2509.07980; zhengkid/Parallel-R1@7c3a8f3. Of the paper its README and a digest were at hand.
//!
//! ## Differences
//! - In the code a right answer with malformed tags earns −1 in tiered steps, in the paper 1: here as the code.
//! - The code draws the seeds of paths from nowhere, so that no run can be repeated; here they are of the run's streams.
//! - The code moves positions for two paths; here for any number. Its blocks are at most four a response, here the
//!   workload's one, and so are the longest path and response.
//! - Its paths open with equal tags; the workload's bear their number, see there.
//! - Where a text is read from left to right, demonstrations show a second path behind the first, but paths are drawn apart,
//!   as published: a small policy closes few of them, and `seen` then has little to reward.
//! - `clip_high` is 0.28 in its S2 alone; with one pass nothing is clipped. It takes two updates on each batch of 256.
//! - Assumed: rate, batch, 8 responses of 16 prompts, and both shares (published: step 200, and the end of an easy data set).

use lab::LabError;
use lab::branches::Structure;
use lab::branches::policy::{BranchedGradient, BranchedSettings};
use lab::method::Method;
use lab::offers;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::orders::{Sources, step_rounds};
use lab::recipe::{Recipe, Step};
use lab::seat::{EpochPlan, Order, OrderSource, StepInfo};
use lab::state::State;
use ledger::catalogue::{Paper, PaperClaim, Schedule};
use ledger::order::OrderLaw;
use ledger::settings::Range;
use ledger::{choice, settings};

choice! {
    /// What is rewarded when, and whether responses branch.
    pub enum Mode {
        /// Blocks on easy prompts, then right answers on hard ones.
        Seen = "seen",
        /// Right answers.
        S1 = "unseen-s1",
        /// Right answers, and in some steps blocks too.
        S2 = "unseen-s2",
        /// Blocks as a scaffold that is taken away.
        Scaffold = "scaffold",
        /// No blocks.
        Sequential = "sequential",
    }
}

settings! {
    /// Settings of `parallel-thought`.
    pub struct Settings {
        /// What is rewarded when.
        mode: Mode = Mode::S1, from "arXiv:2509.07980";
        /// Share of the steps behind which the scaffold is gone.
        switch: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed; arXiv:2509.07980: step 200";
        /// Share of the steps of `seen` on easy prompts.
        easy_share: f64 = 0.5, range Range::of(0.0..=1.0), from "assumed";
        /// Prompts per step.
        batch_size: u32 = 16, range Range::of(1.0..), from "assumed: what a small policy's step can hold";
        /// Largest norm of the gradient.
        clip_norm: f64 = 1.0, range Range::above(0.0), from "verl grad_clip";
        /// Learning-rate factor over the run.
        schedule: Schedule = Schedule::Constant, from "verl";
        use branched: BranchedSettings;
        use adamw: AdamwSettings;
    }
}

/// The method.
pub static METHOD: Method = Method {
    summary: "policy gradient on responses that branch into parallel paths, by a curriculum of rewards",
    paper: Paper {
        title: "Parallel-R1: Towards Parallel Thinking via Reinforcement Learning",
        authors: "Zheng, Zhang, Yu et al.",
        year: 2025,
        reference: "arXiv:2509.07980",
        code: "zhengkid/Parallel-R1@7c3a8f3",
    },
    claim: PaperClaim {
        statement: "above GRPO without blocks; most as a scaffold that is taken away",
        number: "48.9 (seen), 47.1 (S1), 46.8 (S2) against 45.1; +42.9 % on AIME 25 as a scaffold",
        source: "README of Parallel-R1",
    },
    baseline: Some("grpo"),
    needs: &[offers::VERIFIER, offers::PROMPTS, offers::BRANCHES],
    settings: Settings::table,
    resolve: Settings::resolve,
    build: |values, task| {
        let settings = Settings::read(values)?;
        let Settings { mode, batch_size, clip_norm, schedule, branched, adamw, .. } =
            settings.clone();
        let steps = task.budget_samples / u64::from(batch_size);
        let easy = if mode == Mode::Seen { settings.easy_share } else { 0.0 };
        let sources = Sources::new(&task.side.groups, task.examples);
        let order = Curriculum { sources, batch: batch_size, easy: easy * steps as f64 };
        let optimizer = Box::new(Adamw::new(adamw, task.network, |_, _| true)?);
        let worth = move |now: &StepInfo, correct, structure| {
            reward(rule(&settings, now.step, now.total_steps), correct, structure)
        };
        let forbidden = mode == Mode::Sequential;
        let objective = BranchedGradient::new(branched, forbidden, Box::new(worth), task)?;
        let objective = Box::new(objective);
        let step = Step::Gradient { objective, optimizer };
        let (order, clip_norm) = (Box::new(order), Some(clip_norm));
        Ok(Recipe { order, clip_norm, ..Recipe::of(batch_size, schedule, step) })
    },
};

/// Draws with replacement from the first source for some steps, from the last one afterwards.
#[derive(Debug)]
struct Curriculum {
    sources: Sources,
    batch: u32,
    /// Steps on the first source.
    easy: f64,
}

impl Order for Curriculum {
    fn law(&self) -> OrderLaw {
        OrderLaw::Adaptive
    }

    fn rounds(&self, _: u32, budget_samples: u64) -> Vec<u32> {
        step_rounds(self.batch, budget_samples)
    }

    fn epoch(&mut self, epoch: u32, source: &OrderSource<'_>) -> EpochPlan {
        let mut weights = vec![0.0; self.sources.len()];
        let last = weights.len().saturating_sub(1);
        weights[if f64::from(epoch) < self.easy { 0 } else { last }] = 1.0;
        let mut random = source.streams.keyed("draws", 0, epoch);
        let ids = self.sources.draw(&weights, self.batch as usize, &mut random);
        EpochPlan { ids, block: epoch }
    }

    fn state(&mut self, _: &mut State<'_>) -> Result<(), LabError> {
        Ok(())
    }
}

/// What a step rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Accuracy,
    Tiered,
    Block,
}

/// What step `step` (from 0) of `total` rewards.
fn rule(settings: &Settings, step: u64, total: u64) -> Rule {
    let before = |share: f64| (step as f64) < share * total as f64;
    let alternating = if step % 10 < 8 { Rule::Accuracy } else { Rule::Tiered };
    match settings.mode {
        Mode::S1 | Mode::Sequential => Rule::Accuracy,
        Mode::S2 => alternating,
        Mode::Scaffold if before(settings.switch) => alternating,
        Mode::Seen if before(settings.easy_share) => Rule::Block,
        Mode::Scaffold | Mode::Seen => Rule::Accuracy,
    }
}

fn reward(rule: Rule, correct: bool, structure: Structure) -> f64 {
    let whole = matches!(structure, Structure::Blocks(_));
    match rule {
        Rule::Tiered if correct && whole => 1.2,
        Rule::Tiered if structure == Structure::Malformed => -1.0,
        Rule::Block if !whole => -1.0,
        _ if correct => 1.0,
        _ => -1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab::trial::with;
    use serde_json::{Value, json};
    use training::trial::{Fixture, Trace};

    fn settings(mode: Mode) -> Settings {
        Settings { mode, ..Settings::default() }
    }

    /// Steps of four prompts of four responses, from a start that knows the form.
    fn trained(fixture: &Fixture, steps: u64, changed: Value) -> Trace {
        let mut all = with([("batch_size", 4.into()), ("responses", 4.into())]);
        all.extend(serde_json::from_value::<ledger::settings::Values>(changed).unwrap());
        fixture.run(&METHOD, &all, 4 * steps, 3).unwrap()
    }

    fn fixture(attention: &str) -> Fixture {
        let values = with([("start_accuracy", 0.3.into()), ("attention", attention.into())]);
        workloads::fixture("two-route", &values).unwrap()
    }

    #[test]
    fn two_of_ten_steps_are_tiered_and_a_scaffold_is_taken_away() {
        let rules = |mode, steps: u64| {
            let settings = settings(mode);
            (0..steps).map(|step| rule(&settings, step, 40)).collect::<Vec<_>>()
        };
        let alternating = rules(Mode::S2, 40);
        // Steps 1 to 8, 9 and 10, 11.
        assert!(alternating[..8].iter().all(|rule| *rule == Rule::Accuracy));
        assert_eq!(alternating[8..11], [Rule::Tiered, Rule::Tiered, Rule::Accuracy]);
        for ten in alternating.windows(10) {
            assert_eq!(ten.iter().filter(|rule| **rule == Rule::Tiered).count(), 2);
        }
        let scaffold = rules(Mode::Scaffold, 40);
        assert_eq!(scaffold[..20], alternating[..20]);
        assert!(scaffold[20..].iter().all(|rule| *rule == Rule::Accuracy));
        let seen = rules(Mode::Seen, 40);
        assert!(seen[..20].iter().all(|rule| *rule == Rule::Block));
        assert!(seen[20..].iter().chain(&rules(Mode::S1, 40)).all(|rule| *rule == Rule::Accuracy));
    }

    #[test]
    fn tiers_are_those_of_the_code_which_asks_for_whole_blocks() {
        use Structure::{Blocks, Malformed, Plain};
        for (kind, values) in [
            (Rule::Accuracy, [1.0, 1.0, 1.0]),
            (Rule::Tiered, [1.2, 1.0, -1.0]),
            (Rule::Block, [1.0, -1.0, -1.0]),
        ] {
            let right = [Blocks(1), Plain, Malformed].map(|of| reward(kind, true, of));
            assert_eq!(right, values, "{kind:?}");
            let wrong = [Blocks(2), Plain, Malformed].map(|of| reward(kind, false, of));
            assert_eq!(wrong, [-1.0; 3], "{kind:?}");
        }
    }

    #[test]
    fn only_seen_begins_with_easy_prompts() {
        let fixture = fixture("causal");
        let easy = |mode: &str| {
            let trace = trained(&fixture, 4, json!({"mode": mode}));
            trace.rounds().iter().map(|ids| ids.iter().filter(|id| **id < 600).count()).collect()
        };
        let seen: Vec<usize> = easy("seen");
        assert_eq!(seen, [4, 4, 0, 0]);
        let hard: Vec<usize> = easy("unseen-s1");
        assert_eq!(hard, [0; 4]);
    }

    #[test]
    fn runs_repeat_blocks_are_counted_and_without_them_there_is_no_tag() {
        let fixture = fixture("isolated");
        let own = trained(&fixture, 3, json!({}));
        assert_eq!(own.digest, trained(&fixture, 3, json!({})).digest);
        let facts = &own.facts;
        assert_eq!(facts["responses"], 48);
        // The tags of both paths, one that closes and one that sums up for each block; so early most are malformed.
        let forced = facts["forced_tokens"].as_u64().unwrap();
        assert!(forced > 0 && forced.is_multiple_of(4), "{facts:?}");
        let malformed = facts["malformed_responses"].as_u64().unwrap();
        assert!(malformed > 0 && malformed <= 48, "{facts:?}");
        assert_eq!(facts["never_accepted"], false);
        let drawn = trained(&fixture, 3, json!({"forced_in_loss": false}));
        assert_ne!(own.digest, drawn.digest);
        let plain = trained(&fixture, 3, json!({"mode": "sequential"})).facts;
        assert_eq!((&plain["parallel_ratio"], &plain["forced_tokens"]), (&json!(0.0), &json!(0)));
        assert_eq!(plain["malformed_responses"], 0);
    }

    #[test]
    fn a_control_learns_something_else_from_the_responses_that_the_method_learns_from() {
        let fixture = fixture("isolated");
        let own = trained(&fixture, 1, json!({"responses": 16}));
        let dealt = trained(&fixture, 1, json!({"responses": 16, "reward": "shuffled"}));
        for fact in ["responses_sha256", "accepted_responses"] {
            assert_eq!(own.facts[fact], dealt.facts[fact]);
        }
        assert_ne!(own.digest, dealt.digest);
    }

    #[test]
    fn more_paths_than_there_are_tags_for_are_refused() {
        let refused = |paths: u32| {
            let changed = with([("paths", paths.into()), ("batch_size", 4.into())]);
            fixture("isolated").run(&METHOD, &changed, 4, 3).unwrap_err().to_string()
        };
        assert!(refused(4).contains("\"paths\" is 4, but it has tags for 3"), "{}", refused(4));
    }
}
