//! What the gate concludes: plain data that every format is drawn from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metric::{CellName, Class, MetricName, Value};
use super::rule::Rule;
use ledger::goal::Direction;
use stats::interval::Interval;
use stats::verdict::Scale;

/// Version of the JSON form of [`Report`].
pub const REPORT_VERSION: u32 = 2;

/// What became of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Worse: an exact metric changed, or a tested one passed every part of the rule.
    Regressed,
    /// Better, by the same rule.
    Improved,
    /// In the reference, not in the head.
    Missing,
    /// Measured on another machine: no verdict.
    EnvironmentChanged,
    /// Neither a change nor its absence is shown.
    Inconclusive,
    /// In the head, not in the reference.
    New,
    /// Shown to be equal (`exact`, `ulp`) or equivalent within the margin.
    Same,
}

impl Verdict {
    /// Every verdict, the most urgent first.
    pub const ALL: [Self; 7] = [
        Self::Regressed,
        Self::Improved,
        Self::Missing,
        Self::EnvironmentChanged,
        Self::Inconclusive,
        Self::New,
        Self::Same,
    ];

    /// The name used in files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Regressed => "regressed",
            Self::Improved => "improved",
            Self::Missing => "missing",
            Self::EnvironmentChanged => "environment-changed",
            Self::Inconclusive => "inconclusive",
            Self::New => "new",
            Self::Same => "same",
        }
    }
}

/// A measured change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// `log-ratio`: head / base; `difference`: head - base.
    pub scale: Scale,
    /// The change.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
}

/// What a fresh second round said of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Whether it raised the alarm too.
    pub agrees: bool,
    /// Its change; `None` where it could not be measured.
    pub effect: Option<Effect>,
    /// Its adjusted p.
    pub q: Option<f64>,
    /// Its pairs.
    pub pairs: usize,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Which metric.
    pub name: MetricName,
    /// How it is compared.
    pub class: Class,
    /// Unit of `base` and `head`.
    pub unit: String,
    /// Which way it improves.
    pub direction: Option<Direction>,
    /// What became of it.
    pub verdict: Verdict,
    /// False where the rule could not be applied at all: no floor, one pair, another machine.
    pub judged: bool,
    /// The verdict's reason, in words.
    pub reason: String,
    /// The base: the geometric mean of times, the mean of scores, or the (first differing) value.
    pub base: Option<Value>,
    /// The head, likewise.
    pub head: Option<Value>,
    /// The change of a tested metric.
    pub effect: Option<Effect>,
    /// One-sided p of the side the change is on.
    pub p: Option<f64>,
    /// That p adjusted over all tested metrics.
    pub q: Option<f64>,
    /// Pairs behind it.
    pub pairs: usize,
    /// The change that it had to exceed: the margin, or the noise floor where that is larger.
    pub threshold: Option<f64>,
    /// A/A noise floor of a time, as a share.
    pub floor: Option<f64>,
    /// What the second round said.
    pub confirmation: Option<Confirmation>,
    /// Why it does not fail the gate: accepted with a reason, or in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused: Option<String>,
}

/// A metric that is shown only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfoRow {
    /// Which metric.
    pub name: MetricName,
    /// Unit of both.
    pub unit: String,
    /// The first value of the base.
    pub base: Option<Value>,
    /// The first value of the head.
    pub head: Option<Value>,
}

/// A run of the head that crashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The cell.
    pub cell: CellName,
    /// Its message.
    pub message: String,
    /// Why it does not fail the gate: its arm is in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused: Option<String>,
}

/// The noise floor that was used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloorSummary {
    /// Median over metrics of the floor, as a share.
    pub median: f64,
    /// Alarms when the machine was compared with itself.
    pub alarms: u64,
    /// Comparisons of that.
    pub comparisons: u64,
}

/// Everything the gate concludes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The suite.
    pub suite: String,
    /// Commit of the base.
    pub base_commit: Option<String>,
    /// Commit of the head.
    pub head_commit: Option<String>,
    /// Fingerprint of the base's machine.
    pub base_machine: String,
    /// Fingerprint of the head's machine.
    pub head_machine: String,
    /// Ids of the sessions in which both sides took turns, first and second round.
    pub sessions: Vec<String>,
    /// The rule.
    pub rule: Rule,
    /// One row per metric that is judged, in order of names.
    pub rows: Vec<Row>,
    /// Metrics that are shown only.
    pub info: Vec<InfoRow>,
    /// Runs of the head that crashed.
    pub failures: Vec<Failure>,
    /// The noise floor, where there is one.
    pub floor: Option<FloorSummary>,
    /// Why no comparison took place, where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncompared: Option<String>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

impl Report {
    /// The report of a gate that compared nothing.
    #[must_use]
    pub fn blank(suite: String) -> Self {
        Self {
            version: REPORT_VERSION,
            suite,
            base_commit: None,
            head_commit: None,
            base_machine: String::new(),
            head_machine: String::new(),
            sessions: Vec::new(),
            rule: Rule::default(),
            rows: Vec::new(),
            info: Vec::new(),
            failures: Vec::new(),
            floor: None,
            uncompared: None,
            notes: Vec::new(),
        }
    }

    /// How many metrics have each verdict; a verdict without any has no entry.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(row.verdict).or_default() += 1;
        }
        counts
    }

    /// Rows that a reader looks at: all but `same`, `new` and what was judged inconclusive.
    pub fn changed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| match row.verdict {
            Verdict::Same | Verdict::New => false,
            Verdict::Inconclusive => !row.judged,
            _ => true,
        })
    }

    /// Whether there is anything that nobody knows yet: a changed row, a failed run.
    #[must_use]
    pub fn tells_something(&self) -> bool {
        !self.failures.is_empty() || self.uncompared.is_some() || self.changed().next().is_some()
    }

    /// 1: something regressed; 4: runs of the head crashed; 3: something could not be judged, or
    /// nothing was compared; 0: fine. What is excused counts nowhere.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let counting = || self.rows.iter().filter(|row| row.excused.is_none());
        if counting().any(|row| row.verdict == Verdict::Regressed) {
            1
        } else if self.failures.iter().any(|failure| failure.excused.is_none()) {
            4
        } else if self.uncompared.is_some()
            || self.rows.is_empty()
            || counting().any(|row| !row.judged)
        {
            3
        } else {
            0
        }
    }
}
