//! The machine that times belong to, and the software that ran on it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::RegressError;
use ledger::digest::Digest;
use ledger::record::format::Environment;

/// Hardware, limits and governor, and a short name for all of them. What a change may bring with it
/// (libtorch, threads, kernel) is told beside them and is no part of the name: it is what a gate is
/// asked about, and a history outlives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The first 12 hexadecimal characters of SHA-256 over the canonical JSON of `parts`.
    pub fingerprint: String,
    /// Name and value of each part: `cpu`, `cpus`, `memory`, …
    pub parts: BTreeMap<String, String>,
    /// Name and version of what ran on it: `libtorch`, `threads`, `os`, `driver`,
    /// `dependencies` (a digest).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub software: BTreeMap<String, String>,
}

impl Machine {
    /// A machine of these parts.
    #[must_use]
    pub fn new(parts: BTreeMap<String, String>) -> Self {
        // A map of texts always has a canonical JSON.
        let fingerprint = Digest::of_json(&parts).map_or_else(|_| String::new(), |d| d.short(12));
        Self { fingerprint, parts, software: BTreeMap::new() }
    }

    /// The machine of a run, as far as its record tells, and what else is known of it (governor,
    /// memory, limits of a container).
    #[must_use]
    pub fn of(environment: &Environment, more: &BTreeMap<String, String>) -> Self {
        let mut parts = more.clone();
        let own = [
            ("cpu", Some(environment.cpu.clone())),
            ("cpus", Some(environment.cpus.to_string())),
            ("device", Some(environment.device.clone())),
            ("gpu", environment.gpu.clone()),
        ];
        parts.extend(own.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
        let software = [
            ("libtorch", Some(environment.libtorch.clone())),
            ("threads", Some(environment.threads.to_string())),
            ("os", Some(environment.os.clone())),
            ("driver", environment.driver.clone()),
            ("dependencies", environment.cargo_lock_digest.get(..12).map(str::to_owned)),
        ];
        let software = software.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
        // Behind a log of another tool nothing of it is known.
        let software = software.filter(|(_, version)| !version.is_empty());
        Self { software: software.collect(), ..Self::new(parts) }
    }

    /// Whether both are the same hardware under the same limits.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Takes in the software of another run on it: where the two differ, both are named.
    pub fn add_software(&mut self, other: &Self) {
        for (name, version) in &other.software {
            let known = self.software.entry(name.clone()).or_insert_with(|| version.clone());
            if !known.split(", ").any(|one| one == version) {
                known.push_str(&format!(", {version}"));
            }
        }
    }

    /// Refuses a fingerprint that is not that of the parts.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, origin: &str) -> Result<(), RegressError> {
        let computed = Self::new(self.parts.clone()).fingerprint;
        if computed == self.fingerprint {
            return Ok(());
        }
        Err(RegressError::Tampered {
            origin: origin.to_owned(),
            what: "machine fingerprint",
            stated: self.fingerprint.clone(),
            computed,
        })
    }

    /// The parts that differ, as "cpu: A, here B", in order of their names.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        differences(&self.parts, &other.parts, "here")
    }

    /// The software that differs, as "libtorch: A, then B", in order of its names.
    #[must_use]
    pub fn software_differences(&self, other: &Self) -> Vec<String> {
        differences(&self.software, &other.software, "then")
    }
}

/// What differs between two lists of named texts, as "name: A, `then` B".
pub(crate) fn differences(
    one: &BTreeMap<String, String>,
    other: &BTreeMap<String, String>,
    then: &str,
) -> Vec<String> {
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let part = |parts: &BTreeMap<String, String>, name: &String| {
        parts.get(name).cloned().unwrap_or_else(|| "unknown".to_owned())
    };
    names
        .into_iter()
        .map(|name| (name, part(one, name), part(other, name)))
        .filter(|(_, one, two)| one != two)
        .map(|(name, one, two)| format!("{name}: {one}, {then} {two}"))
        .collect()
}
