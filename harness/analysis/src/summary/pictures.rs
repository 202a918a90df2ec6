//! What runs left to look at, read back from the store.

use std::io::Read as _;

use super::{Analysis, ArmPictures};
use ledger::digest::Digest;
use ledger::plain;
use ledger::record::format::{RecordError, Status};
use ledger::record::pictures::PICTURES;
use ledger::record::store::Store;

/// Largest file that is shown.
const LARGEST_BYTES: u64 = 4 << 20;

impl Analysis {
    /// Gives each arm the pictures of its first run that left any. What cannot be read is missing, and a warning
    /// says so.
    pub(super) fn take_pictures(&mut self, store: &Store) {
        let Self { workloads, runs, warnings, .. } = self;
        for workload in workloads {
            for arm in &mut workload.arms {
                let mine = runs.iter().filter(|run| {
                    run.workload == workload.workload
                        && run.arm == arm.label
                        && run.run_digest.is_some()
                        && run.status != Some(Status::Failed)
                });
                for run in mine {
                    match read(store, &run.cell) {
                        Ok(None) => continue,
                        Ok(Some(png)) => {
                            let (cell, seed) = (run.cell.clone(), run.seed.clone());
                            arm.pictures = Some(ArmPictures { cell, seed, png });
                        }
                        Err(error) => warnings.push(error.to_string()),
                    }
                    break;
                }
            }
        }
    }
}

/// The pictures of a run that left some, held against its manifest.
fn read(store: &Store, cell: &str) -> Result<Option<Vec<u8>>, RecordError> {
    let (manifest, _) = store.manifest(cell)?;
    let Some(entry) = manifest.files.iter().find(|file| file.path == PICTURES) else {
        return Ok(None);
    };
    let path = store.folder(cell).join(PICTURES);
    let damaged =
        |reason: String| RecordError::Damaged { path: path.display().to_string(), reason };
    if entry.size > LARGEST_BYTES {
        return Err(damaged(format!("its {} bytes are more than {LARGEST_BYTES}", entry.size)));
    }
    let mut png = Vec::new();
    plain::open(&path)
        .and_then(|file| file.take(entry.size).read_to_end(&mut png))
        .map_err(RecordError::io("read", &path))?;
    if Digest::of(&png) != entry.sha256 {
        return Err(damaged("its digest is not the one in the manifest".to_owned()));
    }
    Ok(Some(png))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::record::format::{FileEntry, Manifest};
    use std::fs;

    const CELL: &str = "00112233445566aa";

    /// A store with a run whose manifest lists `size` bytes of pictures, and whose file holds `png`.
    fn left(png: &[u8], size: u64) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        fs::create_dir_all(store.folder(CELL)).unwrap();
        fs::write(store.folder(CELL).join(PICTURES), png).unwrap();
        let sha256 = Digest::of(b"pictures");
        let entry = FileEntry { path: PICTURES.to_owned(), size, sha256 };
        let manifest = Manifest { version: 1, cell: CELL.to_owned(), files: vec![entry] };
        let json = serde_json::to_vec(&manifest).unwrap();
        fs::write(store.folder(CELL).join("manifest.json"), json).unwrap();
        (folder, store)
    }

    #[test]
    fn pictures_are_those_that_the_manifest_lists() {
        let (_folder, store) = left(b"pictures", 8);
        assert_eq!(read(&store, CELL).unwrap().unwrap(), b"pictures");

        for (png, size, reason) in [
            (&b"pictured"[..], 8, "its digest is not the one in the manifest"),
            (b"pictures", 7, "its digest is not the one in the manifest"),
            (b"pictures", 5 << 20, "its 5242880 bytes are more than 4194304"),
        ] {
            let (_folder, store) = left(png, size);
            let error = read(&store, CELL).unwrap_err().to_string();
            assert!(error.ends_with(reason), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_where_pictures_should_be_is_not_followed() {
        let (folder, store) = left(b"pictures", 8);
        let path = store.folder(CELL).join(PICTURES);
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(read(&store, CELL).unwrap_err().to_string().contains("it is a link"));
    }
}
