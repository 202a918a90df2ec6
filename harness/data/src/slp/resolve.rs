//! Shuffled statements and one register to resolve (LEGO; Skill-it, arXiv:2307.14430).
//!
//! Every statement is three tokens, `name operator operand`: the root of a chain is `a val 2`, each
//! further one `b plus-1 a`. The skill of an example is the position in its chain, from 1, of the
//! register asked for. LEGO is p = 2 with one chain: `plus-0` is then `val`, `plus-1` is `not`.
//!
//! In LEGO the last register of a chain is the sum of all constants modulo 2, which needs no name
//! to be resolved: the deepest skill is then learned first. A second chain, whose constants enter
//! that sum, takes the short cut away.

use rand_pcg::Pcg64;

use super::{Alphabet, Operand, Operator, Program, Statement, below, some_of};
use crate::sequences::Sequence;

/// Settings of the rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolve {
    /// k: registers of a chain, at least 1.
    pub chain: usize,
    /// p, at least 2.
    pub modulus: u16,
    /// Whether a second chain of the same length stands among the statements.
    pub distractor: bool,
    /// Names to choose from, at least as many as there are registers.
    pub names: u16,
}

impl Resolve {
    /// Plain LEGO.
    #[must_use]
    pub fn lego(chain: usize, names: u16) -> Self {
        Self { chain, modulus: 2, distractor: false, names }
    }

    /// The tokens.
    #[must_use]
    pub fn alphabet(self) -> Alphabet {
        Alphabet { modulus: self.modulus, operators: self.modulus, names: self.names }
    }

    /// Number of registers.
    #[must_use]
    pub fn registers(self) -> usize {
        self.chain * if self.distractor { 2 } else { 1 }
    }

    /// Tokens of an example: three a statement, then `? name answer`.
    #[must_use]
    pub fn length(self) -> usize {
        3 * self.registers() + 3
    }

    /// Number of different examples of each skill: constants, names and orders of the statements;
    /// the largest number where there are more.
    #[must_use]
    pub fn different(self) -> u64 {
        let (registers, names) = (self.registers() as u64, u64::from(self.names));
        let factors = (0..registers).flat_map(|taken| {
            [u64::from(self.modulus), names.saturating_sub(taken), registers - taken]
        });
        factors.fold(1, u64::saturating_mul)
    }

    /// An example of `skill`, from 0: the position in the chain of what is asked for.
    #[must_use]
    pub fn draw(self, skill: usize, random: &mut Pcg64) -> Sequence {
        let program = self.program(random);
        let values = program.run(&[]).unwrap_or_default();
        let names = some_of(random, self.names, self.registers());
        let alphabet = self.alphabet();
        let name = |register: usize| alphabet.name(names.get(register).copied().unwrap_or(0));
        let mut shown: Vec<u32> = (0..).take(self.registers()).collect();
        ledger::order::shuffle(random, &mut shown);
        let mut tokens = Vec::with_capacity(self.length());
        for register in shown.into_iter().map(|register| register as usize) {
            let Some(statement) = program.statements.get(register) else { continue };
            let (operator, operand) = match (statement.left, statement.right) {
                (Operand::Register(source), Operand::Constant(shift)) => (shift, name(source)),
                (Operand::Constant(value), _) => (0, alphabet.digit(value)),
                (Operand::Register(source), Operand::Register(_)) => (0, name(source)),
            };
            tokens.extend([name(register), alphabet.operator(operator), operand]);
        }
        let answer = values.get(skill).copied().unwrap_or(0);
        tokens.extend([Alphabet::ASK, name(skill), alphabet.digit(answer)]);
        let prompt = tokens.len() - 1;
        Sequence { tokens, prompt, group: u32::try_from(skill).unwrap_or(0) }
    }

