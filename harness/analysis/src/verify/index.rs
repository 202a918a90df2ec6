//! The store's index of commitments: a run's place in it, its time, and promises without a run.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::same;
use ledger::commitment::{CommitmentError, CommitmentIndex, CommitmentLine};
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
    /// Those of stores that were merged into this one; they do not grow any more.
    merged: Vec<CommitmentIndex>,
    runs: Vec<Run>,
    /// For the own index and each merged one, the runs that began later than all that were promised before
    /// them, line by line: what a later promise is held to is found without looking at every run.
    latest: Vec<Vec<usize>>,
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
    /// Heads of the indices that were merged into the store.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<Digest>,
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
        let (index, merged) = match indices(store) {
            Ok((own, merged)) => (Ok(own), merged),
            Err(error) => (Err(reasons(&error)), Vec::new()),
        };
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
        let runs: Vec<Run> = runs.collect();
        let latest = index.iter().chain(&merged).map(|index| latest(index, &runs)).collect();
        Self { index, merged, runs, latest }
    }

    /// The index that holds a record's line, the store's own where none does; and its place among all.
    fn holding(&self, place: &IndexPlace) -> Result<(usize, &CommitmentIndex), String> {
        let own = self.whole()?;
        let mut all = std::iter::once(own).chain(&self.merged).enumerate();
        Ok(all.find(|(_, index)| line_at(index, place).is_some()).unwrap_or((0, own)))
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
        let (_, index) = self.holding(&place)?;
        let line = line_at(index, &place).ok_or_else(|| {
            format!(
                "line {} with digest {} is not in the index; a run from another store needs that store's index \
                 beside this one: `palimpsest merge` brings both",
                place.sequence, place.digest
            )
        })?;
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
        // An index that cannot be read fails a check of its own.
        let Ok((at, _)) = self.holding(&place) else { return Ok(()) };
        let before = |&at: &usize| self.runs[at].place.sequence < place.sequence;
        let latest = &self.latest[at];
        let last = latest[..latest.partition_point(before)].last().map(|&at| &self.runs[at]);
        let later = last.filter(|run| run.started > ended + SLACK_SECONDS);
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

    /// The index that a published head is of, and its line.
    fn place_in(&self, head: &Digest) -> Result<(&CommitmentIndex, Option<u64>), String> {
        let own = self.whole()?;
        if *head == CommitmentIndex::origin() {
            return Ok((own, None));
        }
        let line = |index: &CommitmentIndex| {
            index.lines.iter().find(|line| line.digest == *head).map(|line| line.sequence)
        };
        let mut all = std::iter::once(own).chain(&self.merged);
        all.find_map(|index| Some((index, Some(line(index)?)))).ok_or_else(|| {
            format!("no line of the index has digest {head}: lines were cut off or written anew")
        })
    }

    /// The line of a published head.
    pub(super) fn place_of(&self, head: &Digest) -> Result<Option<u64>, String> {
        Ok(self.place_in(head)?.1)
    }

    /// The run was promised at or before a published head.
    pub(super) fn check_promised_by(
        &self,
        head: &Digest,
        order: &OrderSection,
    ) -> Result<(), String> {
        let place = order.index.ok_or("the record names no line of the index")?;
        let (index, last) = self.place_in(head)?;
        if last.is_some_and(|last| place.sequence <= last) && line_at(index, &place).is_some() {
            return Ok(());
        }
        let last = last.map_or_else(|| "the empty index".to_owned(), |last| format!("line {last}"));
        Err(format!("promised at line {}, after the published head ({last})", place.sequence))
    }

    /// What stood in the index when `head` was its last line.
    pub(super) fn until(&self, head: &Digest) -> Result<Until, String> {
        let (index, last) = self.place_in(head)?;
        let promises = last.map_or(0, |last| last + 1);
        let IndexSummary { abandoned, .. } = self.summary_of(index);
        let before = abandoned.iter().filter(|line| line.sequence < promises).count();
        Ok(Until { promises, abandoned: before as u64 })
    }

    /// What all promises come to; the head is that of the store's own index.
    pub(super) fn summary(&self) -> Result<IndexSummary, String> {
        let mut all = self.summary_of(self.whole()?);
        for merged in &self.merged {
            let more = self.summary_of(merged);
            all.promises += more.promises;
            all.repeated += more.repeated;
            all.abandoned.extend(more.abandoned);
            all.merged.push(more.head);
        }
        Ok(all)
    }

    /// What the promises of the index come to that holds an order's line.
    pub(super) fn summary_holding(&self, order: &OrderSection) -> Result<IndexSummary, String> {
        let place = order.index.ok_or("the record names no line of the index")?;
        let (_, index) = self.holding(&place)?;
        Ok(self.summary_of(index))
    }

    fn summary_of(&self, index: &CommitmentIndex) -> IndexSummary {
        let kept: BTreeSet<Digest> = self.runs.iter().map(|run| run.place.digest).collect();
        let commitments: BTreeSet<Digest> = self.runs.iter().map(|run| run.commitment).collect();
        let open = index.lines.iter().filter(|line| !kept.contains(&line.digest));
        let (repeated, abandoned): (Vec<_>, Vec<_>) =
            open.partition(|line| commitments.contains(&line.entry.commitment));
        let abandoned = abandoned.into_iter().map(|line| Abandoned {
            sequence: line.sequence,
            cell: line.entry.cell.clone(),
            commitment: line.entry.commitment,
        });
        IndexSummary {
            promises: index.lines.len() as u64,
            head: index.head(),
            abandoned: abandoned.collect(),
            repeated: repeated.len() as u64,
            torn_bytes: index.torn_bytes,
            merged: Vec::new(),
        }
    }
}

/// The runs of an index that began later than all that stand before them in it, by their lines.
fn latest(index: &CommitmentIndex, runs: &[Run]) -> Vec<usize> {
    let stands = |at: &usize| line_at(index, &runs[*at].place).is_some();
    let mut standing: Vec<usize> = (0..runs.len()).filter(stands).collect();
    standing.sort_by_key(|&at| runs[at].place.sequence);
    let mut latest: Vec<usize> = Vec::new();
    for at in standing {
        if latest.last().is_none_or(|&last| runs[at].started > runs[last].started) {
            latest.push(at);
        }
    }
    latest
}

/// The line of an index that a record names, where it is the record's.
fn line_at<'a>(index: &'a CommitmentIndex, place: &IndexPlace) -> Option<&'a CommitmentLine> {
    let line = usize::try_from(place.sequence).ok().and_then(|at| index.lines.get(at));
    line.filter(|line| line.digest == place.digest)
}

/// A store's own index, and those of the stores that were merged into it.
fn indices(store: &Store) -> Result<(CommitmentIndex, Vec<CommitmentIndex>), CommitmentError> {
    let own = store.root().join("commitments.jsonl");
    let merged = store.merged_indices();
    // A store that only has what others brought has no index of its own.
    let own = if merged.is_empty() || own.exists() {
        CommitmentIndex::read_and_verify(&own)?
    } else {
        CommitmentIndex { lines: Vec::new(), torn_bytes: 0 }
    };
    let merged = merged.iter().map(|path| CommitmentIndex::read_and_verify(path));
    Ok((own, merged.collect::<Result<_, _>>()?))
}

/// An error with its cause.
fn reasons(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
