//! Arms that are programs of one's own: what an honest one gets, and what becomes of those that are not.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use ledger::record::{RunRecord, Status};

use crate::support::{Bench, Output, output, root};

const CLIENT: &str = include_str!("external/client.py");

/// The same on data of its own.
const OWN: &str = include_str!("external/own.py");

/// One program in each of its `cases`, on digits.
fn suite(cases: &[&str]) -> String {
    format!(
        "\
suite: programs
question: What becomes of a program?
workloads: [{{ workload: digits-mlp, epochs: 0.1, evaluate_every: 0.05, target: {{ value: 0.99, origin: none }} }}]
seeds: 1
arms:
  - {{ command: [python3, client.py, \"{{case}}\", \"{{note}}\"], files: [client.py], grid: {{ case: [{}] }}, with: {{ note: NOTE }} }}
",
        cases.join(", ")
    )
}

fn bench(cases: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.write("client.py", CLIENT);
    let note = bench.path("note").display().to_string();
    bench.write("suite.yaml", &suite(cases).replace("NOTE", &note));
    bench
}

fn run(bench: &Bench, more: &[&str]) -> Output {
    bench.run(&[&["run", "suite.yaml", "--device", "cpu"], more].concat())
}

/// Records by case.
fn records(bench: &Bench) -> BTreeMap<String, RunRecord> {
    let case = |record: &RunRecord| record.settings["case"].as_str().unwrap().to_owned();
    bench.records().into_iter().map(|record| (case(&record), record)).collect()
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

fn comes_true(what: impl Fn() -> bool) -> bool {
    (0..3_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        what()
    })
}

#[test]
fn every_fault_of_a_program_is_a_failed_run_that_says_so_and_others_go_on() {
    let faults = [
        (
            "never-connects",
            "it never connected to the socket that PALIMPSEST_SOCKET names; it ended with status 4; its last printed line: \"I would rather not\"",
        ),
        ("wrong-version", "it speaks version 99 of the protocol"),
        ("garbage", "it said \"GET / HTTP/1.1\", which is no message of the protocol"),
        ("flood", "it said a line of more than 1048576 bytes"),
        ("two-at-once", "it said more than one message at a time"),
        (
            "dies",
            "it closed the connection before the run was over; it ended with status 7; its last printed line: \"no room left\"",
        ),
        ("is-killed", "; signal 9 ended it"),
        ("closes", "it closed the connection before the run was over"),
        ("dies-behind-a-fork", "it was over before the run was; it ended with status 8"),
        ("too-many", "it told 5000 examples of epoch 0, but 120 were left: too many"),
        ("too-few", "too few"),
        ("goes-on", "it went on behind the step"),
        ("other-ids", "which it was not given there"),
        ("no-numbers", "which is no message of the protocol: unknown field `more`"),
        ("wrong-shape", "its shape is (240, 9), but must be (240, 10)"),
        ("climbs", "leads out of its folder"),
        ("links", "its outputs, outputs.npy: it is a link"),
    ];
    let cases: Vec<&str> =
        faults.iter().map(|(case, _)| *case).chain(["out-of-turn", "honest"]).collect();
    let bench = bench(&cases);
    let ran = run(&bench, &[]).ends(4);
    let found = records(&bench);
    for (case, told) in faults {
        let record = &found[case];
        assert_eq!(record.status, Status::Failed, "{case}");
        let error = record.error.as_deref().unwrap_or_default();
        assert!(error.contains(told), "{case}: {error}");
        assert!(record.order.is_none(), "{case}");
    }
    // By when it is heard: with the message before, before the next question, or as the answer to that.
    let error = found["out-of-turn"].error.as_deref().unwrap_or_default();
    let told = ["more than one message", "spoke before it was asked", "where `outputs` was due"];
    assert!(told.iter().any(|told| error.contains(told)), "{error}");
    assert_eq!(found["honest"].status, Status::Censored);
    assert!(ran.stderr.contains("18 of 19 cells failed"), "{}", ran.stderr);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    bench.run(&["verify"]).ends(0);
}

#[test]
fn an_honest_program_is_recorded_with_who_it_is_and_its_order_is_told() {
    let bench = bench(&["honest", "prints-garbage", "prints-a-flood", "ends-badly", "nan"]);
    run(&bench, &["--keep-models"]).ends(0);
    let found = records(&bench);
    let honest = &found["honest"];
    let told = honest.external.as_ref().unwrap();
    assert_eq!(told.versions["client"], "by hand");
    assert_eq!(told.arm.command[0], "python3");
    assert!(told.arm.program.is_some() && told.arm.files[0].sha256.is_some());
    assert!(told.cpu_seconds.unwrap() > 0.0 && told.peak_memory_bytes.unwrap() > 1 << 20);
    assert_eq!((honest.method.as_str(), honest.parameter_count), ("external", 3));
    assert_eq!(honest.facts["told"]["looks"], 4);
    assert_eq!((honest.samples, honest.steps), (120, 2));
    assert!((honest.last["test/accuracy"] - 0.1).abs() < 0.05, "{:?}", honest.last);
    assert_eq!(found["nan"].status, Status::Diverged);
    let file =
        |case: &str, name: &str| fs::read(bench.store().folder(&found[case].cell).join(name));
    assert_eq!(file("honest", "saved").unwrap(), b"a model");
    assert!(file("nan", "saved").is_err());
    assert!(
        String::from_utf8_lossy(&file("prints-garbage", "output.txt").unwrap())
            .contains("last words")
    );
    let flood = file("prints-a-flood", "output.txt").unwrap();
    assert!(flood.len() <= 64 << 10 && flood.ends_with(b"the end\n"));
    let remarks = &found["ends-badly"].warnings;
    assert!(remarks.iter().any(|remark| remark.contains("status 9")), "{remarks:?}");

    let id = honest.cell.as_str();
    let checked = bench.run(&["verify", id]).ends(0);
    assert!(checked.stdout.contains("told"), "{}", checked.stdout);
    bench.run(&["verify", id, "--complete"]).ends(3);
    let proof = bench.run(&["prove", id, "--step", "1", "--slot", "3"]).ends(0);
    assert_eq!(proof.json()["told"], true);
    bench.write("proof.json", &proof.stdout);
    let proved = bench.run(&["prove", "--check", "proof.json"]).ends(0).stdout;
    assert!(proved.contains("told: a program of one's own"), "{proved}");
    let elsewhere = ["prove", "--check", "proof.json", "--store", "elsewhere"];
    let proved = bench.run(&elsewhere).ends(0).stdout;
    assert!(proved.contains("told: a program of one's own"), "{proved}");
    bench.write("proof.json", &proof.stdout.replace("\"told\": true", "\"told\": false"));
    bench.run(&["prove", "--check", "proof.json"]).ends(1);

    bench.run(&["report", "programs"]).ends(0);
    let page = fs::read_to_string(bench.path("runs/reports/programs/index.html")).unwrap();
    assert!(page.contains("uniform (told)") && page.contains("told, not measured"));
    let statement = bench.run(&["export", id, "--to", "in-toto"]).ends(0).json();
    assert!(statement["predicate"]["external"].is_object(), "{statement}");
    assert_eq!(statement["predicate"]["told"], serde_json::json!({ "what": ["consumption"] }));
    // Nothing that rests on weights or on an order that was seen is said of it.
    let refused = bench.run(&["reproduce", id]).ends(2);
    assert!(refused.stderr.contains("names a program, but does not hold it"), "{}", refused.stderr);
    let refused = bench.run(&["provenance", "query", "--run", id, "--model", id]).ends(2);
    assert!(refused.stderr.contains("is its word"), "{}", refused.stderr);

    let again = run(&bench, &["--keep-models"]).ends(0);
    assert!(again.stderr.contains("5 of 5 cells were in the store"), "{}", again.stderr);
    bench.write("client.py", &format!("{CLIENT}\n# Edited.\n"));
    run(&bench, &[]).ends(0);
    assert_eq!(bench.cells().len(), 10);
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let bench = bench(&["forks"]);
    run(&bench, &[]).ends(0);
    let pid = fs::read_to_string(bench.path("note")).unwrap();
    assert!(comes_true(|| !lives(&pid)), "process {pid} is still there");
}

#[test]
fn a_program_that_hangs_is_stopped_by_the_time_limit() {
    let bench = bench(&["hangs", "honest"]);
    let ran = run(&bench, &["--timeout", "8s"]).ends(4);
    let found = records(&bench);
    let error = found["hangs"].error.as_deref().unwrap();
    assert!(error.contains("it took longer than"), "{error}");
    assert_eq!(found["honest"].status, Status::Censored, "{}", ran.stderr);
    let pid = fs::read_to_string(bench.path("note")).unwrap();
    assert!(comes_true(|| !lives(&pid)), "process {pid} is still there");
}

#[test]
fn a_program_ends_with_a_harness_that_is_killed_and_the_next_run_goes_on() {
    let bench = bench(&["hangs"]);
    let mut command = bench.command(&["run", "suite.yaml", "--device", "cpu"]);
    let mut harness = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(comes_true(|| bench.path("note").exists()));
    let pid = fs::read_to_string(bench.path("note")).unwrap();
    assert!(lives(&pid));
    harness.kill().unwrap();
    harness.wait().unwrap();
    assert!(comes_true(|| !lives(&pid)), "process {pid} is still there");
    bench.write("suite.yaml", &suite(&["honest"]).replace("NOTE", "none"));
    run(&bench, &[]).ends(0);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    bench.run(&["verify"]).ends(0);
}

#[test]
fn what_is_not_there_is_refused_before_anything_runs() {
    let bench = bench(&["honest"]);
    fs::remove_file(bench.path("client.py")).unwrap();
    let refused = run(&bench, &[]).ends(2);
    assert!(refused.stderr.contains("client.py, one of its `files`"), "{}", refused.stderr);
    bench.write("client.py", CLIENT);
    let text = fs::read_to_string(bench.path("suite.yaml")).unwrap();
    bench.write("suite.yaml", &text.replace("python3", "no-such-python"));
    let refused = run(&bench, &[]).ends(2);
    assert!(refused.stderr.contains("no program no-such-python on PATH"), "{}", refused.stderr);
    bench.write("suite.yaml", &text);
    let refused = run(&bench, &["--order", "external=o.npy"]).ends(2);
    assert!(refused.stderr.contains("gets the bench's order"), "{}", refused.stderr);
    let plan = bench.run(&["plan", "suite.yaml"]).ends(0);
    assert!(plan.stdout.contains("honest"), "{}", plan.stdout);
    let promised = bench.run(&["commit", "suite.yaml", "--json"]).ends(0).json();
    run(&bench, &[]).ends(0);
    let record = &records(&bench)["honest"];
    let order = record.order.as_ref().unwrap();
    assert_eq!(promised[0]["commitment"], order.commitment.to_string());
    assert_eq!(promised[0]["cell"], record.cell);
}

/// The example of the repository, with a seed less and half the epochs: it learns.
#[test]
fn the_example_learns_by_the_package_and_gets_the_order_that_our_methods_get() {
    let bench = Bench::new();
    for file in ["softmax.py", "external.yaml"] {
        let text = fs::read_to_string(root().join("examples/external").join(file)).unwrap();
        bench.write(file, &text);
    }
    let arguments = ["run", "external.yaml", "--seeds", "1", "--device", "cpu"];
    let mut command: Command = bench.command(&arguments);
    command.env("PYTHONPATH", root().join("python/src"));
    let ran = output(command).ends(0);
    let records = bench.records();
    let first = |record: &RunRecord| record.order.as_ref().unwrap().epochs[0].order_hash;
    let by = |external: bool| {
        records.iter().find(|record| record.external.is_some() == external).unwrap()
    };
    assert_eq!(first(by(true)), first(by(false)), "{}", ran.stderr);
    for record in records.iter().filter(|record| record.external.is_some()) {
        assert!(record.last["test/accuracy"] > 0.85, "{:?}", record.last);
        assert_eq!(record.external.as_ref().unwrap().arm.files[0].name, "softmax.py");
    }
    bench.run(&["verify"]).ends(0);
}

/// Programs with data of their own, one in each of its `cases`.
fn own_bench(cases: &[&str]) -> Bench {
    let bench = Bench::new();
    bench.write("own.py", OWN);
    let text = format!(
        "\
suite: own
question: What becomes of data of one's own?
workloads: [{{ workload: external, as: mine, metric: score, direction: higher, examples: 30, samples: 100, evaluate_every: 20, target: {{ value: 0.5, origin: none }} }}]
seeds: 1
arms:
  - {{ command: [python3, own.py, \"{{case}}\"], files: [own.py], grid: {{ case: [{}] }} }}
",
        cases.join(", ")
    );
    bench.write("suite.yaml", &text);
    bench
}

#[test]
fn metrics_that_are_not_those_declared_are_failed_runs_that_say_so() {
    let faults = [
        ("another", "it told the metric \"loss\", but the suite declares \"score\""),
        ("more", "it told the metric \"loss\""),
        ("none", "it told no metric, but \"score\" was due on validation"),
        ("nan", "which is no message of the protocol"),
        ("infinite", "which is no message of the protocol"),
        ("text", "which is no message of the protocol"),
        ("outputs", "it said `outputs` where `metrics` was due"),
    ];
    let cases: Vec<&str> =
        faults.iter().map(|(case, _)| *case).chain(["honest", "diverges"]).collect();
    let bench = own_bench(&cases);
    run(&bench, &[]).ends(4);
    let found = records(&bench);
    for (case, told) in faults {
        let record = &found[case];
        let error = record.error.as_deref().unwrap_or_default();
        assert!(record.status == Status::Failed && error.contains(told), "{case}: {error}");
    }
    assert_eq!(found["diverges"].status, Status::Diverged);
    assert_eq!(found["honest"].status, Status::Reached);
    bench.run(&["verify"]).ends(0);
}

#[test]
fn a_run_on_data_of_its_own_is_told_in_record_page_and_proof() {
    let bench = own_bench(&["honest"]);
    let promised = bench.run(&["commit", "suite.yaml", "--json"]).ends(0).json();
    run(&bench, &[]).ends(0);
    let record = &records(&bench)["honest"];
    assert_eq!((record.samples, record.steps, record.status), (100, 7, Status::Reached));
    let crossing = record.time_to_target.as_ref().unwrap();
    assert!(crossing.samples.is_some_and(|samples| (40.0..=60.0).contains(&samples)));
    assert_eq!(record.facts["told"]["splits"], ["validation"; 6].join(" "));
    assert_eq!(record.last.keys().collect::<Vec<_>>(), ["validation/score"]);
    let (data, order) = (record.data.as_ref().unwrap(), record.order.as_ref().unwrap());
    assert_eq!((data.origin.as_str(), record.workload_name().as_str()), ("told", "mine"));
    assert_eq!(promised[0]["commitment"], order.commitment.to_string());
    let id = record.cell.as_str();
    let checked = bench.run(&["verify", id]).ends(0).stdout;
    assert!(
        checked.contains("uniform order of the seed") && checked.contains("metrics"),
        "{checked}"
    );
    assert!(checked.contains("told the metrics; sample ids are of places alone"), "{checked}");
    bench.run(&["verify", id, "--complete"]).ends(3);
    let proof = bench.run(&["prove", id, "--step", "1", "--slot", "3"]).ends(0);
    bench.write("proof.json", &proof.stdout);
    let proved = bench.run(&["prove", "--check", "proof.json"]).ends(0).stdout;
    assert!(proved.contains("gave out this place, not what lies there"), "{proved}");
    let statement = bench.run(&["export", id, "--to", "in-toto"]).ends(0).json();
    let told = serde_json::json!({
        "workload": "mine",
        "what": ["consumption", "data", "metrics"],
    });
    assert_eq!(statement["predicate"]["told"], told);
    bench.run(&["report", "own"]).ends(0);
    let page = fs::read_to_string(bench.path("runs/reports/own/index.html")).unwrap();
    assert!(page.contains("metrics and what was consumed are told, not measured"));
    assert!(page.contains("uniform (told)") && page.contains("mine"));
    let listed = bench.run(&["list", "runs", "--json"]).ends(0).json();
    assert_eq!(listed[0]["workload"], "mine");
    // The order is the seed's: the same whatever the program.
    let again = run(&bench, &[]).ends(0);
    assert!(again.stderr.contains("1 of 1 cell was in the store"), "{}", again.stderr);
    // Under `data`, other data are other cells.
    let text = fs::read_to_string(bench.path("suite.yaml")).unwrap();
    bench.write("suite.yaml", &text.replace("metric: score", "metric: score, data: second"));
    run(&bench, &[]).ends(0);
    assert_eq!(bench.cells().len(), 2);
    let roots: std::collections::BTreeSet<_> =
        bench.records().iter().map(|record| record.order.as_ref().unwrap().dataset_root).collect();
    assert_eq!(roots.len(), 2);
}

#[test]
fn no_method_of_ours_runs_on_data_of_a_programs_own() {
    let bench = own_bench(&["honest"]);
    let text = fs::read_to_string(bench.path("suite.yaml")).unwrap();
    bench.write("suite.yaml", &format!("{text}  - {{ method: untrained }}\n"));
    let refused = run(&bench, &[]).ends(2).stderr;
    assert!(refused.contains("untrained cannot train on \"mine\""), "{refused}");
    assert!(refused.contains("suite.yaml:7"), "{refused}");
    let card = bench.run(&["explain", "external"]).ends(0).stdout;
    assert!(card.contains("as many examples as `examples` says"), "{card}");
    let fits = bench.run(&["explain", "untrained"]).ends(0).stdout;
    assert!(!fits.contains("external"), "{fits}");
}

/// The example of the repository on data of its own, judged and tuned.
#[test]
fn programs_with_data_of_their_own_are_tuned_and_compared() {
    let bench = Bench::new();
    let examples = root().join("examples/external");
    for file in ["own_data.py", "own-data.yaml"] {
        bench.write(file, &fs::read_to_string(examples.join(file)).unwrap());
    }
    let with_package = |arguments: &[&str]| {
        let mut command: Command = bench.command(arguments);
        command.env("PYTHONPATH", root().join("python/src"));
        output(command)
    };
    let ran = with_package(&["run", "own-data.yaml", "--device", "cpu", "--json"]).ends(0).json();
    assert_eq!(ran["claims"][0]["id"], "momentum-helps");
    assert_eq!(bench.cells().len(), 10);
    for record in bench.records() {
        assert!(record.last["test/accuracy"] > 0.6, "{:?}", record.last);
        assert_eq!(record.facts.get("told"), None);
    }
    // Seeds are paired: both arms get one order.
    let first = |seed: &str| {
        let records = bench.records().into_iter().filter(|record| record.seed == seed);
        let hashes = records.map(|record| record.order.unwrap().epochs[0].order_hash);
        hashes.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((first("0"), first("1")), (1, 1));
    bench.run(&["verify"]).ends(0);

    let text = fs::read_to_string(bench.path("own-data.yaml")).unwrap();
    let tuned = text
        .replace("suite: own-data", "suite: tuned\ntuning: { trials: 2, seeds: [100] }")
        .replace("as: plain, with: { lr: 0.5 }", "as: plain, tune: { lr: { log: [0.1, 1] } }");
    assert!(tuned.contains("tune:"));
    bench.write("tuned.yaml", &tuned);
    with_package(&["tune", "tuned.yaml", "--device", "cpu"]).ends(0);
    with_package(&["run", "tuned.yaml", "--device", "cpu", "--seeds", "1"]).ends(0);
}

#[test]
fn a_suite_of_programs_with_data_of_their_own_is_gated() {
    let bench = own_bench(&["honest"]);
    let program = bench.command(&[]).get_program().to_str().unwrap().to_owned();
    let gate = ["regress", "suite.yaml", "--allow-same", "--pairs", "3", "--binary", &program];
    let judged = bench.run(&gate);
    // One program on both sides: nothing got worse, and times may not be judged on a busy machine.
    assert!([Some(0), Some(3)].contains(&judged.code), "{} {}", judged.stdout, judged.stderr);
    assert!(judged.stdout.contains(" same"), "{}", judged.stdout);
}
