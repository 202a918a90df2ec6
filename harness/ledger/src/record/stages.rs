//! Stages of a run as its record lists them, each with the digest of what it left.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;

/// The fact that lists them.
pub const STAGES: &str = "stages";

/// One stage. Those of the run itself have a first and a last step; those made before its first one, for
/// every run that needs the same, say what they took instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageEntry {
    /// What the method calls it.
    pub name: String,
    /// Its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Steps>,
    /// What it took, where it is no part of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// Digest of the parameters and buffers that it started from.
    pub from: Digest,
    /// Digest of those that it left: what would be kept if the run ended there.
    pub parameters_sha256: Digest,
}

/// Steps of a run, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// What a stage took that is on no clock of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Steps.
    pub steps: u64,
    /// Samples.
    pub samples: u64,
}

/// The list in the form that it has among facts, from there.
///
/// # Errors
/// When the fact is not such a list.
pub fn read(fact: &Value) -> Result<Vec<StageEntry>, String> {
    Vec::deserialize(fact).map_err(|error| format!("the fact {STAGES}: {error}"))
}

/// Holds a list to what it can be: stages of the run follow each other from step 0 to its end, each from the
/// weights that the one before it left, and the last left those of the run.
///
/// # Errors
/// What does not fit, in words.
pub fn check(list: &[StageEntry], steps: u64, parameters: Option<Digest>) -> Result<(), String> {
    let mut before: Option<&StageEntry> = None;
    let mut next = 0;
    for entry in list {
        let name = &entry.name;
        let taken = match (entry.steps, entry.made) {
            (Some(taken), None) => taken,
            (None, Some(_)) if before.is_none() => continue,
            (None, Some(_)) => return Err(format!("stage {name} was made after the run began")),
            _ => {
                return Err(format!("stage {name} has either steps of the run or steps before it"));
            }
        };
        if taken.first != next || taken.last < taken.first {
            return Err(format!(
                "stage {name} goes from step {} to {}, but begins at {next}",
                taken.first, taken.last
            ));
        }
        if let Some(before) = before
            && before.parameters_sha256 != entry.from
        {
            return Err(format!("stage {name} does not start from what {} left", before.name));
        }
        (before, next) = (Some(entry), taken.last + 1);
    }
    if next != steps {
        return Err(format!("stages have {next} steps, but the run {steps}"));
    }
    match before {
        Some(last) if Some(last.parameters_sha256) != parameters => {
            Err(format!("stage {} did not leave the parameters of the run", last.name))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn steps(first: u64, last: u64) -> Option<Steps> {
        Some(Steps { first, last })
    }

    type Change = dyn Fn(&mut Vec<StageEntry>);

    /// A teacher, then two stages of three steps.
    fn list() -> Vec<StageEntry> {
        let entry = |name: &str, from: &str, left: &str| StageEntry {
            name: name.to_owned(),
            steps: None,
            made: None,
            from: digest(from),
            parameters_sha256: digest(left),
        };
        let made = Some(Made { steps: 9, samples: 18 });
        vec![
            StageEntry { made, ..entry("teacher", "t0", "t1") },
            StageEntry { steps: steps(0, 2), ..entry("fixed", "s0", "s1") },
            StageEntry { steps: steps(3, 5), ..entry("native", "s1", "s2") },
        ]
    }

    #[test]
    fn a_list_goes_through_facts_and_is_held_to_the_run() {
        let fact = serde_json::to_value(list()).unwrap();
        assert_eq!(read(&fact).unwrap(), list());
        assert!(fact[0].get("steps").is_none() && fact[1].get("made").is_none());
        assert_eq!(check(&list(), 6, Some(digest("s2"))), Ok(()));
    }

    #[test]
    fn whatever_does_not_fit_is_told() {
        let told = |change: &Change| {
            let mut list = list();
            change(&mut list);
            check(&list, 6, Some(digest("s2"))).unwrap_err()
        };
        let changes: [(&str, &Change); 8] = [
            ("but begins at 3", &|list| list[2].steps = steps(4, 5)),
            ("but begins at 0", &|list| drop(list.remove(1))),
            ("have 5 steps, but the run 6", &|list| list[2].steps = steps(3, 4)),
            ("does not start from what fixed left", &|list| {
                list[1].parameters_sha256 = digest("x")
            }),
            ("did not leave the parameters", &|list| list[2].parameters_sha256 = digest("x")),
            ("either steps of the run", &|list| list[1].made = Some(Made { steps: 1, samples: 1 })),
            ("either steps of the run", &|list| list[0].made = None),
            ("after the run began", &|list| list.rotate_left(1)),
        ];
        for (text, change) in changes {
            let found = told(change);
            assert!(found.contains(text), "{found}");
        }
        assert!(read(&serde_json::json!([{"name": "fixed"}])).unwrap_err().contains("stages"));
    }
}
