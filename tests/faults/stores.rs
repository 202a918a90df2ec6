//! Stores that several runs, users, machines and stores meet in.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Bench, Output, TINY, output, root};

/// What `list suite-runs` tells, the newest first.
fn suite_runs(bench: &Bench) -> Vec<Value> {
    let listed = bench.run(&["list", "suite-runs", "--json"]).ends(0).json();
    listed.as_array().unwrap().clone()
}

fn id(suite_run: &Value) -> String {
    suite_run["id"].as_str().unwrap().to_owned()
}

/// The runs that the report in a folder draws.
fn drawn(bench: &Bench, folder: &str) -> Vec<String> {
    let text = fs::read_to_string(bench.path(folder).join("analysis.json")).unwrap();
    let analysis: Value = serde_json::from_str(&text).unwrap();
    let runs = analysis["runs"].as_array().unwrap().iter();
    runs.map(|row| row["cell"].as_str().unwrap().to_owned()).collect()
}

fn run(bench: &Bench, more: &[&str]) -> Output {
    bench.run(&[&["run", "suite.yaml", "--device", "cpu"], more].concat())
}

const JSON: &[&str] = &["--format", "json"];

#[test]
fn a_run_of_a_part_does_not_replace_the_report_of_the_whole() {
    let bench = Bench::with_run(TINY);
    bench.run(&[&["report", "tiny"], JSON].concat()).ends(0);
    assert_eq!(drawn(&bench, "runs/reports/tiny").len(), 4);
    run(&bench, &["--methods", "sgd", "--seeds", "1"]).ends(0);
    let kept = suite_runs(&bench);
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(kept[0]["options"], serde_json::json!(["--methods sgd", "--seeds 0..1"]));
    for suite in ["tiny", "suite.yaml"] {
        bench.run(&[&["report", suite], JSON].concat()).ends(0);
        assert_eq!(drawn(&bench, "runs/reports/tiny").len(), 4, "{suite}");
    }
    let part = bench.run(&[&["report", "tiny", "--run", "last"], JSON].concat()).ends(0);
    assert!(part.stderr.contains("--methods sgd --seeds 0..1"), "{}", part.stderr);
    assert_eq!(drawn(&bench, &format!("runs/reports/tiny/{}", id(&kept[0]))).len(), 1);
    assert_eq!(drawn(&bench, "runs/reports/tiny").len(), 4);
    let planned = bench.run(&["plan", "suite.yaml", "--power", "--arms"]);
    assert!(!planned.stderr.contains("is not that of this plan"), "{}", planned.stderr);
}

#[test]
fn the_runs_of_an_attested_suite_can_be_named_after_others_have_run() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    run(&bench, &["--attested"]).ends(0);
    let attested = id(&suite_runs(&bench)[0]);
    let cells = bench.cells();
    run(&bench, &["--methods", "sgd", "--seeds", "1"]).ends(0);
    run(&bench, &[]).ends(0);
    run(&bench, &["--attested"]).ends(0);
    assert_eq!(suite_runs(&bench).len(), 4);
    bench.run(&[&["report", "--run", &attested], JSON].concat()).ends(0);
    let mut runs = drawn(&bench, &format!("runs/reports/tiny/{attested}"));
    runs.sort();
    assert_eq!(runs, cells);
}

#[test]
fn the_same_run_again_keeps_its_id() {
    let bench = Bench::with_run(TINY);
    run(&bench, &[]).ends(0);
    run(&bench, &["--force"]).ends(0);
    assert_eq!(suite_runs(&bench).len(), 1);
}

