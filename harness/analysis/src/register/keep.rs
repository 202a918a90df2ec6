//! Entries of a register: how they are made, and where a suite and its register differ.

use std::path::Path;

use super::definition::{Definition, differences};
use super::{Change, Entry, Judged, RULE, Register, RegisterError, Version};
use crate::suite::{CompareBy, Suite};
use crate::summary::{Analysis, ClaimOutcome};
use crate::tuning::Tuned;
use ledger::digest::Digest;

/// What the verdict on each claim of a suite hangs on.
fn definitions(suite: &Suite, tuned: Option<&Tuned>) -> Vec<Definition> {
    suite.claims.iter().map(|claim| Definition::of(suite, tuned, claim)).collect()
}

impl Entry {
    fn last(&self) -> Option<&Version> {
        self.versions.last()
    }

    fn was_judged(&self) -> bool {
        self.versions.iter().any(|version| !version.verdicts.is_empty())
    }
}

/// Where a suite and its register differ in something that was judged; each with the claim's id.
#[must_use]
pub fn check(register: &Register, suite: &Suite, tuned: Option<&Tuned>) -> Vec<String> {
    let now = definitions(suite, tuned);
    let mut found = Vec::new();
    for entry in register.claims.iter().filter(|entry| entry.was_judged()) {
        let id = &entry.id;
        match (now.iter().find(|one| one.id == *id), &entry.withdrawn) {
            (None, None) => {
                found.push(format!("{id}: it was judged, and is no longer in the suite"))
            }
            (Some(_), Some(change)) => {
                found.push(format!(
                    "{id}: it was withdrawn on {}, and is in the suite",
                    change.date
                ));
            }
            (Some(definition), None) => {
                let changes = entry.last().filter(|last| last.digest != definition.digest);
                let changes = changes.map(|last| differences(&last.definition, &definition.value));
                found.extend(changes.into_iter().flatten().map(|change| format!("{id}: {change}")));
            }
            (None, Some(_)) => {}
        }
    }
    found
}

/// Why something that was judged has changed, and whether results had been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason<'a> {
    /// In words.
    pub why: &'a str,
    /// Whether its author had seen results.
    pub results_seen: bool,
}

/// Logs on `today` what changed in a suite since it was judged, with the reason, which must be there where
/// something did; gives back what changed. Of claims that were never judged the definition is put down, and one
/// that left the suite is withdrawn where a reason is given: what was announced is not dropped in silence.
///
/// # Errors
/// When a change has no reason.
pub fn amend(
    register: &mut Register,
    (suite, tuned): (&Suite, Option<&Tuned>),
    today: &str,
    reason: Option<Reason<'_>>,
) -> Result<Vec<String>, RegisterError> {
    let changes = check(register, suite, tuned);
    let silent = Reason { why: "", results_seen: true };
    let Some(reason) = reason.or(changes.is_empty().then_some(silent)) else {
        return Err(RegisterError::Unexplained { changes });
    };
    let Reason { why, results_seen } = reason;
    let change = |what| Change { date: today.to_owned(), what, why: why.to_owned(), results_seen };
    let now = definitions(suite, tuned);
    for entry in register.claims.iter_mut().filter(|entry| entry.was_judged() || !why.is_empty()) {
        if entry.withdrawn.is_none() && !now.iter().any(|one| one.id == entry.id) {
            entry.withdrawn = Some(change(vec!["taken out of the suite".to_owned()]));
        }
    }
    for definition in &now {
        bring(register, definition, &change);
    }
    Ok(changes)
}

/// Adds the verdicts of an analysis, made by the suite's text as it is, after what changed ([`amend`]); gives
/// back how many are new. `today` is the day of the newest run.
///
/// # Errors
/// When the analysis is of another text of the suite, or a change has no reason.
pub fn record(
    register: &mut Register,
    (suite, text, tuned): (&Suite, &str, Option<&Tuned>),
    analysis: &Analysis,
    today: &str,
    reason: Option<Reason<'_>>,
) -> Result<usize, RegisterError> {
    if Digest::of(text.as_bytes()).to_string() != analysis.suite_digest {
        return Err(RegisterError::Stale { suite: suite.suite.clone() });
    }
    amend(register, (suite, tuned), today, reason)?;
    let mut added = 0;
    for entry in &mut register.claims {
        let Some(version) = entry.versions.last_mut() else { continue };
        for outcome in analysis.claims.iter().filter(|outcome| outcome.id == entry.id) {
            let judged = judged(outcome, analysis, today);
            let last = version.verdicts.iter().rev().find(|one| one.workload == judged.workload);
            if !last.is_some_and(|last| last.repeats(&judged)) {
                version.verdicts.push(judged);
                added += 1;
            }
        }
    }
    Ok(added)
}

