//! Writes the corpus that fuzzing starts from: small valid files, made by the project's own code.
//! `cargo run --manifest-path fuzz/Cargo.toml --example seeds` from the root of the repository.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use analysis::evidence::certificate::{
    Draft, InputFile, InputRun, Origin, Role, ScoreFile, Tested,
};
use analysis::evidence::inclusion::{PROOF_VERSION, Proof};
use analysis::evidence::statement::{Envelope, statement};
use analysis::evidence::{Kind, Promise, SecretKey, Signature};
use analysis::history::chain::History;
use analysis::history::{Accepted, Better, Entry, Measured, Metric};
use analysis::register::Register;
use analysis::tuning::Tuned;
use data::columns::{write_npy, write_npy_table};
use ledger::digest::Digest;
use ledger::merkle::inclusion_proof;
use ledger::record::Store;
use ledger::seed::Seed;
use parquet::basic::Compression;
use parquet::data_type::{ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::json;

#[path = "../../harness/analysis/examples/sample/run.rs"]
mod sample;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    if !Path::new("fuzz/Cargo.toml").is_file() {
        return Err("run it from the root of the repository".into());
    }
    columns()?;
    evidence()?;
    texts()?;
    logs()
}

/// What the tools themselves have written.
fn logs() -> Outcome {
    let fixtures = Path::new("harness/logs/tests/fixtures");
    for (from, corpus, to) in [
        ("csv/long.csv", "log", "long.csv"),
        ("lightning/adam-0/version_0/metrics.csv", "log", "lightning.csv"),
        ("wandb/chart.csv", "log", "chart.csv"),
        ("wandb/history.jsonl", "log", "history.jsonl"),
        (
            "tensorboard/adam/seed0/events.out.tfevents.1700000000.machine",
            "log",
            "tensors.tfevents",
        ),
        (
            "tensorboardX/adam/seed0/events.out.tfevents.1700000000.machine",
            "log",
            "values.tfevents",
        ),
        ("results/bmf.json", "results", "bmf.json"),
        ("results/asv.json", "results", "asv.json"),
        ("results/pytest-benchmark.json", "results", "pytest-benchmark.json"),
    ] {
        put(corpus, to, fs::read(fixtures.join(from))?)?;
    }
    Ok(())
}

/// A file of a corpus, whose folder is made.
fn seed(corpus: &str, name: &str) -> Outcome<PathBuf> {
    let folder = Path::new("fuzz/corpus").join(corpus);
    fs::create_dir_all(&folder)?;
    Ok(folder.join(name))
}

fn put(corpus: &str, name: &str, bytes: impl AsRef<[u8]>) -> Outcome {
    Ok(fs::write(seed(corpus, name)?, bytes)?)
}

fn columns() -> Outcome {
    write_npy(&mut fs::File::create(seed("npy", "list.npy")?)?, &[3_u32, 0, 2, 1])?;
    write_npy_table(
        &mut fs::File::create(seed("npy", "table.npy")?)?,
        &[0.5_f64, 1.5, 2.5, 3.0],
        2,
    )?;
    let header = format!("{:<117}\n", "{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }");
    let letters = "abc\0".chars().flat_map(|letter| u32::from(letter).to_le_bytes());
    let start = [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes()].concat();
    put("npy", "names.npy", start.into_iter().chain(letters).collect::<Vec<_>>())?;
    put("csv", "columns.csv", "id,score\n3,0.5\n1,1e-3\n\"2\",-2\n")?;
    put("csv", "names.csv", "id\nfirst\n\"second, with a comma\"\nfirst\n")?;
    put("ids", "order.txt", "3\n0\n 2\r\n1\n")?;
    for (name, compression) in
        [("plain", Compression::UNCOMPRESSED), ("snappy", Compression::SNAPPY)]
    {
        put("parquet", &format!("{name}.parquet"), table(compression)?)?;
    }
    // A column of lists, as pyarrow writes it.
    put("parquet", "lists.parquet", fs::read("tests/cli/tokens.parquet")?)?;
    own()
}

