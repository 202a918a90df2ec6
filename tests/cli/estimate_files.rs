//! `palimpsest estimate files`: estimates from arrays of any framework.

use std::fs;

use serde_json::Value;

use crate::support::{Bench, Output};

/// A `.npy` file of version 1.0, any shape and type.
fn npy(bench: &Bench, name: &str, descr: &str, shape: &str, bytes: &[u8]) {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{text:<117}\n");
    let magic = b"\x93NUMPY\x01\x00\x76\x00";
    let bytes = [magic.as_slice(), header.as_bytes(), bytes].concat();
    fs::write(bench.path(name), bytes).unwrap();
}

fn doubles(bench: &Bench, name: &str, shape: &str, values: &[f64]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy(bench, name, "<f8", shape, &bytes);
}

fn whole(bench: &Bench, name: &str, rows: &[Vec<i64>]) {
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|item| item.to_le_bytes()).collect();
    let shape = format!("({}, {})", rows.len(), rows.first().map_or(0, Vec::len));
    npy(bench, name, "<i8", &shape, &bytes);
}

/// The values of a float64 file, and its header.
fn read(bench: &Bench, name: &str) -> (Vec<f64>, String) {
    let bytes = fs::read(bench.path(name)).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let (values, rest) = bytes[start..].as_chunks::<8>();
    assert!(rest.is_empty());
    let header = String::from_utf8_lossy(&bytes[10..start]).into_owned();
    (values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(), header)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn rows(value: &Value) -> Vec<Vec<i64>> {
    let row = |row: &Value| numbers(row).iter().map(|item| *item as i64).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

/// What PyTorch did; see `pytorch.py`.
fn reference() -> Value {
    serde_json::from_str(include_str!("estimate_files/pytorch.json")).unwrap()
}

/// The arrays of the reference, 4 items, p = 9.
fn bench() -> Bench {
    let (bench, reference) = (Bench::new(), reference());
    doubles(&bench, "t.npy", "(9,)", &numbers(&reference["theta0"]));
    doubles(&bench, "c.npy", "(9,)", &numbers(&reference["centre"]));
    doubles(&bench, "g.npy", "(4, 9)", &numbers(&reference["gradients"]));
    doubles(&bench, "hq.npy", "(4, 9, 9)", &numbers(&reference["curvature"]));
    let eye: Vec<f64> = (0..81).map(|i| if i % 10 == 0 { 1.0 } else { 0.0 }).collect();
    doubles(&bench, "q.npy", "(9, 9)", &eye);
    whole(&bench, "orders.npy", &rows(&reference["orders"]));
    bench.write("opt.yaml", "{kind: sgd, lr: 0.1}");
    bench
}

const ARRAYS: &str = "--theta0 t.npy --centre c.npy --gradients g.npy";
const REST: &str = "--optimizer opt.yaml --orders orders.npy --out est.npy";

fn estimate(bench: &Bench, line: &str) -> Output {
    let words: Vec<&str> =
        ["estimate", "files"].into_iter().chain(line.split_whitespace()).collect();
    bench.run(&words)
}

fn refusal(bench: &Bench, more: &str) -> String {
    let output = estimate(bench, &format!("{ARRAYS} {REST} {more}")).ends(2);
    assert_eq!(output.stdout, "", "{more}");
    output.stderr
}

/// Largest difference over the largest value.
fn difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    found.iter().zip(expected).fold(0.0_f64, |a, (x, y)| a.max((x - y).abs())) / largest
}

#[test]
fn with_the_identity_as_basis_every_rule_trains_quadratics_as_pytorch_does() {
    let (bench, reference) = (bench(), reference());
    for case in reference["cases"].as_array().unwrap() {
        for (name, values) in case["files"].as_object().unwrap() {
            doubles(&bench, name, "(9,)", &numbers(values));
        }
        bench.write("opt.yaml", case["yaml"].as_str().unwrap());
        let ends: Vec<f64> = case["ends"].as_array().unwrap().iter().flat_map(numbers).collect();
        for basis in ["--basis q.npy", ""] {
            let line = format!("{ARRAYS} {REST} --curvature hq.npy {basis} --force");
            estimate(&bench, &line).ends(0);
            let (found, header) = read(&bench, "est.npy");
            assert!(header.contains("'<f8'") && header.contains("(3, 9)"), "{header}");
            let off = difference(&found, &ends);
            assert!(off < 1e-12, "{} {basis}: {off:e}", case["name"]);
        }
    }
}

#[test]
fn a_state_that_is_not_given_is_missed() {
    // The test above can fail: a warm rule that starts cold ends elsewhere.
    let (bench, reference) = (bench(), reference());
    let case = |name: &str| {
        let cases = reference["cases"].as_array().unwrap();
        cases.iter().find(|case| case["name"] == name).unwrap().clone()
    };
    let warm = case("momentum, warm");
    bench.write("opt.yaml", "{kind: sgd, lr: 0.05, momentum: 0.9}");
    estimate(&bench, &format!("{ARRAYS} {REST} --curvature hq.npy")).ends(0);
    let ends: Vec<f64> = warm["ends"].as_array().unwrap().iter().flat_map(numbers).collect();
    assert!(difference(&read(&bench, "est.npy").0, &ends) > 1e-3);
}

#[test]
fn without_curvature_gradients_are_constant_and_all_orders_of_plain_sgd_end_alike() {
    let bench = bench();
    let output = estimate(&bench, &format!("{ARRAYS} {REST} --json")).ends(0);
    assert!(output.stderr.contains("this is the replay estimator"), "{}", output.stderr);
    assert_eq!(output.json()["estimator"], "replay");
    assert_eq!(output.json()["results"][0]["predicted_loss"], Value::Null);
    let (found, reference) = (read(&bench, "est.npy").0, reference());
    let (theta, g) = (numbers(&reference["theta0"]), numbers(&reference["gradients"]));
    let sum = |j: usize| (0..4).map(|i| g[i * 9 + j]).sum::<f64>();
    let expected: Vec<f64> = (0..27).map(|n| theta[n % 9] - 0.2 * sum(n % 9)).collect();
    assert!(difference(&found, &expected) < 1e-13);
}

#[test]
fn predicted_losses_are_the_quadratic_at_the_centre_and_rank_the_orders() {
    let bench = bench();
    let reference = reference();
    let b: Vec<f64> = (0..9).map(|j| 0.3 * f64::from(j) - 1.0).collect();
    let h = &numbers(&reference["curvature"])[..81];
    doubles(&bench, "b.npy", "(9,)", &b);
    doubles(&bench, "h.npy", "(9, 9)", h);
    let line = format!("{ARRAYS} {REST} --curvature hq.npy --loss-grad b.npy --json --force");
    let json = estimate(&bench, &format!("{line} --loss-curvature h.npy --loss-at-centre 2.5"));
    let json = json.ends(0).json();
    assert_eq!(json["predicted"], "loss");
    let (ends, centre) = (read(&bench, "est.npy").0, numbers(&reference["centre"]));
    let mut losses = Vec::new();
    for end in ends.chunks(9) {
        let d: Vec<f64> = end.iter().zip(&centre).map(|(a, b)| a - b).collect();
        let linear: f64 = d.iter().zip(&b).map(|(d, b)| d * b).sum();
        let pairs = (0..81).map(|n| d[n / 9] * h[n] * d[n % 9]);
        losses.push(2.5 + linear + pairs.sum::<f64>() / 2.0);
    }
    let results = json["results"].as_array().unwrap();
    let found: Vec<f64> =
        results.iter().map(|row| row["predicted_loss"].as_f64().unwrap()).collect();
    assert!(difference(&found, &losses) < 1e-12, "{found:?} {losses:?}");
    let mut order = [0, 1, 2];
    order.sort_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    assert_eq!(rows(&serde_json::json!([json["ranking"]]))[0], order.map(|n| n as i64));
    for (rank, number) in (1..).zip(order) {
        assert_eq!(results[number]["rank"], rank);
    }
    let linear = estimate(&bench, &line).ends(0).json();
    assert_eq!(linear["predicted"], "loss minus the loss at the centre");
}

/// Sixteen orders of two epochs, none of them among those asked for twice.
fn check_orders() -> Vec<Vec<i64>> {
    let mut item = 7_u64;
    let mut shuffled = || {
        let mut items = vec![0, 1, 2, 3];
        for place in (1..4).rev() {
            item = item
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            items.swap(place, (item >> 33) as usize % (place + 1));
        }
        items
    };
    (0..16).map(|_| [shuffled(), shuffled()].concat()).collect()
}

#[test]
fn trainings_that_were_really_done_judge_the_rest() {
    let bench = bench();
    let b: Vec<f64> = (0..9).map(|j| 0.3 * f64::from(j) - 1.0).collect();
    doubles(&bench, "b.npy", "(9,)", &b);
    bench.write("opt.yaml", "{kind: sgd, lr: 0.1, momentum: 0.9}");
    // On quadratics with the identity as basis the estimate is the training itself.
    whole(&bench, "checks.npy", &check_orders());
    let line = format!("{ARRAYS} --optimizer opt.yaml --orders checks.npy --curvature hq.npy");
    let truth = estimate(&bench, &format!("{line} --loss-grad b.npy --out ends.npy --json"));
    let truth = truth.ends(0).json();
    let losses = truth["results"].as_array().unwrap().iter();
    let losses: Vec<f64> = losses.map(|row| row["predicted_loss"].as_f64().unwrap()).collect();
    doubles(&bench, "losses.npy", "(16,)", &losses);
    let gate = "--loss-grad b.npy --check-orders checks.npy --check-ends ends.npy";
    let line = format!("{ARRAYS} {REST} --force --json {gate}");
    let good = format!("{line} --check-losses losses.npy --curvature hq.npy");
    let good = estimate(&bench, &good).ends(0).json();
    assert_eq!(good["gate"]["validity"]["verdict"], "ok", "{}", good["gate"]);
    assert_eq!(good["gate"]["validity"]["parameters"], "ok");
    let first = &good["results"][0];
    let [low, high] = ["low", "high"].map(|end| first["interval"][end].as_f64().unwrap());
    let loss = first["predicted_loss"].as_f64().unwrap();
    assert!(low - 1e-9 <= loss && loss <= high + 1e-9, "{first}");
    let better = first["better_than_mean"].as_f64().unwrap();
    let mean = losses.iter().sum::<f64>() / 16.0;
    assert_eq!(better > 0.5, loss < mean);
    // Constant gradients say something of momentum, and it is wrong.
    let bad = estimate(&bench, &format!("{line} --check-losses losses.npy")).ends(3);
    assert!(bad.stderr.contains("do not use these numbers"), "{}", bad.stderr);
    let bad = bad.json();
    assert_eq!(bad["gate"]["validity"]["verdict"], "outside validity", "{}", bad["gate"]);
    assert_eq!(bad["results"][0]["interval"], Value::Null);
    // Without losses the parameters alone are judged.
    let ends = estimate(&bench, &format!("{line} --curvature hq.npy")).ends(0).json();
    assert_eq!(ends["gate"]["validity"]["residual_over_sd"], Value::Null);
    whole(&bench, "few.npy", &check_orders()[..3]);
    let few = line.replace("checks.npy", "few.npy");
    let few = estimate(&bench, &few).ends(2).stderr;
    assert!(few.contains("a gate needs 4 trainings"), "{few}");
    let other = estimate(&bench, &line.replace("ends.npy", "losses.npy")).ends(2).stderr;
    assert!(other.contains("--check-ends losses.npy has shape (16,)"), "{other}");
}

#[test]
fn rounding_is_not_ranked_and_a_centre_elsewhere_is_said_to_be() {
    let bench = bench();
    doubles(&bench, "b.npy", "(9,)", &[1.0; 9]);
    let line = format!("{ARRAYS} {REST} --force");
    let output = estimate(&bench, &format!("{line} --loss-grad b.npy --json")).ends(3);
    assert!(output.stderr.contains("no order signal"), "{}", output.stderr);
    let json = output.json();
    assert_eq!(
        (&json["ranking"], &json["results"][0]["rank"]),
        (&serde_json::json!([]), &Value::Null)
    );
    doubles(&bench, "t.npy", "(9,)", &[1e6; 9]);
    let output = estimate(&bench, &line).ends(0);
    assert!(output.stderr.contains("are both of the same run?"), "{}", output.stderr);
    bench.write("opt.yaml", "{kind: sgd, lr: '0.1'}");
    assert!(refusal(&bench, "--force").contains("without quotes"));
}

#[test]
fn a_loss_may_be_expanded_where_training_ends() {
    let bench = bench();
    let (b, at) = ([0.5; 9], [0.25; 9]);
    doubles(&bench, "b.npy", "(9,)", &b);
    doubles(&bench, "e.npy", "(9,)", &at);
    let line = format!("{ARRAYS} {REST} --curvature hq.npy --loss-grad b.npy --loss-centre e.npy");
    let json = estimate(&bench, &format!("{line} --json")).ends(0).json();
    for (row, end) in
        json["results"].as_array().unwrap().iter().zip(read(&bench, "est.npy").0.chunks(9))
    {
        let expected: f64 = end.iter().zip(&at).zip(&b).map(|((x, at), b)| (x - at) * b).sum();
        let found = row["predicted_loss"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn orders_are_hashed_as_every_order_is() {
    let bench = bench();
    let json = estimate(&bench, &format!("{ARRAYS} {REST} --json")).ends(0).json();
    let first: Vec<u32> = rows(&reference()["orders"])[0].iter().map(|item| *item as u32).collect();
    let hash = ledger::order::order_hash(&first).to_string();
    assert_eq!(json["results"][0]["hash"], hash);
}

#[test]
fn a_curvature_above_the_memory_limit_gives_the_same_bytes_from_disk() {
    let bench = bench();
    let line = format!("{ARRAYS} {REST} --curvature hq.npy --force");
    let output = estimate(&bench, &line).ends(0);
    assert!(output.stderr.contains("memory: 0.000 GB"), "{}", output.stderr);
    let whole = fs::read(bench.path("est.npy")).unwrap();
    let streamed = estimate(&bench, &format!("{line} --memory-limit 0.0000060 --json")).ends(0);
    assert_eq!(streamed.json()["curvature_in_memory"], false, "{}", streamed.stderr);
    assert!(streamed.stderr.contains("read item by item"), "{}", streamed.stderr);
    assert_eq!(fs::read(bench.path("est.npy")).unwrap(), whole);
    let refused = refusal(&bench, "--curvature hq.npy --force --memory-limit 0.000001");
    assert!(refused.contains("raise --memory-limit"), "{refused}");
}

#[test]
fn arrays_in_single_precision_are_widened_and_said_to_be() {
    let bench = bench();
    let singles: Vec<u8> = (0..36).flat_map(|i| (i as f32 / 8.0 - 2.0).to_le_bytes()).collect();
    npy(&bench, "g.npy", "<f4", "(4, 9)", &singles);
    let output = estimate(&bench, &format!("{ARRAYS} {REST}")).ends(0);
    assert!(output.stderr.contains("g.npy: <f4, taken as float64"), "{}", output.stderr);
}

#[test]
fn orders_that_are_no_permutations_are_refused_with_row_position_and_item() {
    let bench = bench();
    let refused = |orders: &[Vec<i64>], more: &str| {
        whole(&bench, "orders.npy", orders);
        refusal(&bench, more)
    };
    let good = vec![0, 1, 2, 3, 3, 2, 1, 0];
    let twice = refused(&[good.clone(), vec![0, 1, 2, 3, 3, 2, 3, 0]], "");
    assert!(
        twice.contains("orders.npy: order 1, position 6: item 3 came before, at position 4")
            && twice.contains("item 1 never comes")
            && twice.contains("--free-orders"),
        "{twice}"
    );
    let unknown = refused(&[vec![0, 1, 2, 4]], "");
    assert!(unknown.contains("order 0, position 3: item 4 does not exist"), "{unknown}");
    let negative = refused(&[vec![0, -1, 2, 3]], "--free-orders");
    assert!(negative.contains("order 0, position 1: item -1 does not exist"), "{negative}");
    let uneven = refused(&[vec![0, 1, 2, 3, 0]], "");
    assert!(uneven.contains("orders of 5 steps, which is no whole number of epochs"), "{uneven}");
    let empty = refused(&[], "");
    assert!(empty.contains("orders.npy: the shape is (0, 0); there is nothing in it"), "{empty}");
    doubles(&bench, "orders.npy", "(1, 4)", &[0.0, 1.0, 2.0, 3.0]);
    assert!(refusal(&bench, "").contains("astype(numpy.int64)"));
    whole(&bench, "orders.npy", &[vec![0, 0, 3]]);
    estimate(&bench, &format!("{ARRAYS} {REST} --free-orders")).ends(0);
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_both_files_and_both_shapes() {
    let bench = bench();
    doubles(&bench, "g.npy", "(4, 8)", &[0.0; 32]);
    let refused = refusal(&bench, "");
    assert!(
        refused.contains("--gradients g.npy has shape (4, 8)")
            && refused.contains("t.npy with shape (9,)"),
        "{refused}"
    );
    doubles(&bench, "g.npy", "(4, 9)", &[0.0; 36]);
    doubles(&bench, "hq.npy", "(4, 9, 2)", &[0.0; 72]);
    let refused = refusal(&bench, "--curvature hq.npy --basis q.npy");
    assert!(refused.contains("(4, 9, 2)") && refused.contains("(9, 9)"), "{refused}");
    let refused = refusal(&bench, "--curvature hq.npy");
    assert!(refused.contains("k = 2 directions of p = 9"), "{refused}");
    doubles(&bench, "hq.npy", "(3, 9, 9)", &[0.0; 243]);
    let refused = refusal(&bench, "--curvature hq.npy");
    assert!(refused.contains("(3, 9, 9)") && refused.contains("g.npy"), "{refused}");
    doubles(&bench, "t.npy", "(3, 3)", &[0.0; 9]);
    assert!(refusal(&bench, "").contains("flatten them"));
}

#[test]
fn values_that_are_not_finite_are_refused_with_their_index() {
    let bench = bench();
    let mut values = vec![0.0; 36];
    values[13] = f64::NAN;
    doubles(&bench, "g.npy", "(4, 9)", &values);
    let refused = refusal(&bench, "");
    assert!(refused.contains("g.npy") && refused.contains("[1, 4]"), "{refused}");
    doubles(&bench, "g.npy", "(4, 9)", &[0.0; 36]);
    let mut cube = vec![0.0; 324];
    cube[323] = f64::INFINITY;
    doubles(&bench, "hq.npy", "(4, 9, 9)", &cube);
    let refused = refusal(&bench, "--curvature hq.npy");
    assert!(refused.contains("[3, 8, 8] is infinite"), "{refused}");
    assert!(!bench.path("est.npy").exists());
}

#[test]
fn a_basis_that_is_not_orthonormal_is_refused_with_its_columns() {
    let bench = bench();
    let mut values: Vec<f64> = (0..81).map(|i| if i % 10 == 0 { 1.0 } else { 0.0 }).collect();
    values[9 + 3] = 0.5;
    doubles(&bench, "q.npy", "(9, 9)", &values);
    let refused = refusal(&bench, "--curvature hq.npy --basis q.npy");
    assert!(refused.contains("columns 1 and 3 have the product 0.5"), "{refused}");
    assert!(refused.contains("numpy.linalg.qr"), "{refused}");
}

#[test]
fn mistakes_in_the_update_rule_are_told_with_its_file() {
    let bench = bench();
    let refused = |text: &str| {
        bench.write("opt.yaml", text);
        let message = refusal(&bench, "");
        assert!(message.contains("opt.yaml") || message.contains("m.npy"), "{message}");
        message
    };
    assert!(refused("{kind: sgd, lr: 0.1, momentun: 0.9}").contains("`momentum`"));
    assert!(refused("{kind: sdg, lr: 0.1}").contains("did you mean \"sgd\""));
    assert!(refused("{kind: sgd, lr: -0.1}").contains("lr is -0.1"));
    assert!(refused("{kind: adam, lr: 0.1, betas: [1.5, 0.9]}").contains("betas[0] is 1.5"));
    assert!(refused("{kind: sgd, lr: [0.1, 0.2]}").contains("orders have 8 steps"));
    doubles(&bench, "m.npy", "(3,)", &[0.0; 3]);
    let shape = refused("{kind: sgd, lr: 0.1, momentum: 0.9, state: {momentum: m.npy}}");
    assert!(shape.contains("m.npy has shape (3,)") && shape.contains("(9,)"), "{shape}");
    let sum = refused("{kind: muon, lr: 0.1, shapes: [[2, 2], [3]]}");
    assert!(sum.contains("shapes make up 7 parameters, but there are 9"), "{sum}");
    fs::remove_file(bench.path("opt.yaml")).unwrap();
    assert!(refusal(&bench, "").contains("there is no such file"));
}

#[test]
fn a_file_that_is_there_is_kept_unless_forced() {
    let bench = bench();
    bench.write("est.npy", "mine");
    assert!(refusal(&bench, "").contains("--force"));
    assert_eq!(fs::read(bench.path("est.npy")).unwrap(), b"mine");
    estimate(&bench, &format!("{ARRAYS} {REST} --force")).ends(0);
    assert_eq!(read(&bench, "est.npy").0.len(), 27);
}

#[test]
fn orders_that_diverge_are_no_answer() {
    let bench = bench();
    let huge: Vec<f64> = (0..324).map(|i| if i % 10 == 0 { -1e60 } else { 0.0 }).collect();
    doubles(&bench, "hq.npy", "(4, 9, 9)", &huge);
    let output = estimate(&bench, &format!("{ARRAYS} {REST} --curvature hq.npy --json")).ends(3);
    assert!(output.stderr.contains("3 of 3 orders diverged"), "{}", output.stderr);
    assert_eq!(output.json()["results"][0]["finite"], false);
}
