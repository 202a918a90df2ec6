//! CIFAR-10, binary version: records of one label byte and 3,072 pixels (red, green and blue
//! planes of 32 x 32, row-major), 10,000 records a file; loose or in the published archive.

use std::io::Read as _;
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;

use crate::error::DataError;
use crate::raw::Images;

/// Channels, height, width.
pub const SHAPE: [usize; 3] = [3, 32, 32];
/// airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.
pub const CLASSES: u8 = 10;
/// The data files in dataset order; the last one is the official test set.
pub const BATCHES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];
/// Records in each of the [`BATCHES`].
pub const RECORDS: usize = 10_000;

const RECORD_BYTES: usize = 1 + 3 * 32 * 32;
/// The archive decodes to 184,385,536 bytes or so; a bomb stops here.
const ARCHIVE_CAP: u64 = 256 << 20;
const MEMBERS_CAP: usize = 64;

/// An empty set with room for `records` samples.
pub(crate) fn empty(records: usize) -> Images {
    let pixels = Vec::with_capacity(records.saturating_mul(RECORD_BYTES - 1));
    let labels = Vec::with_capacity(records);
    Images { pixels, shape: SHAPE, labels, classes: CLASSES, full_scale: 255 }
}

/// One batch file's bytes, which must hold exactly `records` records.
///
/// # Errors
/// On another length or a label above 9.
pub fn batch(path: &Path, file: &[u8], records: usize) -> Result<Images, DataError> {
    let expected = records.saturating_mul(RECORD_BYTES);
    if file.len() != expected {
        return Err(DataError::Length {
            path: path.to_path_buf(),
            found: file.len() as u64,
            expected: expected as u64,
            declared: false,
        });
    }
    let mut images = empty(records);
    for (record, offset) in file.chunks_exact(RECORD_BYTES).zip((0..).step_by(RECORD_BYTES)) {
        let Some((&value, pixels)) = record.split_first() else { continue };
        if value >= CLASSES {
            let path = path.to_path_buf();
            return Err(DataError::Label { path, offset, value, classes: CLASSES });
        }
        images.labels.push(value);
        images.pixels.extend_from_slice(pixels);
    }
    Ok(images)
}

