//! A data set in memory.

use ledger::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::raw::{Floats, Images};
use crate::split::Split;

/// The samples of a data set, all splits together, in dataset order.
#[derive(Debug, Clone, PartialEq)]
pub enum Samples {
    /// Images as bytes.
    Bytes(Images),
    /// Generated floats.
    Floats(Floats),
}

/// Where the bytes came from, judged by pinned hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Every file is the published one, or holds its content in another gzip wrapping.
    Official,
    /// Some file matches no pinned hash: altered, re-encoded, or a wrapping we have no hash of.
    Modified,
    /// Generated here from a seed.
    Generated,
    /// A file of the user's, which no catalogue lists.
    Own,
    /// A program's own, of which the bench is told how many there are.
    Told,
}

/// A file of the user's in place of a listed data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// `file:` and the file's own name, without its folder.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Official => "official",
            Self::Modified => "modified",
            Self::Generated => "generated",
            Self::Own => "own",
            Self::Told => "told",
        })
    }
}

/// A data set in memory. The ids of a split stand in the order of its positions; those of
/// `train` are the leaves of the dataset root.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The data set's name.
    pub name: String,
    /// All samples.
    pub samples: Samples,
    /// Which positions train, validate and test.
    pub split: Split,
    /// Ids of the training samples.
    pub sample_ids: Vec<[u8; 32]>,
    /// Ids of the validation samples.
    pub validation_ids: Vec<[u8; 32]>,
    /// Ids of the test samples.
    pub test_ids: Vec<[u8; 32]>,
    /// Whether these are the published bytes.
    pub origin: Origin,
}

impl Samples {
    /// The number of samples, all splits together.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(images) => images.len(),
            Self::Floats(floats) => floats.len(),
        }
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels, height, width.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        match self {
            Self::Bytes(images) => images.shape,
            Self::Floats(floats) => floats.shape,
        }
    }

    /// One class per sample.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        match self {
            Self::Bytes(images) => &images.labels,
            Self::Floats(floats) => &floats.labels,
        }
    }

    /// The number of classes.
    #[must_use]
    pub fn classes(&self) -> u8 {
        match self {
            Self::Bytes(images) => images.classes,
            Self::Floats(floats) => floats.classes,
        }
    }

    pub(crate) fn sample_ids(&self) -> Vec<[u8; 32]> {
        match self {
            Self::Bytes(images) => images.sample_ids(),
            Self::Floats(floats) => floats.sample_ids(),
        }
    }
}
