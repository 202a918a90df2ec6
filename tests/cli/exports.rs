//! Runs in the forms of other tools, read back by readers of our own, and by the tools where they are installed.

#![expect(clippy::print_stderr, reason = "a reader that is passed over is named")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ledger::record::format::{Evaluation, Event, RunRecord};
use serde_json::Value;

use crate::support::{Bench, TINY, output, reader, root};

/// An export of the suite in a form.
fn exported(bench: &Bench, form: &str, more: &[&str]) -> PathBuf {
    let out = format!("out/{form}");
    let arguments = [&["export", "suite.yaml", "--to", form, "--out", &out], more].concat();
    let told = bench.run(&arguments).ends(0);
    assert_eq!(told.stdout, format!("{out}\n"));
    assert_eq!(told.stderr, "");
    bench.path(&out)
}

fn looks(bench: &Bench, cell: &str) -> Vec<Evaluation> {
    let events = bench.store().events(cell).unwrap().into_iter();
    let looks = events.filter_map(|event| match event {
        Event::Evaluated(evaluation) => Some(evaluation),
        _ => None,
    });
    looks.collect()
}

/// Steps and values of the target's metric.
fn curve(bench: &Bench, cell: &str) -> Vec<(u64, f64)> {
    let looks = looks(bench, cell).into_iter();
    looks.map(|look| (look.steps, look.metrics["validation/accuracy"])).collect()
}

fn digest(bench: &Bench, cell: &str) -> String {
    bench.store().manifest(cell).unwrap().1.to_string()
}

/// A bench into which logs of another were imported, and the record there of each of its runs.
fn imported(bench: &Bench, folder: &Path, more: &[&str]) -> (Bench, Vec<(RunRecord, String)>) {
    let other = Bench::new();
    let folder = folder.to_str().unwrap();
    let goal = ["--workload", "task", "--metric", "accuracy", "--target", "0.05"];
    let from = [
        "--metric-from",
        "validation/accuracy",
        "--samples-per-step",
        "32",
        "--write-suite",
        "s.yaml",
    ];
    other.run(&[&["import", folder], &goal[..], &from, more].concat()).ends(0);
    let found = other.run(&["list", "runs", "--json"]).ends(0).json();
    let pairs = found.as_array().unwrap().iter().map(|row| {
        let (arm, seed) = (row["arm"].as_str().unwrap(), row["seed"].as_u64().unwrap());
        (bench.record(arm, seed), row["run"].as_str().unwrap().to_owned())
    });
    let pairs: Vec<_> = pairs.collect();
    assert_eq!(pairs.len(), bench.cells().len());
    (other, pairs)
}

#[test]
fn what_goes_out_as_mlflow_and_tensorboard_comes_back_by_import_with_the_same_curves() {
    // Looks far enough apart for clocks in milliseconds, as MLflow's.
    let longer = TINY.replace("epochs: 0.1, evaluate_every: 0.05", "epochs: 4, evaluate_every: 2");
    let bench = Bench::with_run(&longer);
    let (other, pairs) = imported(&bench, &exported(&bench, "mlflow", &[]), &["--arm-from", "arm"]);
    for (record, back) in &pairs {
        assert_eq!(curve(&bench, &record.cell), curve(&other, back), "every digit");
    }
    let names = ["--names", "{arm}/seed{seed}"];
    let (other, pairs) = imported(&bench, &exported(&bench, "tensorboard", &[]), &names);
    for (record, back) in &pairs {
        let single = |(step, value): (u64, f64)| (step, f64::from(value as f32));
        let kept: Vec<_> = curve(&bench, &record.cell).into_iter().map(single).collect();
        assert_eq!(kept, curve(&other, back), "as 32-bit floats");
    }
}

