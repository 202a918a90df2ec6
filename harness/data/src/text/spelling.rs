//! What tokens stand for: a run keeps it beside its model, so that text can be given to the model and read from it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Most different characters of a text: beyond that most of a small model would be its alphabet.
pub const MOST_CHARACTERS: usize = 1 << 14;

/// What a text is read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A byte: 256 tokens.
    Byte,
    /// A character; the alphabet is what occurs in the text, in code point order.
    Character,
}

/// What each token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "unit", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Spelling {
    /// Token b is byte b.
    Byte {},
    /// Token k is the character at place k.
    Character {
        /// The characters, in code point order.
        alphabet: String,
    },
    /// A token is its number, and whoever made the file knows what for.
    Number {
        /// How many there are.
        vocabulary: u32,
    },
}

/// Why a text cannot be given to a model, or a spelling is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpellingError {
    /// A character that the model has never seen.
    #[error(
        "{character} at place {place} is not in the alphabet of {letters}{hint}; leave it out, or train on a text that holds it"
    )]
    Outside {
        /// The character, named.
        character: String,
        /// Its place in the text, in characters from 0.
        place: usize,
        /// Characters of the alphabet.
        letters: usize,
        /// The same letter in the other case, where the alphabet has it.
        hint: String,
    },
    /// A word that is no token.
    #[error(
        "{word:?} is no token: tokens of this model are numbers from 0 to {last}, parted by blanks"
    )]
    NoToken {
        /// The word.
        word: String,
        /// The largest token.
        last: u32,
    },
    /// An alphabet that no text has.
    #[error("its alphabet is not one: {0}")]
    Malformed(&'static str),
}

impl Spelling {
    /// That of texts, their characters or bytes, with the tokens of each.
    ///
    /// # Errors
    /// With the number of characters, when they are more than [`MOST_CHARACTERS`].
    pub fn of(unit: Unit, texts: &[&str]) -> Result<(Self, Vec<Vec<u16>>), usize> {
        if unit == Unit::Byte {
            let tokens = texts.iter().map(|text| text.bytes().map(u16::from).collect());
            return Ok((Self::Byte {}, tokens.collect()));
        }
        let mut letters = BTreeSet::new();
        texts.iter().for_each(|text| letters.extend(text.chars()));
        if letters.len() > MOST_CHARACTERS {
            return Err(letters.len());
        }
        let letters: Vec<char> = letters.into_iter().collect();
        // Each character is among them, at a place below 2^14.
        let token = |letter: char| letters.binary_search(&letter).unwrap_or_default() as u16;
        let tokens = texts.iter().map(|text| text.chars().map(token).collect());
        Ok((Self::Character { alphabet: letters.iter().collect() }, tokens.collect()))
    }

    /// Refuses what a stranger's record may say and no text has.
    ///
    /// # Errors
    /// When the alphabet is empty, too large or out of order.
    pub fn checked(self) -> Result<Self, SpellingError> {
        let malformed = |why| Err(SpellingError::Malformed(why));
        match &self {
            Self::Byte {} => {}
            Self::Number { vocabulary } if (1..=1 << 16).contains(vocabulary) => {}
            Self::Number { .. } => return malformed("tokens have 16 bits"),
            Self::Character { alphabet } => {
                let letters: Vec<char> = alphabet.chars().collect();
                if letters.is_empty() || letters.len() > MOST_CHARACTERS {
                    return malformed("it is empty, or larger than any");
                }
                if !letters.is_sorted_by(|a, b| a < b) {
                    return malformed("its characters are not in the order of their codes");
                }
            }
        }
        Ok(self)
    }

