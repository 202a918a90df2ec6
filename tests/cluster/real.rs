//! A real Slurm, as Debian's packages have it: controller and nodes run in a folder of their own, on ports of their
//! own (`box.sh`). Where `slurmctld` is not installed, these tests say so and end; with `PALIMPSEST_TEST_SLURM=1` that
//! is a failure.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::outcomes;
use crate::support::{Bench, Output, output, root};

/// Eight cells of about a second each, in four parts.
const SUITE: &str = "\
suite: real
question: Does a scheduler's trouble change a bit?
workloads:
  - { workload: digits-mlp, epochs: 150, evaluate_every: 150, target: { value: 0.05, origin: chance } }
seeds: 4
baseline: sgd
arms:
  - { method: sgd, as: sgd, with: { lr: 0.05 } }
  - { method: adamw, as: adamw, with: { lr: 0.002 } }
executor: { poll_seconds: 1, partition: main, memory: 600M }
";

/// Controller and nodes, as `box.sh` starts them; they end with this.
struct Slurm {
    folder: TempDir,
}

impl Slurm {
    /// A node; none where it is not installed and nobody insists.
    fn start() -> Option<Self> {
        Self::of_nodes(1)
    }

    /// So many nodes; several are namespaces of this machine, which only root may have.
    fn of_nodes(nodes: u32) -> Option<Self> {
        let runs = |program: &str, arguments: &[&str]| {
            let run = Command::new(program).args(arguments).output();
            run.is_ok_and(|output| output.status.success())
        };
        let missing = if !runs("slurmctld", &["-V"]) {
            Some("no slurmctld here; `apt-get install slurm-wlm`")
        } else if nodes > 1 && !runs("unshare", &["--mount", "--uts", "--pid", "--fork", "true"]) {
            Some("nobody but root may have namespaces here")
        } else {
            None
        };
        if let Some(missing) = missing {
            let insists = std::env::var_os("PALIMPSEST_TEST_SLURM").is_some();
            assert!(!insists, "PALIMPSEST_TEST_SLURM is set: {missing}");
            eprintln!("skipped: {missing}");
            return None;
        }
        let slurm = Self { folder: tempfile::tempdir().unwrap() };
        let up = slurm.box_sh("up", &nodes.to_string());
        assert!(up, "the nodes never came up:\n{}", slurm.logs());
        Some(slurm)
    }

