//! Faults that were found in other trackers.

use super::*;

#[test]
fn one_spike_is_no_change() {
    // Otava (fixed by a minimum segment) and asv #881: a single slow commit became a change.
    for length in [1, 2] {
        let mut series = level("a", 60, 10.0, 0.01);
        series[30..30 + length].fill(15.0);
        assert_eq!(places(&analysed(&[series]).series[0]), [0; 0], "{length}");
    }
}

#[test]
fn a_slow_drift_that_no_window_shows_is_found() {
    // asv #932: gradual regressions are missed. Half a standard deviation in any 50 commits.
    let noise = level("a", 400, 10.0, 0.02);
    let series: Vec<f64> =
        noise.iter().enumerate().map(|(i, value)| value * (1.0 + 0.0002 * i as f64)).collect();
    let analysis = analysed(&[series]);
    let changes = &analysis.series[0].changes;
    assert!(!changes.is_empty());
    assert!(changes.iter().all(|change| change.direction == Direction::Regressed), "{changes:?}");
}

#[test]
fn a_change_is_reported_as_a_range_of_commits() {
    // asv #933: the commit before the change is reported as well, where some were not measured.
    let mut history = History::new("h.jsonl", "digits", "m");
    for (row, value) in step(10.5).into_iter().enumerate() {
        let measured = Measured {
            commit: commit(10 * row),
            suite_digest: Digest::of(b"suite"),
            software: BTreeMap::new(),
            metrics: BTreeMap::from([("m".to_owned(), metric(value))]),
        };
        history.push(Entry::Measured(measured)).unwrap();
    }
    let analysis = analyse(&history, &Options::default()).unwrap();
    let change = &analysis.series[0].changes[0];
    assert_eq!((change.after.clone(), change.commit.clone()), (commit(290), commit(300)));
}

#[test]
fn commits_without_a_value_are_passed_over_and_never_filled_in() {
    // Otava repeats the value before, which makes noise look smaller than it is.
    let values = step(10.5);
    let mut history = History::new("h.jsonl", "digits", "m");
    for row in 0..2 * values.len() {
        let mut metrics = BTreeMap::from([("other".to_owned(), metric(1.0))]);
        if row % 2 == 0 {
            metrics.insert("m".to_owned(), metric(values[row / 2]));
        }
        let suite_digest = Digest::of(b"suite");
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
    let (sparse, dense) = (&analysis.series[0], &analysed(&[values]).series[0]);
    assert_eq!(sparse.points.len(), 60);
    let change = &sparse.changes[0];
    assert_eq!((change.after.clone(), change.commit.clone()), (commit(58), commit(60)));
    assert_eq!(change.p, dense.changes[0].p);
}

#[test]
fn the_result_depends_on_nothing_but_the_history_and_the_options() {
    // Otava PR 154 and rliable: results that differ from call to call.
    let columns = [step(10.1), level("x", 60, 3.0, 0.02)];
    assert_eq!(analysed(&columns), analysed(&columns));
    // Not on other metrics' draws either.
    let alone = analysed(&columns[..1]);
    assert_eq!(analysed(&columns).series[0].changes, alone.series[0].changes);
}

#[test]
fn a_change_that_was_taken_back_is_told_and_is_no_alarm() {
    // asv alarms only when later values do not return.
    let series =
        [level("a", 25, 10.0, 0.01), level("b", 15, 11.0, 0.01), level("c", 20, 10.05, 0.01)];
    let analysis = analysed(&[series.concat()]);
    let changes = &analysis.series[0].changes;
    assert_eq!(changes.len(), 2);
    assert_eq!((changes[0].standing, changes[0].confirmations), (Standing::Undone, 15));
    let open: Vec<usize> = analysis.open().iter().map(|(_, change)| change.at).collect();
    assert_eq!(open, [changes[1].at]);
}

#[test]
fn changes_are_listed_by_their_clearness_not_their_size() {
    // rustc-perf #1489.
    let noisy = [level("a", 30, 10.0, 0.2), level("b", 30, 20.0, 0.2)].concat();
    let analysis = analysed(&[noisy, step(10.6)]);
    let names: Vec<&str> = analysis.open().iter().map(|(s, _)| s.metric.as_str()).collect();
    assert_eq!(names, ["m001", "m000"]);
}
