//! Whether a claim reproduces at this scale.
//!
//! Let m be the mean paired effect in the claimed direction and [low, high] its interval.
//! - "better by at least s": reproduced if low > 0 and m >= s; not reproduced if high < s.
//! - "not worse by more than d": reproduced if low > -d; not reproduced if high < -d.
//!
//! Anything else is inconclusive, and so is every claim with fewer than 3 pairs, without headroom,
//! with a card that says that this scale cannot decide, or with measurements that are withheld. The
//! paper's own number is shown beside ours; magnitudes are never asserted equal.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::bootstrap::Resampling;
use super::error::all_finite;
use super::interval::Interval;
use super::paired::{IntervalMethod, mean_effect};
use super::sign_flip::sign_flip;
use ledger::goal::Direction;

/// Pairs below which no verdict is given.
const LEAST_PAIRS: usize = 3;

/// What a claim test concludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The claim holds here.
    Reproduced,
    /// The claim does not hold here.
    NotReproduced,
    /// These runs cannot tell.
    Inconclusive,
}

impl Verdict {
    /// Every verdict, the clearest first.
    pub const ALL: [Self; 3] = [Self::Reproduced, Self::NotReproduced, Self::Inconclusive];

    /// The verdict as people read it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.words())
    }
}

/// For serde: a verdict written as people read it.
pub mod words {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Verdict;

    /// Writes the words.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn serialize<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(verdict.words())
    }

    /// Reads the words.
    ///
    /// # Errors
    /// When they are no verdict's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Verdict, D::Error> {
        let words = String::deserialize(deserializer)?;
        let found = Verdict::ALL.into_iter().find(|verdict| verdict.words() == words);
        found.ok_or_else(|| D::Error::custom(format!("\"{words}\" is no verdict")))
    }
}

/// What is claimed of the effect, in the unit of the effects (log units for log ratios).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimKind {
    /// The treatment is better by an amount worth having.
    Superior {
        /// The smallest effect of interest, 0 or more.
        smallest_effect: f64,
    },
    /// The treatment is at most a little worse.
    NonInferior {
        /// How much worse is still a match, 0 or more.
        margin: f64,
    },
}

/// The scale on which effects are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Differences of a metric.
    Difference,
    /// Logarithms of ratios, shown to people as "x times".
    LogRatio,
}

/// Whether the metric leaves room for an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Headroom {
    /// Both arms lie between chance and perfection.
    Ok,
    /// An arm is no better than chance, or never reached the target.
    Floor,
    /// An arm is as good as the metric allows.
    Ceiling,
}

/// A claim with the paired effects that test it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimTest {
    /// One effect per seed: treatment - baseline, or ln(baseline) - ln(treatment) of times.
    pub effects: Vec<f64>,
    /// What the effects are.
    pub scale: Scale,
    /// `HigherIsBetter` where a positive effect speaks for the claim.
    pub direction: Direction,
    /// What is claimed.
    pub kind: ClaimKind,
    /// Whether the arms leave room for an effect.
    pub headroom: Headroom,
    /// The card's reason why this scale cannot decide, if it gives one.
    pub cap: Option<String>,
    /// Why the measurements are not to be trusted (such as load above the number of cores).
    pub withheld: Option<String>,
    /// Settings of the interval.
    pub resampling: Resampling,
}

/// The verdict on a claim with the numbers it rests on, positive in the claimed direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Mean effect; `None` without pairs.
    pub mean: Option<f64>,
    /// Interval of the mean; `None` below 2 pairs.
    pub interval: Option<Interval>,
    /// How the interval was made.
    pub method: Option<IntervalMethod>,
    /// Number of pairs.
    pub n: usize,
    /// Two-sided sign-flip p-value of no effect; `None` without pairs.
    pub p_sign_flip: Option<f64>,
    /// The scale of mean and interval.
    pub scale: Scale,
    /// The verdict's reason, in words.
    pub reason: String,
}

/// Judges a claim by the rule in the module documentation.
///
/// # Errors
/// When an effect is not finite, their sum leaves the range of f64, the smallest effect or the margin is negative or not finite, or the
/// settings of the interval are out of range. Too few pairs are not an error but inconclusive.
pub fn judge(test: &ClaimTest) -> Result<Judgement, StatsError> {
    test.resampling.check()?;
    check_kind(test.kind)?;
    all_finite("the verdict", &test.effects)?;
    let effects: Vec<f64> =
        test.effects.iter().map(|&effect| test.direction.orient(effect)).collect();
    let estimate =
        if effects.len() < 2 { None } else { Some(mean_effect(&effects, test.resampling)?) };
    let mean = estimate.map(|found| found.estimate.value).or(effects.first().copied());
    let p_sign_flip =
        if effects.is_empty() { None } else { Some(sign_flip(&effects, test.resampling.seed)?.p) };
    let (verdict, reason) = match (obstacle(test), estimate) {
        (Some(reason), _) => (Verdict::Inconclusive, reason),
        (None, Some(found)) => decide(test, found.estimate.value, found.estimate.interval),
        (None, None) => (Verdict::Inconclusive, "there is no interval".to_owned()),
    };
    Ok(Judgement {
        verdict,
        mean,
        interval: estimate.map(|found| found.estimate.interval),
        method: estimate.map(|found| found.method),
        n: effects.len(),
        p_sign_flip,
        scale: test.scale,
        reason,
    })
}

