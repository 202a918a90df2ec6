//! What one line of a history says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::Problem;
use ledger::digest::Digest;

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Times, losses.
    Lower,
    /// Accuracies.
    Higher,
    /// Neither: a count or a size that is only watched.
    Neither,
}

/// A metric at a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Unit, such as `s`; `1` for a pure number.
    pub unit: String,
    /// Which way it improves.
    pub better: Better,
    /// One value per seed or pair; their median stands for the commit.
    pub values: Vec<f64>,
}

/// Everything that was measured at a commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Full commit id: 40 or 64 lower-case hexadecimal characters.
    pub commit: String,
    /// Digest of the suite's text at this commit.
    pub suite_digest: Digest,
    /// Name and version of what it ran with: `libtorch`, `threads`, `os`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub software: BTreeMap<String, String>,
    /// Metrics by name.
    pub metrics: BTreeMap<String, Metric>,
}

/// A change that is intended, or lived with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The commit that made it, as reported: the first one at the new level.
    pub commit: String,
    /// Names of the metrics; all of them when empty.
    pub metrics: Vec<String>,
    /// Why.
    pub reason: String,
}

/// The content of a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// A commit was measured.
    Measured(Measured),
    /// A change was accepted.
    Accepted(Accepted),
}

/// Largest magnitude of a value: the square of a larger one leaves the range of numbers.
pub const LARGEST: f64 = 1e150;
const LONGEST_NAME: usize = 300;
const LONGEST_UNIT: usize = 32;
const LONGEST_REASON: usize = 2000;

impl Entry {
    /// The commit that the entry is about.
    #[must_use]
    pub fn commit(&self) -> &str {
        match self {
            Self::Measured(measured) => &measured.commit,
            Self::Accepted(accepted) => &accepted.commit,
        }
    }

    /// Checks what can be checked without the lines before.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let commit = self.commit();
        let hexadecimal = commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !hexadecimal || !matches!(commit.len(), 40 | 64) {
            return Err(Problem::Commit { found: commit.to_owned() });
        }
        match self {
            Self::Measured(measured) => measured.check(),
            Self::Accepted(accepted) => accepted.check(),
        }
    }
}

impl Measured {
    fn check(&self) -> Result<(), Problem> {
        if self.metrics.is_empty() {
            return Err(Problem::Empty { what: "metrics" });
        }
        for (name, version) in &self.software {
            text("name of software", name, LONGEST_UNIT)?;
            text("version of software", version, LONGEST_NAME)?;
        }
        for (name, metric) in &self.metrics {
            text("metric name", name, LONGEST_NAME)?;
            text("unit", &metric.unit, LONGEST_UNIT)?;
            if metric.values.is_empty() {
                return Err(Problem::NoValue { metric: name.clone() });
            }
            let bad = metric.values.iter().position(|v| !v.is_finite() || v.abs() > LARGEST);
            if let Some(index) = bad {
                let value = metric.values[index];
                return Err(Problem::Value { metric: name.clone(), index, value });
            }
        }
        Ok(())
    }
}

impl Accepted {
    fn check(&self) -> Result<(), Problem> {
        text("reason", &self.reason, LONGEST_REASON)?;
        self.metrics.iter().try_for_each(|name| text("metric name", name, LONGEST_NAME))
    }
}

/// One line of text that says something and breaks nothing it is printed into.
pub(super) fn text(what: &'static str, found: &str, longest: usize) -> Result<(), Problem> {
    if found.trim().is_empty() {
        return Err(Problem::Empty { what });
    }
    if found.chars().any(char::is_control) || found.chars().count() > longest {
        return Err(Problem::Text { what, longest, found: found.chars().take(80).collect() });
    }
    Ok(())
}
