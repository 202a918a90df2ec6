//! A text of the user's beside a suite: found from anywhere, and the same cell wherever it lies.

use std::fs;
use std::process::Command;

use ledger::record::format::RunRecord;

use crate::support::{Bench, Output, output};

const SUITE: &str = "\
suite: mine
question: Does a text of mine train?
seeds: 1
workloads: [{ workload: text-byte, as: text, with: { file: notes/x.txt, size: xs }, epochs: 0.01, evaluate_every: 0.01 }]
arms: [{ method: lm-adamw, as: adamw, with: { batch_size: 32 } }]
";

fn text() -> String {
    let mut state = 1_u32;
    let letter = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + (state >> 24) as u8 % 26)
    };
    (0..40_000).map(letter).collect()
}

/// In a folder of the bench, with the store of the bench.
fn from(bench: &Bench, folder: &str, arguments: &[&str]) -> Output {
    let store = bench.path("runs").display().to_string();
    let mut command: Command = bench.command(&[arguments, &["--store", &store]].concat());
    command.current_dir(bench.path(folder));
    output(command)
}

#[test]
fn a_path_in_a_suite_is_taken_from_its_folder_and_the_cell_is_the_same_wherever_that_lies() {
    let bench = Bench::new();
    for place in ["here", "there/deeper"] {
        bench.write(&format!("{place}/suite.yaml"), SUITE);
        bench.write(&format!("{place}/notes/x.txt"), &text());
    }
    let first = from(&bench, "", &["run", "here/suite.yaml"]).ends(0);
    assert_eq!(bench.cells().len(), 1, "{}", first.stderr);
    for (folder, suite) in [("here", "suite.yaml"), ("there", "deeper/suite.yaml")] {
        let again = from(&bench, folder, &["run", suite]).ends(0);
        assert!(again.stderr.contains("kept"), "{folder}: {}", again.stderr);
    }
    let cells = bench.cells();
    assert_eq!(cells.len(), 1);
    from(&bench, "", &["verify", &cells[0]]).ends(0);
    from(&bench, "", &["reproduce", &cells[0]]).ends(0);
    // What is in it counts, not where it lies.
    fs::write(bench.path("here/notes/x.txt"), text().to_uppercase()).unwrap();
    from(&bench, "", &["run", "here/suite.yaml"]).ends(0);
    assert_eq!(bench.cells().len(), 2);
}

#[test]
fn a_text_that_differs_only_where_nothing_is_trained_on_is_another_cell() {
    let bench = Bench::new();
    bench.write("here/suite.yaml", SUITE);
    // Of 40,000 letters the last 64 are in no block.
    for (tail, cells) in [("", 1), ("", 1), ("!", 2)] {
        bench.write("here/notes/x.txt", &(text() + tail));
        from(&bench, "here", &["run", "suite.yaml"]).ends(0);
        assert_eq!(bench.cells().len(), cells, "{tail:?}");
    }
    let records = bench.records();
    let of = |record: &RunRecord| record.data.clone().unwrap();
    let [first, second] = [of(&records[0]), of(&records[1])];
    assert_eq!(first.train_root, second.train_root);
    assert_ne!(first.sha256, second.sha256);
    for cell in bench.cells() {
        from(&bench, "", &["verify", &cell]).ends(0);
    }
}

#[test]
fn a_text_that_is_not_there_is_named_as_given_and_where_it_was_looked_for() {
    let bench = Bench::new();
    bench.write("here/suite.yaml", SUITE);
    bench.write("notes/x.txt", &text());
    let refused = bench.run(&["plan", "here/suite.yaml"]).ends(2).stderr;
    for part in ["\"text\"", "no file notes/x.txt;", "looked for here/notes/x.txt"] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
}
