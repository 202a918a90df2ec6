//! Everything a suite can name, and its rows for the front.

use anyhow::bail;
use ledger::catalogue::Catalogue;
use palimpsest::exit::Exit;
use palimpsest::library::{BUILD_BOTH, Carried, FRONT_DIGEST, code_digest};
use palimpsest::voice::print_json;

/// Methods and workloads of this build.
pub fn catalogue() -> Catalogue {
    Catalogue {
        methods: methods::REGISTRY.iter().map(lab::method::Entry::info).collect(),
        workloads: workloads::REGISTRY.iter().map(|workload| (workload.info)()).collect(),
    }
}

/// `palimpsest-engine catalogue`: the rows as JSON.
pub fn run() -> anyhow::Result<Exit> {
    let listing = catalogue().listing();
    print_json(&Carried { code_digest: code_digest().to_owned(), listing })?;
    Ok(Exit::Fine)
}

/// Refuses to serve a front of another build: what it lists would not be what runs.
pub fn check_front() -> anyhow::Result<()> {
    match std::env::var_os(FRONT_DIGEST) {
        Some(front) if front != code_digest() => bail!(
            "palimpsest-engine is of another build than palimpsest (code {} and {}); {BUILD_BOTH}",
            code_digest().get(..12).unwrap_or_default(),
            front.to_string_lossy().chars().take(12).collect::<String>()
        ),
        _ => Ok(()),
    }
}
