//! What two arms come to over two workloads, by hand, and what keeps it from being said.

use super::super::tests::{Ending, Made};
use super::*;
use ledger::goal::Direction;
use stats::profile::ProfileStep;

/// Runs by their seconds to the target; made-up runs take 100 samples a second.
fn runs(seconds: [Option<f64>; 4]) -> Vec<Ending> {
    seconds.map(|at| (at, 0.95, 0.2)).to_vec()
}

fn made(endings: Vec<[Vec<Ending>; 2]>) -> Made {
    Made { endings, claims: Vec::new(), change: |_| {}, stopping: None }
}

/// `new` twice and four times as fast on the first workload, as fast as `old` on the second.
fn usual() -> Made {
    let all = |seconds: [f64; 4]| runs(seconds.map(Some));
    made(vec![
        [all([4.0, 4.0, 8.0, 8.0]), all([2.0, 2.0, 2.0, 2.0])],
        [all([1.0, 2.0, 3.0, 4.0]), all([1.0, 2.0, 3.0, 4.0])],
    ])
}

fn scored(made: &Made) -> GroupScore {
    let (suite, cells) = made.left();
    let Score { mut groups, reason } = of(&suite, &cells);
    assert_eq!((groups.len(), reason), (1, None));
    groups.remove(0)
}

/// The second arm against the baseline.
fn against(group: &GroupScore) -> &Against {
    assert_eq!((group.arms[1].arm.as_str(), group.arms[0].against.is_none()), ("new", true));
    group.arms[1].against.as_ref().unwrap()
}

fn value(part: &Part<Across>) -> f64 {
    part.found().unwrap_or_else(|| panic!("{:?}", part.reason())).estimate.value
}

#[track_caller]
fn withheld<T: std::fmt::Debug>(part: &Part<T>, words: &str) {
    let reason = part.reason().unwrap_or_else(|| panic!("not withheld: {part:?}"));
    assert!(reason.contains(words), "{reason:?} has no {words:?}");
}

#[test]
fn two_arms_on_two_workloads_come_to_the_numbers_of_a_hand_calculation() {
    let group = scored(&usual());
    assert_eq!((group.workloads.join(" "), group.seeds), ("w0 w1".to_owned(), 4));
    assert_eq!(group.baseline, Part::Found("old".to_owned()));
    for part in [&group.samples_profile, &group.time_profile] {
        let profile = part.found().unwrap();
        let [new, old] = &profile.arms[..] else { unreachable!() };
        assert_eq!((new.arm.as_str(), old.arm.as_str()), ("new", "old"));
        // Of eight problems `old` is best on the four of w1, twice as slow on two, four times on two.
        let steps = [(1.0, 0.5), (2.0, 0.75), (4.0, 1.0)];
        assert_eq!(old.steps, steps.map(|(tau, share)| ProfileStep { tau, share }));
        assert_eq!(new.steps, [ProfileStep { tau: 1.0, share: 1.0 }]);
        // (4 · 1 + 2 · (4 − 2)/3 + 2 · 0) / 8.
        assert!((old.score - (4.0 + 4.0 / 3.0) / 8.0).abs() < 1e-12 && new.score == 1.0);
    }
    let against = against(&group);
    // Wins 4 of 4 on w0, ties on w1.
    assert_eq!(value(&against.improvement), 0.75);
    // √(√(2·2·4·4) … · 1): w0 2√2, w1 1.
    let expected = 8f64.sqrt().sqrt();
    for part in [&against.fewer_samples, &against.speed_up] {
        assert!((value(part) - expected).abs() < 1e-12, "{part:?}");
        let Across { estimate, workloads, .. } = part.found().unwrap();
        assert!(estimate.interval.low < expected && expected < estimate.interval.high);
        assert!((workloads[0].value - 8f64.sqrt()).abs() < 1e-12 && workloads[1].value == 1.0);
    }
}

