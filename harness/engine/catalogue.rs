//! Everything a suite can name, and its rows for the front.

use anyhow::bail;
use ledger::catalogue::Catalogue;
use ledger::catalogue::listing::Listing;
use palimpsest::exit::Exit;
use palimpsest::library::{BUILD_BOTH, Carried, FRONT_DIGEST, build_digest};
use palimpsest::voice::print_json;

/// Methods and workloads of this build.
pub fn catalogue() -> Catalogue {
    Catalogue {
        methods: methods::REGISTRY.iter().map(lab::method::Entry::info).collect(),
        workloads: workloads::REGISTRY.iter().map(training::workload::Entry::info).collect(),
    }
}

/// `palimpsest-engine catalogue`: the rows as JSON.
pub fn run() -> anyhow::Result<Exit> {
    let listing = Listing::from(&catalogue());
    print_json(&Carried { build_digest: build_digest().to_owned(), listing })?;
    Ok(Exit::Fine)
}

/// Refuses to serve a front of another build: what it lists would not be what runs.
pub fn check_front() -> anyhow::Result<()> {
    match std::env::var_os(FRONT_DIGEST) {
        Some(front) if front != build_digest() => bail!(
            "palimpsest-engine is of another build than palimpsest (build {} and {}); {BUILD_BOTH}",
            build_digest().get(..12).unwrap_or_default(),
            front.to_string_lossy().chars().take(12).collect::<String>()
        ),
        _ => Ok(()),
    }
}
