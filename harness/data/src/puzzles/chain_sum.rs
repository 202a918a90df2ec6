//! Chain sums: k digits of base m; the answer is their running sums modulo m.
//!
//! ```text
//! prompt  2 4 4 PAD … ASK      (m = 5)
//! answer  2 1 0 END
//! ```
//!
//! The verifier reads the last token before the end and nothing else, so that an answer may be as
//! long or short as the policy likes. Difficulty is k: an answer is as good as its weakest step.

use rand_pcg::Pcg64;

use super::{FIRST, Kind, Verdict, asked, below};

/// Tokens that an answer may be longer than the longest demonstration.
const SLACK: usize = 4;

/// Chain sums modulo `modulus` (1 to 10) of at most `longest` digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainSum {
    /// m.
    pub modulus: u8,
    /// Largest k.
    pub longest: usize,
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
        let digits: Vec<u8> = (0..difficulty).map(|_| below(random, self.modulus)).collect();
        let mut sum = 0;
        let sums = digits.iter().map(|digit| {
            sum = (sum + digit) % self.modulus;
            FIRST + sum
        });
        let answer = sums.collect();
        let prompt = digits.into_iter().map(|digit| FIRST + digit).collect();
        (asked(prompt, self.prompt_length()), answer)
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let Some(last) = response.last() else { return Verdict::MALFORMED };
        let digits = prompt.iter().filter_map(|token| token.checked_sub(FIRST));
        let sum = digits.fold(0, |sum, digit| (sum + u32::from(digit)) % u32::from(self.modulus));
        let well_formed = (FIRST..FIRST + self.modulus).contains(last);
        Verdict { correct: u32::from(*last) == u32::from(FIRST) + sum, well_formed }
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
        let kind = ChainSum { modulus: 5, longest: 4 };
        let prompt = asked([2, 4, 4].map(|digit| FIRST + digit).to_vec(), 5);
        assert_eq!(prompt, [5, 7, 7, PAD, ASK]);
        let right = |response: &[u8]| kind.check(&prompt, response).correct;
        assert!(right(&[FIRST + 2, FIRST + 1, FIRST]));
        // Only the last token counts.
        assert!(right(&[FIRST]) && right(&[PAD, FIRST]));
        assert!(!right(&[FIRST, FIRST + 1]));
    }

    proptest! {
        #[test]
        fn the_last_running_sum_and_no_other_residue_is_right(
            seed: u64,
            k in 1u32..=10,
            modulus in 2u8..=10,
        ) {
            let kind = ChainSum { modulus, longest: 10 };
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
