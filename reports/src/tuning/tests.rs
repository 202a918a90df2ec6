use std::collections::BTreeMap;

use analysis::suite::{Side, Space};
use analysis::tuning::{Edge, Trial, TunedArm};
use analysis::tuning::{Tuned, union};

use super::*;
use crate::figure::tests::{check_shapes, check_texts};

/// A sweep of a few arms: one with a number and a list, one that never reached its target.
pub(crate) fn sample() -> TuningAnalysis {
    let spaces = BTreeMap::from([
        ("lr".to_owned(), Space::Log([0.002, 0.2])),
        ("schedule".to_owned(), Space::Choices(vec!["linear".into(), "cosine".into()])),
    ]);
    let trial = |number: usize, reached: bool| Trial {
        settings: [
            ("lr".to_owned(), (0.002 * 1.5f64.powi(number as i32)).into()),
            (
                "schedule".to_owned(),
                if number.is_multiple_of(2) { "linear" } else { "cosine" }.into(),
            ),
        ]
        .into(),
        round: 0,
        share: 1.0,
        values: vec![reached.then_some(9_000.0 - 500.0 * number as f64), None],
        value: Some(if reached { 9_000.0 - 500.0 * number as f64 } else { 20_000.0 }),
        last: Some(0.9 + 0.005 * number as f64),
        samples: 40_000,
        seconds: 1.25,
    };
    let arm = |label: &str, reached: bool| TunedArm {
        arm: label.to_owned(),
        definition: "0".repeat(64),
        chosen: trial(9, reached).settings,
        edges: vec![Edge { setting: "lr".to_owned(), side: Side::High }],
        rounds: vec![spaces.clone()],
        trials: (0..10).map(|number| trial(number, reached)).collect(),
    };
    assert_eq!(union(&arm("x", true).rounds), spaces);
    let tuned = Tuned {
        version: Tuned::VERSION,
        suite: "sample".to_owned(),
        date: "2026-11-28".to_owned(),
        choose: "samples-to-target".to_owned(),
        on: analysis::suite::On::Validation,
        higher_is_better: false,
        seeds: vec![100, 101],
        halving: None,
        arms: vec![
            arm("sgd", true),
            arm("a very long label of an arm that never reached its target at all", false),
        ],
        digest: String::new(),
    };
    TuningAnalysis::of(&tuned, &[])
}

#[test]
fn a_picture_has_a_disc_for_every_trial_and_setting_and_rings_the_chosen_one() {
    let tuning = sample();
    let figures = figures(&tuning);
    assert_eq!(figures.len(), 1);
    check_texts(&figures[0]);
    check_shapes(&figures[0]);
    let discs = |colour| {
        let of = |shape: &&crate::figure::Shape| matches!(shape, crate::figure::Shape::Disc { colour: own, .. } if *own == colour);
        figures[0].shapes.iter().filter(of).count()
    };
    assert_eq!(discs((0x00, 0x72, 0xb2)), 2 * 2 * 9, "all but the chosen one of each panel");
    assert_eq!(discs((0xd5, 0x5e, 0x00)), 2 * 2);
}

#[test]
fn many_arms_take_several_pictures() {
    let mut tuning = sample();
    let arm = tuning.arms[0].clone();
    tuning.arms = (0..10).map(|_| arm.clone()).collect();
    let figures = figures(&tuning);
    let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    assert_eq!(names, ["tuning", "tuning-2"]);
    figures.iter().for_each(check_texts);
}

#[test]
fn the_table_of_trials_has_each_once_with_the_chosen_one_marked() {
    let csv = csv(&sample());
    assert_eq!(csv.lines().count(), 1 + 20);
    assert_eq!(csv.matches(",true,").count(), 2);
    insta::assert_snapshot!(csv.lines().take(2).collect::<Vec<_>>().join("\n"), @r#"arm,trial,round,settings,chosen,share_of_budget,value,runs_with_a_value,runs,end_of_budget,samples,train_seconds
sgd,1,0,lr=0.002; schedule=linear,false,1,9000,1,2,0.9,40000,1.25"#);
}

#[test]
fn rows_say_what_was_chosen_from_how_many_and_what_half_as_many_would_have_found() {
    let tuning = sample();
    let rows = Row::all(&tuning);
    insta::assert_snapshot!(rows[0].cells.join(" | "), @"sgd | lr=0.07688671875, schedule=cosine | 10 | 4,500 | 4,917 of 5 | 12.5 s | – | –");
    assert_eq!(rows[0].edge.as_deref(), Some("lr (upper end)"));
}
