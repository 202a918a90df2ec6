//! Straight-line programs over registers modulo p: one interpreter, three renderings.
//!
//! [`resolve`] shows the statements shuffled and asks for one register; [`trace`] asks for every
//! step on the way to an answer; [`synth`] shows inputs with outputs and asks for the program. The
//! interpreter, [`Program::run`], is the verifier of all three.

pub mod course;
pub mod resolve;
pub mod synth;
pub mod trace;

use ledger::order::bounded;
use rand_pcg::Pcg64;

/// What a statement does with its two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Left plus right.
    Add,
    /// Left minus right.
    Subtract,
    /// Left times right.
    Multiply,
}

/// What a statement reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operand {
    /// A number below p.
    Constant(u32),
    /// A register assigned before: inputs first, then one register per statement.
    Register(usize),
}

/// One assignment to the next register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub operator: Operator,
    /// Its left operand.
    pub left: Operand,
    /// Its right operand.
    pub right: Operand,
}

/// Statements over `inputs` given registers; each assigns one register, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// p, at least 2 and below 2^16.
    pub modulus: u32,
    /// Number of registers that are given.
    pub inputs: usize,
    /// The statements, in an order in which they can be run.
    pub statements: Vec<Statement>,
}

impl Statement {
    /// A register that holds a constant.
    #[must_use]
    pub fn constant(value: u32) -> Self {
        let (left, right) = (Operand::Constant(value), Operand::Constant(0));
        Self { operator: Operator::Add, left, right }
    }

    fn reads(&self) -> impl Iterator<Item = usize> {
        [self.left, self.right].into_iter().filter_map(|operand| match operand {
            Operand::Register(register) => Some(register),
            Operand::Constant(_) => None,
        })
    }
}

impl Operator {
    /// The result modulo `modulus` of operands below it.
    #[must_use]
    pub fn apply(self, left: u32, right: u32, modulus: u32) -> u32 {
        let (left, right, p) = (u64::from(left), u64::from(right), u64::from(modulus.max(1)));
        let value = match self {
            Self::Add => left + right,
            Self::Subtract => left + p - right % p,
            Self::Multiply => left * right,
        };
        u32::try_from(value % p).unwrap_or(0)
    }
}

impl Program {
    /// Values of all registers, or nothing when a statement reads a register that is not assigned
    /// yet or the number of inputs is another.
    #[must_use]
    pub fn run(&self, inputs: &[u32]) -> Option<Vec<u32>> {
        if inputs.len() != self.inputs {
            return None;
        }
        let mut values: Vec<u32> = inputs.iter().map(|value| value % self.modulus.max(1)).collect();
        for Statement { operator, left, right } in &self.statements {
            let read = |operand: &Operand| match *operand {
                Operand::Constant(value) => Some(value % self.modulus.max(1)),
                Operand::Register(register) => values.get(register).copied(),
            };
            let value = operator.apply(read(left)?, read(right)?, self.modulus);
            values.push(value);
        }
        Some(values)
    }

    /// The longest chain of statements that a register's value goes through, itself included; 0
    /// for an input.
    #[must_use]
    pub fn depth(&self, register: usize) -> usize {
        let mut depths = vec![0; self.inputs];
        for statement in &self.statements {
            let before = statement.reads().filter_map(|read| depths.get(read)).max();
            depths.push(before.copied().unwrap_or(0) + 1);
        }
        depths.get(register).copied().unwrap_or(0)
    }
}

/// The alphabet that the renderings share. Special tokens come first, then digits 0..p, operators
/// and names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alphabet {
    /// p: number of digits.
    pub modulus: u16,
    /// Number of operator tokens.
    pub operators: u16,
    /// Number of names.
    pub names: u16,
}

impl Alphabet {
    /// Fills rows up to their common length.
    pub const PAD: u16 = 0;
    /// Stands for a hidden token; occurs in no example.
    pub const MASK: u16 = 1;
    /// Ends a response.
    pub const END: u16 = 2;
    /// Comes before the name that is asked for.
    pub const ASK: u16 = 3;
    /// Comes before an answer.
    pub const THEN: u16 = 4;
    /// The first token that is not special.
    pub const FIRST_ORDINARY: u16 = 5;

