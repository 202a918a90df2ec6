//! Knights and knaves: who tells the truth?
//!
//! Each of n people is a knight, whose statement is true, or a knave, whose statement is false, and
//! says one thing: that another is a knight, or a knave, or that two are of the same kind, or not
//! (one of the two may be the speaker). Only puzzles with exactly one consistent assignment among
//! the 2ⁿ are kept. The answer is n tokens, knight or knave, in order. Difficulty is n.
//!
//! ```text
//! prompt  kind who who   of each person (PAD for a second one that is not there), PAD …, ASK
//! answer  knight knave … END
//! ```

use rand_pcg::Pcg64;

use super::{FIRST, Kind, PAD, Verdict, asked, below};

/// Kinds of statement: knight, knave, same, different.
const STATEMENTS: u8 = 4;
/// Tokens per statement.
const WIDTH: usize = 3;
/// Tokens that an answer may be longer than the longest demonstration.
const SLACK: usize = 2;

/// Puzzles of at most `people` people (2 to 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knights {
    /// Largest n.
    pub people: u8,
}

/// What somebody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Statement {
    /// The person is a knight, or not.
    One { who: u8, knight: bool },
    /// The two are of the same kind, or not.
    Two { who: [u8; 2], same: bool },
}

impl Statement {
    /// Whether it holds when bit i of `world` says whether person i is a knight.
    fn holds(self, world: u16) -> bool {
        let knight = |who: u8| world >> who & 1 == 1;
        match self {
            Self::One { who, knight: said } => knight(who) == said,
            Self::Two { who: [a, b], same } => (knight(a) == knight(b)) == same,
        }
    }
}

/// All assignments in which exactly the knights' statements hold.
fn models(statements: &[Statement]) -> impl Iterator<Item = u16> {
    (0..1_u16 << statements.len()).filter(move |world| {
        let mut people = (0..).zip(statements);
        people.all(|(who, said)| said.holds(*world) == (world >> who & 1 == 1))
    })
}

impl Knights {
    fn knave(self) -> u8 {
        FIRST + STATEMENTS + self.people
    }

    fn person(who: u8) -> u8 {
        FIRST + STATEMENTS + who
    }

    fn statement(speaker: u8, people: u8, random: &mut Pcg64) -> Statement {
        // The n − 1 others, then skip the speaker.
        let other = |random: &mut Pcg64| {
            let who = below(random, people - 1);
            who + u8::from(who >= speaker)
        };
        let yes = below(random, 2) == 1;
        if below(random, 2) == 0 {
            return Statement::One { who: other(random), knight: yes };
        }
        let first = below(random, people);
        let second = below(random, people - 1);
        let second = second + u8::from(second >= first);
        Statement::Two { who: [first.min(second), first.max(second)], same: yes }
    }

    fn written(statement: Statement) -> [u8; WIDTH] {
        match statement {
            Statement::One { who, knight } => [FIRST + u8::from(!knight), Self::person(who), PAD],
            Statement::Two { who: [a, b], same } => {
                [FIRST + 2 + u8::from(!same), Self::person(a), Self::person(b)]
            }
        }
    }

    /// The statements of a prompt; `None` when it is not one.
    fn read(prompt: &[u8]) -> Option<Vec<Statement>> {
        let rows = prompt.as_chunks::<WIDTH>().0.iter().take_while(|row| row[0] != PAD);
        let who = |token: u8| token.checked_sub(FIRST + STATEMENTS);
        rows.map(|&[kind, a, b]| match kind.checked_sub(FIRST)? {
            kind @ 0..=1 => Some(Statement::One { who: who(a)?, knight: kind == 0 }),
            kind @ 2..=3 => Some(Statement::Two { who: [who(a)?, who(b)?], same: kind == 2 }),
            _ => None,
        })
        .collect()
    }
}

impl Kind for Knights {
    fn name(&self) -> &'static str {
        "knights"
    }

    fn alphabet(&self) -> u8 {
        self.knave() + 2
    }

    fn prompt_length(&self) -> usize {
        WIDTH * usize::from(self.people) + 1
    }

    fn longest_response(&self) -> usize {
        usize::from(self.people) + SLACK + 1
    }

    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>) {
        let people = u8::try_from(difficulty).unwrap_or(self.people).clamp(2, self.people);
        loop {
            let statements: Vec<_> =
                (0..people).map(|speaker| Self::statement(speaker, people, random)).collect();
            let mut worlds = models(&statements);
            let (Some(world), None) = (worlds.next(), worlds.next()) else { continue };
            let bit = |who| u8::from(world >> who & 1 == 1);
            let prompt = statements.iter().copied().flat_map(Self::written).collect();
            let answer = (0..people).map(|who| self.knave() + bit(who)).collect();
            return (asked(prompt, self.prompt_length()), answer);
        }
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let Some(statements) = Self::read(prompt) else { return Verdict::MALFORMED };
        let knave = self.knave();
        let well_formed = response.len() == statements.len()
            && response.iter().all(|token| (knave..=knave + 1).contains(token));
        if !well_formed {
            return Verdict::MALFORMED;
        }
        let world = response
            .iter()
            .rev()
            .fold(0, |world: u16, token| world << 1 | u16::from(*token > knave));
        let correct = models(&statements).any(|model| model == world);
        Verdict { correct, well_formed }
    }
}

#[cfg(test)]
mod tests {
    use ledger::digest::Digest;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_puzzle_solved_by_hand() {
        // A: B is a knave. B: A and C are of the same kind. C: A is a knight.
        // If A is a knight, B lies, so C is a knave, whose "A is a knight" would be true: no.
        // So A is a knave, B a knight, C a knave: "A is a knight" is false, as it must be.
        let statements = [
            Statement::One { who: 1, knight: false },
            Statement::Two { who: [0, 2], same: true },
            Statement::One { who: 0, knight: true },
        ];
        assert_eq!(models(&statements).collect::<Vec<_>>(), [0b010]);
        let kind = Knights { people: 3 };
        let prompt = asked(statements.into_iter().flat_map(Knights::written).collect(), 10);
        let (knave, knight) = (kind.knave(), kind.knave() + 1);
        assert!(kind.check(&prompt, &[knave, knight, knave]).correct);
        assert!(!kind.check(&prompt, &[knight, knight, knave]).correct);
        assert_eq!(kind.check(&prompt, &[knave, knight]), Verdict::MALFORMED);
    }

    proptest! {
        #[test]
        fn exactly_one_of_all_answers_is_right(seed: u64, n in 2u32..=8) {
            let kind = Knights { people: 8 };
            let mut random = ledger::order::generator(&Digest::of(&seed.to_le_bytes()));
            let (prompt, answer) = kind.draw(n, &mut random);
            let right: Vec<Vec<u8>> = (0..1_u16 << n)
                .map(|world| (0..n).map(move |who| kind.knave() + u8::from(world >> who & 1 == 1)))
                .map(Iterator::collect)
                .filter(|response: &Vec<u8>| kind.check(&prompt, response).correct)
                .collect();
            prop_assert_eq!(right, vec![answer]);
        }

        #[test]
        fn a_statement_survives_writing_and_reading(seed: u64, n in 2u8..=8) {
            let mut random = ledger::order::generator(&Digest::of(&seed.to_le_bytes()));
            let said: Vec<_> =
                (0..n).map(|speaker| Knights::statement(speaker, n, &mut random)).collect();
            let prompt = asked(said.iter().copied().flat_map(Knights::written).collect(), 25);
            prop_assert_eq!(Knights::read(&prompt), Some(said));
        }
    }
}
