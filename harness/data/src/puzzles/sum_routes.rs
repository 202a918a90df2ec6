//! Running sums by long and by short routes: k digits of base m, a budget, and an answer that steps through
//! the running sums to the last of them.
//!
//! ```text
//! prompt  2 4 4 1 BUDGET ASK    (m = 5)
//! answer  2 1 0 1 END           every running sum
//!         1 1 END               every second one
//! ```
//!
//! An answer is right where each token is the running sum of as many digits as the token before it, or of one
//! or two more, and the last that of all. Its length is therefore free, from half of k on, a guess is right
//! once in m for every token, and the short route may be found one leap at a time. What the prompt says of the
//! budget the verifier does not look at. Difficulty is k.

use rand_pcg::Pcg64;

use super::chain_sum::{ChainSum, SLACK};
use super::{FIRST, Kind, PAD, Verdict, asked, below};

/// Digits that a token may be ahead of the one before it.
const LEAP: usize = 2;

/// Routes through chain sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SumRoutes {
    /// Modulus and largest number of digits.
    pub sums: ChainSum,
    /// Largest budget that a prompt can state, in tokens before the end.
    pub largest: u8,
    /// Demonstrations in a hundred that take the short route; the others write every sum.
    pub short: u8,
}

impl SumRoutes {
    /// Place of the budget in a prompt.
    #[must_use]
    pub fn place(&self) -> usize {
        self.sums.longest
    }

    /// The token of `budget`, from 1 on.
    #[must_use]
    pub fn token(&self, budget: u8) -> u8 {
        FIRST + self.sums.modulus + budget.clamp(1, self.largest) - 1
    }

    /// Tokens of the shortest right answer to `digits` digits, without its end.
    #[must_use]
    pub fn shortest(digits: usize) -> usize {
        digits.div_ceil(LEAP)
    }
}

impl Kind for SumRoutes {
    fn name(&self) -> &'static str {
        "sum-routes"
    }

    fn alphabet(&self) -> u8 {
        FIRST + self.sums.modulus + self.largest
    }

    fn prompt_length(&self) -> usize {
        self.sums.longest + 2
    }

    fn longest_response(&self) -> usize {
        usize::from(self.largest) + SLACK + 1
    }

    /// A budget of any size is stated, so that whoever learns from demonstrations has seen all of them, and
    /// that they mean nothing.
    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>) {
        let mut tokens: Vec<u8> =
            (0..difficulty).map(|_| FIRST + below(random, self.sums.modulus)).collect();
        let sums = self.sums.sums(&tokens);
        tokens.resize(self.sums.longest, PAD);
        tokens.push(self.token(1 + below(random, self.largest)));
        let leaps = if below(random, 100) < self.short { LEAP } else { 1 };
        let skipped = (sums.len() + leaps - 1) % leaps;
        let answer = sums.into_iter().skip(skipped).step_by(leaps).collect();
        (asked(tokens, self.prompt_length()), answer)
    }

    fn content(&self, prompt: &[u8]) -> Vec<u8> {
        prompt[..self.place()].to_vec()
    }

    fn budget(&self, prompt: &[u8]) -> Option<usize> {
        let token = prompt.get(self.place())?;
        token.checked_sub(FIRST + self.sums.modulus).map(|budget| usize::from(budget) + 1)
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let digits: Vec<u8> =
            prompt.iter().copied().filter(|token| self.sums.is_digit(*token)).collect();
        if response.is_empty() || !response.iter().all(|token| self.sums.is_digit(*token)) {
            return Verdict::MALFORMED;
        }
        // Of no digit, of one, and so on.
        let sums: Vec<u8> = std::iter::once(FIRST).chain(self.sums.sums(&digits)).collect();
        // After how many digits the answer can be: equal sums leave more than one place open.
        let mut reached = vec![false; sums.len()];
        reached[0] = true;
        for token in response {
            let from = |at: usize| reached[at.saturating_sub(LEAP)..=at].contains(&true);
            reached = (0..sums.len()).map(|at| sums[at] == *token && from(at)).collect();
        }
        Verdict { correct: reached.last() == Some(&true), well_formed: true }
    }
}

#[cfg(test)]
mod tests {
    use ledger::digest::Digest;
    use proptest::prelude::*;

    use super::*;
    use crate::puzzles::ASK;

    const KIND: SumRoutes = SumRoutes {
        sums: ChainSum { modulus: 5, longest: 8, strict: true },
        largest: 12,
        short: 0,
    };

    fn right(digits: &[u8], answer: &[u8]) -> bool {
        let tokens = |digits: &[u8]| digits.iter().map(|digit| FIRST + digit).collect::<Vec<_>>();
        let mut prompt = tokens(digits);
        prompt.resize(KIND.place(), PAD);
        prompt.push(KIND.token(4));
        KIND.check(&asked(prompt, KIND.prompt_length()), &tokens(answer)).correct
    }

    #[test]
    fn every_running_sum_every_second_and_any_route_between_are_right() {
        // Sums 2 1 0 1 4 2.
        let digits = [2, 4, 4, 1, 3, 3];
        for route in [&[2, 1, 0, 1, 4, 2][..], &[1, 1, 2], &[2, 0, 1, 2], &[2, 2, 1, 0, 1, 4, 4, 2]]
        {
            assert!(right(&digits, route), "{route:?}");
        }
        // A leap of three, a wrong sum on the way, an end before the last, one back, nothing.
        for route in [&[0, 2][..], &[1, 0, 3, 2], &[2, 1, 0, 1, 4], &[1, 2, 1, 2], &[]] {
            assert!(!right(&digits, route), "{route:?}");
        }
    }

    #[test]
    fn the_prompt_states_its_budget_and_puzzles_that_differ_in_it_alone_are_the_same() {
        let mut random = ledger::order::generator(&Digest::of(b"routes"));
        let (mut prompt, _) = KIND.draw(8, &mut random);
        let content = KIND.content(&prompt);
        for budget in 1..=12 {
            prompt[KIND.place()] = KIND.token(budget);
            assert_eq!(KIND.budget(&prompt), Some(usize::from(budget)));
            assert_eq!(KIND.content(&prompt), content);
        }
        assert_eq!(prompt.last(), Some(&ASK));
        let stated: std::collections::BTreeSet<_> =
            (0..400).filter_map(|_| KIND.budget(&KIND.draw(8, &mut random).0)).collect();
        assert_eq!(stated.len(), 12);
    }

    proptest! {
        #[test]
        fn a_short_demonstration_is_right_and_nothing_shorter_is(seed: u64, k in 1u32..=8) {
            let short = SumRoutes { short: 100, ..KIND };
            let mut random = ledger::order::generator(&Digest::of(&seed.to_le_bytes()));
            let (prompt, answer) = short.draw(k, &mut random);
            prop_assert_eq!(answer.len(), SumRoutes::shortest(k as usize));
            prop_assert!(short.check(&prompt, &answer).correct);
            for length in 1..answer.len() {
                prop_assert!(!short.check(&prompt, &answer[answer.len() - length..]).correct);
            }
            let mut random = ledger::order::generator(&Digest::of(&seed.to_le_bytes()));
            let (same, long) = KIND.draw(k, &mut random);
            prop_assert_eq!(same, prompt);
            prop_assert_eq!(long.len(), k as usize);
        }
    }
}
