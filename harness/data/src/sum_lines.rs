//! Text of a Markov chain with lines `digits = sum` between: what comes next is easy, uncertain, or to be worked out.
//!
//! A text is [`SEGMENTS`] times: two uniform symbols, [`RUN`] more of an order-2 chain, [`DIGITS`] digits, of which two
//! are 0 and the others uniform, [`EQUALS`] and their sum modulo [`MODULUS`]. Every pair of symbols has a favourite successor, drawn from one fixed
//! seed, and the others share what is left evenly, so that each row of the chain has one of two entropies exactly:
//! by whether the pair's symbols add up to an even number. Rows are held as whole weights, so that texts are the
//! same on every platform. What is drawn uniformly is given: nobody can predict it.
//!
//! A fifth of all lines of digits, drawn from the same seed, stands in judged texts alone. (Where all digits were
//! uniform, a policy of 10⁵ parameters had not begun to add in 2,000 steps; one seed.)

use ledger::digest::Digest;
use ledger::order::{bounded, generator, shuffle};
use rand_pcg::Pcg64;

/// Fills what is not there.
pub const PAD: u16 = 0;
/// Begins a thought.
pub const OPEN: u16 = 1;
/// Ends a thought.
pub const CLOSE: u16 = 2;
/// Stands between digits and their sum.
pub const EQUALS: u16 = 3;
/// Says nothing: what thoughts are drawn out with.
pub const PAUSE: u16 = 4;
/// The digit 0; the others follow.
pub const DIGIT: u16 = 5;
/// The first symbol; the others follow.
pub const SYMBOL: u16 = DIGIT + MODULUS;
/// Number of tokens.
pub const ALPHABET: u16 = SYMBOL + SYMBOLS;

/// Digits are below it, and so are sums.
pub const MODULUS: u16 = 5;
/// Symbols of the chain.
pub const SYMBOLS: u16 = 8;
/// Digits of a line.
pub const DIGITS: usize = 5;
/// Symbols of a run that the chain draws.
pub const RUN: usize = 2;
/// Symbols before them that are given.
const GIVEN: usize = 2;
/// Runs and lines of a text.
pub const SEGMENTS: usize = 2;
const SEGMENT: usize = GIVEN + RUN + DIGITS + 2;
/// Tokens of a text.
pub const LENGTH: usize = SEGMENTS * SEGMENT;

/// Entropies of rows, in nats.
pub const ENTROPIES: [f64; 2] = [0.2, 1.0];
/// Pauses of a thought: at least, and at most.
pub const PAUSES: [u16; 2] = [4, 10];
/// Tokens of the shortest thought that spells the sums out: the first is a digit, the last the answer.
pub const SHORTEST_THOUGHT: usize = DIGITS - 2;
/// Longest thought that is shown.
pub const LONGEST_THOUGHT: usize = DIGITS + PAUSES[1] as usize;

/// What the weights of a row sum to.
const SCALE: u64 = 1 << 30;
/// Lines of digits that there are.
const LINES: u32 = (MODULUS as u32).pow(DIGITS as u32);

/// What it takes to predict a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// A look at the chain's low-entropy rows.
    Easy,
    /// A guess by its high-entropy rows.
    Medium,
    /// The sum of a line of digits.
    Hard,
}

impl Tier {
    /// All, with what they are called.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Easy, "easy"), (Self::Medium, "medium"), (Self::Hard, "hard")];

    /// That of the token at `place` of a text; none where it is given.
    #[must_use]
    pub fn of(text: &[u16], place: usize) -> Option<Self> {
        let within = place % SEGMENT;
        if within == SEGMENT - 1 {
            return Some(Self::Hard);
        }
        let drawn = (GIVEN..GIVEN + RUN).contains(&within);
        match *text.get(place.checked_sub(2)?..place)? {
            [a, b] if drawn => Some(Self::behind([a - SYMBOL, b - SYMBOL])),
            _ => None,
        }
    }

    fn behind([a, b]: [u16; 2]) -> Self {
        if (a + b).is_multiple_of(2) { Self::Easy } else { Self::Medium }
    }
}

/// The chain, and the lines that texts to learn from and judged texts have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumLines {
    /// Favourite successor of the pair (a, b), at a·S + b.
    favourites: Vec<u16>,
    /// Weight of a favourite in rows of either entropy.
    weights: [u64; 2],
    /// Whether a line, as a number to the base of the modulus, stands in judged texts.
    judged: Vec<bool>,
}

