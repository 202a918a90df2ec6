use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const SHARES: Shares = Shares { validation: 0.2, test: 0.2 };

const TEXT: Wanted<'static> = Wanted {
    format: Format::Text,
    unit: Unit::Character,
    field: "text",
    vocabulary: None,
    context: 8,
};
const LINES: Wanted<'static> = Wanted { format: Format::Lines, ..TEXT };
const NUMBERS: Wanted<'static> = Wanted { format: Format::Numbers, ..TEXT };

fn file(bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn of(bytes: impl AsRef<[u8]>, wanted: &Wanted<'_>) -> Result<TokenData, DataError> {
    let (_folder, path) = file(bytes);
    load(&path, wanted, SHARES)
}

fn refused(bytes: impl AsRef<[u8]>, wanted: &Wanted<'_>, parts: &[&str]) {
    let told = of(bytes, wanted).unwrap_err().to_string();
    for part in parts.iter().chain(&["own"]) {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

/// Words that do not repeat themselves.
fn text(words: u32) -> String {
    from(1, words)
}

fn from(first: u32, words: u32) -> String {
    let words = first..first + words;
    words.map(|word| format!("{:x} ", word.wrapping_mul(2_654_435_761))).collect()
}

/// Documents of one to seven words.
fn lines(documents: u32) -> String {
    let line = |n: u32| {
        let words = from(1 + 10 * n, n % 7 + 1);
        format!("{{\"id\": {n}, \"text\": \"{words}\"}}\n")
    };
    (0..documents).map(line).collect()
}

#[test]
fn every_token_of_a_block_but_the_first_is_predicted_once_and_splits_share_nothing() {
    let text = text(2_000);
    let data = of(&text, &TEXT).unwrap();
    let parts = [&data.train, &data.validation, &data.test];
    assert!(parts.iter().flat_map(|part| &part.examples).all(|window| window.tokens.len() == 9));
    let predicted: usize =
        parts.iter().flat_map(|part| &part.examples).map(|window| window.response().len()).sum();
    let letters = text.chars().count();
    let unused = letters - predicted - data.left_out * 8;
    // The first token of each block, and less than a block at the end.
    assert!(unused < letters / 10, "{unused} of {letters}");
    let counts = parts.map(|part| part.ids.len());
    assert!(counts[0] > 2 * counts[1] && counts[1] > 0 && counts[2] > 0, "{counts:?}");
    for window in &data.test.examples {
        assert!(text.contains(&data.spelling.decode(&window.tokens)));
        assert!(!data.train.ids.contains(&window.id()));
    }
    assert_eq!(data.own.sha256, Digest::of(text.as_bytes()));
    assert_eq!(data.own.name, "file:own");
}

#[test]
fn documents_are_split_whole_whatever_their_order_and_short_ones_are_windows_of_their_own() {
    let text = lines(60);
    let data = of(&text, &LINES).unwrap();
    let mut turned: Vec<&str> = text.lines().collect();
    turned.rotate_left(17);
    // Without a line end at the end, with Windows line ends, and with a byte order mark.
    let again = of(format!("\u{feff}{}", turned.join("\r\n")), &LINES).unwrap();
    for (part, other) in [
        (&data.train, &again.train),
        (&data.validation, &again.validation),
        (&data.test, &again.test),
    ] {
        let sorted = |part: &Part<Sequence>| {
            let mut ids = part.ids.clone();
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(part), sorted(other));
    }
    assert!(data.train.examples.iter().any(|window| window.tokens.len() < 9));
    assert!(data.train.examples.iter().all(|window| window.tokens.len() > 1));
    let bytes = of(&text, &Wanted { unit: Unit::Byte, ..LINES }).unwrap();
    assert_eq!(bytes.spelling, Spelling::Byte {});
}

#[test]
fn numbers_are_read_as_u16_from_the_low_byte_on_and_their_vocabulary_is_the_largest_and_one() {
    let tokens: Vec<u16> =
        (0..400_u16).map(|n| n.wrapping_mul(40_503) % 300).chain([299]).collect();
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()).collect();
    let data = of(&bytes, &NUMBERS).unwrap();
    assert_eq!(data.spelling, Spelling::Number { vocabulary: 300 });
    let all: Vec<&Sequence> =
        [&data.train, &data.validation, &data.test].into_iter().flat_map(|p| &p.examples).collect();
    assert!(all.iter().any(|window| window.tokens == tokens[..9]));
    let told = of(&bytes, &Wanted { vocabulary: Some(50_257), ..NUMBERS }).unwrap();
    assert_eq!(told.spelling, Spelling::Number { vocabulary: 50_257 });
    let beyond = tokens.iter().position(|&token| token >= 299).unwrap();
    refused(
        &bytes,
        &Wanted { vocabulary: Some(299), ..NUMBERS },
        &[&format!("token {beyond} (at offset {})", 2 * beyond), "is 299", "`vocabulary` is 299"],
    );
    refused(&bytes[1..], &NUMBERS, &["801 bytes", "no whole number"]);
}

#[test]
fn each_way_that_a_text_can_be_wrong_is_told_with_its_place_and_a_remedy() {
    refused(
        [b"one\ntwo\n\xff\xfe".as_slice(), text(90).as_bytes()].concat(),
        &TEXT,
        &["line 3: byte 0xff at offset 8", "UTF-8", "unit: byte"],
    );
    let many: String = (0x4e00..0x4e00 + 20_000).filter_map(char::from_u32).collect();
    refused(&many, &TEXT, &["20000 different characters", "16384", "bytes"]);
    refused("short", &TEXT, &["5 tokens", "context of 8", "27 at least", "smaller `context`"]);
    refused("", &TEXT, &["0 tokens"]);
    refused("ab".repeat(500), &TEXT, &["again and again"]);
    let folder = tempfile::tempdir().unwrap();
    let told = load(folder.path(), &TEXT, SHARES).unwrap_err().to_string();
    assert!(told.contains("not a regular file"), "{told}");
    let told = load(&folder.path().join("none"), &TEXT, SHARES).unwrap_err().to_string();
    assert!(told.contains("none"), "{told}");
}

#[test]
fn each_way_that_a_line_can_be_wrong_is_told_with_its_number_and_a_remedy() {
    let with = |line: &str| format!("{}{line}\n{}", lines(4), lines(3));
    let offset = format!("line 5 (at offset {})", lines(4).len());
    for (line, parts) in [
        ("{\"text\": \"abc\"", &["not JSON", "one object a line"][..]),
        ("", &["the line is empty", "take it out"]),
        ("[1, 2]", &["a list in the place of an object"]),
        ("{\"txet\": \"abc\"}", &["no field \"text\"", "did you mean \"txet\"?"]),
        ("{\"text\": 7}", &["field \"text\" is a number, not text"]),
        ("{\"text\": null}", &["is null, not text"]),
        ("{\"text\": \"a\"}", &["nothing follows anything"]),
        ("{\"text\": \"\\ud800\"}", &["not JSON"]),
    ] {
        refused(with(line), &LINES, &[&[offset.as_str()], parts].concat());
    }
    refused(lines(2), &LINES, &["2 documents", "three"]);
    refused(
        [lines(4).as_bytes(), b"{\"text\": \"\xff\xff\"}\n"].concat(),
        &LINES,
        &["line 5", "not JSON"],
    );
    let deep = format!("{{\"text\": {}", "[".repeat(100_000));
    refused(with(&deep), &LINES, &["not JSON"]);
}

#[test]
fn a_document_that_stands_twice_is_in_one_split_and_a_head_that_all_share_is_not_judged() {
    // Of one window each, no two alike.
    let once: String = (0..40_u32)
        .map(|n| format!("{{\"text\": \"{:09x}\"}}\n", n.wrapping_mul(2_654_435_761)))
        .collect();
    let data = of(once.repeat(2), &LINES).unwrap();
    // None was taken out for standing in two splits: copies were in one from the first.
    assert_eq!(data.left_out, 0);
    let parts = [&data.train, &data.validation, &data.test].map(|part| part.ids.len());
    assert_eq!(parts.iter().sum::<usize>(), 80, "{parts:?}");
    let held = [&data.validation, &data.test];
    assert!(held.iter().all(|part| part.ids.iter().all(|id| !data.train.ids.contains(id))));
    let licensed: String =
        (0..40).map(|n| format!("{{\"text\": \"as it is, {}\"}}\n", from(1 + 10 * n, 4))).collect();
    let data = of(&licensed, &LINES).unwrap();
    assert!(data.left_out > 0);
}

#[test]
fn short_documents_that_a_long_context_would_blow_up_are_refused_before_windows_are_made() {
    let line = "{\"text\": \"ab\"}\n";
    let wide = Wanted { context: 4096, ..LINES };
    let parts = ["65537 windows of a context of 4096", "268435456 places", "smaller file"];
    refused(line.repeat(65_537), &wide, &parts);
    // One fewer is within bounds, and has another fault.
    refused(line.repeat(65_536), &wide, &["again and again"]);
    let path = Path::new("own");
    let long = vec![0_u16; (1 << 24) + 2];
    let told = modest(path, &[long.as_slice()], 1).unwrap_err().to_string();
    assert!(told.contains("16777217 windows of a context of 1"), "{told}");
    assert!(modest(path, &[long.as_slice()], 16).is_ok());
}

#[test]
fn a_file_is_known_by_its_ending() {
    for (name, format) in [
        ("a.jsonl", Format::Lines),
        ("a.NDJSON", Format::Lines),
        ("a.bin", Format::Numbers),
        ("a.rs", Format::Text),
        ("syslog", Format::Text),
    ] {
        assert_eq!(Format::of(Path::new(name)), format, "{name}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic_and_what_is_read_is_within_its_vocabulary(
        bytes in prop::collection::vec(any::<u8>(), 0..300), context in 1_usize..12,
        vocabulary in prop::option::of(1_u32..70_000),
    ) {
        for format in [Format::Text, Format::Lines, Format::Numbers] {
            for unit in [Unit::Character, Unit::Byte] {
                let wanted = Wanted { format, unit, vocabulary, context, ..TEXT };
                let Ok(data) = of(&bytes, &wanted) else { continue };
                let tokens = data.train.examples.iter().flat_map(|window| &window.tokens);
                let most = data.spelling.vocabulary();
                prop_assert!(tokens.into_iter().all(|token| usize::from(*token) < most));
            }
        }
    }

    #[test]
    fn no_line_makes_the_reader_of_json_panic(lines in prop::collection::vec("[ -~\u{e9}]{0,30}|\\{\"text\": ?\"[a-z\\\\\"]{0,9}\"\\}", 0..12)) {
        let _ = of(lines.join("\n"), &LINES);
    }
}
