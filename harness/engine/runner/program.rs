//! One cell whose arm is a program of one's own: starts it, or meets the script that has started this
//! process, runs the protocol with it, records.

mod child;
mod script;

use std::path::Path;

use analysis::plan::Cell;
use anyhow::Context as _;
use lab::LabError;
use ledger::external::own_task::OwnTask;
use ledger::external::protocol::Answer;
use ledger::external::{External, Told};
use ledger::lineage::Parents;
use ledger::record::RunRecord;
use ledger::record::store::CellLock;
use palimpsest::cli::suite_options::programs::copy;
use palimpsest::machine;
use training::cell::Commitment;
use training::clock::{Monotonic, Time as _};
use training::external::{Around, ExternalError, ExternalSetup, Left, Program, SAVED};

use super::cell::{Attempt, CellReport, Common, Failed, Frame};
use super::kept::Keeping;
use super::{NamedSeed, Session};
use crate::interrupt;
use child::{Child, Place};
use script::Script;

/// What a program printed last, in the run's folder.
const OUTPUT: &str = "output.txt";

/// Longest piece of a program's line that an error shows.
const SHOWN: usize = 120;

/// A program, with what becomes of its process.
trait Hosted: Program {
    /// Ends it, with a `reason` where it is at fault.
    fn finish(self: Box<Self>, reason: Option<&str>) -> Over;
}

/// How a program's process came to its end.
struct Over {
    /// What it cost, by the operating system.
    cost: Option<Cost>,
    /// Whether the bench started it, with so many threads, and ended it.
    ours: bool,
    /// The same in words, where it says more than that the bench ended it.
    how: String,
    /// What a reader should know although the run is whole.
    remark: Option<String>,
    /// The end of what it printed.
    said: Vec<u8>,
    /// Whether it went away by itself.
    gone: bool,
    /// The signal with which somebody else ended it, as schedulers and kernels short of memory do.
    killed: Option<i32>,
}

/// What a program's process cost.
#[derive(Clone, Copy)]
struct Cost {
    cpu_seconds: f64,
    peak_memory_bytes: u64,
}

fn fault<T>(reason: impl Into<String>) -> Result<T, ExternalError> {
    Err(ExternalError::Program(reason.into()))
}

/// The message in a line.
fn parse(line: &[u8]) -> Result<Answer, ExternalError> {
    serde_json::from_slice(line).or_else(|error| {
        let text = String::from_utf8_lossy(line);
        let shown: String = text.chars().take(SHOWN).collect();
        fault(format!("it said {shown:?}, which is no message of the protocol: {error}"))
    })
}

