//! `palimpsest estimate validate`: holds estimators to true runs of orders they never saw.

use anyhow::bail;
use inspect::estimate::Problem as _;
use inspect::estimate::registry::{Entry, Fits, REGISTRY};
use palimpsest::cli::estimate::validate::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{print_table, print_text};
use stats::estimates::agreement::{Agreement, Compared, Parameters, Signal};
use stats::estimates::cost::Cost;
use stats::estimates::results::{Point, Validation};
use stats::estimates::{ItemOrder, OrdersSpec};
use tch::Tensor;

use super::bench::{Bench, with_bench};
use super::estimator::{Estimator, Predicted};
use super::given::{self, Brought};
use super::predict::out;
use super::print;

/// Fewest orders that an estimator is held to, and most.
const FEWEST: usize = 16;
const MOST: usize = 100_000;
/// Items whose own losses are compared.
const MOST_OWN: usize = 256;
/// Orders whose error is followed step by step.
const FOLLOWED: usize = 8;

/// What true runs of the test orders gave.
pub struct Truth {
    orders: Vec<ItemOrder>,
    /// Final parameters, K × p.
    ends: Tensor,
    held_out: Vec<f64>,
    own: Vec<Vec<f64>>,
}

pub fn run(args: &Args) -> anyhow::Result<Exit> {
    for name in args.beside.iter().filter(|name| *name != "all") {
        let _ = inspect::estimate::registry::find(name)?;
    }
    let drawn = match args.orders.as_slice() {
        [OrdersSpec::Random(count)] => Some(*count),
        _ => None,
    };
    if let Some(count) = drawn.filter(|count| !(FEWEST..=MOST).contains(count)) {
        bail!("--orders {count}: give {FEWEST} to {MOST} random orders, or a file");
    }
    let brought = Brought::read(&args.orders)?;
    with_bench(
        &args.fit,
        |fitted| match drawn {
            Some(_) => Ok(Vec::new()),
            None => brought.orders(fitted, args.fit.seed),
        },
        |bench, brought_orders| {
            let orders = match drawn {
                Some(count) => bench.test_draws(count)?,
                None => {
                    bench.unseen(&brought_orders)?;
                    if brought_orders.len() < FEWEST {
                        bail!(
                            "--orders: {} orders say little of an estimator; give {FEWEST} or more",
                            brought_orders.len()
                        );
                    }
                    brought_orders.into_iter().map(|one| one.order).collect()
                }
            };
            let all = found(bench, orders.clone(), &args.beside)?;
            let asked = (&args.orders, brought.rows(), &args.beside);
            let out = out(args.out.as_deref(), &args.fit.places.store(), "validate", bench, &asked);
            let mut paths = reports::estimates::validations(&all, &out)?;
            let written: Vec<&ItemOrder> = orders.iter().collect();
            paths.extend(given::write(bench, ("test-orders", "test orders"), &written, &out)?);
            print::answer(&all, args.json, &paths, || show(bench, &all))?;
            Ok(print::exit(&all[0].source))
        },
    )
}

/// The estimator of the bench, and those beside it, held to `orders` true runs.
pub fn found(
    bench: &mut Bench<'_>,
    orders: Vec<ItemOrder>,
    beside: &[String],
) -> anyhow::Result<Vec<Validation>> {
    let truth = Truth::train(bench, orders)?;
    let mut all = vec![of(bench, &truth)?];
    for id in names(bench, beside)? {
        let estimator = Estimator::named(&id, &mut bench.fitted, &bench.fitting)?;
        all.push(bench.with_estimator(estimator, |bench| of(bench, &truth))?);
    }
    Ok(all)
}

impl Truth {
    /// Trains `orders` for true, none of which is a pilot.
    pub fn train(bench: &mut Bench<'_>, orders: Vec<ItemOrder>) -> anyhow::Result<Self> {
        let (ends, _) = bench.fitted.truth(&orders)?;
        let held_out = bench.fitted.problem.held_out(&ends)?;
        if let Some(order) = held_out.iter().position(|loss| !loss.is_finite()) {
            bail!(
                "the true run of test order {order} diverged, so that there is no truth to compare \
                 with: choose a smaller learning rate"
            );
        }
        let few = bench.fitted.problem.items() <= MOST_OWN;
        let own = if few { bench.own(&ends)? } else { Vec::new() };
        Ok(Self { orders, ends, held_out, own })
    }
}

