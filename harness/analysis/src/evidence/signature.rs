//! Detached signatures over digests: of a run (its manifest), of a certificate, of any file.
//!
//! What is signed is the text `palimpsest/signature/v1`, a line end, the kind, a line end, the digest
//! in hexadecimal and a line end: a signature of one kind never passes for another's, and
//! `openssl pkeyutl -verify -rawin` can check it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::key::{PublicKey, SecretKey};
use ledger::digest::{Digest, parse_hex32};
use ledger::seed::hex;

/// Version that this build writes and reads.
pub const SIGNATURE_VERSION: u32 = 1;

/// What a digest is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The manifest of a run: its run digest.
    Run,
    /// The canonical JSON of a certificate without digest and signatures.
    Certificate,
    /// The bytes of a file.
    File,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Run => "run",
            Self::Certificate => "certificate",
            Self::File => "file",
        })
    }
}

/// A signature as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// [`SIGNATURE_VERSION`].
    pub version: u32,
    /// Always `ed25519`.
    pub algorithm: String,
    /// What was signed.
    pub kind: Kind,
    /// Its digest.
    pub digest: Digest,
    /// The key's 32 bytes, hexadecimal.
    pub public_key: String,
    /// 64 bytes, hexadecimal.
    pub signature: String,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Another version or algorithm.
    #[error(
        "signature of version {version} by {algorithm:?}; this build reads version 1 by \"ed25519\""
    )]
    Unknown {
        /// Its version.
        version: u32,
        /// Its algorithm.
        algorithm: String,
    },
    /// For another kind of thing.
    #[error("it signs a {found}, not a {expected}")]
    Kind {
        /// What was to be checked.
        expected: Kind,
        /// What it signs.
        found: Kind,
    },
    /// For another thing of the kind.
    #[error("it signs {found}, but the digest here is {expected}: what was signed has changed")]
    Digest {
        /// Digest of what was to be checked.
        expected: Digest,
        /// What it signs.
        found: Digest,
    },
    /// Not hexadecimal of the right length, or no point of the curve.
    #[error("its {what} is malformed")]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// The arithmetic does not hold.
    #[error("it was not made by key {}", key.short(16))]
    Wrong {
        /// Id of the key it names.
        key: Digest,
    },
}

impl Signature {
    /// Signs a digest.
    #[must_use]
    pub fn make(key: &SecretKey, kind: Kind, digest: Digest) -> Self {
        Self {
            version: SIGNATURE_VERSION,
            algorithm: "ed25519".to_owned(),
            kind,
            digest,
            public_key: hex(&key.public().to_bytes()),
            signature: hex(&key.sign(&message(kind, &digest))),
        }
    }

    /// The key that signed, when this is its signature of the thing with this digest. Whether the
    /// key belongs to whom the reader believes is another question.
    ///
    /// # Errors
    /// Naming what does not hold.
    pub fn check(&self, kind: Kind, digest: &Digest) -> Result<PublicKey, SignatureError> {
        if self.version != SIGNATURE_VERSION || self.algorithm != "ed25519" {
            let (version, algorithm) = (self.version, self.algorithm.clone());
            return Err(SignatureError::Unknown { version, algorithm });
        }
        if self.kind != kind {
            return Err(SignatureError::Kind { expected: kind, found: self.kind });
        }
        if self.digest != *digest {
            return Err(SignatureError::Digest { expected: *digest, found: self.digest });
        }
        let key =
            parse_hex32(&self.public_key).ok().and_then(|bytes| PublicKey::from_bytes(&bytes));
        let key = key.ok_or(SignatureError::Malformed { what: "public key" })?;
        let signature =
            parse_hex64(&self.signature).ok_or(SignatureError::Malformed { what: "signature" })?;
        if key.verifies(&message(kind, digest), &signature) {
            Ok(key)
        } else {
            Err(SignatureError::Wrong { key: key.id() })
        }
    }
}

/// Where the signature of a file lies: beside it, with `.sig.json` added to its name.
#[must_use]
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".sig.json");
    file.with_file_name(name)
}

/// The bytes that are signed.
fn message(kind: Kind, digest: &Digest) -> Vec<u8> {
    format!("palimpsest/signature/v1\n{kind}\n{digest}\n").into_bytes()
}

fn parse_hex64(text: &str) -> Option<[u8; 64]> {
    let (left, right) = text.split_at_checked(64)?;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&parse_hex32(left).ok()?);
    bytes[32..].copy_from_slice(&parse_hex32(right).ok()?);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> (Signature, Digest) {
        let digest = Digest::of(b"manifest");
        (Signature::make(&SecretKey::from_seed(&[3; 32]), Kind::Run, digest), digest)
    }

    #[test]
    fn a_signature_names_the_key_that_made_it() {
        let (signature, digest) = signed();
        let key = signature.check(Kind::Run, &digest).unwrap();
        assert_eq!(key, SecretKey::from_seed(&[3; 32]).public());
        let json = serde_json::to_string(&signature).unwrap();
        assert_eq!(serde_json::from_str::<Signature>(&json).unwrap(), signature);
    }

    #[test]
    fn a_signature_holds_for_one_kind_and_one_digest() {
        let (mut signature, digest) = signed();
        let other = Digest::of(b"another");
        assert!(matches!(signature.check(Kind::Run, &other), Err(SignatureError::Digest { .. })));
        assert!(matches!(
            signature.check(Kind::Certificate, &digest),
            Err(SignatureError::Kind { .. })
        ));
        // Saying that it signs another kind, or another digest, does not make it so.
        signature.kind = Kind::File;
        assert!(matches!(signature.check(Kind::File, &digest), Err(SignatureError::Wrong { .. })));
        signature.kind = Kind::Run;
        signature.digest = other;
        assert!(matches!(signature.check(Kind::Run, &other), Err(SignatureError::Wrong { .. })));
    }

    #[test]
    fn every_changed_character_of_a_signature_is_found() {
        let (signature, digest) = signed();
        for at in 0..128 {
            let mut changed = signature.clone();
            let flipped = if &changed.signature[at..=at] == "0" { "1" } else { "0" };
            changed.signature.replace_range(at..=at, flipped);
            assert!(changed.check(Kind::Run, &digest).is_err(), "character {at}");
        }
        let another = SecretKey::from_seed(&[4; 32]).public();
        let swapped = Signature { public_key: hex(&another.to_bytes()), ..signature };
        let wrong = SignatureError::Wrong { key: another.id() };
        assert_eq!(swapped.check(Kind::Run, &digest), Err(wrong));
    }

    #[test]
    fn malformed_parts_are_named() {
        let (signature, digest) = signed();
        let cases = [
            (Signature { version: 2, ..signature.clone() }, "version 2"),
            (Signature { algorithm: "rsa".into(), ..signature.clone() }, "\"rsa\""),
            (Signature { public_key: "00".into(), ..signature.clone() }, "public key is malformed"),
            (Signature { signature: "é".repeat(64), ..signature }, "signature is malformed"),
        ];
        for (broken, part) in cases {
            let text = broken.check(Kind::Run, &digest).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_file_s_signature_lies_beside_it() {
        assert_eq!(beside(Path::new("a/b.npy")), Path::new("a/b.npy.sig.json"));
    }
}
