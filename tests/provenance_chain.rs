//! A forger who changes a record and rebuilds the manifest over it is still found: seed, order,
//! chain and commitment hold each other, and the index of the store holds the commitment.

mod forgery;
mod table;

use std::fs;
use std::path::Path;

use ledger::digest::Digest;
use ledger::record::format::Manifest;
use ledger::record::writer::entries;
use serde_json::{Value, json};

use crate::support::{Bench, TINY};

/// Changes `record.json` of a run and rebuilds the manifest, so that it agrees again.
fn forge(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join("record.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let before = record.clone();
    change(&mut record);
    assert_ne!(record, before, "nothing was forged");
    fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
    rebuild_manifest(folder);
}

fn rebuild_manifest(folder: &Path) {
    let path = folder.join("manifest.json");
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest.files = entries(folder).unwrap();
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// Names of the checks that fail for `cell`; `verify` must end with 1 when there are any.
fn failed(bench: &Bench, cell: &str) -> Vec<String> {
    let output = bench.run(&["verify", cell, "--json"]);
    let runs = output.json();
    let checks = runs["runs"][0]["checks"].as_array().unwrap();
    let failed = checks.iter().filter(|check| check["passed"] == false);
    let names: Vec<_> = failed.map(|check| check["name"].as_str().unwrap().to_owned()).collect();
    output.ends(i32::from(!names.is_empty()));
    names
}

/// A bench with a run of one epoch and a bit, and the id of its SGD cell.
fn bench() -> (Bench, String) {
    let bench = Bench::with_run(&TINY.replace("epochs: 0.1", "epochs: 1.1"));
    let cell = bench.record("sgd", 0).cell;
    (bench, cell)
}

#[test]
fn the_manifest_alone_gives_away_a_change_of_any_field_of_the_order() {
    let (bench, cell) = bench();
    let path = bench.path("runs").join(&cell).join("record.json");
    let whole = fs::read(&path).unwrap();
    let record: Value = serde_json::from_slice(&whole).unwrap();
    let fields: Vec<_> = record["order"].as_object().unwrap().keys().cloned().collect();
    assert!(fields.len() >= 15, "{fields:?}");
    for field in fields {
        let mut changed = record.clone();
        changed["order"].as_object_mut().unwrap().remove(&field);
        fs::write(&path, serde_json::to_vec(&changed).unwrap()).unwrap();
        assert!(failed(&bench, &cell).contains(&"manifest".to_owned()), "{field}");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(failed(&bench, &cell), [] as [String; 0]);
}

#[test]
fn every_field_of_the_order_is_held_by_another() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    let whole = fs::read(folder.join("record.json")).unwrap();
    let other = "ab".repeat(32);
    let cases: [(&str, Value, &str); 27] = [
        ("/version", json!(3), "order version"),
        ("/version", json!(1), "commitment"),
        ("/law", json!("uniform-same-each-epoch"), "commitment"),
        ("/law", json!("uniform-subset"), "commitment"),
        ("/unit", json!("pack"), "commitment"),
        ("/randomness", json!("os"), "seed"),
        ("/examples", json!(1196), "dataset root"),
        ("/seed_hex", json!(other), "seed commitment"),
        ("/nonce_hex", json!(other), "seed commitment"),
        ("/beacon", json!("00ff"), "uniform order of the seed"),
        ("/seed_commit", json!(other), "seed commitment"),
        ("/dataset_root", json!(other), "dataset root"),
        ("/config_hash", json!(other), "commitment"),
        ("/epochs_planned", json!(3), "commitment"),
        ("/commitment", json!(other), "commitment"),
        ("/index", json!(null), "commitment index"),
        ("/index/sequence", json!(1), "commitment index"),
        ("/index/sequence", json!(99), "commitment index"),
        ("/index/digest", json!(other), "commitment index"),
        ("/chain/1/chain", json!(other), "transcript and chain"),
        ("/chain/1/step", json!(1), "transcript and chain"),
        ("/chain", json!([]), "transcript and chain"),
        ("/epochs/0/order_hash", json!(other), "transcript and chain"),
        ("/epochs/1/order_root", json!(other), "transcript and chain"),
        ("/epochs/1/offset", json!(0), "transcript and chain"),
        ("/epochs/1/n", json!(119), "transcript and chain"),
        ("/epochs/0/steps", json!([[1197, 1]]), "transcript and chain"),
    ];
    for (place, value, check) in cases {
        forge(&folder, |record| *record["order"].pointer_mut(place).unwrap() = value);
        let names = failed(&bench, &cell);
        assert!(names.contains(&check.to_owned()), "{place}: only {names:?} failed");
        assert!(!names.contains(&"manifest".to_owned()), "{place}: the forgery was clumsy");
        fs::write(folder.join("record.json"), &whole).unwrap();
    }
}

#[test]
fn what_was_trained_is_held_by_id_and_commitment() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    let whole = fs::read(folder.join("record.json")).unwrap();
    let cases: [(&str, Value, &[&str]); 10] = [
        ("/workload", json!("mnist-cnn"), &["cell id", "configuration"]),
        ("/method", json!("muon"), &["cell id", "configuration"]),
        ("/settings/lr", json!(0.01), &["cell id", "configuration"]),
        ("/workload_settings/width", json!(2), &["cell id", "configuration"]),
        ("/goal/target", json!(0.01), &["cell id", "configuration"]),
        (
            "/goal/budget_samples",
            json!(1),
            &["cell id", "configuration", "uniform order of the seed", "numbers"],
        ),
        ("/seed", json!("7"), &["cell id", "seed"]),
        ("/data/train_root", json!("ab".repeat(32)), &["cell id", "dataset root"]),
        ("/environment/code_digest", json!("other"), &["cell id", "configuration"]),
        ("/environment/device", json!("cuda:0"), &["configuration"]),
    ];
    for (place, value, checks) in cases {
        forge(&folder, |record| *record.pointer_mut(place).unwrap() = value);
        assert_eq!(failed(&bench, &cell), checks, "{place}");
        fs::write(folder.join("record.json"), &whole).unwrap();
    }
}

#[test]
fn a_beacon_makes_another_cell_with_another_order() {
    let bench = Bench::with_run(TINY);
    let before = bench.cells();
    let arguments = ["run", "suite.yaml", "--device", "cpu", "--beacon", "00ff"];
    let run = bench.run(&arguments).ends(0);
    assert!(!run.stderr.contains("kept"), "{}", run.stderr);
    assert_eq!(bench.cells().len(), 2 * before.len());
    for cell in before {
        assert!(bench.store().has(&cell), "{cell} was replaced");
    }
    let records = bench.records();
    let order = |seed: &str| {
        let fits =
            |record: &&ledger::record::RunRecord| record.method == "sgd" && record.seed == seed;
        records.iter().find(fits).unwrap().order.clone().unwrap()
    };
    assert_ne!(order("0").epochs[0].order_hash, order("0+00ff").epochs[0].order_hash);
    bench.run(&["verify"]).ends(0);
}

#[test]
fn attested_seeds_are_new_each_time_and_verify() {
    let bench = Bench::new();
    bench.write("suite.yaml", TINY);
    for _ in 0..2 {
        bench.run(&["run", "suite.yaml", "--device", "cpu", "--attested"]).ends(0);
    }
    assert_eq!(bench.cells().len(), 8);
    bench.run(&["verify"]).ends(0);
    let record = bench.records().remove(0);
    let folder = bench.path("runs").join(&record.cell);
    forge(&folder, |record| record["order"]["randomness"] = json!("fixed"));
    assert_eq!(failed(&bench, &record.cell), ["seed"]);
}

#[test]
fn another_seed_under_the_old_name_is_found() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    // Seed and nonce of integer 1, with a commitment that fits them.
    let seed = ledger::seed::Seed::from_integer(1);
    forge(&folder, |record| {
        record["order"]["seed_hex"] = json!(Digest(seed.bytes));
        record["order"]["nonce_hex"] = json!(Digest(seed.nonce));
        record["order"]["seed_commit"] = json!(seed.commit());
    });
    let names = failed(&bench, &cell);
    for check in ["commitment", "uniform order of the seed"] {
        assert!(names.contains(&check.to_owned()), "{check} is not in {names:?}");
    }
}