/// Images and texts.
fn own() -> Outcome {
    for name in ["cmyk", "colour", "full", "grey", "progressive", "turned"] {
        let name = format!("{name}.jpg");
        let image = fs::read(Path::new("harness/data/tests/images").join(&name))?;
        put("image", &name, image)?;
    }
    put("image", "grey.png", fs::read("harness/data/tests/images/grey.png")?)?;
    let word = |n: u32| format!("{:x} ", n.wrapping_mul(2_654_435_761));
    put("tokens", "code.txt", (0..40).map(|n| format!("\t{}\r\n", word(n))).collect::<String>())?;
    let line = |n: u32| format!("{{\"n\": {n}, \"text\": \"{}\"}}\n", word(n));
    put("tokens", "notes.jsonl", (0..9).map(line).collect::<String>())?;
    let numbers = (0..60_u16).flat_map(|n| (n * n % 97).to_le_bytes());
    put("tokens", "train.bin", numbers.collect::<Vec<_>>())
}

/// A column of numbers and one of names.
fn table(compression: Compression) -> Outcome<Vec<u8>> {
    let schema = "message t { required int64 id; required binary name (STRING); }";
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(schema)?);
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    if let Some(mut column) = group.next_column()? {
        column.typed::<Int64Type>().write_batch(&[3, 0, 2, 1], None, None)?;
        column.close()?;
    }
    if let Some(mut column) = group.next_column()? {
        let names = ["a", "b", "a", "c"].map(Into::into);
        column.typed::<ByteArrayType>().write_batch(&names, None, None)?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

fn evidence() -> Outcome {
    let folder = tempfile::tempdir()?;
    let store = Store::at(folder.path());
    let cell = sample::write(&store, sample::Shape { examples: 10, epochs: 2, batch: 4, seed: 0 })?;
    let run = store.folder(&cell);
    let mut record = store.record(&cell)?;
    record.tensors = ["fc1.weight", "head.weight"].map(str::to_owned).to_vec();
    put("record", "sample.json", serde_json::to_vec(&record)?)?;
    for (corpus, file, name) in [
        ("events", "events.jsonl", "sample.jsonl"),
        ("order", "order.bin", "sample.bin"),
        ("sample_ids", "sample_ids.bin", "sample.bin"),
        ("manifest", "manifest.json", "sample.json"),
    ] {
        put(corpus, name, fs::read(run.join(file))?)?;
    }
    put("commitments", "sample.jsonl", fs::read(folder.path().join("commitments.jsonl"))?)?;
    put("safetensors", "sample.safetensors", weights()?)?;

    let key = SecretKey::from_seed(&[1; 32]);
    let (manifest, run_digest) = store.manifest(&cell)?;
    put(
        "signature",
        "sample.json",
        serde_json::to_vec(&Signature::make(&key, Kind::Run, run_digest))?,
    )?;
    let envelope = Envelope::sign(&statement(&record, &manifest, &run_digest), &key)?;
    put("envelope", "sample.json", serde_json::to_vec(&envelope)?)?;
    for (name, write) in [("public.pem", true), ("secret.pem", false)] {
        let path = seed("key", name)?;
        let _ = fs::remove_file(&path);
        if write { key.public().write(&path)? } else { key.write(&path)? }
    }
    let path = seed("promise", "sample.json")?;
    let _ = fs::remove_file(&path);
    Promise::of("sample", Some("drand, round 7".to_owned()), &[(0, Seed::from_integer(0))])
        .write(&path)?;

    // Made beside the tests, by OpenSSL: nobody has the keys any more.
    for name in [
        "rsa.tsr",
        "p256.tsr",
        "chain.tsr",
        "token.tst",
        "bare.tsr",
        "refused.tsr",
        "ca.pem",
        "ca.crt",
    ] {
        let made = Path::new("harness/analysis/tests/timestamps").join(name);
        fs::copy(made, seed("timestamp", name)?)?;
    }

    let order = record.order.as_ref().ok_or("the sample has no order")?;
    let ids = ledger::transcript::replay::read_ids(&fs::read(run.join("order.bin"))?)?;
    let samples = fs::read(run.join("sample_ids.bin"))?;
    let samples = samples.as_chunks::<32>().0;
    let leaves: Vec<Digest> = ids[..10].iter().map(|id| Digest(samples[*id as usize])).collect();
    let proof = Proof {
        version: PROOF_VERSION,
        run: cell.clone(),
        step: 1,
        slot: 2,
        epoch: 0,
        position: 6,
        epoch_length: 10,
        sample_id: leaves[6],
        order_root: order.epochs[0].order_root,
        path: inclusion_proof(&leaves, 6)?,
        told: false,
    };
    put("proof", "sample.json", serde_json::to_vec(&proof)?)?;

    let index = analysis::verify::Verifier::new(&store).index()?;
    let origin = Origin {
        run: cell.clone(),
        run_digest,
        law: order.law,
        unit: order.unit,
        randomness: order.unpredictable_by(),
        examples: order.examples,
        dataset_root: order.dataset_root,
        seed_commit: order.seed_commit,
        commitment: order.commitment,
        order_hashes: order.epochs.iter().map(|epoch| epoch.order_hash).collect(),
        index: order.index,
        promises: index.promises,
        abandoned: index.abandoned.len() as u64,
        head: index.head,
        order_version: Some(order.version),
        follows_from_seed: Some(true),
        beacon_source: None,
    };
    let digest = Digest::of(b"scores");
    let file = |role, name: &str| InputFile {
        role,
        name: name.to_owned(),
        column: None,
        size: 6,
        sha256: digest,
    };
    let files = vec![file(Role::Order, "order.npy"), file(Role::Scores, "scores.npy")];
    certificate("files.json", Tested { files, ..Tested::default() }, None)?;
    let input = |role, scores| InputRun { role, run: cell.clone(), run_digest, scores };
    let scores = ScoreFile { on: cell.clone(), size: 6, sha256: digest, parameters_sha256: None };
    let runs = vec![input(Role::Order, None), input(Role::Scores, Some(scores))];
    certificate("runs.json", Tested { runs, ..Tested::default() }, Some(origin))
}

fn weights() -> Outcome<Vec<u8>> {
    let bytes: Vec<u8> = (0..24_u8).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    let view = |shape: [usize; 2]| TensorView::new(Dtype::F32, shape.to_vec(), &bytes);
    let tensors = HashMap::from([
        ("fc1.weight", view([4, 6]).map_err(|error| format!("{error:?}"))?),
        ("head.weight", view([6, 4]).map_err(|error| format!("{error:?}"))?),
    ]);
    Ok(serialize(&tensors, &None).map_err(|error| format!("{error:?}"))?)
}

fn certificate(name: &str, tested: Tested, origin: Option<Origin>) -> Outcome {
    let randomness = if origin.is_some() { "fixed" } else { "undeclared" };
    let finding = json!({
        "metric": "spearman", "statistic": -0.336_997_264_123_753_9, "n": 4000, "ties": 0,
        "tail": "two-sided", "adjust": "none", "p": 8.251_903_170_423_117e-107,
        "log10_p": -106.083_445_879_212_34, "exact": false,
        "direction": "negative: later examples have lower loss", "randomness": randomness,
        "simulation": origin.is_some(),
        "floor_log10_p": origin.is_some().then_some(-77.063_678_889_979_16),
        "monte_carlo": null, "warnings": []
    });
    let mut options = BTreeMap::from([
        ("metric".to_owned(), json!("spearman")),
        ("tail".to_owned(), json!("two-sided")),
        ("adjust".to_owned(), json!("none")),
        ("kind".to_owned(), json!("loss")),
        ("law".to_owned(), json!("uniform")),
        ("unit".to_owned(), json!("sample")),
        ("resolution".to_owned(), json!(if origin.is_some() { "step" } else { "sample" })),
    ]);
    if origin.is_some() {
        options.insert("access".to_owned(), json!("log-probs"));
        options.insert("documents".to_owned(), json!("whole"));
        options.insert("randomness".to_owned(), json!("fixed"));
        options.insert("seed_bits".to_owned(), json!(256));
        options.insert("plan".to_owned(), json!({ "sha256": Digest::of(b"plan"), "tests": 3 }));
    }
    let software = BTreeMap::from([("palimpsest".to_owned(), "0.1.0".to_owned())]);
    let mut certificate = Draft { tested, options, finding, origin, software }.seal()?;
    certificate.sign(&SecretKey::from_seed(&[1; 32]));
    put("certificate", name, certificate.to_bytes()?)
}

fn texts() -> Outcome {
    let mut history = History::new("history", "sample", "machine");
    let mut lines = Vec::new();
    let mut entries = Vec::new();
    for at in 0..8_u8 {
        let value = if at < 4 { 1.0 } else { 2.0 };
        let values = vec![value + f64::from(at) / 100.0, value];
        let metric = Metric { unit: "s".to_owned(), better: Better::Lower, values };
        let measured = Entry::Measured(Measured {
            commit: format!("{at:02x}").repeat(20),
            suite_digest: Digest::of(b"suite"),
            software: BTreeMap::new(),
            metrics: BTreeMap::from([("sgd/time".to_owned(), metric)]),
        });
        entries.push(measured);
    }
    entries.push(Entry::Accepted(Accepted {
        commit: "04".repeat(20),
        metrics: Vec::new(),
        reason: "another machine".to_owned(),
    }));
    let mut bare = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut bare, &entry)?;
        bare.push(b'\n');
        lines.extend(history.push(entry)?);
    }
    put("history", "sample.jsonl", &lines[..lines.len().min(2000)])?;
    put("history", "entries.jsonl", bare)?;

    let text = fs::read_to_string("suites/distillation.claims.json")?;
    let mut register: Register = serde_json::from_str(&text)?;
    register.suite = "sample".to_owned();
    register.notes.clear();
    register.claims.truncate(1);
    register.write(&seed("register", "sample.json")?)?;

    let text = fs::read_to_string("suites/blobs.tuned.yaml")?;
    let mut tuned = Tuned::parse("blobs.tuned.yaml", "blobs.yaml", &text)?;
    tuned.arms.truncate(1);
    for arm in &mut tuned.arms {
        arm.trials.truncate(3);
        arm.edges.clear();
        let best = arm.best(tuned.higher_is_better).map(|trial| trial.settings.clone());
        arm.chosen = best.unwrap_or_default();
    }
    put("tuned", "sample.yaml", tuned.sealed()?.text()?)?;

    put(
        "rule",
        "muon.yaml",
        "kind: muon\nlr: [0.1, 0.05]\nshapes: [[4, 3], [4], [2, 4]]\nclip: 1.0\n",
    )?;
    put(
        "rule",
        "sgd.yaml",
        "{ kind: sgd, lr: lr.npy, momentum: 0.9, state: { momentum: m.npy } }\n",
    )?;
    put("suite", "sample.yaml", SUITE)
}

const SUITE: &str = "\
suite: sample
question: q
seeds: [0, 3]
baseline: sgd
workloads:
  - digits-mlp
  - { workload: digits-mlp, with: { lr: 2 }, epochs: 3, as: wide, target: { value: 0.95, origin: o } }
settings: &common { batch_size: 16 }
tuning: { trials: 4, seeds: [100, 101] }
stopping: { least: 3 }
arms:
  - sgd
  - { method: muon, with: *common, as: a, on: [wide], budget: 0.5, from: sgd }
  - { method: sgd, as: t, tune: { lr: { log: [0.01, 1] } }, trials: 3 }
claims:
  - id: faster
    statement: s
    paper: { number: n, source: p }
    arm: a
    baseline: sgd
    compare: time-to-target
    at_least: 1.1
    workloads: [wide]
provenance:
  - { id: p, statement: s, run: digits-mlp/sgd, suspect: digits-mlp/t+1, expect: { nothing: true } }
";
