//! What the cells of a suite run left, read back from the store.

use crate::suite_run::{RunCell, SuiteRun};
use ledger::record::format::{Event, RecordError, RunRecord};
use ledger::record::store::Store;

/// One cell with its record, when there is one.
#[derive(Debug, Clone)]
pub struct CellRun {
    /// Which cell.
    pub cell: RunCell,
    /// What it left; absent when it has not run, and where that cannot be read.
    pub left: Option<CellLeft>,
    /// Why what it left cannot be read.
    pub damaged: Option<String>,
}

/// What a cell left.
#[derive(Debug, Clone)]
pub struct CellLeft {
    /// `record.json`.
    pub record: RunRecord,
    /// `events.jsonl`.
    pub events: Vec<Event>,
    /// Digest of the manifest.
    pub run_digest: String,
}

impl CellLeft {
    /// The looks at the model that have this metric: samples seen, and its value.
    pub(super) fn looks<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (u64, f64)> + 'a {
        self.events.iter().filter_map(move |event| match event {
            Event::Evaluated(look) => Some((look.samples, *look.metrics.get(metric)?)),
            _ => None,
        })
    }
}

/// Reads what the cells of a suite run left. One that cannot be read is missing, with the reason: it
/// must not keep the others from being seen.
#[must_use]
pub fn read_cells(store: &Store, suite: &SuiteRun) -> Vec<CellRun> {
    let read = |cell: &RunCell| {
        let record = store.record(&cell.cell)?;
        let (_, digest) = store.manifest(&cell.cell)?;
        let events = store.events(&cell.cell)?;
        Ok::<_, RecordError>(CellLeft { record, events, run_digest: digest.to_string() })
    };
    let run = |cell: &RunCell| {
        let (left, damaged) = match store.has(&cell.cell).then(|| read(cell)) {
            None => (None, None),
            Some(Ok(left)) => (Some(left), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        CellRun { cell: cell.clone(), left, damaged }
    };
    suite.cells.iter().map(run).collect()
}
