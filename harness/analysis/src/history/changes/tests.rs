use super::super::entry::Metric;
use super::*;
use ledger::digest::Digest;
use ledger::streams::{Streams, normal_f64};

mod faults;
mod rates;

fn commit(number: usize) -> String {
    format!("{number:040x}")
}

fn metric(value: f64) -> Metric {
    Metric { unit: "s".into(), better: Better::Lower, values: vec![value] }
}

/// A history with one metric per column.
fn history(columns: &[Vec<f64>]) -> History {
    let mut history = History::new("h.jsonl", "digits", "m");
    for row in 0..columns[0].len() {
        let metrics = columns.iter().enumerate();
        let metrics = metrics.map(|(i, column)| (format!("m{i:03}"), metric(column[row])));
        let measured = Measured {
            commit: commit(row),
            suite_digest: Digest::of(b"suite"),
            software: BTreeMap::new(),
            metrics: metrics.collect(),
        };
        history.push(Entry::Measured(measured)).unwrap();
    }
    history
}

/// `count` values around `level` with a spread of `noise` of it.
fn level(stream: &str, count: usize, level: f64, noise: f64) -> Vec<f64> {
    let mut rng = Streams::new([9; 32]).generator(stream);
    (0..count).map(|_| level * (noise * normal_f64(&mut rng)).exp()).collect()
}

/// A step from 10 to `to` at the 30th of 60 commits, with 1 % of noise.
fn step(to: f64) -> Vec<f64> {
    [level("a", 30, 10.0, 0.01), level("b", 30, to, 0.01)].concat()
}

fn analysed(columns: &[Vec<f64>]) -> HistoryAnalysis {
    analyse(&history(columns), &Options::default()).unwrap()
}

fn places(series: &SeriesChanges) -> Vec<usize> {
    series.changes.iter().map(|change| change.at).collect()
}

#[test]
fn a_step_is_found_with_its_commits_its_means_and_its_confirmation() {
    let analysis = analysed(&[step(10.5)]);
    let series = &analysis.series[0];
    assert_eq!(places(series), [30]);
    let change = &series.changes[0];
    assert_eq!((change.after.clone(), change.commit.clone()), (commit(29), commit(30)));
    assert!((change.before_mean - 10.0).abs() < 0.05, "{change:?}");
    assert!((change.after_mean - 10.5).abs() < 0.05, "{change:?}");
    assert!((change.relative.unwrap() - 0.05).abs() < 0.01, "{change:?}");
    assert_eq!(change.direction, Direction::Regressed);
    assert_eq!((change.standing, change.confirmations), (Standing::Confirmed, 30));
    assert!(change.p < 1e-9 && change.chance < 0.001, "{change:?}");
    assert_eq!(series.levels.len(), 2);
    assert_eq!(analysis.open().len(), 1);
}

#[test]
fn a_step_down_of_a_time_is_an_improvement() {
    let analysis = analysed(&[step(9.0)]);
    assert_eq!(analysis.series[0].changes[0].direction, Direction::Improved);
}

#[test]
fn a_change_is_recent_until_five_commits_confirm_it() {
    for (later, standing) in
        [(3, Standing::Recent), (4, Standing::Recent), (5, Standing::Confirmed)]
    {
        let series = [level("a", 30, 10.0, 0.005), level("b", later, 12.0, 0.005)].concat();
        let analysis = analysed(&[series]);
        let change = &analysis.series[0].changes[0];
        assert_eq!((change.at, change.standing, change.confirmations), (30, standing, later));
    }
}

#[test]
fn two_commits_at_a_new_level_are_not_yet_a_change() {
    let series = [level("a", 30, 10.0, 0.005), level("b", 2, 12.0, 0.005)].concat();
    assert_eq!(places(&analysed(&[series]).series[0]), [0; 0]);
}