impl Default for SumLines {
    fn default() -> Self {
        let mut random = generator(&Digest::of(b"palimpsest/sum-lines/v1"));
        let pairs = 0..SYMBOLS * SYMBOLS;
        let favourites = pairs.map(|_| below(SYMBOLS, &mut random)).collect();
        let mut ranks: Vec<u32> = (0..LINES).collect();
        shuffle(&mut random, &mut ranks);
        let judged = ranks.into_iter().map(|rank| rank < LINES / 5).collect();
        Self { favourites, weights: ENTROPIES.map(|entropy| weight(peak(entropy))), judged }
    }
}

impl SumLines {
    /// A text, to be judged on or to learn from.
    #[must_use]
    pub fn draw(&self, judged: bool, random: &mut Pcg64) -> Vec<u16> {
        let mut text = Vec::with_capacity(LENGTH);
        for _ in 0..SEGMENTS {
            let mut pair = [0; GIVEN].map(|_| below(SYMBOLS, random));
            text.extend(pair.map(|symbol| SYMBOL + symbol));
            for _ in 0..RUN {
                pair = [pair[1], self.next(pair, random)];
                text.push(SYMBOL + pair[1]);
            }
            let digits = self.line(judged, random);
            text.extend(digits.map(|digit| DIGIT + digit));
            text.extend([EQUALS, DIGIT + digits.iter().sum::<u16>() % MODULUS]);
        }
        text
    }

    fn next(&self, pair: [u16; 2], random: &mut Pcg64) -> u16 {
        let favourite = self.favourites[usize::from(pair[0] * SYMBOLS + pair[1])];
        if bounded(random, SCALE) < self.weights[usize::from(Tier::behind(pair) == Tier::Medium)] {
            return favourite;
        }
        let other = below(SYMBOLS - 1, random);
        other + u16::from(other >= favourite)
    }

    fn line(&self, judged: bool, random: &mut Pcg64) -> [u16; DIGITS] {
        loop {
            let mut digits = [0; DIGITS].map(|_| below(MODULUS, random));
            let first = bounded(random, DIGITS as u64) as usize;
            let second = first + 1 + bounded(random, DIGITS as u64 - 1) as usize;
            for place in [first, second] {
                digits[place % DIGITS] = 0;
            }
            let number = digits
                .iter()
                .fold(0, |number, digit| number * usize::from(MODULUS) + usize::from(*digit));
            if self.judged[number] == judged {
                return digits;
            }
        }
    }
}

/// A thought before the token behind `prefix`: the running sums, where this is a sum, and then pauses.
#[must_use]
pub fn thought(prefix: &[u16], random: &mut Pcg64) -> Vec<u16> {
    let mut thought = sums(prefix);
    let [least, most] = PAUSES;
    let pauses = least + below(most - least + 1, random);
    thought.extend((0..pauses).map(|_| PAUSE));
    thought
}

/// The running sums of the line that `prefix` ends with, as tokens; nothing where it ends otherwise.
#[must_use]
pub fn sums(prefix: &[u16]) -> Vec<u16> {
    let Some((&EQUALS, before)) = prefix.split_last() else { return Vec::new() };
    let digits = before.get(before.len().saturating_sub(DIGITS)..).unwrap_or(&[]);
    let running = digits.iter().scan(0, |sum, digit| {
        *sum = (*sum + digit - DIGIT) % MODULUS;
        Some(DIGIT + *sum)
    });
    running.collect()
}

/// A uniform number below `n`.
fn below(n: u16, random: &mut Pcg64) -> u16 {
    u16::try_from(bounded(random, n.into())).unwrap_or(0)
}

/// Entropy of a row whose favourite has this probability, in nats.
fn entropy(favourite: f64) -> f64 {
    let rest = 1.0 - favourite;
    -favourite * favourite.ln() - rest * (rest / f64::from(SYMBOLS - 1)).ln()
}

