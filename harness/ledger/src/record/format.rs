//! The files of a run folder, as written and as read: one set of types for both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::commitment::{Drawn, Terms};
use crate::crossing::{Crossing, EvalPoint};
use crate::digest::{Digest, parse_hex32};
use crate::external::Told;
use crate::external::own_task::OwnTask;
use crate::given::GivenOrder;
use crate::goal::Goal;
use crate::layout::Layout;
use crate::lineage::{Lineage, Origin, Parents};
use crate::order::{OrderLaw, Unit};
use crate::record::planned::{PlannedArm, PlannedWorkload};
use crate::seed::{Randomness, Seed, hex, parse_beacon};
use crate::settings::Values;
use crate::transcript::{ChainPoint, EpochOrder};

/// Version that this build writes; it reads this one and older ones.
pub const RECORD_VERSION: u32 = 1;

/// What the workers of a search said to each other, in a run folder: K × steps messages and nothing else.
pub const MESSAGES: &str = "messages.bin";

/// The fact that holds the digest of [`MESSAGES`].
pub const MESSAGES_SHA256: &str = "messages_sha256";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The isotonic fit reached the target within the budget.
    Reached,
    /// It did not: right-censored at the budget.
    Censored,
    /// Loss or metrics stopped being finite: counted as censored, and flagged.
    Diverged,
    /// It crashed; kept for its message, run again next time.
    Failed,
}

impl Status {
    /// The status as people read it, and as JSON has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Censored => "censored",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
        }
    }
}

/// The four clocks in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockSeconds {
    /// Train clock: the score.
    pub train: f64,
    /// Evaluation clock.
    pub eval: f64,
    /// Input and output clock.
    pub io: f64,
    /// Wall time of the run.
    pub total: f64,
}

impl ClockSeconds {
    /// Share of the total that no clock accounts for.
    #[must_use]
    pub fn unaccounted(&self) -> f64 {
        if self.total > 0.0 { 1.0 - (self.train + self.eval + self.io) / self.total } else { 0.0 }
    }
}

/// What a run leaves on every look at the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Samples seen.
    pub samples: u64,
    /// Steps taken.
    pub steps: u64,
    /// Clocks at this point.
    pub clocks: ClockSeconds,
    /// Loss of the last training batch; absent before the first.
    pub train_loss: Option<f64>,
    /// `validation/accuracy`, …; `test/…` at the first evaluation at the target and at the end.
    /// Values that are not finite are left out.
    pub metrics: BTreeMap<String, f64>,
    /// What the run has taken so far beside time and samples, by what is counted: `forward_tokens`,
    /// `network_evaluations`; none in records of before, and of methods that count nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub costs: BTreeMap<String, u64>,
    /// Step chain of the transcript at this point.
    pub chain: ChainPoint,
}

impl Evaluation {
    /// One metric of it, as a point of a curve; one that is left out was not finite.
    #[must_use]
    pub fn point(&self, metric: &str) -> EvalPoint {
        EvalPoint {
            train_seconds: self.clocks.train,
            samples: self.samples,
            steps: self.steps,
            value: self.metrics.get(metric).copied().unwrap_or(f64::NAN),
        }
    }
}

/// Version of the order section that this build writes: the commitment holds law and unit. Version 1,
/// which it still reads, leaves them open.
pub const ORDER_VERSION: u32 = 2;

/// The order section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderSection {
    /// [`ORDER_VERSION`], or 1.
    pub version: u32,
    /// Law of the order.
    pub law: OrderLaw,
    /// What is randomised.
    pub unit: Unit,
    /// What the examples of a unit are there for, when the order gives them roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Where the seed comes from.
    pub randomness: Randomness,
    /// Number of training examples.
    pub examples: u64,
    /// The seed, 64 hexadecimal characters.
    pub seed_hex: String,
    /// The nonce of the seed commitment.
    pub nonce_hex: String,
    /// Public beacon, hexadecimal.
    pub beacon: Option<String>,
    /// Source and round of the beacon, when the promise named them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacon_source: Option<String>,
    /// SHA-256(nonce || seed).
    pub seed_commit: Digest,
    /// Merkle root of the training split.
    pub dataset_root: Digest,
    /// Digest of the resolved cell.
    pub config_hash: Digest,
    /// Epochs committed to.
    pub epochs_planned: u32,
    /// h₀.
    pub commitment: Digest,
    /// Place and digest of the commitment in the store's index.
    pub index: Option<IndexPlace>,
    /// Step chain at evaluations and at the end.
    pub chain: Vec<ChainPoint>,
    /// Epochs as consumed.
    pub epochs: Vec<EpochOrder>,
}

