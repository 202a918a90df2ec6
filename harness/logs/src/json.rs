//! JSON as Python writes it: `NaN` and `Infinity` stand for numbers that JSON has no word for. And maps in
//! which a name that stands twice is an error, where a plain reader would drop one of the two.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

use crate::wrong::{At, Wrong};

/// A text in which `none` stands for each number that JSON has no word for.
fn plain<'a>(text: &'a str, none: &str) -> Cow<'a, str> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let (mut rest, mut in_text) = (text, false);
    while let Some(c) = rest.chars().next() {
        if in_text && c == '\\' {
            // The escaped character, whichever it is, ends nothing.
            let length = c.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8);
            plain.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        if let Some(word) = WORDS.iter().find(|word| !in_text && rest.starts_with(**word)) {
            plain.push_str(none);
            rest = &rest[word.len()..];
            continue;
        }
        in_text ^= c == '"';
        plain.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(plain)
}

/// Reads a document; `line` is the number of its first line. Numbers that JSON has no word for are `null`.
pub(crate) fn read<T: DeserializeOwned>(file: &str, line: u64, text: &str) -> Result<T, Wrong> {
    parse(file, line, &plain(text, "null"))
}

/// The same, where `null` says something else: such numbers are the text `NaN`.
pub(crate) fn read_words<T: DeserializeOwned>(
    file: &str,
    line: u64,
    text: &str,
) -> Result<T, Wrong> {
    parse(file, line, &plain(text, "\"NaN\""))
}

fn parse<T: DeserializeOwned>(file: &str, line: u64, text: &str) -> Result<T, Wrong> {
    serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        let line = line + (error.line() as u64).saturating_sub(1);
        Wrong::at(file, At::Line(line), crate::wrong::shown(reason, 300))
    })
}

/// The pairs of a map, in their order; each name stands once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pairs<T>(pub(crate) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Each<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs: Vec<(String, T)> = Vec::new();
                let mut seen = std::collections::BTreeSet::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if !seen.insert(name.clone()) {
                        let message = format!("\"{name}\" is given twice; leave one out");
                        return Err(A::Error::custom(message));
                    }
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Each(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_has_no_word_for_are_null_and_texts_stay() {
        let text = r#"{"a": NaN, "NaN\"": [-Infinity, "x\\", Infinity, "Infinity"]}"#;
        let read: serde_json::Value = read("x", 1, text).unwrap();
        assert_eq!(read, serde_json::json!({"a": null, "NaN\"": [null, "x\\", null, "Infinity"]}));
        let read: serde_json::Value = read_words("x", 1, "[NaN, null, -Infinity]").unwrap();
        assert_eq!(read, serde_json::json!(["NaN", null, "NaN"]));
    }

    #[test]
    fn a_name_that_stands_twice_is_told_with_its_line() {
        let told = read::<Pairs<u8>>("x.json", 5, "{\"a\": 1,\n\"a\": 2}").unwrap_err().to_string();
        assert_eq!(told, "x.json:6: \"a\" is given twice; leave one out");
    }
}
