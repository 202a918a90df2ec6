//! Windows of one text for language models, split by blocks of the text.
//!
//! A text of any length is cut into 256 blocks of equal length. Blocks are ranked by a hash of
//! their content: 8 validate, 8 test, 240 train. Every block gives 64 windows of 65 tokens whose
//! starts are spread evenly over it, so that no two splits share a stretch of text. The numbers of
//! windows are thus the same for every text: of 1.1 million tokens all are used once, a longer text
//! is sampled evenly, windows of a shorter one overlap within their block.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ledger::digest::Digest;

use crate::catalogue;
use crate::error::DataError;
use crate::files::{self, FILE_CAP};
use crate::loaded::{Origin, OwnFile};
use crate::sequences::{Part, Sequence};
use crate::sources::Sources;
use crate::split::{Split, sample_id};

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

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A byte: 256 tokens.
    Byte,
    /// A character; the alphabet is what occurs in the text, in code point order.
    Character,
}

/// A text as windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// Windows to train on.
    pub train: Part<Sequence>,
    /// Windows to validate on.
    pub validation: Part<Sequence>,
    /// Windows to test on.
    pub test: Part<Sequence>,
    /// The alphabet: text of each token.
    pub alphabet: Vec<Vec<u8>>,
    /// Whether these are the published bytes of a data set.
    pub origin: Origin,
    /// The file, where they are not of a data set.
    pub own: Option<OwnFile>,
}

/// The windows of `file`, or of Tiny Shakespeare when no file is given. A file that holds the published
/// Tiny Shakespeare is that, wherever it lies.
///
/// # Errors
/// When the file is missing, not UTF-8 (for characters), too short, or holds the same window in
/// two splits.
pub fn load(file: Option<&Path>, unit: Unit, sources: &Sources) -> Result<Windows, DataError> {
    let Some(path) = file else {
        let text = super::tinyshakespeare(sources)?;
        return windows(Path::new("tinyshakespeare"), text.text.as_bytes(), unit, text.origin);
    };
    let bytes = files::read(path, FILE_CAP)?;
    let listed = catalogue::find("tinyshakespeare")?.files;
    if listed.iter().any(|published| published.pin.matches(path, &bytes)) {
        return windows(path, &bytes, unit, Origin::Official);
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let own = OwnFile { name: format!("file:{name}"), sha256: Digest::of(&bytes) };
    Ok(Windows { own: Some(own), ..windows(path, &bytes, unit, Origin::Own)? })
}

fn windows(path: &Path, text: &[u8], unit: Unit, origin: Origin) -> Result<Windows, DataError> {
    let (tokens, alphabet) = tokens(path, text, unit)?;
    let length = tokens.len() / BLOCKS;
    if length <= WINDOW {
        return Err(DataError::Setting {
            setting: "length of the text in tokens",
            found: format!("{} ({})", tokens.len(), path.display()),
            expected: "at least 16,896, so that each of 256 blocks holds windows of 65",
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
    let all = Windows {
        train: part(&split.train),
        validation: part(&split.validation),
        test: part(&split.test),
        alphabet,
        origin,
        own: None,
    };
    all.refuse_repeats(path)?;
    Ok(all)
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
fn tokens(path: &Path, text: &[u8], unit: Unit) -> Result<(Vec<u16>, Vec<Vec<u8>>), DataError> {
    match unit {
        Unit::Byte => {
            let alphabet = (0..=u8::MAX).map(|byte| vec![byte]).collect();
            Ok((text.iter().map(|&byte| u16::from(byte)).collect(), alphabet))
        }
        Unit::Character => {
            let text = std::str::from_utf8(text).map_err(|error| DataError::Encoding {
                path: PathBuf::from(path),
                offset: error.valid_up_to(),
            })?;
            let alphabet: BTreeSet<char> = text.chars().collect();
            let alphabet: Vec<char> = alphabet.into_iter().collect();
            let token = |character: char| {
                let place = alphabet.binary_search(&character).unwrap_or(0);
                u16::try_from(place).map_err(|_| DataError::Setting {
                    setting: "number of different characters",
                    found: alphabet.len().to_string(),
                    expected: "at most 65,536",
                })
            };
            let tokens = text.chars().map(token).collect::<Result<_, _>>()?;
            Ok((tokens, alphabet.iter().map(|c| c.to_string().into_bytes()).collect()))
        }
    }
}

impl Windows {
    /// Blocks do not overlap, but a text may say the same twice.
    fn refuse_repeats(&self, path: &Path) -> Result<(), DataError> {
        let [train, validation, test] = [&self.train, &self.validation, &self.test]
            .map(|part| part.ids.iter().collect::<BTreeSet<_>>());
        let shared = train.intersection(&validation).count()
            + train.intersection(&test).count()
            + validation.intersection(&test).count();
        if shared == 0 {
            return Ok(());
        }
        Err(DataError::Setting {
            setting: "number of windows that stand in two splits",
            found: format!("{shared} ({})", path.display()),
            expected: "0: take a text that repeats itself less",
        })
    }

    /// Bytes of the text that the tokens after the first of these windows stand for.
    #[must_use]
    pub fn bytes(&self, windows: &[Sequence]) -> u64 {
        let length = |token: &u16| self.alphabet.get(usize::from(*token)).map_or(0, Vec::len);
        windows.iter().flat_map(Sequence::response).map(|token| length(token) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
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
        let spell = |window: &Sequence| {
            let bytes = window.tokens.iter().flat_map(|&t| &windows.alphabet[usize::from(t)]);
            String::from_utf8(bytes.copied().collect()).unwrap()
        };
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
        let written: usize = window[0].tokens[1..]
            .iter()
            .map(|&token| windows.alphabet[usize::from(token)].len())
            .sum();
        assert_eq!(windows.bytes(window), written as u64);
        assert!(written > 64);
        assert_eq!(of(&text(20_000), Unit::Byte).bytes(window), 64);
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
        assert!(repeated.contains("stand in two splits"), "{repeated}");
    }
}