#[test]
fn two_ids_swapped_in_the_transcript_are_found() {
    let (bench, cell) = bench();
    let folder = bench.path("runs").join(&cell);
    let mut bytes = fs::read(folder.join("order.bin")).unwrap();
    let (left, right) = bytes.split_at_mut(4);
    left.swap_with_slice(&mut right[..4]);
    fs::write(folder.join("order.bin"), &bytes).unwrap();
    rebuild_manifest(&folder);
    let names = failed(&bench, &cell);
    assert!(names.contains(&"transcript and chain".to_owned()), "{names:?}");
    assert!(names.contains(&"uniform order of the seed".to_owned()), "{names:?}");
    // Even with the hash of the order mended, the chain and the seed do not agree.
    let n = bench.record("sgd", 0).order.unwrap().epochs[0].n;
    let hash = Digest::of(&bytes[..4 * usize::try_from(n).unwrap()]);
    forge(&folder, |record| record["order"]["epochs"][0]["order_hash"] = json!(hash));
    assert!(failed(&bench, &cell).contains(&"transcript and chain".to_owned()));
}

#[test]
fn a_record_in_the_folder_of_another_cell_is_found() {
    let (bench, cell) = bench();
    let other = bench.record("adamw", 0).cell;
    let [from, to] = [&other, &cell].map(|cell| bench.path("runs").join(cell));
    for file in bench.files(&format!("runs/{other}")) {
        fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
    assert!(failed(&bench, &cell).contains(&"cell id".to_owned()));
}

#[test]
fn a_line_deleted_from_the_index_is_found_by_every_later_run() {
    let (bench, _) = bench();
    let path = bench.path("runs/commitments.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    assert_eq!(lines.len(), 4);
    for deleted in 0..4 {
        let kept = lines.iter().enumerate().filter(|(index, _)| *index != deleted);
        let text: String = kept.map(|(_, line)| format!("{line}\n")).collect();
        fs::write(&path, text).unwrap();
        for record in bench.records() {
            let place = record.order.unwrap().index.unwrap();
            let names = failed(&bench, &record.cell);
            let found = names.contains(&"commitment index".to_owned());
            // Without its last line an index is a shorter valid one: only that run's own place tells.
            let told = deleted < 3 || place.sequence == 3;
            assert_eq!(found, told, "line {deleted}, run of line {}", place.sequence);
        }
    }
    fs::remove_file(&path).unwrap();
    for cell in bench.cells() {
        assert!(failed(&bench, &cell).contains(&"commitment index".to_owned()));
    }
}

#[test]
fn an_abandoned_run_stays_in_the_index() {
    let (bench, cell) = bench();
    fs::remove_dir_all(bench.path("runs").join(&cell)).unwrap();
    let text = fs::read_to_string(bench.path("runs/commitments.jsonl")).unwrap();
    assert!(text.lines().next().unwrap().contains(&cell));
    bench.run(&["verify"]).ends(0);
}
