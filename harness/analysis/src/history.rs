//! What a suite measured at each commit on one machine, and where it changed.
//!
//! A history is a file of JSON lines ([`chain`]): one line per measured commit, and one per accepted
//! change. Every line holds the digest of the line before it, so that a line that was changed,
//! removed or moved is found, with its number. Nothing is ever rewritten; an accepted change is one
//! more line, with its reason.
//!
//! [`changes`] finds where a metric changed: E-divisive over windows ([`stats::divisive`]), judged by a
//! t-test whose threshold comes from seeded permutations of the metric's own noise ([`calibrate`]).
//! `docs/history.md` has the error rates, measured.

pub mod calibrate;
pub mod chain;
pub mod changes;
mod entry;
mod error;
pub mod file;
mod measured;
mod segments;

pub use entry::{Accepted, Better, Entry, LARGEST, Measured, Metric};
pub use error::{HistoryError, Problem};
pub use measured::{Kept, measured};
