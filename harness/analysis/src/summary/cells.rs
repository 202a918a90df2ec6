//! What the cells of a suite run left, read back from the store.

use crate::suite_run::{RunCell, SuiteRun};
use ledger::record::format::{Event, RecordError, RunRecord};
use ledger::record::store::Store;

/// One cell with its record, when there is one.
#[derive(Debug, Clone)]
pub struct CellRun {
    /// Which cell.
    pub cell: RunCell,
    /// What it left; absent when it has not run.
    pub left: Option<CellLeft>,
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

/// Why what a cell left cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its record.
    #[error("a record cannot be read; `palimpsest run` makes it again after the folder is removed")]
    Record(#[source] RecordError),
    /// What lies beside the record.
    #[error(transparent)]
    Beside(#[from] RecordError),
}

/// Reads what the cells of a suite run left.
///
/// # Errors
/// When a record is there but cannot be read.
pub fn read_cells(store: &Store, suite: &SuiteRun) -> Result<Vec<CellRun>, ReadError> {
    let read = |cell: &RunCell| {
        let left = if store.has(&cell.cell) {
            let record = store.record(&cell.cell).map_err(ReadError::Record)?;
            let (_, digest) = store.manifest(&cell.cell)?;
            let events = store.events(&cell.cell)?;
            Some(CellLeft { record, events, run_digest: digest.to_string() })
        } else {
            None
        };
        Ok(CellRun { cell: cell.clone(), left })
    };
    suite.cells.iter().map(read).collect()
}
