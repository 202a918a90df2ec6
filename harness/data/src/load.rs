//! A data set by name: samples, fixed split, sample ids and where the bytes came from.

use std::path::PathBuf;

use crate::blobs::Blobs;
use crate::catalogue::{self, CifarLayout, DataSet, Kind};
use crate::error::DataError;
use crate::files::{self, FILE_CAP};
use crate::loaded::{Loaded, Origin, Samples};
use crate::planar::Density;
use crate::sources::Sources;
use crate::split::Split;
use crate::{cifar, digits, idx, planar, shapes};

/// Loads `digits`, `mnist`, `fashion-mnist`, `cifar10`, or the generated `blobs` (default
/// settings), `ring8`, `checker` or `shapes16`.
///
/// Splits: digits 1,197 / 240 / 360; MNIST and Fashion-MNIST 54,000 / 6,000 / official 10,000;
/// CIFAR-10 45,000 / 5,000 / official 10,000; blobs 8,192 / 1,024 / 2,048; ring8 and checker 16,384 / 4,096 / 4,096; shapes16 8,192 / 2,000 /
/// 2,000.
///
/// # Errors
/// When the name is unknown or names text, or a file is missing, unreadable or not what it
/// should be.
pub fn load(name: &str, sources: &Sources) -> Result<Loaded, DataError> {
    let set = catalogue::find(name)?;
    match (set.kind, name) {
        (Kind::Text, _) => Err(DataError::NotSamples { name: name.to_owned(), kind: "text" }),
        (Kind::Generated, "checker") => Ok(planar::load(Density::Checker)),
        (Kind::Generated, "ring8") => Ok(planar::load(Density::Ring8)),
        (Kind::Generated, "shapes16") => Ok(shapes::load()),
        (Kind::Generated, "blobs") => blobs(&Blobs::default()),
        (Kind::Images, "digits") => load_digits(set, sources, digits::SAMPLES, [240, 360]),
        (Kind::Images, "cifar10") => load_cifar(sources, cifar::RECORDS, 5000),
        (Kind::Images, "mnist" | "fashion-mnist") => load_idx(set, sources, [28, 28], 6000),
        (Kind::Generated | Kind::Images, _) => Err(DataError::NoLoader { name: name.to_owned() }),
    }
}

/// Blobs with other settings than the defaults.
///
/// # Errors
/// [`DataError::Setting`] on a setting out of range.
pub fn blobs(settings: &Blobs) -> Result<Loaded, DataError> {
    let (floats, split) = settings.generate()?;
    Ok(generated("blobs", Samples::Floats(floats), split))
}

/// Blobs of another domain: mirrored left to right, with 0.7·x + 0.3 in the place of each value x.
///
/// # Errors
/// As [`blobs`].
pub fn mirrored_blobs(settings: &Blobs) -> Result<Loaded, DataError> {
    let (floats, split) = settings.generate()?;
    Ok(generated("blobs", Samples::Floats(floats.mirrored(0.7, 0.3)), split))
}

/// Generated samples with their ids.
pub(crate) fn generated(name: &str, samples: Samples, split: Split) -> Loaded {
    let ids = samples.sample_ids();
    loaded(name, samples, split, &ids, Origin::Generated)
}

fn load_digits(
    set: &DataSet,
    sources: &Sources,
    count: usize,
    [validation, test]: [usize; 2],
) -> Result<Loaded, DataError> {
    let mut read = Reader::new(set, sources);
    let (path, file) = read.file(0)?;
    let images = digits::images(&path, &file, count)?;
    let samples = Samples::Bytes(images);
    let ids = samples.sample_ids();
    let split = Split::by_rank(&ids, validation, test)?;
    Ok(loaded(set.name, samples, split, &ids, read.origin))
}

fn load_idx(
    set: &DataSet,
    sources: &Sources,
    shape: [usize; 2],
    validation: usize,
) -> Result<Loaded, DataError> {
    let mut read = Reader::new(set, sources);
    let mut part = |image_place, label_place| {
        let (image_path, image_file) = read.file(image_place)?;
        let (label_path, label_file) = read.file(label_place)?;
        idx::images((&image_path, &image_file), (&label_path, &label_file), shape, 10)
    };
    let mut images = part(0, 1)?;
    let test = part(2, 3)?;
    let test_count = test.len();
    images.append(test);
    let samples = Samples::Bytes(images);
    let ids = samples.sample_ids();
    let split = Split::with_official_test(&ids, validation, test_count)?;
    Ok(loaded(set.name, samples, split, &ids, read.origin))
}

