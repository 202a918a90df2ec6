//! Settings of methods and workloads: declared once, with default, range and source.
//!
//! The [`settings!`](crate::settings!) macro turns a declaration into a struct, the table that
//! `explain` prints and the check that a suite goes through before anything runs.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::{Schedule, hint};

/// Values by setting name, in canonical order.
pub type Values = BTreeMap<String, Value>;

/// One row of a settings table; `S` is `String` in a [`crate::catalogue::listing::Listing`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingInfo<S = &'static str> {
    /// Key in `with:`.
    pub name: S,
    /// What it does.
    pub doc: S,
    /// Kind and valid values, for people: `number in 0..=1`, `one of uniform, er, erk`.
    pub kind: String,
    /// Default.
    pub default: Value,
    /// Where the default comes from; `assumed` where the paper does not say.
    pub source: S,
}

/// Why a set of values is not valid for a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A key the table does not have.
    #[error("unknown setting \"{key}\"{hint}")]
    Unknown {
        /// The key.
        key: String,
        /// Nearest or valid names.
        hint: String,
    },
    /// A value of the wrong kind or out of range.
    #[error("setting \"{key}\" is {value}, but must be {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// The value as JSON.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// Values that are fine one by one, but not together.
    #[error("{0}")]
    Joint(String),
}

impl SettingError {
    /// The key at fault, when it is one key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Unknown { key, .. } | Self::Invalid { key, .. } => Some(key),
            Self::Joint(_) => None,
        }
    }
}

/// Numeric bounds of a setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    low: Bound<f64>,
    high: Bound<f64>,
}

impl Range {
    /// Any finite number.
    pub const ANY: Self = Self { low: Bound::Unbounded, high: Bound::Unbounded };

    /// From a Rust range expression.
    pub fn of(range: impl RangeBounds<f64>) -> Self {
        Self { low: range.start_bound().cloned(), high: range.end_bound().cloned() }
    }

    /// Numbers strictly above `low`.
    #[must_use]
    pub fn above(low: f64) -> Self {
        Self { low: Bound::Excluded(low), high: Bound::Unbounded }
    }

    /// Numbers strictly above `low` and at most `high`.
    #[must_use]
    pub fn above_up_to(low: f64, high: f64) -> Self {
        Self { low: Bound::Excluded(low), high: Bound::Included(high) }
    }

    fn contains(&self, value: f64) -> bool {
        value.is_finite() && (self.low, self.high).contains(&value)
    }

    fn describe(&self, noun: &str) -> String {
        let low = match self.low {
            Bound::Included(low) => Some(format!("at least {low}")),
            Bound::Excluded(low) => Some(format!("above {low}")),
            Bound::Unbounded => None,
        };
        let high = match self.high {
            Bound::Included(high) => Some(format!("at most {high}")),
            Bound::Excluded(high) => Some(format!("below {high}")),
            Bound::Unbounded => None,
        };
        let bounds: Vec<_> = low.into_iter().chain(high).collect();
        format!("{noun} {}", bounds.join(" and ")).trim_end().to_owned()
    }
}

/// A type that a setting can have.
pub trait SettingType: Sized {
    /// What is accepted, for people.
    fn describe(range: Range) -> String;
    /// Reads a value, or says nothing when it is not valid.
    fn read(value: &Value, range: Range) -> Option<Self>;
    /// The value as JSON.
    fn write(&self) -> Value;
}

impl SettingType for f64 {
    fn describe(range: Range) -> String {
        range.describe("a number")
    }

    fn read(value: &Value, range: Range) -> Option<Self> {
        value.as_f64().filter(|number| range.contains(*number))
    }

    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl SettingType for u32 {
    fn describe(range: Range) -> String {
        range.describe("a whole number")
    }

    fn read(value: &Value, range: Range) -> Option<Self> {
        let number = value.as_f64().filter(|number| range.contains(*number))?;
        let whole = value.as_u64().or_else(|| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked by the comparison"
            )]
            let cast = number as u64;
            #[expect(clippy::cast_precision_loss, reason = "only equality matters")]
            (cast as f64 == number).then_some(cast)
        })?;
        u32::try_from(whole).ok()
    }

    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl SettingType for bool {
    fn describe(_: Range) -> String {
        "true or false".to_owned()
    }

    fn read(value: &Value, _: Range) -> Option<Self> {
        value.as_bool()
    }

    fn write(&self) -> Value {
        Value::from(*self)
    }
}

/// Any text; a path, a name.
impl SettingType for String {
    fn describe(_: Range) -> String {
        "a text".to_owned()
    }

    fn read(value: &Value, _: Range) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn write(&self) -> Value {
        Value::from(self.as_str())
    }
}

impl SettingType for Vec<f64> {
    fn describe(range: Range) -> String {
        format!("a list, each {}", range.describe("a number"))
    }

    fn read(value: &Value, range: Range) -> Option<Self> {
        value.as_array()?.iter().map(|item| f64::read(item, range)).collect()
    }

    fn write(&self) -> Value {
        Value::from(self.as_slice())
    }
}

