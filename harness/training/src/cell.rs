//! Runs one cell: streams, network, method, warm-up, training; leaves plain data.

use ledger::commitment::{Drawn, Terms};
use ledger::digest::Digest;
use ledger::given::GivenOrder;
use ledger::goal::{Budget, Goal};
use ledger::layout::Layout;
use ledger::lineage::Parents;
use ledger::order::{OrderLaw, Unit};
use ledger::record::format::ClockSeconds;
use ledger::record::pictures::Pictures;
use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::Streams;
use ledger::transcript::{FinishedTranscript, Transcript};
use tch::{Device, Tensor};

use crate::artefacts::Artefacts;
use crate::checkpoint::Weights;
use crate::clock::{Clock, Monotonic, Phase, Time};
use crate::keeping::Keeper;
use crate::run::{Ending, Extent, Observe, Run, WHOLE};
use crate::splits::Splits;
use crate::tutor::{self, Class};
use crate::workload::{self, Ready};
use lab::LabError;
use lab::messages::Exchange;
use lab::method::Entry;
use lab::network::Network;
use lab::orders::replayed::Replayed;
use lab::recipe::{Recipe, Step};
use lab::seat::{Facts, OrderSource, TaskInfo};
use lab::split::Split;

/// Steps of the untimed warm-up.
const WARM_UP_STEPS: i64 = 3;

/// What a cell is made of.
pub struct CellSetup<'a> {
    /// The workload.
    pub workload: &'static workload::Entry,
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
    /// What to reach, and how long to train for it.
    pub goal: &'a Goal,
    /// Where.
    pub device: Device,
    /// Where weights that several cells need are kept.
    pub artefacts: &'a dyn Artefacts,
    /// Digest of the code that decides the cell.
    pub code: &'a str,
    /// Weights of the runs that this one descends from.
    pub parents: Parents<Weights>,
    /// The order to train in, in place of the method's.
    pub order: Option<&'a GivenOrder>,
}

impl std::fmt::Debug for CellSetup<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellSetup")
            .field("workload", &self.workload.id)
            .field("method", &self.method.id)
            .finish_non_exhaustive()
    }
}

/// Starts the processes that the workers of a search are to be, where a method wants them.
pub trait Company {
    /// Starts those of `workers` beside this process, which is the first, on the run of this commitment.
    ///
    /// # Errors
    /// When one does not start, or is of another run.
    fn gather(&self, workers: u32, run: &Digest) -> Result<Option<Box<dyn Exchange>>, LabError>;
}

/// No processes: where a method wants them, all workers are asked in this one, to the same bits.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Company for Nobody {
    fn gather(&self, _: u32, _: &Digest) -> Result<Option<Box<dyn Exchange>>, LabError> {
        Ok(None)
    }
}

/// What is known before step 0 and goes into the commitment index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// What is committed to.
    pub terms: Terms,
}

impl Commitment {
    /// h₀ of the run.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.terms.commitment()
    }

    /// What the examples of a unit are there for, when the order gives them roles.
    #[must_use]
    pub fn layout(&self) -> Option<&Layout> {
        self.terms.drawn.as_ref()?.layout.as_ref()
    }
}

/// What a cell leaves.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The four clocks.
    pub clocks: ClockSeconds,
    /// Law of the order.
    pub law: OrderLaw,
    /// What was consumed.
    pub order: FinishedTranscript,
    /// What was committed to before.
    pub commitment: Commitment,
    /// Digest of the final parameters and buffers, those that are evaluated.
    pub parameters: Digest,
    /// The network with the weights that are evaluated.
    pub network: Network,
    /// Number of trainable values.
    pub parameter_count: u64,
    /// Steps taken.
    pub steps: u64,
    /// Facts of the method's seats and of the common start.
    pub facts: Facts,
    /// Names of the random streams that were drawn from.
    pub streams: Vec<String>,
    /// What the workers of a search said, where steps are made of it.
    pub messages: Option<Vec<u8>>,
    /// What it leaves to look at, where it came to its end and the workload draws any.
    pub pictures: Option<Pictures>,
}

/// A cell built, but not trained: what a commitment needs.
pub struct Built {
    /// Named streams of the run.
    pub streams: Streams,
    /// Effective seed of the contract's uniform orders.
    pub effective_seed: [u8; 32],
    /// The network, as the run starts from it.
    pub network: Network,
    /// The method's seats.
    pub recipe: Recipe,
    commitment: Commitment,
}

impl Built {
    /// What the cell commits to.
    #[must_use]
    pub fn commitment(&self) -> &Commitment {
        &self.commitment
    }
}

