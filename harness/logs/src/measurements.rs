//! Results of benchmarks that other tools have written, as measurements: a name, a unit, which way is
//! better, and what was measured. For the gate and its history.
//!
//! | form | from |
//! | --- | --- |
//! | `bmf` | Bencher Metric Format: a map of benchmarks, each a map of measures with a `value` |
//! | `pytest-benchmark` | `pytest --benchmark-json=FILE` |
//! | `asv` | a results file of airspeed velocity, `results/MACHINE/COMMIT-ENVIRONMENT.json` |

mod asv;
mod bmf;
mod pytest_benchmark;

use std::collections::{BTreeMap, BTreeSet};

use ledger::goal::Direction;

use crate::json;
use crate::wrong::{Wrong, listed, shown};

/// Most bytes of a file.
pub const MOST_BYTES: u64 = 256 << 20;

/// A form that results have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Bencher Metric Format.
    Bmf,
    /// pytest-benchmark.
    PytestBenchmark,
    /// Airspeed velocity.
    Asv,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bmf, Self::PytestBenchmark, Self::Asv];

    /// The name in options and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bmf => "bmf",
            Self::PytestBenchmark => "pytest-benchmark",
            Self::Asv => "asv",
        }
    }
}

/// One thing that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The benchmark, with its parameters, then `/` and the measure where a benchmark has several.
    pub name: String,
    /// Unit: `s`, `ns`, `bytes`; `1` where the file does not say.
    pub unit: String,
    /// Which way it improves; none where neither the file nor its format says.
    pub better: Option<Direction>,
    /// What was measured: the samples, where the file has them, else the one value. Finite, never empty.
    pub samples: Vec<f64>,
}

impl Measurement {
    /// The median of the samples.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
        match (sorted.get(low), sorted.get(high)) {
            // Halves, because the sum of two finite numbers can exceed the range of f64.
            (Some(low), Some(high)) => low * 0.5 + high * 0.5,
            _ => f64::NAN,
        }
    }
}

/// What a file of results says.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// Its form.
    pub form: Form,
    /// What was measured, in the file's order.
    pub measurements: Vec<Measurement>,
    /// Names without a value: benchmarks that failed or were passed over.
    pub without: Vec<String>,
    /// The commit that was measured, where the file says it.
    pub commit: Option<String>,
    /// Whether it was measured with changes that are in no commit, where the file says so.
    pub dirty: Option<bool>,
    /// The processor, where the file says it.
    pub cpu: Option<String>,
    /// Versions of what ran: `python`, `pytest-benchmark`.
    pub software: BTreeMap<String, String>,
}

impl Results {
    fn of(form: Form) -> Self {
        Self {
            form,
            measurements: Vec::new(),
            without: Vec::new(),
            commit: None,
            dirty: None,
            cpu: None,
            software: BTreeMap::new(),
        }
    }

    /// One measurement, or a name without a value where no sample is a finite number.
    fn put(&mut self, name: String, unit: &str, better: Option<Direction>, samples: Vec<f64>) {
        if samples.is_empty() || samples.iter().any(|value| !value.is_finite()) {
            self.without.push(name);
            return;
        }
        self.measurements.push(Measurement { name, unit: unit.to_owned(), better, samples });
    }

    /// Refuses results of which nothing is left, or whose names are not one text each.
    fn checked(self, file: &str) -> Result<Self, Wrong> {
        if self.measurements.is_empty() {
            let message = match self.without.as_slice() {
                [] => "it has no benchmark".to_owned(),
                names => format!(
                    "no benchmark in it has a value: {} failed or were passed over",
                    listed(names.iter().map(String::as_str))
                ),
            };
            return Err(Wrong::of(file, format!("{message}; measure again")));
        }
        let mut seen = BTreeSet::new();
        for Measurement { name, .. } in &self.measurements {
            let shown = shown(name, 80);
            if name.trim().is_empty() || name.chars().any(char::is_control) {
                let message = format!("benchmark \"{shown}\" has no name that can be printed");
                return Err(Wrong::of(file, message));
            }
            if !seen.insert(name) {
                let message =
                    format!("benchmark \"{shown}\" stands there twice; give each its own name");
                return Err(Wrong::of(file, message));
            }
        }
        Ok(self)
    }
}

/// Reads results; the form is recognised where none is given.
///
/// # Errors
/// When the text is no JSON, its form is not recognised, or it is not of that form; or when no benchmark
/// in it has a value, or two have one name.
pub fn read(file: &str, text: &str, form: Option<Form>) -> Result<Results, Wrong> {
    let form = match form {
        Some(form) => form,
        None => recognise(file, text)?,
    };
    let results = match form {
        Form::Bmf => bmf::read(file, text),
        Form::PytestBenchmark => pytest_benchmark::read(file, text),
        Form::Asv => asv::read(file, text),
    }?;
    results.checked(file)
}

/// The form of a text, by the names at its top.
///
/// # Errors
/// When it is no JSON map, or of no form that is known.
pub fn recognise(file: &str, text: &str) -> Result<Form, Wrong> {
    let json::Pairs(top) = json::read::<json::Pairs<serde_json::Value>>(file, 1, text)?;
    let has = |name: &str| top.iter().any(|(key, _)| key == name);
    if has("benchmarks") && has("machine_info") {
        return Ok(Form::PytestBenchmark);
    }
    if has("results") && has("commit_hash") {
        return Ok(Form::Asv);
    }
    let valued = |value: &serde_json::Value| {
        let mut measures = value.as_object().into_iter().flat_map(|measures| measures.values());
        measures.any(|measure| measure.get("value").is_some())
    };
    if top.iter().any(|(_, value)| valued(value)) {
        return Ok(Form::Bmf);
    }
    let known = Form::ALL.map(Form::name).join(", ");
    Err(Wrong::of(file, format!("its form is not recognised: it is none of {known}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_no_form_is_refused_with_those_that_there_are() {
        for text in ["{}", "{\"a\": 1}", "{\"a\": {\"b\": 1}}", "{\"results\": {}}"] {
            let told = read("x.json", text, None).unwrap_err().to_string();
            assert!(told.contains("none of bmf, pytest-benchmark, asv"), "{told}");
        }
        let told = read("x.json", "[1]", None).unwrap_err().to_string();
        assert!(told.starts_with("x.json:1: "), "{told}");
    }

    #[test]
    fn the_median_of_samples_is_their_middle() {
        let median = |samples: &[f64]| {
            let (name, unit) = (String::new(), String::new());
            Measurement { name, unit, better: None, samples: samples.to_vec() }.median()
        };
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[f64::MAX, f64::MAX]), f64::MAX);
    }
}
