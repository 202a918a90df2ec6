//! Files of strangers: whatever is in one, reading it ends with runs or with a message that names it.

#![expect(clippy::unwrap_used, reason = "a file that a test writes")]

use std::fs;
use std::path::PathBuf;

use logs::find::{Log, logs};
use logs::{Form, Wanted, measurements, read};
use proptest::prelude::*;

#[path = "../../../fuzz/src/logs.rs"]
mod corpus;

#[test]
fn every_file_of_the_corpus_is_read_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
    for (name, read) in corpus::READERS {
        let mut files = 0;
        for file in fs::read_dir(format!("{folder}/{name}")).unwrap() {
            read(&fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 0, "{name} starts from nothing");
    }
}

fn wanted() -> Wanted {
    Wanted { metric: "m".to_owned(), ..Wanted::default() }
}

/// Reads bytes as a log of a form, and by themselves.
fn try_all(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a.csv", "a.jsonl", "events.out.tfevents.1.a", "metrics.csv"];
    for name in names {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        for form in [Form::Csv, Form::Lightning, Form::Wandb, Form::Tensorboard] {
            let log = Log { form, path: path.clone(), name: name.to_owned() };
            if let Err(wrong) = read(&log, &wanted()) {
                let told = wrong.to_string();
                assert!(told.starts_with(name), "{told}");
                assert!(!told.chars().any(char::is_control), "{told:?}");
            }
        }
        let _ = logs(&[path], None);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        for form in [None].into_iter().chain(measurements::Form::ALL.map(Some)) {
            if let Err(wrong) = measurements::read("a.json", text, form) {
                assert!(wrong.to_string().starts_with("a.json:"), "{wrong}");
            }
        }
    }
}

/// Texts that look like logs, with anything in their cells.
fn tables() -> impl Strategy<Value = String> {
    let cell = prop_oneof![
        Just("1".to_owned()),
        Just("nan".to_owned()),
        Just("-1".to_owned()),
        Just("1e300".to_owned()),
        Just(String::new()),
        "\\PC{0,6}",
        any::<String>(),
    ];
    let rows = proptest::collection::vec(proptest::collection::vec(cell, 4), 0..6);
    let heads = prop_oneof![
        Just("samples,m,seconds,seed"),
        Just("Step,a - m,a - m__MIN,a - m__MAX"),
        Just("epoch,step,m,metric"),
        Just("step,metric,value,arm"),
    ];
    (heads, rows).prop_map(|(head, rows)| {
        let rows = rows.into_iter().map(|cells| cells.join(","));
        std::iter::once(head.to_owned()).chain(rows).collect::<Vec<_>>().join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        try_all(&bytes);
    }

    #[test]
    fn tables_with_anything_in_their_cells_are_read_or_refused(text in tables()) {
        try_all(text.as_bytes());
    }

    #[test]
    fn maps_with_anything_in_them_are_read_or_refused(
        name in any::<String>(),
        value in prop_oneof![Just("NaN".to_owned()), Just("{}".to_owned()), Just("[[1],[]]".to_owned()), "[0-9e.-]{1,5}"],
    ) {
        let name = serde_json::to_string(&name).unwrap();
        for text in [
            format!("{{{name}: {{\"latency\": {{\"value\": {value}}}}}}}"),
            format!("{{\"commit_hash\": \"a\", \"result_columns\": [\"result\", \"params\"], \"results\": {{{name}: {value}}}}}"),
            format!("{{\"machine_info\": null, \"benchmarks\": [{{\"fullname\": {name}, \"stats\": {{\"median\": {value}}}}}]}}"),
            format!("{{\"_step\": {value}, \"m\": {value}, {name}: {value}}}"),
        ] {
            try_all(text.as_bytes());
        }
    }
}

#[test]
fn a_folder_without_a_log_and_a_file_that_is_none_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let told = logs(&[folder.path().to_owned()], None).unwrap_err().to_string();
    assert!(told.contains("no log is below it"), "{told}");
    let path = PathBuf::from("/dev/null");
    let told = logs(&[path], None).unwrap_err().to_string();
    assert!(told.contains("no plain file"), "{told}");
}
