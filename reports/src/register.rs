//! `docs/claims.md`: what the claims of all suites came to, and every change of what was judged.

use std::fmt::Write as _;

use analysis::register::{Change, Entry, Judged, Register, Version};
use serde_json::Value;

use crate::text::{ABSENT, one_line, significant};

const HEAD: &str = "# Claims, as this bench finds them

Written by `palimpsest claims page` from the registers beside the suites (`suites/<suite>.claims.json`), which `palimpsest claims record SUITE` keeps
(`just claims` runs every suite again and records it); do not edit. Effects are oriented so that more favours the claim, with 95 % intervals over paired seeds. A verdict holds for this scale only; the
paper's number stands beside ours and magnitudes are never asserted equal. What was once judged stays: an earlier definition or a withdrawn claim is
struck through, and the log says why (all of a long change stands in the register). The sweep and the curves behind a verdict: `palimpsest report SUITE` after `palimpsest run SUITE`.
";

/// The page, as Markdown.
#[must_use]
pub fn page(registers: &[Register]) -> String {
    let mut page = HEAD.to_owned();
    for register in registers {
        let _ = write!(page, "\n## {}\n\n", one_line(&register.suite));
        page.push_str("| claim | on | paper | here | seeds | verdict | judged |\n");
        page.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
        for entry in &register.claims {
            rows(&mut page, entry);
        }
        if !register.notes.is_empty() {
            page.push('\n');
        }
        for note in &register.notes {
            let _ = writeln!(page, "- {}", one_line(note));
        }
        sources(&mut page, register);
    }
    log(&mut page, registers);
    page
}

/// A row per workload with the last verdict of each definition; earlier and withdrawn ones struck through.
fn rows(page: &mut String, entry: &Entry) {
    for (index, version) in entry.versions.iter().enumerate() {
        let current = index + 1 == entry.versions.len() && entry.withdrawn.is_none();
        let statement = cell(text_at(&version.definition, "/claim/statement"));
        let statement = if current { statement } else { format!("~~{statement}~~") };
        let paper = cell(text_at(&version.definition, "/claim/paper/number"));
        if version.verdicts.is_empty() {
            let state = if current { "not judged yet" } else { "never judged" };
            let _ = writeln!(
                page,
                "| {statement} | {ABSENT} | {paper} | {ABSENT} | {ABSENT} | {state} | {ABSENT} |"
            );
        }
        for judged in last_verdicts(version) {
            let (on, here) = (cell(&judged.workload), effect(judged));
            let reason = if judged.reason.is_empty() {
                String::new()
            } else {
                format!(": {}", cell(&judged.reason))
            };
            let (seeds, verdict, date) = (judged.seeds, cell(&judged.verdict), cell(&judged.date));
            let _ = writeln!(
                page,
                "| {statement} | {on} | {paper} | {here} | {seeds} | **{verdict}**{reason} | {date} |"
            );
        }
    }
}

/// The last verdict on each workload, in the order in which workloads first came.
pub(crate) fn last_verdicts(version: &Version) -> Vec<&Judged> {
    let mut last: Vec<&Judged> = Vec::new();
    for judged in &version.verdicts {
        match last.iter_mut().find(|one| one.workload == judged.workload) {
            Some(one) => *one = judged,
            None => last.push(judged),
        }
    }
    last
}

/// `1.09× (0.92 to 1.30)` or `+0.007 (−0.002 to 0.017)`.
pub(crate) fn effect(judged: &Judged) -> String {
    let ends = ends(judged).map(|[low, high]| format!(" ({low} to {high})")).unwrap_or_default();
    format!("{}{ends}", effect_alone(judged))
}

/// `1.09×` or `+0.007`.
pub(crate) fn effect_alone(judged: &Judged) -> String {
    let Some(effect) = judged.effect else { return ABSENT.to_owned() };
    let (sign, unit) = match judged.scale.as_str() {
        "ratio" => ("", "×"),
        _ if effect > 0.0 => ("+", ""),
        _ => ("", ""),
    };
    format!("{sign}{}{unit}", significant(effect, 3))
}

/// The ends of the effect's interval, where both are there.
pub(crate) fn ends(judged: &Judged) -> Option<[String; 2]> {
    let ends = judged.effect.and(judged.low.zip(judged.high));
    ends.map(|(low, high)| [low, high].map(|end| significant(end, 3)))
}

