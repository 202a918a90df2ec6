//! `palimpsest estimate position` and `attribute`: what the place of each item does.

use anyhow::{Context as _, bail};
use inspect::estimate::Problem as _;
use inspect::estimate::fitted::Fitted;
use inspect::estimate::registry::{self, Gives};
use palimpsest::cli::estimate::position::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_table, print_text};
use stats::estimates::results::{Attribution, RecencyCurves};
use stats::estimates::{ItemOrder, attribution, curves};

use super::bench::{Bench, with_bench};
use super::given::{self, Brought};
use super::predict::out;
use super::print;

/// An item's own losses and held-out losses by position, `[item][position]`.
struct Curves {
    own: Vec<Vec<f64>>,
    held_out: Vec<Vec<f64>>,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let _ = registry::find(&args.fit.estimator)?;
    let brought = Brought::read(args.order.as_slice())?;
    with_bench(&args.fit, prepared(args, &brought), |bench, (items, base)| {
        bench.refuse_slow()?;
        let result = found(bench, base.as_ref(), &items, args.check)?;
        let asked = (&items, args.check, &base);
        let out = out(args.out.as_deref(), &args.fit.places.store(), "position", bench, &asked);
        let paths = reports::estimates::recency(&result, &out)?;
        print::answer(&result, args.json, &paths, || show(bench, &result))?;
        Ok(print::exit(&result.source))
    })
}

/// Finds the items that are asked for, and the order that they are moved in.
fn prepared<'a>(
    args: &'a Args,
    brought: &'a Brought<'_>,
) -> impl Fn(&Fitted<'_>) -> anyhow::Result<(Vec<u32>, Option<ItemOrder>)> + 'a {
    move |fitted: &Fitted<'_>| {
        let items = items(fitted, &args.fit.estimator, &args.item)?;
        let base = given::only(brought.orders(fitted, args.fit.seed)?)?;
        Ok((items, base.map(|one| one.order)))
    }
}

/// Losses by the place of items in `base`, or else in the recorded order; with `check` beside true runs.
pub fn found(
    bench: &mut Bench<'_>,
    base: Option<&ItemOrder>,
    items: &[u32],
    check: bool,
) -> anyhow::Result<RecencyCurves> {
    let (estimates, seconds) = estimated(bench, base, items)?;
    let absent = absent(bench, base, items)?;
    let (own_agreement, held_out_agreement) = if check {
        let truth = retrained(bench, base, items)?;
        (
            Some(curves::compare(&estimates.own, &truth.own)?),
            Some(curves::compare(&estimates.held_out, &truth.held_out)?),
        )
    } else {
        (None, None)
    };
    let flat = curves::flat(&estimates.own, 0.0);
    let some = |rows: Vec<Vec<f64>>| -> Vec<Vec<Option<f64>>> {
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        rows.into_iter().map(|row| row.into_iter().map(finite).collect()).collect()
    };
    Ok(RecencyCurves {
        source: bench.source(Some(seconds))?,
        items: items.to_vec(),
        own: some(estimates.own),
        held_out: some(estimates.held_out),
        absent: some(vec![absent]).concat(),
        own_agreement,
        held_out_agreement,
        flat,
    })
}

/// `palimpsest estimate attribute`.
pub fn attribute(args: &Args) -> anyhow::Result<Exit> {
    let brought = Brought::read(args.order.as_slice())?;
    with_bench(&args.fit, prepared(args, &brought), |bench, (items, base)| {
        bench.refuse_slow()?;
        let (found, seconds) = estimated(bench, base.as_ref(), &items)?;
        let band = bench.band.context(
            "the gate's estimates are not finite, so that no noise is known to judge curves by",
        )?;
        let mut ranked = attribution::rank(&found.held_out, &band)?;
        for influence in &mut ranked {
            influence.item = items[influence.item] as usize;
        }
        let residual_sd = band.residual_sd;
        let result = Attribution { source: bench.source(Some(seconds))?, residual_sd, ranked };
        let out = out(
            args.out.as_deref(),
            &args.fit.places.store(),
            "attribute",
            bench,
            &(&items, &base),
        );
        let paths = reports::estimates::attribution(&result, &out)?;
        print::answer(&result, args.json, &paths, || show_influence(bench, &result))?;
        Ok(print::exit(&result.source))
    })
}

/// The items asked for; all of them where none is named.
pub fn items(fitted: &Fitted<'_>, estimator: &str, asked: &[u32]) -> anyhow::Result<Vec<u32>> {
    if registry::find(estimator)?.gives != Gives::Parameters {
        bail!(
            "\"{estimator}\" gives no parameters, from which an item's own loss could be read: take \
             --estimator surrogate"
        );
    }
    let all = fitted.window.orders.items();
    if let Some(item) = asked.iter().find(|item| **item >= all) {
        bail!("--item {item}: the window has {all} items, numbered from 0");
    }
    Ok(if asked.is_empty() { (0..all).collect() } else { asked.to_vec() })
}

