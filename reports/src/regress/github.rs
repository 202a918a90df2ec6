//! GitHub workflow commands: one annotation for each changed row; none when nothing changed.

use analysis::regress::Report;
use analysis::regress::report::Verdict;

use super::escape::{command, property};
use super::words::told;

pub(super) fn commands(report: &Report) -> String {
    let mut out = String::new();
    for told in told(report) {
        let verdict = told.first.verdict;
        let level = match verdict {
            Verdict::Regressed => "error",
            Verdict::Improved => "notice",
            _ => "warning",
        };
        let title = property(&format!("{}: {}", verdict.name(), told.name()));
        out.push_str(&format!("::{level} title={title}::{}\n", command(&told.about())));
    }
    for failure in &report.failures {
        let told = command(&format!("{}: {}", failure.cell, failure.message));
        out.push_str(&format!("::error title=failed::{told}\n"));
    }
    out
}
