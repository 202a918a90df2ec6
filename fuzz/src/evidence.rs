//! Run folders, evidence, and the texts that people exchange beside them.

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use analysis::evidence::certificate::{self, Given};
use analysis::evidence::inclusion::Proof;
use analysis::evidence::statement::Envelope;
use analysis::evidence::timestamp::{self, Authorities};
use analysis::evidence::{Promise, PublicKey, SecretKey, Signature};
use analysis::history::chain::History;
use analysis::history::{Entry, changes};
use analysis::plan::{Overrides, plan};
use analysis::register::{self, Register};
use analysis::rule_file::RuleFile;
use analysis::tuning::Tuned;
use analysis::verify::{Known, Verifier};
use ledger::catalogue::{
    Catalogue, DataName, MethodInfo, MetricInfo, Paper, PaperClaim, WorkloadInfo,
};
use ledger::record::{RunRecord, Store};
use ledger::settings::Range;

/// A reader, by the name of its corpus.
pub type Reader = (&'static str, fn(&[u8]));

/// Every reader.
pub const READERS: [Reader; 19] = [
    ("record", record),
    ("events", events),
    ("manifest", manifest),
    ("commitments", commitments),
    ("order", order),
    ("sample_ids", sample_ids),
    ("safetensors", safetensors),
    ("proof", proof),
    ("certificate", certificate),
    ("envelope", envelope),
    ("signature", signature),
    ("key", key),
    ("promise", promise),
    ("timestamp", timestamp),
    ("history", history),
    ("register", register),
    ("tuned", tuned),
    ("rule", rule),
    ("suite", suite),
];

/// The run that the seeds are of, made by `fuzz/examples/seeds.rs`.
const RECORD: &[u8] = include_bytes!("../corpus/record/sample.json");
/// Its other files, by their names in the store; those of the run begin with a slash.
const FILES: [(&str, &[u8]); 5] = [
    ("/events.jsonl", include_bytes!("../corpus/events/sample.jsonl")),
    ("/order.bin", include_bytes!("../corpus/order/sample.bin")),
    ("/sample_ids.bin", include_bytes!("../corpus/sample_ids/sample.bin")),
    ("/manifest.json", include_bytes!("../corpus/manifest/sample.json")),
    ("commitments.jsonl", include_bytes!("../corpus/commitments/sample.jsonl")),
];
/// A timestamp, and who stands behind it.
const STAMPED: &[u8] = include_bytes!("../corpus/timestamp/p256.tsr");
const AUTHORITY: &[u8] = include_bytes!("../corpus/timestamp/ca.pem");
const SUITE: &str = include_str!("../corpus/suite/sample.yaml");

/// A store with the run.
struct Sample {
    folder: tempfile::TempDir,
    cell: String,
}

impl Sample {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cell = sample().cell;
        let sample = Self { folder, cell };
        let run = sample.path("/signatures");
        fs::create_dir_all(run).expect("the folder of the run");
        fs::create_dir_all(sample.path("/checkpoints")).expect("the folder of the run");
        for (name, bytes) in FILES.into_iter().chain([("/record.json", RECORD)]) {
            fs::write(sample.path(name), bytes).expect("a file of the run");
        }
        fs::write(sample.path("/suite.yaml"), "suite: sample\n").expect("a file of the run");
        sample
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        match name.strip_prefix('/') {
            Some(name) => self.folder.path().join(&self.cell).join(name),
            None => self.folder.path().join(name),
        }
    }

    /// Verifies the run with other bytes in one of its files, and puts those of the run back.
    fn verified_with(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        let before = fs::read(&path).ok();
        fs::write(&path, bytes).expect("a file of the run");
        let store = Store::at(self.folder.path());
        let known =
            Known { head: None, promised: Some(Vec::new()), keys: vec![key_of(1).public()] };
        let verifier = Verifier::knowing(&store, known);
        let _ = verifier.verify(&self.cell);
        let _ = verifier.index();
        match before {
            Some(before) => fs::write(&path, before).expect("a file of the run"),
            None => fs::remove_file(&path).expect("a file of the run"),
        }
    }
}

thread_local! {
    static SAMPLE: RefCell<Option<Sample>> = const { RefCell::new(None) };
}

fn with_sample(read: impl FnOnce(&Sample)) {
    SAMPLE.with_borrow_mut(|sample| read(sample.get_or_insert_with(Sample::new)));
}

fn sample() -> RunRecord {
    serde_json::from_slice(RECORD).expect("the record of the sample")
}

fn key_of(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// A file beside the run, for what is read by its path.
fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    with_sample(|sample| {
        let path = sample.path("file");
        fs::write(&path, bytes).expect("a temporary file");
        read(&path);
    });
}

/// `record.json` of a run.
pub fn record(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("/record.json", bytes));
}

/// `events.jsonl` of a run.
pub fn events(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("/events.jsonl", bytes));
}

/// `manifest.json` of a run.
pub fn manifest(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("/manifest.json", bytes));
}

/// `commitments.jsonl` of a store.
pub fn commitments(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("commitments.jsonl", bytes));
}

/// `order.bin` of a run.
pub fn order(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("/order.bin", bytes));
}

/// `sample_ids.bin` of a run.
pub fn sample_ids(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("/sample_ids.bin", bytes));
}

/// Weights that a run kept.
pub fn safetensors(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("/checkpoints/final.safetensors", bytes));
}