/// What of an order is known before its first step.
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    /// Law of the order.
    pub law: OrderLaw,
    /// What the examples of a unit are there for, when the order gives them roles.
    pub layout: Option<&'a Layout>,
    /// The seed.
    pub seed: &'a Seed,
    /// Number of training examples.
    pub examples: u64,
    /// Merkle root of the training split.
    pub dataset_root: Digest,
    /// Digest of the resolved cell.
    pub config_hash: Digest,
    /// Epochs committed to.
    pub epochs: u32,
    /// h₀.
    pub commitment: Digest,
    /// Place and digest of the commitment in the store's index.
    pub index: Option<IndexPlace>,
}

impl OrderSection {
    /// The section of an order of samples, or of units with roles: what was committed to, and what was consumed.
    #[must_use]
    pub fn of(committed: &Committed<'_>, chain: Vec<ChainPoint>, epochs: Vec<EpochOrder>) -> Self {
        let Committed { law, layout, seed, examples, dataset_root, config_hash, .. } = *committed;
        Self {
            version: ORDER_VERSION,
            law,
            unit: Unit::of(layout),
            layout: layout.cloned(),
            randomness: seed.randomness,
            examples,
            seed_hex: Digest(seed.bytes).to_string(),
            nonce_hex: Digest(seed.nonce).to_string(),
            beacon: seed.beacon.as_deref().map(hex),
            beacon_source: seed.beacon_source.clone(),
            seed_commit: seed.commit(),
            dataset_root,
            config_hash,
            epochs_planned: committed.epochs,
            commitment: committed.commitment,
            index: committed.index,
            chain,
            epochs,
        }
    }

    /// The seed.
    ///
    /// # Errors
    /// When seed, nonce or beacon is not what it should be.
    pub fn seed(&self) -> Result<Seed, String> {
        let beacon = self.beacon.as_deref().map(parse_beacon).transpose()?;
        let bytes = |text: &str| parse_hex32(text).map_err(|error| error.to_string());
        let (bytes, nonce) = (bytes(&self.seed_hex)?, bytes(&self.nonce_hex)?);
        let beacon_source = self.beacon_source.clone();
        Ok(Seed { bytes, nonce, beacon, beacon_source, randomness: self.randomness })
    }

    /// What the run committed to, as far as its version holds it.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let (layout, beacon_source) = (self.layout.clone(), self.beacon_source.clone());
        let drawn = Drawn { law: self.law, unit: self.unit, layout, beacon_source };
        Terms {
            dataset_root: self.dataset_root,
            config_hash: self.config_hash,
            examples: self.examples,
            epochs: self.epochs_planned,
            seed_commit: self.seed_commit,
            drawn: (self.version >= 2).then_some(drawn),
        }
    }

    /// What made the order unpredictable: a beacon whose source and round were promised, else the
    /// origin of the seed.
    #[must_use]
    pub fn unpredictable_by(&self) -> Randomness {
        let promised = self.version >= 2 && self.beacon.is_some() && self.beacon_source.is_some();
        if promised { Randomness::Beacon } else { self.randomness }
    }
}

/// A line of the store's commitment index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPlace {
    /// Number of the line.
    pub sequence: u64,
    /// Its digest.
    pub digest: Digest,
}

/// Data of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataSection {
    /// Name of the data set; `file:` and its name for a file of the user's.
    pub name: String,
    /// `official`, `modified`, `generated` or `own`.
    pub origin: String,
    /// SHA-256 of a file of the user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// Number of classes, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<u32>,
    /// Merkle root of the training split.
    pub train_root: Digest,
    /// Merkle root of the validation split.
    pub validation_root: Digest,
    /// Merkle root of the test split.
    pub test_root: Digest,
}

/// What a reader needs to rerun.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of Palimpsest.
    pub palimpsest: String,
    /// Digest of the code that decides results.
    pub code_digest: String,
    /// Commit it was built from, if it was a git checkout.
    pub git_commit: Option<String>,
    /// Whether the checkout had changes.
    pub git_dirty: Option<bool>,
    /// Digest of those changes.
    pub git_diff_digest: Option<String>,
    /// Digest of `Cargo.lock`.
    pub cargo_lock_digest: String,
    /// Version of libtorch.
    pub libtorch: String,
    /// Device of the run.
    pub device: String,
    /// CPU model.
    pub cpu: String,
    /// Logical CPUs that the process may use.
    pub cpus: u32,
    /// Name of the GPU, on one.
    pub gpu: Option<String>,
    /// NVIDIA driver, when there is one.
    pub driver: Option<String>,
    /// Kernel name and release.
    pub os: String,
    /// Vector instructions that libtorch took: `avx512`, `avx2`, `default`; none in records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Torch threads of the run.
    pub threads: u32,
    /// One-minute load average at the start.
    pub load_at_start: Option<f64>,
    /// Processor time over wall time of the run: near 1 when one thread had a core to itself.
    pub cpu_share: Option<f64>,
    /// Seconds since 1970 at the start.
    pub started_unix: u64,
    /// The command.
    pub argv: Vec<String>,
    /// Largest resident set of the process, bytes.
    pub peak_memory_bytes: Option<u64>,
    /// The job that it ran in, where a scheduler started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
}

