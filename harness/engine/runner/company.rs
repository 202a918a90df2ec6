//! The workers of a search as processes of their own on this machine: each is this program, trains the same
//! cell with weights of its own, looks at its own share of each batch, and tells the others over 127.0.0.1.
//!
//! This process is worker 0, and the hub. A worker first says which one it is and to which run's commitment
//! it has come by itself; then, step after step, its message, and is sent those of all; at the end the
//! digest of its weights. Between these there is nothing else on the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use inspect::replay::Replay;
use lab::LabError;
use lab::messages::Exchange;
use ledger::digest::Digest;
use ledger::record::{RunRecord, Store, checkpoint};
use palimpsest::exit::Exit;
use palimpsest::machine;
use serde::{Deserialize, Serialize};
use training::cell::Company;

use super::kept::Keeping;
use super::{NamedSeed, Session, ToldSeed};
use crate::interrupt;

/// How long a connection has to say who it is: a stranger that says nothing must not hold the run up.
const GREETING: Duration = Duration::from_secs(10);
/// How often the hub looks for workers that have started, or have not.
const PAUSE: Duration = Duration::from_millis(5);

/// What a worker is told on its standard input.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    port: u16,
    worker: u32,
    /// The cell: the record of a run of it that has not happened yet.
    record: Box<RunRecord>,
    seed: ToldSeed,
    /// What the run has kept of itself, where it goes on from there.
    kept: Option<PathBuf>,
    /// Where runs are that the cell descends from.
    store: PathBuf,
    data_dir: PathBuf,
    cache_dir: PathBuf,
}

/// A cell whose workers can be started on this machine.
pub struct Loopback<'a> {
    /// Its session.
    pub session: &'a Session,
    /// What its record says before anything is known of the run.
    pub record: RunRecord,
    /// Its seed.
    pub seed: &'a NamedSeed,
    /// What it has kept of itself.
    pub kept: &'a Keeping,
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> LabError {
    LabError::Method(format!("the processes of a run cannot {what}: {error}"))
}

impl Company for Loopback<'_> {
    fn gather(&self, workers: u32, run: &Digest) -> Result<Option<Box<dyn Exchange>>, LabError> {
        if self.record.given_order.is_some() {
            return Err(LabError::Method(
                "processes draw their order, and are told none: leave out the order or \"processes\"".to_owned(),
            ));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.map_err(|error| broken("listen on 127.0.0.1", &error))?;
        let mut hub = Hub { peers: Vec::new(), children: Vec::new() };
        for worker in 1..workers {
            hub.children.push(self.start(&listener, worker).map_err(|e| broken("start", &e))?);
        }
        hub.wait(&listener, run)?;
        Ok(Some(Box::new(hub)))
    }
}

impl Loopback<'_> {
    fn start(&self, listener: &TcpListener, worker: u32) -> std::io::Result<Child> {
        let told = Told {
            port: listener.local_addr()?.port(),
            worker,
            record: Box::new(self.record.clone()),
            seed: ToldSeed::from(self.seed),
            kept: self.kept.goes_on_from().map(std::path::absolute).transpose()?,
            store: std::path::absolute(self.session.parents_in.root())?,
            data_dir: self.session.sources.data_dir.clone(),
            cache_dir: self.session.sources.cache_dir.clone(),
        };
        let mut child = Command::new(std::env::current_exe()?)
            .arg("worker")
            // Who asks this process and its group to end asks this process: it keeps the run, and lets the others go.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            serde_json::to_writer(&mut input, &told)?;
        }
        Ok(child)
    }
}

/// Worker 0, with the connections of the others in their order.
struct Hub {
    peers: Vec<TcpStream>,
    children: Vec<Child>,
}

