//! Trains by a program that is not ours (`docs/external.md`): the bench tells it what the task is, gives
//! it training data and an order, and asks for outputs on held-out inputs, which it judges itself.
//!
//! The clocks are those of every run and are read here alone: the train clock runs from the moment a
//! stretch of the order is given out until the program says that it is through, and stands still while
//! the program gives outputs. No label of a held-out split leaves this process. What is not seen is what
//! the program does with the ids it gets: that it trained on them is its word. Where the data are its own
//! (`workload: external`), so is what they were, and its metrics.

mod arrays;
mod keep;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ledger::commitment::{Drawn, Terms};
use ledger::digest::Digest;
use ledger::external::own_task::OwnTask;
use ledger::external::protocol::{
    Answer, Ask, Begin, Counts, Data, Evaluate, Hello, MOST_FACTS, Metrics, Save, Train, VERSION,
};
use ledger::external::{External, Told, leads_away};
use ledger::goal::{self, Goal};
use ledger::order::{OrderLaw, Unit, bounded, uniform_order_into};
use ledger::record::format::{ClockSeconds, Evaluation};
use ledger::seed::Seed;
use ledger::settings::Values;
use ledger::streams::Streams;
use ledger::transcript::{FinishedTranscript, Transcript};
use tch::{Device, Tensor};

use crate::cell::Commitment;
use crate::clock::{Clock, Phase, Time};
use crate::judge::{EvaluationRequest, Judged, Model};
use crate::keeping::Keeper;
use crate::run::{Ending, Observe};
use crate::workload::{self, Ready};
use lab::LabError;
use lab::network::{Body, Network};
use lab::objectives::DefaultLoss;
use lab::orders::uniform::Uniform;
use lab::seat::{Facts, Order as _};
use lab::split::Split;

/// Name of the file that a model is saved to.
pub const SAVED: &str = "saved";

/// Why a program's run ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// The program broke the protocol or ended: the run failed.
    #[error("{0}")]
    Program(String),
    /// The bench could not judge.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A file could not be written, or the run's observer failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<tch::TchError> for ExternalError {
    fn from(error: tch::TchError) -> Self {
        Self::Lab(error.into())
    }
}

fn fault<T>(reason: impl Into<String>) -> Result<T, ExternalError> {
    Err(ExternalError::Program(reason.into()))
}

/// A program that answers.
pub trait Program {
    /// The program's first words.
    ///
    /// # Errors
    /// When it says nothing, or what is no message.
    fn hear(&mut self) -> Result<Answer, ExternalError>;

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When it is gone, or answers with what is no message.
    fn ask(&mut self, ask: &Ask) -> Result<Answer, ExternalError>;
}

/// A cell whose arm is a program.
#[derive(Debug)]
pub struct ExternalSetup<'a> {
    /// The workload.
    pub workload: &'static workload::Entry,
    /// Its data.
    pub ready: &'a Ready,
    /// What the workload says, where data and evaluation are the program's own.
    pub own: Option<&'a OwnTask>,
    /// The program.
    pub arm: &'a External,
    /// Its settings.
    pub settings: &'a Values,
    /// The seed.
    pub seed: &'a Seed,
    /// Digest of the resolved cell, for the commitment.
    pub config_hash: Digest,
    /// What to reach, and how long to train for it.
    pub goal: &'a Goal,
    /// Where outputs are judged.
    pub device: Device,
    /// Threads that the program may use.
    pub threads: u32,
    /// The folder for arrays, empty.
    pub folder: &'a Path,
    /// Whether the program is asked to save its model, as [`SAVED`] in the folder.
    pub save: bool,
}

/// What a program's run has around it.
pub struct Around<'a, 'o> {
    /// Called before anything of the data is given out; the commitment is durable when it returns.
    pub commit: &'a mut dyn FnMut(&Commitment) -> Result<(), LabError>,
    /// Called after every evaluation.
    pub observe: &'a mut Observe<'o>,
    /// Keeps the run between its steps, and gives back what an earlier part of it has left.
    pub keeper: &'a mut dyn Keeper,
}

impl std::fmt::Debug for Around<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").field("keeper", &self.keeper).finish_non_exhaustive()
    }
}

