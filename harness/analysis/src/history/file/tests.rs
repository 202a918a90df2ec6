use std::collections::BTreeMap;
use std::fs;

use super::super::entry::{Better, Measured, Metric};
use super::*;
use ledger::digest::Digest;

fn measured(number: u32) -> Entry {
    let metric = Metric { unit: "s".into(), better: Better::Lower, values: vec![1.0] };
    Entry::Measured(Measured {
        commit: format!("{number:040x}"),
        suite_digest: Digest::of(b"suite"),
        software: BTreeMap::new(),
        metrics: BTreeMap::from([("time".to_owned(), metric)]),
    })
}

fn add(path: &Path, number: u32) -> Result<History, HistoryError> {
    append(path, "digits", "m", measured(number))
}

#[test]
fn what_is_appended_is_read_back_and_nothing_is_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    assert_eq!(read(&path, "digits", "m").unwrap().lines.len(), 0);
    add(&path, 0).unwrap();
    let first = fs::read(&path).unwrap();
    let history = add(&path, 1).unwrap();
    assert!(fs::read(&path).unwrap().starts_with(&first));
    assert_eq!(read(&path, "digits", "m").unwrap().lines, history.lines);
}

#[test]
fn a_refused_entry_leaves_the_file_as_it_was() {
    // AlgoPerf rewrites its metric files in place and warns of corruption.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    add(&path, 0).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(add(&path, 0).unwrap_err().to_string().contains("measured on line 1 already"));
    assert!(append(&path, "mnist", "m", measured(1)).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_killed_append_is_reported_and_dropped_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    add(&path, 0).unwrap();
    let before = fs::read(&path).unwrap();
    add(&path, 1).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in [before.len() + 1, whole.len() - 1] {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(matches!(read(&path, "digits", "m"), Err(HistoryError::Torn { line: 2, .. })));
        assert!(matches!(add(&path, 1), Err(HistoryError::Torn { line: 2, .. })));
        assert_eq!(fs::read(&path).unwrap(), &whole[..cut], "nothing but a repair drops bytes");
        assert_eq!(repair(&path, "digits", "m").unwrap(), (cut - before.len()) as u64);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(repair(&path, "digits", "m").unwrap(), 0);
    }
    add(&path, 1).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_repair_does_not_touch_a_damaged_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    add(&path, 0).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    bytes.extend(b"{\"torn");
    fs::write(&path, &bytes).unwrap();
    let error = repair(&path, "digits", "m").unwrap_err().to_string();
    assert!(error.contains("m.jsonl:1: "), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn appends_of_many_threads_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.jsonl");
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for number in 0..8 {
                    add(path, worker * 100 + number).unwrap();
                }
            });
        }
    });
    assert_eq!(read(&path, "digits", "m").unwrap().lines.len(), 32);
}

#[test]
fn a_folder_in_the_place_of_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = add(folder.path(), 0).unwrap_err().to_string();
    assert!(error.starts_with("cannot open "), "{error}");
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}
