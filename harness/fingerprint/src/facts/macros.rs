//! What macros and attributes are given: words they may make paths of, and files they include.

use super::{Facts, Scanner};
use crate::tokens::{Code, Token};

/// Macros that make no path of what they are given.
const PLAIN: [&str; 22] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "concat",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "eprintln",
    "format",
    "format_args",
    "include",
    "include_bytes",
    "include_str",
    "matches",
    "panic",
    "print",
    "println",
    "stringify",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

impl Scanner<'_> {
    pub(super) fn call(&mut self, name: &str, start: usize, end: usize) {
        self.facts.calls.insert(name.to_owned());
        let inside = &self.tokens[start..end];
        if !PLAIN.contains(&name) {
            self.facts.mentions.extend(inside.iter().filter_map(|token| match token {
                Token::Word(word) => Some(word.clone()),
                _ => None,
            }));
        }
        if ["include", "include_str", "include_bytes"].contains(&name) {
            match inside {
                [Token::Literal(path)] | [Token::Literal(path), Token::Mark(',', _)]
                    if path.starts_with('"') && name != "include" =>
                {
                    self.facts.included.push(path.trim_matches('"').to_owned());
                }
                _ if inside.contains(&Token::Literal("\"OUT_DIR\"".to_owned())) => {}
                _ if name == "include" => self.refuse("an `include!`"),
                _ => self.refuse(&format!("an `{name}!` of a computed path")),
            }
        }
    }

    /// Text in an attribute may name code: `#[serde(with = "hex")]`.
    pub(super) fn attribute(&mut self, at: usize) {
        let Some(end) = self.group(at, '[') else { return };
        if self.word(at + 1) == Some("path") && self.is_mark(at + 2, '=') {
            self.refuse("a `#[path]`");
        }
        for at in at..end {
            self.exported |= self.word(at) == Some("macro_export");
            let Token::Literal(text) = &self.tokens[at] else { continue };
            let Some(text) = text.strip_prefix('"') else { continue };
            let Ok(code) = Code::of(text.trim_end_matches('"')) else { continue };
            let facts = Facts::of(&code);
            facts.paths.into_iter().for_each(|path| self.emit(&path));
            if let [Token::Word(word)] = code.tokens.as_slice() {
                self.facts.mentions.insert(word.clone());
            }
        }
    }
}