#[test]
fn two_files_of_one_suite_name_are_told_apart() {
    let bench = Bench::with_run(TINY);
    bench.run(&[&["report", "suite.yaml"], JSON].concat()).ends(0);
    bench.write("other.yaml", &TINY.replace("lr: 0.05", "lr: 0.01"));
    let unrun = bench.run(&[&["report", "other.yaml"], JSON].concat()).ends(2);
    assert!(unrun.stderr.contains("other.yaml has not run as it is now"), "{}", unrun.stderr);
    let warned = bench.run(&["run", "other.yaml", "--device", "cpu"]).ends(0);
    assert!(warned.stderr.contains("suite.yaml, which ran before"), "{}", warned.stderr);
    let refused = bench.run(&[&["report", "other.yaml"], JSON].concat()).ends(2);
    assert!(refused.stderr.contains("holds the report of suite.yaml"), "{}", refused.stderr);
    bench.run(&[&["report", "other.yaml", "--out", "other"], JSON].concat()).ends(0);
    bench.run(&[&["report", "suite.yaml"], JSON].concat()).ends(0);
    assert_ne!(drawn(&bench, "other"), drawn(&bench, "runs/reports/tiny"));
}

#[test]
fn one_file_under_two_spellings_is_one_suite() {
    let bench = Bench::with_run(TINY);
    bench.run(&[&["report", "suite.yaml"], JSON].concat()).ends(0);
    bench.write("suite.yaml", &TINY.replace("lr: 0.05", "lr: 0.01"));
    let again = bench.run(&["run", "./suite.yaml", "--device", "cpu"]).ends(0);
    assert!(!again.stderr.contains("which ran before"), "{}", again.stderr);
    bench.run(&[&["report", "./suite.yaml"], JSON].concat()).ends(0);
    assert_eq!(suite_runs(&bench).len(), 2);
}

#[test]
fn a_suite_from_a_pipe_is_reported_and_suite_runs_are_compared_by_their_ids() {
    let bench = Bench::with_run(TINY);
    run(&bench, &["--methods", "sgd"]).ends(0);
    let piped =
        format!("exec {} report <(cat suite.yaml) --format json", env!("CARGO_BIN_EXE_palimpsest"));
    output(bench.prepared("bash", &["-c", &piped])).ends(0);
    assert_eq!(drawn(&bench, "runs/reports/tiny").len(), 4);
    let runs = suite_runs(&bench);
    bench.run(&["compare", &id(&runs[0]), &id(&runs[1])]).ends(0);
    bench.run(&["compare", "tiny", &id(&runs[0])]).ends(0);
}

#[test]
fn a_suite_that_was_edited_after_its_run_is_not_reported_as_it_is_now() {
    let bench = Bench::with_run(TINY);
    bench.write("suite.yaml", &TINY.replace("lr: 0.05", "lr: 0.01"));
    let refused = bench.run(&["report", "suite.yaml"]).ends(2);
    assert!(refused.stderr.contains("--run 2"), "no way out: {}", refused.stderr);
    let run = id(&suite_runs(&bench)[0]);
    bench.run(&[&["report", "suite.yaml", "--run", &run], JSON].concat()).ends(0);
}

#[test]
fn suite_runs_of_builds_of_before_are_still_reported() {
    let bench = Bench::with_run(TINY);
    let file = bench.path("runs/suites/tiny").join(format!("{}.json", id(&suite_runs(&bench)[0])));
    let text = fs::read_to_string(&file).unwrap();
    let mut run: Value = serde_json::from_str(&text).unwrap();
    run.as_object_mut().unwrap().remove("made");
    run["version"] = 1.into();
    fs::remove_dir_all(bench.path("runs/suites/tiny")).unwrap();
    bench.write("runs/suites/tiny.json", &run.to_string());
    bench.run(&[&["report", "tiny"], JSON].concat()).ends(0);
    assert_eq!(drawn(&bench, "runs/reports/tiny").len(), 4);
}

