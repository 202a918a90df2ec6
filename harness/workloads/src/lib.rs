//! One file per workload: `src/<family>/<id>.rs`; what several of them share lies in [`shared`].
//!
//! `build.rs` scans the folders into [`REGISTRY`]; adding a workload adds exactly one file. Change a
//! line here and the cells of that workload run again.

pub mod shared;

use lab::LabError;
use ledger::settings::Values;
use training::trial::Fixture;
use training::workload::Entry;

include!(concat!(env!("OUT_DIR"), "/registry.rs"));

/// The workload called `id`.
#[must_use]
pub fn find(id: &str) -> Option<&'static Entry> {
    REGISTRY.iter().find(|entry| entry.id == id)
}

/// The workload called `id` with its data, which need no file: what tests try methods on.
///
/// # Errors
/// When there is no such workload, a setting is not valid or data are missing.
pub fn fixture(id: &str, settings: &Values) -> Result<Fixture, LabError> {
    let entry = find(id).ok_or_else(|| LabError::Unfit {
        method: "a trial".to_owned(),
        workload: id.to_owned(),
        reason: "there is no such workload".to_owned(),
    })?;
    Fixture::generated(entry, settings)
}
