//! Whether a claim reproduces at this scale.
//!
//! Let [low, high] be the t interval of the mean paired effect in the claimed direction.
//! - "better by at least s": reproduced if low >= s (and > 0); not reproduced if high < s.
//! - "not worse by more than d": reproduced if low >= -d; not reproduced if high < -d.
//!
//! Anything else is inconclusive, and so is every claim with fewer than 3 pairs, without headroom,
//! with a card that says that this scale cannot decide, or with measurements that are withheld. An
//! effect that is surely there but not surely of the size claimed (0 < low < s) is said to have its
//! direction shown. The paper's own number is shown beside ours; magnitudes are never asserted equal.
//!
//! The p-value is that of the test which the interval inverts: one-sided, of a mean below s (or
//! -d). At 95 % it is at most 0.025 exactly where low >= s, and above 0.975 exactly where high < s.
//!
//! Effects that are all alike have no spread, and an interval without width would call three equal
//! numbers certain. Each side of the interval errs in (1 - level) / 2 of cases, so n equal effects
//! decide only once 2^-n, the share of sign assignments as extreme as theirs, is no more than that:
//! from 6 pairs on at 95 %.

use serde::{Deserialize, Serialize};

use super::StatsError;
use super::distribution::check_level;
use super::error::all_finite;
use super::interval::{Interval, mean as t_interval};
use super::t_test::{Alternative, t_test};
use ledger::goal::Direction;

mod rule;

pub use rule::direction_shown;
use rule::{decide, is_thin};

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
    /// Why the arms leave no room for an effect, if they leave none (such as one that has learned nothing).
    pub no_room: Option<String>,
    /// The card's reason why this scale cannot decide, if it gives one.
    pub cap: Option<String>,
    /// Why the measurements are not to be trusted (such as load above the number of cores).
    pub withheld: Option<String>,
    /// Level of the interval, in 0.5..=0.9999.
    pub level: f64,
}

/// The verdict on a claim with the numbers it rests on, positive in the claimed direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether the interval lies above no effect, though not above the size claimed.
    pub direction_shown: bool,
    /// Mean effect; `None` without pairs.
    pub mean: Option<f64>,
    /// Student's t interval of the mean; `None` below 2 pairs.
    pub interval: Option<Interval>,
    /// Number of pairs.
    pub n: usize,
    /// p-value of the one-sided t-test of a mean below the smallest effect (or the margin); `None`
    /// below 2 pairs.
    pub p: Option<f64>,
    /// The scale of mean and interval.
    pub scale: Scale,
    /// The verdict's reason, in words.
    pub reason: String,
}

/// Judges a claim by the rule in the module documentation.
///
/// # Errors
/// When an effect is not finite, their sum leaves the range of f64, the smallest effect or the margin is negative or not finite, or the
/// level of the interval is out of range. Too few pairs are not an error but inconclusive.
pub fn judge(test: &ClaimTest) -> Result<Judgement, StatsError> {
    check_level(test.level)?;
    check_kind(test.kind)?;
    all_finite("the verdict", &test.effects)?;
    let effects: Vec<f64> =
        test.effects.iter().map(|&effect| test.direction.orient(effect)).collect();
    let estimate = if effects.len() < 2 { None } else { Some(t_interval(&effects, test.level)?) };
    let p = match estimate {
        Some(_) => Some(t_test(&effects, test.kind.bound(), Alternative::Greater)?.p),
        None => None,
    };
    let (verdict, reason, direction_shown) = match (obstacle(test), estimate) {
        (Some(reason), _) => (Verdict::Inconclusive, reason, false),
        (None, Some(found)) => {
            let (verdict, reason) = decide(test, found.value, found.interval);
            let shown = direction_shown(test.kind, verdict, found.interval.low);
            (verdict, reason, shown && !is_thin(test, found.interval))
        }
        (None, None) => (Verdict::Inconclusive, "there is no interval".to_owned(), false),
    };
    Ok(Judgement {
        verdict,
        direction_shown,
        mean: estimate.map(|found| found.value).or(effects.first().copied()),
        interval: estimate.map(|found| found.interval),
        n: effects.len(),
        p,
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
    if let Some(why) = &test.no_room {
        return Some(format!("no room: {why}"));
    }
    if n < LEAST_PAIRS {
        return Some(format!("{n} pairs of seeds are too few: at least {LEAST_PAIRS} are needed"));
    }
    test.cap.as_ref().map(|why| format!("this scale cannot decide: {why}"))
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
