//! The certificate of one test: what was tested, on which bytes, with which answer, and what the
//! answer means, in one JSON document that anybody can check (`docs/evidence.md`).
//!
//! The file is canonical JSON (RFC 8785) and a line end, byte for byte: two readers can't
//! understand it differently. Its digest is taken over the document without `digest` and
//! `signatures`; a signature signs that digest.

mod check;
mod finding;
mod form;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key::SecretKey;
use super::order_promise::OrderPromise;
use super::signature::{Kind, Signature};
use ledger::digest::Digest;
use ledger::order::{OrderLaw, Unit};
use ledger::record::format::IndexPlace;
use ledger::seed::Randomness;

pub use check::{Given, Recompute, Rescore, Verification, is_about_the_signer, score_file, verify};
pub use finding::FindingView;
use words::Subject;
pub use words::{headline, odds};

/// Version that this build writes; it reads version 1 too. The words are part of it: other words, another
/// version. Version 2 names the scores and weights of runs by digest, and says what of an order was bound
/// and recomputed.
pub const CERTIFICATE_VERSION: u32 = 2;

/// First field of every certificate.
const TYPE: &str = "palimpsest/certificate";

/// Says to somebody who finds only the file what it is.
const ABOUT: &str = "Result of a test whether a suspect model or its outputs depend on the order in which a \
training run saw its examples. Canonical JSON (RFC 8785); digest = SHA-256 of the canonical JSON without the \
fields digest and signatures. Check it with `palimpsest verify-certificate` or docs/verify_certificate.py of \
Palimpsest, together with the files named under tested.";

/// Largest integer that every JSON reader keeps.
const LARGEST_INTEGER: u64 = 1 << 53;

/// What an input file is in the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Example ids in training order.
    Order,
    /// Position of each example in the order.
    Positions,
    /// Score of the suspect on each example.
    Scores,
    /// Score of an independent model on each example.
    Reference,
    /// Example ids in the order that a reference was trained on.
    ReferenceOrder,
    /// Id of the example of each row.
    Ids,
    /// Shuffled unit of each row.
    Units,
    /// Block of each row.
    Blocks,
    /// A shadow run that the template was learnt from.
    Template,
}

impl Role {
    /// Its name in the JSON and in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Positions => "positions",
            Self::Scores => "scores",
            Self::Reference => "reference",
            Self::ReferenceOrder => "reference-order",
            Self::Ids => "ids",
            Self::Units => "units",
            Self::Blocks => "blocks",
            Self::Template => "template",
        }
    }
}

/// An input file, by name and content; where it lay is nobody's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFile {
    /// What it is in the test.
    pub role: Role,
    /// File name without folders.
    pub name: String,
    /// Column read, where the file has several.
    pub column: Option<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
}

/// A run of a store that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRun {
    /// `order`, `scores` (the suspect), `reference` or `template`.
    pub role: Role,
    /// Cell id.
    pub run: String,
    /// Run digest: SHA-256 of its manifest.
    pub run_digest: Digest,
    /// The scores of its model that were tested; none for the order's run, and in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<ScoreFile>,
}

/// A file of scores in a store, and the weights that the scores are of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreFile {
    /// Cell id of the run whose examples were scored.
    pub on: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// Digest of the model's weights, as its record has it.
    pub parameters_sha256: Option<Digest>,
}

/// What was tested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tested {
    /// Files, in the order given.
    pub files: Vec<InputFile>,
    /// Runs of a store.
    pub runs: Vec<InputRun>,
    /// The promise that the files of the order were fixed by, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<OrderPromise>,
}

/// The committed run whose order was tested against, when it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Cell id.
    pub run: String,
    /// Run digest.
    pub run_digest: Digest,
    /// Law of the order.
    pub law: OrderLaw,
    /// What the law permutes.
    pub unit: Unit,
    /// Where the seed came from.
    pub randomness: Randomness,
    /// Examples in the training split.
    pub examples: u64,
    /// Merkle root of the training split.
    pub dataset_root: Digest,
    /// Commitment to the seed.
    pub seed_commit: Digest,
    /// h_0 of the run, made before its first step.
    pub commitment: Digest,
    /// SHA-256 of the ids of each epoch.
    pub order_hashes: Vec<Digest>,
    /// The commitment's line in the index of its store.
    pub index: Option<IndexPlace>,
    /// Lines of that index when the certificate was made.
    pub promises: u64,
    /// Those of them without a run.
    pub abandoned: u64,
    /// Digest of its last line.
    pub head: Digest,
    /// Version of the promise: from 2 on it holds law and unit. None in certificates of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_version: Option<u32>,
    /// Whether every epoch was found to be what seed and law give. None in certificates of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows_from_seed: Option<bool>,
    /// Source and round of the public randomness that the promise named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacon_source: Option<String>,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// `palimpsest/certificate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// [`CERTIFICATE_VERSION`].
    pub version: u32,
    /// What this document is.
    pub about: String,
    /// What was tested.
    pub tested: Tested,
    /// Options fixed before looking.
    pub options: BTreeMap<String, Value>,
    /// The answer: the keys of `palimpsest provenance query --json`.
    pub finding: Value,
    /// The committed run behind the order; absent for plain files.
    pub origin: Option<Origin>,
    /// The answer in one sentence.
    pub headline: String,
    /// What the p-value means.
    pub meaning: Vec<String>,
    /// What it does not mean.
    pub limits: Vec<String>,
    /// Name and version of what computed the answer.
    pub software: BTreeMap<String, String>,
    /// SHA-256 of the canonical JSON of the fields above.
    pub digest: Digest,
    /// Signatures of the digest.
    pub signatures: Vec<Signature>,
}

