//! What the workers of a search said, against the digest in the record.

use ledger::digest::Digest;
use ledger::plain;
use ledger::record::format::{MESSAGES, MESSAGES_SHA256, RunRecord};
use ledger::record::store::Store;

/// None where neither record nor folder knows of messages.
pub(super) fn check(store: &Store, record: &RunRecord) -> Option<Result<(), String>> {
    let path = store.folder(&record.cell).join(MESSAGES);
    let recorded = record.facts.get(MESSAGES_SHA256);
    if recorded.is_none() && std::fs::symlink_metadata(&path).is_err() {
        return None;
    }
    let recorded = recorded.and_then(|digest| digest.as_str());
    let recorded = recorded.ok_or_else(|| format!("the record has no fact {MESSAGES_SHA256}"));
    Some(recorded.and_then(|recorded| {
        let bytes = plain::read(&path).map_err(|error| format!("{MESSAGES}: {error}"))?;
        super::same(&recorded, &Digest::of(&bytes).to_string().as_str())
    }))
}
