//! Knights and knaves: who tells the truth?
//!
//! Each of n people is a knight, whose statement is true, or a knave, whose statement is false, and says
//! one thing: that somebody is a knight or a knave (anybody, but nobody says "I am a knave"), or the
//! negation of such a claim, or two different ones joined by and, or, implies or iff. The six kinds are
//! equally likely, as in the published puzzles at a depth and a width of 2 (`lib_kk.py` of
//! AlphaPav/mem-kk-logic, which DUMP's data are made with). Only puzzles with exactly one consistent
//! assignment among the 2ⁿ are kept. Difficulty is n.
//!
//! The answer is who everybody is, in order, behind a mark; what is written before the mark is free and
//! not judged. A demonstration writes a search there. What is known so far is the board; a step is
//! - `who claim`: with the board, who's statement leaves this claim alone, so it goes on the board;
//! - `assume claim`: no statement leaves anything alone; the first person not on the board is tried as a knight;
//! - `who contradiction`: who's statement cannot be what its speaker makes it. All behind the last assumption is
//!   taken off the board, the opposite of the assumption put there, and the board written anew.
//!
//! ```text
//! prompt  kind claim claim   of each person (PAD for a second claim that is not there), PAD …, ASK
//! answer  who claim … assume claim … who contradiction claim … ANSWER claim … END
//! ```

use rand_pcg::Pcg64;

use super::{FIRST, Kind, PAD, Verdict, asked, below};

/// Kinds of statement.
const KINDS: [Said; 6] = [Said::Is, Said::Not, Said::And, Said::Or, Said::Implies, Said::Iff];
/// Token of the first claim, behind those of the kinds.
const CLAIMS: u8 = FIRST + KINDS.len() as u8;
/// Tokens per statement.
const WIDTH: usize = 3;
/// Tokens of a response per person: of 6 people one search in a hundred is longer, and is left out.
const ROOM: usize = 8;

/// Puzzles of at most `people` people (2 to 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knights {
    /// Largest n.
    pub people: u8,
}

/// That a person is a knight, or a knave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    who: u8,
    knight: bool,
}

impl Claim {
    /// Whether it holds when bit i of `world` says whether person i is a knight.
    fn holds(self, world: u16) -> bool {
        (world >> self.who & 1 == 1) == self.knight
    }

    fn opposite(self) -> Self {
        Self { knight: !self.knight, ..self }
    }
}

/// How claims make a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Is,
    Not,
    And,
    Or,
    Implies,
    Iff,
}

/// What somebody says; of one claim both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Statement {
    said: Said,
    claims: [Claim; 2],
}

impl Statement {
    fn single(said: Said) -> bool {
        matches!(said, Said::Is | Said::Not)
    }

    /// Whether it is true in `world`.
    fn holds(self, world: u16) -> bool {
        let [one, other] = self.claims.map(|claim| claim.holds(world));
        match self.said {
            Said::Is => one,
            Said::Not => !one,
            Said::And => one && other,
            Said::Or => one || other,
            Said::Implies => !one || other,
            Said::Iff => one == other,
        }
    }

    /// Whether `world` makes it what its speaker makes it.
    fn fits(self, speaker: u8, world: u16) -> bool {
        self.holds(world) == (world >> speaker & 1 == 1)
    }
}

/// All assignments in which exactly the knights' statements hold.
fn models(statements: &[Statement]) -> impl Iterator<Item = u16> {
    (0..1_u16 << statements.len()).filter(move |world| {
        let mut people = (0..).zip(statements);
        people.all(|(who, said)| said.fits(who, *world))
    })
}

/// Who is known to be what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Board {
    known: u16,
    world: u16,
}

impl Board {
    fn of(facts: &[(Claim, bool)]) -> Self {
        facts.iter().fold(Self::default(), |board, (claim, _)| Self {
            known: board.known | 1 << claim.who,
            world: board.world | u16::from(claim.knight) << claim.who,
        })
    }

