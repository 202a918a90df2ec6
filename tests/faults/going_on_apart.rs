//! The same of runs that are not trained in one process of ours, of states that do not fit, and of searches.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ledger::commitment::CommitmentIndex;
use ledger::record::{RunRecord, Status, checkpoint};

use super::going_on::{checkpoints, looks, result, send, wait_for_a_checkpoint};
use crate::support::{Bench, Output, output, root};

/// A program with momentum and noise, on points of its own and on digits.
const PROGRAM: &str = include_str!("kept.py");

/// 1,250 steps, kept every few of them.
const PROGRAMS: &str = "\
suite: programs
question: Does a program of one's own go on?
workloads: [{ workload: external, as: ring, metric: accuracy, direction: higher, examples: 200, samples: 10000, evaluate_every: 500, test: true, target: { value: 0.6, origin: assumed } }]
seeds: 1
checkpoint_every: 160 samples
keep_models: true
arms:
  - { command: [python3, kept.py], files: [kept.py], as: noisy, with: { lr: 0.2 } }
";

/// Workers in processes of their own.
const WORKERS: &str = "\
suite: workers
question: Do several processes go on as one run?
workloads: [{ workload: clusters-mlp, epochs: 40, evaluate_every: 10, target: { value: 0.99, origin: none } }]
seeds: 1
checkpoint_every: 16 samples
arms:
  - { method: one-byte, as: apart, with: { batch_size: 4, workers: 3, processes: true } }
";

fn bench(suite: &str) -> Bench {
    let bench = Bench::new();
    bench.write("suite.yaml", suite);
    bench.write("kept.py", PROGRAM);
    bench
}

fn command(bench: &Bench, verb: &str) -> Command {
    let mut command = bench.command(&[verb, "suite.yaml", "--device", "cpu"]);
    command.env("PYTHONPATH", root().join("python/src")).env("NOTE", bench.path("note"));
    command
}

fn run(bench: &Bench) -> Output {
    output(command(bench, "run"))
}

fn spawn(bench: &Bench, verb: &str) -> Child {
    command(bench, verb).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Where the one checkpoint is that there is, and what its head says.
fn kept(bench: &Bench) -> checkpoint::Head {
    let [path] = &checkpoints(bench)[..] else { panic!("one run is kept") };
    head(path)
}

fn head(path: &Path) -> checkpoint::Head {
    checkpoint::read(path, &path.file_stem().unwrap().to_string_lossy()).unwrap().0
}

/// Holds a bench to one whose run nobody disturbed.
fn is_as(bench: &Bench, whole: &Bench) -> RunRecord {
    assert_eq!(bench.cells(), whole.cells());
    let (mut records, others) = (bench.records(), whole.records());
    for (record, other) in records.iter().zip(&others) {
        assert_eq!(result(record), result(other));
        assert_eq!(looks(bench, &record.cell), looks(whole, &record.cell));
        for name in ["order.bin", "saved", "messages.bin"] {
            let file = |bench: &Bench| fs::read(bench.store().folder(&record.cell).join(name)).ok();
            assert_eq!(file(bench), file(whole), "{name}");
        }
        assert!(other.interruptions.is_empty());
    }
    bench.run(&["verify"]).ends(0);
    let index = CommitmentIndex::read_and_verify(&bench.path("runs/commitments.jsonl")).unwrap();
    assert_eq!(index.lines.len(), records.len(), "a run committed to its order twice");
    assert_eq!(bench.files("runs/.checkpoints"), [] as [String; 0]);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    records.swap_remove(0)
}

#[test]
fn a_program_of_ones_own_that_is_killed_goes_on_to_the_same_bits() {
    let bench = bench(PROGRAMS);
    // The bench is killed, and its program with it.
    let mut child = spawn(&bench, "run");
    assert!(wait_for_a_checkpoint(&bench, &mut child, 0), "it ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let first = kept(&bench);
    assert!(!first.stopped && first.share.is_some_and(|share| share.cpu_share.is_none()));

    // The program alone is killed: the run failed, and is still kept.
    let mut child = spawn(&bench, "run");
    assert!(wait_for_a_checkpoint(&bench, &mut child, first.samples), "it ended before");
    send("-9", &fs::read_to_string(bench.path("note")).unwrap());
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(4), "{}", String::from_utf8_lossy(&said.stderr));
    let failed = bench.records().remove(0);
    assert_eq!(failed.status, Status::Failed);
    assert!(failed.error.as_ref().is_some_and(|error| error.contains("signal 9 ended it")));
    let second = kept(&bench);

    // Both are asked to end, as schedulers ask every process of a job.
    let mut child = spawn(&bench, "run");
    assert!(wait_for_a_checkpoint(&bench, &mut child, second.samples), "it ended before");
    send("-TERM", &fs::read_to_string(bench.path("note")).unwrap());
    send("-TERM", &child.id().to_string());
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(130), "{}", String::from_utf8_lossy(&said.stderr));
    let third = kept(&bench);
    assert!(third.stopped && third.samples > second.samples);

    run(&bench).ends(0);
    let whole = self::bench(PROGRAMS);
    run(&whole).ends(0);
    let record = is_as(&bench, &whole);
    assert_eq!(record.facts["told"]["steps"], 1_250);
    let places: Vec<_> =
        record.interruptions.iter().map(|one| (one.samples, one.stopped)).collect();
    let expected = [(first.samples, false), (second.samples, false), (third.samples, true)];
    assert_eq!(places, expected);
    assert!(record.interruptions.iter().all(|one| one.share.is_some()));
}

