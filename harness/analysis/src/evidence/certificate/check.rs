//! Checks a certificate against itself, against files, keys and a store, and against the answer
//! computed anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;

use serde_json::Value;

use super::form;
use super::words::{self, Subject};
use super::{Certificate, CertificateError, InputRun, Origin, Role, ScoreFile};
use crate::evidence::key::PublicKey;
use crate::evidence::signature::Kind;
use crate::suite::membership::{Access, Documents};
use crate::summary::membership::ScoreKind;
use crate::verify::{Check, Draw, Verifier};
use ledger::digest::Digest;
use ledger::plain;
use ledger::record::format::OrderSection;
use ledger::record::store::is_cell_id;
use ledger::record::{RunRecord, Store};

/// Computes the finding anew from what the certificate names; the files are in the roles' order
/// of the certificate. `Err` says why it cannot.
pub type Recompute<'a> = &'a dyn Fn(&Certificate, &Given<'_>) -> Result<Value, String>;

/// Scores the model of the first run anew on the examples of the second and compares with the file in
/// the store. `Err` says what differs, or why it cannot.
pub type Rescore<'a> = &'a dyn Fn(&str, &str) -> Result<(), String>;

/// What a reader of a certificate has besides it.
#[derive(Clone, Default)]
pub struct Given<'a> {
    /// Files by role, in the order in which they are given.
    pub files: Vec<(Role, PathBuf)>,
    /// Keys whose signatures are wanted.
    pub keys: Vec<PublicKey>,
    /// The store that holds the runs.
    pub store: Option<&'a Store>,
    /// The way to compute the finding anew.
    pub recompute: Option<Recompute<'a>>,
    /// Commitments that were published before training; the order's must be one of them.
    pub promised: Option<Vec<Digest>>,
    /// Whether an authority that the reader trusts says when the promise was there, by itself or under a head that the
    /// store shows it under.
    pub dated: bool,
    /// The way to draw orders of runs again.
    pub draw: Option<&'a Draw<'a>>,
    /// The way to score a model (the first run) anew on the examples of the second, and compare.
    pub rescore: Option<Rescore<'a>>,
}

/// Outcome of a verification.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Whether statistic and p-value were computed anew.
    pub recomputed: bool,
    /// What was checked.
    pub checks: Vec<Check>,
    /// What could not be checked with what was given, and what to give.
    pub unchecked: Vec<String>,
}

