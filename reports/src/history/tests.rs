use std::collections::BTreeMap;

use analysis::history::chain::History;
use analysis::history::changes::{Options, analyse};
use analysis::history::{Accepted, Better, Entry, Measured, Metric};
use ledger::digest::Digest;

use super::*;
use crate::figure::tests::{check_shapes, check_texts};

fn commit(number: usize) -> String {
    format!("{number:040x}")
}

/// Forty commits: a step of 5 % at the 20th in one metric of three, named `name`.
fn history(name: &str, accepted: Option<&str>) -> HistoryAnalysis {
    let mut history = History::new("h", "digits", "0123456789ab");
    for number in 0..40 {
        let noise = |salt: usize| ((number * 7919 + salt * 104_729) % 101) as f64 / 10_000.0;
        let step = if number >= 20 { 1.05 } else { 1.0 };
        let metric = |value: f64| Metric {
            unit: "s".to_owned(),
            better: Better::Lower,
            values: vec![value],
        };
        let metrics = [
            (name.to_owned(), metric(step + noise(1))),
            ("calm".to_owned(), metric(1.0 + noise(2))),
            ("quiet".to_owned(), metric(2.0 + noise(3))),
        ];
        let (commit, metrics) = (commit(number), metrics.into_iter().collect());
        let suite_digest = Digest::of(b"suite");
        history
            .push(Entry::Measured(Measured {
                commit,
                suite_digest,
                software: BTreeMap::new(),
                metrics,
            }))
            .unwrap();
    }
    if let Some(reason) = accepted {
        let (reason, metrics) = (reason.to_owned(), Vec::new());
        history.push(Entry::Accepted(Accepted { commit: commit(20), metrics, reason })).unwrap();
    }
    analyse(&history, &Options::default()).unwrap()
}

#[test]
fn only_changed_metrics_are_told_with_their_commits_and_means() {
    let text = text(&history("digits/sgd/train-seconds", None));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "digits/sgd/train-seconds (s)");
    assert!(lines[1].contains("regressed in 00000000..00000000: 1.005 -> 1.055"), "{text}");
    assert!(
        lines[1].contains("(+4.9 %)") && lines[1].contains("confirmed by 20 commits"),
        "{text}"
    );
    assert_eq!(
        lines[2],
        "1 regressed · 2 metrics without a change · 40 commits on machine 0123456789ab"
    );
}

#[test]
fn an_accepted_change_keeps_its_reason_and_is_no_regression() {
    let text = text(&history("time", Some("the model grew for good")));
    assert!(text.contains("accepted: the model grew for good"), "{text}");
    assert!(text.ends_with(
        "1 accepted · 2 metrics without a change · 40 commits on machine 0123456789ab\n"
    ));
}

#[test]
fn a_figure_keeps_its_texts_apart_and_inside() {
    for name in [
        "time",
        "a name that is much longer than any figure is wide, over and over and over and over again, \u{202E}and back",
    ] {
        let analysis = history(name, None);
        let figure = figure::figure(&analysis, changed(&analysis)[0], 1);
        check_texts(&figure);
        check_shapes(&figure);
    }
}

#[test]
fn hostile_names_stay_text_on_the_page() {
    let hostile = "<script>alert(1)</script>&\"'";
    let folder = tempfile::tempdir().unwrap();
    let paths = render(&history(hostile, Some(hostile)), folder.path()).unwrap();
    assert_eq!(paths.len(), 4);
    let page = std::fs::read_to_string(&paths[0]).unwrap();
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"));
    // The icon's drawing names its own language, and a policy is said with a header's name.
    let rest = page.replace("xmlns='http://www.w3.org/2000/svg'", "").replace("http-equiv", "");
    assert!(!rest.contains("http"), "a page loads nothing: {page}");
}
