//! `palimpsest provenance query` on plain files, and certificates of its answers.

use std::fs;
use std::process::Command;

use analysis::evidence::Certificate;
use clap::{CommandFactory as _, Parser as _};
use data::columns::{write_npy, write_npy_table};
use palimpsest::cli::provenance::query::answer as answer_of;
use palimpsest::cli::provenance::{Provenance, Reading};
use palimpsest::cli::{Cli, Verb};
use serde_json::{Value, json};

use crate::support::{Bench, Output, output, python, root};

const N: u32 = 200;

/// A permutation of `0..N` for each `k` prime to N.
fn shuffled(k: u32) -> Vec<u32> {
    (0..N).map(|t| (t * k + 13) % N).collect()
}

fn positions(order: &[u32]) -> Vec<u32> {
    let mut positions = vec![0; order.len()];
    (0..).zip(order).for_each(|(t, id)| positions[*id as usize] = t);
    positions
}

fn noise(i: u32, k: u32) -> f64 {
    f64::from(i * k % 211) / 21.1
}

fn npy<T: data::columns::Element>(bench: &Bench, name: &str, values: &[T]) {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, values).unwrap();
    fs::write(bench.path(name), bytes).unwrap();
}

/// An order, its positions, scores that fall along it, and a reference that shares their noise.
fn bench() -> Bench {
    let bench = Bench::new();
    let order = shuffled(77);
    let at = positions(&order);
    let scores: Vec<f64> =
        (0..N).map(|i| noise(i, 53) + noise(i, 37) - 0.03 * f64::from(at[i as usize])).collect();
    npy(&bench, "o.npy", &order);
    npy(&bench, "p.npy", &at);
    npy(&bench, "s.npy", &scores);
    npy(&bench, "r.npy", &(0..N).map(|i| noise(i, 53)).collect::<Vec<f64>>());
    npy(&bench, "other.npy", &(0..N).map(|i| noise(i, 59)).collect::<Vec<f64>>());
    npy(&bench, "units.npy", &at.iter().map(|at| at / 4).collect::<Vec<u32>>());
    npy(&bench, "blocks.npy", &at.iter().map(|at| at / 50).collect::<Vec<u32>>());
    let mut table = Vec::new();
    write_npy_table(&mut table, &[order.clone(), shuffled(33)].concat(), N as usize).unwrap();
    fs::write(bench.path("two.npy"), table).unwrap();
    bench
}

fn query(bench: &Bench, line: &str) -> Output {
    let words: Vec<&str> = ["provenance", "query"].into_iter().chain(line.split(' ')).collect();
    bench.run(&words)
}

fn answer(bench: &Bench, line: &str) -> Value {
    query(bench, &format!("{line} --json")).ends(0).json()
}

/// The message of a refusal: exit code 2, and nothing that could be taken for an answer.
fn refusal(bench: &Bench, line: &str) -> String {
    let output = query(bench, line).ends(2);
    assert_eq!(output.stdout, "", "{line}");
    output.stderr
}

