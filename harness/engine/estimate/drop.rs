//! `palimpsest estimate drop` and `weights`: what the held-out loss would have been without some of
//! the items, or with other weights of them.
//!
//! Without an item its examples are in no step: a step left empty is not taken, and the others follow
//! one another at the learning rates of the window's first steps. Whatever update rule the run has
//! does the rest, as for orders.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, bail};
use data::columns::{Array, write_npy};
use inspect::estimate::fitted::{Fitted, distance};
use inspect::estimate::influence;
use inspect::estimate::registry::{self, Gives};
use inspect::estimate::{Problem as _, Reference};
use ledger::record::writer::write_atomic;
use palimpsest::cli::estimate::drop::{Args, WeightsArgs};
use palimpsest::exit::Exit;
use palimpsest::voice::{decimals_for, note, print_table, print_text};
use stats::estimates::agreement::{
    Agreement, Compared, Parameters, Signal, spearman, spearman_interval,
};
use stats::estimates::results::{AskedFor, Datamodel, Dropped, FoundSubset, LeftOut};
use stats::estimates::search::Paired;
use stats::estimates::{ItemOrder, OrderError, Purpose, orders};
use tch::Kind;

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
        let alone = alone(bench)?;
        let changes: Vec<f64> = alone.iter().map(|one| one.change.unwrap_or(f64::NAN)).collect();
        let asked = asked_for(bench, &without, args.check)?;
        let datamodel = match args.subsets {
            0 => None,
            count => Some(datamodel(bench, &changes, count as usize)?),
        };
        let found = found(bench, &changes, args.against as usize)?;
        let result = Dropped {
            source: bench.source(None)?,
            reference: bench.reference,
            keep: args.keep,
            alone: ranked(alone),
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
        let alone = per_weight(bench)?;
        let asked = weighed(bench, &given, args.check)?;
        let result = Dropped {
            source: bench.source(None)?,
            reference: bench.reference,
            keep: args.keep,
            alone: ranked(alone),
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
    Ok(told(bench, changes))
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
    };
    all.map(one).collect()
}

/// The most helpful first: those without which the loss is highest.
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

/// Random subsets, estimated and truly trained on.
fn datamodel(bench: &mut Bench<'_>, changes: &[f64], count: usize) -> anyhow::Result<Datamodel> {
    let subsets = bench.test_draws(count)?;
    let (ends, _) = bench.fitted.truth(&subsets)?;
    let problem = &bench.fitted.problem;
    let retrained = problem.held_out(&ends)?;
    let by_example = problem.each(problem.split(), &ends)?;
    let predicted = bench.predict(&subsets)?;
    let guess = predicted.ends.context("the estimator gives no parameters")?;
    let base = bench.base(&ends)?;
    let rows = 0..count as i64;
    let distances = rows.map(|row| distance(&guess.get(row), &ends.get(row), &base));
    let distances = distances.collect::<Result<Vec<_>, _>>()?;
    let relative: Vec<f64> = distances.iter().map(|one| one.relative).collect();
    let cosines: Vec<f64> = distances.iter().map(|one| one.cosine).collect();
    let direct = Agreement::of(&Compared {
        estimated: &predicted.losses,
        retrained: &retrained,
        // The null of subsets: what the gate's gave in the mean.
        reference: bench.gate_mean(),
        pilot_sd: bench.pilot_sd,
        parameters: Some(Parameters { relative_errors: &relative, cosines: &cosines }),
        own: (&[], &[]),
    })?;
    let linear = foretold(&subsets, changes, &retrained)?;
    let tracin = tracin(bench)?;
    let tracin = foretold(&subsets, &tracin, &retrained)?;
    let (problem, end) = (&bench.fitted.problem, &bench.fitted.reference);
    let kernel = foretold(&subsets, &influence::kernel(problem, end)?, &retrained)?;
    // Networks whose products cannot be followed have no such peer.
    let ekfac = match influence::ekfac(problem, end) {
        Ok(Some(changes)) => foretold(&subsets, &changes, &retrained)?,
        Ok(None) | Err(_) => None,
    };
    let guesses = bench.fitted.problem.each(bench.fitted.problem.split(), &guess)?;
    let per_example = by_each(&guesses, &by_example)?;
    Ok(Datamodel {
        subsets: count,
        kept: bench.draws().kept(bench.fitted.problem.items()),
        direct,
        linear,
        linear_interval: linear.map(|r| spearman_interval(r, count)),
        tracin,
        ekfac,
        kernel,
        per_example: (!per_example.is_empty())
            .then(|| per_example.iter().sum::<f64>() / per_example.len() as f64),
        examples: per_example.len(),
    })
}

