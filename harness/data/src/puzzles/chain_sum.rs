//! Chain sums: k digits of base m; the answer is their running sums modulo m.
//!
//! ```text
//! prompt  2 4 4 PAD … ASK      (m = 5)
//! answer  2 1 0 END
//! ```
//!
//! The verifier reads the last token before the end and nothing else, so that an answer may be as
//! long or short as the policy likes; a guess is then right once in m. A strict one asks for every
//! running sum, and is not guessed. Difficulty is k: an answer is as good as its weakest step.

use rand_pcg::Pcg64;

use super::{FIRST, Kind, Verdict, asked, below};

/// Tokens that an answer may be longer than the longest demonstration.
pub(super) const SLACK: usize = 4;

/// Chain sums modulo `modulus` (1 to 10) of at most `longest` digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainSum {
    /// m.
    pub modulus: u8,
    /// Largest k.
    pub longest: usize,
    /// Whether every running sum has to be right, and not the last alone.
    pub strict: bool,
}

impl ChainSum {
    /// Running sums of digits, as tokens both.
    pub(super) fn sums(&self, digits: &[u8]) -> Vec<u8> {
        let mut sum = 0;
        let sums = digits.iter().map(|digit| {
            sum = (sum + digit - FIRST) % self.modulus;
            FIRST + sum
        });
        sums.collect()
    }

    /// Whether `token` is a digit.
    pub(super) fn is_digit(&self, token: u8) -> bool {
        (FIRST..FIRST + self.modulus).contains(&token)
    }
}

impl Kind for ChainSum {
    fn name(&self) -> &'static str {
        "chain-sum"
    }

    fn alphabet(&self) -> u8 {
        FIRST + self.modulus
    }

    fn prompt_length(&self) -> usize {
        self.longest + 1
    }

    fn longest_response(&self) -> usize {
        self.longest + SLACK + 1
    }

    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>) {
        let digits: Vec<u8> =
            (0..difficulty).map(|_| FIRST + below(random, self.modulus)).collect();
        let answer = self.sums(&digits);
        (asked(digits, self.prompt_length()), answer)
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let Some(last) = response.last() else { return Verdict::MALFORMED };
        let digits: Vec<u8> = prompt.iter().copied().filter(|token| *token >= FIRST).collect();
        let sums = self.sums(&digits);
        if self.strict {
            let digits_only = response.iter().all(|token| self.is_digit(*token));
            let well_formed = digits_only && response.len() == sums.len();
            return Verdict { correct: response == sums, well_formed };
        }
        Verdict { correct: sums.last() == Some(last), well_formed: self.is_digit(*last) }
    }
}

#[cfg(test)]
mod tests {
    use ledger::digest::Digest;
    use proptest::prelude::*;

    use super::*;
    use crate::puzzles::{ASK, PAD};

    #[test]
    fn the_answer_is_the_running_sums() {
        let kind = ChainSum { modulus: 5, longest: 4, strict: false };
        let prompt = asked([2, 4, 4].map(|digit| FIRST + digit).to_vec(), 5);
        assert_eq!(prompt, [5, 7, 7, PAD, ASK]);
        let right = |response: &[u8]| kind.check(&prompt, response).correct;
        assert!(right(&[FIRST + 2, FIRST + 1, FIRST]));
        // Only the last token counts.
        assert!(right(&[FIRST]) && right(&[PAD, FIRST]));
        assert!(!right(&[FIRST, FIRST + 1]));
    }

    #[test]
    fn a_strict_verifier_asks_for_every_running_sum_and_for_no_more() {
        let kind = ChainSum { modulus: 5, longest: 4, strict: true };
        let prompt = asked([2, 4, 4].map(|digit| FIRST + digit).to_vec(), 5);
        let verdict = |digits: &[u8]| {
            let tokens: Vec<u8> = digits.iter().map(|digit| FIRST + digit).collect();
            let Verdict { correct, well_formed } = kind.check(&prompt, &tokens);
            (correct, well_formed)
        };
        assert_eq!(verdict(&[2, 1, 0]), (true, true));
        // The last sum is right, one before it is not.
        assert_eq!(verdict(&[2, 2, 0]), (false, true));
        assert_eq!(verdict(&[3, 1, 0]), (false, true));
        for response in [&[0][..], &[2, 1], &[2, 1, 0, 0], &[1, 2, 1, 0]] {
            assert_eq!(verdict(response), (false, false), "{response:?}");
        }
        assert_eq!(kind.check(&prompt, &[FIRST + 2, PAD, FIRST]), Verdict::MALFORMED);
    }

    proptest! {
        #[test]
        fn the_last_running_sum_and_no_other_residue_is_right(
            seed: u64,
            k in 1u32..=10,
            modulus in 2u8..=10,
        ) {
            let kind = ChainSum { modulus, longest: 10, strict: false };
            let mut random = ledger::order::generator(&Digest::of(&seed.to_le_bytes()));
            let (prompt, answer) = kind.draw(k, &mut random);
            prop_assert_eq!(answer.len(), k as usize);
            for residue in 0..modulus {
                let verdict = kind.check(&prompt, &[FIRST + residue]);
                let last = *answer.last().unwrap();
                prop_assert_eq!(verdict.correct, FIRST + residue == last);
                prop_assert!(verdict.well_formed);
            }
        }
    }
}
