//! Whether estimates may be believed: a gate of held-out pilots, truly retrained.
//!
//! Two verdicts, because two things are asked. *Losses* (or ranks) are judged by their residuals and
//! their rank correlation, each by the end of its interval that a careful reader would take: with n
//! pilots a residual of s says that the true one is below s·√((n − 1)/χ²(0.05, n − 1)) with 95 %
//! confidence. A constant has a residual of 1 sd and no rank correlation, so that it is never weak.
//! *Parameters* are judged by their relative error. Either may be good where the other is not:
//! relative errors above 1 were seen beside rank correlations of 0.998, and errors of 0.17 beside
//! correlations of 0.85.

mod band;
mod cause;

pub use band::Band;
pub use cause::Diagnosis;

use serde::{Deserialize, Serialize};

use super::EstimateError;
use super::agreement::{Interval, Signal, signal, spearman, spearman_interval};
use super::error::check_finite;
use super::moments::{mean, median, sd};
use crate::distribution::chi_squared_quantile;

/// Relative error up to which parameters are good.
pub const GOOD_ERROR: f64 = 0.20;
/// Relative error up to which they are weak.
pub const WEAK_ERROR: f64 = 0.50;
/// Upper bound of the centred residual of the losses, in sd, up to which they are good.
pub const GOOD_RESIDUAL: f64 = 0.5;
/// Centred residual of the losses, in sd, up to which they are weak; its upper bound must be below 1,
/// which is what a constant has.
pub const WEAK_RESIDUAL: f64 = 0.7;
/// Lower end of the interval of the rank correlation from which losses and ranks are good.
pub const GOOD_RANK: f64 = 0.7;
/// The same from which an estimator that only ranks is weak.
pub const WEAK_RANK: f64 = 0.3;
/// Fewest held-out pilots of a gate that may say more than "outside validity".
pub const FEWEST_PILOTS: usize = 4;

/// What a gate says of an estimator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Believable.
    Ok,
    /// Better than nothing.
    Weak,
    /// Not believable here.
    #[serde(rename = "outside validity")]
    OutsideValidity,
    /// The estimator does not see the order.
    #[serde(rename = "no order signal")]
    NoOrderSignal,
}

impl Verdict {
    /// The verdict in words, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Weak => "weak",
            Self::OutsideValidity => "outside validity",
            Self::NoOrderSignal => "no order signal",
        }
    }

    /// Whether predictions may be shown as predictions.
    #[must_use]
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Ok | Self::Weak)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What an estimator's numbers claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// Losses, whose residuals mean something.
    Losses,
    /// Scores without a unit: only their order means something.
    Ranks,
}

/// A held-out pilot: estimated and truly retrained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GatePilot {
    /// ‖estimated − true‖ / ‖true − reference‖ of the parameters; `None` where an estimator gives
    /// losses only. Null in JSON where it is not finite.
    pub relative_error: Option<f64>,
    /// Estimated held-out loss; may be non-finite.
    pub estimated: f64,
    /// Held-out loss of true retraining.
    pub retrained: f64,
}

/// The verdicts of a gate with their reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// The verdict on what is asked: losses, or ranks where an estimator only ranks.
    pub verdict: Verdict,
    /// Held-out pilots of the gate.
    pub pilots: usize,
    /// Median relative error of their parameters.
    pub relative_error: Option<f64>,
    /// Standard deviation of estimate − truth of their losses, over the sd of the true losses.
    pub residual_over_sd: Option<f64>,
    /// Its upper bound, one-sided 95 %.
    #[serde(default)]
    pub residual_bound: Option<f64>,
    /// Spearman correlation of estimates and truth over the held-out pilots.
    #[serde(default)]
    pub rank: Option<f64>,
    /// Its 95 % interval.
    #[serde(default)]
    pub rank_interval: Option<Interval>,
    /// The reason in words.
    pub reason: String,
    /// The verdict on the parameters; `None` where an estimator gives none.
    #[serde(default)]
    pub parameters: Option<Verdict>,
    /// What may help; `None` where nothing need.
    pub remedy: Option<String>,
}