/// What a program's run leaves.
#[derive(Debug)]
pub struct Left {
    /// How it ended.
    pub ending: Ending,
    /// The four clocks.
    pub clocks: ClockSeconds,
    /// What was consumed, as the program told it.
    pub order: FinishedTranscript,
    /// What was committed to before.
    pub commitment: Commitment,
    /// Number of trainable values, as the program told it.
    pub parameter_count: u64,
    /// Steps taken.
    pub steps: u64,
    /// Facts of the judge, and what the program told.
    pub facts: Facts,
    /// Names of the random streams that were drawn from.
    pub streams: Vec<String>,
}

impl ExternalSetup<'_> {
    fn examples(&self) -> u32 {
        u32::try_from(self.ready.identity.sample_ids.len()).unwrap_or(u32::MAX)
    }

    /// Ids of each epoch.
    fn rounds(&self) -> Vec<u32> {
        Uniform.rounds(self.examples(), self.goal.budget.samples)
    }

    /// The commitment of this cell, without training.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        let identity = &self.ready.identity;
        let drawn = Drawn {
            law: OrderLaw::Uniform,
            unit: Unit::Sample,
            layout: None,
            beacon_source: self.seed.beacon_source.clone(),
        };
        let terms = Terms {
            dataset_root: identity.train_root,
            config_hash: self.config_hash,
            examples: u64::from(self.examples()),
            epochs: u32::try_from(self.rounds().len()).unwrap_or(u32::MAX),
            seed_commit: self.seed.commit(),
            drawn: Some(drawn),
        };
        Commitment { terms }
    }

    /// Number of classes, where outputs are judged.
    fn classes(&self) -> Result<u32, ExternalError> {
        if self.own.is_some() {
            return Ok(0);
        }
        match (self.ready.side.loss, self.ready.side.classes) {
            (Some(DefaultLoss::Classes), Some(classes)) => Ok(classes),
            _ => Err(ExternalError::Lab(LabError::Unfit {
                method: ledger::external::METHOD.to_owned(),
                workload: self.workload.id.to_owned(),
                reason: "outputs are judged where every example has one class".to_owned(),
            })),
        }
    }

    /// Trains; `told` takes what the program says of itself.
    ///
    /// # Errors
    /// When the program breaks the protocol, a callback fails, what an earlier part has left is not this run's
    /// ([`LabError::State`]), or the run was asked to stop ([`LabError::Stopped`]).
    pub fn run<T: Time>(
        &self,
        program: &mut dyn Program,
        told: &mut Told,
        time: impl FnOnce() -> T,
        around: Around<'_, '_>,
    ) -> Result<Left, ExternalError> {
        let Around { commit, observe, keeper } = around;
        let classes = self.classes()?;
        let effective_seed = self.seed.effective(&self.ready.identity.train_root);
        let streams = Streams::new(effective_seed);
        let first = program.hear()?;
        let Answer::Hello(hello) = first else { return fault(unexpected(&first, "hello")) };
        self.greet(hello, told)?;
        let kept = keeper.reach(0).is_some();
        let begin = Ask::Begin(Begin { kept, ..self.begin(classes, &streams)? });
        let Answer::Ready(ready) = expect(program, &begin, "ready")? else {
            return fault("it is not ready");
        };
        let commitment = self.commitment();
        commit(&commitment)?;
        let mut session = Session {
            setup: self,
            program,
            keeper,
            keeps: ready.keeps,
            who: (told.versions.clone(), told.device.clone()),
            looks: Vec::new(),
            epoch: 0,
            from: 0,
            pace: None,
            classes,
            clock: Clock::start(time(), self.device),
            transcript: Transcript::start(commitment.digest()),
            samples: 0,
            target_met: false,
            loss: None,
            tells: None,
            finite: true,
        };
        let ending = session.train(&effective_seed, observe)?;
        session.clock.enter(Phase::Io);
        let facts = session.close()?;
        let steps = session.transcript.steps();
        let sample_ids = &self.ready.identity.sample_ids;
        let order = session.transcript.finish(sample_ids).map_err(std::io::Error::other)?;
        session.clock.enter(Phase::Other);
        let clocks = session.clock.read();
        let parameter_count = ready.parameters;
        let streams = streams.used();
        Ok(Left { ending, clocks, order, commitment, parameter_count, steps, facts, streams })
    }

    /// Takes what the program says of itself; every setting must be read by somebody.
    fn greet(&self, hello: Hello, told: &mut Told) -> Result<(), ExternalError> {
        if hello.protocol != VERSION {
            return fault(format!(
                "it speaks version {} of the protocol, but this palimpsest speaks {VERSION}",
                hello.protocol
            ));
        }
        let places = self.arm.places().map_err(ExternalError::Program)?;
        let read = |name: &&String| places.contains(*name) || hello.takes.contains(name);
        if let Some(name) = self.settings.keys().find(|name| !read(name)) {
            let takes = if hello.takes.is_empty() { "none" } else { &hello.takes.join(", ") };
            return fault(format!(
                "setting \"{name}\" would be read by nobody: the command has no {{{name}}}, and the program says that it takes {takes}"
            ));
        }
        told.versions = hello.versions;
        told.device = hello.device;
        Ok(())
    }

    fn begin(&self, classes: u32, streams: &Streams) -> Result<Begin, ExternalError> {
        let splits = &self.ready.splits;
        let (workload, shape) = match self.own {
            Some(task) => (task.name.clone(), Vec::new()),
            None => {
                let (inputs, _) = splits.validation.rows(0, 1)?;
                (self.workload.id.to_owned(), arrays::lengths(&inputs).split_off(1))
            }
        };
        let count = |split: &Split| u64::try_from(split.len()).unwrap_or(0);
        let seed = bounded(&mut streams.generator("external"), 1 << 32);
        Ok(Begin {
            protocol: VERSION,
            workload,
            own: self.own.is_some(),
            shape,
            classes,
            examples: Counts {
                train: u64::from(self.examples()),
                validation: count(&splits.validation),
                test: count(&splits.test),
            },
            budget: self.goal.budget.samples,
            evaluate_every: self.goal.budget.evaluate_every,
            metric: self.goal.target.metric.clone(),
            settings: self.settings.clone(),
            seed: seed as u32,
            threads: self.threads,
            folder: self.folder.display().to_string(),
            kept: false,
        })
    }
}

