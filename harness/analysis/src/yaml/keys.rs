//! Keys of YAML maps, at every depth: one that stands twice would count once, the last time, and a
//! merge key would count not at all.

use std::collections::HashSet;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess,
    VariantAccess as _, Visitor,
};

/// Reads a document and refuses a key that its map has already, and merge keys.
///
/// # Errors
/// At the place of the key, or where the text is not YAML.
pub(super) fn check(text: &str) -> Result<(), serde_yaml::Error> {
    Values.deserialize(serde_yaml::Deserializer::from_str(text))
}

/// Walks values.
#[derive(Clone, Copy)]
struct Values;

impl<'de> DeserializeSeed<'de> for Values {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while map.next_key_seed(Key(&mut seen))?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    /// A value with a tag.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let (_, value) = data.variant::<IgnoredAny>()?;
        value.newtype_variant_seed(self)
    }
}

/// One key of a map, and those before it.
struct Key<'a>(&'a mut HashSet<String>);

impl Key<'_> {
    fn take<E: serde::de::Error>(self, key: String) -> Result<(), E> {
        if key == "<<" {
            return Err(E::custom("merge keys (`<<`) are not read; write the settings out"));
        }
        if self.0.contains(&key) {
            return Err(E::custom(format!(
                "`{key}` is given twice; the last one alone would count"
            )));
        }
        self.0.insert(key);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bool<E: serde::de::Error>(self, key: bool) -> Result<(), E> {
        self.take(key.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, key: i64) -> Result<(), E> {
        self.take(key.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, key: u64) -> Result<(), E> {
        self.take(key.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, key: f64) -> Result<(), E> {
        self.take(key.to_string())
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        self.take(key.to_owned())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.take("null".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    fn refused(text: &str) -> (usize, usize, String) {
        let error = check(text).unwrap_err();
        let at = error.location().unwrap();
        (at.line(), at.column(), error.to_string())
    }

    #[test]
    fn a_key_given_twice_is_refused_at_every_depth_at_its_place() {
        let (line, column, told) = refused("a: 1\nb: 2\na: 3\n");
        assert_eq!((line, column), (3, 1));
        assert!(told.contains("`a` is given twice"), "{told}");
        let (line, _, told) = refused("arms:\n  - { with: { lr: 0.05, lr: 0.5 } }\n");
        assert!(line == 2 && told.contains("`lr` is given twice"), "{told}");
        let (line, ..) = refused("s: { cosine: { floor: 0,\n floor: 1 } }\n");
        assert_eq!(line, 2);
        assert_eq!(refused("1: a\n1: b\n").0, 2);
    }

    #[test]
    fn a_merge_key_is_refused_at_its_line() {
        let (line, _, told) = refused("a: &a { lr: 1 }\nb:\n  <<: *a\n");
        assert!(line == 3 && told.contains("merge keys"), "{told}");
    }

    #[test]
    fn the_same_key_in_several_maps_is_fine() {
        assert!(check("a: { lr: 1 }\nb: { lr: 1 }\nc: [{ lr: 1 }, { lr: 2 }]\n").is_ok());
    }
}
