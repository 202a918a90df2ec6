//! A synthetic task of a few seconds, on which tests run whole methods through the supervised
//! loop: three classes of noisy 8 × 8 images, a CNN of 4–4–4 channels, always on the CPU.

use ledger::digest::Digest;
use ledger::order::OrderLaw;
use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::{self, Streams};
use ledger::transcript::{FinishedTranscript, Transcript};
use serde_json::Value;
use tch::{Device, TchError, Tensor};

use crate::LabError;
use crate::clock::{Clock, Monotonic};
use crate::loops::supervised::{Budget, Run, Target};
use crate::method::Method;
use crate::models::cnn::{Shape, cnn};
use crate::network::Network;
use crate::seat::{Facts, OrderSource, Task};
use crate::workloads::{Split, Splits};

const CLASSES: u32 = 3;
const SIDE: u32 = 8;

/// How long, on how much, from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// Number of training examples.
    pub examples: u32,
    /// Budget in epochs.
    pub epochs: u32,
    /// Integer seed of network, data and order.
    pub seed: u64,
}

/// What a method left behind.
#[derive(Debug)]
pub struct Trace {
    /// The network, trained.
    pub network: Network,
    /// Digest of its parameters and buffers.
    pub digest: Digest,
    /// Law of the order.
    pub law: OrderLaw,
    /// Ids as consumed, by round.
    pub order: FinishedTranscript,
    /// Facts of objective and optimizer.
    pub facts: Facts,
}

/// Settings from pairs.
#[must_use]
pub fn with<const N: usize>(pairs: [(&str, Value); N]) -> Values {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

impl Trace {
    /// Ids consumed in each round.
    #[must_use]
    pub fn rounds(&self) -> Vec<&[u32]> {
        let mut left = self.order.ids.as_slice();
        let rounds = self.order.epochs.iter().map(|epoch| {
            let n = usize::try_from(epoch.n).unwrap_or(usize::MAX).min(left.len());
            let (round, rest) = left.split_at(n);
            left = rest;
            round
        });
        rounds.collect()
    }
}

impl Trial {
    /// Trains `method` with `settings` over its defaults.
    ///
    /// # Errors
    /// When a setting is not valid or libtorch refuses an operation.
    pub fn run(&self, method: &Method, settings: &Values) -> Result<Trace, LabError> {
        let settings = (method.resolve)(settings)?;
        let effective_seed = Seed::from_integer(self.seed).bytes;
        let streams = Streams::new(effective_seed);
        let mut network = self.network()?;
        let task = Task {
            workload: "trial",
            network: &network,
            examples: self.examples,
            classes: CLASSES,
            streams: &streams,
        };
        let mut recipe = (method.build)(&settings, &task)?;
        let samples = u64::from(self.examples) * u64::from(self.epochs);
        let mut transcript = Transcript::start(Digest::of(b"trial"));
        let target = Target { metric: "accuracy".into(), value: 2.0, higher_is_better: true };
        Run {
            network: &mut network,
            recipe: &mut recipe,
            splits: &self.splits()?,
            source: OrderSource {
                effective_seed: &effective_seed,
                streams: &streams,
                examples: self.examples,
            },
            budget: Budget { samples, evaluate_every: samples },
            target: &target,
            transcript: &mut transcript,
            clock: &mut Clock::start(Monotonic::start(), Device::Cpu),
        }
        .train(&mut |_, _| Ok(()))?;
        let names: Vec<_> = (0..self.examples).map(|id| Digest::of(&id.to_le_bytes())).collect();
        let order = transcript.finish(&names).map_err(std::io::Error::other)?;
        let (digest, law) = (network.digest()?, recipe.order.law());
        let facts = recipe.objective.facts().into_iter().chain(recipe.optimizer.facts());
        Ok(Trace { digest, law, order, facts: facts.collect(), network })
    }

    /// The network, as initialised.
    ///
    /// # Errors
    /// When libtorch cannot allocate.
    pub fn network(&self) -> Result<Network, TchError> {
        let shape = Shape {
            channels: 1,
            side: SIDE as usize,
            widths: [4; 3],
            classes: CLASSES as usize,
            norm: false,
        };
        cnn(shape, &Streams::new(Seed::from_integer(self.seed).bytes), Device::Cpu)
    }

    fn splits(&self) -> Result<Splits, TchError> {
        let streams = Streams::new(Seed::from_integer(self.seed).bytes);
        let templates =
            streams::normal(&mut streams.generator("templates"), (CLASSES * SIDE * SIDE) as usize);
        let split = |name: &str, examples: u32| -> Result<Split, TchError> {
            let labels: Vec<i64> = (0..examples).map(|id| i64::from(id % CLASSES)).collect();
            let labels = Tensor::f_from_slice(&labels)?;
            let shape = [i64::from(examples), i64::from(SIDE), i64::from(SIDE), 1];
            let noise =
                streams::normal(&mut streams.generator(name), (examples * SIDE * SIDE) as usize);
            let templates = Tensor::f_from_slice(&templates)?.f_view([
                i64::from(CLASSES),
                shape[1],
                shape[2],
                1,
            ])?;
            let stored = templates
                .f_index_select(0, &labels)?
                .f_add(&Tensor::f_from_slice(&noise)?.f_view(shape)?)?;
            Ok(Split { stored, labels })
        };
        Ok(Splits {
            train: split("train", self.examples)?,
            validation: split("validation", 30)?,
            test: split("test", 30)?,
        })
    }
}
