//! The orders of a search, truly retrained beside random ones, on the split that the search looked at
//! and on the one that it did not.

use serde::{Deserialize, Serialize};

use crate::distribution::student_t_bound;
use crate::estimates::EstimateError;
use crate::estimates::agreement::{Interval, spearman, spearman_interval};
use crate::estimates::error::{check_finite, check_length};
use crate::estimates::moments::{mean, sd};
use crate::estimates::settings::HeldOut;

/// True losses of the best orders of a search beside those of random orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// True losses of the found orders, in the order of the search's list.
    pub best: Vec<f64>,
    /// True losses of random orders.
    pub random: Vec<f64>,
    /// Mean of the first.
    pub best_mean: f64,
    /// Mean of the second.
    pub random_mean: f64,
    /// Standard deviation of the second.
    pub random_sd: f64,
    /// (best mean − random mean) / random sd: negative is better than random.
    pub difference_in_sd: f64,
}

impl Verified {
    /// Compares true losses.
    ///
    /// # Errors
    /// Without found orders, with fewer than two random ones, where these do not vary, and for
    /// losses that are not finite.
    pub fn of(best: &[f64], random: &[f64]) -> Result<Self, EstimateError> {
        check_finite("true loss of found order", best)?;
        check_finite("true loss of random order", random)?;
        for (unit, needed, found) in
            [("found orders", 1, best.len()), ("random orders", 2, random.len())]
        {
            if found < needed {
                let what = "a comparison with random";
                return Err(EstimateError::TooFew { what, needed, unit, found });
            }
        }
        let (best_mean, random_mean, random_sd) = (mean(best), mean(random), sd(random));
        if random_sd == 0.0 {
            let (what, range) = ("sd of the random orders' true losses", "above 0");
            return Err(EstimateError::Range { what, value: 0.0, range });
        }
        Ok(Self {
            best: best.to_vec(),
            random: random.to_vec(),
            best_mean,
            random_mean,
            random_sd,
            difference_in_sd: (best_mean - random_mean) / random_sd,
        })
    }
}

impl Verified {
    /// 95 % interval of the difference of both means in [`Verified::random_sd`], by Welch's test;
    /// `None` for a single found order.
    #[must_use]
    pub fn interval_in_sd(&self) -> Option<Interval> {
        let (n, m) = (self.best.len(), self.random.len());
        if n < 2 || m < 2 {
            return None;
        }
        let (a, b) = (sd(&self.best).powi(2) / n as f64, self.random_sd.powi(2) / m as f64);
        let freedom = (a + b).powi(2) / (a.powi(2) / (n - 1) as f64 + b.powi(2) / (m - 1) as f64);
        // Whole freedoms below it are on the safe side.
        let half = student_t_bound(0.95, (freedom as usize).max(1)).ok()?;
        let half = half * (a + b).sqrt() / self.random_sd;
        let middle = self.difference_in_sd;
        Some(Interval { low: middle - half, high: middle + half })
    }
}

/// How much lower one run's loss is than another's on the same held-out examples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Mean over the examples of their losses under the found order less those under the other.
    pub difference: f64,
    /// Standard error of that mean, over the examples.
    pub standard_error: f64,
    /// difference ± t(0.975, n − 1) standard errors: what other examples of the same kind might say.
    pub interval: Interval,
    /// Examples n.
    pub examples: usize,
}

impl Paired {
    /// Compares losses of the same examples.
    ///
    /// # Errors
    /// For fewer than two examples, columns of different lengths and losses that are not finite.
    pub fn of(found: &[f64], other: &[f64]) -> Result<Self, EstimateError> {
        check_length("losses of held-out examples", found.len(), other.len())?;
        check_finite("loss of held-out example", found)?;
        check_finite("loss of held-out example", other)?;
        let n = found.len();
        if n < 2 {
            let (what, unit) = ("a standard error over held-out examples", "examples");
            return Err(EstimateError::TooFew { what, needed: 2, unit, found: n });
        }
        let differences: Vec<f64> = found.iter().zip(other).map(|(a, b)| a - b).collect();
        let difference = mean(&differences);
        let standard_error = sd(&differences) / (n as f64).sqrt();
        // Fails for no freedom only, which two examples have.
        let half = student_t_bound(0.95, n - 1).unwrap_or(f64::NAN) * standard_error;
        let interval = Interval { low: difference - half, high: difference + half };
        Ok(Self { difference, standard_error, interval, examples: n })
    }
}

/// What the found orders are worth on a split that the search did not look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// The split.
    pub split: HeldOut,
    /// Loss of the recorded order there.
    pub recorded: f64,
    /// The best random orders against random ones; `None` where these do not vary.
    pub best: Option<Verified>,
    /// The ends of descents against random ones.
    pub descents: Option<Verified>,
    /// The winner of the searched split against the recorded order; `None` for a split of one
    /// example.
    pub kept: Option<Paired>,
    /// Spearman correlation of both splits' losses over the random orders: how far choosing on the
    /// one is choosing on the other.
    pub agreement: Option<f64>,
    /// Its 95 % interval.
    pub agreement_interval: Option<Interval>,
}

impl Elsewhere {
    /// The agreement of the losses of random orders on both splits, with its interval.
    ///
    /// # Errors
    /// For columns of different lengths and losses that are not finite.
    pub fn agreement(
        searched: &[f64],
        here: &[f64],
    ) -> Result<Option<(f64, Interval)>, EstimateError> {
        let r = spearman(searched, here)?;
        Ok(r.map(|r| (r, spearman_interval(r, here.len()))))
    }
}
