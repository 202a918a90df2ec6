use super::*;
use crate::suite::{Halving, On};

fn trial(lr: f64, value: f64, reached: bool) -> Trial {
    Trial {
        settings: [("lr".to_owned(), lr.into())].into(),
        round: 0,
        share: 1.0,
        values: vec![reached.then_some(value)],
        value: Some(value),
        last: Some(0.5),
        samples: 100,
        seconds: 2.0,
    }
}

fn tuned(arms: &[(&str, &[Trial])]) -> Tuned {
    let arm = |(label, trials): &(&str, &[Trial])| {
        let best = trials.iter().min_by(|a, b| a.order(b, false)).unwrap();
        let spaces = BTreeMap::from([("lr".to_owned(), Space::Log([0.01, 1.0]))]);
        TunedArm {
            arm: (*label).to_owned(),
            definition: String::new(),
            chosen: best.settings.clone(),
            edges: TunedArm::at_edges(&best.settings, &spaces, trials),
            rounds: vec![spaces],
            trials: trials.to_vec(),
        }
    };
    Tuned {
        version: 1,
        suite: "x".to_owned(),
        date: "2026-11-28".to_owned(),
        choose: "samples-to-target".to_owned(),
        on: On::Validation,
        higher_is_better: false,
        seeds: vec![100],
        halving: None,
        arms: arms.iter().map(arm).collect(),
        digest: String::new(),
    }
}

#[test]
fn the_expected_best_of_all_is_the_best_and_of_one_the_mean() {
    let trials = [trial(0.1, 4.0, true), trial(0.2, 2.0, true), trial(0.3, 6.0, true)];
    let analysis = TuningAnalysis::of(&tuned(&[("a", &trials)]), &[]);
    let arm = &analysis.arms[0];
    assert_eq!((arm.value, arm.samples, arm.seconds), (Some(2.0), 300, 6.0));
    assert!((arm.expected_best[0] - 4.0).abs() < 1e-12 && arm.expected_best[2] == 2.0);
    assert_eq!(arm.half_the_sweep().map(|(half, _)| half), Some(1));
    assert!(analysis.notes.is_empty(), "{:?}", analysis.notes);
}

#[test]
fn unequal_effort_edges_and_targets_that_none_reached_are_told() {
    let many = [trial(0.1, 4.0, true), trial(0.2, 2.0, true), trial(0.3, 6.0, true)];
    let few = [trial(0.1, 9.0, false), trial(0.2, 9.0, false)];
    let analysis = TuningAnalysis::of(&tuned(&[("a", &many), ("b", &few)]), &[]);
    insta::assert_snapshot!(analysis.notes.join("\n"), @r#""b" had 2 trials where others had 3: compare it at equal effort, by the expected best of 2
the best settings of "b" lie at the edge of what was tried: lr (lower end); `palimpsest tune` of suite x with --widen tries more
no trial of "b" reached the target: the better metric at the end chose"#);
    insta::assert_snapshot!(analysis.effort(), @"2 to 3 trials for each of 2 arms, not the same number for all, on seeds 100, by samples-to-target on validation, 2026-11-28");
}

#[test]
fn trials_of_unequal_budgets_have_no_expected_best() {
    let trials = [trial(0.1, 4.0, true), trial(0.2, 2.0, true)];
    let halved =
        Tuned { halving: Some(Halving { rungs: 2, factor: 2 }), ..tuned(&[("a", &trials)]) };
    assert!(TuningAnalysis::of(&halved, &[]).arms[0].expected_best.is_empty());
}

#[test]
fn a_diverged_trial_counts_as_the_worst_that_did_not() {
    let mut trials = [trial(0.1, 4.0, true), trial(0.2, 2.0, true)];
    trials[0].value = None;
    let arm = TuningAnalysis::of(&tuned(&[("a", &trials)]), &[]).arms.remove(0);
    assert_eq!(arm.expected_best, [2.0, 2.0]);
}
