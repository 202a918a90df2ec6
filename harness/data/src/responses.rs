//! Difficulty of items and ability of learners on one scale, from who answered what rightly: the one-parameter model of
//! item response theory, `P(right) = σ(θ_j − b_i)` for learner j and item i (Rasch).
//!
//! Abilities have the prior N(0, 1), which fixes where the scale lies; difficulties N(0, s²). What is found is the mode:
//! the sum of log-likelihoods and log-priors is concave in all of them, and rises until nothing moves when abilities and
//! difficulties are brought to their best in turns, each by Newton's method.

/// Who answered what rightly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Responses {
    /// Learner by learner, one answer for each item.
    pub right: Vec<Vec<bool>>,
}

/// The scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// b of each item: higher is harder.
    pub difficulties: Vec<f64>,
    /// θ of each learner.
    pub abilities: Vec<f64>,
    /// Turns that it took.
    pub turns: u32,
}

/// Most turns of [`Scale::of`].
const MOST_TURNS: u32 = 10_000;
/// A scale on which nothing moves by more is found.
const STILL: f64 = 1e-8;
/// Longest step of Newton's method: from far away the curve is too flat to be trusted.
const LONGEST: f64 = 1.0;

/// The mode of θ given difficulties and answers: what `argmax log N(θ; 0, 1) + Σ log P(r_i | θ, b_i)` comes to.
#[must_use]
pub fn ability<'a>(answers: impl Iterator<Item = (&'a f64, &'a bool)> + Clone) -> f64 {
    let right = answers.clone().filter(|(_, right)| **right).count();
    mode(0.0, 1.0, right as f64, || answers.clone().map(|(b, _)| (1.0, *b)))
}

/// The mode of b, from N(0, `deviation`²), of an item that `right` of these learners answer. By symmetry −b is to
/// −θ what an ability is to difficulties.
fn difficulty(start: f64, deviation: f64, right: f64, abilities: &[f64]) -> f64 {
    -mode(-start, deviation, right, || abilities.iter().map(|theta| (1.0, -theta)))
}

/// The x at which the log-prior N(0, `deviation`²) and the log-likelihood of `right` right answers, each of probability
/// `σ(x − at)`, are largest together; answers are told as (how many, at). Which of them are right does not count.
fn mode<I: Iterator<Item = (f64, f64)>>(
    start: f64,
    deviation: f64,
    right: f64,
    answers: impl Fn() -> I,
) -> f64 {
    let precision = 1.0 / (deviation * deviation);
    let mut x = start;
    for _ in 0..200 {
        let (mut slope, mut bend) = (right - x * precision, precision);
        for (many, at) in answers() {
            let p = 1.0 / (1.0 + (at - x).exp());
            slope -= many * p;
            bend += many * p * (1.0 - p);
        }
        let step = (slope / bend).clamp(-LONGEST, LONGEST);
        x += step;
        if step.abs() < 1e-12 {
            break;
        }
    }
    x
}

impl Scale {
    /// The scale of these answers, with difficulties of prior deviation `deviation`, above 0. Answers beyond those of the
    /// learner with the fewest are left out; none at all make an empty scale.
    ///
    /// Given the learners, how hard an item is hangs on how many of them answer it and not on which: there are only as many
    /// different difficulties as learners, and one.
    #[must_use]
    pub fn of(responses: &Responses, deviation: f64) -> Self {
        let learners = &responses.right;
        let items = learners.iter().map(Vec::len).min().unwrap_or(0);
        let counts: Vec<usize> =
            (0..items).map(|item| learners.iter().filter(|right| right[item]).count()).collect();
        let totals: Vec<usize> = learners
            .iter()
            .map(|right| right.iter().take(items).filter(|right| **right).count())
            .collect();
        let mut many = vec![0.0; learners.len() + 1];
        counts.iter().for_each(|count| many[*count] += 1.0);
        let (mut hard, mut abilities) = (vec![0.0; many.len()], vec![0.0; learners.len()]);
        let (mut moved, mut turns) = (f64::INFINITY, 0);
        while moved > STILL && turns < MOST_TURNS {
            moved = 0.0;
            for (count, b) in hard.iter_mut().enumerate().filter(|(count, _)| many[*count] > 0.0) {
                let better = difficulty(*b, deviation, count as f64, &abilities);
                moved = moved.max((better - *b).abs());
                *b = better;
            }
            for (theta, total) in abilities.iter_mut().zip(&totals) {
                let answers = || many.iter().copied().zip(hard.iter().copied());
                let better = mode(*theta, 1.0, *total as f64, answers);
                moved = moved.max((better - *theta).abs());
                *theta = better;
            }
            turns += 1;
        }
        Self {
            difficulties: counts.into_iter().map(|count| hard[count]).collect(),
            abilities,
            turns,
        }
    }
}

