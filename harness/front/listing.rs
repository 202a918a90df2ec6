//! The rows of the catalogue, from the cache where the engine of this build has printed them before.

use std::path::Path;

use ::data::Sources;
use ledger::catalogue::listing::Listing;
use ledger::record::writer::write_atomic;
use palimpsest::library::{Carried, build_digest};

use super::engine;

/// The rows of this build's methods and workloads.
pub fn listing() -> anyhow::Result<Listing> {
    let folder = Sources::from_env(None).cache_dir.join("catalogue");
    let file = folder.join(format!("{}.json", build_digest()));
    if let Some(listing) = cached(&file) {
        return Ok(listing);
    }
    let carried = Carried { build_digest: build_digest().to_owned(), listing: engine::ask()? };
    // A cache that cannot be written costs the next call a third of a second, and nothing else.
    let _ = std::fs::create_dir_all(&folder)
        .map_err(anyhow::Error::from)
        .and_then(|()| Ok(write_atomic(&file, &serde_json::to_vec(&carried)?)?));
    Ok(carried.listing)
}

/// What lies in the cache, when it is whole and of this build.
fn cached(file: &Path) -> Option<Listing> {
    let carried: Carried = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    (carried.build_digest == build_digest()).then_some(carried.listing)
}