/// All [`BATCHES`] of the published `cifar-10-binary.tar.gz`, given as bytes, in dataset order;
/// `records` in each. Nothing is written to disk.
///
/// # Errors
/// On a broken archive; a member that is a link or device or whose path is absolute or climbs out
/// of the archive; a batch that is absent, double or of another size; more than 64 members; or
/// more than 256 MiB of content.
pub fn archive(path: &Path, file: &[u8], records: usize) -> Result<Images, DataError> {
    let refuse = |member: &str, problem: String| DataError::Archive {
        path: path.to_path_buf(),
        member: member.to_owned(),
        problem,
    };
    let broken = |source: std::io::Error| refuse("", format!("cannot be read ({source})"));
    let mut found: [Option<Images>; BATCHES.len()] = Default::default();
    let mut tar = tar::Archive::new(MultiGzDecoder::new(file).take(ARCHIVE_CAP));
    for (index, entry) in tar.entries().map_err(broken)?.enumerate() {
        let entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let shown = name.to_string_lossy().into_owned();
        if index >= MEMBERS_CAP {
            return Err(refuse(&shown, format!("is one of more than {MEMBERS_CAP}")));
        }
        let kind = entry.header().entry_type();
        if !kind.is_file() && !kind.is_dir() {
            return Err(refuse(&shown, format!("is neither a file nor a folder ({kind:?})")));
        }
        if !name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(refuse(&shown, "leaves the archive's folder".to_owned()));
        }
        let base = name.file_name().unwrap_or_default();
        let Some(place) = BATCHES.iter().position(|batch| base == *batch) else { continue };
        let Some(slot) = found.get_mut(place).filter(|_| kind.is_file()) else { continue };
        if slot.is_some() {
            return Err(refuse(&shown, "is there twice".to_owned()));
        }
        let (size, expected) = (entry.size(), records.saturating_mul(RECORD_BYTES) as u64);
        if size != expected {
            return Err(refuse(&shown, format!("has {size} bytes, expected {expected}")));
        }
        let mut bytes = Vec::new();
        entry.take(expected).read_to_end(&mut bytes).map_err(broken)?;
        *slot = Some(batch(&path.join(&name), &bytes, records)?);
    }
    let mut images = empty(records.saturating_mul(BATCHES.len()));
    for (batch, name) in found.into_iter().zip(BATCHES) {
        images.append(batch.ok_or_else(|| refuse(name, "is not there".to_owned()))?);
    }
    Ok(images)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::gzip;

    fn record(label: u8, fill: u8) -> Vec<u8> {
        std::iter::once(label).chain(std::iter::repeat_n(fill, RECORD_BYTES - 1)).collect()
    }

    fn header(kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header
    }

    fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, bytes: &[u8]) {
        let mut header = header(kind, bytes.len() as u64);
        // Written by hand: the builder itself refuses the hostile names under test.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }

    fn tar_of(names: &[&str]) -> tar::Builder<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        append(&mut tar, "cifar-10-batches-bin/", tar::EntryType::Directory, &[]);
        append(&mut tar, "cifar-10-batches-bin/readme.html", tar::EntryType::Regular, b"hi");
        for (fill, name) in (1..).zip(names) {
            let name = format!("cifar-10-batches-bin/{name}");
            append(&mut tar, &name, tar::EntryType::Regular, &record(fill % 10, fill));
        }
        tar
    }

    fn parse(tar: tar::Builder<Vec<u8>>) -> Result<Images, DataError> {
        archive(Path::new("a.tar.gz"), &gzip(&tar.into_inner().unwrap()), 1)
    }

    fn problem(tar: tar::Builder<Vec<u8>>) -> String {
        parse(tar).unwrap_err().to_string()
    }

    #[test]
    fn a_record_is_a_label_and_three_planes() {
        let file = [record(3, 1), record(9, 2)].concat();
        let images = batch(Path::new("b"), &file, 2).unwrap();
        assert_eq!((images.labels.as_slice(), images.shape), (&[3, 9][..], [3, 32, 32]));
        assert_eq!(images.sample_bytes(1).unwrap(), [2; 3072]);
    }

    #[test]
    fn a_batch_cut_at_a_record_boundary_is_still_too_short() {
        let error = batch(Path::new("b"), &record(3, 1), 2).unwrap_err();
        assert!(matches!(error, DataError::Length { found: 3073, expected: 6146, .. }), "{error}");
    }

    #[test]
    fn a_label_above_nine_names_its_offset() {
        let file = [record(3, 1), record(10, 2)].concat();
        let error = batch(Path::new("b"), &file, 2).unwrap_err();
        assert!(matches!(error, DataError::Label { offset: 3073, value: 10, .. }), "{error}");
    }

    #[test]
    fn the_archive_loads_in_dataset_order_whatever_its_own_order() {
        let mut names = BATCHES;
        names.reverse();
        let images = parse(tar_of(&names)).unwrap();
        assert_eq!(images.labels, [6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn an_archive_lacking_a_batch_names_it() {
        assert!(problem(tar_of(&BATCHES[..5])).contains("\"test_batch.bin\" is not there"));
    }

    #[test]
    fn members_that_climb_out_or_are_absolute_are_refused() {
        for name in ["../data_batch_1.bin", "/etc/data_batch_1.bin", "a/../../b"] {
            let mut tar = tar_of(&BATCHES);
            append(&mut tar, name, tar::EntryType::Regular, &record(1, 1));
            assert!(problem(tar).contains("leaves the archive's folder"), "{name}");
        }
    }

    #[test]
    fn links_and_devices_are_refused() {
        for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char] {
            let mut tar = tar_of(&BATCHES);
            append(&mut tar, "x", kind, &[]);
            assert!(problem(tar).contains("neither a file nor a folder"));
        }
    }

    #[test]
    fn double_batches_and_wrong_sizes_are_refused() {
        let mut tar = tar_of(&BATCHES);
        append(&mut tar, "test_batch.bin", tar::EntryType::Regular, &record(1, 1));
        assert!(problem(tar).contains("is there twice"));
        let mut tar = tar_of(&BATCHES[..5]);
        append(&mut tar, "test_batch.bin", tar::EntryType::Regular, &[1, 2]);
        assert!(problem(tar).contains("has 2 bytes, expected 3073"));
    }

    #[test]
    fn a_member_declaring_an_absurd_size_is_refused_without_allocating_it() {
        let mut tar = tar_of(&BATCHES[..5]);
        let mut header = header(tar::EntryType::Regular, 1 << 50);
        header.set_path("test_batch.bin").unwrap();
        header.set_cksum();
        tar.get_mut().extend(header.as_bytes());
        assert!(problem(tar).contains("has 1125899906842624 bytes"));
    }

    #[test]
    fn more_members_than_allowed_are_refused() {
        let mut tar = tar_of(&BATCHES);
        for _ in 0..MEMBERS_CAP {
            append(&mut tar, "x", tar::EntryType::Regular, &[]);
        }
        assert!(problem(tar).contains("one of more than 64"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_corrupted_archive_never_panics(
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            keep in any::<prop::sample::Index>(),
            inside in any::<bool>(),
        ) {
            let mut bytes = tar_of(&BATCHES).into_inner().unwrap();
            if !inside {
                bytes = gzip(&bytes);
            }
            for (place, value) in edits {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            bytes.truncate(keep.index(bytes.len() + 1));
            if inside {
                bytes = gzip(&bytes);
            }
            if let Ok(images) = archive(Path::new("a"), &bytes, 1) {
                prop_assert_eq!(images.len(), 6);
            }
        }
    }
}