/// What a reader needs to see it again: commands, machines, programs of the newest verdicts.
fn sources(page: &mut String, register: &Register) {
    let current = register.claims.iter().filter_map(|entry| entry.versions.last());
    let mut told: Vec<String> = Vec::new();
    for judged in current.flat_map(last_verdicts) {
        let line = format!(
            "`{}`, {}, {}, on {}",
            one_line(&judged.command),
            one_line(&judged.program),
            one_line(&judged.date),
            one_line(&judged.machine)
        );
        if !told.contains(&line) {
            told.push(line);
        }
    }
    if !told.is_empty() {
        let _ = write!(page, "\nFrom {}.\n", told.join("; "));
    }
}

fn log(page: &mut String, registers: &[Register]) {
    page.push_str("\n## Log of changes\n\n");
    page.push_str("| date | suite | claim | what: before → after | why | results seen |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- |\n");
    let mut changes: Vec<(&Change, &str, &str)> = Vec::new();
    for register in registers {
        for entry in &register.claims {
            let versions = entry.versions.iter().filter_map(|version| version.change.as_ref());
            let all = versions.chain(&entry.withdrawn);
            changes.extend(all.map(|change| (change, register.suite.as_str(), entry.id.as_str())));
        }
    }
    changes.sort_by(|a, b| a.0.date.cmp(&b.0.date));
    for (change, suite, claim) in &changes {
        let what = shortened(&change.what);
        let (date, why) = (cell(&change.date), cell(&change.why));
        let seen = if change.results_seen { "yes" } else { "no" };
        let _ = writeln!(
            page,
            "| {date} | {} | {} | {what} | {why} | {seen} |",
            cell(suite),
            cell(claim)
        );
    }
    if changes.is_empty() {
        page.push_str("| none | | | | | |\n");
    }
}

/// The first changes; all of them stand in the register.
fn shortened(what: &[String]) -> String {
    const MOST: usize = 4;
    let first: Vec<String> = what.iter().take(MOST).map(|what| cell(what)).collect();
    let rest = what.len().saturating_sub(MOST);
    let rest = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    format!("{}{rest}", first.join("; "))
}

pub(crate) fn text_at<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap_or(ABSENT)
}

/// Text that cannot leave its cell of a table.
fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(verdict: &str, effect: f64) -> Judged {
        Judged {
            date: "2026-11-28".into(),
            workload: "blobs-cnn".into(),
            seeds: 5,
            scale: "ratio".into(),
            effect: Some(effect),
            low: Some(effect * 0.9),
            high: Some(effect * 1.1),
            verdict: verdict.into(),
            reason: "a | bar\nand a line".into(),
            rule: String::new(),
            program: "0123456789ab".into(),
            machine: "a processor".into(),
            command: "palimpsest run blobs".into(),
        }
    }

    fn version(statement: &str, verdicts: Vec<Judged>, change: Option<Change>) -> Version {
        let claim = serde_json::json!({"statement": statement, "paper": {"number": "1.4×"}});
        let definition = serde_json::json!({ "claim": claim });
        Version { digest: String::new(), definition, change, verdicts }
    }

    #[test]
    fn earlier_definitions_are_struck_through_and_logged() {
        let change = Change {
            date: "2026-11-28".into(),
            what: vec!["workloads.blobs-cnn.target.value: 0.9 → 0.88".into()],
            why: "no arm got there".into(),
            results_seen: true,
        };
        let mut register = Register::new("blobs");
        register.notes.push("a note".to_owned());
        register.claims.push(Entry {
            id: "sooner".into(),
            versions: vec![
                version("A is sooner", vec![judged("reproduced", 1.3)], None),
                version("A is sooner", vec![judged("inconclusive", 1.0)], Some(change)),
            ],
            withdrawn: None,
        });
        let page = page(&[register]);
        let body = page.split_once("## blobs").map(|(_, body)| body).unwrap_or_default();
        insta::assert_snapshot!(body, @r"
        | claim | on | paper | here | seeds | verdict | judged |
        | --- | --- | --- | --- | --- | --- | --- |
        | ~~A is sooner~~ | blobs-cnn | 1.4× | 1.30× (1.17 to 1.43) | 5 | **reproduced**: a \| bar and a line | 2026-11-28 |
        | A is sooner | blobs-cnn | 1.4× | 1.00× (0.900 to 1.10) | 5 | **inconclusive**: a \| bar and a line | 2026-11-28 |

        - a note

        From `palimpsest run blobs`, 0123456789ab, 2026-11-28, on a processor.

        ## Log of changes

        | date | suite | claim | what: before → after | why | results seen |
        | --- | --- | --- | --- | --- | --- |
        | 2026-11-28 | blobs | sooner | workloads.blobs-cnn.target.value: 0.9 → 0.88 | no arm got there | yes |
        ");
    }
}
