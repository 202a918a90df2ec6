//! YAML from strangers. A key that stands twice in a map is refused at its place. An alias (`*name`) costs
//! a few bytes and repeats all that its anchor holds, repetitions included: what a text of aliases says is
//! measured before anything is built from it. And the parser looks at every open bracket for every word.

mod keys;

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess,
    VariantAccess as _, Visitor,
};

/// Bytes that a text with aliases may say, besides [`REPEATED`] times its own length.
const ROOM: usize = 1 << 20;
/// How often a text may say all of itself.
const REPEATED: usize = 8;
/// Bytes that a value counts for besides its text.
const EACH: usize = 8;

/// Brackets that may be open at once, those in words and comments counted too.
const OPEN: usize = 1000;

/// Reads a value; a byte order mark in front is passed over.
///
/// # Errors
/// When the text is not YAML or not the shape of a `T`, is nested too deeply, a key stands twice in a
/// map, or its aliases repeat too much.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_yaml::Error> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > OPEN {
            let problem = format!("more than {OPEN} brackets are open at once");
            return Err(serde::de::Error::custom(problem));
        }
    }
    if text.contains('&') && text.contains('*') {
        let left = Cell::new(text.len().saturating_mul(REPEATED).saturating_add(ROOM));
        Measure(&left).deserialize(serde_yaml::Deserializer::from_str(text))?;
    }
    keys::check(text)?;
    serde_yaml::from_str(text)
}

/// Walks a document with its aliases followed, and stops where it says more than is left.
#[derive(Clone, Copy)]
struct Measure<'a>(&'a Cell<usize>);

impl Measure<'_> {
    fn take<E: serde::de::Error>(self, bytes: usize) -> Result<(), E> {
        let rest = self.0.get().checked_sub(bytes.saturating_add(EACH));
        self.0.set(rest.ok_or_else(|| E::custom("its aliases repeat too much; write it out"))?);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Measure<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Measure<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.take(0)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_i128<E: serde::de::Error>(self, _: i128) -> Result<(), E> {
        self.take(0)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_u128<E: serde::de::Error>(self, _: u128) -> Result<(), E> {
        self.take(0)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.take(0)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.take(text.len())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.take(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.take(0)?;
        while seq.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.take(0)?;
        while map.next_key_seed(self)?.is_some() {
            map.next_value_seed(self)?;
        }
        Ok(())
    }

    /// A value with a tag.
    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let (_, value) = data.variant::<serde::de::IgnoredAny>()?;
        value.newtype_variant_seed(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        from_str::<serde_yaml::Value>(text).unwrap_err().to_string()
    }

    #[test]
    fn aliases_that_repeat_a_little_are_read() {
        let text = "a: &a { lr: 0.1, on: [x, y] }\nb: [*a, *a, { d: *a }]\nc: !tag { x: *a }\n";
        let read: serde_yaml::Value = from_str(text).unwrap();
        assert_eq!(read["b"][1], read["a"]);
    }

    #[test]
    fn a_long_text_repeated_by_many_aliases_is_refused_before_it_is_built() {
        let many = |anchor: &str| format!("a: &a {anchor}\nb: [{}]\n", "*a, ".repeat(20_000));
        let long = many(&"x".repeat(20_000));
        assert!(refused(&long).contains("aliases repeat too much"), "{}", refused(&long));
        let list = many(&format!("[{}]", "1, ".repeat(5_000)));
        assert!(refused(&list).contains("aliases repeat too much"), "{}", refused(&list));
        let tagged = many(&format!("!x [{}]", "1, ".repeat(5_000)));
        assert!(refused(&tagged).contains("aliases repeat too much"), "{}", refused(&tagged));
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_and_a_key_given_twice_is_not() {
        let read: serde_yaml::Value = from_str("\u{FEFF}a: 1\n").unwrap();
        assert_eq!(read["a"], 1);
        assert!(refused("a: { b: 1, b: 2 }\n").contains("`b` is given twice"));
    }

    #[test]
    fn brackets_that_are_never_closed_are_refused_before_they_are_parsed() {
        let told = refused(&"[".repeat(300_000));
        assert!(told.contains("more than 1000 brackets"), "{told}");
        assert!(
            from_str::<serde_yaml::Value>(&"a: {b: [1]}\n".replace("1", &"[],".repeat(2000)))
                .is_ok()
        );
    }

    #[test]
    fn aliases_of_aliases_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let inner = format!("*a{}, ", level - 1).repeat(9);
            text += &format!("a{level}: &a{level} [{inner}]\n");
        }
        // By the parser's own limit, or by this one.
        let told = refused(&text);
        assert!(told.contains("repeat") || told.contains("repetition"), "{told}");
    }
}