/// Asks; the answer must be of this kind.
fn expect(program: &mut dyn Program, ask: &Ask, kind: &str) -> Result<Answer, ExternalError> {
    let answer = program.ask(ask)?;
    if answer.name() == kind { Ok(answer) } else { fault(unexpected(&answer, kind)) }
}

fn unexpected(answer: &Answer, kind: &str) -> String {
    match answer {
        Answer::Error(reason) => format!("it gave up: {}", reason.reason),
        other => format!("it said `{}` where `{kind}` was due", other.name()),
    }
}

/// A run under way.
struct Session<'a, T: Time> {
    setup: &'a ExternalSetup<'a>,
    program: &'a mut dyn Program,
    keeper: &'a mut dyn Keeper,
    /// Whether the program can be kept.
    keeps: bool,
    /// Versions and device that it named.
    who: (BTreeMap<String, String>, Option<String>),
    /// What was observed.
    looks: Vec<Evaluation>,
    /// The epoch in course, and the place of its first id that is not consumed.
    epoch: u32,
    from: u32,
    /// Samples of the last stretch, and what it took.
    pace: Option<(u32, Duration)>,
    classes: u32,
    clock: Clock<T>,
    transcript: Transcript,
    samples: u64,
    target_met: bool,
    loss: Option<f64>,
    /// Whether it tells a loss.
    tells: Option<bool>,
    finite: bool,
}