#[test]
fn an_order_and_its_positions_give_the_same_finding_in_any_row_order() {
    let bench = bench();
    let by_order = answer(&bench, "--order o.npy --scores s.npy --reference r.npy");
    assert_eq!(answer(&bench, "--positions p.npy --scores s.npy --reference r.npy"), by_order);
    assert!(by_order["log10_p"].as_f64().unwrap() < -5.0, "{by_order}");
    assert!(by_order["direction"].as_str().unwrap().starts_with("negative"), "{by_order}");
    for key in [
        "metric",
        "statistic",
        "n",
        "ties",
        "tail",
        "p",
        "log10_p",
        "exact",
        "direction",
        "randomness",
        "floor_log10_p",
        "warnings",
    ] {
        assert!(by_order.get(key).is_some(), "no {key} in {by_order}");
    }
    // The same rows as CSV with a byte order mark, rows turned round, examples named by their ids.
    let (order, at) = (shuffled(77), positions(&shuffled(77)));
    let mut csv = "\u{feff}id,position,loss,base\n".to_owned();
    for i in (0..N).rev() {
        let score = noise(i, 53) + noise(i, 37) - 0.03 * f64::from(at[i as usize]);
        csv += &format!("{i},{},{score:?},{:?}\n", at[i as usize], noise(i, 53));
    }
    bench.write("t.csv", &csv);
    let columns = "--scores t.csv:loss --reference t.csv:base";
    assert_eq!(answer(&bench, &format!("--positions t.csv:position {columns}")), by_order);
    assert_eq!(answer(&bench, &format!("--order o.npy --ids t.csv:id {columns}")), by_order);
    // Big-endian ids.
    let header = format!("{{'descr': '>i8', 'fortran_order': False, 'shape': ({N},), }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(header.bytes());
    bytes.extend(order.iter().flat_map(|id| i64::from(*id).to_be_bytes()));
    fs::write(bench.path("big.npy"), bytes).unwrap();
    assert_eq!(answer(&bench, "--order big.npy --scores s.npy --reference r.npy"), by_order);
}

#[test]
fn several_suspects_are_corrected_by_holm_and_get_no_certificate() {
    let bench = bench();
    let both = answer(&bench, "--order o.npy --scores s.npy --scores other.npy");
    let log10_p = |row: &Value, key: &str| row[key].as_f64().unwrap();
    let (suspect, other) = (&both[0], &both[1]);
    let doubled = log10_p(suspect, "log10_p") + 2_f64.log10();
    assert!((log10_p(suspect, "holm_log10_p") - doubled).abs() < 1e-12, "{both}");
    assert_eq!(log10_p(other, "holm_log10_p"), log10_p(other, "log10_p"));
    let refused =
        refusal(&bench, "--order o.npy --scores s.npy --scores other.npy --certificate c");
    assert!(refused.contains("about one suspect"), "{refused}");
}

#[test]
fn epochs_are_tabled_combined_and_chosen() {
    let bench = bench();
    let both = answer(&bench, "--order two.npy --scores s.npy");
    assert_eq!(both["epochs"]["rows"].as_array().unwrap().len(), 2, "{both}");
    let first = answer(&bench, "--order two.npy --scores s.npy --epoch 0");
    let alone = answer(&bench, "--order o.npy --scores s.npy");
    assert_eq!(first, alone);
    let refused = refusal(&bench, "--order two.npy --scores s.npy --epoch 2");
    assert!(refused.contains("has 2 epochs, from 0"), "{refused}");
    let drawn = answer(&bench, "--order two.npy --scores s.npy --monte-carlo 99");
    assert_eq!(drawn["monte_carlo"]["draws"], 99, "{drawn}");
    assert!(drawn["p"].as_f64().unwrap() >= 0.01, "{drawn}");
    for gamma in ["0", "-1", "nan", "inf"] {
        let refused = refusal(&bench, &format!("--order two.npy --scores s.npy --gamma={gamma}"));
        assert!(refused.contains("gamma"), "{gamma}: {refused}");
    }
    let mut row = Vec::new();
    write_npy_table(&mut row, &shuffled(77), N as usize).unwrap();
    fs::write(bench.path("row.npy"), row).unwrap();
    assert_eq!(answer(&bench, "--order row.npy --scores s.npy"), alone);
}

#[test]
fn laws_other_than_uniform_get_their_own_null_or_none() {
    let bench = bench();
    let order = "--order o.npy --scores s.npy --law";
    for law in ["sorted", "adaptive"] {
        let refused = refusal(&bench, &format!("{order} {law}"));
        assert!(refused.contains("no p-value is valid"), "{law}: {refused}");
    }
    let drawn: Vec<u32> = (0..N).map(|t| (t * t + 3 * t) % N).collect();
    npy(&bench, "drawn.npy", &drawn);
    let replacement = "--order drawn.npy --scores s.npy --law replacement";
    assert!(refusal(&bench, replacement).contains("number of draws"));
    let found = answer(&bench, &format!("{replacement} --monte-carlo 199 --seed 4"));
    assert_eq!(found["monte_carlo"], json!({"draws": 199, "seed": 4}));
    assert!(found["p"].as_f64().unwrap() >= 1.0 / 200.0);
    let refused =
        refusal(&bench, "--positions p.npy --scores s.npy --law replacement --monte-carlo 99");
    assert!(refused.contains("give the order itself"), "{refused}");
    let blocks = "--positions p.npy --scores s.npy --law blockwise";
    assert!(refusal(&bench, blocks).contains("block of each example"));
    let found = answer(&bench, &format!("{blocks} --blocks blocks.npy --monte-carlo 199"));
    assert!(found["p"].as_f64().unwrap() >= 1.0 / 200.0, "{found}");
}

#[test]
fn packs_are_tested_by_pack_or_not_at_all() {
    let bench = bench();
    let refused = refusal(&bench, "--order o.npy --scores s.npy --unit pack");
    assert!(refused.contains("give the unit of each example"), "{refused}");
    let found = answer(&bench, "--order o.npy --scores s.npy --unit pack --units units.npy");
    assert_eq!(found["n"], 50);
    npy(&bench, "torn.npy", &(0..N).map(|i| i / 4).collect::<Vec<u32>>());
    let refused = refusal(&bench, "--order o.npy --scores s.npy --unit pack --units torn.npy");
    assert!(refused.contains("is spread over the order"), "{refused}");
}

#[test]
fn the_randomness_of_the_order_limits_what_is_said() {
    let bench = bench();
    let fixed = answer(&bench, "--order o.npy --scores s.npy --randomness fixed");
    assert_eq!((&fixed["simulation"], &fixed["randomness"]), (&json!(true), &json!("fixed")));
    let floor = answer(&bench, "--order o.npy --scores s.npy --randomness os --seed-bits 8");
    let log10_p = floor["floor_log10_p"].as_f64().unwrap();
    assert!((log10_p + 8.0 * 2_f64.log10()).abs() < 1e-12);
    assert!(floor["warnings"][0].as_str().unwrap().contains("seed"), "{floor}");
    let log_prob = answer(&bench, "--order o.npy --scores s.npy --kind log-prob");
    assert!(log_prob["direction"].as_str().unwrap().contains("log-prob"), "{log_prob}");
}

#[test]
fn what_is_no_valid_question_is_refused_with_its_place_and_a_remedy() {
    let bench = bench();
    let scores = |name: &str, change: &dyn Fn(&mut Vec<f64>)| {
        let mut values: Vec<f64> = (0..N).map(|i| noise(i, 37)).collect();
        change(&mut values);
        npy(&bench, name, &values);
    };
    scores("constant.npy", &|values| values.fill(2.5));
    scores("nan.npy", &|values| values[17] = f64::NAN);
    scores("short.npy", &|values| values.truncate(150));
    npy(&bench, "few.npy", &[0_u32, 2, 1]);
    npy(&bench, "few-scores.npy", &[0.5_f64, 0.25, 1.0]);
    let mut ids = shuffled(77);
    ids[9] = ids[3];
    npy(&bench, "twice.npy", &ids);
    ids[9] = 5000;
    npy(&bench, "beyond.npy", &ids);
    npy(&bench, "half.npy", &shuffled(77)[..100]);
    npy(&bench, "real.npy", &(0..N).map(|i| f64::from(i) + 0.5).collect::<Vec<f64>>());
    let whole = fs::read(bench.path("s.npy")).unwrap();
    fs::write(bench.path("cut.npy"), &whole[..whole.len() - 3]).unwrap();
    fs::write(bench.path("long.npy"), [&whole[..], b"more"].concat()).unwrap();
    fs::write(bench.path("s.csv.gz"), b"\x1f\x8b\x08\0").unwrap();
    bench.write("ragged.csv", "id,loss\n1,2\n3\n");
    bench.write("text.csv", "id,loss\n1,2\n3,much\n");
    for (line, words) in [
        ("--order o.npy --scores constant.npy", &["2.5 for every example"][..]),
        ("--order o.npy --scores nan.npy", &["17", "NaN"]),
        ("--order o.npy --scores nan.npy --metric kendall", &["17", "NaN"]),
        ("--positions p.npy --scores short.npy", &["150", "200"]),
        ("--order few.npy --scores few-scores.npy", &["too few", "score more examples"]),
        ("--order twice.npy --scores s.npy", &["twice.npy: order[9]", "again (first at 3)"]),
        ("--order beyond.npy --scores s.npy", &["beyond.npy: order[9] is 5000", "200 examples"]),
        ("--order half.npy --scores s.npy", &["leaves out 100 of 200", "uniform-subset"]),
        ("--order real.npy --scores s.npy", &["real.npy", "whole numbers"]),
        ("--order o.npy --scores two.npy", &["two.npy", "(2, 200)", "mean of each row"]),
        ("--positions p.npy --scores s.npy --units two.npy", &["two.npy", "one column of it"]),
        ("--order o.npy --scores s.csv.gz:loss", &["s.csv.gz", "unpack it first"]),
        ("--order o.npy --scores cut.npy", &["cut.npy", "truncated", "save it again"]),
        ("--order o.npy --scores long.npy", &["long.npy", "followed by other bytes"]),
        ("--order o.npy --scores ragged.csv:loss", &["ragged.csv", "line 3"]),
        ("--order o.npy --scores text.csv:loss", &["text.csv", "much", "line 3"]),
        ("--order o.npy --scores text.csv:los", &["text.csv", "loss"]),
        ("--order o.npy --scores absent.npy", &["absent.npy"]),
        ("--order o.npy", &["--scores FILE"]),
        ("--scores s.npy", &["--order FILE"]),
        ("--order o.npy --positions p.npy --scores s.npy", &["cannot be used with"]),
        ("--order o.npy --scores s.npy --adjust residual", &["there is no reference"]),
        ("--order o.npy --scores s.npy --reference r.npy --adjust none", &["adjust is none"]),
        ("--order o.npy --scores s.npy --metric sperman", &["spearman", "pearson", "kendall"]),
        ("--order o.npy --scores s.npy --tail both", &["two-sided"]),
        ("--order o.npy --scores s.npy --law unifrom", &["uniform", "blockwise"]),
        (
            "--order o.npy --scores s.npy --reference r.npy --reference-order o.npy",
            &["depends on the order", "trained on another order"],
        ),
        ("--order o.npy --scores s.npy --certificate no/such/c", &["no folder no/such", "make it"]),
    ] {
        let told = refusal(&bench, line);
        for word in words {
            assert!(told.contains(word), "{line}: \"{word}\" is not in {told}");
        }
    }
}

/// Saves rows of `columns` ids each.
fn table(bench: &Bench, name: &str, ids: &[u32], columns: usize) {
    let mut bytes = Vec::new();
    write_npy_table(&mut bytes, ids, columns).unwrap();
    fs::write(bench.path(name), bytes).unwrap();
}

#[test]
fn a_table_of_steps_is_one_epoch_and_never_a_subset() {
    let bench = bench();
    table(&bench, "steps.npy", &shuffled(77), 8);
    for law in ["uniform", "uniform-same-each-epoch", "uniform-subset"] {
        let told = refusal(&bench, &format!("--order steps.npy --scores s.npy --law {law}"));
        for word in ["(25, 8)", "steps of 8 examples", "--steps"] {
            assert!(told.contains(word) && !told.contains("subset"), "{law}: {told}");
        }
    }
    let by_steps = answer(&bench, "--order steps.npy --scores s.npy --steps");
    assert_eq!(by_steps, answer(&bench, "--order o.npy --scores s.npy --batch-size 8"));
    assert!(by_steps["log10_p"].as_f64().unwrap() < -3.0, "{by_steps}");
    table(&bench, "epochs.npy", &[shuffled(77), shuffled(33)].concat(), 8);
    let two = answer(&bench, "--order epochs.npy --scores s.npy --steps");
    assert_eq!(two, answer(&bench, "--order two.npy --scores s.npy --batch-size 8"));
    table(&bench, "column.npy", &shuffled(77), 1);
    let alone = answer(&bench, "--order o.npy --scores s.npy");
    assert_eq!(answer(&bench, "--order column.npy --scores s.npy"), alone);
    let (one, other) = (shuffled(77), shuffled(33));
    let across: Vec<u32> = one.iter().zip(&other).flat_map(|(a, b)| [*a, *b]).collect();
    table(&bench, "across.npy", &across, 2);
    let told = refusal(&bench, "--order across.npy --scores s.npy");
    assert!(told.contains("columns are epochs") && told.contains("--epochs-in-columns"), "{told}");
    let turned = answer(&bench, "--order across.npy --scores s.npy --epochs-in-columns");
    assert_eq!(turned, answer(&bench, "--order two.npy --scores s.npy"));
    for inputs in ["--order steps.npy --scores s.npy", "--order epochs.npy --scores s.npy"] {
        query(&bench, &format!("{inputs} --steps --certificate c")).ends(0);
        let held = verify(&bench, inputs).ends(0).stdout;
        assert!(held.contains("ok         statistic and p-value"), "{held}");
    }
}

#[test]
fn epochs_of_unequal_length_come_in_files_of_their_own() {
    let bench = bench();
    npy(&bench, "half.npy", &shuffled(33)[..100]);
    let inputs = "--order o.npy --order half.npy --scores s.npy";
    let found = answer(&bench, &format!("{inputs} --law uniform-subset"));
    let rows = found["epochs"]["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(), [200, 100]);
    query(&bench, &format!("{inputs} --law uniform-subset --certificate c")).ends(0);
    let certificate = Certificate::read(&fs::read(bench.path("c.json")).unwrap()).unwrap();
    let names: Vec<&str> = certificate.tested.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["o.npy", "half.npy", "s.npy"]);
    verify(&bench, inputs).ends(0);
    verify(&bench, "--order half.npy --order o.npy --scores s.npy").ends(1);
    let last = answer(&bench, &format!("{inputs} --law uniform-subset --epoch 1"));
    assert_eq!(last["n"], 100);
}

#[test]
fn examples_may_be_known_by_names_or_by_any_numbers() {
    let bench = bench();
    let (order, at) = (shuffled(77), positions(&shuffled(77)));
    let name = |i: &u32| format!("doc-{:03}", (i * 7) % N);
    let lines =
        |ids: &[u32]| "id\n".to_owned() + &ids.iter().map(|i| name(i) + "\n").collect::<String>();
    bench.write("order.csv", &lines(&order));
    let half: Vec<u32> = (0..N).rev().filter(|i| i % 2 == 0).collect();
    let score = |i: &u32| noise(*i, 53) + noise(*i, 37) - 0.03 * f64::from(at[*i as usize]);
    let rows = half.iter().map(|i| format!("{},{i},{}\n", name(i), score(i)));
    bench.write("t.csv", &("id,number,loss\n".to_owned() + &rows.collect::<String>()));
    let scores = "--scores t.csv:loss";
    let by_number = answer(&bench, &format!("--order o.npy --ids t.csv:number {scores}"));
    let by_name = format!("--order order.csv:id --ids t.csv:id {scores}");
    assert_eq!(answer(&bench, &by_name), by_number);
    query(&bench, &format!("{by_name} --certificate c")).ends(0);
    verify(&bench, "--order order.csv --ids t.csv --scores t.csv").ends(0);
    // Ids far apart need memory for as many as there are.
    let far = |i: &u32| u64::from(*i) * 20_000_001 + 7;
    let lines = |ids: &[u32]| {
        "id\n".to_owned() + &ids.iter().map(|i| format!("{}\n", far(i))).collect::<String>()
    };
    bench.write("far.csv", &lines(&order));
    bench.write("rows.csv", &lines(&half));
    let by_far = format!("--order far.csv:id --ids rows.csv:id {scores}");
    let limited = |line: &str| {
        let words: Vec<&str> = ["provenance", "query"].into_iter().chain(line.split(' ')).collect();
        output(bench.limited("ulimit -v 4000000", &words))
    };
    assert_eq!(limited(&format!("{by_far} --json")).ends(0).json(), by_number);
    limited(&format!("{by_far} --certificate d")).ends(0);
    let words = [
        "verify-certificate",
        "d.json",
        "--order",
        "far.csv",
        "--ids",
        "rows.csv",
        "--scores",
        "t.csv",
    ];
    output(bench.limited("ulimit -v 4000000", &words)).ends(0);
    for (line, words) in [
        (
            format!("--order order.csv:id --ids t.csv:number {scores}"),
            &["t.csv:number holds numbers", "order.csv:id holds text"][..],
        ),
        (
            format!("--order o.npy --ids t.csv:id {scores}"),
            &["t.csv:id holds text, such as \"doc-"],
        ),
        (format!("--order order.csv:id {scores}"), &["order.csv:id holds text", "--ids"]),
        (format!("--order order.csv {scores} --ids t.csv:id"), &["order.csv:id"]),
        (format!("{by_far} --law replacement --monte-carlo 9"), &["number the examples from 0"]),
        (
            format!("--order half-order.csv:id --ids t.csv:id {scores}"),
            &["50 of the 100 scored examples", "\"doc-"],
        ),
        (
            format!("--order twice.csv:id --ids t.csv:id {scores}"),
            &["twice.csv:id: order[9]", "stands for \"doc-"],
        ),
    ] {
        bench.write(
            "half-order.csv",
            &("id\n".to_owned()
                + &order
                    .iter()
                    .filter(|i| **i % 4 != 0)
                    .map(|i| name(i) + "\n")
                    .collect::<String>()),
        );
        let mut twice = order.clone();
        twice[9] = twice[3];
        bench.write(
            "twice.csv",
            &("id\n".to_owned() + &twice.iter().map(|i| name(i) + "\n").collect::<String>()),
        );
        let told = refusal(&bench, &line);
        for word in words {
            assert!(told.contains(word), "{line}: \"{word}\" is not in {told}");
        }
    }
}

#[test]
fn packs_of_unequal_size_are_placed_by_the_ids_of_their_documents_packs() {
    let bench = bench();
    // Sixty packs of one to five documents.
    let pack_of: Vec<u32> =
        (0..60).flat_map(|pack| std::iter::repeat_n(pack, 1 + (pack as usize * 7) % 5)).collect();
    let order: Vec<u32> = (0..60).map(|t| (t * 7 + 3) % 60).collect();
    let at = positions(&order);
    let score =
        |(row, pack): (usize, &u32)| noise(row as u32, 37) - 0.3 * f64::from(at[*pack as usize]);
    npy(&bench, "packs.npy", &order);
    npy(&bench, "pack_of.npy", &pack_of);
    npy(&bench, "losses.npy", &pack_of.iter().enumerate().map(score).collect::<Vec<f64>>());
    let line = "--order packs.npy --scores losses.npy --unit pack --units pack_of.npy";
    let told = refusal(&bench, line);
    assert!(told.contains("those of units") && told.contains("--ids pack_of.npy"), "{told}");
    let found = answer(&bench, &format!("{line} --ids pack_of.npy"));
    assert_eq!(found["n"], 60);
    assert!(found["log10_p"].as_f64().unwrap() < -5.0, "{found}");
}

#[test]
fn scores_of_tokens_count_by_their_mean_when_that_is_asked_for() {
    let bench = bench();
    let mean = |i: u32| noise(i, 37) - 0.1 * f64::from(i);
    let tokens: Vec<f64> =
        (0..N).flat_map(|i| [-1.0, 3.0, 0.5, -2.5].map(|token| mean(i) + token)).collect();
    let mut bytes = Vec::new();
    write_npy_table(&mut bytes, &tokens, 4).unwrap();
    fs::write(bench.path("tokens.npy"), bytes).unwrap();
    npy(&bench, "means.npy", &(0..N).map(mean).collect::<Vec<f64>>());
    let told = refusal(&bench, "--order o.npy --scores tokens.npy");
    assert!(told.contains("(200, 4)") && told.contains("--token-scores mean"), "{told}");
    let line = "--order o.npy --scores tokens.npy --token-scores mean";
    let found = answer(&bench, line);
    let whole = answer(&bench, "--order o.npy --scores means.npy");
    assert!(
        (found["statistic"].as_f64().unwrap() - whole["statistic"].as_f64().unwrap()).abs() < 1e-3
    );
    query(&bench, &format!("{line} --certificate c")).ends(0);
    verify(&bench, "--order o.npy --scores tokens.npy").ends(0);
    let told = refusal(&bench, "--order o.npy --scores means.npy --token-scores mean");
    assert!(told.contains("one number a row already"), "{told}");
    let mut padded = tokens;
    padded[7] = f64::NAN;
    let mut bytes = Vec::new();
    write_npy_table(&mut bytes, &padded, 4).unwrap();
    fs::write(bench.path("padded.npy"), bytes).unwrap();
    let told = refusal(&bench, "--order o.npy --scores padded.npy --token-scores mean");
    assert!(told.contains("Parquet") && told.contains("value 7"), "{told}");
}

#[test]
fn rows_that_the_order_does_not_have_are_counted() {
    let bench = bench();
    npy(&bench, "tail.npy", &shuffled(77)[..190]);
    let told = query(&bench, "--order tail.npy --scores s.npy").ends(0).stderr;
    assert!(told.contains("10 of 200 rows are left out of the test"), "{told}");
    let told = query(&bench, "--order tail.npy --scores s.npy --scores other.npy").ends(0).stderr;
    assert!(told.contains("10 of 200 rows are left out"), "{told}");
    npy(&bench, "ids.npy", &(0..N).collect::<Vec<u32>>());
    let told = query(&bench, "--order tail.npy --ids ids.npy --scores s.npy").ends(0).stderr;
    assert!(told.contains("10 of 200 rows are left out"), "{told}");
    let told = query(&bench, "--order o.npy --scores s.npy").ends(0).stderr;
    assert!(!told.contains("left out"), "{told}");
}

/// Written by pyarrow 26.0.1: eight documents `doc-0` to `doc-7` of one to three tokens, whose mean losses
/// fall from 8 to 1.
#[cfg(feature = "parquet")]
#[test]
fn lists_of_unequal_length_count_by_their_means() {
    let bench = Bench::new();
    fs::write(bench.path("t.parquet"), include_bytes!("tokens.parquet")).unwrap();
    bench.write("order.csv", "id\ndoc-0\ndoc-1\ndoc-2\ndoc-3\ndoc-4\ndoc-5\ndoc-6\ndoc-7\n");
    let line = "--order order.csv:id --ids t.parquet:name --scores t.parquet:loss";
    let told = refusal(&bench, line);
    assert!(told.contains("t.parquet:loss") && told.contains("--token-scores mean"), "{told}");
    let found = answer(&bench, &format!("{line} --token-scores mean --metric pearson"));
    assert_eq!((&found["statistic"], &found["n"]), (&json!(-1.0), &json!(8)));
}

#[test]
fn a_header_that_is_a_number_is_no_score() {
    let bench = bench();
    let column = |values: &[u32]| {
        "0\n".to_owned() + &values.iter().map(|v| format!("{v}\n")).collect::<String>()
    };
    bench.write("p.csv", &column(&positions(&shuffled(77))));
    bench.write("o.csv", &column(&shuffled(77)));
    let scores: String = (0..N).map(|i| format!("{:?}\n", noise(i, 37) + 0.25)).collect();
    bench.write("s.csv", &format!("0\n{scores}"));
    for line in [
        "--positions p.csv --scores s.csv",
        "--order o.csv --scores s.npy",
        "--positions p.npy --scores s.csv",
    ] {
        let told = refusal(&bench, line);
        assert!(
            told.contains("may be a header or a value") && told.contains(".csv:0"),
            "{line}: {told}"
        );
    }
    let named = answer(&bench, "--positions p.csv:0 --scores s.csv:0");
    assert_eq!(named["n"], 200);
    assert_eq!(answer(&bench, "--order o.csv:0 --scores s.csv:0"), named);
}

#[test]
fn the_order_of_a_reference_is_named_in_the_certificate() {
    let bench = bench();
    npy(&bench, "other_order.npy", &(0..N).map(|t| (t * t * t + 1) % N).collect::<Vec<u32>>());
    npy(&bench, "shuffled.npy", &shuffled(33));
    let inputs = "--order o.npy --scores s.npy --reference r.npy --reference-order shuffled.npy";
    query(&bench, &format!("{inputs} --certificate c")).ends(0);
    let text = fs::read_to_string(bench.path("c.json")).unwrap();
    assert!(text.contains("\"role\":\"reference-order\""), "{text}");
    verify(&bench, inputs).ends(0);
    let short = "--order o.npy --scores s.npy --reference r.npy";
    let told = verify(&bench, short).ends(3).stdout;
    assert!(told.contains("unchecked  reference-order shuffled.npy"), "{told}");
    verify(&bench, &format!("{short} --reference-order other_order.npy")).ends(1);
}

#[test]
fn a_signed_certificate_is_kept_unless_it_is_to_be_written_over() {
    let bench = bench();
    let line = "--order o.npy --scores s.npy --certificate c";
    query(&bench, line).ends(0);
    query(&bench, line).ends(0);
    bench.run(&["keygen", "my.pem"]).ends(0);
    query(&bench, &format!("{line} --sign my.pem")).ends(0);
    let signed = fs::read(bench.path("c.json")).unwrap();
    let told = refusal(&bench, line);
    assert!(told.contains("c.json") && told.contains("--force"), "{told}");
    assert_eq!(fs::read(bench.path("c.json")).unwrap(), signed);
    query(&bench, &format!("{line} --force")).ends(0);
    assert_ne!(fs::read(bench.path("c.json")).unwrap(), signed);
    bench.write("mine.json", "{\"results\": 1}");
    let told = refusal(&bench, "--order o.npy --scores s.npy --certificate mine");
    assert!(told.contains("no certificate"), "{told}");
    bench.write("page.html", "<p>mine</p>");
    let told = refusal(&bench, "--order o.npy --scores s.npy --certificate page");
    assert!(told.contains("page.html"), "{told}");
}

#[test]
fn a_test_of_a_plan_is_counted_and_others_are_refused() {
    let bench = bench();
    bench.write(
        "plan.yaml",
        "suspects: [s.npy, other.npy]\nreferences: [r.npy]\nmetrics: [spearman, kendall]\ntests: 4\n",
    );
    let line = "--order o.npy --reference r.npy --plan plan.yaml";
    let told = query(&bench, &format!("{line} --scores other.npy --metric kendall")).ends(0).stdout;
    assert!(told.contains("test 4 of 4 planned: multiply p by 4"), "{told}");
    let found = answer(&bench, &format!("{line} --scores s.npy"));
    let digest =
        ledger::digest::Digest::of(&fs::read(bench.path("plan.yaml")).unwrap()).to_string();
    assert_eq!(found["plan"], json!({"sha256": digest, "tests": 4, "test": 1}));
    query(&bench, &format!("{line} --scores s.npy --certificate c")).ends(0);
    let certificate = Certificate::read(&fs::read(bench.path("c.json")).unwrap()).unwrap();
    assert_eq!(certificate.options["plan"], json!({"sha256": digest, "tests": 4}));
    let files = "--order o.npy --scores s.npy --reference r.npy";
    let open = verify(&bench, files).ends(0).stdout;
    assert!(open.contains("unchecked  plan of 4 tests, sha256 "), "{open}");
    let planned = verify(&bench, &format!("{files} --plan plan.yaml")).ends(0).stdout;
    assert!(planned.contains("ok         plan plan.yaml: test 1 of 4\n"), "{planned}");
    assert!(!planned.contains("unchecked  plan"), "{planned}");
    bench.write(
        "another.yaml",
        "suspects: [s.npy]\nreferences: [r.npy]\nmetrics: [spearman]\ntests: 4\n",
    );
    let another = verify(&bench, &format!("{files} --plan another.yaml")).ends(1).stdout;
    assert!(another.contains("MISMATCH   plan another.yaml: the certificate names"), "{another}");
    let absent = verify(&bench, &format!("{files} --plan absent.yaml")).ends(2).stderr;
    assert!(absent.contains("cannot read absent.yaml"), "{absent}");
    let both = answer(&bench, &format!("{line} --scores s.npy --scores other.npy"));
    assert_eq!((&both[0]["plan"]["test"], &both[1]["plan"]["test"]), (&json!(1), &json!(3)));
    bench.write("few.yaml", "suspects: [s.npy]\nmetrics: [spearman, pearson]\ntests: 1\n");
    bench.write("odd.yaml", "suspects: [s.npy]\nmetrics: [spearman]\ntests: 1\ntest: 2\n");
    bench.write("twice.yaml", "suspects: [s.npy, s.npy]\nmetrics: [spearman]\ntests: 2\n");
    for (line, word) in [
        (format!("{line} --scores r.npy"), "suspect r.npy is not among"),
        (format!("{line} --scores s.npy --metric pearson"), "pearson is not among its `metrics`"),
        (format!("{line} --scores s.npy --tail less"), "less is not among its `tails`"),
        (format!("{line} --scores s.npy --adjust residual"), "residual is not among its `adjusts`"),
        (
            "--order o.npy --scores s.npy --adjust none --plan plan.yaml".to_owned(),
            "none is not among",
        ),
        (
            format!("{line} --scores s.npy --reference other.npy"),
            "reference other.npy is not among",
        ),
        ("--order o.npy --scores s.npy --plan few.yaml".to_owned(), "`tests` is 1"),
        ("--order o.npy --scores s.npy --plan odd.yaml".to_owned(), "unknown field"),
        ("--order o.npy --scores s.npy --plan twice.yaml".to_owned(), "names something twice"),
        ("--order o.npy --scores s.npy --plan none.yaml".to_owned(), "none.yaml"),
    ] {
        let told = refusal(&bench, &line);
        assert!(told.contains(word), "{line}: {told}");
    }
}

/// A value of each option, other than its default; an option that is not here fails the tests below.
fn value_of(option: &str) -> Vec<&'static str> {
    match option {
        "order" => vec!["o.npy"],
        "positions" => vec!["p.npy"],
        "scores" => vec!["other.npy"],
        "reference" => vec!["r.npy"],
        "reference_order" => vec!["shuffled.npy"],
        "ids" => vec!["ids.npy"],
        "units" => vec!["units.npy"],
        "blocks" => vec!["blocks.npy"],
        "law" => vec!["uniform-subset"],
        "unit" => vec!["pack"],
        "randomness" => vec!["os"],
        "seed_bits" => vec!["64"],
        "batch_size" => vec!["8"],
        "epoch" => vec!["0"],
        "token_scores" => vec!["mean"],
        "run" | "model" | "reference_model" | "template" => vec!["0123456789abcdef"],
        "access" => vec!["top-one"],
        "documents" => vec!["averaged"],
        "data_dir" | "store" => vec!["elsewhere"],
        "metric" => vec!["kendall"],
        "tail" => vec!["less"],
        "adjust" => vec!["residual"],
        "kind" => vec!["log-prob"],
        "gamma" => vec!["0.9"],
        "monte_carlo" => vec!["19"],
        "seed" => vec!["5"],
        "plan" => vec!["plan.yaml"],
        "promise" => vec!["promise.json"],
        "certificate" => vec!["cert"],
        "sign" => vec!["key.pem"],
        "steps" | "epochs_in_columns" | "force" | "json" => vec![],
        other => panic!("--{other} is new: give it a value here and a rule in query.rs"),
    }
}

