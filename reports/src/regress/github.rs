//! GitHub workflow commands: one annotation for each changed row; none when nothing changed.

use analysis::regress::Report;
use analysis::regress::report::Verdict;

use super::escape::{command, property};
use super::words::{crash, told};

pub(super) fn commands(report: &Report) -> String {
    let mut out = String::new();
    for told in told(report) {
        let verdict = told.first.verdict;
        let level = match verdict {
            _ if told.first.excused.is_some() => "notice",
            Verdict::Regressed => "error",
            Verdict::Improved => "notice",
            _ => "warning",
        };
        let title = property(&format!("{}: {}", verdict.name(), told.name()));
        out.push_str(&format!("::{level} title={title}::{}\n", command(&told.about())));
    }
    for failure in &report.failures {
        let level = if failure.excused.is_some() { "notice" } else { "error" };
        out.push_str(&format!("::{level} title=failed::{}\n", command(&crash(failure))));
    }
    if let Some(reason) = &report.uncompared {
        out.push_str(&format!("::error title=nothing was compared::{}\n", command(reason)));
    }
    out
}
