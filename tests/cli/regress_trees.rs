//! The gate of a project whose training is its own: two checkouts, one palimpsest, a verdict.
//!
//! The project is a program of the standard library alone, and so small that only its faults can be seen.
//! The palimpsest is this one, with clocks that are simulated: its engine is a script that runs the real
//! one and then gives every record the clock that the program says it wants.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use analysis::regress::Verdict;

use super::regress::{report, script_around, snapshot, write_floor};
use crate::support::{Bench, Output, output, root};

pub(super) const SUITE: &str = "\
suite: trained
question: Did training get worse?
workloads: [{ workload: external, as: task, metric: accuracy, direction: higher, examples: 100, samples: 200, evaluate_every: 50, target: { value: 0.5, origin: assumed } }]
seeds: 4
arms: [{ command: [python3, train.py], files: [train.py], as: net }]
regress:
  pairs: 4
  metrics: { time-to-target: { class: info }, told/consumed: { class: exact } }
";

pub(super) const TRAIN: &str = include_str!("regress_trees.py");

/// What a pull request does to the program, and nothing else.
pub(super) const WORSE: (&str, &str) = ("LEVEL = 0.9", "LEVEL = 0.81");
pub(super) const OTHER_ORDER: (&str, &str) = ("return ids", "return ids[::-1]");
const SLOW: (&str, &str) = ("SLOWER = 1.0", "SLOWER = 1.05");
const CRASH: (&str, &str) = ("    task.parameters = 1", "    raise RuntimeError(\"it burned\")");
const NOTHING: (&str, &str) = ("made-up", "made-up");

/// A change of the program's text.
pub(super) fn changed((from, to): (&str, &str)) -> String {
    assert!(TRAIN.contains(from), "{from}");
    TRAIN.replace(from, to)
}