impl SettingType for Schedule {
    fn describe(_: Range) -> String {
        "constant, linear, {cosine: {floor}}, {step: {at: [shares], factor}}, {warm-cosine: {warmup, floor}}, {warm-linear: {warmup, floor}}, {wsd: {warmup, decay_from, floor, decay: root or linear}} or {inverse-sqrt: {warmup}}".to_owned()
    }

    fn read(value: &Value, _: Range) -> Option<Self> {
        // `cosine` alone is how people write it.
        let schedule = if value == "cosine" {
            Self::Cosine { floor: 0.0 }
        } else {
            serde_json::from_value(value.clone()).ok()?
        };
        schedule.is_valid().then_some(schedule)
    }

    fn write(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// Refuses keys that none of `tables` has.
///
/// # Errors
/// Names the first unknown key and the nearest valid one.
pub fn refuse_unknown(values: &Values, table: &[SettingInfo]) -> Result<(), SettingError> {
    for key in values.keys() {
        if !table.iter().any(|setting| setting.name == key) {
            let hint = hint(key, table.iter().map(|setting| setting.name).collect::<Vec<_>>());
            return Err(SettingError::Unknown { key: key.clone(), hint });
        }
    }
    Ok(())
}

/// Reads one value, or its default where the key is absent.
///
/// # Errors
/// When the value is of the wrong kind or out of range.
pub fn read<T: SettingType>(
    values: &Values,
    key: &str,
    range: Range,
    default: T,
) -> Result<T, SettingError> {
    match values.get(key) {
        None => Ok(default),
        Some(value) => T::read(value, range).ok_or_else(|| SettingError::Invalid {
            key: key.to_owned(),
            value: value.to_string(),
            expected: T::describe(range),
        }),
    }
}

/// Refuses a setting that was changed although nothing reads it. Of each in `idle`: its name, whether it is
/// idle, and what would read it.
///
/// # Errors
/// Names the first of them, and what it is of.
pub fn refuse_idle(
    given: &Values,
    default: &Values,
    idle: &[(&str, bool, &str)],
) -> Result<(), SettingError> {
    let changed = |name: &str| given.get(name) != default.get(name);
    match idle.iter().find(|(name, idle, _)| *idle && changed(name)) {
        Some((name, _, of)) => {
            Err(SettingError::Joint(format!("setting {name:?} is of {of} alone: leave it out")))
        }
        None => Ok(()),
    }
}

/// Declares an enum of names that a setting can take.
///
/// ```
/// ledger::choice! {
///     /// How layer densities are set.
///     pub enum Density {
///         /// The same density everywhere.
///         Uniform = "uniform",
///         /// Erdős–Rényi.
///         Er = "er",
///     }
/// }
/// ```
#[macro_export]
macro_rules! choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name { $($(#[$variant_meta])* $variant),+ }

        impl $crate::settings::SettingType for $name {
            fn describe(_: $crate::settings::Range) -> String {
                format!("one of {}", [$($text),+].join(", "))
            }
            fn read(value: &$crate::settings::Json, _: $crate::settings::Range) -> Option<Self> {
                match value.as_str()? { $($text => Some(Self::$variant),)+ _ => None }
            }
            fn write(&self) -> $crate::settings::Json {
                match self { $(Self::$variant => $text.into()),+ }
            }
        }
    };
}

#[doc(hidden)]
pub use serde_json::Value as Json;

/// Declares a settings struct: fields with doc, type, default, range and source, then groups of
/// settings shared with others (`use field: Type;`), whose keys lie flat beside its own, then a
/// function that refuses what does not hold together (`refuse Self::name;`), wherever the group is used.
///
/// A struct named `S` gets `S::default()`, `S::table()`, `S::resolve(&Values)` (refuses unknown
/// keys, and what does not hold together) and `S::values()`.
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])* $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr $(, range $range:expr)?, from $source:literal;)*
            $(use $group:ident: $group_type:ty;)*
            $(refuse $refuse:path;)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)*
            $(#[doc = "Shared settings."] pub $group: $group_type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* $($group: <$group_type>::default(),)* }
            }
        }

        impl $name {
            /// The table that `explain` prints.
            #[must_use]
            pub fn table() -> Vec<$crate::settings::SettingInfo> {
                let own = vec![$($crate::settings::SettingInfo {
                    name: stringify!($field),
                    doc: concat!($($doc),+).trim_ascii(),
                    kind: <$type as $crate::settings::SettingType>::describe($crate::settings!(@range $($range)?)),
                    default: $crate::settings::SettingType::write(&{ let default: $type = $default; default }),
                    source: $source,
                }),*];
                [own $(, <$group_type>::table())*].concat()
            }

            /// Reads the keys it knows; others are left to whoever owns them.
            ///
            /// # Errors
            /// When a value is of the wrong kind or out of range.
            pub fn read(values: &$crate::settings::Values) -> Result<Self, $crate::settings::SettingError> {
                Ok(Self {
                    $($field: $crate::settings::read(values, stringify!($field), $crate::settings!(@range $($range)?), $default)?,)*
                    $($group: <$group_type>::read(values)?,)*
                })
            }

            /// All values, defaults filled in; refuses keys it does not know.
            ///
            /// # Errors
            /// When a key is unknown, a value not valid, or values do not hold together.
            pub fn resolve(values: &$crate::settings::Values) -> Result<$crate::settings::Values, $crate::settings::SettingError> {
                $crate::settings::refuse_unknown(values, &Self::table())?;
                let read = Self::read(values)?;
                read.together()?;
                Ok(read.values())
            }

            /// Refuses what does not hold together.
            ///
            /// # Errors
            /// Names the setting at fault and the remedy.
            pub fn together(&self) -> Result<(), $crate::settings::SettingError> {
                $($refuse(self)?;)?
                $(self.$group.together()?;)*
                Ok(())
            }

            /// The values by name.
            #[must_use]
            pub fn values(&self) -> $crate::settings::Values {
                $crate::settings::Values::from([
                    $((stringify!($field).to_owned(), $crate::settings::SettingType::write(&self.$field)),)*
                ])
                .into_iter()
                $(.chain(self.$group.values()))*
                .collect()
            }
        }
    };
    (@range) => { $crate::settings::Range::ANY };
    (@range $range:expr) => { $range };
}