impl<T: Time> Session<'_, T> {
    fn train(
        &mut self,
        effective_seed: &[u8; 32],
        observe: &mut Observe<'_>,
    ) -> Result<Ending, ExternalError> {
        let setup = self.setup;
        let rounds = setup.rounds();
        let epochs = u32::try_from(rounds.len()).unwrap_or(u32::MAX);
        let total: u64 = rounds.iter().copied().map(u64::from).sum();
        let every = setup.goal.budget.evaluate_every.max(1);
        let found = self.keeper.found();
        let mut goes_on = found.is_some();
        if let Some(found) = found {
            self.go_on(&found, &rounds, observe)?;
        } else {
            if self.evaluate(false, observe)? == Ending::Diverged {
                return Ok(Ending::Diverged);
            }
            self.give_data()?;
        }
        let mut ids = Vec::new();
        for (epoch, &to) in (0..).zip(&rounds).skip(self.epoch as usize) {
            self.clock.enter(Phase::Train);
            uniform_order_into(effective_seed, epoch, setup.examples(), &mut ids);
            self.clock.enter(Phase::Io);
            let order = format!("order-{epoch}.npy");
            arrays::write_ids(&ids[..to as usize], &setup.folder.join(&order))?;
            if !std::mem::take(&mut goes_on) {
                self.transcript.begin_epoch(epoch);
                (self.epoch, self.from) = (epoch, 0);
            }
            while self.from < to {
                let from = self.from;
                let next = (self.samples / every + 1) * every - self.samples;
                let left = to - from;
                let stretch = u32::try_from(next.min(self.stretch())).map_or(left, |n| n.min(left));
                let until = from + stretch;
                let train = Train { epoch, order: order.clone(), from, to, until, epochs };
                self.clock.enter(Phase::Train);
                let began = self.clock.passed();
                let Answer::Consumed(told) =
                    expect(self.program, &Ask::Train(train.clone()), "consumed")?
                else {
                    return fault("it told nothing");
                };
                self.clock.enter(Phase::Io);
                let count = train.check(&told, &ids).map_err(ExternalError::Program)?;
                self.pace = Some((count, self.clock.passed().saturating_sub(began)));
                let mut at = from as usize;
                for (size, count) in told.steps {
                    for _ in 0..count {
                        let step = &ids[at..at + size as usize];
                        self.transcript.push_step(step).map_err(std::io::Error::other)?;
                        at += size as usize;
                    }
                }
                // A run tells its loss at every look or at none: one that is missing counts as not finite.
                let diverged = told.diverged || told.loss.is_some_and(|loss| !loss.is_finite());
                if !diverged {
                    if self.tells.is_some_and(|tells| tells != told.loss.is_some()) {
                        return fault("it told a loss at times; tell it always or never");
                    }
                    self.tells = Some(told.loss.is_some());
                }
                self.loss = told.loss;
                // Where no look is due, the next one ends the run.
                self.finite &= !diverged;
                let cell = self.samples / every;
                self.from += count;
                self.samples += u64::from(count);
                let due = self.samples / every > cell || self.samples == total;
                if due && self.evaluate(self.samples == total, observe)? == Ending::Diverged {
                    return Ok(Ending::Diverged);
                }
                if self.samples < total {
                    self.keep()?;
                }
            }
            // The next epoch has a file of its own.
            std::fs::remove_file(setup.folder.join(&order))?;
        }
        Ok(Ending::Completed)
    }

    /// Gives the training data out, where they are the bench's; that they are loaded is on the train clock.
    fn give_data(&mut self) -> Result<(), ExternalError> {
        if self.setup.own.is_some() {
            return Ok(());
        }
        self.clock.enter(Phase::Io);
        let train = &self.setup.ready.splits.train;
        let names = ["train-inputs.npy", "train-labels.npy"].map(str::to_owned);
        let [inputs, labels] = names.clone().map(|name| self.setup.folder.join(name));
        arrays::write_inputs(train, &inputs)?;
        arrays::write_labels(train, &labels)?;
        let [inputs, labels] = names;
        self.clock.enter(Phase::Train);
        expect(self.program, &Ask::Data(Data { inputs, labels }), "loaded")?;
        Ok(())
    }

    /// Has outputs made and judges them, or has metrics told, with the train clock stopped.
    fn evaluate(&mut self, last: bool, observe: &mut Observe<'_>) -> Result<Ending, ExternalError> {
        let mut all = self.judged(Judged::Validation, last)?;
        let target = &self.setup.goal.target;
        let value = all.get(&target.validation_key()).copied().unwrap_or(f64::NAN);
        let first = !self.target_met && target.is_met(value);
        self.target_met |= first;
        let finite = self.finite && all.values().all(|value| value.is_finite());
        let has_test = self.setup.own.is_none_or(|task| task.test);
        if finite && has_test && (first || last) {
            all.extend(self.judged(Judged::Test, last)?);
        }
        self.clock.enter(Phase::Io);
        let chain = self.transcript.chain();
        all.retain(|_, value| value.is_finite());
        let evaluation = Evaluation {
            samples: self.samples,
            steps: self.transcript.steps(),
            clocks: self.clock.read(),
            train_loss: self.loss.filter(|loss| self.finite && loss.is_finite()),
            metrics: all,
            costs: BTreeMap::new(),
            chain,
        };
        observe(&evaluation)?;
        self.looks.push(evaluation);
        self.clock.enter(Phase::Other);
        Ok(if finite { Ending::Completed } else { Ending::Diverged })
    }

    /// Metrics of a split: of the outputs that the program gives for its inputs, or as it tells them.
    fn judged(
        &mut self,
        judged: Judged,
        last: bool,
    ) -> Result<BTreeMap<String, f64>, ExternalError> {
        let ready = self.setup.ready;
        let name = judged.pick(goal::VALIDATION, goal::TEST);
        if let Some(task) = self.setup.own {
            return self.told(task, name);
        }
        let split = judged.pick(&ready.splits.validation, &ready.splits.test);
        self.clock.enter(Phase::Io);
        let inputs = format!("{name}-inputs.npy");
        let path = self.setup.folder.join(&inputs);
        if !path.exists() {
            arrays::write_inputs(split, &path)?;
        }
        let rows = u64::try_from(split.len()).unwrap_or(0);
        self.clock.enter(Phase::Eval);
        let ask = Ask::Evaluate(Evaluate { split: name.to_owned(), inputs, rows });
        let Answer::Outputs(outputs) = expect(self.program, &ask, "outputs")? else {
            return fault("it gave no outputs");
        };
        let outputs = self.outputs(&outputs.file, rows)?;
        // The judge sees a network that hands on what it is given.
        let network = Network::new(Vec::new(), Vec::new(), Body::Layers(Vec::new()));
        let labels = split.labels.shallow_clone();
        let split = Split { stored: outputs, labels, groups: Vec::new() };
        let model = Model::plain(&network);
        let request = EvaluationRequest { model, split: &split, judged, last };
        let metrics = tch::no_grad(|| ready.judge.metrics(&request))?;
        Ok(metrics.into_iter().map(|(metric, value)| (goal::key(name, &metric), value)).collect())
    }

    /// The metric of a workload of the program's own, as it tells it; NaN where it is not finite.
    fn told(
        &mut self,
        task: &OwnTask,
        split: &str,
    ) -> Result<BTreeMap<String, f64>, ExternalError> {
        self.clock.enter(Phase::Eval);
        let ask = Ask::Metrics(Metrics { split: split.to_owned() });
        let Answer::Metrics(told) = expect(self.program, &ask, "metrics")? else {
            return fault("it told no metrics");
        };
        let name = &task.metric;
        if let Some(other) = told.keys().find(|other| *other != name) {
            return fault(format!(
                "it told the metric {other:?}, but the suite declares {name:?} for this workload and no other"
            ));
        }
        let Some(value) = told.get(name) else {
            return fault(format!("it told no metric, but {name:?} was due on {split}"));
        };
        Ok(BTreeMap::from([(goal::key(split, name), value.unwrap_or(f64::NAN))]))
    }

    /// The table of outputs in a file of the folder, which is then taken away: each is made anew.
    fn outputs(&self, file: &str, rows: u64) -> Result<Tensor, ExternalError> {
        let below = file.contains('/').then_some("is in another folder");
        if let Some(reason) = leads_away(file).or(below) {
            return fault(format!(
                "its file of outputs, {file:?}, {reason}; give a name in `folder`"
            ));
        }
        let path = self.setup.folder.join(file);
        let (rows, columns) = (rows as usize, self.classes as usize);
        let values = arrays::read_outputs(&path, rows, columns)
            .map_err(|reason| ExternalError::Program(format!("its outputs, {file}: {reason}")))?;
        std::fs::remove_file(&path)?;
        let shape = [i64::try_from(rows).unwrap_or(0), i64::from(self.classes)];
        Ok(Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(self.setup.device)?)
    }

    /// What is asked for at the end; nothing of it is on the train clock.
    fn close(&mut self) -> Result<Facts, ExternalError> {
        let mut facts = self.setup.ready.judge.facts();
        let Answer::Facts(told) = expect(self.program, &Ask::Facts {}, "facts")? else {
            return fault("it told no facts");
        };
        if told.len() > MOST_FACTS {
            return fault(format!("it told {} facts, more than {MOST_FACTS}", told.len()));
        }
        if !told.is_empty() {
            facts.insert("told".to_owned(), told.into_iter().collect());
        }
        if self.setup.save {
            expect(self.program, &Ask::Save(Save { file: SAVED.to_owned() }), "saved")?;
        }
        expect(self.program, &Ask::End {}, "bye")?;
        Ok(facts)
    }
}

#[cfg(test)]
mod tests;
