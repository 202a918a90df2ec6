//! Prediction intervals and the confidence of a ranking, from the residuals of held-out pilots.

use serde::{Deserialize, Serialize};

use crate::distribution::{student_t_bound, student_t_cdf};
use crate::estimates::agreement::Interval;

/// Residuals e = estimate − truth of n held-out pilots, as a model of those of other orders:
/// independent and normal with a common mean and standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Mean residual ē.
    pub bias: f64,
    /// Standard deviation s of the residuals.
    pub residual_sd: f64,
    /// Pilots n, at least 2.
    pub pilots: usize,
}

impl Band {
    /// The 95 % prediction interval of the true loss of an order estimated at `estimate`:
    /// estimate − ē ± t(0.975, n − 1) · s · sqrt(1 + 1/n).
    #[must_use]
    pub fn interval(&self, estimate: f64) -> Interval {
        let n = self.pilots as f64;
        // Fails for no freedom only, which a band does not have; NaN then says "unknown".
        let bound = student_t_bound(0.95, self.freedom()).unwrap_or(f64::NAN);
        let half = bound * self.residual_sd * (1.0 + 1.0 / n).sqrt();
        let middle = self.corrected(estimate);
        Interval { low: middle - half, high: middle + half }
    }

    /// The 95 % interval of the difference of two true losses whose estimates differ by `difference`:
    /// difference ± t(0.975, n − 1) · s · √2. The bias of both is the same and cancels.
    #[must_use]
    pub fn interval_of_difference(&self, difference: f64) -> Interval {
        let bound = student_t_bound(0.95, self.freedom()).unwrap_or(f64::NAN);
        let half = bound * self.residual_sd * std::f64::consts::SQRT_2;
        Interval { low: difference - half, high: difference + half }
    }

    /// The confidence that an order estimated at `a` truly ends with a lower loss than one estimated
    /// at `b`: P(t(n − 1) < (b − a) / (s·√2)). The bias of both is the same and cancels. The better
    /// of a search is believed too readily: it was chosen for its estimate.
    #[must_use]
    pub fn confidence_below(&self, a: f64, b: f64) -> f64 {
        let scale = self.residual_sd * std::f64::consts::SQRT_2;
        if a == b {
            return 0.5;
        }
        if scale == 0.0 {
            return if a < b { 1.0 } else { 0.0 };
        }
        student_t_cdf((b - a) / scale, self.freedom())
    }

    /// The estimate without the mean residual: the middle of its interval.
    #[must_use]
    pub fn corrected(&self, estimate: f64) -> f64 {
        estimate - self.bias
    }

    /// The confidence that an order estimated at `estimate` truly ends below `known`, a loss that was
    /// measured: P(t(n − 1) < (known − estimate + ē) / (s·√(1 + 1/n))). It is above ½ exactly where
    /// `known` is above the middle of the interval.
    #[must_use]
    pub fn confidence_below_known(&self, estimate: f64, known: f64) -> f64 {
        let away = known - self.corrected(estimate);
        let scale = self.residual_sd * (1.0 + 1.0 / self.pilots as f64).sqrt();
        if scale == 0.0 {
            return if away == 0.0 { 0.5 } else { f64::from(u8::from(away > 0.0)) };
        }
        student_t_cdf(away / scale, self.freedom())
    }

    fn freedom(&self) -> usize {
        self.pilots.saturating_sub(1)
    }
}
