//! What of a plan the store holds: of this build, of another one, or not at all.
//!
//! Nothing is loaded: a record tells the digests of its data and its code, and a cell's id follows
//! from these and the plan.

use std::collections::{BTreeMap, BTreeSet};

use analysis::plan::descent::Parent;
use analysis::plan::{Cell, Plan};
use ledger::record::format::RecordError;
use ledger::record::identity::DataKey;
use ledger::record::{Status, Store};
use palimpsest::library::cell_code;
use palimpsest::voice::plan::Stock;

/// What records tell of the builds and data that made them.
pub struct Inventory {
    /// Code digests by method and workload.
    codes: BTreeMap<(String, String), BTreeSet<String>>,
    /// Data by workload.
    data: BTreeMap<String, BTreeSet<DataKey>>,
    /// Ids of the runs that are results: all but those that failed.
    results: BTreeSet<String>,
}

impl Inventory {
    /// Reads every record of the store; a damaged one counts as not there.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub fn of(store: &Store) -> Result<Self, RecordError> {
        let mut found =
            Self { codes: BTreeMap::new(), data: BTreeMap::new(), results: BTreeSet::new() };
        for cell in store.cells()? {
            let Ok(record) = store.record(&cell) else { continue };
            if record.status == Status::Failed {
                continue;
            }
            found.results.insert(cell);
            if let Some(data) = &record.data {
                let key = DataKey { root: data.train_root, file: data.sha256 };
                found.data.entry(record.workload.clone()).or_default().insert(key);
            }
            let codes = found.codes.entry((record.method, record.workload)).or_default();
            codes.insert(record.environment.code_digest);
        }
        Ok(found)
    }

    /// The id that `id_under` gives a cell under the code of another build, where that is in store.
    pub fn of_another_build(
        &self,
        method: &str,
        workload: &str,
        id_under: impl Fn(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<Option<String>> {
        for code in self.codes.get(&(method.to_owned(), workload.to_owned())).into_iter().flatten()
        {
            let id = id_under(code)?;
            if self.results.contains(&id) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// What there is of each cell of a plan.
    pub fn stock(&self, plan: &Plan) -> anyhow::Result<Vec<Stock>> {
        plan.cells.iter().map(|cell| Ok(self.find(plan, *cell)?.1)).collect()
    }

    /// The id of a cell where it is in store, and of which build that is.
    fn find(&self, plan: &Plan, cell: Cell) -> anyhow::Result<(Option<String>, Stock)> {
        let parents = plan.parents(cell).map_err(anyhow::Error::msg)?;
        let mut builds = vec![Stock::Kept];
        let parents = parents.try_map(|parent| match parent {
            Parent::Run(id) => anyhow::Ok(Some(id.clone())),
            Parent::Cell(cell) => {
                let (id, stock) = self.find(plan, *cell)?;
                builds.push(stock);
                Ok(id)
            }
        })?;
        let Some(parents) = parents.complete() else { return Ok((None, Stock::Missing)) };
        let (workload, arm) = (&plan.workloads[cell.workload], &plan.arms[cell.arm]);
        let seed = cell.seed.to_string();
        for &data in self.data.get(&workload.id).into_iter().flatten() {
            let under = |code: &str| Ok(plan.cell_id(cell, &parents, &seed, data, code)?);
            let own = under(cell_code(&arm.method, &workload.id))?;
            if self.results.contains(&own) {
                return Ok((Some(own), builds.into_iter().max().unwrap_or(Stock::Kept)));
            }
            if let Some(other) = self.of_another_build(&arm.method, &workload.id, under)? {
                return Ok((Some(other), Stock::OtherBuild));
            }
        }
        Ok((None, Stock::Missing))
    }
}
