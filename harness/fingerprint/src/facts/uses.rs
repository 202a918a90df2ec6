//! Imports, with renames, nested lists and globs; type aliases, which name things as well.

use super::{Path, Scanner};
use crate::tokens::Token;

/// A name that a file gives to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    /// Nothing for a glob.
    pub(crate) name: Option<String>,
    pub(crate) target: Path,
}

impl Scanner<'_> {
    /// The import after `use` at `at`, and where it ends; nothing if it is none, like the `use` of a
    /// settings block.
    pub(super) fn use_item(&mut self, at: usize) -> Option<usize> {
        let mut found = Vec::new();
        let end = self.use_tree(at, Path::new(), &mut found)?;
        if !self.is_mark(end, ';') {
            return None;
        }
        for Use { name, target } in found {
            for target in self.seen_from_file(&target) {
                self.facts.paths.insert(target.clone());
                self.facts.uses.push(Use { name: name.clone(), target });
            }
        }
        Some(end)
    }

    fn use_tree(&self, mut at: usize, mut path: Path, found: &mut Vec<Use>) -> Option<usize> {
        if self.is_joined(at) {
            at += 2;
        }
        if self.is_mark(at, '$') && self.word(at + 1) == Some("crate") {
            at += 1;
        }
        loop {
            if self.is_mark(at, '*') {
                found.push(Use { name: None, target: path });
                return Some(at + 1);
            }
            if let Some(close) = self.group(at, '{') {
                at += 1;
                while at < close {
                    at = self.use_tree(at, path.clone(), found)?;
                    at += usize::from(self.is_mark(at, ','));
                }
                return Some(close + 1);
            }
            path.push(self.word(at)?.to_owned());
            at += 1;
            if !self.is_joined(at) {
                break;
            }
            at += 2;
        }
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let renamed = (self.word(at) == Some("as")).then(|| self.word(at + 1)).flatten();
        let name = renamed.or(path.last().map(String::as_str)).map(str::to_owned);
        found.push(Use { name, target: path });
        Some(at + if renamed.is_some() { 2 } else { 0 })
    }

    /// `type name … = a::B<c::D>;`: the name stands for any path on the right.
    pub(super) fn alias(&mut self, at: usize, name: &str) {
        let ends = |at: &usize| {
            self.is_mark(*at, ';')
                || matches!(self.tokens[*at], Token::Open('{', _) | Token::Close(_))
        };
        let end = (at..self.tokens.len()).find(ends).unwrap_or(self.tokens.len());
        let Some(start) = (at..end).find(|at| self.is_mark(*at, '=')) else { return };
        for path in self.paths_in(start, end) {
            for target in self.seen_from_file(&path) {
                self.facts.uses.push(Use { name: Some(name.to_owned()), target });
            }
        }
    }

    /// Every path between two tokens, single names too.
    pub(super) fn paths_in(&self, start: usize, end: usize) -> Vec<Path> {
        let mut paths = Vec::new();
        let mut at = start;
        while at < end {
            if self.word(at).is_none() {
                at += 1;
                continue;
            }
            let (path, next) = self.segments(at);
            if !self.continues(at) {
                paths.push(path);
            }
            at = next;
        }
        paths
    }
}
