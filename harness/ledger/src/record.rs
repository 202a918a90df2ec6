//! What a run leaves on disk (contract, section 6): format, writing, reading, the store.

pub mod format;
pub mod store;
pub mod suite_run;
pub mod verify;
pub mod writer;

pub use format::{Event, Manifest, RunRecord, Status};
pub use store::Store;
pub use suite_run::SuiteRun;