#[test]
fn the_metric_is_measured_from_before_training_to_the_best_there_is() {
    let ends = |accuracies: [f64; 4]| accuracies.map(|at| (Some(5.0), at, 0.2)).to_vec();
    let mut made =
        made(vec![[ends([0.5; 4]), ends([0.6, 0.7, 0.8, 0.2])], [ends([0.5; 4]), ends([0.9; 4])]]);
    // The curves start at 0 and the best accuracy is 1, so a score is the accuracy: of 0.2 0.6 0.7 0.8 0.9
    // 0.9 0.9 0.9 the middle four.
    let group = scored(&made);
    assert!((value(&group.arms[1].interquartile_mean) - 0.825).abs() < 1e-12);
    assert_eq!(value(&group.arms[0].interquartile_mean), 0.5);
    // Of an error that starts at 0 and whose best is 0 nothing can be said.
    let (mut suite, cells) = made.left();
    suite.workloads[1].target.direction = Direction::LowerIsBetter;
    suite.workloads[1].metrics[2].best = Some(0.0);
    let none = of(&suite, &cells).groups.remove(0);
    withheld(&none.arms[0].interquartile_mean, "w1: accuracy is at its best before training");
    suite.workloads[1].metrics[2].best = None;
    let none = of(&suite, &cells).groups.remove(0);
    withheld(&none.arms[0].interquartile_mean, "w1: accuracy has no best value");
    // From a start of 0.25 to a best of 0.75, an accuracy of 0.5 is half of the way.
    suite.workloads.iter_mut().for_each(|workload| workload.metrics[2].best = Some(0.75));
    let mut raised = cells.clone();
    for left in raised.iter_mut().filter_map(|run| run.left.as_mut()) {
        for event in &mut left.events {
            if let ledger::record::format::Event::Evaluated(look) = event {
                look.metrics.insert("validation/accuracy".into(), 0.25);
            }
        }
    }
    let group = of(&suite, &raised).groups.remove(0);
    assert!((value(&group.arms[0].interquartile_mean) - 0.5).abs() < 1e-12);
    // A network that is no number any more has no accuracy.
    made.change = |record| {
        if record.last["test/accuracy"] < 0.3 {
            record.status = Status::Diverged;
        }
    };
    let group = scored(&made);
    withheld(
        &group.arms[1].interquartile_mean,
        "w0: 1 of 4 runs diverged or have no test/accuracy",
    );
    assert!(group.arms[0].interquartile_mean.found().is_some(), "the other arm has all its runs");
}

#[test]
fn a_run_that_never_gets_there_is_infinitely_far_and_leaves_no_mean_ratio() {
    let mut made = usual();
    made.endings[0][1][0].0 = None;
    let group = scored(&made);
    let new = &group.samples_profile.found().unwrap().arms[0];
    assert_eq!(new.ratios[0].seeds, [None, Some(1.0), Some(1.0), Some(1.0)]);
    assert_eq!(new.steps, [ProfileStep { tau: 1.0, share: 0.875 }]);
    let against = against(&group);
    // Three wins and a loss on w0, ties on w1.
    assert_eq!(value(&against.improvement), 0.625);
    withheld(&against.speed_up, "1 of 8 pairs have a run that never reached the target");
    withheld(&against.fewer_samples, "1 of 8 pairs");
}

#[test]
fn disturbed_clocks_and_other_machines_withhold_times_and_nothing_else() {
    type Change = fn(&mut RunRecord);
    let changes: [(Change, &str); 2] = [
        (|record| record.environment.cpu_share = Some(0.5), "16 of 16 runs were timed while"),
        (
            |record| {
                if record.cell.starts_with("01") {
                    record.environment.cpu = "B".into();
                }
            },
            "runs under one seed were on different machines (CPU",
        ),
    ];
    for (change, words) in changes {
        let group = scored(&Made { change, ..usual() });
        withheld(&group.time_profile, words);
        withheld(&against(&group).speed_up, words);
        assert!(group.samples_profile.found().is_some());
        assert!(against(&group).improvement.found().is_some());
        assert!(against(&group).fewer_samples.found().is_some());
        assert!(group.arms[1].interquartile_mean.found().is_some());
    }
}

