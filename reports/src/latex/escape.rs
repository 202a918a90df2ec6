//! Texts of strangers as LaTeX text.

use crate::text;

/// Whether pdflatex sets the character in its usual fonts, without a package: ASCII, and the accented
/// Latin letters.
pub(crate) fn is_typeset(c: char) -> bool {
    let bare = matches!(c, '×' | '÷' | 'Ð' | 'ð' | 'Þ' | 'þ');
    c.is_ascii() || (('À'..='ÿ').contains(&c) && !bare)
}

/// `text` as LaTeX text: nothing in it is read as a command, no two letters are set as one sign, and what pdflatex
/// cannot set is named.
pub(crate) fn escape(text: &str) -> String {
    let mut tex = String::new();
    for c in text::one_line(text).chars() {
        if joins(tex.chars().next_back(), c) {
            tex.push_str("{}");
        }
        match c {
            '\\' => tex.push_str("\\textbackslash{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                tex.push('\\');
                tex.push(c);
            }
            '^' => tex.push_str("\\textasciicircum{}"),
            '~' => tex.push_str("\\textasciitilde{}"),
            '<' => tex.push_str("\\textless{}"),
            '>' => tex.push_str("\\textgreater{}"),
            '|' => tex.push_str("\\textbar{}"),
            // In brackets so that a row that begins with one is not read as an option of `\\`.
            '[' | ']' | '*' => tex.push_str(&format!("{{{c}}}")),
            '×' => tex.push_str("$\\times$"),
            '±' => tex.push_str("$\\pm$"),
            '∞' => tex.push_str("$\\infty$"),
            '−' => tex.push_str("$-$"),
            '≥' => tex.push_str("$\\ge$"),
            '≤' => tex.push_str("$\\le$"),
            '→' => tex.push_str("$\\to$"),
            '–' => tex.push_str("--"),
            '…' => tex.push_str("\\ldots{}"),
            '✓' => tex.push_str("$\\surd$"),
            '✗' => tex.push_str("$\\times$"),
            '·' => tex.push_str("$\\cdot$"),
            '²' => tex.push_str("$^2$"),
            '³' => tex.push_str("$^3$"),
            'ρ' => tex.push_str("$\\rho$"),
            'τ' => tex.push_str("$\\tau$"),
            'σ' => tex.push_str("$\\sigma$"),
            'Δ' => tex.push_str("$\\Delta$"),
            '\u{FFFD}' => tex.push('?'),
            c if is_typeset(c) => tex.push(c),
            c => tex.push_str(&format!("U+{:04X}{{}}", c as u32)),
        }
    }
    tex
}

/// Whether TeX's fonts have one sign for the two: dashes, quotation marks, Spanish ones.
fn joins(before: Option<char>, c: char) -> bool {
    match c {
        // A dash is written as two hyphens.
        '-' | '–' | '—' => before == Some('-'),
        '\'' | ',' => before == Some(c),
        '`' => matches!(before, Some('`' | '?' | '!')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_in_labels_become_text() {
        assert_eq!(escape("\\input{/etc/passwd}"), "\\textbackslash{}input\\{/etc/passwd\\}");
        assert_eq!(escape("50 % & a_b"), "50 \\% \\& a\\_b");
        assert_eq!(escape("<b>\n%"), "\\textless{}b\\textgreater{} \\%");
    }

    #[test]
    fn letters_that_tex_joins_or_takes_for_an_option_stay_as_they_are() {
        assert_eq!(escape("--set,, ``a'' ?`"), "-{}-set,{}, `{}`a'{}' ?{}`");
        assert_eq!(escape("*[x]*"), "{*}{[}x{]}{*}");
        assert_eq!(escape("2 – 3"), "2 -- 3");
        assert_eq!(escape("a-–b––c–-d"), "a-{}--b--{}--c--{}-d");
    }

    #[test]
    fn signs_become_mathematics() {
        assert_eq!(escape("1.21× [1.08, ∞]"), "1.21$\\times$ {[}1.08, $\\infty${]}");
    }
}
