//! The values of one setting that are tried: `{ log: [a, b] }`, `{ linear: [a, b] }`,
//! `{ integers: [a, b] }`, `{ log-integers: [a, b] }`, or a plain list.

use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use ledger::catalogue::hint;

/// Values of one setting.
#[derive(Debug, Clone, PartialEq)]
pub enum Space {
    /// Numbers between these, equal ratios equally likely.
    Log([f64; 2]),
    /// Numbers between these, equal differences equally likely.
    Linear([f64; 2]),
    /// Whole numbers from the first to the last of these.
    Integers([i64; 2]),
    /// The same, equal ratios equally likely.
    LogIntegers([i64; 2]),
    /// These values.
    Choices(Vec<Value>),
}

/// An end of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Its smallest value.
    Low,
    /// Its largest value.
    High,
}

impl Side {
    /// The word for people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "lower",
            Self::High => "upper",
        }
    }
}

const KINDS: [&str; 4] = ["log", "linear", "integers", "log-integers"];

/// Digits of a number that is tried: enough to tell trials apart, few enough to read.
const DIGITS: usize = 4;

impl Space {
    /// Why it is no space.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let above = |low: f64, high: f64, kind: &str| {
            let fits = low.is_finite() && high.is_finite() && low < high;
            (!fits).then(|| {
                format!("{kind}: [{low}, {high}] must be two finite numbers, the smaller one first")
            })
        };
        let positive = |low: f64, kind: &str| {
            (low <= 0.0).then(|| {
                format!("{kind}: a logarithmic space starts above 0, not at {low}; use `linear` or `integers`")
            })
        };
        match *self {
            Self::Log([low, high]) => above(low, high, "log").or_else(|| positive(low, "log")),
            Self::Linear([low, high]) => above(low, high, "linear"),
            Self::Integers([low, high]) => above(low as f64, high as f64, "integers"),
            Self::LogIntegers([low, high]) => above(low as f64, high as f64, "log-integers")
                .or_else(|| positive(low as f64, "log-integers")),
            Self::Choices(ref values) if values.len() < 2 => Some(
                "a list of values to try needs two or more; a single one belongs in `with`"
                    .to_owned(),
            ),
            Self::Choices(ref values) => {
                let mut pairs = values.iter().enumerate();
                let twice = pairs.find(|(place, value)| values[..*place].contains(value));
                twice.map(|(_, value)| format!("{value} is given twice"))
            }
        }
    }

    /// The value at `u`, between 0 and 1.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the ends of the space, which are whole and far below 2^53"
    )]
    pub fn at(&self, u: f64) -> Value {
        let log = |low: f64, high: f64| (low.ln() + u * (high.ln() - low.ln())).exp();
        match *self {
            Self::Log([low, high]) => Value::from(rounded(log(low, high)).clamp(low, high)),
            Self::Linear([low, high]) => {
                Value::from(rounded(low + u * (high - low)).clamp(low, high))
            }
            Self::Integers([low, high]) => {
                let count = (high - low) as f64 + 1.0;
                Value::from((low + (u * count).floor() as i64).clamp(low, high))
            }
            Self::LogIntegers([low, high]) => {
                Value::from((log(low as f64, high as f64 + 1.0).floor() as i64).clamp(low, high))
            }
            Self::Choices(ref values) => {
                let place = (u * values.len() as f64).floor() as usize;
                values
                    .get(place.min(values.len().saturating_sub(1)))
                    .cloned()
                    .unwrap_or(Value::Null)
            }
        }
    }

    /// How many values it has, where that is a number.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Log(_) | Self::Linear(_) => None,
            Self::Integers([low, high]) | Self::LogIntegers([low, high]) => {
                Some(high.abs_diff(*low).saturating_add(1))
            }
            Self::Choices(values) => Some(values.len() as u64),
        }
    }

    /// Values that a method must take for all of them to be taken: the ends, or each of a list.
    #[must_use]
    pub fn extremes(&self) -> Vec<Value> {
        match self {
            Self::Log(ends) | Self::Linear(ends) => ends.map(Value::from).to_vec(),
            Self::Integers(ends) | Self::LogIntegers(ends) => ends.map(Value::from).to_vec(),
            Self::Choices(values) => values.clone(),
        }
    }

    /// As wide a space again on this side, beginning where this one ends: as many octaves of a
    /// logarithmic one. None where there is no beyond: a list, or whole numbers that end at 1.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers far below 2^53")]
    pub fn beyond(&self, side: Side) -> Option<Self> {
        let log = |low: f64, high: f64| match side {
            Side::Low => [rounded(low * low / high), low],
            Side::High => [high, rounded(high * high / low)],
        };
        let found = match *self {
            Self::Log([low, high]) => Self::Log(log(low, high)),
            Self::Linear([low, high]) => Self::Linear(match side {
                Side::Low => [low - (high - low), low],
                Side::High => [high, high + (high - low)],
            }),
            Self::Integers([low, high]) => Self::Integers(match side {
                Side::Low => [low - 1 - (high - low), low - 1],
                Side::High => [high + 1, high + 1 + (high - low)],
            }),
            Self::LogIntegers([low, high]) => {
                let [from, to] = log(low as f64, high as f64).map(|end| end.round() as i64);
                Self::LogIntegers(match side {
                    Side::Low => [from.max(1), low - 1],
                    Side::High => [high + 1, to],
                })
            }
            Self::Choices(_) => return None,
        };
        found.problem().is_none().then_some(found)
    }

    /// The space that holds what both hold: from the smaller first end to the larger last one. Of two
    /// kinds, or of two lists, this one.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let joined = |[a, b]: [f64; 2], [c, d]: [f64; 2]| [a.min(c), b.max(d)];
        let whole = |[a, b]: [i64; 2], [c, d]: [i64; 2]| [a.min(c), b.max(d)];
        match (self, other) {
            (Self::Log(one), Self::Log(two)) => Self::Log(joined(*one, *two)),
            (Self::Linear(one), Self::Linear(two)) => Self::Linear(joined(*one, *two)),
            (Self::Integers(one), Self::Integers(two)) => Self::Integers(whole(*one, *two)),
            (Self::LogIntegers(one), Self::LogIntegers(two)) => {
                Self::LogIntegers(whole(*one, *two))
            }
            _ => self.clone(),
        }
    }

    /// As much of this space on one side as `part` is wide; none of different kinds.
    #[must_use]
    pub fn end(&self, part: &Self, side: Side) -> Option<Self> {
        let low = side == Side::Low;
        Some(match (self, part) {
            (Self::Log([from, to]), Self::Log([a, b])) => {
                Self::Log(if low { [*from, from * (b / a)] } else { [to / (b / a), *to] })
            }
            (Self::Linear([from, to]), Self::Linear([a, b])) => {
                Self::Linear(if low { [*from, from + (b - a)] } else { [to - (b - a), *to] })
            }
            (Self::Integers([from, to]), Self::Integers([a, b])) => {
                Self::Integers(if low { [*from, from + (b - a)] } else { [to - (b - a), *to] })
            }
            (Self::LogIntegers(own), Self::LogIntegers(_)) => Self::LogIntegers(*own),
            _ => return None,
        })
    }

    /// Whether the values of this space can be at an edge, and where a value stands among others.
    #[must_use]
    pub const fn is_ordered(&self) -> bool {
        !matches!(self, Self::Choices(_))
    }

    /// Whether equal ratios are equally likely.
    #[must_use]
    pub const fn is_log(&self) -> bool {
        matches!(self, Self::Log(_) | Self::LogIntegers(_))
    }
}

