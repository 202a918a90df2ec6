//! Windows of one text for language models, split by blocks of the text.
//!
//! A text of any length is cut into 256 blocks of equal length. Blocks are ranked by a hash of
//! their content: 8 validate, 8 test, 240 train. Every block gives 64 windows of 65 tokens whose
//! starts are spread evenly over it, so that no two splits share a stretch of text. The numbers of
//! windows are thus the same for every text: of 1.1 million tokens all are used once, a longer text
//! is sampled evenly, windows of a shorter one overlap within their block.
//!
//! Any text will do: prose, source code, logs, with tabs, line ends of any kind and control characters. What it says
//! more than once stays in one split: a held-out window that is also trained on is left out.

use std::path::Path;

use ledger::digest::Digest;

use crate::catalogue;
use crate::error::DataError;
use crate::loaded::{Origin, OwnFile};
use crate::sequences::{Part, Sequence};
use crate::sources::Sources;
use crate::split::{Split, sample_id};
use crate::text::spelling::Spelling;
pub use crate::text::spelling::Unit;
use crate::tokens::{TokenError, leave_out_repeats, read_text, utf8};

/// Blocks of a text.
const BLOCKS: usize = 256;
/// Blocks that validate, and blocks that test.
const HELD_OUT: usize = 8;
/// Windows of a block.
pub const WINDOWS: usize = 64;
/// Tokens of a window: 64 inputs and the last one's next token.
pub const WINDOW: usize = 65;

/// Windows of each split: training, validation, test.
pub const SIZES: [u32; 3] = [240 * 64, 8 * 64, 8 * 64];

/// A text as windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// Windows to train on.
    pub train: Part<Sequence>,
    /// Windows to validate on.
    pub validation: Part<Sequence>,
    /// Windows to test on.
    pub test: Part<Sequence>,
    /// What tokens stand for.
    pub spelling: Spelling,
    /// Held-out windows that were left out because they are trained on, too.
    pub left_out: usize,
    /// Whether these are the published bytes of a data set.
    pub origin: Origin,
    /// The file, where they are not of a data set.
    pub own: Option<OwnFile>,
}

/// The windows of `file`, or of Tiny Shakespeare when no file is given. A file that holds the published
/// Tiny Shakespeare is that, wherever it lies.
///
/// # Errors
/// When the file is missing, not UTF-8 or of too many characters (for characters), too short, or so repetitive that
/// nothing is held out.
pub fn load(file: Option<&Path>, unit: Unit, sources: &Sources) -> Result<Windows, DataError> {
    let Some(path) = file else {
        let text = super::tinyshakespeare(sources)?;
        return windows(Path::new("tinyshakespeare"), text.text.as_bytes(), unit, text.origin);
    };
    let bytes = read_text(path)?;
    let listed = catalogue::find("tinyshakespeare")?.files;
    if listed.iter().any(|published| published.pin.matches(path, &bytes)) {
        return windows(path, &bytes, unit, Origin::Official);
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let own = OwnFile { name: format!("file:{name}"), sha256: Digest::of(&bytes) };
    Ok(Windows { own: Some(own), ..windows(path, &bytes, unit, Origin::Own)? })
}

fn windows(path: &Path, text: &[u8], unit: Unit, origin: Origin) -> Result<Windows, DataError> {
    let (tokens, spelling) = tokens(path, text, unit)?;
    let length = tokens.len() / BLOCKS;
    if length <= WINDOW {
        return Err(DataError::Setting {
            setting: "length of the text in tokens",
            found: format!("{} ({})", tokens.len(), path.display()),
            expected: "at least 16,896, so that each of 256 blocks holds windows of 65; the workload tokens takes less",
        });
    }
    let blocks: Vec<&[u16]> = tokens.chunks_exact(length).take(BLOCKS).collect();
    let bytes = |tokens: &[u16]| tokens.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>();
    let ids: Vec<_> = blocks.iter().map(|block| sample_id(&bytes(block), 0)).collect();
    let split = Split::by_rank(&ids, HELD_OUT, HELD_OUT)?;
    let part = |positions: &[u32]| {
        let chosen = positions.iter().filter_map(|&place| blocks.get(place as usize));
        let examples: Vec<Sequence> = chosen.flat_map(|block| cut(block)).collect();
        let ids = examples.iter().map(Sequence::id).collect();
        Part { examples, ids }
    };
    let [train, mut validation, mut test] =
        [&split.train, &split.validation, &split.test].map(|positions| part(positions));
    let left_out = leave_out_repeats(&train, &mut validation, &mut test);
    if validation.ids.is_empty() || test.ids.is_empty() {
        return Err(TokenError::Repeats { path: path.to_path_buf(), left_out }.into());
    }
    Ok(Windows { train, validation, test, spelling, left_out, origin, own: None })
}

/// Windows at evenly spread starts.
fn cut(block: &[u16]) -> impl Iterator<Item = Sequence> + '_ {
    let last = block.len() - WINDOW;
    (0..WINDOWS).filter_map(move |place| {
        let start = place * last / (WINDOWS - 1);
        let tokens = block.get(start..start + WINDOW)?.to_vec();
        Some(Sequence { tokens, prompt: 1, group: 0 })
    })
}