#[test]
fn an_interrupted_run_says_how_to_go_on_is_reported_and_goes_on_under_its_id() {
    let bench = Bench::new();
    let long = TINY.replace("epochs: 0.1", "epochs: 4").replace("seeds: 2", "seeds: 6");
    bench.write("suite.yaml", &long);
    let mut command = bench.command(&["run", "suite.yaml", "--device", "cpu"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while bench.cells().is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupt.success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("of 12 cells are in the store; the same command goes on"), "{said}");

    let before = suite_runs(&bench);
    assert_eq!((before.len(), before[0]["ended_unix"].is_null()), (1, true), "{before:?}");
    let there = bench.cells().len();
    assert!((1..12).contains(&there), "{there}");
    let report = bench.run(&[&["report", "suite.yaml"], JSON].concat()).ends(0);
    let lacking = format!("{} of 12 cells have no run", 12 - there);
    assert!(report.stderr.contains(&lacking), "{}", report.stderr);
    run(&bench, &[]).ends(0);
    let after = suite_runs(&bench);
    assert_eq!((after.len(), id(&after[0])), (1, id(&before[0])));
    assert!(after[0]["ended_unix"].is_number(), "{after:?}");
}

#[test]
fn one_damaged_run_stops_nothing_else_and_is_mended_alone() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    run(&bench, &["--attested"]).ends(0);
    run(&bench, &[]).ends(0);
    let sgd = bench.record("sgd", 0);
    let damaged = bench.path("runs").join(&sgd.cell).join("record.json");
    fs::write(&damaged, "").unwrap();

    let more = run(&bench, &["--seeds", "3"]).ends(4);
    assert!(more.stderr.contains("1 of 6 cells failed"), "{}", more.stderr);
    assert!(more.stderr.contains(&format!("palimpsest mend {}", sgd.cell)), "{}", more.stderr);
    assert_eq!(bench.cells().len(), 10, "the other cells did not run");
    let report = bench.run(&[&["report", "tiny"], JSON].concat()).ends(0);
    assert!(report.stderr.contains("1 of 4 cells have no run"), "{}", report.stderr);
    bench.run(&["plan", "suite.yaml", "--power", "--arms"]);
    assert_eq!(fs::read(&damaged).unwrap(), b"");

    let others: Vec<_> =
        bench.files("runs").into_iter().filter(|file| file.ends_with("record.json")).collect();
    let mended = bench.run(&["mend", &sgd.cell[..10]]).ends(0);
    assert!(mended.stdout.contains("runs/.damaged/"), "{}", mended.stdout);
    assert_eq!(bench.record("sgd", 0).parameters_sha256, sgd.parameters_sha256);
    assert_eq!(
        bench.files("runs/.damaged").iter().filter(|file| file.ends_with("record.json")).count(),
        1
    );
    assert_eq!(
        others.len() + 1,
        bench.files("runs").iter().filter(|file| file.ends_with("record.json")).count()
    );
    bench.run(&["verify"]).ends(0);
    let whole = bench.run(&["mend", &sgd.cell]).ends(0);
    assert!(whole.stdout.contains("nothing to mend"), "{}", whole.stdout);
    run(&bench, &["--seeds", "3"]).ends(0);
}

#[test]
fn a_damaged_run_of_a_drawn_seed_is_mended_from_the_record_that_shares_it() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    run(&bench, &["--attested", "--seeds", "1"]).ends(0);
    let cells = bench.cells();
    let before = bench.store().record(&cells[0]).unwrap();
    fs::write(bench.path("runs").join(&cells[0]).join("record.json"), "{").unwrap();
    bench.run(&["mend", &cells[0]]).ends(0);
    let after = bench.store().record(&cells[0]).unwrap();
    assert_eq!(after.parameters_sha256, before.parameters_sha256);
    for cell in &cells {
        fs::write(bench.path("runs").join(cell).join("record.json"), "{").unwrap();
    }
    let lost = bench.run(&["mend", &cells[0]]).ends(2);
    assert!(lost.stderr.contains("was drawn for that run"), "{}", lost.stderr);
    assert!(bench.path("runs").join(&cells[0]).is_dir(), "what is left of it is gone");
}

