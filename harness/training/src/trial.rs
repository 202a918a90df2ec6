//! Tasks of a few seconds, on which tests run whole methods through the training loop, always on
//! the CPU: a [`Trial`] of noisy images with its own small CNN, [`train`] on a network of the
//! test's choice, or the [`Fixture`] of a workload; and [`bandit`], for what learns from reward.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use data::Sources;
use ledger::digest::Digest;
use ledger::goal::{Budget, Direction, Target};
use ledger::order::OrderLaw;
use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::{self, Streams};
use ledger::transcript::{FinishedTranscript, Transcript};
use tch::{Device, TchError, Tensor};

use crate::artefacts::{Artefacts, Unkept};
use crate::clock::{Clock, Monotonic};
use crate::judge::Judge;
use crate::keeping::{Keeper, Reached, Wanted};
use crate::run::{Run, WHOLE};
use crate::splits::Splits;
use crate::tutor::{self, Class};
use crate::workload::{Entry, Ready};
use lab::LabError;
use lab::method::Method;
use lab::models::cnn::{Shape, cnn};
use lab::network::Network;
use lab::objectives::DefaultLoss;
use lab::rendering::{Row, placed};
use lab::seat::{Costs, Facts, OrderSource, TaskInfo};
use lab::side_info::{Generation, SideInfo};
use lab::split::Split;
use lab::trial::{Bandit, EXAMPLES, PROMPTS, SEED, split};
use lab::workshop;

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
    /// Facts of its seats.
    pub facts: Facts,
    /// What its steps took.
    pub costs: Costs,
    /// What the workers of a search said, where steps are made of it.
    pub messages: Option<Vec<u8>>,
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
    /// Trains `method` with `settings` over its defaults; its teacher, for methods that ask for
    /// one, is the network of the next seed as initialised.
    ///
    /// # Errors
    /// When a setting is not valid or libtorch refuses an operation.
    pub fn run(&self, method: &Method, settings: &Values) -> Result<Trace, LabError> {
        self.repeat(method, settings, None)
    }

    /// The same, following what the workers of a search said in another run of it.
    ///
    /// # Errors
    /// When the messages are not those of such a run or libtorch refuses an operation.
    pub fn follow(
        &self,
        method: &Method,
        settings: &Values,
        messages: Vec<u8>,
    ) -> Result<Trace, LabError> {
        self.repeat(method, settings, Some(messages))
    }

    /// The same, stopped behind step `stop` and gone on with in seats and weights of their own, as another process would.
    ///
    /// # Errors
    /// When the run has no such step or cannot be kept, a setting is not valid or libtorch refuses an operation.
    pub fn interrupted(
        &self,
        method: &Method,
        settings: &Values,
        stop: u64,
    ) -> Result<Trace, LabError> {
        let (splits, side) = (self.splits()?, classes(CLASSES));
        let samples = u64::from(self.examples) * u64::from(self.epochs);
        let teacher = Self { seed: self.seed + 1, ..*self }.network()?;
        let bench = self.bench(&splits, &side, None);
        bench.interrupted(method, settings, &self.network()?, Some(&teacher), samples, stop)
    }

    fn bench<'a>(
        &self,
        splits: &'a Splits,
        side: &'a SideInfo,
        followed: Option<Vec<u8>>,
    ) -> Bench<'a> {
        Bench {
            workload: "trial",
            splits,
            side,
            identity: numbered(self.examples),
            seed: self.seed,
            followed,
            artefacts: &Unkept,
        }
    }

    fn repeat(
        &self,
        method: &Method,
        settings: &Values,
        followed: Option<Vec<u8>>,
    ) -> Result<Trace, LabError> {
        let (splits, side) = (self.splits()?, classes(CLASSES));
        let bench = self.bench(&splits, &side, followed);
        let samples = u64::from(self.examples) * u64::from(self.epochs);
        let teacher = Self { seed: self.seed + 1, ..*self }.network()?;
        bench.run(method, settings, self.network()?, Some(&teacher), samples)
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
            Ok(Split { stored, labels, groups: Vec::new() })
        };
        Ok(Splits {
            train: split("train", self.examples)?,
            probe: None,
            validation: split("validation", 30)?,
            test: split("test", 30)?,
        })
    }
}