#[test]
fn tables_have_a_row_for_each_run_with_its_digest_and_the_same_runs_give_the_same_bytes() {
    let bench = Bench::with_run(TINY);
    let out = exported(&bench, "csv", &[]);
    let text = fs::read_to_string(out.join("runs.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let column = |name: &str| names.iter().position(|other| *other == name).unwrap();
    let rows: Vec<_> = lines.collect();
    assert_eq!(rows.len(), 4);
    for row in &rows {
        let record = bench.store().record(row[column("run")]).unwrap();
        assert_eq!(row[column("run_digest")], digest(&bench, &record.cell));
        assert_eq!(row[column("arm")], record.method);
        let accuracy = record.last["validation/accuracy"];
        assert_eq!(row[column("validation/accuracy")].parse(), Ok(accuracy));
        let lr = record.settings["lr"].as_f64().unwrap();
        assert_eq!(row[column("setting:lr")].parse(), Ok(lr));
    }
    for form in ["csv", "mlflow", "tensorboard"] {
        let read = |files: Vec<String>| -> Vec<_> {
            files
                .into_iter()
                .map(|file| (fs::read(bench.path(&format!("out/{form}/{file}"))).unwrap(), file))
                .collect()
        };
        exported(&bench, form, &[]);
        let before = read(bench.files(&format!("out/{form}")));
        exported(&bench, form, &[]);
        assert!(read(bench.files(&format!("out/{form}"))) == before, "{form}");
        let mark = fs::read(bench.path(&format!("out/{form}/palimpsest-export.json"))).unwrap();
        let mark: Value = serde_json::from_slice(&mark).unwrap();
        for cell in bench.cells() {
            assert_eq!(mark["runs"][&cell], digest(&bench, &cell), "{form}");
        }
    }
}

#[test]
fn an_export_says_what_it_lacks_and_writes_over_nothing_that_is_not_its_own() {
    let bench = Bench::with_run(TINY);
    let refused = |arguments: &[&str], why: &str| {
        let told = bench.run(&[&["export"], arguments].concat()).ends(2).stderr;
        assert!(told.contains(why), "{arguments:?}: {told}");
    };
    refused(&["suite.yaml", "--to", "csv"], "give one with --out");
    refused(&["suite.yaml", "--to", "citation"], "give --author NAME");
    refused(&["suite.yaml", "--to", "ro-crate", "--author", "A", "--out", "x"], "--licence");
    refused(&["suite.yaml", "--to", "csv", "--author", "A", "--out", "x"], "leave --author out");
    refused(&["suite.yaml", "--to", "csv", "--licence", "MIT", "--out", "x"], "of a crate");
    refused(&["suite.yaml", "--to", "csv", "--key", "k.pem", "--out", "x"], "take --to in-toto");
    refused(&["nothing", "--to", "csv", "--out", "x"], "no run \"nothing\" in runs");
    refused(&["nothing", "--to", "csv", "--out", "x"], "no suite of this name has run");
    refused(&["digits", "--to", "csv", "--out", "x"], "suite \"digits\" has no run in runs");
    refused(&["suite.yaml", "--to", "wandb"], "in-toto");
    bench.write("mine/notes.txt", "mine");
    refused(
        &["suite.yaml", "--to", "csv", "--out", "mine"],
        "mine is not written over: it holds files",
    );
    assert_eq!(bench.files("mine"), ["notes.txt"]);
    assert!(!bench.path("x").exists());

    exported(&bench, "mlflow", &[]);
    bench.write("out/mlflow/0/meta.yaml", "of another run");
    refused(
        &["suite.yaml", "--to", "mlflow", "--out", "out/mlflow"],
        "0/meta.yaml in it is of no export",
    );
    // A run is called by the label that it had, or by its suite.
    let cell = bench.record("adamw", 1).cell;
    bench.run(&["export", &cell[..8], "--to", "csv", "--out", "one"]).ends(0);
    let text = fs::read_to_string(bench.path("one/runs.csv")).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().nth(1).unwrap().contains(",adamw,"), "{text}");
}

#[test]
fn a_damaged_run_is_not_exported_and_a_missing_one_is_told() {
    let bench = Bench::with_run(TINY);
    let [gone, changed] = [bench.record("sgd", 0).cell, bench.record("sgd", 1).cell];
    fs::remove_dir_all(bench.path("runs").join(&gone)).unwrap();
    let arguments = ["export", "suite.yaml", "--to", "csv", "--out", "out"];
    let told = bench.run(&arguments).ends(0);
    assert!(told.stderr.contains("1 of 4 runs are not in the store"), "{}", told.stderr);
    assert_eq!(fs::read_to_string(bench.path("out/runs.csv")).unwrap().lines().count(), 4);
    let before = fs::read(bench.path("out/runs.csv")).unwrap();
    bench.write(&format!("runs/{changed}/events.jsonl"), "");
    let told = bench.run(&arguments).ends(2).stderr;
    assert!(told.contains(&changed) && told.contains("its manifest"), "{told}");
    assert_eq!(fs::read(bench.path("out/runs.csv")).unwrap(), before, "the old export stays");
}

#[test]
fn a_citation_names_the_papers_of_the_methods_that_ran() {
    let bench = Bench::with_run(TINY);
    let arguments = ["export", "suite.yaml", "--to", "citation", "--author", "A. Lovelace"];
    let text = bench.run(&arguments).ends(0).stdout;
    let cff: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
    assert_eq!(cff["authors"][0]["name"], "A. Lovelace");
    let methods = bench.run(&["list", "methods", "--json"]).ends(0).json();
    let references = cff["references"].as_sequence().unwrap();
    for id in ["sgd", "adamw"] {
        let rows = methods.as_array().unwrap();
        let paper = &rows.iter().find(|row| row["id"] == id).unwrap()["paper"];
        let has =
            |reference: &&serde_yaml::Value| reference["title"].as_str() == paper["title"].as_str();
        let found: Vec<_> = references.iter().filter(has).collect();
        assert_eq!(found.len(), 1, "{id}");
        assert!(found[0]["notes"].as_str().unwrap().contains(id));
    }
    for cell in bench.cells() {
        assert!(text.contains(&format!("sha256:{}", digest(&bench, &cell))));
    }
}

#[test]
fn statements_of_a_suite_are_an_envelope_for_each_run() {
    let bench = Bench::with_run(TINY);
    bench.run(&["keygen", "a.pem"]).ends(0);
    let arguments = ["export", "suite.yaml", "--to", "in-toto", "--key", "a.pem", "--out", "out"];
    let told = bench.run(&arguments).ends(0).stdout;
    assert_eq!(told.lines().count(), 4);
    for path in told.lines() {
        bench.run(&["verify", path, "--key", "a.pub.pem"]).ends(0);
    }
    let several = bench.run(&["export", "suite.yaml", "--to", "in-toto"]).ends(2).stderr;
    assert!(several.contains("4 runs are written to files"), "{several}");
}

/// Those that are not installed are named and passed over; `what_goes_out_…` and the tests of `harness/exports` hold the forms
/// then.
#[test]
fn the_tools_themselves_read_every_form_as_the_records_have_it() {
    let bench = Bench::with_run(TINY);
    for form in ["tensorboard", "mlflow"] {
        exported(&bench, form, &[]);
    }
    if cfg!(feature = "parquet") {
        exported(&bench, "parquet", &[]);
    }
    let about = ["--author", "A. Lovelace", "--licence", "CC-BY-4.0", "--publisher", "A lab"];
    exported(&bench, "ro-crate", &about);
    exported(&bench, "citation", &about[..2]);
    bench.run(&["keygen", "key.pem"]).ends(0);
    let to =
        ["export", "suite.yaml", "--to", "in-toto", "--key", "key.pem", "--out", "out/in-toto"];
    bench.run(&to).ends(0);
    fs::copy(bench.path("key.pub.pem"), bench.path("out/in-toto/key.pub.pem")).unwrap();

    let mut command = Command::new(reader("python"));
    command.arg(root().join("tests/cli/read_exports.py")).arg(bench.path("out"));
    let all = output(command).ends(0).json();
    let read = |form: &str| Some(&all[form]["read"]).filter(|read| !read.is_null());
    for form in ["tensorboard", "mlflow", "ro-crate", "parquet", "in-toto", "citation"] {
        if read(form).is_none() {
            eprintln!("passed over: no reader of {form} here (`scripts/setup.py readers`)");
        }
    }
    for cell in bench.cells() {
        let record = bench.store().record(&cell).unwrap();
        let (digest, lr) = (digest(&bench, &cell), record.settings["lr"].as_f64().unwrap());
        let (seed, title) =
            (&record.seed, format!("{} on digits-mlp, seed {}", record.method, record.seed));
        let curve = curve(&bench, &cell);
        let same = |points: &Value, value: usize, single: bool| {
            let points: Vec<_> = points
                .as_array()
                .unwrap()
                .iter()
                .map(|point| (point[0].as_u64().unwrap(), point[value].as_f64().unwrap()))
                .collect();
            let kept = curve.iter().map(|(step, value)| {
                (*step, if single { f64::from(*value as f32) } else { *value })
            });
            assert_eq!(points, kept.collect::<Vec<_>>());
        };
        if let Some(runs) = read("tensorboard") {
            let run = &runs[format!("digits-mlp/{}/seed{seed}", record.method)];
            same(&run["scalars"]["validation/accuracy"], 2, true);
            assert_eq!(
                (&run["run"]["run_digest"], &run["settings"]["lr"]),
                (&digest.clone().into(), &lr.into())
            );
        }
        if let Some(runs) = read("mlflow") {
            let run = &runs[&cell];
            same(&run["metrics"]["validation/accuracy"], 2, false);
            assert_eq!(run["tags"]["palimpsest.run_digest"], digest);
            assert_eq!(
                (&run["name"], &run["params"]["seed"]),
                (&title.clone().into(), &seed.clone().into())
            );
            assert_eq!(run["artifacts"], serde_json::json!(["manifest.json", "record.json"]));
            assert_eq!(run["status"], "FINISHED");
        }
        if let Some(found) = read("ro-crate") {
            let action = &found["actions"][format!("#run-{cell}")];
            assert_eq!(action["identifier"], format!("sha256:{digest}"));
            assert_eq!(action["instrument"], "Palimpsest");
        }
        if let Some(tables) = read("parquet") {
            let rows = tables["runs"]["rows"].as_array().unwrap();
            let row = rows.iter().find(|row| row["run"] == *cell).unwrap();
            assert_eq!(
                (&row["run_digest"], &row["setting:lr"]),
                (&digest.clone().into(), &lr.into())
            );
            assert_eq!(row["steps"], record.steps);
            assert_eq!(tables["runs"]["types"]["steps"], "int64");
            let looks = tables["evaluations"]["rows"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|look| look["run"] == *cell && look["metric"] == "validation/accuracy");
            let looks: Vec<_> = looks
                .map(|look| (look["steps"].as_u64().unwrap(), look["value"].as_f64().unwrap()))
                .collect();
            assert_eq!(looks, curve);
        }
        if let Some(statements) = read("in-toto") {
            assert_eq!(statements[&cell]["manifest.json"], digest);
        }
    }
    if let Some(found) = read("citation") {
        assert!(found["bibtex"].as_str().unwrap().contains("Runs of the suite tiny"), "{found}");
    }
}
