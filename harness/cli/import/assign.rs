//! Which arm and seed a logged run is of, and how many samples its looks are at.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use logs::find::{Log, LogFile};
use logs::names::Named;
use logs::{LoggedRun, shown};

use super::{Assigned, Mapping};

/// Most characters of an arm's name.
const LONGEST: usize = 200;

pub(super) fn assigned(
    log: &Log,
    files: &[LogFile],
    of_several: bool,
    run: LoggedRun,
    mapping: &Mapping,
) -> anyhow::Result<Assigned> {
    let whose = match &run.name {
        Some(name) if of_several => format!("{}, run {name:?}", shown(&log.name, usize::MAX)),
        _ => shown(&log.name, usize::MAX),
    };
    let named = named(log, &run, mapping, &whose)?;
    let arm = one("arm", [mapping.arm.clone(), run.arm.clone(), named.arm], &whose)?;
    let seed = one(
        "seed",
        [mapping.seed.map(|seed| seed.to_string()), run.seed.clone(), named.seed],
        &whose,
    )?;
    let known = seed.parse::<u64>().or_else(|_| whole(&seed));
    let seed = known.with_context(|| {
        format!("{whose}: seed {seed:?} is no whole number from 0 up; give the right one by --seed, --seed-from or --names")
    })?;
    if arm.trim().is_empty() || arm.chars().count() > LONGEST || arm.chars().any(char::is_control) {
        bail!(
            "{whose}: {arm:?} is no name of an arm: 1 to {LONGEST} characters that can be printed; give one by --arm"
        );
    }
    let samples = samples(&run, mapping, &whose)?;
    Ok(Assigned {
        arm,
        seed,
        log: log.name.clone(),
        form: log.form,
        files: files.to_vec(),
        of_several,
        run,
        samples,
    })
}

/// A seed that a table has as `3.0`.
fn whole(text: &str) -> Result<u64, std::num::ParseIntError> {
    text.strip_suffix(".0").unwrap_or(text).parse()
}

/// What names say, by the pattern: a run's own first, then those of its file and folders.
fn named(log: &Log, run: &LoggedRun, mapping: &Mapping, whose: &str) -> anyhow::Result<Named> {
    let Some(pattern) = &mapping.names else { return Ok(Named::default()) };
    let own = run.name.as_deref().and_then(|name| pattern.of_name(name));
    own.or_else(|| pattern.of_path(&log.path)).with_context(|| {
        format!(
            "{whose}: neither its name nor that of a folder above it fits the pattern of --names"
        )
    })
}

/// The one thing that is said, by whoever says it.
fn one(what: &str, said: [Option<String>; 3], whose: &str) -> anyhow::Result<String> {
    let mut all = said.into_iter().flatten();
    let Some(first) = all.next() else {
        bail!(
            "{whose}: nothing says its {what}; give --{what}, --{what}-from (a column, param or tag), or --names with a pattern such as {{arm}}/seed{{seed}}"
        );
    };
    match all.find(|other| *other != first) {
        None => Ok(first),
        Some(other) => bail!(
            "{whose}: its {what} is {first:?} and {other:?}; leave out one of --{what}, --{what}-from and --names"
        ),
    }
}

/// Samples at each look: counted by the log, or its steps times what is told of them.
fn samples(run: &LoggedRun, mapping: &Mapping, whose: &str) -> anyhow::Result<Vec<u64>> {
    let counted = run.looks.iter().all(|look| look.samples.is_some());
    match (counted && mapping.step_from.is_none(), mapping.samples_per_step) {
        (true, None) => Ok(run.looks.iter().filter_map(|look| look.samples).collect()),
        (true, Some(_)) => bail!(
            "{whose}: it counts samples itself; leave out --samples-per-step, or name what counts steps by --step-from"
        ),
        (false, None) => bail!(
            "{whose}: it counts steps, not samples; give --samples-per-step N (the batch size, or 1 to compare by steps), or name a column by --samples-from"
        ),
        (false, Some(size)) => {
            let samples = |look: &logs::Look| {
                let step = look.step.unwrap_or_default();
                step.checked_mul(size).with_context(|| {
                    format!("{whose}: {step} steps of {size} samples are too many")
                })
            };
            run.looks.iter().map(samples).collect()
        }
    }
}

/// One run of each arm and seed.
pub(super) fn check(assigned: &[Assigned]) -> anyhow::Result<()> {
    let mut seen: BTreeMap<(&str, u64), &Assigned> = BTreeMap::new();
    for one in assigned {
        if let Some(other) = seen.insert((&one.arm, one.seed), one) {
            bail!(
                "arm {:?} has two runs of seed {}: of {} and {}; tell them apart by --arm, --seed or --names, or leave one out",
                one.arm,
                one.seed,
                shown(&other.log, usize::MAX),
                shown(&one.log, usize::MAX)
            );
        }
    }
    Ok(())
}
