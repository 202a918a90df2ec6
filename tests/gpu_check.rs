//! What a GPU machine is checked with (`just gpu-check`), on the CPU that every machine has.

use std::fs;

use crate::support::{Bench, output, root};

const TINY: &str = "\
suite: tiny
question: Do two methods come to the same twice?
workloads: [{ workload: digits-mlp, epochs: 1, evaluate_every: 1 }]
seeds: 1
arms:
  - { method: sgd }
  - { method: muon }
";

#[test]
fn without_a_gpu_the_check_holds_the_cpu_against_itself() {
    let bench = Bench::new();
    bench.write("tiny.yaml", TINY);
    let script = root().join("scripts/gpu_check.py");
    let program = [script.to_str().unwrap(), env!("CARGO_BIN_EXE_palimpsest")];
    let words = ["--device", "cpu", "--suite", "tiny.yaml", "--out", "found"];
    let said = output(bench.prepared("python3", &[&program[..], &words[..]].concat())).ends(0);
    let lines = ["order is that of the CPU: 2 of 2", "same weights twice on the device: 2 of 2"];
    assert!(lines.iter().all(|line| said.stdout.contains(line)), "{}", said.stdout);
    let found = fs::read_to_string(bench.path("found/gpu-check.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["device"], "cpu");
    let steps = found["step_milliseconds"]["cpu"].as_object().unwrap();
    assert!(
        ["digits-mlp", "blobs-cnn", "attr"].iter().all(|name| steps[*name].as_f64() > Some(0.0))
    );
}
