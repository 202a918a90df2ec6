//! What a Rust file says: the names it uses and makes, whatever they mean.
//!
//! Scopes are not told apart: an import inside a function counts for the whole file. That finds too
//! many names rather than too few.

mod impls;
mod macros;
mod uses;

use std::collections::BTreeSet;

pub(crate) use impls::Impl;
pub(crate) use uses::Use;

use crate::tokens::{Code, Token};

/// Segments of a path; `self` and `super` are seen from the file's own module.
pub(crate) type Path = Vec<String>;

/// What is known of a file from its own tokens.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Paths of two segments and more, and what is imported.
    pub(crate) paths: BTreeSet<Path>,
    pub(crate) uses: Vec<Use>,
    /// Items made here, in any scope.
    pub(crate) defines: BTreeSet<String>,
    /// Modules with their code in this file.
    pub(crate) inline: BTreeSet<String>,
    /// `mod x;`
    pub(crate) declared: BTreeSet<String>,
    /// `#[cfg(test)] mod x;`, and the `#[path]` of it.
    pub(crate) test_modules: Vec<(String, Option<String>)>,
    /// Macros by name, and whether other crates can use them.
    pub(crate) macros: Vec<(String, bool)>,
    pub(crate) calls: BTreeSet<String>,
    /// Words handed to macros and attributes, which may make paths of them.
    pub(crate) mentions: BTreeSet<String>,
    pub(crate) impls: Vec<Impl>,
    /// Files that `include_str!` and `include_bytes!` name.
    pub(crate) included: Vec<String>,
    /// Declares functions of native code.
    pub(crate) foreign: bool,
    /// The first construct that cannot be followed.
    pub(crate) refused: Option<String>,
}

impl Facts {
    pub(crate) fn of(code: &Code) -> Self {
        let mut scanner = Scanner {
            tokens: &code.tokens,
            inline: Vec::new(),
            exported: false,
            facts: Self { test_modules: code.test_modules.clone(), ..Self::default() },
        };
        let mut at = 0;
        while at < code.tokens.len() {
            scanner.inline.retain(|(_, end)| at < *end);
            at = scanner.step(at);
        }
        scanner.facts
    }
}

/// Words that a path from the root of all names may follow, and that are no part of it.
const KEYWORDS: [&str; 15] = [
    "as", "break", "const", "dyn", "else", "for", "if", "impl", "in", "let", "match", "mut", "ref",
    "return", "where",
];

struct Scanner<'a> {
    tokens: &'a [Token],
    /// Inline modules around the current token, and where they end.
    inline: Vec<(String, usize)>,
    /// `#[macro_export]` was seen and waits for its macro.
    exported: bool,
    facts: Facts,
}

