//! A table for a step summary or a comment.

use analysis::regress::Report;

use super::COMMENT_MARKER;
use super::escape::markdown;
use super::words::{Told, counts, effect, sides, told, value};

pub(super) fn page(report: &Report) -> String {
    let (suite, sides) = (markdown(&report.suite), markdown(&sides(report)));
    let mut out = format!("{COMMENT_MARKER}\n### {suite}\n\n{sides}\n\n");
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
                row.reason.clone(),
            ];
            let cells: Vec<String> = cells.iter().map(|cell| markdown(cell)).collect();
            format!("| {} |\n", cells.join(" | "))
        })
        .collect();
    if !rows.is_empty() {
        out.push_str("| verdict | metric | base | head | change | p | q | pairs | why |\n");
        out.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
        out.push_str(&rows.concat());
        out.push('\n');
    }
    for failure in &report.failures {
        let told = format!("{}: {}", failure.cell, failure.message);
        out.push_str(&format!("- failed: {}\n", markdown(&told)));
    }
    for note in &report.notes {
        out.push_str(&format!("- {}\n", markdown(note)));
    }
    out.push_str(&format!("\n{}\n", markdown(&counts(report))));
    out
}
