//! Two routes: a start, a target and two lists of operators modulo 7, exactly one of which leads there; which?
//!
//! ```text
//! prompt    start target  ×3 PAD +2 PAD  PAD +5 PAD ×2  ASK       (two of four places)
//! answer    <Parallel> <Path 1> v v v v </Path> <Path 2> w w w w </Path> </Parallel>
//!           <Summary> index </Summary> index END                  in parallel
//!           v v v v THEN w w w w index END                        one after the other
//! ```
//!
//! v and w are where the routes are behind each place; at one without an operator they stay. Difficulty is the number of
//! operators of a list, so that what is learned of short lists is what long ones need, more often. The verifier reads
//! the last token before the end; well-formed is what has no tags, or whole blocks of them. A guess is right one time in
//! two. Demonstrations have both forms, drawn by a coin.
//!
//! Isolated paths with equal tags, positions and prefix would be drawn from one distribution and could not share the
//! work: so the tag that opens a path bears its number.

use ledger::order;
use rand_pcg::Pcg64;

use super::blocks::{Structure, Tags};
use super::{ASK, FIRST, Kind, PAD, Verdict, below};

/// Everything is modulo this.
const MODULUS: u8 = 7;
/// First operator: +1 to +6, then ×2 to ×6.
const OPERATORS: u8 = FIRST + MODULUS;
const ADDITIONS: u8 = MODULUS - 1;
const MULTIPLICATIONS: u8 = MODULUS - 2;
/// The first of two answers.
const ANSWER: u8 = OPERATORS + ADDITIONS + MULTIPLICATIONS;
/// The first tag.
const TAG: u8 = ANSWER + 2;
/// Paths that have a tag of their own.
const PATHS: u8 = 3;
/// Between two routes that are followed one after the other.
const THEN: u8 = TAG + PATHS + 5;
/// Tokens that an answer may be longer than the longest demonstration.
const SLACK: usize = 5;

/// The tags of blocks.
pub const TAGS: Tags = Tags {
    open: TAG as i64,
    path: TAG as i64 + 1,
    paths: PATHS as usize,
    closed: (TAG + PATHS) as i64 + 1,
    close: (TAG + PATHS) as i64 + 2,
    summary: (TAG + PATHS) as i64 + 3,
    summarised: (TAG + PATHS) as i64 + 4,
};

/// Puzzles of lists with so many places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoRoute {
    /// Places of a list; at most as many operators.
    pub places: usize,
}

impl TwoRoute {
    /// Tokens of the longest path, its tags included.
    #[must_use]
    pub fn longest_path(&self) -> usize {
        self.places + 2
    }

    /// Both lists of a prompt, start and target.
    fn parts<'a>(&self, prompt: &'a [u8]) -> Option<([&'a [u8]; 2], u8, u8)> {
        let &[start, target, ref rest @ ..] = prompt else { return None };
        let first = rest.get(..self.places)?;
        let second = rest.get(self.places..2 * self.places)?;
        Some(([first, second], start.checked_sub(FIRST)?, target.checked_sub(FIRST)?))
    }

    /// The answer token of a prompt.
    fn answer(&self, prompt: &[u8]) -> Option<u8> {
        let (lists, start, target) = self.parts(prompt)?;
        let ends = lists.map(|list| route(start, list).last().copied().unwrap_or(start));
        let there = ends.iter().position(|end| *end == target)?;
        Some(ANSWER + u8::try_from(there).unwrap_or(0))
    }

    /// `operators` operators at places of their own, drawn at random.
    fn list(&self, operators: u32, random: &mut Pcg64) -> Vec<u8> {
        let mut places: Vec<u32> = (0..).take(self.places).collect();
        order::shuffle(random, &mut places);
        let mut list = vec![PAD; self.places];
        for place in places.into_iter().take(operators as usize) {
            list[place as usize] = OPERATORS + below(random, ADDITIONS + MULTIPLICATIONS);
        }
        list
    }
}

/// Where one is behind each place of a list.
fn route(start: u8, list: &[u8]) -> Vec<u8> {
    let mut at = start;
    let steps = list.iter().map(|token| {
        at = match token.checked_sub(OPERATORS) {
            None => at,
            Some(addition) if addition < ADDITIONS => (at + addition + 1) % MODULUS,
            Some(other) => at * (other - ADDITIONS + 2) % MODULUS,
        };
        at
    });
    steps.collect()
}

