//! Stages of a recipe, as data: stretches of the run with a view of the data, parameters that train, a learning
//! rate and its schedule of their own, one after the other; and a tutor, which is trained before the first one.
//!
//! A stage begins with a fresh optimiser and average. What each started from and what it left are digests in the
//! record ([`ledger::record::stages`]), so that a stage's result is an artefact that a repetition can be held
//! against. A [`Tutor`] is a stage beside the run: it has the same loop and a recipe of its own, is kept under
//! the digest of all that made it, and is shared by the runs that need the same.

use ledger::catalogue::Schedule;
use ledger::digest::Digest;
use ledger::record::stages::{self, Made, StageEntry, Steps};
use ledger::settings::Values;
use ledger::streams::Streams;
use rand_pcg::rand_core::Rng as _;
use serde_json::json;

use crate::LabError;
use crate::network::{Network, Parameter};
use crate::recipe::Recipe;
use crate::seat::{Facts, StepInfo, View};
use crate::state::State;

/// One stage.
pub struct Stage {
    /// Its name in records.
    pub name: &'static str,
    /// Its share of the run's steps, in parts of the sum over all stages.
    pub share: u32,
    /// How its examples are rendered, behind the recipe's own view.
    pub view: Option<Box<dyn View>>,
    /// Whether a parameter trains in it.
    pub trains: fn(&Parameter) -> bool,
    /// Factor on the learning rate.
    pub lr_factor: f64,
    /// Learning-rate factor over the stage, beside the recipe's over the run.
    pub schedule: Schedule,
}

impl Stage {
    /// A stage in which everything trains at a constant rate, on the data as they are.
    #[must_use]
    pub fn plain(name: &'static str, share: u32) -> Self {
        let (trains, schedule): (fn(&Parameter) -> bool, _) = (|_| true, Schedule::Constant);
        Self { name, share, view: None, trains, lr_factor: 1.0, schedule }
    }
}

/// Where stages begin and end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares(Vec<u64>);

impl Shares {
    /// Of stages with these shares.
    #[must_use]
    pub fn new(shares: impl IntoIterator<Item = u32>) -> Self {
        let mut sum = 0;
        let ends = shares.into_iter().map(|share| {
            sum += u64::from(share);
            sum
        });
        Self([0].into_iter().chain(ends).collect())
    }

    /// Stage of a step, from 0; the stage's first step and its number of steps. A stage begins at the first
    /// step at or behind its share of the run.
    #[must_use]
    pub fn at(&self, step: u64, total: u64) -> (usize, u64, u64) {
        let sum = self.0.last().copied().unwrap_or(0).max(1);
        let first = |stage: usize| (total * self.0[stage.min(self.0.len() - 1)]).div_ceil(sum);
        let stages = self.0.len().saturating_sub(1).max(1);
        let stage = (1..stages).take_while(|stage| first(*stage) <= step).last().unwrap_or(0);
        (stage, first(stage), first(stage + 1) - first(stage))
    }
}

/// The stages of a run, and how far it has come.
pub struct Stages {
    list: Vec<Stage>,
    shares: Shares,
    /// The stage that training is in.
    reached: Option<usize>,
    entries: Vec<StageEntry>,
    /// What the objective learns from, before it is made.
    pub tutor: Option<Tutor>,
}

impl Stages {
    /// These, in their order.
    #[must_use]
    pub fn new(list: Vec<Stage>) -> Self {
        let shares = Shares::new(list.iter().map(|stage| stage.share));
        Self { list, shares, reached: None, entries: Vec::new(), tutor: None }
    }

    /// The stage of a step.
    #[must_use]
    pub fn at(&self, now: &StepInfo) -> usize {
        self.shares.at(now.step, now.total_steps).0
    }

    /// What of the learning rate a step has in its stage.
    #[must_use]
    pub fn lr_factor(&self, now: &StepInfo) -> f64 {
        let (stage, first, length) = self.shares.at(now.step, now.total_steps);
        self.list
            .get(stage)
            .map_or(1.0, |stage| stage.schedule.factor(now.step - first, length) * stage.lr_factor)
    }

    /// Which stage training is in, once it has begun.
    #[must_use]
    pub fn reached(&self) -> Option<usize> {
        self.reached
    }

    /// A stage.
    pub fn stage(&mut self, index: usize) -> Option<&mut Stage> {
        self.list.get_mut(index)
    }

    /// Goes on to stage `index` at a step, from weights of this digest.
    pub fn enter(&mut self, index: usize, step: u64, weights: Digest) {
        self.leave(step, weights);
        self.reached = Some(index);
        self.entries.extend(self.list.get(index).map(|stage| StageEntry {
            name: stage.name.to_owned(),
            steps: Some(Steps { first: step, last: step }),
            made: None,
            from: weights,
            parameters_sha256: weights,
        }));
    }

