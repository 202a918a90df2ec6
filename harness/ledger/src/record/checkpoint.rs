//! The file in which a run is kept while it goes on, for another process to go on from.
//!
//! ```text
//! palimpsest checkpoint 1\n
//! length of the head u64 LE, the head in JSON
//! length of the state u64 LE, the state: what the training loop wrote, which alone can read it
//! SHA-256 of all before
//! ```
//!
//! It is written beside its place, flushed to disk and renamed, so that there is always a whole one or none; it goes when the run ends.
//! No result rests on it: a run that does not go on from one starts anew.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::format::{IndexPlace, Interruption, RecordError, Share};
use super::writer::{sync_folder, write_synced};
use crate::digest::Digest;
use crate::plain;

/// The first line: kind and version.
const FIRST: &[u8] = b"palimpsest checkpoint 1\n";

/// What is kept beside the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Cell id.
    pub cell: String,
    /// h₀ of the run.
    pub commitment: Digest,
    /// Where the store's index holds it.
    pub index: Option<IndexPlace>,
    /// When the run's first part started, in seconds since 1970.
    pub started_unix: u64,
    /// What it trains on: another machine may come to other bits.
    pub machine: String,
    /// Steps taken.
    pub steps: u64,
    /// Samples seen.
    pub samples: u64,
    /// Whether the run was stopped here, and not only kept on its way.
    pub stopped: bool,
    /// What the part of the run that kept it had of its machine so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Where it had gone on before.
    pub interruptions: Vec<Interruption>,
}

/// Writes a checkpoint in place of the one before; returns its length in bytes. What was half written is removed.
///
/// # Errors
/// When the file system refuses, as a full disk does; the one before is then still there.
pub fn write(path: &Path, head: &Head, state: &[u8]) -> Result<u64, RecordError> {
    let told = serde_json::to_vec(head).map_err(std::io::Error::from);
    let told = told.map_err(RecordError::io("write", path))?;
    let lengths = [told.len(), state.len()].map(|length| (length as u64).to_le_bytes());
    let parts: [&[u8]; 5] = [FIRST, &lengths[0], &told, &lengths[1], state];
    let digest = Digest::of_parts(&parts);
    let temporary = path.with_extension("tmp");
    let written = write_synced(&temporary, |out| {
        parts.iter().try_for_each(|part| out.write_all(part))?;
        out.write_all(digest.as_bytes())
    });
    let placed = written
        .and_then(|()| fs::rename(&temporary, path).map_err(RecordError::io("put in place", path)));
    if let Err(error) = placed {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_folder)?;
    Ok(parts.iter().map(|part| part.len() as u64).sum::<u64>() + 32)
}

/// Reads the checkpoint of a cell: its head and state.
///
/// # Errors
/// When it cannot be read, was changed, or is another cell's.
pub fn read(path: &Path, cell: &str) -> Result<(Head, Vec<u8>), RecordError> {
    let bytes = plain::read(path).map_err(RecordError::io("read", path))?;
    let damaged =
        |reason: String| RecordError::Damaged { path: path.display().to_string(), reason };
    let changed = || damaged("its content is not that of its digest".to_owned());
    let (content, digest) = bytes.split_last_chunk::<32>().ok_or_else(changed)?;
    if Digest::of(content) != Digest(*digest) {
        return Err(changed());
    }
    let parts = content.strip_prefix(FIRST).and_then(|rest| {
        let (told, rest) = piece(rest)?;
        let (state, rest) = piece(rest)?;
        rest.is_empty().then_some((told, state))
    });
    let other = || damaged("it is no checkpoint that this build reads".to_owned());
    let (told, state) = parts.ok_or_else(other)?;
    let head: Head = serde_json::from_slice(told).map_err(|error| damaged(error.to_string()))?;
    if head.cell != cell {
        return Err(damaged(format!("it is of run {}", head.cell)));
    }
    Ok((head, state.to_vec()))
}

/// What a length before it measures, and the rest.
fn piece(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

/// Removes the checkpoint of a run that is over, and what was half written of one.
///
/// # Errors
/// When the file system refuses.
pub fn remove(path: &Path) -> Result<(), RecordError> {
    for path in [path, &path.with_extension("tmp")] {
        if path.exists() {
            fs::remove_file(path).map_err(RecordError::io("remove", path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            cell: "0123456789abcdef".to_owned(),
            commitment: Digest::of(b"promise"),
            index: Some(IndexPlace { sequence: 3, digest: Digest::of(b"line") }),
            started_unix: 1_700_000_000,
            machine: "a processor".to_owned(),
            steps: 7,
            samples: 224,
            stopped: true,
            share: Some(Share { load_at_start: Some(0.25), cpus: 4, cpu_share: Some(0.99) }),
            interruptions: vec![Interruption {
                steps: 2,
                samples: 64,
                stopped: false,
                share: None,
            }],
        }
    }

    #[test]
    fn a_checkpoint_comes_back_whole_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cell.kept");
        write(&path, &Head { steps: 1, ..head() }, b"earlier").unwrap();
        let length = write(&path, &head(), b"state").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), length);
        let (read, state) = read(&path, &head().cell).unwrap();
        assert_eq!((read, state), (head(), b"state".to_vec()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_changed_or_missing_byte_and_another_cell_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cell.kept");
        write(&path, &head(), &[7; 40]).unwrap();
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(read(&path, &head().cell).is_err(), "byte {place}");
            fs::write(&path, &whole[..place]).unwrap();
            assert!(read(&path, &head().cell).is_err(), "the first {place} bytes");
        }
        fs::write(&path, &whole).unwrap();
        let error = read(&path, "fedcba9876543210").unwrap_err().to_string();
        assert!(error.contains("it is of run 0123456789abcdef"), "{error}");
    }

    #[test]
    fn one_that_cannot_be_written_leaves_the_one_before_and_nothing_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cell.kept");
        write(&path, &head(), b"state").unwrap();
        // A folder in the way of the temporary file, as full disks cannot be made in a test of this kind.
        fs::create_dir(path.with_extension("tmp")).unwrap();
        assert!(write(&path, &head(), b"later").is_err());
        assert_eq!(read(&path, &head().cell).unwrap().1, b"state");
    }
}
