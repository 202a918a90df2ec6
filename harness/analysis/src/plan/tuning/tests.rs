use super::*;
use crate::plan::tests::catalogue;
use crate::plan::{Assignment, Overrides, Plan, plan};
use crate::suite::Side;
use crate::suite::{On, SAMPLES};
use crate::tuning::draw;
use crate::tuning::{Edge, Search, Trial, TunedArm};
use crate::verify::tests::sample;
use ledger::digest::Digest;
use ledger::record::format::{RunRecord, Status};

/// Two tuned arms and one that is not.
const TEXT: &str = "\
suite: x
question: q
seeds: 2
workloads: [digits-mlp]
settings: { batch_size: 16 }
tuning: { trials: 4, seeds: [100, 101] }
arms:
  - { method: sgd, as: plain, with: { lr: 0.2 } }
  - { method: sgd, as: sgd, tune: { lr: { log: [0.01, 1] } } }
  - { method: muon, as: muon, tune: { lr: { log: [0.01, 1] } } }
";

fn planned(text: &str, tuned: Option<Tuned>) -> Plan {
    plan("x.yaml", text, &catalogue(), &Overrides { tuned, ..Overrides::default() }).unwrap()
}

fn refuse(text: &str) -> String {
    plan("x.yaml", text, &catalogue(), &Overrides::default()).unwrap_err().to_string()
}

fn change(from: &str, to: &str) -> String {
    assert!(TEXT.contains(from), "{from}");
    TEXT.replacen(from, to, 1)
}

/// A frozen file that fits [`TEXT`], in which the second trial of each arm is best.
fn frozen() -> Tuned {
    let plan = planned(TEXT, None);
    let tuning = plan.tuning.unwrap();
    let arms = tuning.arms.iter().map(|arm| {
        let settings = draw("x", 0, &arm.spaces, 4, &[]);
        let trial = |(number, settings): (usize, Values)| Trial {
            settings,
            round: 0,
            share: 1.0,
            values: vec![None],
            value: Some(if number == 1 { 1.0 } else { 2.0 }),
            last: None,
            samples: 1,
            seconds: 1.0,
        };
        let trials: Vec<Trial> = settings.into_iter().enumerate().map(trial).collect();
        TunedArm {
            arm: arm.arm.clone(),
            definition: arm.definition.clone(),
            chosen: trials[1].settings.clone(),
            rounds: vec![arm.spaces.clone()],
            edges: vec![Edge { setting: "lr".to_owned(), side: Side::High }],
            trials,
        }
    });
    let tuned = Tuned {
        version: Tuned::VERSION,
        suite: "x".to_owned(),
        date: "2026-11-28".to_owned(),
        choose: SAMPLES.to_owned(),
        on: On::Validation,
        higher_is_better: false,
        seeds: vec![100, 101],
        halving: None,
        arms: arms.collect(),
        digest: String::new(),
    };
    tuned.sealed().unwrap()
}

fn states(plan: &Plan) -> Vec<TuningState> {
    plan.tuning.as_ref().unwrap().arms.iter().map(|arm| arm.state).collect()
}