/// How hard an item may be that ability `theta` answers with probability `p`, above 0 and below 1.
#[must_use]
pub fn within_reach(theta: f64, p: f64) -> f64 {
    theta - (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::digest::Digest;
    use ledger::streams::{normal_f64, unit_f64};

    fn close(found: f64, expected: f64, by: f64) {
        assert!((found - expected).abs() <= by, "{found}, expected {expected}");
    }

    fn theta(b: &[f64], right: &[bool]) -> f64 {
        ability(b.iter().zip(right))
    }

    #[test]
    fn abilities_are_those_of_the_card_and_finite_where_the_likelihood_has_no_peak() {
        let b = [-2.0, -1.0, 0.0, 1.0, 2.0];
        close(theta(&b, &[true, true, true, false, false]), 0.2700, 5e-5);
        close(theta(&b, &[true; 5]), 1.3771, 5e-5);
        close(theta(&b, &[false; 5]), -1.3771, 5e-5);
        close(
            theta(&[-3.0, -2.0, -2.0, -1.0, -3.0], &[true, false, true, true, false]),
            -0.8488,
            5e-5,
        );
        assert_eq!(theta(&[], &[]), 0.0);
        // A prior that is wide leaves the likelihood's own peak.
        close(mode(0.0, 1e6, 3.0, || b.map(|b| (1.0, b)).into_iter()), 0.5908, 5e-5);
    }

    #[test]
    fn an_item_that_more_of_a_crowd_answer_is_easier() {
        let abilities = [0.0; 10];
        let of = |count: u32| difficulty(0.0, 1e3, f64::from(count), &abilities);
        for (count, b) in [(9, -2.197), (5, 0.0), (1, 2.197)] {
            close(of(count), b, 5e-4);
        }
    }

    #[test]
    fn what_is_within_reach_at_three_quarters_is_easier_than_the_ability() {
        close(within_reach(0.4, 0.75), -0.6986, 5e-5);
        close(within_reach(0.4, 0.5), 0.4, 1e-12);
    }

    /// Answers of 40 learners to 300 items, drawn from the model, with the difficulties.
    fn drawn() -> (Responses, Vec<f64>) {
        let mut random = ledger::order::generator(&Digest::of(b"responses"));
        let b: Vec<f64> = (0..300).map(|_| 1.5 * normal_f64(&mut random)).collect();
        let right = (0..40).map(|_| {
            let theta = normal_f64(&mut random);
            b.iter().map(|b| unit_f64(&mut random) < 1.0 / (1.0 + (b - theta).exp())).collect()
        });
        (Responses { right: right.collect() }, b)
    }

    #[test]
    fn difficulties_that_answers_were_drawn_from_are_found_again() {
        let (responses, b) = drawn();
        let scale = Scale::of(&responses, 2.0);
        assert!(scale.turns < MOST_TURNS, "{} turns", scale.turns);
        let correlation = |x: &[f64], y: &[f64]| {
            let mean = |z: &[f64]| z.iter().sum::<f64>() / z.len() as f64;
            let (a, b) = (mean(x), mean(y));
            let product = |x: &[f64], a: f64, y: &[f64], b: f64| -> f64 {
                x.iter().zip(y).map(|(x, y)| (x - a) * (y - b)).sum()
            };
            product(x, a, y, b) / (product(x, a, x, a) * product(y, b, y, b)).sqrt()
        };
        let found = correlation(&scale.difficulties, &b);
        assert!(found > 0.93, "{found}");
        // With the learners of each item dealt out anew nothing is left to find.
        let mut dealt = responses;
        for right in &mut dealt.right {
            let mut places: Vec<u32> = (0..300).collect();
            let mut random = ledger::order::generator(&Digest::of(&[u8::from(right[0]); 1]));
            ledger::order::shuffle(&mut random, &mut places);
            let rotated = places[0] as usize;
            right.rotate_left(rotated);
        }
        let shuffled = correlation(&Scale::of(&dealt, 2.0).difficulties, &b);
        assert!(shuffled < found - 0.3, "{shuffled} against {found}");
    }

    #[test]
    fn at_the_mode_no_slope_is_left() {
        let (responses, _) = drawn();
        let Scale { difficulties, abilities, .. } = Scale::of(&responses, 2.0);
        let p = |theta: f64, b: f64| 1.0 / (1.0 + (b - theta).exp());
        for (item, b) in difficulties.iter().enumerate() {
            let answers = abilities.iter().zip(&responses.right);
            let slope: f64 = answers
                .map(|(theta, right)| p(*theta, *b) - f64::from(u8::from(right[item])))
                .sum();
            close(slope - b / 4.0, 0.0, 1e-4);
        }
        for (theta, right) in abilities.iter().zip(&responses.right) {
            let slope: f64 = difficulties
                .iter()
                .zip(right)
                .map(|(b, right)| f64::from(u8::from(*right)) - p(*theta, *b))
                .sum();
            close(slope - theta, 0.0, 1e-4);
        }
    }

    #[test]
    fn without_learners_or_items_the_scale_is_empty() {
        let empty = Scale::of(&Responses { right: Vec::new() }, 1.0);
        assert!(empty.difficulties.is_empty() && empty.abilities.is_empty());
        let silent = Scale::of(&Responses { right: vec![Vec::new()] }, 1.0);
        assert_eq!((silent.difficulties.len(), silent.abilities), (0, vec![0.0]));
    }
}
