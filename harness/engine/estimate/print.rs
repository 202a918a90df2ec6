//! What all verbs of `palimpsest estimate` say of their estimator.

use palimpsest::exit::Exit;
use palimpsest::voice::print_text;
use stats::estimates::results::Source;

use super::bench::Bench;

/// The run, the window, the estimator, the gate's verdict and the costs.
pub fn heading(bench: &Bench<'_>, source: &Source) -> anyhow::Result<()> {
    let Source { cell, first_step, steps, item_count, estimator, validity, .. } = source;
    let k = source.k.map(|k| format!(", k = {k}")).unwrap_or_default();
    let mut text = format!(
        "run {cell}: steps {first_step} to {} ({item_count} items), estimator {estimator}{k}\n\
         validity: {}: {}\n",
        first_step + *steps as u64,
        validity.verdict,
        validity.reason
    );
    if let Some(remedy) = &validity.remedy {
        text += &format!("remedy: {remedy}\n");
    }
    if let Some(cost) = &source.cost {
        let even =
            cost.break_even.map_or("never".to_owned(), |orders| format!("{orders:.0} orders"));
        text += &format!(
            "cost: set-up {:.1} retrainings of {:.2} ms (beside {:.1} to reach the window), {:.0}x faster \
             per order, breaks even after {even}\n",
            cost.set_up,
            bench.retrain_seconds * 1e3,
            bench.replay_seconds / bench.retrain_seconds,
            cost.speed_up
        );
    }
    for warning in &source.warnings {
        text += &format!("warning: {warning}\n");
    }
    print_text(&text)
}

/// Fine where answers may be believed, "could not judge" where not.
pub fn exit(source: &Source) -> Exit {
    if source.validity.verdict.is_usable() { Exit::Fine } else { Exit::NotJudged }
}