/// Why no effect, however large, could be judged.
pub fn obstacle(test: &ClaimTest) -> Option<String> {
    let n = test.effects.len();
    if let Some(why) = &test.withheld {
        return Some(format!("withheld: {why}"));
    }
    match test.headroom {
        Headroom::Ok => {}
        Headroom::Floor => return Some("no headroom: an arm is at the floor".to_owned()),
        Headroom::Ceiling => return Some("no headroom: an arm is at the ceiling".to_owned()),
    }
    if n < LEAST_PAIRS {
        return Some(format!("{n} pairs of seeds are too few: at least {LEAST_PAIRS} are needed"));
    }
    test.cap.as_ref().map(|why| format!("this scale cannot decide: {why}"))
}

/// The rule itself.
fn decide(test: &ClaimTest, mean: f64, interval: Interval) -> (Verdict, String) {
    let (verdict, why) = match test.kind {
        ClaimKind::Superior { smallest_effect } => {
            superior(mean, interval, smallest_effect, test.scale)
        }
        ClaimKind::NonInferior { margin } => non_inferior(interval, -margin, test.scale),
    };
    // Coarse metrics can agree in every pair; the reader should not take that for certainty.
    let spread =
        if interval.high - interval.low <= 1e-12 * mean.abs() { ", all alike" } else { "" };
    let measured = format!(
        "mean {}, {} % interval {} to {}, {} pairs{spread}",
        in_words(mean, test.scale),
        (interval.level * 1e4).round() / 1e2,
        in_words(interval.low, test.scale),
        in_words(interval.high, test.scale),
        test.effects.len()
    );
    (verdict, format!("{why} ({measured})"))
}

fn superior(mean: f64, interval: Interval, smallest: f64, scale: Scale) -> (Verdict, String) {
    let none = in_words(0.0, scale);
    let effect = format!("the smallest effect {}", in_words(smallest, scale));
    let positive = interval.low > 0.0;
    let (reaches, below) = (mean >= smallest, interval.high < smallest);
    match (positive, reaches, below) {
        (true, true, false) => (
            Verdict::Reproduced,
            format!("the interval lies above {none} and the mean reaches {effect}"),
        ),
        (_, false, true) => (Verdict::NotReproduced, format!("the interval lies below {effect}")),
        (true, false, false) => (
            Verdict::Inconclusive,
            format!("the interval lies above {none}, the mean below {effect}"),
        ),
        (false, _, false) => {
            (Verdict::Inconclusive, format!("the interval holds both {none} and {effect}"))
        }
        // A BCa interval of a very skewed sample may leave out the mean itself.
        (_, true, true) => {
            (Verdict::Inconclusive, format!("the interval lies below {effect}, the mean above"))
        }
    }
}

fn non_inferior(interval: Interval, least: f64, scale: Scale) -> (Verdict, String) {
    let margin = format!("the margin {}", in_words(least, scale));
    if interval.low > least {
        (Verdict::Reproduced, format!("the interval lies above {margin}"))
    } else if interval.high < least {
        (Verdict::NotReproduced, format!("the interval lies below {margin}"))
    } else {
        (Verdict::Inconclusive, format!("the interval holds {margin}"))
    }
}

pub(crate) fn check_kind(kind: ClaimKind) -> Result<(), StatsError> {
    let (name, value) = match kind {
        ClaimKind::Superior { smallest_effect } => ("smallest effect", smallest_effect),
        ClaimKind::NonInferior { margin } => ("margin", margin),
    };
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(StatsError::Bound { name, value }) }
}

/// An effect with three significant digits: "+0.031", or "1.30 times" for a log ratio.
pub fn in_words(effect: f64, scale: Scale) -> String {
    let digits = |value: f64| {
        let magnitude = if value == 0.0 { 0.0 } else { value.abs().log10().floor() };
        (2.0 - magnitude).clamp(0.0, 12.0) as usize
    };
    match scale {
        Scale::Difference if effect == 0.0 => "0".to_owned(),
        Scale::Difference => format!("{effect:+.*}", digits(effect)),
        Scale::LogRatio => format!("{:.*} times", digits(effect.exp()), effect.exp()),
    }
}

#[cfg(test)]
mod tests;
