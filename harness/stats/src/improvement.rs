//! The probability of improvement: how often the treatment beats the baseline under the same seed.
//!
//! It needs no logarithm, so that it is the one comparison that stays defined when runs are censored.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::error::require;
use super::paired::Pair;
use super::survival::{Outcome, check_times};

/// Wins, losses and ties of the treatment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Improvement {
    /// Pairs in which the treatment was better.
    pub wins: u32,
    /// Pairs in which the baseline was better.
    pub losses: u32,
    /// Pairs in which neither was.
    pub ties: u32,
    /// (wins + ties / 2) / pairs.
    pub probability: f64,
}

/// Counts the pairs in which the treatment reached the target sooner than the baseline.
///
/// Reached beats censored, whatever the times; two censored runs tie; of two that reached the target
/// the sooner wins.
///
/// # Errors
/// When there is no pair, or a time is negative or not finite.
pub fn probability_of_improvement(pairs: &[Pair<Outcome>]) -> Result<Improvement, StatsError> {
    const NAME: &str = "the probability of improvement";
    require(NAME, 1, pairs.len())?;
    for pair in pairs {
        check_times(NAME, &[pair.baseline, pair.treatment])?;
    }
    let count = |wanted| pairs.iter().filter(|pair| standing(pair) == wanted).count() as u32;
    Ok(Improvement {
        wins: count(Ordering::Greater),
        losses: count(Ordering::Less),
        ties: count(Ordering::Equal),
        probability: pairs.iter().map(score).sum::<f64>() / pairs.len() as f64,
    })
}

/// 1 for a win of the treatment, 0 for a loss, one half for a tie.
pub(crate) fn score(pair: &Pair<Outcome>) -> f64 {
    match standing(pair) {
        Ordering::Greater => 1.0,
        Ordering::Equal => 0.5,
        Ordering::Less => 0.0,
    }
}

/// How the treatment stands to the baseline: `Greater` is better.
fn standing(pair: &Pair<Outcome>) -> Ordering {
    match (pair.treatment.reached(), pair.baseline.reached()) {
        // Times are checked to be numbers; `total_cmp` would rank 0 above -0.
        (Some(treatment), Some(baseline)) => {
            baseline.partial_cmp(&treatment).unwrap_or(Ordering::Equal)
        }
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Censored, Reached};

    fn pair(baseline: Outcome, treatment: Outcome) -> Pair<Outcome> {
        Pair { baseline, treatment }
    }

    #[test]
    fn reached_beats_censored_and_two_censored_tie() {
        let pairs = [
            pair(Censored(5.0), Reached(9.0)),
            pair(Reached(9.0), Censored(5.0)),
            pair(Censored(5.0), Censored(6.0)),
            pair(Reached(3.0), Reached(2.0)),
            pair(Reached(2.0), Reached(2.0)),
        ];
        let found = probability_of_improvement(&pairs).unwrap();
        assert_eq!((found.wins, found.losses, found.ties), (2, 1, 2));
        assert_eq!(found.probability, 0.6);
    }

    #[test]
    fn swapping_the_arms_gives_the_complement() {
        let pairs = [
            pair(Reached(1.0), Reached(2.0)),
            pair(Censored(4.0), Reached(2.0)),
            pair(Censored(4.0), Reached(3.0)),
        ];
        let swapped = pairs.map(|Pair { baseline, treatment }| pair(treatment, baseline));
        let sum = probability_of_improvement(&pairs).unwrap().probability
            + probability_of_improvement(&swapped).unwrap().probability;
        assert_eq!(sum, 1.0);
    }

    #[test]
    fn no_pair_and_a_time_that_is_not_a_number_are_refused() {
        assert!(matches!(probability_of_improvement(&[]), Err(StatsError::TooFew { .. })));
        let nan = [pair(Reached(f64::NAN), Reached(1.0))];
        assert!(matches!(probability_of_improvement(&nan), Err(StatsError::NotFinite { .. })));
    }
}
