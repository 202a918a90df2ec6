//! Text and tokens of the user's: planned, trained, judged and verified like any data, and written with.

use std::fs;

use crate::support::{Bench, output};

/// Sizes of a model of milliseconds, where a workload names none itself.
const SMALL: &str = ", network: { gpt: { width: 64, depth: 2, heads: 4 } }";

fn suite(with: &str) -> String {
    let small = if with.contains("network") { "" } else { SMALL };
    format!(
        "suite: mine\nquestion: Does a text of mine train?\nseeds: 1\nkeep_models: true\nworkloads:\n  - \
         {{ workload: tokens, as: own, with: {{ {with}{small} }}, epochs: 1, evaluate_every: 0.5 }}\narms: \
         [{{ method: lm-adamw, as: adamw, with: {{ batch_size: 16 }} }}]\n"
    )
}

/// A program in a made-up tongue, with tabs and Windows line ends.
fn code() -> String {
    let mut state = 1_u32;
    let mut next = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % below
    };
    let line =
        |_| format!("fn f{}(x{}) {{\r\n\treturn {};\r\n}}\r\n", next(90), next(9), next(9999));
    (0..300).map(line).collect()
}

#[test]
fn source_code_goes_from_yaml_to_verify_and_its_model_writes_more_of_it() {
    let bench = Bench::new();
    bench.write("main.rs", &code());
    let suite =
        bench.write("mine.yaml", &suite("file: main.rs, context: 32")).display().to_string();
    let plan = bench.run(&["plan", &suite, "--json"]).ends(0).json();
    bench.run(&["run", &suite]).ends(0);
    let [record] = &bench.records()[..] else { panic!("one run") };
    let data = record.data.clone().unwrap();
    assert_eq!((data.name.as_str(), data.origin.as_str()), ("file:main.rs", "own"));
    let examples = record.order.as_ref().unwrap().examples;
    assert_eq!(plan["cells"][0]["budget_samples"], examples, "{plan}");
    let metrics = ["test/nll", "test/bits_per_byte", "test/accuracy"].map(|m| record.last[m]);
    // One byte a character, so that bits follow from nats.
    assert!((metrics[0] / 2_f64.ln() - metrics[1]).abs() < 1e-9 && metrics[2] > 0.0, "{metrics:?}");
    let alphabet = record.facts["writing"]["spelling"]["alphabet"].as_str().unwrap();
    assert!(alphabet.starts_with("\t\n\r "), "{alphabet:?}");
    bench.run(&["verify", &record.cell]).ends(0);
    bench.run(&["reproduce", &record.cell]).ends(0);

    // The text may be gone: what it takes to write is in the run.
    fs::remove_file(bench.path("main.rs")).unwrap();
    let sample = |more: &[&str]| {
        let first = ["sample", &record.cell, "--prompt", "fn f1(", "--tokens", "60"];
        bench.run(&[&first[..], more].concat())
    };
    let first = sample(&[]).ends(0).stdout;
    assert!(first.starts_with("fn f1("), "{first:?}");
    assert_eq!(first, sample(&["--seed", "0"]).ends(0).stdout);
    assert_ne!(first, sample(&["--seed", "1"]).ends(0).stdout);
    let json = sample(&["--json", "--top-p", "0.9", "--temperature", "0.7"]).ends(0).json();
    assert_eq!(json["tokens"].as_array().unwrap().len(), 60);
    assert!(json["text"].as_str().unwrap().chars().count() == 66, "{json}");
    let greedy = |seed| sample(&["--temperature", "0", "--seed", seed]).ends(0).stdout;
    assert_eq!(greedy("1"), greedy("2"));
    let refused = |arguments: &[&str], parts: &[&str]| {
        let told = bench.run(&[&["sample", &*record.cell], arguments].concat()).ends(2).stderr;
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    refused(&["--prompt", "fn λ"], &["'λ' (U+03BB) at place 3", "not in the alphabet of"]);
    refused(&["--prompt", "RETURN"], &["'R' (U+0052) at place 0", "which has 'r'"]);
    refused(&["--prompt", ""], &["a prompt has a character at least"]);
    refused(&["--prompt", "f", "--top-p", "0"], &["above 0 and at most 1"]);
    refused(&["--prompt", "f", "--temperature", "-1"], &["from 0 to 100"]);
    let long = sample(&["--prompt", &"f".repeat(40)]);
    assert!(long.stderr.contains("cannot be used multiple times"), "{}", long.stderr);
    let long = bench.run(&["sample", &record.cell, "--prompt", &"f".repeat(40), "--tokens", "2"]);
    assert!(long.ends(0).stderr.contains("of the prompt's 40 tokens the model reads the last 32"));
}

#[test]
fn json_lines_and_16_bit_numbers_go_from_yaml_to_verify_with_either_network() {
    let bench = Bench::new();
    let lines: Vec<String> = code()
        .split("}\r\n")
        .map(|body| serde_json::json!({ "n": 1, "body": body }).to_string())
        .collect();
    bench.write("notes.jsonl", &lines[..lines.len() - 1].join("\n"));
    let numbers: Vec<u8> =
        code().bytes().flat_map(|byte| (u16::from(byte) * 3).to_le_bytes()).collect();
    fs::write(bench.path("train.bin"), numbers).unwrap();
    for (with, prompt) in [
        ("file: notes.jsonl, field: body, context: 16, network: { gru: { width: 64 } }", "fn"),
        ("file: notes.jsonl, field: body, context: 16, unit: byte", "é"),
        ("file: train.bin, vocabulary: 400, context: 16", "306 330 96"),
    ] {
        let before = bench.cells();
        let suite = bench.write("mine.yaml", &suite(with)).display().to_string();
        bench.run(&["run", &suite]).ends(0);
        let cell = bench.cells().into_iter().find(|cell| !before.contains(cell)).unwrap();
        bench.run(&["verify", &cell]).ends(0);
        let record = bench.store().record(&cell).unwrap();
        assert_eq!(record.last.contains_key("test/bits_per_byte"), !with.contains("bin"), "{with}");
        // Tokens that a guess has to choose from.
        let alphabet = record.facts["writing"]["spelling"]["alphabet"].as_str();
        let characters = alphabet.map_or(256, |alphabet| alphabet.chars().count());
        assert_eq!(alphabet.is_some(), with.contains("gru"), "{with}");
        let tokens = if with.contains("bin") { 400 } else { characters };
        assert!(record.last["test/nll"] < (tokens as f64).ln(), "{tokens}: {:?}", record.last);
        let text =
            bench.run(&["sample", &cell, "--prompt", prompt, "--tokens", "5"]).ends(0).stdout;
        assert!(text.starts_with(prompt), "{with}: {text:?}");
        if with.contains("bin") {
            assert_eq!(text.split_whitespace().count(), 8, "{text}");
            let refused = bench.run(&["sample", &cell, "--prompt", "1 400"]).ends(2).stderr;
            assert!(refused.contains("\"400\" is no token") && refused.contains("0 to 399"));
        }
    }
}

#[test]
fn what_is_wrong_with_a_file_of_tokens_is_said_before_anything_runs() {
    let bench = Bench::new();
    let refused = |with: &str, bytes: &[u8], parts: &[&str]| {
        let file = with.split([' ', ',']).nth(1).unwrap();
        fs::write(bench.path(file), bytes).unwrap();
        let suite = bench.write("mine.yaml", &suite(with)).display().to_string();
        let told = bench.run(&["plan", &suite]).ends(2).stderr;
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    refused("file: a.txt", b"a\n\xc3(", &["mine.yaml:6", "a.txt: line 2: byte 0xc3 at offset 2"]);
    refused("file: a.txt", b"short", &["5 tokens", "context of 64"]);
    refused(
        "file: a.jsonl",
        b"{\"txt\": \"ab\"}\n",
        &["line 1 (at offset 0)", "no field \"text\""],
    );
    refused("file: a.bin", &[0; 401], &["401 bytes", "16-bit tokens"]);
    refused("file: a.bin, vocabulary: 7", &[0, 1].repeat(400), &["token 0", "is 256", "is 7"]);
    refused("file: a.txt, field: x", b"", &["setting \"field\" is of JSON lines"]);
    refused("file: a.txt, vocabulary: 9", b"", &["\"vocabulary\" is of 16-bit numbers"]);
    refused("file: a.bin, unit: byte", b"", &["\"unit\" is of texts"]);
    refused("file: a.txt, context: 0", b"", &["\"context\" is 0"]);
}

#[test]
fn a_run_that_cannot_write_says_why_and_what_to_do() {
    let bench = Bench::new();
    bench.write("main.rs", &code());
    let written = suite("file: main.rs, context: 16");
    bench.write("mine.yaml", &written.replace("keep_models: true\n", ""));
    bench.run(&["run", "mine.yaml"]).ends(0);
    let cell = bench.cells().remove(0);
    let refused = |cell: &str, parts: &[&str]| {
        let told = bench.run(&["sample", cell, "--prompt", "f"]).ends(2).stderr;
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    };
    refused(&cell, &["kept no model", "--keep-models"]);
    refused("ffff", &["ffff"]);
    bench.run(&["run", "mine.yaml", "--keep-models"]).ends(0);
    bench.run(&["sample", &cell, "--prompt", "f", "--tokens", "3"]).ends(0);
    // What older builds recorded, and what nobody recorded.
    let path = bench.path("runs").join(&cell).join("record.json");
    let record = fs::read_to_string(&path).unwrap();
    fs::write(&path, record.replace("\"writing\":", "\"written\":")).unwrap();
    refused(&cell, &["does not say what its tokens stand for", "--keep-models --force"]);
    for (old, new) in [
        ("\"context\":16,\"reads\":16", "\"context\":16,\"reads\":17"),
        ("\"context\":16,\"reads\":16", "\"context\":4000000000,\"reads\":16"),
        ("\"unit\":\"character\"", "\"unit\":\"word\""),
        ("\"alphabet\":\"\\t", "\"alphabet\":\"z\\t"),
    ] {
        assert!(record.contains(old), "{old} is not in {record}");
        fs::write(&path, record.replace(old, new)).unwrap();
        refused(&cell, &["does not say rightly what its tokens stand for"]);
    }
    let other = record.replace("\"alphabet\":\"\\t", "\"alphabet\":\"\\u0001\\t");
    fs::write(&path, other).unwrap();
    refused(&cell, &["shape"]);
    // Of sizes for which a stranger's machine may have no memory.
    assert!(record.contains("\"width\":64"), "{record}");
    fs::write(&path, record.replace("\"width\":64", "\"width\":16384")).unwrap();
    refused(&cell, &["has room for", "do not belong together"]);
    fs::write(&path, record.replace("\"workload\":\"tokens\"", "\"workload\":\"digits-mlp\""))
        .unwrap();
    refused(&cell, &["digits-mlp", "write no text", "text-char"]);
    fs::write(&path, &record).unwrap();
    let model = bench.path("runs").join(&cell).join("checkpoints/final.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    fs::write(&model, bytes).unwrap();
    refused(&cell, &["does not hold the weights", "palimpsest verify"]);
}

#[test]
fn characters_that_a_terminal_would_obey_are_written_by_their_codes_and_as_they_are_in_json() {
    let bench = Bench::new();
    let log: String = (0..3_000_u32)
        .map(|n| format!("\u{1b}[31m{:x}\u{1b}[0m\r\n", n.wrapping_mul(2_654_435_761)))
        .collect();
    bench.write("app.log", &log);
    let text = suite("file: app.log").replace("workload: tokens", "workload: text-char");
    let text = text.replace(SMALL, ", size: xs");
    bench.write(
        "mine.yaml",
        &text.replace("epochs: 1, evaluate_every: 0.5", "epochs: 0.01, evaluate_every: 0.01"),
    );
    bench.run(&["run", "mine.yaml"]).ends(0);
    let cell = bench.cells().remove(0);
    let mut command = bench.command(&["sample", &cell, "--tokens", "2", "--prompt"]);
    command.arg("\u{1b}[31mff");
    let told = output(command).ends(0).stdout;
    assert!(told.starts_with("\\u{1b}[31mff"), "{told:?}");
    let mut command = bench.command(&["sample", &cell, "--json", "--tokens", "2", "--prompt"]);
    command.arg("\u{1b}[31mff");
    let json = output(command).ends(0).json();
    assert!(json["text"].as_str().unwrap().starts_with("\u{1b}[31mff"), "{json}");
}