/// Probability of the favourite in a row of this entropy: what the best guess is right with.
#[must_use]
pub fn peak(wanted: f64) -> f64 {
    let (mut low, mut high) = (1.0 / f64::from(SYMBOLS), 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if entropy(middle) > wanted { low = middle } else { high = middle }
    }
    low
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a probability is in 0..=1, so the product is at most the scale"
)]
fn weight(probability: f64) -> u64 {
    (probability * SCALE as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn texts(judged: bool, n: usize) -> Vec<Vec<u16>> {
        let (source, mut random) = (SumLines::default(), generator(&Digest::of(b"texts")));
        (0..n).map(|_| source.draw(judged, &mut random)).collect()
    }

    #[test]
    fn rows_have_the_entropies_that_are_prescribed() {
        for wanted in ENTROPIES {
            assert!((entropy(peak(wanted)) - wanted).abs() < 1e-12);
        }
        // By bisection in Python.
        assert!((peak(0.2) - 0.968_725_925).abs() < 1e-8);
        assert!((peak(1.0) - 0.765_810_801).abs() < 1e-8);
    }

    #[test]
    fn favourites_follow_as_often_as_their_entropy_says() {
        let source = SumLines::default();
        let mut counts = [[0.0; 2]; 2];
        for text in texts(false, 4_000) {
            for place in 0..LENGTH {
                let Some(tier @ (Tier::Easy | Tier::Medium)) = Tier::of(&text, place) else {
                    continue;
                };
                let pair = (text[place - 2] - SYMBOL) * SYMBOLS + text[place - 1] - SYMBOL;
                let [right, all] = &mut counts[tier as usize];
                let favourite = SYMBOL + source.favourites[usize::from(pair)];
                *right += f64::from(u8::from(text[place] == favourite));
                *all += 1.0;
            }
        }
        for ([right, all], entropy) in counts.into_iter().zip(ENTROPIES) {
            // Some 8,000 of each: four deviations are at most 0.02.
            assert!(all > 5_000.0 && (right / all - peak(entropy)).abs() < 0.02, "{right} {all}");
        }
    }

    #[test]
    fn every_line_ends_in_its_sum_and_thoughts_spell_the_way_to_it_out() {
        let mut random = generator(&Digest::of(b"thoughts"));
        for text in texts(true, 50) {
            assert_eq!(text.len(), LENGTH);
            assert!(text.iter().all(|token| (EQUALS..ALPHABET).contains(token)));
            for place in (0..LENGTH).filter(|place| Tier::of(&text, *place).is_some()) {
                let thought = thought(&text[..place], &mut random);
                assert!(thought.len() <= LONGEST_THOUGHT);
                let sums = sums(&text[..place]);
                let (said, pauses) = thought.split_at(sums.len());
                assert_eq!(said, sums);
                assert!((4..=10).contains(&pauses.len()), "{pauses:?}");
                assert!(pauses.iter().all(|token| *token == PAUSE));
                let hard = Tier::of(&text, place) == Some(Tier::Hard);
                assert_eq!(sums.last(), hard.then_some(&text[place]));
            }
        }
        let line = [3, 4, 0, 2, 2].map(|digit| DIGIT + digit);
        let expected = [3, 2, 2, 4, 1].map(|sum| DIGIT + sum);
        assert_eq!(sums(&[&[SYMBOL], line.as_slice(), &[EQUALS]].concat()), expected);
        assert_eq!((sums(&line), sums(&[]), sums(&[EQUALS])), (vec![], vec![], vec![]));
    }

    #[test]
    fn a_text_asks_for_two_sums_and_four_symbols() {
        for text in texts(false, 20) {
            let tiers: Vec<Tier> = (0..LENGTH).filter_map(|place| Tier::of(&text, place)).collect();
            let hard = tiers.iter().filter(|tier| **tier == Tier::Hard).count();
            assert_eq!((hard, tiers.len()), (SEGMENTS, SEGMENTS * (RUN + 1)));
        }
    }

    #[test]
    fn no_line_of_a_judged_text_is_one_to_learn_from() {
        let lines = |judged| -> BTreeSet<Vec<u16>> {
            let starts = [GIVEN + RUN, SEGMENT + GIVEN + RUN];
            let lines = texts(judged, 2_000)
                .into_iter()
                .flat_map(|text| starts.map(|start| text[start..start + DIGITS].to_vec()));
            lines.collect()
        };
        let (judged, others) = (lines(true), lines(false));
        assert!(judged.is_disjoint(&others));
        let zeros = |line: &Vec<u16>| line.iter().filter(|digit| **digit == DIGIT).count();
        assert!(judged.iter().chain(&others).all(|line| zeros(line) >= 2));
        // Of the 821 lines with two zeros at least, about a fifth.
        assert!((100..240).contains(&judged.len()) && others.len() > 500, "{}", judged.len());
    }
}
