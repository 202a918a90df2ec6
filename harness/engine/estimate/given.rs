//! Orders that somebody brings to a verb, and those that verbs leave for others: every file of orders
//! that one writes, all others take, and `run --order`, too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::data::columns::{ColumnSource, numbers, write_npy, write_npy_table};
use anyhow::{Context as _, bail};
use inspect::estimate::fitted::Fitted;
use ledger::digest::Digest;
use ledger::record::writer::write_atomic;
use stats::estimates::orders::Numbers;
use stats::estimates::{ItemOrder, OrdersSpec, Purpose, orders};

use super::bench::Bench;
use super::curricula::{KEYS, scores};

/// Ids that a table of whole orders may hold; beyond it only items are written.
const MOST_IDS: usize = 10_000_000;

/// Specifications of orders with the rows of those that are files.
pub struct Brought<'a>(Vec<(&'a OrdersSpec, Vec<Vec<i64>>)>);

impl<'a> Brought<'a> {
    /// Reads all files, before anything is opened or fitted.
    pub fn read(specs: &'a [OrdersSpec]) -> anyhow::Result<Self> {
        let rows = specs.iter().map(|spec| Ok((spec, read(spec)?)));
        Ok(Self(rows.collect::<anyhow::Result<_>>()?))
    }

    /// The orders of this window that they mean.
    pub fn orders(&self, fitted: &Fitted<'_>, seed: u64) -> anyhow::Result<Vec<Named>> {
        let mut all = Vec::new();
        for (spec, rows) in &self.0 {
            all.extend(named(fitted, seed, spec, rows)?);
        }
        Ok(all)
    }

    /// What was read, which names the files of an answer.
    pub fn rows(&self) -> Vec<&Vec<Vec<i64>>> {
        self.0.iter().map(|(_, rows)| rows).collect()
    }
}

/// The one order that a verb starts from.
pub fn only(mut orders: Vec<Named>) -> anyhow::Result<Option<Named>> {
    if orders.len() > 1 {
        bail!("--order names {} orders: give one", orders.len());
    }
    Ok(orders.pop())
}

/// Refuses orders that the estimator was made from or judged by: they would be no test of it.
pub fn unseen(orders: &[Named], taken: &BTreeSet<Digest>) -> anyhow::Result<()> {
    match orders.iter().find(|one| taken.contains(&one.order.effect_hash())) {
        Some(one) => bail!(
            "{} is the recorded order, a pilot or one of the gate, from which the estimator is made: leave \
             it out, or take another --seed",
            one.name
        ),
        None => Ok(()),
    }
}

/// Writes orders as item numbers of the window, a line each (`NAME.txt`), and as ids of the whole run, a
/// row each (`NAME.npy`), in the order of the answer.
pub fn write(
    bench: &Bench<'_>,
    (name, what): (&str, &str),
    orders: &[&ItemOrder],
    out: &Path,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut text = format!(
        "# {what}; item numbers of the window, an order a line. The rows of {name}.npy are the same as ids of the \
         whole run\n"
    );
    for order in orders {
        let items: Vec<String> = order.flat().iter().map(u32::to_string).collect();
        text += &items.join(" ");
        text.push('\n');
    }
    let path = out.join(format!("{name}.txt"));
    write_atomic(&path, text.as_bytes())?;
    let mut paths = vec![path];
    let window = &bench.fitted.window;
    let samples =
        window.whole(window.orders.reference()).epochs().iter().map(Vec::len).sum::<usize>();
    if orders.len().saturating_mul(samples) <= MOST_IDS {
        let ids: Vec<u32> =
            orders.iter().flat_map(|order| window.whole(order).epochs().concat()).collect();
        let mut bytes = Vec::new();
        write_npy_table(&mut bytes, &ids, samples)?;
        let path = out.join(format!("{name}.npy"));
        write_atomic(&path, &bytes)?;
        paths.push(path);
    }
    Ok(paths)
}

/// An order with the words that it is shown by.
pub struct Named {
    /// The words.
    pub name: String,
    /// The order.
    pub order: ItemOrder,
    /// Whether somebody brought it, who may have chosen it by its estimate.
    pub brought: bool,
}

/// Writes the ids of the whole run with its window in `order`, as `run --order` takes them.
pub fn write_whole(bench: &Bench<'_>, order: &ItemOrder, path: &Path) -> anyhow::Result<PathBuf> {
    let mut ids = Vec::new();
    let whole = bench.fitted.window.whole(order).epochs().concat();
    write_npy(&mut ids, &whole)?;
    write_atomic(path, &ids)?;
    Ok(path.to_path_buf())
}

/// The rows of a file of orders, read before anything is fitted; nothing for what is no file.
fn read(spec: &OrdersSpec) -> anyhow::Result<Vec<Vec<i64>>> {
    match spec {
        OrdersSpec::File(path, _) => rows(path),
        OrdersSpec::Sorted { key, .. } if !KEYS.contains(&key.as_str()) => {
            bail!("sorted:{key}: unknown key; there are sorted:{}", KEYS.join(", sorted:"))
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
        OrdersSpec::File(path, numbers) => {
            let found = understood(fitted, rows, *numbers);
            let found = found.with_context(|| format!("{}", path.display()))?;
            let name = |(row, order)| {
                let name = format!("{} row {row}", path.display());
                Named { name, order, brought: true }
            };
            found.into_iter().enumerate().map(name).collect()
        }
    })
}

/// Orders from rows of item numbers, or of the ids of the whole run, as `best-order.npy` has them.
fn understood(
    fitted: &Fitted<'_>,
    rows: &[Vec<i64>],
    numbers: Numbers,
) -> anyhow::Result<Vec<ItemOrder>> {
    let window = &fitted.window;
    let as_items = || orders::orders_of_rows(&window.orders, rows.iter().map(Vec::as_slice));
    let one = |row: &Vec<i64>| -> anyhow::Result<Option<ItemOrder>> {
        let ids: Result<Vec<u32>, _> = row.iter().map(|id| u32::try_from(*id)).collect();
        Ok(window.of_whole(&ids?)?)
    };
    let as_ids = || rows.iter().map(one).collect::<anyhow::Result<Option<Vec<ItemOrder>>>>();
    match numbers {
        Numbers::Items => return Ok(as_items()?),
        Numbers::Ids => {
            let found = as_ids()?.filter(|found| !found.is_empty());
            return found
                .context("its rows are not as long as the run; give the ids of all its steps");
        }
        Numbers::Either => {}
    }
    let items = window.orders.reference().flat().len();
    match (as_items(), as_ids()) {
        // A window of the whole run whose items are single examples.
        (Ok(items), Ok(Some(ids))) if items != ids => bail!(
            "its numbers may be items of the window or ids of examples, and are other orders then: say \
             items:FILE or ids:FILE"
        ),
        (Ok(found), _) => Ok(found),
        (Err(_), Ok(Some(found))) if !found.is_empty() => Ok(found),
        // Of as many numbers as the window has items: what is wrong with them as such.
        (Err(_), Err(error)) if rows.iter().any(|row| row.len() != items) => Err(error),
        (Err(refused), _) => Err(refused.into()),
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
