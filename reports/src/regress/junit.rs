//! JUnit XML: regressed is a failure, a crash an error, what was not judged is skipped.

use analysis::regress::Report;
use analysis::regress::report::Verdict;

use super::escape::xml;
use super::words::{about, name};

pub(super) fn suite(report: &Report) -> String {
    let failed = report.rows.iter().filter(|row| row.verdict == Verdict::Regressed).count();
    let skipped = report.rows.iter().filter(|row| !row.judged).count();
    let (tests, errors) = (report.rows.len() + report.failures.len(), report.failures.len());
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failed}\" errors=\"{errors}\" skipped=\"{skipped}\">\n",
        xml(&report.suite)
    );
    for row in &report.rows {
        let inner = match (row.verdict, row.judged) {
            (Verdict::Regressed, _) => format!("<failure message=\"{}\"/>", xml(&about(row))),
            (_, false) => format!("<skipped message=\"{}\"/>", xml(&about(row))),
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
