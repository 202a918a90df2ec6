//! What was kept of the base: a reference file, or a commit in the history.

use std::fs;
use std::path::Path;

use analysis::regress::Snapshot;
use anyhow::{Context as _, bail};

use super::place::Place;
use super::record::short;
use crate::git::HistoryBranch;

/// A kept reference.
#[derive(Debug)]
pub enum Kept {
    /// A reference file, read.
    File(Box<Snapshot>),
    /// A commit of the repository, and the branch with its snapshots.
    Commit(HistoryBranch, String),
}

impl Kept {
    /// Finds what `reference` names, before anything is measured. A file comes before a revision.
    ///
    /// # Errors
    /// When it is neither a reference file nor a commit.
    pub fn find(reference: &str, place: &Place) -> anyhow::Result<Self> {
        if Path::new(reference).is_file() {
            let text = fs::read_to_string(reference)
                .with_context(|| format!("cannot read {reference}"))?;
            return Ok(Self::File(Box::new(Snapshot::parse(&text, reference)?)));
        }
        let neither = || format!("--against {reference} is neither a reference file nor a commit");
        let branch = place.open().with_context(neither)?;
        let commit = branch.commit(reference).with_context(neither)?;
        Ok(Self::Commit(branch, commit))
    }

    /// The base's snapshot, for a head measured as `head`: of its machine, or of another where the
    /// commit was only measured there, which the verdicts then say.
    ///
    /// # Errors
    /// When nothing of this suite was kept for the commit.
    pub fn snapshot(self, head: &Snapshot) -> anyhow::Result<Snapshot> {
        let (branch, commit) = match self {
            Self::File(snapshot) => return Ok(*snapshot),
            Self::Commit(branch, commit) => (branch, commit),
        };
        let (suite, here) = (&head.suite, &head.machine.fingerprint);
        let machines = branch.measured_on(suite, &commit)?;
        let machine = machines.iter().find(|machine| *machine == here).or(machines.first());
        let Some(machine) = machine else {
            bail!(
                "{suite} was not recorded at {}: run it there, then `palimpsest regress record {suite}`",
                short(&commit)
            );
        };
        let origin = format!("{suite}/{machine}-{commit}.json");
        let bytes = branch.snapshot(suite, machine, &commit)?;
        let bytes = bytes.with_context(|| format!("{origin} is gone"))?;
        let text = String::from_utf8(bytes).with_context(|| format!("{origin} is no text"))?;
        Ok(Snapshot::parse(&text, &origin)?)
    }
}