/// A number with [`DIGITS`] significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value)
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log([low, high]) => write!(f, "{low} to {high}, log"),
            Self::Linear([low, high]) => write!(f, "{low} to {high}"),
            Self::Integers([low, high]) => write!(f, "{low} to {high}, whole"),
            Self::LogIntegers([low, high]) => write!(f, "{low} to {high}, whole, log"),
            Self::Choices(values) => {
                let shown: Vec<_> = values.iter().map(shown).collect();
                write!(f, "{}", shown.join(" | "))
            }
        }
    }
}

/// A value as people write it.
#[must_use]
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Serialize for Space {
    /// As a suite writes it, so that a frozen file can be copied into a suite.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match self {
            Self::Choices(values) => return values.serialize(serializer),
            _ => serializer.serialize_map(Some(1))?,
        };
        match self {
            Self::Log(ends) => map.serialize_entry("log", ends)?,
            Self::Linear(ends) => map.serialize_entry("linear", ends)?,
            Self::Integers(ends) => map.serialize_entry("integers", ends)?,
            Self::LogIntegers(ends) => map.serialize_entry("log-integers", ends)?,
            Self::Choices(_) => {}
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Space {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpaceVisitor)
    }
}

struct SpaceVisitor;

impl<'de> Visitor<'de> for SpaceVisitor {
    type Value = Space;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values, or one of { log: [a, b] }, { linear: [a, b] }, { integers: [a, b] }, { log-integers: [a, b] }")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Space, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Space::Choices(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Space, A::Error> {
        let Some(kind) = map.next_key::<String>()? else {
            return Err(A::Error::custom("a space is empty; write { log: [a, b] }, for example"));
        };
        let space = match kind.as_str() {
            "log" => Space::Log(map.next_value()?),
            "linear" => Space::Linear(map.next_value()?),
            "integers" => Space::Integers(map.next_value()?),
            "log-integers" => Space::LogIntegers(map.next_value()?),
            _ => {
                let message = format!("unknown kind of space \"{kind}\"{}", hint(&kind, KINDS));
                return Err(A::Error::custom(message));
            }
        };
        match map.next_key::<String>()? {
            None => Ok(space),
            Some(more) => Err(A::Error::custom(format!(
                "a space is of one kind, but has \"{kind}\" and \"{more}\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
