//! The table of forgeries in `docs/forged_runs.md`: each is made, with every digest that a forger can make
//! anew made anew, and what the table says of it is what `verify` and `docs/verify_order.py` say.

use std::process::Command;

use ledger::commitment::CommitmentEntry;
use ledger::record::format::IndexPlace;

use super::forgery::{ids, retell, sample_ids};
use super::*;
use crate::support::{output, python, root};

/// One forgery: what was altered, and the check that finds it, in Rust and in Python. `None` where only
/// training again, a signature or something published beforehand would.
struct Row {
    what: &'static str,
    rust: Option<&'static str>,
    python: bool,
    /// What was found otherwise.
    wrong: Vec<String>,
}

/// A field of `record.json`, what a forger writes there, and what finds it.
type Field = (&'static str, &'static str, Value, Option<&'static str>, bool);

fn fields() -> Vec<Field> {
    let other = || json!("ab".repeat(32));
    vec![
        ("law of the order", "/order/law", json!("uniform-subset"), Some("commitment"), true),
        ("unit of the order", "/order/unit", json!("pack"), Some("commitment"), true),
        ("version of the order", "/order/version", json!(1), Some("commitment"), true),
        ("origin of the seed", "/order/randomness", json!("os"), Some("seed"), false),
        ("number of examples", "/order/examples", json!(1196), Some("dataset root"), true),
        ("seed", "/order/seed_hex", other(), Some("seed commitment"), true),
        ("nonce", "/order/nonce_hex", other(), Some("seed commitment"), true),
        ("beacon", "/order/beacon", json!("00ff"), Some("uniform order of the seed"), true),
        ("seed commitment", "/order/seed_commit", other(), Some("seed commitment"), true),
        ("dataset root", "/order/dataset_root", other(), Some("dataset root"), true),
        ("configuration", "/order/config_hash", other(), Some("commitment"), true),
        ("epochs planned", "/order/epochs_planned", json!(3), Some("commitment"), true),
        ("commitment", "/order/commitment", other(), Some("commitment"), true),
        ("line of the index: none", "/order/index", json!(null), Some("commitment index"), false),
        (
            "line of the index: another",
            "/order/index/sequence",
            json!(1),
            Some("commitment index"),
            false,
        ),
        ("digest of the line", "/order/index/digest", other(), Some("commitment index"), false),
        (
            "a point of the chain",
            "/order/chain/1/chain",
            other(),
            Some("transcript and chain"),
            true,
        ),
        ("all points of the chain", "/order/chain", json!([]), Some("transcript and chain"), true),
        (
            "hash of an epoch",
            "/order/epochs/0/order_hash",
            other(),
            Some("transcript and chain"),
            true,
        ),
        (
            "root of an epoch",
            "/order/epochs/1/order_root",
            other(),
            Some("transcript and chain"),
            true,
        ),
        ("length of an epoch", "/order/epochs/1/n", json!(119), Some("transcript and chain"), true),
        (
            "steps of an epoch",
            "/order/epochs/0/steps",
            json!([[1197, 1]]),
            Some("transcript and chain"),
            true,
        ),
        ("no order at all", "/order", json!(null), Some("order"), true),
        ("workload", "/workload", json!("mnist-cnn"), Some("cell id"), false),
        ("method", "/method", json!("muon"), Some("cell id"), false),
        ("a setting of the method", "/settings/lr", json!(0.01), Some("cell id"), false),
        ("a setting of the workload", "/workload_settings/width", json!(2), Some("cell id"), false),
        ("target", "/goal/target", json!(0.01), Some("cell id"), false),
        ("budget", "/goal/budget_samples", json!(1), Some("cell id"), false),
        ("name of the seed", "/seed", json!("7"), Some("cell id"), true),
        ("root of the data", "/data/train_root", other(), Some("cell id"), false),
        ("digest of the code", "/environment/code_digest", json!("other"), Some("cell id"), false),
        ("device", "/environment/device", json!("cuda:0"), Some("configuration"), false),
        (
            "version of libtorch",
            "/environment/libtorch",
            json!("1.0"),
            Some("configuration"),
            false,
        ),
        ("digest of the suite", "/suite_digest", other(), Some("suite"), false),
        ("a metric at the end", "/final/test~1accuracy", json!(0.9999), Some("numbers"), false),
        (
            "metrics at the target",
            "/at_target",
            json!({"test/accuracy": 0.9999}),
            Some("numbers"),
            false,
        ),
        ("time to the target", "/time_to_target/isotonic", json!(1e-6), Some("numbers"), false),
        ("samples to the target", "/time_to_target/samples", json!(1.0), Some("numbers"), false),
        ("samples seen", "/samples", json!(1), Some("numbers"), false),
        ("status", "/status", json!("diverged"), Some("commitment before training"), false),
        ("a clock set back", "/clocks/train", json!(0.0), Some("numbers"), false),
        ("steps taken", "/steps", json!(1), Some("transcript and chain"), true),
        ("digest of the weights", "/parameters_sha256", other(), Some("weights"), false),
        ("total time, longer", "/clocks/total", json!(1e6), None, false),
        ("processor", "/environment/cpu", json!("another"), None, false),
        ("commit of the program", "/environment/git_commit", json!("0000000"), None, false),
        ("day, within the store", "/environment/started_unix", json!(1), None, false),
        ("number of parameters", "/parameter_count", json!(1), None, false),
        ("root of the test split", "/data/test_root", other(), None, false),
        ("warnings", "/warnings", json!(["none"]), None, false),
        ("a fact of the method", "/facts", json!({"density": 0.5}), None, false),
    ]
}

/// Whether the Python script finds something wrong.
fn python_finds(folder: &Path) -> bool {
    let mut command = Command::new(python("numpy scipy"));
    command.arg(root().join("docs/verify_order.py")).arg(folder);
    matches!(output(command).code, Some(1 | 2))
}

/// Changes the events of a run.
fn change_events(folder: &Path, change: impl Fn(usize, Value) -> Option<Value>) {
    let path = folder.join("events.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().enumerate().filter_map(|(at, line)| {
        change(at, serde_json::from_str(line).unwrap()).map(|event| format!("{event}\n"))
    });
    let changed: String = lines.collect();
    assert_ne!(changed, text, "nothing was forged");
    fs::write(&path, changed).unwrap();
    rebuild_manifest(folder);
}

