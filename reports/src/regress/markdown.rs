//! A table for a step summary or a comment.

use ledger::regress::Report;

use super::COMMENT_MARKER;
use super::escape::markdown;
use super::words::{counts, effect, name, value};

pub(super) fn page(report: &Report) -> String {
    let mut out = format!("{COMMENT_MARKER}\n### {}\n\n", markdown(&report.suite));
    let rows: Vec<String> = report
        .changed()
        .map(|row| {
            let p = |p: Option<f64>| p.map_or(String::new(), |p| crate::text::significant(p, 2));
            let cells = [
                row.verdict.name().to_owned(),
                name(row),
                value(row.base.as_ref()),
                value(row.head.as_ref()),
                effect(row),
                p(row.p),
                p(row.q),
                row.pairs.to_string(),
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
