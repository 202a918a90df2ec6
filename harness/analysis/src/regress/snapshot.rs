//! One side of a comparison: what the cells of a suite measured on one machine. A reference file is
//! a snapshot that was kept.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::RegressError;
use super::machine::Machine;
use super::metric::{CellName, Class, Metric, Tolerance, Value};
use ledger::digest::Digest;

/// Version that this build writes and reads.
pub const SNAPSHOT_VERSION: u32 = 2;
const WHAT: &str = "reference file";

/// What one run of one cell measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Label of the workload.
    pub workload: String,
    /// Label of the arm.
    pub arm: String,
    /// The seed as the user gave it.
    pub seed: String,
    /// Which interleaved round, from 0. Rounds of one seed are pairs of times, never more seeds.
    pub round: u32,
    /// Digest of everything the suite sets in this cell but its seed; not of the code.
    pub config: Digest,
    /// Digest of the code that decides the cell, where its record tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The message of a run that failed; it has no metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// The machine was busier than its cores: the times are not to be trusted.
    #[serde(default)]
    pub disturbed: bool,
    /// The metrics.
    pub metrics: Vec<Metric>,
}

impl Cell {
    /// Which cell it is.
    #[must_use]
    pub fn name(&self) -> CellName {
        CellName { workload: self.workload.clone(), arm: self.arm.clone(), seed: self.seed.clone() }
    }
}

/// One side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// [`SNAPSHOT_VERSION`].
    pub version: u32,
    /// Name of the suite.
    pub suite: String,
    /// Digest of names and configs of all cells: two snapshots with one hash ran the same things.
    pub config_hash: Digest,
    /// The machine.
    pub machine: Machine,
    /// The commit measured, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// An id shared by two sides that took turns in one session; times of different sessions are
    /// not pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The cells, sorted by workload, arm, seed and round.
    pub cells: Vec<Cell>,
}

impl Snapshot {
    /// A snapshot of these cells, sorted and checked.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn new(
        suite: String,
        machine: Machine,
        commit: Option<String>,
        session: Option<String>,
        mut cells: Vec<Cell>,
    ) -> Result<Self, RegressError> {
        cells.sort_by_key(|cell| (cell.name(), cell.round));
        let config_hash = config_hash(&cells);
        let version = SNAPSHOT_VERSION;
        let snapshot = Self { version, suite, config_hash, machine, commit, session, cells };
        snapshot.check("the measurement")?;
        Ok(snapshot)
    }

    /// Reads a reference file; `origin` names it in errors.
    ///
    /// # Errors
    /// When it is not JSON of this form and version, a fingerprint or hash does not fit its
    /// content, a cell or metric is there twice, a metric has two units, classes or directions, or
    /// a value is none that its class takes (NaN and infinities never are).
    pub fn parse(text: &str, origin: &str) -> Result<Self, RegressError> {
        check_version(text, origin, WHAT, SNAPSHOT_VERSION)?;
        let snapshot: Self = serde_json::from_str(text).map_err(|error| form(origin, &error))?;
        snapshot.check(origin)?;
        Ok(snapshot)
    }

    /// The reference file: JSON that people can read, ending with a line break.
    ///
    /// # Errors
    /// When a number is not finite.
    pub fn to_json(&self) -> Result<String, RegressError> {
        let origin = "the measurement";
        self.check(origin)?;
        let json = serde_json::to_string_pretty(self).map_err(|error| form(origin, &error))?;
        Ok(json + "\n")
    }

    fn check(&self, origin: &str) -> Result<(), RegressError> {
        self.machine.check(origin)?;
        if self.cells.is_empty() {
            return Err(RegressError::Empty { origin: origin.to_owned(), what: "cells" });
        }
        let computed = config_hash(&self.cells);
        if computed != self.config_hash {
            return Err(RegressError::Tampered {
                origin: origin.to_owned(),
                what: "config hash",
                stated: self.config_hash.to_string(),
                computed: computed.to_string(),
            });
        }
        let mut configs: BTreeMap<CellName, Digest> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for cell in &self.cells {
            let name = cell.name();
            if !seen.insert((name.clone(), cell.round)) {
                let what = format!("{name}, round {},", cell.round);
                return Err(RegressError::Duplicate { origin: origin.to_owned(), what });
            }
            if *configs.entry(name.clone()).or_insert(cell.config) != cell.config {
                let (origin, cell) = (origin.to_owned(), name.to_string());
                return Err(RegressError::TwoConfigs { origin, cell });
            }
            check_cell(cell, &name, origin)?;
        }
        super::align::check_definitions(self)
    }
}

