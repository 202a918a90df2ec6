//! Why two sides cannot be compared.

use stats::StatsError;

/// Why a snapshot, a floor or a comparison is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RegressError {
    /// Not JSON of the expected form.
    #[error("{origin} is not a {what}: {reason}")]
    Form {
        /// The file.
        origin: String,
        /// What it should be.
        what: &'static str,
        /// What the parser said, with line and column.
        reason: String,
    },
    /// Another version of the format.
    #[error(
        "{origin} has {what} version {found}, this build reads version {known}: record it again"
    )]
    Version {
        /// The file.
        origin: String,
        /// What it is.
        what: &'static str,
        /// Its version.
        found: u64,
        /// The version read here.
        known: u32,
    },
    /// A digest in the file does not fit its content.
    #[error(
        "{origin} says {what} {stated:?}, its content has {computed:?}: it was changed by hand"
    )]
    Tampered {
        /// The file.
        origin: String,
        /// Which digest.
        what: &'static str,
        /// As written.
        stated: String,
        /// As computed.
        computed: String,
    },
    /// Something is there twice.
    #[error("{origin}: {what} is given twice")]
    Duplicate {
        /// The file.
        origin: String,
        /// What.
        what: String,
    },
    /// Nothing to compare.
    #[error("{origin} has no {what}: there is nothing to compare")]
    Empty {
        /// The file.
        origin: String,
        /// What is not there.
        what: &'static str,
    },
    /// A value that its class does not take.
    #[error("{origin}: {metric} of {cell} is {value}: {wanted}")]
    Value {
        /// The file.
        origin: String,
        /// The cell.
        cell: String,
        /// The metric.
        metric: String,
        /// As given.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// One metric with two units, classes or directions.
    #[error("{metric} has {what} {one:?} here and {other:?} there: they cannot be compared")]
    Mixed {
        /// The metric.
        metric: String,
        /// `unit`, `class` or `direction`.
        what: &'static str,
        /// On one side.
        one: String,
        /// On the other.
        other: String,
    },
    /// The sides are of two suites.
    #[error(
        "the base is of suite {base:?}, the head of suite {head:?}: name a reference of {head:?}"
    )]
    OtherSuite {
        /// Suite of the base.
        base: String,
        /// Suite of the head.
        head: String,
    },
    /// Two runs of a cell on one side had other settings.
    #[error("{origin}: {cell} was run with two settings: measure the side again")]
    TwoConfigs {
        /// The file.
        origin: String,
        /// The cell.
        cell: String,
    },
    /// A setting of the rule out of range.
    #[error("{name} is {value}: it must be {wanted}")]
    Rule {
        /// Which setting.
        name: &'static str,
        /// As given.
        value: f64,
        /// The range.
        wanted: &'static str,
    },
    /// The records of one side come from two machines.
    #[error("the runs come from two machines, {one} and {other}: measure one side on one machine")]
    TwoMachines {
        /// Fingerprint of the first.
        one: String,
        /// Fingerprint of another.
        other: String,
    },
    /// A drift between the sessions of one machine, stated of two.
    #[error(
        "a drift is of two sessions of one machine, and the sides come from two ({differences}): leave it out"
    )]
    DriftOfTwo {
        /// What tells them apart.
        differences: String,
    },
    /// The second round is not a fresh one.
    #[error("the confirmation is not fresh: {reason}")]
    NotFresh {
        /// What it shares with the first round.
        reason: String,
    },
    /// An A/A measurement that is none.
    #[error("no noise floor can be taken from these rounds: {reason}")]
    Floor {
        /// Why.
        reason: String,
    },
    /// A statistic refused.
    #[error("{metric}: {source}")]
    Stats {
        /// The metric.
        metric: String,
        /// Why.
        source: StatsError,
    },
}