#[test]
fn merged_stores_verify_with_the_promises_of_both() {
    let bench = Bench::with_run(TINY);
    let other = ["run", "suite.yaml", "--device", "cpu", "--seeds", "2..4", "--store", "other"];
    bench.run(&other).ends(0);
    let verified = |store: &str| bench.run(&["verify", "--store", store]);
    // By hand, the promises stay behind.
    Command::new("cp")
        .args(["-r", "runs", "by-hand"])
        .current_dir(bench.path(""))
        .status()
        .unwrap();
    for cell in bench.files("other").iter().filter_map(|file| file.strip_suffix("/record.json")) {
        let (from, to) = (bench.path("other").join(cell), bench.path("by-hand"));
        Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    }
    let alone = verified("by-hand").ends(1);
    assert!(alone.stdout.contains("palimpsest merge"), "{}", alone.stdout);
    bench.run(&["merge", "other", "--store", "by-hand"]).ends(0);
    verified("by-hand").ends(0);

    let merged = bench.run(&["merge", "other", "--json"]).ends(0).json();
    assert_eq!(merged[0]["copied"].as_array().unwrap().len(), 4);
    let all = verified("runs").ends(0);
    assert!(
        all.stdout.contains("8 promises") && !all.stdout.contains("no run here"),
        "{}",
        all.stdout
    );
    assert_eq!(suite_runs(&bench).len(), 2);
    bench.run(&[&["report", "tiny", "--run", "last"], JSON].concat()).ends(0);
    // Again, and after the other has grown: nothing is counted twice.
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--seeds", "4,", "--store", "other"]);
    bench
        .run(&["run", "suite.yaml", "--device", "cpu", "--seeds", "4..5", "--store", "other"])
        .ends(0);
    bench.run(&["merge", "other"]).ends(0);
    let grown = verified("runs").ends(0);
    assert!(grown.stdout.contains("10 promises"), "{}", grown.stdout);
    // A moved store is the same store.
    fs::rename(bench.path("runs"), bench.path("moved")).unwrap();
    verified("moved").ends(0);
}

#[test]
fn a_run_of_a_cell_that_differs_is_not_merged_over_the_one_that_is_here() {
    let bench = Bench::with_run(TINY);
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--store", "other"]).ends(0);
    let cell = &bench.cells()[0];
    let before = fs::read(bench.path("runs").join(cell).join("record.json")).unwrap();
    let merged = bench.run(&["merge", "other"]).ends(1);
    assert!(merged.stderr.contains("4 runs differ"), "{}", merged.stderr);
    assert_eq!(fs::read(bench.path("runs").join(cell).join("record.json")).unwrap(), before);
    let itself = bench.run(&["merge", "runs"]).ends(2);
    assert!(itself.stderr.contains("name another with --store"), "{}", itself.stderr);
}

#[test]
fn records_of_another_device_are_not_replaced_unasked() {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 1).cell;
    let path = bench.path("runs").join(cell).join("record.json");
    let text = fs::read_to_string(&path).unwrap();
    let elsewhere = text.replace("\"device\":\"cpu\"", "\"device\":\"cuda:0\"");
    assert_ne!(text, elsewhere);
    fs::write(&path, &elsewhere).unwrap();
    let refused = run(&bench, &[]).ends(2);
    assert!(refused.stderr.contains("trained on cuda:0, and this is cpu"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--device cuda:0"), "no remedy: {}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), elsewhere);
}

#[test]
fn a_file_system_without_locks_is_read_and_told_before_it_is_written() {
    let bench = Bench::with_run(TINY);
    let source = bench.write(
        "no_locks.c",
        "#include <errno.h>\nint flock(int f, int o) { errno = ENOLCK; return -1; }\n",
    );
    let library = bench.path("no_locks.so");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.unwrap().success());
    let without = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command.env("LD_PRELOAD", &library);
        output(command)
    };
    let verified = without(&["verify"]).ends(0);
    assert_eq!(verified.stdout.matches(" verified: ").count(), 4, "{}", verified.stdout);
    let refused = without(&["run", "suite.yaml", "--device", "cpu"]).ends(2);
    assert!(
        refused.stderr.contains("has no locks") && refused.stderr.contains("merge"),
        "{}",
        refused.stderr
    );
}

