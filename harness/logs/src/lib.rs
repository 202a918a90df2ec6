//! Reads what other tools have written: logs of training runs to looks at a metric, results of benchmarks
//! to measurements. Files come from strangers, so that every fault of one has a message with file, line or
//! record, value and remedy, and nothing is allocated because a file says so.
//!
//! It knows nothing of suites, stores and verdicts: what becomes of a run is decided by who imports it.

pub mod find;
mod json;
pub mod looks;
pub mod measurements;
pub mod mlflow;
pub mod names;
pub mod table;
pub mod tensorboard;
pub mod wandb;
mod wrong;

pub use looks::{Form, LoggedRun, Look, Wanted, read};
pub use wrong::{Wrong, shown};
