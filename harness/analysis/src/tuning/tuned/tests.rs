use proptest::prelude::*;

use super::*;

fn trial(lr: f64, value: Option<f64>, last: Option<f64>) -> Trial {
    Trial {
        settings: Values::from([("lr".to_owned(), lr.into())]),
        round: 0,
        share: 1.0,
        values: vec![value, None],
        value,
        last,
        samples: 1000,
        seconds: 0.125,
    }
}

fn tuned(trials: Vec<Trial>) -> Tuned {
    let arm = TunedArm {
        arm: "sgd: \"plain\"".to_owned(),
        definition: "d".repeat(64),
        chosen: Values::new(),
        rounds: vec![BTreeMap::from([("lr".to_owned(), Space::Log([0.01, 1.0]))])],
        edges: vec![Edge { setting: "lr".to_owned(), side: Side::High }],
        trials,
    };
    let chosen = arm.best(false).map(|trial| trial.settings.clone()).unwrap_or_default();
    let tuned = Tuned {
        version: VERSION,
        suite: "x".to_owned(),
        date: "2026-11-28".to_owned(),
        choose: "samples-to-target".to_owned(),
        on: On::Validation,
        higher_is_better: false,
        seeds: vec![100, 101],
        halving: None,
        arms: vec![TunedArm { chosen, ..arm }],
        digest: String::new(),
    };
    tuned.sealed().unwrap()
}

#[test]
fn the_best_has_the_whole_budget_then_the_best_value_then_the_best_end() {
    let arm = |trials| tuned(trials).arms.remove(0);
    let best = |trials| arm(trials).best(false).unwrap().settings["lr"].as_f64().unwrap();
    assert_eq!(best(vec![trial(0.1, Some(3.0), None), trial(0.2, Some(2.0), None)]), 0.2);
    let early = Trial { share: 0.5, ..trial(0.1, Some(1.0), None) };
    assert_eq!(best(vec![early, trial(0.2, Some(2.0), None)]), 0.2);
    let equal = vec![trial(0.1, Some(2.0), Some(0.5)), trial(0.2, Some(2.0), Some(0.6))];
    assert_eq!(best(equal), 0.2);
    assert_eq!(best(vec![trial(0.1, None, None), trial(0.2, Some(9.0), None)]), 0.2);
    let twins = vec![trial(0.1, Some(2.0), Some(0.5)), trial(0.2, Some(2.0), Some(0.5))];
    assert_eq!(best(twins), 0.1, "the earlier of equal ones");
}

#[test]
fn a_chosen_value_beyond_which_nothing_was_tried_is_at_an_edge() {
    let spaces = BTreeMap::from([
        ("lr".to_owned(), Space::Log([0.01, 1.0])),
        ("schedule".to_owned(), Space::Choices(vec!["a".into(), "b".into()])),
    ]);
    let trials = [0.02, 0.1, 0.9].map(|lr| trial(lr, Some(1.0), None));
    let sides = |lr: f64| -> Vec<Side> {
        let chosen = trial(lr, None, None).settings;
        let edges = TunedArm::at_edges(&chosen, &spaces, &trials);
        assert!(edges.iter().all(|edge| edge.setting == "lr"));
        edges.into_iter().map(|edge| edge.side).collect()
    };
    assert_eq!(sides(0.02), [Side::Low]);
    assert_eq!(sides(0.1), []);
    assert_eq!(sides(0.9), [Side::High]);
}

#[test]
fn an_edited_file_is_refused_with_the_remedy() {
    let text = tuned(vec![trial(0.1, Some(3.0), Some(0.9)), trial(0.2, Some(2.0), Some(0.9))]);
    let text = text.text().unwrap();
    let refuse =
        |text: &str| Tuned::parse("suites/x.tuned.yaml", "x", text).unwrap_err().to_string();
    insta::assert_snapshot!(
        refuse(&text.replace("chosen: {\"lr\":0.2}", "chosen: {\"lr\":0.1}")),
        @"suites/x.tuned.yaml was edited: its digest is not that of its content; `palimpsest tune x` makes it again"
    );
    assert!(refuse(&text.replace("\"seconds\":0.125", "\"seconds\":0.126")).contains("was edited"));
    assert!(refuse(&text.replace("version: 1", "version: 9")).contains("is of version 9"));
    assert!(refuse("suite: x").contains("cannot be read"));
}

#[test]
fn a_file_sealed_over_other_settings_than_the_best_is_refused() {
    let mut wrong = tuned(vec![trial(0.1, Some(3.0), None), trial(0.2, Some(2.0), None)]);
    wrong.arms[0].chosen = trial(0.1, None, None).settings;
    let text = wrong.sealed().unwrap().text().unwrap();
    assert!(matches!(Tuned::parse("f", "x", &text), Err(TunedError::Edited { .. })));
}

proptest! {
    #[test]
    fn what_is_written_is_read_bit_by_bit(
        rows in prop::collection::vec((1e-6..1e3f64, prop::option::of(any::<f64>()), prop::option::of(-1.0..1.0f64)), 1..6),
        seconds in 0.0..1e4f64,
    ) {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let rows = rows.into_iter().map(|(lr, value, last)| Trial { seconds, ..trial(lr, finite(value), last) });
        let written = tuned(rows.collect());
        let read = Tuned::parse("f", "x", &written.text().unwrap()).unwrap();
        prop_assert_eq!(read, written);
    }
}
