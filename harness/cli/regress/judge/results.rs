//! Reads a file of results, whatever its form.

use std::io::Read as _;
use std::path::Path;

use analysis::history::Better;
use analysis::regress::Snapshot;
use analysis::regress::metric::{Class, MetricName};
use analysis::regress::unpaired::{self, Sample};
use anyhow::{Context as _, bail};
use ledger::goal::Direction;
use ledger::plain;
use logs::measurements::{self, MOST_BYTES, Measurement};
use serde::Deserialize;

use crate::voice::warn;

/// Version of the values file that is read here.
const VALUES_VERSION: u64 = 1;

/// What a file holds.
#[derive(Debug)]
pub enum Results {
    /// What the gate or `regress record` kept: cells by arm, seed and round.
    Kept(Box<Snapshot>),
    /// Repetitions without seeds or turns.
    Values(unpaired::Results),
    /// The same, of benchmarks of another tool, which are of no suite.
    OtherTool(unpaired::Results),
}

impl Results {
    /// Name of the suite; of another tool's benchmarks the name of their form.
    pub fn suite(&self) -> &str {
        match self {
            Self::Kept(snapshot) => &snapshot.suite,
            Self::Values(results) | Self::OtherTool(results) => &results.suite,
        }
    }
}

/// By which key a form is known.
#[derive(Deserialize)]
struct Top {
    values: Option<serde_json::Value>,
}

/// `{"values": 1, "suite": …, "metrics": […]}`: what any program can write.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValuesFile {
    #[serde(rename = "values")]
    _version: u64,
    suite: String,
    commit: Option<String>,
    metrics: Vec<MetricValues>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricValues {
    workload: String,
    arm: String,
    metric: String,
    class: Class,
    unit: String,
    better: Option<Better>,
    margin: Option<f64>,
    best: Option<f64>,
    values: Vec<f64>,
}

impl From<MetricValues> for Sample {
    fn from(read: MetricValues) -> Self {
        let MetricValues { workload, arm, metric, class, unit, better, margin, best, values } =
            read;
        let direction = match better {
            Some(Better::Lower) => Some(Direction::LowerIsBetter),
            Some(Better::Higher) => Some(Direction::HigherIsBetter),
            Some(Better::Neither) | None => None,
        };
        let name = MetricName { workload, arm, metric };
        Self { name, class, unit, direction, margin, best, values }
    }
}

/// Reads a file of results.
///
/// # Errors
/// When it cannot be read, is too large, is of no form that is known, or is broken; with file, line and value.
pub fn read(path: &Path) -> anyhow::Result<Results> {
    let origin = path.display().to_string();
    let text = text(path, &origin)?;
    let top: Top = match serde_json::from_str(&text) {
        Ok(top) => top,
        // Python writes NaN, for which JSON has no word.
        Err(_) if measurements::recognise(&origin, &text).is_ok() => {
            return of_another_tool(&text, &origin).map(Results::OtherTool);
        }
        Err(error) => {
            let what = format!("{origin} is no file of results: it is no JSON object");
            return Err(anyhow::Error::new(error).context(what));
        }
    };
    // A benchmark of another tool may have this name.
    match top.values.as_ref().and_then(serde_json::Value::as_u64) {
        Some(VALUES_VERSION) => values(&text, &origin).map(Results::Values),
        Some(version) => {
            bail!(
                "{origin} is a file of values of version {version}, this build reads {VALUES_VERSION}"
            )
        }
        None if measurements::recognise(&origin, &text).is_ok() => {
            of_another_tool(&text, &origin).map(Results::OtherTool)
        }
        None => Ok(Results::Kept(Box::new(Snapshot::parse(&text, &origin)?))),
    }
}

/// The text of a plain file that is not too large.
fn text(path: &Path, origin: &str) -> anyhow::Result<String> {
    let cannot = || format!("cannot read {origin}");
    let mut file = plain::open(path).with_context(cannot)?;
    let bytes = file.metadata().with_context(cannot)?.len();
    if bytes > MOST_BYTES {
        let (has, most) = (bytes >> 20, MOST_BYTES >> 20);
        bail!(
            "{origin} has {has} MiB, but is read whole up to {most}: leave out what is not compared"
        );
    }
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(cannot)?;
    Ok(text)
}

/// Benchmarks of another tool: an arm each, under the name of the file's form.
fn of_another_tool(text: &str, origin: &str) -> anyhow::Result<unpaired::Results> {
    let measurements::Results { form, measurements, without, commit, .. } =
        measurements::read(origin, text, None)?;
    if !without.is_empty() {
        warn(&format!("{origin}: {} benchmarks have no value and are left out", without.len()));
    }
    let suite = form.name().to_owned();
    let samples = measurements.into_iter().map(|one| sample(one, &suite)).collect();
    let results = unpaired::Results { suite, commit, samples };
    results.check(origin)?;
    Ok(results)
}

