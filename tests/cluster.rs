//! Suites in parts: on several machines by hand, in the hands of a scheduler that a script plays, and on
//! a real Slurm where one is installed.

#![expect(clippy::print_stderr, reason = "a test that is left out says why")]

mod real;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use ledger::record::RunRecord;
use serde_json::Value;

use crate::support::{Bench, Output, output, reader};

/// Two workloads, two arms, one of which descends from the other, three seeds.
pub(crate) const SUITE: &str = "\
suite: shared
question: Does it come to the same in parts?
workloads:
  - { workload: digits-mlp, as: long, epochs: 0.4, evaluate_every: 0.2, target: { value: 0.05, origin: chance } }
  - { workload: digits-mlp, as: short, epochs: 0.1, evaluate_every: 0.1, target: { value: 0.05, origin: chance } }
seeds: 3
baseline: sgd
settings: { batch_size: 32 }
arms:
  - { method: sgd, as: sgd, with: { lr: 0.05 } }
  - { method: adamw, as: tuned, with: { lr: 0.002 }, from: sgd }
";

/// What a run comes to, whatever machine made it: no clock and no name of a machine.
type Outcome = (String, String, BTreeMap<String, u64>);

/// What all runs of a store come to, by cell.
pub(crate) fn outcomes(bench: &Bench) -> BTreeMap<String, Outcome> {
    let outcome = |record: &RunRecord| {
        let order = serde_json::to_string(&record.order.as_ref().unwrap().epochs).unwrap();
        let last = record.last.iter().map(|(name, value)| (name.clone(), value.to_bits()));
        (record.parameters_sha256.unwrap().to_string(), order, last.collect())
    };
    bench.records().iter().map(|record| (record.cell.clone(), outcome(record))).collect()
}

fn part(bench: &Bench, shard: &str) -> Output {
    let store = format!("part-{}", shard.replace('/', "-of-"));
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--shard", shard, "--store", &store])
}

#[test]
fn three_machines_come_to_the_bits_of_one() {
    let one = Bench::with_run(SUITE);
    let several = Bench::new();
    several.write("suite.yaml", SUITE);
    for shard in ["1/3", "2/3", "3/3"] {
        let ran = part(&several, shard).ends(0);
        assert!(ran.stderr.contains(&format!("this is part {shard}")), "{}", ran.stderr);
    }
    let merged = several.run(&["merge", "part-1-of-3", "part-2-of-3", "part-3-of-3"]).ends(0);
    assert_eq!(
        merged.stdout.matches("4 runs copied, 0 here already").count(),
        3,
        "{}",
        merged.stdout
    );
    assert_eq!(outcomes(&several), outcomes(&one));
    // Nothing is left to train, every promise is there, and the whole is judged as ever.
    let whole = several.run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    assert!(whole.stderr.contains("12 of 12 cells were in the store already"), "{}", whole.stderr);
    several.run(&["verify"]).ends(0);
    several.run(&["merge", "part-1-of-3"]).ends(0);
}

#[test]
fn a_part_that_cannot_be_is_refused() {
    let bench = Bench::new();
    bench.write("suite.yaml", SUITE);
    let run = |more: &[&str]| {
        let refused =
            bench.run(&[&["run", "suite.yaml", "--device", "cpu"], more].concat()).ends(2);
        refused.stderr
    };
    assert!(run(&["--shard", "4/3"]).contains("I/N"));
    assert!(run(&["--shard", "1/7"]).contains("7 parts are more than the 6"));
    assert!(run(&["--shard", "1/2", "--attested"]).contains("cannot be used with"));
    assert!(run(&["--parts", "2"]).contains("--executor slurm"));
    let parted_twice = run(&["--executor", "slurm", "--shard", "1/2"]);
    assert!(parted_twice.contains("leave --shard out"), "{parted_twice}");
    assert!(run(&["--executor", "slurm", "--dry-run", "--attested"]).contains("--promise"));
    assert!(run(&["--executor", "slurm", "--dry-run", "--force"]).contains("another --store"));
    assert!(run(&["--executor", "slurm", "--parts", "9"]).contains("9 parts are more than the 6"));
    assert!(run(&["--attach", "shared-1"]).contains("there is no job \"shared-1\""));
    bench.write("mine.yaml", "partition: 'a; reboot'\n");
    let options = ["--executor", "slurm", "--executor-options", "mine.yaml", "--dry-run"];
    assert!(run(&options).contains("mine.yaml: partition"));
    assert!(bench.files("runs").is_empty(), "a refusal leaves nothing");
    bench.write("suite.yaml", &format!("{SUITE}executor: {{ partition: 'a b' }}\n"));
    let refused = run(&[]);
    assert!(refused.contains("suite.yaml:") && refused.contains("\"a b\""), "{refused}");
}