#[test]
fn an_accepted_change_is_kept_with_its_reason_and_is_no_alarm() {
    let mut history = history(&[step(10.5), step(11.0)]);
    let accept = |number: usize, metrics: &[&str]| {
        Entry::Accepted(Accepted {
            commit: commit(number),
            metrics: metrics.iter().map(|&name| name.to_owned()).collect(),
            reason: "exact attention costs this".into(),
        })
    };
    let open = |history: &History| {
        let analysis = analyse(history, &Options::default()).unwrap();
        let names = analysis.open().iter().map(|(series, _)| series.metric.clone()).collect();
        (names, analysis)
    };
    // Somewhere else: nothing happens.
    history.push(accept(20, &[])).unwrap();
    let (names, _): (Vec<String>, _) = open(&history);
    assert_eq!(names, ["m001", "m000"], "the clearer change comes first");
    history.push(accept(30, &["m000"])).unwrap();
    let (names, analysis) = open(&history);
    assert_eq!(names, ["m001"]);
    let reason = analysis.series[0].changes[0].accepted.as_deref();
    assert_eq!(reason, Some("exact attention costs this"));
    // All metrics, and a commit beside the change, where noise may have moved it.
    history.push(accept(31, &[])).unwrap();
    assert!(open(&history).0.is_empty());
}

#[test]
fn a_change_of_the_suite_s_text_is_said_at_the_change() {
    let mut history = History::new("h.jsonl", "digits", "m");
    for (row, value) in step(10.5).into_iter().enumerate() {
        let suite_digest = Digest::of(if row < 30 { b"one" } else { b"two" });
        let metrics = BTreeMap::from([("m".to_owned(), metric(value))]);
        history
            .push(Entry::Measured(Measured {
                commit: commit(row),
                suite_digest,
                software: BTreeMap::new(),
                metrics,
            }))
            .unwrap();
    }
    let analysis = analyse(&history, &Options::default()).unwrap();
    assert!(analysis.series[0].changes[0].suite_changed);
    assert!(!analysed(&[step(10.5)]).series[0].changes[0].suite_changed);
}

#[test]
fn commits_stand_where_their_order_puts_them_however_late_they_were_recorded() {
    // The last commit of the old level is measured after all others.
    let values = step(10.5);
    let late = 29;
    let recorded: Vec<usize> = (0..values.len()).filter(|row| *row != late).chain([late]).collect();
    let mut history = History::new("h.jsonl", "digits", "m");
    for row in recorded {
        let (suite_digest, software) = (Digest::of(b"suite"), BTreeMap::new());
        let metrics = BTreeMap::from([("m000".to_owned(), metric(values[row]))]);
        let measured = Measured { commit: commit(row), suite_digest, software, metrics };
        history.push(Entry::Measured(measured)).unwrap();
    }
    let order: Vec<String> = (0..values.len()).map(commit).collect();
    let options = Options::default();
    let ordered = analyse_in(Some(&order), &history, &options).unwrap();
    let straight = analysed(&[values]);
    assert_eq!(ordered.series, straight.series);
    assert_eq!(ordered.commits, straight.commits);
    let change = &ordered.series[0].changes[0];
    assert_eq!((change.after.clone(), change.commit.clone()), (commit(29), commit(30)));
    // As recorded, it stands at the wrong level; and what has no place is left out and told.
    assert_ne!(analyse(&history, &options).unwrap().series, straight.series);
    let short = analyse_in(Some(&order[..50]), &history, &options).unwrap();
    assert_eq!(short.commits.len(), 50);
    assert!(short.notes[0].starts_with("10 recorded commits are not"), "{:?}", short.notes);
}

#[test]
fn another_libtorch_is_noted_and_the_series_goes_on() {
    let mut history = History::new("h.jsonl", "digits", "m");
    for (row, value) in step(10.5).into_iter().enumerate() {
        let version = if row < 30 { "2.11.0" } else { "2.12.0" };
        let software = BTreeMap::from([("libtorch".to_owned(), version.to_owned())]);
        let metrics = BTreeMap::from([("m".to_owned(), metric(value))]);
        let suite_digest = Digest::of(b"suite");
        let measured = Measured { commit: commit(row), suite_digest, software, metrics };
        history.push(Entry::Measured(measured)).unwrap();
    }
    let analysis = analyse(&history, &Options::default()).unwrap();
    let change = &analysis.series[0].changes[0];
    assert_eq!(
        (change.at, change.software_changed.as_slice()),
        (30, &["libtorch: 2.11.0, then 2.12.0".to_owned()][..])
    );
    assert_eq!(
        analysis.notes,
        [format!("libtorch 2.11.0 until commit {}, 2.12.0 from there on", commit(30))]
    );
}

