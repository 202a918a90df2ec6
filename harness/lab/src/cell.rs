//! Runs one cell: streams, network, method, warm-up, training; leaves plain data.

use ledger::commitment;
use ledger::digest::Digest;
use ledger::order::OrderLaw;
use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::Streams;
use ledger::transcript::{FinishedTranscript, Transcript};
use tch::{Device, Kind, Tensor};

use crate::LabError;
use crate::clock::{Clock, Clocks, Monotonic, Phase};
use crate::loops::supervised::{Budget, Ending, Observe, Run, Target, rounds};
use crate::method::Entry;
use crate::network::Network;
use crate::seat::{Facts, OrderSource, Recipe, Task};
use crate::workloads::{Ready, Split, Splits, Workload};

/// Steps of the untimed warm-up.
const WARM_UP_STEPS: i64 = 3;

/// What a cell is made of.
#[derive(Debug)]
pub struct CellSetup<'a> {
    /// The workload.
    pub workload: &'static Workload,
    /// Its resolved settings.
    pub workload_settings: &'a Values,
    /// Its data.
    pub ready: &'a Ready,
    /// The method.
    pub method: &'a Entry,
    /// Its resolved settings.
    pub settings: &'a Values,
    /// The seed.
    pub seed: &'a Seed,
    /// Digest of the resolved cell, for the commitment.
    pub config_hash: Digest,
    /// How long.
    pub budget: Budget,
    /// What to reach.
    pub target: &'a Target,
    /// Where.
    pub device: Device,
}

/// What is known before step 0 and goes into the commitment index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment {
    /// h₀ of the run.
    pub digest: Digest,
    /// Number of epochs (rounds).
    pub epochs: u32,
    /// Commitment to the seed.
    pub seed_commit: Digest,
}

/// What a cell leaves.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The four clocks.
    pub clocks: Clocks,
    /// Law of the order.
    pub law: OrderLaw,
    /// What was consumed.
    pub order: FinishedTranscript,
    /// What was committed to before.
    pub commitment: Commitment,
    /// Digest of the final parameters and buffers.
    pub parameters: Digest,
    /// Number of trainable values.
    pub parameter_count: u64,
    /// Steps taken.
    pub steps: u64,
    /// Facts of the method's seats.
    pub facts: Facts,
}

/// A cell built, but not trained: what a commitment needs.
struct Built {
    streams: Streams,
    effective_seed: [u8; 32],
    network: Network,
    recipe: Recipe,
    commitment: Commitment,
}

