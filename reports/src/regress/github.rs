//! GitHub workflow commands: one annotation for each changed row; none when nothing changed.

use ledger::regress::Report;
use ledger::regress::report::Verdict;

use super::escape::command;
use super::words::{about, name};

pub(super) fn commands(report: &Report) -> String {
    let mut out = String::new();
    for row in report.changed() {
        let level = match row.verdict {
            Verdict::Regressed => "error",
            Verdict::Improved => "notice",
            _ => "warning",
        };
        let title = command(&format!("{}: {}", row.verdict.name(), name(row)));
        out.push_str(&format!("::{level} title={title}::{}\n", command(&about(row))));
    }
    for failure in &report.failures {
        let told = command(&format!("{}: {}", failure.cell, failure.message));
        out.push_str(&format!("::error title=failed::{told}\n"));
    }
    out
}
