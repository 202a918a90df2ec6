//! The verbs of `palimpsest provenance` that build tensors, on runs of a second or less.

use std::fs;

use data::columns::{ColumnSource, numbers, write_npy, write_npy_table};
use serde_json::Value;

use crate::support::{Bench, Output, TINY};

/// 600 sequences, 38 steps: two runs under each of two seeds, one test of each.
const MARKOV: &str = "\
suite: markov
question: Do the verbs work?
workloads: [{ workload: markov-mlp, as: markov-mlp, with: { examples: 600 }, epochs: 0.3, evaluate_every: 0.15 }]
seeds: 2
baseline: adam
settings: { batch_size: 16 }
arms:
  - { method: adamw, as: adam, with: { lr: 0.003, weight_decay: 0.0, schedule: constant } }
provenance:
  - { id: own, statement: \"The run's own model\", run: markov-mlp/adam, suspect: markov-mlp/adam, reference: markov-mlp/adam+1, expect: { nothing: true } }
";

fn markov() -> (Bench, [String; 2]) {
    let bench = Bench::with_run(MARKOV);
    let cells = [0, 1].map(|seed| bench.record("adamw", seed).cell);
    (bench, cells)
}

fn score_files(bench: &Bench) -> Vec<String> {
    bench.files("runs/scores")
}

fn losses(bench: &Bench, file: &str) -> Vec<f64> {
    let path = bench.path("runs/scores").join(file);
    numbers(&ColumnSource { path, column: None }).unwrap().as_f64().unwrap()
}

fn refused(output: Output, words: &[&str]) {
    let output = output.ends(2);
    for word in words {
        assert!(output.stderr.contains(word), "\"{word}\" is not in {}", output.stderr);
    }
}

#[test]
fn a_run_scores_what_its_tests_ask_for_and_the_verb_scores_the_same_again() {
    let (bench, [first, second]) = markov();
    let files = score_files(&bench);
    // Both models on the one data set of both runs.
    assert_eq!(files.len(), 6, "{files:?}");
    let of = |cell: &str| {
        files.iter().find(|file| file.ends_with(&format!("{cell}.loss.npy"))).unwrap().clone()
    };
    let before = losses(&bench, &of(&first));
    assert_eq!(before.len(), 600);
    assert_ne!(before, losses(&bench, &of(&second)));
    fs::remove_dir_all(bench.path("runs/scores")).unwrap();
    bench.run(&["provenance", "scores", "--model", &first, "--on", &second]).ends(0);
    assert_eq!(losses(&bench, &of(&first)), before);
    assert_eq!(score_files(&bench).len(), 3);
}

#[test]
fn documents_of_packs_are_scored_one_by_one() {
    let packed =
        MARKOV.replace("examples: 600", "examples: 100, pack: 4").replace("seeds: 2", "seeds: 1");
    let bench = Bench::new();
    bench.write("suite.yaml", &packed.replace("adam+1", "adam"));
    bench.run(&["run", "suite.yaml", "--device", "cpu"]).ends(0);
    let files = score_files(&bench);
    let file = |what: &str| files.iter().find(|file| file.ends_with(what)).unwrap();
    let (whole, documents) =
        (losses(&bench, file("loss.npy")), losses(&bench, file("documents.npy")));
    assert_eq!((whole.len(), documents.len()), (100, 400));
    for (whole, documents) in whole.iter().zip(documents.chunks(4)) {
        assert!((whole - documents.iter().sum::<f64>() / 4.0).abs() < 1e-12);
    }
}

#[test]
fn scores_name_what_they_lack() {
    let bench = Bench::with_run(TINY);
    let cell = bench.record("sgd", 0).cell;
    let scores =
        |bench: &Bench| bench.run(&["provenance", "scores", "--model", &cell, "--on", &cell]);
    refused(scores(&bench), &["left no model", "--keep-models"]);

    let (markov, [first, second]) = markov();
    let model = markov.path("runs").join(&first).join("checkpoints/final.safetensors");
    let whole = fs::read(&model).unwrap();
    let score =
        || markov.run(&["provenance", "scores", "--model", &first, "--on", &second, "--force"]);
    fs::write(&model, b"not a model").unwrap();
    refused(score(), &["final.safetensors", "not a safetensors file"]);
    fs::write(&model, &whole[..whole.len() - 9]).unwrap();
    refused(score(), &["final.safetensors"]);
    // The model of a narrower network.
    let narrower = MARKOV.replace("examples: 600", "examples: 600, hidden: 128");
    let narrow = Bench::with_run(&narrower);
    let other = narrow.path("runs").join(narrow.record("adamw", 0).cell);
    fs::copy(other.join("checkpoints/final.safetensors"), &model).unwrap();
    refused(score(), &["shape"]);
}

#[test]
fn sampled_text_is_a_table_of_the_workloads_tokens_and_the_same_again() {
    let (bench, [first, _]) = markov();
    let sample = |out: &str, seed: &str| {
        let arguments = ["--tokens", "1000", "--seed", seed, "--out", out];
        let verb = ["provenance", "sample", "--model", &first];
        bench.run(&[&verb[..], &arguments[..]].concat()).ends(0);
        fs::read(bench.path(out)).unwrap()
    };
    let text = sample("a.npy", "1");
    assert_eq!(sample("b.npy", "1"), text);
    assert_ne!(sample("c.npy", "2"), text);
    let source = ColumnSource { path: bench.path("a.npy"), column: None };
    let column = numbers(&source).unwrap();
    assert_eq!((column.rows, column.columns), (32, Some(32)));
    assert!(column.as_ids::<u32>().unwrap().iter().all(|token| *token < 32));
}

/// The answer of a reshuffle test of `text` with 6 replays of the second half.
fn reshuffled(bench: &Bench, run: &str, text: &str, jobs: &str) -> Value {
    let arguments = ["--text", text, "--share", "0.5", "--replays", "6", "--jobs", jobs, "--json"];
    let verb = ["provenance", "text", "reshuffle", "--run", run];
    bench.run(&[&verb[..], &arguments[..]].concat()).ends(0).json()
}

#[test]
fn replays_start_from_a_checkpoint_of_the_true_order_and_agree_for_any_number_of_jobs() {
    let (bench, [first, _]) = markov();
    bench
        .run(&["provenance", "sample", "--model", &first, "--tokens", "2000", "--out", "t.npy"])
        .ends(0);
    let alone = reshuffled(&bench, &first, "t.npy", "1");
    assert_eq!(alone["from_checkpoint"], true);
    assert_eq!(alone["replays"], 6);
    assert_eq!(alone["simulation"], true);
    assert!(alone["warnings"][0].as_str().unwrap().contains("no normal deviate"), "{alone}");
    if palimpsest::machine::cpus() > 1 {
        assert_eq!(reshuffled(&bench, &first, "t.npy", "2"), alone);
    }
    // One score per replay, each in an order of its own.
    assert!(alone["sd"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_rule_that_cannot_tell_its_state_is_replayed_from_the_beginning() {
    let slow = MARKOV.replace(
        "method: adamw, as: adam, with: { lr: 0.003, weight_decay: 0.0, schedule: constant }",
        "method: drop-muon, as: adam",
    );
    let bench = Bench::with_run(&slow);
    let cell = bench.record("drop-muon", 0).cell;
    bench
        .run(&["provenance", "sample", "--model", &cell, "--tokens", "640", "--out", "t.npy"])
        .ends(0);
    assert_eq!(reshuffled(&bench, &cell, "t.npy", "1")["from_checkpoint"], false);
}

#[test]
fn a_replay_that_does_not_end_like_the_run_is_no_evidence() {
    let (bench, [first, _]) = markov();
    bench
        .run(&["provenance", "sample", "--model", &first, "--tokens", "640", "--out", "t.npy"])
        .ends(0);
    let path = bench.path("runs").join(&first).join("record.json");
    let whole = fs::read_to_string(&path).unwrap();
    let mut record: Value = serde_json::from_str(&whole).unwrap();
    record["parameters_sha256"] = "ab".repeat(32).into();
    record["environment"]["libtorch"] = "1.0.0".into();
    fs::write(&path, record.to_string()).unwrap();
    let verb =
        ["provenance", "text", "reshuffle", "--run", &first, "--text", "t.npy", "--replays", "2"];
    refused(bench.run(&verb), &["other parameters", "libtorch was 1.0.0"]);
    refused(bench.run(&["provenance", "map", &first]), &["other parameters"]);

    let mut record: Value = serde_json::from_str(&whole).unwrap();
    record["order"]["law"] = "sorted".into();
    fs::write(&path, record.to_string()).unwrap();
    refused(bench.run(&verb), &["is sorted, not random", "provenance query"]);
    fs::write(&path, &whole).unwrap();

    // A swap in the order of the end.
    let order = path.with_file_name("order.bin");
    let mut bytes = fs::read(&order).unwrap();
    let ids = bytes.len();
    let (left, right) = bytes.split_at_mut(ids - 64);
    left[ids - 128..ids - 124].swap_with_slice(&mut right[..4]);
    fs::write(&order, bytes).unwrap();
    refused(bench.run(&verb), &["other parameters", "order.bin"]);
}

#[test]
fn a_text_that_the_model_cannot_read_is_refused_with_its_place() {
    let (bench, [first, _]) = markov();
    let mut list = Vec::new();
    write_npy(&mut list, &[1_u32, 2, 3]).unwrap();
    let mut table = Vec::new();
    write_npy_table(&mut table, &[[1_u32; 32], [1; 32], [99; 32]].concat(), 32).unwrap();
    let mut long = Vec::new();
    write_npy_table(&mut long, &[1_u32; 80], 40).unwrap();
    let cases: [(&[u8], &[&str]); 3] = [
        (&list, &["one list", "documents × tokens"]),
        (&table, &["token 99 of document 2", "the workload's 32"]),
        (&long, &["documents of 40 tokens", "3 to 32"]),
    ];
    for (bytes, words) in cases {
        fs::write(bench.path("t.npy"), bytes).unwrap();
        let verb = ["provenance", "text", "reshuffle", "--run", &first, "--text", "t.npy"];
        refused(bench.run(&verb), words);
    }
    let digits = Bench::with_run(TINY);
    let cell = digits.record("sgd", 0).cell;
    fs::write(digits.path("t.npy"), &table).unwrap();
    let verb = ["provenance", "text", "reshuffle", "--run", &cell, "--text", "t.npy"];
    refused(digits.run(&verb), &["do not predict tokens"]);
}

#[test]
fn the_map_shows_what_was_just_trained_and_leaves_its_files() {
    let (bench, [first, _]) = markov();
    let arguments =
        ["provenance", "map", &first, "--checkpoints", "4", "--segments", "5", "--out", "m"];
    let map = bench.run(&[&arguments[..], &["--json"]].concat()).ends(0).json();
    assert_eq!(map["steps"].as_array().unwrap().len(), 4);
    assert_eq!(map["excess"][0].as_array().unwrap().len(), 5);
    assert_eq!(map["steps"][3], map["total_steps"]);
    let (just, error) =
        (map["just_trained"].as_f64().unwrap(), map["standard_error"].as_f64().unwrap());
    assert!(just < -2.0 * error, "{just} {error}");
    let names = ["imprint-map.csv", "imprint-map.json", "imprint-map.png", "imprint-map.svg"];
    assert_eq!(bench.files("m"), names);
}

#[test]
fn a_calibration_is_the_same_for_any_number_of_jobs_and_says_whether_it_passed() {
    let bench = Bench::new();
    let calibrate = |jobs: &str| {
        let arguments =
            ["--runs", "3", "--permutations", "100", "--jobs", jobs, "--out", "c", "--json"];
        bench.run(&[&["provenance", "calibrate"], &arguments[..]].concat())
    };
    let alone = calibrate("1");
    let found = alone.json();
    assert_eq!(alone.code, Some(if found["passed"] == true { 0 } else { 1 }));
    assert_eq!(found["checks"][0]["ps"].as_array().unwrap().len(), 3);
    assert_eq!(found["enumerations"][0]["orders"], 5040);
    if palimpsest::machine::cpus() > 1 {
        assert_eq!(calibrate("2").json(), found);
    }
    let names = ["calibration.csv", "calibration.json", "calibration.png", "calibration.svg"];
    assert_eq!(bench.files("c"), names);
    refused(bench.run(&["provenance", "calibrate", "--workload", "markov-mpl"]), &["markov-mlp"]);
}

#[test]
fn a_model_is_its_own_sibling_and_no_stranger_is() {
    let (bench, [first, second]) = markov();
    let siblings = |second: &str| {
        bench.run(&["provenance", "siblings", &first, second, "--json"]).ends(0).json()
    };
    let itself = siblings(&first);
    assert_eq!(itself["layers"][0]["same_label"], itself["layers"][0]["units"]);
    assert!(itself["log10_p"].as_f64().unwrap() < -300.0);
    assert!(siblings(&second)["log10_p"].as_f64().unwrap() > -3.0);
    let file = bench.path("runs").join(&first).join("checkpoints/final.safetensors");
    let file = file.to_str().unwrap();
    assert_eq!(siblings(file)["log10_p"], itself["log10_p"]);
    bench.write("no.safetensors", "not a model");
    refused(
        bench.run(&["provenance", "siblings", file, "no.safetensors"]),
        &["no.safetensors is no safetensors file"],
    );
    refused(bench.run(&["provenance", "siblings", file, "x.safetensors"]), &["there is no file"]);
    refused(
        bench.run(&["provenance", "siblings", file, file, "--layer", "hiden.weight"]),
        &["hidden.weight"],
    );
}
