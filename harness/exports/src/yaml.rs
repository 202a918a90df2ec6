//! Texts as scalars of YAML, for files that other tools read with a parser of theirs.

/// `text` in single quotes where every character may stand there, else in double quotes with escapes: never
/// read as a number, a date, a list or a comment, and always on one line.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain =
        |c: char| matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}');
    if text.chars().all(is_plain) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_plain(c) => quoted.push(c),
            c if u32::from(c) <= 0xffff => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_parser_of_yaml_reads_the_text_back(text in any::<String>()) {
            let line = format!("name: {}\nnext: 1\n", quoted(&text));
            prop_assert_eq!(line.lines().count(), 2);
            let read: std::collections::BTreeMap<String, serde_yaml::Value> =
                serde_yaml::from_str(&line).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(read["name"].as_str(), Some(text.as_str()));
        }
    }

    #[test]
    fn what_looks_like_something_else_stays_a_text() {
        for text in ["1", "null", "true", "2026-11-30", "- a", "# x", "'", "a: b", "{x}", "~", ""] {
            let read: serde_yaml::Value = serde_yaml::from_str(&quoted(text)).unwrap();
            assert_eq!(read.as_str(), Some(text));
        }
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(quoted("a\nb\u{1b}\u{2028}🙂"), "\"a\\u000Ab\\u001B\\u2028\\U0001F642\"");
    }
}
