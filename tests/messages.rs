//! Steps without a gradient: what the workers of a run said lies in its folder, and from the initial
//! weights it makes the final ones.

use ledger::digest::Digest;
use ledger::record::RunRecord;

use crate::support::Bench;

/// Twenty steps of four workers, from the weights of a parent, in one process and in four.
const SUITE: &str = "\
suite: said
question: Are a run's messages the run?
seeds: 1
keep_models: true
workloads: [{ workload: clusters-mlp, epochs: 1, evaluate_every: 0.5 }]
arms:
  - { method: sgd, as: parent }
  - { method: one-byte, as: byte, from: parent, with: { batch_size: 4 } }
  - { method: one-byte, as: apart, from: parent, with: { batch_size: 4, processes: true } }
  - { method: one-byte, as: nine-bit, with: { batch_size: 4, codec: nine-bit } }
";

fn message_file(bench: &Bench, record: &RunRecord) -> std::path::PathBuf {
    bench.store().folder(&record.cell).join("messages.bin")
}

#[test]
fn what_workers_said_is_in_the_run_folder_and_makes_its_weights_again() {
    let bench = Bench::with_run(SUITE);
    let runs: Vec<_> = bench.records().into_iter().filter(|run| run.method == "one-byte").collect();
    assert_eq!(runs.len(), 3);
    for record in &runs {
        let width = if record.settings["codec"] == "byte" { 1 } else { 2 };
        let said = std::fs::read(message_file(&bench, record)).unwrap();
        assert_eq!(said.len() as u64, 4 * record.steps * width, "workers × steps and nothing else");
        assert_eq!(record.facts["message_bytes"], said.len());
        assert_eq!(record.facts["messages_sha256"], Digest::of(&said).to_string());
        let manifest = bench.store().manifest(&record.cell).unwrap().0;
        let entry = manifest.files.iter().find(|file| file.path == "messages.bin").unwrap();
        assert_eq!(entry.sha256, Digest::of(&said));
        bench.run(&["reproduce", &record.cell]).ends(0);
        let again = bench.run(&["reproduce", &record.cell, "--messages"]).ends(0).stdout;
        assert!(again.contains("same      parameters") && !again.contains("DIFFERENT"), "{again}");
    }
    let checks = bench.run(&["verify", "--json"]).ends(0).stdout;
    assert_eq!(checks.matches("\"name\": \"messages\"").count(), 3, "{checks}");

    // One sign of one message; and a message too few.
    let run = runs.iter().find(|run| run.settings["codec"] == "byte").unwrap();
    let path = message_file(&bench, run);
    let said = std::fs::read(&path).unwrap();
    let mut other = said.clone();
    other[1] ^= 0x80;
    std::fs::write(&path, &other).unwrap();
    let told = bench.run(&["reproduce", &run.cell, "--messages"]).ends(1).stdout;
    assert_eq!(told.matches("DIFFERENT").count(), 2, "messages and parameters: {told}");
    let told = bench.run(&["verify", &run.cell]).ends(1).stdout;
    assert!(told.contains("messages.bin has") && told.contains("recorded"), "{told}");
    std::fs::write(&path, &said[1..]).unwrap();
    let told = bench.run(&["reproduce", &run.cell, "--messages"]).ends(2).stderr;
    assert!(told.contains("bytes of messages"), "{told}");
}

#[test]
fn workers_that_are_processes_come_to_the_same_bits() {
    let bench = Bench::with_run(SUITE);
    let find = |processes: bool| {
        let is = |run: &RunRecord| run.settings.get("processes") == Some(&processes.into());
        let from = |run: &RunRecord| run.lineage.is_some() && is(run);
        bench.records().into_iter().find(from).unwrap()
    };
    let (together, apart) = (find(false), find(true));
    assert_ne!(together.cell, apart.cell);
    assert_eq!(together.parameters_sha256, apart.parameters_sha256);
    assert_eq!((&together.last, &together.facts), (&apart.last, &apart.facts));
    let said = [&together, &apart].map(|run| std::fs::read(message_file(&bench, run)).unwrap());
    assert!(said[0] == said[1] && said[0].len() == 4 * 20);
}

#[test]
fn a_run_of_gradients_has_no_messages_to_follow() {
    let bench = Bench::with_run(SUITE);
    let told = bench.run(&["reproduce", &bench.record("sgd", 0).cell, "--messages"]).ends(2);
    assert!(told.stderr.contains("left no messages.bin"), "{}", told.stderr);
}
