//! The frozen file beside a suite: which settings were chosen, and all that was tried for it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::suite::{Halving, On, Side, Space};
use ledger::digest::Digest;
use ledger::settings::Values;

/// Version of the file.
const VERSION: u32 = 1;

/// What `palimpsest tune` found for a suite.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tuned {
    /// Version of the file.
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// The day it was made, UTC.
    pub date: String,
    /// What chose: `samples-to-target` or a metric.
    pub choose: String,
    /// The split that was looked at.
    pub on: On,
    /// Whether more of what chose is better.
    pub higher_is_better: bool,
    /// Seeds of every trial.
    pub seeds: Vec<u64>,
    /// How trials ended early, where they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halving: Option<Halving>,
    /// One entry per tuned arm, in the suite's order.
    pub arms: Vec<TunedArm>,
    /// SHA-256 of the canonical JSON of all above.
    pub digest: String,
}

/// The sweep behind one arm.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TunedArm {
    /// Label of the arm.
    pub arm: String,
    /// Digest of all that decides its trials: arm, workloads and the suite's `tuning`.
    pub definition: String,
    /// The chosen settings: those of the best trial.
    pub chosen: Values,
    /// The spaces that were tried: the suite's, then those of each widening.
    pub rounds: Vec<BTreeMap<String, Space>>,
    /// Settings whose chosen value no trial lies beyond.
    pub edges: Vec<Edge>,
    /// All trials.
    pub trials: Vec<Trial>,
}

/// A setting that is best at an end of what was tried.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// The setting.
    pub setting: String,
    /// At which end.
    pub side: Side,
}

/// One trial of an arm, over its workloads and seeds.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The tuned settings.
    pub settings: Values,
    /// Index into the rounds.
    pub round: usize,
    /// Share of the budget that it had; below 1 where halving ended it early.
    pub share: f64,
    /// What chose, workload by workload and seed by seed; none where the target was not reached, or the
    /// run diverged.
    pub values: Vec<Option<f64>>,
    /// Their mean. Of samples the geometric one, where a run that did not reach the target counts twice
    /// its budget; of a metric none where a run diverged.
    pub value: Option<f64>,
    /// Mean of the target's metric at the end, oriented so that more is better: decides between equal
    /// values. None where a run diverged.
    pub last: Option<f64>,
    /// Samples that all its runs consumed.
    pub samples: u64,
    /// Train seconds that all its runs took.
    pub seconds: f64,
}

/// Why a frozen file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TunedError {
    /// Not YAML, or not the shape of such a file.
    #[error("{file} cannot be read: {reason}; `palimpsest tune {suite}` makes it again")]
    Unreadable {
        /// The file.
        file: String,
        /// The suite to tune.
        suite: String,
        /// What is wrong.
        reason: String,
    },
    /// Written by a later version.
    #[error(
        "{file} is of version {found}, but this build reads up to {VERSION}; update Palimpsest"
    )]
    Newer {
        /// The file.
        file: String,
        /// Version found.
        found: u32,
    },
    /// Its digest is not that of its content.
    #[error(
        "{file} was edited: its digest is not that of its content; `palimpsest tune {suite}` makes it again"
    )]
    Edited {
        /// The file.
        file: String,
        /// The suite to tune.
        suite: String,
    },
}

impl Trial {
    /// Which of two trials is better: the one with more of the budget, then the better value, then the
    /// better end. `Less` means that `self` is.
    #[must_use]
    pub fn order(&self, other: &Self, higher_is_better: bool) -> Ordering {
        let value = |trial: &Self| match trial.value {
            Some(value) if higher_is_better => -value,
            Some(value) => value,
            None => f64::INFINITY,
        };
        let end = |trial: &Self| trial.last.map_or(f64::INFINITY, |last| -last);
        other
            .share
            .total_cmp(&self.share)
            .then(value(self).total_cmp(&value(other)))
            .then(end(self).total_cmp(&end(other)))
    }
}

impl TunedArm {
    /// The best trial; the earlier of equal ones.
    #[must_use]
    pub fn best(&self, higher_is_better: bool) -> Option<&Trial> {
        self.trials.iter().min_by(|a, b| a.order(b, higher_is_better))
    }

