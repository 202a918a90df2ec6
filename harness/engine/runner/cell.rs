//! One cell: lock, skip or run, record.

use std::panic::{AssertUnwindSafe, catch_unwind};

use analysis::plan::Cell;
use analysis::plan::descent::Parent;
use analysis::summary::clock::is_disturbed;
use anyhow::Context as _;
use lab::LabError;
use lab::seat::Facts;
use ledger::commitment::CommitmentEntry;
use ledger::digest::Digest;
use ledger::external::Told;
use ledger::goal::Goal;
use ledger::lineage::{Ancestor, Lineage, Parents};
use ledger::order::OrderLaw;
use ledger::record::decided::Decided;
use ledger::record::format::{
    ClockSeconds, Committed, DISTURBED, DataSection, Evaluation, Event, IndexPlace, OrderSection,
    RECORD_VERSION, RecordError, RunRecord, Status,
};
use ledger::record::identity::{Config, DataKey};
use ledger::record::pictures::PICTURES;
use ledger::record::writer::RunWriter;
use ledger::transcript::FinishedTranscript;
use palimpsest::library::{cell_code, start_code};
use palimpsest::machine;
use palimpsest::voice::counted;
use training::artefacts::kept::Kept;
use training::cell::{CellSetup, Commitment, Outcome};
use training::checkpoint::{self, FINAL, Weights};
use training::run::{Ending, Observe};
use training::workload::{Entry, Ready};

use super::company::Loopback;
use super::kept::Keeping;
use super::{NamedSeed, Session};
use crate::environment::{environment, trains_on};

/// What became of a cell.
#[derive(Debug, Clone)]
pub struct CellReport {
    /// Cell id.
    pub cell: String,
    /// How it ended.
    pub status: Status,
    /// True when the record was there already.
    pub kept: bool,
    /// Message of a failed cell.
    pub error: Option<String>,
}

/// The ids of cells that are over.
pub fn ids(reports: &[CellReport]) -> Vec<String> {
    reports.iter().map(|report| report.cell.clone()).collect()
}

impl Session {
    /// The ids of all cells of the plan, each under its seed. Loads the data of all workloads.
    pub fn cell_ids(&mut self, seeds: &[NamedSeed]) -> anyhow::Result<Vec<String>> {
        let cells = self.plan.cells.clone();
        cells.into_iter().zip(seeds).map(|(cell, seed)| self.cell_id(cell, seed)).collect()
    }

    /// The id of a cell under a seed: that of this build, or that of a record of another build where
    /// these are accepted and this one has left none.
    pub fn cell_id(&mut self, cell: Cell, seed: &NamedSeed) -> anyhow::Result<String> {
        let parents = self.parents(cell, seed)?;
        self.id_under(cell, seed, &parents)
    }

    /// The same, of a cell whose parents are known.
    fn id_under(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        parents: &Parents<String>,
    ) -> anyhow::Result<String> {
        let identity = self.identity(cell.workload)?;
        let file = identity.own.as_ref().map(|own| own.sha256);
        let data = DataKey { root: identity.train_root, file };
        let under = |code: &str| Ok(self.plan.cell_id(cell, parents, &seed.name, data, code)?);
        let own = under(self.code(cell))?;
        let Some(others) = self.others.as_ref().filter(|_| !self.store.has(&own)) else {
            return Ok(own);
        };
        let (workload, arm) = (&self.plan.workloads[cell.workload], &self.plan.arms[cell.arm]);
        Ok(others.of_another_build(&arm.method, &workload.id, under)?.unwrap_or(own))
    }

    /// Which of the cells that ran or were kept have records of another build.
    pub fn of_another_build(&self, ids: &[String]) -> Vec<String> {
        if self.others.is_none() {
            return Vec::new();
        }
        let cells = self.plan.cells.iter().zip(ids).filter(|(cell, id)| {
            let record = self.store.record(id);
            record.is_ok_and(|record| record.environment.code_digest != self.code(**cell))
        });
        cells.map(|(_, id)| id.clone()).collect()
    }

