//! Processes that die, and processes that meet.

use std::fs;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use ledger::commitment::CommitmentIndex;
use ledger::digest::Digest;
use ledger::order;
use training::clock::{Monotonic, Time as _};

use crate::support::{Bench, TINY};

/// Seeds of one run, each with two arms.
const SEEDS: u64 = 5;

fn spawn(bench: &Bench, arguments: &[&str]) -> Child {
    let mut command = bench.command(arguments);
    // A group of its own, so that workers and an engine behind the program die with it.
    command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().unwrap()
}

/// Kills the whole group with signal 9; returns how the leader ended.
fn kill(mut child: Child) -> ExitStatus {
    let group = format!("-{}", child.id());
    let killed = Command::new("kill").args(["-9", "--", &group]).stderr(Stdio::null()).status();
    killed.unwrap();
    child.wait().unwrap()
}

fn index_length(bench: &Bench) -> u64 {
    fs::metadata(bench.path("runs/commitments.jsonl")).map_or(0, |file| file.len())
}

/// Waits until the run has committed to its first cell, or is over.
fn wait_for_commitment(bench: &Bench, child: &mut Child, before: u64) {
    while index_length(bench) == before && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn check_what_is_left(bench: &Bench) {
    let store = bench.store();
    for cell in store.cells().unwrap() {
        assert!(
            store.manifest(&cell).is_ok() && store.record(&cell).is_ok(),
            "{cell} is half there"
        );
    }
    let path = bench.path("runs/commitments.jsonl");
    if path.exists() {
        CommitmentIndex::read_and_verify(&path).unwrap();
    }
}

/// `PALIMPSEST_KILLS` of them, 40 by default. Every fourth falls anywhere in the life of the
/// process, the others after the first commitment; every second hits a run that replaces records.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "how many kills landed is for whoever reads the test's output"
)]
fn killed_runs_leave_whole_records_and_the_next_run_completes() {
    let kills: u64 = std::env::var("PALIMPSEST_KILLS")
        .map_or(40, |text| text.parse().expect("PALIMPSEST_KILLS must be a whole number"));
    let bench = Bench::new();
    bench.write("suite.yaml", &TINY.replace("seeds: 2", &format!("seeds: {SEEDS}")));
    let time = Monotonic::start();
    let mut child = spawn(&bench, &["run", "suite.yaml", "--device", "cpu"]);
    wait_for_commitment(&bench, &mut child, 0);
    let start_up = time.now();
    assert!(child.wait().unwrap().success());
    let working = time.now() - start_up;

    let mut random = order::generator(&Digest::of(b"moments of the kills"));
    let mut share = |of: Duration| {
        of.mul_f64(f64::from(u32::try_from(order::bounded(&mut random, 1000)).unwrap()) / 1000.0)
    };
    let (mut killed, mut mid_run) = (0, 0);
    for round in 1..=kills {
        let replacing = round % 2 == 0;
        let first = if replacing { 0 } else { round.div_ceil(2) * SEEDS };
        let seeds = format!("{first}..{}", first + SEEDS);
        let mut arguments = vec!["run", "suite.yaml", "--device", "cpu", "--seeds", &seeds];
        arguments.extend(replacing.then_some("--force"));
        let before = index_length(&bench);
        let mut child = spawn(&bench, &arguments);
        if round % 4 == 0 {
            std::thread::sleep(share(start_up + working));
        } else {
            wait_for_commitment(&bench, &mut child, before);
            std::thread::sleep(share(working));
        }
        let status = kill(child);
        assert!(status.success() || status.signal() == Some(9), "{status}");
        let by_signal = status.signal() == Some(9);
        killed += u64::from(by_signal);
        mid_run += u64::from(by_signal && index_length(&bench) > before);
        check_what_is_left(&bench);
    }
    println!(
        "{killed} of {kills} kills hit a living process, {mid_run} after its first commitment"
    );
    assert!(mid_run * 4 >= kills, "only {mid_run} of {kills} kills landed in a run");

    // The next runs: in pieces, so that no analysis grows large.
    let seeds = (kills.div_ceil(2) + 1) * SEEDS;
    for first in (0..seeds).step_by(50) {
        let seeds = format!("{first}..{}", seeds.min(first + 50));
        bench.run(&["run", "suite.yaml", "--device", "cpu", "--seeds", &seeds]).ends(0);
    }
    bench.run(&["verify"]).ends(0);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0], "temporary files remain");
    let strays: Vec<_> =
        bench.files("runs").into_iter().filter(|path| path.ends_with(".tmp")).collect();
    assert!(strays.is_empty(), "{strays:?}");
    let index = CommitmentIndex::read_and_verify(&bench.path("runs/commitments.jsonl")).unwrap();
    assert_eq!(index.torn_bytes, 0);
    for record in bench.records() {
        let place = record.order.unwrap().index.unwrap();
        let at = usize::try_from(place.sequence).unwrap();
        assert_eq!(index.lines[at].entry.cell, record.cell);
    }
}

#[test]
fn two_processes_on_one_store_share_the_work_and_agree() {
    let bench = Bench::new();
    bench.write("suite.yaml", &TINY.replace("seeds: 2", "seeds: 6"));
    let arguments = ["run", "suite.yaml", "--device", "cpu", "--json"];
    let start = || {
        let mut command = bench.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, second) = (start(), start());
    let outputs = [first, second].map(|child| child.wait_with_output().unwrap());
    for output in &outputs {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    assert_eq!(outputs[0].stdout, outputs[1].stdout);
    assert_eq!(bench.cells().len(), 12);
    let index = CommitmentIndex::read_and_verify(&bench.path("runs/commitments.jsonl")).unwrap();
    assert_eq!(index.lines.len(), 12, "a cell was run twice");
    bench.run(&["verify"]).ends(0);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
}

#[test]
fn a_record_moved_aside_by_a_killed_run_comes_back() {
    let bench = Bench::with_run(TINY);
    let cell = bench.cells().remove(0);
    let record = fs::read(bench.path("runs").join(&cell).join("record.json")).unwrap();
    // As a run under --force leaves it when it is killed between its two renames.
    let aside = bench.path("runs/.tmp").join(format!("{cell}.old"));
    fs::rename(bench.path("runs").join(&cell), &aside).unwrap();
    bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    let after = fs::read(bench.path("runs").join(&cell).join("record.json")).unwrap();
    assert!(after == record, "the record was made again");
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
}

#[test]
fn what_a_killed_run_left_is_swept_even_when_its_cell_never_runs_again() {
    let bench = Bench::new();
    bench.write("runs/.tmp/0123456789abcdef/events.jsonl", "");
    bench.write("runs/suites/.tiny.json.1.tmp", "{");
    bench.run_suite(TINY).ends(0);
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
    let suites = bench.files("runs/suites");
    assert!(matches!(suites.as_slice(), [one] if one.starts_with("tiny/2")), "{suites:?}");
}