    /// How many tokens there are.
    #[must_use]
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Byte {} => 256,
            Self::Character { alphabet } => alphabet.chars().count(),
            Self::Number { vocabulary } => *vocabulary as usize,
        }
    }

    /// Bytes that each token is written with; none where that is not known.
    #[must_use]
    pub fn lengths(&self) -> Option<Vec<usize>> {
        match self {
            Self::Byte {} => Some(vec![1; 256]),
            Self::Character { alphabet } => Some(alphabet.chars().map(char::len_utf8).collect()),
            Self::Number { .. } => None,
        }
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// With the first character, or word, that is none.
    pub fn encode(&self, text: &str) -> Result<Vec<u16>, SpellingError> {
        match self {
            Self::Byte {} => Ok(text.bytes().map(u16::from).collect()),
            Self::Character { alphabet } => {
                let letters: Vec<char> = alphabet.chars().collect();
                let token = |(place, character): (usize, char)| {
                    let found = letters.binary_search(&character).ok();
                    found.and_then(|found| u16::try_from(found).ok()).ok_or_else(|| {
                        SpellingError::Outside {
                            character: named(character),
                            place,
                            letters: letters.len(),
                            hint: other_case(character, &letters),
                        }
                    })
                };
                text.chars().enumerate().map(token).collect()
            }
            Self::Number { vocabulary } => {
                let last = vocabulary.saturating_sub(1);
                let token = |word: &str| {
                    let known = word.parse::<u16>().ok().filter(|token| u32::from(*token) <= last);
                    known.ok_or_else(|| SpellingError::NoToken { word: word.to_owned(), last })
                };
                text.split_whitespace().map(token).collect()
            }
        }
    }

    /// The text that tokens stand for; of numbers, the numbers. Bytes that are no UTF-8 are written as `\xNN`.
    #[must_use]
    pub fn decode(&self, tokens: &[u16]) -> String {
        match self {
            Self::Byte {} => {
                let bytes: Vec<u8> =
                    tokens.iter().filter_map(|&token| u8::try_from(token).ok()).collect();
                let mut text = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    text += chunk.valid();
                    chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
                }
                text
            }
            Self::Character { alphabet } => {
                let letters: Vec<char> = alphabet.chars().collect();
                tokens.iter().filter_map(|&token| letters.get(usize::from(token))).collect()
            }
            Self::Number { .. } => {
                tokens.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// A hint where the alphabet has a letter in the other case alone.
fn other_case(character: char, letters: &[char]) -> String {
    let mut other = character.to_lowercase().chain(character.to_uppercase());
    let found = other.find(|other| *other != character && letters.binary_search(other).is_ok());
    found.map(|found| format!(", which has {}", named(found))).unwrap_or_default()
}

/// A character as a message shows it: in quotes, escaped where it would not be seen, with code and name.
#[must_use]
pub fn named(character: char) -> String {
    let name = match character {
        '\0' => ", null",
        '\u{7}' => ", bell",
        '\u{8}' => ", backspace",
        '\t' => ", tab",
        '\n' => ", line feed",
        '\u{b}' => ", vertical tab",
        '\u{c}' => ", form feed",
        '\r' => ", carriage return",
        '\u{1b}' => ", escape",
        ' ' => ", space",
        '\u{7f}' => ", delete",
        '\u{a0}' => ", no-break space",
        '\u{200b}' => ", zero width space",
        '\u{feff}' => ", byte order mark",
        '\u{fffd}' => ", replacement character",
        other if other.is_control() => ", a control character",
        _ => "",
    };
    format!("{character:?} (U+{:04X}{name})", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letters(text: &str) -> Spelling {
        Spelling::of(Unit::Character, &[text]).unwrap().0
    }

    #[test]
    fn a_character_outside_of_the_alphabet_is_named_with_its_place_and_the_other_case() {
        let spelling = letters("fn main() {\n}\r");
        let told = |text: &str| spelling.encode(text).unwrap_err().to_string();
        assert!(
            told("fn\tmain").contains("'\\t' (U+0009, tab) at place 2"),
            "{}",
            told("fn\tmain")
        );
        assert!(told("M").contains("which has 'm'"), "{}", told("M"));
        assert!(told("a\u{1b}").contains("U+001B, escape"), "{}", told("a\u{1b}"));
        assert!(told("\u{feff}f").contains("byte order mark"));
        assert_eq!(named('é'), "'é' (U+00E9)");
        assert_eq!(named('\u{85}'), "'\\u{85}' (U+0085, a control character)");
    }

    #[test]
    fn numbers_are_their_own_text_and_others_are_refused() {
        let spelling = Spelling::Number { vocabulary: 300 };
        assert_eq!(spelling.encode(" 7 299\n0").unwrap(), [7, 299, 0]);
        assert_eq!(spelling.decode(&[7, 299, 0]), "7 299 0");
        for word in ["300", "x", "-1", "65536"] {
            let told = spelling.encode(word).unwrap_err().to_string();
            assert!(told.contains(word) && told.contains("0 to 299"), "{told}");
        }
        assert_eq!((spelling.vocabulary(), spelling.lengths()), (300, None));
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_by_their_numbers() {
        let bytes = "aé".bytes().chain([0xff, b'z']).map(u16::from).collect::<Vec<_>>();
        assert_eq!(Spelling::Byte {}.decode(&bytes), "aé\\xffz");
    }

    #[test]
    fn a_spelling_goes_through_a_record_and_one_that_no_text_has_is_refused() {
        for spelling in [letters("zebra"), Spelling::Byte {}, Spelling::Number { vocabulary: 9 }] {
            let json = serde_json::to_value(&spelling).unwrap();
            let read: Spelling = serde_json::from_value(json).unwrap();
            assert_eq!(read.checked(), Ok(spelling));
        }
        let character = |alphabet: &str| Spelling::Character { alphabet: alphabet.to_owned() };
        for bad in [character(""), character("ba"), character("aa")] {
            assert!(bad.checked().is_err());
        }
        for vocabulary in [0, 1 + (1 << 16)] {
            assert!(Spelling::Number { vocabulary }.checked().is_err());
        }
        let many: String = (0..).filter_map(char::from_u32).take(MOST_CHARACTERS + 1).collect();
        assert_eq!(Spelling::of(Unit::Character, &[&many]), Err(MOST_CHARACTERS + 1));
        assert!(character(&many).checked().is_err());
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(text in any::<String>()) {
            for unit in [Unit::Character, Unit::Byte] {
                let (spelling, all) = Spelling::of(unit, &[&text]).unwrap();
                let tokens = spelling.encode(&text).unwrap();
                prop_assert_eq!(&all[..], std::slice::from_ref(&tokens));
                prop_assert!(tokens.iter().all(|token| usize::from(*token) < spelling.vocabulary()));
                prop_assert_eq!(spelling.decode(&tokens), text.clone());
            }
        }
    }
}
