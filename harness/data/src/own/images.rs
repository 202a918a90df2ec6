//! A folder of images as examples.
//!
//! The splits are chosen by a hash of each file's bytes and its class, so that they are the same at every size but for
//! images that come to show the same there: these stay together, whatever their classes. An example's id is over the
//! pixels that are trained on and its class.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ledger::digest::Digest;
use sha2::{Digest as _, Sha256};

use super::{MOST_CLASSES, MOST_VALUES, OwnData, OwnLabels, Shares, bare_name, ordered};
use crate::error::DataError;
use crate::images::{Fit, Fitted, Folder, ImageError, Part, read_all};
use crate::loaded::OwnFile;
use crate::split::{Split, sample_id};

impl OwnData {
    /// Reads a folder of images, brought to one size, channels first, from 0 to 1.
    ///
    /// # Errors
    /// As [`Folder::open`] and [`read_all`]; when there are too many, a class has none left to train on, or one is to be
    /// trained on and to be judged by.
    pub fn of_images(path: &Path, fit: Fit, shares: Shares) -> Result<Self, DataError> {
        let folder = Folder::open(path)?;
        let (channels, size, images) = (fit.colours.channels(), fit.size, folder.files.len());
        let area = size.saturating_mul(size).saturating_mul(channels);
        if images.saturating_mul(area) > MOST_VALUES {
            let (path, most) = (path.to_path_buf(), MOST_VALUES);
            return Err(ImageError::TooMany { path, images, channels, size, most }.into());
        }
        let (names, of) = classes(&folder)?;
        let read = read_all(&folder, fit)?;
        let class = |at: usize| names[of[at] as usize].as_bytes();
        let by_class = |at: usize, bytes: &[u8]| sample_id(&[bytes, class(at)].concat(), 0);
        let ids: Vec<_> = (0..images).map(|at| by_class(at, &read[at].pixels)).collect();
        let keys: Vec<_> = (0..images).map(|at| by_class(at, &read[at].file.0)).collect();
        // The same image in two classes is one image.
        let shown: Vec<_> = read.iter().map(|image| sample_id(&image.pixels, 0)).collect();
        let split = split(&folder, &shown, &keys, shares)?;
        refuse_untaught(&folder, &names, &of, &split)?;
        let file = OwnFile { name: name(path), sha256: listing(&folder, &read) };
        let values = read.iter().flat_map(|image| &image.pixels);
        let values = values.map(|&pixel| f32::from(pixel) / f32::from(u8::MAX)).collect();
        let labels = OwnLabels::Classes { names, of };
        Ok(Self { shape: vec![channels, size, size], values, labels, split, ids, file })
    }
}

fn name(path: &Path) -> String {
    // `.` and `..` have no name of their own.
    let whole = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    format!("folder:{}", bare_name(&whole))
}

/// What `sha256sum` prints of all files in the order of their names, hashed.
fn listing(folder: &Folder, read: &[Fitted]) -> Digest {
    let mut hasher = Sha256::new();
    for (file, Fitted { file: digest, .. }) in folder.files.iter().zip(read) {
        hasher.update(format!("{digest}  {}\n", file.relative));
    }
    Digest(hasher.finalize().into())
}

/// Names of the classes and the class of each file.
fn classes(folder: &Folder) -> Result<(Vec<String>, Vec<u32>), DataError> {
    let found: BTreeSet<&str> = folder.files.iter().map(|file| &*file.class).collect();
    let found: Vec<String> = found.into_iter().map(str::to_owned).collect();
    if found.len() > MOST_CLASSES {
        return Err(DataError::Labels {
            path: folder.path.clone(),
            problem: format!("it holds {} classes, more than {MOST_CLASSES}", found.len()),
            remedy: "take a part of them",
        });
    }
    let order = ordered(&found);
    let names: Vec<String> = order.iter().map(|&at| found[at].clone()).collect();
    let places: BTreeMap<&str, u32> = names.iter().map(|name| &**name).zip(0..).collect();
    let of = folder.files.iter().map(|file| places[&*file.class]).collect();
    Ok((names, of))
}

/// By shares where no folder says what images are for; else what is not said is taken out of `train`.
fn split(
    folder: &Folder,
    shown: &[[u8; 32]],
    keys: &[[u8; 32]],
    shares: Shares,
) -> Result<Split, DataError> {
    // Images that show the same have the key of one of them.
    let mut least: BTreeMap<[u8; 32], [u8; 32]> = BTreeMap::new();
    for (image, key) in shown.iter().zip(keys) {
        least.entry(*image).and_modify(|least| *least = (*key).min(*least)).or_insert(*key);
    }
    let keys: Vec<[u8; 32]> = shown.iter().map(|image| least[image]).collect();
    let of = |part: Part| -> Vec<u32> {
        let files = (0..).zip(&folder.files).filter(|(_, file)| file.part == Some(part));
        files.map(|(at, _)| at).collect()
    };
    let [train, validation, test] = [Part::Train, Part::Validation, Part::Test].map(of);
    if train.is_empty() {
        return Split::by_share(&keys, shares.validation, shares.test);
    }
    let mut split = Split { train, validation, test };
    for (part, share) in [(Part::Validation, shares.validation), (Part::Test, shares.test)] {
        let held = if part == Part::Validation { &mut split.validation } else { &mut split.test };
        if held.is_empty() {
            (split.train, *held) = carved(&split.train, &keys, share)?;
        }
    }
    refuse_twice(folder, shown, &split)?;
    Ok(split)
}

/// What is left to train on and what is held out: that share of the different images.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a number of images"
)]
fn carved(train: &[u32], keys: &[[u8; 32]], share: f64) -> Result<(Vec<u32>, Vec<u32>), DataError> {
    let different: BTreeSet<[u8; 32]> = train.iter().map(|&at| keys[at as usize]).collect();
    let different: Vec<[u8; 32]> = different.into_iter().collect();
    let held = ((different.len() as f64 * share).round() as usize).max(1);
    let chosen = Split::by_rank(&different, held, 0)?.validation;
    let chosen: BTreeSet<[u8; 32]> = chosen.iter().map(|&at| different[at as usize]).collect();
    Ok(train.iter().partition(|&&at| !chosen.contains(&keys[at as usize])))
}

/// Refuses an image that folders put into two splits.
fn refuse_twice(folder: &Folder, shown: &[[u8; 32]], split: &Split) -> Result<(), DataError> {
    let mut seen: BTreeMap<[u8; 32], (usize, u32)> = BTreeMap::new();
    for (place, part) in [&split.train, &split.validation, &split.test].into_iter().enumerate() {
        for &at in part {
            let (other, first) = *seen.entry(shown[at as usize]).or_insert((place, at));
            if other != place {
                let [first, second] = [at, first].map(|at| folder.files[at as usize].path.clone());
                return Err(ImageError::Twice { first, second }.into());
            }
        }
    }
    Ok(())
}

/// Refuses a class of which chance, or the folders, left nothing to train on.
fn refuse_untaught(
    folder: &Folder,
    names: &[String],
    of: &[u32],
    split: &Split,
) -> Result<(), DataError> {
    let taught: BTreeSet<u32> = split.train.iter().map(|&at| of[at as usize]).collect();
    let untaught = (0..).zip(names).find(|(class, _)| !taught.contains(class));
    untaught.map_or(Ok(()), |(class, name)| {
        let images = of.iter().filter(|other| **other == class).count();
        Err(DataError::Labels {
            path: folder.path.clone(),
            problem: format!(
                "of class {name:?}, which has {images} in all, no image is left to train on"
            ),
            remedy: "add some, or lower `validation` and `test`",
        })
    })
}
