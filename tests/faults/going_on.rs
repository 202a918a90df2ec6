//! Runs that are kept while they train: stopped or killed, they go on with the next command and end like
//! one that was never disturbed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ledger::commitment::CommitmentIndex;
use ledger::record::format::{Event, OrderSection};
use ledger::record::{RunRecord, checkpoint};

use crate::support::{Bench, TINY, output};

/// Some thousand steps of two methods with state, kept every few of them.
fn suite() -> String {
    TINY.replace("epochs: 0.1, evaluate_every: 0.05", "epochs: 40, evaluate_every: 10")
        .replace("seeds: 2", "seeds: 1")
        .replace("method: adamw, as: adamw, with: { lr: 0.002 }", "method: ps-kd, as: ps-kd")
}

const RUN: [&str; 4] = ["run", "suite.yaml", "--device", "cpu"];
const KEPT: [&str; 2] = ["--checkpoint-every", "640 samples"];

fn spawn(bench: &Bench, more: &[&str]) -> Child {
    let mut command = bench.command(&[&RUN[..], &KEPT, more].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn().unwrap()
}

pub(super) fn checkpoints(bench: &Bench) -> Vec<PathBuf> {
    let files = bench.files("runs/.checkpoints").into_iter();
    let files = files.filter(|name| name.ends_with(".kept"));
    files.map(|name| bench.path("runs/.checkpoints").join(name)).collect()
}

/// Waits until something newer than `before` is kept; false where the run ends before.
pub(super) fn wait_for_a_checkpoint(bench: &Bench, child: &mut Child, before: u64) -> bool {
    let newer = |path: &PathBuf| {
        let cell = path.file_stem().unwrap().to_string_lossy().into_owned();
        checkpoint::read(path, &cell).is_ok_and(|(head, _)| head.samples > before)
    };
    while !checkpoints(bench).iter().any(newer) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

pub(super) fn send(signal: &str, to: &str) {
    assert!(Command::new("kill").args([signal, "--", to]).status().unwrap().success());
}

/// All of a record that a disturbance must not change.
pub(super) fn result(record: &RunRecord) -> impl PartialEq + std::fmt::Debug + use<> {
    let order = record.order.clone().unwrap();
    (
        (record.cell.clone(), record.status, record.parameters_sha256, record.streams.clone()),
        (record.last.clone(), record.at_target.clone(), record.facts.clone()),
        (record.steps, record.samples, record.parameter_count),
        OrderSection { index: None, ..order },
    )
}

/// What was looked at, without the clocks.
pub(super) fn looks(bench: &Bench, cell: &str) -> impl PartialEq + std::fmt::Debug + use<> {
    let events = bench.store().events(cell).unwrap().into_iter();
    let looks = events.filter_map(|event| match event {
        Event::Evaluated(look) => {
            Some((look.samples, look.steps, look.train_loss, look.metrics, look.chain))
        }
        _ => None,
    });
    looks.collect::<Vec<_>>()
}

/// Holds a bench to one whose runs nobody disturbed and nobody kept.
fn is_as_undisturbed(bench: &Bench) {
    let whole = Bench::with_run(&suite());
    assert_eq!(bench.cells(), whole.cells(), "keeping runs changes what a cell is");
    for (record, other) in bench.records().iter().zip(whole.records()) {
        assert_eq!(result(record), result(&other));
        assert_eq!(looks(bench, &record.cell), looks(&whole, &record.cell));
        let files =
            |bench: &Bench| fs::read(bench.path("runs").join(&record.cell).join("order.bin"));
        assert_eq!(files(bench).unwrap(), files(&whole).unwrap());
        let clocks = record.clocks;
        assert!(clocks.unaccounted().abs() < 0.5 && clocks.train > 0.0, "{clocks:?}");
    }
    bench.run(&["verify"]).ends(0);
    let index = CommitmentIndex::read_and_verify(&bench.path("runs/commitments.jsonl")).unwrap();
    assert_eq!(index.lines.len(), bench.cells().len(), "a run committed to its order twice");
    assert_eq!(bench.files("runs/.checkpoints"), [] as [String; 0], "they stay behind");
    assert_eq!(bench.files("runs/.tmp"), [] as [String; 0]);
}

#[test]
fn a_run_that_is_killed_and_then_stopped_ends_to_the_bits_of_one_that_was_not() {
    let bench = Bench::new();
    bench.write("suite.yaml", &suite());
    let mut child = spawn(&bench, &[]);
    assert!(wait_for_a_checkpoint(&bench, &mut child, 0), "it ended before it was killed");
    send("-9", &format!("-{}", child.id()));
    child.wait().unwrap();
    let [kept] = &checkpoints(&bench)[..] else { panic!("one run is kept") };
    let cell = kept.file_stem().unwrap().to_string_lossy().into_owned();
    let killed = checkpoint::read(kept, &cell).unwrap().0;
    assert!(!killed.stopped && killed.interruptions.is_empty());

    let mut child = spawn(&bench, &[]);
    assert!(
        wait_for_a_checkpoint(&bench, &mut child, killed.samples),
        "it ended before its signal"
    );
    // Twice at once, as `timeout` sends it to the process and to its group: one wish.
    send("-TERM", &child.id().to_string());
    send("-TERM", &format!("-{}", child.id()));
    let said = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(130), "{text}");
    assert!(text.contains("what trains is kept") && text.contains("goes on"), "{text}");
    let stopped = checkpoint::read(kept, &cell).unwrap().0;
    assert!(stopped.stopped && stopped.samples > killed.samples);

    bench.run(&RUN).ends(0);
    is_as_undisturbed(&bench);
    let record = bench.store().record(&cell).unwrap();
    let places: Vec<_> =
        record.interruptions.iter().map(|one| (one.samples, one.stopped)).collect();
    assert_eq!(places, [(killed.samples, false), (stopped.samples, true)]);
    let told = record.warnings.iter().any(|warning| warning.contains("from a checkpoint 2 times"));
    assert!(told, "{:?}", record.warnings);
    let others = bench.records().into_iter().filter(|other| other.cell != cell);
    assert!(others.into_iter().all(|other| other.interruptions.is_empty()));
}

#[test]
fn workers_that_are_asked_to_end_keep_what_they_train() {
    let bench = Bench::new();
    bench.write("suite.yaml", &suite());
    let mut child = spawn(&bench, &["--jobs", "2"]);
    assert!(wait_for_a_checkpoint(&bench, &mut child, 0), "it ended before its signal");
    send("-TERM", &child.id().to_string());
    let said = child.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(130), "{}", String::from_utf8_lossy(&said.stderr));
    let kept = checkpoints(&bench);
    assert!(!kept.is_empty());
    for path in &kept {
        let cell = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(checkpoint::read(path, &cell).unwrap().0.stopped, "{cell} was not asked");
    }
    bench.run(&[&RUN[..], &["--jobs", "2"]].concat()).ends(0);
    is_as_undisturbed(&bench);
    let gone_on = bench.records().iter().filter(|record| !record.interruptions.is_empty()).count();
    assert_eq!(gone_on, kept.len());
}

