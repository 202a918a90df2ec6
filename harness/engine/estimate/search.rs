//! `palimpsest estimate search`: looks for better orders and trains the best for true.

use anyhow::bail;
use inspect::estimate::registry::{self, Gives};
use palimpsest::cli::estimate::search::{Args, Space};
use palimpsest::exit::Exit;
use palimpsest::voice::{decimals_for, print_table, print_text};
use stats::estimates::ItemOrder;
use stats::estimates::results::SearchResult;
use stats::estimates::search::{
    self, Descent, Elsewhere, Paired, Scored, Search, SearchError, Verified,
};

use super::bench::{Bench, with_bench};
use super::curricula;
use super::given::{self, Brought, write_whole};
use super::predict::{out, ranks_only};
use super::print;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if registry::find(&args.fit.estimator)?.gives == Gives::Ranks {
        bail!(ranks_only(&args.fit.estimator));
    }
    let brought = Brought::read(&args.from)?;
    with_bench(
        &args.fit,
        |fitted| brought.orders(fitted, args.fit.seed),
        |bench, from| {
            bench.refuse_slow()?;
            if args.space == Space::Curricula {
                return curricula::run(bench, args);
            }
            let from: Vec<ItemOrder> = from.into_iter().map(|one| one.order).collect();
            let settings = Search {
                random: args.random as usize,
                keep: args.keep as usize,
                starts: args.descents as usize,
                seed: args.fit.seed,
                ..Search::default()
            };
            let result = found(bench, &settings, &from, args.against)?;
            let asked = (settings, args.against, brought.rows());
            let out = out(args.out.as_deref(), &args.fit.places.store(), "search", bench, &asked);
            let mut paths = reports::estimates::search(&result, &out)?;
            let winner = winner(&result);
            paths.push(write_whole(bench, &winner.order, &out.join("best-order.npy"))?);
            paths.extend(given::write(
                bench,
                ("orders", "found orders: ends of descents, then the best random ones"),
                &listed(&result),
                &out,
            )?);
            print::answer(&result, args.json, &paths, || show(bench, &result))?;
            Ok(print::exit(&result.source))
        },
    )
}

/// All orders found.
fn listed(result: &SearchResult) -> Vec<&ItemOrder> {
    let ends = result.found.descents.iter().map(|one| &one.end);
    ends.chain(&result.found.best).map(|one| &one.order).collect()
}

/// True losses of orders by example: of the split that was searched, and of the other.
struct Truth {
    searched: Vec<Vec<f64>>,
    elsewhere: Vec<Vec<f64>>,
}

/// Searches with the estimator of the bench and trains what is found, and `against` random orders.
pub fn found(
    bench: &mut Bench<'_>,
    settings: &Search,
    from: &[ItemOrder],
    against: u32,
) -> anyhow::Result<SearchResult> {
    bench.refuse_ranks()?;
    let window = bench.fitted.window.orders.clone();
    let clock = training::clock::Monotonic::start();
    let found = search::search(&window, settings, from, &mut |orders| bench.score(orders));
    let found = found.map_err(|error| match error {
        SearchError::Score(error) => error,
        SearchError::Count { .. } | SearchError::NothingFinite { .. } | SearchError::Order(_) => {
            anyhow::anyhow!("{error}")
        }
    })?;
    let seconds = training::clock::Time::now(&clock).as_secs_f64() / found.scored as f64;
    let random = truth(bench, &bench.test_draws(against as usize)?)?;
    let orders: Vec<ItemOrder> = found.best.iter().map(|one| one.order.clone()).collect();
    let best = truth(bench, &orders)?;
    let orders: Vec<ItemOrder> = found.descents.iter().map(|one| one.end.order.clone()).collect();
    let ends = if orders.is_empty() { None } else { Some(truth(bench, &orders)?) };
    let recorded = bench.fitted.reference.unsqueeze(0);
    let [own, other] = bench.both_splits(&recorded)?;

    // On the split that was searched: whether the estimate kept its promise.
    let at_random = means(&random.searched);
    let of = |truth: &Truth| Verified::of(&means(&truth.searched), &at_random);
    let (verified, descents) = (of(&best)?, ends.as_ref().map(of).transpose()?);
    // On the other: whether the order is better.
    let at_random_elsewhere = means(&random.elsewhere);
    let of = |truth: &Truth| Verified::of(&means(&truth.elsewhere), &at_random_elsewhere).ok();
    let winner = best_of(&found.best, &best, &found.descents, ends.as_ref());
    let agreement = Elsewhere::agreement(&at_random, &at_random_elsewhere).ok().flatten();
    let elsewhere = other.first().filter(|losses| !losses.is_empty()).map(|losses| Elsewhere {
        split: bench.judged.elsewhere,
        recorded: mean(losses),
        best: of(&best),
        descents: ends.as_ref().and_then(of),
        kept: winner.and_then(|winner| Paired::of(winner.elsewhere, losses).ok()),
        agreement: agreement.map(|(r, _)| r),
        agreement_interval: agreement.map(|(_, interval)| interval),
    });
    let kept = winner.zip(own.first());
    Ok(SearchResult {
        source: bench.scored_source(seconds)?,
        best: Some(verified),
        descents,
        promised: winner.map(|winner| winner.estimate - bench.reference),
        kept: kept.and_then(|(winner, losses)| Paired::of(winner.searched, losses).ok()),
        elsewhere,
        found,
    })
}

