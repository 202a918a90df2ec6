//! Puzzles with exact verifiers, for learning from reward: generated, no download.
//!
//! A puzzle is a prompt of fixed length (short ones padded before the last token, [`ASK`]) and one
//! right answer to it, its demonstration; a verifier accepts every right answer. All puzzles come
//! from one fixed seed, difficulty by difficulty, and no two have the same content; the parts of
//! [`Parts`] are consecutive runs of that list and therefore disjoint.
//!
//! Tokens are small numbers: [`PAD`], [`END`], [`ASK`], then each kind's own alphabet.

pub mod blocks;
pub mod chain_sum;
pub mod countdown;
pub mod knights;
pub mod mixed;
pub mod sum_routes;
pub mod two_route;

use std::collections::BTreeSet;
use std::fmt::Debug;

use ledger::digest::Digest;
use ledger::order;
use rand_pcg::Pcg64;

use crate::error::DataError;

/// Fills what is not there.
pub const PAD: u8 = 0;
/// Ends a response.
pub const END: u8 = 1;
/// Ends a prompt.
pub const ASK: u8 = 2;
/// First token of a kind's own alphabet.
pub const FIRST: u8 = 3;

/// Draws in a row without a new puzzle after which there are no more.
const PATIENCE: usize = 20_000;

/// A prompt with one right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Puzzle {
    /// Tokens of the prompt, [`ASK`] last.
    pub prompt: Vec<u8>,
    /// Tokens of a right answer, without [`END`].
    pub demonstration: Vec<u8>,
    /// Index of its difficulty among those that were asked for.
    pub group: u32,
}

/// What a verifier says of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It is right.
    pub correct: bool,
    /// It has the form of an answer.
    pub well_formed: bool,
}

impl Verdict {
    /// Not even an answer.
    pub const MALFORMED: Self = Self { correct: false, well_formed: false };
}

/// A kind of puzzle.
pub trait Kind: Debug + Send + Sync {
    /// Name, part of the seed of all draws.
    fn name(&self) -> &'static str;

    /// Number of tokens, the special ones included.
    fn alphabet(&self) -> u8;

    /// Tokens of a prompt.
    fn prompt_length(&self) -> usize;

    /// Longest answer that is worth waiting for, [`END`] included.
    fn longest_response(&self) -> usize;

    /// What a difficulty is called.
    fn label(&self, difficulty: u32) -> String {
        difficulty.to_string()
    }

    /// A random puzzle: prompt and demonstration.
    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>);

    /// What makes two puzzles the same one; the prompt, unless several prompts ask the same.
    fn content(&self, prompt: &[u8]) -> Vec<u8> {
        prompt.to_vec()
    }

    /// Tokens before [`END`] that `prompt` asks for, where it says so.
    fn budget(&self, _prompt: &[u8]) -> Option<usize> {
        None
    }

    /// Whether `response` (up to and without [`END`]) answers `prompt`.
    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict;
}

/// Puzzles of each part, per difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// To imitate before learning from reward, at most: what is left of a difficulty's puzzles.
    pub demonstrations: usize,
    /// To tell when that has gone far enough.
    pub rehearsal: usize,
    /// To learn from reward.
    pub train: usize,
    /// To select on.
    pub validation: usize,
    /// To report.
    pub test: usize,
}

/// Disjoint parts; within each, puzzles lie difficulty by difficulty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// To imitate before learning from reward.
    pub demonstrations: Vec<Puzzle>,
    /// To tell when that has gone far enough.
    pub rehearsal: Vec<Puzzle>,
    /// To learn from reward.
    pub train: Vec<Puzzle>,
    /// To select on.
    pub validation: Vec<Puzzle>,
    /// To report.
    pub test: Vec<Puzzle>,
}

/// All puzzles of these difficulties. The training part comes last of each difficulty's draws but
/// for the demonstrations, so that evaluations stay what they are when there is more to learn from.
///
/// # Errors
/// [`DataError::Setting`] when a difficulty has fewer puzzles than asked for.
pub fn generate(kind: &dyn Kind, difficulties: &[u32], sizes: &Sizes) -> Result<Parts, DataError> {
    let mut parts = Parts::default();
    for (group, &difficulty) in (0..).zip(difficulties) {
        let Sizes { demonstrations, rehearsal, train, validation, test } = *sizes;
        let needed = rehearsal + train + validation + test;
        let puzzles = distinct(kind, difficulty, group, needed + demonstrations);
        if puzzles.len() < needed {
            return Err(DataError::Setting {
                setting: "puzzles per difficulty",
                found: format!("{needed} at difficulty {difficulty} of {}", kind.name()),
                expected: "no more than there are",
            });
        }
        let mut puzzles = puzzles.into_iter();
        let mut take = |part: &mut Vec<Puzzle>, n| part.extend(puzzles.by_ref().take(n));
        take(&mut parts.test, test);
        take(&mut parts.validation, validation);
        take(&mut parts.rehearsal, rehearsal);
        take(&mut parts.train, train);
        take(&mut parts.demonstrations, demonstrations);
    }
    Ok(parts)
}

/// The first `wanted` puzzles of a difficulty with different content, or all there are.
fn distinct(kind: &dyn Kind, difficulty: u32, group: u32, wanted: usize) -> Vec<Puzzle> {
    let seed = Digest::of_parts(&[
        b"palimpsest/puzzles/v1",
        kind.name().as_bytes(),
        &difficulty.to_le_bytes(),
    ]);
    let mut random = order::generator(&seed);
    let mut seen = BTreeSet::new();
    let mut puzzles = Vec::with_capacity(wanted);
    let mut vain = 0;
    while puzzles.len() < wanted && vain < PATIENCE {
        let (prompt, demonstration) = kind.draw(difficulty, &mut random);
        if seen.insert(kind.content(&prompt)) {
            puzzles.push(Puzzle { prompt, demonstration, group });
            vain = 0;
        } else {
            vain += 1;
        }
    }
    puzzles
}