/// A scheduler's job, as its variables tell a process of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// `slurm` or `kubernetes`.
    pub kind: String,
    /// The job, and the task of an array behind `_`.
    pub job: String,
    /// The machine, by the scheduler's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// How often the scheduler had started this part before: 0 at the first time.
    pub restarts: u32,
}

impl Environment {
    /// What the run, or its last part, had of the machine.
    #[must_use]
    pub fn share(&self) -> Share {
        let Self { load_at_start, cpus, cpu_share, .. } = *self;
        Share { load_at_start, cpus, cpu_share }
    }

    /// The program that ran: its commit; with changes that are in no commit, `+` and the start of
    /// their digest, so that two programs never share a name. None outside of a git checkout.
    #[must_use]
    pub fn program(&self) -> Option<String> {
        let commit = self.git_commit.clone()?;
        Some(match (self.git_dirty, &self.git_diff_digest) {
            (Some(true), Some(changes)) => {
                format!("{commit}+{}", changes.get(..8).unwrap_or(changes))
            }
            (Some(true), None) => format!("{commit}+"),
            _ => commit,
        })
    }
}

/// What a part of a run had of its machine: the same that [`Environment`] says of the last part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// One-minute load average at the part's start.
    pub load_at_start: Option<f64>,
    /// Logical CPUs that the process might use.
    pub cpus: u32,
    /// Processor time over wall time of the part, up to where it was kept last.
    pub cpu_share: Option<f64>,
}

/// Where a run went on in another process, from what it had kept there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interruption {
    /// Steps taken by then.
    pub steps: u64,
    /// Samples seen by then.
    pub samples: u64,
    /// Whether it was asked to stop there; else its process was lost, and what it did behind this step was done again.
    pub stopped: bool,
    /// What the part that ended there had of its machine; none in records of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

/// `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Cell id.
    pub cell: String,
    /// Suite it was made for.
    pub suite: String,
    /// SHA-256 of the suite's text.
    pub suite_digest: Digest,
    /// Workload id.
    pub workload: String,
    /// Settings of the workload.
    pub workload_settings: Values,
    /// Method id.
    pub method: String,
    /// Settings of the method, resolved.
    pub settings: Values,
    /// The seed's text: an integer, or 64 hexadecimal characters; then `+` and the beacon, if any.
    pub seed: String,
    /// How it ended.
    pub status: Status,
    /// Message of a failed run.
    pub error: Option<String>,
    /// Data.
    pub data: Option<DataSection>,
    /// Target and budget.
    pub goal: Goal,
    /// Clocks.
    pub clocks: ClockSeconds,
    /// Crossing of the target.
    pub time_to_target: Option<Crossing>,
    /// Metrics at the end.
    #[serde(rename = "final")]
    pub last: BTreeMap<String, f64>,
    /// Test metrics at the first evaluation at the target.
    pub at_target: BTreeMap<String, f64>,
    /// Steps taken.
    pub steps: u64,
    /// Samples seen.
    pub samples: u64,
    /// Number of trainable values.
    pub parameter_count: u64,
    /// Digest of final parameters and buffers, as they are evaluated and kept: SHA-256 of their values
    /// as 32-bit floats, little-endian, tensor after tensor.
    pub parameters_sha256: Option<Digest>,
    /// Names of these tensors in the order in which their digest takes them, where they were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<String>,
    /// Named streams that the run could draw from.
    pub streams: Vec<String>,
    /// Order transcript.
    pub order: Option<OrderSection>,
    /// Runs that this one descends from.
    pub lineage: Option<Lineage>,
    /// Digest of the order that it was given ([`crate::given`]), when it was not the method's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given_order: Option<Digest>,
    /// The program that trained, where it was none of ours: what it consumed is then its word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<Told>,
    /// Facts of the method's seats.
    pub facts: BTreeMap<String, Value>,
    /// What a reader must know.
    pub warnings: Vec<String>,
    /// Where it went on from a checkpoint, in order. Clocks are those of all its parts: what was done twice is counted once, and
    /// the way back to where it was not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interruptions: Vec<Interruption>,
    /// Machine, versions, command; of the last part, but for `started_unix`, which is the first part's.
    pub environment: Environment,
}

