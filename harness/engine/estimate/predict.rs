//! `palimpsest estimate RUN`: what other orders would have given.

use std::path::{Path, PathBuf};

use ::data::columns::{ColumnSource, numbers};
use anyhow::{Context as _, bail};
use inspect::estimate::Problem as _;
use inspect::estimate::fitted::Fitted;
use inspect::estimate::registry::{self, Gives};
use ledger::digest::Digest;
use ledger::record::writer::write_atomic;
use palimpsest::cli::estimate::predict::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_table, print_text};
use stats::estimates::results::{Prediction, Row};
use stats::estimates::{ItemOrder, OrdersSpec, Purpose, orders};

use super::bench::{Bench, with_bench};
use super::print;

/// Random orders whose estimates say how far from the middle an estimate is.
const RANDOM: u64 = 128;
/// Standard deviations below the mean of random estimates beyond which a brought order was looked
/// for, and not drawn.
const FOUND: f64 = 2.5;
/// Why such an order has no interval.
const NO_INTERVAL: &str = "it is estimated far better than random orders are, as orders are that were \
                           looked for: their estimates are too good, and no interval of random \
                           orders covers them; train it";

/// An order with the words that it is shown by.
pub struct Named {
    name: String,
    order: ItemOrder,
    /// Whether somebody brought it, who may have chosen it by its estimate.
    brought: bool,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let files = args.orders.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    if registry::find(&args.fit.estimator)?.gives == Gives::Ranks {
        bail!(ranks_only(&args.fit.estimator));
    }
    let prepare = |fitted: &Fitted<'_>| {
        let mut asked = Vec::new();
        for (spec, rows) in args.orders.iter().zip(&files) {
            asked.extend(named(fitted, args.fit.seed, spec, rows)?);
        }
        Ok(asked)
    };
    with_bench(&args.fit, prepare, |bench, asked| {
        let orders: Vec<ItemOrder> = asked.iter().map(|one| one.order.clone()).collect();
        let predicted = bench.predict(&orders)?;
        let own = match &predicted.ends {
            Some(ends) if args.own => bench.own(ends)?,
            None if args.own => bail!(
                "--own: \"{}\" gives no parameters, from which an item's own loss could be read: take \
                 --estimator surrogate",
                bench.estimator.id()
            ),
            _ => vec![Vec::new(); orders.len()],
        };
        let seconds = predicted.seconds / orders.len() as f64;
        let found_below = match asked.iter().any(|one| one.brought) {
            true => found_below(bench)?,
            false => f64::NEG_INFINITY,
        };
        let band = bench.usable_band();
        let rows = asked.iter().zip(&predicted.losses).zip(&own).map(|((one, loss), own)| {
            let chosen = one.brought && *loss < found_below;
            let band = if chosen { Err(NO_INTERVAL) } else { band };
            Row::new(one.order.clone(), *loss, own, band, bench.reference)
        });
        let rows = rows.collect();
        let source = bench.source(Some(seconds))?;
        let found = Prediction { source, reference: bench.reference, rows };
        let asked_for = (&args.orders, &files, args.own);
        let store = args.fit.places.store();
        let out = out(args.out.as_deref(), &store, "estimate", bench, &asked_for);
        let mut paths = reports::estimates::prediction(&found, &out)?;
        if let Some(best) = found.ranking().first() {
            paths.push(write_whole(bench, &found.rows[*best].order, &out.join("best-order.npy"))?);
        }
        print::answer(&found, args.json, &paths, || show(bench, &found, &asked, args.top))?;
        Ok(print::exit(&found.source))
    })
}

/// What is said where losses are asked of an estimator that gives none.
pub fn ranks_only(id: &str) -> String {
    format!(
        "\"{id}\" only ranks orders and predicts no loss: hold it beside another with `palimpsest \
         estimate validate --beside {id}`"
    )
}

/// Where a verb leaves its files: by run, window, estimator, verdict and all that was asked, so that
/// no answer takes the place of another.
pub fn out(
    asked: Option<&Path>,
    store: &ledger::record::Store,
    verb: &str,
    bench: &Bench<'_>,
    settings: &impl std::fmt::Debug,
) -> PathBuf {
    let settings = Digest::of(format!("{settings:?}").as_bytes()).short(6);
    let name = format!("{verb}-{}-{settings}", bench.label());
    asked.map_or_else(|| store.root().join("reports").join(name), Path::to_path_buf)
}

/// Writes the ids of the whole run with its window in `order`, as `run --order` takes them.
pub fn write_whole(bench: &Bench<'_>, order: &ItemOrder, path: &Path) -> anyhow::Result<PathBuf> {
    let mut ids = Vec::new();
    let whole = bench.fitted.window.whole(order).epochs().concat();
    ::data::columns::write_npy(&mut ids, &whole)?;
    write_atomic(path, &ids)?;
    Ok(path.to_path_buf())
}

/// The estimate below which a brought order was not drawn at random.
fn found_below(bench: &mut Bench<'_>) -> anyhow::Result<f64> {
    let window = bench.fitted.window.orders.clone();
    let draw = |number| orders::draw(&window, !bench.seed(), Purpose::Query, number);
    let random: Vec<ItemOrder> = (0..RANDOM).map(draw).collect();
    let losses = bench.score(&random)?;
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let squares: f64 = losses.iter().map(|loss| (loss - mean).powi(2)).sum();
    Ok(mean - FOUND * (squares / (n - 1.0)).sqrt())
}

