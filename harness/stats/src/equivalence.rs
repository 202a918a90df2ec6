//! Two one-sided tests (TOST): whether an effect is shown to be too small to matter.
//!
//! A test that finds nothing has not shown that there is nothing. TOST turns the burden round: the
//! null is an effect of at least the margin, on either side.
//!
//! Source: Schuirmann (1987), J. Pharmacokinetics and Biopharmaceutics 15, 657-680.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::error::between;
use super::interval::{self, Interval};
use super::t_test::{Alternative, t_test};

/// Two one-sided t-tests against -margin and +margin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Equivalence {
    /// Mean of the effects.
    pub mean: f64,
    /// p of "the mean is -margin or less".
    pub p_below: f64,
    /// p of "the mean is +margin or more".
    pub p_above: f64,
    /// The larger of the two: p of "the effect reaches the margin".
    pub p: f64,
    /// The interval of level 1 - 2 alpha; inside the margin exactly where `p < alpha` (effects
    /// without spread apart).
    pub interval: Interval,
    /// The margin tested.
    pub margin: f64,
    /// The level of the test.
    pub alpha: f64,
    /// `p < alpha`: the effect is shown to be smaller than the margin.
    pub equivalent: bool,
}

/// Tests whether the mean of paired `effects` lies within ±`margin`, in the unit of the effects.
///
/// # Errors
/// When there are fewer than 2 effects, one is not finite, `margin` is not a positive number, or
/// `alpha` is not in 0.00005..=0.25.
pub fn equivalence(effects: &[f64], margin: f64, alpha: f64) -> Result<Equivalence, StatsError> {
    between("the margin of equivalence", margin, 0.0, f64::INFINITY)?;
    let below = t_test(effects, -margin, Alternative::Greater)?;
    let above = t_test(effects, margin, Alternative::Less)?;
    let estimate = interval::mean(effects, 1.0 - 2.0 * alpha)?;
    let p = below.p.max(above.p);
    Ok(Equivalence {
        mean: below.mean,
        p_below: below.p,
        p_above: above.p,
        p,
        interval: estimate.interval,
        margin,
        alpha,
        equivalent: p < alpha,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finding_no_difference_is_not_showing_that_there_is_none() {
        let wide = [0.05, -0.06, 0.04, -0.05, 0.03];
        let narrow = wide.map(|effect| effect / 20.0);
        assert!(!equivalence(&wide, 0.02, 0.05).unwrap().equivalent);
        assert!(equivalence(&narrow, 0.02, 0.05).unwrap().equivalent);
    }

    #[test]
    fn margins_and_levels_without_meaning_are_refused() {
        let effects = [0.0, 0.1, 0.2];
        for margin in [0.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = equivalence(&effects, margin, 0.05).unwrap_err();
            assert!(matches!(error, StatsError::Outside { .. }), "{margin}: {error}");
        }
        assert!(matches!(equivalence(&effects, 0.1, 5.0), Err(StatsError::Level { .. })));
        assert!(matches!(equivalence(&[0.0], 0.1, 0.05), Err(StatsError::TooFew { .. })));
    }

    proptest! {
        #[test]
        fn the_test_and_the_interval_say_the_same(
            effects in prop::collection::vec(-1.0..1.0f64, 2..12), margin in 0.01..2.0f64,
        ) {
            let found = equivalence(&effects, margin, 0.05).unwrap();
            let inside = -margin < found.interval.low && found.interval.high < margin;
            prop_assert_eq!(found.equivalent, inside);
        }
    }
}
