//! Where a run of symbols occurs in a collection of documents: a suffix array over all of them.
//!
//! Symbols are whole numbers: tokens, bytes or characters. A separator ends every document, and no
//! query holds it, so that no occurrence crosses the end of a document. Look-ups are exact and
//! depend on nothing but the text; there is no time limit that could drop frequent runs.
//!
//! Memory for N symbols in D documents: 4 bytes a symbol for the array, 2 (at most 65,535 different
//! symbols) or 4 for the text, and 4 bytes a document; while it is built, the symbols as given
//! (4 bytes each) or the array's working space (an eighth of a byte, and at most 2 bytes) besides.

mod suffixes;

use std::ops::Range;

use suffixes::{Symbol, suffix_array};

/// Why documents cannot be indexed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The lengths do not divide the text.
    #[error(
        "the document lengths add up to {sum}, but the corpus has {symbols} symbols: give the length of every document"
    )]
    Lengths {
        /// Sum of the lengths.
        sum: u64,
        /// Symbols there are.
        symbols: u64,
    },
    /// Places no longer fit into 32 bits.
    #[error(
        "{symbols} symbols in {documents} documents are more than the 2^32 - 2 an index holds: test a part of the order"
    )]
    TooLarge {
        /// Symbols there are.
        symbols: u64,
        /// Documents there are.
        documents: u64,
    },
    /// There is nothing to look in.
    #[error("the corpus has no symbols: give the documents the run was trained on")]
    Empty,
}

/// The symbols as ranks among those that occur, from 1; 0 ends each document.
#[derive(Debug)]
enum Text {
    Narrow(Vec<u16>),
    Wide(Vec<u32>),
}

/// An index over documents.
#[derive(Debug)]
pub struct Index {
    /// The different symbols, ascending.
    alphabet: Vec<u32>,
    text: Text,
    suffixes: Vec<u32>,
    /// For each rank the place in `suffixes` where those that start with it begin, and the end.
    first: Vec<u32>,
    /// For each document the place in the text after its separator.
    ends: Vec<u32>,
}

impl Index {
    /// Indexes documents that lie one after the other, with the length of each.
    ///
    /// # Errors
    /// When the lengths do not add up to the symbols, there are none, or too many.
    pub fn new(symbols: Vec<u32>, lengths: &[u32]) -> Result<Self, IndexError> {
        let (found, documents) = (symbols.len() as u64, lengths.len() as u64);
        let sum = lengths.iter().map(|&length| u64::from(length)).sum();
        if sum != found {
            return Err(IndexError::Lengths { sum, symbols: found });
        }
        if found == 0 {
            return Err(IndexError::Empty);
        }
        let whole = found + documents;
        if whole >= u64::from(u32::MAX) {
            return Err(IndexError::TooLarge { symbols: found, documents });
        }
        let alphabet = distinct(&symbols);
        let ranks = Ranks::new(&alphabet, symbols.len());
        let size = alphabet.len() + 1;
        let mut end = 0;
        let ends: Vec<u32> = lengths
            .iter()
            .map(|&length| {
                end += length + 1;
                end
            })
            .collect();
        let (text, suffixes, first);
        if u16::try_from(size - 1).is_ok() {
            let ranked = with_separators(&symbols, lengths, |symbol| ranks.of(symbol) as u16);
            drop((symbols, ranks));
            suffixes = suffix_array(&ranked, size);
            first = first_places(&ranked, size);
            text = Text::Narrow(ranked);
        } else {
            let ranked = with_separators(&symbols, lengths, |symbol| ranks.of(symbol));
            drop((symbols, ranks));
            suffixes = suffix_array(&ranked, size);
            first = first_places(&ranked, size);
            text = Text::Wide(ranked);
        }
        Ok(Self { alphabet, text, suffixes, first, ends })
    }