#[test]
fn what_a_suite_cannot_say_of_tuning_is_refused_with_its_place() {
    insta::assert_snapshot!(refuse(&change("muon, tune: { lr:", "muon, tune: { rl:")), @r#"x.yaml:10:43: muon: unknown setting "rl"; did you mean "lr"?"#);
    insta::assert_snapshot!(refuse(&change("log: [0.01, 1]", "linear: [-1, 1]")), @r#"x.yaml:9:41: sgd: setting "lr" is -1.0, but must be a number above 0"#);
    insta::assert_snapshot!(refuse(&change("lr: { log: [0.01, 1] }", "batch_size: [16, 32, 64, 128]")), @"x.yaml:9:49: batch_size is tuned and fixed by the suite's `settings`; leave one of them out");
    insta::assert_snapshot!(refuse(&change("as: sgd, tune", "as: sgd, with: { lr: 0.1 }, tune")), @"x.yaml:9:60: lr is tuned and fixed by the arm's `with`; leave one of them out");
    insta::assert_snapshot!(refuse(&change("[100, 101]", "[100, 1]")), @"x.yaml:6:29: seed 1 chooses settings, and claims would be judged on the same runs; take others, such as [100, 101, 102]");
    insta::assert_snapshot!(refuse(&change("trials: 4", "trials: 0")), @"x.yaml:6:19: trials is 0, but must be 1 to 4096, such as 16");
    insta::assert_snapshot!(refuse(&change("{ log: [0.01, 1] }", "[0.1, 0.2]")), @"x.yaml:9:35: tune: these lists and whole numbers are 2 settings, but 4 trials are asked for; give the arm `trials: 2`");
    insta::assert_snapshot!(refuse(&change("[100, 101] }", "[100], choose: acuracy }")), @r#"x.yaml:6:44: choose: digits-mlp has no "acuracy"; did you mean "accuracy"?"#);
    insta::assert_snapshot!(refuse(&change("[100, 101] }", "[100], on: test }")), @"x.yaml:6:40: tuning.on: unknown variant `test`, expected `validation`");
    insta::assert_snapshot!(refuse(&change("[100, 101] }", "[100], halving: { rungs: 1 } }")), @"x.yaml:6:54: rungs is 1, but must be 2 to 8, the whole budget among them");
    insta::assert_snapshot!(refuse(&change("tuning: { trials: 4, seeds: [100, 101] }\n", "")), @"x.yaml:8:35: tune: the suite does not say how to tune; add tuning: { trials: 16, seeds: [100, 101, 102] }");
    insta::assert_snapshot!(refuse(&change("as: plain, with", "as: plain, trials: 8, with")), @"x.yaml:8:39: trials: this arm has no settings to try; add `tune`, or leave it out");
    insta::assert_snapshot!(refuse(&change("as: muon, tune", "as: muon, from: sgd, tune")), @r#"x.yaml:10:37: from: "sgd" is tuned too, so that its runs are not known yet; fix the settings of one of them"#);
}

#[test]
fn errors_are_averaged_over_workloads_and_scores_are_not() {
    let two = "workloads: [digits-mlp, { workload: digits-mlp, as: again }]";
    let text = change("workloads: [digits-mlp]", two);
    let chooses =
        |metric: &str| text.replace("[100, 101] }", &format!("[100, 101], choose: {metric} }}"));
    assert_eq!(states(&planned(&chooses("nll"), None)), [TuningState::Missing; 2]);
    insta::assert_snapshot!(refuse(&chooses("accuracy")), @r#"x.yaml:6:49: choose: values of accuracy cannot be averaged over the 2 workloads of arm "sgd"; give it one with `on: [...]`, or choose samples-to-target"#);
}

#[test]
fn seeds_of_the_command_line_are_not_those_of_trials_either() {
    let overrides = Overrides { seeds: Some("99..101".parse().unwrap()), ..Overrides::default() };
    let error = plan("x.yaml", TEXT, &catalogue(), &overrides).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"--seeds: seed 100 chooses settings, and claims would be judged on the same runs; take others");
}

#[test]
fn an_arm_has_its_chosen_settings_where_the_frozen_file_is_of_its_definition() {
    let frozen = frozen();
    let plan = planned(TEXT, Some(frozen.clone()));
    assert_eq!(states(&plan), [TuningState::Chosen; 2]);
    assert_eq!(plan.arms[0].settings["lr"], 0.2);
    for arm in 1..3 {
        assert_eq!(plan.arms[arm].settings["lr"], frozen.arms[arm - 1].chosen["lr"]);
        assert_eq!(plan.arms[arm].settings["batch_size"], 16);
    }
    let tuning = plan.tuning.unwrap();
    assert_eq!(tuning.refusal("x.tuned.yaml", "x"), None);
    assert_eq!((tuning.trials_of("muon"), tuning.trials_of("plain")), (Some(4), None));
    // The command line still has the last word.
    let set = vec![Assignment("muon".into(), "lr".into(), 0.5.into())];
    let overrides = Overrides { tuned: Some(frozen), set, ..Overrides::default() };
    let plan = super::super::plan("x.yaml", TEXT, &catalogue(), &overrides).unwrap();
    assert_eq!(plan.arms[2].settings["lr"], 0.5);
    assert_eq!(states(&plan), [TuningState::Chosen; 2]);
}

#[test]
fn a_suite_that_changed_since_is_refused_and_says_which_arm() {
    let refusal = |text: &str, tuned: Option<Tuned>| {
        planned(text, tuned).tuning.unwrap().refusal("x.tuned.yaml", "x").unwrap()
    };
    insta::assert_snapshot!(refusal(TEXT, None), @r#"the settings of arms "sgd", "muon" are to be tuned, but there is no x.tuned.yaml; run `palimpsest tune x`"#);
    let muon = change("muon, tune: { lr: { log: [0.01, 1]", "muon, tune: { lr: { log: [0.01, 2]");
    insta::assert_snapshot!(refusal(&muon, Some(frozen())), @r#"arm "muon" or the suite's tuning, targets or budgets changed since x.tuned.yaml was made (2026-11-28); run `palimpsest tune x`"#);
    let more =
        format!("{TEXT}  - {{ method: sgd, as: new, tune: {{ lr: {{ log: [0.1, 1] }} }} }}\n");
    insta::assert_snapshot!(refusal(&more, Some(frozen())), @r#"the settings of arm "new" are to be tuned, but x.tuned.yaml does not have them; run `palimpsest tune x`"#);
}

#[test]
fn what_decides_the_trials_makes_a_frozen_file_old_and_what_does_not_leaves_it() {
    let changed = |text: &str| {
        states(&planned(text, Some(frozen())))
            .iter()
            .filter(|s| **s == TuningState::Changed)
            .count()
    };
    for (from, to) in [
        ("trials: 4", "trials: 5"),
        ("[100, 101]", "[100, 102]"),
        ("[100, 101]", "[101, 100]"),
        ("batch_size: 16", "batch_size: 8"),
        ("[digits-mlp]", "[{ workload: digits-mlp, epochs: 3 }]"),
        ("[digits-mlp]", "[{ workload: digits-mlp, target: { value: 0.8, origin: o } }]"),
        ("[100, 101] }", "[100, 101], choose: accuracy }"),
    ] {
        assert_eq!(changed(&change(from, to)), 2, "{from} to {to}");
    }
    for (from, to) in [
        ("question: q", "question: r"),
        ("seeds: 2", "seeds: 7"),
        ("lr: 0.2", "lr: 0.3"),
        ("[digits-mlp]", "[{ workload: digits-mlp, target: { value: 0.9, origin: other words } }]"),
    ] {
        assert_eq!(changed(&change(from, to)), 0, "{from} to {to}");
    }
}

#[test]
fn a_search_tries_the_same_number_of_settings_for_every_arm_under_seeds_of_its_own() {
    let search = Search::of(&planned(TEXT, None), &catalogue(), false).unwrap();
    assert_eq!(search.trials.len(), 8);
    assert_eq!(search.plan.cells.len(), 8 * 2);
    assert!(search.plan.cells.iter().all(|cell| [100, 101].contains(&cell.seed)));
    // Arms with equal spaces are tried at equal settings.
    let lrs: Vec<_> = search.plan.arms.iter().map(|arm| arm.settings["lr"].clone()).collect();
    assert_eq!(lrs[..4], lrs[4..]);
    assert!(search.plan.arms.iter().all(|arm| arm.settings["batch_size"] == 16));
    assert_eq!(search.places(0, &[1]).len(), 2);
}

#[test]
fn halving_begins_with_a_part_of_the_budget_and_ends_with_all_of_it() {
    let text = change("[100, 101] }", "[100, 101], halving: { rungs: 2 } }");
    let search = Search::of(&planned(&text, None), &catalogue(), false).unwrap();
    let samples: Vec<u64> =
        search.plan.workloads.iter().map(|workload| workload.goal.budget.samples).collect();
    assert_eq!((samples, &search.shares[..]), (vec![100, 200], &[0.5, 1.0][..]));
    assert_eq!(search.plan.cells.len(), 2 * 8 * 2);
    let trial = |value: f64| Trial { value: Some(value), ..frozen().arms[0].trials[0].clone() };
    let outcomes = (0..8).map(|number| (number, trial(10.0 - number as f64))).collect();
    assert_eq!(search.survivors(&outcomes), [2, 3, 6, 7], "the better half of each arm");
    assert_eq!(search.places(1, &[2, 3, 6, 7]).len(), 8);
}

#[test]
fn trials_of_an_arm_with_a_share_of_the_budget_have_that_share() {
    let text = change("as: muon, tune", "as: muon, budget: 0.5, tune");
    assert_eq!(
        states(&planned(&text, Some(frozen()))),
        [TuningState::Chosen, TuningState::Changed]
    );
    let search = Search::of(&planned(&text, None), &catalogue(), false).unwrap();
    let samples = |trial: usize| {
        let place = search.places(0, &[trial])[0];
        search.plan.workload(search.plan.cells[place]).goal.budget.samples
    };
    assert_eq!([samples(0), samples(7)], [200, 100]);
    let censored = RunRecord { status: Status::Censored, ..sample::record(0, Digest::of(b"data")) };
    let missed = search.outcome(7, 0, &|_| Some(&censored)).unwrap();
    assert!((missed.value.unwrap() - 200.0).abs() < 1e-9, "twice its own budget");
}

#[test]
fn widening_goes_on_beyond_the_edge_at_which_the_best_lies() {
    let plan = planned(TEXT, Some(frozen()));
    let narrow = Search::of(&plan, &catalogue(), false).unwrap();
    let wide = Search::of(&plan, &catalogue(), true).unwrap();
    assert_eq!((narrow.trials.len(), wide.trials.len()), (8, 16));
    assert_eq!(wide.rounds[0][1]["lr"], Space::Log([1.0, 100.0]), "as many octaves again");
    assert_eq!(wide.trials[..4], narrow.trials[..4], "what was tried stays");
    assert!(wide.trials[4..8].iter().all(|trial| trial.settings["lr"].as_f64().unwrap() >= 1.0));
}

#[test]
fn runs_that_a_tuned_arm_descends_from_come_first_and_their_settings_count() {
    let text = change("as: muon, tune", "as: muon, from: plain, tune");
    let search = Search::of(&planned(&text, None), &catalogue(), false).unwrap();
    assert_eq!(search.plan.cells.len(), 8 * 2 + 2);
    let first = search.plan.cells[0];
    assert_eq!(search.plan.arms[first.arm].label, "plain");
    let definition = |text: &str| planned(text, None).tuning.unwrap().arms[1].definition.clone();
    assert_ne!(definition(&text), definition(&text.replace("lr: 0.2", "lr: 0.3")));
    assert_ne!(
        definition(&text),
        definition(&text.replace("as: plain,", "as: plain, budget: 0.5,"))
    );
}

#[test]
fn settings_can_be_chosen_by_a_look_at_a_metric() {
    let by = |choose: &str| {
        change("seeds: [100, 101] }", &format!("seeds: [100, 101], choose: {choose} }}"))
    };
    let tuning = planned(&by("accuracy@mean"), None).tuning.unwrap();
    assert!(tuning.asked.choose == "accuracy@mean" && tuning.direction.is_higher());
    assert!(refuse(&by("acuracy@mean")).contains("has no \"acuracy@mean\""));
}