impl Validity {
    /// A verdict before any pilot was trained.
    #[must_use]
    pub fn unjudged(reason: &str) -> Self {
        Self {
            verdict: Verdict::OutsideValidity,
            pilots: 0,
            relative_error: None,
            residual_over_sd: None,
            residual_bound: None,
            rank: None,
            rank_interval: None,
            reason: reason.to_owned(),
            parameters: None,
            remedy: None,
        }
    }

    /// What the gate says of the parameters, in words; `None` where an estimator gives none.
    #[must_use]
    pub fn parameters_in_words(&self) -> Option<String> {
        let (verdict, error) = (self.parameters?, self.relative_error);
        let error = error.map_or("not finite".to_owned(), |error| format!("{error:.2}"));
        let advice = match verdict {
            Verdict::Ok | Verdict::NoOrderSignal => "",
            Verdict::Weak => ": losses read from them are judged apart, above",
            Verdict::OutsideValidity => ": do not take them for the parameters of a true run",
        };
        Some(format!("{verdict} (relative error {error} in the median){advice}"))
    }

    /// The same verdict with the remedy that follows from what was found out about its cause.
    #[must_use]
    pub fn diagnosed(mut self, diagnosis: Diagnosis) -> Self {
        if let Some(remedy) = &mut self.remedy {
            *remedy = format!("{}; {remedy}", diagnosis.remedy());
        }
        self
    }
}

/// Judges an estimator by held-out pilots. `losses` are the true held-out losses of all pilots,
/// held out or not: their sd is the size of the order effect.
///
/// Losses are ok where the upper bound of the centred residual is at most 0.5 sd and the lower end of
/// the rank correlation's interval at least 0.7; weak where the residual is at most 0.7 sd, its
/// bound below 1 sd and the rank correlation surely above 0. Ranks are ok from 0.7 and weak from 0.3.
/// Parameters are ok up to a median relative error of 0.20 and weak up to 0.50.
///
/// # Errors
/// For fewer than two held-out pilots, and true losses that are not finite.
pub fn gate(
    pilots: &[GatePilot],
    losses: &[f64],
    answers: Answers,
) -> Result<Validity, EstimateError> {
    if pilots.len() < 2 {
        let (what, unit, found) = ("a validity gate", "held-out pilots", pilots.len());
        return Err(EstimateError::TooFew { what, needed: 2, unit, found });
    }
    let retrained: Vec<f64> = pilots.iter().map(|pilot| pilot.retrained).collect();
    let estimated: Vec<f64> = pilots.iter().map(|pilot| pilot.estimated).collect();
    check_finite("retrained loss of held-out pilot", &retrained)?;
    check_finite("true loss of pilot", losses)?;
    let errors: Vec<f64> = pilots.iter().filter_map(|pilot| pilot.relative_error).collect();
    let error = (!errors.is_empty()).then(|| median(&errors));
    let spread = sd(losses);
    let off: Vec<f64> = estimated.iter().zip(&retrained).map(|(a, b)| a - b).collect();
    let residual = sd(&off) / spread;
    let n = pilots.len();
    let bound = residual * bound_factor(n);
    let seen = signal(&estimated, spread, None);
    let rank = match seen {
        Signal::Present => spearman(&estimated, &retrained)?,
        Signal::NoOrderSignal | Signal::Failed => None,
    };
    let at = rank.map(|rank| spearman_interval(rank, n));
    let found = Found { residual, bound, low: at.map_or(-1.0, |at| at.low), rank, n };
    let (verdict, reason) = judge(seen, spread, answers, &found);
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    let losses_asked = answers == Answers::Losses;
    Ok(Validity {
        verdict,
        pilots: n,
        relative_error: error.and_then(finite),
        residual_over_sd: finite(residual).filter(|_| losses_asked),
        residual_bound: finite(bound).filter(|_| losses_asked),
        rank,
        rank_interval: at,
        reason,
        parameters: error.map(of_parameters),
        remedy: remedy(verdict, answers, &found),
    })
}

/// √((n − 1)/χ²(0.05, n − 1)): how much larger than the sd of n residuals the true one may be.
fn bound_factor(n: usize) -> f64 {
    let freedom = n - 1;
    (freedom as f64 / chi_squared_quantile(0.05, freedom)).sqrt()
}

