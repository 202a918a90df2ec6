//! What a suite's author expects a claim to come to here.

use serde::{Deserialize, Serialize};

/// The verdict that a claim is expected to get: a paper's claim that fails here is a result too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// The claim holds here.
    Reproduced,
    /// The claim does not hold here.
    NotReproduced,
    /// These runs cannot tell.
    Inconclusive,
}

impl Expected {
    /// The verdict in the words of [`crate::summary::ClaimOutcome::verdict`].
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Inconclusive => "inconclusive",
        }
    }
}
