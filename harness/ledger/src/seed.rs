//! The seed of a run: where its randomness came from, how it is committed to before it is shown,
//! and the effective seed every order and stream grows from (order contract, version 1).

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// Who chose the seed, and therefore what a p-value computed from the order means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Randomness {
    /// Expanded from a small integer that anybody can write down: p-values are simulations.
    Fixed,
    /// Drawn from the operating system, unknown to everybody before the run.
    Os,
    /// Public randomness of a source and round that the promise named, published after it.
    Beacon,
}

/// A 32-byte seed with the nonce that hides it inside its commitment until it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed {
    /// The seed itself.
    pub bytes: [u8; 32],
    /// Where the seed came from.
    pub randomness: Randomness,
    /// Blinds [`Seed::commit`].
    pub nonce: [u8; 32],
    /// Public randomness published after the commitment and mixed into the effective seed.
    pub beacon: Option<Vec<u8>>,
    /// Where the beacon comes from, and its round, when the promise names them: a promise without
    /// them leaves free which of many beacons is taken.
    pub beacon_source: Option<String>,
}

impl Seed {
    /// Expands the integer of `--seeds` to SHA-256("palimpsest/seed/v1" || k u64 LE).
    ///
    /// The nonce is SHA-256("palimpsest/nonce/v1" || seed): a public seed has nothing to hide, and
    /// a derived nonce keeps the records of a fixed seed identical from run to run.
    #[must_use]
    pub fn from_integer(k: u64) -> Self {
        let Digest(bytes) = Digest::of_parts(&[b"palimpsest/seed/v1", &k.to_le_bytes()]);
        let Digest(nonce) = Digest::of_parts(&[b"palimpsest/nonce/v1", &bytes]);
        Self { bytes, randomness: Randomness::Fixed, nonce, beacon: None, beacon_source: None }
    }

    /// Draws 32 bytes of seed, then 32 bytes of nonce, from `source`: the operating system's
    /// random number generator, which the caller opens.
    ///
    /// # Errors
    /// When the source cannot fill either buffer.
    pub fn attested(source: &mut dyn FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        let mut bytes = [0; 32];
        let mut nonce = [0; 32];
        source(&mut bytes)?;
        source(&mut nonce)?;
        Ok(Self { bytes, randomness: Randomness::Os, nonce, beacon: None, beacon_source: None })
    }

    /// The text that identifies the seed called `name`: with a beacon it is another seed.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        match &self.beacon {
            None => name.to_owned(),
            Some(beacon) => format!("{name}+{}", hex(beacon)),
        }
    }

    /// The commitment to this seed: SHA-256(nonce || seed). The beacon is public and not in it.
    #[must_use]
    pub fn commit(&self) -> Digest {
        Digest::of_parts(&[&self.nonce, &self.bytes])
    }

    /// What orders and streams are derived from: the seed, or with a beacon
    /// SHA-256(seed || dataset root || beacon).
    #[must_use]
    pub fn effective(&self, dataset_root: &Digest) -> [u8; 32] {
        match &self.beacon {
            None => self.bytes,
            Some(beacon) => {
                Digest::of_parts(&[&self.bytes, dataset_root.as_bytes(), beacon.as_slice()]).0
            }
        }
    }
}

/// Reads source and round of a beacon, as people write them: `drand quicknet, round 4000000`.
///
/// # Errors
/// When the text is empty, longer than 200 characters, or not printable ASCII.
pub fn parse_beacon_source(text: &str) -> Result<String, String> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if text.trim().is_empty() || text.len() > 200 || !printable {
        return Err(format!(
            "beacon source {text:?} is not a line of 1 to 200 printable ASCII characters, as in \
             \"drand quicknet, round 4000000\""
        ));
    }
    Ok(text.to_owned())
}

/// Shows the commitment, never the seed: an attested seed must not leak through a log line.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Seed")
            .field("randomness", &self.randomness)
            .field("commit", &self.commit())
            .finish_non_exhaustive()
    }
}

/// Bytes as lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a public beacon from hexadecimal.
///
/// # Errors
/// When the text is empty or not whole bytes of hexadecimal.
pub fn parse_beacon(text: &str) -> Result<Vec<u8>, String> {
    let refuse = || format!("beacon {text:?} is not whole bytes of hexadecimal");
    let nibbles: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let (pairs, rest) = nibbles.as_ref().ok_or_else(refuse)?.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(refuse());
    }
    pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).map_err(|_| refuse())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_seeds_expand_as_the_contract_says() {
        let seed = Seed::from_integer(1);
        let text = b"palimpsest/seed/v1\x01\0\0\0\0\0\0\0";
        assert_eq!(seed.bytes, Digest::of(text).0);
        assert_eq!(seed.randomness, Randomness::Fixed);
        assert_ne!(seed.bytes, Seed::from_integer(0).bytes);
        assert_eq!(seed, Seed::from_integer(1));
    }

    #[test]
    fn the_commitment_covers_seed_and_nonce() {
        let seed = Seed::from_integer(3);
        let mut other = seed.clone();
        other.nonce[31] ^= 1;
        assert_ne!(seed.commit(), other.commit());
        let mut other = seed.clone();
        other.bytes[0] ^= 1;
        assert_ne!(seed.commit(), other.commit());
    }

    #[test]
    fn an_attested_seed_takes_seed_and_nonce_from_the_source_in_that_order() {
        let mut next = 0_u8;
        let seed = Seed::attested(&mut |buffer| {
            buffer.fill(next);
            next += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((seed.bytes, seed.nonce), ([0; 32], [1; 32]));
        assert_eq!(seed.randomness, Randomness::Os);
    }

    #[test]
    fn a_source_that_fails_gives_no_seed() {
        let mut calls = 0;
        let result = Seed::attested(&mut |_| {
            calls += 1;
            if calls == 2 { Err(io::Error::other("no entropy")) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err().to_string(), "no entropy");
    }

    #[test]
    fn a_beacon_binds_the_effective_seed_to_the_dataset_and_to_itself() {
        let root = Digest::of(b"root");
        let mut seed = Seed::from_integer(0);
        assert_eq!(seed.effective(&root), seed.bytes);
        seed.beacon = Some(b"round 1".to_vec());
        let with_beacon = seed.effective(&root);
        assert_ne!(with_beacon, seed.bytes);
        assert_ne!(with_beacon, seed.effective(&Digest::of(b"other root")));
        seed.beacon = Some(b"round 2".to_vec());
        assert_ne!(with_beacon, seed.effective(&root));
    }

    #[test]
    fn debug_output_does_not_contain_the_seed() {
        let seed = Seed::from_integer(0);
        let shown = format!("{seed:?}");
        assert!(shown.contains(&seed.commit().to_string()));
        assert!(!shown.contains(&Digest(seed.bytes).to_string()));
    }
}
