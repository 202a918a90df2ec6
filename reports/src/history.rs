//! A suite's history: which metrics changed, as text, figures and a page.

mod figure;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use analysis::history::changes::{Change, Direction, HistoryAnalysis, SeriesChanges, Standing};
use askama::Template;

use crate::html::script::Head;
use crate::text::{one_line, significant};
use crate::{ReportError, output, paint};

/// Metrics with a figure on the page; all of them are listed.
const MOST_FIGURES: usize = 60;

/// The changed metrics, the most urgent first, then counts; ends with a line break.
#[must_use]
pub fn text(analysis: &HistoryAnalysis) -> String {
    let mut text = String::new();
    for series in changed(analysis) {
        text += &format!("{} ({})\n", one_line(&series.metric), one_line(&series.unit));
        for change in &series.changes {
            text += &format!("  {}\n", one_line(&told(change)));
        }
    }
    for note in &analysis.notes {
        text += &format!("note: {}\n", one_line(note));
    }
    text + &counts(analysis) + "\n"
}

/// Writes `index.html`, `history.json`, and `figures/history-<n>.svg` and `.png` of every metric that
/// changed into `out`; returns the paths, the page first.
///
/// # Errors
/// When a figure cannot be drawn or a file cannot be written.
pub fn render(analysis: &HistoryAnalysis, out: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let mut rows = Vec::new();
    let mut files = Vec::new();
    for (number, series) in (1..).zip(changed(analysis)) {
        let mut svg = None;
        if number <= MOST_FIGURES {
            let figure = figure::figure(analysis, series, number);
            files.push((figure.file("svg"), paint::svg(&figure)?.into_bytes()));
            files.push((figure.file("png"), paint::png(&figure)?));
            svg = Some(paint::inline_svg(&figure)?);
        }
        let changes = series.changes.iter().map(|change| one_line(&told(change))).collect();
        let (metric, unit) = (one_line(&series.metric), one_line(&series.unit));
        rows.push(Row { metric, unit, changes, svg });
    }
    let page = Page {
        suite: one_line(&analysis.suite),
        machine: one_line(&analysis.machine),
        commits: analysis.commits.len(),
        counts: counts(analysis),
        notes: analysis.notes.iter().map(|note| one_line(note)).collect(),
        rows,
        head: Head::without_script(),
    };
    let mut json = serde_json::to_vec_pretty(analysis)?;
    json.push(b'\n');
    let mut all = vec![
        (PathBuf::from("index.html"), page.render()?.into_bytes()),
        (PathBuf::from("history.json"), json),
    ];
    all.extend(files);
    all.into_iter().map(|(name, bytes)| output::write(&out.join(name), &bytes)).collect()
}

#[derive(Template)]
#[template(path = "history.html")]
struct Page {
    suite: String,
    machine: String,
    commits: usize,
    counts: String,
    notes: Vec<String>,
    rows: Vec<Row>,
    head: Head,
}

/// A metric on the page.
struct Row {
    metric: String,
    unit: String,
    changes: Vec<String>,
    svg: Option<String>,
}

/// Metrics with a change: open regressions first, then by how clear the clearest change is.
fn changed(analysis: &HistoryAnalysis) -> Vec<&SeriesChanges> {
    let urgency = |series: &SeriesChanges| {
        let worse = series
            .changes
            .iter()
            .any(|change| open(change) && change.direction == Direction::Regressed);
        let clearest = series.changes.iter().map(|change| change.chance).fold(1.0, f64::min);
        (!worse, clearest)
    };
    let mut changed: Vec<&SeriesChanges> =
        analysis.series.iter().filter(|series| !series.changes.is_empty()).collect();
    changed.sort_by(|one, other| {
        let (one_key, other_key) = (urgency(one), urgency(other));
        let by_chance = one_key.1.total_cmp(&other_key.1);
        one_key.0.cmp(&other_key.0).then(by_chance).then(one.metric.cmp(&other.metric))
    });
    changed
}

/// Neither accepted nor taken back.
fn open(change: &Change) -> bool {
    change.accepted.is_none() && change.standing != Standing::Undone
}

fn short(commit: &str) -> String {
    commit.chars().take(8).collect()
}

/// `regressed in 1a2b..3c4d: 1.00 -> 1.05 (+5.0 %), p = 1e-9, confirmed by 12 commits`.
fn told(change: &Change) -> String {
    let direction = match change.direction {
        Direction::Regressed => "regressed",
        Direction::Improved => "improved",
        Direction::Changed => "changed",
    };
    let relative = change.relative.map_or(String::new(), |share| format!(" ({})", percent(share)));
    let commits = if change.confirmations == 1 { "commit" } else { "commits" };
    let standing = match change.standing {
        Standing::Recent => format!("only {} {commits} so far", change.confirmations),
        Standing::Confirmed => format!("confirmed by {} {commits}", change.confirmations),
        Standing::Undone => format!("undone after {} {commits}", change.confirmations),
    };
    let mut text = format!(
        "{direction} in {}..{}: {} -> {}{relative}, p = {}, at most {} by chance, {standing}",
        short(&change.after),
        short(&change.commit),
        significant(change.before_mean, 4),
        significant(change.after_mean, 4),
        significant(change.p, 2),
        significant(change.chance, 2),
    );
    if change.suite_changed {
        text += "; the suite changed there too";
    }
    for software in &change.software_changed {
        text += &format!("; {software}");
    }
    if let Some(reason) = &change.accepted {
        text += &format!("; accepted: {reason}");
    }
    text
}

/// `+5.0 %`.
fn percent(share: f64) -> String {
    format!("{:+.1} %", 100.0 * share).replace('-', "−")
}

/// `2 regressed · 1 improved · 1 accepted · 30 metrics without a change · 60 commits on machine …`.
fn counts(analysis: &HistoryAnalysis) -> String {
    let changes = || analysis.series.iter().flat_map(|series| &series.changes);
    let count = |wanted: Direction| {
        changes().filter(|change| open(change) && change.direction == wanted).count()
    };
    let parts = [
        (count(Direction::Regressed), "regressed"),
        (count(Direction::Improved), "improved"),
        (count(Direction::Changed), "changed"),
        (changes().filter(|change| change.accepted.is_some()).count(), "accepted"),
        (changes().filter(|change| change.standing == Standing::Undone).count(), "undone"),
    ];
    let mut parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let without = analysis.series.iter().filter(|series| series.changes.is_empty()).count();
    parts.push(format!("{without} metrics without a change"));
    let least = 2 * analysis.options.minimum;
    let commits = analysis.commits.len();
    let few = if commits < least {
        format!(" (too few to show any change: {least} are needed)")
    } else {
        String::new()
    };
    parts.push(format!("{commits} commits{few} on machine {}", one_line(&analysis.machine)));
    parts.join(" · ")
}
