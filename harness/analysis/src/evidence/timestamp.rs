//! Timestamps of an authority (RFC 3161): somebody else's word, under his signature, that a digest was there at a time.
//!
//! Checked are the response's status, the signature (CMS, RFC 5652) over its attributes, that these are of this content and
//! name this certificate (RFC 5816), that the certificate is one for timestamps and was valid at the time stated, and, where
//! authorities are given, that it descends from one of them. Paths and signatures are `webpki`'s and `ring`'s work.

mod certificate;
mod read;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use der::asn1::ObjectIdentifier;
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, VerifiedPath, ring as by};

use crate::calendar::moment;
use certificate::Certificate;
use ledger::digest::Digest;
use ledger::plain;
use read::{CertificateId, Signed};

/// Largest file that is read: a response with a chain of four certificates has some 7 kB, a bundle of authorities some 200.
const MOST_BYTES: u64 = 1 << 20;

/// Most certificates that may come along: of a chain there are two to four.
const MOST_CERTIFICATES: usize = 16;

/// 1.3.6.1.5.5.7.3.8, the use of certificates that sign timestamps, as `webpki` takes it.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];

/// Why a timestamp does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// It cannot be read from its file.
    #[error("cannot read {}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Not a timestamp at all.
    #[error(
        "it is no timestamp of RFC 3161 in DER, as `openssl ts` and authorities write it: {0} is malformed"
    )]
    NotOne(&'static str),
    /// So many certificates that looking for a path through them would take long.
    #[error("{0} certificates came along with it; at most {MOST_CERTIFICATES} are read")]
    Certificates(usize),
    /// The authority refused.
    #[error("the authority refused: its response has status {0} and holds no timestamp; ask again")]
    Refused(u8),
    /// An algorithm that is not read.
    #[error(
        "{what} is made by algorithm {name}; read are RSA (PKCS #1 v1.5, from 2048 bits) with SHA-256, SHA-384 or SHA-512, \
         ECDSA on P-256 or P-384 with SHA-256 or SHA-384, and digests of SHA-256"
    )]
    Algorithm {
        /// What.
        what: &'static str,
        /// Its identifier.
        name: String,
    },
    /// The certificate that the signature names is neither in it nor given.
    #[error(
        "the certificate of its signer is not in it; ask the authority for it (`openssl ts -query … -cert`), or give it \
         with the authority's"
    )]
    NoCertificate,
    /// Something that was signed is not what is there.
    #[error("{0}")]
    Changed(&'static str),
    /// The arithmetic does not hold.
    #[error("its signature was not made by {0}")]
    Signature(String),
    /// The signer is nobody who may.
    #[error("the certificate of {name} {fault}")]
    Certificate {
        /// Whose.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// It descends from none of the authorities, or by a way that does not hold.
    #[error("no valid chain leads from the certificate of {name} to an authority given: {reason}")]
    Chain {
        /// Whose.
        name: String,
        /// As the path was built.
        reason: String,
    },
}

/// What an authority stated.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Timestamp {
    /// SHA-256 that was there.
    pub imprint: Digest,
    /// When: seconds since 1970, fractions cut off.
    pub unix: u64,
    /// Subject of the signer's certificate.
    pub authority: String,
    /// Whether that certificate descends from an authority that was given.
    pub chain: bool,
}

/// When and by whom.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} UTC, says {}", moment(self.unix), self.authority)
    }
}

/// Certificates that the reader trusts, and others of theirs.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    certificates: Vec<CertificateDer<'static>>,
    /// Which of them may stand at the end of a path.
    roots: Vec<usize>,
}

