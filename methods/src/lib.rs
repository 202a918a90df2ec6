//! One file per method and nothing else: `src/<family>/<method>.rs`.
//!
//! `build.rs` scans the folders into [`REGISTRY`]; adding a method adds exactly one file. Methods
//! never import each other: mathematics that two of them need lives in `lab`.

include!(concat!(env!("OUT_DIR"), "/registry.rs"));

/// The method called `id`.
#[must_use]
pub fn find(id: &str) -> Option<&'static lab::method::Entry> {
    REGISTRY.iter().find(|entry| entry.id == id)
}
