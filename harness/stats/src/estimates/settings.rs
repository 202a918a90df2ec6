//! What is asked of an estimator, by a suite and by the command line alike.

use serde::{Deserialize, Serialize};

pub use super::results::Items;

/// Split whose loss is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldOut {
    /// The validation split.
    #[default]
    Validation,
    /// The test split.
    Test,
}

impl HeldOut {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split that is not this one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Validation => Self::Test,
            Self::Test => Self::Validation,
        }
    }
}

/// Which part of a run is put in other orders, and how the estimator is fitted to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitSettings {
    /// Steps at the end of the run; all of them without.
    pub last: Option<u64>,
    /// What an order moves as one piece.
    pub items: Items,
    /// How orders are estimated.
    pub estimator: String,
    /// Directions of the basis.
    pub directions: Option<u32>,
    /// True runs that centre and basis are made from.
    pub pilots: u32,
    /// True runs kept aside.
    pub gate: u32,
    /// Passes over the basis.
    pub passes: u32,
    /// Seed of pilots, gate and test orders.
    pub seed: u64,
    /// Split whose loss is predicted.
    pub held_out: HeldOut,
}
