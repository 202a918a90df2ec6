//! `palimpsest estimate drop` and `weights`: what the held-out loss would have been without some of
//! the items, or with other weights of them.
//!
//! Without an item its examples are in no step: a step left empty is not taken, and the others follow
//! one another at the learning rates of the window's first steps. Whatever update rule the run has
//! does the rest, as for orders.

mod datamodel;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use data::columns::{Array, write_npy};
use inspect::estimate::Problem as _;
use inspect::estimate::examples::Viewer;
use inspect::estimate::fitted::Fitted;
use inspect::estimate::registry::{self, Gives};
use ledger::record::writer::write_atomic;
use palimpsest::cli::estimate::drop::{Args, WeightsArgs};
use palimpsest::exit::Exit;
use palimpsest::voice::{decimals_for, note, print_table, print_text};
use stats::estimates::agreement::{Interval, Signal};
use stats::estimates::results::{
    AskedFor, Datamodel, Dropped, Extremes, FoundSubset, LeftGroup, LeftOut, ShownItem,
};
use stats::estimates::search::Paired;
use stats::estimates::{ItemOrder, OrderError, Purpose, orders};

use super::bench::{Asked, Bench, Draws, with_bench};
use super::estimator::Estimator;
use super::predict::out;
use super::print;

/// Items that are left out one by one.
const MOST_ITEMS: usize = 8192;
/// Runs whose parameters are held at once.
const AT_ONCE: usize = 256;
/// How much heavier and lighter an item is made to tell what its weight does.
const HEAVIER: f64 = 0.1;
/// Items at each end of the ranking whose examples are shown, and examples of each.
const ENDS: usize = 5;
const LOOKED_AT: usize = 4;
/// Rows that a person reads.
const SHOWN: usize = 8;

/// Items left out together.
type Subset = BTreeSet<u32>;

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    parameters_only(&args.fit.estimator)?;
    let draws = Draws::Subsets { keep: args.keep };
    let asked = Asked { draws, ..Asked::from(&args.fit) };
    let prepare = |fitted: &Fitted<'_>| {
        enough(fitted)?;
        let items = fitted.window.orders.items();
        let mut all = Vec::new();
        for text in &args.without {
            all.extend(left_out(text, items)?);
        }
        Ok(all)
    };
    with_bench(asked, prepare, |bench, without| {
        bench.refuse_slow()?;
        let alone = alone(bench)?;
        let changes: Vec<f64> = alone.iter().map(|one| one.change.unwrap_or(f64::NAN)).collect();
        let asked = asked_for(bench, &without, args.check)?;
        let datamodel = match args.subsets {
            0 => None,
            count => Some(datamodel::found(bench, &changes, count as usize)?),
        };
        let found = found(bench, &changes, args.against as usize)?;
        let alone = ranked(alone);
        let result = Dropped {
            source: bench.source(None)?,
            reference: bench.reference,
            keep: args.keep,
            shown: Some(shown(bench, &alone)?),
            groups: groups(bench)?,
            by_weight: false,
            alone,
            asked,
            datamodel,
            found,
        };
        let settings = (args.keep, args.subsets, args.against, args.check, &without);
        let out = out(args.out.as_deref(), &args.fit.places.store(), "drop", bench, &settings);
        let mut paths = reports::estimates::dropped(&result, &out)?;
        if let Some(found) = &result.found {
            paths.extend(write_subset(bench, found, &out)?);
        }
        print::answer(&result, args.json, &paths, || show(bench, &result))?;
        Ok(print::exit(&result.source))
    })
}

/// `palimpsest estimate weights`.
pub fn weights(args: &WeightsArgs) -> anyhow::Result<Exit> {
    parameters_only(&args.fit.estimator)?;
    let given = args.weights.as_deref().map(weights_of).transpose()?.unwrap_or_default();
    let draws = Draws::Subsets { keep: args.keep };
    let asked = Asked { draws, ..Asked::from(&args.fit) };
    let prepare = |fitted: &Fitted<'_>| {
        enough(fitted)?;
        let items = fitted.window.orders.items() as usize;
        if let Some((row, found)) =
            given.iter().map(Vec::len).enumerate().find(|one| one.1 != items)
        {
            bail!("--weights, row {row}: {found} weights, but the window has {items} items");
        }
        Ok(())
    };
    with_bench(asked, prepare, |bench, ()| {
        bench.refuse_slow()?;
        let mut alone = ranked(per_weight(bench)?);
        // More weight on what helps lowers the loss.
        alone.reverse();
        let asked = weighed(bench, &given, args.check)?;
        let result = Dropped {
            source: bench.source(None)?,
            reference: bench.reference,
            keep: args.keep,
            shown: Some(shown(bench, &alone)?),
            groups: Vec::new(),
            by_weight: true,
            alone,
            asked,
            datamodel: None,
            found: None,
        };
        let settings = (args.keep, args.check, &given);
        let out = out(args.out.as_deref(), &args.fit.places.store(), "weights", bench, &settings);
        let paths = reports::estimates::dropped(&result, &out)?;
        print::answer(&result, args.json, &paths, || show(bench, &result))?;
        Ok(print::exit(&result.source))
    })
}

