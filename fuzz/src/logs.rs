//! What other tools have written: logs of runs, results of benchmarks.

use std::fs;

use logs::find::{Log, logs};
use logs::{Form, Wanted, measurements, read};

/// A reader, by the name of its corpus.
pub type Reader = (&'static str, fn(&[u8]));

/// Every reader.
pub const READERS: [Reader; 2] = [("log", log), ("results", results)];

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
}

/// A file as a log of every form that is one file, and of the form that it looks like.
pub fn log(bytes: &[u8]) {
    let wanted = Wanted { metric: "accuracy".to_owned(), ..Wanted::default() };
    FOLDER.with(|folder| {
        let path = folder.path().join("log.csv");
        fs::write(&path, bytes).expect("a temporary file");
        let _ = logs(std::slice::from_ref(&path), None);
        for form in [Form::Csv, Form::Lightning, Form::Wandb, Form::Tensorboard] {
            let log = Log { form, path: path.clone(), name: "log.csv".to_owned() };
            let Ok(found) = read(&log, &wanted) else { continue };
            for run in found.runs {
                assert!(!run.looks.is_empty(), "a run without a look");
            }
        }
    });
}

/// A text as results of every form.
pub fn results(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for form in [None].into_iter().chain(measurements::Form::ALL.map(Some)) {
        let Ok(results) = measurements::read("results.json", text, form) else { continue };
        for one in results.measurements {
            assert!(one.median().is_finite(), "a measurement without a number");
        }
    }
}
