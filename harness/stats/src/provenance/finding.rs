//! The options of a query and the document that answers it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::epochs::EpochTable;
use super::tail::LogTails;
use ledger::seed::Randomness;

/// An option name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {found:?}; use one of {choices}")]
pub struct UnknownName {
    /// Which option.
    pub what: &'static str,
    /// The text as given.
    pub found: String,
    /// The names it takes.
    pub choices: String,
}

/// Gives an option its names: for the command line, for JSON and for messages the same.
macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident => $name:literal),+) => {
        impl $type {
            /// All values, in the order of the help.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the command line and in JSON.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|value| value.name() == text).ok_or_else(|| {
                    let choices: Vec<&str> = Self::ALL.iter().map(|value| value.name()).collect();
                    UnknownName { what: $what, found: text.into(), choices: choices.join(", ") }
                })
            }
        }
    };
}

/// The coefficient of association.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Rank correlation with mid-ranks.
    Spearman,
    /// Product-moment correlation.
    Pearson,
    /// tau-b.
    Kendall,
}
named!(Metric, "metric", Spearman => "spearman", Pearson => "pearson", Kendall => "kendall");

/// The alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tail {
    /// Any association: the headline, because the sign depends on the learning-rate schedule.
    TwoSided,
    /// The score falls with the position.
    Less,
    /// The score rises with the position.
    Greater,
}
named!(Tail, "tail", TwoSided => "two-sided", Less => "less", Greater => "greater");

impl Tail {
    /// ln p of this alternative.
    #[must_use]
    pub fn of(self, tails: &LogTails) -> f64 {
        match self {
            Self::TwoSided => tails.two_sided,
            Self::Less => tails.less,
            Self::Greater => tails.greater,
        }
    }
}

/// What the reference scores are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adjust {
    /// Nothing: there is no reference.
    None,
    /// Score minus the mean reference score.
    Difference,
    /// Residual of the least-squares line of score on mean reference score.
    Residual,
}
named!(Adjust, "adjust", None => "none", Difference => "difference", Residual => "residual");

/// What a score is; it changes the words of a finding and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A loss: lower is better known.
    Loss,
    /// A log-probability: higher is better known.
    LogProb,
    /// How often the suspect's answer agrees with the example.
    Agreement,
}
named!(Kind, "kind", Loss => "loss", LogProb => "log-prob", Agreement => "agreement");

impl Kind {
    /// The sign of a statistic in words.
    #[must_use]
    pub fn direction(self, statistic: f64, adjust: Adjust) -> String {
        let (sign, comparative) = if statistic < 0.0 {
            ("negative", "lower")
        } else if statistic > 0.0 {
            ("positive", "higher")
        } else {
            return "zero: later examples score neither higher nor lower".into();
        };
        let noun = match self {
            Self::Loss => "loss",
            Self::LogProb => "log-probability",
            Self::Agreement => "agreement",
        };
        let beside = match adjust {
            Adjust::None => "",
            Adjust::Difference | Adjust::Residual => ", beside the reference",
        };
        format!("{sign}: later examples have {comparative} {noun}{beside}")
    }
}

/// How a Monte Carlo p-value was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draws {
    /// Draws from the null, T.
    pub draws: u64,
    /// The seed of the stream they come from.
    pub seed: u64,
}

/// The answer to a query: the document of `--json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The coefficient.
    pub metric: Metric,
    /// Its value, in -1..=1.
    pub statistic: f64,
    /// Examples tested.
    pub n: u64,
    /// Examples that share their position or their adjusted score with another.
    pub ties: u64,
    /// Rows of scores that no test used, because no epoch has their example.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_left_out: u64,
    /// The alternative.
    pub tail: Tail,
    /// The adjustment.
    pub adjust: Adjust,
    /// The p-value; may underflow to 0.
    pub p: f64,
    /// Its decimal logarithm; never infinite.
    pub log10_p: f64,
    /// Exact under the null, not an approximation to it.
    pub exact: bool,
    /// By the saddlepoint approximation of the distribution over all orders, and not by the closed
    /// form; of several epochs, in one at least.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub saddlepoint: bool,
    /// The sign of the statistic in words.
    pub direction: String,
    /// Where the order's seed came from: "os", "beacon", "fixed" or "undeclared".
    pub randomness: String,
    /// The seed is one that anybody can write down: the p-value is that of a simulation.
    pub simulation: bool,
    /// The smallest log10 p that the bits of the seed support.
    pub floor_log10_p: Option<f64>,
    /// Set for a Monte Carlo p-value.
    pub monte_carlo: Option<Draws>,
    /// The table behind a combination over epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<EpochTable>,
    /// What a reader must know before using the p-value.
    pub warnings: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Finding {
    /// States where the order's randomness came from and how many bits its seed has. A p-value
    /// below 2^-bits is not supported by the randomness that was drawn.
    #[must_use]
    pub fn with_randomness(
        mut self,
        randomness: Option<Randomness>,
        seed_bits: Option<u32>,
    ) -> Self {
        self.randomness = match randomness {
            None => "undeclared",
            Some(Randomness::Fixed) => "fixed",
            Some(Randomness::Os) => "os",
            Some(Randomness::Beacon) => "beacon",
        }
        .into();
        self.simulation = randomness == Some(Randomness::Fixed);
        self.floor_log10_p = seed_bits.map(|bits| -f64::from(bits) * std::f64::consts::LOG10_2);
        if self.simulation {
            self.warnings.push(
                "simulation: the seed of the order is a public number, so the p-value shows what \
                 the test can do and proves nothing"
                    .into(),
            );
        }
        if let (Some(floor), Some(bits)) = (self.floor_log10_p, seed_bits)
            && self.log10_p < floor
        {
            self.warnings.push(format!(
                "p is below 2^-{bits} (log10 {floor:.2}), the least that a seed of {bits} bits \
                 supports: quote that bound instead"
            ));
        }
        self
    }
}
