//! Tables and arrays of the user's: planned, trained, judged and verified like any data.

use std::fs;

use data::columns::{write_npy, write_npy_table};

use crate::support::Bench;

/// A line through the plane parts two kinds; 300 rows.
fn table() -> String {
    let mut text = "left,right,note,kind,size\n".to_owned();
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    for _ in 0..300 {
        let (left, right) = (next(), next());
        let kind = if left > right { "above" } else { "below" };
        text += &format!("{left:.4},{right:.4},n/a,{kind},{:.4}\n", 100.0 + 3.0 * left - right);
    }
    text
}

fn suite(workload: &str, arms: &str) -> String {
    format!(
        "suite: mine\nquestion: Does a table of mine train?\nseeds: 2\nworkloads: [{workload}]\narms: [{arms}]\n"
    )
}

const SGD: &str = "{ method: sgd, as: sgd, with: { batch_size: 16, lr: 0.1 } }";
const KINDS: &str = "{ workload: table, as: kinds, with: { file: t.csv, label: kind, ignore: \"note, size\" }, epochs: 8 }";

#[test]
fn a_table_trains_to_its_target_and_its_record_names_file_and_digest() {
    let bench = Bench::new();
    bench.write("t.csv", &table());
    let suite = bench.write("mine.yaml", &suite(KINDS, SGD)).display().to_string();
    bench.run(&["run", &suite]).ends(0);
    for record in bench.records() {
        let data = record.data.clone().unwrap();
        assert_eq!(
            (data.name.as_str(), data.origin.as_str(), data.classes),
            ("file:t.csv", "own", Some(2))
        );
        let order = record.order.as_ref().unwrap();
        assert_eq!((order.examples, record.goal.budget.samples), (210, 8 * 210));
        assert!(record.last["test/accuracy"] > 0.9, "{:?}", record.last);
        bench.run(&["verify", &record.cell]).ends(0);
        bench.run(&["reproduce", &record.cell]).ends(0);
    }
    let again = bench.run(&["run", &suite]).ends(0);
    assert!(again.stderr.contains("kept"), "{}", again.stderr);
    bench.run(&["report", &suite]).ends(0);
}

#[test]
fn numbers_are_explained_and_their_errors_are_in_their_own_units() {
    let bench = Bench::new();
    bench.write("t.csv", &table());
    let workload = "{ workload: table-regression, as: sizes, with: { file: t.csv, label: size, ignore: \"note, kind\", depth: 0 }, epochs: 20 }";
    let suite = bench.write("mine.yaml", &suite(workload, SGD)).display().to_string();
    bench.run(&["run", &suite]).ends(0);
    for record in bench.records() {
        let [r2, rmse] = ["test/r2", "test/rmse"].map(|metric| record.last[metric]);
        // The size is linear: its deviation is about 0.9, and nearly all of it is explained.
        assert!(r2 > 0.99 && rmse < 0.1 && rmse > 0.0, "{:?}", record.last);
    }
}

#[test]
fn arrays_of_images_train_a_cnn_and_other_shapes_are_told_what_fits() {
    let bench = Bench::new();
    let classes: Vec<u32> = (0..120).map(|i| i % 3).collect();
    let pixel = |class: u32, i: u32| if i / 22 == class { 1.0 } else { (i % 7) as f32 / 20.0 };
    let pixels: Vec<f32> = classes
        .iter()
        .enumerate()
        .flat_map(|(n, &class)| (0..64).map(move |i| pixel(class, i) + n as f32 / 1e3))
        .collect();
    let [inputs, labels] = ["X.npy", "y.npy"].map(|name| bench.path(name));
    let mut flat = Vec::new();
    write_npy_table(&mut flat, &pixels, 64).unwrap();
    fs::write(&inputs, &flat).unwrap();
    write_npy(&mut fs::File::create(&labels).unwrap(), &classes).unwrap();
    let with = |more: &str| {
        let workload = format!(
            "{{ workload: arrays, as: bars, with: {{ inputs_file: X.npy, labels_file: y.npy, {more} }}, epochs: 6 }}"
        );
        bench.write("mine.yaml", &suite(&workload, SGD)).display().to_string()
    };
    let refused = bench.run(&["run", &with("network: cnn")]);
    let told = format!("{}{}", refused.stdout, refused.stderr);
    assert!(
        refused.code != Some(0) && told.contains("take \"mlp\"") && told.contains("(64,)"),
        "{told}"
    );
    // The same bytes as images: a header of the same length.
    let image = String::from_utf8_lossy(&flat[..128]).into_owned();
    assert!(image.contains("(120, 64)"));
    let mut images = flat.clone();
    let at = flat.windows(9).position(|bytes| bytes == b"(120, 64)").unwrap();
    images[at..at + 11].copy_from_slice(b"(120, 8, 8)");
    let rest = b", }";
    images[at + 11..at + 14].copy_from_slice(rest);
    fs::write(&inputs, &images).unwrap();
    bench.run(&["run", &with("network: cnn")]).ends(0);
    let record =
        bench.records().into_iter().find(|record| record.last.contains_key("test/accuracy"));
    assert!(record.unwrap().last["test/accuracy"] > 0.8);
}

#[test]
fn what_is_wrong_with_a_table_is_said_before_anything_runs() {
    let bench = Bench::new();
    bench.write("t.csv", &table().replacen("above", "", 1));
    let refused = |workload: &str, parts: &[&str]| {
        let suite = bench.write("mine.yaml", &suite(workload, SGD)).display().to_string();
        let told = bench.run(&["plan", &suite]).ends(2).stderr;
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    refused(KINDS, &["mine.yaml:4", "t.csv:kind", "line", "empty", "leave that row out"]);
    let with = |with: &str| format!("{{ workload: table, as: kinds, with: {{ {with} }} }}");
    refused(&with("label: kind"), &["setting \"file\" has to name a file"]);
    refused(&with("file: u.csv, label: kind"), &["there is no file u.csv"]);
    refused(&with("file: t.csv, label: knid"), &["no column \"knid\"", "did you mean \"kind\"?"]);
    refused(
        &with("file: t.csv, label: size, ignore: note"),
        &["t.csv:kind", "\"below\"", "not a number"],
    );
    refused(
        &with("file: t.csv, label: size, ignore: \"note, kind\""),
        &["different values", "-regression"],
    );
    refused(&with("file: t.csv, label: kind, validation: 0.5, test: 0.5"), &["less than a tenth"]);
}
