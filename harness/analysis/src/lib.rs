//! What reads runs: suites and their plans, the summary of a suite's records, verification,
//! evidence, the regression gate and the history.
//!
//! Change a line here and no cell runs again. Nothing links libtorch or reads a clock: a report can
//! be redrawn from records on any machine that can read a folder.

pub mod calendar;
pub mod evidence;
pub mod history;
pub mod imported;
pub mod plan;
pub mod register;
pub mod regress;
pub mod rule_file;
pub mod suite;
pub mod suite_run;
pub mod summary;
pub mod tuning;
pub mod verify;
pub mod yaml;

pub use suite_run::SuiteRun;

// The sample run names this crate as benches do, from outside.
#[cfg(test)]
extern crate self as analysis;
