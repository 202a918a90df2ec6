//! Times to target with right-censoring: Kaplan-Meier curve, median and restricted mean.
//!
//! A run that did not reach its target is not missing and not slow by some made-up factor: it is
//! known to need more than its budget. The Kaplan-Meier estimate uses exactly that.
//!
//! Sources: Kaplan and Meier (1958); Greenwood (1926); restricted mean and its variance: Klein and
//! Moeschberger (2003), "Survival analysis", section 4.5.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::error::require;

/// How one run ended with respect to its target; times in train seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The target was reached at this time.
    Reached(f64),
    /// The target was not reached by this time, the end of the run.
    Censored(f64),
}

impl Outcome {
    /// The time of the event or of the censoring.
    #[must_use]
    pub fn time(self) -> f64 {
        match self {
            Self::Reached(time) | Self::Censored(time) => time,
        }
    }

    /// The time of the event, if it happened.
    #[must_use]
    pub fn reached(self) -> Option<f64> {
        match self {
            Self::Reached(time) => Some(time),
            Self::Censored(_) => None,
        }
    }
}

/// One drop of the survival curve: at `time`, `reached` of `at_risk` runs reached the target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SurvivalStep {
    /// Train seconds.
    pub time: f64,
    /// Runs that had neither reached the target nor been censored before `time`. A run censored at
    /// `time` itself counts: it ran that long without reaching the target.
    pub at_risk: u32,
    /// Runs that reached the target at `time`.
    pub reached: u32,
    /// S(time), the estimated share of runs that need more than `time`.
    pub survival: f64,
}

/// The Kaplan-Meier estimate of S(t) = P(time to target > t); 1 before the first step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KaplanMeier {
    /// The drops, in order of time.
    pub steps: Vec<SurvivalStep>,
    /// Number of runs.
    pub runs: u32,
    /// Number of runs that reached the target.
    pub reached: u32,
    /// The last time at which any run was observed; the curve is unknown beyond it, unless it has
    /// come down to 0.
    pub follow_up: f64,
}

/// The mean time to target within a horizon, a run that needs longer counting as the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RestrictedMean {
    /// The horizon in seconds.
    pub tau: f64,
    /// The area under S(t) from 0 to `tau`, in seconds.
    pub mean: f64,
    /// Its standard error by Greenwood's formula, in seconds.
    pub standard_error: f64,
}

/// The Kaplan-Meier curve of `outcomes`.
///
/// # Errors
/// When there is no outcome, or a time is negative or not finite.
pub fn kaplan_meier(outcomes: &[Outcome]) -> Result<KaplanMeier, StatsError> {
    const NAME: &str = "the survival curve";
    require(NAME, 1, outcomes.len())?;
    check_times(NAME, outcomes)?;
    let mut sorted = outcomes.to_vec();
    sorted.sort_by(|a, b| a.time().total_cmp(&b.time()));
    let mut steps = Vec::new();
    let mut survival = 1.0;
    let mut at_risk = sorted.len();
    for tied in sorted.chunk_by(|a, b| a.time() == b.time()) {
        let reached = tied.iter().filter(|outcome| outcome.reached().is_some()).count();
        if reached > 0 {
            survival *= (at_risk - reached) as f64 / at_risk as f64;
            steps.push(SurvivalStep {
                time: tied[0].time(),
                at_risk: at_risk as u32,
                reached: reached as u32,
                survival,
            });
        }
        at_risk -= tied.len();
    }
    Ok(KaplanMeier {
        runs: sorted.len() as u32,
        reached: steps.iter().map(|step| step.reached).sum(),
        follow_up: sorted.last().map_or(0.0, |outcome| outcome.time()),
        steps,
    })
}

impl KaplanMeier {
    /// The smallest time at which S is one half or less; `None` if the curve stays above.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        // The product of ratios can miss one half by rounding: with 4 runs, 3/4 * 2/3.
        self.steps.iter().find(|step| step.survival <= 0.5 + 1e-12).map(|step| step.time)
    }

    /// The area under the curve from 0 to `tau` seconds, with its standard error.
    ///
    /// The variance is the sum over the drops t_i <= tau of A(t_i)^2 d_i / (n_i (n_i - d_i)), where
    /// A(t) is the area from t to tau, d_i of n_i runs reached the target.
    ///
    /// # Errors
    /// When `tau` is not a finite number above 0, or lies beyond the last observation of a curve
    /// that has not come down to 0: the area there would be a guess.
    pub fn restricted_mean(&self, tau: f64) -> Result<RestrictedMean, StatsError> {
        if !(tau.is_finite() && tau > 0.0) {
            return Err(StatsError::Horizon { tau, above: 0.0 });
        }
        let last = self.steps.last().map_or(1.0, |step| step.survival);
        if tau > self.follow_up && last > 0.0 {
            return Err(StatsError::BeyondFollowUp { tau, follow_up: self.follow_up });
        }
        // From the right, so that the area beyond each drop is at hand when its term is added.
        let mut end = tau;
        let mut area = 0.0;
        let mut variance = 0.0;
        for step in self.steps.iter().rev().filter(|step| step.time < tau) {
            area += (end - step.time) * step.survival;
            end = step.time;
            let remaining = step.at_risk - step.reached;
            if remaining > 0 {
                let greenwood =
                    f64::from(step.reached) / (f64::from(step.at_risk) * f64::from(remaining));
                variance += area * area * greenwood;
            }
        }
        Ok(RestrictedMean { tau, mean: area + end, standard_error: variance.sqrt() })
    }
}