/// A bench whose runs kept their weights, and the folder of its SGD run.
fn kept() -> (Bench, String) {
    let bench = Bench::new();
    bench.write("suite.yaml", &TINY.replace("epochs: 0.1", "epochs: 1.1"));
    bench.run(&["run", "suite.yaml", "--device", "cpu", "--keep-models"]).ends(0);
    let cell = bench.record("sgd", 0).cell;
    (bench, cell)
}

/// Makes a forgery in a copy of the run, asks both verifiers, and puts the run back.
fn play(bench: &Bench, cell: &str, mut row: Row, forge: impl FnOnce(&Path)) -> Row {
    let folder = bench.path("runs").join(cell);
    let aside = bench.path("aside");
    copy(&folder, &aside);
    forge(&folder);
    let found = failed(bench, cell);
    assert!(!found.contains(&"manifest".to_owned()), "{}: the forgery was clumsy", row.what);
    let as_told = match row.rust {
        Some(check) => found.contains(&check.to_owned()),
        None => found.is_empty(),
    };
    if !as_told {
        row.wrong.push(format!("{}: verify finds {found:?}", row.what));
    }
    if python_finds(&folder) != row.python {
        row.wrong.push(format!("{}: docs/verify_order.py finds otherwise", row.what));
    }
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    row
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn every_forgery_of_the_table_is_found_by_what_the_table_says() {
    let (bench, cell) = kept();
    let mut rows = Vec::new();
    for (what, pointer, value, rust, python) in fields() {
        let row = play(&bench, &cell, Row { what, rust, python, wrong: Vec::new() }, |folder| {
            forge(folder, |record| {
                *record.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
            });
        });
        rows.push(row);
    }
    rows.push(play(
        &bench,
        &cell,
        Row {
            what: "a metric on the way, in the events",
            rust: None,
            python: false,
            wrong: Vec::new(),
        },
        |folder| {
            change_events(folder, |at, mut event| {
                if at == 2 {
                    event["metrics"]["validation/loss"] = json!(0.001);
                }
                Some(event)
            });
        },
    ));
    let row = Row {
        what: "the last metric, in the events",
        rust: Some("numbers"),
        python: false,
        wrong: Vec::new(),
    };
    rows.push(play(&bench, &cell, row, |folder| {
        let last = fs::read_to_string(folder.join("events.jsonl")).unwrap().lines().count() - 2;
        change_events(folder, |at, mut event| {
            if at == last {
                event["metrics"]["test/accuracy"] = json!(0.9999);
            }
            Some(event)
        });
    }));
    let row = Row {
        what: "an evaluation removed",
        rust: Some("numbers"),
        python: false,
        wrong: Vec::new(),
    };
    rows.push(play(&bench, &cell, row, |folder| {
        change_events(folder, |at, event| (at != 3).then_some(event));
    }));
    let row = Row {
        what: "a clock that runs backwards",
        rust: Some("numbers"),
        python: false,
        wrong: Vec::new(),
    };
    rows.push(play(&bench, &cell, row, |folder| {
        change_events(folder, |at, mut event| {
            if at == 3 {
                event["clocks"]["train"] = json!(1e-9);
            }
            Some(event)
        });
    }));
    let row = Row {
        what: "an id, with all that follows from it",
        rust: Some("uniform order of the seed"),
        python: true,
        wrong: Vec::new(),
    };
    rows.push(play(&bench, &cell, row, |folder| {
        let mut record = bench.store().record(&cell).unwrap();
        let mut ids = ids(folder);
        ids[17] ^= 1;
        retell(folder, &mut record, &ids, &sample_ids(folder));
    }));
    let row = Row {
        what: "weights of another run",
        rust: Some("weights"),
        python: false,
        wrong: Vec::new(),
    };
    rows.push(play(&bench, &cell, row, |folder| {
        let weights = "checkpoints/final.safetensors";
        let other = bench.path("runs").join(bench.record("adamw", 0).cell);
        fs::copy(other.join(weights), folder.join(weights)).unwrap();
        rebuild_manifest(folder);
    }));
    let row = Row {
        what: "weights of another run, and their digest",
        rust: None,
        python: false,
        wrong: Vec::new(),
    };
    rows.push(play(&bench, &cell, row, |folder| {
        let weights = "checkpoints/final.safetensors";
        let other = bench.record("adamw", 0);
        let from = bench.path("runs").join(&other.cell);
        fs::copy(from.join(weights), folder.join(weights)).unwrap();
        forge(folder, |record| record["parameters_sha256"] = json!(other.parameters_sha256));
    }));
    rows.push(fitted(&bench, &cell));
    let wrong: Vec<_> = rows.iter().flat_map(|row| &row.wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let text: String = rows.iter().map(line).collect();
    let page = fs::read_to_string(root().join("docs/forged_runs.md")).unwrap();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    assert!(page.contains(&text), "the table of docs/forged_runs.md should read:\n{text}");
}

/// The order of a run told anew to fit an innocent's losses, as a subset that nobody can redo from the
/// seed, with a promise of its own: the method's own draw gives it away.
fn fitted(bench: &Bench, cell: &str) -> Row {
    let row = Row {
        what: "an order fitted to an innocent, under another law and a new promise",
        rust: Some("uniform-subset order of the seed"),
        python: false,
        wrong: Vec::new(),
    };
    play(bench, cell, row, |folder| {
        let store = bench.store();
        let mut record = store.record(cell).unwrap();
        let mut ids = ids(folder);
        ids.sort_by_key(|id| id.wrapping_mul(2_654_435_761));
        let order = record.order.as_mut().unwrap();
        order.law = ledger::order::OrderLaw::UniformSubset;
        let entry = CommitmentEntry::new(cell.to_owned(), order.terms());
        order.commitment = entry.commitment;
        let line = store.commit(entry).unwrap();
        order.index = Some(IndexPlace { sequence: line.sequence, digest: line.digest });
        retell(folder, &mut record, &ids, &sample_ids(folder));
    })
}

/// A row of the page.
fn line(row: &Row) -> String {
    let rust = row.rust.unwrap_or("*nothing: see signature, or train again*");
    let python = if row.python { "yes" } else { "–" };
    format!("| {} | {rust} | {python} |\n", row.what)
}
