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
        assert_eq!(row["epochs"], order.epochs_planned);
        assert_eq!(row["seed"].to_string(), record.seed);
    }
}

#[test]
fn attested_seeds_and_a_beacon_to_come_are_promised_and_then_kept() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    let commit = ["commit", "suite.yaml", "--device", "cpu", "--json", "--attested", "--promise"];
    let source = ["--beacon-source", "drand quicknet, round 7"];
    let promised = bench.run(&[&commit[..], &["private.json"], &source[..]].concat()).ends(0);
    bench.write("promised.json", &promised.stdout);
    let rows = promised.json();
    assert!(rows[0]["cell"].is_null() && rows[0]["commitment"].is_string(), "{rows}");
    let private = fs::read_to_string(bench.path("private.json")).unwrap();
    let private: Value = serde_json::from_str(&private).unwrap();
    for hidden in private["seeds"].as_array().unwrap() {
        assert!(!promised.stdout.contains(hidden["seed"].as_str().unwrap()), "a seed was shown");
    }
    // The seeds of a published promise are never written over.
    bench.run(&[&commit[..], &["private.json"], &source[..]].concat()).ends(2);

    let run = ["run", "suite.yaml", "--device", "cpu", "--promise", "private.json"];
    let without = bench.run(&run).ends(2).stderr;
    assert!(without.contains("promises the public randomness of drand quicknet"), "{without}");
    bench.run(&[&run[..], &["--beacon", "00ff"]].concat()).ends(0);
    bench.run(&["verify", "--promised", "promised.json"]).ends(0);
    fs::File::create(bench.path("huge.json")).unwrap().set_len(1 << 40).unwrap();
    let refused = bench.run(&["verify", "--promised", "huge.json"]).ends(2).stderr;
    assert!(refused.contains("more than 67108864 bytes"), "{refused}");
    let records = bench.records();
    assert_eq!(records.len(), 4);
    for record in records {
        let order = record.order.unwrap();
        assert_eq!(order.beacon_source.as_deref(), Some("drand quicknet, round 7"));
        assert_eq!(order.unpredictable_by(), ledger::seed::Randomness::Beacon);
    }
    // A beacon that the promise did not name is none.
    let plain =
        ["commit", "suite.yaml", "--device", "cpu", "--attested", "--promise", "plain.json"];
    bench.run(&plain).ends(0);
    let run =
        ["run", "suite.yaml", "--device", "cpu", "--promise", "plain.json", "--beacon", "00ff"];
    assert!(bench.run(&run).ends(2).stderr.contains("promises no public randomness"));
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
fn a_proof_is_worth_no_more_than_the_record_that_it_is_held_against() {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 1).cell;
    let proof = bench.run(&["prove", &cell, "--step", "2", "--slot", "5"]).ends(0);
    bench.write("proof.json", &proof.stdout);
    let root = proof.json()["order_root"].as_str().unwrap().to_owned();
    bench.run(&["prove", "--check", "proof.json", "--root", &root]).ends(0);
    let other = bench.run(&["prove", "--check", "proof.json", "--root", &"00".repeat(32)]).ends(1);
    assert!(other.stdout.contains("but the published one is"), "{}", other.stdout);
    // A record without an order proves nothing, whatever its manifest says.
    let path = bench.path("runs").join(&cell).join("record.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["order"] = Value::Null;
    fs::write(&path, record.to_string()).unwrap();
    let checked = bench.run(&["prove", "--check", "proof.json"]).ends(1).stdout;
    assert!(checked.starts_with("NOT proved: run "), "{checked}");
    // The name of a run is no path.
    let mut forged = proof.json();
    forged["run"] = json!(bench.path("runs").join(&cell));
    bench.write("forged.json", &forged.to_string());
    let refused = bench.run(&["prove", "--check", "forged.json"]).ends(2).stderr;
    assert!(refused.contains("which is not the id of a run"), "{refused}");
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
