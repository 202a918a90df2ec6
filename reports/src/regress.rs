//! The regression gate's report in the formats of people and CI systems.
//!
//! Only changed rows are shown, then counts. Names come from suites and branches of strangers: each
//! format has one function through which every text passes ([`escape`]).

mod bmf;
mod escape;
mod github;
mod junit;
mod markdown;
mod words;

use analysis::regress::Report;

use crate::ReportError;

/// One kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegressFormat {
    /// For a terminal.
    Text,
    /// The report itself.
    Json,
    /// For a step summary or a comment.
    Markdown,
    /// JUnit XML: a test case for each metric.
    Junit,
    /// GitHub workflow commands (annotations).
    Github,
    /// Bencher Metric Format.
    Bmf,
}

impl RegressFormat {
    /// Every format with its name on the command line.
    pub const ALL: [(&'static str, Self); 6] = [
        ("text", Self::Text),
        ("json", Self::Json),
        ("markdown", Self::Markdown),
        ("junit", Self::Junit),
        ("github", Self::Github),
        ("bmf", Self::Bmf),
    ];
}

/// Marks the comment that is edited, not repeated.
pub const COMMENT_MARKER: &str = "<!-- palimpsest-regress -->";

/// Stands below the marker where the report tells something: without it nobody needs a comment.
pub(crate) const CHANGED_MARKER: &str = "<!-- palimpsest-regress: changed -->\n";

/// Draws `report`; ends with a line break unless it is empty.
///
/// # Errors
/// When a number of the report cannot be written as JSON.
pub fn render(report: &Report, format: RegressFormat) -> Result<String, ReportError> {
    Ok(match format {
        RegressFormat::Text => words::text(report),
        RegressFormat::Json => serde_json::to_string_pretty(report)? + "\n",
        RegressFormat::Markdown => markdown::page(report),
        RegressFormat::Junit => junit::suite(report),
        RegressFormat::Github => github::commands(report),
        RegressFormat::Bmf => serde_json::to_string_pretty(&bmf::metrics(report))? + "\n",
    })
}

#[cfg(test)]
mod tests;
