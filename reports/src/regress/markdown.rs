//! A table for a step summary or a comment.

use analysis::regress::Report;

use super::escape::markdown;
use super::words::{Told, counts, crash, effect, reason, sides, told, value};
use super::{CHANGED_MARKER, COMMENT_MARKER};

/// GitHub refuses a comment of more than 65,536 characters; room is left for the line that says how
/// many rows are not shown, and for escapes.
const LONGEST: usize = 60_000;
/// Most of one text that is shown.
const LONGEST_TEXT: usize = 1000;
/// Room of all notes.
const LONGEST_NOTES: usize = 20_000;

pub(super) fn page(report: &Report) -> String {
    let (suite, sides) = (markdown(&report.suite), markdown(&sides(report)));
    let changed = if report.tells_something() { CHANGED_MARKER } else { "" };
    let mut out = format!("{COMMENT_MARKER}\n{changed}### {suite}\n\n{sides}\n\n");
    let rows: Vec<String> = told(report)
        .iter()
        .map(|told| {
            let Told { first: row, others } = told;
            let alone = |text: String| if *others == 0 { text } else { String::new() };
            let p = |p: Option<f64>| p.map_or(String::new(), |p| crate::text::significant(p, 2));
            let cells = [
                row.verdict.name().to_owned(),
                told.name(),
                alone(value(row.base.as_ref())),
                alone(value(row.head.as_ref())),
                alone(effect(row)),
                alone(p(row.p)),
                alone(p(row.q)),
                alone(row.pairs.to_string()),
                reason(row),
            ];
            let cells: Vec<String> = cells.iter().map(|cell| cut(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        })
        .collect();
    let failures =
        report.failures.iter().map(|failure| format!("- failed: {}\n", cut(&crash(failure))));
    let failures: Vec<String> = failures.collect();
    let nothing = report.uncompared.iter().map(|reason| format!("nothing was compared: {reason}"));
    let notes = nothing.chain(report.notes.iter().cloned());
    let notes = notes.map(|note| format!("- {}\n", cut(&note)));
    let mut room = LONGEST_NOTES;
    let notes: String = notes
        .take_while(|note| {
            room = room.saturating_sub(note.chars().count());
            room > 0
        })
        .collect();
    let end = format!("{notes}\n{}\n", markdown(&counts(report)));
    if !rows.is_empty() {
        out.push_str("| verdict | metric | base | head | change | p | q | pairs | why |\n");
        out.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    }
    let size = |text: &str| text.chars().count();
    let mut left = LONGEST.saturating_sub(size(&out) + size(&end));
    let mut put = |out: &mut String, lines: &[String]| {
        let fits = |line: &&String| {
            let size = size(line);
            let fits = size <= left;
            left = if fits { left - size } else { 0 };
            fits
        };
        let shown: Vec<&String> = lines.iter().take_while(fits).collect();
        shown.iter().for_each(|line| out.push_str(line));
        lines.len() - shown.len()
    };
    let mut lacking = put(&mut out, &rows);
    if !rows.is_empty() {
        out.push('\n');
    }
    lacking += put(&mut out, &failures);
    if lacking > 0 {
        out.push_str(&format!("- {lacking} more are left out here: report.json has all\n"));
    }
    out + &end
}

/// A text that leaves room for others.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => markdown(&format!("{}…", &text[..end])),
        None => markdown(text),
    }
}
