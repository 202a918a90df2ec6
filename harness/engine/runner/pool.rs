//! Worker processes: one cell at a time each, pinned to a CPU each, and to a GPU where there are several.
//!
//! A worker is this program with the same arguments and `--worker K`: it plans the same suite,
//! reads one assignment per line from its standard input and answers each with one line of JSON.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use analysis::plan::descent::Parent;
use analysis::plan::{Cell, Plan};
use anyhow::Context as _;
use ledger::record::format::Status;
use palimpsest::limit::shown;
use palimpsest::machine;
use serde::{Deserialize, Serialize};
use training::clock::{Monotonic, Time as _};

use super::cell::CellReport;
use super::{NamedSeed, Session, ToldSeed};
use crate::devices::Devices;
use crate::interrupt;

/// A cell to run: its index in the plan and its seed.
#[derive(Debug, Serialize, Deserialize)]
struct Assignment {
    index: usize,
    seed: ToldSeed,
}

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    index: usize,
    cell: String,
    status: Status,
    kept: bool,
    error: Option<String>,
    /// Why the cell could not even be recorded.
    refused: Option<String>,
}

/// Serves assignments until standard input ends.
pub fn serve(session: &mut Session, worker: usize) -> anyhow::Result<()> {
    machine::end_with_parent();
    machine::pin(worker);
    if session.plan.checkpoint_every.is_some() {
        interrupt::stop_when_asked()?;
    }
    // Records name the user's command, without the two arguments that `spawn` adds to it.
    session.argv.truncate(session.argv.len().saturating_sub(2));
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Assignment { index, seed } = serde_json::from_str(&line?)?;
        let seed = NamedSeed::from(seed);
        let cell = *session.plan.cells.get(index).context("an assignment outside the plan")?;
        let answer = match session.run_cell(cell, &seed) {
            // The parent was asked to end, and this one with it.
            Err(_) if interrupt::is_asked_to_stop() => return Ok(()),
            Ok(CellReport { cell, status, kept, error }) => {
                Answer { index, cell, status, kept, error, refused: None }
            }
            Err(error) => Answer {
                index,
                cell: String::new(),
                status: Status::Failed,
                kept: false,
                error: None,
                refused: Some(format!("{error:#}")),
            },
        };
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    /// Of those that were started at its place.
    number: u32,
    /// Its cell, and when that was given out.
    busy: Option<(usize, Duration)>,
}