/// The rows of a file of orders, read before anything is fitted; nothing for what is no file.
fn read(spec: &OrdersSpec) -> anyhow::Result<Vec<Vec<i64>>> {
    match spec {
        OrdersSpec::File(path) => rows(path),
        OrdersSpec::Sorted { key, .. } if !matches!(key.as_str(), "loss" | "score") => {
            bail!("sorted:{key}: unknown key; there are sorted:loss and sorted:score")
        }
        _ => Ok(Vec::new()),
    }
}

/// Orders that a specification means, each with the words that it is shown by.
fn named(
    fitted: &Fitted<'_>,
    seed: u64,
    spec: &OrdersSpec,
    rows: &[Vec<i64>],
) -> anyhow::Result<Vec<Named>> {
    let window = &fitted.window.orders;
    let one = |name: String, order| Named { name, order, brought: false };
    Ok(match spec {
        OrdersSpec::Random(count) => (0..*count as u64)
            .map(|number| {
                let order = orders::draw(window, seed, Purpose::Query, number);
                one(format!("random {number}"), order)
            })
            .collect(),
        OrdersSpec::Reverse => vec![one("reverse".to_owned(), window.reverse())],
        OrdersSpec::Sorted { key, descending } => {
            let scores = scores(fitted, key)?;
            let name = format!("sorted:{key}{}", if *descending { ":desc" } else { "" });
            vec![one(name, window.sorted(&scores, *descending)?)]
        }
        OrdersSpec::File(path) => {
            let found = understood(fitted, rows).with_context(|| format!("{}", path.display()))?;
            let name = |(row, order)| {
                let name = format!("{} row {row}", path.display());
                Named { name, order, brought: true }
            };
            found.into_iter().enumerate().map(name).collect()
        }
    })
}

/// Orders from rows of item numbers, or else of the ids of the whole run, as `best-order.npy` has them.
fn understood(fitted: &Fitted<'_>, rows: &[Vec<i64>]) -> anyhow::Result<Vec<ItemOrder>> {
    let window = &fitted.window;
    let refused = match orders::orders_of_rows(&window.orders, rows.iter().map(Vec::as_slice)) {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let one = |row: &Vec<i64>| -> anyhow::Result<Option<ItemOrder>> {
        let ids: Result<Vec<u32>, _> = row.iter().map(|id| u32::try_from(*id)).collect();
        Ok(window.of_whole(&ids?)?)
    };
    let found: anyhow::Result<Option<Vec<ItemOrder>>> = rows.iter().map(one).collect();
    let items = window.orders.reference().flat().len();
    match found {
        Ok(Some(found)) if !found.is_empty() => Ok(found),
        // Of as many numbers as the window has items: what is wrong with them as such.
        Err(error) if rows.iter().any(|row| row.len() != items) => Err(error),
        _ => Err(refused.into()),
    }
}

/// The item numbers of a file, a row per order.
pub fn rows(path: &Path) -> anyhow::Result<Vec<Vec<i64>>> {
    let file = path.display();
    if path.extension().is_some_and(|extension| extension == "npy") {
        let column = numbers(&ColumnSource { path: path.to_owned(), column: None })?;
        let width = column.columns.unwrap_or(column.rows);
        let ids: Vec<u32> = column.as_ids()?;
        if width == 0 {
            bail!("{file} holds no order");
        }
        let row = |row: &[u32]| row.iter().copied().map(i64::from).collect();
        return Ok(ids.chunks(width).map(row).collect());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    orders::rows_of_text(&text).with_context(|| format!("{file}"))
}

/// A score of every item by name: `loss` is its own loss at the window's start, `score` the mean of
/// what the workload says of its examples.
fn scores(fitted: &Fitted<'_>, key: &str) -> anyhow::Result<Vec<f64>> {
    let problem = &fitted.problem;
    let given = fitted.replay().ready().side.scores.as_slice();
    match key {
        "loss" => {
            let start = fitted.window.start().unsqueeze(0);
            (0..problem.items()).map(|item| Ok(problem.own(item, &start)?[0])).collect()
        }
        _ if given.is_empty() => bail!(
            "sorted:score: this workload gives its examples no score; sorted:loss takes the loss \
             at the window's start"
        ),
        _ => Ok(fitted
            .window
            .items
            .iter()
            .map(|ids| ids.iter().map(|id| given[*id as usize]).sum::<f64>() / ids.len() as f64)
            .collect()),
    }
}

fn show(bench: &Bench<'_>, found: &Prediction, asked: &[Named], top: usize) -> anyhow::Result<()> {
    print::heading(bench, &found.source)?;
    let split = bench.split.name();
    print_text(&format!("{split} loss of the recorded order: {:.5}\n", found.reference))?;
    let header = ["rank", "order", split, "95 % interval", "P(better)", "hash"];
    let rows = found.ranking().into_iter().take(top).enumerate().map(|(rank, row)| {
        let (name, row) = (&asked[row].name, &found.rows[row]);
        // The middle of the interval, where there is one.
        let loss = row.corrected.or(row.held_out);
        let loss = loss.map_or("–".to_owned(), |loss| format!("{loss:.5}"));
        let interval =
            row.interval.map_or("–".to_owned(), |at| format!("[{:.5}, {:.5}]", at.low, at.high));
        let better = row.better_than_reference;
        let better = better.map_or("–".to_owned(), |share| format!("{share:.3}"));
        let hash = row.hash.to_string()[..12].to_owned();
        [(rank + 1).to_string(), name.clone(), loss, interval, better, hash]
    });
    print_table(header, rows)?;
    let reasons: std::collections::BTreeSet<&str> =
        found.rows.iter().filter_map(|row| row.no_interval.as_deref()).collect();
    for reason in reasons {
        print_text(&format!("no interval: {reason}\n"))?;
    }
    Ok(())
}