    /// The token of a number below p.
    #[must_use]
    pub fn digit(self, value: u32) -> u16 {
        Self::FIRST_ORDINARY + u16::try_from(value).unwrap_or(0).min(self.modulus - 1)
    }

    /// The token of an operator by its number.
    #[must_use]
    pub fn operator(self, index: u32) -> u16 {
        Self::FIRST_ORDINARY + self.modulus + u16::try_from(index).unwrap_or(0)
    }

    /// The token of a name by its number.
    #[must_use]
    pub fn name(self, index: u32) -> u16 {
        self.operator(u32::from(self.operators)) + u16::try_from(index).unwrap_or(0)
    }

    /// The number that a token stands for, if it is a digit.
    #[must_use]
    pub fn read_digit(self, token: u16) -> Option<u32> {
        let value = token.checked_sub(Self::FIRST_ORDINARY)?;
        (value < self.modulus).then_some(u32::from(value))
    }

    /// The operator that a token stands for, if it is one.
    #[must_use]
    pub fn read_operator(self, token: u16) -> Option<u32> {
        let index = token.checked_sub(self.operator(0))?;
        (index < self.operators).then_some(u32::from(index))
    }

    /// The name that a token stands for, if it is one.
    #[must_use]
    pub fn read_name(self, token: u16) -> Option<u32> {
        let index = token.checked_sub(self.name(0))?;
        (index < self.names).then_some(u32::from(index))
    }

    /// Number of tokens.
    #[must_use]
    pub fn size(self) -> u16 {
        self.name(u32::from(self.names))
    }
}

/// A uniform number in 0..n.
fn below(random: &mut Pcg64, n: u32) -> u32 {
    u32::try_from(bounded(random, u64::from(n))).unwrap_or(0)
}

/// `count` different numbers of 0..n, in random order.
fn some_of(random: &mut Pcg64, n: u16, count: usize) -> Vec<u32> {
    let mut all: Vec<u32> = (0..u32::from(n)).collect();
    ledger::order::shuffle(random, &mut all);
    all.truncate(count);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_runs_statements_modulo_p() {
        use Operand::{Constant, Register};
        let statement = |operator, left, right| Statement { operator, left, right };
        let program = Program {
            modulus: 13,
            inputs: 1,
            statements: vec![
                Statement::constant(9),
                statement(Operator::Add, Register(0), Register(1)),
                statement(Operator::Subtract, Constant(2), Register(2)),
                statement(Operator::Multiply, Register(3), Constant(5)),
            ],
        };
        // 9; 7 + 9 = 16 = 3; 2 - 3 = -1 = 12; 60 = 8.
        assert_eq!(program.run(&[7]).unwrap(), [7, 9, 3, 12, 8]);
        assert_eq!([0, 1, 2, 3, 4].map(|register| program.depth(register)), [0, 1, 2, 3, 4]);
        assert!(program.run(&[]).is_none());
        let ahead = vec![statement(Operator::Add, Register(1), Constant(0))];
        assert!(Program { statements: ahead, ..program }.run(&[7]).is_none());
    }

    #[test]
    fn every_token_is_read_back_as_what_it_stands_for() {
        let alphabet = Alphabet { modulus: 3, operators: 2, names: 4 };
        assert_eq!(alphabet.size(), 14);
        for token in 0..alphabet.size() {
            let readings = [
                alphabet.read_digit(token).map(|value| alphabet.digit(value)),
                alphabet.read_operator(token).map(|index| alphabet.operator(index)),
                alphabet.read_name(token).map(|index| alphabet.name(index)),
            ];
            let read: Vec<_> = readings.into_iter().flatten().collect();
            let ordinary = token >= Alphabet::FIRST_ORDINARY;
            assert_eq!(read, if ordinary { vec![token] } else { vec![] });
        }
    }
}
