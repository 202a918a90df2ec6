//! What a record says of time and metrics, against the events that the run wrote on the way.

use ledger::record::decided::{Decided, grid};
use ledger::record::format::{ClockSeconds, Evaluation, Event, OrderSection, RunRecord, Status};
use ledger::record::store::Store;

/// The evaluations stand where the run's steps put them, clocks and counts go on, and crossing, last
/// metrics, test metrics at the target, samples, steps and status are what they decide.
pub(super) fn check(store: &Store, record: &RunRecord, order: &OrderSection) -> Result<(), String> {
    let events = store.events(&record.cell).map_err(|error| error.to_string())?;
    let evaluations: Vec<Evaluation> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Evaluated(evaluation) => Some(evaluation),
            _ => None,
        })
        .collect();
    check_grid(record, order, &evaluations)?;
    check_clocks(&record.clocks, &evaluations)?;
    check_extent(record, order)?;
    let decided = Decided::of(&evaluations, &record.goal.target);
    let diverged = record.status == Status::Diverged;
    let facts = [
        ("time_to_target", decided.time_to_target == record.time_to_target),
        ("final", decided.last == record.last),
        ("at_target", decided.at_target == record.at_target),
        ("samples", decided.samples == record.samples),
        ("status", decided.status(diverged) == record.status),
    ];
    match facts.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((name, _)) => Err(format!("{name} is not what the evaluations of events.jsonl give")),
    }
}

/// Every evaluation that the steps ask for is there, and no other; a run that diverged ends early, at
/// one that is not finite.
fn check_grid(
    record: &RunRecord,
    order: &OrderSection,
    evaluations: &[Evaluation],
) -> Result<(), String> {
    let budget = record.goal.budget;
    if budget.evaluate_every == 0 {
        return Err("goal.evaluate_every_samples is 0".to_owned());
    }
    let mut expected = grid(&order.epochs, budget.evaluate_every);
    for (number, evaluation) in evaluations.iter().enumerate() {
        let found = (evaluation.samples, evaluation.steps);
        let wanted = expected.next();
        if wanted != Some(found) {
            return Err(format!(
                "evaluation {number} is at {} samples and {} steps, but the steps of the run put it at {}",
                found.0,
                found.1,
                wanted.map_or("no place".to_owned(), |(samples, steps)| format!(
                    "{samples} samples and {steps} steps"
                )),
            ));
        }
    }
    if let Some((samples, steps)) = expected.next() {
        return Err(format!(
            "the evaluation at {samples} samples and {steps} steps is missing from events.jsonl"
        ));
    }
    let key = record.goal.target.validation_key();
    // A method without a training loss never reports one.
    let losses = evaluations.iter().any(|evaluation| evaluation.train_loss.is_some());
    let finite = |evaluation: &Evaluation| {
        evaluation.metrics.contains_key(&key)
            && (evaluation.steps == 0 || evaluation.train_loss.is_some() || !losses)
    };
    let diverged = record.status == Status::Diverged;
    let cut = evaluations.len().saturating_sub(usize::from(diverged));
    if let Some(at) = evaluations[..cut].iter().position(|evaluation| !finite(evaluation)) {
        return Err(format!("evaluation {at} is not finite, but the run went on"));
    }
    Ok(())
}

/// The four clocks never run backwards, and end where the record says or before.
fn check_clocks(end: &ClockSeconds, evaluations: &[Evaluation]) -> Result<(), String> {
    let mut before = ClockSeconds::default();
    let readings = evaluations.iter().map(|evaluation| evaluation.clocks).chain([*end]);
    for (number, now) in readings.enumerate() {
        for (name, before, now) in [
            ("train", before.train, now.train),
            ("eval", before.eval, now.eval),
            ("io", before.io, now.io),
            ("total", before.total, now.total),
        ] {
            if !now.is_finite() || now < before {
                let place = match evaluations.get(number) {
                    Some(_) => format!("evaluation {number}"),
                    None => "the record's end".to_owned(),
                };
                return Err(format!(
                    "the {name} clock stands at {now} s at {place}, after {before} s"
                ));
            }
        }
        let parts = now.train + now.eval + now.io;
        if parts > now.total * (1.0 + 1e-9) + 1e-6 {
            return Err(format!("the clocks sum to {parts} s within {} s", now.total));
        }
        before = now;
    }
    Ok(())
}

/// The epochs that were promised were consumed, within the budget.
fn check_extent(record: &RunRecord, order: &OrderSection) -> Result<(), String> {
    let consumed: u64 = order.epochs.iter().fold(0, |sum, epoch| sum.saturating_add(epoch.n));
    if consumed > record.goal.budget.samples {
        return Err(format!(
            "{consumed} samples were consumed of a budget of {}",
            record.goal.budget.samples
        ));
    }
    let found = order.epochs.len() as u64;
    if record.status != Status::Diverged && found != u64::from(order.epochs_planned) {
        return Err(format!("{found} epochs of {} planned", order.epochs_planned));
    }
    Ok(())
}
