//! The report on a terminal, and the words that all formats share.

use std::collections::BTreeMap;

use analysis::regress::Report;
use analysis::regress::metric::Value;
use analysis::regress::report::{Failure, Row, Verdict};
use stats::verdict::Scale;

use super::escape::line;
use crate::text::significant;

pub(super) fn text(report: &Report) -> String {
    let mut out = line(&sides(report)) + "\n";
    for told in told(report) {
        out.push_str(&format!("{}: {}\n", told.first.verdict.name(), line(&told.about())));
    }
    for failure in &report.failures {
        out.push_str(&format!("failed: {}\n", line(&crash(failure))));
    }
    for note in report.uncompared.iter().chain(&report.notes) {
        out.push_str(&format!("note: {}\n", line(note)));
    }
    out.push_str(&line(&counts(report)));
    out.push('\n');
    out
}

/// `digits: base 1a2b3c4d, head 5e6f7a8b, machine 0123456789ab`.
pub(super) fn sides(report: &Report) -> String {
    let short = |commit: &Option<String>| {
        let commit = commit.as_deref().unwrap_or("unknown");
        // What follows a plus tells apart programs of one commit.
        let (commit, changes) =
            commit.find('+').map_or((commit, ""), |place| commit.split_at(place));
        format!("{}{changes}", commit.chars().take(12).collect::<String>())
    };
    let Report { suite, base_commit, head_commit, base_machine, head_machine, .. } = report;
    let machine = if head_machine.is_empty() {
        "no machine".to_owned()
    } else if base_machine == head_machine {
        format!("machine {head_machine}")
    } else {
        format!("machines {base_machine} and {head_machine}")
    };
    format!("{suite}: base {}, head {}, {machine}", short(base_commit), short(head_commit))
}

/// Rows from which one line for all of them says more than one line each.
const MANY: usize = 3;

/// A changed row; or several that were not judged, all for one reason.
pub(super) struct Told<'a> {
    pub(super) first: &'a Row,
    pub(super) others: usize,
}

impl Told<'_> {
    /// `arm / workload / metric`, and how many more.
    pub(super) fn name(&self) -> String {
        match self.others {
            0 => name(self.first),
            others => format!("{} and {others} more", name(self.first)),
        }
    }

    /// Everything about it on one line.
    pub(super) fn about(&self) -> String {
        match self.others {
            0 => about(self.first),
            _ => format!("{}: {}", self.name(), reason(self.first)),
        }
    }
}

/// What a reader looks at, in order of the rows.
pub(super) fn told(report: &Report) -> Vec<Told<'_>> {
    let key = |row: &Row| (!row.judged).then(|| (row.verdict, reason(row)));
    let mut counts: BTreeMap<(Verdict, String), usize> = BTreeMap::new();
    for key in report.changed().filter_map(key) {
        *counts.entry(key).or_default() += 1;
    }
    let mut told = Vec::new();
    for row in report.changed() {
        let count = key(row).and_then(|key| counts.get_mut(&key));
        match count {
            Some(0) => {}
            Some(count) if *count >= MANY => {
                told.push(Told { first: row, others: *count - 1 });
                *count = 0;
            }
            _ => told.push(Told { first: row, others: 0 }),
        }
    }
    told
}

/// `2 regressed · 93 same · noise floor median 1.1 % (A/A 0/96)`.
pub(super) fn counts(report: &Report) -> String {
    let counts = report.counts();
    let mut parts: Vec<String> = Verdict::ALL
        .iter()
        .filter_map(|verdict| Some(format!("{} {}", counts.get(verdict)?, verdict.name())))
        .collect();
    let excused = report.rows.iter().filter(|row| row.excused.is_some()).count();
    if excused > 0 {
        parts.push(format!("{excused} of them excused"));
    }
    if parts.is_empty() {
        parts.push("nothing was compared".to_owned());
    }
    if let Some(floor) = &report.floor {
        let share = significant(100.0 * floor.median, 2);
        let (alarms, comparisons) = (floor.alarms, floor.comparisons);
        parts.push(format!("noise floor median {share} % (A/A {alarms}/{comparisons})"));
    }
    parts.join(" · ")
}

/// Why a row has its verdict, and why that does not count, where it does not.
pub(super) fn reason(row: &Row) -> String {
    match &row.excused {
        Some(excuse) => format!("{}; {excuse}", row.reason),
        None => row.reason.clone(),
    }
}

/// A failed run in words.
pub(super) fn crash(failure: &Failure) -> String {
    let excused = failure.excused.as_ref().map_or(String::new(), |excuse| format!("; {excuse}"));
    format!("{}: {}{excused}", failure.cell, failure.message)
}

/// `arm / workload / metric`.
pub(super) fn name(row: &Row) -> String {
    format!("{} / {} / {}", row.name.arm, row.name.workload, row.name.metric)
}

/// `1.050× [1.030, 1.070]`, `+0.01 […]`, or nothing.
pub(super) fn effect(row: &Row) -> String {
    let Some(effect) = row.effect else { return String::new() };
    let ends = crate::text::interval(&effect.interval, 1.0);
    match effect.scale {
        Scale::LogRatio => format!("{}× {ends}", significant(effect.value, 4)),
        Scale::Difference => format!("{} {ends}", significant(effect.value, 3)),
    }
}

pub(super) fn value(value: Option<&Value>) -> String {
    match value {
        None => crate::text::ABSENT.to_owned(),
        Some(Value::Text(text)) => crate::text::short_hash(text),
        Some(Value::Count(count)) => count.to_string(),
        Some(Value::Number(number)) => significant(*number, 4),
    }
}

/// Everything about a row on one line.
pub(super) fn about(row: &Row) -> String {
    let mut out = format!(
        "{}: {} -> {} {}",
        name(row),
        value(row.base.as_ref()),
        value(row.head.as_ref()),
        row.unit
    );
    let effect = effect(row);
    if !effect.is_empty() {
        out.push_str(&format!(", {effect}"));
    }
    for (letter, p) in [("p", row.p), ("q", row.q)] {
        if let Some(p) = p {
            out.push_str(&format!(", {letter} = {}", significant(p, 2)));
        }
    }
    // Two files that did not take turns have values, not pairs: the reason counts them.
    let pairs = if row.pairs == 0 { String::new() } else { format!(", {} pairs", row.pairs) };
    out.push_str(&format!("{pairs}; {}", reason(row)));
    out
}
