//! The store's index of commitments: a run's place in it, its time, and promises without a run.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::same;
use ledger::commitment::CommitmentIndex;
use ledger::digest::Digest;
use ledger::plain;
use ledger::record::format::{IndexPlace, OrderSection, RunRecord};
use ledger::record::store::Store;

/// Seconds by which the clocks of two runs may disagree before their order counts: a run reads the
/// clock, sets up, and then commits. Only gross forgeries are found; a published head finds all.
const SLACK_SECONDS: f64 = 600.0;

/// The index and what the records of the store say about their places in it.
#[derive(Debug)]
pub(super) struct Index {
    index: Result<CommitmentIndex, String>,
    runs: Vec<Run>,
}

/// A run's own word on its promise and its time.
#[derive(Debug)]
struct Run {
    cell: String,
    place: IndexPlace,
    commitment: Digest,
    started: f64,
}

/// A promise without a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Abandoned {
    /// Line of the index, from 0.
    pub sequence: u64,
    /// Cell that was promised.
    pub cell: String,
    /// What was promised.
    pub commitment: Digest,
}

/// All promises of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexSummary {
    /// Lines.
    pub promises: u64,
    /// Digest of the last line: publish this one.
    pub head: Digest,
    /// Promises that no run of the store keeps. A p-value must be multiplied by one more than their
    /// number where they may have been abandoned for their results.
    pub abandoned: Vec<Abandoned>,
    /// Lines that promise again what a run of the store keeps: the same order, started again.
    pub repeated: u64,
    /// Bytes of an unfinished last line.
    pub torn_bytes: u64,
}

/// Promises up to a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// Lines.
    pub promises: u64,
    /// Those that no run of the store keeps.
    pub abandoned: u64,
}

/// The few fields of a record that matter here.
#[derive(Deserialize)]
struct Outline {
    cell: String,
    order: Option<OrderOutline>,
    environment: Started,
}

#[derive(Deserialize)]
struct OrderOutline {
    commitment: Digest,
    index: Option<IndexPlace>,
}

#[derive(Deserialize)]
struct Started {
    started_unix: u64,
}

impl Index {
    /// Reads the index and the outlines of all records; a record that cannot be read counts as none
    /// here, and fails its own checks.
    pub(super) fn read(store: &Store) -> Self {
        let index = CommitmentIndex::read_and_verify(&store.root().join("commitments.jsonl"));
        let cells = store.cells().unwrap_or_default();
        let outline = |cell: &String| {
            let text = plain::read(&store.folder(cell).join("record.json")).ok()?;
            serde_json::from_slice::<Outline>(&text).ok()
        };
        let runs =
            cells.iter().filter_map(outline).filter_map(|Outline { cell, order, environment }| {
                let order = order?;
                Some(Run {
                    cell,
                    place: order.index?,
                    commitment: order.commitment,
                    started: environment.started_unix as f64,
                })
            });
        Self { index: index.map_err(|error| reasons(&error)), runs: runs.collect() }
    }

    fn whole(&self) -> Result<&CommitmentIndex, String> {
        self.index.as_ref().map_err(Clone::clone)
    }

    /// The record's line is there and is the record's.
    pub(super) fn check_place(
        &self,
        record: &RunRecord,
        order: &OrderSection,
    ) -> Result<(), String> {
        let place = order.index.ok_or("the record names no line of the index")?;
        let index = self.whole()?;
        let line = usize::try_from(place.sequence).ok().and_then(|at| index.lines.get(at));
        let line = line.ok_or_else(|| format!("line {} is not in the index", place.sequence))?;
        same(&place.digest, &line.digest)?;
        same(&order.commitment, &line.entry.commitment)?;
        same(&record.cell, &line.entry.cell)
    }

    /// No run whose promise stands before this one's began after this one had ended: then this
    /// promise was made after the training.
    pub(super) fn check_time(
        &self,
        record: &RunRecord,
        order: &OrderSection,
    ) -> Result<(), String> {
        let place = order.index.ok_or("the record names no line of the index")?;
        let ended = record.environment.started_unix as f64 + record.clocks.total.max(0.0);
        let lines = self.index.as_ref().map(|index| index.lines.as_slice()).unwrap_or_default();
        let stands = |run: &&Run| {
            let line = usize::try_from(run.place.sequence).ok().and_then(|at| lines.get(at));
            line.is_some_and(|line| line.digest == run.place.digest)
        };
        let later =
            self.runs.iter().filter(stands).find(|run| {
                run.place.sequence < place.sequence && run.started > ended + SLACK_SECONDS
            });
        match later {
            None => Ok(()),
            Some(run) => Err(format!(
                "it was promised at line {}, after line {} of run {}, which began {:.0} s after this run had \
                 ended: the promise came after the training, or a clock was set back",
                place.sequence,
                run.place.sequence,
                run.cell,
                run.started - ended
            )),
        }
    }

    /// The line of a published head.
    pub(super) fn place_of(&self, head: &Digest) -> Result<Option<u64>, String> {
        let index = self.whole()?;
        if *head == CommitmentIndex::origin() {
            return Ok(None);
        }
        let line = index.lines.iter().find(|line| line.digest == *head).ok_or_else(|| {
            format!("no line of the index has digest {head}: lines were cut off or written anew")
        })?;
        Ok(Some(line.sequence))
    }

    /// The run was promised at or before a published head.
    pub(super) fn check_promised_by(
        &self,
        head: &Digest,
        order: &OrderSection,
    ) -> Result<(), String> {
        let place = order.index.ok_or("the record names no line of the index")?;
        let last = self.place_of(head)?;
        if last.is_some_and(|last| place.sequence <= last) {
            return Ok(());
        }
        let last = last.map_or_else(|| "the empty index".to_owned(), |last| format!("line {last}"));
        Err(format!("promised at line {}, after the published head ({last})", place.sequence))
    }

    /// What stood in the index when `head` was its last line.
    pub(super) fn until(&self, head: &Digest) -> Result<Until, String> {
        let last = self.place_of(head)?;
        let promises = last.map_or(0, |last| last + 1);
        let IndexSummary { abandoned, .. } = self.summary()?;
        let before = abandoned.iter().filter(|line| line.sequence < promises).count();
        Ok(Until { promises, abandoned: before as u64 })
    }

    pub(super) fn summary(&self) -> Result<IndexSummary, String> {
        let index = self.whole()?;
        let kept: BTreeSet<u64> = self.runs.iter().map(|run| run.place.sequence).collect();
        let commitments: BTreeSet<Digest> = self.runs.iter().map(|run| run.commitment).collect();
        let open = index.lines.iter().filter(|line| !kept.contains(&line.sequence));
        let (repeated, abandoned): (Vec<_>, Vec<_>) =
            open.partition(|line| commitments.contains(&line.entry.commitment));
        let abandoned = abandoned.into_iter().map(|line| Abandoned {
            sequence: line.sequence,
            cell: line.entry.cell.clone(),
            commitment: line.entry.commitment,
        });
        Ok(IndexSummary {
            promises: index.lines.len() as u64,
            head: index.head(),
            abandoned: abandoned.collect(),
            repeated: repeated.len() as u64,
            torn_bytes: index.torn_bytes,
        })
    }
}

/// An error with its cause.
fn reasons(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