/// What an option changes beside the answer: where that goes.
const OUTPUTS: [&str; 4] = ["certificate", "sign", "force", "json"];

#[test]
fn no_pair_of_options_is_accepted_with_one_of_them_ignored() {
    let bench = bench();
    npy(&bench, "shuffled.npy", &shuffled(33));
    npy(&bench, "ids.npy", &shuffled(3));
    table(&bench, "steps.npy", &shuffled(77), 8);
    let across: Vec<u32> =
        shuffled(77).iter().zip(shuffled(33)).flat_map(|(a, b)| [*a, b]).collect();
    table(&bench, "across.npy", &across, 2);
    let tokens: Vec<f64> = (0..N).flat_map(|i| [noise(i, 53), noise(i, 37)]).collect();
    let mut bytes = Vec::new();
    write_npy_table(&mut bytes, &tokens, 2).unwrap();
    fs::write(bench.path("tokens.npy"), bytes).unwrap();
    bench.write(
        "plan.yaml",
        "suspects: [s.npy, other.npy, tokens.npy]\nmetrics: [spearman, kendall]\ntails: [two-sided, less]\ntests: 99\n",
    );
    bench.run(&["provenance", "promise", "o.npy", "--promise", "promise.json"]).ends(0);
    let command = Cli::command();
    let provenance = command.find_subcommand("provenance").unwrap();
    let query = provenance.find_subcommand("query").unwrap();
    let options: Vec<(String, String)> = query
        .get_arguments()
        .filter_map(|option| {
            Some((option.get_id().to_string(), format!("--{}", option.get_long()?)))
        })
        .filter(|(id, _)| id != "help")
        .collect();
    assert!(options.len() > 30, "{options:?}");
    let words = |id: &str, long: &str| {
        let values = value_of(id).into_iter().map(|value| {
            let is_file = bench.path(value).is_file();
            if is_file { bench.path(value).display().to_string() } else { value.to_owned() }
        });
        std::iter::once(long.to_owned()).chain(values).collect::<Vec<_>>()
    };
    // The answer and all that a certificate says of how it came about.
    let ask = |words: &[String]| -> Result<String, String> {
        let line = ["palimpsest", "provenance", "query"].map(str::to_owned);
        let cli =
            Cli::try_parse_from(line.iter().chain(words)).map_err(|error| error.to_string())?;
        let Verb::Provenance(Provenance::Reading(Reading::Query(args))) = cli.verb else {
            panic!("not a query")
        };
        let outcome =
            answer_of(&args, &|_| Ok(Vec::new())).map_err(|error| format!("{error:#}"))?;
        let tested = &outcome.question.tested;
        let findings: Vec<Value> = outcome.asked.iter().map(|asked| json!(asked.finding)).collect();
        Ok(format!("{findings:?} {:?} {tested:?}", outcome.question.options()))
    };
    let base = |words: &str| -> Vec<String> {
        let path = |word: &str| match word.ends_with(".npy") {
            true => bench.path(word).display().to_string(),
            false => word.to_owned(),
        };
        words.split_whitespace().map(path).collect()
    };
    let (mut accepted, mut refused) = (0, 0);
    for base in [
        base("--order o.npy --scores s.npy"),
        base("--order two.npy --scores s.npy"),
        base("--order steps.npy --scores s.npy --steps"),
        base("--order across.npy --scores s.npy --epochs-in-columns"),
        base("--positions p.npy --scores s.npy"),
        base("--order o.npy --scores tokens.npy --token-scores mean"),
        base("--positions p.npy --scores s.npy --law blockwise --monte-carlo 19"),
        base("--run 0123456789abcdef --model 0123456789abcdef"),
    ] {
        for (first, (one, one_long)) in options.iter().enumerate() {
            for (two, two_long) in &options[first + 1..] {
                let (a, b) = (words(one, one_long), words(two, two_long));
                let whole = [base.clone(), a.clone(), b.clone()].concat();
                let shown = whole.join(" ");
                match ask(&whole) {
                    Err(told) => {
                        refused += 1;
                        assert!(!told.is_empty(), "{shown}");
                        if told.contains("would not be used") {
                            let named =
                                [one_long, two_long].iter().any(|long| told.contains(*long));
                            assert!(named, "{shown}: {told}");
                        }
                    }
                    Ok(found) => {
                        accepted += 1;
                        for (id, rest) in [(one, &b), (two, &a)] {
                            if OUTPUTS.contains(&id.as_str()) {
                                continue;
                            }
                            let without = ask(&[base.clone(), rest.clone()].concat());
                            assert_ne!(Ok(&found), without.as_ref(), "{shown}: {id} has no effect");
                        }
                    }
                }
            }
        }
    }
    assert!(accepted > 500 && refused > 500, "{accepted} {refused}");
}