/// Refuses estimators that cannot follow a run without some items.
fn parameters_only(id: &str) -> anyhow::Result<()> {
    if registry::find(id)?.gives != Gives::Parameters {
        bail!(
            "\"{id}\" gives no parameters, from which the loss without some items could be read: take \
             --estimator surrogate"
        );
    }
    Ok(())
}

fn enough(fitted: &Fitted<'_>) -> anyhow::Result<()> {
    let items = fitted.window.orders.items() as usize;
    if !(4..=MOST_ITEMS).contains(&items) {
        bail!(
            "the window has {items} items, and 4 to {MOST_ITEMS} can be left out one by one: give \
             another --last"
        );
    }
    Ok(())
}

/// What `--without` says: numbers apart by commas, or a file with a subset a line.
fn left_out(text: &str, items: u32) -> anyhow::Result<Vec<Subset>> {
    let listed: Result<Vec<i64>, _> = text.split(',').map(|one| one.trim().parse()).collect();
    let rows = match listed {
        Ok(numbers) => vec![numbers],
        Err(_) => super::given::rows(Path::new(text)).context("--without")?,
    };
    let subset = |(row, numbers): (usize, Vec<i64>)| -> anyhow::Result<Subset> {
        let known = |number: &i64| u32::try_from(*number).ok().filter(|item| *item < items);
        if let Some(number) = numbers.iter().find(|number| known(number).is_none()) {
            bail!(
                "--without {text}, row {row}: item {number}: items count from 0 to {}",
                items - 1
            );
        }
        let subset: Subset = numbers.iter().filter_map(known).collect();
        if subset.is_empty() || subset.len() >= items as usize {
            bail!("--without {text}, row {row}: leave out one item or more, but not all {items}");
        }
        Ok(subset)
    };
    rows.into_iter().enumerate().map(subset).collect()
}

/// The weights of a file, a row each.
fn weights_of(path: &Path) -> anyhow::Result<Vec<Vec<f64>>> {
    let file = path.display();
    let rows: Vec<Vec<f64>> = if path.extension().is_some_and(|extension| extension == "npy") {
        let mut array = Array::open(path)?;
        let width = array.shape().last().copied().unwrap_or(0).max(1);
        array.values()?.chunks(width).map(<[f64]>::to_vec).collect()
    } else {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
        let fields = |line: &str| -> anyhow::Result<Vec<f64>> {
            let fields = line.split([',', ';', ' ', '\t']).filter(|field| !field.is_empty());
            fields
                .map(|field| {
                    field.parse().with_context(|| format!("{file}: \"{field}\" is not a number"))
                })
                .collect()
        };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(fields).collect::<anyhow::Result<_>>()?
    };
    let bad = rows.iter().flatten().position(|weight| !(weight.is_finite() && *weight >= 0.0));
    if let Some(index) = bad {
        bail!("{file}, value {index} (counted from 0): a weight is 0 or more, 1 as the run had it");
    }
    Ok(rows)
}

/// Every item left out alone, in the order of their numbers.
fn alone(bench: &mut Bench<'_>) -> anyhow::Result<Vec<LeftOut>> {
    let reference = bench.fitted.window.orders.reference().clone();
    let items: Vec<u32> = (0..bench.fitted.window.orders.items()).collect();
    // The estimate of the whole run, so that its own error cancels.
    let whole = bench.predict(std::slice::from_ref(&reference))?.losses[0];
    let mut changes = Vec::with_capacity(items.len());
    for items in items.chunks(AT_ONCE) {
        let orders: Vec<_> = items.iter().map(|item| reference.without(*item)).collect();
        changes.extend(bench.predict(&orders)?.losses.into_iter().map(|loss| loss - whole));
    }
    let band = bench.usable_band().ok();
    let mut alone = told(bench, changes);
    for one in &mut alone {
        one.interval =
            one.change.zip(band).map(|(change, band)| band.interval_of_difference(change));
    }
    Ok(alone)
}