    /// Documents indexed.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of memory that the index holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let text = match &self.text {
            Text::Narrow(text) => 2 * text.capacity(),
            Text::Wide(text) => 4 * text.capacity(),
        };
        let words = [&self.alphabet, &self.suffixes, &self.first, &self.ends];
        text + words.iter().map(|vector| 4 * vector.capacity()).sum::<usize>()
    }

    /// How often a run of symbols occurs; the empty run does not.
    #[must_use]
    pub fn count(&self, run: &[u32]) -> usize {
        let (length, range) = self.longest_prefix(run);
        if length == run.len() { range.len() } else { 0 }
    }

    /// All occurrences of a run, as (document, offset in it), in the order of the array.
    pub fn locate(&self, run: &[u32]) -> impl Iterator<Item = (usize, usize)> {
        let (length, range) = self.longest_prefix(run);
        self.places(if length == run.len() { range } else { 0..0 })
    }

    /// The longest beginning of `run` that occurs, and its range in the array.
    pub(super) fn longest_prefix(&self, run: &[u32]) -> (usize, Range<usize>) {
        let mut found = (0, 0..0);
        for (depth, symbol) in run.iter().enumerate() {
            let Ok(place) = self.alphabet.binary_search(symbol) else { break };
            let rank = place as u32 + 1;
            let range = if depth == 0 {
                self.first[place + 1] as usize..self.first[place + 2] as usize
            } else {
                match &self.text {
                    Text::Narrow(text) => {
                        narrow(text, &self.suffixes, found.1.clone(), depth, rank)
                    }
                    Text::Wide(text) => narrow(text, &self.suffixes, found.1.clone(), depth, rank),
                }
            };
            if range.is_empty() {
                break;
            }
            found = (depth + 1, range);
        }
        found
    }

    /// Where the suffixes in a range of the array start, as (document, offset in it).
    pub(super) fn places(&self, range: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        self.suffixes[range].iter().map(|&start| {
            let document = self.ends.partition_point(|&end| end <= start);
            let begin = document.checked_sub(1).map_or(0, |before| self.ends[before]);
            (document, (start - begin) as usize)
        })
    }
}

/// Narrows the suffixes that share `depth` symbols to those whose next one has this rank.
fn narrow<T: Symbol>(
    text: &[T],
    suffixes: &[u32],
    range: Range<usize>,
    depth: usize,
    rank: u32,
) -> Range<usize> {
    // A separator always comes before the end of the text.
    let next = |start: u32| text.get(start as usize + depth).map_or(0, |symbol| symbol.index());
    let rank = rank as usize;
    let within = &suffixes[range.clone()];
    let from = within.partition_point(|&start| next(start) < rank);
    let count = within[from..].partition_point(|&start| next(start) == rank);
    range.start + from..range.start + from + count
}

/// The different symbols, ascending.
fn distinct(symbols: &[u32]) -> Vec<u32> {
    let largest = symbols.iter().copied().max().unwrap_or(0);
    // One bit for every possible symbol, where that is less than a sorted copy.
    if (largest as usize) < 32 * symbols.len() {
        let mut seen = vec![0_u64; largest as usize / 64 + 1];
        for &symbol in symbols {
            seen[symbol as usize / 64] |= 1 << (symbol % 64);
        }
        return (0..=largest)
            .filter(|symbol| seen[*symbol as usize / 64] >> (symbol % 64) & 1 == 1)
            .collect();
    }
    let mut sorted = symbols.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.shrink_to_fit();
    sorted
}

/// From symbols to ranks, from 1.
enum Ranks<'a> {
    /// A rank for every possible symbol.
    Table(Vec<u32>),
    /// The symbols that occur.
    Search(&'a [u32]),
}

impl<'a> Ranks<'a> {
    /// `alphabet` ascending; a table where it takes less than a byte for each of the text's symbols.
    fn new(alphabet: &'a [u32], symbols: usize) -> Self {
        let largest = alphabet.last().map_or(0, |&symbol| symbol as usize);
        if largest >= symbols / 4 + 1024 {
            return Self::Search(alphabet);
        }
        let mut table = vec![0; largest + 1];
        for (rank, &symbol) in (1..).zip(alphabet) {
            table[symbol as usize] = rank;
        }
        Self::Table(table)
    }

    /// The rank of a symbol that occurs.
    fn of(&self, symbol: u32) -> u32 {
        match self {
            Self::Table(table) => table[symbol as usize],
            Self::Search(alphabet) => alphabet.partition_point(|&other| other <= symbol) as u32,
        }
    }
}

/// The ranks of all symbols, with a 0 after each document.
fn with_separators<T: Default>(
    symbols: &[u32],
    lengths: &[u32],
    rank: impl Fn(u32) -> T,
) -> Vec<T> {
    let mut text = Vec::with_capacity(symbols.len() + lengths.len());
    let mut rest = symbols;
    for &length in lengths {
        let (document, after) = rest.split_at(length as usize);
        text.extend(document.iter().map(|&symbol| rank(symbol)));
        text.push(T::default());
        rest = after;
    }
    text
}

