//! The verdict on each aligned metric of one round.

mod compared;
mod tested;

pub(super) use tested::scale_of_score;

use super::align::Aligned;
use super::floor::NoiseFloor;
use super::metric::Class;
use super::report::{Row, Verdict};
use super::rule::Rule;
use super::{RegressError, Snapshot};

/// What a noise floor is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Floor<'a> {
    /// Take it from here; `None`, and a reason that there is none, refuses times.
    Measured(Result<&'a NoiseFloor, &'a str>),
    /// The machine against itself: there is no floor yet.
    BeingMeasured,
}

/// Exact metrics that no machine has a part in: judged against a reference of any machine.
pub(super) const PORTABLE: [&str; 4] = ["order", "data", "steps", "samples"];

/// Rows of all metrics but `info`, in order of names.
pub(super) fn rows(
    aligned: &[Aligned],
    base: &Snapshot,
    head: &Snapshot,
    floor: Floor<'_>,
    rule: &Rule,
) -> Result<Vec<Row>, RegressError> {
    let interleaved = base.session.is_some() && base.session == head.session;
    // Two sides that took turns were on one machine, whatever their builds bring along.
    let elsewhere = (!interleaved && !base.machine.is(&head.machine)).then(|| {
        let differences = base.machine.differences(&head.machine).join("; ");
        format!("measured on another machine ({differences}): record a reference on this one")
    });
    let mut rows = Vec::new();
    let mut tested = Vec::new();
    for aligned in aligned.iter().filter(|aligned| aligned.definition.class != Class::Info) {
        let row = blank(aligned);
        let portable = aligned.definition.class == Class::Exact
            && PORTABLE.contains(&aligned.name.metric.as_str());
        rows.push(if let Some(reason) = elsewhere.as_ref().filter(|_| !portable) {
            unjudged(row, Verdict::EnvironmentChanged, reason.clone())
        } else {
            match (aligned.sides(), aligned.definition.class) {
                ((false, _), _) => {
                    Row { verdict: Verdict::New, reason: "not in the base".to_owned(), ..row }
                }
                ((true, false), _) => unjudged(row, Verdict::Missing, missing(aligned, head)),
                _ if aligned.other_config.is_some() => {
                    unjudged(row, Verdict::Inconclusive, other_config(aligned))
                }
                (_, Class::Exact | Class::Ulp) => compared::row(aligned, row),
                _ => {
                    let (row, sample) = tested::measure(aligned, row, interleaved, floor, rule)?;
                    tested.extend(sample.map(|sample| (rows.len(), sample)));
                    row
                }
            }
        });
    }
    tested::decide(&mut rows, &tested, rule)?;
    Ok(rows)
}

fn blank(aligned: &Aligned) -> Row {
    let definition = &aligned.definition;
    let first = |side: fn(&super::align::Couple) -> Option<&super::metric::Value>| {
        aligned.couples.values().find_map(side).cloned()
    };
    Row {
        name: aligned.name.clone(),
        class: definition.class,
        unit: definition.unit.clone(),
        direction: definition.direction,
        verdict: Verdict::Inconclusive,
        judged: true,
        reason: String::new(),
        base: first(|couple| couple.base.as_ref()),
        head: first(|couple| couple.head.as_ref()),
        effect: None,
        p: None,
        q: None,
        pairs: 0,
        threshold: None,
        floor: None,
        confirmation: None,
        excused: None,
    }
}

fn unjudged(row: Row, verdict: Verdict, reason: String) -> Row {
    Row { verdict, judged: false, reason, ..row }
}

/// The two sides ran two experiments.
fn other_config(aligned: &Aligned) -> String {
    let seed = aligned.other_config.as_ref().map_or("", |cell| &cell.seed);
    format!(
        "run with other settings in the base (seed {seed:?}): the suite or a default changed; the \
         next reference has the new settings"
    )
}

/// Why the head has nothing: its runs crashed, or they are not there.
fn missing(aligned: &Aligned, head: &Snapshot) -> String {
    let crash = head.cells.iter().find_map(|cell| {
        let here = (&cell.workload, &cell.arm) == (&aligned.name.workload, &aligned.name.arm);
        cell.failed.as_ref().filter(|_| here)
    });
    match crash {
        Some(message) => format!("the head's run failed: {message}"),
        None => "in the base, not in the head".to_owned(),
    }
}