/// What a certificate is made of; the rest follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// What was tested.
    pub tested: Tested,
    /// Options fixed before looking.
    pub options: BTreeMap<String, Value>,
    /// The answer.
    pub finding: Value,
    /// The committed run behind the order.
    pub origin: Option<Origin>,
    /// Name and version of what computed the answer.
    pub software: BTreeMap<String, String>,
}

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not JSON, or without the fields of a certificate.
    #[error("not a certificate: {0}")]
    NotOne(String),
    /// A newer Palimpsest wrote it.
    #[error(
        "certificate version {found}, but this build reads up to {CERTIFICATE_VERSION}; use a newer palimpsest"
    )]
    Newer {
        /// Its version.
        found: u64,
    },
    /// The answer lacks something, or has a value that no test gives.
    #[error("finding: {0}")]
    Finding(String),
    /// A number that JSON readers would change.
    #[error("{place} is {value}, which JSON readers round; integers must stay within 2^53")]
    Number {
        /// Where it stands.
        place: String,
        /// The number.
        value: String,
    },
    /// It cannot be written as JSON.
    #[error("the certificate cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Draft {
    /// The certificate, with words and digest.
    ///
    /// # Errors
    /// When the finding lacks a key or holds a number that no test gives, and for integers beyond 2^53.
    pub fn seal(self) -> Result<Certificate, CertificateError> {
        let view = FindingView::of(&self.finding)?;
        exact_integers("finding", &self.finding)?;
        for (name, value) in &self.options {
            exact_integers(&format!("options.{name}"), value)?;
        }
        let subject = Subject {
            finding: &view,
            origin: self.origin.as_ref(),
            of_runs: !self.tested.runs.is_empty(),
            promise: self.tested.promise.as_ref(),
            planned: planned(&self.options),
            version: CERTIFICATE_VERSION,
        };
        let mut certificate = Certificate {
            kind: TYPE.to_owned(),
            version: CERTIFICATE_VERSION,
            about: ABOUT.to_owned(),
            headline: words::headline(&view),
            meaning: words::meaning(&view),
            limits: words::limits(&subject),
            tested: self.tested,
            options: self.options,
            finding: self.finding,
            origin: self.origin,
            software: self.software,
            digest: Digest::of(b""),
            signatures: Vec::new(),
        };
        certificate.digest = certificate.recomputed_digest()?;
        Ok(certificate)
    }
}

impl Certificate {
    /// Adds a signature; one of the same key is replaced.
    pub fn sign(&mut self, key: &SecretKey) {
        let signature = Signature::make(key, Kind::Certificate, self.digest);
        self.signatures.retain(|other| other.public_key != signature.public_key);
        self.signatures.push(signature);
    }

    /// The bytes of the file: canonical JSON and a line end.
    ///
    /// # Errors
    /// When a value cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CertificateError> {
        let mut bytes = serde_json_canonicalizer::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads the fields; [`verify`] says whether they hold.
    ///
    /// # Errors
    /// When the bytes are no certificate, or one of a newer version.
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        let refuse = |error: serde_json::Error| CertificateError::NotOne(error.to_string());
        let value: Value = serde_json::from_slice(bytes).map_err(refuse)?;
        if value.get("type").and_then(Value::as_str) != Some(TYPE) {
            return Err(CertificateError::NotOne(format!("its field type is not {TYPE:?}")));
        }
        match value.get("version").and_then(Value::as_u64) {
            Some(0) => return Err(CertificateError::NotOne("there is no version 0".to_owned())),
            Some(found) if found > u64::from(CERTIFICATE_VERSION) => {
                return Err(CertificateError::Newer { found });
            }
            Some(_) => {}
            None => return Err(CertificateError::NotOne("it has no version".to_owned())),
        }
        serde_json::from_value(value).map_err(refuse)
    }

    /// The finding, typed.
    ///
    /// # Errors
    /// When it lacks a key or holds a number that no test gives.
    pub fn view(&self) -> Result<FindingView, CertificateError> {
        FindingView::of(&self.finding)
    }

    /// SHA-256 of the canonical JSON without digest and signatures.
    fn recomputed_digest(&self) -> Result<Digest, CertificateError> {
        let mut value = serde_json::to_value(self)?;
        if let Value::Object(fields) = &mut value {
            fields.remove("digest");
            fields.remove("signatures");
        }
        Ok(Digest::of_json(&value)?)
    }
}

/// Number of tests of the plan that was fixed beforehand, where there was one.
fn planned(options: &BTreeMap<String, Value>) -> Option<u64> {
    options.get("plan")?.get("tests")?.as_u64()
}

/// Refuses integers that canonical JSON, whose numbers are doubles, would round.
fn exact_integers(place: &str, value: &Value) -> Result<(), CertificateError> {
    match value {
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if size.is_some_and(|size| size > LARGEST_INTEGER) {
                let (place, value) = (place.to_owned(), number.to_string());
                return Err(CertificateError::Number { place, value });
            }
            Ok(())
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(at, item)| exact_integers(&format!("{place}[{at}]"), item)),
        Value::Object(fields) => fields
            .iter()
            .try_for_each(|(name, item)| exact_integers(&format!("{place}.{name}"), item)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
