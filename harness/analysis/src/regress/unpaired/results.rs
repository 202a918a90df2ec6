//! One file of results: values by metric.

use std::collections::{BTreeMap, BTreeSet};

use crate::regress::RegressError;
use crate::regress::metric::{Class, MetricName, Value};
use crate::regress::snapshot::Snapshot;
use ledger::goal::Direction;

/// One metric of one side: values measured under like conditions, in no order that matters.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Which metric.
    pub name: MetricName,
    /// `time`, `quality` or `info`; what else there is needs seeds, which samples do not have.
    pub class: Class,
    /// Unit of the values.
    pub unit: String,
    /// Which way it improves; required but for `info`.
    pub direction: Option<Direction>,
    /// The smallest change that matters: a share for `time`, in the metric's own unit for `quality`.
    pub margin: Option<f64>,
    /// The value of a score that cannot be passed.
    pub best: Option<f64>,
    /// The values, at least one, all finite; times are positive.
    pub values: Vec<f64>,
}

/// One file of results.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// What was measured: two files of other names are not compared.
    pub suite: String,
    /// The commit measured, where the file tells.
    pub commit: Option<String>,
    /// Its metrics, each name once.
    pub samples: Vec<Sample>,
}

impl Results {
    /// Refuses what no test can take; `origin` names the file.
    ///
    /// # Errors
    /// When there is no metric, one is there twice, has no value, one that is not finite or a time that
    /// is not positive, lacks a direction or a unit, or has a class or margin that cannot be.
    pub fn check(&self, origin: &str) -> Result<(), RegressError> {
        if self.samples.is_empty() {
            return Err(RegressError::Empty { origin: origin.to_owned(), what: "metrics" });
        }
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            let (name, metric) = (&sample.name, sample.name.metric.clone());
            if !seen.insert(name) {
                let what = name.to_string();
                return Err(RegressError::Duplicate { origin: origin.to_owned(), what });
            }
            if let Some((value, wanted)) = sample.misfit() {
                let cell = format!("{:?} on {:?}", name.arm, name.workload);
                let origin = origin.to_owned();
                return Err(RegressError::Value { origin, cell, metric, value, wanted });
            }
        }
        Ok(())
    }

    /// The times of a snapshot, those of all seeds and rounds of an arm together; what was measured on a
    /// busy machine is left out.
    #[must_use]
    pub fn times_of(snapshot: &Snapshot) -> Self {
        let mut samples: BTreeMap<MetricName, Sample> = BTreeMap::new();
        for cell in &snapshot.cells {
            for metric in cell.metrics.iter().filter(|metric| metric.class == Class::Time) {
                let name = MetricName {
                    workload: cell.workload.clone(),
                    arm: cell.arm.clone(),
                    metric: metric.name.clone(),
                };
                let sample = samples.entry(name.clone()).or_insert_with(|| Sample {
                    name,
                    class: metric.class,
                    unit: metric.unit.clone(),
                    direction: metric.direction,
                    margin: metric.margin,
                    best: None,
                    values: Vec::new(),
                });
                // A metric of which nothing is left stays: it is one that cannot be judged.
                sample.values.extend(metric.value.number().filter(|_| !cell.disturbed));
            }
        }
        let (suite, commit) = (snapshot.suite.clone(), snapshot.commit.clone());
        Self { suite, commit, samples: samples.into_values().collect() }
    }

    /// The times of `snapshot` that some run of their arm on a quiet machine has no value of, as where a seed did
    /// not reach its target: how many runs lack it, and of how many.
    #[must_use]
    pub fn gaps(&self, snapshot: &Snapshot) -> BTreeMap<MetricName, (usize, usize)> {
        let mut quiet: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for cell in snapshot.cells.iter().filter(|cell| !cell.disturbed) {
            *quiet.entry((cell.workload.as_str(), cell.arm.as_str())).or_default() += 1;
        }
        let gap = |sample: &Sample| {
            let name = &sample.name;
            let runs = *quiet.get(&(name.workload.as_str(), name.arm.as_str()))?;
            let lacking = runs.saturating_sub(sample.values.len());
            (lacking > 0).then(|| (name.clone(), (lacking, runs)))
        };
        self.samples.iter().filter_map(gap).collect()
    }
}

impl Sample {
    /// What is wrong with it, and what it should be.
    fn misfit(&self) -> Option<(String, &'static str)> {
        let shown = |value: f64| Value::Number(value).to_string();
        if self.values.is_empty() {
            return Some(("without a value".to_owned(), "give at least one"));
        }
        if let Some(value) = self.values.iter().find(|value| !value.is_finite()) {
            return Some((shown(*value), "it must be finite"));
        }
        let time = self.class == Class::Time;
        if let Some(value) = self.values.iter().find(|value| time && **value <= 0.0) {
            return Some((shown(*value), "a time must be positive"));
        }
        let class = || format!("of class {}", self.class.name());
        if !matches!(self.class, Class::Time | Class::Quality | Class::Info) {
            return Some((class(), "values without seeds are of class time, quality or info"));
        }
        if self.class != Class::Info && self.direction.is_none() {
            return Some((class(), "it needs a direction"));
        }
        if self.unit.is_empty() || self.name.metric.is_empty() {
            return Some((class(), "it needs a name and a unit"));
        }
        if self.margin.is_some_and(|margin| !(margin > 0.0 && margin.is_finite())) {
            return Some((shown(self.margin.unwrap_or_default()), "a margin is a positive number"));
        }
        if self.best.is_some_and(|best| self.class != Class::Quality || !best.is_finite()) {
            return Some((class(), "only class quality takes a best value, a finite one"));
        }
        None
    }
}
