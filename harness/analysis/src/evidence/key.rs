//! Ed25519 keys (RFC 8032) in the files that other tools read: PEM of PKCS#8 for the secret key and of
//! SubjectPublicKeyInfo for the public one (RFC 8410), as `openssl genpkey -algorithm ed25519` writes
//! them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    KeypairBytes,
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use ledger::digest::Digest;
use ledger::record::writer;

/// Largest key file that is read: a PEM of either kind has some hundred bytes.
const MOST_BYTES: u64 = 16 * 1024;

/// Why a key cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key is never overwritten: what it signed could not be checked any more.
    #[error("{} is there already and a key is never overwritten; choose another name", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not a key of this kind.
    #[error("{} is not an ed25519 {what} in PEM form ({reason}); `palimpsest keygen` makes one", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// Which kind was expected.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// The key that signs; kept to oneself.
pub struct SecretKey(SigningKey);

/// The key that others check signatures with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl SecretKey {
    /// The key of 32 random bytes, which the caller draws from the operating system.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message: 64 bytes, the same for the same key and message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Writes the key as PEM of PKCS#8, readable by its owner only.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        // Without the public key inside: OpenSSL refuses the newer form that has it.
        let bytes = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(|error| KeyError::NotAKey {
            path: path.to_owned(),
            what: "secret key",
            reason: error.to_string(),
        })?;
        write_new(path, pem.as_bytes(), 0o600)
    }

    /// Reads a key written by [`SecretKey::write`] or by OpenSSL.
    ///
    /// # Errors
    /// When the file cannot be read or is no secret key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = read_text(path, "secret key")?;
        SigningKey::from_pkcs8_pem(&text).map(Self).map_err(|error| KeyError::NotAKey {
            path: path.to_owned(),
            what: "secret key",
            reason: error.to_string(),
        })
    }
}

/// Shows which key it is, never the key.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().id())
    }
}

impl PublicKey {
    /// The key of 32 bytes (RFC 8032).
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Name of the key: SHA-256 of its 32 bytes.
    #[must_use]
    pub fn id(&self) -> Digest {
        Digest::of(&self.to_bytes())
    }

    /// Whether `signature` is this key's for `message`. Keys and points of small order, under which
    /// one signature holds for many messages, are refused.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }

    /// Writes the key as PEM of SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let pem = self.0.to_public_key_pem(LineEnding::LF).map_err(|error| KeyError::NotAKey {
            path: path.to_owned(),
            what: "public key",
            reason: error.to_string(),
        })?;
        write_new(path, pem.as_bytes(), 0o644)
    }

    /// Reads a key written by [`PublicKey::write`] or by OpenSSL.
    ///
    /// # Errors
    /// When the file cannot be read or is no public key; a secret key given by mistake is named.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = read_text(path, "public key")?;
        let refuse = |reason: String| KeyError::NotAKey {
            path: path.to_owned(),
            what: "public key",
            reason,
        };
        if text.contains("PRIVATE KEY") {
            return Err(refuse(
                "it is a secret key: give the public one, and never send this".into(),
            ));
        }
        let key =
            VerifyingKey::from_public_key_pem(&text).map_err(|error| refuse(error.to_string()))?;
        if key.is_weak() {
            return Err(refuse("a key of small order, under which anybody can sign".into()));
        }
        Ok(Self(key))
    }
}

fn read_text(path: &Path, what: &'static str) -> Result<String, KeyError> {
    let io = |source| KeyError::Io { action: "read", path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(io)?.len();
    if bytes > MOST_BYTES {
        let reason = format!("it has {bytes} bytes");
        return Err(KeyError::NotAKey { path: path.to_owned(), what, reason });
    }
    String::from_utf8(fs::read(path).map_err(io)?).map_err(|_| KeyError::NotAKey {
        path: path.to_owned(),
        what,
        reason: "it is not text".to_owned(),
    })
}

/// Writes a file that must be new, with these permissions from its first byte on.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    writer::write_new(path, bytes, mode).map_err(|source| {
        if source.kind() == std::io::ErrorKind::AlreadyExists {
            KeyError::Exists { path: path.to_owned() }
        } else {
            KeyError::Io { action: "write", path: path.to_owned(), source }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let bytes = (0..N).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap());
        bytes.collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_vectors_of_rfc_8032() {
        // Section 7.1, tests 1 to 3: secret key, public key, message, signature.
        let vectors = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                &b""[..],
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                &[0x72],
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                &[0xaf, 0x82],
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ];
        for (secret, public, message, signature) in vectors {
            let key = SecretKey::from_seed(&hex(secret));
            assert_eq!(key.public().to_bytes(), hex::<32>(public));
            assert_eq!(key.sign(message), hex::<64>(signature));
            assert!(key.public().verifies(message, &hex(signature)));
            assert!(!key.public().verifies(b"another", &hex(signature)));
        }
    }

    #[test]
    fn keys_come_back_from_their_files_and_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let [secret, public] = ["key.pem", "key.pub.pem"].map(|name| folder.path().join(name));
        let key = SecretKey::from_seed(&[7; 32]);
        key.write(&secret).unwrap();
        key.public().write(&public).unwrap();
        assert_eq!(SecretKey::read(&secret).unwrap().sign(b"x"), key.sign(b"x"));
        assert_eq!(PublicKey::read(&public).unwrap(), key.public());
        let before = fs::read(&secret).unwrap();
        let again = SecretKey::from_seed(&[8; 32]).write(&secret);
        assert!(matches!(again, Err(KeyError::Exists { .. })), "{again:?}");
        assert_eq!(fs::read(&secret).unwrap(), before);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_key_of_the_example_of_rfc_8410_is_read() {
        // Section 10.3, the first example; its public key is that of section 10.1.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let text = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        fs::write(&path, text).unwrap();
        let key = SecretKey::read(&path).unwrap();
        let expected = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert_eq!(key.public().to_bytes(), hex::<32>(expected));
        // What is written is the same form.
        let again = folder.path().join("again.pem");
        key.write(&again).unwrap();
        assert_eq!(fs::read_to_string(again).unwrap(), text);
    }

    #[test]
    fn files_that_hold_no_such_key_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        for text in
            ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "ssh-ed25519 AAAA"]
        {
            fs::write(&path, text).unwrap();
            for error in [SecretKey::read(&path).unwrap_err(), PublicKey::read(&path).unwrap_err()]
            {
                let text = error.to_string();
                assert!(text.contains("key.pem is not an ed25519 "), "{text}");
                assert!(text.contains("keygen"), "{text}");
            }
        }
        fs::write(&path, vec![b'a'; 20_000]).unwrap();
        assert!(PublicKey::read(&path).unwrap_err().to_string().contains("20000 bytes"));
        fs::remove_file(&path).unwrap();
        SecretKey::from_seed(&[1; 32]).write(&path).unwrap();
        assert!(PublicKey::read(&path).unwrap_err().to_string().contains("it is a secret key"));
        assert!(PublicKey::read(Path::new("no/key")).unwrap_err().to_string().contains("no/key"));
    }

    #[test]
    fn a_secret_key_does_not_show_itself() {
        let key = SecretKey::from_seed(&[9; 32]);
        let shown = format!("{key:?}");
        assert!(
            shown.contains(&key.public().id().to_string()) && !shown.contains("0909"),
            "{shown}"
        );
    }
}
