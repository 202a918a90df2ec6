use analysis::regress::Rule;
use analysis::regress::metric::{CellName, Class, MetricName, Value};
use analysis::regress::report::{Failure, Report, Row, Verdict};
use proptest::prelude::*;

use super::*;

fn report(text: &str) -> Report {
    let name =
        MetricName { workload: text.to_owned(), arm: text.to_owned(), metric: text.to_owned() };
    let row = |verdict| Row {
        name: name.clone(),
        class: Class::Exact,
        unit: text.to_owned(),
        direction: None,
        verdict,
        judged: true,
        reason: text.to_owned(),
        base: Some(Value::Text(text.to_owned())),
        head: Some(Value::Count(3)),
        effect: None,
        p: None,
        q: None,
        pairs: 5,
        threshold: None,
        floor: None,
        confirmation: None,
        excused: None,
    };
    let cell = CellName { workload: text.to_owned(), arm: text.to_owned(), seed: text.to_owned() };
    Report {
        version: 2,
        suite: text.to_owned(),
        base_commit: None,
        head_commit: None,
        base_machine: String::new(),
        head_machine: String::new(),
        sessions: Vec::new(),
        rule: Rule::default(),
        rows: vec![row(Verdict::Regressed), row(Verdict::Same)],
        info: Vec::new(),
        failures: vec![Failure { cell, message: text.to_owned(), excused: None }],
        floor: None,
        uncompared: None,
        notes: vec![text.to_owned()],
    }
}

fn drawn(text: &str, format: RegressFormat) -> String {
    render(&report(text), format).unwrap()
}

#[test]
fn only_changed_rows_are_shown_then_counts() {
    let text = drawn("x", RegressFormat::Text);
    assert_eq!(text.matches("regressed: ").count(), 1);
    assert!(text.ends_with("1 regressed · 1 same\n"), "{text}");
}

#[test]
fn rows_that_were_not_judged_for_one_reason_are_one_line() {
    let mut report = report("x");
    let unjudged = |arm: &str| {
        let name = MetricName { arm: arm.to_owned(), ..report.rows[0].name.clone() };
        let reason = "no floor".to_owned();
        let verdict = Verdict::Inconclusive;
        Row { name, verdict, judged: false, reason, ..report.rows[0].clone() }
    };
    let rows: Vec<Row> = ["a", "b", "c", "d"].into_iter().map(unjudged).collect();
    report.rows.extend(rows);
    let text = render(&report, RegressFormat::Text).unwrap();
    assert_eq!(text.matches("inconclusive: ").count(), 1, "{text}");
    assert!(text.contains("inconclusive: a / x / x and 3 more: no floor\n"), "{text}");
    assert!(text.ends_with("1 regressed · 4 inconclusive · 1 same\n"), "{text}");
    let github = render(&report, RegressFormat::Github).unwrap();
    assert_eq!(github.matches("::warning").count(), 1, "{github}");
    // Two of a kind are two lines.
    report.rows.truncate(4);
    let text = render(&report, RegressFormat::Text).unwrap();
    assert_eq!(text.matches("inconclusive: ").count(), 2, "{text}");
}

#[test]
fn a_report_of_thousands_of_rows_fits_a_comment_and_says_how_many_are_left_out() {
    let mut report = report("x");
    let row = report.rows[0].clone();
    report.rows = (0..2000)
        .map(|place| {
            let mut row = row.clone();
            row.name.arm = format!("arm-{place}");
            row.reason = "é | ".repeat(100);
            row
        })
        .collect();
    report.failures = vec![report.failures[0].clone(); 2000];
    report.notes = vec!["long ".repeat(50_000); 30];
    let page = render(&report, RegressFormat::Markdown).unwrap();
    assert!(page.chars().count() <= 65_536, "{}", page.chars().count());
    let rows = page.lines().filter(|line| line.starts_with("| regressed")).count();
    let failed = page.lines().filter(|line| line.starts_with("- failed")).count();
    let lacking = format!("- {} more are left out here", 4000 - rows - failed);
    assert!(page.contains(&lacking), "{rows} rows, {failed} failures");
    assert!(rows > 20, "{rows}");
    assert!(page.ends_with("2000 regressed\n"));
}

#[test]
fn what_changed_nothing_has_no_mark_of_change_and_what_is_excused_is_no_failure() {
    let mut report = report("x");
    let marked = |report: &Report| {
        render(report, RegressFormat::Markdown).unwrap().contains(super::CHANGED_MARKER)
    };
    assert!(marked(&report));
    report.failures.clear();
    report.rows[0].excused = Some("accepted: on purpose".to_owned());
    let text = render(&report, RegressFormat::Text).unwrap();
    assert!(text.contains("accepted: on purpose") && text.contains("1 of them excused"), "{text}");
    assert!(!render(&report, RegressFormat::Github).unwrap().contains("::error"));
    assert!(render(&report, RegressFormat::Junit).unwrap().contains("failures=\"0\""));
    report.rows.remove(0);
    assert!(!marked(&report), "the note alone is no change");
}

#[test]
fn annotations_are_quiet_when_nothing_changed() {
    let mut report = report("x");
    report.rows.remove(0);
    report.failures.clear();
    assert_eq!(render(&report, RegressFormat::Github).unwrap(), "");
}

/// Texts made of what breaks out of one format or another.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "\n",
        "\r",
        "::error::",
        "%0A",
        "|",
        "`",
        "<script>",
        "-->",
        "]]>",
        "\"",
        "'",
        "&",
        "*",
        "[x](y)",
        "\u{202E}",
        "\0",
        "$(x)",
        ";",
        "::stop-commands::x",
        "https://x.y",
        "@all",
        "a",
    ]);
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn hostile_names_leave_every_format_with_the_same_lines_and_marks(text in hostile()) {
        let lines = |format| drawn(&text, format).lines().count();
        for (_, format) in RegressFormat::ALL {
            let same = lines(format) == drawn("plain", format).lines().count();
            prop_assert!(format == RegressFormat::Bmf || same);
        }
        let github = drawn(&text, RegressFormat::Github);
        for line in github.lines() {
            let rest = line.strip_prefix("::error title=").unwrap();
            let (title, message) = rest.split_once("::").unwrap();
            prop_assert!(!title.contains([':', ',']));
            // A percent sign of the text never starts an escape of the runner's.
            let escapes = ["%25", "%0D", "%0A", "%3A", "%2C"];
            let percent = |part: &str| part.matches('%').count();
            let known = |part: &str| escapes.iter().map(|e| part.matches(e).count()).sum::<usize>();
            prop_assert_eq!(percent(title), known(title));
            prop_assert_eq!(percent(message), message.matches("%25").count());
        }
        let markdown = drawn(&text, RegressFormat::Markdown);
        let plain = drawn("plain", RegressFormat::Markdown);
        for mark in ["|", "`", "<", ">", "[", "*", "@", "://"] {
            prop_assert_eq!(markdown.matches(mark).count(), plain.matches(mark).count());
        }
        let (junit, plain) = (drawn(&text, RegressFormat::Junit), drawn("plain", RegressFormat::Junit));
        for mark in ["<", ">", "\"", "'"] {
            prop_assert_eq!(junit.matches(mark).count(), plain.matches(mark).count());
        }
        let json: Report = serde_json::from_str(&drawn(&text, RegressFormat::Json)).unwrap();
        prop_assert_eq!(json, report(&text));
    }
}
