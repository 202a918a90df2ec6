//! What membership tests need of a store beside its records.

use ::data::columns::{ColumnSource, numbers};
use analysis::summary::membership::{Evidence, ScoreKind};
use ledger::plain;
use ledger::record::{RunRecord, Store};
use ledger::transcript::replay::read_ids;

/// What a store holds of runs and of the scores of their models.
#[derive(Debug)]
pub struct StoreEvidence<'a> {
    /// The store.
    pub store: &'a Store,
}

impl Evidence for StoreEvidence<'_> {
    fn order(&self, run: &str) -> Result<Vec<u32>, String> {
        let path = self.store.folder(run).join("order.bin");
        let bytes = plain::read(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        read_ids(&bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn scores(&self, model: &str, on: &RunRecord, what: ScoreKind) -> Result<Vec<f64>, String> {
        let root = on.order.as_ref().map(|order| order.dataset_root);
        let root = root.ok_or_else(|| format!("run {} failed and has no order", on.cell))?;
        let name = what.name()?;
        let path = self.store.score_file(&root, model, name);
        if !path.is_file() {
            return Err(format!(
                "run {model} has no scores on the examples of run {}; `palimpsest provenance scores \
                 --model {model} --on {}` makes them",
                on.cell, on.cell
            ));
        }
        let column = numbers(&ColumnSource { path, column: None });
        column.and_then(|column| column.as_f64()).map_err(|error| error.to_string())
    }
}