/// The folder of a program's run, which goes with it.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Session {
    /// Calls `body` with a program's cell, whose arrays go to `folder`.
    fn with_program<T>(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        folder: &Path,
        body: impl FnOnce(&Self, &ExternalSetup<'_>, &External) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.ready(cell.workload)?;
        let workload = self.workload(cell.workload)?;
        let planned = self.plan.workload(cell);
        let arm = &self.plan.arms[cell.arm];
        let external = arm.external.as_ref().context("the arm is no program")?;
        let data = self.ready.get(&Self::data_key(&planned)?);
        let own = OwnTask::of(&planned.id, &planned.settings);
        let setup = ExternalSetup {
            workload,
            ready: data.context("data are not loaded")?,
            own: own.as_ref(),
            arm: external,
            settings: &arm.settings,
            seed: &seed.seed,
            config_hash: self.config_hash(cell, &Parents::default())?,
            goal: &planned.goal,
            device: self.device,
            threads: self.threads,
            folder,
            save: self.plan.keeps_model(cell),
        };
        body(self, &setup, external)
    }

    /// What a cell commits to whose arm is a program.
    pub fn program_commitment(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
    ) -> anyhow::Result<Commitment> {
        self.with_program(cell, seed, Path::new(""), |_, setup, _| Ok(setup.commitment()))
    }

    /// Runs a cell whose arm is a program. What goes wrong with that is recorded as a failed run.
    pub(super) fn run_program(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        id: &str,
        lock: &CellLock,
    ) -> anyhow::Result<CellReport> {
        self.hosted(cell, seed, id, lock, Failed::Replaces, |setup, external, folder| {
            if external.found.as_os_str().is_empty() {
                anyhow::bail!(
                    "the record of run {id} names a program, but does not hold it; run its suite again, with --force where its record is there"
                );
            }
            copy(external, folder)?;
            let place = Place { folder, threads: setup.threads };
            let started = external
                .arguments(setup.settings)
                .map_err(ExternalError::Program)
                .and_then(|arguments| Child::start(external, &arguments, &place));
            Ok(started.map(|child| Box::new(child) as Box<dyn Hosted>))
        })
    }

    /// Runs the cell of a script that has started this process, which is `parent`.
    pub fn record_script(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        id: &str,
        lock: &CellLock,
        parent: u32,
    ) -> anyhow::Result<CellReport> {
        self.hosted(cell, seed, id, lock, Failed::Spares, |_, _, _| {
            Ok(Ok(Box::new(Script::of(parent)?)))
        })
    }

    /// Runs a cell by the program that `start` gives, for which there is an empty folder.
    fn hosted(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        id: &str,
        lock: &CellLock,
        failed: Failed,
        start: impl Fn(
            &ExternalSetup<'_>,
            &External,
            &Path,
        ) -> anyhow::Result<Result<Box<dyn Hosted>, ExternalError>>,
    ) -> anyhow::Result<CellReport> {
        let kept = self.keeping(id);
        kept.trained_elsewhere();
        loop {
            let writer = self.store.start(id, lock)?;
            let folder = Folder(std::path::absolute(self.store.program_folder(id))?);
            let (arrays, program) = (folder.0.join("arrays"), folder.0.join("program"));
            for made in [&arrays, &program] {
                std::fs::create_dir_all(made)
                    .with_context(|| format!("cannot create {}", made.display()))?;
            }
            let made = self.with_program(cell, seed, &arrays, |session, setup, external| {
                let mut attempt = Attempt::new(session, cell, seed, id, writer, None, kept.clone());
                attempt.failed = failed;
                make(attempt, setup, external, &arrays, |setup| start(setup, external, &program))
            })?;
            if let Some(report) = made {
                return Ok(report);
            }
        }
    }

    /// Records a program's cell as failed that was stopped in another process.
    pub(super) fn record_stopped(
        &mut self,
        cell: Cell,
        seed: &NamedSeed,
        id: &str,
        lock: &CellLock,
        message: String,
    ) -> anyhow::Result<CellReport> {
        let writer = self.store.start(id, lock)?;
        let kept = self.keeping(id);
        self.with_program(cell, seed, Path::new(""), |session, setup, _| {
            let attempt = Attempt::new(session, cell, seed, id, writer, None, kept);
            let record = RunRecord { error: Some(message), ..attempt.blank(&frame(setup)) };
            attempt.end(&record)
        })
    }
}

fn frame<'a>(setup: &ExternalSetup<'a>) -> Frame<'a> {
    let ExternalSetup { workload, ready, goal, config_hash, .. } = *setup;
    Frame { workload, ready, goal, config_hash }
}