#[test]
fn an_option_that_would_not_be_used_is_refused_by_name() {
    let bench = bench();
    npy(&bench, "shuffled.npy", &shuffled(33));
    let files = "--order o.npy --scores s.npy";
    let positions = "--positions p.npy --scores s.npy";
    let run = "--run 0123 --model 0123";
    for (line, option) in [
        (format!("{files} --blocks blocks.npy"), "--blocks"),
        (format!("{positions} --blocks blocks.npy"), "--blocks"),
        (format!("{positions} --ids p.npy"), "--ids"),
        (format!("{positions} --batch-size 8"), "--batch-size"),
        (format!("{positions} --reference r.npy --reference-order o.npy"), "--reference-order"),
        (format!("{files} --reference-order shuffled.npy"), "--reference-order"),
        (format!("{positions} --epoch 0"), "--epoch"),
        (format!("{files} --model 0123"), "--model"),
        (format!("{files} --reference-model 0123"), "--reference-model"),
        (format!("{files} --template 0123"), "--template"),
        (format!("{files} --access top-one"), "--access"),
        (format!("{files} --access log-probs"), "--access"),
        (format!("{files} --documents averaged"), "--documents"),
        (format!("{files} --store elsewhere"), "--store"),
        (format!("{files} --data-dir elsewhere"), "--data-dir"),
        (format!("{files} --gamma 0.5"), "--gamma"),
        (format!("{files} --seed-bits 64"), "--seed-bits"),
        (format!("{files} --seed 1"), "--seed"),
        (format!("{files} --force"), "--force"),
        (format!("{files} --sign key.pem"), "--sign"),
        (format!("{files} --batch-size 8 --steps"), "--batch-size"),
        (
            "--order two.npy --scores s.npy --law replacement --monte-carlo 9 --batch-size 8"
                .to_owned(),
            "--batch-size",
        ),
        ("--order two.npy --scores s.npy --epoch 1 --gamma 0.5".to_owned(), "--gamma"),
        (format!("{files} --steps"), "--steps"),
        (format!("{files} --epochs-in-columns"), "--epochs-in-columns"),
        (format!("{run} --law uniform"), "--law"),
        (format!("{run} --unit sample"), "--unit"),
        (format!("{run} --kind loss"), "--kind"),
        (format!("{run} --scores s.npy"), "--scores"),
        (format!("{run} --template 0124 --metric kendall"), "--metric"),
        (format!("{run} --template 0124 --monte-carlo 9"), "--monte-carlo"),
        (format!("{run} --token-scores mean"), "--token-scores"),
    ] {
        let told = refusal(&bench, &line);
        assert!(told.contains(option), "{line}: {told}");
    }
    for (line, option) in [
        ("provenance power suite --data-dir elsewhere", "--data-dir"),
        ("provenance siblings a b --data-dir elsewhere", "--data-dir"),
        ("provenance siblings s.npy r.npy --store elsewhere", "--store"),
        (
            "provenance text partition --corpus o.npy --order o.npy --text o.npy --unit bytes",
            "--unit",
        ),
        (
            "provenance text partition --corpus o.npy --order o.npy --text o.npy --seed 3",
            "--monte-carlo",
        ),
    ] {
        let told = bench.run(&line.split(' ').collect::<Vec<_>>()).ends(2).stderr;
        assert!(told.contains(option), "{line}: {told}");
    }
}