    /// One chain after the other; registers 0..k are the one that is asked about.
    fn program(self, random: &mut Pcg64) -> Program {
        let modulus = u32::from(self.modulus);
        let statements = (0..self.registers()).map(|register| {
            let number = below(random, modulus);
            if register % self.chain.max(1) == 0 {
                Statement::constant(number)
            } else {
                let (left, right) = (Operand::Register(register - 1), Operand::Constant(number));
                Statement { operator: Operator::Add, left, right }
            }
        });
        Program { modulus, inputs: 0, statements: statements.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;
    use std::collections::BTreeMap;

    fn random() -> Pcg64 {
        ledger::order::generator(&Digest::of(b"resolve"))
    }

    const TWO_CHAINS: Resolve = Resolve { chain: 4, modulus: 3, distractor: true, names: 12 };

    /// Reads the tokens alone: substitutes until nothing changes. Value and position in the chain.
    fn resolved(rendering: Resolve, tokens: &[u16]) -> (u32, usize) {
        let alphabet = rendering.alphabet();
        let (statements, query) = tokens.split_at(tokens.len() - 3);
        let mut known: BTreeMap<u16, (u32, usize)> = BTreeMap::new();
        while known.len() < rendering.registers() {
            for statement in statements.chunks(3) {
                let shift = alphabet.read_operator(statement[1]).unwrap();
                let source = match alphabet.read_digit(statement[2]) {
                    Some(value) => Some((value, 0)),
                    None => known.get(&statement[2]).copied(),
                };
                if let Some((value, depth)) = source {
                    let value = (value + shift) % u32::from(rendering.modulus);
                    known.insert(statement[0], (value, depth + 1));
                }
            }
        }
        assert_eq!(query[0], Alphabet::ASK);
        known[&query[1]]
    }

    /// The sum of all digits and shifts, which is the answer of the short cut.
    fn sum_of_constants(rendering: Resolve, tokens: &[u16]) -> u32 {
        let alphabet = rendering.alphabet();
        let statements = &tokens[..tokens.len() - 3];
        let numbers = statements.iter().filter_map(|&token| {
            alphabet.read_digit(token).or_else(|| alphabet.read_operator(token))
        });
        numbers.sum::<u32>() % u32::from(rendering.modulus)
    }

    #[test]
    fn the_answer_is_what_substitution_gives_at_the_depth_of_the_skill() {
        let mut random = random();
        for rendering in [TWO_CHAINS, Resolve::lego(5, 8)] {
            for skill in (0..rendering.chain).cycle().take(200) {
                let example = rendering.draw(skill, &mut random);
                assert_eq!(example.tokens.len(), rendering.length());
                assert!(example.tokens.iter().all(|&t| t < rendering.alphabet().size()));
                let (value, depth) = resolved(rendering, &example.tokens);
                assert_eq!(example.response(), [rendering.alphabet().digit(value)]);
                assert_eq!((depth, example.group as usize), (skill + 1, skill));
            }
        }
    }

    #[test]
    fn there_are_as_many_different_examples_of_a_skill_as_drawing_them_finds() {
        let mut random = random();
        for (rendering, expected) in [
            (Resolve::lego(2, 3), 4 * 6 * 2),
            (Resolve { chain: 2, modulus: 3, distractor: false, names: 4 }, 9 * 12 * 2),
            (Resolve { chain: 1, modulus: 3, distractor: true, names: 3 }, 9 * 6 * 2),
        ] {
            let drawn = (0..200 * expected).map(|_| rendering.draw(0, &mut random).tokens);
            let found = drawn.collect::<std::collections::BTreeSet<_>>().len() as u64;
            assert_eq!((rendering.different(), found), (expected, expected));
        }
        assert_eq!(Resolve::lego(3, 8).different() * 3, 48_384);
        assert_eq!(Resolve { chain: 5, names: 26, ..TWO_CHAINS }.different(), u64::MAX);
        assert_eq!(Resolve::lego(3, 2).different(), 0);
    }

    #[test]
    fn the_last_register_of_plain_lego_is_the_parity_of_all_clauses_and_a_second_chain_hides_it() {
        let mut random = random();
        let mut agreeing = |rendering: Resolve| {
            let agrees = |_| {
                let example = rendering.draw(rendering.chain - 1, &mut random);
                let sum = sum_of_constants(rendering, &example.tokens);
                example.response() == [rendering.alphabet().digit(sum)]
            };
            (0..300).map(agrees).filter(|agrees| *agrees).count()
        };
        assert_eq!(agreeing(Resolve::lego(5, 8)), 300);
        // A third of 300, with a deviation of 8.2.
        let hidden = agreeing(TWO_CHAINS);
        assert!((67..=133).contains(&hidden), "{hidden}");
    }

    #[test]
    fn answers_are_spread_evenly_so_that_the_skill_alone_tells_nothing() {
        let mut random = random();
        let mut counts = [0_u32; 3];
        for _ in 0..900 {
            let answer = TWO_CHAINS.draw(2, &mut random).response()[0];
            counts[usize::from(answer - Alphabet::FIRST_ORDINARY)] += 1;
        }
        // 300 with a deviation of 14.1.
        assert!(counts.iter().all(|count| count.abs_diff(300) < 57), "{counts:?}");
    }
}
