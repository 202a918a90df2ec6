//! Inputs with their outputs, and a program that explains them.
//!
//! The prompt is `x y` for each example, then the mark `then`; the response one `operator constant`
//! per statement and the end. Every statement acts on the value before it. A response is right
//! when the program it spells maps every input shown to its output, whatever program was drawn.

use rand_pcg::Pcg64;

use super::{Alphabet, Operand, Operator, Program, Statement, below, some_of};
use crate::sequences::Sequence;

/// Settings of the rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synth {
    /// p, a prime, so that products by other than 0 lose nothing.
    pub modulus: u16,
    /// Inputs shown, at most p.
    pub shown: usize,
    /// Most statements.
    pub statements: usize,
}

impl Synth {
    /// The tokens: two operators, plus and times; no names.
    #[must_use]
    pub fn alphabet(self) -> Alphabet {
        Alphabet { modulus: self.modulus, operators: 2, names: 0 }
    }

    /// Tokens of the longest example.
    #[must_use]
    pub fn length(self) -> usize {
        2 * self.shown + 1 + self.longest_response()
    }

    /// Tokens of the longest response, the end included.
    #[must_use]
    pub fn longest_response(self) -> usize {
        2 * self.statements + 1
    }

    /// An example of `group`: a program of that many statements beyond one. No statement leaves
    /// its value as it is.
    #[must_use]
    pub fn draw(self, group: usize, random: &mut Pcg64) -> Sequence {
        let alphabet = self.alphabet();
        let modulus = u32::from(self.modulus);
        let length = (group + 1).min(self.statements);
        let steps = (0..length).map(|_| match below(random, 2) {
            0 => (0, 1 + below(random, modulus - 1)),
            // Times 2..p; with p = 2 there is no such product and plus 1 stands in.
            _ if modulus > 2 => (1, 2 + below(random, modulus - 2)),
            _ => (0, 1),
        });
        let steps: Vec<(u32, u32)> = steps.collect();
        let program = self.program(&steps);
        let mut tokens = Vec::with_capacity(self.length());
        for input in some_of(random, self.modulus, self.shown) {
            let values = program.run(&[input]).unwrap_or_default();
            let output = values.last().copied().unwrap_or(0);
            tokens.extend([alphabet.digit(input), alphabet.digit(output)]);
        }
        tokens.push(Alphabet::THEN);
        let prompt = tokens.len();
        for (operator, constant) in steps {
            tokens.extend([alphabet.operator(operator), alphabet.digit(constant)]);
        }
        tokens.push(Alphabet::END);
        Sequence { tokens, prompt, group: u32::try_from(group).unwrap_or(0) }
    }

    /// Whether a response, its tokens up to and without the end, maps every input of the prompt
    /// to its output; nothing when it spells no program.
    #[must_use]
    pub fn check(self, prompt: &[u16], response: &[u16]) -> Option<bool> {
        let alphabet = self.alphabet();
        let steps = response.chunks(2).map(|step| match step {
            [operator, constant] => {
                Some((alphabet.read_operator(*operator)?, alphabet.read_digit(*constant)?))
            }
            _ => None,
        });
        let program = self.program(&steps.collect::<Option<Vec<_>>>()?);
        let pairs = prompt.strip_suffix(&[Alphabet::THEN]).unwrap_or(prompt);
        let explains = pairs.chunks(2).all(|pair| {
            let [input, output] = pair else { return false };
            let (Some(input), Some(output)) =
                (alphabet.read_digit(*input), alphabet.read_digit(*output))
            else {
                return false;
            };
            program.run(&[input]).is_some_and(|values| values.last() == Some(&output))
        });
        Some(explains)
    }

    fn program(self, steps: &[(u32, u32)]) -> Program {
        let statements = steps.iter().enumerate().map(|(before, &(operator, constant))| {
            let operator = if operator == 0 { Operator::Add } else { Operator::Multiply };
            let (left, right) = (Operand::Register(before), Operand::Constant(constant));
            Statement { operator, left, right }
        });
        Program { modulus: u32::from(self.modulus), inputs: 1, statements: statements.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;

    const SYNTH: Synth = Synth { modulus: 7, shown: 4, statements: 3 };

    fn split(example: &Sequence) -> (&[u16], &[u16]) {
        let (prompt, response) = example.tokens.split_at(example.prompt);
        (prompt, response.strip_suffix(&[Alphabet::END]).unwrap())
    }

    #[test]
    fn the_own_program_explains_the_pairs_and_another_constant_does_not() {
        let mut random = ledger::order::generator(&Digest::of(b"synth"));
        for place in 0..200 {
            let example = SYNTH.draw(place % 3, &mut random);
            assert_eq!(example.tokens.len(), 9 + 2 * (place % 3 + 1) + 1);
            let (prompt, response) = split(&example);
            assert_eq!(SYNTH.check(prompt, response), Some(true));
            // The first statement is plus c: any other shift moves every output.
            if response[0] == SYNTH.alphabet().operator(0) {
                let mut other = response.to_vec();
                other[1] = SYNTH.alphabet().digit(u32::from(other[1] - 4) % 7);
                assert_eq!(SYNTH.check(prompt, &other), Some(false));
            }
        }
    }

    #[test]
    fn another_program_with_the_same_outputs_is_right_too() {
        let alphabet = SYNTH.alphabet();
        let [plus, times] = [0, 1].map(|operator| alphabet.operator(operator));
        let digit = |value| alphabet.digit(value);
        // (x + 1) * 2 = x * 2 + 2 modulo 7.
        let prompt = [digit(0), digit(2), digit(3), digit(1), Alphabet::THEN];
        let own = [plus, digit(1), times, digit(2)];
        assert_eq!(SYNTH.check(&prompt, &own), Some(true));
        assert_eq!(SYNTH.check(&prompt, &[times, digit(2), plus, digit(2)]), Some(true));
        assert_eq!(SYNTH.check(&prompt, &[times, digit(2), plus]), None);
        assert_eq!(SYNTH.check(&prompt, &[digit(2), times]), None);
    }
}
