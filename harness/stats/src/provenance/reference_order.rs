//! Whether a reference was trained on the order that is tested, from both lists of ids.

use super::Refusal;

/// Refuses a reference whose own order is one of those that are tested.
///
/// `audited` are the epochs of the tested order, `other` the lists of ids that `reference` was
/// trained on, each in the order consumed.
///
/// # Errors
/// When a list of the two is the same.
pub fn require_other(
    audited: &[Vec<u64>],
    other: &[Vec<u64>],
    reference: &str,
) -> Result<(), Refusal> {
    match audited.iter().position(|ids| other.contains(ids)) {
        None => Ok(()),
        Some(epoch) => Err(Refusal::DependentReference {
            reference: reference.to_owned(),
            reason: format!("it was trained on the same order as epoch {epoch}"),
        }),
    }
}