/// Refuses a negative or non-finite time.
pub(crate) fn check_times(statistic: &'static str, outcomes: &[Outcome]) -> Result<(), StatsError> {
    for (index, value) in outcomes.iter().map(|outcome| outcome.time()).enumerate() {
        if !value.is_finite() {
            return Err(StatsError::NotFinite { statistic, index, value });
        }
        if value < 0.0 {
            return Err(StatsError::NegativeTime { index, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Outcome::{Censored, Reached};
    use super::*;

    /// Weeks in remission under 6-mercaptopurine, the standard textbook example (Freireich et al.
    /// 1963); `+` marks censoring.
    fn remission() -> Vec<Outcome> {
        "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
            .split(' ')
            .map(|word| match word.strip_suffix('+') {
                Some(time) => Censored(time.parse().unwrap()),
                None => Reached(word.parse().unwrap()),
            })
            .collect()
    }

    #[test]
    fn curve_and_median_agree_with_lifelines() {
        // lifelines 0.30.3: KaplanMeierFitter().fit(T, E).survival_function_ and
        // median_survival_time_.
        let curve = kaplan_meier(&remission()).unwrap();
        let expected = [
            (6.0, 0.857142857142857),
            (7.0, 0.8067226890756299),
            (10.0, 0.7529411764705878),
            (13.0, 0.6901960784313722),
            (16.0, 0.6274509803921566),
            (22.0, 0.5378151260504199),
            (23.0, 0.44817927170868327),
        ];
        assert_eq!(curve.steps.len(), expected.len());
        for (step, (time, survival)) in curve.steps.iter().zip(expected) {
            assert_eq!(step.time, time);
            assert!((step.survival - survival).abs() < 1e-12, "{step:?}");
        }
        assert_eq!((curve.median(), curve.runs, curve.reached), (Some(23.0), 21, 9));
    }

    #[test]
    fn restricted_mean_agrees_with_lifelines() {
        // lifelines 0.30.3: restricted_mean_survival_time(fitter, t=tau). The standard error is the
        // documented sum evaluated with NumPy 2.4.6 (lifelines' own variance is another quantity).
        let curve = kaplan_meier(&remission()).unwrap();
        for (tau, mean, error) in [
            (20.0, 16.116526610644257, 1.2515601960050473),
            (35.0, 23.287394957983196, 2.8274676233714393),
        ] {
            let found = curve.restricted_mean(tau).unwrap();
            assert!((found.mean - mean).abs() < 1e-9, "{found:?}");
            assert!((found.standard_error - error).abs() < 1e-9, "{found:?}");
        }
    }

    #[test]
    fn median_is_unknown_while_more_than_half_are_censored() {
        let few = [Reached(1.0), Reached(2.0), Censored(9.0), Censored(9.0), Censored(9.0)];
        assert_eq!(kaplan_meier(&few).unwrap().median(), None);
        let half = [Reached(1.0), Reached(2.0), Censored(9.0), Censored(9.0)];
        assert_eq!(kaplan_meier(&half).unwrap().median(), Some(2.0));
    }

    #[test]
    fn a_run_censored_at_the_time_of_an_event_was_still_at_risk() {
        let curve = kaplan_meier(&[Censored(5.0), Reached(5.0), Censored(8.0)]).unwrap();
        assert_eq!((curve.steps[0].at_risk, curve.steps[0].survival), (3, 2.0 / 3.0));
    }

    #[test]
    fn a_horizon_past_the_last_observation_is_refused_unless_all_have_reached() {
        let open = kaplan_meier(&[Reached(1.0), Censored(3.0)]).unwrap();
        let expected = StatsError::BeyondFollowUp { tau: 4.0, follow_up: 3.0 };
        assert_eq!(open.restricted_mean(4.0), Err(expected));
        let closed = kaplan_meier(&[Reached(1.0), Reached(3.0)]).unwrap();
        assert_eq!(closed.restricted_mean(9.0).unwrap().mean, 2.0);
        for tau in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(open.restricted_mean(tau), Err(StatsError::Horizon { .. })));
        }
    }

    #[test]
    fn times_that_are_not_times_are_refused() {
        assert!(matches!(kaplan_meier(&[]), Err(StatsError::TooFew { .. })));
        let negative = kaplan_meier(&[Reached(1.0), Censored(-1.0)]);
        assert_eq!(negative, Err(StatsError::NegativeTime { index: 1, value: -1.0 }));
        let endless = kaplan_meier(&[Reached(f64::INFINITY)]);
        assert!(matches!(endless, Err(StatsError::NotFinite { .. })));
    }

    proptest! {
        #[test]
        fn without_censoring_the_restricted_mean_is_the_mean_of_clipped_times(
            times in prop::collection::vec(0.0..50.0f64, 1..30), tau in 0.1..60.0f64,
        ) {
            let outcomes: Vec<Outcome> = times.iter().map(|&time| Reached(time)).collect();
            let found = kaplan_meier(&outcomes).unwrap().restricted_mean(tau).unwrap();
            let clipped = times.iter().map(|time| time.min(tau)).sum::<f64>() / times.len() as f64;
            prop_assert!((found.mean - clipped).abs() < 1e-9);
        }

        #[test]
        fn survival_falls_from_one_and_stays_a_probability(
            runs in prop::collection::vec((0.0..9.0f64, any::<bool>()), 1..30),
        ) {
            let outcomes: Vec<Outcome> = runs
                .iter()
                .map(|&(time, reached)| if reached { Reached(time) } else { Censored(time) })
                .collect();
            let curve = kaplan_meier(&outcomes).unwrap();
            let levels: Vec<f64> = curve.steps.iter().map(|step| step.survival).collect();
            prop_assert!(levels.iter().rev().is_sorted());
            prop_assert!(levels.iter().all(|level| (0.0..1.0).contains(level)));
            prop_assert_eq!(curve.reached as usize, runs.iter().filter(|run| run.1).count());
        }
    }
}
