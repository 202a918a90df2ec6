//! Fetching published files: resumable, verified against the pins, renamed into place whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode};
use ureq::{Agent, Body};

use crate::catalogue::{self, CifarLayout, DataFile, Pin};
use crate::error::{DataError, Problem};
use crate::files;
use crate::sources::Sources;

/// What happens during a fetch, for whoever shows progress.
#[derive(Debug)]
pub enum Event<'a> {
    /// The published file is already there.
    Present(&'a Path),
    /// Bytes of a download at hand so far, and how many there will be, where announced.
    Progress {
        /// The address.
        url: &'a str,
        /// Bytes at hand, those of an earlier, interrupted fetch included.
        bytes: u64,
        /// Bytes of the whole file.
        total: Option<u64>,
    },
    /// An address failed; the next one is tried.
    Failed {
        /// The address.
        url: &'a str,
        /// What went wrong.
        problem: &'a Problem,
    },
    /// A file was verified and is in place.
    Done(&'a Path),
}

/// Downloads over HTTPS, through the proxy the environment names, if any.
#[derive(Debug)]
pub struct Fetcher {
    agent: Agent,
}

impl Default for Fetcher {
    fn default() -> Self {
        let config = Agent::config_builder().https_only(true);
        Self::from_config(config)
    }
}

type Builder = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

impl Fetcher {
    fn from_config(config: Builder) -> Self {
        let config = config
            .http_status_as_error(false)
            .max_redirects(5)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .user_agent(concat!("palimpsest/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent() }
    }

    /// Fetches what is missing of the data set `name` into the data folder; the paths of all its
    /// files. Nothing to do for generated data.
    ///
    /// # Errors
    /// When the name is unknown, a file that is not the published one is in the way, another
    /// process is fetching, the disk refuses, or no address gives the published bytes.
    pub fn fetch(
        &self,
        name: &str,
        sources: &Sources,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<Vec<PathBuf>, DataError> {
        let set = catalogue::find(name)?;
        if let Some(batches) = official_batches(name, sources)? {
            batches.iter().for_each(|path| on(Event::Present(path)));
            return Ok(batches);
        }
        set.files.iter().map(|file| self.fetch_file(file, sources, on)).collect()
    }

    fn fetch_file(
        &self,
        file: &DataFile,
        sources: &Sources,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<PathBuf, DataError> {
        if let Some(present) = file.candidates(sources).into_iter().find(|path| path.exists()) {
            return check_present(file, present, on);
        }
        let destination = sources.data_dir.join(file.path);
        let folder = destination.parent().unwrap_or(&sources.data_dir);
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let mut part = Part::open(&destination)?;
        if destination.exists() {
            // Another process finished between the look above and taking the lock.
            return check_present(file, destination, on);
        }
        let mut attempts = Vec::new();
        for &url in file.urls {
            match self.try_address(url, file, &mut part, on)? {
                Ok(()) => {
                    part.finish(&destination)?;
                    on(Event::Done(&destination));
                    return Ok(destination);
                }
                Err(problem) => {
                    on(Event::Failed { url, problem: &problem });
                    attempts.push((url.to_owned(), problem));
                }
            }
        }
        let partial = part.keep_or_remove()?;
        Err(DataError::Fetch { file: file.path, destination, attempts, partial })
    }

    /// Downloads and verifies; where the end of an interrupted download does not fit what was
    /// there, once more from the start. The outer error is the disk's, the inner the address's.
    fn try_address(
        &self,
        url: &str,
        file: &DataFile,
        part: &mut Part,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<Result<(), Problem>, DataError> {
        loop {
            let resumed = part.len()? > 0;
            if let Err(problem) = self.download(url, size_cap(file), part, on)? {
                return Ok(Err(problem));
            }
            let bytes = files::read(&part.path, size_cap(file))?;
            if file.pin.matches(&part.path, &bytes) {
                return Ok(Ok(()));
            }
            part.truncate()?;
            if !resumed {
                return Ok(Err(Problem::Hash { bytes: bytes.len() as u64 }));
            }
        }
    }

    /// Appends to `part` what is missing of the file at `url`, `cap` bytes at most in all.
    fn download(
        &self,
        url: &str,
        cap: u64,
        part: &mut Part,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<Result<(), Problem>, DataError> {
        if part.len()? > cap {
            part.truncate()?;
        }
        let offset = part.len()?;
        let mut request = self.agent.get(url);
        if offset > 0 {
            request = request.header("Range", format!("bytes={offset}-"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return Ok(Err(Problem::Transfer(Box::new(error)))),
        };
        match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(offset) => {}
            StatusCode::OK => part.truncate()?,
            // The part is as long as the file, or longer: the hash will tell.
            StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => return Ok(Ok(())),
            status => return Ok(Err(Problem::Status(status.as_u16()))),
        }
        receive(response, url, cap, part, on)
    }
}

/// Writes the body behind what `part` holds.
fn receive(
    response: Response<Body>,
    url: &str,
    cap: u64,
    part: &mut Part,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<Result<(), Problem>, DataError> {
    let mut bytes = part.len()?;
    let total = response.body().content_length().map(|length| length.saturating_add(bytes));
    if let Some(found) = total.filter(|&total| total > cap) {
        return Ok(Err(Problem::Long { found, cap }));
    }
    let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 16];
    loop {
        on(Event::Progress { url, bytes, total });
        let received = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => buffer.get(..count).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(transfer_problem(error, bytes, total))),
        };
        bytes = bytes.saturating_add(received.len() as u64);
        if bytes > cap {
            part.truncate()?;
            return Ok(Err(Problem::Long { found: bytes, cap }));
        }
        part.append(received)?;
    }
    Ok(match total {
        Some(expected) if bytes < expected => Err(Problem::Short { found: bytes, expected }),
        _ => Ok(()),
    })
}

fn transfer_problem(error: io::Error, found: u64, total: Option<u64>) -> Problem {
    match total {
        Some(expected) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Problem::Short { found, expected }
        }
        _ => Problem::Transfer(Box::new(ureq::Error::from(error))),
    }
}

/// The start of `Content-Range: bytes START-END/TOTAL`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// A published file's exact size; another gzip wrapping may be somewhat larger.
fn size_cap(file: &DataFile) -> u64 {
    match file.pin {
        Pin::File(_) => file.bytes,
        Pin::Content(_) => file.bytes.saturating_mul(2).saturating_add(1 << 16),
    }
}

fn check_present(
    file: &DataFile,
    path: PathBuf,
    on: &mut dyn FnMut(Event<'_>),
) -> Result<PathBuf, DataError> {
    let bytes = files::read(&path, files::FILE_CAP)?;
    if !file.pin.matches(&path, &bytes) {
        return Err(DataError::Occupied { path });
    }
    on(Event::Present(&path));
    Ok(path)
}

/// CIFAR-10's loose files, if they lie there as published: no need for the archive then.
fn official_batches(name: &str, sources: &Sources) -> Result<Option<Vec<PathBuf>>, DataError> {
    if name != "cifar10" {
        return Ok(None);
    }
    let Ok(CifarLayout::Batches(paths)) = catalogue::locate_cifar(sources) else {
        return Ok(None);
    };
    for (place, path) in paths.iter().enumerate() {
        if !catalogue::is_official_batch(place, &files::read(path, files::FILE_CAP)?) {
            return Ok(None);
        }
    }
    Ok(Some(paths))
}

/// A download in progress: `NAME.part` beside the destination, locked against other processes.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn open(destination: &Path) -> Result<Self, DataError> {
        let mut name = destination.file_name().unwrap_or_default().to_os_string();
        name.push(".part");
        let path = destination.with_file_name(name);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(&path).map_err(io_error(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, file }),
            Err(TryLockError::WouldBlock) => Err(DataError::Busy { path }),
            Err(TryLockError::Error(source)) => Err(DataError::Io { path, source }),
        }
    }

    fn len(&self) -> Result<u64, DataError> {
        Ok(self.file.metadata().map_err(io_error(&self.path))?.len())
    }

    fn truncate(&mut self) -> Result<(), DataError> {
        self.file.set_len(0).map_err(io_error(&self.path))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        self.file.write_all(bytes).map_err(io_error(&self.path))
    }

    fn finish(self, destination: &Path) -> Result<(), DataError> {
        self.file.sync_all().map_err(io_error(&self.path))?;
        fs::rename(&self.path, destination).map_err(io_error(destination))?;
        let folder = destination.parent().unwrap_or(destination);
        // The rename itself lives in the folder, which only some systems let us flush.
        File::open(folder).and_then(|folder| folder.sync_all()).or_else(|error| {
            match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => Ok(()),
                _ => Err(DataError::Io { path: folder.to_path_buf(), source: error }),
            }
        })
    }

    /// The path, if anything was received; else removes the empty file.
    fn keep_or_remove(self) -> Result<Option<PathBuf>, DataError> {
        if self.len()? > 0 {
            return Ok(Some(self.path));
        }
        fs::remove_file(&self.path).map_err(io_error(&self.path))?;
        Ok(None)
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DataError {
    let path = path.to_path_buf();
    move |source| DataError::Io { path, source }
}

#[cfg(test)]
mod tests;
