//! `palimpsest provenance query` on plain files, and certificates of its answers.

use std::fs;
use std::process::Command;

use analysis::evidence::Certificate;
use data::columns::{write_npy, write_npy_table};
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
    assert_eq!(drawn["statistic"], both["statistic"], "{drawn}");
    assert!(drawn["p"].as_f64().unwrap() >= 1.0 / 100.0, "{drawn}");
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
    let floor = answer(&bench, "--order o.npy --scores s.npy --seed-bits 8");
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
    bench.write("ragged.csv", "id,loss\n1,2\n3\n");
    bench.write("text.csv", "id,loss\n1,2\n3,much\n");
    for (line, words) in [
        ("--order o.npy --scores constant.npy", &["2.5 for every example"][..]),
        ("--order o.npy --scores nan.npy", &["17", "NaN"]),
        ("--order o.npy --scores nan.npy --metric kendall", &["17", "NaN"]),
        ("--positions p.npy --scores short.npy", &["150", "200"]),
        ("--order few.npy --scores few-scores.npy", &["too few", "score more examples"]),
        ("--order twice.npy --scores s.npy", &["order[9]", "again (first at 3)"]),
        ("--order beyond.npy --scores s.npy", &["order[9] is 5000", "200 examples"]),
        ("--order half.npy --scores s.npy", &["leaves out 100 of 200", "uniform-subset"]),
        ("--order real.npy --scores s.npy", &["real.npy", "whole numbers"]),
        ("--order o.npy --scores two.npy", &["two.npy", "(2, 200)"]),
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
        ("--order o.npy --scores s.npy --certificate no/such/c", &["no/such"]),
    ] {
        let told = refusal(&bench, line);
        for word in words {
            assert!(told.contains(word), "{line}: \"{word}\" is not in {told}");
        }
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
    query(&bench, &format!("{inputs} --seed-bits 8 --certificate c")).ends(0);
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
