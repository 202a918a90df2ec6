//! The digest of the code that decides a cell: what its id and its commitment hold.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::{Error, Tree, versions};

/// Files that every cell is decided by, with all that they name: how a cell is trained, and where its
/// curve crosses the target.
pub const CORE: [&str; 2] = ["harness/training/src/cell.rs", "harness/ledger/src/crossing.rs"];

/// What decides the cells of arms that are programs of one's own, in a method's place.
pub const EXTERNAL: &str = "harness/training/src/external.rs";

/// What order estimates are computed by, beside the code of their cell.
pub const INSPECTION: [&str; 1] = ["harness/inspect/src/estimate.rs"];

/// The crates that compute; their versions are part of every digest, the rest of the lock file is not.
pub const COMPUTES: [&str; 8] =
    ["flate2", "rand_core", "rand_distr", "rand_pcg", "sha2", "statrs", "tch", "torch-sys"];

/// Folders whose files are methods and workloads, one each, in a folder per family.
const METHODS: &str = "methods/src/";
const WORKLOADS: &str = "harness/workloads/src/";
/// What workloads share is no family.
const SHARED: &str = "shared";

/// A method or a workload: its id, which is its file's name with dashes, and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name in suites.
    pub id: String,
    /// Path from the root of the tree.
    pub file: String,
}

/// The digests of a tree, for one tool chain.
#[derive(Debug)]
pub struct CellCode {
    tree: Tree,
    versions: Vec<(String, String)>,
    flags: Vec<String>,
}

impl CellCode {
    /// Of `tree`, with the crates of the lock file; `flags` are what else decides how the same source
    /// computes, such as the target and its features.
    ///
    /// # Errors
    /// When the lock file lacks one of [`COMPUTES`].
    pub fn new(tree: Tree, lock_text: &str, flags: &[String]) -> Result<Self, Error> {
        let versions = versions(lock_text, &COMPUTES)?;
        Ok(Self { tree, versions, flags: flags.to_vec() })
    }

    /// Every method, sorted by id.
    #[must_use]
    pub fn methods(&self) -> Vec<Part> {
        self.parts(METHODS)
    }

    /// Every workload, sorted by id.
    #[must_use]
    pub fn workloads(&self) -> Vec<Part> {
        self.parts(WORKLOADS)
    }

    fn parts(&self, folder: &str) -> Vec<Part> {
        let mut parts: Vec<Part> = self
            .tree
            .files()
            .filter_map(|file| {
                let (family, name) = file.strip_prefix(folder)?.split_once('/')?;
                let name = name.strip_suffix(".rs").filter(|name| !name.contains('/'))?;
                let part = || Part { id: name.replace('_', "-"), file: file.to_owned() };
                (family != SHARED).then(part)
            })
            .collect();
        parts.sort_by(|a, b| a.id.cmp(&b.id));
        parts
    }

    /// What decides a cell of this method on this workload. Their closures are taken together:
    /// an implementation may need both before it counts.
    ///
    /// # Errors
    /// When a file of the closure is missing, or brings code in without naming it.
    pub fn cell(&self, method: &Part, workload: &Part) -> Result<String, Error> {
        self.digest(&[&CORE[..], &[&method.file, &workload.file]].concat())
    }

    /// What decides the weights that all cells of this workload start from.
    ///
    /// # Errors
    /// As [`CellCode::cell`].
    pub fn start(&self, workload: &Part) -> Result<String, Error> {
        self.digest(&[&CORE[..], &[&workload.file]].concat())
    }

    /// What decides an order estimate, beside the code of its cell.
    ///
    /// # Errors
    /// As [`CellCode::cell`].
    pub fn inspection(&self) -> Result<String, Error> {
        self.digest(&INSPECTION)
    }

    fn digest(&self, roots: &[&str]) -> Result<String, Error> {
        let mut hasher = Sha256::new();
        hasher.update("palimpsest/code/v2");
        hasher.update(self.tree.closure(roots)?.digest());
        let versions = self.versions.iter().flat_map(|(name, version)| [name, version]);
        for text in versions.chain(&self.flags) {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        let digest: [u8; 32] = hasher.finalize().into();
        Ok(digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}
