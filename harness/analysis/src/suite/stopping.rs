//! Settings of a suite whose seeds may end early.

use serde::{Deserialize, Serialize};

use super::Problem;
use stats::sequential::Stopping;

/// `stopping:` of a suite: its seeds run one after another, until a confidence sequence has settled
/// the claims. Fixed before the first seed.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoppingUse {
    /// Confidence that the whole sequence covers the mean effect, in 0.5..=0.9999.
    #[serde(default = "level")]
    pub level: f64,
    /// Seeds before which nothing is settled.
    #[serde(default = "least")]
    pub least: usize,
    /// Variance of the prior on the standardised effect; any fixed value is valid.
    #[serde(default = "prior_variance")]
    pub prior_variance: f64,
    /// Share of seeds whose collapse must not go unseen; 0 takes all effects to be normal.
    #[serde(default = "collapse")]
    pub collapse: f64,
}

fn level() -> f64 {
    Stopping::planned(0).level
}

fn least() -> usize {
    Stopping::planned(0).least
}

fn prior_variance() -> f64 {
    Stopping::planned(0).prior_variance
}

fn collapse() -> f64 {
    Stopping::planned(0).collapse
}

impl Default for StoppingUse {
    fn default() -> Self {
        Self {
            level: level(),
            least: least(),
            prior_variance: prior_variance(),
            collapse: collapse(),
        }
    }
}

impl StoppingUse {
    /// What cannot be, and where.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let Self { level, least, prior_variance, collapse } = *self;
        if !(0.5..=0.9999).contains(&level) {
            let message = format!("level is {level}, but must be from 0.5 to 0.9999, such as 0.95");
            return Some(Problem::at("level", message));
        }
        if least < 3 {
            let message = format!("least is {least}, but no claim is judged on fewer than 3 seeds");
            return Some(Problem::at("least", message));
        }
        if !(prior_variance.is_finite() && prior_variance > 0.0) {
            let message =
                format!("prior_variance is {prior_variance}, but must be a finite number above 0");
            return Some(Problem::at("prior_variance", message));
        }
        if !(0.0..0.5).contains(&collapse) {
            let message = format!(
                "collapse is {collapse}, but must be a share of seeds from 0 to below 0.5, such as 0.1"
            );
            return Some(Problem::at("collapse", message));
        }
        None
    }

    /// The plan for `most` seeds; none where they are fewer than `least`, so that nothing can stop.
    #[must_use]
    pub fn planned(&self, most: usize) -> Option<Stopping> {
        let Self { level, least, prior_variance, collapse } = *self;
        (least <= most).then_some(Stopping { level, prior_variance, collapse, least, most })
    }
}
