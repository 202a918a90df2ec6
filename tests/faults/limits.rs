//! Stores that cannot be written, disks that are full, training that diverges.

use std::fs;
use std::process::Command;

use crate::support::{Bench, TINY, output};

#[test]
fn a_store_that_cannot_be_made_is_refused_by_name() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    bench.write("file", "not a folder");
    for store in ["file", "file/below", "/proc/palimpsest"] {
        let refused = bench.run(&["run", "suite.yaml", "--store", store]).ends(2);
        assert!(refused.stderr.contains(store), "{}", refused.stderr);
        assert!(refused.stderr.contains("cannot create"), "{}", refused.stderr);
    }
    assert_eq!(fs::read_to_string(bench.path("file")).unwrap(), "not a folder");
}

/// A file-size limit stands for a full disk: with the signal ignored, writes fail part-way.
#[test]
fn a_full_disk_stops_the_run_with_the_file_and_loses_nothing() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    // In blocks of 512 or 1024 bytes: within the first commitment, within the sample ids.
    for blocks in [1, 8] {
        let limits = format!("trap '' XFSZ; ulimit -f {blocks}");
        let arguments = ["run", "suite.yaml", "--device", "cpu"];
        let refused = output(bench.limited(&limits, &arguments)).ends(2);
        assert!(refused.stderr.contains("error: cannot "), "{}", refused.stderr);
        assert!(refused.stderr.contains("runs/"), "no file is named: {}", refused.stderr);
        assert!(bench.cells().is_empty());
    }
    finishes(&bench);
}

#[test]
fn a_run_ended_by_the_limit_itself_is_finished_by_the_next() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    for blocks in [1, 8] {
        let limits = format!("ulimit -c 0; ulimit -f {blocks}");
        let killed = output(bench.limited(&limits, &["run", "suite.yaml", "--device", "cpu"]));
        assert_ne!(killed.code, Some(0), "{killed:?}");
        assert!(bench.cells().is_empty());
    }
    finishes(&bench);
}

/// A file system of its own, as a quota makes one: nothing fits any more, at whatever file that is.
#[test]
fn a_store_over_its_quota_loses_nothing_and_is_finished_when_there_is_room_again() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    fs::create_dir(bench.path("runs")).unwrap();
    let program = [env!("CARGO_BIN_EXE_palimpsest"), "run", "suite.yaml", "--device", "cpu"];
    let can = Command::new("unshare").args(["-m", "true"]).status();
    if !can.is_ok_and(|status| status.success()) {
        return;
    }
    // Room for an index; for some files of a run; for a run and a part of the next.
    for kilobytes in [4, 32, 96, 160] {
        let script = format!(
            "mount -t tmpfs -o size={kilobytes}k none runs && \
             if \"$0\" \"$@\"; then echo it fits; fi; mount -o remount,size=64m runs && \
             \"$0\" \"$@\" --keep-models && \"$0\" verify && ls runs/.tmp | wc -l"
        );
        let said =
            output(bench.prepared(
                "unshare",
                &[&["-m", "sh", "-c", script.as_str()], &program[..]].concat(),
            ));
        let said = said.ends(0);
        assert!(!said.stdout.contains("it fits"), "{kilobytes} kB: {}", said.stdout);
        assert!(said.stderr.contains("No space left on device"), "{kilobytes} kB: {}", said.stderr);
        assert_eq!(said.stdout.trim_end().lines().last(), Some("0"), "{}", said.stdout);
    }
}

fn finishes(bench: &Bench) {
    bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    assert_eq!(bench.cells().len(), 4);
    bench.run(&["verify"]).ends(0);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
}

#[test]
fn training_that_diverges_is_a_result_and_is_reported() {
    let bench = Bench::new();
    let suite = TINY.replace("lr: 0.05", "lr: 1.0e30").replace("value: 0.05", "value: 0.9");
    let run = bench.run_suite(&suite).ends(0);
    assert!(run.stderr.contains("diverged"), "{}", run.stderr);
    for seed in [0, 1] {
        let record = bench.record("sgd", seed);
        assert_eq!(record.status, ledger::record::Status::Diverged);
        assert!(record.time_to_target.is_none_or(|crossing| crossing.isotonic.is_none()));
        assert!(record.last.values().all(|value| value.is_finite()));
    }
    bench.run(&["verify"]).ends(0);
    bench.run(&["report", "tiny"]).ends(0);
    let page = fs::read_to_string(bench.path("runs/reports/tiny/index.html")).unwrap();
    assert!(page.contains("diverged"), "the page is silent about it");
    let again = bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    assert!(again.stderr.contains("4 of 4 cells were in the store"), "{}", again.stderr);
}

#[test]
fn settings_that_do_not_fit_together_are_refused_before_anything_runs() {
    let bench = Bench::new();
    let arm = "{ method: granet, as: adamw, with: { initial_density: 0.1, final_density: 0.5 } }";
    let suite = TINY.replace("{ method: adamw, as: adamw, with: { lr: 0.002 } }", arm);
    let refused = bench.run_suite(&suite).ends(2);
    assert!(refused.stderr.contains("suite.yaml:9:"), "{}", refused.stderr);
    assert!(refused.stderr.contains("density"), "{}", refused.stderr);
    assert!(!bench.path("runs").exists());
}

#[test]
fn a_batch_larger_than_the_data_is_one_step_an_epoch() {
    let bench = Bench::new();
    let suite = TINY.replace("batch_size: 32", "batch_size: 100000");
    bench.run_suite(&suite.replace("epochs: 0.1", "epochs: 2")).ends(0);
    assert!(bench.records().iter().all(|record| record.steps == 2));
    bench.run(&["verify"]).ends(0);
}

#[test]
fn a_cell_that_exceeds_its_time_limit_is_recorded_as_failed_and_the_suite_goes_on() {
    let bench = Bench::new();
    // Hours on one workload, a moment on the other.
    let endless = TINY
        .replace(
            "workloads: [{ workload: digits-mlp, epochs: 0.1, evaluate_every: 0.05,",
            "workloads: [{ workload: digits-mlp, as: endless, epochs: 100000, evaluate_every: 100000, target: { value: 0.99, origin: none } }, { workload: digits-mlp, as: quick, epochs: 0.1, evaluate_every: 0.05,",
        )
        .replace("  - { method: adamw, as: adamw, with: { lr: 0.002 } }\n", "")
        .replace("seeds: 2", "seeds: 1");
    bench.write("suite.yaml", &endless);
    let run = ["run", "suite.yaml", "--device", "cpu", "--timeout", "15s"];
    let output = bench.run(&run).ends(4);
    assert!(output.stderr.contains("1 of 2 cells failed"), "{}", output.stderr);
    assert!(
        output.stderr.contains("it took longer than 15 s and was stopped"),
        "{}",
        output.stderr
    );
    let store = ledger::record::Store::at(&bench.path("runs"));
    let records: Vec<_> =
        store.cells().unwrap().iter().map(|cell| store.record(cell).unwrap()).collect();
    let failed = |record: &&ledger::record::RunRecord| {
        record.status == ledger::record::format::Status::Failed
    };
    let stopped: Vec<_> = records.iter().filter(failed).collect();
    assert_eq!((records.len(), stopped.len()), (2, 1));
    let error = stopped[0].error.as_deref();
    assert_eq!(error, Some("it took longer than 15 s and was stopped"));
    bench.run(&["verify"]).ends(0);
    let wrong = bench.run(&["run", "suite.yaml", "--timeout", "soon"]).ends(2);
    assert!(wrong.stderr.contains("\"soon\" is no time limit"), "{}", wrong.stderr);
}
