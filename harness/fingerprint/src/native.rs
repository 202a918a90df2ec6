//! C and C++ companions of Rust files: the text that counts, and the headers they include.

/// Endings of companions.
pub(crate) const ENDINGS: [&str; 6] = ["c", "cc", "cpp", "cu", "h", "hpp"];

/// The text without comments, with runs of white space as one blank. Directives keep their lines:
/// there the end of a line has a meaning.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut directive = false;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            line_comment(rest)
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("\\\n") {
            2
        } else if first.is_whitespace() {
            if first == '\n' && directive {
                directive = false;
                end_line(&mut out);
            }
            first.len_utf8()
        } else {
            if first == '#' && at_line_start(text, rest) {
                directive = true;
                end_line(&mut out);
            }
            let length = match literal(rest, &out) {
                Some(length) => length,
                None => first.len_utf8(),
            };
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        };
        // A comment is white space, too.
        if !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
        rest = &rest[length..];
    }
    out.truncate(out.trim_end().len());
    out
}

/// Headers named in quotes.
pub(crate) fn headers(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let named = line.strip_prefix('#')?.trim_start().strip_prefix("include")?;
        named.trim_start().strip_prefix('"')?.split('"').next()
    })
}

fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

fn at_line_start(text: &str, rest: &str) -> bool {
    let before = &text[..text.len() - rest.len()];
    before.rsplit('\n').next().is_none_or(|line| line.trim().is_empty())
}

/// A backslash at its end continues the comment on the next line.
fn line_comment(rest: &str) -> usize {
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        end += line.trim_end_matches('\n').len();
        if !line.ends_with("\\\n") {
            break;
        }
        end += 1;
    }
    end
}

/// Length of the string or character that `rest` starts with, given what came before it.
fn literal(rest: &str, before: &str) -> Option<usize> {
    let word = &before[before
        .rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '\'' | '.')))
        .map_or(0, |at| at + 1)..];
    match rest.chars().next()? {
        '"' if word.ends_with('R') && word.len() <= 3 => {
            let open = rest.find('(')?;
            let close = format!("){}\"", &rest[1..open]);
            Some(rest.find(&close).map_or(rest.len(), |at| at + close.len()))
        }
        // 1'000 is a number.
        '\'' if word.starts_with(|c: char| c.is_ascii_digit()) => None,
        quote @ ('"' | '\'') => {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, c)| {
                let ends = *c == quote && !escaped;
                escaped = *c == '\\' && !escaped;
                ends
            });
            Some(end.map_or(rest.len(), |(at, _)| at + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_layout_do_not_count() {
        let plain = code("#include \"a.h\"\nint f(int x) { return x / 2; }\n");
        let text = "// One.\n#include \"a.h\" // two\n\nint f(int x) {\n  /* three\n */ return x / 2;\n}\n// four \\\n   still four";
        assert_eq!(code(text), plain);
        assert_eq!(headers(&plain).collect::<Vec<_>>(), ["a.h"]);
    }

    #[test]
    fn what_looks_like_a_comment_in_a_literal_counts() {
        for text in [
            "char* s = \"a // b \\\" /* c\";",
            "char c = '\"'; int d; // x",
            "auto s = R\"x(// \" )\" )x\"; int y;",
            "long n = 1'000; char c = '/'; // '",
        ] {
            assert_eq!(
                code(text),
                text.split(" // x").next().unwrap().split(" // '").next().unwrap()
            );
        }
        assert_ne!(code("f(\"a  b\")"), code("f(\"a b\")"));
    }

    #[test]
    fn the_end_of_a_directive_counts() {
        assert_ne!(code("#define A\nB"), code("#define A B"));
        assert_eq!(code("int a;\n  #define A \\\n  B\nint b;"), "int a;\n#define A B\nint b;");
    }
}
