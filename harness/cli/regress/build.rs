//! A build of this program, run to plan a suite and to train single cells of it.
//!
//! Each cell runs in a process of its own: what differs between two starts of one program (where
//! memory lies, which core it lands on) then differs from pair to pair, instead of posing as a
//! difference between the builds.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use analysis::regress::metric::CellName;
use analysis::suite_run::RunCell;
use analysis::suite_run::{Shelf, SuiteRun};
use anyhow::Context as _;
use ledger::record::{RunRecord, Store};
use serde::Deserialize;

use crate::limit;

/// Limit of a cell that nobody gave one: a hang must end some time.
const LIMIT: Duration = Duration::from_secs(3600);
/// What a program ends with that was told nonsense.
const MISTAKE: i32 = 2;

/// A program, and the suite that it runs.
#[derive(Debug, Clone)]
pub struct Build {
    /// What messages call it: `base` or `head`.
    pub name: &'static str,
    /// The program.
    pub program: PathBuf,
    /// A suite file, or the name of a suite that it carries.
    pub suite: String,
    /// Folder that it runs in, when it is not this process's.
    pub folder: Option<PathBuf>,
    /// Options that choose arms, workloads and data.
    pub options: Vec<String>,
    /// Where it trains.
    pub device: String,
    /// How long it may take over one cell, or its plan.
    pub limit: Duration,
}

/// A build that could not do what was asked.
#[derive(Debug)]
pub struct BuildError {
    /// `base` or `head`.
    pub build: &'static str,
    /// The program.
    pub program: PathBuf,
    /// What it was asked.
    pub what: String,
    /// Its last words.
    pub said: String,
    /// The cell that it did not train, where it was asked for one.
    pub cell: Option<Box<CellName>>,
    /// It refused what it was told, which is a mistake in the call.
    pub refused: bool,
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { build, program, what, said, .. } = self;
        write!(f, "the {build} ({}) could not {what}: {said}", program.display())
    }
}

impl std::error::Error for BuildError {}

/// The plan of a suite, as a build prints it.
#[derive(Debug, Clone, Deserialize)]
pub struct Planned {
    /// The suite's own name.
    pub suite: String,
    /// Its cells in order.
    pub cells: Vec<PlannedCell>,
}

/// A cell of it.
#[derive(Debug, Clone, Deserialize)]
pub struct PlannedCell {
    /// Label of the workload.
    pub workload: String,
    /// Label of the arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// Id of the method; that of all programs of one's own is `external`.
    #[serde(default)]
    pub method: String,
}

impl PlannedCell {
    /// The same as the gate names it.
    #[must_use]
    pub fn name(&self) -> CellName {
        let seed = self.seed.to_string();
        CellName { workload: self.workload.clone(), arm: self.arm.clone(), seed }
    }
}

/// What one run left.
#[derive(Debug, Clone)]
pub struct Left {
    /// The suite as it was run.
    pub suite: SuiteRun,
    /// The cell in it.
    pub cell: RunCell,
    /// Its record.
    pub record: RunRecord,
}

impl Build {
    /// The program at `program`, resolved against this process's folder.
    ///
    /// # Errors
    /// When it is no file.
    pub fn new(
        name: &'static str,
        program: &Path,
        suite: &str,
        options: &[String],
    ) -> anyhow::Result<Self> {
        if !program.is_file() {
            anyhow::bail!(
                "the {name} {} is not a file: name a build of palimpsest, with palimpsest-engine beside it",
                program.display()
            );
        }
        let program = std::path::absolute(program)
            .with_context(|| format!("cannot resolve {}", program.display()))?;
        let (suite, options, device) = (suite.to_owned(), options.to_vec(), "cpu".to_owned());
        Ok(Self { name, program, suite, folder: None, options, device, limit: LIMIT })
    }

    /// The same, training on another device than the CPU.
    #[must_use]
    pub fn on_device(self, device: &str) -> Self {
        Self { device: device.to_owned(), ..self }
    }

