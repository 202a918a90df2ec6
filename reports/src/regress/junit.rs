//! JUnit XML: regressed is a failure, a crash an error, what was not judged is skipped.

use analysis::regress::Report;
use analysis::regress::report::{Row, Verdict};

use super::escape::xml;
use super::words::{about, name};

/// Not judged, or excused.
fn passed_over(row: &Row) -> bool {
    row.excused.is_some() || (!row.judged && row.verdict != Verdict::Regressed)
}

pub(super) fn suite(report: &Report) -> String {
    let failed = |row: &&Row| row.verdict == Verdict::Regressed && row.excused.is_none();
    let failed = report.rows.iter().filter(failed).count();
    let skipped = report.rows.iter().filter(|row| passed_over(row)).count();
    let (tests, errors) = (report.rows.len() + report.failures.len(), report.failures.len());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"{errors}\" skipped=\"{skipped}\">\n",
        xml(&report.suite)
    );
    for row in &report.rows {
        let inner = match (row.verdict, passed_over(row)) {
            (Verdict::Regressed, false) => format!("<failure message=\"{}\"/>", xml(&about(row))),
            (_, true) => format!("<skipped message=\"{}\"/>", xml(&about(row))),
            _ => String::new(),
        };
        let (name, class) = (xml(&name(row)), row.class.name());
        out.push_str(&format!(
            "<testcase classname=\"{class}\" name=\"{name}\">{inner}</testcase>\n"
        ));
    }
    for failure in &report.failures {
        let (cell, message) = (xml(&failure.cell.to_string()), xml(&failure.message));
        out.push_str(&format!(
            "<testcase classname=\"run\" name=\"{cell}\"><error message=\"{message}\"/></testcase>\n"
        ));
    }
    out.push_str("</testsuite>\n");
    out
}