impl Scanner<'_> {
    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at)? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn is_mark(&self, at: usize, wanted: char) -> bool {
        matches!(self.tokens.get(at), Some(Token::Mark(mark, _)) if *mark == wanted)
    }

    fn is_joined(&self, at: usize) -> bool {
        matches!(self.tokens.get(at), Some(Token::Mark(':', true))) && self.is_mark(at + 1, ':')
    }

    fn group(&self, at: usize, bracket: char) -> Option<usize> {
        match self.tokens.get(at)? {
            Token::Open(open, end) if *open == bracket => Some(*end),
            _ => None,
        }
    }

    fn any_group(&self, at: usize) -> Option<usize> {
        "([{".chars().find_map(|bracket| self.group(at, bracket))
    }

    fn refuse(&mut self, what: &str) {
        self.facts.refused.get_or_insert_with(|| what.to_owned());
    }

    /// Reads what starts at `at`, and says where to go on.
    fn step(&mut self, at: usize) -> usize {
        let Some(word) = self.word(at) else {
            if self.is_mark(at, '#') {
                self.attribute(at + 1 + usize::from(self.is_mark(at + 1, '!')));
            }
            return at + 1;
        };
        let next = self.word(at + 1).map(str::to_owned);
        match (word, next) {
            ("use", _) => {
                if let Some(end) = self.use_item(at + 1) {
                    return end;
                }
            }
            ("mod", Some(name)) => {
                if let Some(end) = self.group(at + 2, '{') {
                    self.facts.defines.insert(name.clone());
                    self.facts.inline.insert(name.clone());
                    self.inline.push((name, end));
                } else {
                    self.facts.declared.insert(name);
                }
                return at + 2;
            }
            ("type", Some(name)) => {
                self.alias(at + 2, &name);
                self.facts.defines.insert(name);
            }
            ("struct" | "enum" | "union" | "trait" | "fn" | "const", Some(name)) => {
                self.facts.defines.insert(name);
            }
            ("static", Some(name)) => {
                let name =
                    if name == "mut" { self.word(at + 2).map(str::to_owned) } else { Some(name) };
                self.facts.defines.extend(name);
            }
            ("impl", _) if self.starts_item(at) => self.impl_item(at + 1),
            ("extern", Some(name)) if name == "crate" && self.word(at + 3) == Some("as") => {
                self.refuse("an `extern crate … as`");
            }
            ("extern", None) => {
                let named = matches!(self.tokens.get(at + 1), Some(Token::Literal(_)));
                self.facts.foreign |= self.group(at + 1 + usize::from(named), '{').is_some();
            }
            ("macro_rules", None) => {
                if let (true, Some(name)) = (self.is_mark(at + 1, '!'), self.word(at + 2)) {
                    let name = name.to_owned();
                    let exported = std::mem::take(&mut self.exported);
                    self.facts.macros.push((name, exported));
                    return at + 3;
                }
            }
            _ => {}
        }
        self.path(at)
    }

    /// A path and, if it is a macro's name, the call.
    fn path(&mut self, at: usize) -> usize {
        let (path, end) = self.segments(at);
        let last = path.last().cloned().unwrap_or_default();
        if path[0] == "crate" && self.is_joined(end) && self.is_mark(end + 2, '$') {
            self.refuse("a path through a macro's variable");
        }
        let of_variable = at > 0 && self.is_mark(at - 1, '$') && path[0] != "crate";
        if path.len() > 1 && !of_variable && !self.continues(at) {
            self.emit(&path);
        }
        if self.is_mark(end, '!')
            && let Some(close) = self.any_group(end + 1)
        {
            self.call(&last, end + 2, close);
        }
        end
    }

    /// Whether the path at `at` is the rest of a type's: `<T as X>::a::b`, `$x::a`.
    fn continues(&self, at: usize) -> bool {
        at >= 3
            && self.is_joined(at - 2)
            && (self.is_mark(at - 3, '>')
                || self.word(at - 3).is_some_and(|word| !KEYWORDS.contains(&word)))
    }

    /// The words of the path at `at`, and where they end.
    fn segments(&self, mut at: usize) -> (Path, usize) {
        let mut path = Path::new();
        while let Some(word) = self.word(at) {
            path.push(word.to_owned());
            at += 1;
            let more = self.is_joined(at) && self.word(at + 2).is_some();
            if !more || KEYWORDS.contains(&path[0].as_str()) {
                break;
            }
            at += 2;
        }
        (path, at)
    }

    /// All readings of a path: seen from the inline module it stands in, and from the file.
    fn seen_from_file(&self, path: &[String]) -> Vec<Path> {
        let around: Vec<String> = self.inline.iter().map(|(name, _)| name.clone()).collect();
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let own =
            |inline: &[String], rest: &[String]| [&["self".to_owned()][..], inline, rest].concat();
        match path.first().map(String::as_str) {
            _ if around.is_empty() => vec![path.to_vec()],
            Some("self") => vec![own(&around, &path[1..])],
            Some("super") if ups <= around.len() => {
                vec![own(&around[..around.len() - ups], &path[ups..])]
            }
            Some("super") => vec![path[around.len()..].to_vec()],
            Some("crate" | "Self") => vec![path.to_vec()],
            _ => vec![own(&around, path), path.to_vec()],
        }
    }

    fn emit(&mut self, path: &[String]) {
        self.facts.paths.extend(self.seen_from_file(path));
    }
}