/// Brings a claim's entry to where `definition` is its last version.
fn bring(register: &mut Register, definition: &Definition, change: &dyn Fn(Vec<String>) -> Change) {
    let fresh = |change| Version {
        digest: definition.digest.clone(),
        definition: definition.value.clone(),
        change,
        verdicts: Vec::new(),
    };
    let at = register.claims.iter().position(|entry| entry.id == definition.id);
    let at = at.unwrap_or_else(|| {
        let versions = vec![fresh(None)];
        register.claims.push(Entry { id: definition.id.clone(), versions, withdrawn: None });
        register.claims.len() - 1
    });
    let entry = &mut register.claims[at];
    let was_judged = entry.was_judged();
    let mut what = Vec::new();
    if let Some(Change { date, why, results_seen, .. }) = entry.withdrawn.take() {
        let seen = if results_seen { "seen" } else { "not seen" };
        what.push(format!("taken out of the suite on {date} ({why}; results {seen})"));
        what.push("put back into the suite".to_owned());
    }
    if let Some(last) = entry.versions.last_mut() {
        what.extend(differences(&last.definition, &definition.value));
        if was_judged && !what.is_empty() {
            let change = change(what);
            entry.versions.push(fresh(Some(change)));
        } else if !was_judged {
            *last = fresh(None);
        }
    }
}

fn judged(outcome: &ClaimOutcome, analysis: &Analysis, today: &str) -> Judged {
    let told = |name: &str| {
        let found = analysis.environment.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let scale = match outcome.scale {
        CompareBy::Ratio => "ratio",
        CompareBy::Difference => "difference",
    };
    let interval = outcome.interval.as_ref();
    Judged {
        date: today.to_owned(),
        workload: outcome.workload.clone(),
        seeds: outcome.n,
        scale: scale.to_owned(),
        effect: outcome.effect,
        low: interval.map(|interval| interval.low),
        high: interval.map(|interval| interval.high),
        verdict: outcome.verdict.to_string(),
        reason: outcome.reason.clone(),
        rule: RULE.to_owned(),
        program: told("commit"),
        machine: told("CPU"),
        command: anywhere(&told("command")),
    }
}

/// Options that only say where somebody keeps things.
const PLACES: [&str; 2] = ["--store", "--data-dir"];

/// A command as it can be given anywhere: a register is read by others, whom the folders of the machine
/// that ran it do not concern.
fn anywhere(command: &str) -> String {
    let mut kept = Vec::new();
    let mut words = command.split_whitespace();
    while let Some(word) = words.next() {
        if PLACES.contains(&word) {
            words.next();
        } else if !PLACES.iter().any(|place| word.starts_with(&format!("{place}="))) {
            let is_place = kept.is_empty() || Path::new(word).is_absolute();
            let name = Path::new(word).file_name().filter(|_| is_place);
            kept.push(name.and_then(|name| name.to_str()).unwrap_or(word));
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_no_folder_of_the_machine_that_ran_it() {
        let told = [
            "./target/release/palimpsest run digits --store /scratch/runs --force",
            "/opt/bin/palimpsest run /home/a/digits --store=/scratch/runs --data-dir ../data --force",
            "palimpsest run digits --force",
        ];
        assert_eq!(told.map(anywhere), ["palimpsest run digits --force"; 3]);
        assert_eq!(
            anywhere("palimpsest run suites/a.yaml --set sgd.lr=0.1"),
            "palimpsest run suites/a.yaml --set sgd.lr=0.1"
        );
        assert_eq!(anywhere(""), "");
    }
}
