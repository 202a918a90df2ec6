//! A course: subjects of several concepts, asked at levels that build on one another.
//!
//! A concept is a function a·x + b modulo p; its subject is what kind of function that is. A question names subject, concept
//! and mode, gives three registers their values and asks about one: `S C mode a 5 b 8 c 3 ? b then`, and the response is a
//! value and the end. At the first level it is the function's value, at the second the argument that has the register's
//! value, at the third the function's value of its value (or once more).

use rand_pcg::Pcg64;

use super::{Alphabet, below, some_of};
use crate::sequences::Sequence;

/// Subjects.
pub const SUBJECTS: u32 = 4;
/// Concepts of a subject.
pub const CONCEPTS: u32 = 6;
/// Levels.
pub const LEVELS: u32 = 3;
/// Subject, concept and level together.
pub const CELLS: u32 = SUBJECTS * CONCEPTS * LEVELS;

/// Ways to ask: the value, the argument, twice, three times.
const MODES: u32 = 4;
/// Registers that are given.
const GIVEN: usize = 3;
const NAMES: u16 = 6;
/// p.
const MODULUS: u32 = 13;

/// Where in the course a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 0.
    pub level: u32,
    /// From 0, within its subject.
    pub concept: u32,
    /// From 0.
    pub subject: u32,
}

/// A question of the course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it stands.
    pub place: Place,
    /// Its tokens; the group is the level.
    pub sequence: Sequence,
}

/// The tokens.
#[must_use]
pub fn alphabet() -> Alphabet {
    let operators = u16::try_from(SUBJECTS + CONCEPTS + MODES).unwrap_or(0);
    Alphabet { modulus: u16::try_from(MODULUS).unwrap_or(0), operators, names: NAMES }
}

/// Tokens of every example.
pub const LENGTH: usize = 3 + 2 * GIVEN + 3 + 2;

/// a and b of a concept: x + b, b − x, a·x, a·x + b.
fn function(subject: u32, concept: u32) -> [u32; 2] {
    match subject {
        0 => [1, concept + 1],
        1 => [MODULUS - 1, 2 * concept],
        2 => [concept + 2, 0],
        _ => [concept + 2, concept + 5],
    }
}

fn apply([a, b]: [u32; 2], x: u32) -> u32 {
    (a * x + b) % MODULUS
}

/// The answer to a question in a mode.
fn answer(subject: u32, concept: u32, mode: u32, x: u32) -> u32 {
    let f = function(subject, concept);
    match mode {
        1 => (0..MODULUS).find(|argument| apply(f, *argument) == x).unwrap_or(0),
        _ => (0..mode.max(1)).fold(x, |x, _| apply(f, x)),
    }
}

/// A question of `cell`, below [`CELLS`].
#[must_use]
pub fn draw(cell: usize, random: &mut Pcg64) -> Item {
    let cell = u32::try_from(cell).unwrap_or(0) % CELLS;
    let (subject, rest) = (cell % SUBJECTS, cell / SUBJECTS);
    let (concept, level) = (rest % CONCEPTS, rest / CONCEPTS);
    let mode = if level < 2 { level } else { 2 + below(random, 2) };
    let alphabet = alphabet();
    let mut tokens = vec![
        alphabet.operator(subject),
        alphabet.operator(SUBJECTS + concept),
        alphabet.operator(SUBJECTS + CONCEPTS + mode),
    ];
    let names = some_of(random, NAMES, GIVEN);
    let values = [(); GIVEN].map(|()| below(random, MODULUS));
    for (name, value) in names.iter().zip(values) {
        tokens.extend([alphabet.name(*name), alphabet.digit(value)]);
    }
    let asked = usize::try_from(below(random, 3)).unwrap_or(0) % GIVEN;
    tokens.extend([Alphabet::ASK, alphabet.name(names[asked]), Alphabet::THEN]);
    let prompt = tokens.len();
    let value = answer(subject, concept, mode, values[asked]);
    tokens.extend([alphabet.digit(value), Alphabet::END]);
    let sequence = Sequence { tokens, prompt, group: level };
    Item { place: Place { level, concept, subject }, sequence }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;
    use std::collections::BTreeSet;

    #[test]
    fn an_argument_is_what_has_the_value_and_twice_is_the_value_of_the_value() {
        for (subject, concept) in (0..SUBJECTS).flat_map(|s| (0..CONCEPTS).map(move |c| (s, c))) {
            for x in 0..MODULUS {
                let of = |mode, x| answer(subject, concept, mode, x);
                assert_eq!(of(1, of(0, x)), x);
                assert_eq!(of(2, x), of(0, of(0, x)));
                assert_eq!(of(3, x), of(0, of(2, x)));
            }
        }
        // 5 − x of the second concept of differences is 2 − x.
        assert_eq!((answer(1, 1, 0, 5), answer(0, 2, 0, 12)), (10, 2));
    }

    #[test]
    fn concepts_are_different_functions() {
        let all = (0..SUBJECTS).flat_map(|s| (0..CONCEPTS).map(move |c| function(s, c)));
        assert_eq!(all.collect::<BTreeSet<_>>().len(), (SUBJECTS * CONCEPTS) as usize);
    }

    #[test]
    fn a_question_stands_where_its_cell_says_and_has_the_announced_length() {
        let mut random = ledger::order::generator(&Digest::of(b"course"));
        let mut seen = BTreeSet::new();
        for cell in 0..CELLS as usize {
            let Item { place, sequence } = draw(cell, &mut random);
            assert_eq!((sequence.tokens.len(), sequence.prompt), (LENGTH, LENGTH - 2));
            assert_eq!(sequence.group, place.level);
            let alphabet = alphabet();
            let named = [0, 1].map(|at| alphabet.read_operator(sequence.tokens[at]).unwrap());
            assert_eq!(named, [place.subject, SUBJECTS + place.concept]);
            seen.insert(place);
        }
        assert_eq!(seen.len(), CELLS as usize);
        assert!(seen.first().unwrap().level == 0 && seen.last().unwrap().level == 2);
    }
}
