//! The private half of a promise: the seeds behind commitments that were printed, kept by whoever will
//! train until the runs show them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use ledger::digest::Digest;
use ledger::plain;
use ledger::record::writer::write_new;
use ledger::seed::{Randomness, Seed, parse_beacon_source};

/// Version that this build writes and reads.
const VERSION: u32 = 1;

/// Seeds that a suite's cells were promised under.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// Version of the file.
    version: u32,
    /// The suite.
    pub suite: String,
    /// Source and round of the public randomness to come, where one was promised.
    pub beacon_source: Option<String>,
    /// One per seed of the suite.
    seeds: Vec<Hidden>,
}

/// One seed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hidden {
    /// The suite's number of it.
    number: u64,
    seed: Digest,
    nonce: Digest,
}

/// Why a promise cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum PromiseError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// The file system's answer.
        source: std::io::Error,
    },
    /// Not a promise.
    #[error(
        "{path} is not a promise, as `palimpsest commit --attested --promise FILE` writes it: {reason}"
    )]
    NotOne {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A seed of the suite that was not promised.
    #[error("{path} promises no seed {number}; it holds {held}")]
    NoSuchSeed {
        /// The file.
        path: String,
        /// The suite's number of the seed.
        number: u64,
        /// Those that it holds.
        held: String,
    },
}

/// Shows no seed.
impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promise").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Promise {
    /// A promise of seeds by the suite's numbers of them.
    #[must_use]
    pub fn of(suite: &str, beacon_source: Option<String>, seeds: &[(u64, Seed)]) -> Self {
        let hidden = |(number, seed): &(u64, Seed)| Hidden {
            number: *number,
            seed: Digest(seed.bytes),
            nonce: Digest(seed.nonce),
        };
        Self {
            version: VERSION,
            suite: suite.to_owned(),
            beacon_source,
            seeds: seeds.iter().map(hidden).collect(),
        }
    }

    /// Writes it where nothing is yet, readable by nobody else.
    ///
    /// # Errors
    /// When there is a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), PromiseError> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| PromiseError::NotOne {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        write_new(path, &text, 0o600).map_err(|source| PromiseError::Io {
            action: "write",
            path: path.display().to_string(),
            source,
        })
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, PromiseError> {
        let shown = || path.display().to_string();
        let text = plain::read(path).map_err(|source| PromiseError::Io {
            action: "read",
            path: shown(),
            source,
        })?;
        let refuse = |reason: String| PromiseError::NotOne { path: shown(), reason };
        let promise: Self =
            serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
        if promise.version != VERSION {
            return Err(refuse(format!("version {}, not {VERSION}", promise.version)));
        }
        if let Some(source) = &promise.beacon_source {
            parse_beacon_source(source).map_err(refuse)?;
        }
        Ok(promise)
    }

    /// The promised seed of this number, without a beacon.
    ///
    /// # Errors
    /// When none was promised.
    pub fn seed(&self, number: u64, path: &Path) -> Result<Seed, PromiseError> {
        let hidden = self.seeds.iter().find(|hidden| hidden.number == number);
        let hidden = hidden.ok_or_else(|| {
            let held: Vec<_> = self.seeds.iter().map(|hidden| hidden.number.to_string()).collect();
            PromiseError::NoSuchSeed {
                path: path.display().to_string(),
                number,
                held: held.join(", "),
            }
        })?;
        Ok(Seed {
            bytes: hidden.seed.0,
            nonce: hidden.nonce.0,
            randomness: Randomness::Os,
            beacon: None,
            beacon_source: self.beacon_source.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise() -> Promise {
        let seed = |at: u8| Seed {
            bytes: [at; 32],
            nonce: [at + 1; 32],
            randomness: Randomness::Os,
            ..Seed::from_integer(0)
        };
        Promise::of("s", Some("drand, round 7".to_owned()), &[(0, seed(1)), (4, seed(3))])
    }

    #[test]
    fn a_promise_is_kept_to_itself_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("promise.json");
        promise().write(&path).unwrap();
        let read = Promise::read(&path).unwrap();
        assert_eq!(read, promise());
        let seed = read.seed(4, &path).unwrap();
        assert_eq!((seed.bytes, seed.nonce), ([3; 32], [4; 32]));
        assert_eq!(seed.beacon_source.as_deref(), Some("drand, round 7"));
        let error = read.seed(2, &path).unwrap_err().to_string();
        assert!(error.ends_with("promises no seed 2; it holds 0, 4"), "{error}");
        assert!(!format!("{read:?}").contains("0303"), "{read:?}");
        // It is never written over: the seeds behind a published promise would be lost.
        assert!(promise().write(&path).is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_no_promise_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("promise.json");
        for (text, reason) in [
            ("{}", "missing field"),
            (r#"{"version":9,"suite":"s","beacon_source":null,"seeds":[]}"#, "version 9"),
            (r#"{"version":1,"suite":"s","beacon_source":"a\nb","seeds":[]}"#, "printable ASCII"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Promise::read(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
