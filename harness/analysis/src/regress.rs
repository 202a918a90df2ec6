//! The regression gate: data, decision and verdicts; no clock, no printing, no processes.
//!
//! Two sides are measured as [`snapshot::Snapshot`]s: from run records ([`extract`]), or read from a
//! reference file. [`plan`] says in which order two binaries take turns. [`decide::decide`] compares
//! them under a [`rule::Rule`] and either is done or names the cells to measure again, after which
//! [`decide::confirm`] is done. Times are judged only against a [`floor::NoiseFloor`] of the same
//! machine. Every metric ends with one [`report::Verdict`]; `docs/regression.md` has the rule and
//! what it was measured to do.

pub mod align;
pub mod decide;
mod error;
pub mod excuse;
pub mod extract;
pub mod floor;
mod judge;
pub mod machine;
pub mod metric;
pub mod plan;
pub mod report;
pub mod rule;
pub mod snapshot;
pub mod unpaired;

pub use decide::{Decision, confirm, decide};
pub use error::RegressError;
pub use floor::NoiseFloor;
pub use machine::Machine;
pub use report::{Report, Verdict};
pub use rule::Rule;
pub use snapshot::Snapshot;
