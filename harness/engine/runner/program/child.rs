//! The process of a program: started with a socket, heard line by line, always ended with all of its
//! group.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ledger::external::External;
use ledger::external::protocol::{Answer, Ask, LONGEST, Reason, SOCKET};
use palimpsest::machine::{self, Ended};
use training::external::{ExternalError, Program};

use super::{Cost, Hosted, Over, fault, parse};

/// Between two looks at a process that has not connected or ended.
const PAUSE: Duration = Duration::from_millis(2);

/// Between two looks at a process that is being waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Looks at a program that has said goodbye, before it is ended: five seconds.
const LOOKS: u32 = 2_500;

/// How much of what a program prints is kept, from its end.
const KEPT: usize = 64 << 10;

/// Where a program runs.
pub(super) struct Place<'a> {
    /// Its folder, which holds its files.
    pub(super) folder: &'a Path,
    /// Threads that it may use.
    pub(super) threads: u32,
}

/// A program that was started and has connected.
pub(super) struct Child {
    process: Process,
    stream: UnixStream,
    /// What came and is no whole line yet.
    begun: Vec<u8>,
    said: Said,
    /// Its largest resident set, read when it was asked to end.
    peak: Option<u64>,
    /// Whether it went away by itself.
    gone: bool,
}

/// The end of what was printed.
type Said = Arc<Mutex<Vec<u8>>>;

/// A process that leads a group; none of it outlives this value.
struct Process(Option<u32>);

impl Process {
    fn is_over(&self) -> bool {
        self.0.is_none_or(machine::is_over)
    }