    /// Whether `box.sh` did something of this Slurm.
    fn box_sh(&self, verb: &str, what: &str) -> bool {
        let script = root().join("tests/cluster/box.sh");
        let folder = self.folder.path();
        let mut command = Command::new("bash");
        command.arg(script).arg(verb).arg(folder).arg(what);
        // What it starts holds on to what it is given.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    fn asked(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    fn said(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.asked(program, arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|path| path.extension().is_some_and(|kind| kind == "log"));
        logs.map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// Starts `palimpsest run suite.yaml` with these options.
    fn run(&self, bench: &Bench, more: &[&str]) -> Child {
        let fixed = ["run", "suite.yaml", "--device", "cpu"];
        let mut command = bench.command(&[&fixed[..], more].concat());
        command.env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Tasks that run, as `ARRAY_TASK`.
    fn running(&self) -> Vec<String> {
        let said = self.said("squeue", &["-h", "-r", "-t", "R", "-o", "%F_%K"]);
        said.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Slurm lets what it starts again wait for two minutes.
    fn hurry(&self) {
        for task in self.said("squeue", &["-h", "-r", "-t", "PD", "-o", "%F_%K"]).lines() {
            let job = format!("jobid={}", task.trim());
            self.said("scontrol", &["update", &job, "StartTime=now"]);
        }
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.box_sh("down", "");
    }
}

fn comes_true(seconds: u64, mut what: impl FnMut() -> bool) -> bool {
    (0..10 * seconds).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        what()
    })
}

fn over(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// One machine's runs, to which those of the cluster are held.
fn alone() -> Bench {
    Bench::with_run(SUITE)
}

/// Parts that are put back, a node that fails and a task that is killed behind our back: the
/// records are those of a machine that nothing happened to.
#[test]
fn a_slurm_that_requeues_kills_and_loses_its_node_changes_no_bit() {
    let Some(slurm) = Slurm::start() else { return };
    let bench = Bench::new();
    bench.write("suite.yaml", SUITE);
    let mut child = slurm.run(&bench, &["--executor", "slurm", "--parts", "4"]);
    assert!(comes_true(60, || !slurm.running().is_empty()), "nothing runs:\n{}", slurm.logs());
    let first = slurm.running()[0].clone();
    slurm.said("scontrol", &["requeue", &first]);
    slurm.hurry();
    assert!(comes_true(60, || slurm.running().len() == 2), "{}", slurm.logs());
    let node = format!("NodeName={}", slurm.said("sinfo", &["-h", "-N", "-o", "%N"]).trim());
    slurm.said("scontrol", &["update", &node, "State=DOWN", "Reason=test"]);
    slurm.said("scontrol", &["update", &node, "State=RESUME"]);
    assert!(
        comes_true(60, || {
            slurm.hurry();
            !slurm.running().is_empty()
        }),
        "nothing came back:\n{}",
        slurm.logs()
    );
    // Cancelled by somebody else: this part is handed in again by us.
    slurm.said("scancel", &[&slurm.running()[0]]);
    let ends = comes_true(240, || {
        slurm.hurry();
        child.try_wait().unwrap().is_some()
    });
    let ran = over(child);
    assert!(ends, "{}\n{}", ran.stderr, slurm.logs());
    let ran = ran.ends(0);
    assert!(ran.stderr.contains("handed in again as job"), "{}", ran.stderr);
    assert_eq!(outcomes(&bench), outcomes(&alone()));
    bench.run(&["verify"]).ends(0);
    let restarts = |record: &ledger::record::RunRecord| {
        record.environment.scheduler.as_ref().map_or(0, |job| job.restarts)
    };
    assert!(
        bench.records().iter().any(|record| restarts(record) > 0),
        "no record says that it was put back"
    );
}

/// The process that handed a job in is killed; another watches to the end.
#[test]
fn a_job_outlives_the_shell_that_handed_it_in() {
    let Some(slurm) = Slurm::start() else { return };
    let bench = Bench::new();
    bench.write("suite.yaml", SUITE);
    let mut child = slurm.run(&bench, &["--executor", "slurm", "--parts", "2"]);
    assert!(comes_true(60, || !slurm.running().is_empty()), "nothing runs:\n{}", slurm.logs());
    child.kill().unwrap();
    child.wait().unwrap();
    let watched = over(slurm.run(&bench, &["--attach", "real-1"])).ends(0);
    assert!(watched.stdout.contains("adamw"), "{}", watched.stdout);
    assert_eq!(bench.cells().len(), 8);
    // A second process finds nothing to do, and leaves on a polite signal were there anything.
    let again = over(slurm.run(&bench, &["--attach", "real-1"])).ends(0);
    assert!(again.stderr.contains("8 of 8 cells were in the store already"), "{}", again.stderr);
    output(bench.command(&["verify"])).ends(0);
}

/// Cells of a tenth of a second: two arms, so many seeds.
fn tiny(seeds: u32) -> String {
    format!(
        "\
suite: nodes
question: Does it matter which machine a cell is on, and that one of them dies?
workloads:
  - {{ workload: blobs-mlp, epochs: 0.5, evaluate_every: 0.25, target: {{ value: 0.05, origin: chance }} }}
seeds: {seeds}
baseline: sgd
settings: {{ batch_size: 32 }}
arms:
  - {{ method: sgd, as: sgd, with: {{ lr: 0.05 }} }}
  - {{ method: adamw, as: adamw, with: {{ lr: 0.002 }} }}
executor: {{ poll_seconds: 1, partition: main, memory: 600M }}
"
    )
}

/// A suite on three nodes, of which one loses its power once a third of the cells are there: Slurm finds out by itself and
/// starts the node's part again on another.
fn one_of_three_nodes_dies(seeds: u32, parts: u32) {
    let Some(slurm) = Slurm::of_nodes(3) else { return };
    let bench = Bench::new();
    bench.write("suite.yaml", &tiny(seeds));
    let mut child = slurm.run(&bench, &["--executor", "slurm", "--parts", &parts.to_string()]);
    let there = || {
        let files = bench.files("runs/jobs").into_iter();
        let stored = files.filter(|file| file.ends_with("/record.json") && !file.contains(".tmp"));
        stored.count() as u32
    };
    let loaded = comes_true(200, || there() >= 2 * seeds / 3 && slurm.running().len() == 3);
    assert!(loaded, "{} cells:\n{}", there(), slurm.logs());
    assert!(slurm.box_sh("kill", "node2"));
    // Slurm hears nothing of the node for ten seconds, and says that it is down.
    let ends = comes_true(200, || {
        if slurm.said("sinfo", &["-h", "-N", "-n", "node2", "-o", "%t"]).starts_with("down") {
            slurm.hurry();
        }
        child.try_wait().unwrap().is_some()
    });
    let ran = over(child);
    assert!(ends, "{}\n{}", ran.stderr, slurm.logs());
    ran.ends(0);
    let records = bench.records();
    assert_eq!(records.len() as u32, 2 * seeds);
    let jobs = records.iter().map(|record| record.environment.scheduler.as_ref().unwrap());
    let nodes: BTreeSet<_> = jobs.clone().filter_map(|job| job.node.clone()).collect();
    assert_eq!(nodes.into_iter().collect::<Vec<_>>(), ["node1", "node2", "node3"]);
    let moved = jobs.filter(|job| job.restarts > 0).count();
    assert!(moved > 0, "no cell was made by a part that was started again");
    eprintln!("{moved} of {} cells by a part that was started again", records.len());
    assert_eq!(outcomes(&bench), outcomes(&Bench::with_run(&tiny(seeds))));
    bench.run(&["verify"]).ends(0);
}

#[test]
fn a_node_that_dies_leaves_the_records_of_one_machine() {
    one_of_three_nodes_dies(15, 6);
}

#[test]
#[ignore = "minutes; what docs/cluster.md tells, at its size"]
fn two_hundred_cells_on_three_nodes_of_which_one_dies_are_those_of_one_machine() {
    one_of_three_nodes_dies(100, 12);
}
