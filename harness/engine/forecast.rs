//! What a plan will do, from the store and the data folder, before anything runs.

use ::data::Sources;
use ::data::status::absent;
use analysis::plan::Plan;
use ledger::record::Store;
use palimpsest::voice::cost;
use palimpsest::voice::plan::Forecast;

use crate::catalogue::catalogue;
use crate::inventory::Inventory;

/// Looks at records and at which files are there; loads nothing.
pub fn forecast<'a>(
    plan: &'a Plan,
    store: &Store,
    sources: &Sources,
    accept_build: bool,
) -> anyhow::Result<Forecast<'a>> {
    let catalogue = catalogue();
    let mut names: Vec<&str> = plan
        .workloads
        .iter()
        .filter_map(|workload| Some(catalogue.workload(&workload.id)?.data.as_str()))
        .collect();
    names.sort_unstable();
    names.dedup();
    let lacking = names.into_iter().filter_map(|name| {
        // What no catalogue lists is generated.
        let files = absent(name, sources).ok().filter(|files| !files.is_empty())?;
        Some((name.to_owned(), files))
    });
    Ok(Forecast {
        plan,
        cost: cost::estimate(plan, store),
        stock: Inventory::of(store)?.stock(plan)?,
        accept_build,
        absent: lacking.collect(),
    })
}
