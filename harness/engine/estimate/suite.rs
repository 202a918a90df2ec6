//! The order estimates of a suite, made when its runs are there.

use std::path::Path;

use analysis::plan::Cell;
use analysis::suite::estimates::{EstimateUse, Kind};
use analysis::suite_run::RunEstimate;
use analysis::summary::order_estimates::{EstimateFound, Numbers};
use anyhow::Context as _;
use inspect::estimate::fitted::Fitted;
use ledger::digest::Digest;
use ledger::record::format::Status;
use ledger::record::writer::write_atomic;
use palimpsest::cli::suite_options::Places;
use palimpsest::library::{cell_code, estimate_code};
use palimpsest::voice::{note, warn};
use stats::estimates::search::Search;

use super::bench::{Asked, Draws, with_bench};
use super::busy::Watch;
use super::validate;
use crate::runner::cell::CellReport;
use crate::runner::{NamedSeed, Session};

/// Makes every estimate of the plan under every seed. The runs are over and stay, whatever comes
/// of it: an estimate that cannot be made is kept with its reason.
pub fn all(
    session: &Session,
    seeds: &[NamedSeed],
    cells: &[(Cell, &CellReport)],
    places: &Places,
) -> Vec<RunEstimate> {
    let mut made = Vec::new();
    for (entry, wanted) in session.plan.sections.estimates.iter().enumerate() {
        for place in 0..session.plan.seeds.len() {
            let Ok(cell) = session.plan.tested(&wanted.run, place) else { continue };
            let index = cells.iter().position(|(other, _)| *other == cell);
            let Some((index, seed)) = index.and_then(|index| Some((index, seeds.get(index)?)))
            else {
                continue;
            };
            let report = cells[index].1;
            let found = if report.status == Status::Failed {
                Err(anyhow::anyhow!("its run failed"))
            } else {
                one(session, wanted, &report.cell, places)
            };
            let (file, error, seconds) = match found {
                Ok((file, seconds)) => (Some(file), None, Some(seconds)),
                Err(error) => {
                    warn(&format!("{}, seed {}: {error:#}", wanted.name, seed.name));
                    (None, Some(format!("{error:#}")), None)
                }
            };
            let (seed, cell) = (seed.name.clone(), report.cell.clone());
            made.push(RunEstimate { entry, seed, cell, file, error, seconds });
        }
    }
    made
}

/// The document of one estimate, from the store's folder on, and the seconds that it took.
fn one(
    session: &Session,
    wanted: &EstimateUse,
    cell: &str,
    places: &Places,
) -> anyhow::Result<(String, f64)> {
    let store = places.store();
    let settings = serde_json::to_vec(&wanted.settings())?;
    let record = store.record(cell)?;
    let name = Digest::of_parts(&[
        b"palimpsest/suite-estimate/v1",
        cell.as_bytes(),
        &settings,
        cell_code(&record.method, &record.workload).as_bytes(),
        estimate_code().as_bytes(),
        lab::device::LIBTORCH_VERSION.as_bytes(),
        record.environment.device.as_bytes(),
    ]);
    let file = format!("estimates/{cell}/suite-{}.json", name.short(16));
    let path = store.root().join(&file);
    if !session.force
        && let Some(kept) = kept(&path)
        && kept.settings == wanted.settings()
    {
        return Ok((file, kept.seconds));
    }
    note(&format!("estimate: {}, run {cell}", wanted.name));
    let found = made(session, wanted, cell, places)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write_atomic(&path, &serde_json::to_vec_pretty(&found)?)?;
    Ok((file, found.seconds))
}

/// A document that is there and whole; a damaged one is made again.
fn kept(path: &Path) -> Option<EstimateFound> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn made(
    session: &Session,
    wanted: &EstimateUse,
    cell: &str,
    places: &Places,
) -> anyhow::Result<EstimateFound> {
    let asked = Asked {
        run: cell,
        fit: wanted.fit(),
        memory_limit: None,
        fresh: session.force,
        places,
        draws: Draws::Orders,
    };
    let watch = Watch::start();
    let prepare = |fitted: &Fitted<'_>| match &wanted.position {
        Some(position) => super::position::items(fitted, &wanted.estimator, &position.items),
        None => Ok(Vec::new()),
    };
    let numbers = with_bench(asked, prepare, |bench, items| {
        Ok(match (wanted.kind(), &wanted.search, &wanted.position) {
            (Kind::Search, Some(search), _) => {
                let settings = Search {
                    random: search.random as usize,
                    keep: search.keep as usize,
                    starts: search.descents as usize,
                    seed: wanted.seed,
                    ..Search::default()
                };
                Numbers::Search(Box::new(super::search::found(
                    bench,
                    &settings,
                    &[],
                    search.against,
                )?))
            }
            (_, _, Some(_)) => {
                Numbers::Position(Box::new(super::position::found(bench, None, &items, true)?))
            }
            _ => {
                let orders = bench.test_draws(wanted.test_orders() as usize)?;
                Numbers::Orders(validate::found(bench, orders, &wanted.beside)?)
            }
        })
    })?;
    let (seconds, disturbed) = (watch.seconds(), watch.disturbed());
    let (settings, code) = (wanted.settings(), estimate_code().to_owned());
    Ok(EstimateFound { settings, code, seconds, disturbed, numbers })
}

#[cfg(test)]
mod tests {
    use analysis::suite::estimates::ESTIMATORS;
    use inspect::estimate::registry::REGISTRY;

    #[test]
    fn a_suite_may_ask_for_every_estimator_there_is() {
        let ids: Vec<&str> = REGISTRY.iter().map(|entry| entry.id).collect();
        assert_eq!(ids, ESTIMATORS);
    }
}
