//! The decision: done, or measure the suspects again; after that, done.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::RegressError;
use super::align::{Aligned, align};
use super::floor::NoiseFloor;
use super::judge::{self, Floor};
use super::metric::{CellName, Class, MetricName};
use super::report::{Confirmation, Failure, InfoRow, REPORT_VERSION, Report, Row, Verdict};
use super::rule::Rule;
use super::snapshot::Snapshot;

/// A noise floor, and the time at which it is used.
#[derive(Debug, Clone, Copy)]
pub struct FloorAt<'a> {
    /// The floor, where there is one.
    pub floor: Option<&'a NoiseFloor>,
    /// Seconds since 1970, now.
    pub now_unix: u64,
}

/// Cells to measure again on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspect {
    /// Label of the workload.
    pub workload: String,
    /// Label of the arm.
    pub arm: String,
    /// Scores are suspect: the second round must use seeds that the first did not.
    pub fresh_seeds: bool,
}

/// What a first round comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// Nothing to confirm.
    Final {
        /// The verdicts.
        report: Box<Report>,
    },
    /// There are alarms, and both sides can be run again: one fresh round decides ([`confirm`]).
    NeedsConfirmation {
        /// What holds if the second round agrees.
        provisional: Box<Report>,
        /// What to run again.
        cells: Vec<Suspect>,
    },
}

/// Judges `head` against `base`.
///
/// Alarms of tests, for better or worse, ask for a second round where both sides ran in one session, so that both can run
/// again; against a kept reference, and for `exact` and `ulp`, the first round is the last.
///
/// # Errors
/// When the two are of two suites, a metric has two units, classes or directions, the rule is out of
/// range, or a number leaves the range of f64.
pub fn decide(
    base: &Snapshot,
    head: &Snapshot,
    floor: FloorAt<'_>,
    rule: &Rule,
) -> Result<Decision, RegressError> {
    rule.check()?;
    let aligned = align(base, head)?;
    let rows = round(&aligned, base, head, floor, rule)?;
    let mut suspects: BTreeMap<(String, String), bool> = BTreeMap::new();
    if base.session.is_some() && base.session == head.session {
        for row in rows.iter().filter(|row| alarm(row)) {
            let cell = (row.name.workload.clone(), row.name.arm.clone());
            *suspects.entry(cell).or_default() |= row.class == Class::Quality;
        }
    }
    let cells: Vec<Suspect> = suspects
        .into_iter()
        .map(|((workload, arm), fresh_seeds)| Suspect { workload, arm, fresh_seeds })
        .collect();
    let report = Box::new(report(&aligned, rows, base, head, floor, rule));
    Ok(if cells.is_empty() {
        Decision::Final { report }
    } else {
        Decision::NeedsConfirmation { provisional: report, cells }
    })
}

/// Judges the alarms of `provisional` again in a fresh round of both sides: an alarm stays where
/// both rounds raise it, and is inconclusive otherwise.
///
/// # Errors
/// As [`decide`]; when the round is of the first one's session, or gives a suspected score no fresh
/// seed only.
pub fn confirm(
    provisional: Report,
    first: &Snapshot,
    base: &Snapshot,
    head: &Snapshot,
    floor: FloorAt<'_>,
) -> Result<Report, RegressError> {
    let mut report = provisional;
    let rule = report.rule;
    let suspects: BTreeSet<MetricName> =
        report.rows.iter().filter(|row| alarm(row)).map(|row| row.name.clone()).collect();
    let aligned: Vec<Aligned> =
        align(base, head)?.into_iter().filter(|aligned| suspects.contains(&aligned.name)).collect();
    check_fresh(&report, first, base, head, &aligned)?;
    let second = round(&aligned, base, head, floor, &rule)?;
    let mut second: BTreeMap<MetricName, Row> =
        second.into_iter().map(|row| (row.name.clone(), row)).collect();
    let moved = head.machine.fingerprint != report.head_machine;
    for row in report.rows.iter_mut().filter(|row| suspects.contains(&row.name)) {
        let again = second.remove(&row.name).filter(|_| !moved);
        let (agrees, judged) = again
            .as_ref()
            .map_or((false, false), |again| (again.verdict == row.verdict, again.judged));
        let why = again.as_ref().map_or_else(
            || "it was not measured again on this machine".to_owned(),
            |again| again.reason.clone(),
        );
        row.confirmation = Some(Confirmation {
            agrees,
            effect: again.as_ref().and_then(|again| again.effect),
            q: again.as_ref().and_then(|again| again.q),
            pairs: again.as_ref().map_or(0, |again| again.pairs),
        });
        if agrees {
            row.reason.push_str(", in both rounds");
        } else {
            row.verdict = Verdict::Inconclusive;
            row.judged = judged;
            row.reason = format!("the second round does not confirm the alarm of the first: {why}");
        }
    }
    report.sessions.extend(base.session.clone());
    for failure in failures(head) {
        if !report.failures.contains(&failure) {
            report.failures.push(failure);
        }
    }
    Ok(report)
}

