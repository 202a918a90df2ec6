//! Why an estimator with a basis misses: the basis, or the curvature.

use serde::{Deserialize, Serialize};

/// Share of the estimator's error that may remain without a projection, for the projection to be
/// called the cause.
const REMAINS: f64 = 0.6;

/// The relative error of the parameters over a few held-out pilots, with the basis and without.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Of the estimator, which knows curvature along its basis.
    pub projected: f64,
    /// Of exact curvature at the same centre (`linear`), without a basis.
    pub whole: f64,
    /// Pilots that both were held to.
    pub pilots: usize,
}

impl Diagnosis {
    /// Whether the basis is what is missing; otherwise gradients bend more than one centre follows.
    #[must_use]
    pub fn is_projection(&self) -> bool {
        self.whole <= REMAINS * self.projected
    }

    /// What would help against this cause.
    #[must_use]
    pub fn remedy(&self) -> String {
        let Self { projected, whole, pilots } = self;
        let found = format!(
            "with exact curvature in every direction the parameters of {pilots} pilots are off by \
             {whole:.2} in place of {projected:.2}"
        );
        if self.is_projection() {
            format!("{found}: the basis misses directions, take a larger -k or --passes 2")
        } else {
            format!(
                "{found}: gradients bend more on the way than a centre follows, which no larger -k cures; \
                 take more centres (--centres), a shorter window (--last) or a run with a smaller \
                 learning rate"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basis_is_blamed_only_where_curvature_in_every_direction_does_better() {
        let basis = Diagnosis { projected: 0.5, whole: 0.1, pilots: 2 };
        assert!(basis.is_projection() && basis.remedy().contains("--passes 2"));
        // The whole runs of the findings: k of 128 and 160, two passes, all 0.55.
        let bent = Diagnosis { projected: 0.55, whole: 0.54, pilots: 2 };
        assert!(!bent.is_projection() && bent.remedy().contains("--last"));
        assert!(!Diagnosis { whole: f64::NAN, ..bent }.is_projection());
    }
}