/// Keeps a run in memory, and stops it behind a step.
#[derive(Debug, Default)]
struct Memory {
    stop: Option<u64>,
    kept: Option<Vec<u8>>,
    refused: Option<String>,
}

impl Keeper for Memory {
    fn found(&mut self) -> Option<Vec<u8>> {
        self.kept.take()
    }

    fn wanted(&mut self, reached: &Reached) -> Wanted {
        if self.stop == Some(reached.steps) { Wanted::Stopped } else { Wanted::Nothing }
    }

    fn keep(&mut self, _: &Reached, state: &[u8]) -> Result<(), LabError> {
        (self.stop, self.kept) = (None, Some(state.to_vec()));
        Ok(())
    }

    fn cannot(&mut self, reason: &str) {
        self.refused = Some(reason.to_owned());
    }

    fn reach(&self, _: u64) -> Option<u64> {
        None
    }

    fn missed(&mut self, reason: &str) {
        self.cannot(reason);
    }
}

/// What a run has around it beside its data.
#[derive(Default)]
struct Around<'a> {
    judge: Option<&'a dyn Judge>,
    keeper: Option<&'a mut Memory>,
}

/// Data and seed that a method is run on.
struct Bench<'a> {
    workload: &'a str,
    splits: &'a Splits,
    side: &'a SideInfo,
    identity: Vec<Digest>,
    seed: u64,
    followed: Option<Vec<u8>>,
    artefacts: &'a dyn Artefacts,
}

impl Bench<'_> {
    fn run(
        &self,
        method: &Method,
        settings: &Values,
        network: Network,
        teacher: Option<&Network>,
        samples: u64,
    ) -> Result<Trace, LabError> {
        let budget = Budget { samples, evaluate_every: samples };
        self.judged(method, settings, network, teacher, budget, Around::default())
    }

    fn interrupted(
        &self,
        method: &Method,
        settings: &Values,
        network: &Network,
        teacher: Option<&Network>,
        samples: u64,
        stop: u64,
    ) -> Result<Trace, LabError> {
        let budget = Budget { samples, evaluate_every: samples };
        let mut memory = Memory { stop: Some(stop), ..Memory::default() };
        let part = |memory: &mut Memory| {
            let network = network.duplicate();
            let around = Around { keeper: Some(memory), ..Around::default() };
            self.judged(method, settings, network, teacher, budget, around)
        };
        match part(&mut memory) {
            Err(LabError::Stopped { .. }) => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(LabError::Method(format!("it has no step {stop} to stop behind"))),
        }
        match memory {
            Memory { refused: Some(reason), .. } => Err(LabError::Unkept(reason)),
            mut memory => part(&mut memory),
        }
    }

    fn judged(
        &self,
        method: &Method,
        settings: &Values,
        mut network: Network,
        teacher: Option<&Network>,
        budget: Budget,
        around: Around<'_>,
    ) -> Result<Trace, LabError> {
        let Around { judge, keeper } = around;
        let settings = (method.resolve)(settings)?;
        let effective_seed = Seed::from_integer(self.seed).bytes;
        let streams = Streams::new(effective_seed);
        let examples = u32::try_from(self.identity.len()).unwrap_or(u32::MAX);
        let task = TaskInfo {
            method: "the method",
            workload: self.workload,
            network: &network,
            examples,
            side: self.side,
            teacher,
            budget_samples: budget.samples,
            streams: &streams,
        };
        let mut recipe = (method.build)(&settings, &task)?;
        if let Some(messages) = &self.followed {
            recipe = recipe.following(messages.clone())?;
        }
        let mut transcript = Transcript::start(Digest::of(b"trial"));
        let target = Target {
            metric: "none".into(),
            direction: Direction::HigherIsBetter,
            value: 2.0,
            origin: String::new(),
        };
        let class = Class {
            splits: self.splits,
            loss: self.side.loss,
            train_root: Digest::of(b"trial"),
            examples,
            code: "trial",
            target: &target,
            artefacts: self.artefacts,
        };
        tutor::bring(&mut recipe, &class)?;
        Run {
            network: &mut network,
            recipe: &mut recipe,
            splits: self.splits,
            loss: self.side.loss,
            judge,
            source: OrderSource {
                effective_seed: &effective_seed,
                streams: &streams,
                examples,
                eligible: None,
            },
            budget,
            target: &target,
            transcript: &mut transcript,
            clock: &mut Clock::start(Monotonic::start(), Device::Cpu),
            part: WHOLE,
            keeper: keeper.map(|memory| memory as _),
        }
        .train(&mut |_| Ok(()))?;
        let steps = transcript.steps();
        let order = transcript.finish(&self.identity).map_err(std::io::Error::other)?;
        // Tests look at what was trained beside averages, and at what is seen of a parametrisation.
        let network =
            if recipe.parametrisation.is_some() { recipe.kept(network)? } else { network };
        let (digest, law) = (network.digest()?, recipe.order.law());
        recipe.close_stages(steps, digest);
        let messages = recipe.messages().map(|messages| messages.bytes().to_vec());
        let (facts, costs) = (recipe.facts(), recipe.costs());
        Ok(Trace { digest, law, order, facts, costs, network, messages })
    }
}

