//! `palimpsest-engine`, the program beside this one that loads libtorch.

use std::convert::Infallible;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use ledger::catalogue::Listing;
use palimpsest::library::{BUILD_BOTH, Carried, FRONT_DIGEST, code_digest};

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

/// Exit code of a program whose libraries the loader does not find.
const NOT_LOADED: i32 = 127;

fn command() -> Result<(PathBuf, Command), EngineError> {
    let own = std::env::current_exe().map_err(|error| EngineError {
        problem: format!("cannot find the file of this program: {error}"),
        remedy: BUILD_BOTH,
    })?;
    let path = own.with_file_name(format!("palimpsest-engine{}", std::env::consts::EXE_SUFFIX));
    if !path.is_file() {
        let problem = format!("{} is missing", path.display());
        return Err(EngineError { problem, remedy: BUILD_BOTH });
    }
    let mut command = Command::new(&path);
    command.env(FRONT_DIGEST, code_digest());
    Ok((path, command))
}

/// Becomes the engine, with the same arguments; returns only when that fails.
pub fn hand_over() -> Result<Infallible, EngineError> {
    let (path, mut command) = command()?;
    let mut arguments = std::env::args_os();
    // Records and usage messages show the command as the user gave it.
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).exec();
    let problem = format!("cannot start {}: {error}", path.display());
    Err(EngineError { problem, remedy: BUILD_BOTH })
}

/// Asks the engine for the rows of its catalogue.
pub fn ask() -> Result<Listing, EngineError> {
    let (path, mut command) = command()?;
    let path = path.display();
    let output = command.arg("catalogue").output().map_err(|error| EngineError {
        problem: format!("cannot start {path}: {error}"),
        remedy: BUILD_BOTH,
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        return Err(if output.status.code() == Some(NOT_LOADED) {
            let missing = said.rsplit_once("libraries: ").map_or(said, |(_, missing)| missing);
            EngineError {
                problem: format!("{path} does not start: {missing}"),
                remedy: "set up libtorch again with `just setup`, then build both programs",
            }
        } else {
            let problem = format!("{path} failed ({}): {said}", output.status);
            EngineError { problem, remedy: BUILD_BOTH }
        });
    }
    let carried = serde_json::from_slice::<Carried>(&output.stdout).ok();
    let carried = carried.filter(|carried| carried.code_digest == code_digest());
    carried.map(|carried| carried.listing).ok_or_else(|| EngineError {
        problem: format!("{path} is of another build than this program"),
        remedy: BUILD_BOTH,
    })
}
