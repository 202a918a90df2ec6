//! What was kept of the base: a reference file.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use ledger::regress::Snapshot;

/// A kept reference.
#[derive(Debug)]
pub enum Kept {
    /// A reference file, read.
    File(Box<Snapshot>),
}

impl Kept {
    /// Finds what `reference` names, before anything is measured.
    ///
    /// # Errors
    /// When it is no reference file.
    pub fn find(reference: &str) -> anyhow::Result<Self> {
        let path = Path::new(reference);
        if !path.is_file() {
            anyhow::bail!("--against {reference}: there is no such file");
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {reference}"))?;
        Ok(Self::File(Box::new(Snapshot::parse(&text, reference)?)))
    }

    /// The base's snapshot, for a head measured as `head`.
    ///
    /// # Errors
    /// When nothing of this suite was kept.
    pub fn snapshot(self, _head: &Snapshot) -> anyhow::Result<Snapshot> {
        match self {
            Self::File(snapshot) => Ok(*snapshot),
        }
    }
}
