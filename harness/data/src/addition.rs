//! Sums of two numbers of three digits, of which one digit is asked for (Skill-it, arXiv:2307.14430;
//! HazyResearch/skill-it@807b3bf7 `dataset/addition_dataset.py`).
//!
//! ```text
//! 0 5 8 + 9 4 7 ? 1 then 0      58 + 947 = 1005, of which place 1 is the tens
//! ```
//!
//! The skill of an example is the place asked for: 0 for the ones, 1 for the tens, 2 for the
//! hundreds. A place's digit takes the carry of the places below it. Operands are uniform on 0 to
//! 998, which is what the code's `randint(0, 999)` draws; leading zeros are written, a thousand is
//! never asked for.

use ledger::order::bounded;
use rand_pcg::Pcg64;

use crate::sequences::Sequence;
use crate::slp::Alphabet;

/// Names of the places, the lowest first.
pub const PLACES: [&str; 3] = ["ones", "tens", "hundreds"];
/// The tokens: ten digits, which also number the places, and one operator.
pub const ALPHABET: Alphabet = Alphabet { modulus: 10, operators: 1, names: 0 };
/// Tokens of an example: two operands with the operator between them, `? place then answer`.
pub const LENGTH: usize = 2 * PLACES.len() + 5;

/// Operands are below this number.
const BELOW: u64 = 999;

/// An example that asks for the digit at `place`, from 0 to 2.
#[must_use]
pub fn draw(place: usize, random: &mut Pcg64) -> Sequence {
    let place = u32::try_from(place).unwrap_or(0);
    let mut operand = || u32::try_from(bounded(random, BELOW)).unwrap_or(0);
    let (left, right) = (operand(), operand());
    let written = |number: u32| [2, 1, 0].map(|place| ALPHABET.digit(digit(number, place)));
    let mut tokens = Vec::with_capacity(LENGTH);
    tokens.extend(written(left));
    tokens.push(ALPHABET.operator(0));
    tokens.extend(written(right));
    tokens.extend([Alphabet::ASK, ALPHABET.digit(place), Alphabet::THEN]);
    let prompt = tokens.len();
    tokens.push(ALPHABET.digit(digit(left + right, place)));
    Sequence { tokens, prompt, group: place }
}

/// The digit of `number` at `place`.
fn digit(number: u32, place: u32) -> u32 {
    number / 10_u32.pow(place) % 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;

    fn examples(place: usize, count: usize) -> Vec<Sequence> {
        let mut random = ledger::order::generator(&Digest::of(b"addition"));
        (0..count).map(|_| draw(place, &mut random)).collect()
    }

    /// Digits of both operands, the highest first.
    fn operands(example: &Sequence) -> [[u32; 3]; 2] {
        [0, 4].map(|start| {
            [0, 1, 2].map(|place| ALPHABET.read_digit(example.tokens[start + place]).unwrap())
        })
    }

    /// The sum, column by column from the right: of each place its digit and the carry into it.
    fn columns(example: &Sequence) -> [(u32, u32); 3] {
        let [left, right] = operands(example);
        let mut carry = 0;
        [2, 1, 0].map(|column| {
            let (sum, into) = (left[column] + right[column] + carry, carry);
            carry = u32::from(sum > 9);
            (sum - 10 * carry, into)
        })
    }

    #[test]
    fn the_answer_is_what_adding_column_by_column_gives_at_the_place_asked_for() {
        for place in 0..3 {
            for example in examples(place, 500) {
                assert_eq!((example.tokens.len(), example.prompt), (LENGTH, LENGTH - 1));
                let (answer, _) = columns(&example)[place];
                assert_eq!(example.response(), [ALPHABET.digit(answer)], "{:?}", example.tokens);
                let asked = ALPHABET.read_digit(example.tokens[8]);
                assert_eq!((asked, example.group as usize), (Some(example.group), place));
            }
        }
    }

    #[test]
    fn carries_come_in_half_of_the_time_and_run_over_two_places_as_often_as_they_should() {
        let examples = examples(2, 4_000);
        let share = |of: &dyn Fn(&Sequence) -> bool| {
            examples.iter().filter(|example| of(example)).count() as f64 / 4_000.0
        };
        // Of ten by ten pairs of digits 45 carry, 10 hand a carry on; deviations are below 0.008.
        let carried = |place: usize| share(&|example| columns(example)[place].1 == 1);
        assert!((carried(1) - 0.45).abs() < 0.03, "{}", carried(1));
        assert!((carried(2) - 0.495).abs() < 0.03, "{}", carried(2));
        let handed_on = share(&|example| {
            let [(ones, _), (tens, into_tens), (_, into_hundreds)] = columns(example);
            ones <= 8 && tens == 0 && into_tens == 1 && into_hundreds == 1
        });
        assert!((handed_on - 0.045).abs() < 0.015, "{handed_on}");
    }

    #[test]
    fn answers_are_spread_evenly_so_that_the_place_alone_tells_nothing() {
        for place in 0..3 {
            let mut counts = [0_u32; 10];
            for example in examples(place, 2_000) {
                counts[ALPHABET.read_digit(example.response()[0]).unwrap() as usize] += 1;
            }
            // 200 with a deviation of 13.4.
            assert!(counts.iter().all(|count| count.abs_diff(200) < 60), "{place}: {counts:?}");
        }
    }

    #[test]
    fn operands_reach_from_0_to_998_and_no_further() {
        let numbers = examples(0, 20_000).iter().flat_map(operands).collect::<Vec<_>>();
        let value = |[hundreds, tens, ones]: [u32; 3]| 100 * hundreds + 10 * tens + ones;
        let values = numbers.into_iter().map(value);
        assert_eq!((values.clone().min(), values.max()), (Some(0), Some(998)));
    }
}
