//! Sources of three sorts side by side: digits to copy, chain sums, and digits that follow from nothing.
//!
//! ```text
//! prompt  sort 2 4 4 PAD … ASK      (m = 5)
//! answer  2 4 4 END                 copy
//!         2 1 0 END                 sum
//!         1 3 0 END                 random: drawn for this prompt, once and for all
//! ```
//!
//! The verifier asks for the whole answer. What is copied is soon always right, what is random never is
//! but where it was learned by heart, and sums lie between: sources that a curriculum has to tell apart. A
//! source's difficulty is its number of digits, plus [`COPY`] or [`RANDOM`] where these are not to be summed.

use ledger::digest::Digest;
use rand_pcg::Pcg64;

use super::chain_sum::{ChainSum, SLACK};
use super::{FIRST, Kind, Verdict, asked, below};

/// Added to the number of digits that are to be copied.
pub const COPY: u32 = 100;
/// Added to the number of digits whose answer is random.
pub const RANDOM: u32 = 200;

/// What is asked for, in the order of the alphabet behind the digits.
const SORTS: [&str; 3] = ["sum", "copy", "random"];

/// The sort of a difficulty, and how many digits it has.
fn sort(difficulty: u32) -> (u8, u32) {
    match difficulty {
        0..COPY => (0, difficulty),
        COPY..RANDOM => (1, difficulty - COPY),
        RANDOM.. => (2, difficulty - RANDOM),
    }
}

/// Sources whose digits are those of `sums`, which is strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mixed {
    /// The sums; their modulus and largest number of digits are those of every sort.
    pub sums: ChainSum,
}

impl Mixed {
    /// The answer to a prompt.
    fn answer(&self, prompt: &[u8]) -> Option<Vec<u8>> {
        let (first, rest) = prompt.split_first()?;
        let digits: Vec<u8> =
            rest.iter().copied().filter(|token| self.sums.is_digit(*token)).collect();
        match first.checked_sub(FIRST + self.sums.modulus)? {
            0 => Some(self.sums.sums(&digits)),
            1 => Some(digits),
            2 => {
                let seed = Digest::of_parts(&[b"palimpsest/puzzles/random", prompt]);
                let mut random = ledger::order::generator(&seed);
                Some(digits.iter().map(|_| FIRST + below(&mut random, self.sums.modulus)).collect())
            }
            _ => None,
        }
    }
}

impl Kind for Mixed {
    fn name(&self) -> &'static str {
        "mixed-sources"
    }

    fn alphabet(&self) -> u8 {
        FIRST + self.sums.modulus + 3
    }

    fn prompt_length(&self) -> usize {
        self.sums.longest + 2
    }

    fn longest_response(&self) -> usize {
        self.sums.longest + SLACK + 1
    }

    fn label(&self, difficulty: u32) -> String {
        let (sort, digits) = sort(difficulty);
        format!("{}-{digits}", SORTS[usize::from(sort)])
    }

    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>) {
        let (sort, digits) = sort(difficulty);
        let digits = (0..digits).map(|_| FIRST + below(random, self.sums.modulus));
        let tokens = std::iter::once(FIRST + self.sums.modulus + sort).chain(digits).collect();
        let prompt = asked(tokens, self.prompt_length());
        let answer = self.answer(&prompt).unwrap_or_default();
        (prompt, answer)
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let Some(answer) = self.answer(prompt) else { return Verdict::MALFORMED };
        let digits_only = response.iter().all(|token| self.sums.is_digit(*token));
        let well_formed = digits_only && response.len() == answer.len();
        Verdict { correct: response == answer, well_formed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Mixed = Mixed { sums: ChainSum { modulus: 5, longest: 10, strict: true } };

    /// Prompt digits and answers of 400 puzzles.
    fn drawn(difficulty: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut random = ledger::order::generator(&Digest::of(b"drawn"));
        let draws = (0..400).map(|_| KIND.draw(difficulty, &mut random));
        draws.map(|(prompt, answer)| (prompt[1..5].to_vec(), answer)).collect()
    }

    #[test]
    fn copies_repeat_their_digits_and_sums_are_those_of_chain_sums() {
        for (digits, answer) in drawn(COPY + 4) {
            assert_eq!(digits, answer);
        }
        for (digits, answer) in drawn(4) {
            let prompt = asked(digits, 11);
            assert!(KIND.sums.check(&prompt, &answer).correct, "{prompt:?} {answer:?}");
        }
        assert_eq!(
            [4, COPY + 6, RANDOM + 10].map(|d| KIND.label(d)),
            ["sum-4", "copy-6", "random-10"]
        );
    }

    #[test]
    fn random_answers_are_fixed_and_neither_digits_nor_sums_tell_them() {
        let puzzles = drawn(RANDOM + 4);
        assert_eq!(puzzles, drawn(RANDOM + 4));
        // A fifth by chance; four standard errors are 0.04.
        for guess in [
            |digits: &[u8]| digits.to_vec(),
            |digits: &[u8]| KIND.sums.sums(digits),
            |_: &[u8]| vec![FIRST; 4],
        ] {
            let tokens = puzzles.iter().flat_map(|(digits, answer)| {
                guess(digits).into_iter().zip(answer).map(|(guess, token)| guess == *token)
            });
            let share = tokens.filter(|hit| *hit).count() as f64 / 1_600.0;
            assert!((share - 0.2).abs() < 0.04, "{share}");
        }
    }
}
