//! What `pytest --benchmark-json=FILE` writes: seconds of each benchmark, with its samples where
//! `--benchmark-save-data` (or the JSON's own default) keeps them, else with its median.

use ledger::goal::Direction::LowerIsBetter;
use serde::Deserialize;

use super::{Form, Results};
use crate::json;
use crate::wrong::Wrong;

#[derive(Deserialize)]
struct File {
    benchmarks: Vec<Benchmark>,
    machine_info: Option<MachineInfo>,
    commit_info: Option<CommitInfo>,
    version: Option<String>,
}

#[derive(Deserialize)]
struct Benchmark {
    fullname: String,
    stats: Stats,
}

#[derive(Deserialize)]
struct Stats {
    median: Option<f64>,
    #[serde(default)]
    data: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct MachineInfo {
    python_version: Option<String>,
    cpu: Option<Cpu>,
}

#[derive(Deserialize)]
struct Cpu {
    brand_raw: Option<String>,
}

#[derive(Deserialize)]
struct CommitInfo {
    id: Option<String>,
    dirty: Option<bool>,
}

pub(super) fn read(file: &str, text: &str) -> Result<Results, Wrong> {
    let File { benchmarks, machine_info, commit_info, version } = json::read(file, 1, text)?;
    let mut results = Results::of(Form::PytestBenchmark);
    for Benchmark { fullname, stats: Stats { median, data } } in benchmarks {
        let samples = match data.is_empty() {
            true => median.into_iter().collect(),
            false => data.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect(),
        };
        results.put(fullname, "s", Some(LowerIsBetter), samples);
    }
    if let Some(CommitInfo { id, dirty }) = commit_info {
        // Outside of a repository it writes these words in the place of a commit.
        results.commit = id.filter(|id| id != "unknown" && id != "unversioned");
        results.dirty = dirty;
    }
    let python = machine_info.as_ref().and_then(|info| info.python_version.clone());
    let versions = [("python", python), ("pytest-benchmark", version)];
    let versions = versions.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
    results.software = versions.collect();
    results.cpu = machine_info.and_then(|info| info.cpu?.brand_raw);
    Ok(results)
}

#[cfg(test)]
mod tests {
    use crate::measurements::read;

    #[test]
    fn samples_are_taken_where_they_were_kept_and_the_median_where_not() {
        let text = r#"{"machine_info": {"python_version": "3.11.7", "cpu": {"brand_raw": "A"}},
            "commit_info": {"id": "unknown", "dirty": false}, "version": "5.0",
            "benchmarks": [
              {"fullname": "t.py::a", "stats": {"median": 2.0, "data": [1.0, 2.0, 3.0]}},
              {"fullname": "t.py::b[1]", "stats": {"median": 0.5}},
              {"fullname": "t.py::c", "stats": {"median": 1.0, "data": [NaN]}}]}"#;
        let results = read("p.json", text, None).unwrap();
        assert_eq!(results.measurements[0].samples, [1.0, 2.0, 3.0]);
        assert_eq!(results.measurements[1].samples, [0.5]);
        assert_eq!(results.without, ["t.py::c"]);
        assert_eq!((results.commit, results.cpu.as_deref()), (None, Some("A")));
        assert_eq!(results.software["pytest-benchmark"], "5.0");
    }

    #[test]
    fn a_benchmark_without_its_numbers_or_twice_is_refused() {
        let told = |benchmarks: &str| {
            let text = format!("{{\"machine_info\": {{}}, \"benchmarks\": {benchmarks}}}");
            read("p.json", &text, None).unwrap_err().to_string()
        };
        assert!(told("[{\"fullname\": \"a\"}]").contains("missing field `stats`"));
        let one = "{\"fullname\": \"a\", \"stats\": {\"median\": 1}}";
        assert!(told(&format!("[{one}, {one}]")).contains("\"a\" stands there twice"));
        assert!(told("[]").contains("it has no benchmark"));
    }
}
