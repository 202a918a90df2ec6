//! A run that is kept between its steps: in a file of the store while it trains, found again by the next process.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use analysis::suite::Every;
use lab::LabError;
use ledger::digest::Digest;
use ledger::record::checkpoint::{self, Head};
use ledger::record::format::{IndexPlace, Interruption, Share};
use palimpsest::machine;
use palimpsest::voice::warn;
use training::clock::{Monotonic, Time as _, unix_seconds};
use training::keeping::{Keeper, Reached, Wanted};

use crate::interrupt;

/// What is kept of a cell's run, shared by what keeps it and by what commits to it.
#[derive(Debug, Clone)]
pub struct Keeping(Rc<RefCell<Run>>);

#[derive(Debug)]
struct Run {
    cell: String,
    path: PathBuf,
    every: Option<Every>,
    /// What an earlier process has left, until the run goes on from it.
    found: Option<(Head, Vec<u8>)>,
    /// Whether it went on from there.
    went_on: bool,
    /// Whether the checkpoint stays behind when the run is recorded.
    spared: bool,
    commitment: Option<Digest>,
    index: Option<IndexPlace>,
    /// When the first part of the run started, in seconds since 1970.
    started_unix: u64,
    /// What this process trains on.
    machine: String,
    interruptions: Vec<Interruption>,
    /// What this part of the run has of the machine, from its start on.
    part: Part,
    /// Samples and wall time at the last checkpoint.
    last: Option<(u64, Duration)>,
    /// Whether the user has heard that the run cannot be kept.
    warned: bool,
}

/// A part of a run from its start on.
#[derive(Debug)]
struct Part {
    time: Monotonic,
    load_at_start: Option<f64>,
    /// Processor seconds of this process by then; none where another one trains.
    used: Option<f64>,
}

impl Part {
    fn start() -> Self {
        let used = machine::usage().map(|(seconds, _)| seconds);
        Self { time: Monotonic::start(), load_at_start: machine::load(), used }
    }

    fn share(&self) -> Share {
        let used = self.used.zip(machine::usage()).map(|(before, (now, _))| now - before);
        let wall = self.time.now().as_secs_f64();
        let cpu_share = used.filter(|_| wall > 0.0).map(|used| used / wall);
        Share { load_at_start: self.load_at_start, cpus: machine::cpus(), cpu_share }
    }
}

impl Keeping {
    /// Looks for what an earlier process has kept of the cell at `path`, unless the run is to start `anew`; a file that is not
    /// that is told and passed over.
    pub fn find(
        cell: &str,
        path: PathBuf,
        every: Option<Every>,
        anew: bool,
        machine: String,
    ) -> Self {
        let found = if anew || !path.exists() { None } else { read(&path, cell) };
        let found = found.filter(|(head, _)| {
            let same = head.machine == machine;
            if !same {
                warn(&format!(
                    "run {cell} starts anew: what was kept of it was trained on {}, and this is {machine}, which may come to other bits",
                    head.machine
                ));
            }
            same
        });
        Self(Rc::new(RefCell::new(Run {
            cell: cell.to_owned(),
            path,
            every,
            found,
            went_on: false,
            spared: false,
            commitment: None,
            index: None,
            started_unix: unix_seconds(),
            machine,
            interruptions: Vec::new(),
            part: Part::start(),
            last: None,
            warned: false,
        })))
    }

    /// Another process trains, so that the processor time of this one says nothing of the run.
    pub fn trained_elsewhere(&self) {
        self.0.borrow_mut().part.used = None;
    }

    /// The file of what the run goes on from, until it has.
    pub fn goes_on_from(&self) -> Option<PathBuf> {
        let run = self.0.borrow();
        run.found.is_some().then(|| run.path.clone())
    }

    /// Whether the run went on from what an earlier process has kept.
    pub fn went_on(&self) -> bool {
        self.0.borrow().went_on
    }

    /// What was kept is not the run's state, for this `reason`: it starts anew, under the commitment that it has.
    pub fn anew(&self, reason: &str) {
        let run = &mut *self.0.borrow_mut();
        warn(&format!("run {} starts anew: {reason}", run.cell));
        run.went_on = false;
        run.interruptions.clear();
        run.started_unix = unix_seconds();
        (run.part, run.last) = (Part::start(), None);
    }

    /// Has the checkpoint stay where the run is recorded as failed: the next process goes on from it.
    pub fn spare(&self) {
        self.0.borrow_mut().spared = true;
    }