fn load_cifar(sources: &Sources, records: usize, validation: usize) -> Result<Loaded, DataError> {
    let set = catalogue::find("cifar10")?;
    let (images, official) = match catalogue::locate_cifar(sources)? {
        CifarLayout::Archive(path) => {
            let file = files::read(&path, FILE_CAP)?;
            let official = set.files.iter().all(|published| published.pin.matches(&path, &file));
            (cifar::archive(&path, &file, records)?, official)
        }
        CifarLayout::Batches(paths) => {
            let mut images = cifar::empty(records.saturating_mul(paths.len()));
            let mut official = true;
            for (place, path) in paths.iter().enumerate() {
                let file = files::read(path, FILE_CAP)?;
                images.append(cifar::batch(path, &file, records)?);
                official &= catalogue::is_official_batch(place, &file);
            }
            (images, official)
        }
    };
    let samples = Samples::Bytes(images);
    let ids = samples.sample_ids();
    let split = Split::with_official_test(&ids, validation, records)?;
    let origin = if official { Origin::Official } else { Origin::Modified };
    Ok(loaded("cifar10", samples, split, &ids, origin))
}

/// Reads a set's files and remembers whether all were the published ones.
pub(crate) struct Reader<'a> {
    set: &'a DataSet,
    sources: &'a Sources,
    pub(crate) origin: Origin,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(set: &'a DataSet, sources: &'a Sources) -> Self {
        Self { set, sources, origin: Origin::Official }
    }

    /// Path and bytes of the set's file at `place` in the catalogue.
    pub(crate) fn file(&mut self, place: usize) -> Result<(PathBuf, Vec<u8>), DataError> {
        let Some(published) = self.set.files.get(place) else {
            let remedy = self.set.remedy(self.sources);
            return Err(DataError::Missing { file: String::new(), looked: Vec::new(), remedy });
        };
        let candidates = published.candidates(self.sources);
        let path = files::first_present(candidates, || self.set.remedy(self.sources))?;
        let file = files::read(&path, FILE_CAP)?;
        if !published.pin.matches(&path, &file) {
            self.origin = Origin::Modified;
        }
        Ok((path, file))
    }
}

