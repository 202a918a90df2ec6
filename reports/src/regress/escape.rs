//! One function for each format through which every text from outside passes.

use crate::text::one_line;

/// For a line on a terminal: no control characters, nothing that reorders.
pub(super) fn line(text: &str) -> String {
    one_line(text)
}

/// For Markdown with HTML, inside a table or not: every ASCII punctuation mark as a character
/// reference, so that no syntax of either is left.
pub(super) fn markdown(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        // Letters, digits and these have no meaning anywhere inside a line.
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '-' | '/' | '%') {
            out.push_str(&format!("&#{};", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    // A bare address would become a link.
    out.replace("www.", "www&#46;")
}

/// For XML text and attributes.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    out
}

/// For the message of a GitHub workflow command: it is one line, and its percent signs are its own.
pub(super) fn command(text: &str) -> String {
    one_line(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// For a property of a GitHub workflow command, where colon and comma end it.
pub(super) fn property(text: &str) -> String {
    command(text).replace(':', "%3A").replace(',', "%2C")
}
