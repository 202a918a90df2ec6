//! What is measured: metric classes, values and names.

use std::fmt;

use serde::{Deserialize, Serialize};

use ledger::goal::Direction;

/// How a metric is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Digests, counts, fixed-seed losses: any change at all is a regression, seed by seed.
    Exact,
    /// A float that may differ by a stated number of ulps or a stated share, seed by seed.
    Ulp,
    /// A score, paired by seed.
    Quality,
    /// Seconds or a rate, paired by interleaved rounds.
    Time,
    /// Shown, never judged.
    Info,
}

impl Class {
    /// The name used in files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Ulp => "ulp",
            Self::Quality => "quality",
            Self::Time => "time",
            Self::Info => "info",
        }
    }
}

/// What an `ulp` metric may differ by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// So many representable f64 numbers.
    Ulps(u64),
    /// This share of the larger magnitude.
    Relative(f64),
}

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a value must be a number or a text")]
pub enum Value {
    /// A whole number, compared exactly.
    Count(u64),
    /// A finite number.
    Number(f64),
    /// A digest or another text.
    Text(String),
}

impl Value {
    /// The value as a number, where it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(*count as f64),
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// One metric of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Name, unique in its cell.
    pub name: String,
    /// How it is compared.
    pub class: Class,
    /// Unit: `s`, `samples`, `sha256`, …
    pub unit: String,
    /// Which way it improves; required for `time`, `quality` and `ulp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// What an `ulp` metric may differ by; 0 ulps where it is not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Tolerance>,
    /// The smallest change that matters: a share for `time`, in the metric's own unit for
    /// `quality`; the rule's share where it is not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// The value of a score that cannot be passed, where there is one: the rule's share is one of
    /// the distance to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<f64>,
    /// The value.
    pub value: Value,
}

/// Which cell: a workload, an arm and a seed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellName {
    /// Label of the workload.
    pub workload: String,
    /// Label of the arm.
    pub arm: String,
    /// The seed as the user gave it.
    pub seed: String,
}

impl fmt::Display for CellName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?}, seed {:?}", self.arm, self.workload, self.seed)
    }
}

/// Which metric: what one row of a report is about, over its seeds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MetricName {
    /// Label of the workload.
    pub workload: String,
    /// Label of the arm.
    pub arm: String,
    /// Name of the metric.
    pub metric: String,
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?} on {:?}", self.metric, self.arm, self.workload)
    }
}

/// The number of representable f64 steps from `a` to `b`, both finite; 0 and -0 are one number.
#[must_use]
pub fn ulps(a: f64, b: f64) -> u64 {
    // Bits of negative numbers grow away from 0: mirrored, the bits are in the order of the numbers.
    let place = |value: f64| {
        let bits = value.to_bits() as i64;
        if bits < 0 { i128::from(i64::MIN) - i128::from(bits) } else { i128::from(bits) }
    };
    u64::try_from((place(a) - place(b)).unsigned_abs()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulps_count_steps_across_zero_and_powers_of_two() {
        assert_eq!(ulps(1.0, 1.0), 0);
        assert_eq!(ulps(0.0, -0.0), 0);
        assert_eq!(ulps(1.0, 1.0_f64.next_up()), 1);
        assert_eq!(ulps(2.0_f64.next_down(), 2.0_f64.next_up()), 2);
        assert_eq!(ulps(f64::from_bits(1), -f64::from_bits(1)), 2);
        assert_eq!(ulps(f64::MAX, -f64::MAX), 2 * (f64::MAX.to_bits()));
    }

    #[test]
    fn a_value_keeps_its_kind_through_json() {
        for (value, json) in [
            (Value::Count(u64::MAX), "18446744073709551615"),
            (Value::Number(5.0), "5.0"),
            (Value::Number(-3.0), "-3.0"),
            (Value::Text("NaN".to_owned()), "\"NaN\""),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<Value>(json).unwrap(), value);
        }
        let error = serde_json::from_str::<Value>("null").unwrap_err().to_string();
        assert!(error.contains("a number or a text"), "{error}");
    }
}