/// Names of `examples` examples that have no content to hash.
fn numbered(examples: u32) -> Vec<Digest> {
    (0..examples).map(|id| Digest::of(&id.to_le_bytes())).collect()
}

/// What methods may know of examples in classes.
fn classes(classes: u32) -> SideInfo {
    SideInfo { loss: Some(DefaultLoss::Classes), classes: Some(classes), ..SideInfo::default() }
}

/// Networks that a run descends from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parents<'a> {
    /// Gives the weights to start from; the initial ones where there is none.
    pub start: Option<&'a Network>,
    /// Whose outputs are learnt from.
    pub teacher: Option<&'a Network>,
}

/// A workload with its data, on which methods are tried without a suite or a store.
#[derive(Debug)]
pub struct Fixture {
    entry: &'static Entry,
    settings: Values,
    ready: Ready,
    starts: Starts,
}

/// Warm starts made so far, so that several runs of a test share one.
#[derive(Debug, Default)]
struct Starts(RefCell<BTreeMap<Digest, Vec<Tensor>>>);

impl Artefacts for Starts {
    fn load(&self, key: &Digest) -> Result<Option<Vec<Tensor>>, LabError> {
        let copy = |tensors: &Vec<Tensor>| tensors.iter().map(Tensor::f_detach_copy).collect();
        Ok(self.0.borrow().get(key).map(copy).transpose()?)
    }

    fn save(&self, key: &Digest, tensors: &[Tensor]) -> Result<(), LabError> {
        let copies = tensors.iter().map(Tensor::f_detach_copy).collect::<Result<_, _>>()?;
        self.0.borrow_mut().insert(*key, copies);
        Ok(())
    }
}

impl Fixture {
    /// Loads the data of a workload under `settings` over its defaults.
    ///
    /// # Errors
    /// When a setting is not valid or data are missing.
    pub fn new(
        entry: &'static Entry,
        settings: &Values,
        sources: &Sources,
    ) -> Result<Self, LabError> {
        let settings = (entry.workload.resolve)(settings)?;
        let ready = (entry.workload.load)(&settings, sources, Device::Cpu)?;
        Ok(Self { entry, settings, ready, starts: Starts::default() })
    }