impl Authorities {
    /// Reads certificates in PEM or one in DER; those of authorities are trusted.
    ///
    /// # Errors
    /// When the file cannot be read, or holds none of an authority.
    pub fn read(path: &Path) -> Result<Self, TimestampError> {
        let io = |reason: String| TimestampError::Io { path: path.to_owned(), reason };
        let bytes = bytes_of(path)?;
        let certificates = if bytes.starts_with(&[0x30]) {
            vec![CertificateDer::from(bytes)]
        } else {
            let all = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
            all.map_err(|error| io(format!("no certificates in PEM or DER: {error}")))?
        };
        let mut roots = Vec::new();
        for (at, certificate) in certificates.iter().enumerate() {
            let read = Certificate::of(certificate)
                .ok_or_else(|| io(format!("certificate {} cannot be read", at + 1)))?;
            if read.is_authority() {
                webpki::anchor_from_trusted_cert(certificate)
                    .map_err(|error| io(format!("certificate {}: {error}", at + 1)))?;
                roots.push(at);
            }
        }
        if roots.is_empty() {
            return Err(io(
                "it holds no certificate of an authority (CA:TRUE); ask the authority for its root"
                    .to_owned(),
            ));
        }
        Ok(Self { certificates, roots })
    }

    fn anchors(&self) -> Vec<TrustAnchor<'_>> {
        let roots = self.roots.iter().filter_map(|at| self.certificates.get(*at));
        roots.filter_map(|root| webpki::anchor_from_trusted_cert(root).ok()).collect()
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, TimestampError> {
    let io = |reason: String| TimestampError::Io { path: path.to_owned(), reason };
    let file = plain::open(path).map_err(|error| io(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| io(error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io(format!("it has more than {MOST_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Reads a timestamp, and checks all of it but what it is of.
///
/// # Errors
/// Naming what does not hold.
pub fn read(path: &Path, authorities: &Authorities) -> Result<Timestamp, TimestampError> {
    check(&bytes_of(path)?, authorities)
}

/// Checks the bytes of a response, or of the bare timestamp in it.
///
/// # Errors
/// Naming what does not hold.
pub fn check(bytes: &[u8], authorities: &Authorities) -> Result<Timestamp, TimestampError> {
    let signed = read::signed(bytes)?;
    let hash = algorithm("its imprint", &signed.info.algorithm)?;
    let imprint: Option<[u8; 32]> = signed.info.imprint.as_slice().try_into().ok();
    let imprint = imprint.filter(|_| hash == &SHA256).ok_or(TimestampError::Algorithm {
        what: "its imprint",
        name: signed.info.algorithm.to_string(),
    })?;

    let bytes = certificate_of(&signed, authorities)?;
    let bytes = CertificateDer::from(bytes);
    let certificate =
        Certificate::of(&bytes).ok_or(TimestampError::NotOne("the certificate of its signer"))?;
    let name = certificate.subject();
    let refuse = |fault: String| TimestampError::Certificate { name: name.clone(), fault };
    let signer =
        EndEntityCert::try_from(&bytes).map_err(|error| refuse(format!("is refused: {error}")))?;
    if !certificate.is_named(&signed.signer.id) {
        return Err(TimestampError::Changed(
            "its signature names another certificate as its signer's than the one that was signed",
        ));
    }
    check_signature(&signed, &signer, &name)?;
    certificate.check_use(signed.info.unix, moment).map_err(refuse)?;

    let anchors = authorities.anchors();
    let chain = !anchors.is_empty();
    if chain {
        // Those given stand at the end of a path, so that none of them is needed between.
        let between: Vec<_> =
            signed.certificates.iter().map(|bytes| CertificateDer::from(*bytes)).collect();
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(signed.info.unix));
        // Those between need not say what for.
        let purpose = KeyUsage::required_if_present(TIME_STAMPING);
        signer
            .verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &anchors,
                &between,
                time,
                purpose,
                None,
                Some(&check_issuers),
            )
            .map_err(|error| TimestampError::Chain {
                name: name.clone(),
                reason: chain_fault(&error),
            })?;
    }
    let Signed { info, .. } = signed;
    Ok(Timestamp { imprint: Digest(imprint), unix: info.unix, authority: name, chain })
}

/// Each certificate between may sign others, by its key's usage too (RFC 5280, 6.1.4 (n)), which `webpki` passes over.
fn check_issuers(path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
    let may = path.intermediate_certificates().all(|between| {
        Certificate::of(&between.der()).is_some_and(|certificate| certificate.signs_others())
    });
    if may { Ok(()) } else { Err(webpki::Error::EndEntityUsedAsCa) }
}

/// Why no path leads to an authority.
fn chain_fault(error: &webpki::Error) -> String {
    use webpki::Error;
    let reason = match error {
        Error::UnknownIssuer => "no certificate in it or given leads there",
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } => {
            "a certificate between was not valid at the time stated"
        }
        Error::EndEntityUsedAsCa => "a certificate between may not sign others",
        Error::InvalidSignatureForPublicKey => {
            "a certificate was signed by another than the one whose name it gives"
        }
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => {
            "the ways through its certificates are too many or too long"
        }
        other => return format!("by the rules of RFC 5280: {other}"),
    };
    reason.to_owned()
}

/// The certificate whose digest was signed: another one of the same name and number is not it.
fn certificate_of<'a>(
    signed: &Signed<'a>,
    authorities: &'a Authorities,
) -> Result<&'a [u8], TimestampError> {
    let inside = signed.certificates.iter().copied();
    let given = authorities.certificates.iter().map(AsRef::as_ref);
    let mut digests = Vec::new();
    for CertificateId { algorithm: of, digest } in &signed.signer.certificates {
        let hash = match of {
            Some(of) => algorithm("the name of its certificate", of)?,
            None => &SHA1_FOR_LEGACY_USE_ONLY,
        };
        digests.push((hash, *digest));
    }
    let mut all = inside.chain(given);
    let is_it =
        |bytes: &&[u8]| digests.iter().all(|(hash, of)| digest(hash, bytes).as_ref() == *of);
    all.find(is_it).ok_or(TimestampError::NoCertificate)
}

/// The attributes are of this content, and the certificate's key signed them.
fn check_signature(
    signed: &Signed<'_>,
    signer: &EndEntityCert<'_>,
    name: &str,
) -> Result<(), TimestampError> {
    let Signed { content, signer: by, .. } = signed;
    let hash = algorithm("the digest that was signed", &by.digest)?;
    if digest(hash, content).as_ref() != by.content_digest {
        let changed = "what it states is not what was signed: time, digest or number were changed";
        return Err(TimestampError::Changed(changed));
    }
    let schemes = schemes(hash, &by.algorithm).ok_or_else(|| TimestampError::Algorithm {
        what: "its signature",
        name: format!("{} with {}", by.algorithm, by.digest),
    })?;
    let verified = |scheme: &&dyn SignatureVerificationAlgorithm| {
        signer.verify_signature(*scheme, &by.attributes, by.signature).is_ok()
    };
    if schemes.iter().any(verified) {
        return Ok(());
    }
    Err(TimestampError::Signature(name.to_owned()))
}

fn algorithm(
    what: &'static str,
    name: &ObjectIdentifier,
) -> Result<&'static Algorithm, TimestampError> {
    const SHA: [(ObjectIdentifier, &Algorithm); 3] = [
        (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), &SHA256),
        (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), &SHA384),
        (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), &SHA512),
    ];
    let found = SHA.iter().find(|(known, _)| known == name).map(|(_, hash)| *hash);
    found.ok_or_else(|| TimestampError::Algorithm { what, name: name.to_string() })
}

/// What a signature's algorithm means beside a digest's: RSA may be named alone (RFC 3370) or with its digest, ECDSA with it,
/// and the curve is the key's.
fn schemes(
    hash: &'static Algorithm,
    name: &ObjectIdentifier,
) -> Option<&'static [&'static dyn SignatureVerificationAlgorithm]> {
    const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
    const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
    const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
    const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
    const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
    let [sha256, sha384, sha512] = [&SHA256, &SHA384, &SHA512].map(|known| hash == known);
    match *name {
        RSA | RSA_SHA256 if sha256 => Some(const { &[by::RSA_PKCS1_2048_8192_SHA256] }),
        RSA | RSA_SHA384 if sha384 => Some(const { &[by::RSA_PKCS1_2048_8192_SHA384] }),
        RSA | RSA_SHA512 if sha512 => Some(const { &[by::RSA_PKCS1_2048_8192_SHA512] }),
        ECDSA_SHA256 if sha256 => Some(const { &[by::ECDSA_P256_SHA256, by::ECDSA_P384_SHA256] }),
        ECDSA_SHA384 if sha384 => Some(const { &[by::ECDSA_P256_SHA384, by::ECDSA_P384_SHA384] }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
