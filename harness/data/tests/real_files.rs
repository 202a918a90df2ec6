//! The published files, where `PALIMPSEST_DATA` names a folder that holds them; without it these
//! tests say so and check nothing.
#![expect(clippy::print_stderr, reason = "a skipped test says why")]

use std::path::PathBuf;

use data::text::windows::{self, Unit};
use data::{DataError, Loaded, Origin, Samples, Sources, load};
use ledger::digest::Digest;

/// The set, unless no folder is named or the set is not in it.
fn present(name: &str) -> Option<Loaded> {
    let Some(folder) = std::env::var_os("PALIMPSEST_DATA").map(PathBuf::from) else {
        eprintln!("skipped: PALIMPSEST_DATA is not set");
        return None;
    };
    match load(name, &Sources { cache_dir: folder.clone(), data_dir: folder }) {
        Ok(loaded) => Some(loaded),
        Err(error @ DataError::Missing { .. }) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn images(loaded: &Loaded) -> &data::Images {
    match &loaded.samples {
        Samples::Bytes(images) => images,
        Samples::Floats(_) => panic!("{} is not images", loaded.name),
    }
}

fn digest(ids: &[[u8; 32]]) -> String {
    Digest::of(&ids.concat()).short(16)
}

#[test]
fn mnist_is_official_and_splits_as_pinned() {
    let Some(mnist) = present("mnist") else { return };
    assert_eq!(mnist.origin, Origin::Official);
    assert_eq!(images(&mnist).labels[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
    assert_eq!(images(&mnist).labels[60_000..60_004], [7, 2, 1, 0]);
    assert_eq!((mnist.sample_ids.len(), mnist.test_ids.len()), (54_000, 10_000));
    assert_eq!(digest(&mnist.validation_ids), "746516074ecf1d1f");
}

#[test]
fn digits_are_official_and_split_as_pinned() {
    let Some(digits) = present("digits") else { return };
    assert_eq!(digits.origin, Origin::Official);
    assert_eq!(images(&digits).labels[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    let lengths = [&digits.sample_ids, &digits.validation_ids, &digits.test_ids].map(Vec::len);
    assert_eq!(lengths, [1197, 240, 360]);
    assert_eq!(digest(&digits.validation_ids), "45250cbe419eea4a");
}

#[test]
fn cifar10_has_a_thousand_test_images_of_each_class() {
    let Some(cifar) = present("cifar10") else { return };
    assert_eq!((cifar.sample_ids.len(), cifar.validation_ids.len()), (45_000, 5000));
    for class in 0..10 {
        let labels = &images(&cifar).labels[50_000..];
        assert_eq!(labels.iter().filter(|&&label| label == class).count(), 1000);
    }
}

#[test]
fn fashion_mnist_has_six_thousand_training_images_of_each_class() {
    let Some(fashion) = present("fashion-mnist") else { return };
    for class in 0..10 {
        let labels = &images(&fashion).labels[..60_000];
        assert_eq!(labels.iter().filter(|&&label| label == class).count(), 6000);
    }
}

#[test]
fn the_published_text_is_told_by_its_bytes_when_it_is_given_as_a_users_file() {
    let folder = std::env::var_os("PALIMPSEST_DATA").map(PathBuf::from).unwrap_or_default();
    let published = folder.join("tinyshakespeare/input.txt");
    let Ok(bytes) = std::fs::read(&published) else {
        eprintln!("skipped: {} is not there", published.display());
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("plays.txt");
    std::fs::write(&copy, bytes).unwrap();
    let sources = Sources { cache_dir: PathBuf::new(), data_dir: PathBuf::new() };
    let windows = windows::load(Some(&copy), Unit::Byte, &sources).unwrap();
    assert_eq!((windows.origin, windows.own), (Origin::Official, None));
}