#[cfg(test)]
mod tests {
    use super::*;

    choice! {
        /// Which.
        pub enum Which {
            /// First.
            First = "first",
            /// Second.
            Second = "second",
        }
    }

    settings! {
        /// Shared.
        pub struct Shared {
            /// Step size.
            lr: f64 = 0.1, range Range::above(0.0), from "main.py";
            /// Factor on it, of small steps alone.
            patience: f64 = 1.0, from "assumed";
            refuse Self::idle;
        }
    }

    impl Shared {
        fn idle(&self) -> Result<(), SettingError> {
            let idle = [("patience", self.lr > 0.5, "an \"lr\" up to 0.5")];
            refuse_idle(&self.values(), &Self::default().values(), &idle)
        }
    }

    settings! {
        /// Example.
        pub struct Example {
            /// Weight.
            alpha: f64 = 0.8, range Range::of(0.0..=1.0), from "paper §3";
            /// Count.
            count: u32 = 3, range Range::of(1.0..), from "assumed";
            /// Which one.
            which: Which = Which::First, from "assumed";
            /// Decay.
            schedule: Schedule = Schedule::Step { at: vec![0.5], factor: 0.1 }, from "main.py";
            use shared: Shared;
        }
    }

    fn values(json: &str) -> Values {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn resolved_values_survive_a_second_reading() {
        let resolved =
            Example::resolve(&values(r#"{"alpha": 0, "which": "second", "lr": 1}"#)).unwrap();
        assert_eq!(resolved["alpha"], 0.0);
        assert_eq!(resolved.len(), 6);
        assert_eq!(Example::resolve(&resolved).unwrap(), resolved);
        assert_eq!(Example::read(&resolved).unwrap().which, Which::Second);
    }

    #[test]
    fn a_wrong_value_names_key_value_and_what_is_accepted() {
        let message = |json| Example::resolve(&values(json)).unwrap_err().to_string();
        assert_eq!(
            message(r#"{"alpha": 1.5}"#),
            "setting \"alpha\" is 1.5, but must be a number at least 0 and at most 1"
        );
        assert_eq!(message(r#"{"lr": 0}"#), "setting \"lr\" is 0, but must be a number above 0");
        assert_eq!(
            message(r#"{"which": "third"}"#),
            "setting \"which\" is \"third\", but must be one of first, second"
        );
        assert_eq!(
            message(r#"{"count": 2.5}"#),
            "setting \"count\" is 2.5, but must be a whole number at least 1"
        );
        assert_eq!(
            message(r#"{"alhpa": 1}"#),
            "unknown setting \"alhpa\"; did you mean \"alpha\"?"
        );
        let unsorted = message(r#"{"schedule": {"step": {"at": [0.9, 0.1], "factor": 0.1}}}"#);
        assert!(unsorted.contains("must be constant"), "{unsorted}");
    }

    #[test]
    fn a_setting_that_nothing_reads_is_refused_through_the_group_it_is_in_unless_it_is_the_default()
    {
        for of in [Example::resolve, Shared::resolve] {
            let refused = of(&values(r#"{"lr": 1, "patience": 2}"#)).unwrap_err();
            assert_eq!(
                refused.to_string(),
                "setting \"patience\" is of an \"lr\" up to 0.5 alone: leave it out"
            );
            assert!(of(&values(r#"{"lr": 0.5, "patience": 2}"#)).is_ok());
            let resolved = of(&values(r#"{"lr": 1}"#)).unwrap();
            assert_eq!(of(&resolved).unwrap(), resolved, "defaults that are written out");
        }
    }

    #[test]
    fn the_table_carries_doc_kind_default_and_source() {
        let table = Example::table();
        assert_eq!(table[0].doc, "Weight.");
        assert_eq!(table[1].kind, "a whole number at least 1");
        assert_eq!(table[4..], Shared::table());
        assert_eq!(Shared::resolve(&Values::new()).unwrap(), Shared::default().values());
        assert_eq!(table[3].default["step"]["factor"], 0.1);
    }
}
