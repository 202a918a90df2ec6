//! The three kinds of files.

use std::path::Path;

use ledger::catalogue::hint;
use serde_json::Value;

use super::error::utf8;
use super::{TokenError, Wanted};
use crate::text::spelling::{Spelling, Unit};

/// What a file of tokens is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A text, all of it: prose, source code, logs.
    Text,
    /// JSON lines: an object a line, one of whose fields is a document.
    Lines,
    /// Tokens as u16, little-endian, and nothing else.
    Numbers,
}

impl Format {
    /// By the ending of its name.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        match ending.as_deref().and_then(std::ffi::OsStr::to_str) {
            Some("jsonl" | "ndjson") => Self::Lines,
            Some("bin") => Self::Numbers,
            _ => Self::Text,
        }
    }
}

/// The documents of a file as tokens, and what these stand for; a text, and a file of numbers, is one document.
pub fn documents(
    path: &Path,
    bytes: &[u8],
    wanted: &Wanted<'_>,
) -> Result<(Vec<Vec<u16>>, Spelling), TokenError> {
    if wanted.format == Format::Numbers {
        let (tokens, vocabulary) = numbers(path, bytes, wanted.vocabulary)?;
        return Ok((vec![tokens], Spelling::Number { vocabulary }));
    }
    let texts = match wanted.format {
        Format::Lines => lines(path, bytes, wanted.field)?,
        _ if wanted.unit == Unit::Byte => {
            let tokens = bytes.iter().map(|&byte| u16::from(byte)).collect();
            return Ok((vec![tokens], Spelling::Byte {}));
        }
        _ => vec![utf8(path, bytes)?.to_owned()],
    };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let many = |found| TokenError::Alphabet { path: path.to_path_buf(), found };
    let (spelling, tokens) = Spelling::of(wanted.unit, &texts).map_err(many)?;
    Ok((tokens, spelling))
}

/// Tokens as u16 LE and how many there are of them.
fn numbers(
    path: &Path,
    bytes: &[u8],
    vocabulary: Option<u32>,
) -> Result<(Vec<u16>, u32), TokenError> {
    if !bytes.len().is_multiple_of(2) {
        return Err(TokenError::Odd { path: path.to_path_buf(), bytes: bytes.len() });
    }
    let tokens: Vec<u16> =
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let largest = tokens.iter().copied().max().map_or(1, |largest| u32::from(largest) + 1);
    let vocabulary = vocabulary.unwrap_or(largest);
    if let Some(index) = tokens.iter().position(|&token| u32::from(token) >= vocabulary) {
        return Err(TokenError::Beyond {
            path: path.to_path_buf(),
            index,
            offset: 2 * index,
            value: tokens[index],
            vocabulary,
        });
    }
    Ok((tokens, vocabulary))
}

/// The documents of JSON lines.
fn lines(path: &Path, bytes: &[u8], field: &str) -> Result<Vec<String>, TokenError> {
    // Some editors write a byte order mark, which JSON does not allow.
    let start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let body = bytes[start..].strip_suffix(b"\n").unwrap_or(&bytes[start..]);
    let mut offset = start;
    let mut documents = Vec::new();
    for (line, text) in (1..).zip(body.split(|&byte| byte == b'\n')) {
        let refuse = |problem: String, remedy| TokenError::Line {
            path: path.to_path_buf(),
            line,
            offset,
            problem,
            remedy,
        };
        documents.push(document(text, field).map_err(|(problem, remedy)| refuse(problem, remedy))?);
        offset += text.len() + 1;
    }
    Ok(documents)
}

type Wrong = (String, &'static str);

/// The document of one line.
fn document(line: &[u8], field: &str) -> Result<String, Wrong> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.iter().all(u8::is_ascii_whitespace) {
        return Err(("the line is empty".to_owned(), "take it out"));
    }
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        (format!("not JSON ({error})"), "write one object a line, as json.dumps does")
    })?;
    let Value::Object(mut object) = value else {
        let found = format!("{} in the place of an object", kind(&value));
        return Err((found, "write {\"text\": \"…\"} on each line"));
    };
    let found = object.remove(field);
    let text = match found {
        Some(Value::String(text)) => text,
        Some(other) => {
            let problem = format!("field {field:?} is {}, not text", kind(&other));
            return Err((problem, "`field` names one that holds text on every line"));
        }
        None => {
            let names: Vec<&str> = object.keys().map(String::as_str).collect();
            let problem = format!("there is no field {field:?}{}", hint(field, names));
            return Err((problem, "`field` names the one that holds the text"));
        }
    };
    // The first token is given: one alone asks for nothing.
    if text.chars().nth(1).is_none() {
        let problem = format!("field {field:?} is {text:?}, in which nothing follows anything");
        return Err((problem, "take the line out"));
    }
    Ok(text)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