    /// Digest of the code that decides a cell.
    fn code(&self, cell: Cell) -> &'static str {
        let (workload, arm) = (&self.plan.workloads[cell.workload], &self.plan.arms[cell.arm]);
        cell_code(&arm.method, &workload.id)
    }

    /// Whether all parents of a cell have left their models.
    pub fn parents_left(&mut self, cell: Cell, seed: &NamedSeed) -> anyhow::Result<bool> {
        let parents = self.parents(cell, seed)?;
        Ok(parents.iter().all(|id| self.parents_in.folder(id).join(FINAL).is_file()))
    }

    /// The ids of a cell's parents.
    fn parents(&mut self, cell: Cell, seed: &NamedSeed) -> anyhow::Result<Parents<String>> {
        let parents = self.plan.parents(cell).map_err(anyhow::Error::msg)?;
        parents.try_map(|parent| match parent {
            Parent::Cell(cell) => self.cell_id(*cell, seed),
            Parent::Run(id) => Ok(self.parents_in.find(id)?),
        })
    }

    /// Digest of the resolved cell.
    pub(super) fn config_hash(
        &self,
        cell: Cell,
        parents: &Parents<String>,
    ) -> anyhow::Result<Digest> {
        Ok(Config {
            workload: &self.plan.workload(cell),
            arm: &self.plan.arms[cell.arm],
            parents,
            libtorch: lab::device::LIBTORCH_VERSION,
            code: self.code(cell),
            device: &self.device_name,
        }
        .hash()?)
    }

    /// Calls `body` with the cell built up to training.
    pub fn with_setup<T>(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        body: impl FnOnce(&Self, &CellSetup<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let parents = self.parents(cell, seed)?;
        self.with_setup_under(cell, seed, &parents, body)
    }

    /// The same, of a cell whose parents are known.
    fn with_setup_under<T>(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        parents: &Parents<String>,
        body: impl FnOnce(&Self, &CellSetup<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if self.plan.arms[cell.arm].external.is_some() {
            anyhow::bail!(
                "a program of one's own trains arm \"{}\", and the bench cannot look into it",
                self.plan.arms[cell.arm].label
            );
        }
        self.ready(cell.workload)?;
        let weights = parents.try_map(|parent| self.weights(parent))?;
        let order = self.given_order(cell)?;
        let planned = &self.plan.workload(cell);
        let arm = &self.plan.arms[cell.arm];
        let workload = self.workload(cell.workload)?;
        let method = methods::find(&arm.method)
            .ok_or_else(|| anyhow::anyhow!("unknown method {}", arm.method))?;
        let ready = self
            .ready
            .get(&Self::data_key(planned)?)
            .ok_or_else(|| anyhow::anyhow!("data are not loaded"))?;
        let artefacts = Kept::new(
            self.store.root().join("artefacts"),
            Digest::of_parts(&[
                start_code(&planned.id).as_bytes(),
                lab::device::LIBTORCH_VERSION.as_bytes(),
                self.device_name.as_bytes(),
            ]),
        );
        let setup = CellSetup {
            workload,
            workload_settings: &planned.settings,
            ready,
            method,
            settings: &arm.settings,
            seed: &seed.seed,
            config_hash: self.config_hash(cell, parents)?,
            goal: &planned.goal,
            device: self.device,
            artefacts: &artefacts,
            code: cell_code(&arm.method, &planned.id),
            parents: weights,
            order: order.as_ref(),
        };
        body(self, &setup)
    }

    /// What the record says of a cell's parents, whose records must be there.
    fn lineage(&self, parents: &Parents<String>) -> anyhow::Result<Option<Lineage>> {
        let lineage = parents.try_map(|id| {
            let missing = || format!("its parent, run {id}, has no record");
            let record = self.parents_in.record(id).with_context(missing)?;
            let parameters = record.parameters_sha256.ok_or_else(|| {
                anyhow::anyhow!("its parent, run {id}, failed and has no weights")
            })?;
            let order_hashes = record.order_hashes();
            anyhow::Ok(Ancestor { cell: id.clone(), parameters, order_hashes })
        })?;
        Ok((!lineage.is_empty()).then_some(lineage))
    }

    /// The weights that a run left.
    pub(super) fn weights(&self, id: &str) -> anyhow::Result<Weights> {
        let path = self.parents_in.folder(id).join(FINAL);
        if !path.is_file() {
            anyhow::bail!(
                "run {id} left no model; `palimpsest run` with --keep-models makes it again"
            );
        }
        Ok(Weights::read(&path)?)
    }

    /// Runs a cell, or keeps its record. Errors are of the store or the data; what goes wrong in
    /// training is recorded as a failed run.
    pub fn run_cell(&mut self, cell: Cell, seed: &NamedSeed) -> anyhow::Result<CellReport> {
        let parents = self.parents(cell, seed)?;
        let id = self.id_under(cell, seed, &parents)?;
        // Another process may be running it: then wait, and keep what it leaves.
        let lock = match self.store.try_lock(&id)? {
            Some(lock) => lock,
            None => self.store.lock(&id)?,
        };
        let external = self.plan.arms[cell.arm].external.is_some();
        // A program keeps its model to itself.
        if let Some(there) = self.kept(&id, !external && self.plan.keeps_model(cell)) {
            return Ok(there);
        }
        if external {
            return self.run_program(cell, seed, &id, &lock);
        }
        let lineage = match self.lineage(&parents) {
            Ok(lineage) => lineage,
            Err(error) => {
                let error = Some(format!("{error:#}"));
                return Ok(CellReport { cell: id, status: Status::Failed, kept: false, error });
            }
        };
        let kept = self.keeping(&id);
        self.with_setup_under(cell, seed, &parents, |session, setup| {
            loop {
                let writer = session.store.start(&id, &lock)?;
                let lineage = lineage.clone();
                let attempt = Attempt::new(session, cell, seed, &id, writer, lineage, kept.clone());
                if let Some(report) = attempt.make(setup)? {
                    return Ok(report);
                }
            }
        })
    }

    /// What keeps a cell's run, with what an earlier process has kept of it.
    pub(super) fn keeping(&self, id: &str) -> Keeping {
        let (path, every) = (self.store.checkpoint(id), self.plan.checkpoint_every);
        Keeping::find(id, path, every, self.force, trains_on(&self.device_name))
    }

    /// Records a cell as failed that was stopped in another process, whose lock is free again; one that
    /// had left its record by then keeps it.
    pub fn stopped(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        message: String,
    ) -> anyhow::Result<CellReport> {
        let parents = self.parents(cell, seed)?;
        let id = self.id_under(cell, seed, &parents)?;
        let lock = self.store.lock(&id)?;
        let external = self.plan.arms[cell.arm].external.is_some();
        if !self.force
            && let Some(kept) = self.kept(&id, !external && self.plan.keeps_model(cell))
        {
            return Ok(kept);
        }
        if external {
            return self.record_stopped(cell, seed, &id, &lock, message);
        }
        let lineage = self.lineage(&parents)?;
        let kept = self.keeping(&id);
        self.with_setup_under(cell, seed, &parents, |session, setup| {
            let writer = session.store.start(&id, &lock)?;
            Attempt::new(session, cell, seed, &id, writer, lineage, kept).fail(setup, message)
        })
    }

    /// What is there of a cell that does not run again: its record, where it is of this device, not
    /// failed, with its model if it is to keep one. A record that cannot be read is somebody's result
    /// all the same: it counts as failed, so that the other cells go on, and is replaced only under
    /// `--force` or by `mend`; one of a newer version never.
    fn kept(&self, id: &str, model: bool) -> Option<CellReport> {
        if !self.store.has(id) {
            return None;
        }
        let report = |status, error: Option<String>| {
            Some(CellReport { cell: id.to_owned(), status, kept: true, error })
        };
        let read = self.store.record(id).and_then(|record| {
            self.store.manifest(id)?;
            Ok(record)
        });
        let record = match read {
            Err(error @ RecordError::Newer { .. }) => {
                return report(Status::Failed, Some(error.to_string()));
            }
            _ if self.force => return None,
            Ok(record) => record,
            Err(error) => {
                let remedy = format!(
                    "{error}; `palimpsest verify {id}` says more, `palimpsest mend {id}` trains it again"
                );
                return report(Status::Failed, Some(remedy));
            }
        };
        if self.collected {
            return report(record.status, record.error);
        }
        let stays = record.status != Status::Failed
            && record.environment.device == self.device_name
            && (!model || self.store.folder(id).join(FINAL).is_file());
        if stays { report(record.status, None) } else { None }
    }
}

/// What a failed run does to a good one of the same cell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Failed {
    /// Takes its place, so that the suite runs it again.
    Replaces,
    /// Leaves it as it is: nobody would run it again.
    Spares,
}

