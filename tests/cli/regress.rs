//! The regression gate as a maintainer meets it: two builds, a suite, a verdict.
//!
//! The builds are this one, by way of a script that gives its records simulated clocks and, for the
//! head, the fault that a test is about.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use analysis::regress::floor::{FLOOR_VERSION, MetricFloor, NoiseFloor};
use analysis::regress::metric::{Class, MetricName};
use analysis::regress::{Report, Snapshot, Verdict};
use ledger::digest::Digest;

use crate::support::{Bench, Output, output};

pub(super) const SUITE: &str = "\
suite: gated
question: Did it get worse?
workloads: [{ workload: digits-mlp, epochs: 0.1, evaluate_every: 0.05, target: { value: 0.05, origin: chance } }]
seeds: 2
baseline: sgd
settings: { batch_size: 32 }
arms:
  - { method: sgd, as: sgd, with: { lr: 0.05 } }
  - { method: adamw, as: adamw, with: { lr: 0.002 } }
regress:
  pairs: 4
  metrics: { time-to-target: { class: info } }
";

/// Runs the real program, then gives every record of the store a simulated clock and the fault. NAME is
/// filled in inside of f-strings, so that it may be an expression. What the real program once left for the
/// same suite and options is kept and taken again: a gate makes dozens of runs of the same few cells, and
/// only what the script does to them differs.
const SCRIPT: &str = r#"#!PYTHON -S
import glob, hashlib, json, os, shutil, subprocess, sys, time
arguments = sys.argv[1:]

def real(arguments, **more):
    return subprocess.run([PROGRAM, *arguments], **more)

if arguments[0] not in ("plan", "run"):
    sys.exit(real(arguments).returncode)
at = arguments.index("--store") + 1
store = arguments[at]
is_suite = arguments[1].endswith(".yaml") and os.path.isfile(arguments[1])
suite = open(arguments[1]).read() if is_suite else arguments[1]
# Programs that are arms lie beside it.
beside = os.path.join(os.path.dirname(arguments[1]) or ".", "*.py") if is_suite else ""
programs = [open(path).read() for path in sorted(glob.glob(beside))]
asked = json.dumps([arguments[0], suite, programs, arguments[2:at], arguments[at + 1:]])
kept = os.path.join(KEPT, hashlib.sha256(asked.encode()).hexdigest())
if not os.path.isdir(kept):
    made = f"{kept}-{os.getpid()}"
    os.makedirs(made + "/store")
    arguments[at] = made + "/store"
    ended = real(arguments, stdout=subprocess.PIPE)
    # 4: a cell failed, which its record tells.
    if ended.returncode not in (0, 4):
        sys.exit(ended.returncode)
    with open(made + "/answer.json", "w") as file:
        json.dump([ended.returncode, ended.stdout.decode()], file)
    os.rename(made, kept)
with open(kept + "/answer.json") as file:
    code, said = json.load(file)
sys.stdout.write(said)
if arguments[0] == "run":
    shutil.copytree(kept + "/store", store, dirs_exist_ok=True)
    for path in glob.glob(store + "/*/record.json"):
        with open(path) as file:
            record = json.load(file)
        which = f"NAME {store.rsplit('-', 1)[1]} {record['method']} {record['seed']}"
        jitter = int(hashlib.sha256(which.encode()).hexdigest()[:8], 16) / 2**32 - 0.5
        record["clocks"]["train"] = 0.1 * (1 + 0.004 * jitter)
        record["environment"]["load_at_start"] = 0.0
        record["environment"]["started_unix"] = int(time.time())
        record["environment"]["code_digest"] = f"NAME"
        if record["method"] in ("adamw", "external"):
            FAULT
        with open(path, "w") as file:
            json.dump(record, file)
sys.exit(code)
"#;

pub(super) const SLOW: &str = "record['clocks']['train'] *= 1.05";
pub(super) const OTHER_ORDER: &str = "record['order']['epochs'][0]['order_hash'] = '0' * 64";
const SEGFAULT: &str = "import os; os.remove(path); os.kill(os.getpid(), 11)";
const HANG: &str = "import os, time; os.remove(path); time.sleep(1000)";
const BETTER: &str = "record['clocks']['train'] *= 0.95";
const CRASH: &str = "record.update(status='failed', error='it \\x1b[31mburned')";

