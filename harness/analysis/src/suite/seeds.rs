//! Seeds of a suite: a count, a range or a list, never the same one twice.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Seeds in a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seeds(pub Vec<u64>);

impl Default for Seeds {
    fn default() -> Self {
        Self((0..5).collect())
    }
}

struct SeedsVisitor;

impl<'de> Visitor<'de> for SeedsVisitor {
    type Value = Seeds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seeds, a range a..b or a list of whole numbers")
    }

    /// A range, as the command line takes it.
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Seeds, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Seeds, E> {
        Seeds::count(count).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Seeds, A::Error> {
        let mut seeds = Vec::new();
        while let Some(seed) = seq.next_element()? {
            seeds.push(seed);
        }
        Seeds::list(seeds).map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Seeds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeedsVisitor)
    }
}

impl Seeds {
    /// Most seeds a suite may have.
    pub const MOST: u64 = 10_000;

    /// Seeds 0 to `count` − 1.
    ///
    /// # Errors
    /// When there are none or more than [`Seeds::MOST`].
    pub fn count(count: u64) -> Result<Self, String> {
        if (1..=Self::MOST).contains(&count) {
            Ok(Self((0..count).collect()))
        } else {
            Err(format!("seeds is {count}, but must be 1 to {}", Self::MOST))
        }
    }

    /// These seeds.
    ///
    /// # Errors
    /// When one is given twice or there are none: a repeated seed is a determinism check, never n.
    pub fn list(seeds: Vec<u64>) -> Result<Self, String> {
        let mut sorted = seeds.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!(
                "seed {} is given twice; a repeated seed never counts as n",
                pair[0]
            ));
        }
        if seeds.is_empty() {
            return Err("no seeds are given".to_owned());
        }
        Ok(Self(seeds))
    }
}

impl std::str::FromStr for Seeds {
    type Err = String;

    /// `5` (0 to 4), `0..5`, or `1,3,7`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.trim().parse::<u64>().map_err(|_| {
                format!(
                    "seeds \"{text}\" is not a count, a range a..b or a list a,b,c of whole numbers"
                )
            })
        };
        if let Some((low, high)) = text.split_once("..") {
            let (low, high) = (number(low)?, number(high)?);
            if high.saturating_sub(low) > Self::MOST {
                return Err(format!("seeds {text} are more than {}", Self::MOST));
            }
            return Self::list((low..high).collect());
        }
        if text.contains(',') {
            return Self::list(text.split(',').map(number).collect::<Result<_, _>>()?);
        }
        Self::count(number(text)?)
    }
}
