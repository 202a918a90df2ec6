//! What an estimator costs beside retraining, in retrain equivalents (RE): 1 RE is the time of one
//! true training of the window.

use serde::{Deserialize, Serialize};

use super::EstimateError;
use super::error::check_finite;
use super::moments::median;

/// Costs of an estimator beside true retraining.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Set-up in retrain equivalents S: pilots, gradients, curvature and basis.
    pub set_up: f64,
    /// How many times faster one more order is than retraining, x.
    pub speed_up: f64,
    /// Orders M* = S / (1 - 1/x) from which on estimating is cheaper; `None` where it never is.
    pub break_even: Option<f64>,
    /// Speed-up with the set-up shared among 10³ orders.
    pub amortised_1e3: f64,
    /// Speed-up with the set-up shared among 10⁴ orders.
    pub amortised_1e4: f64,
}

impl Cost {
    /// The costs of a set-up of `set_up` RE and a marginal speed-up.
    ///
    /// # Errors
    /// For a negative set-up and a speed-up that is not above 0.
    pub fn new(set_up: f64, speed_up: f64) -> Result<Self, EstimateError> {
        if !(set_up >= 0.0 && set_up.is_finite()) {
            let range = "0 or more retrain equivalents";
            return Err(EstimateError::Range { what: "set-up", value: set_up, range });
        }
        if !(speed_up > 0.0 && speed_up.is_finite()) {
            let range = "above 0";
            return Err(EstimateError::Range { what: "speed-up", value: speed_up, range });
        }
        let break_even = (speed_up > 1.0).then(|| set_up / (1.0 - 1.0 / speed_up));
        Ok(Self {
            set_up,
            speed_up,
            break_even,
            amortised_1e3: amortised(set_up, speed_up, 1e3),
            amortised_1e4: amortised(set_up, speed_up, 1e4),
        })
    }

    /// The costs from times in seconds, each the median of alternating measurements: of true
    /// retraining, of the set-up, and of one order's estimate.
    ///
    /// # Errors
    /// Without a measurement, and for times that are not above 0.
    pub fn measured(
        retraining: &[f64],
        set_up: &[f64],
        order: &[f64],
    ) -> Result<Self, EstimateError> {
        let columns =
            [("retraining time", retraining), ("set-up time", set_up), ("order time", order)];
        for (what, times) in columns {
            check_finite(what, times)?;
            if times.is_empty() {
                return Err(EstimateError::TooFew { what, needed: 1, unit: "times", found: 0 });
            }
            if let Some(&value) = times.iter().find(|&&time| time <= 0.0) {
                return Err(EstimateError::Range { what, value, range: "above 0 s" });
            }
        }
        let retrain = median(retraining);
        Self::new(median(set_up) / retrain, retrain / median(order))
    }
}

/// M / (S + M/x): how many times faster M orders are, set-up and all.
fn amortised(set_up: f64, speed_up: f64, orders: f64) -> f64 {
    orders / (set_up + orders / speed_up)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_surrogate_of_the_bench_breaks_even_at_about_fifty_orders() {
        // Set-up 44 to 49 RE, 12.6 to 14.6 times faster an order; 8x and 12x amortised.
        let cost = Cost::new(46.5, 13.0).unwrap();
        assert!((cost.break_even.unwrap() - 50.375).abs() < 1e-12);
        assert!((cost.amortised_1e3 - 8.1).abs() < 0.01, "{}", cost.amortised_1e3);
        assert!((cost.amortised_1e4 - 12.26).abs() < 0.01, "{}", cost.amortised_1e4);
    }

    #[test]
    fn an_estimator_slower_than_retraining_never_breaks_even() {
        assert_eq!(Cost::new(1.0, 1.0).unwrap().break_even, None);
        assert_eq!(Cost::new(0.0, 0.6).unwrap().break_even, None);
    }

    #[test]
    fn times_give_medians_and_bad_times_are_refused() {
        let cost = Cost::measured(&[2.0, 2.0, 9.0], &[20.0], &[0.1, 0.2]).unwrap();
        assert!((cost.set_up - 10.0).abs() < 1e-12 && (cost.speed_up - 2.0 / 0.15).abs() < 1e-12);
        let refused = Cost::measured(&[1.0], &[0.0], &[1.0]).unwrap_err().to_string();
        assert_eq!(refused, "set-up time is 0: it must be above 0 s");
        assert!(Cost::measured(&[], &[1.0], &[1.0]).is_err());
        assert!(Cost::new(f64::NAN, 2.0).is_err());
    }

    proptest! {
        #[test]
        fn at_break_even_both_ways_cost_the_same(set_up in 0.1_f64..1e3, speed_up in 1.01_f64..1e4) {
            let cost = Cost::new(set_up, speed_up).unwrap();
            let orders = cost.break_even.unwrap();
            prop_assert!((amortised(set_up, speed_up, orders) - 1.0).abs() < 1e-9);
            prop_assert!(cost.amortised_1e3 <= cost.amortised_1e4);
            prop_assert!(cost.amortised_1e4 < speed_up);
        }
    }
}