    /// What a statement leaves of those it is about and who are not on the board: who must be a knight
    /// and who a knave; `None` where nothing fits.
    fn left(self, speaker: u8, statement: Statement) -> Option<[u16; 2]> {
        let about = statement.claims.iter().fold(1 << speaker, |all, claim| all | 1 << claim.who);
        let open: u16 = about & !self.known;
        let worlds = (0..=open).filter(|part| part & !open == 0);
        let mut fitting =
            worlds.filter(|part| statement.fits(speaker, self.world | part)).peekable();
        fitting.peek()?;
        let (all, any) = fitting.fold((open, 0), |(all, any), part| (all & part, any | part));
        Some([all, open & !any])
    }
}

/// A step of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Contradiction(u8),
    Follows(u8, Claim),
    Assume(Claim),
    Solved,
}

/// The next step: a contradiction before anything that follows, and that before an assumption; of
/// several the first statement's, and of one statement the first person's.
fn next(statements: &[Statement], board: Board) -> Step {
    let left = |(speaker, said): (u8, &Statement)| (speaker, board.left(speaker, *said));
    let left: Vec<_> = (0..).zip(statements).map(left).collect();
    if let Some((speaker, _)) = left.iter().find(|(_, left)| left.is_none()) {
        return Step::Contradiction(*speaker);
    }
    for (speaker, [knights, knaves]) in left.iter().filter_map(|(who, left)| Some((*who, (*left)?)))
    {
        let forced = knights | knaves;
        if forced != 0 {
            let who = first(forced);
            return Step::Follows(speaker, Claim { who, knight: knights >> who & 1 == 1 });
        }
    }
    let all = (1_u16 << statements.len()) - 1;
    match all & !board.known {
        0 => Step::Solved,
        unknown => Step::Assume(Claim { who: first(unknown), knight: true }),
    }
}

/// The first person of a set that is not empty.
fn first(set: u16) -> u8 {
    u8::try_from(set.trailing_zeros()).unwrap_or(u8::MAX)
}

impl Knights {
    /// The token of a claim.
    fn claim(claim: Claim) -> u8 {
        CLAIMS + 2 * claim.who + u8::from(claim.knight)
    }

    /// The claim that a token stands for; about nobody of the puzzle perhaps.
    fn claimed(token: u8) -> Option<Claim> {
        let place = token.checked_sub(CLAIMS)?;
        Some(Claim { who: place / 2, knight: place % 2 == 1 })
    }

    /// The token of a person whose statement is used.
    fn person(self, who: u8) -> u8 {
        CLAIMS + 2 * self.people + who
    }

    fn assume(self) -> u8 {
        self.person(self.people)
    }

    fn contradiction(self) -> u8 {
        self.assume() + 1
    }

    fn answer(self) -> u8 {
        self.assume() + 2
    }

    fn statement(speaker: u8, people: u8, random: &mut Pcg64) -> Statement {
        let said = KINDS[usize::from(below(random, 6))];
        let mut draw = || {
            loop {
                let claim = Claim { knight: below(random, 2) == 1, who: below(random, people) };
                if claim.knight || claim.who != speaker {
                    return claim;
                }
            }
        };
        let one = draw();
        if Statement::single(said) {
            return Statement { said, claims: [one; 2] };
        }
        loop {
            let other = draw();
            if other != one {
                return Statement { said, claims: [one, other] };
            }
        }
    }

    fn written(statement: Statement) -> [u8; WIDTH] {
        let [one, other] = statement.claims.map(Self::claim);
        let other = if Statement::single(statement.said) { PAD } else { other };
        [FIRST + statement.said as u8, one, other]
    }

    /// The statements of a prompt; `None` when it is not one.
    fn read(prompt: &[u8]) -> Option<Vec<Statement>> {
        let rows = prompt.as_chunks::<WIDTH>().0.iter().take_while(|row| row[0] != PAD);
        rows.map(|&[kind, one, other]| {
            let said = *KINDS.get(usize::from(kind.checked_sub(FIRST)?))?;
            let other = if Statement::single(said) { one } else { other };
            Some(Statement { said, claims: [Self::claimed(one)?, Self::claimed(other)?] })
        })
        .collect()
    }