/// Reads the version before anything else, so that a newer file is told from a broken one.
pub(super) fn check_version(
    text: &str,
    origin: &str,
    what: &'static str,
    known: u32,
) -> Result<(), RegressError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let Versioned { version: found } = serde_json::from_str(text).map_err(|error| {
        RegressError::Form { origin: origin.to_owned(), what, reason: error.to_string() }
    })?;
    if found == u64::from(known) {
        return Ok(());
    }
    Err(RegressError::Version { origin: origin.to_owned(), what, found, known })
}

fn form(origin: &str, error: &serde_json::Error) -> RegressError {
    RegressError::Form { origin: origin.to_owned(), what: WHAT, reason: error.to_string() }
}

fn config_hash(cells: &[Cell]) -> Digest {
    let names: BTreeSet<(CellName, Digest)> =
        cells.iter().map(|cell| (cell.name(), cell.config)).collect();
    let mut text = String::new();
    for (CellName { workload, arm, seed }, config) in names {
        // Debug quotes and escapes: no name can pose as two.
        text.push_str(&format!("{workload:?} {arm:?} {seed:?} {config}\n"));
    }
    Digest::of(text.as_bytes())
}

fn check_cell(cell: &Cell, name: &CellName, origin: &str) -> Result<(), RegressError> {
    let mut seen = BTreeSet::new();
    for metric in &cell.metrics {
        if !seen.insert(&metric.name) {
            let what = format!("metric {:?} of {name}", metric.name);
            return Err(RegressError::Duplicate { origin: origin.to_owned(), what });
        }
        if let Some((value, wanted)) = misfit(metric) {
            return Err(RegressError::Value {
                origin: origin.to_owned(),
                cell: name.to_string(),
                metric: metric.name.clone(),
                value,
                wanted,
            });
        }
    }
    Ok(())
}

/// What is wrong with a metric, and what it should be.
fn misfit(metric: &Metric) -> Option<(String, &'static str)> {
    let number = metric.value.number();
    let shown = metric.value.to_string();
    let tested = matches!(metric.class, Class::Time | Class::Quality | Class::Ulp);
    if number.is_some_and(|number| !number.is_finite()) {
        return Some((shown, "it must be finite"));
    }
    if tested && number.is_none() {
        return Some((shown, "it must be a number"));
    }
    if metric.class == Class::Time && number.is_some_and(|number| number <= 0.0) {
        return Some((shown, "a time must be positive"));
    }
    if tested && metric.direction.is_none() {
        return Some((shown, "it needs a direction: higher-is-better or lower-is-better"));
    }
    if metric.unit.is_empty() {
        return Some((shown, "it needs a unit"));
    }
    if metric.class != Class::Ulp && metric.tolerance.is_some() {
        return Some((shown, "only class ulp takes a tolerance"));
    }
    if let Some(Tolerance::Relative(share)) = metric.tolerance
        && !(0.0..1.0).contains(&share)
    {
        return Some((format!("tolerant to {share}"), "a relative tolerance is from 0 to 1"));
    }
    let marginal = matches!(metric.class, Class::Time | Class::Quality);
    if metric.margin.is_some_and(|margin| !(marginal && margin > 0.0 && margin.is_finite())) {
        let margin = metric.margin.unwrap_or_default();
        let wanted = "a margin is a positive number, of class time or quality only";
        return Some((format!("given the margin {margin}"), wanted));
    }
    if metric.best.is_some_and(|best| metric.class != Class::Quality || !best.is_finite()) {
        return Some((shown, "only class quality takes a best value, a finite one"));
    }
    if metric.name.is_empty() {
        return Some((Value::Text(String::new()).to_string(), "it needs a name"));
    }
    None
}
