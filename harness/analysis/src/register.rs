//! The register of a suite's claims: what was judged, with what came out, and every change since.
//!
//! `suites/<name>.claims.json` lies beside the suite and is committed. Once a definition has been
//! judged it never changes in silence: another one needs a reason, and says whether its author had
//! seen results; a claim that leaves the suite stays here as withdrawn. [`check`] finds where a suite
//! and its register differ.

mod definition;
mod error;
mod keep;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use ledger::record::writer::write_atomic;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use definition::{Definition, differences};
pub use error::RegisterError;
pub use keep::{Reason, amend, check, record};

/// Version of the file.
const VERSION: u32 = 1;
/// How a verdict follows from an interval; it stands beside every verdict, because it has changed.
pub const RULE: &str = "reproduced iff the whole interval reaches the smallest effect, not reproduced iff none of it does";

/// A suite's claims, over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Version of the file.
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// What a reader of the verdicts should know; written by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// In the order in which they first came.
    pub claims: Vec<Entry>,
    /// SHA-256 of the canonical JSON of `claims`: only this program writes them.
    pub digest: String,
}

/// A claim, over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Id in the suite.
    pub id: String,
    /// What was judged, oldest first; never empty.
    pub versions: Vec<Version>,
    /// When and why it was taken out of the suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Change>,
}

/// One definition of a claim, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// SHA-256 of the definition's canonical JSON.
    pub digest: String,
    /// The claim, its arms, their settings, its workloads with targets and budgets, its seeds.
    pub definition: Value,
    /// What changed against the version before; none in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Verdicts, oldest first.
    #[serde(default)]
    pub verdicts: Vec<Judged>,
}

/// A change of something that had been judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Day, `YYYY-MM-DD`.
    pub date: String,
    /// What, before and after.
    pub what: Vec<String>,
    /// Why.
    pub why: String,
    /// Whether results had been seen.
    pub results_seen: bool,
}

/// A verdict on one workload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Day of the newest run behind it, `YYYY-MM-DD`.
    pub date: String,
    /// Workload.
    pub workload: String,
    /// Number of pairs.
    pub seeds: u32,
    /// `ratio` or `difference`.
    pub scale: String,
    /// Measured effect in the claimed direction.
    pub effect: Option<f64>,
    /// Lower end of its 95 % interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// `reproduced`, `not reproduced` or `inconclusive`.
    pub verdict: String,
    /// Why, in words.
    pub reason: String,
    /// The rule that it follows from.
    pub rule: String,
    /// Commit of the program.
    pub program: String,
    /// Processor and system.
    pub machine: String,
    /// The command that ran the suite.
    pub command: String,
}

impl Judged {
    /// Whether another run of the same came to the same.
    fn repeats(&self, other: &Self) -> bool {
        let of =
            |one: &Self| (one.workload.clone(), one.seeds, one.verdict.clone(), one.rule.clone());
        let numbers = |one: &Self| [one.effect, one.low, one.high];
        of(self) == of(other) && numbers(self) == numbers(other)
    }
}

impl Register {
    /// Without claims.
    #[must_use]
    pub fn new(suite: &str) -> Self {
        let (notes, claims) = (Vec::new(), Vec::new());
        Self { version: VERSION, suite: suite.to_owned(), notes, claims, digest: String::new() }
    }

    /// Where the register of a suite file lies.
    #[must_use]
    pub fn beside(suite_file: &Path) -> PathBuf {
        suite_file.with_extension("claims.json")
    }

    /// Reads a register; an empty one where there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, is no register, or is newer than this build.
    pub fn read(path: &Path, suite: &str) -> Result<Self, RegisterError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::new(suite));
            }
            Err(source) => return Err(RegisterError::Io { path: path.to_path_buf(), source }),
        };
        let damaged = |reason: String| RegisterError::Damaged { path: path.to_path_buf(), reason };
        let register: Self =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if register.version != VERSION {
            return Err(damaged(format!("its version is {}, not {VERSION}", register.version)));
        }
        if register.suite != suite {
            return Err(damaged(format!("it is that of suite \"{}\"", register.suite)));
        }
        if definition::digest(&register.claims) != register.digest {
            return Err(damaged("its claims were edited by hand".to_owned()));
        }
        if let Some(empty) = register.claims.iter().find(|entry| entry.versions.is_empty()) {
            return Err(damaged(format!("\"{}\" has no definition", empty.id)));
        }
        Ok(register)
    }

    /// Writes the file, or leaves the old one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), RegisterError> {
        let damaged = |reason: String| RegisterError::Damaged { path: path.to_path_buf(), reason };
        let sealed = Self { digest: definition::digest(&self.claims), ..self.clone() };
        let mut json =
            serde_json::to_vec_pretty(&sealed).map_err(|error| damaged(error.to_string()))?;
        json.push(b'\n');
        write_atomic(path, &json).map_err(|error| damaged(error.to_string()))
    }
}