/// Rank correlation of the truth with the sum of the changes of what each subset leaves out.
fn foretold(
    subsets: &[ItemOrder],
    changes: &[f64],
    retrained: &[f64],
) -> anyhow::Result<Option<f64>> {
    let sum = |subset: &ItemOrder| -> f64 {
        let kept: Subset = subset.steps.iter().flatten().copied().collect();
        let out = (0_u32..).zip(changes).filter(|(item, _)| !kept.contains(item));
        out.map(|(_, change)| change).sum()
    };
    let sums: Vec<f64> = subsets.iter().map(sum).collect();
    if sums.iter().any(|sum| !sum.is_finite()) {
        return Ok(None);
    }
    Ok(spearman(&sums, retrained)?)
}

/// What TracIn says that leaving an item out does: the rate of its step times the product of its
/// gradient there with that of the held-out loss at the end. Only its ranks are used.
fn tracin(bench: &mut Bench<'_>) -> anyhow::Result<Vec<f64>> {
    let Fitted { window, problem, course, .. } = &mut bench.fitted;
    let order = window.orders.reference().clone();
    let reference = Reference::take(course, problem, &order, window.start())?;
    let towards = problem.held_out_gradient(&reference.end()?)?;
    let rates = course.lr_factors();
    let mut changes = vec![0.0; problem.items()];
    for (step, items) in order.steps.iter().enumerate() {
        for item in items {
            let gradient = reference.gradient(*item as usize)?;
            let product = gradient.f_dot(&towards)?.f_to_kind(Kind::Double)?.f_double_value(&[])?;
            changes[*item as usize] = rates[step] * product / items.len() as f64;
        }
    }
    Ok(changes)
}

/// Spearman over subsets of every example's own loss, where it varies.
fn by_each(guesses: &[Vec<f64>], truths: &[Vec<f64>]) -> anyhow::Result<Vec<f64>> {
    let examples = truths.first().map_or(0, Vec::len);
    let mut found = Vec::new();
    for example in 0..examples {
        let column = |rows: &[Vec<f64>]| rows.iter().map(|row| row[example]).collect::<Vec<f64>>();
        let (guess, truth) = (column(guesses), column(truths));
        if guess.iter().chain(&truth).all(|loss| loss.is_finite()) {
            found.extend(spearman(&guess, &truth)?);
        }
    }
    Ok(found)
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
    let header = ["rank", "item", "change of the loss", "first example ids"];
    let all = result.alone.len();
    let rows = result.alone.iter().enumerate();
    let rows = rows.filter(|(rank, _)| *rank < SHOWN || rank + SHOWN >= all).map(|(rank, one)| {
        let change = one.change.map_or("–".to_owned(), |change| format!("{change:+.digits$}"));
        let ids: Vec<String> = one.ids.iter().take(6).map(u32::to_string).collect();
        [(rank + 1).to_string(), one.item.to_string(), change, ids.join(" ")]
    });
    print_table(header, rows)?;
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

fn show_datamodel(found: &Datamodel) -> anyhow::Result<()> {
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.3}"));
    let at = |interval: Option<stats::estimates::agreement::Interval>| {
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
         influence by EK-FAC {}, kernel as in TRAK {}\n\
         by held-out example, mean over {}: {}\n",
        found.subsets,
        found.kept,
        number(direct.relative_error),
        number(direct.mae_over_sd),
        number(direct.null_mae_over_sd),
        number(found.linear),
        at(found.linear_interval),
        number(found.tracin),
        number(found.ekfac),
        number(found.kernel),
        found.examples,
        number(found.per_example),
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
