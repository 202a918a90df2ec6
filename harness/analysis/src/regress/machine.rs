//! The machine that times belong to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RegressError;
use ledger::digest::Digest;
use ledger::record::format::Environment;

/// What decides how fast a machine is, and a short name for all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The first 12 hexadecimal characters of SHA-256 over the canonical JSON of `parts`.
    pub fingerprint: String,
    /// Name and value of each part: `cpu`, `cpus`, `os`, …
    pub parts: BTreeMap<String, String>,
}

impl Machine {
    /// A machine of these parts.
    #[must_use]
    pub fn new(parts: BTreeMap<String, String>) -> Self {
        // A map of texts always has a canonical JSON.
        let fingerprint = Digest::of_json(&parts).map_or_else(|_| String::new(), |d| d.short(12));
        Self { fingerprint, parts }
    }

    /// The machine of a run, as far as its record tells, and what else is known of it (governor,
    /// memory, limits of a container).
    #[must_use]
    pub fn of(environment: &Environment, more: &BTreeMap<String, String>) -> Self {
        let mut parts = more.clone();
        let own = [
            ("cpu", Some(environment.cpu.clone())),
            ("cpus", Some(environment.cpus.to_string())),
            ("os", Some(environment.os.clone())),
            ("libtorch", Some(environment.libtorch.clone())),
            ("device", Some(environment.device.clone())),
            ("threads", Some(environment.threads.to_string())),
            ("gpu", environment.gpu.clone()),
            ("driver", environment.driver.clone()),
        ];
        parts.extend(own.into_iter().filter_map(|(name, part)| Some((name.to_owned(), part?))));
        Self::new(parts)
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
        let mut names: Vec<&String> = self.parts.keys().chain(other.parts.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let part = |machine: &Self, name: &String| {
            machine.parts.get(name).cloned().unwrap_or_else(|| "unknown".to_owned())
        };
        names
            .into_iter()
            .map(|name| (name, part(self, name), part(other, name)))
            .filter(|(_, one, two)| one != two)
            .map(|(name, one, two)| format!("{name}: {one}, here {two}"))
            .collect()
    }
}
