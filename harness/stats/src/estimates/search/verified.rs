//! The orders of a search, truly retrained beside random ones.

use serde::{Deserialize, Serialize};

use crate::estimates::EstimateError;
use crate::estimates::error::check_finite;
use crate::estimates::moments::{mean, sd};

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
