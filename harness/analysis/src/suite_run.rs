//! Which cells the last run of a suite consists of: what `report` and `compare` start from.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::plan::unjudged::Unjudged;
use crate::suite::Sections;
use crate::tuning::Tuned;
use ledger::catalogue::MetricInfo;
use ledger::goal::Target;
use ledger::record::format::RecordError;
use ledger::record::store::Store;
use ledger::record::writer::write_atomic;
use ledger::settings::Values;
use stats::sequential::Stopping;

/// Version of the file.
const SUITE_RUN_VERSION: u32 = 1;

/// A suite as it was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuiteRun {
    /// Version of the file.
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// The suite as the user named it: a name or a file.
    pub source: String,
    /// The question it asks.
    pub question: String,
    /// SHA-256 of its text.
    pub suite_digest: String,
    /// Label of the arm that speed-ups refer to.
    pub baseline: Option<String>,
    /// Workloads in order.
    pub workloads: Vec<RunWorkload>,
    /// Arms in order.
    pub arms: Vec<RunArm>,
    /// What is asked of its runs.
    #[serde(flatten)]
    pub sections: Sections,
    /// Claims of the suite that these runs do not judge, for want of an arm or a workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unjudged: Vec<Unjudged>,
    /// What came of its order estimates, entry by entry and seed by seed.
    #[serde(default)]
    pub estimated: Vec<RunEstimate>,
    /// When its seeds could end, and what that saved; none where all of them had to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<RunStopping>,
    /// The sweeps behind its tuned arms, as frozen beside the suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Tuned>,
    /// Cells in plan order.
    pub cells: Vec<RunCell>,
    /// Ids of the cells whose records another build had made, kept knowingly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_another_build: Vec<String>,
    /// The command that ran it.
    pub argv: Vec<String>,
}

/// An order estimate of a suite run under one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEstimate {
    /// Index into the estimates.
    pub entry: usize,
    /// The seed as the user gave it.
    pub seed: String,
    /// Cell id.
    pub cell: String,
    /// The document with its numbers, from the store's folder on; none where it could not be made.
    pub file: Option<String>,
    /// Why it could not be made.
    pub error: Option<String>,
    /// Seconds that it took when it was made.
    pub seconds: Option<f64>,
}

/// The rule by which the seeds of a suite run could end early, fixed before the first of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStopping {
    /// The settings, with the number of seeds planned.
    pub settings: Stopping,
    /// Seeds that did not run.
    pub seeds_saved: usize,
    /// What they would have taken: seconds of the seeds that ran, per seed.
    pub seconds_saved: f64,
}

/// A workload of a suite run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunWorkload {
    /// Name in tables.
    pub label: String,
    /// One line for people.
    pub title: String,
    /// Every metric it reports; none in files of before metrics were listed.
    #[serde(default)]
    pub metrics: Vec<MetricInfo<String>>,
    /// What its runs were to reach.
    #[serde(flatten)]
    pub target: Target,
    /// Budget in samples.
    pub budget_samples: u64,
    /// Number of training examples.
    pub train_examples: u64,
}

/// An arm of a suite run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunArm {
    /// Name in tables.
    pub label: String,
    /// Method id.
    pub method: String,
    /// Settings, resolved.
    pub settings: Values,
    /// Share of the workload's budget that its runs had; all of it where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
    /// Settings that were tried before these were chosen; none where none were. Claims between arms of
    /// unequal numbers are withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trials: Option<u32>,
}

/// A cell of a suite run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCell {
    /// Index into the workloads.
    pub workload: usize,
    /// Index into the arms.
    pub arm: usize,
    /// The seed as the user gave it.
    pub seed: String,
    /// Cell id.
    pub cell: String,
}

impl SuiteRun {
    /// How many trials the settings of an arm were chosen from; none where the suite fixed them.
    #[must_use]
    pub fn trials_of(&self, arm: &str) -> Option<usize> {
        self.tuned.as_ref()?.trials_of(arm)
    }

    /// Version that this build writes.
    pub const VERSION: u32 = SUITE_RUN_VERSION;

    /// Writes the file into the store.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, store: &Store) -> Result<(), RecordError> {
        let path = store.suite_file(&self.suite);
        let json = serde_json::to_vec_pretty(self).map_err(|error| RecordError::Damaged {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let _lock = store.lock_suites()?;
        write_atomic(&path, &json)
    }

    /// Reads the file of `suite` from the store.
    ///
    /// # Errors
    /// When the suite was never run here, or the file is damaged or newer.
    pub fn load(store: &Store, suite: &str) -> Result<Self, RecordError> {
        let path = store.suite_file(suite);
        let shown = path.display().to_string();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let message = format!(
                    "suite \"{suite}\" has no run in {}; `palimpsest run {suite}` makes one",
                    store.root().display()
                );
                return Err(RecordError::NotFound(message));
            }
            Err(error) => return Err(RecordError::io("read", &path)(error)),
        };
        let damaged = |reason: String| RecordError::Damaged { path: shown.clone(), reason };
        let run: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if run.version > SUITE_RUN_VERSION {
            return Err(RecordError::Newer { path: shown, found: u64::from(run.version) });
        }
        let fits =
            |cell: &RunCell| cell.workload < run.workloads.len() && cell.arm < run.arms.len();
        if run.cells.iter().all(fits) {
            Ok(run)
        } else {
            Err(damaged("a cell names no arm or workload".to_owned()))
        }
    }
}
