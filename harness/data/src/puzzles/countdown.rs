//! Countdown: make the target from the numbers with + − × ÷.
//!
//! The answer is an expression in postfix; the verifier evaluates it in rationals and accepts it
//! when it is the target and every number occurs at most as often as it is given. Difficulty is
//! how many numbers are given. Demonstrations use all of them, and their intermediate results are
//! whole numbers from 1 to 99.
//!
//! ```text
//! prompt  3 8 5 PAD 2 9 ASK     (numbers ascending, then the target in two decimal digits)
//! answer  3 8 × 5 + END
//! ```

use rand_pcg::Pcg64;

use super::{FIRST, Kind, PAD, Verdict, asked, below};

const DIGITS: u8 = 10;
const OPERATIONS: u8 = 4;
/// Largest result, intermediate or final, of a demonstration.
const LARGEST_RESULT: i64 = 99;

/// At most `numbers` (2 to 4) numbers of 1 to `largest` (at most 99).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Countdown {
    /// Largest count.
    pub numbers: u8,
    /// Largest number.
    pub largest: u8,
}

/// An operation, in the order of the alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operation {
    const ALL: [Self; OPERATIONS as usize] =
        [Self::Add, Self::Subtract, Self::Multiply, Self::Divide];
}

/// A rational number with a positive denominator, in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rational {
    numerator: i64,
    denominator: i64,
}

impl Rational {
    fn whole(number: i64) -> Self {
        Self { numerator: number, denominator: 1 }
    }

    /// `None` for a zero denominator, or terms beyond 64 bits.
    fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let divisor = greatest_common_divisor(numerator.abs(), denominator.abs());
        if denominator == 0 {
            return None;
        }
        let sign = denominator.signum();
        Some(Self {
            numerator: i64::try_from(sign * numerator / divisor).ok()?,
            denominator: i64::try_from(sign * denominator / divisor).ok()?,
        })
    }

    fn apply(self, operation: Operation, other: Self) -> Option<Self> {
        let [a, b, c, d] =
            [self.numerator, self.denominator, other.numerator, other.denominator].map(i128::from);
        match operation {
            Operation::Add => Self::new(a * d + c * b, b * d),
            Operation::Subtract => Self::new(a * d - c * b, b * d),
            Operation::Multiply => Self::new(a * c, b * d),
            Operation::Divide => Self::new(a * d, b * c),
        }
    }
}

