//! `palimpsest estimate files`: estimates from arrays of any framework.

mod check;
mod inputs;
mod needs;
mod orders;
mod update_rule;

use std::path::Path;

use anyhow::{Context as _, bail};
use data::columns::write_npy_table;
use inspect::estimate::oracle::brought::Brought;
use ledger::record::writer::write_atomic;
use palimpsest::cli::estimate::files::Args;
use palimpsest::exit::Exit;
use palimpsest::voice::{note, print_json, print_table, print_text, warn};
use serde::Serialize;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use check::Check;
use inputs::{Inputs, Loss};
use stats::estimates::agreement::Interval;

/// Orders of a table that a person reads.
const SHOWN: usize = 20;

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.out.exists() && !args.force {
        bail!("{}: the file exists; --force overwrites it", args.out.display());
    }
    lab::device::prepare_process(1);
    let mut inputs = Inputs::open(args)?;
    let orders = orders::read(&args.orders, inputs.items, args.free_orders)?;
    let rule = update_rule::read(&args.optimizer, orders.steps, &mut inputs)?;
    let check = Check::read(args, &mut inputs, orders.steps)?;
    let mut driven = orders.list.clone();
    driven.extend(check.iter().flat_map(|check| check.orders.iter().cloned()));
    let in_memory = needs::check(&inputs, driven.len(), args.memory_limit)?;
    for line in inputs.notes() {
        note(&line);
    }
    let mut course = inspect::estimate::brought::course(
        &rule.file.rule,
        &rule.rates,
        rule.file.clip,
        &rule.start,
        inputs.parameters as i64,
    )
    .with_context(|| args.optimizer.display().to_string())?;
    let replay = inputs.curvature.is_none();
    if replay {
        note("without --curvature the gradients are constant: this is the replay estimator");
    }
    let start = inputs.theta0()?;
    let centre = inputs.centre()?;
    let basis = inputs.basis()?;
    let loss = inputs.loss()?;
    let loss_centre = inputs.loss_centre()?;
    let gradients = inputs.gradients()?;
    let mut oracle = Brought {
        centre: &centre,
        basis: basis.as_ref(),
        gradients: &gradients,
        curvature: inputs.curvature(in_memory)?,
    };
    let all = course.drive(&mut oracle, &driven, &start, &mut |_, _, _| Ok(()))?;
    drop(oracle);
    let expanded = loss_centre.as_ref().unwrap_or(&centre);
    let losses = loss.map(|loss| loss.at(&all.f_sub(expanded)?, basis.as_ref())).transpose()?;
    let count = orders.list.len();
    let ends = all.f_narrow(0, 0, count as i64)?;
    let gate = match &check {
        Some(check) => {
            let theirs = all.f_narrow(0, count as i64, check.orders.len() as i64)?;
            Some(check.judge(&theirs, losses.as_deref().map(|losses| &losses[count..]))?)
        }
        None => None,
    };
    let losses = losses.map(|losses| losses[..count].to_vec());
    let finite = finite_rows(&ends)?;
    write(&args.out, &ends)?;
    let one = check::are_one(&ends, &start)?;
    check::signs(&ends, &start, &centre, basis.as_ref())?;

    let results = results(&orders, losses.as_deref(), &finite, gate.as_ref(), one);
    let document = Document {
        estimator: if replay { "replay" } else { "surrogate" },
        parameters: inputs.parameters,
        directions: inputs.directions,
        items: inputs.items,
        orders: orders.list.len(),
        steps: orders.steps,
        free_orders: args.free_orders,
        curvature_in_memory: (!replay).then_some(in_memory),
        optimizer: serde_json::to_value(&rule.file)?,
        files: inputs.files(),
        out: args.out.display().to_string(),
        predicted: losses.is_some().then_some(match args.loss_at_centre {
            Some(_) => "loss",
            None => "loss minus the loss at the centre",
        }),
        no_order_signal: one,
        gate,
        ranking: ranking(&results),
        results,
    };
    if args.json {
        print_json(&document)?
    } else {
        print(&document)?
    }
    conclude(&document)
}

