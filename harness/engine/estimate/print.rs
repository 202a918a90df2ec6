//! What all verbs of `palimpsest estimate` say of their estimator.

use std::path::PathBuf;

use palimpsest::exit::Exit;
use palimpsest::voice::{counted, decimals_for, print_json, print_text};
use serde::Serialize;
use stats::estimates::cost::Cost;
use stats::estimates::results::{Effect, Source};

use super::bench::Bench;

/// A verb's result: as JSON, or in words by `show` with the files that were written below.
pub fn answer<T: Serialize>(
    result: &T,
    json: bool,
    paths: &[PathBuf],
    show: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if json {
        return print_json(result);
    }
    show()?;
    paths.iter().try_for_each(|path| print_text(&format!("{}\n", path.display())))
}

/// The run, the window, the estimator, the gate's verdicts, the size of the effect and the costs.
pub fn heading(bench: &Bench<'_>, source: &Source) -> anyhow::Result<()> {
    let Source { cell, first_step, steps, item_count, estimator, validity, .. } = source;
    let k = source.k.map(|k| format!(", k = {k}")).unwrap_or_default();
    let k = match source.centres {
        1 => k,
        centres => format!("{k} around each of {centres} centres"),
    };
    let target = source.target.as_ref();
    let target = target.map(|of| format!("target: the loss of {of}\n")).unwrap_or_default();
    let mut text = format!(
        "run {cell}: steps {first_step} to {} ({item_count} items), estimator {estimator}{k}\n\
         {target}validity: {}: {}\n",
        first_step + *steps as u64,
        validity.verdict,
        validity.reason
    );
    if let Some(parameters) = validity.parameters_in_words() {
        text += &format!("parameters: {parameters}\n");
    }
    if let Some(remedy) = &validity.remedy {
        text += &format!("remedy: {remedy}\n");
    }
    if let Some(effect) = &source.effect {
        text += &format!("{}\n", effect_in_words(bench, effect));
    }
    text += &costs(bench, source);
    for warning in &source.warnings {
        text += &format!("warning: {warning}\n");
    }
    print_text(&text)
}

/// How much the order does at all, beside the seed.
fn effect_in_words(bench: &Bench<'_>, effect: &Effect) -> String {
    let Effect { orders, mean, sd, seeds, seed_sd } = effect;
    let digits = decimals_for(&[*sd]);
    let share = 100.0 * sd / mean.abs();
    let of_seeds = match seed_sd {
        Some(seed_sd) => {
            let digits = decimals_for(&[*seed_sd]);
            format!("sd over {seeds} seeds {seed_sd:.digits$}")
        }
        None if bench.judged.target.is_some() => {
            "sd over seeds unknown: records hold no loss of this target".to_owned()
        }
        None => "sd over seeds unknown: the store holds this arm under one seed".to_owned(),
    };
    format!(
        "order effect: {} loss {mean:.digits$}, sd {sd:.digits$} ({share:.2} %) over {orders} true \
         runs in random orders; {of_seeds}",
        bench.judged.name
    )
}

/// What it costs against true runs, one at a time and many at once.
fn costs(bench: &Bench<'_>, source: &Source) -> String {
    if source.withheld {
        return "cost: withheld, as the machine was busier than its cores\n".to_owned();
    }
    let line = |what: &str, cost: &Cost, seconds: f64| {
        let even = cost.break_even.map_or("it never breaks even".to_owned(), |orders| {
            format!("breaks even after {}", counted(orders.ceil() as usize, "order"))
        });
        format!(
            "cost against {what} ({:.2} ms): set-up and gate {:.1} of them, {:.1}x faster per order, \
             {even}\n",
            seconds * 1e3,
            cost.set_up,
            cost.speed_up
        )
    };
    let mut text = String::new();
    if let Some(cost) = &source.cost {
        text += &line("a true run alone", cost, bench.retrain_seconds);
        let replay = bench.replay_seconds / bench.retrain_seconds;
        if let Some(stacked) = &source.stacked {
            text += &line("true runs stacked over orders", stacked, bench.stacked_seconds);
        }
        text += &format!("beside the replay up to the window, {replay:.1} runs of it\n");
    }
    text
}

/// Fine where answers may be believed, "could not judge" where not.
pub fn exit(source: &Source) -> Exit {
    if source.validity.verdict.is_usable() { Exit::Fine } else { Exit::NotJudged }
}