    /// The search and the answer; `None` when nobody can say these things.
    fn solved(self, statements: &[Statement]) -> Option<Vec<u8>> {
        let mut tokens = Vec::new();
        // With each claim whether it was assumed.
        let mut facts: Vec<(Claim, bool)> = Vec::new();
        loop {
            match next(statements, Board::of(&facts)) {
                Step::Follows(speaker, claim) => {
                    tokens.extend([self.person(speaker), Self::claim(claim)]);
                    facts.push((claim, false));
                }
                Step::Assume(claim) => {
                    tokens.extend([self.assume(), Self::claim(claim)]);
                    facts.push((claim, true));
                }
                Step::Contradiction(speaker) => {
                    tokens.extend([self.person(speaker), self.contradiction()]);
                    let last = facts.iter().rposition(|(_, assumed)| *assumed)?;
                    let opposite = facts[last].0.opposite();
                    facts.truncate(last);
                    facts.push((opposite, false));
                    for (claim, assumed) in &facts {
                        tokens.extend(assumed.then(|| self.assume()));
                        tokens.push(Self::claim(*claim));
                    }
                }
                Step::Solved => break,
            }
        }
        let Board { world, .. } = Board::of(&facts);
        tokens.push(self.answer());
        tokens.extend(self.everybody(world, statements.len()));
        Some(tokens)
    }

    /// Who each of the first `people` is in `world`.
    fn everybody(self, world: u16, people: usize) -> impl Iterator<Item = u8> {
        let claim = move |who: u8| Self::claim(Claim { who, knight: world >> who & 1 == 1 });
        (0..self.people).take(people).map(claim)
    }
}

impl Kind for Knights {
    fn name(&self) -> &'static str {
        "knights"
    }

    fn alphabet(&self) -> u8 {
        self.answer() + 1
    }

    fn prompt_length(&self) -> usize {
        WIDTH * usize::from(self.people) + 1
    }

    fn longest_response(&self) -> usize {
        ROOM * usize::from(self.people)
    }

    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>) {
        let people = u8::try_from(difficulty).unwrap_or(self.people).clamp(2, self.people);
        loop {
            let statements: Vec<_> =
                (0..people).map(|speaker| Self::statement(speaker, people, random)).collect();
            if models(&statements).count() != 1 {
                continue;
            }
            // The end has to fit as well.
            let solved = self.solved(&statements);
            let Some(answer) = solved.filter(|tokens| tokens.len() < self.longest_response())
            else {
                continue;
            };
            let prompt = statements.into_iter().flat_map(Self::written).collect();
            return (asked(prompt, self.prompt_length()), answer);
        }
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let Some(statements) = Self::read(prompt) else { return Verdict::MALFORMED };
        let mark = response.iter().rposition(|token| *token == self.answer());
        let Some(mark) = mark else { return Verdict::MALFORMED };
        let answer = &response[mark + 1..];
        let claims: Option<Vec<Claim>> = answer.iter().map(|token| Self::claimed(*token)).collect();
        let in_order = |claims: &Vec<Claim>| {
            claims.len() == statements.len()
                && (0..).zip(claims).all(|(who, claim)| claim.who == who)
        };
        let Some(claims) = claims.filter(in_order) else { return Verdict::MALFORMED };
        let facts: Vec<_> = claims.into_iter().map(|claim| (claim, false)).collect();
        let Board { world, .. } = Board::of(&facts);
        Verdict { correct: models(&statements).any(|model| model == world), well_formed: true }
    }
}

#[cfg(test)]
mod tests {
    use ledger::digest::Digest;
    use proptest::prelude::*;

    use super::*;

    const KIND: Knights = Knights { people: 8 };

    fn is(who: u8, knight: bool) -> Claim {
        Claim { who, knight }
    }

    fn random(seed: u64) -> Pcg64 {
        ledger::order::generator(&Digest::of(&seed.to_le_bytes()))
    }