/// Tokens of the text and what each stands for.
fn tokens(path: &Path, text: &[u8], unit: Unit) -> Result<(Vec<u16>, Spelling), DataError> {
    match unit {
        Unit::Byte => Ok((text.iter().map(|&byte| u16::from(byte)).collect(), Spelling::Byte {})),
        Unit::Character => {
            let text = utf8(path, text)?;
            let many = |found| TokenError::Alphabet { path: path.to_path_buf(), found };
            let (spelling, tokens) = Spelling::of(unit, &[text]).map_err(many)?;
            Ok((tokens.concat(), spelling))
        }
    }
}

/// Bytes of text that the tokens after the first of these windows stand for; none where that is not known.
#[must_use]
pub fn bytes(spelling: &Spelling, windows: &[Sequence]) -> Option<u64> {
    let lengths = spelling.lengths()?;
    let length = |token: &u16| lengths.get(usize::from(*token)).copied().unwrap_or(0);
    Some(windows.iter().flat_map(Sequence::response).map(|token| length(token) as u64).sum())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Numbers written out: a text that does not repeat itself.
    fn text(numbers: u32) -> String {
        (0..numbers).map(|number| format!("{} € ", number.wrapping_mul(2_654_435_761))).collect()
    }

    fn of(text: &str, unit: Unit) -> Windows {
        windows(Path::new("t"), text.as_bytes(), unit, Origin::Modified).unwrap()
    }

    #[test]
    fn every_text_gives_the_same_numbers_of_windows() {
        for numbers in [3_000, 20_000] {
            for unit in [Unit::Byte, Unit::Character] {
                let windows = of(&text(numbers), unit);
                let parts = [&windows.train, &windows.validation, &windows.test];
                assert_eq!(parts.map(|part| part.ids.len()), SIZES.map(|n| n as usize));
                let all = parts.into_iter().flat_map(|part| &part.examples);
                assert!(all.clone().all(|window| window.tokens.len() == WINDOW));
            }
        }
    }

    #[test]
    fn a_users_file_goes_by_its_own_name_and_digest_and_not_by_that_of_a_data_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, text(3_000)).unwrap();
        let sources = Sources { data_dir: PathBuf::new(), cache_dir: PathBuf::new() };
        let windows = load(Some(&path), Unit::Byte, &sources).unwrap();
        let sha256 = Digest::of(text(3_000).as_bytes());
        let own = OwnFile { name: "file:notes.txt".to_owned(), sha256 };
        assert_eq!((windows.origin, windows.own), (Origin::Own, Some(own)));
    }

    #[test]
    fn a_window_is_a_stretch_of_the_text_and_splits_share_no_stretch() {
        let text = text(4_000);
        let windows = of(&text, Unit::Character);
        let spell = |window: &Sequence| windows.spelling.decode(&window.tokens);
        let mut ends = Vec::new();
        for (part, name) in [(&windows.train, 0), (&windows.validation, 1), (&windows.test, 2)] {
            for window in &part.examples {
                let at = text.find(&spell(window)).unwrap();
                ends.push((at, at + spell(window).len(), name));
            }
        }
        ends.sort_unstable();
        for pair in ends.windows(2) {
            assert!(pair[0].2 == pair[1].2 || pair[0].1 <= pair[1].0, "{pair:?}");
        }
    }

    #[test]
    fn the_bytes_of_windows_count_long_characters_as_they_are_written() {
        let windows = of(&text(20_000), Unit::Character);
        let window = &windows.test.examples[..1];
        let written = windows.spelling.decode(&window[0].tokens[1..]).len();
        assert_eq!(bytes(&windows.spelling, window), Some(written as u64));
        assert!(written > 64);
        assert_eq!(bytes(&of(&text(20_000), Unit::Byte).spelling, window), Some(64));
    }

    #[test]
    fn source_code_and_logs_are_texts_with_any_line_end_and_what_they_repeat_stays_in_one_split() {
        // A licence before every file, Windows line ends, tabs, colours of a terminal, and a null.
        let licence =
            "// Permission is granted to whoever asks for it, without a warranty of any kind.\r\n";
        let file = |n: u32| {
            let number = n.wrapping_mul(2_654_435_761);
            format!(
                "{licence}{licence}fn f{n}() {{\r\n\treturn {number};\r\n}}\r\n\u{1b}[1mλ{number}\u{1b}[0m\0\n"
            )
        };
        let code: String = (0..600).map(file).collect();
        for unit in [Unit::Character, Unit::Byte] {
            let windows = of(&code, unit);
            assert!(windows.left_out > 0 && windows.train.ids.len() == SIZES[0] as usize);
            let all: Vec<Digest> = [&windows.validation, &windows.test]
                .into_iter()
                .flat_map(|part| part.ids.clone())
                .collect();
            assert_eq!(all.len() + windows.left_out, 2 * SIZES[1] as usize);
            assert!(all.iter().all(|id| !windows.train.ids.contains(id)));
            assert!(windows.test.ids.iter().all(|id| !windows.validation.ids.contains(id)));
        }
        let Spelling::Character { alphabet } = of(&code, Unit::Character).spelling else {
            panic!()
        };
        assert!(['\0', '\t', '\n', '\r', '\u{1b}', 'λ'].iter().all(|&c| alphabet.contains(c)));
    }

    #[test]
    fn a_text_that_is_not_utf8_is_told_line_offset_and_byte_and_is_bytes_all_the_same() {
        let bytes = [text(3_000).as_bytes(), b"\nab\xff\n"].concat();
        let told = windows(Path::new("t"), &bytes, Unit::Character, Origin::Own);
        let told = told.unwrap_err().to_string();
        let offset = bytes.len() - 2;
        assert!(told.contains(&format!("line 2: byte 0xff at offset {offset}")), "{told}");
        assert!(told.contains("text-byte"), "{told}");
        assert!(windows(Path::new("t"), &bytes, Unit::Byte, Origin::Own).is_ok());
    }

    #[test]
    fn a_short_text_and_one_that_repeats_itself_are_refused_with_the_reason() {
        let refused = |text: &str| {
            windows(Path::new("t"), text.as_bytes(), Unit::Byte, Origin::Modified)
                .unwrap_err()
                .to_string()
        };
        assert!(refused("short").contains("at least 16,896"));
        let repeated = refused(&"abc".repeat(20_000));
        assert!(repeated.contains("again and again"), "{repeated}");
    }
}
