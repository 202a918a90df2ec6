//! `palimpsest-engine`, the program beside this one that loads libtorch.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ledger::catalogue::listing::Listing;
use palimpsest::library::{BUILD_BOTH, Carried, FRONT_DIGEST, build_digest};

/// Why the engine does not answer.
#[derive(Debug)]
pub struct EngineError {
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for EngineError {}

/// The engine's file, when it is there and finds its libraries.
fn engine() -> Result<PathBuf, EngineError> {
    let own = std::env::current_exe().map_err(|error| EngineError {
        problem: format!("cannot find the file of this program: {error}"),
        remedy: BUILD_BOTH,
    })?;
    let path = own.with_file_name(format!("palimpsest-engine{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        let problem = format!("{} is missing", path.display());
        return Err(EngineError { problem, remedy: BUILD_BOTH });
    }
    let libraries = libraries(&path)?;
    if let Some(problem) = foreign(&libraries) {
        return Err(EngineError { problem, remedy: "unset LD_LIBRARY_PATH" });
    }
    let missing: Vec<&str> =
        libraries.lines().filter_map(|line| line.trim().strip_suffix(" => not found")).collect();
    if !missing.is_empty() {
        return Err(EngineError {
            problem: format!("{} does not find {}", path.display(), missing.join(", ")),
            remedy: "set libtorch up with `just setup`, then build both programs",
        });
    }
    Ok(path)
}

/// Which libraries the loader takes, as `ldd` asks it: nothing runs, in 4 ms. Where the loader does not
/// know the question, the engine only prints its version.
fn libraries(path: &Path) -> Result<String, EngineError> {
    let mut command = Command::new(path);
    command.arg("--version").env("LD_TRACE_LOADED_OBJECTS", "1");
    let output = command.output().map_err(|error| not_started(path, &error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is wrong where the loader takes libtorch from elsewhere than this program was built with, and
/// that is another version: the loader's own words would be a missing symbol, or nothing.
fn foreign(libraries: &str) -> Option<String> {
    let built = Path::new(option_env!("LIBTORCH")?);
    let version = |libtorch: &Path| {
        let text = std::fs::read_to_string(libtorch.join("build-version")).ok()?;
        Some(text.trim().to_owned())
    };
    let line = libraries.lines().find(|line| line.trim().starts_with("libtorch_cpu.so => "))?;
    let taken = line.trim().strip_prefix("libtorch_cpu.so => ")?.split(" (").next()?;
    let taken = Path::new(taken).parent()?.parent()?;
    let (wanted, found) = (version(built)?, version(taken));
    if taken == built || found.as_ref() == Some(&wanted) {
        return None;
    }
    Some(format!(
        "libtorch is taken from {}, which is {}, because LD_LIBRARY_PATH names it; this program was built with {wanted}",
        taken.display(),
        found.unwrap_or_else(|| "of an unknown version".to_owned())
    ))
}

fn not_started(path: &Path, error: &std::io::Error) -> EngineError {
    EngineError { problem: format!("cannot start {}: {error}", path.display()), remedy: BUILD_BOTH }
}

/// Becomes the engine, with the same arguments; returns only when that fails.
pub fn hand_over() -> Result<Infallible, EngineError> {
    let path = engine()?;
    let mut command = Command::new(&path);
    let mut arguments = std::env::args_os();
    // Records and usage messages show the command as the user gave it.
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).env(FRONT_DIGEST, build_digest()).exec();
    Err(not_started(&path, &error))
}

/// Asks the engine for the rows of its catalogue.
pub fn ask() -> Result<Listing, EngineError> {
    let path = engine()?;
    let output = Command::new(&path).arg("catalogue").output();
    let output = output.map_err(|error| not_started(&path, &error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let problem = format!("{} failed ({}) {}", path.display(), output.status, said.trim());
        return Err(EngineError { problem: problem.trim_end().to_owned(), remedy: BUILD_BOTH });
    }
    let carried = serde_json::from_slice::<Carried>(&output.stdout).ok();
    let carried = carried.filter(|carried| carried.build_digest == build_digest());
    carried.map(|carried| carried.listing).ok_or_else(|| EngineError {
        problem: format!("{} is of another build than palimpsest", path.display()),
        remedy: BUILD_BOTH,
    })
}

/// Runs the engine with these arguments and returns what it prints; its messages go where ours go.
pub fn run(arguments: &[OsString]) -> anyhow::Result<Vec<u8>> {
    let path = engine()?;
    let mut command = Command::new(&path);
    command.args(arguments).env(FRONT_DIGEST, build_digest()).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| not_started(&path, &error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let said = said.trim().replace('\n', "; ");
    anyhow::bail!(
        "the engine could not do what was asked ({}); {}",
        output.status,
        if said.is_empty() { "see its message above" } else { &said }
    )
}