#[test]
fn another_libtorch_on_the_library_path_is_named_with_the_way_out() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let libtorch = Path::new(env!("LIBTORCH"));
    fs::create_dir_all(bench.path("fake")).unwrap();
    std::os::unix::fs::symlink(libtorch.join("lib"), bench.path("fake/lib")).unwrap();
    let planned = || {
        let mut command = bench.command(&["plan", "suite.yaml"]);
        command.env("LD_LIBRARY_PATH", bench.path("fake/lib"));
        output(command)
    };
    bench.write("fake/build-version", "2.3.0+cpu\n");
    let refused = planned().ends(2);
    assert!(refused.stderr.contains("which is 2.3.0+cpu"), "{}", refused.stderr);
    assert!(refused.stderr.contains("unset LD_LIBRARY_PATH"), "{}", refused.stderr);
    fs::copy(libtorch.join("build-version"), bench.path("fake/build-version")).unwrap();
    planned().ends(0);
}

#[test]
fn a_run_is_reproduced_without_writing_to_its_store_and_other_processors_are_named() {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 0).cell;
    let path = bench.path("runs").join(&cell).join("record.json");
    let text = fs::read_to_string(&path).unwrap();
    let cpu = bench.record("sgd", 0).environment.cpu;
    fs::write(
        &path,
        text.replace(&cpu, "Slow CPU of 2009").replace("\"threads\":1", "\"threads\":4"),
    )
    .unwrap();
    fs::remove_dir_all(bench.path("runs/.tmp")).unwrap();
    bench.write("runs/.tmp", "in the way");
    let before = bench.files("runs");
    let again = bench.run(&["reproduce", &cell]).ends(0);
    assert_eq!(bench.files("runs"), before);
    assert!(again.stderr.contains("CPU: Slow CPU of 2009, here"), "{}", again.stderr);
    assert!(again.stderr.contains("number of torch threads: 4, here 1"), "{}", again.stderr);
    let other = bench.record("adamw", 0).cell;
    let compared = bench.run(&["compare", &cell, &other]).ends(0);
    assert!(compared.stderr.contains("CPU: Slow CPU of 2009 and"), "{}", compared.stderr);
}

#[test]
fn what_killed_repetitions_of_builds_of_before_left_is_swept() {
    let bench = Bench::with_run(TINY);
    bench.write("runs/.tmp/reproduce-4194305/.tmp/x", "left");
    bench.write("runs/suites/tiny/.tiny.1.tmp", "left");
    run(&bench, &[]).ends(0);
    assert!(bench.files("runs/.tmp").is_empty(), "{:?}", bench.files("runs/.tmp"));
    assert_eq!(bench.files("runs/suites").len(), 1);
}

#[test]
fn just_bench_reports_the_run_that_it_has_made_in_the_store_that_it_was_made_in() {
    let bench = Bench::with_run(TINY);
    let script = root().join("scripts/bench.py");
    let made = [script.to_str().unwrap(), env!("CARGO_BIN_EXE_palimpsest"), "suite.yaml"];
    let into = ["--store", "other", "--device", "cpu", "--methods", "sgd", "--format", "json"];
    output(bench.prepared("python3", &[&made[..], &into[..]].concat())).ends(0);
    assert_eq!(drawn(&bench, "other/reports/tiny").len(), 2);
    assert!(!bench.path("runs/reports").exists(), "the other store was reported");
    let recipe = fs::read_to_string(root().join("justfile")).unwrap();
    assert!(
        recipe
            .contains("scripts/bench.py \"${CARGO_TARGET_DIR:-target}/release/palimpsest\" \"$@\"")
    );
}