/// `tokens` filled up with [`PAD`] to one less than `length`, then [`ASK`].
fn asked(mut tokens: Vec<u8>, length: usize) -> Vec<u8> {
    tokens.resize(length.saturating_sub(1), PAD);
    tokens.push(ASK);
    tokens
}

/// A uniform number in 0..n.
fn below(random: &mut Pcg64, n: u8) -> u8 {
    u8::try_from(order::bounded(random, n.into())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes =
        Sizes { demonstrations: 30, rehearsal: 5, train: 20, validation: 10, test: 15 };

    fn kinds() -> Vec<(Box<dyn Kind>, Vec<u32>)> {
        let sums = chain_sum::ChainSum { modulus: 5, longest: 10, strict: false };
        let strict = chain_sum::ChainSum { strict: true, ..sums };
        vec![
            (Box::new(sums), vec![4, 5, 6, 7, 8, 10]),
            (Box::new(strict), vec![4, 5, 6, 7, 8, 10]),
            (Box::new(mixed::Mixed { sums: strict }), vec![4, 10, 104, 110, 204, 210]),
            (
                Box::new(sum_routes::SumRoutes { sums: strict, largest: 12, short: 50 }),
                vec![6, 7, 8, 10],
            ),
            (Box::new(countdown::Countdown { numbers: 4, largest: 25 }), vec![2, 3, 4]),
            (Box::new(knights::Knights { people: 6 }), vec![3, 4, 5, 6]),
            (Box::new(two_route::TwoRoute { places: 4 }), vec![2, 4]),
        ]
    }

    fn all(parts: &Parts) -> Vec<&Puzzle> {
        let Parts { demonstrations, rehearsal, train, validation, test } = parts;
        [demonstrations, rehearsal, train, validation, test].into_iter().flatten().collect()
    }

    #[test]
    fn every_demonstration_verifies_and_fits_alphabet_and_lengths() {
        for (kind, difficulties) in kinds() {
            for puzzle in all(&generate(kind.as_ref(), &difficulties, &SIZES).unwrap()) {
                let verdict = kind.check(&puzzle.prompt, &puzzle.demonstration);
                assert_eq!(verdict, Verdict { correct: true, well_formed: true }, "{puzzle:?}");
                assert_eq!(puzzle.prompt.len(), kind.prompt_length(), "{puzzle:?}");
                assert_eq!(puzzle.prompt.last(), Some(&ASK));
                assert!(puzzle.demonstration.len() < kind.longest_response(), "{puzzle:?}");
                assert!(puzzle.demonstration.iter().all(|token| *token >= FIRST));
                let mut tokens = puzzle.prompt.iter().chain(&puzzle.demonstration);
                assert!(tokens.all(|token| *token < kind.alphabet()), "{puzzle:?}");
            }
        }
    }

    #[test]
    fn no_two_puzzles_of_any_parts_have_the_same_content() {
        for (kind, difficulties) in kinds() {
            let parts = generate(kind.as_ref(), &difficulties, &SIZES).unwrap();
            let contents: BTreeSet<_> =
                all(&parts).iter().map(|puzzle| kind.content(&puzzle.prompt)).collect();
            assert_eq!(contents.len(), 80 * difficulties.len(), "{}", kind.name());
        }
    }

    #[test]
    fn every_difficulty_has_as_many_puzzles_and_the_same_seed_gives_the_same_ones() {
        for (kind, difficulties) in kinds() {
            let parts = generate(kind.as_ref(), &difficulties, &SIZES).unwrap();
            assert_eq!(parts, generate(kind.as_ref(), &difficulties, &SIZES).unwrap());
            for group in 0..u32::try_from(difficulties.len()).unwrap() {
                let count = |part: &[Puzzle]| part.iter().filter(|p| p.group == group).count();
                assert_eq!((count(&parts.train), count(&parts.test)), (20, 15));
            }
        }
    }

    #[test]
    fn more_demonstrations_leave_every_other_part_as_it_is() {
        for (kind, difficulties) in kinds() {
            let few = generate(kind.as_ref(), &difficulties, &SIZES).unwrap();
            let sizes = Sizes { demonstrations: 60, ..SIZES };
            let more = generate(kind.as_ref(), &difficulties, &sizes).unwrap();
            assert_eq!((few.train, few.test), (more.train, more.test));
        }
    }

    #[test]
    fn malformed_answers_are_refused_and_never_a_panic() {
        for (kind, difficulties) in kinds() {
            let parts = generate(kind.as_ref(), &difficulties, &SIZES).unwrap();
            let prompt = &parts.train[0].prompt;
            for response in [&[][..], &[PAD], &[ASK, ASK], &[255; 40], &[PAD; 3]] {
                assert!(!kind.check(prompt, response).correct, "{} {response:?}", kind.name());
            }
            assert_eq!(kind.check(prompt, &[]), Verdict::MALFORMED);
        }
    }

    #[test]
    fn asking_for_more_puzzles_than_there_are_is_an_error() {
        let kind = chain_sum::ChainSum { modulus: 5, longest: 4, strict: false };
        let sizes = Sizes { demonstrations: 0, rehearsal: 0, train: 30, validation: 0, test: 0 };
        assert_eq!(generate(&kind, &[2], &Sizes { train: 25, ..sizes }).unwrap().train.len(), 25);
        let error = generate(&kind, &[2], &sizes).unwrap_err().to_string();
        assert_eq!(
            error,
            "puzzles per difficulty is 30 at difficulty 2 of chain-sum, expected no more than there are"
        );
    }
}
