//! SHA-256 digests and the canonical JSON (RFC 8785) they are taken over.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; shown and serialised as 64 lower-case hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal characters, found {found:?}")]
pub struct ParseDigestError {
    /// The text as given.
    pub found: String,
}

impl Digest {
    /// SHA-256 of one byte string.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of the concatenation of `parts`.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// SHA-256 of the canonical JSON (RFC 8785) of `value`.
    ///
    /// # Errors
    /// When `value` has a map with keys that are not strings, or a number JSON cannot hold.
    pub fn of_json<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::of(&serde_json_canonicalizer::to_vec(value)?))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first `characters` hexadecimal characters, for people and for cell ids.
    #[must_use]
    pub fn short(&self, characters: usize) -> String {
        let mut text = self.to_string();
        text.truncate(characters);
        text
    }
}

/// Bytes read at a time: large enough for the disk, small enough for the second-level cache.
const READ_AT_ONCE: usize = 256 * 1024;

/// Length and SHA-256 of all that a reader gives, without holding it.
///
/// # Errors
/// When it cannot be read.
pub fn of_reader(source: &mut impl Read) -> io::Result<(u64, Digest)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_AT_ONCE];
    let mut length = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok((length, Digest(hasher.finalize().into()))),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex32(text).map(Self)
    }
}

/// Parses exactly 64 hexadecimal characters into 32 bytes.
///
/// # Errors
/// When the text has another length or another character.
pub fn parse_hex32(text: &str) -> Result<[u8; 32], ParseDigestError> {
    let refuse = || ParseDigestError { found: text.to_owned() };
    let nibble = |byte: u8| char::from(byte).to_digit(16).ok_or_else(refuse);
    if text.len() != 64 {
        return Err(refuse());
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = *pair else { return Err(refuse()) };
        *byte = u8::try_from(nibble(high)? << 4 | nibble(low)?).map_err(|_| refuse())?;
    }
    Ok(bytes)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_abc_is_the_fips_180_4_example() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), expected);
        assert_eq!(Digest::of_parts(&[b"a", b"", b"bc"]), expected.parse().unwrap());
    }

    #[test]
    fn a_reader_is_hashed_to_its_end() {
        let bytes = vec![7; 2 * READ_AT_ONCE + 5];
        let (length, digest) = of_reader(&mut bytes.as_slice()).unwrap();
        assert_eq!((length, digest), (bytes.len() as u64, Digest::of(&bytes)));
    }

    #[test]
    fn a_number_comes_back_from_json_as_it_was_written() {
        // Without serde_json's `float_roundtrip` about one in ten of these is off by a bit.
        for bits in 0..1000_u64 {
            let number = f64::from_bits(0x3fb9_9999_9999_999a + bits * 0x0000_0123_4567_89ab);
            let text = serde_json::to_string(&number).unwrap();
            assert_eq!(serde_json::from_str::<f64>(&text).unwrap().to_bits(), number.to_bits());
        }
    }

    #[test]
    fn canonical_json_does_not_depend_on_key_order_or_number_spelling() {
        let one: serde_json::Value = serde_json::from_str(r#"{"b": 1.0, "a": [1e2]}"#).unwrap();
        let two: serde_json::Value = serde_json::from_str(r#"{"a":[100],"b":1}"#).unwrap();
        assert_eq!(Digest::of_json(&one).unwrap(), Digest::of_json(&two).unwrap());
    }

    #[test]
    fn a_digest_of_the_wrong_length_or_alphabet_is_refused() {
        for text in ["", "ab", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>().unwrap_err().found, text);
        }
    }
}