/// The items of each group left out together, where whole items are of one.
fn groups(bench: &mut Bench<'_>) -> anyhow::Result<Vec<LeftGroup>> {
    let side = &bench.fitted.replay().ready().side;
    let items = &bench.fitted.window.items;
    let of = |ids: &[u32]| {
        let mut groups = ids.iter().map(|id| side.groups.get(*id as usize).copied());
        let first = groups.next()??;
        groups.all(|group| group == Some(first)).then_some(first)
    };
    let mut parts: BTreeMap<u32, Subset> = BTreeMap::new();
    for (item, ids) in (0_u32..).zip(items) {
        if let Some(group) = of(ids) {
            parts.entry(group).or_default().insert(item);
        }
    }
    parts.retain(|_, part| part.len() < items.len());
    let name = |group: &u32| {
        side.group_names.get(*group as usize).cloned().unwrap_or_else(|| format!("group {group}"))
    };
    let names: Vec<String> = parts.keys().map(name).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let reference = bench.fitted.window.orders.reference().clone();
    let without = parts.values().map(|part| reference.without_all(part));
    let orders: Vec<ItemOrder> = std::iter::once(reference.clone()).chain(without).collect();
    let losses = bench.predict(&orders)?.losses;
    let band = bench.usable_band().ok();
    let (whole, losses) = losses.split_first().context("no loss was estimated")?;
    let all = names.into_iter().zip(parts.into_values()).zip(losses);
    let mut all: Vec<LeftGroup> = all
        .map(|((name, items), loss)| {
            let change = Some(loss - whole).filter(|change| change.is_finite());
            let interval =
                change.zip(band).map(|(change, band)| band.interval_of_difference(change));
            LeftGroup { name, items: items.into_iter().collect(), change, interval }
        })
        .collect();
    let key = |one: &LeftGroup| one.change.unwrap_or(f64::NEG_INFINITY);
    all.sort_by(|a, b| key(b).total_cmp(&key(a)));
    Ok(all)
}

/// The ends of a ranking, most helpful first, with what their examples look like.
fn shown(bench: &Bench<'_>, ranked: &[LeftOut]) -> anyhow::Result<Extremes> {
    let ready = bench.fitted.replay().ready();
    let viewer = Viewer::new(&ready.splits.train, &ready.side, bench.spelling());
    let item = |one: &LeftOut| -> anyhow::Result<ShownItem> {
        let examples = one.ids.iter().take(LOOKED_AT).map(|id| viewer.shown(*id));
        Ok(ShownItem {
            item: one.item,
            examples: examples.collect::<Result<_, _>>()?,
            of: one.ids.len(),
        })
    };
    // An item is at one end only.
    let each = ENDS.min(ranked.len() / 2);
    Ok(Extremes {
        helpful: ranked.iter().take(each).map(item).collect::<anyhow::Result<_>>()?,
        harmful: ranked.iter().rev().take(each).map(item).collect::<anyhow::Result<_>>()?,
    })
}

/// What a unit of weight does, item by item, by central differences.
fn per_weight(bench: &mut Bench<'_>) -> anyhow::Result<Vec<LeftOut>> {
    let items: Vec<usize> = (0..bench.fitted.window.orders.items() as usize).collect();
    let mut changes = Vec::with_capacity(items.len());
    for chosen in items.chunks(AT_ONCE / 2) {
        let mut rows = Vec::with_capacity(2 * chosen.len());
        for item in chosen {
            for side in [HEAVIER, -HEAVIER] {
                let mut weights = vec![1.0; items.len()];
                weights[*item] += side;
                rows.push(weights);
            }
        }
        let losses = with_weights(bench, None, &rows)?;
        changes.extend(losses.chunks(2).map(|both| (both[0] - both[1]) / (2.0 * HEAVIER)));
    }
    Ok(told(bench, changes))
}

