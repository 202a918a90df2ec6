//! A question, one line per step, and the answer: chains of thought with one right course.
//!
//! The question is the program in order, then the name asked for, which is the last one:
//! `a 5 b a + 3 c b - a ? c`. The thought gives every register its value, the answer comes last:
//! `a 5 b 8 c 3 then 3 end`.

use std::ops::{Range, RangeInclusive};

use ledger::order::bounded;
use rand_pcg::Pcg64;

use super::{Alphabet, Operand, Operator, Program, Statement, below, some_of};
use crate::sequences::Sequence;

/// Settings of the rendering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// p, at least 2.
    pub modulus: u16,
    /// Number of statements.
    pub steps: RangeInclusive<usize>,
    /// Whether statements multiply, beside adding and subtracting.
    pub products: bool,
    /// Names to choose from, at least as many as there are statements.
    pub names: u16,
}

/// A question with its worked answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// What is asked about.
    pub program: Program,
    /// Its tokens; the group is the number of steps, counted from the smallest.
    pub sequence: Sequence,
}

/// What a response to a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// The answer is the program's.
    pub correct: bool,
    /// Lines of name and value, then one answer.
    pub well_formed: bool,
}

impl Trace {
    /// The tokens.
    #[must_use]
    pub fn alphabet(&self) -> Alphabet {
        let operators = if self.products { 3 } else { 2 };
        Alphabet { modulus: self.modulus, operators, names: self.names }
    }

    /// Tokens of the longest example: 2 for the root, 4 for each further statement, 2 for what is
    /// asked; in the response 2 a step and 3 for the answer.
    #[must_use]
    pub fn length(&self) -> usize {
        let steps = *self.steps.end();
        4 * steps + self.longest_response()
    }

    /// Tokens of the longest response, the end included.
    #[must_use]
    pub fn longest_response(&self) -> usize {
        2 * self.steps.end() + 3
    }

    /// Where the thought of a response stands: all but answer mark, answer and end.
    #[must_use]
    pub fn thought(sequence: &Sequence) -> Range<usize> {
        sequence.prompt..sequence.tokens.len().saturating_sub(3)
    }

    /// An example of `group`: of that many steps beyond the smallest number.
    #[must_use]
    pub fn draw(&self, group: usize, random: &mut Pcg64) -> Traced {
        let steps = (self.steps.start() + group).min(*self.steps.end());
        let program = self.program(steps, random);
        let values = program.run(&[]).unwrap_or_default();
        let names = some_of(random, self.names, steps);
        let alphabet = self.alphabet();
        let name = |register: usize| alphabet.name(names.get(register).copied().unwrap_or(0));
        let operand = |operand: Operand| match operand {
            Operand::Constant(value) => alphabet.digit(value),
            Operand::Register(register) => name(register),
        };
        let mut tokens = Vec::with_capacity(self.length());
        for (register, statement) in program.statements.iter().enumerate() {
            tokens.extend([name(register), operand(statement.left)]);
            if register > 0 {
                let operator = alphabet.operator(number(statement.operator));
                tokens.extend([operator, operand(statement.right)]);
            }
        }
        tokens.extend([Alphabet::ASK, name(steps - 1)]);
        let prompt = tokens.len();
        for (register, &value) in values.iter().enumerate() {
            tokens.extend([name(register), alphabet.digit(value)]);
        }
        let answer = values.last().copied().unwrap_or(0);
        tokens.extend([Alphabet::THEN, alphabet.digit(answer), Alphabet::END]);
        let group = u32::try_from(group).unwrap_or(0);
        Traced { program, sequence: Sequence { tokens, prompt, group } }
    }

    /// A root, then statements that read one or two of the registers before, the last register
    /// more often than others, so that most steps are on the way to the answer.
    fn program(&self, steps: usize, random: &mut Pcg64) -> Program {
        let modulus = u32::from(self.modulus);
        let mut statements = vec![Statement::constant(below(random, modulus))];
        while statements.len() < steps {
            let before = statements.len();
            let mut register = || {
                let last = below(random, 2) == 0;
                if last { before - 1 } else { bounded(random, before as u64) as usize }
            };
            let left = Operand::Register(register());
            let other = register();
            let right = match below(random, 2) {
                0 => Operand::Register(other),
                _ => Operand::Constant(below(random, modulus)),
            };
            let operator = match below(random, if self.products { 3 } else { 2 }) {
                0 => Operator::Add,
                1 => Operator::Subtract,
                _ => Operator::Multiply,
            };
            statements.push(Statement { operator, left, right });
        }
        Program { modulus, inputs: 0, statements }
    }

    /// The same example in another notation, of as many tokens: values before names, operators before operands and names
    /// behind them, in question and thought: `5 a + a 3 b - b a c c ?` and `5 a 8 b 3 c then 3 end`.
    #[must_use]
    pub fn turned(sequence: &Sequence) -> Sequence {
        let mut tokens = sequence.tokens.clone();
        let question = sequence.prompt.min(tokens.len()).saturating_sub(2);
        let (given, rest) = tokens.split_at_mut(question);
        let (root, statements) = given.split_at_mut(question.min(2));
        root.reverse();
        for statement in statements.chunks_exact_mut(4) {
            // Name, left, operator, right.
            let &mut [name, left, operator, right] = statement else { continue };
            statement.copy_from_slice(&[operator, left, right, name]);
        }
        let thought = rest.len().saturating_sub(3);
        rest[..thought].chunks_exact_mut(2).for_each(|pair| pair.reverse());
        Sequence { tokens, ..sequence.clone() }
    }

