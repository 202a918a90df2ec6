//! What is wrong with a file of another tool.

use std::fmt;

/// Most characters of a value that a message repeats.
const SHOWN: usize = 60;

/// Most bytes of a name that is joined of several.
const LONGEST_NAME: usize = 1000;

/// A file that cannot be read as it should: where, and the reason with its remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The file, as the user named it.
    pub file: String,
    /// Where in it.
    pub at: Option<At>,
    /// What is wrong, with the offending value and the remedy.
    pub message: String,
}

/// A place in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Of a text.
    Line(u64),
    /// Of a file of records.
    Record(u64),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "{number}"),
            Self::Record(number) => write!(f, "record {number}"),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", shown(&self.file, usize::MAX))?;
        match &self.at {
            Some(At::Line(line)) => write!(f, "{line}: ")?,
            Some(at) => write!(f, " {at}: ")?,
            None => write!(f, " ")?,
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl Wrong {
    /// Something wrong with a whole file.
    pub fn of(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at: None, message: message.into() }
    }

    /// Something wrong at a place of a file.
    pub fn at(file: &str, at: At, message: impl Into<String>) -> Self {
        Self { at: Some(at), ..Self::of(file, message) }
    }
}

/// Refuses a name that would be too long, before it is joined: a long part may stand in many names.
pub(crate) fn fits(file: &str, at: Option<At>, start: &str, bytes: usize) -> Result<(), Wrong> {
    if bytes <= LONGEST_NAME {
        return Ok(());
    }
    let message = format!(
        "the name that begins with {} has {bytes} bytes, but at most {LONGEST_NAME} are read; shorten it",
        quoted(start)
    );
    Err(Wrong { at, ..Wrong::of(file, message) })
}

/// Whether a terminal obeys a character: it moves, colours or turns what stands around it.
fn is_obeyed(c: char) -> bool {
    let marks = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}');
    let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || marks || turns
}

/// A text of a stranger's as a message may repeat it: what a terminal obeys is shown by its code, and of a
/// long one the beginning.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .flat_map(|c| {
            let obeyed = is_obeyed(c);
            let plain = (!obeyed).then_some(c);
            plain.into_iter().chain(c.escape_default().filter(move |_| obeyed))
        })
        .collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// A value in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text, SHOWN))
}

/// Names that there are, in a message: some of them, where they are many.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 20;
    let names: Vec<&str> = names.into_iter().collect();
    let some: Vec<String> = names.iter().take(MOST).map(|name| shown(name, SHOWN)).collect();
    let more = names.len().saturating_sub(MOST);
    if more == 0 { some.join(", ") } else { format!("{}, and {more} more", some.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_by_its_code() {
        assert_eq!(shown("a\u{1b}[2Jb", 9), "a\\u{1b}[2Jb");
        assert_eq!(shown("a\u{202e}vsc.b\u{2069}", 9), "a\\u{202e}vsc.b\\u{2069}");
        assert_eq!(shown("abcdef", 3), "abc…");
        let told = Wrong::at("x\n.csv", At::Line(3), "no").to_string();
        assert_eq!(told, "x\\n.csv:3: no");
        assert_eq!(Wrong::at("x", At::Record(3), "no").to_string(), "x: record 3: no");
    }
}
