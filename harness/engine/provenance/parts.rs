//! Work in equal pieces, in this process or in several: piece k depends on k alone, so that the
//! result is the same for any number of processes.
//!
//! A process is this program with the same arguments and `--part K`: it does every piece whose
//! number leaves K when divided by `--jobs`, and prints each as a line of JSON.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use palimpsest::machine;
use palimpsest::voice::print_text;

/// One piece: its number, and its numbers bit by bit, because JSON may round the last one.
type Line = (u32, Vec<u64>);

/// How a piece of work is split.
#[derive(Debug, Clone, Copy)]
pub struct Split {
    /// Number of pieces.
    pub pieces: u32,
    /// Processes at a time.
    pub jobs: u32,
    /// Which of them this is; none for the one that the user started.
    pub part: Option<u32>,
}

impl Split {
    /// Refuses more processes than there are CPUs.
    pub fn check(&self) -> anyhow::Result<()> {
        let cpus = machine::cpus();
        if self.jobs == 0 || self.jobs > cpus {
            bail!("--jobs is {}, but this machine has {cpus} CPUs", self.jobs);
        }
        Ok(())
    }

    /// True in the process that the user started when others are to do the work.
    pub fn delegates(&self) -> bool {
        self.part.is_none() && self.jobs > 1
    }

    /// Does the pieces of this process with `make`; in a part, prints them. Returns all there are.
    pub fn work(
        &self,
        mut make: impl FnMut(u32) -> anyhow::Result<Vec<f64>>,
    ) -> anyhow::Result<Vec<Vec<f64>>> {
        let own = |piece: &u32| self.part.is_none_or(|part| piece % self.jobs == part);
        if let Some(part) = self.part {
            machine::pin(part as usize);
        }
        let mut all = Vec::new();
        for piece in (0..self.pieces).filter(own) {
            let numbers = make(piece)?;
            if self.part.is_some() {
                let line: Line = (piece, numbers.into_iter().map(f64::to_bits).collect());
                print_text(&format!("{}\n", serde_json::to_string(&line)?))?;
            } else {
                all.push(numbers);
            }
        }
        Ok(all)
    }

    /// Has other processes do the pieces; returns them in the order of their numbers.
    pub fn gather(&self) -> anyhow::Result<Vec<Vec<f64>>> {
        let parts: Vec<Part> = (0..self.jobs).map(Part::start).collect::<anyhow::Result<_>>()?;
        let readers: Vec<_> =
            parts.into_iter().map(|part| std::thread::spawn(|| part.read())).collect();
        let mut all = vec![None; self.pieces as usize];
        for reader in readers {
            let lines =
                reader.join().map_err(|_| anyhow::anyhow!("a reader of a part panicked"))?;
            for (piece, bits) in lines? {
                let place =
                    all.get_mut(piece as usize).context("a piece that was not asked for")?;
                *place = Some(bits.into_iter().map(f64::from_bits).collect());
            }
        }
        all.into_iter().map(|piece| piece.context("a piece is missing")).collect()
    }
}

struct Part {
    child: Child,
}

impl Part {
    fn start(part: u32) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program to start parts")?;
        let mut command = Command::new(program);
        let mut arguments = std::env::args_os();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).args(["--part", &part.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self { child: command.spawn().context("cannot start a part")? })
    }

    fn read(mut self) -> anyhow::Result<Vec<Line>> {
        let out = self.child.stdout.take().context("a part has no output")?;
        let mut lines = Vec::new();
        for line in BufReader::new(out).lines() {
            lines.push(serde_json::from_str(&line?).context("a part printed something else")?);
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("a part ended with {status}; see the messages above");
        }
        Ok(lines)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // One that is busy when we fail is of no more use; one that has ended only needs the wait.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
