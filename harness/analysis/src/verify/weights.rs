//! The weights that a run kept, against the digest in its record.

use ledger::digest::Digest;
use ledger::plain;
use ledger::record::format::RunRecord;
use ledger::record::store::Store;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest as _, Sha256};

/// Where a run folder holds its final weights.
const FINAL: &str = "checkpoints/final.safetensors";

/// What became of the check.
pub(super) enum Weights {
    /// The digest was computed from the file.
    Checked(Result<(), String>),
    /// There is nothing to compute it from.
    Unchecked(String),
}

pub(super) fn check(store: &Store, record: &RunRecord) -> Weights {
    let path = store.folder(&record.cell).join(FINAL);
    if std::fs::symlink_metadata(&path).is_err() {
        return Weights::Unchecked(match record.external {
            None => "the run kept none; `palimpsest reproduce` shows them".to_owned(),
            Some(_) => "they stay with the program that trained".to_owned(),
        });
    }
    if record.tensors.is_empty() {
        return Weights::Unchecked(
            "an older palimpsest wrote the record and did not name the tensors of its digest"
                .to_owned(),
        );
    }
    let digest = plain::read(&path)
        .map_err(|error| format!("{FINAL}: {error}"))
        .and_then(|bytes| digest(&bytes, &record.tensors));
    Weights::Checked(digest.and_then(|found| match record.parameters_sha256 {
        Some(recorded) => super::same(&recorded, &found),
        None => Err("the record has no parameters_sha256".to_owned()),
    }))
}

/// SHA-256 of the tensors' values as 32-bit floats, little-endian, in the order of `names`, which are
/// all that the file holds. Other kinds are rounded to these, as where the record's digest was made.
fn digest(bytes: &[u8], names: &[String]) -> Result<Digest, String> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("{FINAL} is no safetensors file: {error:?}"))?;
    if file.len() != names.len() {
        return Err(format!(
            "{FINAL} has {} tensors, the record names {}",
            file.len(),
            names.len()
        ));
    }
    let mut hasher = Sha256::new();
    for name in names {
        let view = file.tensor(name).map_err(|_| format!("{FINAL} lacks the tensor {name:?}"))?;
        feed(&mut hasher, &view).ok_or_else(|| format!("{name} is {:?}", view.dtype()))?;
    }
    Ok(Digest(hasher.finalize().into()))
}

/// Values of one tensor; none for a kind that no run keeps.
#[expect(clippy::cast_possible_truncation, reason = "the digest is that of 32-bit floats")]
fn feed(hasher: &mut Sha256, view: &TensorView<'_>) -> Option<()> {
    match view.dtype() {
        Dtype::F32 => hasher.update(view.data()),
        Dtype::F64 => view
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .for_each(|bytes| hasher.update((f64::from_le_bytes(*bytes) as f32).to_le_bytes())),
        Dtype::I64 => view
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .for_each(|bytes| hasher.update((i64::from_le_bytes(*bytes) as f32).to_le_bytes())),
        Dtype::I32 => view
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .for_each(|bytes| hasher.update((i32::from_le_bytes(*bytes) as f32).to_le_bytes())),
        Dtype::U8 | Dtype::BOOL => {
            view.data().iter().for_each(|byte| hasher.update(f32::from(*byte).to_le_bytes()));
        }
        _ => return None,
    }
    Some(())
}