/// What was measured as values of one metric: a time where its unit is one of time, else a score; shown
/// only where nobody says which way it improves. Unit and direction decide, and no value: else a 0 would make
/// a score of the time on one side, and a score is judged without the drift that times are held to.
fn sample(one: Measurement, form: &str) -> Sample {
    let Measurement { name, unit, better, samples } = one;
    let is_time = ["s", "ms", "us", "µs", "ns"].contains(&unit.as_str())
        && better == Some(Direction::LowerIsBetter);
    let (class, metric) = match better {
        Some(_) if is_time => (Class::Time, "time"),
        Some(_) => (Class::Quality, "value"),
        None => (Class::Info, "value"),
    };
    let name = MetricName { workload: form.to_owned(), arm: name, metric: metric.to_owned() };
    Sample { name, class, unit, direction: better, margin: None, best: None, values: samples }
}

fn values(text: &str, origin: &str) -> anyhow::Result<unpaired::Results> {
    let file: ValuesFile =
        serde_json::from_str(text).with_context(|| format!("{origin} is no file of values"))?;
    let ValuesFile { suite, commit, metrics, .. } = file;
    let samples = metrics.into_iter().map(Sample::from).collect();
    let results = unpaired::Results { suite, commit, samples };
    results.check(origin)?;
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_other_tools_are_values_and_only_what_has_a_direction_is_judged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.json");
        let text = r#"{"values": {"latency": {"value": 5.0}}, "size": {"file-size": {"value": 7}},
            "odd": {"mine": {"value": 1.5}}}"#;
        std::fs::write(&path, text).unwrap();
        let Ok(Results::OtherTool(found)) = read(&path) else { unreachable!("it is whole") };
        assert_eq!(found.suite, "bmf");
        let classes: Vec<_> = found.samples.iter().map(|one| (&*one.name.arm, one.class)).collect();
        let expected = [
            ("values/latency", Class::Time),
            ("size/file-size", Class::Quality),
            ("odd/mine", Class::Info),
        ];
        assert_eq!(classes, expected);
        // The unit decides: with a 0 it is still a time, and none that can be judged.
        std::fs::write(&path, text.replace("5.0", "0.0")).unwrap();
        let refused = format!("{:#}", read(&path).unwrap_err());
        for part in ["b.json", "values/latency", " is 0", "a time must be positive"] {
            assert!(refused.contains(part), "{refused}");
        }
    }

    #[test]
    fn numbers_that_only_python_writes_are_no_obstacle_in_results_of_other_tools() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        let pytest = r#"{"machine_info": {}, "benchmarks": [
            {"fullname": "t.py::a", "stats": {"median": 2.0, "stddev": NaN, "data": [1.0, 2.0]}}]}"#;
        let asv = r#"{"commit_hash": "00", "result_columns": ["result", "params", "stats_ci_99_b"],
            "results": {"time_x": [[1.5, NaN], [["1", "2"]], [Infinity, NaN]]}}"#;
        for (text, suite, values) in
            [(pytest, "pytest-benchmark", &[1.0, 2.0][..]), (asv, "asv", &[1.5][..])]
        {
            std::fs::write(&path, text).unwrap();
            let Ok(Results::OtherTool(found)) = read(&path) else { unreachable!("{suite}") };
            assert_eq!((found.suite.as_str(), found.samples.len()), (suite, 1));
            assert_eq!((found.samples[0].class, &*found.samples[0].values), (Class::Time, values));
        }
        std::fs::write(&path, r#"{"values": 1, "suite": NaN}"#).unwrap();
        let refused = format!("{:#}", read(&path).unwrap_err());
        assert!(refused.contains("no JSON object"), "{refused}");
    }

    #[test]
    fn a_file_too_large_to_be_read_whole_is_refused_with_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.json");
        std::fs::File::create(&path).unwrap().set_len(MOST_BYTES + (1 << 20)).unwrap();
        let refused = format!("{:#}", read(&path).unwrap_err());
        assert!(refused.contains("large.json has 257 MiB"), "{refused}");
    }

    #[test]
    fn files_are_known_by_their_top_and_faults_are_named_with_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.json");
        let told = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).map_err(|error| format!("{error:#}"))
        };
        let whole = r#"{"values": 1, "suite": "s", "metrics": [{"workload": "w", "arm": "a",
            "metric": "m", "class": "time", "unit": "s", "better": "lower", "values": [1, 2.5]}]}"#;
        let Ok(Results::Values(found)) = told(whole) else { unreachable!("it is whole") };
        assert_eq!(found.samples[0].values, [1.0, 2.5]);
        assert_eq!(found.samples[0].direction, Some(Direction::LowerIsBetter));
        for (broken, expected) in [
            (whole.replace("\"values\": 1", "\"values\": 2"), "version 2, this build reads 1"),
            (whole.replace("2.5", "\"x\""), "line 2"),
            (whole.replace("2.5", "-1"), "a time must be positive"),
            (whole.replace("\"unit\"", "\"units\""), "units"),
            (whole.replace("time", "exact"), "time, quality or info"),
            ("[1".to_owned(), "no JSON object"),
            ("{\"a\": 1}".to_owned(), "f.json is not a reference file"),
        ] {
            let error = told(&broken).unwrap_err();
            assert!(error.contains(expected) && error.contains("f.json"), "{error}");
        }
    }
}
