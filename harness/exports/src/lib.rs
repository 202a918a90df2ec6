//! Writes runs in the forms of other tools: TensorBoard, MLflow, RO-Crate, tables, a citation file.
//!
//! Every form is a pure function of the records: nothing here reads a clock, asks a machine or draws a number, so
//! that the same runs give the same bytes. What a record does not say is left out, never filled in. Suites, stores
//! and options are the business of who calls this.

pub mod citation;
mod error;
pub mod folder;
pub mod mlflow;
mod names;
pub mod rocrate;
pub mod table;
pub mod tensorboard;
mod yaml;

#[cfg(test)]
#[path = "tests/sample.rs"]
mod sample;

use std::borrow::Cow;
use std::path::PathBuf;

use ledger::digest::Digest;
use ledger::record::format::{Evaluation, Event, Manifest, RecordError, RunRecord};
use ledger::record::store::Store;
use serde_json::Value;

pub use error::ExportError;

/// Address of the program in documents that name what made a run.
pub const PROGRAM_URL: &str = "https://github.com/palimpsest-bench/palimpsest";

/// A run as it is exported.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Name of its workload in tables.
    pub workload: String,
    /// Label of its arm.
    pub arm: String,
    /// What it left.
    pub record: RunRecord,
    /// Its looks at the model, in order.
    pub evaluations: Vec<Evaluation>,
    /// Files of its folder.
    pub manifest: Manifest,
    /// Digest of the manifest: the run digest.
    pub digest: Digest,
    /// Its folder.
    pub folder: PathBuf,
}

impl Run {
    /// A run of a store, called as its record calls it.
    ///
    /// # Errors
    /// When record, events or manifest are missing or damaged.
    pub fn read(store: &Store, cell: &str) -> Result<Self, RecordError> {
        let record = store.record(cell)?;
        let evaluations = store.events(cell)?.into_iter().filter_map(|event| match event {
            Event::Evaluated(evaluation) => Some(evaluation),
            _ => None,
        });
        let (manifest, digest) = store.manifest(cell)?;
        Ok(Self {
            workload: record.workload_name(),
            arm: record.method.clone(),
            evaluations: evaluations.collect(),
            manifest,
            digest,
            folder: store.folder(cell),
            record,
        })
    }

    /// What people call it: `adamw on digits-mlp, seed 0`.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} on {}, seed {}", self.arm, self.workload, self.record.seed)
    }

    /// Milliseconds since 1970 at which so many seconds of its wall time were over.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time of day in milliseconds is far below 2^63, and one below zero is zero"
    )]
    pub fn milliseconds(&self, seconds: f64) -> u64 {
        let after = if seconds.is_finite() { (seconds * 1e3).round().max(0.0) as u64 } else { 0 };
        self.record.environment.started_unix.saturating_mul(1000).saturating_add(after)
    }

    /// When it ended, in seconds since 1970, rounded up: no end before its start.
    #[must_use]
    pub fn ended_unix(&self) -> u64 {
        self.milliseconds(self.record.clocks.total).div_ceil(1000)
    }
}

/// What a look has numbers for, by name: every metric, the loss of the last training batch, and below `cost/` what the
/// run has taken so far of what it counts. What is no finite number has none in a record, and none here.
pub fn scalars(evaluation: &Evaluation) -> impl Iterator<Item = (Cow<'_, str>, f64)> {
    let metrics = evaluation.metrics.iter();
    let metrics = metrics.map(|(name, value)| (Cow::Borrowed(name.as_str()), *value));
    #[expect(clippy::cast_precision_loss, reason = "what a run takes stays far below 2^52")]
    let costs = evaluation.costs.iter().map(|(name, count)| (cost_tag(name), *count as f64));
    metrics.chain(evaluation.train_loss.map(|loss| (TRAIN_LOSS.into(), loss))).chain(costs)
}

fn cost_tag(name: &str) -> Cow<'_, str> {
    format!("cost/{name}").into()
}

/// The name of the last training batch's loss among metrics.
pub const TRAIN_LOSS: &str = "train/loss";

/// Runs that are exported together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The suite, or `runs` where they are picked by hand.
    pub name: String,
    /// The question that the suite asks.
    pub question: Option<String>,
    /// SHA-256 of the suite's text.
    pub suite_digest: Option<String>,
    /// The runs, in the suite's order.
    pub runs: Vec<Run>,
}

impl Batch {
    /// When the last of its runs ended, in seconds since 1970.
    #[must_use]
    pub fn ended_unix(&self) -> u64 {
        self.runs.iter().map(Run::ended_unix).max().unwrap_or_default()
    }

    /// One line for people.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.suite_digest {
            Some(_) => format!("Runs of the suite {}", self.name),
            None => "Training runs".to_owned(),
        }
    }
}

/// A setting as text: what a person would type.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Every setting of a run by the name that it has in other tools: those of the method by their own, unless
/// one of `taken` is called so, those of the workload below `workload_setting/`.
fn settings<'a>(run: &'a Run, taken: &'a [&'a str]) -> impl Iterator<Item = (String, &'a Value)> {
    let method = run.record.settings.iter().map(move |(name, value)| {
        let clash = taken.contains(&name.as_str());
        (if clash { format!("setting/{name}") } else { name.clone() }, value)
    });
    let workload = run.record.workload_settings.iter();
    method.chain(workload.map(|(name, value)| (format!("workload_setting/{name}"), value)))
}
