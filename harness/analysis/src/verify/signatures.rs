//! Signatures that lie in a run folder, beside what the manifest lists.

use std::fs;

use super::Check;
use crate::evidence::{Kind, PublicKey, Signature};
use ledger::plain;
use ledger::record::store::Store;
use ledger::record::writer::SIGNATURES;

/// Every file in the folder of signatures must be one over this manifest; every wanted key must have
/// made one.
pub(super) fn check(store: &Store, cell: &str, wanted: &[PublicKey]) -> Vec<Check> {
    let folder = store.folder(cell).join(SIGNATURES);
    let mut names = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return vec![Check::of::<(), _>(
                "signatures",
                Err(format!("cannot list them: {error}")),
            )];
        }
        Ok(list) => list
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect(),
    };
    names.sort();
    let run_digest =
        store.manifest(cell).map(|(_, digest)| digest).map_err(|error| error.to_string());
    let mut checks = Vec::new();
    let mut valid = Vec::new();
    for name in names {
        let key = run_digest.clone().and_then(|digest| {
            let text = plain::read(&folder.join(&name)).map_err(|error| error.to_string())?;
            let signature: Signature = serde_json::from_slice(&text)
                .map_err(|error| format!("not a signature: {error}"))?;
            signature.check(Kind::Run, &digest).map_err(|error| error.to_string())
        });
        let shown = match &key {
            Ok(key) => format!("signature by key {}", key.id().short(16)),
            Err(_) => format!("signature {SIGNATURES}/{name}"),
        };
        checks.push(Check::of(&shown, key.as_ref().map(|_| ())));
        valid.extend(key.ok());
    }
    for key in wanted {
        let signed = if valid.contains(key) { Ok(()) } else { Err("it did not sign this run") };
        checks.push(Check::of(&format!("signed by given key {}", key.id().short(16)), signed));
    }
    checks
}