/// What the pilots of a gate came to.
struct Found {
    residual: f64,
    bound: f64,
    /// Lower end of the rank correlation's interval; −1 where there is none.
    low: f64,
    rank: Option<f64>,
    n: usize,
}

/// The verdict on parameters with this median relative error.
#[must_use]
pub fn of_parameters(error: f64) -> Verdict {
    // Written so that NaN falls on the bad side.
    if error <= GOOD_ERROR {
        Verdict::Ok
    } else if error <= WEAK_ERROR {
        Verdict::Weak
    } else {
        Verdict::OutsideValidity
    }
}

fn judge(seen: Signal, spread: f64, answers: Answers, found: &Found) -> (Verdict, String) {
    let Found { residual, bound, low, rank, n } = *found;
    let of = format!("of {n} held-out pilots");
    match seen {
        Signal::Failed => {
            return (Verdict::OutsideValidity, format!("an estimate {of} is not finite"));
        }
        Signal::NoOrderSignal => {
            let reason = format!("the estimates {of} differ by rounding only");
            return (Verdict::NoOrderSignal, reason);
        }
        Signal::Present if spread == 0.0 => {
            let reason = "all pilots end with the same loss: there is no order effect".to_owned();
            return (Verdict::NoOrderSignal, reason);
        }
        Signal::Present => {}
    }
    let rank = rank.map_or("no rank correlation".to_owned(), |rank| {
        format!("a rank correlation of {rank:.2} (surely above {low:.2})")
    });
    if answers == Answers::Ranks {
        let reason = format!("the scores {of} have {rank}");
        let verdict = match low {
            low if low >= GOOD_RANK => Verdict::Ok,
            low if low >= WEAK_RANK => Verdict::Weak,
            _ => Verdict::OutsideValidity,
        };
        return (verdict, reason);
    }
    let reason = format!(
        "the losses {of} are off by {residual:.2} sd (surely below {bound:.2}), with {rank}"
    );
    let verdict = if n < FEWEST_PILOTS {
        let reason = format!("only {n} held-out pilots, {FEWEST_PILOTS} are needed to judge by");
        return (Verdict::OutsideValidity, reason);
    } else if bound <= GOOD_RESIDUAL && low >= GOOD_RANK {
        Verdict::Ok
    } else if residual <= WEAK_RESIDUAL && bound < 1.0 && low > 0.0 {
        Verdict::Weak
    } else {
        Verdict::OutsideValidity
    };
    (verdict, reason)
}

fn remedy(verdict: Verdict, answers: Answers, found: &Found) -> Option<String> {
    let narrow = match answers {
        // As good as it has to be, if more pilots said the same.
        Answers::Losses => found.residual <= GOOD_RESIDUAL / bound_factor(64),
        Answers::Ranks => found.rank.is_some_and(|rank| rank >= 0.9),
    };
    let text = match verdict {
        Verdict::Ok => return None,
        Verdict::Weak | Verdict::OutsideValidity if narrow => {
            "more held-out pilots (--gate) would narrow the bound, which is what keeps this from ok"
        }
        Verdict::Weak => "retrain the orders that matter: --estimator exact does, many at once",
        Verdict::OutsideValidity => {
            "do not use these numbers: --estimator exact trains orders for true, many at once"
        }
        Verdict::NoOrderSignal => {
            "use an estimator with curvature (surrogate, reduced): recorded gradients alone do not \
             see the order under a constant learning rate"
        }
    };
    Some(text.into())
}

/// The prediction band of an estimator whose gate this is.
///
/// # Errors
/// For fewer than two pilots, and estimates that are not finite.
pub fn band(pilots: &[GatePilot]) -> Result<Band, EstimateError> {
    let off: Vec<f64> = pilots.iter().map(|pilot| pilot.estimated - pilot.retrained).collect();
    check_finite("residual of held-out pilot", &off)?;
    if off.len() < 2 {
        let (what, unit, found) = ("a prediction interval", "held-out pilots", off.len());
        return Err(EstimateError::TooFew { what, needed: 2, unit, found });
    }
    Ok(Band { bias: mean(&off), residual_sd: sd(&off), pilots: off.len() })
}

#[cfg(test)]
mod tests;
