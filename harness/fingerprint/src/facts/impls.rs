//! Headers of impl blocks: what is implemented for what.

use super::{Path, Scanner};
use crate::tokens::Token;

/// `impl of for base`; `named` is every path of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Impl {
    pub(crate) of: Option<Path>,
    /// Nothing when the type is a tuple, a slice, a macro's variable.
    pub(crate) base: Option<Path>,
    pub(crate) named: Vec<Path>,
}

impl Scanner<'_> {
    /// Whether the `impl` at `at` opens an item, and is not the `impl Trait` of a type.
    pub(super) fn starts_item(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1).map(|before| &self.tokens[before]) else {
            return true;
        };
        match before {
            Token::Close(_) | Token::Open('{', _) | Token::Mark(';' | '*' | '+', _) => true,
            Token::Word(word) => ["unsafe", "default"].contains(&word.as_str()),
            _ => false,
        }
    }

    pub(super) fn impl_item(&mut self, mut at: usize) {
        if self.is_mark(at, '<') {
            at = self.after_angles(at);
        }
        let (mut start, mut of) = (at, None);
        while let Some(token) = self.tokens.get(at) {
            match token {
                Token::Open('{', _) | Token::Mark(';', _) => break,
                Token::Word(word) if word == "where" => break,
                Token::Open(_, end) => at = *end + 1,
                Token::Mark('<', _) => at = self.after_angles(at),
                Token::Word(word) if word == "for" && !self.is_mark(at + 1, '<') => {
                    of = Some((start, at));
                    at += 1;
                    start = at;
                }
                _ => at += 1,
            }
        }
        let base = self.base(start, at);
        let implemented = of.and_then(|(start, end)| self.base(start, end));
        let from = of.map_or(start, |(start, _)| start);
        let named = self.paths_in(from, at).iter().map(|path| self.in_file(path)).collect();
        self.facts.impls.push(Impl { of: implemented, base, named });
    }

    /// The path that a type or trait starts with, behind references.
    fn base(&self, mut at: usize, end: usize) -> Option<Path> {
        while at < end {
            match &self.tokens[at] {
                Token::Mark('&' | '!' | ':', _) => at += 1,
                Token::Mark('\'', _) => at += 2,
                Token::Mark('$', _) if self.word(at + 1) == Some("crate") => at += 1,
                Token::Word(word) if word == "mut" || word == "dyn" => at += 1,
                Token::Open('(', close) if close + 1 >= end && !self.is_tuple(at, *close) => {
                    at += 1
                }
                Token::Word(_) => return Some(self.in_file(&self.segments(at).0)),
                _ => return None,
            }
        }
        None
    }

    fn is_tuple(&self, start: usize, end: usize) -> bool {
        (start..end).any(|at| self.is_mark(at, ','))
    }

    /// A header's path as the file sees it; a bare name is left to the file's imports.
    fn in_file(&self, path: &[String]) -> Path {
        self.seen_from_file(path).pop().unwrap_or_default()
    }

    /// Behind the `>` that closes the `<` at `at`.
    fn after_angles(&self, mut at: usize) -> usize {
        let mut depth = 0_usize;
        while let Some(token) = self.tokens.get(at) {
            let arrow = at > 0 && matches!(self.tokens[at - 1], Token::Mark('-' | '=', true));
            match token {
                Token::Mark('<', _) => depth += 1,
                Token::Mark('>', _) if !arrow => depth = depth.saturating_sub(1),
                Token::Open(_, end) => at = *end,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    }
}
