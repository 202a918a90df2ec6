//! What a run leaves on disk (contract, section 6): format, writing, reading, the store.

pub mod checkpoint;
pub mod decided;
pub mod format;
pub mod identity;
pub mod pictures;
pub mod planned;
pub mod stages;
pub mod store;
pub mod writer;

pub use format::{Event, Manifest, RunRecord, Status};
pub use store::Store;