fn loaded(name: &str, samples: Samples, split: Split, ids: &[[u8; 32]], origin: Origin) -> Loaded {
    let of = |positions: &[u32]| {
        positions.iter().filter_map(|&i| ids.get(usize::try_from(i).ok()?).copied()).collect()
    };
    Loaded {
        name: name.to_owned(),
        sample_ids: of(&split.train),
        validation_ids: of(&split.validation),
        test_ids: of(&split.test),
        samples,
        split,
        origin,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::split::sample_id;

    fn sources(folder: &Path) -> Sources {
        Sources { data_dir: folder.join("data"), cache_dir: folder.join("cache") }
    }

    fn write(sources: &Sources, path: &str, bytes: &[u8]) {
        let path = sources.data_dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_missing_set_names_the_places_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let sources = sources(folder.path());
        for (name, file, remedy) in [
            ("mnist", "train-images-idx3-ubyte.gz is missing", "`palimpsest data fetch mnist`"),
            ("digits", "digits.csv.gz is missing", "`just setup`"),
            ("cifar10", "cifar-10-binary.tar.gz is missing", "`palimpsest data fetch cifar10`"),
        ] {
            let error = load(name, &sources).unwrap_err().to_string();
            assert!(error.starts_with(file) && error.contains(remedy), "{error}");
            assert!(error.contains(&sources.data_dir.display().to_string()), "{error}");
        }
        assert!(matches!(load("gsm8k", &sources), Err(DataError::NotSamples { .. })));
        assert!(matches!(load("none", &sources), Err(DataError::UnknownName { .. })));
    }

    #[test]
    fn every_listed_set_has_a_loader_of_its_own_or_is_text() {
        let folder = tempfile::tempdir().unwrap();
        for set in catalogue::CATALOGUE {
            match (set.kind, load(set.name, &sources(folder.path()))) {
                (Kind::Generated, Ok(loaded)) => assert_eq!(loaded.name, set.name),
                (Kind::Images, Err(DataError::Missing { file, .. })) => {
                    assert!(set.files.iter().any(|own| own.path.ends_with(&file)), "{file}");
                }
                (Kind::Text, Err(DataError::NotSamples { .. })) => {}
                (_, other) => panic!("{}: {:?}", set.name, other.map(|loaded| loaded.name)),
            }
        }
    }

    #[test]
    fn an_idx_set_keeps_its_official_test_samples_and_says_it_is_modified() {
        let folder = tempfile::tempdir().unwrap();
        let sources = sources(folder.path());
        let labels = [0, 1, 2, 3, 4, 5, 6, 7];
        write(&sources, "mnist/train-images-idx3-ubyte", &idx::tests::image_file(8, [2, 3]));
        write(&sources, "mnist/train-labels-idx1-ubyte", &idx::tests::label_file(&labels));
        write(&sources, "mnist/t10k-images-idx3-ubyte", &idx::tests::image_file(2, [2, 3]));
        write(&sources, "mnist/t10k-labels-idx1-ubyte", &idx::tests::label_file(&[8, 9]));
        let set = catalogue::find("mnist").unwrap();
        let loaded = load_idx(set, &sources, [2, 3], 3).unwrap();
        assert_eq!(loaded.origin, Origin::Modified);
        assert_eq!((loaded.split.train.len(), loaded.validation_ids.len()), (5, 3));
        assert_eq!(loaded.split.test, [8, 9]);
        let Samples::Bytes(images) = &loaded.samples else { panic!("images expected") };
        let first = usize::try_from(loaded.split.train[0]).unwrap();
        let id = sample_id(images.sample_bytes(first).unwrap(), images.labels[first]);
        assert_eq!(loaded.sample_ids[0], id);
        assert_eq!(loaded.test_ids[1], sample_id(&[6, 7, 8, 9, 10, 11], 9));
    }

    #[test]
    fn loose_cifar_batches_that_are_not_the_published_ones_load_as_modified() {
        let folder = tempfile::tempdir().unwrap();
        let sources = sources(folder.path());
        for (name, label) in cifar::BATCHES.iter().zip(0..) {
            let record = [label].into_iter().chain([label; 3072]).collect::<Vec<u8>>();
            write(&sources, &format!("cifar10/{name}"), &record.repeat(2));
        }
        let loaded = load_cifar(&sources, 2, 4).unwrap();
        assert_eq!((loaded.samples.len(), loaded.origin), (12, Origin::Modified));
        assert_eq!(loaded.split.test, [10, 11]);
        assert_eq!(loaded.samples.labels(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        fs::remove_file(sources.data_dir.join("cifar10/data_batch_3.bin")).unwrap();
        let error = load_cifar(&sources, 2, 4).unwrap_err().to_string();
        assert!(error.contains("data_batch_3.bin"), "{error}");
    }

    #[test]
    fn digits_come_from_the_set_up_cache_before_the_data_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = sources(folder.path());
        write(&sources, "digits/digits.csv", b"not digits");
        let data_dir = std::mem::replace(&mut sources.data_dir, folder.path().join("cache/data"));
        let csv = crate::files::gzip(digits::tests::csv(20).as_bytes());
        write(&sources, "digits/digits.csv.gz", &csv);
        sources.data_dir = data_dir;
        let set = catalogue::find("digits").unwrap();
        let loaded = load_digits(set, &sources, 20, [4, 6]).unwrap();
        assert_eq!(
            [&loaded.sample_ids, &loaded.validation_ids, &loaded.test_ids].map(Vec::len),
            [10, 4, 6]
        );
    }

    #[test]
    fn default_blobs_have_the_pinned_training_ids() {
        let loaded = load("blobs", &sources(Path::new("nowhere"))).unwrap();
        let lengths = [&loaded.sample_ids, &loaded.validation_ids, &loaded.test_ids].map(Vec::len);
        assert_eq!((lengths, loaded.origin), ([8192, 1024, 2048], Origin::Generated));
        let all = [loaded.sample_ids, loaded.validation_ids, loaded.test_ids].concat().concat();
        let digest = ledger::digest::Digest::of(&all).to_string();
        assert_eq!(digest, "be79844eea57c6f69d8ddffb7400aeee2c39977d9d228ba131e5e0a4e9087bf6");
    }
}