impl CellSetup<'_> {
    /// The commitment of this cell, without training.
    ///
    /// # Errors
    /// When the method does not fit the workload.
    pub fn commitment(&self) -> Result<Commitment, LabError> {
        Ok(self.build()?.commitment)
    }

    fn build(&self) -> Result<Built, LabError> {
        let identity = &self.ready.identity;
        let effective_seed = self.seed.effective(&identity.train_root);
        let streams = Streams::new(effective_seed);
        let network = (self.workload.network)(self.workload_settings, &streams, self.device)?;
        let recipe = self.recipe(&network, &streams)?;
        let examples = self.examples();
        let epochs =
            u32::try_from(rounds(&recipe, examples, self.budget).len()).unwrap_or(u32::MAX);
        let seed_commit = self.seed.commit();
        let digest = commitment::run_commitment(
            &identity.train_root,
            &self.config_hash,
            u64::from(examples),
            epochs,
            &seed_commit,
        );
        let commitment = Commitment { digest, epochs, seed_commit };
        Ok(Built { streams, effective_seed, network, recipe, commitment })
    }

    fn recipe(&self, network: &Network, streams: &Streams) -> Result<Recipe, LabError> {
        let workload = (self.workload.info)().id;
        let classes = self.ready.classes;
        let task = Task { workload, network, examples: self.examples(), classes, streams };
        (self.method.method.build)(self.settings, &task)
    }

    fn examples(&self) -> u32 {
        u32::try_from(self.ready.identity.sample_ids.len()).unwrap_or(u32::MAX)
    }

    /// Trains. `commit` is called before step 0 and must have made the commitment durable when it
    /// returns; `observe` after every evaluation.
    ///
    /// # Errors
    /// When the method does not fit the workload, libtorch refuses an operation, or a callback fails.
    pub fn run(
        &self,
        commit: &mut dyn FnMut(&Commitment) -> Result<(), LabError>,
        observe: &mut Observe<'_>,
    ) -> Result<Outcome, LabError> {
        let Built { streams, effective_seed, mut network, mut recipe, commitment } =
            self.build()?;
        self.warm_up(&streams, &effective_seed)?;
        commit(&commitment)?;

        let mut transcript = Transcript::start(commitment.digest);
        let mut clock = Clock::start(Monotonic::start(), self.device);
        let source = OrderSource {
            effective_seed: &effective_seed,
            streams: &streams,
            examples: self.examples(),
        };
        let ending = Run {
            network: &mut network,
            recipe: &mut recipe,
            splits: &self.ready.splits,
            source,
            budget: self.budget,
            target: self.target,
            transcript: &mut transcript,
            clock: &mut clock,
        }
        .train(observe)?;

        clock.enter(Phase::Io);
        let steps = transcript.steps();
        let order =
            transcript.finish(&self.ready.identity.sample_ids).map_err(std::io::Error::other)?;
        let parameters = network.digest()?;
        clock.enter(Phase::Other);
        let parameter_count = network.parameters.iter().map(|p| p.tensor.numel() as u64).sum();
        let clocks = clock.read();
        let law = recipe.order.law();
        Ok(Outcome {
            ending,
            clocks,
            law,
            order,
            commitment,
            parameters,
            parameter_count,
            steps,
            facts: facts(&recipe),
        })
    }

    /// A few steps on dummy data with a throw-away model, so that first-use costs of libtorch are
    /// not charged to whichever cell happens to come first. Streams are functions of the seed, so
    /// nothing the run draws is moved by it.
    fn warm_up(&self, streams: &Streams, effective_seed: &[u8; 32]) -> Result<(), LabError> {
        let mut network = (self.workload.network)(self.workload_settings, streams, self.device)?;
        let mut recipe = self.recipe(&network, streams)?;
        let rows = i64::from(recipe.batch_size).min(i64::from(self.examples()));
        let examples = u32::try_from(rows * WARM_UP_STEPS).unwrap_or(1).min(self.examples());
        let dummy = |split: &Split, rows: i64| -> Result<Split, LabError> {
            let mut shape = split.stored.size();
            shape[0] = rows;
            // One zero seen everywhere: no memory for a second data set.
            let zero = Tensor::f_zeros([1], (Kind::Float, self.device))?;
            Ok(Split {
                stored: zero.f_expand(&shape, false)?,
                labels: Tensor::f_zeros([rows], (Kind::Int64, self.device))?,
            })
        };
        let splits = Splits {
            // Methods keep state per training example, so ids must stay valid.
            train: dummy(&self.ready.splits.train, i64::from(self.examples()))?,
            validation: dummy(&self.ready.splits.validation, 1)?,
            test: dummy(&self.ready.splits.test, 1)?,
        };
        let samples = u64::from(examples);
        let budget = Budget { samples, evaluate_every: samples };
        let mut clock = Clock::start(Monotonic::start(), self.device);
        let source = OrderSource { effective_seed, streams, examples: self.examples() };
        Run {
            network: &mut network,
            recipe: &mut recipe,
            splits: &splits,
            source,
            budget,
            target: self.target,
            transcript: &mut Transcript::start(Digest::of(b"warm-up")),
            clock: &mut clock,
        }
        .train(&mut |_, _| Ok(()))?;
        Ok(())
    }
}

/// The facts of all seats.
pub(crate) fn facts(recipe: &Recipe) -> Facts {
    let adapter = recipe.adapter.iter().flat_map(|adapter| adapter.facts());
    recipe.objective.facts().into_iter().chain(recipe.optimizer.facts()).chain(adapter).collect()
}