#[test]
fn lost_runs_and_targets_met_at_the_start_are_said_and_not_left_out() {
    let mut made = usual();
    made.change = |record| {
        if record.cell.starts_with("01") && record.seed == "2" {
            record.status = Status::Failed;
        }
    };
    let (suite, mut cells) = made.left();
    cells[0].left = None;
    let group = of(&suite, &cells).groups.remove(0);
    let words = "1 of 16 runs failed, 1 of 16 runs have not run";
    withheld(&group.samples_profile, words);
    withheld(&group.time_profile, words);
    for part in [&against(&group).improvement, &group.arms[1].interquartile_mean] {
        withheld(part, words);
    }
    let mut made = usual();
    made.endings[0][1][0].0 = Some(0.0);
    let group = scored(&made);
    withheld(&group.samples_profile, "1 of 16 runs met the target at the start; raise the target");
    assert!(group.arms[1].interquartile_mean.found().is_some());
}

#[test]
fn unequal_numbers_of_trials_withhold_all_that_compares() {
    let (mut suite, cells) = usual().left();
    suite.arms[1].trials = Some(16);
    let group = of(&suite, &cells).groups.remove(0);
    let words = "w0: tuning trials differ";
    withheld(&group.samples_profile, words);
    withheld(&against(&group).speed_up, words);
    withheld(&group.arms[1].interquartile_mean, words);
    assert!(group.arms[0].interquartile_mean.found().is_some(), "it is compared with none");
}

#[test]
fn arms_are_compared_where_all_of_them_train() {
    let all = || runs([Some(4.0); 4]);
    let one = made(vec![[all(), all()]]);
    let (suite, cells) = one.left();
    assert_eq!(of(&suite, &cells).reason.unwrap(), "the suite has one workload");
    let apart = made(vec![[all(), all()], [all(), Vec::new()], [all(), Vec::new()]]);
    let (suite, cells) = apart.left();
    let score = of(&suite, &cells);
    assert!(score.groups.is_empty());
    assert_eq!(score.reason.unwrap(), "no two arms that train share two workloads");
    // `old` alone runs on the second.
    let partly = made(vec![[all(), all()], [all(), Vec::new()], [all(), all()]]);
    let group = scored(&partly);
    assert_eq!((group.workloads.join(" "), group.arms.len()), ("w0 w2".to_owned(), 2));
    // An arm that trains nothing has no times, and is no baseline of one that trains.
    let (suite, mut cells) = usual().left();
    for run in cells.iter_mut().filter(|run| run.cell.arm == 0) {
        run.left.as_mut().unwrap().record.samples = 0;
    }
    assert!(of(&suite, &cells).groups.is_empty());
}

#[test]
fn without_a_baseline_nothing_is_held_against_one() {
    let (mut suite, cells) = usual().left();
    suite.baseline = None;
    let group = of(&suite, &cells).groups.remove(0);
    withheld(&group.baseline, "the suite names no baseline");
    assert!(group.arms.iter().all(|arm| arm.against.is_none()));
    assert!(group.samples_profile.found().is_some());
    suite.baseline = Some("elsewhere".into());
    let group = of(&suite, &cells).groups.remove(0);
    withheld(&group.baseline, "elsewhere does not train on all of these workloads");
}

#[test]
fn a_single_seed_has_no_score() {
    let one = |at: f64| vec![(Some(at), 0.9, 0.1)];
    let group = scored(&made(vec![[one(2.0), one(1.0)], [one(2.0), one(1.0)]]));
    withheld(&group.samples_profile, "at least 2");
    withheld(&group.arms[0].interquartile_mean, "at least 2");
}

#[test]
fn a_score_survives_json() {
    let mut made = usual();
    made.change = |record| record.environment.cpu_share = Some(0.5);
    let (suite, cells) = made.left();
    let score = of(&suite, &cells);
    let text = serde_json::to_string(&score).unwrap();
    assert_eq!(serde_json::from_str::<Score>(&text).unwrap(), score);
}