/// The estimator of the bench held to the truth.
pub fn of(bench: &mut Bench<'_>, truth: &Truth) -> anyhow::Result<Validation> {
    let Predicted { losses, ends, seconds } = bench.predict(&truth.orders)?;
    let (mut relative, mut cosines) = (Vec::new(), Vec::new());
    let mut own = Vec::new();
    if let Some(ends) = &ends {
        for row in 0..truth.orders.len() as i64 {
            let distance = bench.fitted.distance(&ends.get(row), &truth.ends.get(row))?;
            relative.push(distance.relative);
            cosines.push(distance.cosine);
        }
        if !truth.own.is_empty() {
            own = bench.own(ends)?;
        }
    }
    let parameters =
        ends.is_some().then_some(Parameters { relative_errors: &relative, cosines: &cosines });
    let own = if own.is_empty() { (&[][..], &[][..]) } else { (&own[..], &truth.own[..]) };
    let mut agreement = Agreement::of(&Compared {
        estimated: &losses,
        retrained: &truth.held_out,
        reference: bench.reference,
        pilot_sd: bench.pilot_sd,
        parameters,
        own,
    })?;
    if bench.estimator.ranks_only() {
        // A score has no unit: only its ranks mean something.
        agreement.mae_over_sd = None;
    }
    let points = truth.orders.iter().enumerate().map(|(row, order)| Point {
        hash: order.hash(),
        estimated: Some(losses[row]).filter(|loss| loss.is_finite()),
        retrained: truth.held_out[row],
        relative_error: relative.get(row).copied().filter(|error| error.is_finite()),
    });
    let points = points.collect();
    let error_growth = match bench.estimator.id() {
        "surrogate" if agreement.signal == Signal::Present => growth(bench, truth)?,
        _ => Vec::new(),
    };
    let source = bench.source(Some(seconds / truth.orders.len() as f64))?;
    Ok(Validation { source, reference: bench.reference, agreement, points, error_growth })
}

/// Median relative error of the surrogate's parameters after every step, over a few test orders.
fn growth(bench: &mut Bench<'_>, truth: &Truth) -> anyhow::Result<Vec<Option<f64>>> {
    let reference = bench.fitted.window.orders.reference().clone();
    let base = bench.fitted.path(None, &reference)?;
    let steps = bench.fitted.window.steps();
    let mut errors = vec![Vec::new(); steps];
    for order in truth.orders.iter().take(FOLLOWED) {
        let exact = bench.fitted.path(None, order)?;
        let guess = bench.fitted.path(Some(&bench.fitting), order)?;
        for (step, errors) in errors.iter_mut().enumerate() {
            let at = |path: &Tensor| path.get(step as i64 + 1);
            let far = (at(&exact) - at(&base)).norm().double_value(&[]);
            if far > 0.0 {
                errors.push((at(&guess) - at(&exact)).norm().double_value(&[]) / far);
            }
        }
    }
    let median = |mut errors: Vec<f64>| {
        Some(super::bench::median(&mut errors)).filter(|error| error.is_finite())
    };
    Ok(errors.into_iter().map(median).collect())
}

/// The estimators asked for, each once, without that of the bench.
fn names(bench: &Bench<'_>, asked: &[String]) -> anyhow::Result<Vec<String>> {
    let sgd = bench.fitted.course.sgd();
    let plain = bench.fitted.course.plain_rates().is_some();
    let fits = |fits: Fits| match fits {
        Fits::Any | Fits::Expandable => true,
        Fits::Sgd => sgd.is_some(),
        Fits::PlainSgd => plain,
    };
    let mut all = Vec::new();
    for name in asked {
        if name == "all" {
            let several = bench.fitting.pieces.len() > 1;
            // Made around one centre, which is not there.
            let known = |entry: &&Entry| {
                !(several && matches!(entry.id, "linear" | "low-rank" | "shared" | "reduced"))
            };
            let fitting = REGISTRY.iter().filter(|entry| fits(entry.fits)).filter(known);
            all.extend(fitting.map(|entry| entry.id));
        } else {
            all.push(inspect::estimate::registry::find(name)?.id);
        }
    }
    let mut once: Vec<String> = Vec::new();
    for id in all {
        if id != bench.estimator.id() && !once.iter().any(|other| other == id) {
            once.push(id.to_owned());
        }
    }
    Ok(once)
}

fn show(bench: &Bench<'_>, all: &[Validation]) -> anyhow::Result<()> {
    print::heading(bench, &all[0].source)?;
    let orders = all[0].agreement.orders;
    print_text(&format!("{orders} orders that no estimator saw, truly retrained:\n"))?;
    let header = [
        "estimator",
        "held-out ρ",
        "95 % interval",
        "per item ρ",
        "rel. error",
        "mae/sd",
        "null",
        "faster",
        "than stacked",
        "gate",
    ];
    let number = |value: Option<f64>, digits: usize| {
        value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
    };
    let rows = all.iter().map(|one| {
        let Agreement { held_out, held_out_interval, per_item, relative_error, .. } =
            &one.agreement;
        let rank = match one.agreement.signal {
            Signal::Present => number(*held_out, 3),
            Signal::NoOrderSignal => "no signal".to_owned(),
            Signal::Failed => "failed".to_owned(),
        };
        let interval = held_out_interval
            .map_or("–".to_owned(), |at| format!("[{:.3}, {:.3}]", at.low, at.high));
        let faster = |cost: Option<&Cost>| {
            cost.map_or("–".to_owned(), |cost| format!("{:.1}x", cost.speed_up))
        };
        [
            one.source.estimator.clone(),
            rank,
            interval,
            number(per_item.map(|items| items.mean), 3),
            number(*relative_error, 3),
            number(one.agreement.mae_over_sd, 3),
            number(one.agreement.null_mae_over_sd, 3),
            faster(one.source.cost.as_ref()),
            faster(one.source.stacked.as_ref()),
            one.source.validity.verdict.to_string(),
        ]
    });
    print_table(header, rows)?;
    if let Some(cost) = &all[0].source.cost {
        print_text(&format!(
            "with its set-up {} is {:.1}x faster over 1,000 orders and {:.1}x over 10,000\n",
            all[0].source.estimator, cost.amortised_1e3, cost.amortised_1e4
        ))?;
    }
    Ok(())
}