/// Euclid's; of 0 and 0 it is 0.
fn greatest_common_divisor(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// A token of an expression.
enum Symbol {
    Number(u8),
    Operation(Operation),
}

impl Countdown {
    /// Token of `number`, from 1 on.
    fn number(number: u8) -> u8 {
        FIRST + DIGITS + number - 1
    }

    fn operation(self, operation: Operation) -> u8 {
        FIRST + DIGITS + self.largest + operation as u8
    }

    fn symbol(self, token: u8) -> Option<Symbol> {
        let place = token.checked_sub(FIRST + DIGITS)?;
        match place.checked_sub(self.largest) {
            None => Some(Symbol::Number(place + 1)),
            Some(which) => Operation::ALL.get(usize::from(which)).copied().map(Symbol::Operation),
        }
    }

    /// Numbers and target of a prompt.
    fn read(self, prompt: &[u8]) -> Option<(Vec<u8>, i64)> {
        let (numbers, rest) = prompt.split_at_checked(usize::from(self.numbers))?;
        let numbers = numbers.iter().filter(|token| **token != PAD);
        let numbers = numbers.map(|token| match self.symbol(*token)? {
            Symbol::Number(number) => Some(number),
            Symbol::Operation(_) => None,
        });
        let [tens, ones, _] = *rest else { return None };
        let digit = |token: u8| token.checked_sub(FIRST).map(i64::from);
        Some((numbers.collect::<Option<_>>()?, 10 * digit(tens)? + digit(ones)?))
    }

    /// The value of a postfix expression that uses each of `numbers` at most once.
    fn value(self, response: &[u8], mut numbers: Vec<u8>) -> Option<Rational> {
        let mut stack: Vec<Rational> = Vec::new();
        for &token in response {
            let next = match self.symbol(token)? {
                Symbol::Number(number) => {
                    let place = numbers.iter().position(|given| *given == number)?;
                    numbers.swap_remove(place);
                    Rational::whole(number.into())
                }
                Symbol::Operation(operation) => {
                    let second = stack.pop()?;
                    stack.pop()?.apply(operation, second)?
                }
            };
            stack.push(next);
        }
        let result = stack.pop()?;
        stack.is_empty().then_some(result)
    }

    /// A random expression over all of `numbers` with results in 1..=99; `None` when the draw
    /// leads out of them.
    fn expression(self, numbers: &[u8], random: &mut Pcg64) -> Option<(i64, Vec<u8>)> {
        let mut pool: Vec<(i64, Vec<u8>)> =
            numbers.iter().map(|&n| (i64::from(n), vec![Self::number(n)])).collect();
        while pool.len() > 1 {
            let mut pick = |pool: &mut Vec<_>| {
                let place = below(random, u8::try_from(pool.len()).unwrap_or(1));
                pool.swap_remove(place.into())
            };
            let (a, b) = (pick(&mut pool), pick(&mut pool));
            let operation = Operation::ALL[usize::from(below(random, OPERATIONS))];
            // One way to write what commutes: the larger first.
            let commutes = matches!(operation, Operation::Add | Operation::Multiply);
            let (a, b) = if commutes && a.0 < b.0 { (b, a) } else { (a, b) };
            let result = Rational::whole(a.0).apply(operation, Rational::whole(b.0))?;
            if result.denominator != 1 || !(1..=LARGEST_RESULT).contains(&result.numerator) {
                return None;
            }
            pool.push((result.numerator, [a.1, b.1, vec![self.operation(operation)]].concat()));
        }
        pool.pop()
    }
}

impl Kind for Countdown {
    fn name(&self) -> &'static str {
        "countdown"
    }

    fn alphabet(&self) -> u8 {
        FIRST + DIGITS + self.largest + OPERATIONS
    }

    fn prompt_length(&self) -> usize {
        usize::from(self.numbers) + 3
    }

    fn longest_response(&self) -> usize {
        2 * usize::from(self.numbers)
    }

    fn draw(&self, difficulty: u32, random: &mut Pcg64) -> (Vec<u8>, Vec<u8>) {
        let count = u8::try_from(difficulty).unwrap_or(self.numbers).clamp(2, self.numbers);
        loop {
            let mut numbers: Vec<u8> =
                (0..count).map(|_| 1 + below(random, self.largest)).collect();
            numbers.sort_unstable();
            let Some((target, answer)) = self.expression(&numbers, random) else { continue };
            let target = u8::try_from(target).unwrap_or(0);
            let mut prompt: Vec<u8> = numbers.into_iter().map(Self::number).collect();
            prompt.resize(self.numbers.into(), PAD);
            prompt.extend([FIRST + target / 10, FIRST + target % 10]);
            return (asked(prompt, self.prompt_length()), answer);
        }
    }

    fn check(&self, prompt: &[u8], response: &[u8]) -> Verdict {
        let Some((numbers, target)) = self.read(prompt) else { return Verdict::MALFORMED };
        match self.value(response, numbers) {
            None => Verdict::MALFORMED,
            Some(value) => Verdict { correct: value == Rational::whole(target), well_formed: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger::digest::Digest;
    use proptest::prelude::*;

    use super::*;

    const KIND: Countdown = Countdown { numbers: 4, largest: 25 };

    fn prompt(numbers: &[u8], target: u8) -> Vec<u8> {
        let mut tokens: Vec<u8> = numbers.iter().copied().map(Countdown::number).collect();
        tokens.resize(4, PAD);
        tokens.extend([FIRST + target / 10, FIRST + target % 10]);
        asked(tokens, KIND.prompt_length())
    }

    /// Tokens of a postfix expression such as `3 8 * 5 +`.
    fn postfix(text: &str) -> Vec<u8> {
        let token = |word: &str| match ["+", "-", "*", "/"].iter().position(|sign| *sign == word) {
            Some(place) => KIND.operation(Operation::ALL[place]),
            None => Countdown::number(word.parse().unwrap()),
        };
        text.split_whitespace().map(token).collect()
    }

    fn correct(numbers: &[u8], target: u8, text: &str) -> bool {
        KIND.check(&prompt(numbers, target), &postfix(text)).correct
    }

    #[test]
    fn answers_are_evaluated_in_rationals() {
        assert!(correct(&[3, 5, 8], 29, "3 8 * 5 +"));
        assert!(!correct(&[3, 5, 8], 29, "3 8 * 5 -"));
        // 8 ÷ (3 − 8 ÷ 3) = 24, by way of a third.
        assert!(correct(&[3, 3, 8, 8], 24, "8 3 8 3 / - /"));
        // Negative in between.
        assert!(correct(&[2, 5, 9], 6, "2 5 - 9 +"));
    }

    #[test]
    fn numbers_may_be_left_out_but_not_used_more_often_than_given() {
        assert!(correct(&[3, 5, 8], 24, "3 8 *"));
        assert!(correct(&[4, 4], 16, "4 4 *"));
        let verdict = KIND.check(&prompt(&[4, 5], 16), &postfix("4 4 *"));
        assert_eq!(verdict, Verdict::MALFORMED);
    }

    #[test]
    fn what_is_not_an_expression_is_malformed() {
        for text in ["+", "3 +", "3 5", "3 5 + +", "5 5 -"] {
            let verdict = KIND.check(&prompt(&[3, 5, 8], 8), &postfix(text));
            assert_eq!(verdict, Verdict::MALFORMED, "{text}");
        }
        // A division by zero has no value.
        let zero = KIND.check(&prompt(&[5, 5, 8], 8), &postfix("8 5 5 - /"));
        assert_eq!(zero, Verdict::MALFORMED);
    }

    proptest! {
        #[test]
        fn a_demonstration_makes_its_target_and_no_other(seed: u64, n in 2u32..=4) {
            let mut random = ledger::order::generator(&Digest::of(&seed.to_le_bytes()));
            let (prompt, answer) = KIND.draw(n, &mut random);
            let (numbers, target) = KIND.read(&prompt).unwrap();
            prop_assert_eq!(numbers.len(), n as usize);
            prop_assert!(numbers.is_sorted());
            prop_assert_eq!(KIND.value(&answer, numbers), Some(Rational::whole(target)));
            let mut other = prompt.clone();
            let ones = other.len() - 2;
            other[ones] = FIRST + (other[ones] - FIRST + 1) % DIGITS;
            prop_assert!(!KIND.check(&other, &answer).correct);
        }

        #[test]
        fn rational_arithmetic_agrees_with_floating_point(
            a in -30i64..30, b in 1i64..9, c in -30i64..30, d in 1i64..9,
        ) {
            let fraction = |n: i64, m: i64| Rational::new(n.into(), m.into()).unwrap();
            let value = |r: Rational| r.numerator as f64 / r.denominator as f64;
            let (x, y) = (fraction(a, b), fraction(c, d));
            for operation in Operation::ALL {
                let (p, q) = (value(x), value(y));
                let expected = match operation {
                    Operation::Add => p + q,
                    Operation::Subtract => p - q,
                    Operation::Multiply => p * q,
                    Operation::Divide => p / q,
                };
                match x.apply(operation, y) {
                    Some(result) => prop_assert!((value(result) - expected).abs() < 1e-9),
                    None => prop_assert_eq!((operation, c), (Operation::Divide, 0)),
                }
            }
        }
    }
}
