//! What a run descends from: the run whose weights it starts from, and the run whose model teaches
//! it. Both put the parent's order into the child's weights, so both make the child dependent on it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// One thing per way in which a run can descend from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parents<T> {
    /// The run whose weights are the start.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub from: Option<T>,
    /// The run whose model teaches.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub teacher: Option<T>,
}

/// What a record says of a parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ancestor {
    /// Cell id.
    pub cell: String,
    /// Digest of its final parameters and buffers.
    pub parameters: Digest,
    /// Hashes of the orders it consumed, and of those that its own ancestors did.
    pub order_hashes: Vec<Digest>,
}

/// The parents of a run.
pub type Lineage = Parents<Ancestor>;

impl<T> Default for Parents<T> {
    fn default() -> Self {
        Self { from: None, teacher: None }
    }
}

/// Serde asks for no `Default` of `T` this way.
fn none<T>() -> Option<T> {
    None
}

impl<T> Parents<T> {
    /// True for a run that starts afresh and learns from data alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from.is_none() && self.teacher.is_none()
    }

    /// The parents there are.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.from.iter().chain(&self.teacher)
    }

    /// The same parents, each as `look` sees it.
    #[must_use]
    pub fn map<U>(&self, look: impl Fn(&T) -> U) -> Parents<U> {
        Parents { from: self.from.as_ref().map(&look), teacher: self.teacher.as_ref().map(&look) }
    }

    /// The same parents, each as `look` sees it.
    ///
    /// # Errors
    /// The first error of `look`.
    pub fn try_map<U, E>(&self, mut look: impl FnMut(&T) -> Result<U, E>) -> Result<Parents<U>, E> {
        Ok(Parents {
            from: self.from.as_ref().map(&mut look).transpose()?,
            teacher: self.teacher.as_ref().map(&mut look).transpose()?,
        })
    }
}

impl<T> Parents<Option<T>> {
    /// The parents where each of them is known.
    #[must_use]
    pub fn complete(self) -> Option<Parents<T>> {
        let known = |parent: Option<Option<T>>| match parent {
            Some(None) => None,
            Some(Some(parent)) => Some(Some(parent)),
            None => Some(None),
        };
        Some(Parents { from: known(self.from)?, teacher: known(self.teacher)? })
    }
}

/// A cell of a suite, or of several seeds of it: `[workload/]arm[+k]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellName {
    /// Label of the workload; the one that is being looked at when there is none.
    pub workload: Option<String>,
    /// Label of the arm.
    pub arm: String,
    /// How many seeds ahead in the suite's list, around its end; 0 is the same seed.
    pub seeds_ahead: usize,
}

/// A parent as a suite names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A cell of the same suite.
    Cell(CellName),
    /// A run of the store: `run:` and its id.
    Run(String),
}

impl FromStr for CellName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A label may hold `/` and `+` inside its brackets.
        let bracket = text.find('[').unwrap_or(text.len());
        let (workload, rest) = match text[..bracket].split_once('/') {
            Some((workload, _)) => (Some(workload.to_owned()), &text[workload.len() + 1..]),
            None => (None, text),
        };
        let behind = rest.rfind(']').unwrap_or(0);
        let (arm, seeds_ahead) = match rest[behind..].rfind('+') {
            None => (rest, 0),
            Some(plus) => {
                let (arm, ahead) = rest.split_at(behind + plus);
                let ahead = ahead[1..].parse().map_err(|_| {
                    format!("\"{text}\": what follows + must be a number of seeds, as in sgd+1")
                })?;
                (arm, ahead)
            }
        };
        if arm.is_empty() || workload.as_deref() == Some("") {
            return Err(format!("\"{text}\" is not [workload/]arm, as in digits-mlp/sgd"));
        }
        Ok(Self { workload, arm: arm.to_owned(), seeds_ahead })
    }
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(workload) = &self.workload {
            write!(f, "{workload}/")?;
        }
        f.write_str(&self.arm)?;
        if self.seeds_ahead > 0 {
            write!(f, "+{}", self.seeds_ahead)?;
        }
        Ok(())
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("run:") {
            Some(id) => Ok(Self::Run(id.to_owned())),
            None => text.parse().map(Self::Cell),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cell(name) => name.fmt(f),
            Self::Run(id) => write!(f, "run:{id}"),
        }
    }
}

/// Written in suites as text.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(CellName, Origin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_name_is_read_as_it_is_written() {
        for (text, workload, arm, ahead) in [
            ("sgd", None, "sgd", 0),
            ("digits-mlp/sgd", Some("digits-mlp"), "sgd", 0),
            ("sgd+2", None, "sgd", 2),
            ("w/adam[lr=1e+3]+1", Some("w"), "adam[lr=1e+3]", 1),
            ("adam[path=a/b]", None, "adam[path=a/b]", 0),
        ] {
            let name: CellName = text.parse().unwrap();
            assert_eq!(
                (name.workload.as_deref(), name.arm.as_str(), name.seeds_ahead),
                (workload, arm, ahead)
            );
            assert_eq!(name.to_string(), text);
        }
        for wrong in ["", "/sgd", "w/", "sgd+x", "+1"] {
            assert!(wrong.parse::<CellName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_parent_is_a_cell_of_the_suite_or_a_run_of_the_store() {
        assert_eq!("run:0123".parse(), Ok(Origin::Run("0123".to_owned())));
        assert!(matches!("w/a".parse(), Ok(Origin::Cell(_))));
    }

    #[test]
    fn no_parents_are_written_as_nothing() {
        let none = Parents::<String>::default();
        assert_eq!(serde_json::to_string(&none).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Parents<String>>("{}").unwrap(), none);
    }
}