fn verify(bench: &Bench, inputs: &str) -> Output {
    let words: Vec<&str> =
        ["verify-certificate", "c.json"].into_iter().chain(inputs.split(' ')).collect();
    bench.run(&words)
}

#[test]
fn a_certificate_of_any_test_is_computed_anew_from_its_files() {
    let bench = bench();
    for (inputs, options) in [
        ("--order o.npy --scores s.npy --reference r.npy", "--adjust residual --tail less"),
        ("--positions p.npy --scores s.npy", "--metric kendall --seed-bits 8 --randomness os"),
        ("--order two.npy --scores s.npy", "--gamma 0.5"),
        ("--order two.npy --scores s.npy", "--epoch 1 --monte-carlo 99"),
        ("--order o.npy --scores s.npy --units units.npy", "--unit pack"),
        ("--order o.npy --scores s.npy", "--batch-size 8 --metric pearson"),
        (
            "--positions p.npy --scores s.npy --blocks blocks.npy",
            "--law blockwise --monte-carlo 99",
        ),
    ] {
        query(&bench, &format!("{inputs} {options} --certificate c")).ends(0);
        let held = verify(&bench, &format!("{inputs} --page c.html")).ends(0);
        assert!(held.stdout.contains("ok         statistic and p-value"), "{}", held.stdout);
    }
}