fn told(bench: &Bench<'_>, changes: Vec<f64>) -> Vec<LeftOut> {
    let all = changes.into_iter().zip(&bench.fitted.window.items).enumerate();
    let one = |(item, (change, ids)): (usize, (f64, &Vec<u32>))| LeftOut {
        item: item as u32,
        ids: ids.clone(),
        change: Some(change).filter(|change| change.is_finite()),
        interval: None,
    };
    all.map(one).collect()
}

/// Those first whose number is the highest: without the most helpful the loss is.
fn ranked(mut alone: Vec<LeftOut>) -> Vec<LeftOut> {
    let key = |one: &LeftOut| one.change.unwrap_or(f64::NEG_INFINITY);
    alone.sort_by(|a, b| key(b).total_cmp(&key(a)));
    alone
}

/// Held-out losses of the recorded order with weights, by the bench's estimator or another.
fn with_weights(
    bench: &mut Bench<'_>,
    estimator: Option<&Estimator>,
    rows: &[Vec<f64>],
) -> anyhow::Result<Vec<f64>> {
    let orders = vec![bench.fitted.window.orders.reference().clone(); rows.len()];
    let estimator = estimator.unwrap_or(&bench.estimator);
    Ok(estimator.weighted(&mut bench.fitted, &bench.fitting, &orders, rows)?.losses)
}

fn asked_for(
    bench: &mut Bench<'_>,
    subsets: &[Subset],
    check: bool,
) -> anyhow::Result<Vec<AskedFor>> {
    if subsets.is_empty() {
        return Ok(Vec::new());
    }
    let reference = bench.fitted.window.orders.reference().clone();
    let orders: Vec<_> = subsets.iter().map(|subset| reference.without_all(subset)).collect();
    let losses = bench.predict(&orders)?.losses;
    let truth = match check {
        true => {
            let (ends, _) = bench.fitted.truth(&orders)?;
            Some(bench.fitted.problem.held_out(&ends)?)
        }
        false => None,
    };
    let rows = subsets.iter().zip(losses).enumerate().map(|(row, (subset, loss))| AskedFor {
        without: subset.iter().copied().collect(),
        weights: Vec::new(),
        held_out: Some(loss).filter(|loss| loss.is_finite()),
        retrained: truth.as_ref().map(|losses| losses[row]).filter(|loss| loss.is_finite()),
    });
    Ok(rows.collect())
}

fn weighed(bench: &mut Bench<'_>, rows: &[Vec<f64>], check: bool) -> anyhow::Result<Vec<AskedFor>> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let losses = with_weights(bench, None, rows)?;
    let truth = match check {
        true => {
            let exact = Estimator::named("exact", &mut bench.fitted, &bench.fitting)?;
            Some(with_weights(bench, Some(&exact), rows)?)
        }
        false => None,
    };
    let asked = rows.iter().zip(losses).enumerate().map(|(row, (weights, loss))| AskedFor {
        without: Vec::new(),
        weights: weights.clone(),
        held_out: Some(loss).filter(|loss| loss.is_finite()),
        retrained: truth.as_ref().map(|losses| losses[row]).filter(|loss| loss.is_finite()),
    });
    Ok(asked.collect())
}

/// The items whose absence lowers the loss by estimate, as many of them as are best left out
/// together; trained without for true, and held against random subsets of that size.
fn found(
    bench: &mut Bench<'_>,
    changes: &[f64],
    against: usize,
) -> anyhow::Result<Option<FoundSubset>> {
    let mut harmful: Vec<(u32, f64)> =
        (0_u32..).zip(changes.iter().copied()).filter(|(_, change)| *change < 0.0).collect();
    harmful.sort_by(|a, b| a.1.total_cmp(&b.1));
    harmful.truncate(changes.len() / 2);
    if harmful.is_empty() {
        return Ok(None);
    }
    let reference = bench.fitted.window.orders.reference().clone();
    let worst = |count: usize| -> Subset { harmful[..count].iter().map(|one| one.0).collect() };
    let mut tried: Vec<ItemOrder> =
        (1..=harmful.len()).map(|count| reference.without_all(&worst(count))).collect();
    tried.push(reference.clone());
    let losses = bench.predict(&tried)?.losses;
    let (whole, losses) = losses.split_last().context("no subset was estimated")?;
    let best = losses.iter().enumerate().filter(|(_, loss)| loss.is_finite());
    let Some((place, loss)) = best.min_by(|a, b| a.1.total_cmp(b.1)) else { return Ok(None) };
    let without = worst(place + 1);
    let kept = changes.len() - without.len();
    let mut all = vec![tried[place].clone()];
    all.extend(random_of_size(bench, kept, against, all[0].effect_hash()));
    let (ends, _) = bench.fitted.truth(&all)?;
    let [own, other] = bench.both_splits(&ends)?;
    let recorded = bench.both_splits(&bench.fitted.reference.unsqueeze(0))?;
    let paired = |losses: &[Vec<f64>], recorded: &[Vec<f64>]| {
        Paired::of(losses.first()?, recorded.first()?).ok()
    };
    Ok(Some(FoundSubset {
        without: without.into_iter().collect(),
        promised: loss - whole,
        kept: paired(&own, &recorded[0]),
        elsewhere: paired(&other, &recorded[1]),
        random: all.len() - 1,
        difference_in_sd: in_sd(&own),
        elsewhere_in_sd: in_sd(&other),
    }))
}