    /// A: B is a knave. B: A is a knight iff C is. C: A is a knight.
    fn three() -> Vec<Statement> {
        vec![
            Statement { said: Said::Is, claims: [is(1, false); 2] },
            Statement { said: Said::Iff, claims: [is(0, true), is(2, true)] },
            Statement { said: Said::Is, claims: [is(0, true); 2] },
        ]
    }

    #[test]
    fn a_puzzle_solved_by_hand() {
        // If A is a knight, B lies, so C is a knave, whose "A is a knight" would be true: no.
        // So A is a knave, B a knight, C a knave: "A is a knight" is false, as it must be.
        assert_eq!(models(&three()).collect::<Vec<_>>(), [0b010]);
        let kind = Knights { people: 3 };
        let [a, b, c] = [0, 1, 2].map(|who| kind.person(who));
        let [knave, knight] =
            [false, true].map(|knight| move |who| Knights::claim(is(who, knight)));
        let expected = [
            // A knight: A's own words make B a knave; then B's make C a knave, and C would speak the truth.
            vec![kind.assume(), knight(0), a, knave(1), b, knave(2), c, kind.contradiction()],
            vec![knave(0), a, knight(1), b, knave(2)],
            vec![kind.answer(), knave(0), knight(1), knave(2)],
        ];
        assert_eq!(kind.solved(&three()).unwrap(), expected.concat());
        let prompt = asked(three().into_iter().flat_map(Knights::written).collect(), 10);
        let right = [kind.answer(), knave(0), knight(1), knave(2)];
        assert!(kind.check(&prompt, &right).correct);
        // What stands before the mark is not judged, what stands behind the last mark is.
        assert!(kind.check(&prompt, &[&[c, PAD][..], &right].concat()).correct);
        assert!(!kind.check(&prompt, &[&right[..], &[kind.answer()]].concat()).well_formed);
        let wrong = kind.check(&prompt, &[kind.answer(), knight(0), knight(1), knave(2)]);
        assert_eq!(wrong, Verdict { correct: false, well_formed: true });
        for response in [&right[1..], &right[..3], &[kind.answer(), knight(1), knave(0), knave(2)]]
        {
            assert_eq!(kind.check(&prompt, response), Verdict::MALFORMED, "{response:?}");
        }
    }

    #[test]
    fn statements_are_what_their_truth_tables_say() {
        // Over A and B being knaves or knights, A the lower bit: "A is a knight" … "B is a knight".
        let table = |said| {
            let claims =
                if Statement::single(said) { [is(0, true); 2] } else { [is(0, true), is(1, true)] };
            [0, 1, 2, 3].map(|world| Statement { said, claims }.holds(world))
        };
        assert_eq!(table(Said::Is), [false, true, false, true]);
        assert_eq!(table(Said::Not), [true, false, true, false]);
        assert_eq!(table(Said::And), [false, false, false, true]);
        assert_eq!(table(Said::Or), [false, true, true, true]);
        assert_eq!(table(Said::Implies), [true, false, true, true]);
        assert_eq!(table(Said::Iff), [true, false, false, true]);
        let knave = Statement { said: Said::Is, claims: [is(1, false); 2] };
        assert_eq!([0, 1, 2, 3].map(|world| knave.holds(world)), [true, true, false, false]);
    }

    #[test]
    fn statements_are_not_linear_equations_modulo_two() {
        let mut random = random(0);
        let (mut powers, mut linear) = (0, 0);
        for _ in 0..2_000 {
            let said: Vec<_> =
                (0..4).map(|speaker| Knights::statement(speaker, 4, &mut random)).collect();
            // Solutions of linear equations are none or a power of two.
            let count = models(&said).count();
            powers += u32::from(count == 0 || count.is_power_of_two());
            // A function is linear where flipping somebody changes it everywhere or nowhere.
            linear += u32::from(said.iter().all(|said| {
                (0..4).all(|who| {
                    let changes = |world: u16| said.holds(world) != said.holds(world ^ 1 << who);
                    (0..16).all(|world| changes(world) == changes(0))
                })
            }));
        }
        // Three of the six kinds are linear, and the others where both claims are of one person.
        assert!(powers < 1_950, "{powers}");
        assert!(linear < 400, "{linear}");
    }