#[test]
fn what_would_be_handed_in_can_be_read_first() {
    let bench = Bench::new();
    bench.write("suite.yaml", &format!("{SUITE}executor: {{ partition: main, memory: 2G }}\n"));
    bench.write("mine.yaml", "partition: debug\n");
    let shown = |executor: &str| {
        let arguments = ["run", "suite.yaml", "--executor", executor, "--dry-run", "--parts", "2"];
        let own = ["--executor-options", "mine.yaml", "--seeds", "0..2"];
        bench.run(&[&arguments[..], &own].concat()).ends(0).stdout
    };
    let script = shown("slurm");
    for line in
        ["--partition=\"debug\"", "--mem=\"2G\"", "--array=1-2", "--seeds 0..2 --device auto"]
    {
        assert!(script.contains(line), "{line} is not in {script}");
    }
    let job: Value = serde_json::from_str(&shown("kubernetes")).unwrap();
    assert_eq!(job["spec"]["completions"], 2);
    assert!(bench.files("runs").is_empty(), "showing leaves nothing");
}

/// Where their checker is not installed, this says so and ends.
#[test]
fn the_manifest_keeps_to_the_schemas_that_kubernetes_publishes() {
    let tool = reader("kubernetes-validate");
    if Command::new(&tool).arg("--version").output().is_err() {
        eprintln!("left out: no kubernetes-validate here (`scripts/setup.py readers`)");
        return;
    }
    let bench = Bench::new();
    let wanted =
        "{ memory: 2G, gpus: 1, cpus: 2, namespace: lab, volume: mine, retries: 2, at_once: 1 }";
    bench.write("suite.yaml", &format!("{SUITE}executor: {wanted}\n"));
    let arguments = ["run", "suite.yaml", "--executor", "kubernetes", "--dry-run", "--parts", "2"];
    let job = bench.write("job.json", &bench.run(&arguments).ends(0).stdout);
    // From the first in which an index has retries of its own.
    for version in ["1.29", "1.33", "1.37"] {
        let mut command = Command::new(&tool);
        command.args(["--strict", "-k", version]).arg(&job);
        output(command).ends(0);
    }
}