impl Hub {
    /// Waits for all children to connect, and sorts them by their numbers.
    fn wait(&mut self, listener: &TcpListener, run: &Digest) -> Result<(), LabError> {
        let fails = |error: std::io::Error| broken("meet", &error);
        listener.set_nonblocking(true).map_err(fails)?;
        let mut met: Vec<(u32, TcpStream)> = Vec::new();
        while met.len() < self.children.len() {
            match listener.accept() {
                // Whatever else on this machine knocks is shown out.
                Ok((stream, _)) => met.extend(greet(stream, run).ok()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    for child in &mut self.children {
                        if let Some(status) = child.try_wait().map_err(fails)? {
                            return Err(broken("start", &format!("one ended with {status}")));
                        }
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(error) => return Err(fails(error)),
            }
        }
        met.sort_by_key(|(worker, _)| *worker);
        let numbers: Vec<u32> = met.iter().map(|(worker, _)| *worker).collect();
        if !numbers.iter().copied().eq(1..=self.children.len() as u32) {
            return Err(broken("meet", &format!("those that came are {numbers:?}")));
        }
        self.peers = met.into_iter().map(|(_, stream)| stream).collect();
        Ok(())
    }
}

/// Hears which worker a connection is, and that it is of this run.
fn greet(mut stream: TcpStream, run: &Digest) -> Result<(u32, TcpStream), LabError> {
    let (mut number, mut other) = ([0; 4], [0; 32]);
    let heard = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_nodelay(true))
        .and_then(|()| stream.set_read_timeout(Some(GREETING)))
        .and_then(|()| stream.read_exact(&mut number))
        .and_then(|()| stream.read_exact(&mut other))
        .and_then(|()| stream.set_read_timeout(None));
    heard.map_err(|error| broken("meet", &error))?;
    let worker = u32::from_le_bytes(number);
    if Digest(other) != *run {
        return Err(broken("meet", &format!("worker {worker} has come to another run")));
    }
    Ok((worker, stream))
}

impl Exchange for Hub {
    fn worker(&self) -> u32 {
        0
    }

    fn exchange(&mut self, said: &[u8]) -> Result<Vec<u8>, LabError> {
        let mut all = vec![0; said.len() * (self.peers.len() + 1)];
        let mut places = all.chunks_exact_mut(said.len());
        if let Some(own) = places.next() {
            own.copy_from_slice(said);
        }
        for (peer, place) in self.peers.iter_mut().zip(places) {
            peer.read_exact(place).map_err(|error| broken("hear each other", &error))?;
        }
        for peer in &mut self.peers {
            peer.write_all(&all).map_err(|error| broken("hear each other", &error))?;
        }
        Ok(all)
    }

    fn close(&mut self, weights: &Digest) -> Result<(), LabError> {
        for (worker, peer) in (1..).zip(&mut self.peers) {
            let mut other = [0; 32];
            peer.read_exact(&mut other).map_err(|error| broken("end", &error))?;
            if Digest(other) != *weights {
                let weights = format!("worker {worker} ends at {}, not {weights}", Digest(other));
                return Err(broken("agree", &weights));
            }
        }
        Ok(())
    }
}

impl Drop for Hub {
    /// A worker that is still there has lost its run.
    fn drop(&mut self) {
        self.peers.clear();
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A worker's end of the wire.
struct Spoke {
    worker: u32,
    workers: usize,
    hub: TcpStream,
}

impl Exchange for Spoke {
    fn worker(&self) -> u32 {
        self.worker
    }

    fn exchange(&mut self, said: &[u8]) -> Result<Vec<u8>, LabError> {
        let mut all = vec![0; said.len() * self.workers];
        self.hub.write_all(said)?;
        self.hub.read_exact(&mut all)?;
        Ok(all)
    }

    fn close(&mut self, weights: &Digest) -> Result<(), LabError> {
        Ok(self.hub.write_all(weights.as_bytes())?)
    }
}

/// Is a worker: reads what it is told, trains until the run is over or the hub is gone.
pub fn serve() -> anyhow::Result<Exit> {
    machine::end_with_parent();
    // A scheduler asks every process of a job to end; this one ends with the first, which keeps the run before.
    interrupt::stop_when_asked()?;
    let told: Told = serde_json::from_reader(std::io::stdin().lock())?;
    let Told { port, worker, record, seed, kept, store, data_dir, cache_dir } = told;
    let kept = kept.map(|path| checkpoint::read(&path, &record.cell)).transpose()?;
    let sources = ::data::Sources { data_dir, cache_dir };
    let device = &record.environment.device;
    let mut session = Session::again(&record, Store::at(&store), sources, device)?;
    let cell = session.plan.cells[0];
    session.with_setup(cell, &NamedSeed::from(seed), |_, setup| {
        let run = setup.commitment()?.digest();
        let mut hub = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("the hub is gone")?;
        hub.set_nodelay(true)?;
        hub.write_all(&worker.to_le_bytes())?;
        hub.write_all(run.as_bytes())?;
        let mut replay = Replay::new(setup)?;
        if let Some((_, state)) = kept {
            replay = replay.going_on(state);
        }
        let workers = replay.workers() as usize;
        let mut replay = replay.among(Box::new(Spoke { worker, workers, hub }));
        let ended = replay.train(0..u64::MAX, None).and_then(|_| replay.close());
        match ended {
            // A run that diverged ends before its budget, and its workers with it.
            Err(LabError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(Exit::Fine),
            ended => Ok(ended.map(|()| Exit::Fine)?),
        }
    })
}
