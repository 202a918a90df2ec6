//! In-toto statements about runs (in-toto Attestation Framework, Statement v1), alone or in a signed
//! envelope (DSSE v1.0), for tools that already know these forms.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::key::{PublicKey, SecretKey};
use ledger::digest::Digest;
use ledger::record::format::{Manifest, RunRecord};

/// `_type` of a statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// `predicateType` of ours; `docs/evidence.md` describes it.
pub const PREDICATE_TYPE: &str =
    "https://github.com/palimpsest-bench/palimpsest/attestations/order/v1";

/// `payloadType` of an envelope around a statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A signed envelope around a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The statement, base64.
    pub payload: String,
    /// [`PAYLOAD_TYPE`].
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// At least one.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeSignature {
    /// Id of the key: SHA-256 of its 32 bytes, hexadecimal.
    pub keyid: String,
    /// The signature, base64.
    pub sig: String,
}

/// Why an envelope does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Another type of content.
    #[error("the envelope holds {0:?}, not an in-toto statement")]
    PayloadType(String),
    /// Not base64.
    #[error("the envelope's {0} is not base64")]
    Base64(&'static str),
    /// Not a JSON statement.
    #[error("the payload is no in-toto statement: {0}")]
    Statement(String),
    /// No signature by this key holds.
    #[error("key {} did not sign this envelope", .0.short(16))]
    NotSigned(Digest),
}

/// The statement of a run: its files by digest, and what it promised and did about its order. The
/// seed itself is left out: it is in the record, and a statement may be published before it.
///
/// `subject` names are paths below the run folder; `manifest.json` stands for all of them.
#[must_use]
pub fn statement(record: &RunRecord, manifest: &Manifest, run_digest: &Digest) -> Value {
    let subject =
        |name: &str, digest: &Digest| json!({ "name": name, "digest": { "sha256": digest } });
    let files = manifest.files.iter().map(|file| subject(&file.path, &file.sha256));
    let subjects: Vec<Value> = files.chain([subject("manifest.json", run_digest)]).collect();
    let order = record.order.as_ref().map(|order| {
        json!({
            "version": order.version,
            "law": order.law,
            "unit": order.unit,
            "randomness": order.randomness,
            "examples": order.examples,
            "beacon": order.beacon,
            "seedCommit": order.seed_commit,
            "datasetRoot": order.dataset_root,
            "configHash": order.config_hash,
            "epochsPlanned": order.epochs_planned,
            "commitment": order.commitment,
            "index": order.index,
            "chain": order.chain.last(),
            "epochs": order.epochs.iter().map(|epoch| json!({
                "epoch": epoch.epoch,
                "n": epoch.n,
                "orderHash": epoch.order_hash,
                "orderRoot": epoch.order_root,
            })).collect::<Vec<_>>(),
        })
    });
    let mut statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": subjects,
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "run": record.cell,
            "runDigest": run_digest,
            "workload": record.workload,
            "method": record.method,
            "status": record.status,
            "lineage": record.lineage,
            "parameters": record.parameters_sha256,
            "palimpsest": record.environment.palimpsest,
            "codeDigest": record.environment.code_digest,
            "order": order,
        },
    });
    if let Some(told) = &record.external {
        statement["predicate"]["external"] = json!(told);
        // What nobody but the program saw.
        statement["predicate"]["told"] = match record.own_task() {
            Some(task) => {
                json!({ "workload": task.name, "what": ["consumption", "data", "metrics"] })
            }
            None => json!({ "what": ["consumption"] }),
        };
    }
    statement
}

impl Envelope {
    /// Puts a statement into a signed envelope.
    ///
    /// # Errors
    /// When the statement cannot be written as JSON.
    pub fn sign(statement: &Value, key: &SecretKey) -> Result<Self, serde_json::Error> {
        let payload = serde_json_canonicalizer::to_vec(statement)?;
        let signature = key.sign(&pre_authentication(PAYLOAD_TYPE, &payload));
        Ok(Self {
            payload: Base64::encode_string(&payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![EnvelopeSignature {
                keyid: key.public().id().to_string(),
                sig: Base64::encode_string(&signature),
            }],
        })
    }

    /// The statement inside, after a check that `key` signed it. Key ids are hints and not believed.
    ///
    /// # Errors
    /// Naming what does not hold.
    pub fn open(&self, key: &PublicKey) -> Result<Value, EnvelopeError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(self.payload_type.clone()));
        }
        let payload =
            Base64::decode_vec(&self.payload).map_err(|_| EnvelopeError::Base64("payload"))?;
        let message = pre_authentication(&self.payload_type, &payload);
        let holds = |signature: &EnvelopeSignature| {
            let bytes =
                Base64::decode_vec(&signature.sig).ok().and_then(|bytes| bytes.try_into().ok());
            bytes.is_some_and(|bytes| key.verifies(&message, &bytes))
        };
        if !self.signatures.iter().any(holds) {
            return Err(EnvelopeError::NotSigned(key.id()));
        }
        let statement: Value = serde_json::from_slice(&payload)
            .map_err(|error| EnvelopeError::Statement(error.to_string()))?;
        match statement.get("_type").and_then(Value::as_str) {
            Some(STATEMENT_TYPE) => Ok(statement),
            found => Err(EnvelopeError::Statement(format!("_type is {found:?}"))),
        }
    }
}

/// DSSE's pre-authentication encoding: what is signed.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_dsse_protocol() {
        // The test vector of the protocol text.
        let encoded = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn an_envelope_opens_for_the_key_that_signed_it_and_no_other() {
        let [key, other] = [1, 2].map(|byte| SecretKey::from_seed(&[byte; 32]));
        let statement = json!({ "_type": STATEMENT_TYPE, "subject": [] });
        let envelope = Envelope::sign(&statement, &key).unwrap();
        assert_eq!(envelope.open(&key.public()).unwrap(), statement);
        let refused = EnvelopeError::NotSigned(other.public().id());
        assert_eq!(envelope.open(&other.public()), Err(refused));
        let mut changed = envelope.clone();
        changed.payload = Base64::encode_string(b"{\"_type\":\"x\"}");
        assert!(matches!(changed.open(&key.public()), Err(EnvelopeError::NotSigned(_))));
        changed.payload = "*".to_owned();
        assert_eq!(changed.open(&key.public()), Err(EnvelopeError::Base64("payload")));
        changed.payload_type = "text/plain".to_owned();
        assert!(matches!(changed.open(&key.public()), Err(EnvelopeError::PayloadType(_))));
        let no_statement = Envelope::sign(&json!({ "_type": "x" }), &key).unwrap();
        assert!(matches!(no_statement.open(&key.public()), Err(EnvelopeError::Statement(_))));
    }
}
