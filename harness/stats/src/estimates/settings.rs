//! What is asked of an estimator, by a suite and by the command line alike.

use std::str::FromStr;

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

/// Whose loss is predicted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The whole split's mean.
    #[default]
    Split,
    /// The mean over the split's examples of this group.
    Domain(String),
    /// The mean over these training examples, as what is remembered of them.
    Examples(Vec<u32>),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "\"{text}\" names no target: use domain:NAME (a group of the held-out split) or \
                 examples:ID,ID,… (training examples)"
            )
        };
        match text.split_once(':') {
            Some(("domain", name)) if !name.is_empty() => Ok(Self::Domain(name.to_owned())),
            Some(("examples", ids)) => {
                let ids: Result<Vec<u32>, _> = ids.split(',').map(|id| id.trim().parse()).collect();
                ids.map(Self::Examples).map_err(|_| refused())
            }
            _ => Err(refused()),
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
    /// Centres along the window.
    pub centres: u32,
    /// Seed of pilots, gate and test orders.
    pub seed: u64,
    /// Split whose loss is predicted.
    pub held_out: HeldOut,
    /// Which loss on it.
    pub target: Target,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_group_or_training_examples_and_nothing_else() {
        let read = |text: &str| text.parse::<Target>();
        assert_eq!(read("domain:2"), Ok(Target::Domain("2".to_owned())));
        assert_eq!(read("examples:5, 9"), Ok(Target::Examples(vec![5, 9])));
        for text in ["", "domain:", "domain", "examples:", "examples:-1", "examples:1,,2", "test"] {
            assert!(read(text).unwrap_err().contains("domain:NAME"), "{text}");
        }
    }
}