impl Kind for TwoRoute {
    fn name(&self) -> &'static str {
        "two-route"
    }

    fn alphabet(&self) -> u8 {
        THEN + 1
    }

    fn prompt_length(&self) -> usize {
        2 + 2 * self.places + 1
    }

    fn longest_response(&self) -> usize {
        // Block, two paths, summary of one token, answer, end.
        2 + 2 * self.longest_path() + 3 + 2 + SLACK
    }

    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>) {
        loop {
            let start = below(random, MODULUS);
            let lists = [0, 1].map(|_| self.list(difficulty, random));
            let routes = [0, 1].map(|index: usize| route(start, &lists[index]));
            let [first, second] = [0, 1].map(|index: usize| routes[index].last().copied());
            let there = usize::from(below(random, 2));
            let parallel = below(random, 2) == 1;
            let (Some(target), true) = (routes[there].last(), first != second) else { continue };
            let [first, second] = &lists;
            let ends = [FIRST + start, FIRST + target];
            let prompt = [&ends[..], first, second, &[ASK]].concat();
            let answer = ANSWER + u8::try_from(there).unwrap_or(0);
            let [v, w] = routes.map(|route| route.iter().map(|at| FIRST + at).collect::<Vec<_>>());
            let [closed, close, summary, summarised] = [1, 2, 3, 4].map(|at| TAG + PATHS + at);
            let demonstration = if parallel {
                let [open, one, two] = [TAG, TAG + 1, TAG + 2];
                let ending = [closed, close, summary, answer, summarised, answer];
                [&[open, one], &v[..], &[closed, two], &w, &ending].concat()
            } else {
                [&v[..], &[THEN], &w, &[answer]].concat()
            };
            return (prompt, demonstration);
        }
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let Some(last) = response.last() else { return Verdict::MALFORMED };
        let text: Vec<i64> = response.iter().copied().map(i64::from).collect();
        let whole = TAGS.structure(&text) != Structure::Malformed;
        let answers = (ANSWER..ANSWER + 2).contains(last);
        Verdict { correct: self.answer(prompt) == Some(*last), well_formed: whole && answers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::puzzles::{Puzzle, Sizes, generate};

    const KIND: TwoRoute = TwoRoute { places: 4 };

    fn puzzles() -> Vec<Puzzle> {
        let sizes = Sizes { demonstrations: 0, rehearsal: 0, train: 400, validation: 0, test: 0 };
        generate(&KIND, &[2, 4], &sizes).unwrap().train
    }

    #[test]
    fn operators_are_applied_in_turn_and_an_empty_place_stays() {
        // (5 + 3)·2 = 2 modulo 7, then + 6.
        let [plus_3, times_2, plus_6] = [OPERATORS + 2, OPERATORS + ADDITIONS, OPERATORS + 5];
        assert_eq!(route(5, &[plus_3, PAD, times_2, plus_6]), [1, 1, 2, 1]);
        assert_eq!(route(3, &[OPERATORS + ADDITIONS + 4, PAD]), [4, 4], "three times six");
    }

    #[test]
    fn exactly_one_route_reaches_the_target_and_either_does_as_often() {
        let puzzles = puzzles();
        let mut first = 0;
        for Puzzle { prompt, group, .. } in &puzzles {
            let (lists, start, target) = KIND.parts(prompt).unwrap();
            let there = lists.map(|list| route(start, list)[3] == target);
            assert_eq!(there.iter().filter(|there| **there).count(), 1, "{prompt:?}");
            first += usize::from(there[0]);
            for list in lists {
                let operators = list.iter().filter(|token| **token != PAD).count();
                assert_eq!(operators, [2, 4][*group as usize]);
            }
        }
        assert!((340..460).contains(&first), "{first}");
    }

    #[test]
    fn demonstrations_have_both_forms_and_only_the_last_token_decides() {
        let puzzles = puzzles();
        let of = |puzzle: &Puzzle| {
            let text: Vec<i64> = puzzle.demonstration.iter().copied().map(i64::from).collect();
            TAGS.structure(&text)
        };
        let parallel = puzzles.iter().filter(|puzzle| of(puzzle) == Structure::Blocks(1)).count();
        assert!((340..460).contains(&parallel), "{parallel}");
        assert!(puzzles.iter().all(|puzzle| of(puzzle) != Structure::Malformed));
        let Puzzle { prompt, .. } = &puzzles[0];
        let right = KIND.answer(prompt).unwrap();
        let wrong = 2 * ANSWER + 1 - right;
        let verdict = |response: &[u8]| {
            let Verdict { correct, well_formed } = KIND.check(prompt, response);
            (correct, well_formed)
        };
        assert_eq!(verdict(&[right]), (true, true));
        assert_eq!(verdict(&[wrong]), (false, true));
        assert_eq!(verdict(&[TAG, right]), (true, false), "a block that does not end");
        assert_eq!(verdict(&[right, THEN]), (false, false));
    }

    #[test]
    fn the_alphabet_has_thirty_two_tokens_and_the_longest_form_fits() {
        assert_eq!((KIND.alphabet(), KIND.prompt_length(), KIND.longest_response()), (32, 11, 24));
        let longest = puzzles().iter().map(|puzzle| puzzle.demonstration.len()).max();
        assert_eq!(longest, Some(18));
    }
}
