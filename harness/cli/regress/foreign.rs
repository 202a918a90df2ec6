//! Results of benchmarks that another tool has measured, as a line of a history.

use std::collections::BTreeMap;

use analysis::history::{Better, Entry, Measured, Metric};
use analysis::regress::Machine;
use anyhow::{Context as _, bail};
use ledger::digest::Digest;
use ledger::goal::Direction;
use logs::measurements::{self, Form, Measurement, Results};
use logs::shown;

use super::record::{Args, agreed, append, short};
use crate::exit::Exit;
use crate::voice::{print_text, warn};
use crate::{library, machine};

/// Most names that a message lists.
const NAMED: usize = 5;

/// Adds the results to the history called as the argument says.
///
/// # Errors
/// With what is wrong with the file, its commit, its machine or the name.
pub(super) fn record(args: &Args, file: &str, text: &str, form: Form) -> anyhow::Result<Exit> {
    let name = &args.suite;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !(1..=64).contains(&name.len()) || !name.chars().all(fits) || name.starts_with('.') {
        bail!(
            "{name:?} is no name of a history: 1 to 64 letters, digits, '-', '_' or '.', not starting with '.'"
        );
    }
    if library::suite(name).is_ok() {
        bail!(
            "\"{name}\" is a suite, whose history is of its own runs; give the benchmarks of {file} another name"
        );
    }
    let Results { measurements, without, commit, dirty, cpu, software, .. } =
        measurements::read(file, text, Some(form))?;
    let here = machine::cpu_model();
    if let Some(there) = cpu.filter(|there| *there != here) {
        bail!(
            "{file} was measured on {}, and this is {here}: record on the machine that measured it",
            shown(&there, 100)
        );
    }
    if dirty == Some(true) && !args.allow_dirty {
        bail!(
            "{file} was measured with changes that are in no commit: commit them and measure again, or --allow-dirty"
        );
    }
    let branch = args.place.open()?;
    let commit = agreed(args, commit.as_deref(), &branch)?;
    let metrics = metrics(args, file, measurements)?;
    let count = metrics.len();
    // Of other benchmarks a change may come; there is no suite whose text could say so.
    let names: Vec<&String> = metrics.keys().collect();
    let suite_digest = Digest::of_json(&(form.name(), names))?;
    let entry =
        Entry::Measured(Measured { commit: commit.clone(), suite_digest, software, metrics });
    let mut parts = machine::speed_parts();
    parts.extend([("cpu".to_owned(), here), ("cpus".to_owned(), machine::cpus().to_string())]);
    let machine = Machine::new(parts).fingerprint;
    let message = format!("Record {name} at {} on {machine}", short(&commit));
    branch.record(name, &machine, &message, None, |old| append(name, &machine, old, &entry))?;
    if !without.is_empty() {
        let named: Vec<String> = without.iter().take(NAMED).map(|name| shown(name, 80)).collect();
        let more = if without.len() > NAMED { ", …" } else { "" };
        warn(&format!(
            "{} benchmarks have no value and are left out: {}{more}",
            without.len(),
            named.join(", ")
        ));
    }
    print_text(&format!(
        "{name} at {}: {count} measurements of {} recorded on machine {machine}\n",
        short(&commit),
        form.name()
    ))?;
    Ok(Exit::Fine)
}

/// One value for each: the rounds of one process are no repetitions of a commit.
fn metrics(
    args: &Args,
    file: &str,
    measurements: Vec<Measurement>,
) -> anyhow::Result<BTreeMap<String, Metric>> {
    let chosen =
        [(&args.lower, Direction::LowerIsBetter), (&args.higher, Direction::HigherIsBetter)];
    let is = |name: &str, chosen: &str| name == chosen || name.rsplit('/').next() == Some(chosen);
    for chosen in chosen.iter().flat_map(|(names, _)| names.iter()) {
        let open = |one: &&Measurement| one.better.is_none() && is(&one.name, chosen);
        if !measurements.iter().any(|one| open(&one)) {
            let names: Vec<&str> = measurements
                .iter()
                .filter(|one| one.better.is_none())
                .map(|one| one.name.as_str())
                .collect();
            bail!(
                "{file} has no measurement {chosen:?} whose direction is open{}",
                ledger::catalogue::hint(chosen, names)
            );
        }
    }
    let metric = |one: Measurement| {
        let said: Vec<Direction> = chosen
            .iter()
            .filter(|(names, _)| names.iter().any(|name| is(&one.name, name)))
            .map(|(_, direction)| *direction)
            .collect();
        if one.better.is_none() && said.len() > 1 {
            bail!(
                "{}: --lower and --higher both name it; leave out one of the two",
                shown(&one.name, 100)
            );
        }
        let better = match one.better.or(said.first().copied()) {
            Some(Direction::LowerIsBetter) => Better::Lower,
            Some(Direction::HigherIsBetter) => Better::Higher,
            None => Better::Neither,
        };
        let values = vec![one.median()];
        Ok((one.name, Metric { unit: one.unit, better, values }))
    };
    measurements.into_iter().map(metric).collect()
}

/// The form of a text that is results of another tool, where it is one.
pub(super) fn recognised(file: &str, text: &str) -> Option<Form> {
    measurements::recognise(file, text).ok()
}

/// Refuses what only results of other tools take.
///
/// # Errors
/// When one of it is given.
pub(super) fn hold(args: &Args) -> anyhow::Result<()> {
    let given = [("--lower", &args.lower), ("--higher", &args.higher)];
    match given.iter().find(|(_, names)| !names.is_empty()) {
        None => Ok(()),
        Some((option, _)) => Err(anyhow::anyhow!(
            "{option} says of a measurement of another tool which way it improves; runs of a suite know"
        )),
    }
    .context("nothing is recorded")
}