#[test]
fn one_seed_is_refused_where_the_commit_before_had_several() {
    let entry = |row: usize, values: Vec<f64>| {
        let metric = Metric { values, ..metric(1.0) };
        let (suite_digest, software) = (Digest::of(b"suite"), BTreeMap::new());
        let metrics = BTreeMap::from([("m".to_owned(), metric)]);
        Entry::Measured(Measured { commit: commit(row), suite_digest, software, metrics })
    };
    let mut history = History::new("h.jsonl", "digits", "m");
    history.push(entry(0, vec![1.0, 1.1, 1.2, 1.3])).unwrap();
    let error = history.push(entry(1, vec![1.0])).unwrap_err().to_string();
    assert!(error.contains("one value, but 4 at the commit before"), "{error}");
    history.push(entry(1, vec![1.0, 1.1])).unwrap();
    assert_eq!(history.lines.len(), 2);
}

#[test]
fn exact_metrics_have_no_spread_and_change_at_once() {
    let series = [vec![64.0; 10], vec![65.0; 3]].concat();
    let analysis = analysed(&[series, vec![0.0; 13], vec![-5.0; 13]]);
    assert_eq!(places(&analysis.series[0]), [10]);
    assert_eq!(analysis.series[0].changes[0].p, 0.0);
    assert!(analysis.series[1].changes.is_empty() && analysis.series[2].changes.is_empty());
}

#[test]
fn signs_and_zeros_are_compared_as_they_are() {
    let series: Vec<f64> = level("z", 40, 1.0, 0.1).iter().map(|v| v - 1.0).collect();
    let moved: Vec<f64> = series.iter().enumerate().map(|(i, v)| v + f64::from(i >= 20)).collect();
    let analysis = analysed(&[moved]);
    let series = &analysis.series[0];
    assert!(!series.logarithmic);
    assert_eq!(places(series), [20]);
    assert_eq!(series.changes[0].relative.is_none(), series.levels[0].mean < 0.0);
}

#[test]
fn every_short_or_extreme_history_is_analysed() {
    for length in 0..12 {
        let mut columns = vec![vec![1.0; length], (0..length).map(|i| i as f64).collect()];
        columns.push((0..length).map(|i| if i % 2 == 0 { 1e150 } else { -1e150 }).collect());
        columns.push((0..length).map(|i| if i % 2 == 0 { 1e-300 } else { 1e150 }).collect());
        let analysis = analysed(&columns);
        for series in analysis.series {
            assert!(series.levels.iter().all(|level| level.points == 0 || level.mean.is_finite()));
        }
    }
}

#[test]
fn a_commit_s_values_count_by_their_median() {
    assert_eq!(median(&[3.0, 1.0, 100.0]), Some(3.0));
    assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    assert_eq!(median(&[]), None);
}

#[test]
fn options_out_of_range_are_named() {
    let standard = Options::default();
    for (options, wanted) in [
        (Options { window: 10, ..standard }, "window is 10"),
        (Options { window: 2000, ..standard }, "window is 2000"),
        (Options { minimum: 2, ..standard }, "minimum is 2: it must be 3 to 100"),
        (Options { false_alarms: 0.0, ..standard }, "false alarms is 0"),
        (Options { false_alarms: f64::NAN, ..standard }, "false alarms is NaN"),
        (Options { draws: 10, ..standard }, "draws is 10"),
    ] {
        let error = analyse(&history(&[step(10.5)]), &options).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn the_result_comes_back_from_json() {
    let analysis = analysed(&[step(10.5)]);
    let text = serde_json::to_string(&analysis).unwrap();
    assert_eq!(serde_json::from_str::<HistoryAnalysis>(&text).unwrap(), analysis);
}
