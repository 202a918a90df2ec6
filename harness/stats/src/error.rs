//! Why a statistic cannot be computed, and the checks that every statistic makes first.

/// Why a statistic cannot be computed from these values.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatsError {
    /// Fewer values than the statistic needs.
    #[error("{statistic} needs at least {needed} values, found {found}: add seeds")]
    TooFew {
        /// The statistic asked for.
        statistic: &'static str,
        /// The least number of values it takes.
        needed: usize,
        /// The number of values given.
        found: usize,
    },
    /// A NaN or an infinity among the values.
    #[error("value {index} is {value}, {statistic} takes finite numbers: pass it as censored")]
    NotFinite {
        /// The statistic asked for.
        statistic: &'static str,
        /// Position of the value, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A value whose logarithm or ratio is taken is zero or negative.
    #[error("value {index} is {value}, {statistic} takes positive numbers only")]
    NotPositive {
        /// The statistic asked for.
        statistic: &'static str,
        /// Position of the value, from 0.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A time below zero.
    #[error("time {index} is {value} s: a time must not be negative")]
    NegativeTime {
        /// Position of the time, from 0.
        index: usize,
        /// The time in seconds.
        value: f64,
    },
    /// A confidence level out of range.
    #[error("confidence level {level} is outside 0.5..=0.9999: use 0.95")]
    Level {
        /// The level as given.
        level: f64,
    },
    /// More successes than trials.
    #[error("{successes} successes of {trials} trials is not a proportion")]
    Proportion {
        /// Successes as given.
        successes: u64,
        /// Trials as given.
        trials: u64,
    },
    /// Too few or too many bootstrap resamples.
    #[error("{found} bootstrap resamples is outside 100..=1000000: use 10000")]
    Resamples {
        /// The number as given.
        found: u32,
    },
    /// A sum or a power left the range of f64.
    #[error("{statistic} of these values exceeds the range of f64: rescale them")]
    Overflow {
        /// The statistic asked for.
        statistic: &'static str,
    },
    /// A horizon that is not a positive number.
    #[error("horizon {tau} must be a finite number above {above}")]
    Horizon {
        /// The horizon as given.
        tau: f64,
        /// The number that it must exceed.
        above: f64,
    },
    /// A restricted mean beyond the last moment at which anybody was observed.
    #[error(
        "the survival curve ends at {follow_up} s, before the horizon of {tau} s: use {follow_up}"
    )]
    BeyondFollowUp {
        /// The horizon asked for, in seconds.
        tau: f64,
        /// The last observed time, in seconds.
        follow_up: f64,
    },
    /// A smallest effect or a margin that is negative or not finite.
    #[error("{name} is {value}: it must be a finite number of at least 0")]
    Bound {
        /// "smallest effect" or "margin".
        name: &'static str,
        /// The number as given.
        value: f64,
    },
    /// A p-value outside 0..=1, or not a number.
    #[error("p-value {index} is {value}: it must be a number from 0 to 1")]
    PValue {
        /// Position of the p-value, from 0.
        index: usize,
        /// The number as given.
        value: f64,
    },
    /// A number that must lie strictly between two others.
    #[error("{name} is {value}: it must be above {above} and below {below}")]
    Outside {
        /// What the number is.
        name: &'static str,
        /// The number as given.
        value: f64,
        /// It must be above this.
        above: f64,
        /// It must be below this.
        below: f64,
    },
    /// A tuning budget that no subset of the trials has.
    #[error("a budget of {budget} trials cannot be drawn from {trials} trials: use 1 to {trials}")]
    Budget {
        /// The budget asked for.
        budget: usize,
        /// Trials given.
        trials: usize,
    },
    /// An effect that no affordable number of pairs shows.
    #[error(
        "{most} pairs do not show an effect of {effect} where pairs differ by {spread}: state a larger effect"
    )]
    Unaffordable {
        /// The effect to be shown.
        effect: f64,
        /// Standard deviation between pairs.
        spread: f64,
        /// The largest number of pairs looked at.
        most: usize,
    },
    /// The same workload appears twice.
    #[error("workload {workload:?} appears twice: give each workload once with all its seeds")]
    DuplicateWorkload {
        /// The workload.
        workload: String,
    },
    /// The rows of a workload do not all have the same arms.
    #[error("workload {workload:?}, row {row}: arms {found:?} differ from {expected:?}")]
    ArmsDiffer {
        /// The workload.
        workload: String,
        /// The row (one seed), from 0.
        row: usize,
        /// The arms of the first row of the first workload.
        expected: Vec<String>,
        /// The arms of this row.
        found: Vec<String>,
    },
}

/// Refuses fewer than `needed` values.
pub(crate) fn require(
    statistic: &'static str,
    needed: usize,
    found: usize,
) -> Result<(), StatsError> {
    if found < needed {
        return Err(StatsError::TooFew { statistic, needed, found });
    }
    Ok(())
}

/// Refuses a NaN or an infinity.
pub(crate) fn all_finite(statistic: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(StatsError::NotFinite { statistic, index, value: values[index] }),
        None => Ok(()),
    }
}

/// Refuses a result that left the range of f64.
pub(crate) fn in_range(statistic: &'static str, value: f64) -> Result<f64, StatsError> {
    if value.is_finite() { Ok(value) } else { Err(StatsError::Overflow { statistic }) }
}

/// Refuses a number that does not lie strictly between `above` and `below`.
pub(crate) fn between(
    name: &'static str,
    value: f64,
    above: f64,
    below: f64,
) -> Result<(), StatsError> {
    if value > above && value < below {
        return Ok(());
    }
    Err(StatsError::Outside { name, value, above, below })
}
