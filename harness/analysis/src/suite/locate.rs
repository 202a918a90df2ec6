//! Line and column of a value deep in a YAML text.
//!
//! `serde_yaml` gives positions only to errors raised while it reads; so the text is read again
//! with a visitor that walks to the value and raises an error on arrival.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// One step of a path into a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key of a map.
    Key(String),
    /// An index of a list.
    Index(usize),
}

/// Line and column of the value at `path`, or of the deepest part of the path that is there.
#[must_use]
pub fn locate(text: &str, path: &[Step]) -> (usize, usize) {
    for length in (0..=path.len()).rev() {
        let walker = Walker { path: &path[..length] };
        let outcome = walker.deserialize(serde_yaml::Deserializer::from_str(text));
        if let Err(error) = outcome
            && error.to_string().contains(HERE)
            && let Some(at) = error.location()
        {
            return (at.line(), at.column());
        }
    }
    (1, 1)
}

/// Marks the error that a [`Walker`] raises on arrival: serde_yaml adds the position.
const HERE: &str = "arrived at the value";

struct Walker<'p> {
    path: &'p [Step],
}

impl<'de> DeserializeSeed<'de> for Walker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walker<'_> {
    fn scalar<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.path.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Walker<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.path.is_empty() {
            return Err(serde::de::Error::custom(HERE));
        }
        let mut index = 0;
        loop {
            let more = match self.path.split_first() {
                Some((Step::Index(wanted), rest)) if *wanted == index => {
                    seq.next_element_seed(Walker { path: rest })?
                }
                _ => seq.next_element::<serde::de::IgnoredAny>()?.map(|_| ()),
            };
            if more.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if self.path.is_empty() {
            return Err(serde::de::Error::custom(HERE));
        }
        while let Some(key) = map.next_key::<serde_yaml::Value>()? {
            match self.path.split_first() {
                Some((Step::Key(wanted), rest)) if key.as_str() == Some(wanted) => {
                    map.next_value_seed(Walker { path: rest })?;
                }
                _ => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