impl Worker {
    /// Ends it: its locks are then free.
    fn stop(&mut self) {
        // An end of input stops an idle worker; one that is busy is killed.
        self.input = None;
        interrupt::without(self.child.id());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a pool hears of.
enum Next {
    /// A worker's answer.
    Answered(usize, Answer),
    /// A worker that exceeded the limit with a cell.
    Late(usize, usize, Duration),
}

/// What worker says what: its place, and which of the workers that had this place.
type Said = (usize, u32, anyhow::Result<Answer>);

/// Worker processes that wait for cells.
pub struct Pool {
    workers: Vec<Worker>,
    answers: mpsc::Receiver<Said>,
    send: mpsc::Sender<Said>,
    /// How long one cell may take, with its data and what it waits for.
    limit: Option<Duration>,
    clock: Monotonic,
    /// Places of each cell's parents in the plan.
    before: Vec<Vec<usize>>,
    over: Vec<bool>,
    devices: Devices,
}

impl Pool {
    /// Starts `jobs` workers, one for each of several devices at least, or as many as there are cells; each cell
    /// is stopped after `limit`.
    pub fn new(session: &Session, jobs: usize, limit: Option<Duration>) -> anyhow::Result<Self> {
        let count = session.plan.cells.len();
        let (send, answers) = mpsc::channel();
        let mut workers = Vec::new();
        let devices = session.devices.clone();
        for worker in 0..jobs.min(count) {
            workers.push(spawn(worker, 0, &send, &devices)?);
        }
        let (before, over) = (parents(&session.plan)?, vec![false; count]);
        let clock = Monotonic::start();
        Ok(Self { workers, answers, send, limit, clock, before, over, devices })
    }

    /// Runs the cells at these places of the plan, whose parents are among them or over; `done`
    /// hears of each as it ends.
    pub fn run(
        &mut self,
        session: &mut Session,
        seeds: &[NamedSeed],
        places: &[usize],
        done: &mut dyn FnMut(usize, &CellReport),
    ) -> anyhow::Result<Vec<CellReport>> {
        // A cell is given out once its parents are over; they stand before it in the plan.
        let mut waiting: Vec<usize> = places.to_vec();
        let mut idle: Vec<usize> = (0..self.workers.len()).rev().collect();
        let mut reports: Vec<Option<CellReport>> = vec![None; places.len()];
        for _ in places {
            if interrupt::is_asked_to_stop() {
                anyhow::bail!("the run was asked to end");
            }
            while let Some(&worker) = idle.last() {
                let free = |index: &usize| self.before[*index].iter().all(|cell| self.over[*cell]);
                let Some(place) = waiting.iter().position(free) else { break };
                let index = waiting.remove(place);
                assign(&mut self.workers[worker], index, &seeds[index])?;
                self.workers[worker].busy = Some((index, self.clock.now()));
                idle.pop();
            }
            let (worker, index, report) = match self.next()? {
                Next::Answered(_, Answer { refused: Some(reason), .. }) => {
                    anyhow::bail!("{reason}")
                }
                Next::Answered(worker, Answer { index, cell, status, kept, error, .. }) => {
                    (worker, index, CellReport { cell, status, kept, error })
                }
                Next::Late(worker, index, limit) => {
                    let message = format!("it took longer than {} and was stopped", shown(limit));
                    let cell = session.plan.cells[index];
                    (worker, index, session.stopped(cell, &seeds[index], message)?)
                }
            };
            self.workers[worker].busy = None;
            done(index, &report);
            let place = places.iter().position(|place| *place == index);
            let place = place.and_then(|place| reports.get_mut(place));
            *place.context("a worker answered for a cell that was not asked for")? = Some(report);
            self.over[index] = true;
            idle.push(worker);
        }
        Ok(reports.into_iter().flatten().collect())
    }

    /// The next answer, or the next worker that is late: it is killed, and another one is there.
    fn next(&mut self) -> anyhow::Result<Next> {
        loop {
            let now = self.clock.now();
            let due = |worker: &Worker| Some(worker.busy?.1 + self.limit?);
            let first = self.workers.iter().filter_map(due).min();
            let said = match first {
                None => Some(self.answers.recv().context("all workers are gone")?),
                Some(due) => self.answers.recv_timeout(due.saturating_sub(now)).ok(),
            };
            if let Some((worker, number, answer)) = said {
                // The last words of one that was killed.
                if number != self.workers[worker].number {
                    continue;
                }
                return Ok(Next::Answered(worker, answer?));
            }
            let (Some(limit), now) = (self.limit, self.clock.now()) else { continue };
            let late = self.workers.iter().enumerate().find_map(|(place, worker)| {
                let (index, since) = worker.busy?;
                (since + limit <= now).then_some((place, index))
            });
            if let Some((place, index)) = late {
                let number = self.workers[place].number + 1;
                self.workers[place].stop();
                self.workers[place] = spawn(place, number, &self.send, &self.devices)?;
                return Ok(Next::Late(place, index, limit));
            }
        }
    }

    /// Waits for the workers to end by themselves.
    pub fn finish(mut self) {
        self.wait();
    }

    /// The same, of workers that were asked to stop.
    pub fn wait(&mut self) {
        for worker in &mut self.workers {
            worker.input = None;
            let _ = worker.child.wait();
            interrupt::without(worker.child.id());
        }
    }
}

/// The places of each cell's parents in the plan.
fn parents(plan: &Plan) -> anyhow::Result<Vec<Vec<usize>>> {
    let of = |cell: &Cell| {
        let parents = plan.parents(*cell).map_err(anyhow::Error::msg)?;
        let places = parents.iter().filter_map(|parent| match parent {
            Parent::Cell(parent) => plan.cells.iter().position(|other| other == parent),
            Parent::Run(_) => None,
        });
        anyhow::Ok(places.collect())
    };
    plan.cells.iter().map(of).collect()
}

fn spawn(
    worker: usize,
    number: u32,
    send: &mpsc::Sender<Said>,
    devices: &Devices,
) -> anyhow::Result<Worker> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let program = std::env::current_exe().context("cannot find this program to start workers")?;
    let mut command = Command::new(program);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let mut child = command
        .args(arguments)
        .args(["--worker", &worker.to_string()])
        .envs(devices.environment(worker, visible.as_deref()))
        // Ctrl-C is the parent's to answer; it ends its workers by ending.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a worker")?;
    interrupt::with_this(child.id());
    let input = child.stdin.take();
    let output = child.stdout.take().context("a worker has no output")?;
    let send = send.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let answer =
                line.map_err(anyhow::Error::from).and_then(|line| Ok(serde_json::from_str(&line)?));
            if send.send((worker, number, answer)).is_err() {
                return;
            }
        }
        let _ = send.send((
            worker,
            number,
            Err(anyhow::anyhow!("worker {worker} ended before its cell; see the messages above")),
        ));
    });
    Ok(Worker { child, input, number, busy: None })
}

fn assign(worker: &mut Worker, index: usize, seed: &NamedSeed) -> anyhow::Result<()> {
    let assignment = Assignment { index, seed: ToldSeed::from(seed) };
    let input = worker.input.as_mut().context("a worker has no input")?;
    serde_json::to_writer(&mut *input, &assignment)?;
    input.write_all(b"\n")?;
    input.flush().context("a worker is gone")
}