impl CellSetup<'_> {
    /// The commitment of this cell, without training.
    ///
    /// # Errors
    /// When the method does not fit the workload.
    pub fn commitment(&self) -> Result<Commitment, LabError> {
        Ok(self.build()?.commitment)
    }

    /// Network and method of this cell, without training.
    ///
    /// # Errors
    /// When the method does not fit the workload or a parent's weights do not fit the network.
    pub fn build(&self) -> Result<Built, LabError> {
        let identity = &self.ready.identity;
        let effective_seed = self.seed.effective(&identity.train_root);
        let streams = Streams::new(effective_seed);
        let mut network = self.network(&streams)?;
        if let Some(weights) = &self.parents.from {
            weights.put_into(&mut network)?;
        }
        let recipe = self.recipe(&network, &streams)?;
        let examples = self.examples();
        let epochs = Extent::of(&recipe, examples, self.goal.budget).epochs;
        let layout = recipe.order.layout();
        let drawn = Drawn {
            law: recipe.order.law(),
            unit: Unit::of(layout.as_ref()),
            layout,
            beacon_source: self.seed.beacon_source.clone(),
        };
        let terms = Terms {
            dataset_root: identity.train_root,
            config_hash: self.config_hash,
            examples: u64::from(examples),
            epochs,
            seed_commit: self.seed.commit(),
            drawn: Some(drawn),
        };
        let commitment = Commitment { terms };
        Ok(Built { streams, effective_seed, network, recipe, commitment })
    }

    fn network(&self, streams: &Streams) -> Result<Network, LabError> {
        let Self { workload, workload_settings, ready, device, .. } = *self;
        (workload.workload.network)(workload_settings, &ready.side, streams, device)
    }

    fn recipe(&self, network: &Network, streams: &Streams) -> Result<Recipe, LabError> {
        let teacher = match &self.parents.teacher {
            Some(weights) => Some(weights.network(network)?),
            None => None,
        };
        let task = TaskInfo {
            method: self.method.id,
            workload: self.workload.id,
            network,
            examples: self.examples(),
            side: &self.ready.side,
            teacher: teacher.as_ref(),
            budget_samples: self.goal.budget.samples,
            streams,
        };
        let mut recipe = (self.method.method.build)(self.settings, &task)?;
        if let Some(given) = self.order {
            let (law, layout) = (recipe.order.law(), recipe.order.layout());
            let own = match layout {
                Some(layout) => Some(format!("of units with roles: {layout}")),
                None => (law != OrderLaw::Uniform).then(|| law.name().to_owned()),
            };
            if let Some(own) = own {
                return Err(task.unfit(format!(
                    "it is given the order {}, but brings an order of its own ({own}); give the order to a method \
                     that shuffles",
                    given.file
                )));
            }
            let epochs = given.epochs(task.examples, task.budget_samples);
            let epochs = epochs.map_err(|error| task.unfit(error.to_string()))?;
            recipe.order = Box::new(Replayed::new(OrderLaw::Sorted, epochs));
        }
        if task.side.generation.is_some() && recipe.sampler.is_none() {
            return Err(task.unfit("the workload judges samples; the method draws none"));
        }
        Ok(recipe)
    }

    /// The network where every method starts, and what getting there left.
    pub fn start(&self, network: &mut Network, streams: &Streams) -> Result<Facts, LabError> {
        let Self { workload, workload_settings, ready, artefacts, .. } = *self;
        match workload.workload.start {
            // A parent's weights are a start of their own.
            Some(start) if self.parents.from.is_none() => {
                start(network, ready, workload_settings, streams, artefacts)
            }
            _ => Ok(Facts::new()),
        }
    }

    /// Trains the recipe's tutor, or takes the kept one, and hands it to the objective.
    ///
    /// # Errors
    /// When libtorch refuses an operation, or what is kept cannot be read or written.
    pub fn tutor(&self, recipe: &mut Recipe) -> Result<(), LabError> {
        let class = Class {
            splits: &self.ready.splits,
            loss: self.ready.side.loss,
            train_root: self.ready.identity.train_root,
            examples: self.examples(),
            code: self.code,
            target: &self.goal.target,
            artefacts: self.artefacts,
        };
        tutor::bring(recipe, &class)
    }

    /// Number of training examples.
    #[must_use]
    pub fn examples(&self) -> u32 {
        u32::try_from(self.ready.identity.sample_ids.len()).unwrap_or(u32::MAX)
    }

    /// Trains. `commit` is called before step 0 and must have made the commitment durable when it
    /// returns; `observe` after every evaluation; `company` where a method wants processes; `keeper`
    /// keeps the run between its steps, and gives back what an earlier part of it has left.
    ///
    /// # Errors
    /// When the method does not fit the workload, libtorch refuses an operation, or a callback fails.
    pub fn run(
        &self,
        commit: &mut dyn FnMut(&Commitment) -> Result<(), LabError>,
        observe: &mut Observe<'_>,
        company: &dyn Company,
        keeper: Option<&mut (dyn Keeper + 'static)>,
    ) -> Result<Outcome, LabError> {
        let Built { streams, effective_seed, mut network, mut recipe, commitment } =
            self.build()?;
        self.warm_up(&streams, &effective_seed)?;
        commit(&commitment)?;
        let mut gathered = self.start(&mut network, &streams)?;
        self.tutor(&mut recipe)?;

        if let Step::Forward { search, messages, .. } = &mut recipe.step
            && messages.wants_processes()
            && let Some(exchange) = company.gather(search.workers(), &commitment.digest())?
        {
            messages.among(exchange);
        }
        let mut transcript = Transcript::start(commitment.digest());
        let mut clock = Clock::start(Monotonic::start(), self.device);
        let ending = Run {
            judge: Some(self.ready.judge.as_ref()),
            keeper,
            ..self.training(
                &mut network,
                &mut recipe,
                (&streams, &effective_seed),
                &mut transcript,
                &mut clock,
            )
        }
        .train(observe)?;

        clock.enter(Phase::Io);
        let steps = transcript.steps();
        let order =
            transcript.finish(&self.ready.identity.sample_ids).map_err(std::io::Error::other)?;
        let parameter_count = network.parameters.iter().map(|p| p.tensor.numel() as u64).sum();
        let network = recipe.kept(network)?;
        let parameters = network.digest()?;
        recipe.close_stages(steps, parameters);
        if let (Ending::Completed, Some(messages)) = (ending, recipe.messages_mut()) {
            messages.close(&parameters)?;
        }
        let pictures = match self.workload.workload.pictures {
            Some(draw) if ending == Ending::Completed => {
                Some(tch::no_grad(|| draw(&network, &self.ready.splits))?)
            }
            _ => None,
        };
        clock.enter(Phase::Other);
        let clocks = clock.read();
        let law = recipe.order.law();
        gathered.extend(recipe.facts());
        gathered.extend(self.ready.judge.facts());
        Ok(Outcome {
            ending,
            clocks,
            law,
            order,
            commitment,
            parameters,
            network,
            parameter_count,
            steps,
            facts: gathered,
            streams: streams.used(),
            messages: recipe.messages().map(|messages| messages.bytes().to_vec()),
            pictures,
        })
    }

    /// This cell as the loop takes it: over its whole budget, and nobody looks.
    pub fn training<'r, T: Time>(
        &'r self,
        network: &'r mut Network,
        recipe: &'r mut Recipe,
        (streams, effective_seed): (&'r Streams, &'r [u8; 32]),
        transcript: &'r mut Transcript,
        clock: &'r mut Clock<T>,
    ) -> Run<'r, T> {
        Run {
            network,
            recipe,
            splits: &self.ready.splits,
            loss: self.ready.side.loss,
            judge: None,
            source: OrderSource {
                effective_seed,
                streams,
                examples: self.examples(),
                eligible: None,
            },
            budget: self.goal.budget,
            target: &self.goal.target,
            transcript,
            clock,
            part: WHOLE,
            keeper: None,
        }
    }

    /// A few steps on dummy data with a throw-away model, so that first-use costs of libtorch are
    /// not charged to whichever cell happens to come first. Streams are functions of the seed, so
    /// nothing the run draws is moved by it.
    fn warm_up(&self, streams: &Streams, effective_seed: &[u8; 32]) -> Result<(), LabError> {
        let mut network = self.network(streams)?;
        let mut recipe = self.recipe(&network, streams)?;
        tutor::pretend(&mut recipe);
        let rows = i64::from(recipe.batch_size).min(i64::from(self.examples()));
        let examples = u32::try_from(rows * WARM_UP_STEPS).unwrap_or(1).min(self.examples());
        // One zero seen everywhere: no memory for a second data set.
        let zeros = |like: &Tensor, rows: i64| -> Result<Tensor, LabError> {
            let mut shape = like.size();
            shape[0] = rows;
            Ok(Tensor::f_zeros([1], (like.kind(), self.device))?.f_expand(&shape, false)?)
        };
        let dummy = |split: &Split, rows: i64| -> Result<Split, LabError> {
            Ok(Split {
                stored: zeros(&split.stored, rows)?,
                labels: zeros(&split.labels, rows)?,
                groups: split.groups.clone(),
            })
        };
        let splits = Splits {
            // Methods keep state per training example, so ids must stay valid.
            train: dummy(&self.ready.splits.train, i64::from(self.examples()))?,
            probe: match &self.ready.splits.probe {
                Some(probe) => Some(dummy(probe, probe.len())?),
                None => None,
            },
            validation: dummy(&self.ready.splits.validation, 1)?,
            test: dummy(&self.ready.splits.test, 1)?,
        };
        let samples = u64::from(examples);
        let budget = Budget { samples, evaluate_every: samples };
        let mut clock = Clock::start(Monotonic::start(), self.device);
        let mut transcript = Transcript::start(Digest::of(b"warm-up"));
        let drawn = (streams, effective_seed);
        Run {
            splits: &splits,
            budget,
            ..self.training(&mut network, &mut recipe, drawn, &mut transcript, &mut clock)
        }
        .train(&mut |_| Ok(()))?;
        Ok(())
    }
}
