//! What a run is to reach, within what budget: one value from the suite to the report.
//!
//! In JSON the parts lie flat, under the names that records have always had.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Split that targets are set on.
pub const VALIDATION: &str = "validation";

/// Split that is looked at when the target is reached and at the end.
pub const TEST: &str = "test";

/// Where a method's own steps are told beside what is judged: no split of data.
pub const TRAIN: &str = "train";

/// The name under which records hold `metric` on `split`: `validation/accuracy`.
#[must_use]
pub fn key(split: &str, metric: &str) -> String {
    format!("{split}/{metric}")
}

/// Between a metric and the name of the look that it is of.
const AT: char = '@';

/// The name of `metric` of one of several networks that a trained state stands for: `accuracy@small`.
#[must_use]
pub fn look_key(metric: &str, look: &str) -> String {
    format!("{metric}{AT}{look}")
}

/// A metric's own name, and that of the look that it is of, where there is one.
#[must_use]
pub fn metric_and_look(name: &str) -> (&str, Option<&str>) {
    name.split_once(AT).map_or((name, None), |(metric, look)| (metric, Some(look)))
}

/// Whether a metric of a record was taken on the test split.
#[must_use]
pub fn is_test(key: &str) -> bool {
    key.split_once('/').is_some_and(|(split, _)| split == TEST)
}

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Accuracy, reward.
    HigherIsBetter,
    /// Loss, perplexity, time.
    LowerIsBetter,
}

impl Direction {
    /// The direction of a metric that a catalogue describes by a yes or no.
    #[must_use]
    pub const fn of(higher_is_better: bool) -> Self {
        if higher_is_better { Self::HigherIsBetter } else { Self::LowerIsBetter }
    }

    /// Whether larger is better.
    #[must_use]
    pub const fn is_higher(self) -> bool {
        matches!(self, Self::HigherIsBetter)
    }

    /// `value` on a scale where higher is better.
    #[must_use]
    pub fn orient(self, value: f64) -> f64 {
        match self {
            Self::HigherIsBetter => value,
            // Subtraction, so that no effect does not become "-0".
            Self::LowerIsBetter => 0.0 - value,
        }
    }
}

/// When a metric counts as at the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Metric, on the validation split.
    pub metric: String,
    /// Which way it improves.
    #[serde(
        rename = "higher_is_better",
        serialize_with = "to_bool",
        deserialize_with = "from_bool"
    )]
    pub direction: Direction,
    /// Value.
    #[serde(rename = "target")]
    pub value: f64,
    /// Where the value comes from.
    #[serde(rename = "target_origin")]
    pub origin: String,
}

/// How long to train and when to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Samples to see at most.
    #[serde(rename = "budget_samples")]
    pub samples: u64,
    /// Distance of the evaluation grid, in samples.
    #[serde(rename = "evaluate_every_samples")]
    pub evaluate_every: u64,
}

impl Budget {
    /// A share of it, above 0 and at most 1, on the same grid as far as it reaches.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a budget is positive and at most it, far below 2^52"
    )]
    pub fn share(self, share: f64) -> Self {
        let samples = ((self.samples as f64 * share).round() as u64).max(1);
        Self { samples, evaluate_every: self.evaluate_every.min(samples) }
    }
}

/// What to reach within what budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What to reach.
    #[serde(flatten)]
    pub target: Target,
    /// How long to train and when to look.
    #[serde(flatten)]
    pub budget: Budget,
}

impl Target {
    /// Whether a value of the metric is at the target or better.
    #[must_use]
    pub fn is_met(&self, value: f64) -> bool {
        match self.direction {
            Direction::HigherIsBetter => value >= self.value,
            Direction::LowerIsBetter => value <= self.value,
        }
    }

    /// The metric's name in records, on `split`.
    #[must_use]
    pub fn key(&self, split: &str) -> String {
        key(split, &self.metric)
    }

    /// The metric's name in records, on the split that the target is set on.
    #[must_use]
    pub fn validation_key(&self) -> String {
        self.key(VALIDATION)
    }

    /// The metric's name in records, on the test split.
    #[must_use]
    pub fn test_key(&self) -> String {
        self.key(TEST)
    }
}

fn to_bool<S: Serializer>(direction: &Direction, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(direction.is_higher())
}

fn from_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Direction, D::Error> {
    bool::deserialize(deserializer).map(Direction::of)
}
