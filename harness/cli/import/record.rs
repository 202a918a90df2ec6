//! A logged run as a record and its events.

use analysis::imported::{Decided, Imported, METHOD, data_section};
use anyhow::Context as _;
use ledger::digest::Digest;
use ledger::goal::{TEST, key};
use ledger::record::RunRecord;
use ledger::record::format::{ClockSeconds, Environment, Evaluation, Event, RECORD_VERSION};
use ledger::record::identity::{CellKey, DataKey};
use ledger::record::planned::{PlannedArm, PlannedWorkload};
use ledger::transcript::ChainPoint;
use logs::{Look, Wanted, shown};
use serde_json::json;

use super::question::task;
use super::{Assigned, Mapping};

/// Version of the readers: another reading of the same bytes is another run.
const READER_VERSION: u32 = 1;

/// What the record of every run of an import shares.
pub(super) struct Shared<'a> {
    pub(super) suite: &'a str,
    pub(super) suite_text: &'a str,
    pub(super) workload: &'a PlannedWorkload,
    pub(super) wanted: &'a Wanted,
    pub(super) mapping: &'a Mapping,
    pub(super) argv: &'a [String],
    pub(super) now: u64,
}

/// A record with what it leaves beside it.
pub(super) struct Made {
    pub(super) record: RunRecord,
    pub(super) events: Vec<Event>,
}

/// What was read for a run, as its id is taken over it.
fn imported(one: &Assigned, shared: &Shared<'_>) -> Imported {
    let Wanted { metric, test, samples, step, clock, resumed, .. } = shared.wanted;
    let part = one.run.name.clone().filter(|_| one.of_several);
    let cells = [one.run.arm.as_deref(), one.run.seed.as_deref()];
    let cells = one.of_several.then(|| cells.into_iter().flatten().collect::<Vec<_>>().join(" "));
    Imported {
        reader: format!("{}/{READER_VERSION}", one.form.name()),
        files: one.files.iter().map(|file| file.sha256).collect(),
        run: part.or(cells),
        metric: metric.clone(),
        test: test.clone(),
        counts: samples.clone().or(step.clone()),
        samples_per_step: shared.mapping.samples_per_step,
        clock: clock.clone(),
        resumed: *resumed,
    }
}

/// The looks within the budget, up to the first that is no number.
fn evaluations(one: &Assigned, shared: &Shared<'_>, warnings: &mut Vec<String>) -> Vec<Evaluation> {
    let target = &shared.workload.goal.target;
    let budget = shared.workload.goal.budget.samples;
    let mut evaluations = Vec::new();
    let all: Vec<(&Look, u64)> = one.run.looks.iter().zip(one.samples.iter().copied()).collect();
    let within = all.iter().take_while(|(_, samples)| *samples <= budget).count();
    if within < all.len() {
        warnings.push(format!(
            "{}: {} looks past the budget of {budget} samples are left out",
            log_name(one),
            all.len() - within
        ));
    }
    for (look, samples) in all.iter().take(within) {
        let steps = look.step.unwrap_or_default();
        let seconds = look.seconds.unwrap_or_default();
        let finite = look.value.is_finite();
        evaluations.push(Evaluation {
            samples: *samples,
            steps,
            clocks: ClockSeconds { train: seconds, total: seconds, ..ClockSeconds::default() },
            train_loss: None,
            metrics: finite.then(|| (target.validation_key(), look.value)).into_iter().collect(),
            costs: std::collections::BTreeMap::new(),
            // There is no transcript whose chain it could be a point of.
            chain: ChainPoint { step: steps, chain: Digest([0; 32]) },
        });
        if !finite {
            warnings.push(format!(
                "{}: {} at {} is no finite number: the run counts as diverged there",
                log_name(one),
                target.metric,
                look.at
            ));
            break;
        }
    }
    if let (Some(last), Some(tested)) = (evaluations.len().checked_sub(1), one.run.tested) {
        let why = if !tested.is_finite() {
            Some("it is no finite number")
        } else if evaluations.len() < all.len() {
            Some("it is of the log's end, which the run does not have")
        } else {
            evaluations[last].metrics.insert(key(TEST, &target.metric), tested);
            None
        };
        if let Some(why) = why {
            warnings.push(format!(
                "{}: the value of {} on the test split, {tested}, is left out: {why}",
                log_name(one),
                target.metric
            ));
        }
    }
    evaluations
}

fn log_name(one: &Assigned) -> String {
    match (&one.run.name, one.of_several) {
        (Some(name), true) => shown(&format!("{}, run {name}", one.log), 200),
        _ => shown(&one.log, 200),
    }
}

/// The record of a run.
///
/// # Errors
/// When none of its looks is within the budget, or they do not go on.
pub(super) fn made(one: &Assigned, shared: &Shared<'_>) -> anyhow::Result<Made> {
    let whose = || format!("{} (arm {:?}, seed {})", log_name(one), one.arm, one.seed);
    let mut warnings: Vec<String> = one
        .run
        .notes
        .iter()
        .map(|note| format!("{}: {}", log_name(one), shown(note, 300)))
        .collect();
    let workload = shared.workload;
    let looks = evaluations(one, shared, &mut warnings);
    if looks.is_empty() {
        let budget = workload.goal.budget.samples;
        anyhow::bail!(
            "{}: none of its looks is within the budget of {budget} samples; give a larger one",
            whose()
        );
    }
    let decided = Decided::of(&looks, &workload.goal.target)
        .map_err(anyhow::Error::msg)
        .with_context(whose)?;
    let settings = imported(one, shared).values()?;
    let arm = PlannedArm {
        label: one.arm.clone(),
        method: METHOD.to_owned(),
        settings: settings.clone(),
        on: Vec::new(),
        budget: None,
        parents: ledger::lineage::Parents::default(),
        order: None,
        external: None,
    };
    let data = data_section(&task(workload)?);
    let seed = one.seed.to_string();
    let root = DataKey::from(data.train_root);
    let no_parents = ledger::lineage::Parents::default();
    // No code of this build decided what the run came to.
    let id =
        CellKey { workload, arm: &arm, parents: &no_parents, seed: &seed, data: root, code: "" }
            .id()?;
    let files = one.files.iter().map(|file| {
        json!({ "name": shown(&file.name, 1000), "bytes": file.bytes, "sha256": file.sha256 })
    });
    let Decided { status, time_to_target, last, samples, steps, seconds } = decided;
    let record = RunRecord {
        version: RECORD_VERSION,
        cell: id,
        suite: shared.suite.to_owned(),
        suite_digest: Digest::of(shared.suite_text.as_bytes()),
        workload: workload.id.clone(),
        workload_settings: workload.settings.clone(),
        method: METHOD.to_owned(),
        settings,
        seed,
        status,
        error: None,
        data: Some(data),
        goal: workload.goal.clone(),
        clocks: ClockSeconds { train: seconds, total: seconds, ..ClockSeconds::default() },
        time_to_target,
        last,
        at_target: std::collections::BTreeMap::new(),
        steps,
        samples,
        parameter_count: 0,
        parameters_sha256: None,
        tensors: Vec::new(),
        streams: Vec::new(),
        order: None,
        lineage: None,
        given_order: None,
        external: None,
        facts: [("files".to_owned(), files.collect())].into_iter().collect(),
        warnings,
        interruptions: Vec::new(),
        environment: Environment {
            palimpsest: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix: shared.now,
            argv: shared.argv.to_vec(),
            ..Environment::default()
        },
    };
    let events = looks.into_iter().map(Event::Evaluated).chain([Event::Ended { status }]).collect();
    Ok(Made { record, events })
}