#[test]
fn a_checkpoint_that_was_changed_or_is_of_another_run_is_told_and_the_run_starts_anew() {
    let bench = Bench::new();
    bench.write("suite.yaml", &suite());
    let mut child = spawn(&bench, &[]);
    assert!(wait_for_a_checkpoint(&bench, &mut child, 0), "it ended before it was killed");
    send("-9", &format!("-{}", child.id()));
    child.wait().unwrap();
    let kept = checkpoints(&bench).remove(0);
    let mut bytes = fs::read(&kept).unwrap();
    // The other cell gets this one's, and this one gets a changed one.
    let own = kept.file_stem().unwrap().to_string_lossy().into_owned();
    let whole = Bench::with_run(&suite());
    let other = whole.cells().into_iter().find(|cell| *cell != own).unwrap();
    fs::write(kept.with_file_name(format!("{other}.kept")), &bytes).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&kept, &bytes).unwrap();
    let run = bench.run(&RUN).ends(0);
    assert!(run.stderr.contains(&format!("run {own} starts anew")), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("it is of run {own}")), "{}", run.stderr);
    assert!(bench.records().iter().all(|record| record.interruptions.is_empty()));
    let parameters = |bench: &Bench| -> Vec<_> {
        bench.records().into_iter().map(|record| record.parameters_sha256).collect()
    };
    assert_eq!(parameters(&bench), parameters(&whole));
    assert_eq!(bench.files("runs/.checkpoints"), [] as [String; 0]);
}

/// A file-size limit stands for a full disk.
#[test]
fn a_disk_that_cannot_hold_a_checkpoint_is_told_once_and_the_run_ends_well() {
    let bench = Bench::new();
    let short = suite().replace("epochs: 40, evaluate_every: 10", "epochs: 5, evaluate_every: 1");
    bench.write("suite.yaml", &short);
    // In blocks of 512 or 1024 bytes: runs without models fit, the weights of a network and its momenta do not.
    let run = [&RUN[..], &KEPT, &["--methods", "sgd"]].concat();
    let said = output(bench.limited("trap '' XFSZ; ulimit -f 96", &run)).ends(0);
    assert_eq!(said.stderr.matches("goes on without being kept").count(), 1, "{}", said.stderr);
    assert_eq!(bench.files("runs/.checkpoints"), [] as [String; 0]);
    bench.run(&["verify"]).ends(0);
}