/// Trains and records; none where what was kept of the run turned out not to fit, so that it starts anew.
fn make(
    mut attempt: Attempt<'_>,
    setup: &ExternalSetup<'_>,
    external: &External,
    arrays: &Path,
    start: impl FnOnce(&ExternalSetup<'_>) -> anyhow::Result<Result<Box<dyn Hosted>, ExternalError>>,
) -> anyhow::Result<Option<CellReport>> {
    let frame = frame(setup);
    let mut record = attempt.blank(&frame);
    let mut told = Told::nothing_yet(external.clone());
    let (before, time) = (machine::usage(), Monotonic::start());
    let started = start(setup)?;
    let mut warnings = Vec::new();
    let (outcome, said) = match started {
        Err(error) => (Err(error), Vec::new()),
        Ok(mut child) => {
            let mut keeper = attempt.kept.clone();
            let outcome = attempt.watched(|commit, observe| {
                let around = Around { commit, observe, keeper: &mut keeper };
                setup.run(child.as_mut(), &mut told, Monotonic::start, around)
            });
            let reason = outcome.as_ref().err().map(ToString::to_string);
            let over = child.finish(reason.as_deref());
            let wall = time.now().as_secs_f64();
            if let Some(Cost { cpu_seconds, peak_memory_bytes }) = over.cost {
                told.cpu_seconds = Some(cpu_seconds);
                told.peak_memory_bytes = Some(peak_memory_bytes);
                record.environment.peak_memory_bytes = Some(peak_memory_bytes);
                // A script that runs by itself has as many threads as it likes: its share says nothing.
                if let (true, Some((start, _)), Some((end, _))) =
                    (over.ours, before, machine::usage())
                {
                    let used = end - start + cpu_seconds;
                    record.environment.cpu_share = (wall > 0.0).then(|| used / wall);
                }
                let allowed = f64::from(setup.threads) * wall;
                if over.ours && cpu_seconds > 1.2 * allowed {
                    warnings.push(format!(
                        "the program used {cpu_seconds:.1} s of processor time in {wall:.1} s, more than its {} threads can",
                        setup.threads
                    ));
                }
            }
            if outcome.is_ok() {
                warnings.extend(over.remark);
            }
            if let Some(signal) = over.killed {
                stopped_with_us(&attempt.kept, signal)?;
            }
            let outcome = match over.gone {
                true => outcome.map_err(|error| with_last_words(error, &over.how, &over.said)),
                false => outcome,
            };
            (outcome, over.said)
        }
    };
    record.external = Some(told);
    match outcome {
        Ok(left) => fill(&mut attempt, &mut record, &frame, &left, arrays, setup.save)?,
        Err(ExternalError::Io(error)) => return Err(error.into()),
        Err(ExternalError::Lab(error @ (LabError::Io(_) | LabError::Stopped { .. }))) => {
            return Err(error.into());
        }
        Err(ExternalError::Lab(error @ LabError::State(_))) if attempt.kept.went_on() => {
            attempt.kept.anew(&error.to_string());
            return Ok(None);
        }
        Err(error) => record.error = Some(error.to_string()),
    }
    record.warnings.extend(warnings);
    if !said.is_empty() {
        let write = |path: &Path| Ok(std::fs::write(path, &said)?);
        attempt.writer.add::<anyhow::Error>(OUTPUT, write)?;
    }
    attempt.end(&record).map(Some)
}

/// A program was killed that was at no fault: what was kept of its run stays, for the next process. Where this process is
/// asked to end, too, as by a scheduler that asks every process of a job, that is no failed run.
fn stopped_with_us(kept: &Keeping, signal: i32) -> anyhow::Result<()> {
    kept.spare();
    if interrupt::is_asked_to_stop_by_now() {
        anyhow::bail!(
            "a program was ended (signal {signal}) before its run could be kept; it goes on from the checkpoint before, or starts anew"
        );
    }
    Ok(())
}

/// A fault of the program with how it ended, and the end of what it printed.
fn with_last_words(error: ExternalError, how: &str, said: &[u8]) -> ExternalError {
    let ExternalError::Program(mut reason) = error else { return error };
    if !how.is_empty() {
        reason = format!("{reason}; {how}");
    }
    let said = String::from_utf8_lossy(said);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| line.trim().chars().take(200).collect::<String>());
    ExternalError::Program(match last {
        Some(last) => format!("{reason}; its last printed line: {last:?}"),
        None => reason,
    })
}

fn fill(
    attempt: &mut Attempt<'_>,
    record: &mut RunRecord,
    frame: &Frame<'_>,
    left: &Left,
    arrays: &Path,
    save: bool,
) -> anyhow::Result<()> {
    attempt.writer.order(&left.order, &frame.ready.identity.sample_ids)?;
    let saved = arrays.join(SAVED);
    if save && saved.symlink_metadata().is_ok_and(|found| found.is_file()) {
        let copy = |path: &Path| Ok(std::fs::copy(&saved, path).map(|_| ())?);
        attempt.writer.add::<anyhow::Error>(SAVED, copy)?;
    }
    let Left { ending, clocks, parameter_count, steps, .. } = *left;
    let Left { order, commitment, facts, streams, .. } = left;
    let law = ledger::order::OrderLaw::Uniform;
    let common =
        Common { ending, clocks, law, order, commitment, steps, parameter_count, facts, streams };
    attempt.settle(record, frame, &common);
    Ok(())
}