/// Random subsets of `kept` items, none of them the one `found`: `count`, or as many as there are.
fn random_of_size(
    bench: &Bench<'_>,
    kept: usize,
    count: usize,
    found: ledger::digest::Digest,
) -> Vec<ItemOrder> {
    let draw = |count: usize| {
        let mut taken = BTreeSet::from([found]);
        let (window, kept) = (&bench.fitted.window.orders, |_: usize| kept);
        let purpose = Purpose::Search;
        orders::draw_subsets_distinct(window, bench.seed(), purpose, count, &kept, &mut taken)
    };
    match draw(count) {
        Err(OrderError::TooFewOrders { found, .. }) => draw(found).unwrap_or_default(),
        subsets => subsets.unwrap_or_default(),
    }
}

/// How far the first row's mean is from those of the others, in their sd.
fn in_sd(losses: &[Vec<f64>]) -> Option<f64> {
    let means: Vec<f64> =
        losses.iter().map(|row| row.iter().sum::<f64>() / row.len() as f64).collect();
    let (first, random) = means.split_first()?;
    let n = random.len() as f64;
    let mean = random.iter().sum::<f64>() / n;
    let squares: f64 = random.iter().map(|loss| (loss - mean).powi(2)).sum();
    Some((first - mean) / (squares / (n - 1.0)).sqrt()).filter(|value| value.is_finite())
}

/// The found subset as item numbers, and the ids of its examples.
fn write_subset(
    bench: &Bench<'_>,
    found: &FoundSubset,
    out: &Path,
) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let numbers: Vec<String> = found.without.iter().map(u32::to_string).collect();
    let text = format!("# items of the window to leave out\n{}\n", numbers.join(" "));
    let path = out.join("without.txt");
    write_atomic(&path, text.as_bytes())?;
    let items = &bench.fitted.window.items;
    let ids: Vec<u32> =
        found.without.iter().flat_map(|item| items[*item as usize].iter().copied()).collect();
    let mut bytes = Vec::new();
    write_npy(&mut bytes, &ids)?;
    let ids_path = out.join("without-ids.npy");
    write_atomic(&ids_path, &bytes)?;
    let mut paths = vec![path, ids_path];
    let left: Subset = found.without.iter().copied().collect();
    let window = &bench.fitted.window;
    match window.shortened(&window.orders.reference().without_all(&left)) {
        Ok(ids) => {
            let mut bytes = Vec::new();
            write_npy(&mut bytes, &ids)?;
            let path = out.join("without-order.npy");
            write_atomic(&path, &bytes)?;
            paths.push(path);
        }
        Err(reason) => note(&format!("no without-order.npy for `run --without`: {reason}")),
    }
    Ok(paths)
}