    #[test]
    fn the_six_kinds_are_equally_likely_and_nobody_says_that_he_is_a_knave() {
        let mut random = random(1);
        let mut counts = [0; 6];
        for _ in 0..6_000 {
            let Statement { said, claims } = Knights::statement(1, 4, &mut random);
            counts[said as usize] += 1;
            assert!(claims.iter().all(|claim| *claim != is(1, false)));
            assert_eq!(claims[0] == claims[1], Statement::single(said));
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    /// Follows a written search, sharing nothing with its writer but the tokens and the puzzle: every
    /// claim that is said to follow does in all fitting worlds of the 2ⁿ, everything that is said to be
    /// impossible is, and the boards written anew are right. Returns the claims behind the mark.
    fn followed(kind: Knights, statements: &[Statement], tokens: &[u8]) -> Vec<Claim> {
        let n = statements.len();
        let worlds = |speaker: u8, facts: &[(Claim, bool)]| -> Vec<u16> {
            let fits = |world: &u16| {
                statements[usize::from(speaker)].fits(speaker, *world)
                    && facts.iter().all(|(claim, _)| claim.holds(*world))
            };
            (0..1 << n).filter(fits).collect()
        };
        let mut facts: Vec<(Claim, bool)> = Vec::new();
        let mut rest = tokens.iter().copied();
        loop {
            let token = rest.next().unwrap();
            if token == kind.answer() {
                assert_eq!(facts.len(), n);
                return rest.map(|token| Knights::claimed(token).unwrap()).collect();
            }
            let next = rest.next().unwrap();
            if token == kind.assume() {
                let claim = Knights::claimed(next).unwrap();
                assert!(facts.iter().all(|(known, _)| known.who != claim.who));
                facts.push((claim, true));
                continue;
            }
            let speaker = token - kind.person(0);
            let left = worlds(speaker, &facts);
            if next != kind.contradiction() {
                let claim = Knights::claimed(next).unwrap();
                assert!(!left.is_empty() && left.iter().all(|world| claim.holds(*world)));
                assert!(facts.iter().all(|(known, _)| known.who != claim.who));
                facts.push((claim, false));
                continue;
            }
            assert!(left.is_empty());
            let last = facts.iter().rposition(|(_, assumed)| *assumed).unwrap();
            facts[last] = (is(facts[last].0.who, !facts[last].0.knight), false);
            facts.truncate(last + 1);
            for (claim, assumed) in &facts {
                if *assumed {
                    assert_eq!(rest.next(), Some(kind.assume()));
                }
                assert_eq!(rest.next().and_then(Knights::claimed), Some(*claim));
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_one_of_all_answers_is_right_and_the_search_ends_there(seed: u64, n in 2u32..=8) {
            let mut random = random(seed);
            let (prompt, demonstration) = KIND.draw(n, &mut random);
            let statements = Knights::read(&prompt).unwrap();
            let everybody = |world: u16| -> Vec<Claim> {
                (0..8).take(n as usize).map(|who| is(who, world >> who & 1 == 1)).collect()
            };
            let answered = |world: u16| {
                let claims = everybody(world).into_iter().map(Knights::claim);
                [KIND.answer()].into_iter().chain(claims).collect::<Vec<u8>>()
            };
            let right: Vec<u16> =
                (0..1 << n).filter(|world| KIND.check(&prompt, &answered(*world)).correct).collect();
            prop_assert_eq!(right.len(), 1);
            prop_assert_eq!(followed(KIND, &statements, &demonstration), everybody(right[0]));
            prop_assert!(KIND.check(&prompt, &demonstration).correct);
        }

        #[test]
        fn a_statement_survives_writing_and_reading(seed: u64, n in 2u8..=8) {
            let mut random = random(seed);
            let said: Vec<_> =
                (0..n).map(|speaker| Knights::statement(speaker, n, &mut random)).collect();
            let prompt = asked(said.iter().copied().flat_map(Knights::written).collect(), 25);
            prop_assert_eq!(Knights::read(&prompt), Some(said));
        }
    }
}
