//! Records outlive builds: what was made by another one is told apart, and kept on request.

use std::fs;

use ledger::record::identity::CellKey;

use crate::support::{Bench, TINY};

/// Tells a run as if a build with other deciding code had made it, in a checkout with changes.
fn by_another_build(bench: &Bench, method: &str, seed: u64) {
    let (store, mut record) = (bench.store(), bench.record(method, seed));
    let old = store.folder(&record.cell);
    record.environment.code_digest = "0123456789abcdef".repeat(4);
    record.environment.git_commit = Some("375f69abc8c8".to_owned() + &"0".repeat(28));
    record.environment.git_dirty = Some(true);
    record.environment.git_diff_digest = Some("1a2b3c4d".repeat(8));
    let (workload, arm) = record.planned();
    let key = CellKey {
        workload: &workload,
        arm: &arm,
        parents: &record.parents(),
        seed: &record.seed,
        data: record.data.as_ref().unwrap().train_root.into(),
        code: &record.environment.code_digest,
    };
    record.cell = key.id().unwrap();
    fs::write(old.join("record.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    fs::rename(&old, store.folder(&record.cell)).unwrap();
}

#[test]
fn a_plan_says_what_is_there_of_which_build_and_what_is_to_be_trained() {
    let bench = Bench::with_run(TINY);
    let all = bench.run(&["plan", "suite.yaml"]).ends(0).stdout;
    assert!(all.contains("4 cells: 4 here, nothing to train"), "{all}");
    by_another_build(&bench, "sgd", 1);
    fs::remove_dir_all(bench.store().folder(&bench.record("adamw", 0).cell)).unwrap();
    for verb in [["plan", "suite.yaml"].as_slice(), &["run", "suite.yaml", "--dry-run"]] {
        let some = bench.run(verb).ends(0).stdout;
        let told = "2 here, 1 here of another build (--accept-build keeps them), 2 to train, about";
        assert!(some.contains(told), "{some}");
        assert!(some.contains("1 of 2, 1 of another build"), "{some}");
    }
    let plan = bench.run(&["plan", "suite.yaml", "--json"]).ends(0).json();
    assert_eq!(plan["to_train"]["cells"], 2);
    assert_eq!(plan["to_train"]["cells_of_unknown_cost"], 0);
}

#[test]
fn a_cost_that_is_partly_unknown_is_told_as_a_lower_bound() {
    let bench = Bench::with_run(TINY);
    bench.write("suite.yaml", &TINY.replace("arms:", "arms:\n  - { method: muon, as: muon }"));
    let plan = bench.run(&["plan", "suite.yaml"]).ends(0).stdout;
    assert!(plan.contains("6 cells: 4 here, 2 to train, cost unknown until a first run"), "{plan}");
    bench
        .run(&[
            "run",
            "suite.yaml",
            "--device",
            "cpu",
            "--force",
            "--methods",
            "muon",
            "--seeds",
            "1",
        ])
        .ends(0);
    let more = TINY.replace("seeds: 2", "seeds: 3");
    bench.write("suite.yaml", &more.replace("arms:", "arms:\n  - { method: ps-kd, as: ps-kd }"));
    let plan = bench.run(&["plan", "suite.yaml"]).ends(0).stdout;
    assert!(
        plan.contains("5 to train, at least") && plan.contains("3 of them have not run yet"),
        "{plan}"
    );
}

#[test]
fn data_that_are_not_here_are_told_before_anything_runs() {
    let bench = Bench::new();
    bench.write("suite.yaml", &TINY.replace("digits-mlp", "mnist-cnn"));
    let plan = bench.run(&["plan", "suite.yaml", "--data-dir", "nowhere"]).ends(0);
    assert!(plan.stderr.contains("the data of mnist are not here"), "{}", plan.stderr);
    assert!(plan.stderr.contains("palimpsest data fetch mnist"), "{}", plan.stderr);
}

#[test]
fn runs_of_another_build_are_trained_again_unless_they_are_accepted_and_reports_say_so() {
    let bench = Bench::with_run(TINY);
    by_another_build(&bench, "sgd", 1);
    let listed = bench.run(&["list", "runs"]).ends(0).stdout;
    assert_eq!(listed.matches("another, 375f69abc8c8+1a2b3c4d").count(), 1, "{listed}");
    let kept = bench.run(&["run", "suite.yaml", "--device", "cpu", "--accept-build"]).ends(0);
    assert_eq!(bench.cells().len(), 4, "nothing was trained");
    let warning = "1 of 4 runs are of another build (375f69abc8c8+1a2b3c4d)";
    assert!(kept.stderr.contains(warning), "{}", kept.stderr);
    bench.run(&["report", "tiny", "--out", "report"]).ends(0);
    let page = fs::read_to_string(bench.path("report/index.html")).unwrap();
    assert!(page.contains("375f69abc8c8+1a2b3c4d"), "the page names the other build");
    // Without the option the cell is trained, and the other record stays.
    let again = bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    assert_eq!(bench.cells().len(), 5);
    assert!(!again.stderr.contains("runs are of another build"), "{}", again.stderr);
}
