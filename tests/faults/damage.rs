//! Run folders that are not what they were: found by `verify`, never overwritten in silence.

use std::fs;
use std::path::PathBuf;

use crate::support::{Bench, TINY};

/// A bench with a run, and the folder of one of its cells.
fn bench() -> (Bench, String, PathBuf) {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 0).cell;
    let folder = bench.path("runs").join(&cell);
    (bench, cell, folder)
}

/// `verify` must fail for the cell, naming `what`, and for no other.
#[track_caller]
fn found(bench: &Bench, cell: &str, what: &str) {
    let verified = bench.run(&["verify"]).ends(1);
    let lines: Vec<_> = verified.stdout.lines().filter(|line| line.contains("MISMATCH")).collect();
    assert!(lines.iter().all(|line| line.starts_with(cell)), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains(what)), "{what:?} is not in {lines:?}");
    assert_eq!(verified.stdout.lines().filter(|line| line.contains(" verified: ")).count(), 3);
}

#[test]
fn a_flipped_byte_in_any_file_is_found() {
    for name in ["order.bin", "sample_ids.bin", "events.jsonl", "suite.yaml", "record.json"] {
        let (bench, cell, folder) = bench();
        let mut bytes = fs::read(folder.join(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(folder.join(name), bytes).unwrap();
        found(&bench, &cell, name);
    }
}

#[test]
fn a_missing_file_is_named() {
    for name in ["order.bin", "sample_ids.bin", "events.jsonl", "record.json", "manifest.json"] {
        let (bench, cell, folder) = bench();
        fs::remove_file(folder.join(name)).unwrap();
        found(&bench, &cell, name);
    }
}

#[test]
fn a_file_that_was_not_there_is_named() {
    let (bench, cell, folder) = bench();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    found(&bench, &cell, "notes.txt is not in the manifest");
}

#[test]
fn a_cut_record_is_named_and_not_overwritten() {
    let (bench, cell, folder) = bench();
    let path = folder.join("record.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    found(&bench, &cell, "record.json");
    let listed = bench.run(&["list", "runs"]).ends(0);
    assert!(listed.stdout.contains("damaged"), "{}", listed.stdout);
    let refused = bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(4);
    assert!(refused.stderr.contains("record.json is damaged"), "{}", refused.stderr);
    assert!(refused.stderr.contains("palimpsest mend"), "no remedy: {}", refused.stderr);
    assert_eq!(fs::read(&path).unwrap().len(), whole.len() / 2);
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--force"]).ends(0);
    bench.run(&["verify"]).ends(0);
}

#[test]
fn a_record_without_its_manifest_is_not_overwritten() {
    let (bench, _, folder) = bench();
    fs::remove_file(folder.join("manifest.json")).unwrap();
    let before = fs::read(folder.join("record.json")).unwrap();
    let refused = bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(4);
    assert!(refused.stderr.contains("manifest.json"), "{}", refused.stderr);
    assert_eq!(fs::read(folder.join("record.json")).unwrap(), before);
}

#[test]
fn a_record_of_a_newer_version_is_refused_by_name_and_never_overwritten() {
    let (bench, cell, folder) = bench();
    let path = folder.join("record.json");
    let text = fs::read_to_string(&path).unwrap();
    let newer = text.replace("\"version\":1,\"warnings\"", "\"version\":2,\"warnings\"");
    assert_ne!(newer, text);
    fs::write(&path, &newer).unwrap();
    for (arguments, code) in [
        (&["run", "suite.yaml", "--device", "cpu"][..], 4),
        (&["run", "suite.yaml", "--device", "cpu", "--force"], 4),
        (&["prove", &cell, "--step", "0", "--slot", "0"], 2),
        (&["reproduce", &cell], 2),
    ] {
        let refused = bench.run(arguments).ends(code);
        let named = refused.stderr.contains("record version 2") && refused.stderr.contains(&cell);
        assert!(named, "{arguments:?}: {}", refused.stderr);
        assert_eq!(fs::read_to_string(&path).unwrap(), newer, "{arguments:?} overwrote it");
    }
    found(&bench, &cell, "record version 2");
}

#[test]
fn a_damaged_suite_file_is_refused_by_name() {
    let bench = Bench::with_run(TINY);
    let file = format!("runs/suites/tiny/{}", bench.files("runs/suites/tiny")[0]);
    bench.write(&file, "{");
    let refused = bench.run(&["report", "tiny"]).ends(2);
    assert!(refused.stderr.contains(".json is damaged"), "{}", refused.stderr);
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--methods", "sgd"]).ends(0);
    let reported = bench.run(&["report", "tiny"]).ends(0);
    assert!(reported.stderr.contains("left out: "), "{}", reported.stderr);
}

#[test]
fn a_torn_commitment_index_is_mended_and_a_changed_one_refused() {
    let bench = Bench::with_run(TINY);
    let path = bench.path("runs/commitments.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"sequence\":4,\"prev")).unwrap();
    bench.run(&["verify"]).ends(0);
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--seeds", "2,3"]).ends(0);
    bench.run(&["verify"]).ends(0);
    let changed = fs::read_to_string(&path).unwrap().replacen("\"epochs\":1", "\"epochs\":2", 1);
    fs::write(&path, changed).unwrap();
    let verified = bench.run(&["verify"]).ends(1);
    assert!(verified.stdout.contains("commitments.jsonl:1"), "{}", verified.stdout);
}