#[test]
fn a_program_gets_the_data_of_the_bench_again_and_goes_on() {
    let text = PROGRAMS.replace(
        "workload: external, as: ring, metric: accuracy, direction: higher, examples: 200, samples: 10000, evaluate_every: 500, test: true,",
        "workload: digits-mlp, epochs: 2, evaluate_every: 1,",
    );
    assert!(text.contains("digits-mlp"));
    let bench = bench(&text);
    let mut child = spawn(&bench, "run");
    assert!(wait_for_a_checkpoint(&bench, &mut child, 0), "it ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
    // What is there is taken up, whether or not more is asked for.
    bench.write("suite.yaml", &text.replace("checkpoint_every: 160 samples\n", ""));
    run(&bench).ends(0);
    let whole = self::bench(&text);
    run(&whole).ends(0);
    assert_eq!(is_as(&bench, &whole).interruptions.len(), 1);
}

#[test]
fn a_program_that_keeps_nothing_is_told_and_starts_anew() {
    let bench = bench(PROGRAMS);
    bench.write("kept.py", &PROGRAM.replace("task.keep, task.restore = keep, restore", "pass"));
    let said = run(&bench).ends(0).stderr;
    assert!(said.contains("goes on without being kept") && said.contains("`keeps`"), "{said}");
    assert_eq!(bench.files("runs/.checkpoints"), [] as [String; 0]);
}

#[test]
fn workers_that_are_processes_go_on_as_one_run() {
    let bench = bench(WORKERS);
    let mut child = spawn(&bench, "run");
    assert!(wait_for_a_checkpoint(&bench, &mut child, 0), "it ended before it was killed");
    child.kill().unwrap();
    child.wait().unwrap();
    let first = kept(&bench);

    let mut child = spawn(&bench, "run");
    assert!(wait_for_a_checkpoint(&bench, &mut child, first.samples), "it ended before");
    let workers = Command::new("pgrep").args(["-P", &child.id().to_string()]).output().unwrap();
    let workers = String::from_utf8(workers.stdout).unwrap();
    assert_eq!(workers.lines().count(), 2, "the first of three workers is the run itself");
    for process in workers.lines() {
        send("-TERM", process);
    }
    send("-TERM", &child.id().to_string());
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(130), "{}", String::from_utf8_lossy(&said.stderr));
    let second = kept(&bench);
    assert!(second.stopped && second.samples > first.samples);

    run(&bench).ends(0);
    let whole = self::bench(WORKERS);
    run(&whole).ends(0);
    assert_eq!(is_as(&bench, &whole).interruptions.len(), 2);
}