/// One attempt at a cell: what it gathers on the way to its record.
pub(super) struct Attempt<'a> {
    pub(super) session: &'a Session,
    pub(super) cell: Cell,
    pub(super) seed: &'a NamedSeed,
    id: &'a str,
    pub(super) writer: RunWriter,
    lineage: Option<Lineage>,
    evaluations: Vec<Evaluation>,
    index: Option<IndexPlace>,
    pub(super) kept: Keeping,
    pub(super) failed: Failed,
}

/// What a cell's record says whoever trains.
pub(super) struct Frame<'a> {
    pub(super) workload: &'static Entry,
    pub(super) ready: &'a Ready,
    pub(super) goal: &'a Goal,
    pub(super) config_hash: Digest,
}

impl<'a> Frame<'a> {
    fn of(setup: &CellSetup<'a>) -> Self {
        let CellSetup { workload, ready, goal, config_hash, .. } = *setup;
        Self { workload, ready, goal, config_hash }
    }
}

/// What a run leaves whoever trained.
pub(super) struct Common<'a> {
    pub(super) ending: Ending,
    pub(super) clocks: ClockSeconds,
    pub(super) law: OrderLaw,
    pub(super) order: &'a FinishedTranscript,
    pub(super) commitment: &'a Commitment,
    pub(super) steps: u64,
    pub(super) parameter_count: u64,
    pub(super) facts: &'a Facts,
    pub(super) streams: &'a [String],
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        session: &'a Session,
        cell: Cell,
        seed: &'a NamedSeed,
        id: &'a str,
        writer: RunWriter,
        lineage: Option<Lineage>,
        kept: Keeping,
    ) -> Self {
        let (evaluations, index, failed) = (Vec::new(), None, Failed::Replaces);
        Self { session, cell, seed, id, writer, lineage, evaluations, index, kept, failed }
    }

    /// Trains and records; none where what was kept of the run turned out not to fit, so that it starts anew.
    fn make(mut self, setup: &CellSetup<'_>) -> anyhow::Result<Option<CellReport>> {
        let mut record = self.blank(&Frame::of(setup));
        let before = (machine::usage(), training::clock::Monotonic::start());
        let outcome = catch_unwind(AssertUnwindSafe(|| self.train(setup)));
        if let (Some((start, _)), Some((end, peak))) = (before.0, machine::usage()) {
            let wall = training::clock::Time::now(&before.1).as_secs_f64();
            record.environment.cpu_share = (wall > 0.0).then(|| (end - start) / wall);
            record.environment.peak_memory_bytes = Some(peak);
        }
        let outcome = match outcome {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(error @ (LabError::Io(_) | LabError::Stopped { .. }))) => {
                return Err(error.into());
            }
            Ok(Err(error @ LabError::State(_))) if self.kept.went_on() => {
                self.kept.anew(&error.to_string());
                return Ok(None);
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(panic) => Err(panic_message(panic.as_ref())),
        };
        match outcome {
            Ok(outcome) => self.fill(&mut record, setup, &outcome)?,
            Err(message) => record.error = Some(message),
        }
        self.end(&record).map(Some)
    }

    /// Puts the record in place.
    pub(super) fn end(mut self, record: &RunRecord) -> anyhow::Result<CellReport> {
        self.writer.event(&Event::Ended { status: record.status })?;
        let kept = self.kept.clone();
        let (status, mut error) = (record.status, record.error.clone());
        let cell = self.id.to_owned();
        if status == Status::Failed && self.failed == Failed::Spares && self.has_good_run() {
            let reason = error.get_or_insert_default();
            reason.push_str("; the run that was here is kept");
            // Where it stays, the next attempt sweeps it.
            let _ = std::fs::remove_dir_all(self.session.store.root().join(".tmp").join(&cell));
            kept.end();
            return Ok(CellReport { cell, status, kept: true, error });
        }
        self.writer.finish(record, &self.session.plan.suite_text)?;
        kept.end();
        Ok(CellReport { cell, status, kept: false, error })
    }

    fn has_good_run(&self) -> bool {
        let there = self.session.store.has(self.id).then(|| self.session.store.record(self.id));
        there.is_some_and(|found| found.is_ok_and(|record| record.status != Status::Failed))
    }

    /// The record of a run that somebody stopped.
    fn fail(self, setup: &CellSetup<'_>, message: String) -> anyhow::Result<CellReport> {
        let record = RunRecord { error: Some(message), ..self.blank(&Frame::of(setup)) };
        self.end(&record)
    }

    fn train(&mut self, setup: &CellSetup<'_>) -> Result<Outcome, LabError> {
        let record = self.blank(&Frame::of(setup));
        let kept = self.kept.clone();
        let company = Loopback { session: self.session, record, seed: self.seed, kept: &kept };
        let mut keeper = self.kept.clone();
        self.watched(|commit, observe| setup.run(commit, observe, &company, Some(&mut keeper)))
    }

    /// Calls `body` with what makes a commitment durable, and with what takes note of an evaluation.
    pub(super) fn watched<T>(
        &mut self,
        body: impl FnOnce(&mut dyn FnMut(&Commitment) -> Result<(), LabError>, &mut Observe<'_>) -> T,
    ) -> T {
        let Self { session, id, writer, evaluations, index, kept, .. } = self;
        let writer = std::cell::RefCell::new(writer);
        let other = |error: RecordError| LabError::Io(std::io::Error::other(error));
        let mut commit = |commitment: &Commitment| {
            let digest = commitment.digest();
            *index = kept.committed(digest, |place| {
                session.store.holds(place, id, &digest).unwrap_or(false)
            });
            if index.is_none() {
                let entry = CommitmentEntry::new((*id).to_owned(), commitment.terms.clone());
                let line = session.store.commit(entry).map_err(other)?;
                let place = IndexPlace { sequence: line.sequence, digest: line.digest };
                kept.place(place);
                *index = Some(place);
            }
            writer
                .borrow_mut()
                .event(&Event::Committed { commitment: commitment.digest() })
                .map_err(other)
        };
        let mut observe = |evaluation: &Evaluation| {
            evaluations.push(evaluation.clone());
            writer.borrow_mut().event(&Event::Evaluated(evaluation.clone())).map_err(other)
        };
        body(&mut commit, &mut observe)
    }

    /// The record before anything is known of the run: that of a failed one.
    pub(super) fn blank(&self, frame: &Frame<'_>) -> RunRecord {
        let Session { plan, device_name, threads, argv, .. } = self.session;
        let planned = plan.workload(self.cell);
        let arm = &plan.arms[self.cell.arm];
        let identity = &frame.ready.identity;
        RunRecord {
            version: RECORD_VERSION,
            cell: self.id.to_owned(),
            suite: plan.suite.clone(),
            suite_digest: plan.suite_digest,
            workload: planned.id.clone(),
            workload_settings: planned.settings.clone(),
            method: arm.method.clone(),
            settings: arm.settings.clone(),
            seed: self.seed.name.clone(),
            status: Status::Failed,
            error: None,
            data: Some(DataSection {
                name: match &identity.own {
                    Some(own) => own.name.clone(),
                    None => frame.workload.workload.data.as_str().to_owned(),
                },
                origin: identity.origin.to_string(),
                sha256: identity.own.as_ref().map(|own| own.sha256),
                classes: frame.ready.side.classes,
                train_root: identity.train_root,
                validation_root: identity.validation_root,
                test_root: identity.test_root,
            }),
            goal: planned.goal.clone(),
            clocks: ClockSeconds::default(),
            time_to_target: None,
            last: std::collections::BTreeMap::new(),
            at_target: std::collections::BTreeMap::new(),
            steps: 0,
            samples: 0,
            parameter_count: 0,
            parameters_sha256: None,
            tensors: Vec::new(),
            streams: Vec::new(),
            order: None,
            lineage: self.lineage.clone(),
            given_order: arm.order.as_ref().map(|order| order.sha256),
            external: arm.external.clone().map(Told::nothing_yet),
            facts: std::collections::BTreeMap::new(),
            warnings: Vec::new(),
            interruptions: Vec::new(),
            environment: environment(
                cell_code(&arm.method, &planned.id),
                device_name,
                *threads,
                argv,
            ),
        }
    }

    fn fill(
        &mut self,
        record: &mut RunRecord,
        setup: &CellSetup<'_>,
        outcome: &Outcome,
    ) -> anyhow::Result<()> {
        let identity = &setup.ready.identity;
        self.writer.order(&outcome.order, &identity.sample_ids)?;
        if let Some(messages) = &outcome.messages {
            self.writer.messages(messages)?;
        }
        if self.session.plan.keeps_model(self.cell) {
            record.tensors = checkpoint::names(&outcome.network);
            let save = |path: &std::path::Path| Ok(checkpoint::save(&outcome.network, path)?);
            self.writer.add::<anyhow::Error>(FINAL, save)?;
        }
        if let Some(pictures) = &outcome.pictures {
            let sheet = reports::pictures::sheet(pictures)?;
            self.writer.add::<anyhow::Error>(PICTURES, |path| Ok(std::fs::write(path, sheet)?))?;
        }
        record.parameters_sha256 = Some(outcome.parameters);
        let Outcome { ending, clocks, law, steps, parameter_count, .. } = *outcome;
        let Outcome { order, commitment, facts, streams, .. } = outcome;
        let common = Common {
            ending,
            clocks,
            law,
            order,
            commitment,
            steps,
            parameter_count,
            facts,
            streams,
        };
        self.settle(record, &Frame::of(setup), &common);
        Ok(())
    }

    /// Takes into the record what a run leaves whoever trained.
    pub(super) fn settle(&self, record: &mut RunRecord, frame: &Frame<'_>, left: &Common<'_>) {
        let identity = &frame.ready.identity;
        let decided = Decided::of(&self.evaluations, &frame.goal.target);
        record.status = decided.status(left.ending == Ending::Diverged);
        record.time_to_target = decided.time_to_target;
        record.clocks = left.clocks;
        record.steps = left.steps;
        record.last = decided.last;
        record.samples = decided.samples;
        record.at_target = decided.at_target;
        record.parameter_count = left.parameter_count;
        record.facts.clone_from(left.facts);
        record.streams = left.streams.to_vec();
        let mut chain: Vec<_> =
            self.evaluations.iter().map(|evaluation| evaluation.chain).collect();
        chain.push(left.order.chain);
        chain.dedup();
        let committed = Committed {
            law: left.law,
            layout: left.commitment.layout(),
            seed: &self.seed.seed,
            examples: identity.sample_ids.len() as u64,
            dataset_root: identity.train_root,
            config_hash: frame.config_hash,
            epochs: left.commitment.terms.epochs,
            commitment: left.commitment.digest(),
            index: self.index,
        };
        record.order = Some(OrderSection::of(&committed, chain, left.order.epochs.clone()));
        let unaccounted = left.clocks.unaccounted();
        if unaccounted > 0.01 {
            record.warnings.push(format!(
                "more than 1 % of a run's wall time is on no clock ({})",
                self.session.plan.arms[self.cell.arm].label
            ));
        }
        record.interruptions = self.kept.interruptions();
        if is_disturbed(record) {
            record.warnings.push(DISTURBED.to_owned());
        }
        if let Some(last) = record.interruptions.last() {
            record.environment.started_unix = self.kept.started_unix();
            record.warnings.push(format!(
                "it went on from a checkpoint {}, the last time behind sample {}; its clocks are summed over its parts",
                counted(record.interruptions.len(), "time"),
                last.samples
            ));
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panic: {}", text.unwrap_or("no message"))
}
