//! A real Slurm of one machine, as Debian's packages have it: controller and daemon run in a folder of
//! their own, on ports of their own. Where `slurmctld` is not installed, these tests say so and end;
//! with `PALIMPSEST_TEST_SLURM=1` that is a failure.

#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::outcomes;
use crate::support::{Bench, Output, output};

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

/// Controller and daemon; they end with this.
struct Slurm {
    folder: TempDir,
    name: String,
    processes: Vec<Child>,
}

impl Slurm {
    /// None where it is not installed and nobody insists.
    fn start() -> Option<Self> {
        let installed = Command::new("slurmctld").arg("-V").output().is_ok();
        if !installed {
            assert!(
                std::env::var_os("PALIMPSEST_TEST_SLURM").is_none(),
                "PALIMPSEST_TEST_SLURM is set and there is no slurmctld; `apt-get install slurm-wlm`"
            );
            eprintln!("skipped: no slurmctld here");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let hostname = Command::new("hostname").arg("-s").output().unwrap();
        let name = String::from_utf8(hostname.stdout).unwrap().trim().to_owned();
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
        let here = folder.path().display();
        let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (controller, daemon) = (port(), port());
        for part in ["state", "spool"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let configuration = format!(
            "ClusterName=bench
SlurmctldHost={name}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd.pid
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/slurmd.log
ProctrackType=proctrack/linuxproc
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
NodeName={name} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES
"
        );
        fs::write(folder.path().join("slurm.conf"), configuration).unwrap();
        let mut slurm = Self { folder, name, processes: Vec::new() };
        for program in ["slurmctld", "slurmd"] {
            let mut command = slurm.asked(program, &["-D"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            slurm.processes.push(command.spawn().unwrap());
        }
        let idle = || slurm.said("sinfo", &["-h", "-o", "%t"]).trim().starts_with("idle");
        assert!(comes_true(60, idle), "the node never came up:\n{}", slurm.logs());
        Some(slurm)
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
        let log =
            |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        format!("{}\n{}", log("slurmctld.log"), log("slurmd.log"))
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
        self.said("scancel", &["-f", "-u", "root"]);
        self.said("scontrol", &["shutdown"]);
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
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
    let node = format!("NodeName={}", slurm.name);
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