    /// The same, with another time limit.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The cells of its suite under these seeds; all of the suite's when there are none.
    ///
    /// # Errors
    /// When it refuses the suite, or answers something else than a plan.
    pub fn plan(&self, seeds: Option<&str>, store: &Path) -> Result<Planned, BuildError> {
        let mut command = self.command("plan", seeds, store);
        command.arg("--json").stdout(Stdio::piped());
        let (status, stdout, said) = self.finish(command, "plan the suite")?;
        if !status.success() {
            let refused = status.code() == Some(MISTAKE);
            return Err(BuildError { refused, ..self.failed("plan the suite", said) });
        }
        serde_json::from_slice(&stdout).map_err(|error| {
            self.failed("plan the suite", format!("its answer is no plan: {error}"))
        })
    }

    /// Trains the cell at `place` of the plan in `store`, and reads what it left.
    ///
    /// # Errors
    /// When the program ends otherwise than with a record of the cell.
    pub fn train(
        &self,
        planned: &Planned,
        place: usize,
        seeds: Option<&str>,
        store: &Path,
    ) -> Result<Left, BuildError> {
        let Some(wanted) = planned.cells.get(place).map(PlannedCell::name) else {
            return Err(self.failed("train", format!("its plan has no cell {place}")));
        };
        let cell = |error: BuildError| BuildError { cell: Some(Box::new(wanted.clone())), ..error };
        let what = format!("train {wanted}");
        let mut command = self.command("run", seeds, store);
        command.args(["--json", "--device", &self.device, "--cells", &place.to_string()]);
        command.stdout(Stdio::null());
        let (status, _, said) = self.finish(command, &what).map_err(cell)?;
        // 4: the cell failed, which its record tells.
        if !status.success() && status.code() != Some(4) {
            let refused = status.code() == Some(MISTAKE);
            let error = self.failed(&what, format!("{said} ({status})"));
            return Err(cell(BuildError { refused, ..error }));
        }
        let left = self.left(planned, &wanted, store);
        left.map_err(|error| cell(self.failed(&what, format!("{error:#}"))))
    }

    fn left(&self, planned: &Planned, wanted: &CellName, store: &Path) -> anyhow::Result<Left> {
        let store = Store::at(store);
        // Runs of several cells may start within one second: the one that holds the cell is meant.
        let of = |suite: SuiteRun| {
            let cell = suite.cells.iter().find(|cell| {
                suite.workloads[cell.workload].label == wanted.workload
                    && suite.arms[cell.arm].label == wanted.arm
                    && cell.seed == wanted.seed
            });
            let cell = cell.cloned()?;
            Some((suite, cell))
        };
        let runs = Shelf::of(&store, &planned.suite)?.runs;
        let found = runs.into_iter().find_map(|shelved| of(shelved.run));
        let (suite, cell) = found.with_context(|| format!("it left no run of {wanted}"))?;
        let record = store.record(&cell.cell)?;
        Ok(Left { suite, cell, record })
    }

    fn command(&self, verb: &str, seeds: Option<&str>, store: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args([verb, &self.suite]).args(&self.options).arg("--store").arg(store);
        if let Some(seeds) = seeds {
            command.args(["--seeds", seeds]);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn finish(
        &self,
        command: Command,
        what: &str,
    ) -> Result<(ExitStatus, Vec<u8>, String), BuildError> {
        let output = limit::output(command, self.limit);
        let output = output.map_err(|error| self.failed(what, error.to_string()))?;
        let Some(output) = output else {
            let said = format!("it took longer than {} and was stopped", limit::shown(self.limit));
            return Err(self.failed(what, said));
        };
        Ok((output.status, output.stdout, last_words(&output.stderr)))
    }

    fn failed(&self, what: &str, said: String) -> BuildError {
        let (build, program, what) = (self.name, self.program.clone(), what.to_owned());
        BuildError { build, program, what, said, cell: None, refused: false }
    }
}

/// The last lines of what a program said, on one line and without control characters.
fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(3)..];
    let line: String = last.join("; ").chars().filter(|c| !c.is_control()).take(1000).collect();
    let line = line.trim_start_matches("error: ").to_owned();
    if line.is_empty() { "it said nothing".to_owned() } else { line }
}

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn last_words_are_one_plain_line() {
        assert_eq!(last_words(b""), "it said nothing");
        assert_eq!(last_words(b"error: no \x1b[31msuite\n\n"), "no [31msuite");
        assert_eq!(last_words(b"1\n2\n3\n4\n"), "2; 3; 4");
    }
}
