//! Rust source as a flat list of tokens: no comments, no documentation, no tests.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// One token; an opening bracket knows where its group ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier or a keyword; `r#` is left out.
    Word(String),
    /// A literal, as written.
    Literal(String),
    /// A punctuation character, and whether the next one follows at once.
    Mark(char, bool),
    /// `(`, `[` or `{`, and the index of what closes it.
    Open(char, usize),
    /// The end of a group.
    Close(char),
}

/// What counts of a file.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) tokens: Vec<Token>,
    /// Modules declared for tests only, and where, if a `#[path]` says so.
    pub(crate) test_modules: Vec<(String, Option<String>)>,
}

impl Code {
    /// # Errors
    /// What the lexer says when the text is not Rust.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let stream: TokenStream = text.parse().map_err(|error| format!("{error}"))?;
        let mut code = Self::default();
        code.group(stream);
        Ok(code)
    }

    /// The tokens as text: the same for the same code, however it is laid out.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(8 * self.tokens.len());
        for token in &self.tokens {
            match token {
                Token::Word(token) | Token::Literal(token) => {
                    text.push_str(token);
                    text.push(' ');
                }
                Token::Mark(mark, joint) => {
                    text.push(*mark);
                    if !joint {
                        text.push(' ');
                    }
                }
                Token::Open(bracket, _) | Token::Close(bracket) => {
                    text.push(*bracket);
                    text.push(' ');
                }
            }
        }
        text
    }

    fn group(&mut self, stream: TokenStream) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        let start = self.tokens.len();
        let mut at = 0;
        while at < trees.len() {
            let (attributes, item) = attributes(&trees, at);
            if attributes.is_empty() {
                self.tree(&trees[at]);
                at += 1;
                continue;
            }
            if attributes.iter().any(|one| one.inner && is_test(&one.body)) {
                self.tokens.truncate(start);
                return;
            }
            at = item;
            let tested = attributes.iter().any(|one| is_test(&one.body));
            if let Some(end) = tested.then(|| item_end(&trees, item)).flatten() {
                self.leave_out(&attributes, &trees[item..end]);
                at = end;
                continue;
            }
            for attribute in attributes.iter().filter(|one| !is_doc(&one.body)) {
                let marks = if attribute.inner { &['#', '!'][..] } else { &['#'] };
                self.tokens.extend(marks.iter().map(|mark| Token::Mark(*mark, false)));
                self.bracketed('[', ']', attribute.stream.clone());
            }
        }
    }

    fn tree(&mut self, tree: &TokenTree) {
        match tree {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                self.tokens.push(Token::Word(match word.strip_prefix("r#") {
                    Some(raw) => raw.to_owned(),
                    None => word,
                }));
            }
            TokenTree::Literal(literal) => self.tokens.push(Token::Literal(literal.to_string())),
            TokenTree::Punct(mark) => {
                self.tokens.push(Token::Mark(mark.as_char(), mark.spacing() == Spacing::Joint));
            }
            TokenTree::Group(group) => match group.delimiter() {
                Delimiter::Parenthesis => self.bracketed('(', ')', group.stream()),
                Delimiter::Bracket => self.bracketed('[', ']', group.stream()),
                Delimiter::Brace => self.bracketed('{', '}', group.stream()),
                Delimiter::None => self.group(group.stream()),
            },
        }
    }

    fn bracketed(&mut self, open: char, close: char, stream: TokenStream) {
        let start = self.tokens.len();
        self.tokens.push(Token::Open(open, start));
        self.group(stream);
        self.tokens[start] = Token::Open(open, self.tokens.len());
        self.tokens.push(Token::Close(close));
    }

    /// Keeps in mind which files only tests reach.
    fn leave_out(&mut self, attributes: &[Attribute], item: &[TokenTree]) {
        let words = item.iter().map(word).skip_while(|word| word.as_deref() != Some("mod"));
        let Some(name) = words.flatten().nth(1) else { return };
        if item.iter().any(
            |tree| matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace),
        ) {
            return;
        }
        let path = attributes.iter().find_map(|one| match one.body.as_slice() {
            [key, _, TokenTree::Literal(path)] if word(key).as_deref() == Some("path") => {
                Some(path.to_string().trim_matches('"').to_owned())
            }
            _ => None,
        });
        self.test_modules.push((name, path));
    }
}