#[test]
fn a_state_that_does_not_fit_is_told_and_the_run_starts_anew_under_its_commitment() {
    for suite in [WORKERS, PROGRAMS] {
        let bench = bench(suite);
        let mut child = spawn(&bench, "run");
        assert!(wait_for_a_checkpoint(&bench, &mut child, 0), "it ended before it was killed");
        child.kill().unwrap();
        child.wait().unwrap();
        // As another build might have written it: whole, and not what this one reads.
        let [path] = &checkpoints(&bench)[..] else { panic!("one run is kept") };
        let cell = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (head, mut state) = checkpoint::read(path, &cell).unwrap();
        let place = state.windows(7).rposition(|window| window == b"samples").unwrap();
        state[place] = b'S';
        checkpoint::write(path, &head, &state).unwrap();
        let said = run(&bench).ends(0).stderr;
        let told = "starts anew: what was kept of the run is not its state";
        assert!(said.contains(&format!("run {cell} {told}")), "{said}");
        let whole = self::bench(suite);
        run(&whole).ends(0);
        assert_eq!(is_as(&bench, &whole).interruptions, []);
    }
}

#[test]
fn a_search_that_is_asked_to_end_keeps_its_trials_and_says_how_to_go_on() {
    let suite = "\
suite: search
question: Which rate?
workloads: [{ workload: digits-mlp, epochs: 12, evaluate_every: 3, target: { value: 0.15, origin: a little above chance } }]
seeds: 1
settings: { batch_size: 32 }
tuning: { trials: 4, seeds: [100] }
checkpoint_every: 320 samples
arms:
  - { method: sgd, as: sgd, tune: { lr: { log: [0.005, 0.5] } } }
";
    let tune = |bench: &Bench| output(command(bench, "tune")).ends(0);
    let chosen = |bench: &Bench| {
        let text = fs::read_to_string(bench.path("suite.tuned.yaml")).unwrap();
        text.lines().find(|line| line.contains("chosen:")).unwrap().to_owned()
    };
    let whole = bench(suite);
    tune(&whole);
    for (checkpoints_wanted, jobs) in [(true, "1"), (true, "2"), (false, "1")] {
        let text = suite.replace("checkpoint_every: 320 samples\n", "");
        let bench = bench(if checkpoints_wanted { suite } else { &text });
        let mut child = {
            let mut command = command(&bench, "tune");
            command.args(["--jobs", jobs]).stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let waits = |what: &dyn Fn() -> bool, child: &mut Child| {
            while !what() {
                assert!(child.try_wait().unwrap().is_none(), "it ended before its signal");
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        waits(&|| !bench.cells().is_empty(), &mut child);
        if checkpoints_wanted {
            waits(&|| !checkpoints(&bench).is_empty(), &mut child);
        }
        send("-TERM", &child.id().to_string());
        let said = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(130), "{text}");
        let there = bench.cells().len();
        let words = " of 4 runs of trials are in the store; the same command goes on";
        assert!(text.contains(words), "{text}");
        assert!((1..4).contains(&there) && !bench.path("suite.tuned.yaml").exists());
        assert_eq!(!checkpoints(&bench).is_empty(), checkpoints_wanted);
        let again = tune(&bench);
        assert!(again.stderr.contains("in the store already"), "{}", again.stderr);
        assert_eq!(chosen(&bench), chosen(&whole));
        assert_eq!(bench.cells(), whole.cells());
        let went_on = bench.records().iter().filter(|run| !run.interruptions.is_empty()).count();
        assert_eq!(went_on > 0, checkpoints_wanted);
    }
}
