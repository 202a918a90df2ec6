//! Why a summary of estimates cannot be computed.

/// Why a summary of estimates cannot be computed from these numbers.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EstimateError {
    /// Fewer values than the summary needs.
    #[error("{what} needs at least {needed} {unit}, found {found}")]
    TooFew {
        /// What was asked for.
        what: &'static str,
        /// The least number.
        needed: usize,
        /// What is counted.
        unit: &'static str,
        /// The number given.
        found: usize,
    },
    /// Two columns that belong together have different lengths.
    #[error("{what}: {found} values where {expected} belong")]
    Length {
        /// Which column.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A NaN or an infinity where a measured number belongs.
    #[error("{what} {index} is {value}: it must be a finite number")]
    NotFinite {
        /// Which column.
        what: &'static str,
        /// Place in the column, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A number out of its range.
    #[error("{what} is {value}: it must be {range}")]
    Range {
        /// Which number.
        what: &'static str,
        /// The value.
        value: f64,
        /// The range in words.
        range: &'static str,
    },
}

/// Refuses a column of another length.
pub(super) fn check_length(
    what: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), EstimateError> {
    if found == expected { Ok(()) } else { Err(EstimateError::Length { what, found, expected }) }
}

/// Refuses a column with a NaN or an infinity.
pub(super) fn check_finite(what: &'static str, values: &[f64]) -> Result<(), EstimateError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(EstimateError::NotFinite { what, index, value: values[index] }),
    }
}
