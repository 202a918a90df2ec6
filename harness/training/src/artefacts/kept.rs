//! A keeper of artefacts in files.

use std::path::PathBuf;

use ledger::digest::Digest;
use ledger::record::writer::write_atomic;
use tch::{Kind, TchError, Tensor};

use super::Artefacts;
use lab::LabError;

/// Keeps each artefact in a file of its own, written whole or not at all:
///
/// ```text
/// "palimpsest/artefact/v1\n"  then of each tensor: kind (1: f32, 2: f64, 3: i64), number of
/// dimensions, dimensions, all u64 LE; values LE; last the SHA-256 of all before
/// ```
///
/// A file that is damaged, cut short or of another version counts as lost, and is made again.
#[derive(Debug, Clone)]
pub struct Kept {
    folder: PathBuf,
    context: Digest,
}

const MAGIC: &[u8] = b"palimpsest/artefact/v1\n";

impl Kept {
    /// In `folder`, which need not exist; `context` (code, library, device) becomes part of every
    /// key, so that what another program made is never taken.
    #[must_use]
    pub fn new(folder: PathBuf, context: Digest) -> Self {
        Self { folder, context }
    }

    fn path(&self, key: &Digest) -> PathBuf {
        let name = Digest::of_parts(&[self.context.as_bytes(), key.as_bytes()]);
        self.folder.join(format!("{name}.bin"))
    }
}

impl Artefacts for Kept {
    fn load(&self, key: &Digest) -> Result<Option<Vec<Tensor>>, LabError> {
        match std::fs::read(self.path(key)) {
            Ok(bytes) => Ok(decode(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn save(&self, key: &Digest, tensors: &[Tensor]) -> Result<(), LabError> {
        let bytes = encode(tensors)?;
        std::fs::create_dir_all(&self.folder)?;
        write_atomic(&self.path(key), &bytes).map_err(std::io::Error::other)?;
        Ok(())
    }
}

fn encode(tensors: &[Tensor]) -> Result<Vec<u8>, TchError> {
    let mut bytes = MAGIC.to_vec();
    for tensor in tensors {
        let flat = tensor.detach().f_to_device(tch::Device::Cpu)?.f_reshape([-1])?;
        let (kind, values): (u64, Vec<u8>) = match tensor.kind() {
            Kind::Float => (1, packed(&Vec::<f32>::try_from(&flat)?, |value| value.to_le_bytes())),
            Kind::Double => (2, packed(&Vec::<f64>::try_from(&flat)?, |value| value.to_le_bytes())),
            Kind::Int64 => (3, packed(&Vec::<i64>::try_from(&flat)?, |value| value.to_le_bytes())),
            other => return Err(TchError::Kind(format!("{other:?} cannot be kept"))),
        };
        let shape = tensor.size();
        let header = [kind, shape.len() as u64].into_iter();
        for number in header.chain(shape.iter().map(|length| *length as u64)) {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(values);
    }
    let digest = Digest::of(&bytes);
    bytes.extend(digest.as_bytes());
    Ok(bytes)
}

fn packed<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes(*value)).collect()
}

/// The tensors; `None` when these are not the bytes that were written.
fn decode(bytes: &[u8]) -> Option<Vec<Tensor>> {
    let (body, digest) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Digest::of(body).as_bytes() != digest {
        return None;
    }
    let mut rest = body.strip_prefix(MAGIC)?;
    let mut tensors = Vec::new();
    while !rest.is_empty() {
        let kind = number(&mut rest)?;
        let dimensions = number(&mut rest)?;
        let shape: Option<Vec<i64>> =
            (0..dimensions).map(|_| i64::try_from(number(&mut rest)?).ok()).collect();
        let shape = shape?;
        let count = shape.iter().try_fold(1_i64, |count, length| count.checked_mul(*length))?;
        let count = usize::try_from(count).ok()?;
        let flat = match kind {
            1 => Tensor::f_from_slice(&unpacked(&mut rest, count, f32::from_le_bytes)?),
            2 => Tensor::f_from_slice(&unpacked(&mut rest, count, f64::from_le_bytes)?),
            3 => Tensor::f_from_slice(&unpacked(&mut rest, count, i64::from_le_bytes)?),
            _ => return None,
        };
        tensors.push(flat.ok()?.f_reshape(&shape).ok()?);
    }
    Some(tensors)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    unpacked(rest, 1, u64::from_le_bytes)?.pop()
}

/// The next `count` values; `rest` moves behind them.
fn unpacked<T, const N: usize>(
    rest: &mut &[u8],
    count: usize,
    value: impl Fn([u8; N]) -> T,
) -> Option<Vec<T>> {
    let (values, behind) = rest.split_at_checked(count.checked_mul(N)?)?;
    *rest = behind;
    Some(values.as_chunks().0.iter().map(|bytes| value(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors() -> Vec<Tensor> {
        let numbers = Tensor::from_slice(&[1.5_f32, -0.0, f32::MIN_POSITIVE, 4.0, 5.0, 6.0]);
        let counts = Tensor::from_slice(&[i64::MIN, 7]);
        vec![
            numbers.view([2, 3]),
            Tensor::from_slice(&[0.1, 1e-300]),
            counts,
            Tensor::from(3.0_f32),
        ]
    }

    fn kept(folder: &tempfile::TempDir) -> Kept {
        Kept::new(folder.path().join("artefacts"), Digest::of(b"code"))
    }

    #[test]
    fn what_is_kept_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, key) = (kept(&folder), Digest::of(b"key"));
        assert!(kept.load(&key).unwrap().is_none());
        kept.save(&key, &tensors()).unwrap();
        let found = kept.load(&key).unwrap().unwrap();
        assert_eq!(found.len(), 4);
        for (found, saved) in found.iter().zip(&tensors()) {
            assert_eq!((found.kind(), found.size()), (saved.kind(), saved.size()));
        }
        assert_eq!(encode(&found).unwrap(), encode(&tensors()).unwrap());
    }

    #[test]
    fn what_another_program_kept_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let key = Digest::of(b"key");
        kept(&folder).save(&key, &tensors()).unwrap();
        let other = Kept { context: Digest::of(b"other code"), ..kept(&folder) };
        assert!(other.load(&key).unwrap().is_none());
    }

    #[test]
    fn a_forged_file_of_impossible_size_counts_as_lost() {
        let mut bytes = MAGIC.to_vec();
        for number in [1, 2, i64::MAX as u64, 4] {
            bytes.extend(u64::to_le_bytes(number));
        }
        bytes.extend(*Digest::of(&bytes).as_bytes());
        assert!(decode(&bytes).is_none());
    }

    #[test]
    fn a_damaged_file_counts_as_lost_wherever_the_damage_is() {
        let folder = tempfile::tempdir().unwrap();
        let (kept, key) = (kept(&folder), Digest::of(b"key"));
        kept.save(&key, &tensors()).unwrap();
        let bytes = std::fs::read(kept.path(&key)).unwrap();
        for place in (0..bytes.len()).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            std::fs::write(kept.path(&key), &damaged).unwrap();
            assert!(kept.load(&key).unwrap().is_none(), "byte {place}");
            std::fs::write(kept.path(&key), &bytes[..place]).unwrap();
            assert!(kept.load(&key).unwrap().is_none(), "cut at {place}");
        }
        kept.save(&key, &tensors()).unwrap();
        assert!(kept.load(&key).unwrap().is_some());
    }
}