#[test]
fn a_certificate_with_a_changed_field_or_file_does_not_hold() {
    let bench = bench();
    let inputs = "--order o.npy --scores s.npy --reference r.npy";
    query(&bench, &format!("{inputs} --randomness os --seed-bits 8 --certificate c")).ends(0);
    let bytes = fs::read(bench.path("c.json")).unwrap();
    let whole = Certificate::read(&bytes).unwrap();
    // A forger who seals anew: digest and words fit, the inputs do not.
    for (place, value, word) in [
        ("/finding/statistic", json!(-0.9), "statistic"),
        ("/finding/n", json!(201), "n is"),
        ("/finding/ties", json!(7), "ties"),
        ("/finding/floor_log10_p", json!(null), "floor_log10_p"),
        ("/finding/warnings", json!([]), "warnings"),
        ("/finding/direction", json!("positive: later"), "direction"),
        ("/options/law", json!("sorted"), "no p-value is valid"),
        ("/options/unit", json!("pack"), "unit"),
        ("/options/resolution", json!("step"), "resolution"),
        ("/options/kind", json!("agreement"), "direction"),
        ("/options/seed_bits", json!(4), "floor_log10_p"),
        ("/options/law", json!("by-hand"), "by-hand"),
    ] {
        let mut changed = serde_json::to_value(&whole).unwrap();
        *changed.pointer_mut(place).unwrap() = value;
        let changed: Certificate = serde_json::from_value(changed).unwrap();
        let draft = analysis::evidence::certificate::Draft {
            tested: changed.tested,
            options: changed.options,
            finding: changed.finding,
            origin: None,
            software: changed.software,
        };
        fs::write(bench.path("c.json"), draft.seal().unwrap().to_bytes().unwrap()).unwrap();
        let told = verify(&bench, inputs).ends(1).stdout;
        let line = told.lines().find(|line| line.starts_with("MISMATCH   statistic"));
        assert!(line.is_some_and(|line| line.contains(word)), "{place}: {told}");
    }
    fs::write(bench.path("c.json"), &bytes).unwrap();
    for name in ["o.npy", "s.npy", "r.npy"] {
        let before = fs::read(bench.path(name)).unwrap();
        let mut after = before.clone();
        *after.last_mut().unwrap() ^= 1;
        fs::write(bench.path(name), after).unwrap();
        let told = verify(&bench, inputs).ends(1).stdout;
        assert!(told.contains("MISMATCH") && told.contains(name), "{told}");
        fs::write(bench.path(name), before).unwrap();
    }
    verify(&bench, inputs).ends(0);
}

#[test]
fn python_agrees_on_certificates_of_ids_units_and_references() {
    let bench = bench();
    let half: Vec<u32> = (0..N).filter(|i| i % 2 == 0).collect();
    npy(&bench, "ids.npy", &half);
    npy(&bench, "half.npy", &half.iter().map(|i| noise(*i, 37)).collect::<Vec<f64>>());
    for (inputs, options) in [
        ("--order o.npy --scores s.npy --reference r.npy", "--adjust residual"),
        ("--positions p.npy --scores s.npy", "--metric kendall"),
        ("--order o.npy --scores half.npy --ids ids.npy", "--metric spearman"),
        ("--order o.npy --scores s.npy --units units.npy", "--unit pack"),
    ] {
        query(&bench, &format!("{inputs} {options} --certificate c")).ends(0);
        verify(&bench, inputs).ends(0);
        let mut command = Command::new(python("numpy scipy"));
        command.arg(root().join("docs/verify_certificate.py")).arg("c.json");
        command.args(inputs.split(' ')).current_dir(bench.path(""));
        let told = output(command).ends(0).stdout;
        assert!(told.contains("ok         log10 p"), "{inputs}: {told}");
    }
}
