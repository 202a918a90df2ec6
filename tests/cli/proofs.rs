//! Commitments printed before training, and proofs of what was consumed after it.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Bench, TINY};

#[test]
fn commitments_before_training_equal_those_of_the_records() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let promised = bench.run(&["commit", "suite.yaml", "--device", "cpu", "--json"]).ends(0).json();
    assert!(bench.cells().is_empty(), "commit trained something");
    bench.run_suite(TINY).ends(0);
    let rows = promised.as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for row in rows {
        let record = bench.store().record(row["cell"].as_str().unwrap()).unwrap();
        let order = record.order.unwrap();
        assert_eq!(row["commitment"], order.commitment.to_string());
        assert_eq!(row["epochs"], order.epochs_planned.to_string());
        assert_eq!(row["seed"], record.seed);
    }
}

#[test]
fn a_proof_is_made_for_every_place_of_a_run_and_holds() {
    let bench = Bench::with_run(TINY);
    let record = bench.record("sgd", 1);
    for (step, slot) in [("0", "0"), ("1", "31"), ("3", "0"), ("3", "23")] {
        let proof = bench.run(&["prove", &record.cell, "--step", step, "--slot", slot]).ends(0);
        let position = step.parse::<u64>().unwrap() * 32 + slot.parse::<u64>().unwrap();
        assert_eq!(proof.json()["position"], position);
        bench.write("proof.json", &proof.stdout);
        let checked = bench.run(&["prove", "--check", "proof.json"]).ends(0);
        assert!(checked.stdout.starts_with("proved: "), "{}", checked.stdout);
    }
}

#[test]
fn a_proof_changed_in_any_part_that_it_proves_fails() {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 1).cell;
    let proof = bench.run(&["prove", &cell, "--step", "2", "--slot", "5"]).ends(0).json();
    let other = "00".repeat(32);
    let changes: [(&str, Value); 6] = [
        ("/position", json!(70)),
        ("/epoch_length", json!(64)),
        ("/sample_id", json!(other)),
        ("/order_root", json!(other)),
        ("/path/0", json!(other)),
        ("/path", json!([])),
    ];
    for (place, value) in changes {
        let mut forged = proof.clone();
        *forged.pointer_mut(place).unwrap() = value;
        bench.write("forged.json", &forged.to_string());
        let checked = bench.run(&["prove", "--check", "forged.json"]).ends(1);
        assert!(checked.stdout.starts_with("NOT proved"), "{place}: {}", checked.stdout);
    }
}

#[test]
fn what_a_proof_says_beside_the_path_is_held_against_the_record() {
    let bench = Bench::with_run(TINY);
    let (cell, other) = (bench.record("sgd", 1).cell, bench.record("sgd", 0).cell);
    let proof = bench.run(&["prove", &cell, "--step", "2", "--slot", "5"]).ends(0).json();
    let changes = [
        ("run", json!(other)),
        ("step", json!(1)),
        ("step", json!(99)),
        ("slot", json!(6)),
        ("epoch", json!(1)),
    ];
    for (field, value) in changes {
        let mut forged = proof.clone();
        forged[field] = value;
        bench.write("forged.json", &forged.to_string());
        let checked = bench.run(&["prove", "--check", "forged.json"]).ends(1);
        assert!(checked.stdout.starts_with("NOT proved"), "{field}: {}", checked.stdout);
    }
    // Elsewhere only the path can be checked, and no more is said.
    bench.write("proof.json", &proof.to_string());
    let arguments = ["prove", "--check", "proof.json", "--store", "elsewhere"];
    let checked = bench.run(&arguments).ends(0).stdout;
    assert!(checked.contains(&format!("run {cell} is not in elsewhere")), "{checked}");
    assert!(!checked.contains("was example"), "{checked}");
}

#[test]
fn a_proof_of_a_place_that_is_not_there_is_refused() {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 0).cell;
    let refused = |step: &str, slot: &str| {
        bench.run(&["prove", &cell, "--step", step, "--slot", slot]).ends(2).stderr
    };
    assert!(refused("4", "0").contains("the run has 4 steps"));
    assert!(refused("3", "24").contains("step 3 has 24 examples"));
    assert!(refused("18446744073709551615", "0").contains("the run has 4 steps"));
}

#[test]
fn a_file_that_is_no_proof_is_refused() {
    let bench = Bench::new();
    bench.write("proof.json", "{\"version\": 1}");
    let refused = bench.run(&["prove", "--check", "proof.json"]).ends(2);
    assert!(refused.stderr.contains("proof.json is not a proof"), "{}", refused.stderr);
    let missing = bench.run(&["prove", "--check", "absent.json"]).ends(2);
    assert!(missing.stderr.contains("absent.json"), "{}", missing.stderr);
    assert!(fs::read_dir(bench.path("")).unwrap().count() == 1);
}