    /// The settings whose chosen value no trial lies beyond.
    #[must_use]
    pub fn at_edges(
        chosen: &Values,
        spaces: &BTreeMap<String, Space>,
        trials: &[Trial],
    ) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (setting, _) in spaces.iter().filter(|(_, space)| space.is_ordered()) {
            let number = |values: &Values| values.get(setting).and_then(serde_json::Value::as_f64);
            let Some(own) = number(chosen) else { continue };
            let beyond = |side: Side| {
                trials.iter().filter_map(|trial| number(&trial.settings)).any(|other| match side {
                    Side::Low => other < own,
                    Side::High => other > own,
                })
            };
            let open = [Side::Low, Side::High].into_iter().filter(|side| !beyond(*side));
            edges.extend(open.map(|side| Edge { setting: setting.clone(), side }));
        }
        edges
    }
}

impl Tuned {
    /// The version that this build writes.
    pub const VERSION: u32 = VERSION;

    /// How many trials the settings of an arm were chosen from; none where the suite fixes them.
    #[must_use]
    pub fn trials_of(&self, arm: &str) -> Option<usize> {
        self.arm(arm).map(|arm| arm.trials.len())
    }

    /// The sweep behind an arm.
    #[must_use]
    pub fn arm(&self, label: &str) -> Option<&TunedArm> {
        self.arms.iter().find(|arm| arm.arm == label)
    }

    /// The same with its digest.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn sealed(self) -> Result<Self, serde_json::Error> {
        let digest = self.content()?;
        Ok(Self { digest, ..self })
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        let bare = Self { digest: String::new(), ..self.clone() };
        Ok(Digest::of_json(&bare)?.to_string())
    }

    /// Reads a frozen file and holds it to its digest; `suite` is what to tune again, for messages.
    ///
    /// # Errors
    /// When it is damaged, newer, or was edited.
    pub fn parse(file: &str, suite: &str, text: &str) -> Result<Self, TunedError> {
        let (file, suite) = (file.to_owned(), suite.to_owned());
        let tuned: Self = crate::yaml::from_str(text).map_err(|error| TunedError::Unreadable {
            file: file.clone(),
            suite: suite.clone(),
            reason: error.to_string(),
        })?;
        if tuned.version > VERSION {
            return Err(TunedError::Newer { file, found: tuned.version });
        }
        let as_written = tuned.content().is_ok_and(|content| content == tuned.digest);
        let chosen = |arm: &TunedArm| {
            arm.best(tuned.higher_is_better).is_some_and(|best| best.settings == arm.chosen)
        };
        if as_written && tuned.arms.iter().all(chosen) {
            Ok(tuned)
        } else {
            Err(TunedError::Edited { file, suite })
        }
    }

    /// The file's text: YAML, one line per trial.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        let line = serde_json::to_string::<serde_json::Value>;
        let json =
            |value: serde_json::Result<serde_json::Value>| value.and_then(|value| line(&value));
        let mut text = format!(
            "# Settings chosen by `palimpsest tune {}`. Not to be edited: `palimpsest run` holds this file to the\n\
             # suite and to its digest. docs/suites.md says what the fields mean.\n",
            self.suite
        );
        let mut put = |indent: &str, key: &str, value: String| {
            let _ = writeln!(text, "{indent}{key}: {value}");
        };
        put("", "version", self.version.to_string());
        put("", "suite", json(serde_json::to_value(&self.suite))?);
        put("", "date", json(serde_json::to_value(&self.date))?);
        put("", "choose", json(serde_json::to_value(&self.choose))?);
        put("", "on", json(serde_json::to_value(self.on))?);
        put("", "higher_is_better", self.higher_is_better.to_string());
        put("", "seeds", json(serde_json::to_value(&self.seeds))?);
        if let Some(halving) = self.halving {
            put("", "halving", json(serde_json::to_value(halving))?);
        }
        text.push_str("arms:\n");
        for arm in &self.arms {
            let mut put = |indent: &str, key: &str, value: String| {
                let _ = writeln!(text, "  {indent}{key}: {value}");
            };
            put("- ", "arm", json(serde_json::to_value(&arm.arm))?);
            put("  ", "definition", json(serde_json::to_value(&arm.definition))?);
            put("  ", "chosen", json(serde_json::to_value(&arm.chosen))?);
            put("  ", "edges", json(serde_json::to_value(&arm.edges))?);
            text.push_str("    rounds:\n");
            for round in &arm.rounds {
                let _ = writeln!(text, "      - {}", serde_json::to_string(round)?);
            }
            text.push_str("    trials:\n");
            for trial in &arm.trials {
                let _ = writeln!(text, "      - {}", serde_json::to_string(trial)?);
            }
        }
        let _ = writeln!(text, "digest: {}", serde_json::to_string(&self.digest)?);
        Ok(text)
    }
}

#[cfg(test)]
#[path = "tuned/tests.rs"]
mod tests;
