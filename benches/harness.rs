//! The harness: blocks of steps through the training loop, timed by its train clock.

use std::collections::BTreeMap;

use lab::LabError;
use lab::network::Network;
use lab::optim::adamw::{Adamw, AdamwSettings};
use lab::recipe::{Recipe, Step};
use lab::seat::{OrderSource, TaskInfo};
use lab::side_info::SideInfo;
use ledger::catalogue::Schedule;
use ledger::digest::Digest;
use ledger::goal::{Budget, Direction, Target};
use ledger::transcript::Transcript;
use tch::Device;
use training::clock::{Clock, Monotonic};
use training::judge::{EvaluationRequest, Judge};
use training::run::{Run, WHOLE};
use training::splits::Splits;

use crate::task::Task;

/// A training run between two blocks of steps.
#[derive(Debug)]
pub struct Harness {
    splits: Splits,
    network: Network,
    recipe: Recipe,
    examples: u32,
}

impl Harness {
    /// A network with AdamW, before its first step.
    #[must_use]
    pub fn new(task: Task, batch_size: u32) -> Self {
        let network = (task.network)(&Task::streams());
        let rule = Adamw::new(AdamwSettings::default(), &network, |_, _| true).unwrap();
        let objective = Box::new(task.loss);
        let step = Step::Gradient { objective, optimizer: Box::new(rule) };
        let recipe = Recipe::of(batch_size, Schedule::Cosine { floor: 0.1 }, step);
        Self::of(task, network, recipe)
    }

    /// This network under this recipe, before its first step.
    #[must_use]
    pub fn of(task: Task, network: Network, recipe: Recipe) -> Self {
        Self { splits: task.splits(), network, recipe, examples: task.examples }
    }

    /// `one-byte` with its default number of workers, at a rate that leaves the weights where they are.
    #[must_use]
    pub fn one_byte(task: Task, batch_size: u32) -> Self {
        let (streams, method) = (Task::streams(), methods::find("one-byte").unwrap().method);
        let network = (task.network)(&streams);
        let settings = [("batch_size", batch_size.into()), ("lr", 0.0.into())];
        let settings = (method.resolve)(&lab::trial::with(settings)).unwrap();
        let side = SideInfo { loss: Some(task.loss), ..SideInfo::default() };
        let info = TaskInfo {
            method: "one-byte",
            workload: task.name,
            network: &network,
            examples: task.examples,
            side: &side,
            teacher: None,
            budget_samples: u64::from(task.examples),
            streams: &streams,
        };
        let recipe = (method.build)(&settings, &info).unwrap();
        Self { splits: task.splits(), network, recipe, examples: task.examples }
    }

    /// Train clock, in seconds, of a run of `steps` steps that goes on with the same parameters.
    #[must_use]
    pub fn seconds(&mut self, steps: u64) -> f64 {
        let streams = Task::streams();
        let batch = u64::from(self.recipe.batch_size);
        // The last batch of an epoch is short.
        let per_epoch = u64::from(self.examples).div_ceil(batch);
        let samples = steps / per_epoch * u64::from(self.examples) + steps % per_epoch * batch;
        let mut transcript = Transcript::start(Digest::of(b"bench"));
        let mut clock = Clock::start(Monotonic::start(), Device::Cpu);
        let mut seconds = 0.0;
        Run {
            network: &mut self.network,
            recipe: &mut self.recipe,
            splits: &self.splits,
            loss: None,
            judge: Some(&Nothing),
            source: OrderSource {
                effective_seed: &[1; 32],
                streams: &streams,
                examples: self.examples,
                eligible: None,
            },
            budget: Budget { samples, evaluate_every: samples },
            target: &Target {
                metric: "accuracy".into(),
                direction: Direction::HigherIsBetter,
                value: 2.0,
                origin: String::new(),
            },
            transcript: &mut transcript,
            clock: &mut clock,
            part: WHOLE,
            keeper: None,
        }
        .train(&mut |evaluation| {
            seconds = evaluation.clocks.train;
            Ok(())
        })
        .unwrap();
        assert_eq!(transcript.steps(), steps, "the budget makes as many steps as were asked for");
        seconds
    }
}

/// Finds nothing to judge: what is timed here is training.
#[derive(Debug)]
struct Nothing;

impl Judge for Nothing {
    fn metrics(&self, _: &EvaluationRequest<'_>) -> Result<BTreeMap<String, f64>, LabError> {
        Ok(BTreeMap::new())
    }
}