/// Trains orders for true, many at once.
fn truth(bench: &mut Bench<'_>, orders: &[ItemOrder]) -> anyhow::Result<Truth> {
    let (ends, _) = bench.fitted.truth(orders)?;
    let [searched, elsewhere] = bench.both_splits(&ends)?;
    Ok(Truth { searched, elsewhere })
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn means(losses: &[Vec<f64>]) -> Vec<f64> {
    losses.iter().map(|losses| mean(losses)).collect()
}

/// The found order whose true loss is lowest where was searched.
#[derive(Clone, Copy)]
struct Best<'a> {
    estimate: f64,
    searched: &'a [f64],
    elsewhere: &'a [f64],
}

fn best_of<'a>(
    random: &[Scored],
    best: &'a Truth,
    descents: &[Descent],
    ends: Option<&'a Truth>,
) -> Option<Best<'a>> {
    let estimates = descents.iter().map(|one| one.end.estimate);
    let of_descents = ends.into_iter().flat_map(|ends| ends.searched.iter().zip(&ends.elsewhere));
    let of_random = best.searched.iter().zip(&best.elsewhere);
    let all = random.iter().map(|one| one.estimate).zip(of_random);
    let all = all.chain(estimates.zip(of_descents));
    let all = all.map(|(estimate, (searched, elsewhere))| Best { estimate, searched, elsewhere });
    all.min_by(|a, b| mean(a.searched).total_cmp(&mean(b.searched)))
}

/// The order with the lowest true loss of all that were trained, on the split that was searched.
fn winner(result: &SearchResult) -> &Scored {
    let best = result.found.best.iter();
    let descents = result.found.descents.iter().map(|one| &one.end);
    let true_losses = |verified: &Option<Verified>| {
        verified.as_ref().map(|verified| verified.best.clone()).unwrap_or_default()
    };
    let losses = true_losses(&result.best).into_iter().chain(true_losses(&result.descents));
    let mut all: Vec<(&Scored, f64)> = best.chain(descents).zip(losses).collect();
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    all.swap_remove(0).0
}

fn show(bench: &Bench<'_>, result: &SearchResult) -> anyhow::Result<()> {
    print::heading(bench, &result.source)?;
    let found = &result.found;
    let promise = result.promised.unwrap_or(f64::NAN);
    let kept = |paired: &Option<Paired>| paired.as_ref().map_or(f64::NAN, |one| one.difference);
    let elsewhere = result.elsewhere.as_ref();
    // As many digits as tell one order from another.
    let digits = decimals_for(&[found.random_sd, promise, kept(&result.kept)]);
    let (searched, other) = (&bench.judged.name, &bench.judged.elsewhere_name);
    print_text(&format!(
        "{} orders scored on {searched}; {} random ones: estimated mean {:.digits$}, sd {:.digits$}\n",
        found.scored, found.search.random, found.random_mean, found.random_sd
    ))?;
    let (on_searched, on_other) = (format!("{searched}: true mean"), format!("{other}: true mean"));
    let against = "against random";
    let header = ["what", "orders", "estimated best", &*on_searched, against, &*on_other, against];
    let row = |what: &str, estimates: Vec<f64>, verified: &Verified, there: Option<&Verified>| {
        let lowest = estimates.iter().copied().fold(f64::INFINITY, f64::min);
        let in_sd = |one: &Verified| format!("{:+.2} sd", one.difference_in_sd);
        [
            what.to_owned(),
            verified.best.len().to_string(),
            format!("{lowest:.digits$}"),
            format!("{:.digits$}", verified.best_mean),
            in_sd(verified),
            there.map_or("–".to_owned(), |one| format!("{:.digits$}", one.best_mean)),
            there.map_or("–".to_owned(), in_sd),
        ]
    };
    let mut rows = Vec::new();
    if let Some(verified) = &result.best {
        let estimates = found.best.iter().map(|one| one.estimate).collect();
        let there = elsewhere.and_then(|at| at.best.as_ref());
        rows.push(row("best of random", estimates, verified, there));
        let random = |one: &Verified| format!("{:.digits$}", one.random_mean);
        rows.push([
            "random".to_owned(),
            verified.random.len().to_string(),
            "–".to_owned(),
            random(verified),
            format!("sd {:.digits$}", verified.random_sd),
            there.map_or("–".to_owned(), random),
            there.map_or("–".to_owned(), |one| format!("sd {:.digits$}", one.random_sd)),
        ]);
    }
    if let Some(verified) = &result.descents {
        let estimates = found.descents.iter().map(|one| one.end.estimate).collect();
        let there = elsewhere.and_then(|at| at.descents.as_ref());
        rows.push(row("pair-swap descent", estimates, verified, there));
    }
    print_table(header, rows.into_iter())?;
    let told = |paired: &Option<Paired>| match paired {
        Some(one) => format!(
            "{:+.digits$} (standard error {:.digits$} over {} examples)",
            one.difference, one.standard_error, one.examples
        ),
        None => "unknown: one example has no standard error".to_owned(),
    };
    let mut text = format!(
        "the best order against the recorded one: promised {promise:+.digits$}; kept on {searched}, \
         which it was chosen by, {}",
        told(&result.kept)
    );
    if let Some(at) = elsewhere {
        text += &format!("; kept on {other} {}\n", told(&at.kept));
        if let (Some(r), Some(interval)) = (at.agreement, at.agreement_interval) {
            text += &format!(
                "over random orders {searched} and {other} agree by a rank correlation of {r:.2} \
                 [{:.2}, {:.2}]\n",
                interval.low, interval.high
            );
        }
    } else {
        text += "\n";
    }
    print_text(&text)?;
    print_text("train it as a run: palimpsest run SUITE --order ARM=best-order.npy\n")
}
