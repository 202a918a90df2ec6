//! Networks by name and modules scripted in PyTorch on data of the user's: planned, trained, verified, reproduced.

use std::fs;

use data::columns::write_npy;

use crate::support::{Bench, root};

/// A number between 0 and 1 at a time.
struct Draws(u32);

impl Draws {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 24) as f32
    }
}

/// Four columns of which the first two say of what kind a row is: two kinds, or three.
fn table(columns: usize, kinds: usize) -> String {
    let mut draws = Draws(1);
    let names = ["a", "b", "c", "d"];
    let mut text = format!("{},kind\n", names[..columns].join(","));
    for _ in 0..300 {
        let row: Vec<f32> = (0..columns).map(|_| draws.next()).collect();
        let kind = match row[0] - row[1] {
            apart if apart > 0.0 => "above",
            apart if kinds == 3 && apart < -0.3 => "far below",
            _ => "below",
        };
        let row: Vec<String> = row.iter().map(|value| format!("{value:.4}")).collect();
        text += &format!("{},{kind}\n", row.join(","));
    }
    text
}

/// An array as NumPy saves it.
fn npy(shape: &str, values: &[f32]) -> Vec<u8> {
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}").into_bytes();
    header.resize((header.len() + 11).next_multiple_of(64) - 11, b' ');
    header.push(b'\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header);
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// 120 images of 8 × 8 with a bar across, at one of three heights.
fn images(bench: &Bench) {
    let mut draws = Draws(7);
    let mut pixels = Vec::new();
    for image in 0..120 {
        let bar = 1 + 2 * (image % 3);
        pixels.extend(
            (0..64).map(|pixel| draws.next() / 4.0 + f32::from(u8::from(pixel / 8 == bar))),
        );
    }
    fs::write(bench.path("X.npy"), npy("(120, 8, 8)", &pixels)).unwrap();
    let kinds: Vec<u32> = (0..120).map(|image| image % 3).collect();
    write_npy(&mut fs::File::create(bench.path("y.npy")).unwrap(), &kinds).unwrap();
}

fn module(bench: &Bench, name: &str, to: &str) {
    fs::copy(root().join("tests/torchscript").join(name), bench.path(to)).unwrap();
}

fn suite(workload: &str, arms: &str) -> String {
    format!(
        "suite: mine\nquestion: Does a network of mine train?\nkeep_models: true\nworkloads: [{workload}]\nseeds: 2\narms: [{arms}]\n"
    )
}

const SGD: &str = "{ method: sgd, as: sgd, with: { batch_size: 16, lr: 0.1 } }";
const MUON: &str = "{ method: muon, as: muon, with: { batch_size: 16, lr: 0.02 } }";

fn of_table(network: &str) -> String {
    format!(
        "{{ workload: table, as: kinds, with: {{ file: t.csv, label: kind, network: {network} }}, epochs: 8 }}"
    )
}

#[test]
fn a_module_of_pytorch_is_trained_by_two_methods_judged_verified_and_reproduced() {
    let bench = Bench::new();
    bench.write("t.csv", &table(2, 2));
    module(&bench, "perceptron.pt", "net.pt");
    let arms = format!("{SGD}, {MUON}");
    let text = suite(&of_table("{ torchscript: net.pt }"), &arms);
    let suite = bench.write("mine.yaml", &text).display().to_string();
    bench.run(&["run", &suite]).ends(0);
    let records = bench.records();
    assert_eq!(records.len(), 4);
    for record in &records {
        let network = &record.workload_settings["network"];
        let bytes = fs::read(bench.path("net.pt")).unwrap();
        assert_eq!(network["sha256"], ledger::digest::Digest::of(&bytes).to_string());
        assert!(!record.workload_settings.contains_key("width"), "{network}");
        assert!(record.last["test/accuracy"] > 0.85, "{}: {:?}", record.method, record.last);
        assert_eq!(record.parameter_count, 2 * 16 + 16 + 16 * 2 + 2);
        assert_eq!(record.tensors, ["0.weight", "0.bias", "2.weight", "2.bias"]);
        assert!(!record.streams.contains(&"init".to_owned()), "{:?}", record.streams);
        let verified = bench.run(&["verify", &record.cell]).ends(0);
        assert!(!verified.stdout.contains("the run kept none"), "{}", verified.stdout);
        bench.run(&["reproduce", &record.cell]).ends(0);
    }
    bench.run(&["report", &suite]).ends(0);
    let again = bench.run(&["run", &suite]).ends(0);
    assert!(again.stderr.contains("kept"), "{}", again.stderr);
    // The record is of these bytes, and no other file by their name stands in for them.
    module(&bench, "cut.pt", "net.pt");
    let told = bench.run(&["reproduce", &records[0].cell]).ends(2).stderr;
    for part in ["the repetition failed", "net.pt: its SHA-256 is", "bring that file back"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn a_module_with_statistics_dropout_recurrence_and_frozen_weights_is_reproduced_to_the_bit() {
    let bench = Bench::new();
    bench.write("t.csv", &table(4, 3));
    module(&bench, "everything.pt", "net.pt");
    // The second goes on from the weights, statistics and mask that the first has left.
    let arms =
        format!("{SGD}, {{ method: adamw, as: on, from: kinds/sgd, with: {{ batch_size: 16 }} }}");
    let text = suite(&of_table("{ torchscript: net.pt }"), &arms);
    let suite = bench.write("mine.yaml", &text).display().to_string();
    bench.run(&["run", &suite]).ends(0);
    let records = bench.records();
    assert_eq!(records.len(), 4);
    for record in &records {
        assert!(record.streams.contains(&"script".to_owned()), "{:?}", record.streams);
        assert_eq!(record.tensors.iter().filter(|name| name.starts_with("buffer.")).count(), 6);
        bench.run(&["verify", &record.cell]).ends(0);
        bench.run(&["reproduce", &record.cell]).ends(0);
    }
}

#[test]
fn networks_by_name_are_trained_on_images_verified_and_reproduced() {
    let bench = Bench::new();
    images(&bench);
    let workload = |name: &str, network: &str| {
        format!(
            "{{ workload: arrays, as: {name}, with: {{ inputs_file: X.npy, labels_file: y.npy, network: {network} }}, epochs: 6 }}"
        )
    };
    let workloads = [
        workload("blocks", "{ resnet: { widths: [4, 8], depth: 1 } }"),
        workload("patches", "{ vit: { patch: 2, width: 16, depth: 1, heads: 2 } }"),
        workload("rows", "{ gru: { width: 16 } }"),
        workload("filters", "{ cnn: { width: 16 } }"),
    ];
    let adamw = "{ method: adamw, as: adamw, with: { batch_size: 8, lr: 0.01 } }";
    let text = suite(&workloads.join(", "), adamw).replace("seeds: 2", "seeds: 1");
    let suite = bench.write("mine.yaml", &text).display().to_string();
    bench.run(&["run", &suite]).ends(0);
    let records = bench.records();
    assert_eq!(records.len(), 4);
    for record in &records {
        let network = &record.workload_settings["network"];
        assert!(record.last["validation/accuracy"] > 0.6, "{network}: {:?}", record.last);
        bench.run(&["verify", &record.cell]).ends(0);
        bench.run(&["reproduce", &record.cell]).ends(0);
    }
}

#[test]
fn a_module_predicts_tokens_and_writes_with_what_it_has_learnt() {
    let bench = Bench::new();
    // One more each time, modulo 7, but for one in five.
    let (mut draws, mut last) = (Draws(3), 0);
    let mut next = || {
        last = if draws.next() < 0.2 { (draws.next() * 7.0) as u16 } else { (last + 1) % 7 };
        last.to_le_bytes()
    };
    let tokens: Vec<u8> = (0..4_000).flat_map(|_| next()).collect();
    fs::write(bench.path("t.bin"), tokens).unwrap();
    module(&bench, "words.pt", "net.pt");
    let workload = |network: &str| {
        format!(
            "{{ workload: tokens, as: counting, with: {{ file: t.bin, context: 8, network: {network} }}, epochs: 4, evaluate_every: 1 }}"
        )
    };
    let adamw = "{ method: adamw, as: adamw, with: { batch_size: 8, lr: 0.02 } }";
    let text = |network: &str| suite(&workload(network), adamw).replace("seeds: 2", "seeds: 1");
    let suite = bench.write("mine.yaml", &text("{ torchscript: net.pt }")).display().to_string();
    bench.run(&["run", &suite]).ends(0);
    let record = bench.records().remove(0);
    assert!(record.last["test/accuracy"] > 0.7, "{:?}", record.last);
    bench.run(&["verify", &record.cell]).ends(0);
    bench.run(&["reproduce", &record.cell]).ends(0);
    let sample =
        ["sample", &record.cell, "--prompt", "2 3 4", "--tokens", "4", "--temperature", "0"];
    let written = bench.run(&sample).ends(0).stdout;
    assert_eq!(written.split_whitespace().collect::<Vec<_>>(), ["2", "3", "4", "5", "6", "0", "1"]);
    for (network, part) in [
        ("{ vit: { patch: 2 } }", "\"vit\" takes numbers, and examples are tokens here"),
        ("mlp", "take \"gpt\" or \"gru\""),
        ("{ gpt: { heads: 3 } }", "must divide the width of 128"),
    ] {
        let suite = bench.write("other.yaml", &text(network)).display().to_string();
        let told = bench.run(&["plan", &suite]).ends(2).stderr;
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

#[test]
fn what_does_not_fit_is_said_before_anything_runs() {
    let bench = Bench::new();
    bench.write("t.csv", &table(2, 2));
    images(&bench);
    for name in ["state_dict.pt", "pair.pt", "perceptron.pt", "everything.pt"] {
        module(&bench, name, name);
    }
    bench.write("net.txt", "no module");
    let refused = |workload: &str, parts: &[&str]| {
        let text = suite(workload, SGD);
        let suite = bench.write("mine.yaml", &text).display().to_string();
        let told = bench.run(&["plan", &suite]).ends(2).stderr;
        for part in [&["mine.yaml:4"], parts].concat() {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    let module = |file: &str| of_table(&format!("{{ torchscript: {file} }}"));
    let remedy = "torch.jit.script(model).save(\"net.pt\")";
    refused(&module("state_dict.pt"), &["state_dict.pt: it holds tensors", remedy]);
    refused(&module("net.txt"), &["net.txt: it is no TorchScript archive", remedy]);
    refused(&module("other.pt"), &["there is no file other.pt"]);
    refused(&module("pair.pt"), &["pair.pt", "gives a Tuple, not one tensor"]);
    refused(
        &module("everything.pt"),
        &["everything.pt", "it makes Float numbers of shape (1, 3)", "of shape (2, 2) are needed"],
    );
    refused(&of_table("resnet"), &["\"resnet\" takes images", "take \"mlp\""]);
    refused(
        &of_table("{ torchscript: perceptron.pt, reset: seeded }"),
        &["\"reset\" stands beside"],
    );
    let arrays = |network: &str| {
        format!(
            "{{ workload: arrays, as: bars, with: {{ inputs_file: X.npy, labels_file: y.npy, network: {network} }} }}"
        )
    };
    refused(&arrays("{ vit: { patch: 3 } }"), &["\"patch\" of network \"vit\" is 3", "1, 2, 4, 8"]);
    refused(&arrays("{ vit: { heads: 5 } }"), &["\"heads\" is 5", "divide the width of 192"]);
    refused(&arrays("gpt"), &["\"gpt\" takes tokens"]);
    refused(&arrays("vit, width: 64"), &["\"width\" does not stand beside network \"vit\""]);
    refused(
        &arrays("{ torchscript: perceptron.pt }"),
        &["perceptron.pt", "a batch of shape (2, 1, 8, 8)"],
    );
}