/// What `palimpsest prove` writes.
pub fn proof(bytes: &[u8]) {
    if let Ok(proof) = Proof::read(bytes) {
        let _ = proof.holds();
        let _ = proof.disagreement(&sample());
    }
}

/// The certificate of a test.
pub fn certificate(bytes: &[u8]) {
    with_sample(|sample| {
        let store = Store::at(sample.folder.path());
        let given =
            Given { keys: vec![key_of(1).public()], store: Some(&store), ..Given::default() };
        let _ = certificate::verify(bytes, &given);
    });
}

/// A signed in-toto statement.
pub fn envelope(bytes: &[u8]) {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) {
        let _ = envelope.open(&key_of(1).public());
    }
}

/// A signature, in a run's folder and alone.
pub fn signature(bytes: &[u8]) {
    with_sample(|sample| sample.verified_with("/signatures/a.json", bytes));
    if let Ok(signature) = serde_json::from_slice::<Signature>(bytes) {
        let _ = signature.check(signature.kind, &signature.digest);
    }
}

/// A key in PEM form.
pub fn key(bytes: &[u8]) {
    with_file(bytes, |path| {
        let _ = PublicKey::read(path);
        let _ = SecretKey::read(path);
    });
}

/// The private half of a promise.
pub fn promise(bytes: &[u8]) {
    with_file(bytes, |path| {
        if let Ok(promise) = Promise::read(path) {
            let _ = promise.seed(0, path);
        }
    });
}

/// A timestamp of an authority, one that is trusted or one that is not, and the certificates of authorities.
pub fn timestamp(bytes: &[u8]) {
    thread_local! {
        static TRUSTED: Authorities = {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("ca.pem");
            fs::write(&path, AUTHORITY).expect("a temporary file");
            Authorities::read(&path).expect("the authority of the sample")
        };
    }
    let unknown = timestamp::check(bytes, &Authorities::default());
    let trusted = TRUSTED.with(|trusted| timestamp::check(bytes, trusted));
    // Who is trusted decides whether it holds, never what it states.
    if let (Ok(unknown), Ok(trusted)) = (unknown, trusted) {
        assert_eq!((unknown.imprint, unknown.unix), (trusted.imprint, trusted.unix));
    }
    with_file(bytes, |path| {
        if let Ok(authorities) = Authorities::read(path) {
            let _ = timestamp::check(STAMPED, &authorities);
        }
    });
}

/// A history, as it is and, since no mutation hits a digest, one made of the entries in its lines.
pub fn history(bytes: &[u8]) {
    let _ = History::parse("history", "sample", "machine", bytes);
    let mut whole = History::new("history", "sample", "machine");
    let lines = bytes.split(|byte| *byte == b'\n').take(60);
    for entry in lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()) {
        let _ = whole.push(entry);
    }
    let options = changes::Options { draws: 100, window: 20, ..changes::Options::default() };
    let _ = changes::analyse(&whole, &options);
}

/// A register of claims, with and without its digest.
pub fn register(bytes: &[u8]) {
    with_file(bytes, |path| {
        let _ = Register::read(path, "sample");
    });
    if let Ok(read) = serde_json::from_slice::<Register>(bytes) {
        let suite = analysis::suite::parse("suite.yaml", SUITE).expect("the suite of the sample");
        let _ = register::check(&read, &suite, None);
    }
}

/// Frozen settings, with and without their digest.
pub fn tuned(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Tuned::parse("a.tuned.yaml", "a.yaml", text);
    if let Ok(tuned) = analysis::yaml::from_str::<Tuned>(text)
        && let Ok(sealed) = tuned.sealed()
        && let Ok(text) = sealed.text()
    {
        let _ = Tuned::parse("a.tuned.yaml", "a.yaml", &text);
    }
}

/// The update rule of estimates from files.
pub fn rule(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = RuleFile::parse(text);
    }
}

/// A suite, planned against a small catalogue.
pub fn suite(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = plan("suite.yaml", text, &catalogue(), &Overrides::default());
    }
}

ledger::settings! {
    /// Settings of the method and of the workload.
    pub struct Example {
        /// Step size.
        lr: f64 = 0.1, range Range::above(0.0), from "assumed";
        /// Examples per step.
        batch_size: u32 = 32, range Range::of(1.0..), from "assumed";
    }
}

fn catalogue() -> Catalogue {
    let method = |id| MethodInfo {
        id,
        family: "optim",
        summary: "",
        paper: Paper { title: "", authors: "", year: 2020, reference: "", code: "" },
        claim: PaperClaim { statement: "", number: "", source: "" },
        baseline: None,
        needs: &["classes"],
        settings: Example::table(),
        resolve: Example::resolve,
        card: "",
    };
    let workload = WorkloadInfo {
        id: "digits-mlp",
        family: "classification",
        title: "",
        data: DataName::Generated,
        count: None,
        offers: &["classes"],
        metrics: const { &[MetricInfo::share("accuracy", 0.1), MetricInfo::error("nll")] },
        metric: "accuracy",
        target: 0.9,
        target_origin: "assumed",
        budget_epochs: 2.0,
        evaluate_every_epochs: 0.5,
        split_sizes: [100, 10, 10],
        epoch_setting: None,
        settings: Example::table(),
        resolve: Example::resolve,
        card: "",
    };
    Catalogue { methods: vec![method("muon"), method("sgd")], workloads: vec![workload] }
}
