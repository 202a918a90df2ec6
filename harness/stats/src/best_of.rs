//! Expected best result under a tuning budget, so that methods tuned with unequal effort can be
//! compared at equal effort.
//!
//! The best of 200 trials is not to be set beside the best of 20. From n trials of one method, the
//! mean over all subsets of k trials of the best in the subset is what a budget of k would have
//! given: the i-th best of n is the best of a subset with probability C(n-i, k-1) / C(n, k). The
//! subsets are drawn without replacement, so that the estimate has no bias (Tang et al. 2020, ACL,
//! on Dodge et al. 2019, EMNLP).

use super::StatsError;
use super::error::{all_finite, in_range, require};
use ledger::goal::Direction;

const NAME: &str = "the expected best of k";

/// The expected best of `budget` trials drawn without replacement from `trials`, one score each.
///
/// # Errors
/// When there is no trial, a score is not finite (give a diverged trial the worst score that the
/// metric has), or the budget is 0 or above the number of trials.
pub fn expected_best(
    trials: &[f64],
    budget: usize,
    direction: Direction,
) -> Result<f64, StatsError> {
    let sorted = best_first(trials, direction)?;
    if budget == 0 || budget > trials.len() {
        return Err(StatsError::Budget { budget, trials: trials.len() });
    }
    of_sorted(&sorted, budget)
}

/// [`expected_best`] for every budget from 1 to the number of trials.
///
/// # Errors
/// When there is no trial or a score is not finite.
pub fn expected_best_curve(trials: &[f64], direction: Direction) -> Result<Vec<f64>, StatsError> {
    let sorted = best_first(trials, direction)?;
    (1..=trials.len()).map(|budget| of_sorted(&sorted, budget)).collect()
}

fn best_first(trials: &[f64], direction: Direction) -> Result<Vec<f64>, StatsError> {
    require(NAME, 1, trials.len())?;
    all_finite(NAME, trials)?;
    let mut sorted = trials.to_vec();
    sorted.sort_by(|a, b| direction.orient(*b).total_cmp(&direction.orient(*a)));
    Ok(sorted)
}

fn of_sorted(best_first: &[f64], budget: usize) -> Result<f64, StatsError> {
    let (n, k) = (best_first.len() as f64, budget as f64);
    // The probability that the best so far is not in the subset shrinks by C(n-i, k) / C(n-i+1, k).
    let mut none_better = 1.0;
    let mut sum = 0.0;
    for (i, score) in best_first.iter().enumerate() {
        let left = n - i as f64;
        let chosen = (k / left).min(1.0);
        sum += score * (none_better * chosen);
        none_better *= 1.0 - chosen;
    }
    in_range(NAME, sum)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UP: Direction = Direction::HigherIsBetter;

    #[test]
    fn a_budget_of_one_is_the_mean_and_of_all_the_best() {
        let scores = [3.0, 1.0, 2.0, 6.0];
        let curve = expected_best_curve(&scores, UP).unwrap();
        assert!((curve[0] - 3.0).abs() < 1e-12 && curve[3] == 6.0, "{curve:?}");
        let losses = expected_best_curve(&scores, Direction::LowerIsBetter).unwrap();
        assert!((losses[0] - 3.0).abs() < 1e-12 && losses[3] == 1.0, "{losses:?}");
    }

    #[test]
    fn budgets_beyond_the_trials_and_scores_that_are_none_are_refused() {
        for budget in [0, 4] {
            let error = expected_best(&[1.0, 2.0, 3.0], budget, UP).unwrap_err();
            assert_eq!(error, StatsError::Budget { budget, trials: 3 });
        }
        assert!(matches!(expected_best(&[], 1, UP), Err(StatsError::TooFew { .. })));
        let nan = expected_best(&[1.0, f64::NAN], 1, UP).unwrap_err();
        assert!(matches!(nan, StatsError::NotFinite { index: 1, .. }));
    }

    proptest! {
        #[test]
        fn a_larger_budget_is_never_worse_and_order_does_not_matter(
            scores in prop::collection::vec(-1e3..1e3f64, 1..40),
        ) {
            let curve = expected_best_curve(&scores, UP).unwrap();
            prop_assert!(curve.windows(2).all(|pair| pair[0] <= pair[1] + 1e-9));
            let reversed: Vec<f64> = scores.iter().rev().copied().collect();
            prop_assert_eq!(expected_best_curve(&reversed, UP).unwrap(), curve);
        }
    }
}
