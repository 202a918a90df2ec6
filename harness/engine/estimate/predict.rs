//! `palimpsest estimate RUN`: what other orders would have given.

use std::path::{Path, PathBuf};

use anyhow::bail;
use inspect::estimate::fitted::Fitted;
use inspect::estimate::registry::{self, Gives};
use ledger::digest::Digest;
use palimpsest::cli::estimate::predict::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_table, print_text};
use stats::estimates::results::{Prediction, Row};
use stats::estimates::{ItemOrder, Purpose, orders};

use super::bench::{Bench, with_bench};
use super::given::{self, Brought, Named, write_whole};
use super::print;

/// What its orders are called.
const ESTIMATED: (&str, &str) = ("estimated-orders", "estimated orders, as asked for");
/// Orders up to which the network itself is evaluated at every end: beyond, that would take most of the
/// time.
const BY_NETWORK: usize = 256;
/// How far the quadratic read-out may be from the network's losses, in sd of orders.
const READ_OUT_OFF: f64 = 0.1;
/// Random orders whose estimates say how far from the middle an estimate is.
const RANDOM: u64 = 128;
/// Standard deviations below the mean of random estimates beyond which a brought order was looked
/// for, and not drawn.
const FOUND: f64 = 2.5;
/// Why such an order has no interval.
const NO_INTERVAL: &str = "it is estimated far better than random orders are, as orders are that were \
                           looked for: their estimates are too good, and no interval of random \
                           orders covers them; train it";

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let files = Brought::read(&args.orders)?;
    if registry::find(&args.fit.estimator)?.gives == Gives::Ranks {
        bail!(ranks_only(&args.fit.estimator));
    }
    let prepare = |fitted: &Fitted<'_>| files.orders(fitted, args.fit.seed);
    with_bench(&args.fit, prepare, |bench, asked| {
        bench.refuse_slow()?;
        let orders: Vec<ItemOrder> = asked.iter().map(|one| one.order.clone()).collect();
        let read_out = bench
            .read_out_off
            .filter(|off| !args.own && orders.len() > BY_NETWORK && *off <= READ_OUT_OFF);
        let predicted = match read_out {
            Some(_) => bench.scored(&orders)?,
            None => bench.predict(&orders)?,
        };
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
        let mut source = match read_out {
            Some(_) => bench.scored_source(seconds)?,
            None => bench.source(Some(seconds))?,
        };
        if let Some(off) = read_out {
            source.warnings.push(format!(
                "losses of so many orders are read out by a quadratic, which is off by {off:.3} sd from the \
                 network's over the gate's orders; up to {BY_NETWORK} orders, or with --own, the network is \
                 evaluated"
            ));
        }
        let found = Prediction { source, reference: bench.reference, rows };
        let asked_for = (&args.orders, files.rows(), args.own);
        let store = args.fit.places.store();
        let out = out(args.out.as_deref(), &store, "estimate", bench, &asked_for);
        let mut paths = reports::estimates::prediction(&found, &out)?;
        if let Some(best) = found.ranking().first() {
            paths.push(write_whole(bench, &found.rows[*best].order, &out.join("best-order.npy"))?);
        }
        let written: Vec<&ItemOrder> = found.rows.iter().map(|row| &row.order).collect();
        paths.extend(given::write(bench, ESTIMATED, &written, &out)?);
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

fn show(bench: &Bench<'_>, found: &Prediction, asked: &[Named], top: usize) -> anyhow::Result<()> {
    print::heading(bench, &found.source)?;
    let split = bench.judged.name.as_str();
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