/// Whether a test called it regressed or improved.
fn alarm(row: &Row) -> bool {
    matches!(row.verdict, Verdict::Regressed | Verdict::Improved)
        && matches!(row.class, Class::Time | Class::Quality)
}

fn round(
    aligned: &[Aligned],
    base: &Snapshot,
    head: &Snapshot,
    at: FloorAt<'_>,
    rule: &Rule,
) -> Result<Vec<Row>, RegressError> {
    let reason = match at.floor {
        Some(floor) => floor.obstacle(head, at.now_unix, rule),
        None => Some("no noise floor of this machine: measure one (regress aa)".to_owned()),
    };
    let floor = match (&reason, at.floor) {
        (None, Some(floor)) => Ok(floor),
        (reason, _) => Err(reason.as_deref().unwrap_or_default()),
    };
    judge::rows(aligned, base, head, Floor::Measured(floor), rule)
}

fn check_fresh(
    report: &Report,
    first: &Snapshot,
    base: &Snapshot,
    head: &Snapshot,
    aligned: &[Aligned],
) -> Result<(), RegressError> {
    let refuse = |reason: String| Err(RegressError::NotFresh { reason });
    if first.suite != report.suite || base.suite != report.suite || head.suite != report.suite {
        return refuse(format!("it is of another suite than {:?}", report.suite));
    }
    match &base.session {
        Some(session) if base.session == head.session => {
            if report.sessions.contains(session) {
                return refuse(format!("it is session {session:?} again"));
            }
        }
        _ => return refuse("its two sides did not take turns in one session".to_owned()),
    }
    for aligned in aligned.iter().filter(|aligned| aligned.definition.class == Class::Quality) {
        for (seed, _) in aligned.couples.keys() {
            let used = first.cells.iter().any(|cell| {
                (&cell.workload, &cell.arm, &cell.seed)
                    == (&aligned.name.workload, &aligned.name.arm, seed)
            });
            if used {
                let name = &aligned.name;
                return refuse(format!("{name} has seed {seed:?} of the first round again"));
            }
        }
    }
    Ok(())
}

/// Failed runs, each cell and message once however often it ran.
fn failures(head: &Snapshot) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for cell in &head.cells {
        let Some(message) = cell.failed.clone() else { continue };
        let failure = Failure { cell: cell.name(), message, excused: None };
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
    failures
}

/// Why nothing was compared: two sides that took turns with the same code under the same software.
fn uncompared(base: &Snapshot, head: &Snapshot) -> Option<String> {
    let codes = |side: &Snapshot| -> Option<BTreeMap<CellName, String>> {
        side.cells.iter().map(|cell| Some((cell.name(), cell.code.clone()?))).collect()
    };
    let (ours, theirs) = (codes(head)?, codes(base)?);
    let common = || ours.iter().filter_map(|(name, code)| Some((code, theirs.get(name)?)));
    let interleaved = base.session.is_some() && base.session == head.session;
    let same = interleaved
        && common().next().is_some()
        && common().all(|(code, other)| code == other)
        && base.machine.software == head.machine.software;
    same.then(|| {
        "both builds have the same training code and libraries, so that the change was not measured"
            .to_owned()
    })
}

fn report(
    aligned: &[Aligned],
    rows: Vec<Row>,
    base: &Snapshot,
    head: &Snapshot,
    at: FloorAt<'_>,
    rule: &Rule,
) -> Report {
    let info = aligned.iter().filter(|aligned| aligned.definition.class == Class::Info);
    let info = info.map(|aligned| InfoRow {
        name: aligned.name.clone(),
        unit: aligned.definition.unit.clone(),
        base: aligned.couples.values().find_map(|couple| couple.base.clone()),
        head: aligned.couples.values().find_map(|couple| couple.head.clone()),
    });
    let disturbed = |side: &Snapshot| side.cells.iter().filter(|cell| cell.disturbed).count();
    let mut notes = Vec::new();
    let busy = disturbed(base) + disturbed(head);
    let software = base.machine.software_differences(&head.machine);
    if !software.is_empty() {
        notes.push(format!("other software in the head: {}", software.join("; ")));
    }
    if busy > 0 {
        notes.push(format!("{busy} runs met a busy machine: their pairs of times are left out"));
    }
    Report {
        version: REPORT_VERSION,
        suite: head.suite.clone(),
        base_commit: base.commit.clone(),
        head_commit: head.commit.clone(),
        base_machine: base.machine.fingerprint.clone(),
        head_machine: head.machine.fingerprint.clone(),
        sessions: base.session.iter().chain(&head.session).take(1).cloned().collect(),
        rule: *rule,
        rows,
        info: info.collect(),
        failures: failures(head),
        floor: at.floor.map(NoiseFloor::summary),
        uncompared: uncompared(base, head),
        notes,
    }
}
