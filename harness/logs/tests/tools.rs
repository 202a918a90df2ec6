//! Files that the tools themselves have written (`scripts/log_fixtures.py`), read back: their curves are a
//! formula, so that every value is known.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read must fail the test")]

use std::path::{Path, PathBuf};

use ledger::goal::Direction::{HigherIsBetter, LowerIsBetter};
use logs::find::logs;
use logs::looks::read;
use logs::measurements::{self, Form as Results};
use logs::names::Pattern;
use logs::{Form, LoggedRun, Wanted};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What every log says of an arm, a seed and a step.
fn value(arm: &str, seed: f64, step: f64) -> f64 {
    let rate = if arm == "adam" { 0.02 } else { 0.01 };
    1.0 - (-rate * (1.0 + 0.05 * seed) * step).exp()
}

/// All runs below a folder, each with what the pattern says of it.
fn runs(name: &str, wanted: &Wanted, pattern: Option<&str>) -> Vec<(Form, LoggedRun)> {
    let pattern: Option<Pattern> = pattern.map(|pattern| pattern.parse().unwrap());
    let found = logs(&[fixtures(name)], None).unwrap();
    let each = found.iter().flat_map(|log| {
        let named = pattern.as_ref().map(|pattern| pattern.of_path(&log.path).unwrap());
        let read = read(log, wanted).unwrap();
        let runs = read.runs.into_iter().map(move |run| match named.clone() {
            Some(named) => LoggedRun { arm: named.arm, seed: named.seed, ..run },
            None => run,
        });
        runs.map(move |run| (read.form, run))
    });
    each.collect()
}

/// Holds every look to the formula, and its time to a tenth of a second a step.
fn check(runs: &[(Form, LoggedRun)], form: Form, clocked: bool) {
    for (found, run) in runs {
        assert_eq!(*found, form);
        assert_eq!(run.looks.len(), 11, "{run:?}");
        let (arm, seed) = (run.arm.as_deref().unwrap(), run.seed.as_deref().unwrap());
        for (look, step) in run.looks.iter().zip((0..).step_by(20)) {
            assert_eq!(look.step, Some(step));
            let wanted = value(arm, seed.parse().unwrap(), step as f64);
            assert!((look.value - wanted).abs() < 1e-6, "{arm} {seed} {step}: {}", look.value);
        }
        assert_eq!(run.looks.iter().all(|look| look.seconds.is_some()), clocked);
        if let (Some(first), Some(last)) = (run.looks[0].seconds, run.looks[10].seconds) {
            assert!((last - first - 20.0).abs() < 1e-3 && first >= 0.0, "{first} {last}");
        }
    }
}

fn wanted(metric: &str) -> Wanted {
    Wanted { metric: metric.to_owned(), ..Wanted::default() }
}

#[test]
fn event_files_of_tensorboard_x_are_read() {
    let runs = runs("tensorboardX", &wanted("val/accuracy"), Some("{arm}/seed{seed}"));
    assert_eq!(runs.len(), 6);
    check(&runs, Form::Tensorboard, true);
}

#[test]
fn scalars_that_are_tensors_are_read() {
    let runs = runs("tensorboard", &wanted("val/accuracy"), Some("{arm}/seed{seed}"));
    assert_eq!(runs.len(), 3);
    check(&runs, Form::Tensorboard, true);
}

#[test]
fn the_folders_of_mlflow_are_read_with_their_params() {
    let wanted = Wanted { arm: Some("optimizer".to_owned()), ..wanted("val/accuracy") };
    let runs = runs("mlflow", &wanted, None);
    assert_eq!(runs.len(), 4);
    check(&runs, Form::Mlflow, true);
    assert!(runs.iter().all(|(_, run)| run.notes.is_empty()));
}

#[test]
fn metrics_of_lightning_are_read_with_a_test_value() {
    let wanted = Wanted { test: Some("test_accuracy".to_owned()), ..wanted("val_accuracy") };
    let runs = runs("lightning", &wanted, Some("{arm}-{seed}/version_{}"));
    assert_eq!(runs.len(), 6);
    check(&runs, Form::Lightning, false);
    for (_, run) in &runs {
        let (arm, seed) = (run.arm.as_deref().unwrap(), run.seed.as_deref().unwrap());
        let last = value(arm, seed.parse().unwrap(), 200.0) - 0.01;
        assert!((run.tested.unwrap() - last).abs() < 1e-6);
    }
}

#[test]
fn exports_of_wandb_are_read_in_their_three_forms() {
    let pattern: Pattern = "{arm}-s{seed}".parse().unwrap();
    let found = logs(&[fixtures("wandb/chart.csv")], None).unwrap();
    let read = read(&found[0], &wanted("val/accuracy")).unwrap();
    let named = read.runs.into_iter().map(|run| {
        let named = pattern.of_name(run.name.as_deref().unwrap()).unwrap();
        (read.form, LoggedRun { arm: named.arm, seed: named.seed, ..run })
    });
    let named: Vec<_> = named.collect();
    assert_eq!(named.len(), 6);
    check(&named, Form::Wandb, false);
    for (name, looks) in [("wandb/history.csv", 11), ("wandb/history.jsonl", 6)] {
        let (form, run) = runs(name, &wanted("val/accuracy"), None).remove(0);
        assert_eq!((form, run.looks.len()), (Form::Wandb, looks), "{name}");
        assert_eq!(run.looks[1].seconds.map(|seconds| seconds > 1.0), Some(true));
    }
}

#[test]
fn a_long_table_is_read() {
    let runs = runs("csv", &wanted("accuracy"), None);
    assert_eq!(runs.len(), 6);
    assert_eq!(runs[0].0, Form::Csv);
    assert_eq!(runs[5].1.looks[10].samples, Some(6400));
}

fn results(name: &str) -> measurements::Results {
    let text = std::fs::read_to_string(fixtures("results").join(name)).unwrap();
    measurements::read(name, &text, None).unwrap()
}

#[test]
fn results_of_benchmarks_are_recognised_and_read() {
    let pytest = results("pytest-benchmark.json");
    assert_eq!(pytest.form, Results::PytestBenchmark);
    let names: Vec<&str> = pytest.measurements.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["test_bench.py::test_sum[10]", "test_bench.py::test_sum[1000]"]);
    assert!(pytest.measurements.iter().all(|one| one.samples.len() == 5 && one.unit == "s"));
    assert_eq!((pytest.commit, pytest.cpu.as_deref()), (None, Some("a processor")));

    let asv = results("asv.json");
    assert_eq!(asv.form, Results::Asv);
    let told: Vec<_> = asv.measurements.iter().map(|one| (one.name.as_str(), one.better)).collect();
    assert_eq!(
        told,
        [
            ("bench.Suite.time_sum(10, 'a')", Some(LowerIsBetter)),
            ("bench.Suite.time_sum(1000, 'a')", Some(LowerIsBetter)),
            ("bench.track_answer", None),
        ]
    );
    assert_eq!(asv.measurements[2].samples, [42.0]);
    assert_eq!(asv.without, ["bench.time_broken"]);
    assert_eq!(asv.commit.map(|commit| commit.len()), Some(40));

    let bmf = results("bmf.json");
    assert_eq!((bmf.form, bmf.measurements.len()), (Results::Bmf, 3));
    let draw = bmf.measurements.iter().find(|one| one.name == "draw/throughput").unwrap();
    assert_eq!(draw.better, Some(HigherIsBetter));
}