    /// Where the index holds the commitment, if this is the run that an earlier process has kept; what it kept under
    /// another commitment, or under one that the index does not hold there, is passed over.
    pub fn committed(
        &self,
        commitment: Digest,
        holds: impl FnOnce(IndexPlace) -> bool,
    ) -> Option<IndexPlace> {
        let run = &mut *self.0.borrow_mut();
        if run.commitment.replace(commitment) == Some(commitment) && run.index.is_some() {
            // Before what was kept turned out not to fit.
            return run.index;
        }
        let (head, _) = run.found.as_ref()?;
        let own = head.index.filter(|_| head.commitment == commitment);
        let index = own.filter(|place| holds(*place));
        if index.is_none() {
            let reason = match own {
                None => "is of another commitment",
                Some(_) => "names a line of the commitment index that is not there",
            };
            warn(&format!("run {}: what was kept of it {reason}, so it starts anew", run.cell));
            run.found = None;
            return None;
        }
        run.index = index;
        let Head { steps, samples, stopped, share, interruptions, .. } = head;
        run.started_unix = head.started_unix;
        run.interruptions.clone_from(interruptions);
        run.interruptions.push(Interruption {
            steps: *steps,
            samples: *samples,
            stopped: *stopped,
            share: *share,
        });
        run.last = Some((*samples, Duration::ZERO));
        index
    }

    /// Takes note of where the index holds the commitment of a run that starts.
    pub fn place(&self, index: IndexPlace) {
        self.0.borrow_mut().index = Some(index);
    }

    /// When the first part of the run started, in seconds since 1970.
    pub fn started_unix(&self) -> u64 {
        self.0.borrow().started_unix
    }

    /// Where the run went on.
    pub fn interruptions(&self) -> Vec<Interruption> {
        self.0.borrow().interruptions.clone()
    }

    /// The run is over: nothing is kept of it any more, unless it is to be spared.
    pub fn end(&self) {
        let run = self.0.borrow();
        if run.spared {
            return;
        }
        if let Err(error) = checkpoint::remove(&run.path) {
            warn(&error.to_string());
        }
    }
}

fn read(path: &Path, cell: &str) -> Option<(Head, Vec<u8>)> {
    match checkpoint::read(path, cell) {
        Ok(found) => Some(found),
        Err(error) => {
            warn(&format!("run {cell} starts anew: {error}"));
            None
        }
    }
}

impl Run {
    fn is_due(&mut self, reached: &Reached) -> bool {
        let Reached { samples, passed, .. } = *reached;
        let Some(every) = self.every else { return false };
        let (before, since) = self.last.unwrap_or((0, Duration::ZERO));
        match every {
            Every::Samples(distance) => samples / distance > before / distance,
            Every::Minutes(minutes) => {
                // Of a run that goes on, the time before is no reason to keep it again.
                if since.is_zero() && before > 0 {
                    self.last = Some((before, passed));
                    return false;
                }
                (passed - since).as_secs_f64() >= 60.0 * minutes
            }
        }
    }

    /// Says that the run cannot be kept: once while it goes on, and in any case where it ends for that.
    fn warn_once(&mut self, message: &str) {
        if interrupt::is_asked_to_stop() {
            let cell = &self.cell;
            warn(&format!(
                "run {cell} ends without being kept: {message}; it goes on from the checkpoint before, or starts anew"
            ));
        } else if !std::mem::replace(&mut self.warned, true) {
            warn(&format!("run {} goes on without being kept: {message}", self.cell));
        }
    }

    fn write(&self, reached: &Reached, state: &[u8]) -> anyhow::Result<()> {
        let Reached { steps, samples, .. } = *reached;
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let head = Head {
            cell: self.cell.clone(),
            commitment: self.commitment.unwrap_or(Digest([0; 32])),
            index: self.index,
            started_unix: self.started_unix,
            machine: self.machine.clone(),
            steps,
            samples,
            stopped: interrupt::is_asked_to_stop(),
            share: Some(self.part.share()),
            interruptions: self.interruptions.clone(),
        };
        checkpoint::write(&self.path, &head, state)?;
        Ok(())
    }
}

impl Keeper for Keeping {
    fn found(&mut self) -> Option<Vec<u8>> {
        let mut run = self.0.borrow_mut();
        let state = run.found.take().map(|(_, state)| state);
        run.went_on |= state.is_some();
        state
    }

    fn wanted(&mut self, reached: &Reached) -> Wanted {
        let mut run = self.0.borrow_mut();
        if interrupt::is_asked_to_stop() {
            return Wanted::Stopped;
        }
        if run.is_due(reached) { Wanted::Kept } else { Wanted::Nothing }
    }

    fn keep(&mut self, reached: &Reached, state: &[u8]) -> Result<(), LabError> {
        let mut run = self.0.borrow_mut();
        run.last = Some((reached.samples, reached.passed));
        if let Err(error) = run.write(reached, state) {
            run.warn_once(&format!("{error:#}"));
        }
        Ok(())
    }

    fn cannot(&mut self, reason: &str) {
        let mut run = self.0.borrow_mut();
        run.every = None;
        run.warn_once(reason);
    }

    fn reach(&self, samples: u64) -> Option<u64> {
        let run = self.0.borrow();
        match run.every {
            Some(Every::Samples(distance)) => Some(distance - samples % distance),
            Some(Every::Minutes(_)) => Some(u64::MAX),
            // What was kept is taken up, whether or not more is asked for.
            None => run.found.is_some().then_some(u64::MAX),
        }
    }

    fn missed(&mut self, reason: &str) {
        self.0.borrow_mut().warn_once(reason);
    }
}
