//! Which cells a run of a suite consists of: what `report` and `compare` start from.

mod shelf;

use serde::{Deserialize, Serialize};

use crate::imported::METHOD;
use crate::plan::unjudged::Unjudged;
use crate::suite::Sections;
use crate::tuning::Tuned;
use ledger::catalogue::MetricInfo;
use ledger::digest::Digest;
use ledger::goal::Target;
use ledger::settings::Values;
use stats::sequential::Stopping;

pub use shelf::{Found, Shelf, Shelved};

/// Version of the file: 2 since a store keeps every run of a suite.
const SUITE_RUN_VERSION: u32 = 2;

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
    /// When it ran, and what of the suite it left out.
    #[serde(default)]
    pub made: Made,
}

/// When a suite was run, and how it differs from the suite as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its id in the store; empty in files of before there were any.
    pub id: String,
    /// When it last started, in seconds since 1970.
    pub started_unix: u64,
    /// When it ended; none while it runs, and where it was interrupted.
    pub ended_unix: Option<u64>,
    /// Options that left out, added or changed a part of the suite; none where it ran as written.
    pub options: Vec<String>,
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

    /// Whether the suite ran as it is written: all of it, and nothing else.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.made.options.is_empty()
    }

    /// Whether its runs are read off logs.
    #[must_use]
    pub fn is_imported(&self) -> bool {
        self.arms.iter().any(|arm| arm.method == METHOD)
    }

    /// Digest of what is run: the suite's text, what options made of it, and the cells. A run that
    /// was interrupted and goes on has the same one.
    fn digest(&self) -> Digest {
        let cells: Vec<&str> = self.cells.iter().map(|cell| cell.cell.as_str()).collect();
        let parts = [&self.suite_digest, &self.made.options.join("\n"), &cells.join("\n")];
        Digest::of(parts.map(String::as_str).join("\n\n").as_bytes())
    }
}