/// Where the suffixes that start with each rank begin in the array, and where the last end.
fn first_places<T: Symbol>(text: &[T], size: usize) -> Vec<u32> {
    let mut first = vec![0; size + 1];
    for symbol in text {
        first[symbol.index() + 1] += 1;
    }
    let mut sum = 0;
    for place in &mut first {
        sum += *place;
        *place = sum;
    }
    first
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn index(documents: &[&[u32]]) -> Index {
        let lengths: Vec<u32> = documents.iter().map(|document| document.len() as u32).collect();
        Index::new(documents.concat(), &lengths).unwrap()
    }

    fn located(index: &Index, run: &[u32]) -> Vec<(usize, usize)> {
        let mut places: Vec<_> = index.locate(run).collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn all_occurrences_are_counted_and_located() {
        let index = index(&[&[1, 2, 1, 2, 1], &[], &[2, 1, 2], &[9]]);
        assert_eq!(index.count(&[1, 2]), 3);
        assert_eq!(located(&index, &[1, 2]), [(0, 0), (0, 2), (2, 1)]);
        assert_eq!(located(&index, &[1, 2, 1]), [(0, 0), (0, 2)]);
        assert_eq!(located(&index, &[9]), [(3, 0)]);
        assert_eq!(index.documents(), 4);
    }

    #[test]
    fn no_run_crosses_the_end_of_a_document() {
        let index = index(&[&[1, 2], &[3, 4], &[4, 1]]);
        assert_eq!((index.count(&[2, 3]), index.count(&[4, 4]), index.count(&[1, 3])), (0, 0, 0));
        assert_eq!(index.longest_prefix(&[1, 2, 3]).0, 2);
    }

    #[test]
    fn unknown_symbols_and_empty_runs_occur_nowhere() {
        let index = index(&[&[1, 2, u32::MAX]]);
        assert_eq!((index.count(&[0]), index.count(&[1, 5]), index.count(&[])), (0, 0, 0));
        assert_eq!(located(&index, &[2, u32::MAX]), [(0, 1)]);
    }

    #[test]
    fn more_than_65535_different_symbols_take_the_wide_text() {
        let symbols: Vec<u32> = (0..70_000_u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let index = Index::new(symbols.clone(), &[35_000, 35_000]).unwrap();
        assert!(matches!(index.text, Text::Wide(_)));
        assert_eq!(located(&index, &symbols[34_998..35_000]), [(0, 34_998)]);
        assert_eq!(index.count(&symbols[34_999..35_001]), 0);
        assert_eq!(located(&index, &symbols[69_990..]), [(1, 34_990)]);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let refuse = |symbols: &[u32], lengths: &[u32]| {
            Index::new(symbols.to_vec(), lengths).unwrap_err().to_string()
        };
        insta::assert_snapshot!(
            [refuse(&[1, 2, 3], &[2, 2]), refuse(&[1], &[u32::MAX; 3]), refuse(&[], &[0, 0])]
                .join("\n"),
            @r#"
            the document lengths add up to 4, but the corpus has 3 symbols: give the length of every document
            the document lengths add up to 12884901885, but the corpus has 1 symbols: give the length of every document
            the corpus has no symbols: give the documents the run was trained on
            "#
        );
    }

    proptest! {
        #[test]
        fn counts_and_places_are_those_of_a_plain_search(
            documents in proptest::collection::vec(proptest::collection::vec(0_u32..4, 0..12), 1..8),
            run in proptest::collection::vec(0_u32..4, 1..5),
            spread in 1_u32..1_000_000_000,
        ) {
            let scale = |symbols: &[u32]| symbols.iter().map(|x| x * spread).collect::<Vec<_>>();
            let scaled: Vec<_> = documents.iter().map(|document| scale(document)).collect();
            prop_assume!(!scaled.concat().is_empty());
            let slices: Vec<&[u32]> = scaled.iter().map(Vec::as_slice).collect();
            let index = index(&slices);
            let expected: Vec<_> = documents.iter().enumerate().flat_map(|(at, document)| {
                let hits = document.windows(run.len()).enumerate().filter(|(_, window)| *window == run);
                hits.map(move |(offset, _)| (at, offset)).collect::<Vec<_>>()
            }).collect();
            prop_assert_eq!(index.count(&scale(&run)), expected.len());
            prop_assert_eq!(located(&index, &scale(&run)), expected);
        }
    }
}