    /// The answer of a response, its tokens up to and without the end, whatever the question.
    #[must_use]
    pub fn answer(&self, response: &[u16]) -> Option<u32> {
        match response {
            [.., Alphabet::THEN, answer] => self.alphabet().read_digit(*answer),
            _ => None,
        }
    }

    /// Checks a response, its tokens up to and without the end.
    #[must_use]
    pub fn check(&self, program: &Program, response: &[u16]) -> Checked {
        let alphabet = self.alphabet();
        let values = program.run(&[]).unwrap_or_default();
        let (answer, well_formed) = match response {
            [thought @ .., Alphabet::THEN, answer] => {
                let lines = thought.chunks(2).all(|line| match line {
                    [name, value] => {
                        alphabet.read_name(*name).and(alphabet.read_digit(*value)).is_some()
                    }
                    _ => false,
                });
                (alphabet.read_digit(*answer), lines)
            }
            _ => (None, false),
        };
        let correct = answer.is_some() && answer == values.last().copied();
        Checked { correct, well_formed: well_formed && answer.is_some() }
    }
}

/// The operator's place in the alphabet.
fn number(operator: Operator) -> u32 {
    match operator {
        Operator::Add => 0,
        Operator::Subtract => 1,
        Operator::Multiply => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;

    fn trace() -> Trace {
        Trace { modulus: 13, steps: 3..=6, products: true, names: 10 }
    }

    fn examples() -> Vec<Traced> {
        let mut random = ledger::order::generator(&Digest::of(b"trace"));
        (0..200).map(|place| trace().draw(place % 4, &mut random)).collect()
    }

    #[test]
    fn every_line_of_the_thought_is_the_value_that_the_question_gives_it() {
        for Traced { program, sequence } in examples() {
            let alphabet = trace().alphabet();
            let values = program.run(&[]).unwrap();
            let thought = &sequence.tokens[Trace::thought(&sequence)];
            assert_eq!(thought.len(), 2 * values.len());
            // The registers in order, by the names that the question gives them.
            for (line, &value) in thought.chunks(2).zip(&values) {
                assert_eq!(alphabet.read_digit(line[1]), Some(value));
                assert!(sequence.tokens[..sequence.prompt].contains(&line[0]));
            }
            assert_eq!(values.len(), 3 + sequence.group as usize);
            let asked = &sequence.tokens[sequence.prompt - 2..sequence.prompt];
            assert_eq!(asked, [Alphabet::ASK, thought[thought.len() - 2]]);
        }
    }

    #[test]
    fn the_longest_example_has_the_announced_length() {
        let longest = examples().iter().map(|traced| traced.sequence.tokens.len()).max();
        assert_eq!((longest, trace().length(), trace().longest_response()), (Some(39), 39, 15));
    }

    #[test]
    fn the_own_response_is_right_and_a_wrong_answer_or_a_broken_line_is_not() {
        for Traced { program, sequence } in examples() {
            let mut response = sequence.response().to_vec();
            assert_eq!(response.pop(), Some(Alphabet::END));
            let check = |response: &[u16]| trace().check(&program, response);
            assert_eq!(check(&response), Checked { correct: true, well_formed: true });
            // Only the answer counts for being right.
            let short = &response[response.len() - 2..];
            assert_eq!(check(short), Checked { correct: true, well_formed: true });
            let broken = [&response[1..]].concat();
            assert_eq!(check(&broken), Checked { correct: true, well_formed: false });
            let last = response.len() - 1;
            response[last] = Alphabet::FIRST_ORDINARY + (response[last] - 4) % 13;
            assert_eq!(check(&response), Checked { correct: false, well_formed: true });
            assert_eq!(check(&[]), Checked { correct: false, well_formed: false });
        }
    }

    #[test]
    fn another_notation_has_the_same_tokens_and_the_same_answer() {
        for Traced { program, sequence } in examples() {
            let turned = Trace::turned(&sequence);
            let sorted = |tokens: &[u16]| {
                let mut tokens = tokens.to_vec();
                tokens.sort_unstable();
                tokens
            };
            assert_eq!(sorted(&turned.tokens), sorted(&sequence.tokens));
            let (own, other) = (sequence.response(), turned.response());
            assert_eq!(own[own.len() - 3..], other[other.len() - 3..]);
            assert_eq!((other[0], other[1]), (own[1], own[0]));
            assert_eq!(turned.tokens[..2], [sequence.tokens[1], sequence.tokens[0]]);
            let statement: Vec<u16> = [4, 3, 5, 2].map(|at| sequence.tokens[at]).to_vec();
            assert_eq!(turned.tokens[2..6], statement);
            assert_eq!(turned.tokens[turned.prompt - 1], Alphabet::ASK);
            assert_eq!(
                trace().answer(&own[..own.len() - 1]),
                program.run(&[]).unwrap().last().copied()
            );
            assert_eq!(trace().answer(own), None);
        }
    }

    #[test]
    fn most_steps_are_on_the_way_to_the_answer() {
        let all = examples();
        let depth = |traced: &Traced| traced.program.depth(traced.program.statements.len() - 1);
        let shares = all.iter().map(|t| depth(t) as f64 / t.program.statements.len() as f64);
        let mean = shares.sum::<f64>() / all.len() as f64;
        assert!((0.7..1.0).contains(&mean), "{mean}");
    }
}
