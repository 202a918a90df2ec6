//! How well random subsets are foretold, beside peers that follow no run.

use std::collections::BTreeSet;

use anyhow::Context as _;
use inspect::estimate::fitted::{Fitted, distance};
use inspect::estimate::{Problem as _, Reference, influence};
use stats::estimates::ItemOrder;
use stats::estimates::agreement::{Agreement, Compared, Parameters, spearman, spearman_interval};
use stats::estimates::results::Datamodel;
use tch::Kind;

use super::Subset;
use crate::estimate::bench::Bench;

/// Random subsets, estimated and truly trained on.
pub fn found(bench: &mut Bench<'_>, changes: &[f64], count: usize) -> anyhow::Result<Datamodel> {
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
    // At the end of the run, and in the mean over it and all pilots, which the surrogate has, too.
    let mut ends = vec![end.shallow_clone()];
    ends.extend((0..bench.fitting.ends.size()[0]).map(|pilot| bench.fitting.ends.get(pilot)));
    let kernels = ends.iter().map(|end| influence::kernel(problem, end));
    let kernels = kernels.collect::<Result<Vec<_>, _>>()?;
    // Networks whose products cannot be followed have no such peer.
    let ekfacs: Option<Vec<Vec<f64>>> =
        ends.iter().map(|end| influence::ekfac(problem, end).ok().flatten()).collect();
    let ekfacs = ekfacs.unwrap_or_default();
    let score = |changes: Option<Vec<f64>>| {
        changes.map_or(Ok(None), |changes| foretold(&subsets, &changes, &retrained))
    };
    let (kernel, kernel_of_runs) = (score(kernels.first().cloned())?, score(mean_of(&kernels))?);
    let (ekfac, ekfac_of_runs) = (score(ekfacs.first().cloned())?, score(mean_of(&ekfacs))?);
    let split = problem.split();
    let guesses = problem.each(split, &guess)?;
    let per_example = by_each(&guesses, &by_example)?;
    let [grouped, truly] = [&guesses, &by_example].map(|rows| by_group(rows, &split.groups));
    let per_group = by_each(&grouped, &truly)?;
    Ok(Datamodel {
        subsets: count,
        kept: bench.draws().kept(bench.fitted.problem.items()),
        direct,
        linear,
        linear_interval: linear.map(|r| spearman_interval(r, count)),
        tracin,
        ekfac,
        ekfac_of_runs,
        kernel,
        kernel_of_runs,
        per_example: mean(&per_example),
        examples: per_example.len(),
        per_group: mean(&per_group),
        groups: per_group.len(),
    })
}

/// The mean, where there is anything.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The mean of rows of one length.
fn mean_of(rows: &[Vec<f64>]) -> Option<Vec<f64>> {
    let columns = 0..rows.first()?.len();
    columns.map(|column| mean(&rows.iter().map(|row| row[column]).collect::<Vec<_>>())).collect()
}

/// The mean loss of each group of examples, `[row][group]`; no columns without groups.
fn by_group(rows: &[Vec<f64>], groups: &[u32]) -> Vec<Vec<f64>> {
    let names: BTreeSet<u32> = groups.iter().copied().collect();
    let of = |row: &Vec<f64>, name: u32| {
        let own = row.iter().zip(groups).filter(|(_, group)| **group == name);
        mean(&own.map(|(loss, _)| *loss).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    };
    rows.iter().map(|row| names.iter().map(|name| of(row, *name)).collect()).collect()
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