/// What is printed under `--json`.
#[derive(Debug, Serialize)]
struct Document {
    estimator: &'static str,
    parameters: usize,
    directions: Option<usize>,
    items: usize,
    orders: usize,
    steps: usize,
    free_orders: bool,
    curvature_in_memory: Option<bool>,
    optimizer: Value,
    files: Value,
    out: String,
    /// What `predicted_loss` counts.
    predicted: Option<&'static str>,
    /// Whether the orders end apart by rounding only; they have no ranks then.
    no_order_signal: bool,
    /// What trainings that were really done say of the estimates; null without any.
    gate: Option<check::Gate>,
    /// Numbers of the orders, lowest predicted loss first; those that diverged are left out.
    ranking: Vec<usize>,
    results: Vec<OrderResult>,
}

/// One order.
#[derive(Debug, Serialize)]
struct OrderResult {
    order: usize,
    hash: String,
    /// Whether all final parameters are finite.
    finite: bool,
    predicted_loss: Option<f64>,
    /// 95 % interval of the true loss, where the gate lets losses be believed.
    interval: Option<Interval>,
    /// Confidence that its true loss is below the mean of the gate's trainings.
    better_than_mean: Option<f64>,
    /// From 1, lowest predicted loss first.
    rank: Option<usize>,
}

fn results(
    orders: &orders::Orders,
    losses: Option<&[f64]>,
    finite: &[bool],
    gate: Option<&check::Gate>,
    one: bool,
) -> Vec<OrderResult> {
    let loss = |number: usize| losses.map(|losses| losses[number]).filter(|loss| loss.is_finite());
    let each = orders.list.iter().zip(finite).enumerate();
    let results = each.map(|(number, (order, finite))| OrderResult {
        order: number,
        hash: order.hash().to_string(),
        finite: *finite,
        predicted_loss: loss(number),
        interval: gate.zip(loss(number)).and_then(|(gate, loss)| gate.interval(loss)),
        better_than_mean: gate
            .zip(loss(number))
            .and_then(|(gate, loss)| gate.better_than_mean(loss)),
        rank: None,
    });
    let mut results: Vec<OrderResult> = results.collect();
    if one {
        return results;
    }
    let mut order: Vec<usize> = (0..results.len()).collect();
    order.retain(|number| results[*number].predicted_loss.is_some());
    let loss = |number: usize| results[number].predicted_loss.unwrap_or(f64::INFINITY);
    order.sort_by(|a, b| loss(*a).total_cmp(&loss(*b)));
    for (rank, number) in (1..).zip(order) {
        results[number].rank = Some(rank);
    }
    results
}

fn ranking(results: &[OrderResult]) -> Vec<usize> {
    let mut ranked: Vec<&OrderResult> = results.iter().filter(|row| row.rank.is_some()).collect();
    ranked.sort_by_key(|row| row.rank);
    ranked.into_iter().map(|row| row.order).collect()
}

/// Whether each row is finite throughout.
fn finite_rows(table: &Tensor) -> anyhow::Result<Vec<bool>> {
    let rows = table.f_isfinite()?.f_all_dim(1, false)?.f_to_kind(Kind::Int64)?;
    Ok(Vec::<i64>::try_from(&rows)?.into_iter().map(|finite| finite != 0).collect())
}

/// Writes the parameters as float64, M × p, whole or not at all.
fn write(path: &Path, ends: &Tensor) -> anyhow::Result<()> {
    let (rows, columns) = ends.size2()?;
    let mut values = vec![0.0_f64; (rows * columns) as usize];
    ends.f_contiguous()?.f_copy_data(&mut values, (rows * columns) as usize)?;
    let mut bytes = Vec::with_capacity(size_of_val(values.as_slice()) + 128);
    write_npy_table(&mut bytes, &values, columns as usize)?;
    drop(values);
    Ok(write_atomic(path, &bytes)?)
}

