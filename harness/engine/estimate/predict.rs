//! `palimpsest estimate RUN`: what other orders would have given.

use std::path::{Path, PathBuf};

use ::data::columns::{ColumnSource, numbers};
use anyhow::{Context as _, bail};
use inspect::estimate::Problem as _;
use palimpsest::cli::estimate::predict::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_json, print_table, print_text};
use stats::estimates::results::{Prediction, Row};
use stats::estimates::{ItemOrder, OrdersSpec, Purpose, orders};

use super::bench::{Bench, with_bench};
use super::print;

/// Items whose own losses are predicted for every order.
const MOST_OWN: usize = 256;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    with_bench(&args.fit, |bench| {
        bench.refuse_ranks()?;
        let mut asked = Vec::new();
        for spec in &args.orders {
            asked.extend(named(bench, spec)?);
        }
        let reference = bench.fitted.window.orders.reference().clone();
        let own_reference = bench.predict(std::slice::from_ref(&reference))?.losses[0];
        let orders: Vec<ItemOrder> = asked.iter().map(|(_, order)| order.clone()).collect();
        let predicted = bench.predict(&orders)?;
        let own = match &predicted.ends {
            Some(ends) if bench.fitted.problem.items() <= MOST_OWN => bench.own(ends)?,
            _ => vec![Vec::new(); orders.len()],
        };
        let seconds = predicted.seconds / orders.len() as f64;
        let band = bench.band.as_ref();
        let rows = orders.into_iter().zip(&predicted.losses).zip(&own);
        let rows =
            rows.map(|((order, loss), own)| Row::new(order, *loss, own, band, own_reference));
        let found = Prediction {
            source: bench.source(Some(seconds))?,
            reference: bench.reference,
            rows: rows.collect(),
        };
        let out = out(args.out.as_deref(), &args.fit.places.store(), "estimate", bench);
        let paths = reports::estimates::prediction(&found, &out)?;
        if args.json {
            print_json(&found)?;
        } else {
            show(bench, &found, &asked, args.top)?;
            for path in &paths {
                print_text(&format!("{}\n", path.display()))?;
            }
        }
        Ok(print::exit(&found.source))
    })
}

/// Where a verb leaves its files.
pub fn out(
    asked: Option<&Path>,
    store: &ledger::record::Store,
    verb: &str,
    bench: &Bench<'_>,
) -> PathBuf {
    let name = format!("{verb}-{}", bench.cell());
    asked.map_or_else(|| store.root().join("reports").join(name), Path::to_path_buf)
}

/// Orders that a specification means, each with the words that it is shown by.
fn named(bench: &mut Bench<'_>, spec: &OrdersSpec) -> anyhow::Result<Vec<(String, ItemOrder)>> {
    let window = bench.fitted.window.orders.clone();
    Ok(match spec {
        OrdersSpec::Random(count) => (0..*count as u64)
            .map(|number| {
                let order = orders::draw(&window, bench.seed(), Purpose::Query, number);
                (format!("random {number}"), order)
            })
            .collect(),
        OrdersSpec::Reverse => vec![("reverse".to_owned(), window.reverse())],
        OrdersSpec::Sorted { key, descending } => {
            let scores = scores(bench, key)?;
            let name = format!("sorted:{key}{}", if *descending { ":desc" } else { "" });
            vec![(name, window.sorted(&scores, *descending)?)]
        }
        OrdersSpec::File(path) => {
            let rows = rows(path)?;
            let found = orders::orders_of_rows(&window, rows.iter().map(Vec::as_slice))
                .with_context(|| format!("{}", path.display()))?;
            let name = |(row, order)| (format!("{} row {row}", path.display()), order);
            found.into_iter().enumerate().map(name).collect()
        }
    })
}

/// The item numbers of a file, a row per order.
fn rows(path: &Path) -> anyhow::Result<Vec<Vec<i64>>> {
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
fn scores(bench: &Bench<'_>, key: &str) -> anyhow::Result<Vec<f64>> {
    let problem = &bench.fitted.problem;
    let given = bench.fitted.replay().ready().side.scores.as_slice();
    match key {
        "loss" => {
            let start = bench.fitted.window.start().unsqueeze(0);
            (0..problem.items()).map(|item| Ok(problem.own(item, &start)?[0])).collect()
        }
        "score" if given.is_empty() => bail!(
            "sorted:score: this workload gives its examples no score; sorted:loss takes the loss \
             at the window's start"
        ),
        "score" => Ok(bench
            .fitted
            .window
            .items
            .iter()
            .map(|ids| ids.iter().map(|id| given[*id as usize]).sum::<f64>() / ids.len() as f64)
            .collect()),
        _ => bail!("sorted:{key}: unknown key; there are sorted:loss and sorted:score"),
    }
}

fn show(
    bench: &Bench<'_>,
    found: &Prediction,
    asked: &[(String, ItemOrder)],
    top: usize,
) -> anyhow::Result<()> {
    print::heading(bench, &found.source)?;
    print_text(&format!("held-out loss of the recorded order: {:.5}\n", found.reference))?;
    let usable = found.source.validity.verdict.is_usable();
    let header = ["rank", "order", "held-out", "95 % interval", "P(better)", "hash"];
    let rows = found.ranking().into_iter().take(top).enumerate().map(|(rank, row)| {
        let (name, row) = (&asked[row].0, &found.rows[row]);
        let loss = row.held_out.map_or("–".to_owned(), |loss| format!("{loss:.5}"));
        let interval = row.interval.filter(|_| usable);
        let interval =
            interval.map_or("–".to_owned(), |at| format!("[{:.5}, {:.5}]", at.low, at.high));
        let better = row.better_than_reference.filter(|_| usable);
        let better = better.map_or("–".to_owned(), |share| format!("{share:.3}"));
        let hash = row.hash.to_string()[..12].to_owned();
        [(rank + 1).to_string(), name.clone(), loss, interval, better, hash]
    });
    print_table(header, rows)
}