    /// Ends the stage that training is in, behind so many steps of the run, with weights of this digest.
    pub fn leave(&mut self, steps: u64, weights: Digest) {
        if let Some(entry) = self.entries.last_mut()
            && let Some(taken) = &mut entry.steps
        {
            taken.last = steps.saturating_sub(1);
            entry.parameters_sha256 = weights;
        }
    }

    /// Takes note of a stage that was made beside the run.
    pub fn made(&mut self, name: &str, made: Made, [from, left]: [Digest; 2]) {
        let (name, made) = (name.to_owned(), Some(made));
        let entry = StageEntry { name, steps: None, made, from, parameters_sha256: left };
        self.entries.insert(0, entry);
    }

    /// The list for the record.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts::from([(stages::STAGES.to_owned(), json!(self.entries))])
    }

    /// How far the run has come, with the views of all stages.
    ///
    /// # Errors
    /// When what is read does not fit.
    pub fn state(&mut self, state: &mut State<'_>) -> Result<(), LabError> {
        state.of("reached", &mut self.reached)?;
        state.told("entries", &mut self.entries)?;
        let views = self.list.iter_mut().filter_map(|stage| stage.view.as_mut());
        for view in views {
            view.state(state)?;
        }
        Ok(())
    }
}

/// A network that the objective learns from, trained before the run by a recipe of its own on the same
/// training split.
pub struct Tutor {
    /// Its name in records.
    pub name: &'static str,
    /// The network, as initialised from streams of [`Tutor::seed`].
    pub network: Network,
    /// How it is trained.
    pub recipe: Box<Recipe>,
    /// Samples that it is trained on.
    pub samples: u64,
    /// The settings that it depends on.
    pub settings: Values,
    /// What its order and streams follow.
    pub seed: [u8; 32],
}

impl Tutor {
    /// The seed of a run's tutor: a function of the run's, and nothing that the run draws is moved by it.
    #[must_use]
    pub fn seed(streams: &Streams) -> [u8; 32] {
        let mut seed = [0; 32];
        let mut random = streams.generator("tutor");
        for part in seed.as_chunks_mut::<8>().0 {
            *part = random.next_u64().to_le_bytes();
        }
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::step_info;

    #[test]
    fn stages_share_the_steps_and_the_last_ends_with_the_run() {
        let quarters = Shares::new([1; 4]);
        // As `step * 4 / total` has it, whatever the total.
        for total in 1..40 {
            let each: Vec<_> = (0..total).map(|step| quarters.at(step, total)).collect();
            for (step, (stage, first, length)) in (0..).zip(&each) {
                assert_eq!(*stage as u64, step * 4 / total, "{step} of {total}");
                let of = each.iter().filter(|(other, ..)| other == stage).count() as u64;
                assert!(*length == of && (*first..first + length).contains(&step));
            }
        }
        let uneven = Shares::new([300, 0, 700]);
        assert_eq!(uneven.at(2, 10), (0, 0, 3));
        assert_eq!(uneven.at(3, 10), (2, 3, 7));
        assert_eq!(Shares::new([5]).at(9, 10), (0, 0, 10));
    }

    #[test]
    fn a_stage_has_its_own_schedule_and_rate() {
        let second = Stage { lr_factor: 0.5, schedule: Schedule::Linear, ..Stage::plain("b", 1) };
        let stages = Stages::new(vec![Stage::plain("a", 1), second]);
        let factors = [0, 4, 5, 6].map(|step| stages.lr_factor(&step_info(step, 9)));
        assert_eq!(factors, [1.0, 1.0, 0.5, 0.375]);
    }

    #[test]
    fn entries_go_from_digest_to_digest_behind_what_was_made_before() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let mut stages = Stages::new(vec![Stage::plain("a", 1), Stage::plain("b", 1)]);
        stages.enter(0, 0, digest("start"));
        stages.enter(1, 3, digest("middle"));
        stages.leave(7, digest("end"));
        stages.made("tutor", Made { steps: 2, samples: 4 }, [digest("t"), digest("u")]);
        let list = stages::read(&stages.facts()[stages::STAGES]).unwrap();
        assert_eq!(stages::check(&list, 7, Some(digest("end"))), Ok(()));
        let names: Vec<_> = list.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["tutor", "a", "b"]);
        assert_eq!(list[1].steps, Some(Steps { first: 0, last: 2 }));
    }

    #[test]
    fn the_seed_of_a_tutor_is_that_of_its_run() {
        let [one, again] = [(); 2].map(|()| Tutor::seed(&crate::trial::streams()));
        assert!(one == again && one != Tutor::seed(&Streams::new([1; 32])));
    }
}