fn print(document: &Document) -> anyhow::Result<()> {
    let Document { orders, steps, parameters, .. } = document;
    if let Some(gate) = &document.gate {
        check::print(gate)?;
    }
    if let Some(predicted) = document.predicted.filter(|_| !document.no_order_signal) {
        let rows = document.ranking.iter().take(SHOWN).map(|number| {
            let row = &document.results[*number];
            [
                row.rank.map_or_else(String::new, |rank| rank.to_string()),
                row.order.to_string(),
                row.predicted_loss.map_or_else(String::new, |loss| format!("{loss:.9}")),
                row.interval.map_or_else(
                    || "–".to_owned(),
                    |at| format!("[{:.6}, {:.6}]", at.low, at.high),
                ),
                row.better_than_mean.map_or_else(|| "–".to_owned(), |share| format!("{share:.3}")),
                row.hash.chars().take(16).collect(),
            ]
        });
        let header =
            ["rank", "order", predicted, "95 % interval", "P(better than the gate's mean)", "hash"];
        print_table(header, rows)?;
        let more = document.ranking.len().saturating_sub(SHOWN);
        if more > 0 {
            print_text(&format!("{more} more; --json lists all\n"))?;
        }
    }
    print_text(&format!(
        "{}: final parameters of {orders} orders of {steps} steps, shape ({orders}, {parameters})\n",
        document.out
    ))
}

/// Says how far the estimates may be believed.
fn conclude(document: &Document) -> anyhow::Result<Exit> {
    let lost: Vec<String> = document
        .results
        .iter()
        .filter(|row| !row.finite)
        .map(|row| row.order.to_string())
        .collect();
    if !lost.is_empty() {
        warn(&format!(
            "{} of {} orders diverged (their rows hold NaN or infinity), first order {}: the \
             estimate does not hold this far from the centre; use a smaller learning rate, more \
             directions, or a centre nearer to the end of training",
            lost.len(),
            document.orders,
            lost[0]
        ));
        return Ok(Exit::NotJudged);
    }
    if document.no_order_signal {
        warn(
            "no order signal: all orders end at the same parameters up to rounding, so that there is \
             nothing to rank; constant gradients at a constant rate see no order, give --curvature",
        );
        // The parameters are what they are; losses were asked for to be ranked.
        if document.predicted.is_some() {
            return Ok(Exit::NotJudged);
        }
    }
    match &document.gate {
        Some(gate) if gate.validity.verdict.is_usable() => {}
        Some(gate) => {
            warn(&format!("{}: do not use these numbers", gate.validity.verdict));
            return Ok(Exit::NotJudged);
        }
        None => note(
            "no training was given to check against: train a few of these orders for true and give \
             them as --check-orders, --check-ends and --check-losses before you believe a ranking",
        ),
    }
    Ok(Exit::Fine)
}

impl Loss {
    /// L(c) + b·d + ½ (Qᵀd)ᵀ (QᵀH_L Q) (Qᵀd) for each row d of `away` (M × p).
    fn at(&self, away: &Tensor, basis: Option<&Tensor>) -> anyhow::Result<Vec<f64>> {
        let mut losses = away.f_matmul(&self.gradient)?.f_add_scalar(self.at_centre)?;
        if let Some(curvature) = &self.curvature {
            let (along, within) = match basis {
                Some(basis) => {
                    (away.f_matmul(basis)?, basis.f_transpose(0, 1)?.f_matmul(curvature)?)
                }
                None => (away.shallow_clone(), curvature.shallow_clone()),
            };
            let product = along.f_matmul(&within)?.f_mul(&along)?;
            let sum = product.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Double)?;
            losses = losses.f_add(&sum.f_mul_scalar(0.5)?)?;
        }
        Ok(Vec::<f64>::try_from(&losses)?)
    }
}

/// What was read of one file, for the record.
fn described(name: &str, path: &Path, shape: &[usize], dtype: &str) -> Value {
    json!({ "array": name, "file": path.display().to_string(), "shape": shape, "dtype": dtype })
}