struct Attribute {
    inner: bool,
    stream: TokenStream,
    body: Vec<TokenTree>,
}

/// Attributes one after the other from `at` on, and where they end; an inner one stands alone.
fn attributes(trees: &[TokenTree], mut at: usize) -> (Vec<Attribute>, usize) {
    let mut found = Vec::new();
    loop {
        let inner = is_mark(trees.get(at + 1), '!');
        let group = trees.get(at + 1 + usize::from(inner));
        match group {
            Some(TokenTree::Group(group))
                if is_mark(trees.get(at), '#') && group.delimiter() == Delimiter::Bracket =>
            {
                let body = group.stream().into_iter().collect();
                found.push(Attribute { inner, stream: group.stream(), body });
                at += 2 + usize::from(inner);
            }
            _ => return (found, at),
        }
    }
}

fn is_mark(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == wanted)
}

fn word(tree: &TokenTree) -> Option<String> {
    match tree {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    }
}

/// `doc`, but not the `doc` of a macro's pattern, which is code.
fn is_doc(body: &[TokenTree]) -> bool {
    body.first().and_then(word).as_deref() == Some("doc")
        && !body.iter().any(|tree| is_mark(Some(tree), '$'))
}

/// `test`, `cfg(test)` or `cfg(all(…, test, …))`: code that only tests compile.
fn is_test(body: &[TokenTree]) -> bool {
    match body {
        [only] => word(only).as_deref() == Some("test"),
        [cfg, TokenTree::Group(when)] if word(cfg).as_deref() == Some("cfg") => {
            let when: Vec<TokenTree> = when.stream().into_iter().collect();
            match when.as_slice() {
                [only] => word(only).as_deref() == Some("test"),
                [all, TokenTree::Group(parts)] if word(all).as_deref() == Some("all") => {
                    let parts: Vec<TokenTree> = parts.stream().into_iter().collect();
                    let mut parts = parts.split(|tree| is_mark(Some(tree), ','));
                    parts.any(|part| is_test(part) && part.len() == 1)
                }
                _ => false,
            }
        }
        _ => false,
    }
}

/// Where the item at `at` ends. Nothing for what is no item (a field, an arm, an expression): its
/// end is not certain, and to keep test code is safe where to lose other code is not.
fn item_end(trees: &[TokenTree], mut at: usize) -> Option<usize> {
    let word_at = |at: usize| trees.get(at).and_then(word);
    let group_at = |at: usize| match trees.get(at) {
        Some(TokenTree::Group(group)) => Some(group.delimiter()),
        _ => None,
    };
    if word_at(at).as_deref() == Some("pub") {
        at += 1 + usize::from(group_at(at + 1) == Some(Delimiter::Parenthesis));
    }
    let next = word_at(at + 1);
    let braced = match word_at(at)?.as_str() {
        "use" | "static" | "type" | "let" => false,
        "const" => matches!(next.as_deref(), Some("fn" | "unsafe" | "async" | "extern")),
        "mod" | "fn" | "struct" | "enum" | "union" | "trait" | "impl" | "unsafe" | "async"
        | "extern" | "macro_rules" => true,
        _ => {
            // A macro in place of an item; any other expression would end who knows where.
            let bang = (at..trees.len()).find(|at| is_mark(trees.get(*at), '!'))?;
            let is_path = |tree: &TokenTree| word(tree).is_some() || is_mark(Some(tree), ':');
            if !trees[at..bang].iter().all(is_path) || group_at(bang + 1).is_none() {
                return None;
            }
            let end = bang + 2;
            return match group_at(bang + 1) {
                Some(Delimiter::Brace) => Some(end),
                _ => is_mark(trees.get(end), ';').then_some(end + 1),
            };
        }
    };
    (at..trees.len())
        .find(|at| {
            is_mark(trees.get(*at), ';') || (braced && group_at(*at) == Some(Delimiter::Brace))
        })
        .map(|end| end + 1)
}