/// A palimpsest with simulated clocks, in a folder of its own.
pub(super) fn pinned(bench: &Bench) -> PathBuf {
    let program = bench.path("pinned/palimpsest");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    let real = env!("CARGO_BIN_EXE_palimpsest");
    if fs::hard_link(real, &program).is_err() {
        fs::copy(real, &program).unwrap();
    }
    // The jitter is that of the side; the code is what the record says it is.
    let side = "{os.path.basename(store).split('-')[0]}";
    let fault =
        "record['clocks']['train'] *= record.get('facts', {}).get('told', {}).get('slower', 1)";
    let engine = script_around(env!("CARGO_BIN_EXE_palimpsest-engine"), bench, side, fault);
    let code = format!("        record[\"environment\"][\"code_digest\"] = f\"{side}\"\n");
    assert!(engine.contains(&code));
    let path = bench.write("pinned/palimpsest-engine", &engine.replace(&code, ""));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// The project's own environment: our package for Python is installed in it.
pub(super) fn project(bench: &Bench, program: &str, arguments: &[&str]) -> Command {
    let mut command = bench.prepared(program, arguments);
    command.env("PYTHONPATH", root().join("python/src")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A bench with two checkouts, the head's with a change.
fn checkouts(change: (&str, &str)) -> Bench {
    let bench = Bench::new();
    for (side, text) in [("base", TRAIN.to_owned()), ("head", changed(change))] {
        bench.write(&format!("{side}/bench.yaml"), SUITE);
        bench.write(&format!("{side}/train.py"), &text);
    }
    pinned(&bench);
    bench
}

fn palimpsest(bench: &Bench, arguments: &[&str]) -> Output {
    let program = bench.path("pinned/palimpsest");
    output(project(bench, program.to_str().unwrap(), arguments))
}

fn judged(bench: &Bench, more: &[&str]) -> Output {
    let trees = ["--base-tree", "base", "--head-tree", "head", "--out", "out"];
    palimpsest(bench, &[&["regress", "bench.yaml"], &trees[..], more].concat())
}

fn regressed(bench: &Bench) -> Vec<String> {
    let rows = report(bench).rows;
    let regressed = rows.into_iter().filter(|row| row.verdict == Verdict::Regressed);
    regressed.map(|row| row.name.metric).collect()
}

#[test]
fn a_project_of_its_own_gets_0_for_nothing_and_1_for_scores_an_order_and_a_time() {
    let bench = checkouts(NOTHING);
    let first = judged(&bench, &[]).ends(3);
    assert!(first.stdout.contains("palimpsest regress aa base/bench.yaml"), "{}", first.stdout);
    write_floor(&bench, &snapshot(&bench, "out/head.json"));
    let floor = ["--floor", "floor.json"];
    let same = judged(&bench, &floor).ends(0);
    assert!(same.stdout.contains("the same in both checkouts"), "{}", same.stdout);
    assert!(!fs::read_to_string(bench.path("out/report.md")).unwrap().contains("changed -->"));

    bench.write("head/train.py", &changed(WORSE));
    let worse = judged(&bench, &floor).ends(1);
    assert!(worse.stderr.contains("measuring them again"), "{}", worse.stderr);
    assert!(!worse.stdout.contains("the same in both checkouts"), "{}", worse.stdout);
    assert!(worse.stdout.contains("--base-tree base --head-tree head --methods net"));
    let rows = report(&bench).rows;
    let accuracy = rows.iter().find(|row| row.name.metric == "validation/accuracy").unwrap();
    assert_eq!(accuracy.verdict, Verdict::Regressed, "{accuracy:?}");
    assert!(accuracy.confirmation.unwrap().agrees, "{accuracy:?}");

    bench.write("head/train.py", &changed(OTHER_ORDER));
    judged(&bench, &floor).ends(1);
    assert_eq!(regressed(&bench), ["told/consumed"]);

    bench.write("head/train.py", &changed(SLOW));
    judged(&bench, &floor).ends(1);
    assert_eq!(regressed(&bench), ["train-seconds"]);

    // What both sides measured is judged again without any run: with the floor, and without.
    let again = ["regress", "judge", "out/base.json", "out/head.json"];
    let alone = palimpsest(&bench, &[&again[..], &floor].concat()).ends(1);
    assert!(alone.stdout.contains("are those of one round"), "{}", alone.stdout);
    palimpsest(&bench, &again).ends(3);
    let untimed = ["--classes", "exact,ulp,quality"];
    palimpsest(&bench, &[&again[..], &untimed].concat()).ends(0);
    let drift = palimpsest(&bench, &[&again[..], &["--drift", "0.1"]].concat()).ends(2);
    assert!(drift.stderr.contains("both files are of one"), "{}", drift.stderr);
    let same = ["regress", "judge", "out/head.json", "out/head.json", "--classes", "exact"];
    let same = palimpsest(&bench, &same).ends(3);
    assert!(same.stdout.contains("the same bytes"), "{}", same.stdout);

    // Of another session: seed by seed, and times only where somebody answers for the machine.
    let mut other = snapshot(&bench, "out/head.json");
    other.session = Some("another".to_owned());
    bench.write("other.json", &other.to_json().unwrap());
    let sessions = ["regress", "judge", "out/base.json", "other.json"];
    let unsure = palimpsest(&bench, &sessions).ends(3);
    assert!(unsure.stdout.contains("--drift 0.05"), "{}", unsure.stdout);
    let sure = palimpsest(&bench, &[&sessions[..], &["--drift", "0.02"]].concat()).ends(1);
    assert!(sure.stdout.contains("4 values beside 4: worse than sessions"), "{}", sure.stdout);
    palimpsest(&bench, &[&sessions[..], &["--drift", "0.1"]].concat()).ends(0);
    // Where every run met a busy machine there is no time to judge, and that is no pass.
    other.cells.iter_mut().for_each(|cell| cell.disturbed = true);
    bench.write("other.json", &other.to_json().unwrap());
    for sides in [["out/base.json", "other.json"], ["other.json", "out/base.json"]] {
        let judge = [&["regress", "judge"], &sides[..], &["--drift", "0.1"]].concat();
        let busy = palimpsest(&bench, &judge).ends(3);
        assert!(busy.stdout.contains("are too few"), "{}", busy.stdout);
    }
    let floored = palimpsest(&bench, &[&sessions[..], &floor].concat()).ends(2);
    assert!(floored.stderr.contains("say --drift"), "{}", floored.stderr);
}

#[test]
fn a_head_that_crashes_does_not_build_or_sets_something_else_is_no_pass() {
    let bench = checkouts(CRASH);
    let exact = ["--classes", "exact"];
    let crashed = judged(&bench, &exact).ends(4);
    assert!(crashed.stdout.contains("it burned"), "{}", crashed.stdout);
    bench.write("head/train.py", TRAIN);
    let build = |command: &str| judged(&bench, &[&exact[..], &["--build", command]].concat());
    let broken = build("test -f only-in-base && cp train.py built").ends(3);
    assert!(broken.stderr.contains("the base"), "{}", broken.stderr);
    bench.write("base/only-in-base", "");
    let broken = build("test -f only-in-base && cp train.py built").ends(4);
    assert!(broken.stdout.contains("could not be built"), "{}", broken.stdout);
    assert!(bench.path("base/built").is_file());
    // The base judges: its own suite says what may change, and by what settings the arms are compared.
    let loose = SUITE.replace("told/consumed: { class: exact }", "told/consumed: { class: info }");
    bench.write("head/bench.yaml", &loose);
    bench.write("head/train.py", &changed(OTHER_ORDER));
    judged(&bench, &exact).ends(1);
    bench.write("head/bench.yaml", &SUITE.replace("value: 0.5", "value: 0.1"));
    let other = judged(&bench, &exact).ends(3);
    assert!(other.stdout.contains("run with other settings"), "{}", other.stdout);
}

#[test]
fn methods_of_ours_are_no_part_of_a_project_and_nothing_compared_is_no_pass() {
    let bench = checkouts(OTHER_ORDER);
    let digits = "workloads: [{ workload: digits-mlp, epochs: 0.1, evaluate_every: 0.05, target: { value: 0.05, origin: chance } }, ";
    let ours = "arms: [{ method: sgd, as: sgd, on: [digits-mlp], with: { lr: 0.05 } }, ";
    let net = "as: net }]";
    let mixed = SUITE.replace("workloads: [", digits).replace("arms: [", ours);
    let mixed = mixed.replace(net, "as: net, on: [task] }]");
    for side in ["base", "head"] {
        bench.write(&format!("{side}/bench.yaml"), &mixed);
    }
    let exact = ["--classes", "exact", "--seeds", "1"];
    let output = judged(&bench, &exact).ends(1);
    assert!(output.stdout.contains("not compared: sgd"), "{}", output.stdout);
    assert!(!report(&bench).rows.iter().any(|row| row.name.arm == "sgd"));
    let none = judged(&bench, &[&exact[..], &["--methods", "sgd"]].concat()).ends(3);
    assert!(none.stdout.contains("no arm of the suite is a program"), "{}", none.stdout);

    let refused = |arguments: &[&str], said: &str| {
        let refused = palimpsest(&bench, &[&["regress", "bench.yaml"], arguments].concat()).ends(2);
        assert!(refused.stderr.contains(said), "{arguments:?}: {}", refused.stderr);
    };
    refused(&["--base-tree", "base", "--head-tree", "base"], "one folder");
    refused(&["--base-tree", "nowhere"], "is no folder");
    refused(&["--base-tree", "base", "--head-tree", "."], "has no suite");
    // An option that nothing would read is refused, whichever of the two it stands beside.
    for (one, other) in [
        (["--base-tree", "base"], &["--binary", "x"][..]),
        (["--base-tree", "base"], &["--head", "x"]),
        (["--base-tree", "base"], &["--head-suite", "x"]),
        (["--base-tree", "base"], &["--base-suite", "x"]),
        (["--base-tree", "base"], &["--allow-same"]),
        (["--against", "x"], &["--build", "true"]),
        (["--against", "x"], &["--head-tree", "head"]),
        (["--against", "x"], &["--allow-same"]),
        (["--binary", "x"], &["--build", "true"]),
    ] {
        refused(&[&one[..], other].concat(), "cannot be used with");
    }
}

#[test]
fn two_files_of_values_are_judged_by_what_they_hold() {
    let bench = Bench::new();
    let file = |name: &str, accuracy: f64, seconds: f64| {
        let values = |middle: f64| [0.99, 1.0, 1.01, 1.005].map(|share| middle * share);
        let metric = |name: &str, class: &str, better: &str, values: [f64; 4]| {
            serde_json::json!({
                "workload": "cifar", "arm": "net", "metric": name, "class": class, "unit": "1",
                "better": better, "values": values,
            })
        };
        let metrics = [
            metric("accuracy", "quality", "higher", values(accuracy)),
            metric("seconds", "time", "lower", values(seconds)),
        ];
        let whole = serde_json::json!({ "values": 1, "suite": "s", "metrics": metrics });
        bench.write(name, &whole.to_string());
    };
    file("base.json", 0.9, 10.0);
    file("worse.json", 0.8, 10.1);
    file("slow.json", 0.9, 12.0);
    let judged = |head: &str, more: &[&str]| {
        bench.run(&[&["regress", "judge", "base.json", head, "--out", "out"], more].concat())
    };
    let worse = judged("worse.json", &["--classes", "quality"]).ends(1);
    assert!(worse.stdout.contains("4 values beside 4: worse"), "{}", worse.stdout);
    let accepted = ["--classes", "quality", "--accept", "accuracy@net=smaller"];
    judged("worse.json", &accepted).ends(0);
    judged("slow.json", &[]).ends(3);
    judged("slow.json", &["--drift", "0.05"]).ends(1);
    judged("slow.json", &["--drift", "0.3"]).ends(0);
    assert!(report(&bench).rows.iter().all(|row| row.verdict == Verdict::Same));
    judged("base.json", &["--drift", "0.05"]).ends(3);
    let refused = judged("slow.json", &["--floor", "floor.json"]).ends(2);
    assert!(refused.stderr.contains("say --drift"), "{}", refused.stderr);
    let refused = judged("nothing.json", &[]).ends(2);
    assert!(refused.stderr.contains("cannot read nothing.json"), "{}", refused.stderr);
}

#[test]
fn the_floor_of_a_checkout_is_what_its_gate_judges_times_by() {
    let bench = checkouts(SLOW);
    let small = ["--seeds", "1", "--pairs", "3"];
    let aa = ["regress", "aa", "base/bench.yaml", "--rounds", "5"];
    let measured = palimpsest(&bench, &[&aa[..], &small].concat()).ends(0);
    assert!(measured.stdout.contains("5 comparisons with itself"), "{}", measured.stdout);
    let output = judged(&bench, &[&small[..], &["--classes", "time"]].concat()).ends(1);
    assert!(output.stdout.contains("noise floor median"), "{}", output.stdout);
    assert_eq!(regressed(&bench), ["train-seconds"]);
}

#[test]
fn two_files_of_pytest_benchmark_are_judged_by_their_rounds_and_only_within_a_stated_drift() {
    let bench = Bench::new();
    let kept = root().join("harness/logs/tests/fixtures/results/pytest-benchmark.json");
    let base = fs::read_to_string(kept).unwrap();
    bench.write("base.json", &base);
    let head = |name: &str, factor: f64| {
        let mut whole: serde_json::Value = serde_json::from_str(&base).unwrap();
        for benchmark in whole["benchmarks"].as_array_mut().unwrap() {
            for seconds in benchmark["stats"]["data"].as_array_mut().unwrap() {
                *seconds = serde_json::json!(factor * seconds.as_f64().unwrap());
            }
        }
        // Python writes NaN where a number is none.
        let text = whole.to_string().replacen("\"stats\":{", "\"stats\":{\"odd\":NaN,", 1);
        assert!(text.contains("NaN"));
        bench.write(name, &text);
    };
    head("equal.json", 1.0);
    head("slow.json", 1.2);
    let judged = |head: &str, more: &[&str]| {
        bench.run(&[&["regress", "judge", "base.json", head, "--out", "out"], more].concat())
    };
    let drift = ["--drift", "0.05"];
    let same = judged("base.json", &drift).ends(3);
    assert!(same.stdout.contains("the same bytes"), "{}", same.stdout);
    let unsure = judged("slow.json", &[]).ends(3);
    assert!(unsure.stdout.contains("--drift 0.05"), "{}", unsure.stdout);
    assert!(report(&bench).rows.iter().all(|row| !row.judged));
    let slow = judged("slow.json", &drift).ends(1);
    assert!(slow.stdout.contains("5 values beside 5: worse than sessions"), "{}", slow.stdout);
    let rows = report(&bench).rows;
    let verdict = |arm: &str| rows.iter().find(|row| row.name.arm == arm).unwrap().verdict;
    assert_eq!(verdict("test_bench.py::test_sum[1000]"), Verdict::Regressed);
    // Its first round took five times as long as its last.
    assert_eq!(verdict("test_bench.py::test_sum[10]"), Verdict::Inconclusive);
    judged("equal.json", &drift).ends(0);
}

#[test]
fn files_that_do_not_fit_end_with_3_and_a_report_and_options_that_nothing_reads_with_2() {
    let bench = Bench::new();
    let file = |name: &str, suite: &str, unit: &str| {
        let metric = serde_json::json!({
            "workload": "cifar", "arm": "net", "metric": "accuracy", "class": "quality",
            "unit": unit, "better": "higher", "values": [0.9, 0.91, 0.89],
        });
        let whole = serde_json::json!({ "values": 1, "suite": suite, "metrics": [metric] });
        bench.write(name, &whole.to_string());
    };
    file("base.json", "trained", "share");
    file("head.json", "trained", "share ");
    file("other.json", "else", "share");
    file("same.json", "trained", "share");
    fs::write(bench.path("same.json"), fs::read_to_string(bench.path("same.json")).unwrap() + "\n")
        .unwrap();
    bench.write("bench.yaml", SUITE);
    let judged = |head: &str, more: &[&str]| {
        bench.run(&[&["regress", "judge", "base.json", head, "--out", "out"], more].concat())
    };
    for (head, said) in [("head.json", "has unit"), ("other.json", "the head of suite \"else\"")] {
        let unfit = judged(head, &[]).ends(3);
        assert!(unfit.stdout.contains(said), "{}", unfit.stdout);
        assert!(report(&bench).uncompared.is_some_and(|why| why.contains(said)));
    }
    judged("same.json", &["--suite", "bench.yaml"]).ends(0);
    let other = judged("other.json", &["--suite", "bench.yaml"]).ends(2);
    assert!(other.stderr.contains("other.json is of suite \"else\""), "{}", other.stderr);
    let untimed = judged("same.json", &["--drift", "0.05"]).ends(2);
    assert!(untimed.stderr.contains("--drift is about times"), "{}", untimed.stderr);
}
