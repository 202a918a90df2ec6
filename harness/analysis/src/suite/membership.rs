//! Membership tests in a suite: which model is tested against which run's order, and what must
//! come out.

use serde::{Deserialize, Serialize};

use ledger::lineage::CellName;
use stats::provenance::{Adjust, Metric, Tail};

/// What is known of the suspect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// The loss on every example.
    #[default]
    LogProbs,
    /// How often its likeliest token (or class) is the right one.
    TopOne,
    /// How often a few sampled tokens (or classes) are the right one.
    Sampled,
}

/// How the documents of a packed example are scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Documents {
    /// The example as a whole.
    #[default]
    Whole,
    /// Each on its own, and each tested on its own: refused, for packs are what was shuffled.
    Apart,
    /// Each on its own, and averaged within its pack.
    Averaged,
}

/// A membership test in a suite, made once per seed.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MembershipUse {
    /// Id, unique in the suite.
    pub id: String,
    /// What is tested, in one sentence.
    pub statement: String,
    /// The run whose order is tested.
    pub run: CellName,
    /// The run whose model is suspected.
    pub suspect: CellName,
    /// A run whose model is independent of the order, such as the same arm under the next seed.
    #[serde(default)]
    pub reference: Option<CellName>,
    /// What is known of the suspect (and of the reference).
    #[serde(default)]
    pub access: Access,
    /// How the documents of packed examples are scored.
    #[serde(default)]
    pub documents: Documents,
    /// Runs of other orders to learn the profile from that positions are replaced by; none: the
    /// plain position.
    #[serde(default)]
    pub template: Vec<CellName>,
    /// The coefficient.
    #[serde(default = "spearman")]
    pub metric: Metric,
    /// The alternative.
    #[serde(default = "two_sided")]
    pub tail: Tail,
    /// What the reference is used for; `difference` with one, `none` without.
    #[serde(default)]
    pub adjust: Option<Adjust>,
    /// What must come out.
    pub expect: Expect,
    /// Its place in a power curve.
    #[serde(default)]
    pub curve: Option<CurvePlace>,
}

fn spearman() -> Metric {
    Metric::Spearman
}

fn two_sided() -> Tail {
    Tail::TwoSided
}

impl MembershipUse {
    /// The adjustment, resolved.
    #[must_use]
    pub fn adjustment(&self) -> Adjust {
        self.adjust.unwrap_or(match self.reference {
            Some(_) => Adjust::Difference,
            None => Adjust::None,
        })
    }

    /// Every run that the test names.
    pub fn cells(&self) -> impl Iterator<Item = &CellName> {
        [&self.run, &self.suspect].into_iter().chain(&self.reference).chain(&self.template)
    }
}

/// What must come out of a test; one of the first three is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// log10 p is at most this.
    #[serde(default)]
    pub log10_p_at_most: Option<f64>,
    /// p is above this.
    #[serde(default)]
    pub p_above: Option<f64>,
    /// There is no p-value: the test is refused.
    #[serde(default)]
    pub refused: bool,
    /// Nothing: only what comes out is of interest, as in a power curve.
    #[serde(default)]
    pub nothing: bool,
    /// The sign that the statistic must have.
    #[serde(default)]
    pub sign: Option<Sign>,
    /// The p-value is that of all seeds together, by Stouffer's method, instead of each alone.
    #[serde(default)]
    pub combined: bool,
}

/// Sign of a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Below zero.
    Negative,
    /// Above zero.
    Positive,
}

impl Expect {
    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let bars =
            [self.log10_p_at_most.is_some(), self.p_above.is_some(), self.refused, self.nothing];
        if bars.iter().filter(|given| **given).count() != 1 {
            return Some("give one of log10_p_at_most, p_above, refused: true and nothing: true");
        }
        if self.log10_p_at_most.is_some_and(|bar| !(bar < 0.0 && bar.is_finite())) {
            return Some("log10_p_at_most must be below 0, as in -35");
        }
        if self.p_above.is_some_and(|bar| !(bar > 0.0 && bar < 1.0)) {
            return Some("p_above must lie between 0 and 1, as in 0.001");
        }
        if self.combined && self.log10_p_at_most.is_none() {
            return Some("combined belongs to log10_p_at_most");
        }
        None
    }
}

/// A point of a power curve: log10 p over some quantity.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CurvePlace {
    /// The quantity, with its unit: one figure per quantity.
    pub axis: String,
    /// The line it belongs to.
    #[serde(default)]
    pub line: String,
    /// The value on the axis.
    pub at: f64,
}