fn show(bench: &Bench<'_>, result: &Dropped) -> anyhow::Result<()> {
    print::heading(bench, &result.source)?;
    let split = &bench.judged.name;
    let changes: Vec<f64> = result.alone.iter().filter_map(|one| one.change).collect();
    let digits = decimals_for(&changes);
    print_text(&format!("{split} loss of the recorded run: {:.digits$}\n", result.reference))?;
    let of_change =
        if result.by_weight { "loss by unit of weight" } else { "loss without it, change" };
    let header = ["rank", "item", of_change, "95 % interval", "first example ids"];
    let all = result.alone.len();
    let rows = result.alone.iter().enumerate();
    let rows = rows.filter(|(rank, _)| *rank < SHOWN || rank + SHOWN >= all).map(|(rank, one)| {
        let change = one.change.map_or("–".to_owned(), |change| format!("{change:+.digits$}"));
        let ids: Vec<String> = one.ids.iter().take(6).map(u32::to_string).collect();
        let interval = between(one.interval, digits);
        [(rank + 1).to_string(), one.item.to_string(), change, interval, ids.join(" ")]
    });
    print_table(header, rows)?;
    if !result.groups.is_empty() {
        let header = ["group", "items", "loss without it, change", "95 % interval"];
        let rows = result.groups.iter().map(|one| {
            let change =
                one.change.map_or("–".to_owned(), |change| format!("{change:+.digits$}"));
            let interval = between(one.interval, digits);
            [one.name.clone(), one.items.len().to_string(), change, interval]
        });
        print_table(header, rows)?;
    }
    for one in &result.asked {
        let what = if one.weights.is_empty() {
            let items: Vec<String> = one.without.iter().map(u32::to_string).collect();
            format!("without {}", items.join(" "))
        } else {
            "with these weights".to_owned()
        };
        let number =
            |loss: Option<f64>| loss.map_or("–".to_owned(), |loss| format!("{loss:.digits$}"));
        let truth = one.retrained.map(|loss| format!(", truly {loss:.digits$}"));
        let truth = truth.unwrap_or_default();
        print_text(&format!("{what}: {split} {}{truth}\n", number(one.held_out)))?;
    }
    if let Some(found) = &result.datamodel {
        show_datamodel(found)?;
    }
    match &result.found {
        Some(found) => show_found(bench, found, digits),
        None => Ok(()),
    }
}

/// An interval in words.
fn between(interval: Option<Interval>, digits: usize) -> String {
    let told = |at: Interval| format!("[{:+.digits$}, {:+.digits$}]", at.low, at.high);
    interval.map_or("–".to_owned(), told)
}

fn show_datamodel(found: &Datamodel) -> anyhow::Result<()> {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    let at = |interval: Option<Interval>| {
        interval.map_or(String::new(), |at| format!(" [{:.3}, {:.3}]", at.low, at.high))
    };
    let direct = &found.direct;
    let told = match direct.signal {
        Signal::Present => {
            format!("{}{}", number(direct.held_out), at(direct.held_out_interval))
        }
        Signal::NoOrderSignal | Signal::Failed => {
            direct.reason.clone().unwrap_or_else(|| "none".to_owned())
        }
    };
    print_text(&format!(
        "{} random subsets of {} items, truly trained on: rank correlation of each estimated as it is \
         {told}; relative error {}, mae/sd {} (null {})\n\
         linear datamodeling score, by the sum of what is left out: {}{}; by gradients alone: TracIn {}, \
         influence by EK-FAC {} ({} over all pilots), kernel as in TRAK {} ({} over all pilots)\n\
         by held-out example, mean over {}: {}; by group, mean over {}: {}\n",
        found.subsets,
        found.kept,
        number(direct.relative_error),
        number(direct.mae_over_sd),
        number(direct.null_mae_over_sd),
        number(found.linear),
        at(found.linear_interval),
        number(found.tracin),
        number(found.ekfac),
        number(found.ekfac_of_runs),
        number(found.kernel),
        number(found.kernel_of_runs),
        found.examples,
        number(found.per_example),
        found.groups,
        number(found.per_group),
    ))
}

fn show_found(bench: &Bench<'_>, found: &FoundSubset, digits: usize) -> anyhow::Result<()> {
    let (split, other) = (&bench.judged.name, &bench.judged.elsewhere_name);
    let told = |paired: &Option<Paired>, in_sd: Option<f64>| {
        let paired = paired.as_ref().map_or("unknown".to_owned(), |one| {
            format!("{:+.digits$} (standard error {:.digits$})", one.difference, one.standard_error)
        });
        let in_sd = in_sd.map(|sd| format!(", {sd:+.2} sd of {} random ones", found.random));
        format!("{paired}{}", in_sd.unwrap_or_default())
    };
    print_text(&format!(
        "without the {} items that do most harm by estimate: promised {:+.digits$}; kept on {split}, \
         which they were chosen by, {}; on {other} {}\n",
        found.without.len(),
        found.promised,
        told(&found.kept, found.difference_in_sd),
        told(&found.elsewhere, found.elsewhere_in_sd)
    ))
}
