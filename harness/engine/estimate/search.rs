//! `palimpsest estimate search`: looks for better orders and trains the best for true.

use inspect::estimate::Problem as _;
use ledger::record::writer::write_atomic;
use palimpsest::cli::estimate::search::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{decimals_for, print_json, print_table, print_text};
use stats::estimates::results::SearchResult;
use stats::estimates::search::{self, Scored, Search, SearchError, Verified};
use stats::estimates::{ItemOrder, Purpose, orders};

use super::bench::{Bench, with_bench};
use super::predict::out;
use super::print;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    with_bench(&args.fit, |bench| {
        let settings = Search {
            random: args.random as usize,
            keep: args.keep as usize,
            starts: args.descents as usize,
            seed: args.fit.seed,
            ..Search::default()
        };
        let result = found(bench, &settings, args.against)?;
        let out = out(args.out.as_deref(), &args.fit.places.store(), "search", bench);
        let mut paths = reports::estimates::search(&result, &out)?;
        let winner = winner(&result);
        let mut ids = Vec::new();
        let whole = bench.fitted.window.whole(&winner.0.order).epochs().concat();
        ::data::columns::write_npy(&mut ids, &whole)?;
        let path = out.join("best-order.npy");
        write_atomic(&path, &ids)?;
        paths.push(path);
        if args.json {
            print_json(&result)?;
        } else {
            show(bench, &result, &winner)?;
            for path in &paths {
                print_text(&format!("{}\n", path.display()))?;
            }
        }
        Ok(print::exit(&result.source))
    })
}

/// Searches with the estimator of the bench and trains what is found, and `against` random orders.
pub fn found(
    bench: &mut Bench<'_>,
    settings: &Search,
    against: u32,
) -> anyhow::Result<SearchResult> {
    bench.refuse_ranks()?;
    let window = bench.fitted.window.orders.clone();
    let clock = training::clock::Monotonic::start();
    let found = search::search(&window, settings, &mut |orders| bench.score(orders));
    let found = found.map_err(|error| match error {
        SearchError::Score(error) => error,
        SearchError::Count { .. } | SearchError::NothingFinite { .. } | SearchError::Order(_) => {
            anyhow::anyhow!("{error}")
        }
    })?;
    let seconds = training::clock::Time::now(&clock).as_secs_f64() / found.scored as f64;
    let mut taken = bench.taken().clone();
    let against = against as usize;
    let random = orders::draw_distinct(&window, settings.seed, Purpose::Test, against, &mut taken)?;
    let random = truth(bench, random.iter())?;
    let best = truth(bench, found.best.iter().map(|one| &one.order))?;
    let ends = truth(bench, found.descents.iter().map(|one| &one.end.order))?;
    let descents = if ends.is_empty() { None } else { Some(Verified::of(&ends, &random)?) };
    Ok(SearchResult {
        source: bench.scored_source(seconds)?,
        best: Some(Verified::of(&best, &random)?),
        descents,
        found,
    })
}

/// True held-out losses of orders.
fn truth<'o>(
    bench: &mut Bench<'_>,
    orders: impl Iterator<Item = &'o ItemOrder>,
) -> anyhow::Result<Vec<f64>> {
    orders
        .map(|order| {
            let (end, _) = bench.fitted.retrain(order)?;
            Ok(bench.fitted.problem.held_out(&end.unsqueeze(0))?[0])
        })
        .collect()
}

/// The order with the lowest true loss of all that were trained, and that loss.
fn winner(result: &SearchResult) -> (&Scored, f64) {
    let best = result.found.best.iter();
    let descents = result.found.descents.iter().map(|one| &one.end);
    let true_losses = |verified: &Option<Verified>| {
        verified.as_ref().map(|verified| verified.best.clone()).unwrap_or_default()
    };
    let losses = true_losses(&result.best).into_iter().chain(true_losses(&result.descents));
    let mut all: Vec<(&Scored, f64)> = best.chain(descents).zip(losses).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    all.swap_remove(0)
}

fn show(bench: &Bench<'_>, result: &SearchResult, winner: &(&Scored, f64)) -> anyhow::Result<()> {
    print::heading(bench, &result.source)?;
    let found = &result.found;
    let (order, loss) = winner;
    let promise = order.estimate - bench.reference;
    let kept = loss - bench.reference;
    // As many digits as tell one order from another.
    let digits = decimals_for(&[found.random_sd, promise, kept]);
    print_text(&format!(
        "{} orders scored; {} random ones: estimated mean {:.digits$}, sd {:.digits$}\n",
        found.scored, found.search.random, found.random_mean, found.random_sd
    ))?;
    let header = ["what", "orders", "estimated best", "true mean", "true best", "against random"];
    let row = |what: &str, estimates: Vec<f64>, verified: &Verified| {
        let lowest = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        [
            what.to_owned(),
            verified.best.len().to_string(),
            format!("{:.digits$}", lowest(&estimates)),
            format!("{:.digits$}", verified.best_mean),
            format!("{:.digits$}", lowest(&verified.best)),
            format!("{:+.2} sd", verified.difference_in_sd),
        ]
    };
    let mut rows = Vec::new();
    if let Some(verified) = &result.best {
        let estimates = found.best.iter().map(|one| one.estimate).collect();
        rows.push(row("best of random", estimates, verified));
    }
    if let Some(verified) = &result.descents {
        let estimates = found.descents.iter().map(|one| one.end.estimate).collect();
        rows.push(row("pair-swap descent", estimates, verified));
    }
    print_table(header, rows.into_iter())?;
    print_text(&format!(
        "best truly trained: {loss:.digits$}, against {:.digits$} of the recorded order; promised \
         {promise:+.digits$}, kept {kept:+.digits$}\n",
        bench.reference,
    ))?;
    print_text("train it as a run: palimpsest run SUITE --order ARM=best-order.npy\n")
}