    /// The same of a workload whose data need no file.
    ///
    /// # Errors
    /// When a setting is not valid or data are missing.
    pub fn generated(entry: &'static Entry, settings: &Values) -> Result<Self, LabError> {
        let [data_dir, cache_dir] = [PathBuf::new(), PathBuf::new()];
        Self::new(entry, settings, &Sources { data_dir, cache_dir })
    }

    /// The network as every method starts from it.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn network(&self, seed: u64) -> Result<Network, LabError> {
        let streams = Streams::new(Seed::from_integer(seed).bytes);
        let Self { entry, settings, ready, starts } = self;
        let mut network = (entry.workload.network)(settings, &ready.side, &streams, Device::Cpu)?;
        if let Some(start) = entry.workload.start {
            start(&mut network, ready, settings, &streams, starts)?;
        }
        Ok(network)
    }

    /// Trains `method` with `settings` over its defaults on `samples` samples, unjudged.
    ///
    /// # Errors
    /// When a setting is not valid, the method does not fit or libtorch refuses an operation.
    pub fn run(
        &self,
        method: &Method,
        settings: &Values,
        samples: u64,
        seed: u64,
    ) -> Result<Trace, LabError> {
        self.bench(seed).run(method, settings, self.network(seed)?, None, samples)
    }

    /// The same under the eyes of `judge`, as often as the budget says.
    ///
    /// # Errors
    /// When a setting is not valid, the method does not fit, libtorch refuses an operation or the judge fails.
    pub fn watch(
        &self,
        method: &Method,
        settings: &Values,
        budget: Budget,
        seed: u64,
        judge: &dyn Judge,
    ) -> Result<Trace, LabError> {
        let network = self.network(seed)?;
        let around = Around { judge: Some(judge), ..Around::default() };
        self.bench(seed).judged(method, settings, network, None, budget, around)
    }

    /// An unjudged run, stopped behind step `stop` and gone on with in seats and weights of their own, as another process
    /// would.
    ///
    /// # Errors
    /// When the run has no such step or cannot be kept, a setting is not valid, the method does not fit or libtorch
    /// refuses an operation.
    pub fn interrupted(
        &self,
        method: &Method,
        settings: &Values,
        samples: u64,
        seed: u64,
        stop: u64,
    ) -> Result<Trace, LabError> {
        let network = self.network(seed)?;
        self.bench(seed).interrupted(method, settings, &network, None, samples, stop)
    }

    fn bench(&self, seed: u64) -> Bench<'_> {
        Bench {
            workload: self.entry.id,
            splits: &self.ready.splits,
            side: &self.ready.side,
            identity: self.ready.identity.sample_ids.clone(),
            seed,
            followed: None,
            artefacts: &self.starts,
        }
    }

    /// The same from the weights of `start` in place of the initial ones, with a teacher for
    /// methods that ask for one.
    ///
    /// # Errors
    /// When a setting is not valid, the method does not fit or libtorch refuses an operation.
    pub fn derive(
        &self,
        method: &Method,
        settings: &Values,
        samples: u64,
        seed: u64,
        Parents { start, teacher }: Parents<'_>,
    ) -> Result<Trace, LabError> {
        let network = match start {
            Some(start) => start.duplicate(),
            None => self.network(seed)?,
        };
        self.bench(seed).run(method, settings, network, teacher, samples)
    }

    /// Gives each of these training examples, behind its own prompt, the response of the next one: what does not look at
    /// responses does not notice.
    ///
    /// # Errors
    /// When there is no such example, or the labels are no tokens.
    pub fn poison(&mut self, ids: std::ops::Range<u32>) -> Result<(), LabError> {
        let train = &mut self.ready.splits.train;
        let ids: Vec<u32> = ids.collect();
        let rows: Vec<(u32, Row)> = ids.iter().copied().zip(workshop::rows(train, &ids)?).collect();
        // Where nothing is demonstrated there is nothing to be seen.
        let rows: Vec<_> = rows.into_iter().filter(|(_, row)| !row.tokens.is_empty()).collect();
        let next = rows.iter().cycle().skip(1);
        let poisoned = rows.iter().zip(next).map(|((_, own), (_, other))| {
            Row::of(&own.tokens[..own.prompt()], &other.tokens[other.prompt()..])
        });
        let poisoned: Vec<Row> = poisoned.collect();
        if poisoned.is_empty() {
            return Ok(());
        }
        let columns = train.labels.size2()?.1;
        let columns = usize::try_from(columns).unwrap_or(0);
        let (inputs, labels) = placed(&poisoned, columns, train.labels.device())?;
        let places: Vec<i64> = rows.iter().map(|(id, _)| i64::from(*id)).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(train.labels.device())?;
        train.stored = train.stored.f_index_copy(0, &places, &inputs)?;
        train.labels = train.labels.f_index_copy(0, &places, &labels)?;
        Ok(())
    }

    /// The data.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.ready
    }
}