/// A scheduler of one machine, which runs a task at once. `TROUBLE` is a shell's condition on `$task`
/// and `$array` under which a task is lost before it does anything.
fn schedule(bench: &Bench, trouble: &str) {
    let sbatch = format!(
        "#!/bin/bash
set -eu
tasks=$(sed -n 's/^#SBATCH --array=1-\\([0-9]*\\).*/\\1/p' \"${{@: -1}}\"); tasks=$(seq -s, \"$tasks\")
for word in \"$@\"; do case $word in --array=*) tasks=${{word#--array=}};; esac; done
exec 9> counter; flock 9
array=$(($(cat arrays 2>/dev/null || echo 70) + 1)); echo \"$array\" > arrays
flock -u 9
for task in ${{tasks//,/ }}; do
  if {trouble}; then continue; fi
  log=$(sed -n 's/^#SBATCH --output=\"\\(.*\\)\"/\\1/p' \"${{@: -1}}\"); log=${{log//%a/$task}}
  SLURM_JOB_ID=$((array * 100 + task)) SLURM_ARRAY_JOB_ID=$array SLURM_ARRAY_TASK_ID=$task SLURMD_NODENAME=node7 \\
    bash \"${{@: -1}}\" >> \"$log\" 2>&1 || true
done
echo \"$array;cluster\"
"
    );
    for (name, text) in
        [("sbatch", sbatch.as_str()), ("squeue", "#!/bin/bash\n"), ("scancel", "#!/bin/bash\n")]
    {
        let path = bench.write(&format!("bin/{name}"), text);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The program, for which those scripts are the scheduler.
fn on(bench: &Bench, more: &[&str]) -> Command {
    let fixed = ["run", "suite.yaml", "--device", "cpu"];
    let mut command = bench.command(&[&fixed[..], more].concat());
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", bench.path("bin").display()));
    command
}

#[test]
fn parts_that_the_scheduler_loses_are_handed_in_again_and_the_records_are_those_of_one_machine() {
    let one = Bench::with_run(SUITE);
    let bench = Bench::new();
    bench.write("suite.yaml", &format!("{SUITE}executor: {{ poll_seconds: 1 }}\n"));
    schedule(&bench, "[ $task = 2 ] && [ $array -le 72 ]");
    let ran = output(on(&bench, &["--executor", "slurm", "--parts", "3"])).ends(0);
    assert!(ran.stderr.contains("handed in as job 71, 3 parts of 12 cells"), "{}", ran.stderr);
    for array in [72, 73] {
        let again =
            format!("parts 2 ended without all of their cells: handed in again as job {array}");
        assert!(ran.stderr.contains(&again), "{}", ran.stderr);
    }
    assert!(ran.stdout.contains("tuned"), "the whole is judged: {}", ran.stdout);
    // The suite's text differs by what it asks of the scheduler, and no cell does.
    assert_eq!(outcomes(&bench), outcomes(&one));
    let jobs: Vec<String> = bench
        .records()
        .iter()
        .map(|record| record.environment.scheduler.clone().unwrap())
        .map(|scheduler| {
            format!("{} {} {}", scheduler.kind, scheduler.job, scheduler.node.unwrap())
        })
        .collect();
    assert!(jobs.contains(&"slurm 71_1 node7".to_owned()), "{jobs:?}");
    assert!(jobs.contains(&"slurm 73_2 node7".to_owned()), "{jobs:?}");
    assert!(!bench.path("runs/jobs/shared-1/part-1").exists(), "stores of parts were brought in");
    bench.run(&["verify"]).ends(0);
    // Nothing is left: handed in again, no part has anything to do.
    let again = output(on(&bench, &["--executor", "slurm", "--parts", "3"])).ends(0);
    assert!(again.stderr.contains("12 of 12 cells were in the store already"), "{}", again.stderr);
}

/// Both train all of it, for neither sees what the other has handed in; their stores come into one, one after the other.
#[test]
fn two_people_who_hand_in_one_suite_at_once_leave_one_whole_store() {
    let one = Bench::with_run(SUITE);
    let bench = Bench::new();
    bench.write("suite.yaml", &format!("{SUITE}executor: {{ poll_seconds: 1 }}\n"));
    schedule(&bench, "false");
    let hand_in = || {
        let mut command = on(&bench, &["--executor", "slurm", "--parts", "3"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let both = [hand_in(), hand_in()].map(|child| child.wait_with_output().unwrap());
    for said in both {
        let text = String::from_utf8_lossy(&said.stderr);
        // What came second stays out, and is named: its clocks are others.
        let second = text.contains("differ from those of the same cell here, which stay");
        assert_eq!(said.status.code(), Some(i32::from(second)), "{text}");
        assert!(String::from_utf8_lossy(&said.stdout).contains("tuned"), "it is judged: {text}");
    }
    assert_eq!(outcomes(&bench), outcomes(&one));
    bench.run(&["verify"]).ends(0);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    let again = output(on(&bench, &["--executor", "slurm", "--parts", "3"])).ends(0);
    assert!(again.stderr.contains("12 of 12 cells were in the store already"), "{}", again.stderr);
}

#[test]
fn a_part_that_never_ends_well_is_given_up_with_its_last_words_and_nothing_else_is_lost() {
    let bench = Bench::new();
    bench.write("suite.yaml", &format!("{SUITE}executor: {{ poll_seconds: 1, retries: 1 }}\n"));
    schedule(
        &bench,
        "[ $task = 2 ] && echo 'no space on /scratch' >> runs/jobs/shared-1/part-2.log",
    );
    let ran = output(on(&bench, &["--executor", "slurm", "--parts", "3"])).ends(4);
    assert!(
        ran.stderr.contains("part 2 of 3 was started 2 times and is not complete"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("no space on /scratch"), "{}", ran.stderr);
    assert!(ran.stderr.contains("4 of 12 cells are missing"), "{}", ran.stderr);
    assert_eq!(bench.cells().len(), 8);
    // Mended, only what is missing runs; what came of the other parts is what it was.
    let before = outcomes(&bench);
    schedule(&bench, "false");
    output(on(&bench, &["--executor", "slurm", "--parts", "3"])).ends(0);
    let after = outcomes(&bench);
    assert_eq!(after.len(), 12);
    assert!(before.iter().all(|(cell, outcome)| after.get(cell) == Some(outcome)));
}

#[test]
fn a_job_is_watched_again_by_another_process_but_not_under_another_suite() {
    let bench = Bench::new();
    bench.write("suite.yaml", &format!("{SUITE}executor: {{ poll_seconds: 1, retries: 0 }}\n"));
    schedule(&bench, "[ $task = 2 ]");
    output(on(&bench, &["--executor", "slurm", "--parts", "3"])).ends(4);
    // Whoever operates the cluster lets the part run after all.
    let script = bench.path("runs/jobs/shared-1/array.sbatch");
    schedule(&bench, "false");
    let mut sbatch = Command::new(bench.path("bin/sbatch"));
    sbatch.args(["--array=2", script.to_str().unwrap()]).current_dir(bench.path(""));
    let sources = crate::support::sources();
    sbatch.env("PALIMPSEST_DATA", &sources.data_dir).env("PALIMPSEST_CACHE", &sources.cache_dir);
    output(sbatch).ends(0);
    for name in ["71", "shared-1"] {
        let watched = output(on(&bench, &["--attach", name])).ends(0);
        assert!(watched.stdout.contains("tuned"), "{name}: {}", watched.stdout);
    }
    assert_eq!(bench.cells().len(), 12);
    let other = output(on(&bench, &["--attach", "71", "--seeds", "0..2"])).ends(2);
    assert!(
        other.stderr.contains("with no options, and this has --seeds 0..2"),
        "{}",
        other.stderr
    );
    bench.write("suite.yaml", SUITE);
    let other = output(on(&bench, &["--attach", "71"])).ends(2);
    assert!(other.stderr.contains("another text of suite shared"), "{}", other.stderr);
}