/// Warning of a record whose clocks cannot be trusted.
pub const DISTURBED: &str = "timed while the machine was busier than its cores";

impl RunRecord {
    /// The workload and the arm as they were planned, labelled by their ids.
    #[must_use]
    pub fn planned(&self) -> (PlannedWorkload, PlannedArm) {
        let workload = PlannedWorkload {
            label: self.workload.clone(),
            id: self.workload.clone(),
            settings: self.workload_settings.clone(),
            metrics: Vec::new(),
            goal: self.goal.clone(),
        };
        let arm = PlannedArm {
            label: self.method.clone(),
            method: self.method.clone(),
            settings: self.settings.clone(),
            on: Vec::new(),
            budget: None,
            parents: self.parents().map(|cell| Origin::Run(cell.clone())),
            order: self.given_order.map(GivenOrder::recorded),
            external: self.external.as_ref().map(|told| told.arm.clone()),
        };
        (workload, arm)
    }

    /// What its workload says, where data and metrics are a program's own: then the record has its word
    /// for them.
    #[must_use]
    pub fn own_task(&self) -> Option<OwnTask> {
        OwnTask::of(&self.workload, &self.workload_settings)
    }

    /// What its workload is called: by its id, or by its name where it is a program's own.
    #[must_use]
    pub fn workload_name(&self) -> String {
        self.own_task().map_or_else(|| self.workload.clone(), |task| task.name)
    }

    /// Cell ids of the parents.
    #[must_use]
    pub fn parents(&self) -> Parents<String> {
        self.lineage
            .as_ref()
            .map(|lineage| lineage.map(|parent| parent.cell.clone()))
            .unwrap_or_default()
    }

    /// Hashes of the orders that this run's weights depend on: its own and its ancestors'.
    #[must_use]
    pub fn order_hashes(&self) -> Vec<Digest> {
        let own = self.order.iter().flat_map(|order| &order.epochs).map(|epoch| epoch.order_hash);
        let parents = self.lineage.iter().flat_map(Parents::iter);
        own.chain(parents.flat_map(|parent| parent.order_hashes.iter().copied())).collect()
    }

    /// What each part of the run had of its machine, in order; of parts before the last as far as that is known.
    pub fn shares(&self) -> impl Iterator<Item = Share> {
        let before = self.interruptions.iter().filter_map(|interruption| interruption.share);
        before.chain([self.environment.share()])
    }

    /// True when the clocks cannot be trusted: of one of its parts, the load exceeded the cores at the start, and it
    /// did not get a core to itself for 97 % of its time (or that is not known).
    #[must_use]
    pub fn disturbed(&self) -> bool {
        self.shares().any(|Share { load_at_start, cpus, cpu_share }| {
            load_at_start.is_some_and(|load| load > f64::from(cpus))
                && cpu_share.is_none_or(|share| share < 0.97)
        })
    }
}

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The commitment is on disk; training starts.
    Committed {
        /// h₀.
        commitment: Digest,
    },
    /// An evaluation.
    Evaluated(Evaluation),
    /// The run is over.
    Ended {
        /// How.
        status: Status,
    },
}

/// One file of a run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path below the run folder.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest of the content.
    pub sha256: Digest,
}

/// `manifest.json`: every other file of the run folder, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the manifest.
    pub version: u32,
    /// Cell id.
    pub cell: String,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// Why a run folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A newer Palimpsest wrote it.
    #[error(
        "{path} has record version {found}, but this build reads up to {RECORD_VERSION}; use a newer palimpsest"
    )]
    Newer {
        /// Which file.
        path: String,
        /// Its version.
        found: u64,
    },
    /// The file system has no locks.
    #[error(
        "cannot lock {path}: {source}; the file system of the store has no locks, as network mounts without a lock service: run on a local --store and put it into this one with `palimpsest merge`"
    )]
    NoLocks {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The store is not this user's to write.
    #[error(
        "cannot write to the store at {path}: {source}; give another --store, or share this one: its folders and files need write permission for a common group (chmod -R g+rwX), and all who write a umask of 002"
    )]
    NotWritable {
        /// Which folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// No such run.
    #[error("{0}")]
    NotFound(String),
    /// The commitment index refused.
    #[error(transparent)]
    Commitment(#[from] crate::commitment::CommitmentError),
}

impl RecordError {
    /// Wraps an error of the file system.
    pub fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_before_users_files_had_a_name_are_read_and_written_as_they_were() {
        let root = Digest::of(b"data");
        let written = serde_json::json!({
            "name": "tinyshakespeare", "origin": "modified",
            "train_root": root, "validation_root": root, "test_root": root,
        });
        let read: DataSection = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(read.sha256, None);
        assert_eq!(serde_json::to_value(&read).unwrap(), written);
    }
}
