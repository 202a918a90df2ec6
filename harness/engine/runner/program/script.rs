//! A script that runs by itself and has started this process: heard on standard input, told on standard
//! output.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::parent_id;
use std::time::Duration;

use ledger::external::protocol::{Answer, Ask, LONGEST, Reason};
use palimpsest::machine;
use training::external::{ExternalError, Program};

use super::{Cost, Hosted, Over, fault, parse};

/// Between two looks at whether the script still runs: what it started may hold its end of the pipe open.
const PATIENCE: Duration = Duration::from_millis(200);

/// The other end of this process's standard input and output.
pub(super) struct Script {
    input: BufReader<File>,
    output: File,
    /// Who has started this process.
    parent: u32,
    /// Processor seconds of `parent` before the run.
    before: Option<f64>,
    gone: bool,
}

impl Script {
    /// The script that has started this process: `parent`, as it was when this process began.
    pub(super) fn of(parent: u32) -> std::io::Result<Self> {
        let input = File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
        let output = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        let before = machine::processor_seconds_of(parent);
        Ok(Self { input: BufReader::new(input), output, parent, before, gone: false })
    }

    /// What the script's process has cost since the run began; its memory since it began itself.
    fn cost(&self) -> Option<Cost> {
        if self.gone {
            return None;
        }
        Some(Cost {
            cpu_seconds: machine::processor_seconds_of(self.parent)? - self.before?,
            peak_memory_bytes: machine::peak_of(self.parent)?,
        })
    }

    fn lost<T>(&mut self) -> Result<T, ExternalError> {
        self.gone = true;
        fault("the script ended, or let go of palimpsest record, before the run was over")
    }

    /// Waits until something can be read, or nothing will ever come.
    fn wait(&mut self) -> Result<(), ExternalError> {
        while self.input.buffer().is_empty()
            && !machine::is_readable(self.input.get_ref(), PATIENCE)?
        {
            if parent_id() != self.parent {
                return self.lost();
            }
        }
        Ok(())
    }

    fn line(&mut self) -> Result<Vec<u8>, ExternalError> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            if line.len() > LONGEST {
                return fault(format!("it said a line of more than {LONGEST} bytes"));
            }
            self.wait()?;
            // What is there, up to the end of the line.
            let there = self.input.fill_buf()?;
            if there.is_empty() {
                return self.lost();
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let count = end.map_or(there.len(), |end| end + 1);
            line.extend(&there[..count]);
            self.input.consume(count);
        }
        line.pop();
        if !self.input.buffer().is_empty() {
            return fault("it said more than one message at a time");
        }
        Ok(line)
    }
}

impl Program for Script {
    fn hear(&mut self) -> Result<Answer, ExternalError> {
        parse(&self.line()?)
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, ExternalError> {
        if machine::is_readable(self.input.get_ref(), Duration::ZERO)? {
            let mut early = [0; 1];
            return match self.input.read(&mut early)? {
                0 => self.lost(),
                _ => fault("it spoke before it was asked"),
            };
        }
        let mut line = serde_json::to_vec(ask).map_err(std::io::Error::other)?;
        line.push(b'\n');
        if self.output.write_all(&line).is_err() {
            return self.lost();
        }
        self.hear()
    }
}

impl Hosted for Script {
    /// Tells the script why it is over, where there is a `reason`; its process is its own.
    fn finish(mut self: Box<Self>, reason: Option<&str>) -> Over {
        if let (Some(reason), false) = (reason, self.gone) {
            let told = Ask::Error(Reason { reason: reason.to_owned() });
            if let Ok(mut line) = serde_json::to_vec(&told) {
                line.push(b'\n');
                let _ = self.output.write_all(&line);
            }
        }
        Over {
            cost: self.cost(),
            ours: false,
            how: String::new(),
            remark: None,
            said: Vec::new(),
            gone: self.gone,
            killed: None,
        }
    }
}