/// Trains `network` for `epochs` with `method` under `settings` on [`split`]; methods that ask for parts find
/// those of [`lab::trial::ELASTIC`].
///
/// # Errors
/// When the method does not fit or libtorch refuses an operation.
pub fn train(
    method: &Method,
    settings: &Values,
    network: Network,
    shape: &[i64],
    epochs: u32,
) -> Result<(Network, Facts), LabError> {
    let [train, validation, test] = [split(shape)?, split(shape)?, split(shape)?];
    let splits = Splits { train, probe: None, validation, test };
    let bench = Bench {
        workload: "trial",
        splits: &splits,
        side: &SideInfo { elastic: Some(lab::trial::ELASTIC), ..classes(4) },
        identity: numbered(EXAMPLES),
        seed: SEED,
        followed: None,
        artefacts: &Unkept,
    };
    let samples = u64::from(EXAMPLES) * u64::from(epochs);
    let Trace { network, facts, .. } = bench.run(method, settings, network, None, samples)?;
    Ok((network, facts))
}

/// Trains a generative `method` on the inputs of [`split`].
///
/// # Errors
/// When the method does not fit or libtorch refuses an operation.
pub fn generate(
    method: &Method,
    settings: &Values,
    network: Network,
    shape: &[i64],
    epochs: u32,
) -> Result<(Network, Facts), LabError> {
    let [train, validation, test] = [split(shape)?, split(shape)?, split(shape)?];
    let fresh = test.rows(0, test.len())?.0;
    let (shape, conditions) = (shape.to_vec(), None);
    let generation =
        Some(Generation { shape, sigma_data: 0.5, fresh, conditions, reward: None, start: None });
    let splits = Splits { train, probe: None, validation, test };
    let bench = Bench {
        workload: "trial",
        splits: &splits,
        side: &SideInfo { generation, ..SideInfo::default() },
        identity: numbered(EXAMPLES),
        seed: SEED,
        followed: None,
        artefacts: &Unkept,
    };
    let samples = u64::from(EXAMPLES) * u64::from(epochs);
    let Trace { network, facts, .. } = bench.run(method, settings, network, None, samples)?;
    Ok((network, facts))
}

/// Trains `method` on the prompts of [`lab::trial::bandit`], `epochs` times each.
///
/// # Errors
/// When the method does not fit or libtorch refuses an operation.
pub fn bandit(method: &Method, settings: &Values, epochs: u32) -> Result<Trace, LabError> {
    let prompts = || Ok::<_, LabError>(lab::trial::bandit()?.prompts);
    let Bandit { network, side, .. } = lab::trial::bandit()?;
    let splits =
        Splits { train: prompts()?, probe: None, validation: prompts()?, test: prompts()? };
    let bench = Bench {
        workload: "bandit",
        splits: &splits,
        side: &side,
        identity: numbered(PROMPTS),
        seed: SEED,
        followed: None,
        artefacts: &Unkept,
    };
    bench.run(method, settings, network, None, u64::from(PROMPTS) * u64::from(epochs))
}