impl Verification {
    /// Whether every check agrees.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}

/// What is unchecked of a certificate that nobody signed.
const NO_SIGNATURE: &str = "who made it: it has no signature";

/// What is unchecked of one whose signer nobody knows.
const NO_KEY: &str = "whose the signing key is: give the key you trust with --key";

/// Whether what is unchecked is who made the certificate, and not what it says.
#[must_use]
pub fn is_about_the_signer(unchecked: &str) -> bool {
    [NO_SIGNATURE, NO_KEY].contains(&unchecked)
}

/// Checks everything that can be checked with what is given.
///
/// # Errors
/// When the bytes are no certificate, or one of a newer version.
pub fn verify(bytes: &[u8], given: &Given<'_>) -> Result<Verification, CertificateError> {
    let certificate = Certificate::read(bytes)?;
    let mut outcome = Verification { recomputed: false, checks: Vec::new(), unchecked: Vec::new() };
    let checks = &mut outcome.checks;
    checks.push(Check::of("canonical form", canonical(&certificate, bytes)));
    checks.push(Check::of(
        "digest",
        certificate.recomputed_digest().map_err(|error| error.to_string()).and_then(|digest| {
            agree("the document", &certificate.digest.to_string(), &digest.to_string())
        }),
    ));
    checks.push(Check::of("form", form::check_form(&certificate)));
    checks.push(Check::of("words", check_words(&certificate)));
    checks.push(Check::of("options", form::check_options(&certificate)));
    check_signatures(&certificate, &given.keys, &mut outcome);
    let inputs = check_files(&certificate, given, &mut outcome);
    check_runs(&certificate, given, &mut outcome);
    check_promise(&certificate, given, &mut outcome);
    check_answer(&certificate, given, inputs, &mut outcome);
    Ok(outcome)
}

/// The promise of files is that of the files named, and a promise is among those that were published.
fn check_promise(certificate: &Certificate, given: &Given<'_>, outcome: &mut Verification) {
    let Certificate { tested, origin, .. } = certificate;
    if let Some(promise) = &tested.promise {
        let held = form::Options::of(&certificate.options).and_then(|options| {
            promise.holds(options.law, options.unit, &order_files(certificate))
        });
        outcome.checks.push(Check::of("promise", held));
    }
    let made = origin.as_ref().map(|origin| origin.commitment);
    let made = made.or(tested.promise.as_ref().map(|promise| promise.commitment));
    let name = "published commitments";
    match (&given.promised, made) {
        (Some(published), Some(made)) => {
            let kept = if published.contains(&made) { Ok(()) } else { Err(made) };
            let kept =
                kept.map_err(|made| format!("{made} is none of the {} published", published.len()));
            outcome.checks.push(Check::of(name, kept));
        }
        (Some(_), None) => {
            outcome.checks.push(Check::of::<(), _>(name, Err("the certificate names no promise")));
        }
        (None, Some(made)) if !given.dated => outcome.unchecked.push(format!(
            "when the promise {} was made: give what was published then with --promised",
            made.short(16)
        )),
        (None, _) => {}
    }
}

/// Digests of the files that say the order, first to last.
fn order_files(certificate: &Certificate) -> Vec<Digest> {
    let files = certificate.tested.files.iter();
    let order = files.filter(|file| [Role::Order, Role::Positions].contains(&file.role));
    order.map(|file| file.sha256).collect()
}

fn agree(what: &str, recorded: &str, found: &str) -> Result<(), String> {
    if recorded == found { Ok(()) } else { Err(format!("{what} says {recorded}, found {found}")) }
}

fn canonical(certificate: &Certificate, bytes: &[u8]) -> Result<(), String> {
    match certificate.to_bytes() {
        Ok(written) if written == bytes => Ok(()),
        Ok(_) => {
            Err("the file is not in canonical form: it was formatted anew, or has a field twice; \
                      ask for the original"
                .to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Headline, meaning and limits are those of the finding.
fn check_words(certificate: &Certificate) -> Result<(), String> {
    let view = certificate.view().map_err(|error| error.to_string())?;
    let subject = Subject {
        finding: &view,
        origin: certificate.origin.as_ref(),
        of_runs: !certificate.tested.runs.is_empty(),
        promise: certificate.tested.promise.as_ref(),
        planned: super::planned(&certificate.options),
        version: certificate.version,
    };
    let expected = [
        ("about", vec![super::ABOUT.to_owned()], vec![certificate.about.clone()]),
        ("headline", vec![words::headline(&view)], vec![certificate.headline.clone()]),
        ("meaning", words::meaning(&view), certificate.meaning.clone()),
        ("limits", words::limits(&subject), certificate.limits.clone()),
    ];
    match expected.iter().find(|(_, expected, found)| expected != found) {
        None => Ok(()),
        Some((name, ..)) => Err(format!("{name} is not what follows from the finding")),
    }
}

fn check_signatures(certificate: &Certificate, keys: &[PublicKey], outcome: &mut Verification) {
    let mut valid = Vec::new();
    for signature in &certificate.signatures {
        let key = signature.check(Kind::Certificate, &certificate.digest);
        let name = match &key {
            Ok(key) => format!("signature by key {}", key.id().short(16)),
            Err(_) => "signature".to_owned(),
        };
        outcome.checks.push(Check::of(&name, key.as_ref().map(|_| ())));
        valid.extend(key.ok());
    }
    for key in keys {
        let signed =
            if valid.contains(key) { Ok(()) } else { Err("it did not sign this certificate") };
        outcome
            .checks
            .push(Check::of(&format!("signed by given key {}", key.id().short(16)), signed));
    }
    if valid.is_empty() {
        outcome.unchecked.push(NO_SIGNATURE.to_owned());
    } else if keys.is_empty() {
        outcome.unchecked.push(NO_KEY.to_owned());
    }
}

/// Sizes and digests of the given files. True when all files of the certificate are there and agree.
fn check_files(certificate: &Certificate, given: &Given<'_>, outcome: &mut Verification) -> bool {
    let mut left = given.files.clone();
    let mut whole = true;
    for input in &certificate.tested.files {
        let role = input.role.name();
        let Some(at) = left.iter().position(|(given, _)| *given == input.role) else {
            whole = false;
            let name = &input.name;
            outcome.unchecked.push(format!("{role} {name}: give the file with --{role}"));
            continue;
        };
        let (_, path) = left.remove(at);
        let found = hash_file(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))
            .and_then(|(size, sha256)| {
                let recorded = format!("{} bytes, sha256 {}", input.size, input.sha256);
                agree("the certificate", &recorded, &format!("{size} bytes, sha256 {sha256}"))
            });
        whole &= found.is_ok();
        outcome.checks.push(Check::of(&format!("{role} {}", path.display()), found));
    }
    for (role, path) in left {
        whole = false;
        let problem: Result<(), _> = Err(format!(
            "the certificate names no further file of this kind than those before {}",
            path.display()
        ));
        outcome.checks.push(Check::of(role.name(), problem));
    }
    whole
}

fn hash_file(path: &std::path::Path) -> io::Result<(u64, Digest)> {
    ledger::digest::of_reader(&mut File::open(path)?)
}

/// Runs are those of the store, whole, and their order is the one that the certificate tells.
fn check_runs(certificate: &Certificate, given: &Given<'_>, outcome: &mut Verification) {
    let named = &certificate.tested.runs;
    if named.is_empty() && certificate.origin.is_none() {
        return;
    }
    let Some(store) = given.store else {
        outcome
            .unchecked
            .push("the runs and the commitment: give their store with --store".to_owned());
        return;
    };
    let mut verifier = Verifier::new(store);
    if let Some(draw) = given.draw {
        verifier = verifier.drawing(draw);
    }
    let mut follows = false;
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let origin = certificate.origin.as_ref();
    let runs = named.iter().map(|InputRun { run, run_digest, .. }| (run, run_digest));
    for (run, digest) in runs.chain(origin.map(|origin| (&origin.run, &origin.run_digest))) {
        let name = format!("run {run}");
        outcome.checks.push(Check::of(&name, same_run(store, run, digest)));
        if is_cell_id(run) && seen.insert(run) {
            let verified = verifier.verify(run);
            if origin.is_some_and(|origin| origin.run == *run) {
                follows = verified.order_follows();
                let open = verified.unchecked.iter();
                outcome.unchecked.extend(open.map(|what| format!("{name}: {what}")));
            }
            let failed = verified.checks.into_iter().filter(|check| !check.passed);
            outcome.checks.extend(
                failed.map(|check| Check { name: format!("{name}: {}", check.name), ..check }),
            );
        }
    }
    check_scores(certificate, store, given.rescore, outcome);
    if let Some(origin) = origin {
        outcome.checks.push(Check::of("commitment", same_order(store, origin)));
        // Somebody's old head says nothing of a promise that stands behind it, or in another index.
        let held = recorded_order(store, &origin.run)
            .and_then(|order| verifier.promised_by(&origin.head, &order));
        outcome.checks.push(Check::of("index head", held));
        outcome.checks.push(Check::of("promises", same_promises(&verifier, origin)));
        if origin.follows_from_seed == Some(true) && !follows {
            outcome.unchecked.push(format!(
                "order of run {} from its seed: the certificate says that it follows; nothing here recomputed it",
                origin.run
            ));
        }
    }
}

/// As many promises as the certificate says stood in the index up to its head, and no more of them are
/// without a run than it says.
fn same_promises(verifier: &Verifier<'_>, origin: &Origin) -> Result<(), String> {
    let until = verifier.promised_until(&origin.head)?;
    agree("promises: the certificate", &origin.promises.to_string(), &until.promises.to_string())?;
    if origin.abandoned > origin.promises {
        return Err(format!("{} of {} promises are abandoned", origin.abandoned, origin.promises));
    }
    if until.abandoned > origin.abandoned {
        return Err(format!(
            "{} of the {} promises have no run in this store, but the certificate says {}; multiply the p-value by {}",
            until.abandoned,
            until.promises,
            origin.abandoned,
            until.abandoned.saturating_add(1)
        ));
    }
    Ok(())
}

/// The scores in the store are those that were tested, of the weights that their models' records name.
fn check_scores(
    certificate: &Certificate,
    store: &Store,
    rescore: Option<Rescore<'_>>,
    outcome: &mut Verification,
) {
    let scored = certificate.tested.runs.iter().filter(|input| input.role != Role::Order);
    for input in scored {
        let name = format!("scores of run {}", input.run);
        let Some(scores) = &input.scores else {
            outcome
                .unchecked
                .push(format!("{name}: a certificate of version 1 names no digest of them"));
            continue;
        };
        if !is_cell_id(&input.run) || !is_cell_id(&scores.on) {
            let no_run = Err(format!("{:?} is not the id of a run", scores.on));
            outcome.checks.push(Check::of::<(), _>(&name, no_run));
            continue;
        }
        let found = asked(&certificate.options).and_then(|what| {
            let on = store.record(&scores.on).map_err(|error| error.to_string())?;
            score_file(store, &input.run, &on, what)
        });
        let same = found.and_then(|found| {
            if found == *scores {
                return Ok(());
            }
            Err(format!(
                "the certificate says {} bytes, sha256 {}, of weights {:?}; the store has {} bytes, sha256 {}, of \
                 weights {:?}",
                scores.size,
                scores.sha256,
                scores.parameters_sha256.map(|digest| digest.short(16)),
                found.size,
                found.sha256,
                found.parameters_sha256.map(|digest| digest.short(16))
            ))
        });
        outcome.checks.push(Check::of(&name, same));
        match rescore {
            Some(rescore) => {
                let again = rescore(&input.run, &scores.on);
                outcome.checks.push(Check::of(&format!("{name}, computed anew"), again));
            }
            None => outcome.unchecked.push(format!(
                "that these are the scores of the model of run {}: --rescore computes them anew",
                input.run
            )),
        }
    }
}

/// Which scores the options of a certificate ask for.
fn asked(options: &BTreeMap<String, Value>) -> Result<ScoreKind, String> {
    let option = |name: &str| options.get(name).cloned().unwrap_or(Value::Null);
    let read = |error: serde_json::Error| error.to_string();
    let access: Option<Access> = serde_json::from_value(option("access")).map_err(read)?;
    let documents: Option<Documents> = serde_json::from_value(option("documents")).map_err(read)?;
    Ok(ScoreKind {
        access: access.unwrap_or_default(),
        documents: documents.unwrap_or_default() != Documents::Whole,
    })
}

/// The scores that a store holds of a model on the examples of a run, as a certificate names them.
///
/// # Errors
/// When they, or the model's record, cannot be read.
pub fn score_file(
    store: &Store,
    model: &str,
    on: &RunRecord,
    what: ScoreKind,
) -> Result<ScoreFile, String> {
    let root = on.data.as_ref().ok_or_else(|| format!("run {} has no data", on.cell))?.train_root;
    let path = store.score_file(&root, model, what.name()?);
    let (size, sha256) = plain::open(&path)
        .and_then(|mut file| ledger::digest::of_reader(&mut file))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let record = store.record(model).map_err(|error| error.to_string())?;
    Ok(ScoreFile { on: on.cell.clone(), size, sha256, parameters_sha256: record.parameters_sha256 })
}

fn same_run(store: &Store, run: &str, recorded: &Digest) -> Result<(), String> {
    if !is_cell_id(run) {
        return Err(format!("{run:?} is not the id of a run"));
    }
    let (_, digest) = store.manifest(run).map_err(|error| error.to_string())?;
    agree("the certificate", &recorded.to_string(), &digest.to_string())
}

/// The order in the record of a run.
fn recorded_order(store: &Store, run: &str) -> Result<OrderSection, String> {
    if !is_cell_id(run) {
        return Err(format!("{run:?} is not the id of a run"));
    }
    let record = store.record(run).map_err(|error| error.to_string())?;
    record.order.ok_or_else(|| format!("run {run} has no order"))
}

/// What the certificate says about the order is what the run's record says.
fn same_order(store: &Store, origin: &Origin) -> Result<(), String> {
    let order = recorded_order(store, &origin.run)?;
    let hashes: Vec<_> = order.epochs.iter().map(|epoch| epoch.order_hash).collect();
    let facts = [
        ("law", order.law == origin.law),
        ("unit", order.unit == origin.unit),
        ("randomness", order.unpredictable_by() == origin.randomness),
        ("beacon_source", order.beacon_source == origin.beacon_source),
        ("order_version", origin.order_version.is_none_or(|version| version == order.version)),
        ("examples", order.examples == origin.examples),
        ("dataset_root", order.dataset_root == origin.dataset_root),
        ("seed_commit", order.seed_commit == origin.seed_commit),
        ("commitment", order.commitment == origin.commitment),
        ("order_hashes", hashes == origin.order_hashes),
        ("index", order.index == origin.index),
    ];
    match facts.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} is not that of run {}", origin.run)),
    }
}

fn check_answer(
    certificate: &Certificate,
    given: &Given<'_>,
    files: bool,
    outcome: &mut Verification,
) {
    let runs_here = certificate.tested.runs.is_empty() || given.store.is_some();
    if certificate.tested.files.is_empty() && certificate.tested.runs.is_empty() {
        outcome.unchecked.push("the statistic: the certificate names no input".to_owned());
    } else if !files || !runs_here {
        outcome.unchecked.push(
            "the statistic and its p-value: give every input named above, and they are computed anew".to_owned(),
        );
    } else if let Some(recompute) = given.recompute {
        let answer = recompute(certificate, given)
            .and_then(|answer| same_finding(&certificate.finding, &answer));
        outcome.recomputed = true;
        outcome.checks.push(Check::of("statistic and p-value", answer));
    } else {
        outcome.unchecked.push(
            "the statistic and its p-value: docs/verify_certificate.py computes them anew"
                .to_owned(),
        );
    }
}

/// Equal findings, up to the last digits in which machines may differ.
fn same_finding(recorded: &Value, anew: &Value) -> Result<(), String> {
    let names = |value: &Value| Some(value.as_object()?.keys().cloned().collect::<BTreeSet<_>>());
    let all = names(recorded).zip(names(anew)).ok_or("the answer is no object")?;
    for name in all.0.union(&all.1) {
        let [recorded, anew] =
            [recorded, anew].map(|value| value.get(name).unwrap_or(&Value::Null));
        let (absolute, relative) = match name.as_str() {
            "statistic" => (1e-12, 0.0),
            "log10_p" => (1e-6, 1e-9),
            _ => (1e-300, 1e-9),
        };
        if !close(recorded, anew, absolute, relative) {
            return Err(format!(
                "{name} is {recorded} in the certificate, but {anew} from the inputs"
            ));
        }
    }
    Ok(())
}

fn close(a: &Value, b: &Value, absolute: f64, relative: f64) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) if x.is_f64() || y.is_f64() => {
            let (Some(x), Some(y)) = (x.as_f64(), y.as_f64()) else { return false };
            (x - y).abs() <= absolute.max(relative * x.abs().max(y.abs()))
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| close(x, y, absolute, relative))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len()
                && x.iter()
                    .all(|(name, x)| y.get(name).is_some_and(|y| close(x, y, absolute, relative)))
        }
        (a, b) => a == b,
    }
}