    fn end(&mut self) -> Option<Ended> {
        self.0.take().and_then(machine::end_group)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Child {
    /// Starts the program and waits until it connects, or is over.
    pub(super) fn start(
        external: &External,
        arguments: &[String],
        place: &Place<'_>,
    ) -> Result<Self, ExternalError> {
        // A path of a socket has at most 107 bytes, which a store's folder may exceed.
        let private = tempfile::Builder::new().prefix("palimpsest-").tempdir()?;
        let socket = private.path().join("socket");
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let mut command = Command::new(&external.found);
        command
            .args(arguments.iter().skip(1))
            .current_dir(place.folder)
            .env(SOCKET, &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"] {
            command.env(name, place.threads.to_string());
        }
        machine::bind_to_this(&mut command);
        let mut child = command.spawn().map_err(|error| {
            ExternalError::Program(format!("{} does not start: {error}", external.found.display()))
        })?;
        let process = Process(Some(child.id()));
        let said = Said::default();
        keep(child.stdout.take(), child.stderr.take(), &said);
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    return Ok(Self {
                        process,
                        stream,
                        begun: Vec::new(),
                        said,
                        peak: None,
                        gone: false,
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if process.is_over() {
                let mut process = process;
                let how = process.end().map_or_else(String::new, in_words);
                std::thread::sleep(PATIENCE);
                let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let reason = format!("it never connected to the socket that {SOCKET} names");
                let fault = ExternalError::Program(reason);
                return Err(super::with_last_words(fault, &how, &said));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The program went away.
    fn lost<T>(&mut self, reason: &str) -> Result<T, ExternalError> {
        self.gone = true;
        fault(reason)
    }

    /// Says a message; what is there before it was asked for is out of turn.
    fn say(&mut self, ask: &Ask) -> Result<(), ExternalError> {
        self.stream.set_nonblocking(true)?;
        let mut early = [0; 1];
        let found = self.stream.read(&mut early);
        self.stream.set_nonblocking(false)?;
        match found {
            Ok(0) => return self.lost("it closed the connection before the run was over"),
            Ok(_) => return fault("it spoke before it was asked"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return self.lost(&format!("the connection broke: {error}")),
        }
        let mut line = serde_json::to_vec(ask).map_err(std::io::Error::other)?;
        line.push(b'\n');
        match self.stream.write_all(&line) {
            Ok(()) => Ok(()),
            Err(_) => self.lost("it closed the connection before the run was over"),
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> Result<Vec<u8>, ExternalError> {
        let mut buffer = [0; 8 << 10];
        loop {
            if let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let mut line = std::mem::take(&mut self.begun);
                if line.len() > end + 1 {
                    return fault("it said more than one message at a time");
                }
                line.truncate(end);
                return Ok(line);
            }
            if self.begun.len() > LONGEST {
                return fault(format!("it said a line of more than {LONGEST} bytes"));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return self.lost("it closed the connection before the run was over"),
                Ok(count) => self.begun.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    // A process that it left behind may hold the connection open.
                    if self.process.is_over() {
                        return self.lost("it was over before the run was");
                    }
                }
                Err(error) => return self.lost(&format!("the connection broke: {error}")),
            }
        }
    }

    /// Whether the process is over after at most so many looks.
    fn wait(&self, looks: u32) -> bool {
        for _ in 0..looks {
            if self.process.is_over() {
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }
}

impl Program for Child {
    fn hear(&mut self) -> Result<Answer, ExternalError> {
        parse(&self.line()?)
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, ExternalError> {
        if matches!(ask, Ask::End {}) {
            self.peak = self.process.0.and_then(machine::peak_of);
        }
        self.say(ask)?;
        parse(&self.line()?)
    }
}

impl Hosted for Child {
    /// Ends the program with all of its group: at once where there is a `reason`, which it is told, and
    /// otherwise once it has ended by itself or its time for that is over.
    fn finish(mut self: Box<Self>, reason: Option<&str>) -> Over {
        let mut lingers = false;
        match reason {
            Some(reason) => {
                let told = Ask::Error(Reason { reason: reason.to_owned() });
                let _ = self.stream.set_nonblocking(true);
                if let Ok(mut line) = serde_json::to_vec(&told) {
                    line.push(b'\n');
                    let _ = self.stream.write_all(&line);
                }
                // One that is about to end by itself tells more by how it does.
                self.wait(LOOKS / 10);
            }
            None => lingers = !self.wait(LOOKS),
        }
        // What a program does that was told of its fault says nothing more.
        let by_itself = self.gone && self.process.is_over();
        let ended = self.process.end();
        let cost = ended.map(|Ended { cpu_seconds, peak_memory_bytes, .. }| Cost {
            cpu_seconds,
            peak_memory_bytes: self.peak.unwrap_or(peak_memory_bytes),
        });
        let how = ended.filter(|_| by_itself).map_or_else(String::new, in_words);
        let killed = ended.filter(|_| by_itself).and_then(|ended| ended.signal);
        let killed = killed.filter(|signal| machine::is_an_order(*signal));
        let remark = match ended {
            _ if lingers => {
                Some("the program did not end after its last message and was ended".to_owned())
            }
            Some(Ended { code: Some(0), .. }) | None => None,
            Some(ended) => Some(format!("the program's run is whole, but {}", in_words(ended))),
        };
        if self.gone {
            // Its last words may still be on their way.
            std::thread::sleep(PATIENCE);
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Over { cost, ours: true, how, remark, said, gone: self.gone, killed }
    }
}

fn in_words(ended: Ended) -> String {
    match ended {
        Ended { code: Some(code), .. } => format!("it ended with status {code}"),
        Ended { signal: Some(signal), .. } => format!("signal {signal} ended it"),
        _ => String::new(),
    }
}

/// Reads all that is printed, so that nobody waits for a reader, and keeps the end of it. The threads end
/// with the last process that can print; nobody waits for that either.
fn keep(out: Option<ChildStdout>, err: Option<ChildStderr>, said: &Said) {
    fn drain(mut source: impl std::io::Read, said: &Said) {
        let mut buffer = [0; 8 << 10];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.extend(&buffer[..count]);
            let over = said.len().saturating_sub(KEPT);
            said.drain(..over);
        }
    }
    if let Some(out) = out {
        let said = Arc::clone(said);
        std::thread::spawn(move || drain(out, &said));
    }
    if let Some(err) = err {
        let said = Arc::clone(said);
        std::thread::spawn(move || drain(err, &said));
    }
}