/// The text of a build with a fault; its jitter is drawn by its name.
pub(super) fn script(bench: &Bench, name: &str, fault: &str) -> String {
    script_around(env!("CARGO_BIN_EXE_palimpsest"), bench, name, fault)
}

/// The same around any program that plans and runs suites.
pub(super) fn script_around(program: &str, bench: &Bench, name: &str, fault: &str) -> String {
    static PYTHON: OnceLock<String> = OnceLock::new();
    // By its own path: what stands for it on PATH may be a script that takes longer than ours.
    let python = PYTHON.get_or_init(|| {
        let mut command = Command::new("python3");
        command.args(["-c", "import sys; print(sys.executable, end='')"]);
        output(command).ends(0).stdout
    });
    SCRIPT
        .replace("PYTHON", python)
        .replace("PROGRAM", &format!("{program:?}"))
        .replace("KEPT", &format!("{:?}", bench.path("kept").display().to_string()))
        .replace("NAME", name)
        .replace("FAULT", fault)
}

fn program(bench: &Bench, name: &str, fault: &str) -> PathBuf {
    let path = bench.write(name, &script(bench, name, fault));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A bench with the suite, a base and a head.
fn gate(fault: &str) -> Bench {
    let bench = Bench::new();
    bench.write("gated.yaml", SUITE);
    program(&bench, "base", "pass");
    program(&bench, "head", fault);
    bench
}

fn judged(bench: &Bench, more: &[&str]) -> Output {
    let gate = ["regress", "gated.yaml", "--head", "./head", "--out", "out"];
    bench.run(&[&gate, more].concat())
}

pub(super) fn snapshot(bench: &Bench, name: &str) -> Snapshot {
    Snapshot::parse(&fs::read_to_string(bench.path(name)).unwrap(), name).unwrap()
}

pub(super) fn report(bench: &Bench) -> Report {
    serde_json::from_str(&fs::read_to_string(bench.path("out/report.json")).unwrap()).unwrap()
}

fn verdicts(bench: &Bench, metric: &str) -> Vec<(String, Verdict)> {
    let report = report(bench);
    let rows = report.rows.iter().filter(|row| row.name.metric == metric);
    rows.map(|row| (row.name.arm.clone(), row.verdict)).collect()
}

/// A floor of 0.5 % for this machine, as it is in a snapshot that was measured here.
pub(super) fn write_floor(bench: &Bench, measured: &Snapshot) {
    let names: BTreeMap<MetricName, Digest> = measured
        .cells
        .iter()
        .map(|cell| {
            let metric = "train-seconds".to_owned();
            let (workload, arm) = (cell.workload.clone(), cell.arm.clone());
            (MetricName { workload, arm, metric }, cell.config)
        })
        .collect();
    let floor = |(name, config)| MetricFloor { config, name, median: 0.002, p99: 0.005, pairs: 4 };
    let floor = NoiseFloor {
        version: FLOOR_VERSION,
        suite: measured.suite.clone(),
        machine: measured.machine.clone(),
        measured_unix: training::clock::unix_seconds() - 60,
        rounds: 8,
        comparisons: 16,
        alarms: 0,
        metrics: names.into_iter().map(floor).collect(),
    };
    bench.write("floor.json", &serde_json::to_string(&floor).unwrap());
}

/// One cheap measurement, only to know the machine.
fn with_floor(bench: &Bench) {
    judged(bench, &["--binary", "./base", "--seeds", "1", "--pairs", "3"]).ends(3);
    write_floor(bench, &snapshot(bench, "out/head.json"));
}

#[test]
fn a_head_that_is_5_percent_slower_is_measured_twice_and_regressed() {
    let bench = gate(SLOW);
    with_floor(&bench);
    let output = judged(&bench, &["--binary", "./base", "--floor", "floor.json"]).ends(1);
    let times = [("adamw", Verdict::Regressed), ("sgd", Verdict::Same)];
    assert_eq!(
        verdicts(&bench, "train-seconds"),
        times.map(|(arm, verdict)| (arm.to_owned(), verdict))
    );
    assert!(output.stderr.contains("measuring them again"), "{}", output.stderr);
    let regressed: Vec<&str> =
        output.stdout.lines().filter(|line| line.starts_with("regressed: ")).collect();
    assert_eq!(regressed.len(), 1, "{}", output.stdout);
    assert!(regressed[0].contains("in both rounds"), "{}", regressed[0]);
    assert!(output.stdout.contains("--methods adamw"), "{}", output.stdout);
    let row =
        report(&bench).rows.into_iter().find(|row| row.verdict == Verdict::Regressed).unwrap();
    let interval = row.effect.unwrap().interval;
    assert!(interval.low < 1.05 && 1.05 < interval.high && row.pairs == 4, "{row:?}");
    // Every format is there, and nothing of the measurement is left in the store.
    let files =
        ["annotations.txt", "base.json", "bmf.json", "head.json", "junit.xml", "report.json"];
    let there = bench.files("out");
    assert!(files.iter().all(|file| there.contains(&(*file).to_owned())), "{there:?}");
    assert!(
        fs::read_to_string(bench.path("out/annotations.txt")).unwrap().contains("::error title=")
    );
    assert_eq!(bench.files("runs"), Vec::<String>::new());
}

#[test]
fn a_head_that_changed_nothing_passes_and_says_nothing() {
    let bench = gate("pass");
    with_floor(&bench);
    let output = judged(&bench, &["--binary", "./base", "--floor", "floor.json"]).ends(0);
    assert_eq!(output.stdout.lines().count(), 2, "{}", output.stdout);
    let last = output.stdout.lines().last().unwrap();
    assert!(last.contains(" same · noise floor median 0.50 % (A/A 0/16)"), "{last}");
    let markdown = judged(
        &bench,
        &[
            "--binary",
            "./base",
            "--floor",
            "floor.json",
            "--format",
            "markdown",
            "--classes",
            "exact",
        ],
    );
    let markdown = markdown.ends(0).stdout;
    assert!(markdown.starts_with("<!-- palimpsest-regress -->"), "{markdown}");
    assert!(markdown.contains("only judged"), "{markdown}");
}

#[test]
fn another_order_is_regressed_under_its_seed_without_a_test() {
    let bench = gate(OTHER_ORDER);
    let classes = ["--binary", "./base", "--classes", "exact", "--pairs", "3"];
    let output = judged(&bench, &classes).ends(1);
    let orders = [("adamw", Verdict::Regressed), ("sgd", Verdict::Same)];
    assert_eq!(verdicts(&bench, "order"), orders.map(|(arm, verdict)| (arm.to_owned(), verdict)));
    assert!(output.stdout.contains("under seed \"0\""), "{}", output.stdout);
    assert!(!output.stderr.contains("again"), "{}", output.stderr);
}

#[test]
fn times_are_not_judged_without_a_floor_of_this_machine() {
    let bench = gate(SLOW);
    let gate = ["--binary", "./base", "--methods", "adamw", "--pairs", "3"];
    let output = judged(&bench, &gate).ends(3);
    assert!(output.stdout.contains("palimpsest regress aa gated.yaml"), "{}", output.stdout);
    assert_eq!(verdicts(&bench, "train-seconds"), [("adamw".to_owned(), Verdict::Inconclusive)]);
}

#[test]
fn a_head_whose_run_fails_ends_with_4_and_its_message_in_one_line() {
    let bench = gate(CRASH);
    let output =
        judged(&bench, &["--binary", "./base", "--pairs", "3", "--classes", "exact"]).ends(4);
    assert!(output.stdout.contains("failed: "), "{}", output.stdout);
    assert!(!output.stdout.contains('\u{1b}'), "{}", output.stdout);
    assert!(verdicts(&bench, "order").contains(&("adamw".to_owned(), Verdict::Missing)));
}

#[test]
fn a_kept_reference_judges_everything_but_times() {
    let bench = gate("pass");
    judged(&bench, &["--binary", "./base", "--pairs", "3"]).ends(3);
    fs::copy(bench.path("out/head.json"), bench.path("reference.json")).unwrap();
    let against = ["--against", "reference.json"];
    let untimed = ["--classes", "exact,ulp,quality"];
    judged(&bench, &[&against[..], &untimed].concat()).ends(0);
    let output = judged(&bench, &against).ends(3);
    assert!(output.stdout.contains("--classes exact,ulp,quality"), "{}", output.stdout);

    // A loss that differs by one representable number.
    let mut kept = snapshot(&bench, "reference.json");
    for metric in kept.cells.iter_mut().flat_map(|cell| &mut cell.metrics) {
        if metric.name == "validation/nll" {
            let value = metric.value.number().unwrap();
            metric.value = analysis::regress::metric::Value::Number(value.next_down());
            (metric.class, metric.best) = (Class::Ulp, None);
        }
    }
    bench.write("reference.json", &kept.to_json().unwrap());
    let suite = SUITE.replace("metrics: {", "metrics: { validation/nll: { class: ulp },");
    bench.write("gated.yaml", &suite);
    judged(&bench, &[&against[..], &["--classes", "ulp"]].concat()).ends(1);
    assert_eq!(verdicts(&bench, "validation/nll")[0].1, Verdict::Regressed);
    // What the reference tolerates counts: a change cannot loosen the gate that it has to pass.
    let tolerant = suite.replace("class: ulp }", "class: ulp, ulps: 1 }");
    bench.write("gated.yaml", &tolerant);
    judged(&bench, &[&against[..], &["--classes", "ulp"]].concat()).ends(1);
    for metric in kept.cells.iter_mut().flat_map(|cell| &mut cell.metrics) {
        if metric.class == Class::Ulp {
            metric.tolerance = Some(analysis::regress::metric::Tolerance::Ulps(1));
        }
    }
    bench.write("reference.json", &kept.to_json().unwrap());
    judged(&bench, &[&against[..], &["--classes", "ulp"]].concat()).ends(0);

    // Another machine's reference judges what no machine has a part in.
    let mut parts = kept.machine.parts.clone();
    parts.insert("cpu".to_owned(), "another".to_owned());
    kept.machine = analysis::regress::Machine::new(parts);
    bench.write("reference.json", &kept.to_json().unwrap());
    let output = judged(&bench, &[&against[..], &["--classes", "exact"]].concat()).ends(3);
    assert!(output.stdout.contains("environment-changed: "), "{}", output.stdout);
    assert_eq!(verdicts(&bench, "order")[0].1, Verdict::Same);
    assert_eq!(verdicts(&bench, "parameters")[0].1, Verdict::EnvironmentChanged);
}

#[test]
fn one_program_under_two_names_compares_nothing() {
    let bench = gate("pass");
    program(&bench, "head", "pass");
    fs::copy(bench.path("base"), bench.path("head")).unwrap();
    let gate = ["--binary", "./base", "--classes", "exact", "--pairs", "3"];
    let output = judged(&bench, &gate).ends(3);
    assert!(output.stdout.contains("the same bytes"), "{}", output.stdout);
    assert!(output.stdout.ends_with("nothing was compared\n"), "{}", output.stdout);
    let page = fs::read_to_string(bench.path("out/report.md")).unwrap();
    assert!(page.contains("- nothing was compared"), "{page}");
    // Asked for, it is measured; then the code that trains is found to be the same.
    let output = judged(&bench, &[&gate[..], &["--allow-same"]].concat()).ends(0);
    assert!(output.stdout.contains("the same training code"), "{}", output.stdout);
    // The same code in another file is no other code.
    let mut text = fs::read_to_string(bench.path("base")).unwrap();
    text.push_str("# rebuilt\n");
    bench.write("head", &text);
    let output = judged(&bench, &gate).ends(3);
    assert!(output.stdout.contains("the same training code"), "{}", output.stdout);
}

#[test]
fn a_head_that_crashes_or_hangs_ends_with_4_and_every_report() {
    for (fault, said) in [(SEGFAULT, "signal: 11"), (HANG, "took longer than 4 s and was stopped")]
    {
        let bench = gate(fault);
        let gate = ["--binary", "./base", "--pairs", "3", "--classes", "exact", "--timeout", "4s"];
        let output = judged(&bench, &gate).ends(4);
        assert!(output.stdout.contains(said), "{}", output.stdout);
        // Told once, though the arm has two seeds and as many rounds; the other arm is judged.
        let told = output.stdout.lines().filter(|line| line.starts_with("failed: ")).count();
        assert_eq!(told, 1, "{}", output.stdout);
        assert!(verdicts(&bench, "order").contains(&("sgd".to_owned(), Verdict::Same)));
        assert!(verdicts(&bench, "order").contains(&("adamw".to_owned(), Verdict::Missing)));
        assert!(fs::read_to_string(bench.path("out/report.md")).unwrap().contains("- failed: "));
        // All of its runs: no record says what machine it was.
        let alone = ["--methods", "adamw"];
        let output = judged(&bench, &[&gate[..], &alone].concat()).ends(4);
        assert!(output.stdout.contains(said), "{}", output.stdout);
    }
    let bench = gate("pass");
    let path = bench.write("head", "#!/bin/sh\nkill -9 $$\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let output = judged(&bench, &["--binary", "./base", "--pairs", "3"]).ends(4);
    assert!(output.stdout.contains("could not plan the suite"), "{}", output.stdout);
}

#[test]
fn a_faster_head_is_measured_twice_before_it_is_improved() {
    let bench = gate(BETTER);
    with_floor(&bench);
    let output = judged(&bench, &["--binary", "./base", "--floor", "floor.json"]).ends(0);
    assert!(output.stderr.contains("measuring them again"), "{}", output.stderr);
    assert!(verdicts(&bench, "train-seconds").contains(&("adamw".to_owned(), Verdict::Improved)));
    let row = report(&bench).rows.into_iter().find(|row| row.verdict == Verdict::Improved).unwrap();
    assert!(row.confirmation.unwrap().agrees, "{row:?}");
}

#[test]
fn a_suite_edited_after_the_floor_was_measured_has_no_floor() {
    let bench = gate(SLOW);
    with_floor(&bench);
    bench.write("gated.yaml", &SUITE.replace("lr: 0.002", "lr: 0.003"));
    let output = judged(&bench, &["--binary", "./base", "--floor", "floor.json"]).ends(3);
    assert!(output.stdout.contains("the noise floor is of other settings"), "{}", output.stdout);
    assert!(verdicts(&bench, "train-seconds").contains(&("sgd".to_owned(), Verdict::Same)));
}

#[test]
fn intended_changes_are_accepted_with_a_reason_and_unstable_arms_quarantined_by_the_base() {
    let bench = gate(OTHER_ORDER);
    let gate = ["--binary", "./base", "--classes", "exact", "--pairs", "3"];
    let accept = |what: &str| judged(&bench, &[&gate[..], &["--accept", what]].concat());
    let output = accept("order@adamw=blocks of 64 are drawn now").ends(0);
    assert!(output.stdout.contains("accepted: blocks of 64 are drawn now"), "{}", output.stdout);
    assert!(output.stdout.contains("1 of them excused"), "{}", output.stdout);
    accept("order@sgd=of another arm").ends(1);
    let wrong = accept("order").ends(2);
    assert!(wrong.stderr.contains("METRIC[@ARM]=REASON"), "{}", wrong.stderr);

    let held = |until: &str| {
        let exception = format!(
            "  exceptions: [{{ arm: adamw, quarantine: {{ until: {until}, reason: unstable }} }}]\n"
        );
        format!("{SUITE}{exception}")
    };
    bench.write("gated.yaml", &held("2999-12-31"));
    let output = judged(&bench, &gate).ends(0);
    assert!(
        output.stdout.contains("in quarantine until 2999-12-31: unstable"),
        "{}",
        output.stdout
    );
    bench.write("gated.yaml", &held("2020-12-31"));
    let output = judged(&bench, &gate).ends(1);
    assert!(output.stdout.contains("ended on 2020-12-31 (unstable)"), "{}", output.stdout);
    // The head's own suite decides nothing.
    bench.write("heads.yaml", &held("2999-12-31"));
    bench.write("gated.yaml", SUITE);
    judged(&bench, &[&gate[..], &["--head-suite", "heads.yaml"]].concat()).ends(1);
    bench.write("gated.yaml", &held("2999-12-31").replace("arm: adamw", "arm: adamm"));
    let unknown = judged(&bench, &gate).ends(2);
    assert!(unknown.stderr.contains("did you mean \"adamw\""), "{}", unknown.stderr);
}

#[test]
fn references_that_are_none_are_refused_before_anything_runs() {
    let bench = gate("pass");
    let refused = |reference: &str| judged(&bench, &["--against", reference]).ends(2).stderr;
    bench.write("broken.json", "{\"version\": 1,\n \"suite\": }");
    let message = refused("broken.json");
    assert!(message.contains("broken.json") && message.contains("line 2"), "{message}");
    bench.write("newer.json", "{\"version\": 99}");
    assert!(refused("newer.json").contains("version 99"));
    assert!(refused("nothing.json").contains("nothing.json"));
}

#[test]
fn an_arm_that_the_head_lost_is_missing_and_one_that_it_gained_is_new() {
    let bench = gate("pass");
    let one = SUITE.replace("  - { method: adamw, as: adamw, with: { lr: 0.002 } }\n", "");
    bench.write("one.yaml", &one);
    let classes = ["--binary", "./base", "--classes", "exact", "--pairs", "3"];
    let gained = bench.run(
        &[&["regress", "gated.yaml", "--base-suite", "one.yaml", "--out", "out"], &classes[..]]
            .concat(),
    );
    gained.ends(0);
    assert!(verdicts(&bench, "order").contains(&("adamw".to_owned(), Verdict::New)));
    let lost = bench.run(
        &[&["regress", "one.yaml", "--base-suite", "gated.yaml", "--out", "out"], &classes[..]]
            .concat(),
    );
    lost.ends(3);
    assert!(verdicts(&bench, "order").contains(&("adamw".to_owned(), Verdict::Missing)));
}

#[test]
fn a_base_that_does_not_run_is_no_verdict_and_tells_its_last_words() {
    let bench = gate("pass");
    let path = bench.write("base", "#!/bin/sh\necho 'error: no libtorch' >&2\nexit 2\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let output = judged(&bench, &["--binary", "./base"]).ends(3);
    assert!(output.stderr.contains("no libtorch"), "{}", output.stderr);
    let output = judged(&bench, &["--binary", "./nothing"]).ends(2);
    assert!(output.stderr.contains("nothing is not a file"), "{}", output.stderr);
    let output = bench.run(&["regress", "gated.yaml"]).ends(2);
    assert!(output.stderr.contains("--against") && output.stderr.contains("--binary"));
}

#[test]
fn a_metric_that_the_suite_names_and_nothing_measures_is_refused() {
    let bench = gate("pass");
    bench.write("gated.yaml", &SUITE.replace("time-to-target", "time-to-targets"));
    let output =
        judged(&bench, &["--binary", "./base", "--methods", "sgd", "--pairs", "3"]).ends(2);
    assert!(output.stderr.contains("did you mean \"time-to-target\""), "{}", output.stderr);
}

#[test]
fn a_build_against_itself_leaves_the_floor_that_the_gate_reads() {
    let bench = gate("pass");
    let aa = ["regress", "aa", "gated.yaml", "--binary", "./base", "--methods", "sgd"];
    let small = ["--seeds", "1", "--pairs", "3", "--rounds", "5"];
    let output = bench.run(&[&aa[..], &small].concat()).ends(0);
    assert!(output.stdout.contains("5 comparisons with itself"), "{}", output.stdout);
    let floors = bench.files("runs/floors");
    assert_eq!(floors.len(), 1, "{floors:?}");
    assert!(floors[0].starts_with("gated-"), "{floors:?}");
    let gate = ["--binary", "./base", "--methods", "sgd", "--seeds", "1", "--pairs", "3"];
    let output = judged(&bench, &gate);
    assert!(output.stdout.contains("noise floor median"), "{}", output.stdout);
    assert!(!output.stdout.contains("regress aa"), "{}", output.stdout);
    let few = bench.run(&[&aa[..], &["--rounds", "4"]].concat()).ends(2);
    assert!(few.stderr.contains("--rounds"), "{}", few.stderr);
}