/// The order with `item` at every step of its own epoch in turn.
fn moved(bench: &Bench<'_>, base: Option<&ItemOrder>, item: u32) -> anyhow::Result<Vec<ItemOrder>> {
    let window = &bench.fitted.window.orders;
    let reference = base.unwrap_or(window.reference());
    let step = reference.step_of(item).context("an item that the window does not hold")?;
    let epoch = window.epochs().iter().find(|epoch| epoch.contains(&step));
    let epoch = epoch.context("a step outside all epochs")?.clone();
    epoch.map(|step| Ok(window.moved(reference, item, step)?)).collect()
}

fn estimated(
    bench: &mut Bench<'_>,
    base: Option<&ItemOrder>,
    items: &[u32],
) -> anyhow::Result<(Curves, f64)> {
    let mut curves = Curves { own: Vec::new(), held_out: Vec::new() };
    let (mut seconds, mut orders) = (0.0, 0.0);
    for item in items {
        let moved = moved(bench, base, *item)?;
        let predicted = bench.predict(&moved)?;
        let ends = predicted.ends.context("the estimator gives no parameters")?;
        curves.own.push(bench.fitted.problem.own(*item as usize, &ends)?);
        curves.held_out.push(predicted.losses);
        seconds += predicted.seconds;
        orders += moved.len() as f64;
    }
    Ok((curves, seconds / orders))
}

/// The same by true runs.
fn retrained(
    bench: &mut Bench<'_>,
    base: Option<&ItemOrder>,
    items: &[u32],
) -> anyhow::Result<Curves> {
    let mut curves = Curves { own: Vec::new(), held_out: Vec::new() };
    for item in items {
        let moved = moved(bench, base, *item)?;
        let (ends, _) = bench.fitted.truth(&moved)?;
        curves.own.push(bench.fitted.problem.own(*item as usize, &ends)?);
        curves.held_out.push(bench.fitted.problem.held_out(&ends)?);
    }
    Ok(curves)
}

/// Own loss of each item where the window goes without it.
fn absent(
    bench: &mut Bench<'_>,
    base: Option<&ItemOrder>,
    items: &[u32],
) -> anyhow::Result<Vec<f64>> {
    let recorded = bench.fitted.window.orders.reference();
    let reference = base.unwrap_or(recorded).clone();
    let without: Vec<_> = items.iter().map(|item| reference.without(*item)).collect();
    let mut losses = Vec::with_capacity(items.len());
    for (item, order) in items.iter().zip(&without) {
        let predicted = bench.predict(std::slice::from_ref(order))?;
        let ends = predicted.ends.context("the estimator gives no parameters")?;
        losses.extend(bench.fitted.problem.own(*item as usize, &ends)?);
    }
    Ok(losses)
}

fn show(bench: &Bench<'_>, result: &RecencyCurves) -> anyhow::Result<()> {
    print::heading(bench, &result.source)?;
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.5}"));
    let header = ["item", "own loss: first place", "last place", "lowest", "at step", "left out"];
    let rows = result.items.iter().enumerate().map(|(row, item)| {
        let own = &result.own[row];
        let lowest = own.iter().enumerate().filter_map(|(at, loss)| Some((at, (*loss)?)));
        let lowest = lowest.min_by(|a, b| a.1.total_cmp(&b.1));
        [
            item.to_string(),
            number(own.first().copied().flatten()),
            number(own.last().copied().flatten()),
            number(lowest.map(|(_, loss)| loss)),
            lowest.map_or("–".to_owned(), |(at, _)| at.to_string()),
            number(result.absent[row]),
        ]
    });
    print_table(header, rows)?;
    for (what, agreement) in
        [("own", &result.own_agreement), ("held-out", &result.held_out_agreement)]
    {
        if let Some(agreement) = agreement {
            let show =
                |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
            print_text(&format!(
                "{what} losses against true runs: centred R² {}, Spearman per item {} in the \
                 median, {} at least, {} flat\n",
                show(agreement.centred_r2),
                show(agreement.median),
                show(agreement.min),
                agreement.flat
            ))?;
        }
    }
    print_text(
        "an own loss that is lower at late places is recency: what came last is remembered\n",
    )
}

fn show_influence(bench: &Bench<'_>, result: &Attribution) -> anyhow::Result<()> {
    print::heading(bench, &result.source)?;
    print_text(&format!("noise of an estimate: sd {:.5}\n", result.residual_sd))?;
    let header =
        ["item", "held-out: range", "per step later", "95 % interval", "best step", "p", ""];
    let rows = result.ranked.iter().map(|one| {
        [
            one.item.to_string(),
            format!("{:.5}", one.range),
            format!("{:+.2e}", one.slope),
            format!("[{:+.2e}, {:+.2e}]", one.slope_interval.low, one.slope_interval.high),
            one.best_position.to_string(),
            format!("{:.2e}", one.p),
            if one.flat { "flat" } else { "" }.to_owned(),
        ]
    });
    print_table(header, rows)?;
    print_text(
        "p: how often an estimate's noise alone would vary so much over the places (F test, any shape); \
         flat: neither p nor the slope's interval tells it from noise\n",
    )
}
