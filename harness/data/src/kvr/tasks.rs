//! Families of small tasks with cues: f(x) = a·x + b modulo p, told apart by three words.
//!
//! The first word of a cue is shared by all tasks of one a; the other two tell tasks apart, and are shared by some. A
//! question is the cue, x and the mark `then`; the answer is f(x).

use std::collections::BTreeSet;

use rand_pcg::Pcg64;

use crate::slp::Alphabet;

/// Settings of the families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// p.
    pub modulus: u16,
    /// Number of different a: 1, 2, …, below p.
    pub slopes: u16,
    /// Number of tasks.
    pub tasks: usize,
}

/// Words that stand second or third in a cue.
const WORDS: u16 = 24;

/// A task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// a and b.
    pub function: [u32; 2],
    /// Its cue, as names.
    pub cue: [u32; 3],
}

impl Families {
    /// The tokens: no operators; names are words.
    #[must_use]
    pub fn alphabet(self) -> Alphabet {
        Alphabet { modulus: self.modulus, operators: 0, names: self.slopes + 2 * WORDS }
    }

    /// Words of a cue, with which a question begins.
    pub const CUE: usize = 3;

    /// Tokens of a question.
    pub const QUESTION: usize = 5;

    /// Tasks with a cue of their own each; fewer than were asked for where there are not as many cues.
    #[must_use]
    pub fn draw(self, random: &mut Pcg64) -> Vec<Task> {
        let below = |random: &mut Pcg64, n: u16| {
            u32::try_from(ledger::order::bounded(random, u64::from(n.max(1)))).unwrap_or(0)
        };
        let cues = usize::from(self.slopes) * usize::from(WORDS) * usize::from(WORDS);
        let (mut seen, mut tasks) = (BTreeSet::new(), Vec::new());
        while tasks.len() < self.tasks.min(cues) {
            let slope = below(random, self.slopes);
            let words = [(); 2].map(|()| below(random, WORDS));
            let [second, third] = words;
            let first = u32::from(self.slopes);
            let cue = [slope, first + second, first + u32::from(WORDS) + third];
            let b = below(random, self.modulus);
            if seen.insert(cue) {
                tasks.push(Task { function: [slope + 1, b], cue });
            }
        }
        tasks
    }

    /// The question of a task for x, and its answer, in tokens.
    #[must_use]
    pub fn pair(self, task: &Task, x: u32) -> (Vec<u16>, u16) {
        let (alphabet, modulus) = (self.alphabet(), u32::from(self.modulus.max(1)));
        let mut question: Vec<u16> = task.cue.iter().map(|word| alphabet.name(*word)).collect();
        question.extend([alphabet.digit(x), Alphabet::THEN]);
        let [a, b] = task.function;
        (question, alphabet.digit((a * x + b) % modulus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;

    const FAMILIES: Families = Families { modulus: 17, slopes: 3, tasks: 512 };

    #[test]
    fn no_two_tasks_have_a_cue_and_the_first_word_tells_the_slope() {
        let tasks = FAMILIES.draw(&mut ledger::order::generator(&Digest::of(b"tasks")));
        let cues: BTreeSet<_> = tasks.iter().map(|task| task.cue).collect();
        assert_eq!((tasks.len(), cues.len()), (512, 512));
        for Task { function: [a, b], cue } in tasks {
            assert!(a == cue[0] + 1 && b < 17);
            let (question, answer) = FAMILIES.pair(&Task { function: [a, b], cue }, 5);
            assert_eq!(question.len(), Families::QUESTION);
            assert_eq!(FAMILIES.alphabet().read_digit(answer), Some((5 * a + b) % 17));
        }
    }

    #[test]
    fn there_are_no_more_tasks_than_cues() {
        let few = Families { slopes: 1, tasks: 10_000, ..FAMILIES };
        let tasks = few.draw(&mut ledger::order::generator(&Digest::of(b"tasks")));
        assert_eq!(tasks.len(), 24 * 24);
    }
}
